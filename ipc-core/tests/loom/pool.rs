//! P13: a block that comes home and a thread that waits for one; the stack of free blocks itself.

use crate::harness::{
    By::{Loss, Race, Words},
    explore,
};
use crate::parts::Plain;
use ipc_core::pool::Pool;
use ipc_core::sync::Ordering::{AcqRel, Acquire, Relaxed};
use ipc_core::sync::{AtomicU32, AtomicU64};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

struct Shared {
    pool: Pool,
    /// What the block's memory stands for.
    block: Plain<u32>,
    /// A count of waiters that has nothing to do with the pool's head: for a wrong variant.
    waiters: AtomicU32,
    lock: Mutex<()>,
    freed: Condvar,
}

#[test]
fn p13_a_waiter_is_woken() {
    explore(
        "pool::p13_a_waiter_is_woken",
        None,
        &[
            ("the waiter is not counted", Loss),
            ("counted after the second look", Loss),
            ("no second look", Loss),
            ("a count apart from the pool's head", Loss),
            ("woken without the lock", Loss),
        ],
        a_waiter_is_woken,
    );
}

/// The only block comes home while another thread finds the pool empty.
fn a_waiter_is_woken(wrong: &'static str) {
    let shared = Arc::new(Shared {
        pool: Pool::new(1),
        block: Plain::new(0),
        waiters: AtomicU32::new(0),
        lock: Mutex::new(()),
        freed: Condvar::new(),
    });
    assert_eq!(shared.pool.pop(), Some(0));
    let other = {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.block.write(1);
            let mut wake = shared.pool.push(0);
            if wrong == "a count apart from the pool's head" {
                wake = shared.waiters.load(Acquire) != 0;
            }
            if wake {
                if wrong != "woken without the lock" {
                    drop(shared.lock.lock().unwrap());
                }
                shared.freed.notify_one();
            }
        })
    };
    if shared.pool.pop().is_none() {
        let late = wrong == "counted after the second look";
        match wrong {
            "the waiter is not counted" | "counted after the second look" => {}
            "a count apart from the pool's head" => drop(shared.waiters.fetch_add(1, AcqRel)),
            _ => shared.pool.begin_wait(),
        }
        let mut held = shared.lock.lock().unwrap();
        let mut blind = wrong == "no second look";
        while std::mem::take(&mut blind) || shared.pool.pop().is_none() {
            if late {
                shared.pool.begin_wait();
            }
            held = shared.freed.wait(held).unwrap();
        }
        drop(held);
        if wrong != "the waiter is not counted" && wrong != "a count apart from the pool's head" {
            shared.pool.end_wait();
        }
    }
    shared.block.write(2);
    other.join().unwrap();
}

/// The project's pool, or the same stack without the tag.
enum Stack {
    Right(Pool),
    Untagged { head: AtomicU64, next: Vec<AtomicU32> },
}

impl Stack {
    fn new(wrong: &str) -> Self {
        match wrong {
            "no tag in the head" => {
                // Block 0 on top of block 1; numbers are kept plus one.
                Stack::Untagged { head: AtomicU64::new(1), next: vec![AtomicU32::new(2), AtomicU32::new(0)] }
            }
            _ => Stack::Right(Pool::new(2)),
        }
    }

    fn pop(&self) -> Option<u32> {
        match self {
            Stack::Right(pool) => pool.pop(),
            Stack::Untagged { head, next } => loop {
                let top = head.load(Acquire);
                let block = (top as u32).checked_sub(1)?;
                let below = next[block as usize].load(Relaxed);
                if head.compare_exchange(top, below.into(), AcqRel, Relaxed).is_ok() {
                    return Some(block);
                }
            },
        }
    }

    /// Takes both blocks at once, if both are there.
    fn pop_both(&self) -> [Option<u32>; 2] {
        match self {
            Stack::Right(pool) => {
                let mut some = [0; 2];
                let count = pool.pop_some(&mut some);
                [(count > 0).then_some(some[0]), (count > 1).then_some(some[1])]
            }
            Stack::Untagged { head, next } => loop {
                let top = head.load(Acquire);
                let Some(first) = (top as u32).checked_sub(1) else { break [None; 2] };
                let second = next[first as usize].load(Relaxed).checked_sub(1);
                let below = second.map_or(0, |block| next[block as usize].load(Relaxed));
                if head.compare_exchange(top, below.into(), AcqRel, Relaxed).is_ok() {
                    break [Some(first), second];
                }
            },
        }
    }

    fn push_both(&self, blocks: [u32; 2]) {
        match self {
            Stack::Right(pool) => drop(pool.push_all(&blocks)),
            Stack::Untagged { .. } => blocks.into_iter().rev().for_each(|block| self.push(block)),
        }
    }

    fn push(&self, block: u32) {
        match self {
            Stack::Right(pool) => drop(pool.push(block)),
            Stack::Untagged { head, next } => loop {
                let top = head.load(Relaxed);
                next[block as usize].store(top as u32, Relaxed);
                if head.compare_exchange(top, u64::from(block + 1), AcqRel, Relaxed).is_ok() {
                    break;
                }
            },
        }
    }
}

#[test]
fn p13_blocks_belong_to_one_thread() {
    explore(
        "pool::p13_blocks_belong_to_one_thread",
        Some(6),
        &[("no tag in the head", Words("lost or doubled"))],
        blocks_belong_to_one_thread,
    );
}

/// One thread takes both blocks and brings the upper one home before the other, while a second thread takes one.
fn blocks_belong_to_one_thread(wrong: &'static str) {
    let shared = Arc::new((Stack::new(wrong), [Plain::new(0), Plain::new(0)]));
    let other = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (stack, blocks) = &*shared;
            for _ in 0..2 {
                if let Some(block) = stack.pop() {
                    blocks[block as usize].write(1);
                    stack.push(block);
                }
            }
        })
    };
    let (stack, blocks) = &*shared;
    let first = stack.pop();
    let second = stack.pop();
    for block in [first, second].into_iter().flatten() {
        blocks[block as usize].write(2);
    }
    if let Some(block) = first {
        stack.push(block);
    }
    if let Some(block) = second {
        blocks[block as usize].write(3);
        stack.push(block);
    }
    other.join().unwrap();
    let mut home = [stack.pop(), stack.pop(), stack.pop()];
    home.sort();
    assert_eq!(home, [None, Some(0), Some(1)], "a block is lost or doubled");
}

#[test]
fn p13_several_blocks_at_once() {
    explore("pool::p13_several_blocks_at_once", Some(6), &[("no tag in the head", Race)], several_blocks_at_once);
}

/// One thread takes both blocks at once and brings them home at once, while a second thread takes one after the other and
/// brings them home in the other order.
fn several_blocks_at_once(wrong: &'static str) {
    let shared = Arc::new((Stack::new(wrong), [Plain::new(0), Plain::new(0)]));
    let other = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (stack, blocks) = &*shared;
            let both = [stack.pop(), stack.pop()];
            for block in both.into_iter().flatten() {
                blocks[block as usize].write(1);
                stack.push(block);
            }
        })
    };
    let (stack, blocks) = &*shared;
    let both = stack.pop_both();
    for block in both.into_iter().flatten() {
        blocks[block as usize].write(2);
    }
    match both {
        [Some(first), Some(second)] => stack.push_both([first, second]),
        [Some(only), None] => stack.push(only),
        _ => {}
    }
    other.join().unwrap();
    let mut home = [stack.pop(), stack.pop(), stack.pop()];
    home.sort();
    assert_eq!(home, [None, Some(0), Some(1)], "a block is lost or doubled");
}
