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

use ipc_rpc::{Server, service};

/// What is called here.
#[service]
pub trait Calc {
    /// The sum.
    fn add(&self, a: u64, b: u64) -> u64;
    /// Returns after so many milliseconds.
    fn sleep(&self, milliseconds: u64) -> u64;
}

struct Adder;

impl Calc for Adder {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    fn sleep(&self, milliseconds: u64) -> u64 {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
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
            flight::measure();
            crowd::measure();
        }
        ["--in-flight"] => flight::measure(),
        ["--clients"] => crowd::measure(),
        ref other => {
            eprintln!("pipeline: unknown arguments {other:?}; known are --in-flight and --clients");
            std::process::exit(2);
        }
    }
}
