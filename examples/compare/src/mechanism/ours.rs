//! This library, with default settings.

use std::collections::VecDeque;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{Archived, ConnectError, Kept, Loan, Message, Pending, Server, service};

use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::{Payload, check, sum};
use crate::process::{self, Job, Killed};

/// A small message of several kinds of fields.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Record {
    pub name: String,
    pub x: f64,
    pub y: f64,
    pub number: Option<u64>,
}

/// What its archive takes with a name of 40 bytes: the text, its length and place, the floats, the number.
pub const RECORD: usize = 80;

/// Bytes that come back.
pub const ECHO: usize = 1 << 20;

/// The sum of a payload of which the first and the last word have come back: no more is looked at, or that would be what is
/// measured.
pub fn ends(back: &[u8], payload: &Payload) -> u64 {
    let ends = |bytes: &[u8]| (bytes.first_chunk::<8>().copied(), bytes.last_chunk::<8>().copied(), bytes.len());
    if ends(back) == ends(payload.bytes()) { payload.sum() } else { !payload.sum() }
}

const NAME: &str = "this name has forty bytes, all of ASCII.";

/// What is called.
#[service]
pub trait Compare {
    /// The sum of the words.
    fn sum(&self, payload: &[u8]) -> u64;
    /// The sum of two.
    fn add(&self, a: u64, b: u64) -> u64;
    /// The same with its floats the other way round.
    fn turn(&self, record: &Record) -> Record;
    /// The bytes, back where they came from.
    fn echo(&self, bytes: Kept<Vec<u8>>) -> Loan<u8>;
    /// The same of a record that is read where it lies.
    fn turn_in_place(&self, record: &Archived<Record>) -> Record;
}

struct Handler;

impl Compare for Handler {
    fn sum(&self, payload: &[u8]) -> u64 {
        sum(payload)
    }
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    fn turn(&self, record: &Record) -> Record {
        Record { name: record.name.clone(), x: record.y, y: record.x, number: record.number }
    }
    fn echo(&self, bytes: Kept<Vec<u8>>) -> Loan<u8> {
        bytes.into()
    }
    fn turn_in_place(&self, record: &Archived<Record>) -> Record {
        Record { name: record.name().to_owned(), x: record.y(), y: record.x(), number: record.number() }
    }
}

fn socket(job: &Job) -> String {
    job.folder.join("ours.sock").display().to_string()
}

/// Connects as soon as the server is there.
fn connect(name: &str) -> Result<CompareClient> {
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match CompareClient::connect(name) {
            Err(ConnectError::NoServer { .. }) if Instant::now() < give_up => thread::sleep(Duration::from_millis(1)),
            done => return Ok(done?),
        }
    }
}

/// What is called, and beside whom.
#[derive(Clone, Copy)]
pub enum Ours {
    /// Any number of bytes.
    Sum,
    /// Two numbers.
    Add,
    /// The same while others are connected.
    AddBesideIdle,
    /// So many bytes that come back, and are read where they lie.
    Echo,
    /// A record that both sides make an owned value of.
    Record,
    /// A record that both sides read where it lies.
    RecordInPlace,
}

impl Mechanism for Ours {
    fn name(&self) -> &'static str {
        match self {
            Ours::Sum => "ours",
            Ours::Add => "ours-add",
            Ours::AddBesideIdle => "ours-add-beside-64",
            Ours::Echo => "ours-echo",
            Ours::Record => "ours-record",
            Ours::RecordInPlace => "ours-record-in-place",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn fixed(&self) -> Option<usize> {
        match self {
            Ours::Sum => None,
            Ours::Add | Ours::AddBesideIdle => Some(8),
            Ours::Echo => Some(ECHO),
            Ours::Record | Ours::RecordInPlace => Some(RECORD),
        }
    }

    fn serve(&self, job: &Job) -> Result<()> {
        Ok(Server::bind(socket(job))?.serve(CompareDispatcher::new(Handler))?)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        let client = connect(&socket(job))?;
        Ok(match self {
            Ours::Sum => Box::new(Summer { client, pending: VecDeque::new(), _server: server }),
            Ours::Add => Box::new(Adder { client, _idle: None, _server: server }),
            Ours::AddBesideIdle => Box::new(Adder { client, _idle: Some(others(job)?), _server: server }),
            Ours::Echo => Box::new(Echoer { client, _server: server }),
            Ours::Record | Ours::RecordInPlace => {
                let record = Record { name: NAME.into(), x: 1.0, y: 2.0, number: None };
                Box::new(Turner { client, record, in_place: matches!(self, Ours::RecordInPlace), _server: server })
            }
        })
    }
}

struct Summer {
    client: CompareClient,
    pending: VecDeque<Pending<u64>>,
    _server: Killed,
}

impl Client for Summer {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending.push_back(self.client.start().sum(bytes)?);
        Ok(())
    }

    fn receive(&mut self) -> Result<u64> {
        Ok(self.pending.pop_front().ok_or("nothing is in flight")?.wait()?)
    }

    fn call(&mut self, payload: &Payload) -> Result<()> {
        payload.check(self.client.sum(payload.bytes())?)
    }
}

struct Adder {
    client: CompareClient,
    _idle: Option<Killed>,
    _server: Killed,
}

impl Client for Adder {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let number = payload.calls();
        check(number + 1, self.client.add(number, 1)?)
    }
}

struct Echoer {
    client: CompareClient,
    _server: Killed,
}

impl Client for Echoer {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        payload.check(ends(self.client.view().echo(payload.bytes())?.get(), payload))
    }
}

struct Turner {
    client: CompareClient,
    record: Record,
    in_place: bool,
    _server: Killed,
}

impl Client for Turner {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        self.record.number = Some(payload.calls());
        let Record { name, x, y, number } = &self.record;
        let same = if self.in_place {
            let turned = self.client.view().turn_in_place(&self.record)?;
            turned.name() == name && (turned.x(), turned.y()) == (*y, *x) && turned.number() == *number
        } else {
            let turned = self.client.turn(&self.record)?;
            turned.name == *name && (turned.x, turned.y) == (*y, *x) && turned.number == *number
        };
        if same { Ok(()) } else { Err(format!("another record came back for {:?}", self.record).into()) }
    }
}

const IDLE: u64 = 64;

/// A process with clients that have called once and do nothing any more.
pub fn idle(name: &str, ready: &Path) -> Result<()> {
    let clients: Vec<CompareClient> = (0..IDLE).map(|_| connect(name)).collect::<Result<_>>()?;
    for (n, client) in (0..).zip(&clients) {
        check(n + 1, client.add(n, 1)?)?;
    }
    std::fs::write(ready, "")?;
    loop {
        thread::park();
    }
}

/// Starts that process, and waits until all of its clients are connected.
fn others(job: &Job) -> Result<Killed> {
    let ready = job.folder.join("idle");
    let idle = Killed(process::again("idle")?.arg(socket(job)).arg(&ready).spawn()?);
    let give_up = Instant::now() + Duration::from_secs(10);
    while !ready.exists() {
        if Instant::now() > give_up {
            return Err("the other clients have not connected".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(idle)
}
