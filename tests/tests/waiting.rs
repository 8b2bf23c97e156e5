//! The ways of waiting, that they differ in who sleeps, and that they get along with few cores.
#![allow(missing_docs, unsafe_code)]
// Unsafe code is needed here to ask the system how often a thread slept, and to bind threads to a core.

use std::time::Duration;

use ipc_rpc::{ClientConfig, Server, Waiting, service, testing};

#[service]
pub trait Clerk {
    fn double(&self, n: u64) -> u64;
    fn nap(&self, ms: u64);
}

struct Desk;

impl Clerk for Desk {
    fn double(&self, n: u64) -> u64 {
        n.wrapping_mul(2)
    }

    fn nap(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

const ALL: [Waiting; 3] = [Waiting::Adaptive, Waiting::Spin, Waiting::Park];

fn pair(server: Waiting, client: Waiting) -> (ClerkClient, testing::PairServer) {
    let config = ClientConfig { waiting: client, ..ClientConfig::default() };
    testing::pair_with(Server::builder().waiting(server), ClerkDispatcher::new(Desk), &config).unwrap()
}

#[test]
fn each_way_of_waiting_goes_with_each_other() {
    for server in ALL {
        for client in ALL {
            // Two that always look share this machine with the other tests: few calls, each may take a time slice.
            let (clerk, _server) = pair(server, client);
            for n in 0..20 {
                assert_eq!(clerk.double(n).unwrap(), n * 2, "{server:?}, {client:?}");
            }
            clerk.nap(2).unwrap();
            let pending: Vec<_> = (0..20).map(|n| clerk.start().double(n).unwrap()).collect();
            for (n, pending) in (0..).zip(pending) {
                assert_eq!(pending.wait().unwrap(), n * 2, "{server:?}, {client:?}");
            }
            assert!(clerk.with_timeout(Duration::from_millis(5)).nap(300).is_err(), "{server:?}, {client:?}");
        }
    }
}

/// How often this thread has gone to sleep.
fn sleeps() -> i64 {
    // SAFETY: all zeroes are a valid value of a structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the result.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }, 0);
    usage.ru_nvcsw
}

#[test]
fn who_always_looks_does_not_sleep_and_who_parks_does() {
    for (waiting, sleeper) in [(Waiting::Spin, false), (Waiting::Park, true), (Waiting::Adaptive, true)] {
        let (clerk, _server) = pair(Waiting::Adaptive, waiting);
        clerk.nap(1).unwrap();
        let before = sleeps();
        for _ in 0..5 {
            clerk.nap(10).unwrap();
        }
        let slept = sleeps() - before;
        // A wake of the server's doorbell can make a thread wait for the system, but not once a call.
        assert_eq!(slept >= 5, sleeper, "{waiting:?} slept {slept} times");
    }
}

/// Binds this thread, and those that it starts from now on, to the first core that it may run on.
fn share_a_core() {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of bits, for which zero is a value.
    let mut all: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let mut one = all;
    // SAFETY: `all` is a place for that many bytes.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size, &raw mut all) }, 0);
    // SAFETY: only reads the set, below its size.
    let first = (0..libc::CPU_SETSIZE as usize).find(|&core| unsafe { libc::CPU_ISSET(core, &all) }).unwrap();
    // SAFETY: the number lies in the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: reads that many bytes of a local.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size, &raw const one) }, 0);
}

#[test]
fn all_of_them_share_a_core_with_each_other_and_with_somebody_who_computes() {
    share_a_core();
    for waiting in [Waiting::Adaptive, Waiting::Park] {
        for computes in [false, true] {
            let (clerk, _server) = pair(waiting, waiting);
            let over = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                if computes {
                    scope.spawn(|| {
                        while !over.load(std::sync::atomic::Ordering::Relaxed) {
                            std::hint::spin_loop();
                        }
                    });
                }
                for n in 0..if computes { 100 } else { 20_000 } {
                    assert_eq!(clerk.double(n).unwrap(), n * 2, "{waiting:?}");
                }
                assert!(clerk.with_timeout(Duration::from_millis(20)).nap(60).is_err(), "{waiting:?}");
                let pending: Vec<_> = (0..40).map(|n| clerk.start().double(n).unwrap()).collect();
                for (n, pending) in (0..).zip(pending) {
                    assert_eq!(pending.wait().unwrap(), n * 2, "{waiting:?}");
                }
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        }
    }
}
