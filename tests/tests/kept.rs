//! Arguments that a handler keeps beyond its call.

use std::sync::Arc;
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, ClientUsage, Limits, Server, Trust, testing};
use ipc_rpc_tests::helper::{Place, faithful, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::services::{bytes, checksum};
use ipc_rpc_tests::shelf::{Frame, ShelfClient, ShelfDispatcher, Store, Thing};
use ipc_rpc_tests::watchdog::Watchdog;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

/// In the block, in the memory that is lent with it, and in pieces of it.
const SIZES: [usize; 5] = [0, 60, 3000, 200_000, 5_000_000];

fn usage(client: &ShelfClient) -> ClientUsage {
    testing::client_usage(client)
}

fn idle(client: &ShelfClient) {
    until(|| usage(client).is_idle());
}

/// A server and a client in this process, and what the server keeps.
fn pair(builder: ipc_rpc::ServerBuilder, config: &ClientConfig) -> (Arc<Store>, ShelfClient, testing::PairServer) {
    let store = Arc::<Store>::default();
    let (client, server) = testing::pair_with(builder, ShelfDispatcher::new(store.clone()), config).unwrap();
    (store, client, server)
}

#[test]
fn what_is_kept_stays_as_it_was() {
    let place = Place::new("what_is_kept_stays_as_it_was");
    let _server = place.serve(SERVER, &["workers=2"]);
    let client = ShelfClient::connect_with(place.socket(), &faithful()).unwrap();
    let all: Vec<_> = SIZES.iter().map(|len| bytes(*len, *len as u8)).collect();
    for (key, data) in (0..).zip(&all) {
        assert_eq!(client.put(2 * key, data).unwrap(), checksum(data));
        assert_eq!(smol::block_on(client.put_later(2 * key + 1, data)).unwrap(), checksum(data));
    }
    let kept = usage(&client);
    assert_eq!((kept.kept, kept.blocks), (10, 10), "{kept:?}");
    assert!(kept.memory.used > 2 * 5_203_000, "{kept:?}");
    // Other calls have other memory.
    for round in 0..200 {
        let data = bytes(round * 997, round as u8);
        assert_eq!(client.look(&data).unwrap(), checksum(&data));
    }
    assert_eq!(usage(&client).kept, 10);
    for (key, data) in (0..).zip(&all) {
        for key in [2 * key, 2 * key + 1] {
            assert_eq!(client.checksum(key).unwrap(), Some(checksum(data)));
            assert!(client.take(key).unwrap());
        }
    }
    idle(&client);
}

#[test]
fn clients_that_are_gone_count_as_long_as_something_of_theirs_is_kept() {
    let place = Place::new("clients_that_are_gone_count_as_long_as_something_of_theirs_is_kept");
    let store = Arc::<Store>::default();
    let limits = Limits { clients: 2, ..Limits::default() };
    let server = Server::builder().service(ShelfDispatcher::new(store.clone())).limits(limits).bind(place.socket());
    let server = server.unwrap();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.run().unwrap());
    for key in 0..2 {
        let client = ShelfClient::connect(place.socket()).unwrap();
        client.put(key, &bytes(100, 1)).unwrap();
        drop(client);
        until(|| handle.usage().clients == 0);
    }
    let refused = ShelfClient::connect(place.socket()).unwrap_err();
    assert!(refused.to_string().contains("it has 2 clients"), "{refused}");
    store.things().remove(&0);
    let client = ShelfClient::connect(place.socket()).unwrap();
    assert!(client.take(1).unwrap());
    until(|| handle.usage().retired == 0);
    drop(client);
    handle.shutdown();
    serving.join().unwrap();
}

