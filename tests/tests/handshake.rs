//! Builds that do not fit together: another version, another layout of messages, changed and unknown services.

use ipc_rpc::{CallError, ClientConfig, ConnectError};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::raw::{self, FakeServer, MAGIC, PROBE_AT, VERSION_AT};
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::system;
use std::os::fd::AsFd;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CHANGED: &str = env!("CARGO_BIN_EXE_changed_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

fn all_or_nothing() -> ClientConfig {
    ClientConfig { require_all: true, ..ClientConfig::default() }
}

#[test]
fn a_client_of_another_version_is_told_the_servers() {
    let place = Place::new("a_client_of_another_version_is_told_the_servers");
    let _server = place.serve::<&str>(SERVER, &[]);
    let mut hello = raw::overhear(&place, |path| CalcClient::connect(path));
    hello[VERSION_AT] ^= 0x40;
    // Nothing behind the version is read: another version may have anything there.
    hello.truncate(VERSION_AT + 4);
    let (_socket, answer) = raw::greet(&place.socket(), &hello, &[]);
    let mut expected = MAGIC.to_vec();
    expected.extend(3u32.to_le_bytes());
    expected.push(1);
    assert_eq!(answer.unwrap(), expected);
}

#[test]
fn a_client_names_both_versions_if_the_servers_is_another() {
    let place = Place::new("a_client_names_both_versions_if_the_servers_is_another");
    let server = FakeServer::listen(place.socket());
    let mut client = place.start(CLIENT, &["connect", &place.socket()]);
    let (socket, ..) = server.accept();
    let answer = [MAGIC.as_slice(), &7u32.to_le_bytes(), b"whatever version 7 says"].concat();
    system::send(socket.as_fd(), &answer, &[]).unwrap();
    let text = format!("the server at {} speaks protocol version 7, this client version 3", place.socket());
    let line = client.line();
    assert!(line.starts_with(&text) && line.ends_with("build both with the same version of ipc-rpc"), "{line}");
}

#[test]
fn another_layout_of_messages_is_told_by_both_sides() {
    let place = Place::new("another_layout_of_messages_is_told_by_both_sides");
    let _server = place.serve::<&str>(SERVER, &[]);
    let honest = raw::overhear(&place, |path| CalcClient::connect(path));
    let mut hello = honest.clone();
    // "u64 8/8 .." becomes "u64 9/8 ..".
    assert_eq!(&hello[PROBE_AT + 2..PROBE_AT + 9], b"u64 8/8");
    hello[PROBE_AT + 6] = b'9';
    let (_socket, answer) = raw::greet(&place.socket(), &hello, &[]);
    let answer = answer.unwrap();
    assert_eq!(answer[12], 2);
    assert!(String::from_utf8_lossy(&answer[15..]).starts_with("u64 8/8 u128 16/16"));
    // The other way round: the client prints both.
    let server = FakeServer::listen(place.join("other.sock"));
    let mut client = place.start(CLIENT, &["connect", server.path()]);
    let (socket, ..) = server.accept();
    let mut answer = [MAGIC.as_slice(), &3u32.to_le_bytes(), &[2], &9u16.to_le_bytes()].concat();
    answer.extend(b"u64 8/4 x");
    system::send(socket.as_fd(), &answer, &[]).unwrap();
    let line = client.line();
    assert!(line.contains("lays messages out differently") && line.contains("(here: u64 8/8 u128"), "{line}");
    assert!(line.ends_with("there: u64 8/4 x)"), "{line}");
}

#[test]
fn the_first_differing_argument_is_named_at_connect_when_nothing_is_usable() {
    let place = Place::new("the_first_differing_argument_is_named_at_connect_when_nothing_is_usable");
    let _server = place.serve::<&str>(CHANGED, &[]);
    let error = CalcClient::connect(place.socket()).unwrap_err();
    assert!(matches!(error, ConnectError::Incompatible { .. }), "{error:?}");
    let text = "Calc::add argument 2: i64 here, i32 there";
    assert_eq!(error.to_string(), format!("the server at {} has another signature: {text}", place.socket()));
    let line = place.start(CLIENT, &["connect", &place.socket()]).line();
    assert!(line.ends_with(text), "{line}");
}

#[test]
fn a_changed_method_fails_alone_unless_all_are_required() {
    let place = Place::new("a_changed_method_fails_alone_unless_all_are_required");
    let _server = place.serve::<&str>(CHANGED, &[]);
    let client = WorkClient::connect(place.socket()).unwrap();
    // The same method at another place in the trait.
    assert_eq!(client.runs().unwrap(), 4711);
    let error = client.fail(1).unwrap_err();
    assert!(matches!(error, CallError::Incompatible(_)) && !error.may_have_run(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "client and server were built from different traits: Work::fail result, WorkError.code: i32 here, i64 there; build both from the same one"
    );
    // Added to the trait after the server was built.
    let error = client.sleep(1).unwrap_err();
    assert_eq!(error.to_string(), "the server has no method Work::sleep: it was built from an older trait");
    assert_eq!(client.runs().unwrap(), 4711);
    let error = WorkClient::connect_with(place.socket(), &all_or_nothing()).unwrap_err();
    assert!(matches!(error, ConnectError::Incompatible { .. }), "{error:?}");
    let error = CalcClient::connect_with(place.socket(), &all_or_nothing()).unwrap_err();
    assert!(error.to_string().ends_with("Calc::add argument 2: i64 here, i32 there"), "{error}");
}

#[test]
fn all_required_and_all_there() {
    let place = Place::new("all_required_and_all_there");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect_with(place.socket(), &all_or_nothing()).unwrap();
    assert_eq!(client.runs().unwrap(), 0);
}

#[test]
fn an_unknown_service_is_refused_with_those_there_are() {
    let place = Place::new("an_unknown_service_is_refused_with_those_there_are");
    let _server = place.serve::<&str>(CHANGED, &[]);
    let error = ipc_rpc_tests::zoo::BorrowedClient::connect(place.socket()).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(error.to_string().ends_with("it does not serve Borrowed, but Calc, Work"), "{error}");
}

#[test]
fn limits_of_the_server_are_named() {
    let place = Place::new("limits_of_the_server_are_named");
    let server = place.serve(SERVER, &["clients=2", "blocks=64", "memory=1048576"]);
    let config = ClientConfig { blocks: 64, arguments: 1 << 20, replies: 1 << 20, ..ClientConfig::default() };
    let error = CalcClient::connect_with(place.socket(), &ClientConfig { blocks: 65, ..config.clone() }).unwrap_err();
    let text = "the client wants 65 blocks and 1048576 bytes, `Limits` allows 64 and 1048576";
    assert!(error.to_string().ends_with(text), "{error}");
    assert!(CalcClient::connect(place.socket()).is_err());
    let clients = [(); 2].map(|()| CalcClient::connect_with(place.socket(), &config).unwrap());
    let error = CalcClient::connect_with(place.socket(), &config).unwrap_err();
    assert!(error.to_string().ends_with("it has 2 clients and `Limits::clients` is 2"), "{error}");
    assert_eq!(clients[1].add(1, 2).unwrap(), 3);
    drop(clients);
    until(|| CalcClient::connect_with(place.socket(), &config).is_ok());
    assert!(ipc_rpc_tests::proc::is_alive(server.pid()));
    for bad in [ClientConfig { blocks: 0, ..config.clone() }, ClientConfig { blocks: 16_385, ..config.clone() }] {
        let error = CalcClient::connect_with(place.socket(), &bad).unwrap_err();
        assert!(error.to_string().contains("`blocks` is 1 to 16384"), "{error}");
    }
}

#[test]
fn what_is_not_a_server_is_recognised() {
    let place = Place::new("what_is_not_a_server_is_recognised");
    let garbage: [&[u8]; 4] =
        [b"HTTP/1.1 400 Bad Request", b"ipc-rpc\0\x03\0\0\0\x00\x05", b"ipc-rpc\0\x03\0\0\0\x09", b"i"];
    for answer in garbage {
        let server = FakeServer::listen(place.socket());
        let mut client = place.start(CLIENT, &["connect", &place.socket()]);
        let (socket, ..) = server.accept();
        system::send(socket.as_fd(), answer, &[]).unwrap();
        assert_eq!(client.line(), format!("what is at {} is not an ipc-rpc server", place.socket()));
    }
    // A socket of another kind.
    let path = place.join("stream.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(CalcClient::connect(&path), Err(ConnectError::NotAServer { .. })));
    // Says nothing, and hangs up.
    let server = FakeServer::listen(place.socket());
    let mut client = place.start(CLIENT, &["connect", &place.socket()]);
    drop(server.accept());
    let line = client.line();
    assert!(line.ends_with("it closed the connection without a word"), "{line}");
}
