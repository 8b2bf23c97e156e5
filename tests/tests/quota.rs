//! Quotas of memory: below them nothing fails, at them the error says which side, how much, and of what, and nothing is lost.

use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, Lack, Memory, MethodName, NoMemory, testing};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{WorkClient, bytes, checksum};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const MIB: usize = 1 << 20;

fn connect(place: &Place, memory: Memory) -> WorkClient {
    WorkClient::connect_with(place.socket(), &ClientConfig { memory, ..ClientConfig::default() }).unwrap()
}

/// What was not sent, or whose result was lost, for want of memory.
fn none(error: CallError) -> (MethodName, bool, NoMemory) {
    assert_eq!(error.to_string().lines().count(), 1);
    match error {
        CallError::NoMemory { method, server, memory } => (method, server, *memory),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_beyond_the_quota_are_not_sent() {
    let place = Place::new("arguments_beyond_the_quota_are_not_sent");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = connect(&place, Memory { quota: 8 * MIB as u64, ..Memory::default() });
    let data = bytes(9 * MIB, 1);
    let runs = client.runs().unwrap();
    let error = client.checksum(&data).unwrap_err();
    assert!(!error.may_have_run() && !error.is_retryable(), "it does not help to wait");
    let (method, server, memory) = none(error);
    assert_eq!((method.to_string().as_str(), server), ("Work::checksum", false));
    assert_eq!((memory.lack, memory.used, memory.allowed), (Lack::Quota, 0, 8 * MIB as u64));
    assert!(memory.wanted > 9 * MIB as u64);
    assert_eq!(client.runs().unwrap(), runs);
    // What is under way counts.
    let data = &data[..5 * MIB];
    let pending = client.start().checksum(data).unwrap();
    let error = client.checksum(data).unwrap_err();
    assert!(error.is_retryable(), "it helps to wait");
    let (_, _, memory) = none(error);
    assert!((5 * MIB as u64..6 * MIB as u64).contains(&memory.used), "{memory:?}");
    assert_eq!(pending.wait().unwrap(), checksum(data));
    assert_eq!(client.checksum(data).unwrap(), checksum(data));
    assert_eq!(client.runs().unwrap(), runs + 2);
}

#[test]
fn results_beyond_the_quota_of_a_client_are_lost_and_nobody_elses() {
    let place = Place::new("results_beyond_the_quota_of_a_client_are_lost_and_nobody_elses");
    let server = place.serve(SERVER, &[&format!("quota={}", 8 * MIB)]);
    let (client, other) = (connect(&place, Memory::default()), connect(&place, Memory::default()));
    let held = client.view().make(5 * MIB as u64, 1).unwrap();
    let runs = client.runs().unwrap();
    let error = client.make(4 * MIB as u64, 2).unwrap_err();
    assert!(error.may_have_run() && !error.is_retryable());
    let (method, server_side, memory) = none(error);
    assert_eq!((method.to_string().as_str(), server_side), ("Work::make", true));
    assert_eq!((memory.lack, memory.allowed), (Lack::Quota, 8 * MIB as u64));
    assert!(memory.wanted > 4 * MIB as u64 && memory.used > 5 * MIB as u64, "{memory:?}");
    assert_eq!(client.runs().unwrap(), runs + 1);
    // The same for one that is made by a future, and one that does not come from this client.
    assert_eq!(other.make(7 * MIB as u64, 3).unwrap().len(), 7 * MIB);
    assert!(held.iter().all(|byte| *byte == 1));
    drop(held);
    until(|| client.make(4 * MIB as u64, 2).is_ok());
    // And all goes back when nobody needs it.
    let memory = || proc::memory(server.pid()).1;
    until(|| memory() < 4 * MIB as u64);
}

#[test]
fn free_memory_goes_back_and_the_thread_that_sees_to_it_with_it() {
    let place = Place::new("free_memory_goes_back_and_the_thread_that_sees_to_it_with_it");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = connect(&place, Memory { idle: Duration::from_millis(20), keep: 64 << 10, ..Memory::default() });
    let tidying = |pid| proc::threads(pid).iter().any(|thread| thread.name == "ipc-rpc memory");
    client.runs().unwrap();
    let before = proc::memory(server.pid()).1;
    for round in 0..3 {
        let data = bytes(10 * MIB, round);
        assert!(client.mirror(&data).unwrap() == data);
        until(|| testing::client_usage(&client).memory.committed <= 64 << 10);
        until(|| proc::memory(server.pid()).1 < 2 * MIB as u64 + before);
        until(|| !tidying(std::process::id()) && !tidying(server.pid()));
        assert_eq!(testing::client_usage(&client).memory.fragmentation(), 0.0);
    }
}
