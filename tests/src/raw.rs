//! The other side of a connection, written by hand: it can say and write what no build of the framework does.
//!
//! # Safety
//! Writes bytes into a segment that this process has mapped, at places that [`Segment::bytes`] has checked.
#![allow(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipc_core::layout::{BlockHead, Geometry, INLINE, INLINE_ROOM};
use ipc_core::queue::{Kind, Producer};
use ipc_core::segment::{Area, Segment};
use ipc_core::socket;
use ipc_core::{clock, doorbell};

use crate::helper::Place;
use crate::system;

/// What every packet of the handshake begins with.
pub const MAGIC: &[u8; 8] = b"ipc-rpc\0";
/// Where the protocol version lies in it.
pub const VERSION_AT: usize = 8;
/// Where the text about the layout of messages begins in a client's first packet, with its length before it.
pub const PROBE_AT: usize = 12;

fn deadline() -> u64 {
    // The watchdog of the test is quicker.
    clock::after(Duration::from_secs(1000))
}

fn u16_at(packet: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(packet[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(packet: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(packet[at..at + 4].try_into().expect("four bytes"))
}

/// The geometry that a client's first packet announces.
///
/// # Panics
/// It is no such packet.
pub fn geometry(hello: &[u8]) -> Geometry {
    let at = PROBE_AT + 2 + usize::from(u16_at(hello, PROBE_AT));
    Geometry::new(u32_at(hello, at), u32_at(hello, at + 4), u32_at(hello, at + 8)).expect("an honest packet")
}

/// Where a first packet says whether its client can be called.
pub fn callable_at(hello: &[u8]) -> usize {
    PROBE_AT + 2 + usize::from(u16_at(hello, PROBE_AT)) + 12
}

/// The answer to a client that is let in, whose methods are numbered in order.
pub fn welcome(hello: &[u8], methods: u16) -> Vec<u8> {
    let mut answer = [MAGIC.as_slice(), &hello[VERSION_AT..VERSION_AT + 4], &[0, 1], &methods.to_le_bytes()].concat();
    (0..methods).for_each(|n| answer.extend(n.to_le_bytes()));
    answer
}

/// Receives a packet; `None`: the other side has hung up.
///
/// # Panics
/// The system fails.
pub fn receive(socket: BorrowedFd<'_>) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    assert!(socket::wait_readable(socket, deadline()).expect("a socket"), "nothing was said for ever");
    let (packet, descriptors) = socket::receive(socket).expect("a packet");
    (!packet.is_empty()).then_some((packet, descriptors))
}

/// Reads what has come. Has the other side hung up?
pub fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    loop {
        match socket::next(socket, &mut [0; 64]) {
            Ok(packet) if packet.len == Some(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// A listener that pretends to be a server.
#[derive(Debug)]
pub struct FakeServer {
    listener: OwnedFd,
    path: String,
}

impl FakeServer {
    /// Listens at `path`.
    ///
    /// # Panics
    /// The path is taken.
    pub fn listen(path: String) -> Self {
        FakeServer { listener: socket::listen(Path::new(&path), 0o600).expect("a free path"), path }
    }

    /// Its socket.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits for a client, and gives the connection, its first packet, and the descriptors that came along.
    ///
    /// # Panics
    /// The client says nothing.
    pub fn accept(&self) -> (OwnedFd, Vec<u8>, Vec<OwnedFd>) {
        self.try_accept().expect("a client that talks")
    }

    /// The same; `None`: somebody has come, and gone without a word. Clients do that to see whether a server is alive.
    ///
    /// # Panics
    /// The client says nothing.
    pub fn try_accept(&self) -> Option<(OwnedFd, Vec<u8>, Vec<OwnedFd>)> {
        assert!(socket::wait_readable(self.listener.as_fd(), deadline()).expect("a listener"), "nobody came");
        let socket = socket::accept(self.listener.as_fd()).expect("a listener").expect("a connection");
        let (hello, descriptors) = receive(socket.as_fd())?;
        Some((socket, hello, descriptors))
    }

    /// Welcomes a client with methods numbered in order, and maps its memory.
    ///
    /// # Panics
    /// The client brought no segment.
    pub fn welcome(&self, methods: u16) -> (OwnedFd, Segment) {
        let (socket, hello, mut descriptors) = self.accept();
        let segment = Segment::open(descriptors.remove(0), geometry(&hello)).expect("an honest segment");
        system::send(socket.as_fd(), &welcome(&hello, methods), &[]).expect("a client that listens");
        (socket, segment)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The first packet that an honest client sends when `connect` connects it to the path given.
pub fn overhear<T>(place: &Place, connect: impl FnOnce(&str) -> T + Send) -> Vec<u8> {
    let server = FakeServer::listen(place.join("overheard.sock"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            connect(server.path());
        });
        server.accept().1
    })
}

/// Connects to `path`, sends a first packet with these descriptors, and gives the answer; `None`: it hung up.
///
/// # Panics
/// Nobody listens there.
pub fn greet(path: &str, hello: &[u8], descriptors: &[BorrowedFd<'_>]) -> (OwnedFd, Option<Vec<u8>>) {
    let socket = socket::connect(Path::new(path), deadline()).expect("a server");
    system::send(socket.as_fd(), hello, descriptors).expect("a server that listens");
    let answer = receive(socket.as_fd()).map(|(packet, _)| packet);
    (socket, answer)
}

/// A client that has shaken hands honestly, and from then on writes what it likes.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub socket: OwnedFd,
    /// The memory shared with the server.
    pub segment: Segment,
    /// Number of each method on this connection.
    pub numbers: Vec<u16>,
    requests: Producer,
}

impl Peer {
    /// Attaches to the server at `path` with an overheard first packet.
    ///
    /// # Panics
    /// The server does not let it in.
    pub fn attach(path: &str, hello: &[u8]) -> Self {
        Peer::attach_with(path, hello, &[])
    }

    /// The same with further descriptors.
    ///
    /// # Panics
    /// The server does not let it in.
    pub fn attach_with(path: &str, hello: &[u8], further: &[BorrowedFd<'_>]) -> Self {
        Peer::try_attach(path, hello, further).expect("an answer")
    }

    /// The same, unless the server hangs up without an answer.
    ///
    /// # Panics
    /// It answers, and does not let the client in.
    pub fn try_attach(path: &str, hello: &[u8], further: &[BorrowedFd<'_>]) -> Option<Self> {
        let segment = Segment::create(geometry(hello)).expect("memory");
        let socket = socket::connect(Path::new(path), deadline()).expect("a server");
        system::send(socket.as_fd(), hello, &[&[segment.descriptor()], further].concat()).ok()?;
        Peer::welcomed(socket, segment)
    }

    /// A peer that has sent its first packet and now waits for the answer; `None`: the other side has hung up.
    ///
    /// # Panics
    /// It is not let in.
    pub fn welcomed(socket: OwnedFd, segment: Segment) -> Option<Self> {
        let (answer, _) = receive(socket.as_fd())?;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!((&answer[..8], answer[12]), (MAGIC.as_slice(), 0), "not welcome: {text}");
        let numbers = (0..usize::from(u16_at(&answer, 14))).map(|n| u16_at(&answer, 16 + 2 * n)).collect();
        Some(Peer { socket, segment, numbers, requests: Producer::new() })
    }

    /// The head of a block.
    ///
    /// # Panics
    /// There is no such block.
    pub fn head(&self, block: u32) -> &BlockHead {
        self.segment.block(block).expect("a block of the segment")
    }

    /// Writes a request, all but its state word, into a block.
    ///
    /// # Panics
    /// It does not fit into the block.
    pub fn write(&self, block: u32, method: u16, request: &[u8]) {
        let head = self.head(block);
        let at = self.segment.geometry().block_at(block) + INLINE;
        put(&self.segment, Area::Inline(block), at, request);
        head.method.store(method, Ordering::Relaxed);
        head.request_at.store(at, Ordering::Relaxed);
        head.request_len.store(request.len() as u32, Ordering::Relaxed);
        head.room.store(INLINE_ROOM, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
    }

    /// Writes a value over the state word of a block, and gives the old one.
    pub fn set(&self, block: u32, word: u32) -> u32 {
        self.head(block).word.swap(word, Ordering::AcqRel)
    }

    /// Pushes a block's offset on the server's queue, and rings if the server sleeps.
    pub fn push(&self, block: u32) {
        self.push_offset(Kind::Request, self.segment.geometry().block_at(block));
    }

    /// Pushes any offset, as an entry of any kind.
    pub fn push_offset(&self, kind: Kind, offset: u32) {
        self.requests.push(self.segment.request_cells(), kind, offset);
        self.ring();
    }

    /// Rings if the server sleeps.
    pub fn ring(&self) {
        if doorbell::must_ring(&self.segment.callee_flags().asleep) {
            socket::ring(self.socket.as_fd());
        }
    }

    /// Waits until the server has hung up.
    pub fn wait_for_the_end(&self) {
        while !self.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Has the server hung up?
    pub fn has_ended(&self) -> bool {
        has_hung_up(self.socket.as_fd())
    }

    /// Waits until a block is answered; gives the status. `None`: the server has hung up.
    pub fn answer(&self, block: u32) -> Option<u16> {
        loop {
            if self.head(block).word.load(Ordering::Acquire) & 3 == 2 {
                return Some(self.head(block).status.load(Ordering::Relaxed));
            }
            if self.has_ended() {
                return None;
            }
            std::thread::yield_now();
        }
    }

    /// Calls as an honest client would, but with any bytes; gives the status of the reply.
    pub fn call(&self, block: u32, method: u16, request: &[u8]) -> Option<u16> {
        self.write(block, method, request);
        if self.set(block, 1) & ipc_core::word::WATCHED == 0 {
            self.push(block);
        }
        self.answer(block)
    }
}

/// Writes bytes to a place in a segment.
///
/// # Panics
/// They do not fit into that area.
pub fn put(segment: &Segment, area: Area, at: u32, bytes: &[u8]) {
    let to = segment.bytes(area, at, bytes.len() as u32).expect("a place in the area");
    // SAFETY: `bytes.len()` bytes at `to` were checked to lie in the mapping, which outlives this call; a private slice
    // does not overlap it, and nobody here has a reference to that memory.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
}

/// Reads bytes of a segment, wherever in its blocks or in its caller's arena they lie.
///
/// # Panics
/// They lie elsewhere.
pub fn get(segment: &Segment, at: u32, len: u32) -> Vec<u8> {
    let inline = (0..segment.geometry().blocks()).map(Area::Inline);
    let from = inline.chain([Area::CallerArena]).find_map(|area| segment.bytes(area, at, len)).expect("a known place");
    let mut copy = vec![0; len as usize];
    // SAFETY: `len` bytes at `from` were checked to lie in the mapping; the copy is new memory of that length.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), copy.as_mut_ptr(), copy.len()) };
    copy
}
