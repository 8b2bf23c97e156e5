//! This library, with default settings.

use std::collections::VecDeque;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{ConnectError, Message, Pending, Server, service};

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
}

fn socket(job: &Job) -> String {
    job.folder.join("ours.sock").display().to_string()
}

fn serve(job: &Job) -> Result<()> {
    Ok(Server::bind(socket(job))?.serve(CompareDispatcher::new(Handler))?)
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

/// Calls with `&[u8]`.
pub struct Ours;

struct Caller {
    client: CompareClient,
    pending: VecDeque<Pending<u64>>,
    _server: Killed,
}

impl Mechanism for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        Ok(Box::new(Caller { client: connect(&socket(job))?, pending: VecDeque::new(), _server: server }))
    }
}

impl Client for Caller {
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

/// Calls with two numbers.
pub struct Add;

struct Adder {
    client: CompareClient,
    _idle: Option<Killed>,
    _server: Killed,
}

impl Mechanism for Add {
    fn name(&self) -> &'static str {
        "ours-add"
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn fixed(&self) -> Option<usize> {
        Some(8)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        Ok(Box::new(Adder { client: connect(&socket(job))?, _idle: None, _server: server }))
    }
}

impl Client for Adder {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let number = payload.calls();
        check(number + 1, self.client.add(number, 1)?)
    }
}

/// The same while others are connected.
pub struct AddBesideIdle;

const IDLE: u64 = 64;

impl Mechanism for AddBesideIdle {
    fn name(&self) -> &'static str {
        "ours-add-beside-64"
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn fixed(&self) -> Option<usize> {
        Some(8)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        let client = connect(&socket(job))?;
        let ready = job.folder.join("idle");
        let idle = Killed(process::again("idle")?.arg(socket(job)).arg(&ready).spawn()?);
        let give_up = Instant::now() + Duration::from_secs(10);
        while !ready.exists() {
            if Instant::now() > give_up {
                return Err("the other clients have not connected".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Box::new(Adder { client, _idle: Some(idle), _server: server }))
    }
}

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

/// Calls with a record, each way.
pub struct Turn;

struct Turner {
    client: CompareClient,
    record: Record,
    _server: Killed,
}

impl Mechanism for Turn {
    fn name(&self) -> &'static str {
        "ours-record"
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn fixed(&self) -> Option<usize> {
        Some(RECORD)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        serve(job)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let server = process::serve_by_name(job)?;
        let record = Record { name: NAME.into(), x: 1.0, y: 2.0, number: None };
        Ok(Box::new(Turner { client: connect(&socket(job))?, record, _server: server }))
    }
}

impl Client for Turner {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        self.record.number = Some(payload.calls());
        let turned = self.client.turn(&self.record)?;
        let same = turned.name == self.record.name && turned.number == self.record.number;
        if same && turned.x == self.record.y && turned.y == self.record.x {
            Ok(())
        } else {
            Err(format!("{turned:?} came back for {:?}", self.record).into())
        }
    }
}
