//! The free blocks of a caller against a `Vec`, started anywhere, so that the tag of the head wraps.
#![cfg(not(any(loom, shuttle)))]

use ipc_core::pool::Pool;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Pop,
    PopSome(usize),
    /// Brings some of the blocks that are out home, from a place on.
    Push(usize, usize),
    BeginWait,
    EndWait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Pop),
        2 => (0usize..6).prop_map(Step::PopSome),
        5 => (any::<usize>(), 0usize..6).prop_map(|(from, count)| Step::Push(from, count)),
        1 => Just(Step::BeginWait),
        1 => Just(Step::EndWait),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_stack(
        // At zero, just before the tag wraps, anywhere.
        tag in prop_oneof![Just(0), (0u32..20).prop_map(|before| u32::MAX - before), any::<u32>()],
        blocks in 0u32..12,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let pool = Pool::start_at(tag, blocks);
        // The top is behind.
        let mut home: Vec<u32> = (0..blocks).rev().collect();
        let mut out: Vec<u32> = vec![];
        let mut waiters = 0;
        for step in steps {
            match step {
                Step::Pop => {
                    let expected = home.pop();
                    prop_assert_eq!(pool.pop(), expected);
                    out.extend(expected);
                }
                Step::PopSome(most) => {
                    let mut some = vec![u32::MAX; most];
                    let count = pool.pop_some(&mut some);
                    prop_assert_eq!(count, most.min(home.len()));
                    for block in &some[..count] {
                        prop_assert_eq!(Some(*block), home.pop());
                        out.push(*block);
                    }
                }
                Step::Push(from, count) => {
                    let from = if out.is_empty() { 0 } else { from % out.len() };
                    let some: Vec<u32> = out.drain(from..(from + count).min(out.len())).collect();
                    let wake = pool.push_all(&some);
                    prop_assert_eq!(wake, waiters > 0 && !some.is_empty());
                    home.extend(some.iter().rev());
                }
                Step::BeginWait => {
                    pool.begin_wait();
                    waiters += 1;
                }
                Step::EndWait if waiters > 0 => {
                    pool.end_wait();
                    waiters -= 1;
                }
                Step::EndWait => {}
            }
            prop_assert_eq!((pool.len(), pool.is_empty()), (home.len() as u32, home.is_empty()));
            prop_assert_eq!(pool.has_waiters(), waiters > 0);
        }
        while let Some(expected) = home.pop() {
            prop_assert_eq!(pool.pop(), Some(expected));
        }
        prop_assert_eq!(pool.pop(), None);
    }
}
