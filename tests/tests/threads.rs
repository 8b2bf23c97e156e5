//! The threads of a server end with it. Alone in its file: it counts the threads of the process.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipc_rpc::{service, testing};
use ipc_rpc_tests::helper::until;
use ipc_rpc_tests::proc;
use ipc_rpc_tests::watchdog::Watchdog;
use tokio::sync::Notify;

/// Handlers that wait.
#[service]
pub trait Waits {
    /// Until it is let go.
    async fn wait(&self);
    /// For so many milliseconds.
    fn sleep(&self, milliseconds: u64);
}

struct Waiter(Arc<Notify>);

impl Waits for Waiter {
    async fn wait(&self) {
        self.0.notified().await;
    }
    fn sleep(&self, milliseconds: u64) {
        thread::sleep(Duration::from_millis(milliseconds));
    }
}

/// Threads of servers. The one that hears for all clients of a process stays.
fn mine() -> usize {
    let ours = |name: &str| name.starts_with("ipc-rpc") && name != "ipc-rpc bells";
    proc::threads(std::process::id()).iter().filter(|thread| ours(&thread.name)).count()
}

#[test]
fn threads_end_with_their_server() {
    let _watchdog = Watchdog::start("threads_end_with_their_server");
    for _ in 0..3 {
        let notify = Arc::new(Notify::new());
        let (client, server) = testing::pair(WaitsDispatcher::new(Waiter(notify.clone()))).unwrap();
        let waiting = client.start().wait().unwrap();
        until(|| server.usage().tasks == 1);
        // Long enough for the look at what nobody wakes, and for more workers to start.
        let sleeping: Vec<_> = (0..12).map(|_| client.start().sleep(30).unwrap()).collect();
        for call in sleeping {
            call.wait().unwrap();
        }
        notify.notify_one();
        waiting.wait().unwrap();
        let forgotten = client.start().wait().unwrap();
        until(|| server.usage().tasks == 1);
        let usage = server.usage();
        assert!(mine() >= usage.workers + usage.task_threads, "{} {usage:?}", mine());
        assert!(usage.workers > 0 && usage.task_threads > 0, "{usage:?}");
        drop(server);
        assert!(forgotten.wait().is_err());
        drop(client);
        until(|| mine() == 0);
    }
}
