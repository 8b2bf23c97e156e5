//! The whole of both sides, callers and workers over a segment and its socket, under schedules that shuttle draws.
//!
//! All that runs is what ships: `ipc_core::schedule` takes the place of what waits in the kernel, and of nothing else. Each test
//! also runs with single operations done wrongly, and fails if no schedule shows it. Run them all with `.ci/shuttle`.
#![cfg(shuttle)]
#![deny(unsafe_code)]

mod harness;
mod side;

use std::sync::Arc;

use harness::explore;
use ipc_core::caller::{Caller, Limit};
use ipc_core::scanner::Workers;
use ipc_core::schedule::{self, Fault, Operation};
use ipc_core::word;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use side::{ADD, Adder, DEFER, Known, LARGE, Side, WAIT, WAYS, Way, call, write};

fn skip(operation: Operation, file: &str, name: &str, value: Option<u64>) -> Fault {
    let it = operation.file == file && operation.name == name && value.is_none_or(|value| value == operation.value);
    if it { Fault::Skipped } else { Fault::None }
}

fn late(operation: Operation, file: &str, value: Option<u64>) -> Fault {
    match skip(operation, file, "store", value) {
        Fault::Skipped => Fault::Late,
        other => other,
    }
}

/// How both sides are put together, and what is asked of them.
#[derive(Clone, Copy)]
struct Plan {
    workers: usize,
    channels: usize,
    blocks: u32,
    threads: usize,
    calls: u64,
}

/// Is what a caller was told of a call what has become of it?
fn compare(adder: &Adder, known: Known, way: Way, number: u64) {
    let ran = adder.ran(number);
    assert!(ran <= 1, "{way:?}: ran {ran} times");
    match known {
        Known::Ran => assert_eq!(ran, 1, "{way:?}: said to have run"),
        Known::NotRun => assert_eq!(ran, 0, "{way:?}: said not to have run"),
        Known::Nothing => {}
    }
}

