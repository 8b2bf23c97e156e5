//! What a client that connects again costs. Counts threads of this process, so it is the only test here.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ipc_core::socket;
use ipc_rpc::{CallError, ClientConfig, Reconnect};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::raw::{FakeServer, welcome};
use ipc_rpc_tests::{proc, system};

#[ipc_rpc::service]
trait Sum {
    fn add(&self, a: u64, b: u64) -> u64;
}

/// Threads of this process that make connections, or drop those that were replaced.
fn connecting() -> usize {
    proc::threads(std::process::id()).iter().filter(|thread| thread.name == "ipc-rpc connect").count()
}

#[test]
fn a_server_that_welcomes_and_dies_is_not_besieged() {
    let place = Place::new("a_server_that_welcomes_and_dies_is_not_besieged");
    let server = FakeServer::listen(place.socket());
    let (over, welcomes, threads) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let reconnect =
        Reconnect { first: Duration::from_millis(20), longest: Duration::from_millis(40), ..Reconnect::default() };
    let config = ClientConfig { reconnect: Some(reconnect), ..ClientConfig::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let Some((socket, hello, _segment)) = server.try_accept() else { continue };
                let _ = system::send(socket.as_fd(), &welcome(&hello, 1), &[]);
                welcomes.fetch_add(1, Ordering::Relaxed);
                threads.fetch_max(connecting(), Ordering::Relaxed);
            }
        });
        let client = SumClient::connect_with(server.path(), &config).unwrap();
        let error = client.with_timeout(Duration::from_millis(400)).add(1, 2).unwrap_err();
        assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
        over.store(true, Ordering::Relaxed);
        drop(client);
        until(|| connecting() == 0);
        drop(socket::connect(place.path().join("test.sock").as_path(), u64::MAX).unwrap());
    });
    // A pause is at least half of the first.
    assert!((2..50).contains(&welcomes.into_inner()), "a client that makes one connection after the other");
    assert!(threads.into_inner() <= 2, "threads pile up while a call holds its first connection");
}
