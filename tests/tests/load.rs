//! Many callers at once: threads, processes, services, servers.

use std::time::Duration;

use ipc_rpc::{ClientConfig, Server};
use ipc_rpc_tests::helper::{self, Place, settled};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{Adder, CalcClient, CalcDispatcher, WorkClient, bytes, checksum};
use ipc_rpc_tests::zoo::ZooClient;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

#[test]
fn sixty_four_threads_on_one_client() {
    let place = Place::new("sixty_four_threads_on_one_client");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let calc = CalcClient::connect(place.socket()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..64i64 {
            let (client, calc) = (&client, &calc);
            scope.spawn(move || {
                let data = bytes(thread as usize * 97, thread as u8);
                for n in 0..300 {
                    assert_eq!(calc.add(thread << 32, n).unwrap(), (thread << 32) + n);
                    if n % 10 == 0 {
                        assert_eq!(client.checksum(&data).unwrap(), checksum(&data));
                        assert_eq!(client.mirror(&data).unwrap(), data);
                    }
                }
            });
        }
    });
}

#[test]
fn more_threads_than_blocks() {
    let place = Place::new("more_threads_than_blocks");
    let _server = place.serve(SERVER, &["workers=3"]);
    let config = ClientConfig { blocks: 4, timeout: None, ..ClientConfig::default() };
    let calc = CalcClient::connect_with(place.socket(), &config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..24i64 {
            let calc = &calc;
            scope.spawn(move || {
                for n in 0..200 {
                    // Some are given up, so that their blocks come home by the announcements.
                    let _ = calc.with_timeout(Duration::from_micros(20)).add(thread, n);
                    assert_eq!(calc.add(thread, n).unwrap(), thread + n);
                }
            });
        }
    });
}

#[test]
fn thirty_two_client_processes_on_one_server() {
    let place = Place::new("thirty_two_client_processes_on_one_server");
    let server = place.serve::<&str>(SERVER, &[]);
    let descriptors = settled(&place, &server);
    let mut clients: Vec<_> = (0..32).map(|_| place.start(CLIENT, &["calls", &place.socket(), "300"])).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "done", "{}", client.errors());
        assert!(client.wait().success());
    }
    helper::until(|| proc::segments(server.pid()) == 0 && proc::descriptors(server.pid()) == descriptors);
}

#[test]
fn several_services_on_one_server() {
    let place = Place::new("several_services_on_one_server");
    let _server = place.serve::<&str>(SERVER, &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let work = WorkClient::connect(place.socket()).unwrap();
    let zoo = ZooClient::connect(place.socket()).unwrap();
    for n in 0..100 {
        assert_eq!(calc.add(n, n).unwrap(), 2 * n);
        assert_eq!(zoo.an_i64(n).unwrap(), n);
        assert_eq!(work.sleep(0).unwrap(), n as u64 + 1);
    }
    drop(calc);
    assert_eq!(work.runs().unwrap(), 100);
}

#[test]
fn several_clients_and_servers_in_one_process() {
    let place = Place::new("several_clients_and_servers_in_one_process");
    let other_process = place.serve::<&str>(SERVER, &[]);
    let names: Vec<String> = (0..3).map(|n| place.join(&format!("own{n}.sock"))).collect();
    let servers: Vec<_> = names.iter().map(|name| Server::builder().workers(2).bind(name).unwrap()).collect();
    let handles: Vec<_> = servers.iter().map(Server::handle).collect();
    std::thread::scope(|scope| {
        let serving: Vec<_> =
            servers.into_iter().map(|server| scope.spawn(|| server.serve(CalcDispatcher::new(Adder)))).collect();
        let calling: Vec<_> = (0..12)
            .map(|n| {
                let name = names.get(n % 4).cloned().unwrap_or(place.socket());
                scope.spawn(move || {
                    let client = CalcClient::connect(name).unwrap();
                    for m in 0..300 {
                        assert_eq!(client.add(n as i64, m).unwrap(), n as i64 + m);
                    }
                })
            })
            .collect();
        calling.into_iter().for_each(|c| c.join().unwrap());
        handles.iter().for_each(|h| h.shutdown());
        serving.into_iter().for_each(|s| s.join().unwrap().unwrap());
    });
    assert_eq!(place.files(), ["test.sock"]);
    helper::until(|| proc::segments(other_process.pid()) == 0);
}

#[test]
fn held_replies_stay_as_they_are_while_others_call() {
    let place = Place::new("held_replies_stay_as_they_are_while_others_call");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let held: Vec<_> = (0..100u8).map(|n| client.view().mirror(&bytes(usize::from(n) * 50, n)).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let client = &client;
            scope.spawn(move || (0..200u8).for_each(|n| drop(client.mirror(&bytes(2000, n ^ thread)).unwrap())));
        }
    });
    drop(client);
    server.kill();
    // They outlive the client, the connection and the server.
    for (n, reply) in held.iter().enumerate() {
        assert_eq!(reply.get(), bytes(n * 50, n as u8));
    }
}
