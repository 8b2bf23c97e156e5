//! Ends the test process when a test hangs: tests assert no durations, they only have to end.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::proc;

/// Aborts the process, with a message, unless it is dropped in time.
///
/// ```
/// let _watchdog = ipc_rpc_tests::watchdog::Watchdog::start("a test that ends");
/// ```
#[derive(Debug)]
#[must_use = "a watchdog that is dropped watches nothing"]
pub struct Watchdog {
    _alive: Sender<()>,
}

/// Far more than any test takes on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(100);

impl Watchdog {
    /// Watches over the test called `name`.
    pub fn start(name: &'static str) -> Self {
        let (alive, heard) = mpsc::channel::<()>();
        thread::spawn(move || {
            if heard.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                let mut text = format!("watchdog: {name} hangs; threads of this process:\n");
                for thread in proc::threads(std::process::id()) {
                    text += &format!("  {} {} in {}\n", thread.id, thread.name, thread.waits_in);
                }
                // Straight to the descriptor: the harness captures what the print macros write, and abort loses it.
                let _ = std::io::stderr().write_all(text.as_bytes());
                std::process::abort();
            }
        });
        Watchdog { _alive: alive }
    }
}
