//! P4: the sleep flag beside a queue, and how the callee goes to sleep with a block in its watch set.

use crate::harness::{By::Loss, explore};
use crate::parts::{Bell, Block, cells};
use ipc_core::doorbell::{must_ring, raise, raise_one, raised};
use ipc_core::handover::{finish, request, submit, unwatch};
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use ipc_core::sync::{AtomicU32, AtomicU64, fence};
use ipc_core::word::{self, DONE, Seen, WATCHED};
use loom::{sync::Arc, thread};

/// One channel: cells, their producing end, the sleep flag.
struct Channel {
    cells: Vec<AtomicU64>,
    producer: Producer,
    asleep: AtomicU32,
}

impl Channel {
    fn new() -> Self {
        Channel { cells: cells(2), producer: Producer::new(), asleep: AtomicU32::new(0) }
    }

    fn push(&self, wrong: &str, bell: &Bell) {
        if wrong == "the pusher looks before it pushes" {
            let ring = must_ring(&self.asleep);
            self.producer.push(&self.cells, Kind::Request, 1);
            if ring {
                bell.ring();
            }
            return;
        }
        self.producer.push(&self.cells, Kind::Request, 1);
        let ring = match wrong {
            "no fence in the pusher" => self.asleep.load(Relaxed) == 1 && self.asleep.swap(0, Relaxed) == 1,
            _ => must_ring(&self.asleep),
        };
        if ring {
            bell.ring();
        }
    }
}

#[test]
fn p4_one_producer() {
    explore(
        "sleep::p4_one_producer",
        None,
        &[
            ("no fence in the pusher", Loss),
            ("no fence in the sleeper", Loss),
            ("the pusher looks before it pushes", Loss),
            ("the flag stays down", Loss),
            ("no second look", Loss),
            ("the second look comes before the flag", Loss),
            ("the doorbell is emptied behind the second look", Loss),
        ],
        |wrong| sleep(wrong, &[0]),
    );
}

#[test]
fn p4_two_producers() {
    explore(
        "sleep::p4_two_producers",
        Some(5),
        &[("no fence in the pusher", Loss), ("no fence in the sleeper", Loss), ("the doorbell is never emptied", Loss)],
        |wrong| sleep(wrong, &[0, 0]),
    );
}

#[test]
fn p4_two_channels() {
    explore(
        "sleep::p4_two_channels",
        Some(5),
        &[("no fence in the sleeper", Loss), ("no second look", Loss)],
        |wrong| sleep(wrong, &[0, 1]),
    );
}

/// One thread pushes to each channel named in `pushes`; all channels share the consumer and its doorbell.
fn sleep(wrong: &'static str, pushes: &'static [usize]) {
    let channels = pushes.iter().max().unwrap() + 1;
    let channels: Vec<_> = (0..channels).map(|_| Channel::new()).collect();
    let shared = Arc::new((channels, Bell::new()));
    let pushers: Vec<_> = pushes
        .iter()
        .map(|&number| {
            let shared = shared.clone();
            thread::spawn(move || shared.0[number].push(wrong, &shared.1))
        })
        .collect();
    let (channels, bell) = &*shared;
    let mut queues: Vec<_> = channels.iter().map(|_| Consumer::new()).collect();
    let mut got = 0;
    loop {
        for (queue, channel) in queues.iter_mut().zip(channels) {
            while queue.pop(&channel.cells).unwrap().is_some() {
                got += 1;
            }
        }
        if got == pushes.len() {
            break;
        }
        let look = || queues.iter().zip(channels).any(|(queue, channel)| queue.is_ready(&channel.cells));
        match wrong {
            "the doorbell is never emptied" | "the doorbell is emptied behind the second look" => {}
            _ => bell.empty(),
        }
        let early = wrong == "the second look comes before the flag" && look();
        if wrong != "the flag stays down" {
            match &channels[..] {
                [only] if wrong != "no fence in the sleeper" => raise(&only.asleep),
                _ => channels.iter().for_each(|channel| raise_one(&channel.asleep)),
            }
        }
        if channels.len() > 1 && wrong != "no fence in the sleeper" {
            raised();
        }
        let ready = match wrong {
            "no second look" => false,
            "the second look comes before the flag" => early,
            _ => look(),
        };
        if !ready {
            if wrong == "the doorbell is emptied behind the second look" {
                bell.empty();
            }
            bell.hear();
        }
    }
    for pusher in pushers {
        pusher.join().unwrap();
    }
}

#[test]
fn p4_unwatch_then_sleep() {
    explore(
        "sleep::p4_unwatch_then_sleep",
        None,
        &[
            ("sleeps on a watched block", Loss),
            ("looks at the watched block once more instead of S3", Loss),
            ("S3 by load and store", Loss),
            ("S3 ignores its failure", Loss),
        ],
        |wrong| unwatch_then_sleep(wrong, false),
    );
}

#[test]
fn p4_unwatch_behind_the_flag() {
    explore("sleep::p4_unwatch_behind_the_flag", None, &[], |wrong| unwatch_then_sleep(wrong, true));
}

/// The block is watched, and its callee is about to sleep; S3 may come before the flag is raised or after.
fn unwatch_then_sleep(wrong: &'static str, after: bool) {
    let shared = Arc::new((Block::new(DONE | WATCHED), Channel::new(), Bell::new()));
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, channel, bell) = &*shared;
            block.write(1);
            if !submit(&block.word, 0).unwrap() {
                channel.push(wrong, bell);
            }
            block.spin();
            block.check(1);
        })
    };
    let (block, channel, bell) = &*shared;
    let mut queue = Consumer::new();
    let mut watching = true;
    loop {
        let mut arrived = watching && !after && s3(wrong, block);
        if !arrived {
            raise(&channel.asleep);
            arrived = queue.pop(&channel.cells).unwrap().is_some();
        }
        arrived |= watching && after && !arrived && s3(wrong, block);
        if wrong == "looks at the watched block once more instead of S3" {
            fence(SeqCst);
            arrived |= request(&block.word).unwrap() == Seen::Run;
        } else {
            watching = false;
        }
        if arrived {
            break;
        }
        bell.wait();
    }
    assert_eq!(request(&block.word), Ok(Seen::Run), "stale hint");
    block.serve();
    finish(&block.word, false).unwrap();
    caller.join().unwrap();
}

fn s3(wrong: &str, block: &Block) -> bool {
    match wrong {
        "sleeps on a watched block" | "looks at the watched block once more instead of S3" => false,
        "S3 by load and store" => {
            let arrived = block.word.load(Acquire) & word::STATE == word::REQUEST;
            if !arrived {
                block.word.store(DONE, Release);
            }
            arrived
        }
        "S3 ignores its failure" => {
            let _ = unwatch(&block.word).unwrap();
            false
        }
        _ => unwatch(&block.word).unwrap(),
    }
}
