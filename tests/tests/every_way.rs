//! One suite of services over every way to run them; the suite itself is `ipc_rpc_tests::ways`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use ipc_rpc::testing;
use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::ways::{asynchronous, blocking};

const SERVER: &str = env!("CARGO_BIN_EXE_ways_server");

fn serve(place: &Place, form: &str) -> Helper {
    place.serve(SERVER, &[form])
}

fn connected(place: &Place) -> asynchronous::WaysClient {
    asynchronous::WaysClient::connect(place.socket()).unwrap()
}

/// The smallest executor there can be.
fn bare<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn two_processes_blocking() {
    let place = Place::new("two_processes_blocking");
    let _server = serve(&place, "blocking");
    blocking::all(&blocking::WaysClient::connect(place.socket()).unwrap());
}

#[test]
fn two_processes_tokio_on_both_sides() {
    let place = Place::new("two_processes_tokio_on_both_sides");
    let _server = serve(&place, "tokio");
    let client = connected(&place);
    tokio::runtime::Runtime::new().unwrap().block_on(async move {
        // On a thread of the runtime, not only on the one that blocks.
        tokio::spawn(async move { asynchronous::all(&client).await }).await.unwrap();
    });
}

#[test]
fn two_processes_tokio_with_one_thread() {
    let place = Place::new("two_processes_tokio_with_one_thread");
    let _server = serve(&place, "tokio");
    let client = connected(&place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(asynchronous::all(&client));
}

#[test]
fn two_processes_smol_on_both_sides() {
    let place = Place::new("two_processes_smol_on_both_sides");
    let _server = serve(&place, "smol");
    let client = connected(&place);
    smol::block_on(async move { smol::spawn(async move { asynchronous::all(&client).await }).await });
}

#[test]
fn two_processes_the_servers_own_executor_and_a_bare_one() {
    let place = Place::new("two_processes_the_servers_own_executor_and_a_bare_one");
    let _server = serve(&place, "async");
    bare(asynchronous::all(&connected(&place)));
}

#[test]
fn a_pair_in_this_process_blocking() {
    let _place = Place::new("a_pair_in_this_process_blocking");
    let (client, _server) = testing::pair(blocking::WaysDispatcher::new(blocking::Keeper::default())).unwrap();
    blocking::all(&client);
}

#[test]
fn a_pair_in_this_process_async() {
    let _place = Place::new("a_pair_in_this_process_async");
    let (client, _server) = testing::pair(asynchronous::WaysDispatcher::new(asynchronous::Keeper::default())).unwrap();
    bare(asynchronous::all(&client));
    tokio::runtime::Runtime::new().unwrap().block_on(asynchronous::all(&client));
    smol::block_on(asynchronous::all(&client));
}

#[test]
fn several_clients_at_once_in_several_ways() {
    let place = Place::new("several_clients_at_once_in_several_ways");
    let _server = serve(&place, "async");
    std::thread::scope(|scope| {
        scope.spawn(|| bare(all_but_kept(&place)));
        scope.spawn(|| smol::block_on(all_but_kept(&place)));
        scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(all_but_kept(&place)));
    });
}

/// What clients that share a server can assert: its notes and its listener are everybody's.
async fn all_but_kept(place: &Place) {
    let client = connected(place);
    for n in 0..50 {
        let calls: Vec<_> = (0..20).map(|m| client.start().add_later(n, m).unwrap()).collect();
        for (m, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap(), n + m);
        }
    }
}
