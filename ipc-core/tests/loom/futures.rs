//! P14: futures, and blocks that nobody waits for, are told by announcements that the thread of the bells hears.

use crate::harness::{
    By::{Loss, Words},
    explore,
};
use crate::parts::{Bell, Block, Told, cells};
use core::task::Waker;
use ipc_core::announcements::{Announcements, Asked, NEVER, News};
use ipc_core::doorbell::{must_ring, raise};
use ipc_core::handover::{finish, look, request, submit, wish};
use ipc_core::queue::{Kind, Producer};
use ipc_core::sync::Ordering::{Relaxed, SeqCst};
use ipc_core::sync::{AtomicU32, AtomicU64, fence, spin_hint};
use ipc_core::word::{self, ANNOUNCE, Lent, Seen};
use loom::sync::Arc;
use loom::thread;

/// One channel: blocks, the caller's queue with its flag and doorbell, and what the caller knows in private.
struct Shared {
    blocks: Vec<Block>,
    cells: Vec<AtomicU64>,
    asleep: AtomicU32,
    bell: Bell,
    announcements: Announcements<()>,
    /// Blocks that came home as news.
    home: Told,
    /// The model is over, or the callee dead.
    end: AtomicU32,
}

impl Shared {
    fn new(blocks: usize) -> Arc<Self> {
        Arc::new(Shared {
            blocks: (0..blocks).map(|_| Block::new(word::FREE)).collect(),
            cells: cells((2 * blocks).next_power_of_two()),
            asleep: AtomicU32::new(0),
            bell: Bell::new(),
            announcements: Announcements::new(blocks as u32),
            home: Told::new(),
            end: AtomicU32::new(0),
        })
    }

    fn lend(&self, block: usize, request: u32) {
        self.blocks[block].write(request);
        submit(&self.blocks[block].word, 0).unwrap();
    }

    /// Callee: serves one request that is there, and tells as the old word has it.
    fn answer(&self, block: usize, producer: &Producer) {
        self.blocks[block].serve();
        if finish(&self.blocks[block].word, false).unwrap().announce {
            producer.push(&self.cells, Kind::Announcement, block as u32);
            if must_ring(&self.asleep) {
                self.bell.ring();
            }
        }
    }

    fn news(&self) -> impl FnMut(News<()>) + '_ {
        |news| match news {
            News::Wake(waker) => waker.wake(),
            News::Home(()) | News::Released(()) => self.home.tell(),
        }
    }

    fn hear(&self) {
        self.announcements.hear(&self.cells, any, self.news()).unwrap();
    }

    fn listen(&self, first: bool) {
        if first && self.announcements.listen(&self.cells, &self.asleep) {
            self.hear();
        }
    }

    fn register(&self, block: usize, waker: &Waker) -> Asked {
        self.announcements.register(block as u32, &self.blocks[block].word, waker.clone(), None).unwrap()
    }

    /// All is over: nothing may have come twice.
    fn end(&self, bells: thread::JoinHandle<()>) {
        self.end.store(1, Relaxed);
        self.bell.ring();
        bells.join().unwrap();
        self.hear();
        assert!(!self.announcements.is_due(), "an announcement is missing");
    }
}

/// An entry may be about any block.
fn any(_: Kind, block: u32) -> Option<u32> {
    Some(block)
}

/// The thread of the bells.
fn bells(shared: &Arc<Shared>, wrong: &'static str) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        loop {
            shared.bell.wait();
            if shared.end.load(Relaxed) != 0 {
                break;
            }
            match wrong {
                "who was rung does not raise the flag again" => shared.hear(),
                "who was rung does not look again" => {
                    shared.hear();
                    if shared.announcements.is_due() {
                        raise(&shared.asleep);
                    }
                }
                _ => shared.announcements.rung(&shared.cells, &shared.asleep, any, shared.news()).unwrap(),
            }
        }
    })
}

#[test]
fn p14_a_future_is_woken() {
    explore(
        "futures::p14_a_future_is_woken",
        Some(4),
        &[
            ("the flag is not raised", Loss),
            ("no look behind the raise", Loss),
            ("the wish is made outside of the lock", Words("Corrupt")),
        ],
        a_future_is_woken,
    );
}

