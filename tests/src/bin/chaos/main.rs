//! Processes that are killed at random while they call each other in every way, and a check of all that they claimed.
//!
//! `chaos --kills 2000 --seed 1` starts servers and clients (this same program), kills one or the other with SIGKILL, stops
//! some for a while, and starts others in their places. Each process writes down which handlers ran in it, and what its calls
//! came to (`journal.rs`). When a round is over these are compared: what was "not started" never ran, what was answered ran
//! once, nothing ran twice, every reply belonged to its call, nobody was told of a death that was none. Then nothing may be
//! left over in those that have lived through it. Status 1 if anything was wrong.

mod caller;
mod increments;
mod journal;
mod judge;
#[cfg(feature = "fail-points")]
mod points;
mod round;
mod service;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ipc_core::clock;
use ipc_rpc_tests::proc;
use ipc_rpc_tests::random::Random;

use journal::Journal;
use judge::Tally;
use round::Round;

const CLIENTS: u32 = 3;
const KILLS_OF_A_ROUND: u64 = 40;
/// No step of a round takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", socket, journal, number, ref armed @ ..] => service::serve(socket, written(journal, number, armed)),
        ["call", socket, journal, number, seed, ref armed @ ..] => {
            caller::call(socket, written(journal, number, armed), seed.parse().unwrap_or(0))
        }
        ref options => match Options::parse(options) {
            Some(options) => run(&options),
            None => {
                eprintln!(
                    "usage: chaos [--kills N | --points N | --increments N [--restarts N]] [--seed N] [--seconds N]"
                );
                ExitCode::from(2)
            }
        },
    }
}

/// The journal of this process, which does at a step what `armed` says.
fn written(journal: &str, number: &str, armed: &[&str]) -> Arc<Journal> {
    let journal = Arc::new(Journal::open(journal, number.parse().unwrap_or(0)));
    #[cfg(feature = "fail-points")]
    points::arm(armed, &journal);
    #[cfg(not(feature = "fail-points"))]
    assert!(armed.is_empty(), "steps are known in a build with the feature `fail-points` only");
    journal
}

struct Options {
    kills: u64,
    /// How often each named step is tried; 0: kills are at random.
    points: u64,
    /// Increments of each kind, and restarts of their server meanwhile; 0: none.
    increments: u64,
    restarts: u64,
    seed: u64,
    seconds: u64,
}

impl Options {
    fn parse(options: &[&str]) -> Option<Self> {
        let mut parsed = Options { kills: 2000, points: 0, increments: 0, restarts: 20, seed: 1, seconds: 3600 };
        for option in options.chunks(2) {
            match option {
                ["--kills", number] => parsed.kills = number.parse().ok()?,
                #[cfg(feature = "fail-points")]
                ["--points", number] => parsed.points = number.parse().ok()?,
                ["--increments", number] => parsed.increments = number.parse().ok()?,
                ["--restarts", number] => parsed.restarts = number.parse().ok()?,
                ["--seed", number] => parsed.seed = number.parse().ok()?,
                ["--seconds", number] => parsed.seconds = number.parse().ok()?,
                _ => return None,
            }
        }
        Some(parsed)
    }
}

fn run(options: &Options) -> ExitCode {
    let start = Instant::now();
    let deadline = clock::after(Duration::from_secs(options.seconds));
    let mut tally = Tally::default();
    let mut random = Random::new(options.seed);
    let (alive, steps) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Not joined: the program ends with `exit`.
        scope.spawn(|| watch(&alive, &steps));
        if options.increments > 0 {
            increments::run(options.increments, options.restarts, &alive, &steps, &mut tally);
            report(options, &mut tally, start);
            std::process::exit(i32::from(!tally.violations.is_empty()))
        }
        let quiet = Round::start(random.any(), CLIENTS, &mut tally, &alive);
        std::thread::sleep(Duration::from_millis(500));
        let usual = quiet.end(None);
        #[cfg(feature = "fail-points")]
        for (point, server, kills) in (0..options.points).flat_map(|_| points::all()) {
            steps.fetch_add(1, Ordering::Relaxed);
            if clock::now() >= deadline {
                break;
            }
            let (name, pass) = (format!("{point:?}"), points::pass(point, &mut random).to_string());
            let what = [&*name, &*pass, if kills { "kill" } else { "stop" }];
            let (of_server, of_client): (&[_], &[_]) = if server { (&what, &[]) } else { (&[], &what) };
            let mut round = Round::start_armed(random.any(), 2, of_server, of_client, &mut tally, &alive);
            let met = round.meet(server, kills);
            round.end(Some(&usual));
            let side = if server { "server" } else { "client" };
            match met {
                true => println!("{name:20} {side}: {}", what[2]),
                false => tally.wrong(format!("a {side} has never passed {name}")),
            }
        }
        while options.points == 0
            && tally.kills() < options.kills
            && clock::now() < deadline
            && tally.violations.len() < 20
        {
            steps.fetch_add(1, Ordering::Relaxed);
            let kills = KILLS_OF_A_ROUND.min(options.kills - tally.kills());
            // In some rounds only servers are killed, in some only clients, so that the others live through many deaths.
            let servers = random.below(9);
            let mut round = Round::start(random.any(), CLIENTS, &mut tally, &alive);
            round.kill(kills, servers, deadline);
            round.end(Some(&usual));
        }
        report(options, &mut tally, start);
        std::process::exit(i32::from(!tally.violations.is_empty()))
    })
}

/// Ends the program when a round hangs, and says where its processes are.
fn watch(alive: &Mutex<Vec<u32>>, steps: &AtomicU64) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = steps.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            eprintln!("chaos: hangs in round {now}");
            for pid in &*alive.lock().expect("no panics") {
                for thread in proc::threads(*pid) {
                    eprintln!("  process {pid}: {} in {}", thread.name, thread.waits_in);
                }
            }
            std::process::exit(1);
        }
    }
}

fn report(options: &Options, tally: &mut Tally, start: Instant) {
    for ((form, how), count) in &tally.outcomes {
        println!("{:18} {:24} {count:9}", form.text(), how.text());
    }
    tally.delays.sort_unstable();
    let part = |of: usize| tally.delays.get(tally.delays.len() * of / 100).map_or(0.0, |n| *n as f64 / 1e6);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "from a kill to the error of a call that was under way: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms, of {}; load {}",
        part(50),
        part(99),
        tally.delays.last().map_or(0.0, |n| *n as f64 / 1e6),
        tally.delays.len(),
        load.split(' ').next().unwrap_or_default()
    );
    println!(
        "{} kills ({} of servers, {} of clients) and {} stops with seed {}: {} calls ran, {} wrong, in {:.1} s",
        tally.kills(),
        tally.server_kills,
        tally.client_kills,
        tally.pauses,
        options.seed,
        tally.runs,
        tally.violations.len(),
        start.elapsed().as_secs_f64()
    );
    if tally.violations.is_empty() {
        println!("no hang, no wrong outcome, nothing is left over");
    }
}
