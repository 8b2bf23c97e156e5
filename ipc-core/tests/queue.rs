//! The offset queue against a `VecDeque`, started anywhere, so that positions and lap tags wrap.
#![cfg(not(loom))]

use ipc_core::queue::{Consumer, Entry, Kind};
use ipc_core::sync::AtomicU64;
use ipc_core::word::{self, Corrupt};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

fn cells(n: usize) -> Vec<AtomicU64> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Request), Just(Kind::Announcement)]
}

/// Where to start, in laps: at zero, around every wrap of the tag and of the position, anywhere.
fn lap() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0u64..4, 0u64..6).prop_map(|(wraps, behind)| (wraps * word::LAPS).saturating_sub(behind)),
        any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_queue(
        capacity in (0u32..6).prop_map(|power| 1u64 << power),
        lap in lap(),
        within in any::<u64>(),
        // A step pushes (if there is room, as the capacity rule promises) or pops.
        steps in prop::collection::vec(prop::option::weighted(0.55, (kind(), any::<u32>())), 0..400),
    ) {
        let cells = cells(capacity as usize);
        let start = lap.wrapping_mul(capacity).wrapping_add(within % capacity);
        let (producer, mut consumer) = Consumer::start_at(start, &cells);
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Some((kind, offset)) if (model.len() as u64) < capacity => {
                    producer.push(&cells, kind, offset);
                    model.push_back(Entry { kind, offset });
                }
                _ => prop_assert_eq!(consumer.pop(&cells), Ok(model.pop_front())),
            }
            prop_assert_eq!(consumer.is_ready(&cells), !model.is_empty());
        }
        while !model.is_empty() {
            prop_assert_eq!(consumer.pop(&cells), Ok(model.pop_front()));
        }
        prop_assert_eq!(consumer.pop(&cells), Ok(None));
    }

    /// Whatever a peer writes into the cells, the consumer takes no entry twice, invents none, and stays where it is when
    /// it meets nonsense.
    #[test]
    fn survives_any_cells(values in prop::collection::vec(any::<u64>(), 4), start in any::<u64>(), near in 0u64..3) {
        let cells = cells(4);
        let (_, mut consumer) = Consumer::start_at(start, &cells);
        let honest = word::cell(start.wrapping_add(4 * near).wrapping_sub(4), 4, 1, 9);
        for (cell, value) in cells.iter().zip(&values) {
            // Half of them with a tag near the one expected and a kind that may be known.
            cell.store(if value.is_multiple_of(2) { *value } else { honest & !0xff_ffff_ffff | (*value >> 24 & 0x3_ffff_ffff) }, Relaxed);
        }
        let mut taken = 0;
        loop {
            let at = start.wrapping_add(taken);
            let value = cells[(at % 4) as usize].load(Relaxed);
            match consumer.pop(&cells) {
                Ok(Some(entry)) => {
                    prop_assert_eq!(word::cell(at, 4, entry.kind as u8, entry.offset), value);
                    taken += 1;
                    prop_assert!(taken <= 4, "an entry was taken twice");
                }
                Ok(None) => break,
                Err(corrupt) => {
                    prop_assert_eq!(corrupt, Corrupt(value));
                    prop_assert_eq!(consumer.pop(&cells), Err(corrupt), "moved on");
                    break;
                }
            }
        }
    }
}
