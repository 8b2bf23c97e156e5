//! A peer that shakes hands as it should and then says and writes what it is told, to a server that runs in this thread.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use ipc_core::layout::{Geometry, INLINE, INLINE_ROOM};
use ipc_core::queue::{Kind, Producer};
use ipc_core::segment::{Area, Segment};
use ipc_core::{socket, word};
use ipc_rpc::__private::{ServiceDesc, first_packet};
use ipc_rpc::testing::{Stepped, stepped_server};
use ipc_rpc::{Dispatch, Limits, Server, ServerBuilder, Trust};

use crate::every;

/// Blocks of an attacker's segment.
pub const BLOCKS: u32 = 8;
const ARENA: u32 = 1 << 16;

/// The settings of a server that runs in this thread alone, futures too.
pub fn settings(trust: Trust) -> ServerBuilder {
    // No threads for streams: there is one thread.
    let limits = Limits { streams: 0, ..Limits::default() };
    Server::builder().trust(trust).limits(limits).spawn_with(every::spawn)
}

/// A server of one service.
pub fn server(trust: Trust, service: impl Dispatch) -> Stepped {
    stepped_server(settings(trust).service(service)).expect("a server")
}

/// The other end of a connection.
pub struct Attacker {
    /// The memory that both share.
    pub segment: Segment,
    socket: OwnedFd,
    requests: Producer,
}

/// What a request says.
pub struct Request<'a> {
    /// Number of the method.
    pub method: u16,
    /// Low half: which stream or object. High half: what the method has it mean.
    pub tag: u32,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// They lie in an extent, so many bytes behind a place where they could.
    pub far: Option<u8>,
}

impl Attacker {
    /// Attaches to `server` as a client of `service`. `step` has the server do something.
    pub fn attach(server: &Stepped, service: &ServiceDesc, step: &mut dyn FnMut() -> bool) -> Self {
        Attacker::attach_with(None, server, service, step)
    }

    /// The same for a client that can be called over the other end of `back`.
    pub fn attach_with(
        back: Option<OwnedFd>,
        server: &Stepped,
        service: &ServiceDesc,
        step: &mut dyn FnMut() -> bool,
    ) -> Self {
        let hello = first_packet(service, BLOCKS, ARENA, back.is_some()).expect("a small packet");
        let segment = Segment::create(Geometry::new(BLOCKS, ARENA, ARENA).expect("a geometry")).expect("memory");
        let (ours, theirs) = socket::pair().expect("sockets");
        let descriptors: Vec<_> = [segment.descriptor()].into_iter().chain(back.as_ref().map(AsFd::as_fd)).collect();
        socket::send_all(ours.as_fd(), &hello, &descriptors).expect("a packet");
        server.adopt(theirs).expect("one more connection");
        while server.usage().clients == 0 {
            step();
        }
        Attacker { segment, socket: ours, requests: Producer::new() }
    }

    /// Writes a request into a block and hands it over.
    pub fn request(&self, block: u32, request: &Request<'_>) {
        let block = block % BLOCKS;
        let geometry = self.segment.geometry();
        let head = self.segment.block(block).expect("a block");
        let (area, at, room) = match request.far {
            None => (Area::Inline(block), geometry.block_at(block) + INLINE, INLINE_ROOM),
            Some(skew) => {
                let share = ARENA / BLOCKS;
                let skew = u32::from(skew);
                (Area::CallerArena, geometry.caller_arena_at() + block * share + 8 + skew, share - 8 - skew)
            }
        };
        let len = request.bytes.len().min(room as usize);
        if len > 0 {
            let to = self.segment.bytes(area, at, len as u32).expect("a place in the area");
            // SAFETY: `len` bytes at `to` are in the mapping, and nobody has a reference to them: the server runs in this
            // thread.
            unsafe { std::ptr::copy_nonoverlapping(request.bytes.as_ptr(), to.as_ptr(), len) };
        }
        head.method.store(request.method, Ordering::Relaxed);
        head.tag.store(request.tag, Ordering::Relaxed);
        head.request_at.store(at, Ordering::Relaxed);
        head.request_len.store(len as u32, Ordering::Relaxed);
        head.room.store(room, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
        if head.word.swap(word::REQUEST, Ordering::AcqRel) & word::WATCHED == 0 {
            self.requests.push(self.segment.request_cells(), Kind::Request, geometry.block_at(block));
        }
    }

    /// Has the block been answered? Gives the status.
    pub fn status(&self, block: u32) -> Option<u16> {
        let head = self.segment.block(block % BLOCKS).expect("a block");
        let done = head.word.load(Ordering::Acquire) & word::STATE == word::DONE;
        done.then(|| head.status.load(Ordering::Relaxed))
    }

    /// Is the block with the server?
    pub fn is_lent(&self, block: u32) -> bool {
        let head = self.segment.block(block % BLOCKS).expect("a block");
        head.word.load(Ordering::Acquire) & word::STATE == word::REQUEST
    }

    /// Takes a request back.
    pub fn cancel(&self, block: u32) {
        self.segment.block(block % BLOCKS).expect("a block").word.fetch_or(word::CANCELLED, Ordering::AcqRel);
    }

    /// Hangs up; the server has nothing of it any more when this returns.
    pub fn leave(self, server: &Stepped, step: &mut dyn FnMut() -> bool) {
        drop(self.socket);
        let mut left = 100_000;
        while !(server.usage().is_idle() && server.usage().clients == 0 && every::jobs() == 0) {
            step();
            every::poll();
            // What is left may be another thread's turn: one that shakes hands, or hears of an end.
            if left % 16 == 0 {
                std::thread::yield_now();
            }
            left -= 1;
            assert!(left > 0, "left over: {:?}", server.usage());
        }
    }
}
