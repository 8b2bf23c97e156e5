//! Payloads from one byte to 256 MiB, there and back, and what memory both processes keep afterwards. Alone in its file, for
//! tests that run beside it in the same process would be measured with it.

use ipc_rpc_tests::helper::Place;
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{WorkClient, bytes, checksum};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const MIB: usize = 1 << 20;

#[test]
fn one_byte_to_256_mebibytes_and_memory_is_given_back() {
    let place = Place::new("one_byte_to_256_mebibytes_and_memory_is_given_back");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    client.runs().unwrap();
    let pids = [std::process::id(), server.pid()];
    let before = pids.map(proc::memory);
    for power in (0..=20).chain([24]) {
        let data = bytes(1 << power, power);
        assert_eq!(client.checksum(&data).unwrap(), checksum(&data), "there, 2^{power} bytes");
        assert!(client.mirror(&data).unwrap() == data, "there and back, 2^{power} bytes");
    }
    let data = bytes(256 * MIB, 3);
    assert!(client.view().mirror(&data).unwrap().get() == data, "there and back, 256 MiB");
    drop(data);
    // Each of the two arenas keeps a MiB, once it has been idle for a while; the rest is for what the processes do besides.
    let keeps = (2 + 24) * MIB as u64;
    let mut after = before;
    for _ in 0..500 {
        after = pids.map(proc::memory);
        if (0..2).all(|n| after[n].0 + after[n].1 <= before[n].0 + before[n].1 + keeps) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("(private, shared) bytes of client and server: {before:?} before, {after:?} after");
}
