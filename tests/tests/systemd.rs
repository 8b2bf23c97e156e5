//! What systemd passes and is told, with this test in its place.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ipc_core::socket;
use ipc_rpc::ServerInfo;
use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::system::{self, TERMINATE};

const SERVER: &str = env!("CARGO_BIN_EXE_managed_server");

/// Starts the server as systemd does: with sockets from number 3 on, and variables that say so and whom they are meant for.
fn activate(place: &Place, listener: &OwnedFd, names: &str, arguments: &[&str]) -> Helper {
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0 exec \"$@\"", names, SERVER]).args(arguments);
    system::pass_as_three(&mut command, listener.try_clone().unwrap());
    place.run(command)
}

/// A socket as systemd makes one: who accepts at it may wait.
fn listen(place: &Place) -> OwnedFd {
    let listener = UnixListener::from(socket::listen(Path::new(&place.socket()), 0o600).unwrap());
    listener.set_nonblocking(false).unwrap();
    listener.into()
}

#[test]
fn clients_wait_for_a_server_that_is_started_for_them() {
    let place = Place::new("clients_wait_for_a_server_that_is_started_for_them");
    let listener = listen(&place);
    std::thread::scope(|scope| {
        let early = scope.spawn(|| CalcClient::connect(place.socket()).unwrap());
        let mut server = activate(&place, &listener, "calc:x", &["calc", "activated"]);
        assert_eq!(server.line(), "bound");
        let client = early.join().unwrap();
        assert_eq!(client.add(2, 3).unwrap(), 5);
        // What it starts in turn does not have the socket: `FD_CLOEXEC`.
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/3", server.pid())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        assert!(i64::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0, "{info}");
        server.signal(TERMINATE);
        assert_eq!(server.line(), "ended");
        assert!(server.wait().success());
        assert!(fs::exists(place.socket()).unwrap(), "the file is systemd's");
        // Nobody serves, and yet the next call only waits.
        let call = scope.spawn(move || client.add(3, 4));
        let mut server = activate(&place, &listener, "calc", &["calc", "activated", "async"]);
        assert_eq!(server.line(), "bound");
        assert_eq!(call.join().unwrap().unwrap(), 7);
    });
}

/// Where the reply to a call lies: in memory that both processes have, or in this one's own.
fn reads_in_place(place: &Place) -> bool {
    let client = WorkClient::connect(place.socket()).unwrap();
    let reply = client.view().make(3, 7).unwrap();
    assert_eq!(reply.get(), [7; 3]);
    proc::is_shared(reply.get().as_ptr().addr())
}

#[test]
fn who_serves_counts_and_not_who_has_made_the_socket() {
    let place = Place::new("who_serves_counts_and_not_who_has_made_the_socket");
    let listener = listen(&place);
    let mut server = activate(&place, &listener, "calc", &["calc", "activated"]);
    assert_eq!(server.line(), "bound");
    assert!(reads_in_place(&place));
    let info = ServerInfo::of(place.socket(), Duration::from_secs(20)).unwrap();
    assert_eq!((info.pid, info.uid), (server.pid() as i32, system::user()));
    drop(server);
    if !system::is_root() {
        return; // There is no other user to serve.
    }
    // Two clients: the one is there before the server is, which then says that it listens, for the other.
    for path in [place.path(), Path::new(&place.socket())] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let program = place.join("server");
    fs::copy(SERVER, &program).unwrap();
    std::thread::scope(|scope| {
        let early = scope.spawn(|| reads_in_place(&place));
        until(|| fs::read_to_string("/proc/net/unix").unwrap().matches(&place.socket()).count() > 1);
        let mut command = Command::new("sh");
        command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=calc exec \"$@\"", "sh", &program]);
        command.args(["calc", "activated", "everybody"]);
        system::pass_as_three(&mut command, listener.try_clone().unwrap());
        system::run_as(&mut command, 1234, &[]);
        let mut server = place.run(command);
        assert_eq!(server.line(), "bound");
        assert!(!early.join().unwrap(), "a reply of another user's process is read where that one can change it");
        assert!(!reads_in_place(&place));
    });
}

#[test]
fn the_same_socket_serves_again() {
    let place = Place::new("the_same_socket_serves_again");
    let mut server = activate(&place, &listen(&place), "calc", &["calc", "activated", "again"]);
    for _ in 0..2 {
        assert_eq!(server.line(), "bound");
        assert_eq!(CalcClient::connect(place.socket()).unwrap().add(2, 3).unwrap(), 5);
        server.signal(TERMINATE);
        assert_eq!(server.line(), "ended");
    }
    assert!(server.wait().success());
}

