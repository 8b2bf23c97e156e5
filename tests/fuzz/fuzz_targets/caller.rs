//! A hostile callee: a real client over a real segment, into whose words anything is written.
#![no_main]

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use ipc_core::caller::{Caller, Limit};
use ipc_core::layout::Geometry;
use ipc_core::segment::Segment;
use ipc_core::{clock, socket, word};

const BLOCKS: u32 = 4;

#[derive(arbitrary::Arbitrary, Debug)]
struct Turn {
    request: u16,
    word: Answer,
    status: u16,
    at: Place,
    len: u32,
    cell: Option<(u8, Cell)>,
    ring: bool,
    keep: bool,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Answer {
    Done,
    Watched,
    Any(u32),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Place {
    Own(u8),
    CallerArena(u32),
    CalleeArena(u16),
    Any(u32),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Cell {
    Any(u64),
    Announcement(u8),
}

libfuzzer_sys::fuzz_target!(|turns: Vec<Turn>| {
    let geometry = Geometry::new(BLOCKS, 1 << 17, 1 << 16).expect("a small geometry");
    let segment = Segment::create(geometry).expect("a segment");
    let theirs = Segment::open(segment.descriptor().try_clone_to_owned().expect("a descriptor"), geometry);
    let theirs = theirs.expect("a good segment");
    let (ours, socket) = socket::pair().expect("sockets");
    let caller = Caller::new(segment, ours).expect("a caller");
    let mut kept = Vec::new();
    for turn in turns.iter().take(32) {
        let soon = Limit::Until(clock::now() + 1);
        let Ok(mut draft) = Caller::draft(&*caller, soon) else { break };
        let (_, room) = draft.buffer();
        let len = usize::from(turn.request);
        if len > room && draft.grow(0, len).is_err() {
            continue;
        }
        let pending = draft.submit(0, len, soon);
        for block in 0..BLOCKS {
            let head = theirs.block(block).expect("a block");
            if head.word.load(Ordering::Relaxed) != word::REQUEST {
                continue;
            }
            head.status.store(turn.status, Ordering::Relaxed);
            let at = match turn.at {
                Place::Own(n) => geometry.block_at(block) + u32::from(n),
                Place::CallerArena(n) => geometry.caller_arena_at().wrapping_add(n % (1 << 18)),
                Place::CalleeArena(n) => geometry.callee_arena_at() + u32::from(n),
                Place::Any(n) => n,
            };
            head.reply_at.store(at, Ordering::Relaxed);
            head.reply_len.store(turn.len, Ordering::Relaxed);
            let word = match turn.word {
                Answer::Done => word::DONE,
                Answer::Watched => word::DONE | word::WATCHED,
                Answer::Any(word) => word,
            };
            head.word.store(word, Ordering::Relaxed);
        }
        if let Some((at, cell)) = &turn.cell {
            let cells = theirs.announcement_cells();
            let position = u64::from(*at);
            let value = match cell {
                Cell::Any(value) => *value,
                Cell::Announcement(block) => {
                    let offset = geometry.block_at(u32::from(*block) % BLOCKS);
                    word::cell(position, cells.len() as u64, 2, offset)
                }
            };
            cells[usize::from(*at) % cells.len()].store(value, Ordering::Relaxed);
        }
        if turn.ring {
            socket::ring(socket.as_fd());
        }
        let Ok(answer) = pending.wait(soon) else { continue };
        let (data, len) = answer.bytes();
        // Every byte that the framework calls the reply can be read.
        for n in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|n| *n < len) {
            // SAFETY: inside the reply. A page that was never committed reads as zero.
            let _ = std::hint::black_box(unsafe { data.add(n).read() });
        }
        if turn.keep {
            kept.push(answer);
        }
    }
});
