//! A service that can be watched: figures for Prometheus, and traces of OpenTelemetry that go through both processes.
//!
//! ```text
//! cargo run --release --example telemetry --features telemetry -- serve 127.0.0.1:9464
//! cargo run --release --example telemetry --features telemetry -- count README.md CHANGELOG.md
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! Both sides print the spans that have ended, as exporters to a collector would send them. Each call is a span of the client
//! and one of the server below it, so both print the same trace id.

use std::env;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use ipc_rpc::intercept::{Call, Counts, Spans};
use ipc_rpc::{Server, service};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Looks into texts.
#[service]
pub trait Words {
    /// The number of words; an empty text is an error.
    fn count(&self, text: &str) -> Result<u64, String>;
}

struct Counter;

impl Words for Counter {
    fn count(&self, text: &str) -> Result<u64, String> {
        // An event of the call's span.
        tracing::info!(bytes = text.len(), "counting");
        match text.split_whitespace().count() {
            0 => Err("there are no words".into()),
            words => Ok(words as u64),
        }
    }
}

const NAME: &str = "telemetry";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address.parse()?),
        ["count", ref files @ ..] if !files.is_empty() => count(files),
        _ => Err("usage: telemetry serve ADDRESS | telemetry count FILE..".into()),
    }
}

fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let traces = traces("words server");
    PrometheusBuilder::new().with_http_listener(address).install()?;
    // What a call says of its trace is the parent of its span here.
    let spans = Spans::default().extract(|span, call| {
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Said(call)));
        // Fails where nobody collects spans.
        let _ = span.set_parent(parent);
    });
    let server = Server::builder().intercept(spans).service(WordsDispatcher::new(Counter)).bind(NAME)?;
    let reporter = server.handle().report_metrics(Duration::from_millis(500))?;
    println!("serving {NAME}, figures at http://{address}/metrics");
    server.run()?;
    drop(reporter);
    traces.shutdown()?;
    Ok(())
}

fn count(files: &[&str]) -> Result<(), Box<dyn Error>> {
    let traces = traces("words client");
    let spans = Spans::default().inject(|span, call| {
        let context = span.context();
        global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Says(call)));
    });
    let words = WordsClient::connect(NAME)?.with_interceptor(spans).with_interceptor(Counts);
    // All calls are part of one trace.
    let counted = tracing::info_span!("count files").in_scope(|| -> Result<u64, Box<dyn Error>> {
        let mut sum = 0;
        for file in files {
            sum += words.count(&fs::read_to_string(file)?).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(sum)
    });
    traces.shutdown()?;
    println!("{} words", counted?);
    Ok(())
}

/// Has spans printed when they end.
fn traces(process: &'static str) -> SdkTracerProvider {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(opentelemetry_stdout::SpanExporter::default())
        .with_resource(Resource::builder().with_service_name(process).build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("words"));
    tracing_subscriber::registry().with(layer).init();
    provider
}

/// What a call says of its trace, in its metadata: `traceparent`, as the W3C has it.
struct Said<'a>(&'a Call);

impl Extractor for Said<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.metadata().get(key)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.metadata().iter().map(|(key, _)| key).collect()
    }
}

/// The same, to be said.
struct Says<'a>(&'a mut Call);

impl Injector for Says<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.set(key, value);
    }
}
