//! What a client's calls come to, for the facade `metrics`.

use std::time::Instant;

use metrics::{counter, gauge, histogram};

use super::{Call, Intercepted, Interceptor, Next};

/// Counts the calls of a client with the facade `metrics` (feature `metrics`), each with the labels `service` and `method`:
///
/// | name | what |
/// |---|---|
/// | `rpc_client_calls_total` | calls that have ended; label `outcome`: `Ok`, `Handler`, or the variant of [`CallError`](crate::CallError) |
/// | `rpc_client_duration_seconds` | how long they took (histogram) |
/// | `rpc_client_in_flight` | calls that have not ended (gauge) |
///
/// A server counts without it: see [`ServerHandle::report_metrics`](crate::ServerHandle::report_metrics).
///
/// ```
/// use ipc_rpc::intercept::Counts;
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// assert_eq!(calc.with_interceptor(Counts).add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts;

impl Interceptor for Counts {
    fn call(&self, call: Call, next: Next) -> Intercepted {
        let method = call.method();
        let labels = [("service", method.service), ("method", method.method)];
        let in_flight = gauge!("rpc_client_in_flight", &labels);
        in_flight.increment(1.0);
        let ends = Ends(in_flight);
        Box::pin(async move {
            let began = Instant::now();
            let done = next.run(call).await;
            let outcome = match &done {
                Ok(done) if done.failed() => "Handler",
                Ok(_) => "Ok",
                Err(error) => error.kind(),
            };
            histogram!("rpc_client_duration_seconds", &labels).record(began.elapsed());
            let [service, method] = labels;
            counter!("rpc_client_calls_total", &[service, method, ("outcome", outcome)]).increment(1);
            drop(ends);
            done
        })
    }
}

/// One call less in flight, also if it was given up.
struct Ends(metrics::Gauge);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
