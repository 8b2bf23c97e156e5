//! A client that lends objects and answers the calls of their handles with anything, or hangs up.
#![no_main]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipc_core::layout::{Geometry, INLINE, INLINE_ROOM, MAX_ARENA};
use ipc_core::segment::{Area, Segment};
use ipc_core::{clock, socket, word};
use ipc_rpc::testing::Stepped;
use ipc_rpc::{Dispatch, Trust};
use ipc_rpc_fuzz::attacker::{Attacker, Request, server};
use ipc_rpc_fuzz::every::{self, AsksDispatcher, Looks};

thread_local! {
    static SERVER: Stepped = server(Trust::Snapshot, AsksDispatcher::new(Looks));
}

/// Blocks of a server that calls its client.
const BLOCKS: u32 = 256;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    /// The answer to the server's first packet, instead of a welcome.
    answer: Option<Vec<u8>>,
    acts: Vec<Act>,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Act {
    /// `ask` or `keep`.
    Call {
        block: u8,
        keep: bool,
        count: u8,
        number: u32,
    },
    /// Answers what is lent.
    Answer {
        status: u16,
        at: Place,
        len: u16,
        bytes: Vec<u8>,
        word: Word,
    },
    Cell(u8, u64),
    Announce(u8),
    Ring,
    Poll,
    HangUp,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Place {
    Own,
    CalleeArena(u16),
    Any(u32),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Word {
    Done,
    Watched,
    Any(u32),
}

fn answer(segment: &Segment, status: u16, at: &Place, len: u16, bytes: &[u8], value: &Word) {
    let geometry = segment.geometry();
    for block in 0..BLOCKS {
        let Some(head) = segment.block(block) else { return };
        if head.word.load(Ordering::Acquire) & word::STATE != word::REQUEST {
            continue;
        }
        let inline = geometry.block_at(block) + INLINE;
        let bytes = &bytes[..bytes.len().min(INLINE_ROOM as usize)];
        let to = segment.bytes(Area::Inline(block), inline, bytes.len() as u32).expect("a place in the block");
        // SAFETY: `bytes.len()` bytes at `to` are in the mapping; nobody has a reference to them, since the server copies
        // replies.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        let (at, len) = match *at {
            Place::Own => (inline, bytes.len() as u32),
            Place::CalleeArena(n) => (geometry.callee_arena_at() + u32::from(n), u32::from(len)),
            Place::Any(n) => (n, u32::from(len)),
        };
        head.status.store(status, Ordering::Relaxed);
        head.reply_at.store(at, Ordering::Relaxed);
        head.reply_len.store(len, Ordering::Relaxed);
        let value = match *value {
            Word::Done => word::DONE,
            Word::Watched => word::DONE | word::WATCHED,
            Word::Any(value) => value,
        };
        head.word.store(value, Ordering::Release);
    }
}

/// The memory of the server that calls, if it shakes hands.
fn memory(socket: &OwnedFd) -> Option<Segment> {
    if !socket::wait_readable(socket.as_fd(), clock::after(Duration::from_secs(1))).ok()? {
        return None;
    }
    let (_, mut descriptors) = socket::receive(socket.as_fd()).ok()?;
    Segment::open(descriptors.pop()?, Geometry::new(BLOCKS, MAX_ARENA, MAX_ARENA)?).ok()
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let welcome = [b"ipc-rpc\0".as_slice(), &3u32.to_le_bytes(), &[0, 1, 3, 0, 0, 0, 1, 0, 2, 0]].concat();
    SERVER.with(|server| {
        server.run(|step| {
            let (ours, theirs) = socket::pair().expect("sockets");
            // It is there before anybody waits for it.
            let first = input.answer.as_ref().filter(|answer| !answer.is_empty()).unwrap_or(&welcome);
            socket::send(ours.as_fd(), first, None).expect("a packet");
            let service = AsksDispatcher::new(Looks).service();
            let attacker = Attacker::attach_with(Some(theirs), server, service, step);
            let (mut back, mut shared) = (Some(ours), None);
            for act in input.acts.iter().take(64) {
                match act {
                    Act::Call { block, keep, count, number } => {
                        let bytes = [u32::from(*count % 8).to_le_bytes(), number.to_le_bytes()].concat();
                        let request = Request { method: u16::from(*keep), tag: 0, bytes: &bytes, far: None };
                        if !attacker.is_lent(u32::from(*block)) {
                            attacker.request(u32::from(*block), &request);
                            step();
                            every::poll();
                        }
                        if let (None, Some(back)) = (&shared, &back) {
                            shared = memory(back);
                        }
                    }
                    Act::Answer { status, at, len, bytes, word } => {
                        if let Some(segment) = &shared {
                            answer(segment, *status, at, *len, bytes, word);
                        }
                    }
                    Act::Cell(at, value) => {
                        if let Some(segment) = &shared {
                            segment.announcement_cells()[usize::from(*at)].store(*value, Ordering::Relaxed);
                        }
                    }
                    Act::Announce(at) => {
                        if let Some(segment) = &shared {
                            let cells = segment.announcement_cells();
                            let (position, offset) = (u64::from(*at), segment.geometry().block_at(u32::from(*at)));
                            let cell = word::cell(position, cells.len() as u64, 2, offset);
                            cells[usize::from(*at)].store(cell, Ordering::Release);
                        }
                    }
                    Act::Ring => {
                        if let Some(back) = &back {
                            socket::ring(back.as_fd());
                        }
                    }
                    Act::Poll => every::poll(),
                    Act::HangUp => back = None,
                }
            }
            drop(back);
            attacker.leave(server, step);
        })
    });
});
