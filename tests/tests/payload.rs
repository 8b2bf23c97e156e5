//! Payloads of all sizes up to some megabytes, there and back; `memory.rs` has the largest.

use ipc_rpc::ClientConfig;
use ipc_rpc_tests::helper::{Place, settled};
use ipc_rpc_tests::services::{WorkClient, bytes, checksum};
use ipc_rpc_tests::{helper, proc};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const MIB: usize = 1 << 20;

fn there_and_back(client: &WorkClient, len: usize) {
    let data = bytes(len, len as u8);
    let sum = checksum(&data);
    assert_eq!(client.checksum(&data).unwrap(), sum, "there, {len} bytes");
    assert_eq!(checksum(&client.mirror(&data).unwrap()), sum, "there and back, {len} bytes");
    // Not decoded: read where the reply lies.
    let view = client.view().mirror(&data).unwrap();
    assert!(view.get() == data, "there and back in place, {len} bytes");
}

#[test]
fn every_size_up_to_a_few_pages() {
    let place = Place::new("every_size_up_to_a_few_pages");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let edges = (9..17).flat_map(|power| (-9i32..9).map(move |near| (1 << power) + near));
    for len in (0..700).chain(edges) {
        there_and_back(&client, len as usize);
    }
}

#[test]
fn many_large_payloads_at_once_stay_apart() {
    let place = Place::new("many_large_payloads_at_once_stay_apart");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let client = client.clone();
            scope.spawn(move || {
                for round in 0..8usize {
                    let data = bytes((round * 173_911 + usize::from(thread) * 7919) % MIB, thread);
                    let held = client.view().mirror(&data).unwrap();
                    assert_eq!(client.checksum(&data).unwrap(), checksum(&data));
                    assert!(client.mirror(&data).unwrap() == data);
                    assert!(held.get() == data, "a held reply changed");
                }
            });
        }
    });
}

#[test]
fn a_closed_client_leaves_no_memory_mapped() {
    let place = Place::new("a_closed_client_leaves_no_memory_mapped");
    let server = place.serve::<&str>(SERVER, &[]);
    let config = ClientConfig { blocks: 16, ..ClientConfig::default() };
    let descriptors = settled(&place, &server);
    for _ in 0..20 {
        let client = WorkClient::connect_with(place.socket(), &config).unwrap();
        there_and_back(&client, MIB / 4);
    }
    helper::until(|| proc::segments(server.pid()) == 0 && proc::descriptors(server.pid()) == descriptors);
}