/// A future registers while the callee answers.
fn a_future_is_woken(wrong: &'static str) {
    let shared = Shared::new(1);
    shared.lend(0, 1);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || shared.answer(0, &Producer::new()))
    };
    let bells = bells(&shared, wrong);
    let (waker, told) = Told::waker();
    if wrong == "the wish is made outside of the lock" {
        wish(&shared.blocks[0].word, ANNOUNCE).unwrap();
    }
    if let Asked::Due { first } = shared.register(0, &waker) {
        assert!(first);
        match wrong {
            "the flag is not raised" => {}
            "no look behind the raise" => raise(&shared.asleep),
            _ => shared.listen(first),
        }
        told.wait();
    }
    assert_eq!(look(&shared.blocks[0].word), Ok(Lent::Done), "told, but not done");
    shared.blocks[0].check(1);
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p14_two_futures() {
    explore(
        "futures::p14_two_futures",
        Some(3),
        &[
            ("who was rung does not raise the flag again", Loss),
            ("who was rung does not look again", Loss),
            ("only the first future of all raises the flag", Loss),
            ("the raised flag says nothing of the number", Loss),
        ],
        two_futures,
    );
}

/// One future registers while the announcement for another one is under way, or has been popped.
fn two_futures(wrong: &'static str) {
    let shared = Shared::new(2);
    shared.lend(0, 1);
    shared.lend(1, 2);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let producer = Producer::new();
            shared.answer(0, &producer);
            shared.answer(1, &producer);
        })
    };
    let bells = bells(&shared, wrong);
    let (waker, told) = Told::waker();
    let mut due = 0;
    for block in 0..2 {
        if let Asked::Due { first } = shared.register(block, &waker) {
            due += 1;
            match wrong {
                "only the first future of all raises the flag" => shared.listen(first && block == 0),
                "the raised flag says nothing of the number" if first => {
                    shared.asleep.store(1, Relaxed);
                    fence(SeqCst);
                    shared.hear();
                }
                _ => shared.listen(first),
            }
        }
    }
    (0..due).for_each(|_| told.wait());
    shared.blocks[0].check(1);
    shared.blocks[1].check(2);
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p14_two_threads() {
    explore("futures::p14_two_threads", Some(2), &[("who was rung does not raise the flag again", Loss)], two_threads);
}

/// As before, but the futures are polled by two threads.
fn two_threads(wrong: &'static str) {
    let shared = Shared::new(2);
    shared.lend(0, 1);
    shared.lend(1, 2);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let producer = Producer::new();
            shared.answer(1, &producer);
            shared.answer(0, &producer);
        })
    };
    let bells = bells(&shared, wrong);
    let poll = |shared: &Shared, block: usize| {
        let (waker, told) = Told::waker();
        if let Asked::Due { first } = shared.register(block, &waker) {
            shared.listen(first);
            told.wait();
        }
        shared.blocks[block].check(block as u32 + 1);
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || poll(&shared, 1))
    };
    poll(&shared, 0);
    other.join().unwrap();
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p14_a_block_is_left_behind() {
    explore(
        "futures::p14_a_block_is_left_behind",
        Some(2),
        &[("R3: reused while its announcement is due", Words("told, but not done"))],
        left_behind,
    );
}

/// The future sees the answer by itself, and its block goes home when the announcement has come: as news, or at once if
/// that was popped already. Then it is lent again.
fn left_behind(wrong: &'static str) {
    let shared = Shared::new(1);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let producer = Producer::new();
            for _ in 0..2 {
                while request(&shared.blocks[0].word).unwrap() != Seen::Run {
                    spin_hint();
                }
                shared.answer(0, &producer);
            }
        })
    };
    let bells = bells(&shared, wrong);
    shared.lend(0, 1);
    let (waker, _) = Told::waker();
    if let Asked::Due { first } = shared.register(0, &waker) {
        shared.listen(first);
    }
    shared.blocks[0].spin();
    shared.blocks[0].check(1);
    if wrong == "R3: reused while its announcement is due" {
        shared.announcements.unregister(0);
    } else if shared.announcements.leave(0, ()).0.is_none() {
        shared.home.wait();
    }
    shared.lend(0, 2);
    let (waker, told) = Told::waker();
    if let Asked::Due { first } = shared.register(0, &waker) {
        shared.listen(first);
        told.wait();
    }
    assert_eq!(look(&shared.blocks[0].word), Ok(Lent::Done), "told, but not done");
    shared.blocks[0].check(2);
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p14_a_zombie_is_asked_for() {
    explore(
        "futures::p14_a_zombie_is_asked_for",
        Some(4),
        &[("the flag is not raised", Loss), ("it is asked for, then noted", Words("Corrupt"))],
        zombie,
    );
}

