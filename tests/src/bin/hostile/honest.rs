//! A client that calls in every form, without pause, and knows what has to come of it.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, ConnectError, Streaming};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::services::bytes;
use ipc_rpc_tests::zoo::{Label, Nothing, Point, Record, Tree};

use crate::service::{DeskClient, Ear, EarDispatcher, digest};

/// Far more than any call takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The client's object.
#[derive(Debug, Default)]
pub struct Listener;

impl Ear for Listener {
    fn heard(&self, number: u64) -> u64 {
        number.wrapping_mul(2)
    }
    fn noted(&self, _number: u64) {}
}

/// Some record.
pub fn record(number: u64) -> Record {
    let label = |n: u64| (format!("key {n}"), Label(n as u8, "a label that lies out of line".into()));
    Record {
        flag: number.is_multiple_of(2),
        id: u128::from(number) << 64 | 7,
        name: format!("record {number}, with a name out of line"),
        scores: (!number.is_multiple_of(3)).then(|| (0..number as u16 % 50).collect()),
        at: Point { x: 1.5, y: -2.5 },
        labels: (0..number % 5).map(label).collect(),
        nothing: Nothing,
        took: Duration::from_nanos(number),
    }
}

/// A tree with so many leaves.
pub fn tree(leaves: u64) -> Tree {
    let leaf = Tree { value: 1, children: vec![] };
    Tree { value: 0, children: vec![leaf; leaves as usize] }
}

/// Aborts the process when nothing is counted for too long.
pub fn watch(who: &'static str, steps: Arc<AtomicU64>) {
    thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = steps.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                eprintln!("{who} hangs after {now} steps");
                std::process::abort();
            }
        }
    });
}

/// Works until it is told to end. At each line it says how the time since the last one went: median and 99th percentile
/// of a blocking call in nanoseconds, operations, and connections that found the server's list of newcomers full.
pub fn work(name: &str, seed: u64) -> ExitCode {
    let (tell, told) = mpsc::channel();
    helper::live_no_longer_than_the_test(move |line| drop(tell.send(line.to_owned())));
    let steps = Arc::<AtomicU64>::default();
    watch("an honest client", steps.clone());
    let mut honest = Honest {
        client: DeskClient::connect(name).expect("a server"),
        name: name.to_owned(),
        random: Random::new(seed),
        ear: EarDispatcher::new(Listener),
        times: Vec::new(),
        late: 0,
    };
    let mut operations = 0u64;
    println!("ready");
    loop {
        match told.try_recv() {
            Ok(line) => {
                honest.times.sort_unstable();
                let part = |of: usize| honest.times.get(honest.times.len() * of / 100).copied().unwrap_or(0);
                println!("{} {} {operations} {}", part(50), part(99), honest.late);
                honest.times.clear();
                operations = 0;
                if line == "end" {
                    return ExitCode::SUCCESS;
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return ExitCode::FAILURE,
        }
        if let Err(what) = honest.operate() {
            eprintln!("an honest client got a wrong result: {what}");
            std::process::exit(1);
        }
        operations += 1;
        steps.fetch_add(1, Ordering::Relaxed);
    }
}

struct Honest {
    client: DeskClient,
    name: String,
    random: Random,
    ear: EarDispatcher<Listener>,
    /// Of blocking calls, in nanoseconds.
    times: Vec<u64>,
    /// How often a connection was dropped before its turn came.
    late: u64,
}

fn same<T: PartialEq>(what: &'static str, got: T, right: T) -> Result<(), String> {
    if got == right { Ok(()) } else { Err(format!("{what}: another value")) }
}

fn well<T, E: std::fmt::Debug + std::fmt::Display>(
    what: &'static str,
    result: Result<T, CallError<E>>,
) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error:?}"))
}

impl Honest {
    fn list(&mut self) -> Vec<u8> {
        let len = match self.random.below(20) {
            0 => self.random.below(200_000),
            1..4 => self.random.below(3000),
            _ => self.random.below(150),
        };
        bytes(len as usize, self.random.any() as u8)
    }

    fn operate(&mut self) -> Result<(), String> {
        let count = self.random.below(100);
        let upto = |count: u64| Streaming::from_iter(0..count);
        match self.random.below(16) {
            0..4 => {
                for n in 0..16 {
                    let begin = Instant::now();
                    let sum = well("add", self.client.add(n, count))?;
                    self.times.push(begin.elapsed().as_nanos() as u64);
                    same("add", sum, n + count)?;
                }
            }
            4 => {
                let list = self.list();
                same("echo", well("echo", self.client.echo(&list))?, list)?;
            }
            5 => {
                let list = self.list();
                same("echo_later", well("echo_later", smol::block_on(self.client.echo_later(&list)))?, list)?;
            }
            6 => {
                let (record, numbers) = (record(count), [count as f32, -1.0]);
                let right = digest("a text", &numbers, &record.name);
                same("twice", well("twice", self.client.twice("a text", &numbers, &record))?, right)?;
            }
            7 => {
                let record = record(count);
                same("record", well("record", self.client.record(record.clone()))?, record)?;
            }
            8 => same("leaves", well("leaves", self.client.leaves(&tree(count)))?, count.max(1))?,
            9 => {
                let start = self.client.start();
                let pending: Vec<_> = (0..8).map(|n| start.add(n, count)).collect();
                for (n, pending) in (0..).zip(pending) {
                    same("start", well("start", pending.and_then(|pending| pending.wait()))?, n + count)?;
                }
            }
            10 => {
                for n in 0..8 {
                    well("note", self.client.note(n))?;
                }
                well("flush", self.client.flush())?;
            }
            11 => {
                let numbers = well("numbers", self.client.numbers(count as u32))?.collect::<Result<Vec<_>, _>>();
                same("numbers", well("numbers", numbers)?, (0..count).map(|n| n * n).collect())?;
            }
            12 => {
                let sum = well("total", smol::block_on(self.client.total(upto(count))))?;
                same("total", sum, (0..count).sum())?;
            }
            13 => {
                let numbers = well("doubled", self.client.doubled(upto(count)))?.collect::<Result<Vec<_>, _>>();
                same("doubled", well("doubled", numbers)?, (0..count).map(|n| 2 * n).collect())?;
            }
            14 => {
                let count = count % 8;
                let right = count * count.saturating_sub(1);
                same("tell", well("tell", self.client.tell(count as u8, &self.ear))?, right)?;
                let told = smol::block_on(self.client.tell_later(count as u8, &self.ear));
                same("tell_later", well("tell_later", told)?, right)?;
                well("keep", self.client.keep(&self.ear))?;
            }
            _ => match DeskClient::connect(&self.name) {
                Ok(other) => same("add", well("a new client", other.add(count, 1))?, count + 1)?,
                // Those who connect and say nothing push others out, which `docs/safety.md` says.
                Err(ConnectError::Io { .. } | ConnectError::NotAServer { .. } | ConnectError::TimedOut { .. }) => {
                    self.late += 1;
                }
                Err(error) => return Err(format!("connecting: {error:?}")),
            },
        }
        Ok(())
    }
}
