//! Messages of random sizes from 1 B to 64 MiB in both directions, by many clients that hold replies and loans for random
//! times; quotas that are hit, and memory that has to go back to the system in the end.
//!
//! `sizes --clients 1000 --seconds 20 --seed 1` starts itself again as the server and as processes with so many connections in
//! all. Each operation picks a connection, a size (each power of two as likely as any other) and a way: arguments, arguments in
//! a loan, a result, a result in a loan, there and back. Every byte is compared. A call must not fail as long as the
//! connection stays below its quotas, must fail with the typed error beyond them, and in between it may do either: extents are
//! rounded up, and idle blocks keep their last replies. Then everything is let go of at once, and what all processes have
//! committed has to go back to what they keep.

mod service;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, ClientConfig, Lack, Loan, Memory, MemoryUsage, Reply, Server, testing};
use ipc_rpc_tests::helper::{self, Helper, Place};
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::{proc, system};

use service::{Keeper, MOST, Pattern, SizesClient, SizesDispatcher};

const MIB: u64 = 1 << 20;
/// Processes of clients, and threads of each.
const PROCESSES: u64 = 4;
const THREADS: u64 = 2;
/// What a thread holds at most, so that the machine's memory suffices.
const HELD: u64 = 192 * MIB;
/// Of arguments, and of results, for each client.
const QUOTA: u64 = 48 * MIB;
/// What a connection may have in use besides what the program knows of: a MiB of replies of idle blocks, and roundings.
const BESIDES: u64 = 2 * MIB;
/// What each side of a connection keeps.
const KEEP: u64 = 64 << 10;
/// A single operation that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn memory() -> Memory {
    Memory { quota: QUOTA, keep: KEEP, ..Memory::default() }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name, seed] => serve(name, number(seed)),
        ["call", name, seed, me, clients] => call(name, number(seed), number(me), number(clients)),
        ref options => match parse(options) {
            Some((clients, seconds, seed)) => run(clients, seconds, seed),
            None => {
                eprintln!("usage: sizes [--clients N] [--seconds N] [--seed N]");
                ExitCode::from(2)
            }
        },
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn parse(options: &[&str]) -> Option<(u64, u64, u64)> {
    let (mut clients, mut seconds, mut seed) = (1000, 20, 1);
    for option in options.chunks(2) {
        match option {
            ["--clients", number] => clients = number.parse().ok()?,
            ["--seconds", number] => seconds = number.parse().ok()?,
            ["--seed", number] => seed = number.parse().ok()?,
            _ => return None,
        }
    }
    Some((clients, seconds, seed))
}

/// Committed and in use, as a line between processes.
fn said(usage: MemoryUsage) -> String {
    format!("{} {} {} {}", usage.committed, usage.used, usage.free, usage.longest_free)
}

fn heard(line: &str) -> [u64; 4] {
    let numbers: Vec<u64> = line.split(' ').map(number).collect();
    numbers.try_into().expect("four numbers")
}

fn serve(name: &str, seed: u64) -> ExitCode {
    let service = SizesDispatcher::new(Keeper(Pattern::new(seed)));
    let server = Server::builder().memory(memory()).service(service).bind(name).expect("a free name");
    let handle = server.handle();
    helper::live_no_longer_than_the_test(move |_| println!("{}", said(handle.usage().memory)));
    println!("bound");
    server.run().expect("a serving server");
    ExitCode::SUCCESS
}

/// What is kept for a while.
enum Held {
    Reply(Reply<Vec<u8>>),
    Lent(Reply<Loan<u8>>),
    Loan(Loan<u8>),
}

struct Kept {
    what: Held,
    key: u64,
    until: Instant,
    /// Bytes of the arena of the arguments, and of that of the results.
    takes: [u64; 2],
}

impl Kept {
    fn check(&self, pattern: &Pattern) {
        let bytes = match &self.what {
            Held::Reply(reply) => &reply[..],
            Held::Lent(reply) => &reply[..],
            Held::Loan(loan) => &loan[..],
        };
        assert!(bytes == pattern.of(self.key, bytes.len()), "{} bytes have changed while they were held", bytes.len());
    }
}

