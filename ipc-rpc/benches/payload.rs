//! Calls with much data, beside one copy of as much in the same run.
//!
//! `cargo bench -p ipc-rpc --bench payload` starts itself again as the server, and goes through sizes
//! from 8 B to 256 MiB. For each it takes turns between a call without data, a `memcpy` into shared memory that the server has
//! read last, and the ways of passing data; what is printed are medians. The handlers look at one element, so what is measured
//! is the passing alone:
//!
//! - *loaned*: the argument lies in a loan, the reply is a number;
//! - *and viewed*: the same, with a reply that is read where it lies;
//! - *copied in*: the argument is any slice;
//! - *viewed*: the reply is a loan, and read where it lies;
//! - *owned*: the same, copied to private memory;
//! - *echo*: a slice is copied in, by the handler to a loan, and that is viewed.
//!
//! It ends with a line for each goal. Absolute times drift on shared machines, ratios of one run are what counts.

use std::hint::black_box;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipc_rpc::{Context, Loan, Server, service};
use memmap2::{MmapOptions, MmapRaw};

/// What is passed.
#[service]
pub trait Payload {
    /// Nothing.
    fn null(&self);
    /// One of the bytes.
    fn one(&self, bytes: &[u8]) -> u8;
    /// So many bytes.
    fn lend(&self, len: u64, context: &Context) -> Loan<u8>;
    /// The same bytes.
    fn echo(&self, bytes: &[u8], context: &Context) -> Loan<u8>;
    /// Reads as many bytes of the memory that the processes share besides.
    fn look(&self, len: u64) -> u8;
}

struct Plain(Memory);

fn middle(bytes: &[u8]) -> u8 {
    bytes.get(bytes.len() / 2).copied().unwrap_or(0)
}

impl Payload for Plain {
    fn null(&self) {}

    fn one(&self, bytes: &[u8]) -> u8 {
        middle(bytes)
    }

    fn lend(&self, len: u64, context: &Context) -> Loan<u8> {
        let mut loan = context.loan(len as usize).expect("memory");
        loan[0] = 7;
        loan
    }

    fn echo(&self, bytes: &[u8], context: &Context) -> Loan<u8> {
        let mut loan = context.loan(bytes.len()).expect("memory");
        loan.copy_from_slice(bytes);
        loan
    }

    fn look(&self, len: u64) -> u8 {
        self.0.read(len as usize)
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const MOST: usize = 256 * MIB;
const SIZES: [usize; 11] = [8, 64, 512, 4 * KIB, 32 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB, MOST];
/// A round of short calls takes about so long.
const ROUND: Duration = Duration::from_millis(2);

/// Memory that both processes map, outside of the framework.
struct Memory(MmapRaw);

impl Memory {
    fn create() -> OwnedFd {
        // SAFETY: a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"payload".as_ptr(), 0) };
        assert!(fd >= 0, "a memfd");
        // SAFETY: the kernel has just given us this descriptor.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: plain system call on our own descriptor.
        assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), MOST as i64) }, 0);
        file
    }

    fn map(file: &OwnedFd) -> Self {
        Memory(MmapOptions::new().len(MOST).map_raw(file).expect("mapping a memfd"))
    }

    fn copy(&self, from: &[u8]) {
        assert!(from.len() <= MOST);
        // SAFETY: so many mapped bytes, which the other process reads only in calls that are over.
        unsafe { self.0.as_mut_ptr().copy_from_nonoverlapping(black_box(from.as_ptr()), from.len()) };
    }

    fn read(&self, len: usize) -> u8 {
        // SAFETY: so many mapped bytes, which the other process does not write during this call.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr(), len.min(MOST)) };
        bytes.iter().step_by(64).fold(0, |all, byte| all ^ *byte)
    }
}

