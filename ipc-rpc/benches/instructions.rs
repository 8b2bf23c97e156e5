//! How many instructions a call takes on each side, counted by callgrind.
//!
//! `cargo bench -p ipc-rpc --bench instructions` starts itself again under `valgrind --tool=callgrind`. Client and server are
//! two ends of one connection in one thread, so that nothing waits and nothing spins: the client begins a call, the server
//! makes one step, the client ends the call. The code is that of two processes; what is not counted is looking in vain.
//! With a number as argument the run fails if a side takes more instructions than that.

use std::hint::black_box;
use std::process::Command;

use ipc_rpc::__private::{Dispatch, Incoming, Pair, Refused, Replied, ServiceDesc, Stub};
use ipc_rpc::{service, testing};

/// The smallest service.
#[service]
pub trait Calc {
    /// The sum.
    fn add(&self, a: u64, b: u64) -> u64;
}

struct Adder;

impl Calc for Adder {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
}

/// The same dispatcher, whose client is the untyped stub.
struct Bare(CalcDispatcher<Adder>);

impl Dispatch for Bare {
    fn service(&self) -> &'static ServiceDesc {
        self.0.service()
    }

    #[inline]
    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
        self.0.dispatch(method, call)
    }
}

impl Pair for Bare {
    type Client = Stub;

    fn client(stub: Stub) -> Stub {
        stub
    }
}

const CALLS: u64 = 10_000;
const WARM_UP: u64 = 100;

type Pending<'a> = ipc_core::caller::Pending<&'a ipc_core::caller::Caller>;

#[inline(never)]
fn client_begins(stub: &Stub, a: u64, b: u64) -> Pending<'_> {
    assert!(stub.is_plain());
    stub.begin::<_, (u64, u64)>(stub.caller(), 0, &(&a, &b), stub.limit()).expect("a call")
}

#[inline(never)]
fn server_steps(step: &mut dyn FnMut() -> bool) -> bool {
    step()
}

#[inline(never)]
fn client_ends(stub: &Stub, pending: Pending<'_>) -> u64 {
    stub.end::<u64, _>(0, pending, stub.limit()).expect("a reply")
}

fn run(calls: u64) {
    let (stub, server) = testing::stepped(Bare(CalcDispatcher::new(Adder))).expect("a pair");
    let ran = server.run(|step| {
        for n in 0..calls {
            let pending = client_begins(&stub, black_box(n), 1);
            assert!(server_steps(step));
            assert_eq!(client_ends(&stub, pending), n + 1);
        }
    });
    assert!(ran.is_some(), "nobody else has the role");
}

/// Instructions under each of the three functions, in a run of so many calls.
fn counted(calls: u64) -> Option<[u64; 3]> {
    let out = std::env::temp_dir().join(format!("ipc-rpc-callgrind-{}-{calls}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().ok()?)
        .args(["--run", &calls.to_string()])
        .status()
        .ok()?;
    let text = std::fs::read_to_string(&out).ok();
    let _ = std::fs::remove_file(&out);
    let text = text.filter(|_| status.success())?;
    Some(["client_begins", "server_steps", "client_ends"].map(|name| inclusive(&text, name)))
}

/// The inclusive cost of a function: that of all calls to it, which are the lines behind `calls=` in its callers.
fn inclusive(text: &str, name: &str) -> u64 {
    let (mut wanted, mut cost_next, mut sum) = (false, false, 0);
    for line in text.lines() {
        if cost_next {
            sum += line.split_whitespace().nth(1).and_then(|c| c.parse::<u64>().ok()).unwrap_or(0);
            cost_next = false;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            wanted = function.contains(name);
        } else if line.starts_with("calls=") {
            cost_next = wanted;
            wanted = false;
        }
    }
    sum
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = args.iter().position(|a| a == "--run") {
        return run(args.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(CALLS));
    }
    let limit = args.iter().find_map(|a| a.parse::<u64>().ok());
    let (Some(all), Some(warm_up)) = (counted(CALLS + WARM_UP), counted(WARM_UP)) else {
        eprintln!("valgrind did not run; install it to count instructions");
        std::process::exit(1);
    };
    let per_call = |n: usize| (all[n].saturating_sub(warm_up[n])) as f64 / CALLS as f64;
    let (client, server) = (per_call(0) + per_call(2), per_call(1));
    println!("instructions of one add(u64, u64) -> u64, without looking in vain (callgrind, {CALLS} calls)");
    println!("client {client:6.1}   (begin {:.1}, end {:.1})", per_call(0), per_call(2));
    println!("server {server:6.1}");
    if client == 0.0 || server == 0.0 || limit.is_some_and(|l| client > l as f64 || server > l as f64) {
        eprintln!("more than the limit of {limit:?}, or nothing was counted");
        std::process::exit(1);
    }
}
