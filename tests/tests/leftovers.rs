//! Nothing stays behind, neither in `/dev/shm` nor in the folders of sockets, however the processes ended.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{CalcClient, WorkClient};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

fn shared_memory() -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir("/dev/shm") else { return BTreeSet::new() };
    entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect()
}

#[test]
fn after_all_kinds_of_ends_everything_is_as_before() {
    let place = Place::new("after_all_kinds_of_ends_everything_is_as_before");
    let before = shared_memory();
    let start = |program: &str, arguments: &[&str]| -> Helper {
        let mut command = Command::new(program);
        command.args(arguments).env("XDG_RUNTIME_DIR", place.path());
        place.run(command)
    };
    let sockets = || fs::read_dir(place.join("ipc-rpc")).map_or(0, Iterator::count);
    for round in 0..3 {
        let mut server = start(SERVER, &["name"]);
        assert_eq!(server.line(), "bound");
        let path = place.join("ipc-rpc/name.sock");
        let client = WorkClient::connect(&path).unwrap();
        let _held = client.view().make(1 << 20, 1).unwrap();
        let gate = place.join(&format!("gate{round}-"));
        let mut clinging = start(CLIENT, &["cling", "name", &gate]);
        until(|| fs::exists(format!("{gate}0.in")).unwrap());
        // No name anywhere while it is in use either.
        assert!(proc::segments(server.pid()) >= 2 && shared_memory().is_subset(&before) && sockets() == 1);
        match round {
            // The server is killed; the next one, or the next client, removes its socket.
            0 => server.kill(),
            // The client is killed, then the server.
            1 => {
                clinging.kill();
                server.kill();
                assert!(CalcClient::connect(&path).is_err());
                assert_eq!(sockets(), 0);
            }
            // A graceful end.
            _ => {
                clinging.kill();
                (0..4).for_each(|n| fs::write(format!("{gate}{n}.out"), "").unwrap());
                server.say("shutdown");
                assert_eq!(server.line(), "ended");
            }
        }
    }
    assert_eq!(sockets(), 0);
    // Others may use the folder meanwhile: what was not there before must not stay.
    until(|| shared_memory().is_subset(&before));
}

#[test]
fn helpers_do_not_outlive_their_test() {
    let place = Place::new("helpers_do_not_outlive_their_test");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let pid = server.pid();
    server.hang_up();
    assert!(server.wait().success());
    assert!(!proc::is_alive(pid));
    // Nor a stopped one: the kernel kills it with the thread that started it.
    std::thread::scope(|scope| {
        let pid = scope.spawn(|| {
            let _ = fs::remove_file(place.socket());
            let server = place.serve::<&str>(SERVER, &[]);
            server.stop();
            let pid = server.pid();
            std::mem::forget(server);
            pid
        });
        let pid = pid.join().unwrap();
        until(|| !proc::is_alive(pid));
    });
}
