//! The ways of waiting, and that they differ in who sleeps.
#![allow(missing_docs, unsafe_code)]
// Unsafe code is needed here to ask the system how often a thread slept.

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
            assert!(clerk.with_timeout(Duration::from_millis(5)).nap(30).is_err(), "{server:?}, {client:?}");
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
