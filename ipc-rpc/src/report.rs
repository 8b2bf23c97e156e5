//! A server's figures for the facade `metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::{counter, gauge};

use crate::executor::lock;
use crate::server::ServerHandle;
use crate::status;

/// Publishes the figures of a server until it is dropped. The example at [`ServerHandle::report_metrics`] makes one.
#[must_use = "figures are published until it is dropped"]
pub struct MetricsReporter {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for MetricsReporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsReporter").finish_non_exhaustive()
    }
}

impl ServerHandle {
    /// Publishes the figures of the server with the facade `metrics` every `interval`, in a thread (feature `metrics`). Calls take no
    /// longer for it: what is published is counted anyway. For each method, with the labels `service` and `method`:
    ///
    /// | name | what |
    /// |---|---|
    /// | `rpc_server_calls_total` | calls that were given to the handler |
    /// | `rpc_server_errors_total` | calls that failed, with the label `kind`: `Handler` for errors that it returned, else the variant of [`CallError`](crate::CallError) that the client gets |
    /// | `rpc_server_received_bytes_total`, `rpc_server_sent_bytes_total` | about how many bytes of arguments and replies |
    /// | `rpc_server_duration_seconds` | how long all calls since the server began took, of which the label `quantile` says what part (gauge) |
    ///
    /// and `rpc_server_clients`, `rpc_server_streams`, `rpc_server_memory_bytes` (gauges).
    ///
    /// # Errors
    /// There is no thread left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ipc_rpc::{Server, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-report-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    ///
    /// // Beside an exporter, such as that of the crate `metrics-exporter-prometheus`.
    /// let server = Server::bind(&name)?;
    /// let reporter = server.handle().report_metrics(Duration::from_secs(5))?;
    /// // server.serve(..)
    /// drop(reporter);
    /// # drop(server);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report_metrics(&self, interval: Duration) -> std::io::Result<MetricsReporter> {
        let ended = Arc::<(Mutex<bool>, Condvar)>::default();
        let (handle, until) = (self.clone(), ended.clone());
        let report = move || {
            let (ended, changed) = &*until;
            let mut over = lock(ended);
            while !*over {
                drop(over);
                publish(&handle);
                over = lock(ended);
                if !*over {
                    over = changed.wait_timeout(over, interval).unwrap_or_else(std::sync::PoisonError::into_inner).0;
                }
            }
            drop(over);
            // What has come since.
            publish(&handle);
        };
        let thread = std::thread::Builder::new().name("ipc-rpc metrics".into()).spawn(report)?;
        Ok(MetricsReporter { ended, thread: Some(thread) })
    }
}

impl Drop for MetricsReporter {
    fn drop(&mut self) {
        *lock(&self.ended.0) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn publish(server: &ServerHandle) {
    for method in server.statistics() {
        let labels = [("service", method.service), ("method", method.method)];
        let figures = &method.figures;
        counter!("rpc_server_calls_total", &labels).absolute(figures.calls);
        counter!("rpc_server_received_bytes_total", &labels).absolute(figures.received);
        counter!("rpc_server_sent_bytes_total", &labels).absolute(figures.sent);
        let mut kinds = BTreeMap::<&str, u64>::new();
        for (status, errors) in (0..).zip(figures.errors).filter(|(_, errors)| *errors > 0) {
            *kinds.entry(status::kind(status)).or_default() += errors;
        }
        for (kind, errors) in kinds {
            let [service, name] = labels;
            counter!("rpc_server_errors_total", &[service, name, ("kind", kind)]).absolute(errors);
        }
        for (part, quantile) in [(0.5, "0.5"), (0.99, "0.99"), (0.999, "0.999")] {
            // Not every call is measured, so there may be none.
            if let Some(nanoseconds) = figures.durations.quantile(part) {
                let [service, name] = labels;
                gauge!("rpc_server_duration_seconds", &[service, name, ("quantile", quantile)])
                    .set(nanoseconds as f64 / 1e9);
            }
        }
    }
    let usage = server.usage();
    gauge!("rpc_server_clients").set(usage.clients as f64);
    gauge!("rpc_server_streams").set(usage.streams as f64);
    gauge!("rpc_server_memory_bytes").set(usage.memory.committed as f64);
}
