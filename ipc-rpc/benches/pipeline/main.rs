//! Many calls at once: in flight from one thread, from many client processes, past a slow handler.
//!
//! `cargo bench -p ipc-rpc --bench pipeline` starts itself again as server, as clients and as the other end of a bare queue
//! of offsets. Rounds of all kinds alternate, and medians are printed: absolute times drift on shared machines, ratios of
//! one run are what counts.

mod crowd;
mod flight;
mod footprint;
mod idle;
mod machine;
mod process;
mod raw;
mod sleeper;
mod streams;

use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, Server, Streaming, service};

/// What is called here.
#[service]
pub trait Calc {
    /// The sum.
    fn add(&self, a: u64, b: u64) -> u64;
    /// Returns after so many milliseconds, and the server does not know before that it takes so long.
    fn sleep(&self, milliseconds: u64) -> u64;
    /// The same, and the server knows.
    #[rpc(blocking)]
    fn sleep_blocking(&self, milliseconds: u64) -> u64;
    /// The same without a thread that waits.
    async fn sleep_async(&self, milliseconds: u64) -> u64;
    /// The numbers from 0 on.
    fn count(&self, to: u64) -> Streaming<u64>;
    /// Lists of so many bytes, each with its number in front.
    fn lists(&self, count: u64, bytes: u64) -> Streaming<Vec<u8>>;
    /// How many came, if they are the numbers from 0 on; waits so many nanoseconds after each.
    fn take_numbers(&self, pause: u64, numbers: Streaming<u64>) -> u64;
    /// The same for lists.
    fn take_lists(&self, pause: u64, lists: Streaming<Vec<u8>>) -> u64;
}

struct Adder;

/// Counts items up to the first one that is not as it should be.
fn take<T>(items: impl Iterator<Item = Result<T, CallError>>, pause: u64, right: impl Fn(u64, &T) -> bool) -> u64 {
    let good = |(n, item): &(u64, Result<T, CallError>)| item.as_ref().is_ok_and(|item| right(*n, item));
    (0..).zip(items).take_while(good).inspect(|_| streams::spin(Duration::from_nanos(pause))).count() as u64
}

impl Calc for Adder {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    fn sleep(&self, milliseconds: u64) -> u64 {
        thread::sleep(Duration::from_millis(milliseconds));
        milliseconds
    }
    fn sleep_blocking(&self, milliseconds: u64) -> u64 {
        self.sleep(milliseconds)
    }
    async fn sleep_async(&self, milliseconds: u64) -> u64 {
        smol::Timer::at(Instant::now() + Duration::from_millis(milliseconds)).await;
        milliseconds
    }
    fn count(&self, to: u64) -> Streaming<u64> {
        Streaming::from_iter(0..to)
    }
    fn lists(&self, count: u64, bytes: u64) -> Streaming<Vec<u8>> {
        Streaming::from_iter((0..count).map(move |n| streams::list(n, bytes)))
    }
    fn take_numbers(&self, pause: u64, numbers: Streaming<u64>) -> u64 {
        take(numbers, pause, |n, number| *number == n)
    }
    fn take_lists(&self, pause: u64, lists: Streaming<Vec<u8>>) -> u64 {
        take(lists, pause, |n, list| *list == streams::list(n, list.len() as u64))
    }
}

fn main() {
    let all: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match all.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name] => {
            process::end_with_the_parent();
            let server = Server::bind(name).expect("a free name");
            process::ready();
            server.serve(CalcDispatcher::new(Adder)).expect("serving");
        }
        ["raw", memory] => raw::answer(memory),
        ["caller", name, board, place, pace] => crowd::caller(name, board, place.parse().expect("a number"), pace),
        ["keep", name, count] => idle::keep(name, count.parse().expect("a number")),
        [] => {
            flight::measure(&flight::DEPTHS);
            crowd::measure(&crowd::SIZES);
        }
        ["--in-flight"] => flight::measure(&flight::DEPTHS),
        ["--in-flight", ref depths @ ..] => flight::measure(&numbers(depths)),
        ["--clients"] => crowd::measure(&crowd::SIZES),
        ["--clients", ref sizes @ ..] => crowd::measure(&numbers(sizes)),
        ["--paced"] => crowd::measure_paced(&crowd::SIZES),
        ["--paced", ref sizes @ ..] => crowd::measure_paced(&numbers(sizes)),
        ["--idle"] => idle::measure(&idle::SIZES),
        ["--idle", ref sizes @ ..] => idle::measure(&numbers(sizes)),
        ["--sleeper"] => sleeper::measure(),
        ["--streams"] => streams::measure(),
        ref other => {
            let known = "--in-flight [NUMBER..], --clients [NUMBER..], --paced [NUMBER..], --idle [NUMBER..], --sleeper, --streams";
            eprintln!("pipeline: unknown arguments {other:?}; known are {known}");
            std::process::exit(2);
        }
    }
}

fn numbers<T: FromStr>(arguments: &[&str]) -> Vec<T> {
    arguments.iter().map(|n| n.parse().ok().unwrap_or_else(|| panic!("`{n}` is no number"))).collect()
}
