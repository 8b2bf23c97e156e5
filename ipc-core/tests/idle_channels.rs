//! Channels that do nothing must not delay the others.
#![cfg(not(loom))]

#[allow(dead_code)] // Other tests use the rest.
mod side;

use std::os::fd::AsFd;
use std::sync::Arc;

use ipc_core::caller::{Answer, Caller, Limit, Pending};
use ipc_core::scanner::{Callee, Stepper, Workers};
use ipc_core::segment::Segment;
use ipc_core::socket;

use side::{BLOCKS, ECHO, Echo, draft, geometry, reply};

const CHANNELS: usize = 100;
/// Steps after which every queue has been looked at.
const ROUND: usize = CHANNELS.div_ceil(8);

fn connect(callee: &Callee<Echo>, stepper: &mut Stepper<'_, Echo>) -> Arc<Caller> {
    let (ours, theirs) = socket::pair().unwrap();
    callee.adopt(theirs).unwrap();
    let segment = Segment::create(geometry()).unwrap();
    socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
    let answer = loop {
        stepper.step();
        if let Ok((answer, _)) = socket::receive(ours.as_fd()) {
            break answer;
        }
    };
    assert_eq!(answer, b"welcome");
    Caller::new(segment, ours).unwrap()
}

fn with_channels(test: impl FnOnce(&[Arc<Caller>], &mut dyn FnMut() -> bool)) {
    let callee = Callee::new(Echo::default(), None, Workers { base: 1, spare: 0, grow: false }).unwrap();
    let mut stepper = callee.stepper(0).unwrap();
    let callers: Vec<_> = (0..CHANNELS).map(|_| connect(&callee, &mut stepper)).collect();
    test(&callers, &mut || stepper.step());
}

fn call(caller: &Arc<Caller>) -> Pending<Arc<Caller>> {
    draft(caller.clone(), 7).submit(ECHO, 1, Limit::None)
}

fn answered(call: Pending<Arc<Caller>>) {
    let answer: Answer<_> = call.wait(Limit::None).unwrap();
    assert_eq!(reply(answer), [7]);
}

#[test]
fn the_queue_of_an_active_caller_is_found_at_once_among_idle_ones() {
    with_channels(|callers, step| {
        let active = &callers[CHANNELS / 2];
        // Not waited for, so that each takes another block, and none is watched.
        let mut calls = vec![call(active)];
        assert!((0..ROUND).any(|_| step()), "not found by looking at every queue");
        for _ in 1..BLOCKS {
            calls.push(call(active));
            assert!(step(), "idle channels came first");
        }
        calls.into_iter().for_each(answered);
    });
}

#[test]
fn active_callers_do_not_hide_one_that_was_idle() {
    with_channels(|callers, step| {
        // More than are remembered, each with requests on its queue all the time: so many blocks are not watched.
        let active = &callers[..CHANNELS / 4];
        let all = || active.iter().flat_map(|caller| std::iter::repeat_n(caller, BLOCKS as usize));
        let mut calls: Vec<_> = all().map(|caller| Some(call(caller))).collect();
        let mut busy_step = || {
            step();
            for (caller, slot) in all().zip(&mut calls) {
                if slot.as_ref().is_some_and(Pending::is_ready) {
                    slot.take().into_iter().for_each(answered);
                    *slot = Some(call(caller));
                }
            }
        };
        (0..CHANNELS).for_each(|_| busy_step());
        let stranger = call(&callers[CHANNELS - 1]);
        let mut steps = 0;
        while !stranger.is_ready() {
            busy_step();
            steps += 1;
            // Each look at queues goes on behind the last one, and takes 9 requests of one queue at most.
            assert!(steps <= 9 * CHANNELS, "not found by looking at every queue");
        }
        answered(stranger);
        for call in calls.into_iter().flatten() {
            while !call.is_ready() {
                step();
            }
            answered(call);
        }
    });
}
