//! Who would hear a signal: how many workers sleep without the scanner role, and whether somebody has left it for long.
//!
//! Store-buffer pattern (P10), as with the doorbell: who leaves the role notes that it has, fences, and looks at the count;
//! who goes to sleep counts itself, fences, and looks at the note. Either the leaver sees somebody to wake, or the other sees
//! that it has to look for the role once more. `docs/protocol.md`, "Workers", has the rules.

use crate::sync::{AtomicBool, AtomicU32, Ordering, fence};

/// The idle workers of one callee.
#[derive(Debug)]
pub struct Idle {
    count: AtomicU32,
    left: AtomicBool,
}

impl Default for Idle {
    fn default() -> Self {
        Idle::new()
    }
}

impl Idle {
    /// Nobody is idle.
    pub fn new() -> Self {
        Idle { count: AtomicU32::new(0), left: AtomicBool::new(false) }
    }

    /// A worker has given the role up for a handler that takes long. `true`: an idle worker is there to be woken.
    ///
    /// ```
    /// use ipc_core::idle::Idle;
    ///
    /// let idle = Idle::new();
    /// assert!(!idle.leave());
    /// assert!(idle.begin(), "the role was left: look for it before sleeping");
    /// assert!(idle.leave());
    /// idle.end();
    /// ```
    pub fn leave(&self) -> bool {
        self.left.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst); // [P10] pairs with the fence in `begin`.
        self.count.load(Ordering::Relaxed) != 0
    }

    /// A worker without the role goes to sleep. `true`: it should try for the role once more.
    pub fn begin(&self) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst); // [P10] pairs with the fence in `leave`.
        self.left.load(Ordering::Relaxed)
    }

    /// It is awake again.
    pub fn end(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// The role is held: nobody has to look for it.
    pub fn held(&self) {
        if self.left.load(Ordering::Relaxed) {
            self.left.store(false, Ordering::Relaxed);
        }
    }

    /// Is nobody idle? (The answer may be old.)
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }
}