#[test]
fn what_is_wrong_with_a_socket_is_said() {
    let place = Place::new("what_is_wrong_with_a_socket_is_said");
    let mut server = place.start(SERVER, &["calc", "activated"]);
    assert!(server.line().starts_with("systemd has passed no sockets"));
    let listener = listen(&place);
    let mut server = activate(&place, &listener, "other", &["calc", "activated"]);
    assert!(server.line().contains("is called calc, but [\"other\"]"));
    // Without a name.
    let mut server = activate(&place, &listener, "", &["unknown", "activated"]);
    assert_eq!(server.line(), "bound");
    drop(server);
    let stream = UnixListener::bind(place.join("stream.sock")).unwrap().into();
    let mut server = activate(&place, &stream, "calc", &["calc", "activated"]);
    assert!(server.line().contains("ListenSequentialPacket="));
    // Meant for another process.
    let mut command = Command::new(SERVER);
    command.args(["calc", "activated"]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    assert!(place.run(command).line().starts_with("systemd has passed no sockets"));
}

#[test]
fn health_is_told_and_the_watchdog_bites_what_is_failing() {
    let place = Place::new("health_is_told_and_the_watchdog_bites_what_is_failing");
    let socket = UnixDatagram::bind(place.join("notify")).unwrap();
    let told = || {
        let mut text = [0; 100];
        let len = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..len]).into_owned()
    };
    let until_told = |text: &str| {
        let before = std::iter::repeat_with(told).take_while(|told| told != text);
        assert!(before.into_iter().all(|told| told == "WATCHDOG=1"), "something else before {text}");
    };
    let mut command = Command::new(SERVER);
    let variables = [("NOTIFY_SOCKET", place.join("notify")), ("WATCHDOG_USEC", "20000".into())];
    command.args([&place.socket(), "notify", "busy"]).envs(variables);
    let mut server = place.run(command);
    assert_eq!(server.line(), "bound");
    assert_eq!(told(), "STATUS=not ready: it begins");
    // It serves nevertheless.
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(2, 3).unwrap(), 5);
    server.say("ready");
    until_told("READY=1\nSTATUS=ready");
    server.say("failing");
    until_told("STATUS=failing: its disk is full");
    // At most one that was under way.
    let next = told_within(&socket);
    assert!(next.is_none() || told_within(&socket).is_none(), "it goes on to say that it is well");
    server.say("ready");
    until_told("READY=1\nSTATUS=ready");
    until_told("WATCHDOG=1");
}

/// What is said in ten times the time in which a server that is well says so.
fn told_within(socket: &UnixDatagram) -> Option<usize> {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let got = socket.recv(&mut [0; 100]).ok();
    socket.set_read_timeout(None).unwrap();
    got
}

#[test]
fn systemd_is_told() {
    let place = Place::new("systemd_is_told");
    let (file, hidden) = (place.join("notify"), format!("@{}", place.join("hidden")));
    let there = SocketAddr::from_abstract_name(hidden.strip_prefix('@').unwrap()).unwrap();
    let sockets = [UnixDatagram::bind(&file).unwrap(), UnixDatagram::bind_addr(&there).unwrap()];
    for (n, (name, socket)) in [file, hidden].iter().zip(sockets).enumerate() {
        let told = || {
            let mut text = [0; 100];
            let len = socket.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..len]).into_owned()
        };
        let mut command = Command::new(SERVER);
        command.arg(place.socket()).arg("notify").env("NOTIFY_SOCKET", name);
        let watched = n == 0;
        if watched {
            command.arg("async").env("WATCHDOG_USEC", "20000");
        }
        let mut server = place.run(command);
        assert_eq!(server.line(), "bound");
        assert_eq!(told(), "READY=1");
        if watched {
            for _ in 0..3 {
                assert_eq!(told(), "WATCHDOG=1");
            }
        } else {
            assert!(proc::threads(server.pid()).iter().all(|thread| thread.name != "ipc-rpc watchdo"));
        }
        server.signal(TERMINATE);
        // What it had said before it heard.
        while match &*told() {
            "WATCHDOG=1" if watched => true,
            last => {
                assert_eq!(last, "STOPPING=1");
                false
            }
        } {}
        assert_eq!(server.line(), "ended");
    }
}
