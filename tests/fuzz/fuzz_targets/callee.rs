//! A hostile caller: a real server over a real segment, into whose words anything is written.
#![no_main]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use ipc_core::callee::{Call, Greeting, Handler};
use ipc_core::layout::Geometry;
use ipc_core::scanner::{Callee, Workers};
use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_core::word;

const BLOCKS: u32 = 4;

#[derive(arbitrary::Arbitrary, Debug)]
enum Act {
    Word(u8, u32),
    Request { block: u8, method: u16, at: Place, len: Size, room: Size, deadline: u64 },
    Cell(u8, u64),
    Push { block: u8, kind: u8, offset: u32 },
    Byte(u32, u8),
    Ring,
    Step,
}

/// Offsets that are near something.
#[derive(arbitrary::Arbitrary, Debug)]
enum Place {
    Own,
    Extent(u16),
    Any(u32),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Size {
    Small(u8),
    Any(u32),
}

impl Size {
    fn value(&self) -> u32 {
        match *self {
            Size::Small(n) => u32::from(n),
            Size::Any(n) => n,
        }
    }
}

fn geometry() -> Geometry {
    Geometry::new(BLOCKS, 1 << 17, 1 << 16).expect("a small geometry")
}

struct Echo;

impl Handler for Echo {
    type Peer = ();

    fn greet(&self, _: &[u8], mut descriptors: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<()> {
        let segment = Segment::open(descriptors.pop().expect("the segment"), geometry()).expect("a good segment");
        Greeting { answer: b"welcome".to_vec(), accepted: Some((segment, ())) }
    }

    /// Reads all of the request and replies with more than fits, now and then.
    fn call(&self, (): &(), call: &mut Call<'_, ()>) -> (u16, usize) {
        let (data, len) = call.request();
        let mut sum = 0u64;
        for n in 0..len {
            // SAFETY: the framework says that these bytes are readable. Nobody writes them: there is one thread.
            sum += u64::from(unsafe { data.add(n).read() });
        }
        let (mut to, mut room) = call.reply_buffer();
        let wanted = usize::from(call.method()) % 3000;
        if room < wanted {
            match call.grow_reply(0, wanted) {
                Ok(larger) => (to, room) = larger,
                Err(_) => return (16, 0),
            }
        }
        assert!(room >= wanted);
        assert!(room == 0 || to.addr().get() % 16 == 8);
        // SAFETY: `wanted` bytes of the reply's memory.
        unsafe { to.write_bytes(sum as u8, wanted) };
        (0, wanted)
    }
}

libfuzzer_sys::fuzz_target!(|acts: Vec<Act>| {
    let callee = Callee::new(Echo, None, Workers { base: 1, spare: 0, grow: false }).expect("a callee");
    let segment = Segment::create(geometry()).expect("a segment");
    let (ours, theirs) = socket::pair().expect("sockets");
    socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).expect("a hello");
    callee.adopt(theirs).expect("one more connection");
    let mut server = callee.stepper(0).expect("the role");
    server.step();
    server.step();
    assert_eq!(callee.channels(), 1);
    let (cells, capacity) = (segment.request_cells(), u64::from(segment.geometry().request_cells()));
    let mut tail = 0;
    let index = |block: u8| u32::from(block) % BLOCKS;
    for act in acts.iter().take(64) {
        match act {
            Act::Word(block, value) => {
                segment.block(index(*block)).expect("a block").word.store(*value, Ordering::Relaxed);
            }
            Act::Request { block, method, at, len, room, deadline } => {
                let own = segment.geometry().block_at(index(*block)) + 40;
                let at = match *at {
                    Place::Own => own,
                    Place::Extent(n) => segment.geometry().caller_arena_at() + u32::from(n),
                    Place::Any(n) => n,
                };
                let head = segment.block(index(*block)).expect("a block");
                head.method.store(*method, Ordering::Relaxed);
                head.request_at.store(at, Ordering::Relaxed);
                head.request_len.store(len.value(), Ordering::Relaxed);
                head.room.store(room.value(), Ordering::Relaxed);
                head.deadline.store(*deadline, Ordering::Relaxed);
                head.word.store(word::REQUEST, Ordering::Relaxed);
                cells[(tail % capacity) as usize].store(word::cell(tail, capacity, 1, own - 40), Ordering::Relaxed);
                tail += 1;
            }
            Act::Cell(at, value) => cells[usize::from(*at) % cells.len()].store(*value, Ordering::Relaxed),
            Act::Push { block, kind, offset } => {
                let offset = offset ^ segment.geometry().block_at(index(*block));
                cells[(tail % capacity) as usize].store(word::cell(tail, capacity, *kind, offset), Ordering::Relaxed);
                tail += 1;
            }
            Act::Byte(at, value) => {
                let arena = segment.geometry().caller_arena_at() + at % (1 << 17);
                let byte = segment.bytes(ipc_core::segment::Area::CallerArena, arena, 1).expect("a byte of the arena");
                // SAFETY: a mapped byte; nobody else looks at it now.
                unsafe { byte.write(*value) };
            }
            Act::Ring => socket::ring(ours.as_fd()),
            Act::Step => {
                server.step();
            }
        }
    }
    for _ in 0..8 {
        server.step();
    }
    // The peer hangs up; whatever it did, the server forgets it.
    drop(ours);
    for _ in 0..8 {
        server.step();
    }
    assert_eq!(callee.channels(), 0);
});
