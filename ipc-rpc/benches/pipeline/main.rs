//! Many calls at once: in flight from one thread, from many client processes, past a slow handler.
//!
//! `cargo bench -p ipc-rpc --bench pipeline` starts itself again as server, as clients and as the other end of a bare queue
//! of offsets. Rounds of all kinds alternate, and medians are printed: absolute times drift on shared machines, ratios of
//! one run are what counts.

mod crowd;
mod flight;
mod machine;
mod process;
mod raw;
mod sleeper;

use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{Server, service};

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
}

struct Adder;

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
        ["caller", name, board, place] => crowd::caller(name, board, place.parse().expect("a number")),
        [] => {
            flight::measure(&flight::DEPTHS);
            crowd::measure(&crowd::SIZES);
        }
        ["--in-flight"] => flight::measure(&flight::DEPTHS),
        ["--in-flight", ref depths @ ..] => {
            let depths: Vec<u32> = depths.iter().map(|n| n.parse().expect("numbers of calls")).collect();
            flight::measure(&depths);
        }
        ["--clients"] => crowd::measure(&crowd::SIZES),
        ["--clients", ref sizes @ ..] => {
            let sizes: Vec<usize> = sizes.iter().map(|n| n.parse().expect("numbers of clients")).collect();
            crowd::measure(&sizes);
        }
        ["--sleeper"] => sleeper::measure(),
        ref other => {
            let known = "--in-flight, --clients [NUMBER..], --sleeper";
            eprintln!("pipeline: unknown arguments {other:?}; known are {known}");
            std::process::exit(2);
        }
    }
}
