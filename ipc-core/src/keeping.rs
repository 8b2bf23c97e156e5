//! Whether the memory of a request goes back to its caller with the answer, or later.
//!
//! A handler may keep its request beyond the call. The answer says so then, and the block stays with the callee until the last
//! one who keeps it lets go, which is told by an announcement of its own. Who answers and who lets go may be two threads:
//! exactly one of "not kept", "told by who let go last" and "told by who answered" is what comes of it.
//!
//! # Algorithm
//! One word for each block, private to the callee: how many keep the request, and how far the answer is. Each step is one
//! read-modify-write of it. Behind the answer nobody new keeps the request, so whoever finds that nobody else does and that the
//! answer is out is alone with it.
//!
//! # Ordering
//! P21: what those who keep the request read comes before the answer, or the announcement, that gives its memory back. P22: the
//! answer comes before that announcement, so that the caller has seen that the block is kept, or can see it.

use crate::sync::{AtomicU32, Ordering};

/// The answer says that the request is kept.
const KEPT: u32 = 1 << 30;
/// It is given.
const ANSWERED: u32 = 1 << 31;

/// Who keeps the request of one block.
///
/// ```
/// use ipc_core::keeping::Keeping;
///
/// let keeping = Keeping::new();
/// keeping.begin();
/// assert!(keeping.answer()); // the answer says that the block is kept
/// assert!(!keeping.answered()); // it still is
/// assert!(keeping.end() && !keeping.is_kept()); // now it is not, and its caller is to be told
/// ```
#[derive(Debug)]
pub struct Keeping(AtomicU32);

impl Default for Keeping {
    fn default() -> Self {
        Keeping::new()
    }
}

impl Keeping {
    /// For models, which run it with weaker orderings.
    #[cfg(loom)]
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Nobody keeps it.
    pub fn new() -> Self {
        Keeping(AtomicU32::new(0))
    }

    /// One more keeps the request, whose call runs.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The call is about to be answered. `true`: somebody keeps the request, so the answer has to say so, and
    /// [`Keeping::answered`] has to follow it.
    pub fn answer(&self) -> bool {
        let kept = |count| if count == 0 { None } else { Some(count | KEPT) };
        // [P21] acquire, also if nobody does: they have read the request before that.
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, kept).is_ok()
    }

    /// The answer is given that says that the request is kept. `true`: nobody does any more, and the caller is to be told.
    pub fn answered(&self) -> bool {
        // [P21] acquire. [P22] release: who lets go behind this tells the caller behind the answer.
        let alone = self.0.fetch_or(ANSWERED, Ordering::AcqRel) == KEPT;
        if alone {
            self.0.store(0, Ordering::Relaxed);
        }
        alone
    }

    /// One keeps the request no longer. `true`: the caller is to be told.
    pub fn end(&self) -> bool {
        // [P21] release: what it has read, and acquire: what the others have. [P22] acquire.
        let last = self.0.fetch_sub(1, Ordering::AcqRel) == 1 | KEPT | ANSWERED;
        if last {
            self.0.store(0, Ordering::Relaxed);
        }
        last
    }

    /// Is the request of a call kept that has been answered, so that its caller must not use the block?
    pub fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}