#[test]
fn several_of_one_call_share_its_memory() {
    let _watchdog = Watchdog::start("several_of_one_call_share_its_memory");
    let (store, client, server) = pair(Server::builder(), &ClientConfig::default());
    let frame = Frame { width: 7, pixels: bytes(100_000, 3), names: vec!["a".into(), "b".into()] };
    assert_eq!(client.put_text(1, &frame, "some text").unwrap(), "7 some text");
    assert_eq!((usage(&client).kept, server.usage().kept), (1, 1));
    let Some(Thing::Text(text)) = store.things().remove(&1) else { panic!("no text") };
    assert_eq!((text.get(), text.len()), ("some text", 9));
    let other = text.clone();
    drop(text);
    assert_eq!((usage(&client).kept, server.usage().kept), (1, 1));
    // It is `Send` and `Sync`, and prints as the value does.
    std::thread::spawn(move || {
        assert_eq!(format!("{other:?} {}", other.to_owned().unwrap()), "\"some text\" some text")
    })
    .join()
    .unwrap();
    idle(&client);
    assert!(server.usage().is_idle(), "{:?}", server.usage());
}

#[test]
fn whatever_the_call_comes_to() {
    let _watchdog = Watchdog::start("whatever_the_call_comes_to");
    let (store, client, server) = pair(Server::builder(), &ClientConfig::default());
    let frame = Frame { width: 7, pixels: bytes(100_000, 3), names: vec![] };
    let error = client.put_frame(1, &frame, true).unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    let error = client.put_frame(2, &frame, false).unwrap_err();
    assert!(matches!(error, CallError::Handler(_)), "{error:?}");
    // A stream that reads out of what is kept.
    let data = bytes(50_000, 1);
    let pieces: Vec<_> = client.put_pieces(3, 999, &data).unwrap().map(Result::unwrap).collect();
    assert!(pieces.concat() == data);
    // Not waited for.
    client.leave(4, &data).unwrap();
    client.flush().unwrap();
    // Given up while it runs.
    let hasty = client.with_timeout(Duration::from_millis(30));
    while store.sum(5).is_none() {
        let error = hasty.put_and_wait(5, &data).unwrap_err();
        assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    }
    until(|| usage(&client).kept == 5 && usage(&client).zombies == 0);
    for key in 1..6 {
        let expected = if key < 3 { &frame.pixels } else { &data };
        assert_eq!(store.sum(key), Some(checksum(expected)));
    }
    // A reply that is held, in memory of its own, while its arguments are kept; in every order.
    for order in 0..3 {
        let large = client.view().pass_on(0, &bytes(300_000, 9)).unwrap();
        let kept = client.view().put(6, &data).unwrap();
        if order == 0 {
            store.things().remove(&6);
        }
        drop(kept);
        if order == 1 {
            store.things().remove(&6);
        }
        assert!(large.get() == bytes(300_000, 9));
        drop(large);
        store.things().remove(&6);
    }
    until(|| usage(&client).kept == 5); // What was passed on is dropped by other threads.
    store.things().clear();
    idle(&client);
    until(|| server.usage().is_idle());
}

#[test]
fn dropped_at_any_moment() {
    let _watchdog = Watchdog::start("dropped_at_any_moment");
    let config = ClientConfig { blocks: 8, ..ClientConfig::default() };
    let (store, client, server) = pair(Server::builder().workers(3), &config);
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let (client, store) = (client.clone(), store.clone());
            scope.spawn(move || {
                let mut random = Random::new(thread.into());
                for round in 0..1500u32 {
                    let data = bytes(random.below(if round % 50 == 0 { 200_000 } else { 400 }) as usize, round as u8);
                    match random.below(5) {
                        0 => assert!(client.pass_on(random.below(30) as u32, &data).unwrap() == data),
                        1 => assert!(client.view().pass_on(0, &data).unwrap().get() == data),
                        2 => assert_eq!(client.put(thread, &data).unwrap(), checksum(&data)),
                        3 => {
                            // All blocks may be in use.
                            let Ok(pending) = client.start().put_later(thread, &data) else { continue };
                            let kept = smol::block_on(async { smol::future::poll_once(pending).await });
                            assert!(kept.is_none_or(|sum| sum.unwrap() == checksum(&data)));
                        }
                        _ => client.leave(thread, &data).unwrap(),
                    }
                    if random.chance(2) {
                        drop(store.things().remove(&thread));
                    }
                }
            });
        }
    });
    client.flush().unwrap();
    until(|| {
        store.things().clear();
        usage(&client).is_idle() && server.usage().is_idle()
    });
}

