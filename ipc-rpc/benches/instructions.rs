//! How many instructions a call takes on each side, counted by callgrind.
//!
//! `cargo bench -p ipc-rpc --bench instructions` starts itself again under `valgrind --tool=callgrind`. Client and server are
//! two ends of one connection in one thread, so that nothing waits and nothing spins: the client begins a call, the server
//! makes one step, the client ends the call. The code is that of two processes; what is not counted is looking in vain.
//! The client's two halves are one function, as in [`Stub::call`]; what is counted of it is what the server's step is not.
//! The same for calls of which many are in flight: the client waits for some and starts as many, the server makes as many steps.
//! And for a call that passes a loan: as many for 64 KiB as for 64 MiB, or the run fails.
//! With a number as argument the run fails if a null call takes more instructions than that, both sides together.

mod bare;

use std::collections::VecDeque;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use ipc_rpc::__private::{Argument, Message, Stub};
use ipc_rpc::{Pending, service, testing};

use bare::Bare;

/// The smallest service.
#[service]
pub trait Calc {
    /// Nothing, and nothing back.
    fn null(&self);
    /// The sum.
    fn add(&self, a: u64, b: u64) -> u64;
    /// The first one.
    fn first(&self, bytes: &[u8]) -> u8;
}

struct Adder;

impl Calc for Adder {
    fn null(&self) {}

    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn first(&self, bytes: &[u8]) -> u8 {
        bytes.first().copied().unwrap_or(0)
    }
}

const CALLS: u64 = 16_000;
const WARM_UP: u64 = 160;

/// How the calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Null,
    Single,
    Started,
    Batched,
    /// With a loan of so many bytes.
    Loaned(usize),
}

const WAYS: [(Way, &str); 6] = [
    (Way::Null, "null"),
    (Way::Single, "single"),
    (Way::Started, "started"),
    (Way::Batched, "batched"),
    (Way::Loaned(64 << 10), "64-KiB"),
    (Way::Loaned(64 << 20), "64-MiB"),
];
/// Calls in flight, if more than one, and how many of them each side turns to at once.
const DEPTH: u64 = 64;
const PART: u64 = 16;

#[inline(never)]
fn client_calls_null(stub: &Stub, step: &mut dyn FnMut() -> bool) {
    call::<(), ()>(stub, 0, &(), step);
}

#[inline(never)]
fn client_calls_add(stub: &Stub, a: u64, b: u64, step: &mut dyn FnMut() -> bool) -> u64 {
    call::<(u64, u64), u64>(stub, 1, &(&a, &b), step)
}

#[inline(never)]
fn client_calls_first(stub: &Stub, bytes: &[u8], step: &mut dyn FnMut() -> bool) -> u8 {
    call::<(Vec<u8>,), u8>(stub, 2, &(bytes,), step)
}

/// As [`Stub::call`], but that the server makes its step in the middle.
#[inline(always)]
fn call<A: Message, R: Message>(
    stub: &Stub,
    method: u16,
    args: &impl Argument<A>,
    step: &mut dyn FnMut() -> bool,
) -> R {
    assert!(stub.is_plain());
    stub.call_and::<A, R>(method, args, || assert!(server_steps(step))).expect("a reply")
}

#[inline(never)]
fn server_steps(step: &mut dyn FnMut() -> bool) -> bool {
    step()
}

/// A client with calls in flight.
struct Flying {
    stub: Stub,
    calls: VecDeque<Pending<u64>>,
    next: u64,
}

impl Flying {
    fn start(&mut self) {
        self.calls.push_back(start(&self.stub, self.next));
        self.next += 1;
    }

    fn settle(&mut self) {
        let expected = self.next - self.calls.len() as u64 + 1;
        assert_eq!(self.calls.pop_front().map(|call| call.wait().expect("a reply")), Some(expected));
    }
}

fn start(stub: &Stub, n: u64) -> Pending<u64> {
    stub.start::<(u64, u64), u64>(1, &(&n, &1)).expect("a call")
}

/// The oldest call ends, the next one starts.
#[inline(never)]
fn client_goes_on(client: &mut Flying) {
    for _ in 0..PART {
        client.settle();
        client.start();
    }
}

/// The oldest calls end, as many are started together.
#[inline(never)]
fn client_batches(client: &mut Flying) {
    (0..PART).for_each(|_| client.settle());
    let numbers = client.next..client.next + PART;
    client.next = numbers.end;
    client.stub.batch(|stub| client.calls.extend(numbers.map(|n| start(&stub, n))));
}

#[inline(never)]
fn server_goes_on(step: &mut dyn FnMut() -> bool) {
    (0..PART).for_each(|_| assert!(step()));
}

fn null(stub: &Stub, calls: u64, step: &mut dyn FnMut() -> bool) {
    (0..calls).for_each(|_| client_calls_null(stub, step));
}

