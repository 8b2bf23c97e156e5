//! The lane: descriptors that travel on the control socket of a channel, in step with its calls.
//!
//! What goes along with one message is its *parcel*. Each descriptor of it is a packet of its own on the socket, sent before
//! the block with the message is lent, or answered. So whoever reads the message finds its parcel in the table here, or in the
//! socket still; and whoever empties the socket, which is the doorbell too, puts what it finds into the table, under the lock
//! under which it was received.
//!
//! # Trust
//! A peer says which block a packet is for. It can have no more than a bounded number of descriptors open here: what is beyond
//! is closed at once. A packet that no honest peer sends ends the connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::PoisonError;

use crate::clock;
use crate::imports::Place;
use crate::layout::{BODY, LANE_PACKET as PACKET, MAX_PARCEL, MEMORY, PIECE, VOID};
use crate::socket::{self, Drained};
use crate::sync::{Mutex, MutexGuard};
use crate::word::Corrupt;

/// Descriptors in parcels that nobody has taken, of one connection.
const MAX_OPEN: usize = 512;
/// Packets that are received in a row by who has other things to do.
const FEW: u32 = 64;
/// Packets that are received in a row by who looks for a parcel: more than a socket holds, unless its owner has enlarged it.
const MANY: u32 = 4096;
/// Nanoseconds between two tries to send.
const TICK: u64 = 2_000_000;

/// Why a descriptor cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undeliverable {
    /// The message has as many as one can have.
    TooMany,
    /// It is closed.
    Closed,
    /// The peer takes none, in the time there was for it.
    Full,
    /// Another error of the system, by its number.
    System(i32),
}

/// The descriptors of one message; those that are taken, or were lost on the way, are `None`.
#[derive(Debug, Default)]
pub struct Parcel {
    pieces: Vec<Option<OwnedFd>>,
    /// Memory that the message refers to, each with a number that stands for no descriptor.
    memory: Vec<(Place, Option<OwnedFd>)>,
    /// The file with the message itself, if it lies in one.
    body: Option<Option<OwnedFd>>,
}

impl Parcel {
    /// Takes a descriptor out, if it is there.
    pub fn take(&mut self, index: u32) -> Option<OwnedFd> {
        self.pieces.get_mut(index as usize)?.take()
    }

    /// Takes out the memory that is to be mapped: each where, and of which file if that has arrived.
    pub fn take_memory(&mut self) -> Vec<(Place, Option<OwnedFd>)> {
        std::mem::take(&mut self.memory)
    }

    /// Is none left?
    pub fn is_empty(&self) -> bool {
        self.open() == 0
    }

    /// The same descriptors under other numbers.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let all = self.pieces.iter().map(|one| one.as_ref().map(OwnedFd::try_clone).transpose());
        Ok(Parcel { pieces: all.collect::<io::Result<_>>()?, ..Parcel::default() })
    }

    /// The file with the message itself, if it lies in one; `None` in it: it was lost on the way.
    pub fn take_body(&mut self) -> Option<Option<OwnedFd>> {
        self.body.take()
    }

    fn open(&self) -> usize {
        let memory = self.memory.iter().map(|(_, file)| file);
        self.pieces.iter().chain(memory).chain(&self.body).flatten().count()
    }
}

thread_local! {
    /// The parcel of the message that this thread is decoding.
    static ARRIVED: RefCell<Parcel> =
        const { RefCell::new(Parcel { pieces: Vec::new(), memory: Vec::new(), body: None }) };
}

/// This thread is to decode the message that came with `parcel`. Gives what is left of the one before.
pub fn unpack(parcel: Parcel) -> Parcel {
    // A thread that ends has none.
    ARRIVED.try_with(|arrived| arrived.replace(parcel)).unwrap_or_default()
}

/// Takes a descriptor out of the parcel that this thread [unpacks](unpack).
pub fn take(index: u32) -> Option<OwnedFd> {
    ARRIVED.try_with(|arrived| arrived.borrow_mut().take(index)).ok()?
}

/// Takes the message itself out of the parcel that this thread [unpacks](unpack): [`Parcel::take_body`].
pub fn take_body() -> Option<Option<OwnedFd>> {
    ARRIVED.try_with(|arrived| arrived.borrow_mut().take_body()).ok()?
}