struct Connection {
    client: SizesClient,
    kept: Vec<Kept>,
}

impl Connection {
    fn takes(&self, side: usize) -> u64 {
        self.kept.iter().map(|kept| kept.takes[side]).sum()
    }
}

/// One thread of a process of clients.
struct Worker<'a> {
    random: Random,
    pattern: &'a Pattern,
    connections: Vec<Connection>,
    counts: BTreeMap<&'static str, u64>,
    bytes: u64,
    keys: u64,
}

/// Milliseconds from the start to the end of the last operation.
static PROGRESS: AtomicU64 = AtomicU64::new(0);

impl Worker<'_> {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn held(&self) -> u64 {
        self.connections.iter().map(|connection| connection.takes(0) + connection.takes(1)).sum()
    }

    /// Lets go of what its time has come for, and of more if it is too much.
    fn let_go(&mut self, now: Instant) {
        let pattern = self.pattern;
        for connection in &mut self.connections {
            connection.kept.extract_if(.., |kept| kept.until <= now).for_each(|kept| kept.check(pattern));
        }
        while self.held() > HELD {
            let place = self.random.below(self.connections.len() as u64) as usize;
            self.connections[place].kept.drain(..).for_each(|kept| kept.check(pattern));
        }
    }

    fn operation(&mut self) {
        let now = Instant::now();
        self.let_go(now);
        let power = self.random.below(27);
        let len = ((1 << power) + self.random.below(1 << power)).min(MOST as u64) as usize;
        // Half of the operations stay with few connections, so that these hold much.
        let several = self.connections.len() as u64;
        let of = if self.random.chance(2) { several.min(3) } else { several };
        let place = self.random.below(of) as usize;
        self.keys += 1;
        let (key, pattern, way) = (self.keys, self.pattern, self.random.below(5));
        let until = now + Duration::from_micros(self.random.below(300_000));
        let connection = &mut self.connections[place];
        let client = &connection.client;
        let (arguments, results) = (connection.takes(0), connection.takes(1));
        let bytes = pattern.of(key, len);
        let wants = len as u64 + 4096;
        let mut kept = |what, takes| connection.kept.push(Kept { what, key, until, takes });
        // What the sides take in all if it succeeds.
        let (takes, done) = match way {
            0 => ([wants, 0], client.take(key, bytes).map(|right| assert!(right, "not what was sent"))),
            1 => {
                let lent = client.loan::<u8>(len).map_err(CallError::from);
                let done = lent.and_then(|mut loan| {
                    loan.copy_from_slice(bytes);
                    assert!(client.take(key, &loan)?, "not what was sent");
                    kept(Held::Loan(loan), [wants, 0]);
                    Ok(())
                });
                ([wants, 0], done)
            }
            2 => {
                let made = client.view().make(key, len as u64);
                ([0, wants], made.map(|reply| kept(Held::Reply(reply), [0, wants])))
            }
            3 => match client.view().lend(key, len as u64) {
                Ok(reply) => {
                    kept(Held::Lent(reply), [0, wants]);
                    ([0, wants], Ok(()))
                }
                // The handler was refused the memory.
                Err(CallError::Handler(text)) => {
                    assert!(text.contains("no room for "), "{text}");
                    assert!(
                        results + wants + BESIDES > QUOTA,
                        "{text}, below the quota: {results} of results are held"
                    );
                    return self.count("a handler's loan was refused");
                }
                Err(error) => panic!("{error}"),
            },
            _ => {
                let made = client.view().mirror(key, bytes);
                ([wants, wants], made.map(|reply| kept(Held::Reply(reply), [wants, wants])))
            }
        };
        let in_all = [arguments + takes[0], results + takes[1]];
        match done {
            Ok(()) => {
                assert!(takes[0] == 0 || in_all[0] <= QUOTA + BESIDES, "beyond the quota of arguments: {in_all:?}");
                assert!(takes[1] == 0 || in_all[1] <= QUOTA + BESIDES, "beyond the quota of results: {in_all:?}");
                self.bytes += takes[0] + takes[1];
                self.count("succeeded");
            }
            Err(CallError::NoMemory { server, memory, method }) => {
                assert!(memory.lack == Lack::Quota && memory.allowed == QUOTA, "{method}: {memory:?}");
                let side = in_all[usize::from(server)];
                assert!(side + BESIDES > QUOTA, "{method} failed below the quota: {memory:?}, {side} are known of");
                self.count(if server { "results beyond the quota" } else { "arguments beyond the quota" });
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A process of clients: works until a line comes, lets go of everything at the next one, and says what it has left at others.
fn call(name: &str, seed: u64, me: u64, clients: u64) -> ExitCode {
    system::die_with_parent();
    let pattern = Pattern::new(seed);
    let config = ClientConfig { memory: memory(), ..ClientConfig::default() };
    let connect =
        |_| Connection { client: SizesClient::connect_with(name, &config).expect("a server"), kept: Vec::new() };
    let mut workers: Vec<_> = (0..THREADS)
        .map(|thread| Worker {
            random: Random::new(seed.wrapping_mul(1_000_003) + me * THREADS + thread),
            pattern: &pattern,
            connections: (0..clients.div_ceil(THREADS)).map(connect).collect(),
            counts: BTreeMap::new(),
            bytes: 0,
            keys: (me * THREADS + thread) << 32,
        })
        .collect();
    println!("connected");
    let start = Instant::now();
    let over = AtomicU64::new(0);
    let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
    std::thread::scope(|scope| {
        let over = &over;
        let threads: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                scope.spawn(move || {
                    while over.load(Ordering::Relaxed) == 0 {
                        worker.operation();
                        PROGRESS.store(start.elapsed().as_millis() as u64, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while over.load(Ordering::Relaxed) == 0 {
                let quiet = start.elapsed().as_millis() as u64
                    - PROGRESS.load(Ordering::Relaxed).min(start.elapsed().as_millis() as u64);
                if u128::from(quiet) > PATIENCE.as_millis() {
                    eprintln!("sizes: no operation has ended for {PATIENCE:?}");
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        lines.next();
        over.store(1, Ordering::Relaxed);
        for thread in threads {
            if thread.join().is_err() {
                std::process::exit(1);
            }
        }
    });
    let mut counts = BTreeMap::<_, u64>::new();
    for worker in &workers {
        worker.counts.iter().for_each(|(what, count)| *counts.entry(*what).or_default() += count);
    }
    let bytes: u64 = workers.iter().map(|worker| worker.bytes).sum();
    let held: u64 = workers.iter().map(Worker::held).sum();
    let all: Vec<_> = counts.iter().map(|(what, count)| format!("{what}={count}")).collect();
    println!("{bytes};{held};{}", all.join(";"));
    lines.next();
    for worker in &mut workers {
        worker.connections.iter_mut().for_each(|connection| connection.kept.clear());
    }
    println!("released");
    while lines.next().is_some() {
        let connections = workers.iter().flat_map(|worker| &worker.connections);
        let all = connections.map(|connection| testing::client_usage(&connection.client).memory);
        println!("{}", said(all.fold(MemoryUsage::default(), MemoryUsage::and)));
    }
    ExitCode::SUCCESS
}

/// A line of a process; if there is none it has failed, and its reason is this one's.
fn line(of: &mut Helper) -> String {
    let line = of.line();
    assert!(!line.is_empty(), "a process has ended: {}", of.errors());
    line
}

/// What all processes have now.
fn usage(all: &mut [Helper]) -> [u64; 4] {
    all.iter_mut().for_each(|helper| helper.say("usage"));
    all.iter_mut().map(|helper| heard(&line(helper))).fold([0; 4], |sum, one| std::array::from_fn(|n| sum[n] + one[n]))
}

fn run(clients: u64, seconds: u64, seed: u64) -> ExitCode {
    let place = Place::unwatched();
    // The server has two descriptors for each client.
    let allowed = system::limit(std::process::id(), system::DESCRIPTORS, 2 * clients + 100);
    system::limit(std::process::id(), system::DESCRIPTORS, allowed.max(2 * clients + 100));
    let this = std::env::current_exe().expect("the path of this program").display().to_string();
    let (name, seed) = (place.socket(), seed.to_string());
    let mut server = place.start(&this, &["serve", &name, &seed]);
    assert_eq!(line(&mut server), "bound");
    let each = clients.div_ceil(PROCESSES);
    let start = |me: u64| place.start(&this, &["call", &name, &seed, &me.to_string(), &each.to_string()]);
    let mut callers: Vec<_> = (0..PROCESSES).map(start).collect();
    for caller in &mut callers {
        assert_eq!(line(caller), "connected");
    }
    let pids: Vec<u32> = callers.iter().map(Helper::pid).chain([server.pid()]).collect();
    let resident = || pids.iter().map(|pid| proc::memory(*pid).1).max().unwrap_or(0);
    let before = resident();
    let connections = PROCESSES * THREADS * each.div_ceil(THREADS);
    println!("{connections} clients in {PROCESSES} processes, seed {seed}");
    std::thread::sleep(Duration::from_secs(seconds));

    callers.iter_mut().for_each(|caller| caller.say("stop"));
    let mut counts = BTreeMap::<String, u64>::new();
    let (mut bytes, mut held) = (0, 0);
    for caller in &mut callers {
        let said = line(caller);
        let mut parts = said.split(';');
        bytes += parts.next().map_or(0, number);
        held += parts.next().map_or(0, number);
        for (what, count) in parts.filter_map(|part| part.split_once('=')) {
            *counts.entry(what.to_owned()).or_default() += number(count);
        }
    }
    for (what, count) in &counts {
        println!("{count:>9} {what}");
    }
    callers.iter_mut().for_each(|caller| caller.say("release"));
    for caller in &mut callers {
        assert_eq!(line(caller), "released");
    }
    let released = Instant::now();
    callers.push(server);
    // Both sides of each connection keep so much, and what idle blocks have left lies in chunks of as much again.
    let mut last = usage(&mut callers);
    let first = last;
    let floor = |used: u64| 2 * connections * KEEP + 2 * used + connections * KEEP;
    let mut took = released.elapsed();
    while last[0] > floor(last[1]) || resident() > before + floor(last[1]) {
        took = released.elapsed();
        if took > Duration::from_secs(20) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        last = usage(&mut callers);
        took = released.elapsed();
    }
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    println!("{:.1} GiB passed; {:.0} MiB held at the end", mib(bytes) / 1024.0, mib(held));
    let fragmentation = |all: [u64; 4]| 100.0 * (1.0 - all[3] as f64 / all[2] as f64);
    println!(
        "committed {:.0} MiB at the release, {:.0} MiB afterwards, of which {:.0} MiB are replies of idle blocks; fragmentation {:.2} %",
        mib(first[0]),
        mib(last[0]),
        mib(last[1]),
        fragmentation(last)
    );
    println!(
        "shared memory of the largest process: {:.0} MiB before, {:.0} MiB afterwards",
        mib(before),
        mib(resident())
    );
    let count = |what: &str| counts.get(what).copied().unwrap_or(0);
    let mut right = true;
    let mut verdict = |what: &str, met: bool| {
        right &= met;
        println!("{what}: {}", if met { "met" } else { "MISSED" });
    };
    verdict("no failure below the quotas, no byte lost or changed", count("succeeded") > 0);
    verdict(
        "the typed error at the quotas of both sides",
        count("arguments beyond the quota") > 0 && count("results beyond the quota") > 0,
    );
    verdict(
        &format!(
            "memory back at the floor of {:.0} MiB {} ms after the release (1000)",
            mib(floor(last[1])),
            took.as_millis()
        ),
        took <= Duration::from_secs(1),
    );
    ExitCode::from(u8::from(!right))
}
