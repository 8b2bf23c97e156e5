//! Descriptors, address space, memory or a disk run out: each is an error that says so, to whoever asked for more, and the rest
//! goes on.

use std::process::Command;

use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::services::CalcClient;
use ipc_rpc_tests::{proc, system};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");
const MIB: u32 = 1 << 20;

/// A client that does what it is told.
struct Obedient(Helper);

impl Obedient {
    fn start(place: &Place) -> Self {
        Obedient(place.start(CLIENT, &["obey", &place.socket()]))
    }

    fn tell(&mut self, command: &str) -> String {
        self.0.say(command);
        self.0.line()
    }

    fn connect(&mut self, arena: u32) -> String {
        self.tell(&format!("connect {arena}"))
    }
}

/// A client that is connected, and one that wants to be.
fn two(place: &Place) -> (Obedient, Obedient) {
    let (mut old, new) = (Obedient::start(place), Obedient::start(place));
    assert_eq!(old.connect(64 * MIB), "done");
    assert_eq!(old.tell("mirror 100000"), "done");
    (old, new)
}

/// How many descriptors process `pid` has.
fn descriptors(pid: u32) -> usize {
    proc::descriptors(pid).len()
}

/// Leaves process `pid` so many descriptors that it can open. Gives what it was allowed before.
fn leave(pid: u32, left: usize) -> u64 {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<u64> = open.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // Each takes the lowest number that is free.
    let next = (0..).filter(|number| !open.contains(number)).nth(left).unwrap();
    system::limit(pid, system::DESCRIPTORS, next)
}

#[test]
fn a_server_without_descriptors_serves_those_that_it_has() {
    let place = Place::new("a_server_without_descriptors_serves_those_that_it_has");
    let server = place.serve::<&str>(SERVER, &[]);
    let (mut old, mut new) = two(&place);
    let open = descriptors(server.pid());
    // None for the connection; one, but none for the memory that comes with it.
    for left in [0, 1] {
        let before = leave(server.pid(), left);
        let refused = new.connect(MIB);
        assert_ne!(refused, "done");
        let reason = if left == 0 { "did not answer within 300ms" } else { "the server has no descriptors left" };
        assert!(refused.contains(reason), "{left} left: {refused}");
        assert_eq!(old.tell("mirror 100000"), "done");
        system::limit(server.pid(), system::DESCRIPTORS, before);
        assert_eq!(new.connect(MIB), "done");
        assert_eq!(new.tell("mirror 1000"), "done");
        new = Obedient::start(&place);
        until(|| descriptors(server.pid()) == open);
    }
}

#[test]
fn a_client_without_descriptors_calls_over_the_connection_that_it_has() {
    let place = Place::new("a_client_without_descriptors_calls_over_the_connection_that_it_has");
    let _server = place.serve::<&str>(SERVER, &[]);
    let (mut old, new) = two(&place);
    drop(new);
    let open = descriptors(old.0.pid());
    // For the socket and the memory.
    for left in 0..2 {
        let before = leave(old.0.pid(), left);
        let refused = old.connect(MIB);
        assert!(refused.contains("Too many open files"), "{left} left: {refused}");
        assert_eq!(old.tell("mirror 100000"), "done");
        assert_eq!(descriptors(old.0.pid()), open);
        system::limit(old.0.pid(), system::DESCRIPTORS, before);
    }
    assert_eq!(old.connect(MIB), "done");
    assert_eq!(old.tell("mirror 1000"), "done");
}

#[test]
fn a_client_without_address_space_can_connect_with_less() {
    let place = Place::new("a_client_without_address_space_can_connect_with_less");
    let _server = place.serve::<&str>(SERVER, &[]);
    let (mut old, new) = two(&place);
    drop(new);
    system::limit(old.0.pid(), system::ADDRESSES, address_space(old.0.pid()) + u64::from(64 * MIB));
    let refused = old.connect(1024 * MIB);
    assert!(refused.contains("Cannot allocate memory"), "{refused}");
    assert_eq!(old.tell("mirror 100000"), "done");
    assert_eq!(old.connect(MIB), "done");
    assert_eq!(old.tell("mirror 1000"), "done");
}

#[test]
fn a_server_without_address_space_refuses_clients_that_want_much() {
    let place = Place::new("a_server_without_address_space_refuses_clients_that_want_much");
    let server = place.serve::<&str>(SERVER, &[]);
    let (mut old, mut new) = two(&place);
    system::limit(server.pid(), system::ADDRESSES, address_space(server.pid()) + u64::from(64 * MIB));
    let refused = new.connect(1024 * MIB);
    assert!(refused.contains("refused") && refused.contains("Cannot allocate memory"), "{refused}");
    assert_eq!(old.tell("mirror 100000"), "done");
    assert_eq!(new.connect(MIB), "done");
    assert_eq!(new.tell("mirror 1000"), "done");
}

fn address_space(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_that_the_system_does_not_have_fails_one_call() {
    let place = Place::new("memory_that_the_system_does_not_have_fails_one_call");
    let _server = place.serve(SERVER, &[&format!("commit={}", 4 * MIB)]);
    let mut client = Obedient::start(&place);
    assert_eq!(client.connect(64 * MIB), "done");
    for _ in 0..3 {
        let refused = client.tell(&format!("make {}", 16 * MIB));
        assert!(refused.contains("result of Work::make is lost") && refused.contains("No space left"), "{refused}");
        assert_eq!(client.tell(&format!("make {MIB}")), "done");
    }
    // Now the client itself.
    assert_eq!(client.tell(&format!("commit {}", 4 * MIB)), "done");
    for _ in 0..3 {
        let refused = client.tell(&format!("mirror {}", 16 * MIB));
        assert!(
            refused.contains("arguments of Work::mirror were not sent") && refused.contains("No space left"),
            "{refused}"
        );
        assert_eq!(client.tell(&format!("mirror {MIB}")), "done");
    }
}

#[test]
fn a_full_disk_for_the_sockets_is_said_and_room_on_it_suffices() {
    let place = Place::new("a_full_disk_for_the_sockets_is_said_and_room_on_it_suffices");
    let disk = place.join("disk");
    // A disk with room for two names, its own and one more. Only those below see it.
    let script =
        "mkdir $1 && mount -t tmpfs -o nr_inodes=2,mode=700 none $1 2>/dev/null || { echo not permitted; exit; }
        touch $1/full
        $2 $1/x.sock </dev/null
        XDG_RUNTIME_DIR=$1 $2 name </dev/null
        rm $1/full
        exec $2 $1/x.sock";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", &disk, SERVER]);
    let mut servers = place.run(command);
    let by_path = servers.line();
    if by_path.is_empty() || by_path == "not permitted" {
        eprintln!("not tested: a disk cannot be mounted here");
        return;
    }
    assert!(by_path.contains("x.sock failed: No space left on device"), "{by_path}");
    let by_name = servers.line();
    assert!(by_name.contains("name failed: ") && by_name.contains("/ipc-rpc: No space left on device"), "{by_name}");
    assert_eq!(servers.line(), "bound");
    // The socket is on a disk that only the server sees: through its eyes.
    let client = CalcClient::connect(format!("/proc/{}/root{disk}/x.sock", servers.pid())).unwrap();
    assert_eq!(client.add(2, 3).unwrap(), 5);
}