/// What has arrived for the messages in the blocks of a channel.
#[derive(Debug)]
pub(crate) struct Lane {
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    blocks: u32,
    parcels: HashMap<u32, Arriving>,
    /// Of a block, how many parcels that are still in the socket nobody will take.
    void: HashMap<u32, u32>,
    /// Descriptors in `parcels`.
    open: usize,
}

/// A parcel, as far as it has come.
#[derive(Debug, Default)]
struct Arriving {
    parcel: Parcel,
    /// Nobody will take it. Remembered until the next one begins: a part of it may be in the socket still.
    void: bool,
}

impl Lane {
    pub(crate) fn new(blocks: u32) -> Self {
        Lane { table: Mutex::new(Table { blocks, parcels: HashMap::new(), void: HashMap::new(), open: 0 }) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives what has come, a bounded number of packets. Says also whether the doorbell was among it.
    pub(crate) fn empty(&self, socket: BorrowedFd<'_>) -> (Drained, bool) {
        self.table().receive(socket, FEW)
    }

    /// The parcel of the message in `block`, which has been lent to this side.
    pub(crate) fn take(&self, block: u32, socket: BorrowedFd<'_>) -> (Parcel, Drained, bool) {
        let mut table = self.table();
        // Not only if it is not there: the void one before it may be.
        let (drained, rang) = table.receive(socket, MANY);
        let there = table.parcels.get(&block).is_some_and(|arriving| !arriving.void);
        let parcel = if there { table.remove(block).unwrap_or_default() } else { Parcel::default() };
        (parcel, drained, rang)
    }

    /// Nobody will take the parcel of the message in `block`, which has been lent to this side.
    #[cold]
    pub(crate) fn discard(&self, block: u32) {
        let mut table = self.table();
        let mut closed = Parcel::default();
        match table.parcels.get_mut(&block).filter(|arriving| !arriving.void) {
            Some(arriving) => {
                arriving.void = true;
                let pieces = arriving.parcel.pieces.iter().map(|_| None).collect();
                closed = std::mem::replace(&mut arriving.parcel, Parcel { pieces, ..Parcel::default() });
            }
            None => {
                let void = table.void.entry(block).or_default();
                *void = void.saturating_add(1);
            }
        }
        table.open -= closed.open();
        // Not under the lock: to close a descriptor may take long.
        drop(table);
        drop(closed);
    }

    /// The connection is over.
    pub(crate) fn close(&self) {
        let parcels = {
            let mut table = self.table();
            (table.open, table.blocks) = (0, 0);
            std::mem::take(&mut table.parcels)
        };
        drop(parcels);
    }
}

/// What a packet of the lane is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cargo {
    /// The descriptor of this number.
    Piece(u32),
    /// Memory that goes there, under this number.
    Memory(u32, Place),
    /// The message itself, behind so many descriptors.
    Body(u32),
}

/// Sends a part of the parcel of `block`, in the time until `deadline`. Calls `meanwhile` every few
/// milliseconds that it has to wait. To a peer that is gone everything is sent: that it is, the call says.
///
/// # Errors
/// [`Undeliverable`].
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    (block, cargo): (u32, Cargo),
    descriptor: BorrowedFd<'_>,
    deadline: u64,
    meanwhile: impl Fn(),
) -> Result<(), Undeliverable> {
    let packet = match cargo {
        Cargo::Piece(index) | Cargo::Memory(index, _) if index >= MAX_PARCEL => return Err(Undeliverable::TooMany),
        Cargo::Piece(index) => packet(PIECE, block, index, Place::NOWHERE),
        Cargo::Memory(index, place) => packet(MEMORY, block, index, place),
        Cargo::Body(behind) => packet(BODY, block, behind, Place::NOWHERE),
    };
    loop {
        let Err(error) = socket::send(socket, &packet, Some(descriptor)) else { return Ok(()) };
        match error.raw_os_error().unwrap_or_default() {
            libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN => return Ok(()),
            libc::EBADF => return Err(Undeliverable::Closed),
            // The last one: as many of this user's are on their way as it may have open.
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::ETOOMANYREFS => {}
            code => return Err(Undeliverable::System(code)),
        }
        let now = clock::now();
        if now >= deadline {
            return Err(Undeliverable::Full);
        }
        meanwhile();
        let until = deadline.min(now.saturating_add(TICK));
        if matches!(socket::wait_writable(socket, until), Ok(true)) {
            // There may be room, and yet no more for descriptors.
            clock::pause(std::time::Duration::from_micros(100));
        }
    }
}

