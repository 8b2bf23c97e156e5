//! What clients cost that are connected and do nothing.

use std::time::{Duration, Instant};

use ipc_rpc::Pending;

use crate::CalcClient;
use crate::footprint::Footprint;
use crate::machine::{self, median};
use crate::process::{self, Again, Counts, Folder};

/// How many idle clients there are if nobody says.
pub const SIZES: [usize; 4] = [1, 8, 64, 256];
/// Clients of one process.
const TOGETHER: usize = 64;
const IDLE: Duration = Duration::from_secs(5);

/// Goals for each idle client: private memory of the server with its page tables, in KiB, and descriptors of the server.
const MEMORY: f64 = 64.0;
const DESCRIPTORS: f64 = 2.0;
/// The goal for a call beside idle clients, over one without.
const RATIO: f64 = 1.5;

const ROUNDS: usize = 41;
/// Calls of a round in a loop, and of one with pauses. A round ends after 50 ms, whatever is done by then.
const CALLS: u64 = 20_000;
const PAUSED: usize = 10;
/// Calls that are started one after the other, before any of them is waited for: more than the server watches of a client,
/// so that some come by the queue.
const BATCH: u64 = 8;

/// A process that connects so many clients when it is told; each calls once.
pub fn keep(name: &str, count: u64) {
    process::ready();
    process::wait_to_be_told();
    let connect = |n| {
        let client = CalcClient::connect(name).expect("a server");
        assert_eq!(client.add(n, 1).expect("a reply"), n + 1);
        client
    };
    let _clients: Vec<CalcClient> = (0..count).map(connect).collect();
    process::say("connected");
    process::wait_to_be_told();
}