#[test]
fn a_loan_stays_as_it_is_while_it_is_kept() {
    let _watchdog = Watchdog::start("a_loan_stays_as_it_is_while_it_is_kept");
    let (store, client, server) = pair(Server::builder(), &ClientConfig::default());
    let mut loan = client.loan::<u8>(1 << 20).unwrap();
    loan.copy_from_slice(&bytes(1 << 20, 4));
    let sum = client.put(1, &loan).unwrap();
    assert_eq!(smol::block_on(client.put_later(2, &loan)).unwrap(), sum);
    let used = usage(&client);
    assert!(used.kept == 2 && used.memory.used < 2 << 20, "{used:?}");
    drop(store.things().remove(&1));
    assert!(loan.is_lent());
    let mut other = loan.clone();
    loan[0] ^= 1;
    assert_eq!((store.sum(2), sum), (Some(sum), checksum(&bytes(1 << 20, 4))));
    other[1] ^= 1;
    drop(store.things().remove(&2));
    drop((loan, other));
    idle(&client);
    until(|| server.usage().is_idle());
}

#[test]
fn a_server_that_keeps_everything_makes_its_client_wait() {
    let _watchdog = Watchdog::start("a_server_that_keeps_everything_makes_its_client_wait");
    let config = ClientConfig { blocks: 4, timeout: Some(Duration::from_millis(50)), ..ClientConfig::default() };
    let (store, client, _server) = pair(Server::builder(), &config);
    for key in 0..4 {
        client.with_timeout(Duration::from_secs(60)).put(key, &[key as u8]).unwrap();
    }
    let error = client.look(&[1]).unwrap_err();
    let CallError::Busy { server: false, .. } = &error else { panic!("{error:?}") };
    assert!(!error.may_have_run() && error.is_retryable());
    assert!(error.to_string().contains("in use; the server keeps the arguments of 4 calls; drop"), "{error}");
    assert!(matches!(client.start().look(&[1]), Err(CallError::Busy { .. })));
    // Whoever waits gets what is released.
    let patient = client.with_timeout(Duration::from_secs(60));
    for (key, asynchronous) in [(0, false), (1, true)] {
        std::thread::scope(|scope| {
            let waits = scope
                .spawn(|| if asynchronous { smol::block_on(patient.put_later(9, &[5])) } else { patient.put(9, &[5]) });
            until(|| asynchronous || usage(&client).waiting == 0);
            std::thread::sleep(Duration::from_millis(20)); // It sleeps, mostly.
            drop(store.things().remove(&key));
            assert_eq!(waits.join().unwrap().unwrap(), checksum(&[5]));
        });
    }
    store.things().clear();
    idle(&client);
}

