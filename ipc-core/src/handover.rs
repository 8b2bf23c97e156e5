//! Handing a block over: the moves of the state word, each one atomic operation on one `AtomicU32`.
//!
//! # Algorithm
//! The caller lends a block by setting its word to `REQUEST`, the callee gives it back by swapping it to `DONE`. The old
//! value of either swap says what the other side was doing: `WATCHED` - it looks at this very word and needs no queue;
//! `PARKED`, `ANNOUNCE` - it wants to be woken or told. The ids (C1, C3, C4, S1, S2, S3) are those of the state table in
//! `docs/protocol.md`; P1, P2, P7 and P8 are its ordering pairs.
//!
//! # Trust
//! A peer can write anything into the word. Each function judges one loaded value, loops at most [`TRIES`] times, and
//! answers [`Corrupt`] for values outside the table.

use crate::sync::{AtomicU32, Ordering, fence};
use crate::word::{self, Corrupt, Lent, Seen, Tell};

/// How often a compare-exchange on a word is tried before the peer is taken for a liar: an honest callee changes a lent
/// word once, and the caller's other threads do not touch it.
pub const TRIES: u32 = 4;

/// C1, caller: lends the block. `true`: the callee watches this word, nothing more to do; `false`: push the block's offset.
///
/// A word without `WATCHED` is nobody's but the caller's: the callee takes back what it has promised, and finishes what it was
/// lent, nothing else. So it is stored to, which does not wait for the stores before it as a swap does.
///
/// # Errors
/// [`Corrupt`] if the block was not the caller's to lend.
#[inline(always)]
pub fn submit(word: &AtomicU32, wishes: u32) -> Result<bool, Corrupt> {
    if let word::FREE | word::DONE = word.load(Ordering::Relaxed) {
        word.store(word::REQUEST | wishes, Ordering::Release); // [P1]
        return Ok(false);
    }
    // [P1] release: the request bytes; pairs with `request`.
    let old = word.swap(word::REQUEST | wishes, Ordering::AcqRel);
    if old == word::DONE | word::WATCHED { Ok(true) } else { judge(old) }
}

/// All that a swap to `REQUEST` finds but seldom. Apart, so that the common value is compared first.
#[cold]
#[inline(never)]
fn judge(old: u32) -> Result<bool, Corrupt> {
    word::submitted(old)
}

/// C4, caller: looks at a lent block.
///
/// # Errors
/// [`Corrupt`] if neither lent nor done.
#[inline(always)]
pub fn look(word: &AtomicU32) -> Result<Lent, Corrupt> {
    // [P2] acquire: the reply bytes; pairs with `finish`.
    word::lent(word.load(Ordering::Acquire))
}

/// C3, caller: adds a wish to a lent block by compare-exchange. Never `fetch_or`: a DONE word must not get a wish.
///
/// Gives `Lent::Out` with the value now in the word, the wish included, or `Lent::Done` when the callee was faster; no
/// wish is set then. A caller about to park sleeps on exactly the value it gets here, and only if that has no `CANCELLED`:
/// a wish that is already set does not change the word, so a second canceller could not keep it from falling asleep.
///
/// # Errors
/// [`Corrupt`] if the word is neither lent nor done, or keeps changing.
pub fn wish(word: &AtomicU32, wish: u32) -> Result<Lent, Corrupt> {
    let mut value = word.load(Ordering::Acquire);
    for _ in 0..TRIES {
        match word::lent(value)? {
            Lent::Done => return Ok(Lent::Done),
            Lent::Out(seen) if seen & wish != 0 => return Ok(Lent::Out(seen)),
            // [P7] the same word as `finish`: it finds PARKED, or the kernel's comparison finds DONE.
            Lent::Out(seen) => match word.compare_exchange(seen, seen | wish, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Lent::Out(seen | wish)),
                // [P2] acquire on failure: the value may be DONE.
                Err(now) => value = now,
            },
        }
    }
    Err(Corrupt(u64::from(value)))
}

/// S1, callee: looks at a watched or popped block.
///
/// # Errors
/// [`Corrupt`] for illegal values.
#[inline(always)]
pub fn request(word: &AtomicU32) -> Result<Seen, Corrupt> {
    // [P1] acquire: the request bytes; pairs with `submit`.
    word::seen(word.load(Ordering::Acquire))
}

/// S1, callee: notes that the handler begins, the `count`th of this block. Before any effect of the handler, and before any
/// byte of the block is written. A count in a word that only the callee writes: a flag would have to be cleared by the
/// caller, and the line would travel once more in every call.
#[inline(always)]
pub fn take(taken: &AtomicU32, count: u32) {
    taken.store(count, Ordering::Relaxed);
    // [P8] release: whoever sees an effect of the handler sees `taken`; pairs with the fence in `was_taken`.
    fence(Ordering::Release);
}

/// Caller, after the peer's death: had the callee begun the request, of which there had been `before` in this block?
#[inline]
pub fn was_taken(taken: &AtomicU32, before: u32) -> bool {
    fence(Ordering::Acquire); // [P8]
    taken.load(Ordering::Relaxed) != before
}

/// S2, callee: gives the block back, with `watched` as the promise to look at it again.
///
/// # Errors
/// [`Corrupt`] if the block was not lent; then nobody is to be woken or told.
#[inline(always)]
pub fn finish(word: &AtomicU32, watched: bool) -> Result<Tell, Corrupt> {
    let new = if watched { word::DONE | word::WATCHED } else { word::DONE };
    // [P2] release: the reply bytes and the callee's last read of the request; pairs with `look` and `wish`.
    // [P7] the old value has PARKED if the caller sleeps, or will as soon as the kernel has compared; pairs with `wish`.
    word::finished(word.swap(new, Ordering::AcqRel))
}

/// S3, callee: takes the promise to watch back. `true`: a request has arrived that nobody else knows of; serve it.
///
/// # Errors
/// [`Corrupt`] if the word is neither the promise nor a request.
#[inline]
pub fn unwatch(word: &AtomicU32) -> Result<bool, Corrupt> {
    // Relaxed suffices: as a read-modify-write it continues the release sequence of S2's swap.
    match word.compare_exchange(word::DONE | word::WATCHED, word::DONE, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            crate::fail_point!(Unwatched);
            Ok(false)
        }
        Err(now) => word::unwatched(now),
    }
}
