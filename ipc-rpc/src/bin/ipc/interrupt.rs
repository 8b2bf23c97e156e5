//! Being asked to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has asked this process to end. From when it is made, the first one only sets this, and the second kills.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub fn new() -> io::Result<Self> {
        let heard = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, heard.clone())?;
            flag::register(signal, heard.clone())?;
        }
        Ok(Interrupt(heard))
    }

    pub fn was_heard(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
