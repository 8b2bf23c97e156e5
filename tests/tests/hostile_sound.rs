//! What one peer does must not become another's trouble: peers that lie about being gone, that lock folders, that hold what
//! others wait for.
#![allow(missing_docs)]

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ipc_core::{socket, word};
use ipc_rpc::{ClientConfig, service};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::raw::{Peer, overhear};
use ipc_rpc_tests::services::CalcClient;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

/// Shuts its socket down, as a client that has exited, but stays alive and goes on asking.
#[test]
fn a_client_that_only_pretends_to_be_gone_is_let_go() {
    let place = Place::new("a_client_that_only_pretends_to_be_gone_is_let_go");
    let hello = overhear(&place, |path| CalcClient::connect(path));
    let server = place.serve(SERVER, &["workers=2"]);
    let peer = Peer::attach(&place.socket(), &hello);
    let add = peer.numbers[0];
    let request = [0u8; 16];
    assert_eq!(peer.call(0, add, &request), Some(0));
    socket::shut_down(peer.socket.as_fd());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // As an honest client would, so that nothing else gives it away.
                for block in
                    (0..64).filter(|b| peer.head(*b).word.load(Ordering::Acquire) & word::STATE != word::REQUEST)
                {
                    peer.write(block, add, &request);
                    if peer.set(block, word::REQUEST) & word::WATCHED == 0 {
                        peer.push(block);
                    }
                }
            }
        });
        until(|| proc::segments(server.pid()) == 0);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
}

#[service]
pub trait Hold {
    fn page(&self, n: u64) -> u64;
}

struct Pages(AtomicU64);
impl Hold for Pages {
    fn page(&self, n: u64) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        n
    }
}

/// Idle threads keep an eighth of the blocks at most; the others can all be held by one thread.
#[test]
fn idle_threads_leave_the_promised_blocks() {
    let place = Place::new("idle_threads_leave_the_promised_blocks");
    let name = place.socket();
    let server = ipc_rpc::Server::builder().service(HoldDispatcher::new(Pages(AtomicU64::new(0)))).bind(&name).unwrap();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.run());
    let config = ClientConfig { blocks: 16, timeout: Some(Duration::from_secs(2)), ..ClientConfig::default() };
    let client = HoldClient::connect_with(&name, &config).unwrap();
    let (done, idle) = std::sync::mpsc::channel::<()>();
    let other = client.clone();
    let (called, calls) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for n in 0..10 {
            other.page(n).unwrap();
        }
        called.send(()).unwrap();
        let _ = idle.recv();
    });
    calls.recv().unwrap();
    let held: Result<Vec<_>, _> = (0..14).map(|n| client.view().page(n)).collect();
    assert!(held.is_ok(), "{}", held.unwrap_err());
    drop((held, done));
    thread.join().unwrap();
    handle.shutdown();
    serving.join().unwrap().unwrap();
}