#[test]
fn a_server_keeps_so_many_of_a_client() {
    let _watchdog = Watchdog::start("a_server_keeps_so_many_of_a_client");
    let limits = Limits { kept: 2, ..Limits::default() };
    let (store, client, server) = pair(Server::builder().limits(limits), &ClientConfig::default());
    for key in 0..2 {
        client.put(key, &[1]).unwrap();
    }
    for error in [client.put(2, &[1]).unwrap_err(), smol::block_on(client.put_later(2, &[1])).unwrap_err()] {
        let CallError::Busy { server: true, reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!(&**reason, "it keeps 2 arguments of this client, as many as `Limits::kept` allows");
        assert!(!error.may_have_run() && error.to_string().contains(&**reason), "{error}");
    }
    assert_eq!(store.sum(2), None);
    // Others have their own.
    let other = server.connect(&ShelfDispatcher::new(store.clone()), &ClientConfig::default()).unwrap();
    assert!(other.put(2, &[1]).is_ok());
    drop(store.things().remove(&0));
    assert!(client.put(0, &[1]).is_ok());
    assert_eq!(server.usage().kept, 3);
    store.things().clear();
    idle(&client);
    idle(&other);
}

#[test]
fn a_private_copy_is_kept_without_the_clients_memory() {
    let _watchdog = Watchdog::start("a_private_copy_is_kept_without_the_clients_memory");
    let (store, client, server) = pair(Server::builder().trust(Trust::Snapshot), &ClientConfig::default());
    for (key, len) in (0..).zip(SIZES) {
        let data = bytes(len, 1);
        assert_eq!(client.put(2 * key, &data).unwrap(), checksum(&data));
        assert_eq!(smol::block_on(client.put_later(2 * key + 1, &data)).unwrap(), checksum(&data));
    }
    idle(&client);
    assert_eq!(server.usage().kept, 10);
    drop(client);
    drop(server);
    for (key, len) in (0..).zip(SIZES) {
        assert_eq!(store.sum(2 * key), Some(checksum(&bytes(len, 1))));
        assert_eq!(store.sum(2 * key + 1), store.sum(2 * key));
    }
}

#[test]
fn the_client_is_killed() {
    let place = Place::new("the_client_is_killed");
    let store = Arc::<Store>::default();
    let server = Server::builder().service(ShelfDispatcher::new(store.clone())).bind(place.socket()).unwrap();
    let handle = server.handle();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.run());
        let mut client = place.start(CLIENT, &["shelve", &place.socket(), "5"]);
        assert_eq!(client.line(), "shelved");
        client.kill();
        until(|| handle.usage().clients == 0);
        let right = |key: u32| Some(checksum(&bytes(10 + key as usize * 100_000, key as u8)));
        for key in 0..5 {
            assert_eq!(store.sum(key), right(key));
        }
        let left = handle.usage();
        assert_eq!((left.kept, left.retired), (5, 1), "{left:?}");
        // As long as one of them is left, so is the memory.
        (0..4).for_each(|key| drop(store.things().remove(&key)));
        assert_eq!((store.sum(4), proc::segments(std::process::id())), (right(4), 1));
        handle.shutdown();
        serving.join().unwrap().unwrap();
    });
    assert_eq!(store.things().len(), 1);
    store.things().clear();
    until(|| proc::segments(std::process::id()) == 0);
}

#[test]
fn the_server_is_killed_or_leaves() {
    let place = Place::new("the_server_is_killed_or_leaves");
    for kills in [true, false] {
        let mut server = place.serve::<&str>(SERVER, &[]);
        let client = ShelfClient::connect_with(place.socket(), &ClientConfig { blocks: 4, ..faithful() }).unwrap();
        for key in 0..4 {
            client.put(key, &bytes(100_000, 1)).unwrap();
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| client.look(&[1]));
            std::thread::sleep(Duration::from_millis(20));
            if kills {
                server.kill();
            } else {
                server.say("shutdown");
                assert_eq!(server.line(), "ended");
            }
            let error = waits.join().unwrap().unwrap_err();
            assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
        });
        drop(client);
        until(|| proc::segments(std::process::id()) == 0);
    }
}

#[test]
fn the_server_leaves_while_they_are_read() {
    let _watchdog = Watchdog::start("the_server_leaves_while_they_are_read");
    let (store, client, server) = pair(Server::builder(), &ClientConfig { reconnect: None, ..ClientConfig::default() });
    let data = bytes(200_000, 7);
    client.put(1, &data).unwrap();
    smol::block_on(client.put_later(2, &data)).unwrap();
    drop(server);
    assert!(client.look(&[1]).is_err());
    drop(client);
    assert_eq!((store.sum(1), store.sum(2)), (Some(checksum(&data)), Some(checksum(&data))));
    drop(store);
    until(|| proc::segments(std::process::id()) == 0);
}
