//! Who hears of which peer's end: callers that come and go, and processes that fork.
#![cfg(not(loom))]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::caller::Caller;
use ipc_core::layout::Geometry;
use ipc_core::segment::Segment;
use ipc_core::socket;

fn connected(blocks: u32) -> (Arc<Caller>, OwnedFd) {
    let (ours, theirs) = socket::pair().unwrap();
    let segment = Segment::create(Geometry::new(blocks, 1 << 16, 1 << 16).unwrap()).unwrap();
    (Caller::new(segment, ours).unwrap(), theirs)
}

fn until(mut what: impl FnMut() -> bool) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if what() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Many peers end at once, so news of them comes in one batch. Callers that are dropped while it is dealt with make room,
/// at the very same addresses, for new ones, which the rest of the batch does not concern.
#[test]
fn a_new_caller_does_not_hear_the_end_of_an_old_one() {
    for round in 0..20 {
        // Many blocks, so that the visit of each caller takes a while.
        let (callers, peers): (Vec<_>, Vec<_>) = (0..12).map(|_| connected(1 << 13)).unzip();
        drop(peers);
        assert!(until(|| callers.iter().any(|c| c.has_ended())));
        drop(callers);
        let (callers, _peers): (Vec<_>, Vec<_>) = (0..12).map(|_| connected(4)).unzip();
        std::thread::sleep(Duration::from_millis(5));
        assert!(!callers.iter().any(|c| c.has_ended()), "round {round}");
    }
}

/// A child that is forked shares the descriptors of its parent, and has none of its threads.
#[test]
#[allow(unsafe_code)]
fn a_forked_child_takes_nothing_from_its_parent_and_hears_its_own_peers() {
    let (inherited, peer) = connected(4);
    let mut inherited = Some(inherited);
    // SAFETY: the child drops a caller and makes another, for which the allocator is ready after a fork; no other test of
    // this file holds a lock of ours for longer than an instant, and the child never returns to the harness.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(inherited.take());
        let (own, own_peer) = connected(4);
        drop(own_peer);
        let heard = until(|| own.has_ended());
        // SAFETY: plain system call; destructors of the parent's test harness must not run here.
        unsafe { libc::_exit(if heard { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: `status` is a valid place for the result.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child hears its own peer");
    drop(peer);
    assert!(until(|| inherited.as_ref().is_some_and(|c| c.has_ended())), "the parent still hears its peer");
}
