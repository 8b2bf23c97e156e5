//! Arbitrary words in the cells of a queue: entries, nothing, or an error, and never more entries than cells.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::queue::Consumer;
use ipc_core::word;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    /// Number of cells, as a power of two.
    size: u8,
    /// Position of the consumer.
    position: u64,
    /// Written into the cells: a word, or an entry of the right lap.
    writes: Vec<(u8, Word)>,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Word {
    Any(u64),
    Entry { ahead: u8, kind: u8, offset: u32 },
    Pop,
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let cells: Vec<AtomicU64> = (0..1usize << (input.size % 5)).map(|_| AtomicU64::new(0)).collect();
    let capacity = cells.len() as u64;
    let position = input.position % (u64::MAX / 2);
    let (_, mut consumer) = Consumer::start_at(position, &cells);
    let drain = |consumer: &mut Consumer| {
        for _ in 0..=cells.len() {
            let ready = consumer.is_ready(&cells);
            match consumer.pop(&cells) {
                Ok(Some(_)) => assert!(ready),
                Ok(None) => return assert!(!ready),
                Err(_) => {
                    // The head stays where it is: the same nonsense is found again.
                    assert!(ready && consumer.pop(&cells).is_err());
                    return;
                }
            }
        }
        panic!("more entries than cells");
    };
    for (at, word) in &input.writes {
        let cell = &cells[usize::from(*at) % cells.len()];
        match word {
            Word::Any(word) => cell.store(*word, Ordering::Relaxed),
            Word::Entry { ahead, kind, offset } => {
                let position = position.saturating_add(u64::from(*ahead));
                let cell = &cells[(position % capacity) as usize];
                cell.store(word::cell(position, capacity, *kind, *offset), Ordering::Relaxed);
            }
            Word::Pop => drain(&mut consumer),
        }
    }
    drain(&mut consumer);
});