/// A thread that has nothing left but to sleep asks for the announcement of a block that was given up.
fn zombie(wrong: &'static str) {
    let shared = Shared::new(1);
    shared.lend(0, 1);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || shared.answer(0, &Producer::new()))
    };
    let bells = bells(&shared, wrong);
    if wrong == "it is asked for, then noted" {
        wish(&shared.blocks[0].word, ANNOUNCE).unwrap();
    }
    match shared.announcements.ask_for(0, &shared.blocks[0].word, ()) {
        (Ok(Asked::Due { first }), None) => {
            shared.listen(first && wrong != "the flag is not raised");
            shared.home.wait();
        }
        (Ok(Asked::Done), Some(())) => {}
        other => panic!("{other:?}"),
    }
    shared.blocks[0].check(1);
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p14_a_kept_block_comes_home() {
    explore(
        "futures::p14_a_kept_block_comes_home",
        Some(3),
        &[("the flag is not raised", Loss), ("no look behind the raise", Loss)],
        kept_block,
    );
}

/// The callee keeps a request and releases it behind the answer, while the caller lets go of that, and waits for another one.
fn kept_block(wrong: &'static str) {
    let shared = Shared::new(2);
    shared.lend(0, 1);
    shared.lend(1, 2);
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let producer = Producer::new();
            shared.answer(0, &producer);
            shared.answer(1, &producer);
            producer.push(&shared.cells, Kind::Release, 0);
            if must_ring(&shared.asleep) {
                shared.bell.ring();
            }
        })
    };
    let bells = bells(&shared, wrong);
    let (waker, told) = Told::waker();
    let asked = shared.register(1, &waker);
    if let Asked::Due { first } = asked {
        shared.listen(first);
    }
    shared.blocks[0].spin();
    shared.blocks[0].check(1);
    let (home, first) = shared.announcements.keep(0, ());
    match wrong {
        "the flag is not raised" => {}
        "no look behind the raise" if first => raise(&shared.asleep),
        _ => shared.listen(first),
    }
    if home.is_none() {
        shared.home.wait();
    }
    if matches!(asked, Asked::Due { .. }) {
        told.wait();
    }
    shared.lend(0, 3);
    callee.join().unwrap();
    shared.end(bells);
}

#[test]
fn p12_a_future_behind_the_visit() {
    explore(
        "futures::p12_a_future_behind_the_visit",
        None,
        &[("the future looks at `end` before it registers", Loss), ("the reaper sets `end` after its visit", Loss)],
        behind_the_visit,
    );
}

/// The callee is dead; a future registers while the reaper makes its round.
fn behind_the_visit(wrong: &'static str) {
    let shared = Shared::new(1);
    shared.lend(0, 1);
    let reaper = {
        let shared = shared.clone();
        thread::spawn(move || {
            let late = wrong == "the reaper sets `end` after its visit";
            if !late {
                shared.end.store(1, Relaxed);
            }
            shared.announcements.take_wakers(NEVER, |waker| waker.wake());
            if late {
                shared.end.store(1, Relaxed);
            }
        })
    };
    let (waker, told) = Told::waker();
    let early = shared.end.load(Relaxed);
    assert!(matches!(shared.register(0, &waker), Asked::Due { .. }));
    let gone = match wrong {
        "the future looks at `end` before it registers" => early,
        _ => shared.end.load(Relaxed),
    };
    if gone == 0 {
        told.wait();
    }
    reaper.join().unwrap();
}
