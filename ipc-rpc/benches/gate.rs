//! Fails if a call, a queue or an allocation takes over 5 % more instructions than it did: see [`BASELINE`].
//!
//! `.ci/gate` runs it, by gungraun, which runs this program under callgrind, and prints what is to be said of counts that have
//! become smaller. As in `instructions.rs`, client and server are two ends of one connection in one thread, so nothing waits,
//! and the client's two halves are one function, of which what the server does in the middle is not counted. Counts do not depend
//! on what else the machine does, but on the compiler: after a change of either that is meant, the new counts go into the table.
//! All of a crate is compiled as one unit, so that a change does not move the counts of code that it does not touch.

#![allow(missing_docs)] // of what gungraun's macros make

mod bare;

use std::hint::black_box;

use gungraun::{
    Callgrind, EntryPoint, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use ipc_core::extent::{Extent, Extents};
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::sync::AtomicU64;
use ipc_rpc::__private::{Argument, Message, Stub};
use ipc_rpc::{service, testing};

use bare::Bare;

/// Rounds that are counted together; the first ones, which find caches of ours empty, hardly count.
const ROUNDS: u64 = 1000;

/// Instructions of one round, by the name that the count is printed under.
const BASELINE: [(&str, u64); 10] = [
    ("null client", 194),
    ("null server", 295),
    ("small client", 294),
    ("small server", 327),
    ("text client", 634),
    ("text server", 780),
    ("page client", 1865),
    ("page server", 346),
    ("queue push_and_pop", 60),
    ("extents take_and_free", 432),
];

/// A struct of a few words.
#[derive(ipc_rpc::Message, Clone, Copy, PartialEq, Debug)]
pub struct Reading {
    sensor: u32,
    at: u64,
    value: f64,
}

/// One method for each kind of message.
#[service]
pub trait Shapes {
    /// Nothing each way.
    fn null(&self);
    /// A few words each way.
    fn small(&self, reading: Reading) -> Reading;
    /// A text each way.
    fn text(&self, text: &str) -> String;
    /// A page there.
    fn page(&self, bytes: &[u8]) -> u64;
}

struct Echo;

impl Shapes for Echo {
    fn null(&self) {}

    fn small(&self, reading: Reading) -> Reading {
        reading
    }

    fn text(&self, text: &str) -> String {
        text.to_owned()
    }

    fn page(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64
    }
}

// What is counted goes by these names.

#[inline(never)]
fn client_calls<A: Message, R: Message>(
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

fn rounds<A: Message, R: Message + PartialEq>(method: u16, args: &impl Argument<A>, reply: &R) {
    let (stub, server) = testing::stepped(Bare(ShapesDispatcher::new(Echo))).expect("a pair");
    let ran = server.run(|step| {
        for _ in 0..ROUNDS {
            assert!(client_calls::<A, R>(&stub, method, black_box(args), step) == *reply);
        }
    });
    assert!(ran.is_some(), "nobody else has the role");
}

/// Counts while a function of one of these names runs; where one runs inside of another, counting stops for so long.
fn within(functions: &[&str], name: &str) -> LibraryBenchmarkConfig {
    let (_, known) = BASELINE.iter().find(|(n, _)| *n == name).expect("an entry of the table");
    let toggles = functions.iter().map(|function| format!("--toggle-collect=gate::{function}*"));
    let mut callgrind = Callgrind::with_args(toggles);
    callgrind.entry_point(EntryPoint::None).hard_limits([(EventKind::Ir, known * ROUNDS * 105 / 100)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

const CLIENT: &[&str] = &["client_calls", "server_steps"];
const SERVER: &[&str] = &["server_steps"];

#[library_benchmark]
#[bench::client(config = within(CLIENT, "null client"))]
#[bench::server(config = within(SERVER, "null server"))]
fn null() {
    rounds::<(), ()>(0, &(), &());
}

#[library_benchmark]
#[bench::client(config = within(CLIENT, "small client"))]
#[bench::server(config = within(SERVER, "small server"))]
fn small() {
    let reading = Reading { sensor: 7, at: 1 << 40, value: 36.6 };
    rounds::<(Reading,), Reading>(1, &(&reading,), &reading);
}

#[library_benchmark]
#[bench::client(config = within(CLIENT, "text client"))]
#[bench::server(config = within(SERVER, "text server"))]
fn text() {
    let text = "a text of forty bytes, which is not long";
    rounds::<(String,), String>(2, &(text,), &text.to_owned());
}

#[library_benchmark]
#[bench::client(config = within(CLIENT, "page client"))]
#[bench::server(config = within(SERVER, "page server"))]
fn page() {
    let bytes = [5u8; 4096];
    rounds::<(Vec<u8>,), u64>(3, &(&bytes[..],), &4096);
}

#[inline(never)]
fn queue_round(producer: &Producer, consumer: &mut Consumer, cells: &[AtomicU64], n: u32) {
    producer.push(cells, Kind::Request, n);
    assert_eq!(consumer.pop(cells).ok().flatten().map(|entry| entry.offset), Some(n));
}

#[library_benchmark]
#[bench::push_and_pop(config = within(&["queue_round"], "queue push_and_pop"))]
fn queue() {
    let cells: Vec<_> = (0..64).map(|_| AtomicU64::new(0)).collect();
    let (producer, mut consumer) = (Producer::new(), Consumer::new());
    for n in 0..ROUNDS as u32 {
        queue_round(&producer, &mut consumer, &cells, black_box(n));
    }
}

#[inline(never)]
fn extent_round(extents: &mut Extents, held: &mut [Option<Extent>; 8], n: usize) {
    let place = &mut held[n % 8];
    if let Some(extent) = place.take() {
        extents.free(extent);
    }
    *place = extents.take((n as u32 * 2477) % 100_000 + 1);
    assert!(place.is_some());
}

#[library_benchmark]
#[bench::take_and_free(config = within(&["extent_round"], "extents take_and_free"))]
fn extents() {
    let mut extents = Extents::new(1 << 20, 64 << 20);
    let mut held = [const { None }; 8];
    for n in 0..ROUNDS as usize {
        extent_round(&mut extents, &mut held, black_box(n));
    }
}

library_benchmark_group!(name = instructions, benchmarks = [null, small, text, page, queue, extents]);
main!(library_benchmark_groups = instructions);