/// A way to call, which gives the time of a call in nanoseconds.
type Way = (&'static str, fn(&Idle) -> f64);

const WAYS: [Way; 3] =
    [("in a loop", Idle::one_by_one), ("8 in flight", Idle::in_flight), ("1 ms apart", Idle::paused)];

/// A server, a client of this process, and processes of idle ones.
struct Idle {
    size: usize,
    active: CalcClient,
    keepers: Vec<Again>,
    server: Again,
}

impl Idle {
    /// The idle clients are not connected yet, the active one has called once.
    fn new(size: usize, folder: &Folder) -> Self {
        let name = folder.join(&format!("idle{size}.sock"));
        let server = Again::start(&["serve", &name]);
        let active = CalcClient::connect(&name).expect("a server");
        let keep = |first| Again::start(&["keep", &name, &TOGETHER.min(size - first).to_string()]);
        let keepers = (0..size).step_by(TOGETHER).map(keep).collect();
        let idle = Idle { size, active, keepers, server };
        idle.call(0);
        idle
    }

    fn connect(&mut self) {
        self.keepers.iter_mut().for_each(Again::tell);
        self.keepers.iter_mut().for_each(|keeper| assert_eq!(keeper.hear(), "connected"));
    }

    /// What the server takes, and what the processes of the idle clients take.
    fn footprints(&self) -> [Footprint; 2] {
        [Footprint::of(self.server.id()), self.keepers.iter().map(|keeper| Footprint::of(keeper.id())).sum()]
    }

    /// What the kernel counts of them.
    fn counts(&self) -> [Counts; 2] {
        [self.server.counts(), self.keepers.iter().map(Again::counts).sum()]
    }

    fn call(&self, n: u64) {
        assert_eq!(self.active.add(n, 1).expect("a reply"), n + 1);
    }

    /// Nanoseconds of a call in a loop.
    fn one_by_one(&self) -> f64 {
        for_a_while(1, |n| self.call(n))
    }

    /// Nanoseconds of a call of which several are in flight.
    fn in_flight(&self) -> f64 {
        let start = self.active.start();
        for_a_while(BATCH, |n| {
            let calls: Vec<Pending<u64>> = (n..n + BATCH).map(|n| start.add(n, 1).expect("a free block")).collect();
            (n..).zip(calls).for_each(|(n, call)| assert_eq!(call.wait().expect("a reply"), n + 1));
        })
    }

    /// Nanoseconds of a call, each after a millisecond.
    fn paused(&self) -> f64 {
        let call = |n| {
            std::thread::sleep(Duration::from_millis(1));
            let start = Instant::now();
            self.call(n as u64);
            start.elapsed().as_nanos() as f64
        };
        median((0..PAUSED).map(call).collect())
    }
}

/// Nanoseconds for each of up to [`CALLS`] calls, of which `run` makes so many at a time; after some that are not counted.
fn for_a_while(at_a_time: u64, run: impl Fn(u64)) -> f64 {
    let round = || {
        let (start, mut done) = (Instant::now(), 0);
        while done < CALLS && start.elapsed() < Duration::from_millis(50) {
            for _ in 0..40 {
                run(done);
                done += at_a_time;
            }
        }
        start.elapsed().as_nanos() as f64 / done as f64
    };
    round();
    round()
}

/// Waits until no thread of these servers and clients has run for a while.
fn settle(all: &[Idle]) {
    let give_up = Instant::now() + Duration::from_secs(30);
    let counts = || all.iter().map(Idle::counts).collect::<Vec<_>>();
    let mut before = counts();
    while Instant::now() < give_up {
        std::thread::sleep(Duration::from_secs(1));
        let now = counts();
        if now == std::mem::replace(&mut before, now.clone()) {
            break;
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// Prints what each idle client takes; each line is a number of them.
fn measure_idleness(all: &mut [Idle]) {
    settle(all);
    let before: Vec<_> = all.iter().map(Idle::footprints).collect();
    all.iter_mut().for_each(Idle::connect);
    settle(all);
    let connected: Vec<_> = all.iter().map(Idle::footprints).collect();
    let counts: Vec<_> = all.iter().map(Idle::counts).collect();
    std::thread::sleep(IDLE);
    let counted = all.iter().map(Idle::counts);
    let ran: Vec<_> =
        counted.zip(counts).map(|(now, before)| [0, 1].map(|side| now[side].since(before[side]))).collect();

    println!("clients that have called once and do nothing for {IDLE:?}, beside one more; default settings");
    for (side, name) in ["server", "clients"].into_iter().enumerate() {
        println!(
            "{name:7}   of each: private memory + page tables   shared memory   descriptors   of all: threads   processor time   switches"
        );
        for (((idle, before), connected), ran) in all.iter().zip(&before).zip(&connected).zip(&ran) {
            let (took, ran) = (connected[side].since(before[side]), ran[side]);
            let each = |all: i64| all as f64 / idle.size as f64;
            let [private, tables, shared] = [took.private, took.tables, took.shared].map(|bytes| each(bytes) / 1024.0);
            let (descriptors, switches) = (each(took.descriptors), ran.sleeps + ran.preempted);
            print!(
                "{:7}   {private:18.1} KiB + {tables:7.1} KiB   {shared:9.1} KiB   {descriptors:11.2}   {:15}   {:11} ns   {switches:8}",
                idle.size, connected[side].threads, ran.running
            );
            if side == 0 {
                print!(
                    "   memory {}, descriptors {}, processor {}",
                    verdict(private + tables <= MEMORY),
                    verdict(descriptors <= DESCRIPTORS),
                    verdict(ran.running == 0 && switches == 0)
                );
            }
            println!();
        }
    }
    println!("goals: {MEMORY} KiB of private memory and page tables, {DESCRIPTORS} descriptors, no processor time");
}

/// Prints how long calls of a client take beside the idle ones; each line is a number of them.
fn measure_calls(alone: &Idle, all: &[Idle]) {
    let mut times = vec![WAYS.map(|_| Vec::new()); all.len() + 1];
    let mut busy = Vec::new();
    for _ in 0..ROUNDS {
        busy.push(machine::busy_during(Duration::from_millis(50)));
        for (idle, times) in std::iter::once(alone).chain(all).zip(&mut times) {
            WAYS.iter().zip(times).for_each(|((_, way), times)| times.push(way(idle)));
        }
    }
    println!(
        "nanoseconds of a call beside so many idle clients, and ratio to one beside none (medians of {ROUNDS} rounds)"
    );
    println!("clients{}", WAYS.map(|(name, _)| format!("   {name:>11}   ratio        ")).concat());
    for (n, these) in times.iter().enumerate() {
        print!("{:7}", if n == 0 { 0 } else { all[n - 1].size });
        for (times, base) in these.iter().zip(&times[0]) {
            let ratio = median(times.iter().zip(base).map(|(time, base)| time / base).collect());
            print!("   {:11.1}   {ratio:5.2}, {:6}", median(times.clone()), verdict(ratio <= RATIO));
        }
        println!();
    }
    println!("goal: {RATIO}");
    machine::report(busy);
}

/// Prints tables; each line is a number of idle clients.
pub fn measure(sizes: &[usize]) {
    let folder = Folder::new();
    let alone = Idle::new(0, &folder);
    let mut all: Vec<Idle> = sizes.iter().map(|size| Idle::new(*size, &folder)).collect();
    measure_idleness(&mut all);
    measure_calls(&alone, &all);
}