/// Takes back what was sent for `block`: its message will not be. If there is no room for that, the next parcel does it.
#[cold]
pub(crate) fn take_back(socket: BorrowedFd<'_>, block: u32) {
    let _ = socket::send(socket, &packet(VOID, block, 0, Place::NOWHERE), None);
}

fn packet(kind: u32, block: u32, index: u32, place: Place) -> [u8; PACKET] {
    let mut bytes = [0; PACKET];
    let words = [kind, block, index, place.at, place.len, place.page];
    for (to, from) in bytes.iter_mut().zip(words.into_iter().flat_map(u32::to_le_bytes)) {
        *to = from;
    }
    bytes
}

impl Table {
    fn remove(&mut self, block: u32) -> Option<Parcel> {
        let Arriving { parcel, .. } = self.parcels.remove(&block)?;
        self.open -= parcel.open();
        Some(parcel)
    }

    /// A parcel for `block` begins.
    fn begin(&mut self, block: u32) {
        self.remove(block);
        let void = match self.void.entry(block) {
            Entry::Vacant(_) => false,
            Entry::Occupied(mut count) => {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
                true
            }
        };
        self.parcels.insert(block, Arriving { void, ..Arriving::default() });
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, most: u32) -> (Drained, bool) {
        let mut rang = false;
        for _ in 0..most {
            let mut bytes = [0; PACKET];
            let packet = match socket::next(socket, &mut bytes) {
                Ok(packet) => packet,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return (Drained::Quiet, rang),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return (Drained::HungUp, rang),
            };
            match packet.len {
                Some(0) => return (Drained::HungUp, rang),
                Some(1) if packet.descriptor.is_none() && !packet.lost => rang = true,
                Some(PACKET) => {
                    if let Err(corrupt) = self.sort(bytes, packet.descriptor, packet.lost) {
                        return (Drained::Broken(corrupt), rang);
                    }
                }
                len => return (Drained::Broken(Corrupt(len.unwrap_or(usize::MAX) as u64)), rang),
            }
        }
        (Drained::More, rang)
    }

    /// Puts what came with a packet where it belongs.
    fn sort(&mut self, bytes: [u8; PACKET], descriptor: Option<OwnedFd>, lost: bool) -> Result<(), Corrupt> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let (kind, block, index) = (word(0), word(4), word(8));
        let place = Place { at: word(12), len: word(16), page: word(20) };
        let corrupt = Corrupt(u64::from(kind) << 56 | u64::from(block) << 8 | u64::from(index & 0xFF));
        if self.blocks == 0 {
            return Ok(()); // Closed.
        }
        match kind {
            // With neither a descriptor nor a loss the peer has sent none; with both, more than one.
            PIECE | MEMORY if block < self.blocks && index < MAX_PARCEL && descriptor.is_some() != lost => {}
            BODY if block < self.blocks && index <= MAX_PARCEL && descriptor.is_some() != lost => {}
            VOID if block < self.blocks && descriptor.is_none() && !lost => {
                self.remove(block);
                return Ok(());
            }
            _ => return Err(corrupt),
        }
        if index == 0 {
            self.begin(block);
        }
        let Some(Arriving { parcel, void }) = self.parcels.get_mut(&block) else { return Err(corrupt) };
        if parcel.pieces.len() != index as usize || parcel.body.is_some() {
            return Err(corrupt);
        }
        let kept = descriptor.filter(|_| self.open < MAX_OPEN && !*void);
        self.open += usize::from(kept.is_some());
        match kind {
            BODY => parcel.body = Some(kept),
            MEMORY => {
                parcel.pieces.push(None);
                parcel.memory.push((place, kept));
            }
            _ => parcel.pieces.push(kept),
        }
        Ok(())
    }
}
