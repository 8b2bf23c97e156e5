//! What the handles, the signals and the workers of a server share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use ipc_core::scanner::Callee;
use ipc_core::statistics::Statistics;

use crate::inspect::Health;
use crate::router::Router;

pub(crate) type Callees = Callee<Router>;

#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(super) stopping: AtomicBool,
    pub(super) callee: Mutex<Weak<Callees>>,
    /// What is counted of it, also when it has ended.
    pub(super) counted: OnceLock<Counted>,
    /// Another server has the name.
    pub(super) handed_over: AtomicBool,
    /// systemd is told how the server is.
    #[cfg(feature = "systemd")]
    pub(super) notifies: bool,
    pub(super) health: Mutex<Health>,
}

/// The figures of methods, by service and method.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(super) names: Vec<(&'static str, &'static str)>,
    pub(super) statistics: Arc<Statistics>,
}

impl Control {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn callee(&self) -> Option<Arc<Callees>> {
        self.callee.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    pub(crate) fn shutdown(&self) {
        #[cfg(feature = "systemd")]
        if self.notifies && !self.stopping.load(Ordering::SeqCst) {
            crate::systemd::notify("STOPPING=1");
        }
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(callee) = self.callee() {
            callee.stop();
            callee.handler().runtime().begin_close();
        }
    }

    /// The server serves. What it gives tells systemd that it goes on to.
    #[cfg(feature = "systemd")]
    pub(super) fn ready(self: &Arc<Self>) -> std::io::Result<Option<crate::systemd::Watchdog>> {
        if !self.notifies || self.stopping.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if self.health().is_ready() {
            crate::systemd::notify("READY=1");
        }
        let handle = super::ServerHandle { control: self.clone() };
        crate::systemd::Watchdog::start(move || {
            // Takes every lock that workers take.
            handle.usage();
            !matches!(handle.health(), Health::Failing(_))
        })
    }

    /// Its health has changed.
    #[cfg(feature = "systemd")]
    pub(super) fn tell_health(&self) {
        if !self.notifies || self.stopping.load(Ordering::SeqCst) {
            return;
        }
        let health = self.health();
        // What is ready before it serves is told when it does.
        let ready = if health.is_ready() && self.callee().is_some() { "READY=1\n" } else { "" };
        crate::systemd::notify(&format!("{ready}STATUS={}", health.to_string().replace('\n', " ")));
    }

    /// The name is another server's: this one leaves it, and shuts down.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::SeqCst);
        self.shutdown();
    }
}