fn single(stub: &Stub, calls: u64, step: &mut dyn FnMut() -> bool) {
    for n in 0..calls {
        assert_eq!(client_calls_add(stub, black_box(n), 1, step), n + 1);
    }
}

fn loaned(stub: &Stub, len: usize, calls: u64, step: &mut dyn FnMut() -> bool) {
    let mut loan = stub.loan::<u8>(len).expect("memory");
    loan[0] = 7;
    for _ in 0..calls {
        assert_eq!(client_calls_first(stub, &loan, step), 7);
    }
}

/// Gives how long client and server took.
fn in_flight(stub: Stub, turn: fn(&mut Flying), calls: u64, step: &mut dyn FnMut() -> bool) -> [Duration; 2] {
    let mut client = Flying { stub, calls: VecDeque::new(), next: 0 };
    (0..DEPTH).for_each(|_| client.start());
    (0..DEPTH / PART - 1).for_each(|_| server_goes_on(step));
    let (mut now, mut times) = (Instant::now(), [Duration::ZERO; 2]);
    let mut stop = |time: &mut Duration| {
        let start = std::mem::replace(&mut now, Instant::now());
        *time += now - start;
    };
    for _ in 0..calls / PART {
        server_goes_on(step);
        stop(&mut times[1]);
        turn(&mut client);
        stop(&mut times[0]);
    }
    (0..DEPTH).for_each(|_| _ = step());
    (0..DEPTH).for_each(|_| client.settle());
    times
}

/// Makes so many calls, and as many more as are in flight if there are several.
fn run(way: Way, calls: u64) {
    let (stub, server) = testing::stepped(Bare(CalcDispatcher::new(Adder))).expect("a pair");
    let times = server.run(|step| match way {
        Way::Null => {
            null(&stub, calls, step);
            None
        }
        Way::Single => {
            single(&stub, calls, step);
            None
        }
        Way::Loaned(len) => {
            loaned(&stub, len, calls, step);
            None
        }
        Way::Started => Some(in_flight(stub, client_goes_on, calls, step)),
        Way::Batched => Some(in_flight(stub, client_batches, calls, step)),
    });
    if let Some([client, server]) = times.expect("the role, which nobody else has") {
        let per_call = |time: Duration| time.as_nanos() as f64 / calls as f64;
        println!("nanoseconds a call: client {:.1}, server {:.1}", per_call(client), per_call(server));
    }
}

/// Instructions of each of the functions that make up a call, in a run of so many calls.
fn counted(way: (Way, &str), calls: u64) -> Option<[u64; 2]> {
    let out = std::env::temp_dir().join(format!("ipc-rpc-callgrind-{}-{calls}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().ok()?)
        .args(["--run", &calls.to_string(), way.1])
        .status()
        .ok()?;
    let text = std::fs::read_to_string(&out).ok();
    let _ = std::fs::remove_file(&out);
    let text = text.filter(|_| status.success())?;
    let names = match way.0 {
        Way::Null | Way::Single | Way::Loaned(_) => ["client_calls", "server_steps"],
        Way::Started => ["client_goes_on", "server_goes_on"],
        Way::Batched => ["client_batches", "server_goes_on"],
    };
    let [client, server] = names.map(|name| inclusive(&text, name));
    let nested = matches!(way.0, Way::Null | Way::Single | Way::Loaned(_));
    Some([if nested { client.saturating_sub(server) } else { client }, server])
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
        let way = WAYS.iter().find(|(_, name)| args.iter().any(|a| a == name)).map_or(Way::Single, |(way, _)| *way);
        let calls = args.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(CALLS);
        return run(way, calls);
    }
    let limit = args.iter().find_map(|a| a.parse::<u64>().ok());
    println!(
        "instructions of a call, without looking in vain (callgrind, {CALLS} calls): null(), else add(u64, u64) -> u64"
    );
    let mut of_loans = Vec::new();
    for way in WAYS {
        let (Some(all), Some(warm_up)) = (counted(way, CALLS + WARM_UP), counted(way, WARM_UP)) else {
            eprintln!("valgrind did not run; install it to count instructions");
            std::process::exit(1);
        };
        let per_call = |n: usize| (all[n].saturating_sub(warm_up[n])) as f64 / CALLS as f64;
        let (client, server) = (per_call(0), per_call(1));
        println!("{:8} client {client:6.1}   server {server:6.1}", way.1);
        let too_many = limit.is_some_and(|limit| way.0 == Way::Null && client + server > limit as f64);
        if let Way::Loaned(_) = way.0 {
            of_loans.push(client + server);
        }
        if client == 0.0 || server == 0.0 || too_many {
            eprintln!("more than the limit of {limit:?}, or nothing was counted");
            std::process::exit(1);
        }
    }
    if of_loans.iter().any(|count| (count - of_loans[0]).abs() > 1.0) {
        eprintln!("what a call with a loan takes depends on the loan's size");
        std::process::exit(1);
    }
}