/// A child process that is killed when the parent is done, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nanoseconds of one run of `each`, of as many as fit into a round.
fn time(mut each: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while done == 0 || start.elapsed() < ROUND {
        each();
        done += 1;
    }
    start.elapsed().as_nanos() as f64 / f64::from(done)
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn size(bytes: usize) -> String {
    match bytes {
        MIB.. => format!("{} MiB", bytes / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{:.2} ms", nanoseconds / 1e6),
        1e3.. => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{nanoseconds:.0} ns"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [_, name, fd] = &args[..] {
        std::thread::spawn(|| {
            // The end of standard input is the end of the parent.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        // SAFETY: the parent left this descriptor open for us; nobody else in this process owns it.
        let file = unsafe { OwnedFd::from_raw_fd(fd.parse().expect("a number")) };
        let service = PayloadDispatcher::new(Plain(Memory::map(&file)));
        Server::bind(name).expect("a free name").serve(service).expect("serving");
    } else {
        measure();
    }
}

const WAYS: [&str; 8] = ["null", "memcpy", "loaned", "and viewed", "copied in", "viewed", "owned", "echo"];

fn measure() {
    let folder = std::env::temp_dir().join(format!("ipc-rpc-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let name = folder.join("payload.sock").display().to_string();
    let file = Memory::create();
    let this = std::env::current_exe().expect("the path of this program");
    let fd = file.as_raw_fd().to_string();
    let server = Command::new(this).args(["serve", &name, &fd]).stdin(Stdio::piped()).spawn();
    let server = Killed(server.expect("starting this program again"));
    let give_up = Instant::now() + Duration::from_secs(10);
    let client = loop {
        match PayloadClient::connect(&name) {
            Ok(client) => break client,
            Err(error) if Instant::now() > give_up => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (memory, viewing) = (Memory::map(&file), client.view());

    print!("{:>8}", "");
    WAYS.iter().for_each(|way| print!("{way:>12}"));
    println!("{:>20}", "copied in / memcpy");
    let mut verdicts = Vec::new();
    for len in SIZES {
        let data: Vec<u8> = (0..len).map(|n| (n * 31 % 251) as u8).collect();
        let mut loan = client.loan::<u8>(len).expect("memory");
        loan.copy_from_slice(&data);
        let expected = middle(&data);
        let call = |way: usize| match way {
            0 => client.null().expect("a call"),
            1 => memory.copy(&data),
            2 => assert_eq!(client.one(&loan).expect("a call"), expected),
            3 => assert_eq!(viewing.one(&loan).expect("a call").get(), expected),
            4 => assert_eq!(client.one(&data).expect("a call"), expected),
            5 => assert_eq!(viewing.lend(len as u64).expect("a call")[0], 7),
            6 => assert_eq!(client.lend(len as u64).expect("a call")[0], 7),
            _ => assert_eq!(viewing.echo(&data).expect("a call")[len / 2], expected),
        };
        let rounds = if len >= 64 * MIB { 9 } else { 41 };
        let mut all = [const { Vec::new() }; WAYS.len()];
        for round in 0..=rounds {
            for (way, times) in all.iter_mut().enumerate() {
                let took = if way == 1 {
                    client.look(len as u64).expect("a call");
                    let start = Instant::now();
                    call(1);
                    start.elapsed().as_nanos() as f64
                } else {
                    time(|| call(way)); // Both sides come out of whatever the last way made of them.
                    time(|| call(way))
                };
                // The first round pays for the memory.
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let [null, memcpy, loaned, viewed, copied, ..] = all.each_mut().map(|times| median(times));
        print!("{:>8}", size(len));
        all.iter_mut().for_each(|times| print!("{:>12}", duration(median(times))));
        println!("{:>20.2}", copied / memcpy);
        let mut verdict = |what: String, ratio: f64, most: f64| {
            verdicts.push(format!("{what}: {ratio:.2} ({most}) {}", if ratio <= most { "met" } else { "MISSED" }));
        };
        if len == 64 * MIB {
            verdict("loaned at 64 MiB over the null call".into(), loaned / null, 1.5);
            verdict("loaned and viewed at 64 MiB over the null call".into(), viewed / null, 1.5);
        }
        if len >= MIB {
            verdict(format!("copied in at {} over one memcpy", size(len)), copied / memcpy, 1.15);
        }
    }
    println!();
    verdicts.iter().for_each(|line| println!("{line}"));
    drop(server);
    let _ = std::fs::remove_dir_all(&folder);
}
