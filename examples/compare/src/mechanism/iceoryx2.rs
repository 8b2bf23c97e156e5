//! iceoryx2's request and response. Both sides look for the next message in a loop, as its own benchmarks do: this pattern has
//! no way to sleep until it comes.

use std::collections::VecDeque;
use std::hint::spin_loop;
use std::time::{Duration, Instant};
use std::{fs, thread};

use iceoryx2::pending_response::PendingResponse;
use iceoryx2::port::client::Client as Port;
use iceoryx2::prelude::{
    Config, FileName, LogLevel, Node, NodeBuilder, Path, PortFactory as _, SemanticString, ZeroCopySend, ipc,
    set_log_level,
};
use iceoryx2::service::port_factory::request_response::PortFactory;

use super::ours::{ECHO, RECORD, ends};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::{Payload, check, sum};
use crate::process::{self, Job, Killed};

type Service = ipc::Service;

/// The beginning of the names of its files in shared memory.
fn prefix(job: &Job) -> String {
    format!("compare_{}_", job.number)
}

/// A process of its own kind, with its files where they will be removed.
fn node(job: &Job) -> Result<Node<Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.prefix = FileName::new(prefix(job).as_bytes())?;
    config.global.set_root_path(&Path::new(job.folder.as_os_str().as_encoded_bytes())?);
    Ok(NodeBuilder::new().config(&config).create::<Service>()?)
}