/// Threads of all channels make calls in all ways.
fn calls(plan: Plan) {
    let side = Side::start(plan.workers, plan.channels, plan.blocks);
    let callers: Vec<_> = (0..plan.threads)
        .map(|me| {
            let caller: Arc<_> = side.callers[me % plan.channels].clone();
            let adder = side.adder.clone();
            thread::spawn(move || {
                for n in 0..plan.calls {
                    let number = me as u64 * 10_000 + n;
                    let way = WAYS[thread_rng().gen_range(0..WAYS.len())];
                    let method = [ADD, ADD, DEFER, LARGE][thread_rng().gen_range(0..4)];
                    let known = call(&caller, way, method, number).expect("the callee has not ended");
                    compare(&adder, known, way, number);
                    assert!(way != Way::Detached || adder.ran(number) == 1, "flushed, but has not run");
                }
                // What was given up comes home.
                caller.flush(Limit::None).unwrap();
                while caller.usage().zombies != 0 {
                    schedule::give_way();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    side.end();
}

#[test]
fn one_worker() {
    explore(
        "one_worker",
        &[
            ("a futex does not compare", |o| skip(o, "futex.rs", "wait", None)),
            ("a parked caller is not woken", |o| skip(o, "futex.rs", "wake", None)),
            ("the bell is not rung", |o| skip(o, "socket.rs", "send", Some(1))),
            ("the sleep flag is raised behind the last look", |o| late(o, "doorbell.rs", Some(1))),
            ("a promise to watch is forgotten, not taken back", |o| {
                skip(o, "handover.rs", "compare_exchange", Some(word::DONE.into()))
            }),
            ("the cell is stored behind the look at the sleep flag", |o| late(o, "queue.rs", None)),
            ("who waits for a block is not counted", |o| skip(o, "pool.rs", "fetch_add", Some(1))),
            ("a quiet push is not noted", |o| skip(o, "doorbell.rs", "store", Some(u64::from(true)))),
        ],
        || calls(Plan { workers: 1, channels: 2, blocks: 2, threads: 3, calls: 4 }),
    );
}

#[test]
fn two_workers() {
    explore(
        "two_workers",
        &[
            ("neither a poke nor the role taken with it is written", |o| skip(o, "role.rs", "fetch_or", None)),
            ("an announcement that is due is not counted", |o| skip(o, "announcements.rs", "fetch_add", None)),
            ("a promise to watch is forgotten, not taken back", |o| {
                skip(o, "handover.rs", "compare_exchange", Some(word::DONE.into()))
            }),
        ],
        || calls(Plan { workers: 2, channels: 2, blocks: 2, threads: 4, calls: 4 }),
    );
}

/// Blocks that threads keep, and more threads than may.
#[test]
fn kept_blocks() {
    explore("kept_blocks", &[("the links of the pool are not written", |o| skip(o, "pool.rs", "store", None))], || {
        calls(Plan { workers: 1, channels: 1, blocks: 16, threads: 4, calls: 6 })
    });
}

/// A handler that waits until another call has run, on a callee with a second worker, or that starts one.
#[test]
fn long_handlers() {
    explore("long_handlers", &[], || {
        let grow = thread_rng().r#gen::<bool>();
        let [base, spare] = [[2, 0], [1, 1], [1, 3]][thread_rng().gen_range(0..3)];
        let side = Side::start_with(Workers { base, spare, grow }, 2, 2);
        let [first, second] = [side.callers[0].clone(), side.callers[1].clone()];
        let waits = thread::spawn(move || call(&first, Way::Waits, WAIT, 1));
        assert_eq!(call(&second, Way::Waits, ADD, 1001), Ok(Known::Ran));
        assert_eq!(waits.join().unwrap(), Ok(Known::Ran));
        side.end();
    });
}

/// A caller goes while its calls run; another one calls on.
fn a_caller_goes(workers: usize) {
    let mut side = Side::start(workers, 2, 2);
    let goes = side.callers.pop().unwrap();
    let goes = thread::spawn(move || {
        let lend = |number: u64| {
            let draft = Caller::draft(&*goes, Limit::None).unwrap();
            write(&draft, number);
            draft.submit([ADD, DEFER, LARGE][thread_rng().gen_range(0..3)], 8, Limit::None)
        };
        for number in 10_000..10_000 + thread_rng().gen_range(0..3) {
            assert!(lend(number).wait(Limit::None).is_ok());
        }
        let lent = [lend(20_000), lend(20_001)];
        // As its end would do it: no call is given up.
        ipc_core::socket::shut_down(goes.socket());
        lent.into_iter().for_each(std::mem::forget);
    });
    for number in 0..4 {
        let way = [Way::Waits, Way::Polls][thread_rng().gen_range(0..2)];
        assert_eq!(call(&side.callers[0], way, ADD, number), Ok(Known::Ran));
    }
    goes.join().unwrap();
    schedule::changed();
    side.forgets_all_but(1);
    side.end();
}

#[test]
fn a_caller_of_one_worker_goes() {
    explore("a_caller_of_one_worker_goes", &[], || a_caller_goes(1));
}

#[test]
fn a_caller_of_two_workers_goes() {
    explore(
        "a_caller_of_two_workers_goes",
        &[("a worker does not note what it serves", |o| skip(o, "serving.rs", "store", None))],
        || a_caller_goes(2),
    );
}

/// The callee ends under its callers: all of them are told, and what they are told is true.
fn ends(workers: usize) {
    let mut side = Side::start(workers, 2, 2);
    let adder = side.adder.clone();
    let callers: Vec<_> = (0..3)
        .map(|me| {
            let caller: Arc<_> = side.callers[me % 2].clone();
            thread::spawn(move || {
                let mut all = vec![];
                for n in 0.. {
                    let number = me as u64 * 10_000 + n;
                    let way = WAYS[thread_rng().gen_range(0..WAYS.len())];
                    // One that is deferred may still be under way when the callee is gone.
                    let method = if thread_rng().gen_range(0..2) == 0 { DEFER } else { ADD };
                    let known = call(&caller, way, method, number);
                    let (Ok(told) | Err(told)) = known;
                    all.push((told, way, number));
                    if known.is_err() {
                        break;
                    }
                }
                all
            })
        })
        .collect();
    for _ in 0..thread_rng().gen_range(0..60) {
        schedule::point();
    }
    side.hang_up();
    for caller in callers {
        for (known, way, number) in caller.join().unwrap() {
            compare(&adder, known, way, number);
        }
    }
}

#[test]
fn the_end() {
    explore(
        "the_end",
        &[
            ("the reaper changes no word", |o| match o.value & u64::from(word::CANCELLED) {
                0 => Fault::None,
                _ => skip(o, "handover.rs", "compare_exchange", None),
            }),
            ("the reaper wakes nobody", |o| skip(o, "futex.rs", "wake", None)),
            ("a call that begins is not noted", |o| match o.value {
                0..8 => Fault::None, // A request that is lent.
                _ => skip(o, "handover.rs", "store", None),
            }),
        ],
        || ends(1),
    );
}

#[test]
fn the_end_of_two_workers() {
    explore("the_end_of_two_workers", &[], || ends(2));
}
