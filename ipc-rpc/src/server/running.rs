//! The workers of a server.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ipc_core::scanner::{Callee, Workers};

use super::control::Counted;
use super::{Callees, Control, ServeError, ServerBuilder, ServerHandle};
use crate::router::Router;

/// The workers of a server, but the one that its starter may be.
pub(crate) struct Running {
    pub(crate) callee: Arc<Callees>,
    pub(super) workers: Vec<std::thread::JoinHandle<()>>,
    /// Workers in threads of this value that have not ended.
    pub(super) active: Arc<AtomicUsize>,
    pub(super) handle: ServerHandle,
    /// How long futures of handlers may go on after the workers have ended.
    pub(super) grace: Duration,
    pub(super) detached: bool,
}

impl Running {
    /// Starts the workers from number `first` on.
    pub(super) fn start(
        builder: ServerBuilder,
        listener: Option<OwnedFd>,
        control: &Arc<Control>,
        first: usize,
    ) -> Result<Self, ServeError> {
        let router =
            Router::new(builder.services, builder.admission, builder.runs, builder.interceptors, control.clone())?;
        let callee = Arc::new(Callee::new(router, listener, builder.workers)?);
        callee.wait_as(builder.waiting);
        let statistics = callee.statistics().clone();
        let names = callee.handler().method_names().take(statistics.methods()).collect();
        control.counted.get_or_init(|| Counted { names, statistics });
        *control.callee.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&callee);
        let handle = ServerHandle { control: control.clone() };
        let active = Arc::<AtomicUsize>::default();
        let mut running =
            Running { callee, workers: Vec::new(), active, handle, grace: builder.grace, detached: false };
        for me in first..running.callee.workers() {
            let (callee, active) = (running.callee.clone(), running.active.clone());
            active.fetch_add(1, Ordering::SeqCst);
            let worker = std::thread::Builder::new().name(format!("ipc-rpc worker {me}"));
            let spawned = worker.spawn(move || {
                callee.work(me);
                let runtime = callee.handler().runtime().clone();
                // First, so that whoever sees the last worker gone can end the callee.
                drop(callee);
                active.fetch_sub(1, Ordering::SeqCst);
                runtime.wake_poller();
            });
            running.workers.push(spawned?);
        }
        if control.stopping.load(Ordering::SeqCst) {
            running.callee.stop();
        }
        Ok(running)
    }

    /// A callee with one worker and no thread for it.
    pub(crate) fn without_threads(builder: ServerBuilder) -> Result<Arc<Callees>, ServeError> {
        let router =
            Router::new(builder.services, builder.admission, builder.runs, builder.interceptors, Arc::default())?;
        Ok(Arc::new(Callee::new(router, None, Workers { base: 1, spare: 0, grow: false })?))
    }

    /// All workers in threads of their own, for a server without a name.
    pub(crate) fn in_background(builder: ServerBuilder) -> Result<Self, ServeError> {
        let builder = builder.grace(Duration::ZERO);
        Running::start(builder, None, &Arc::default(), 0)
    }
}

impl Running {
    /// Stops, but waits for nobody: for a thread that may be one of the workers. They end after the handlers they run.
    pub(crate) fn detach(mut self) {
        self.handle.shutdown();
        self.workers.clear();
        self.detached = true;
        let callee = self.callee.clone();
        drop(self);
        // Whoever drops the last of it waits for the handlers of spare workers (P11), and one of them may wait for this thread.
        if callee.has_spares() {
            // Without a thread it is dropped here.
            let _ = std::thread::Builder::new().name("ipc-rpc release".into()).spawn(move || drop(callee));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        let me = std::thread::current().id();
        // Not itself, if a handler drops the last that is left of its server.
        for worker in self.workers.drain(..).filter(|worker| worker.thread().id() != me) {
            let _ = worker.join();
        }
        let runtime = self.callee.handler().runtime();
        if !self.detached {
            runtime.drain(self.grace);
        }
        runtime.stop(!self.detached);
    }
}
