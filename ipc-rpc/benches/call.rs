//! The latency of one blocking call between two processes, beside the hand-over of one cache line in the same run.
//!
//! `cargo bench -p ipc-rpc --bench call` starts itself again as the server. Rounds of typed calls with default settings
//! alternate with rounds of a bare hand-over (two processes, one shared line, plain atomic stores, no system calls); the
//! medians of the rounds and their ratio are printed. Absolute times drift on shared machines, the ratio is what counts.

use std::hint::spin_loop;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_rpc::{Server, service};
use memmap2::{MmapOptions, MmapRaw};

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

const ROUNDS: usize = 41;
const CALLS: u64 = 20_000;

/// One cache line that both processes map: the request in the first word, the answer in the second.
struct Line(MmapRaw);

impl Line {
    fn map(file: &OwnedFd) -> Self {
        Line(MmapOptions::new().len(4096).map_raw(file).expect("mapping a page of a memfd"))
    }

    fn word(&self, n: usize) -> &AtomicU64 {
        // SAFETY: the first two words of a mapped page, aligned, used as atomics only, alive as long as `self`.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().wrapping_add(n)) }
    }

    fn serve(&self) {
        let mut last = 0;
        loop {
            match self.word(0).load(Ordering::Acquire) {
                u64::MAX => return,
                request if request != last => {
                    last = request;
                    self.word(1).store(request, Ordering::Release);
                }
                _ => spin_loop(),
            }
        }
    }

    fn hand_over(&self, next: &mut u64) {
        *next += 1;
        self.word(0).store(*next, Ordering::Release);
        while self.word(1).load(Ordering::Acquire) != *next {
            spin_loop();
        }
    }
}

/// Nanoseconds for each of up to [`CALLS`] runs of `each`. A round is cut short when the machine lends both processes one
/// core and every hand-over waits for the scheduler.
fn round(mut each: impl FnMut(u64)) -> f64 {
    let (start, mut done) = (Instant::now(), 0);
    while done < CALLS && start.elapsed() < Duration::from_millis(50) {
        for n in 0..50 {
            each(done + n);
        }
        done += 50;
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

fn call(client: &CalcClient, n: u64) {
    assert_eq!(client.add(n, 1).expect("a call"), n + 1);
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A child process that is killed when the parent is done, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn again(args: &[String]) -> Killed {
    let this = std::env::current_exe().expect("the path of this program");
    Killed(Command::new(this).args(args).stdin(Stdio::piped()).spawn().expect("starting this program again"))
}

/// The end of standard input is the end of the parent.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name] => {
            end_with_the_parent();
            Server::bind(name).expect("a free name").serve(CalcDispatcher::new(Adder)).expect("serving");
        }
        ["line", fd] => {
            // SAFETY: the parent left this descriptor open for us; nobody else in this process owns it.
            let file = unsafe { OwnedFd::from_raw_fd(fd.parse().expect("a number")) };
            end_with_the_parent();
            Line::map(&file).serve();
        }
        _ => measure(),
    }
}

fn measure() {
    let folder = std::env::temp_dir().join(format!("ipc-rpc-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let name = folder.join("calc.sock").display().to_string();
    let mut server = Some(again(&["serve".into(), name.clone()]));
    let give_up = Instant::now() + Duration::from_secs(10);
    let client = loop {
        match CalcClient::connect(&name) {
            Ok(client) => break client,
            Err(error) if Instant::now() > give_up => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    // SAFETY: a NUL-terminated name.
    let fd = unsafe { libc::memfd_create(c"line".as_ptr(), 0) };
    assert!(fd >= 0, "a memfd");
    // SAFETY: the kernel has just given us this descriptor.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: plain system call on our own descriptor.
    assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), 4096) }, 0);
    let line = Line::map(&file);

    let (mut raw, mut typed, mut next) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        // The process at the other end of the line spins all the time: it runs only for its own round.
        line.word(0).store(0, Ordering::Release);
        let partner = again(&["line".into(), file.as_raw_fd().to_string()]);
        line.hand_over(&mut next); // The partner has started.
        raw.push(round(|_| line.hand_over(&mut next)));
        line.word(0).store(u64::MAX, Ordering::Release);
        drop(partner);
        round(|n| call(&client, n)); // Both sides come out of whatever the pause made of them.
        typed.push(round(|n| call(&client, n)));
    }
    server.take();
    let _ = std::fs::remove_file(&name);
    let _ = std::fs::remove_dir(&folder);
    let (raw, typed) = (median(raw), median(typed));
    println!("hand-over of one cache line  {raw:8.1} ns a round trip (median of {ROUNDS} rounds of {CALLS})");
    println!("typed add(u64, u64) -> u64   {typed:8.1} ns a call (median of {ROUNDS} rounds of {CALLS})");
    println!("ratio                        {:8.2}", typed / raw);
    if raw > 2_000.0 {
        println!("the machine is busy: the two processes had to share a core, so these figures say nothing; run again");
    }
}