/// Waits until the server is there: a request that nobody hears is lost.
fn await_server(servers: impl Fn() -> usize) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(5);
    while servers() == 0 {
        if Instant::now() > give_up {
            return Err("the server has not started".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn remove(job: &Job) {
    let prefix = prefix(job);
    for file in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if file.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Any number of bytes in, a number out.
pub struct Bytes;

fn bytes(node: &Node<Service>, job: &Job) -> Result<PortFactory<Service, [u8], (), u64, ()>> {
    let service = node.service_builder(&"compare".try_into()?).request_response::<[u8], u64>();
    let in_flight = job.in_flight.max(4); // the default
    Ok(service.max_active_requests_per_client(in_flight).open_or_create()?)
}

struct BytesCaller {
    port: Port<Service, [u8], (), u64, ()>,
    pending: VecDeque<PendingResponse<Service, [u8], (), u64, ()>>,
    _node: Node<Service>,
    _server: Killed,
}

impl Mechanism for Bytes {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let node = node(job)?;
        let server = bytes(&node, job)?.server_builder().create()?;
        loop {
            match server.receive()? {
                Some(request) => request.send_copy(sum(request.payload()))?,
                None => spin_loop(),
            }
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let node = node(job)?;
        let service = bytes(&node, job)?;
        let port = service.client_builder().initial_max_slice_len(job.payload).create()?;
        let server = process::serve_by_name(job)?;
        await_server(|| service.dynamic_config().number_of_servers())?;
        Ok(Box::new(BytesCaller { port, pending: VecDeque::new(), _node: node, _server: server }))
    }

    fn remove(&self, job: &Job) {
        remove(job);
    }
}

impl Client for BytesCaller {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let request = self.port.loan_slice_uninit(bytes.len())?.write_from_slice(bytes);
        self.pending.push_back(request.send()?);
        Ok(())
    }

    fn receive(&mut self) -> Result<u64> {
        let pending = self.pending.pop_front().ok_or("nothing is in flight")?;
        loop {
            match pending.receive()? {
                Some(answer) => return Ok(*answer.payload()),
                None => spin_loop(),
            }
        }
    }
}

/// Bytes each way: copied into a loan, from there into another one, and read there.
pub struct Echo;

type Echoes = PortFactory<Service, [u8], (), [u8], ()>;

fn echoes(node: &Node<Service>) -> Result<Echoes> {
    Ok(node.service_builder(&"compare".try_into()?).request_response::<[u8], [u8]>().open_or_create()?)
}

struct Echoer {
    port: Port<Service, [u8], (), [u8], ()>,
    _node: Node<Service>,
    _server: Killed,
}

impl Mechanism for Echo {
    fn name(&self) -> &'static str {
        "iceoryx2-echo"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn fixed(&self) -> Option<usize> {
        Some(ECHO)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let node = node(job)?;
        let server = echoes(&node)?.server_builder().initial_max_slice_len(ECHO).create()?;
        loop {
            match server.receive()? {
                Some(request) => {
                    let bytes = request.payload();
                    request.loan_slice_uninit(bytes.len())?.write_from_slice(bytes).send()?;
                }
                None => spin_loop(),
            }
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let node = node(job)?;
        let service = echoes(&node)?;
        let port = service.client_builder().initial_max_slice_len(ECHO).create()?;
        let server = process::serve_by_name(job)?;
        await_server(|| service.dynamic_config().number_of_servers())?;
        Ok(Box::new(Echoer { port, _node: node, _server: server }))
    }

    fn remove(&self, job: &Job) {
        remove(job);
    }
}

impl Client for Echoer {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let request = self.port.loan_slice_uninit(payload.bytes().len())?.write_from_slice(payload.bytes());
        let pending = request.send()?;
        loop {
            match pending.receive()? {
                Some(answer) => return payload.check(ends(answer.payload(), payload)),
                None => spin_loop(),
            }
        }
    }
}

/// A value each way.
type Exchange<T> = PortFactory<Service, T, (), T, ()>;

struct Exchanger<T: Plain> {
    port: Port<Service, T, (), T, ()>,
    _node: Node<Service>,
    _server: Killed,
}

/// Values that need no writing out.
trait Plain: ZeroCopySend + std::fmt::Debug + Copy + 'static {
    /// One that differs from call to call.
    fn of(call: u64) -> Self;
    /// What that comes back as.
    fn answer(self) -> Self;
    fn number(self) -> u64;
}

fn exchange<T: Plain>(node: &Node<Service>) -> Result<Exchange<T>> {
    Ok(node.service_builder(&"compare".try_into()?).request_response::<T, T>().open_or_create()?)
}

fn serve<T: Plain>(job: &Job) -> Result<()> {
    let node = node(job)?;
    let server = exchange::<T>(&node)?.server_builder().create()?;
    loop {
        match server.receive()? {
            Some(request) => request.send_copy(request.payload().answer())?,
            None => spin_loop(),
        }
    }
}

fn connect<T: Plain>(job: &Job) -> Result<Box<dyn Client>> {
    let node = node(job)?;
    let service = exchange::<T>(&node)?;
    let port = service.client_builder().create()?;
    let server = process::serve_by_name(job)?;
    await_server(|| service.dynamic_config().number_of_servers())?;
    Ok(Box::new(Exchanger { port, _node: node, _server: server }))
}

impl<T: Plain> Client for Exchanger<T> {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let value = T::of(payload.calls());
        let pending = self.port.send_copy(value)?;
        loop {
            match pending.receive()? {
                Some(answer) => return check(value.answer().number(), answer.payload().number()),
                None => spin_loop(),
            }
        }
    }
}

/// A number each way.
pub struct Number;

impl Plain for u64 {
    fn of(call: u64) -> Self {
        call
    }
    fn answer(self) -> Self {
        self.wrapping_add(1)
    }
    fn number(self) -> u64 {
        self
    }
}

impl Mechanism for Number {
    fn name(&self) -> &'static str {
        "iceoryx2-u64"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn fixed(&self) -> Option<usize> {
        Some(8)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve::<u64>(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        connect::<u64>(job)
    }

    fn remove(&self, job: &Job) {
        remove(job);
    }
}

/// As many bytes each way as our record takes.
pub struct Turn;

impl Plain for [u8; RECORD] {
    fn of(call: u64) -> Self {
        let mut bytes = [b'x'; RECORD];
        bytes[..8].copy_from_slice(&call.to_le_bytes());
        bytes
    }
    fn answer(mut self) -> Self {
        self.rotate_left(8);
        self
    }
    fn number(self) -> u64 {
        sum(&self)
    }
}

impl Mechanism for Turn {
    fn name(&self) -> &'static str {
        "iceoryx2-record"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn fixed(&self) -> Option<usize> {
        Some(RECORD)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve::<[u8; RECORD]>(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        connect::<[u8; RECORD]>(job)
    }

    fn remove(&self, job: &Job) {
        remove(job);
    }
}
