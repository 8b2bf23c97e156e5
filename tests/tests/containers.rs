//! Processes in namespaces of their own, as in containers, that share the folder of the socket and nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::system::{self, TERMINATE};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
#[cfg(feature = "dynamic")]
const RECORDER: &str = env!("CARGO_BIN_EXE_recorder");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");
/// All of a container but its own root folder and users; with hardly any `/dev/shm`.
const CONTAINER: [&str; 6] = ["--mount", "--pid", "--net", "--ipc", "--uts", "--mount-proc"];

/// Runs a program in namespaces.
fn within(namespaces: &[&str], program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["--fork", "--kill-child", "--"]);
    let small = "mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 1; exec \"$@\"";
    let small = if namespaces.contains(&"--mount") { small } else { "exec \"$@\"" };
    command.args(["sh", "-c", small, "sh", program]).args(arguments);
    command
}

/// May this process make such namespaces?
fn may(namespaces: &[&str]) -> bool {
    let may = within(namespaces, "true", &[]).output().is_ok_and(|ran| ran.status.success());
    if !may {
        eprintln!("not permitted here, so not tested: unshare {}", namespaces.join(" "));
    }
    may
}

/// What `unshare` has started.
fn inside(helper: &Helper) -> u32 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", helper.pid())).unwrap();
    children.trim().parse().unwrap()
}

fn serve(place: &Place, namespaces: &[&str], options: &[&str]) -> Helper {
    let socket = place.socket();
    let mut server = place.run(within(namespaces, SERVER, &[&[socket.as_str()], options].concat()));
    assert_eq!(server.line(), "bound", "{}", server.errors());
    server
}

#[test]
fn two_containers_share_only_a_folder() {
    let place = Place::new("two_containers_share_only_a_folder");
    if !may(&CONTAINER) {
        return;
    }
    let socket = place.socket();
    let mut server = serve(&place, &CONTAINER, &[]);
    let mut client = place.run(within(&CONTAINER, CLIENT, &["calls", &socket, "500"]));
    assert_eq!(client.line(), "done", "{}", client.errors());
    // One of the same user cannot trace the other, so messages are not read where they lie; nor if only one is in a container.
    let in_place = ["in_place", socket.as_str()];
    assert_eq!(place.run(within(&CONTAINER, CLIENT, &in_place)).line(), "false some text");
    assert_eq!(place.start(CLIENT, &in_place).line(), "false some text");
    // Nor does it get what all others say.
    #[cfg(feature = "dynamic")]
    {
        let record = [socket.as_str(), "Calc", &place.join("calls"), "1000000"];
        for mut recorder in [place.start(RECORDER, &record), place.run(within(&CONTAINER, RECORDER, &record))] {
            let line = recorder.line();
            assert!(line.contains("another container"), "{line}");
        }
    }
    // As process 1 of its namespace, which the kernel keeps from signals that it has no handler for.
    system::kill(inside(&server), TERMINATE);
    assert_eq!(server.line(), "ended");
    assert!(!fs::exists(&socket).unwrap());
    drop(server);
    let _outside = place.serve::<&str>(SERVER, &[]);
    assert_eq!(place.run(within(&CONTAINER, CLIENT, &in_place)).line(), "false some text");
    assert_eq!(place.start(CLIENT, &in_place).line(), "true some text");
}

#[test]
fn one_container_is_seen_to_be_one() {
    let place = Place::new("one_container_is_seen_to_be_one");
    if !may(&CONTAINER) {
        return;
    }
    let socket = place.socket();
    // Both in the namespaces of the shell that starts them. The server leaves when its input ends.
    let both = "sleep 1000 | \"$1\" \"$2\" & until [ -S \"$2\" ]; do sleep 0.01; done; \"$0\" in_place \"$2\"";
    let mut two = place.run(within(&CONTAINER, "sh", &["-c", both, CLIENT, SERVER, &socket]));
    assert_eq!(two.line(), "bound");
    assert_eq!(two.line(), "true some text");
}

#[test]
fn another_clock_is_said() {
    let place = Place::new("another_clock_is_said");
    let elsewhen = ["--time", "--monotonic=10000"];
    if !may(&elsewhen) {
        return;
    }
    let socket = place.socket();
    let _server = place.serve::<&str>(SERVER, &[]);
    let mut client = place.run(within(&elsewhen, CLIENT, &["connect", &socket]));
    let line = client.line();
    assert!(line.contains("has another clock") && line.contains("here: 10000 0; there: 0 0"), "{line}");
    drop(_server);
    let _server = serve(&place, &elsewhen, &[]);
    let mut client = place.run(within(&elsewhen, CLIENT, &["calls", &socket, "100"]));
    assert_eq!(client.line(), "done", "the same clock: {}", client.errors());
}

#[test]
fn users_without_a_number_are_not_one_user() {
    let place = Place::new("users_without_a_number_are_not_one_user");
    let nobody = ["--user", "--map-user=65534", "--map-group=65534"];
    if !system::is_root() || !may(&nobody) {
        return;
    }
    let socket = place.socket();
    // Other users may not get to where the client was built.
    let copy = place.join("client");
    fs::copy(CLIENT, &copy).unwrap();
    for path in [place.path(), copy.as_ref()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    // To the server this client, of whom it knows nothing, has the number of the server's own user.
    let server = serve(&place, &nobody, &["allow=1"]);
    let mut stranger = Command::new(copy);
    stranger.args(["connect", &socket]);
    system::run_as(&mut stranger, 4242, &[]);
    let line = place.run(stranger).line();
    assert!(line.contains("user 65534 (group 65534) is not allowed"), "{line}");
    drop(server);
    let _server = serve(&place, &nobody, &["allow=65534"]);
    let mut command = Command::new(CLIENT);
    command.args(["in_place", &socket]);
    assert_eq!(place.run(command).line(), "false some text");
}
