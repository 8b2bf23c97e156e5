//! Ways to call another process. Each is a file of this folder.

use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::measure::{self, Flight};
use crate::payload::Payload;
use crate::process::Job;

use ours::Ours;

mod by_hand;
mod fifo;
mod frame;
mod hand_over;
mod in_process;
mod memory;
pub mod ours;
mod pipe;
mod posix_queue;
mod posix_shm;
mod signal;
mod slots;
mod sysv_queue;
mod sysv_shm;
mod tcp;
mod unix_socket;

#[cfg(feature = "peers")]
mod asynchronous;
#[cfg(feature = "peers")]
mod iceoryx2;
#[cfg(feature = "peers")]
mod ipc_channel;
#[cfg(feature = "peers")]
mod tarpc;
#[cfg(feature = "peers")]
pub mod tonic;

/// What a mechanism is in this comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Ours,
    /// Less than a call between processes, for orientation.
    Floor,
    Kernel,
    /// Another library.
    #[cfg_attr(not(feature = "peers"), expect(dead_code, reason = "none is built"))]
    Peer,
}

/// A way to call another process.
pub trait Mechanism: Sync {
    fn name(&self) -> &'static str;

    fn kind(&self) -> Kind;

    /// The payload of one that is measured for a ratio only, with one in flight.
    fn fixed(&self) -> Option<usize> {
        None
    }

    /// Why there can be no such calls, if so.
    fn refuses(&self, _payload: usize, _in_flight: usize) -> Option<String> {
        None
    }

    /// The answering process; killed when it is not needed any more.
    fn serve(&self, job: &Job) -> Result<()>;

    /// Starts the answering process and connects to it.
    fn connect(&self, job: &Job) -> Result<Box<dyn Client>>;

    /// Removes what outlives the processes, if it is there.
    fn remove(&self, _job: &Job) {}
}

/// The calling end: either sends and receives, or calls as a whole.
pub trait Client {
    /// Starts a call.
    fn send(&mut self, _bytes: &[u8]) -> Result<()> {
        Err("one by one only".into())
    }

    /// The answer to the oldest call.
    fn receive(&mut self) -> Result<u64> {
        Err("one by one only".into())
    }

    /// One call; its answer is compared.
    fn call(&mut self, payload: &Payload) -> Result<()> {
        self.send(payload.bytes())?;
        payload.check(self.receive()?)
    }

    /// Calls in flight together, until the flight says that it is enough.
    fn flight(&mut self, payload: &mut Payload, flight: &mut Flight) -> Result<()> {
        measure::in_order(self, payload, flight)
    }
}

/// All of them, in the order of the tables. What is compared by a goal are neighbours.
pub static ALL: &[&dyn Mechanism] = &[
    &Ours::Sum,
    &by_hand::ByHand,
    &hand_over::HandOver,
    &Ours::Add,
    &Ours::AddBesideIdle,
    #[cfg(feature = "peers")]
    &iceoryx2::Number,
    &Ours::Record,
    &Ours::RecordInPlace,
    #[cfg(feature = "peers")]
    &iceoryx2::Turn,
    &Ours::Echo,
    #[cfg(feature = "peers")]
    &iceoryx2::Echo,
    &in_process::InProcess,
    &pipe::Pipe,
    &fifo::Fifo,
    &unix_socket::Stream,
    &unix_socket::Packets,
    &tcp::Tcp,
    &posix_queue::PosixQueue,
    &sysv_queue::SysvQueue,
    &posix_shm::PosixShm,
    &sysv_shm::SysvShm,
    &signal::Signal,
    #[cfg(feature = "peers")]
    &iceoryx2::Bytes,
    #[cfg(feature = "peers")]
    &tarpc::Tarpc,
    #[cfg(feature = "peers")]
    &tonic::Tonic,
    #[cfg(feature = "peers")]
    &ipc_channel::IpcChannel,
];

/// The mechanism of that name.
pub fn named(name: &str) -> Result<&'static dyn Mechanism> {
    let known = || ALL.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|m| m.name() == name);
    Ok(*found.ok_or_else(|| format!("there is no mechanism {name:?}; there are {}", known()))?)
}

/// A limit of the kernel.
fn limit(path: impl AsRef<Path>) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
