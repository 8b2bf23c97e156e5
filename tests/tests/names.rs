//! Names and their sockets: taken, stale, private, not for everybody.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use ipc_rpc::{BindError, ClientConfig, ConnectError, Server};
use ipc_rpc_tests::helper::{Helper, Place, faithful};
use ipc_rpc_tests::services::CalcClient;
use ipc_rpc_tests::system;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");
/// The user that owns nothing.
const NOBODY: u32 = 65534;

#[test]
fn a_taken_name_is_refused_with_path_and_process() {
    let place = Place::new("a_taken_name_is_refused_with_path_and_process");
    let server = place.serve::<&str>(SERVER, &[]);
    let error = Server::bind(place.socket()).unwrap_err();
    let BindError::AddressInUse { path, pid } = &error else { panic!("{error:?}") };
    assert_eq!((path.display().to_string(), *pid), (place.socket(), Some(server.pid() as i32)));
    let text = format!("a server is running at {} (process {})", place.socket(), server.pid());
    assert!(error.to_string().starts_with(&text), "{error}");
    // The same from another process, also while the first one is stopped.
    server.stop();
    let mut second = place.start(SERVER, &[place.socket()]);
    assert!(second.line().starts_with(&text));
    server.go_on();
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
}

#[test]
fn a_killed_servers_socket_is_replaced_by_the_next_server() {
    let place = Place::new("a_killed_servers_socket_is_replaced_by_the_next_server");
    for n in 0..5 {
        let mut server = place.serve::<&str>(SERVER, &[]);
        assert_eq!(CalcClient::connect(place.socket()).unwrap().add(n, 2).unwrap(), n + 2);
        server.kill();
        assert_eq!(place.files(), ["test.sock"]);
    }
    let mut server = place.serve::<&str>(SERVER, &[]);
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
    assert!(place.files().is_empty());
}

#[test]
fn a_client_removes_a_killed_servers_socket_and_says_so() {
    let place = Place::new("a_client_removes_a_killed_servers_socket_and_says_so");
    let error = CalcClient::connect(place.socket()).unwrap_err();
    assert!(matches!(error, ConnectError::NoServer { killed: false, .. }), "{error:?}");
    let text = format!("no server of Calc at {}: there is no such socket; start a process that", place.socket());
    assert!(error.to_string().starts_with(&text), "{error}");
    place.serve::<&str>(SERVER, &[]).kill();
    assert_eq!(place.files(), ["test.sock"]);
    let error = CalcClient::connect(place.socket()).unwrap_err();
    assert!(matches!(error, ConnectError::NoServer { killed: true, .. }), "{error:?}");
    assert!(error.to_string().contains("its server was killed; start a process"), "{error}");
    assert!(place.files().is_empty());
}

#[test]
fn a_client_that_loses_its_server_removes_the_socket() {
    let place = Place::new("a_client_that_loses_its_server_removes_the_socket");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &faithful()).unwrap();
    server.kill();
    assert!(client.add(1, 1).unwrap_err().is_disconnected());
    assert!(place.files().is_empty());
}

#[test]
fn what_is_no_socket_is_neither_connected_to_nor_replaced() {
    let place = Place::new("what_is_no_socket_is_neither_connected_to_nor_replaced");
    fs::write(place.socket(), "precious").unwrap();
    assert!(matches!(CalcClient::connect(place.socket()), Err(ConnectError::NotAServer { .. })));
    let error = Server::bind(place.socket()).unwrap_err();
    assert!(error.to_string().contains("the path exists and is no socket"), "{error}");
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    let missing = place.join("no/such/folder/x.sock");
    assert!(matches!(Server::bind(&missing), Err(BindError::Io { .. })));
    assert!(matches!(CalcClient::connect(&missing), Err(ConnectError::NoServer { killed: false, .. })));
    let long = place.join(&"x".repeat(200));
    assert!(CalcClient::connect(&long).unwrap_err().to_string().contains("107"));
}

#[test]
fn a_stopped_server_makes_connecting_time_out() {
    let place = Place::new("a_stopped_server_makes_connecting_time_out");
    let server = place.serve::<&str>(SERVER, &[]);
    server.stop();
    let config = ClientConfig { connect_timeout: Duration::from_millis(50), ..ClientConfig::default() };
    let error = CalcClient::connect_with(place.socket(), &config).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    assert!(error.to_string().contains("did not answer within 50ms"), "{error}");
    server.go_on();
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
}

/// A helper whose plain names lie in the test's own folder.
fn with_runtime_folder(place: &Place, program: &str, arguments: &[&str]) -> Helper {
    let mut command = Command::new(program);
    command.args(arguments).env("XDG_RUNTIME_DIR", place.path());
    place.run(command)
}

#[test]
fn plain_names_lie_in_a_private_folder() {
    let place = Place::new("plain_names_lie_in_a_private_folder");
    let mut server = with_runtime_folder(&place, SERVER, &["some-name"]);
    assert_eq!(server.line(), "bound");
    let mode = |path: &str| fs::metadata(place.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ipc-rpc"), mode("ipc-rpc/some-name.sock")), (0o700, 0o600));
    assert_eq!(with_runtime_folder(&place, CLIENT, &["calls", "some-name", "10"]).line(), "done");
    // Who is not this user cannot even find it.
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
    assert_eq!(fs::read_dir(place.join("ipc-rpc")).unwrap().count(), 0);
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let place = Place::new("a_folder_that_others_can_write_to_is_refused");
    let folder = place.join("ipc-rpc");
    fs::create_dir(&folder).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        let text = format!("{folder} must be a folder of this user that nobody else can write to");
        let line = with_runtime_folder(&place, SERVER, &["name"]).line();
        assert!(line.contains("no permission to serve") && line.contains(&text), "{line}");
        let line = with_runtime_folder(&place, CLIENT, &["connect", "name"]).line();
        assert!(line.contains("no permission to connect") && line.contains(&text), "{line}");
    }
    // Nor a link to a folder that is fine.
    fs::remove_dir(&folder).unwrap();
    fs::create_dir(place.join("fine")).unwrap();
    std::os::unix::fs::symlink(place.join("fine"), &folder).unwrap();
    assert!(with_runtime_folder(&place, SERVER, &["name"]).line().contains("must be a folder of this user"));
}

#[test]
fn root_is_not_in_the_way_of_a_user_whose_folder_it_is_told_of() {
    let place = Place::new("root_is_not_in_the_way_of_a_user_whose_folder_it_is_told_of");
    if !system::is_root() {
        println!("skipped: only root can act for another user");
        return;
    }
    let runtime = place.join("run");
    fs::create_dir(&runtime).unwrap();
    std::os::unix::fs::chown(&runtime, Some(1234), Some(1234)).unwrap();
    let start = |program: &str, arguments: &[&str], user: Option<u32>| {
        let mut command = Command::new(program);
        command.args(arguments).env("XDG_RUNTIME_DIR", &runtime);
        if let Some(user) = user {
            system::run_as(&mut command, user, &[]);
        }
        place.run(command)
    };
    let line = start(SERVER, &["name"], None).line();
    assert!(line.contains("is another user's folder: unset it"), "{line}");
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
    // But root may call what that user serves.
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = place.join("server");
    fs::copy(SERVER, &copy).unwrap();
    assert_eq!(start(&copy, &["name"], Some(1234)).line(), "bound");
    let mut server = start(&copy, &["other", "mode=666"], Some(1234));
    assert_eq!(server.line(), "bound");
    assert_eq!(start(CLIENT, &["calls", "other", "10"], None).line(), "done");
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
}

/// A client process of another user, with a copy of the program that this user can reach.
fn of_other(place: &Place, user: u32, groups: &'static [u32], arguments: &[&str]) -> Option<Helper> {
    if !system::is_root() {
        println!("skipped: only root can start a process of another user");
        return None;
    }
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = place.join("client");
    if !fs::exists(&copy).unwrap() {
        fs::copy(CLIENT, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(arguments);
    system::run_as(&mut command, user, groups);
    Some(place.run(command))
}

fn of_nobody(place: &Place, arguments: &[&str]) -> Option<Helper> {
    of_other(place, NOBODY, &[NOBODY], arguments)
}

#[test]
fn the_socket_is_closed_to_other_users_by_default() {
    let place = Place::new("the_socket_is_closed_to_other_users_by_default");
    let _server = place.serve::<&str>(SERVER, &[]);
    let Some(mut client) = of_nobody(&place, &["connect", &place.socket()]) else { return };
    let line = client.line();
    let text = format!("no permission to connect to {}: Permission denied", place.socket());
    assert!(line.starts_with(&text) && line.contains("run as the server's user"), "{line}");
    assert!(fs::exists(place.socket()).unwrap());
}

#[test]
fn a_user_that_is_not_allowed_is_refused_whatever_the_mode_of_the_socket() {
    let place = Place::new("a_user_that_is_not_allowed_is_refused_whatever_the_mode_of_the_socket");
    let _server = place.serve(SERVER, &["mode=666", "allow=4711"]);
    let Some(mut client) = of_nobody(&place, &["connect", &place.socket()]) else { return };
    let line = client.line();
    assert!(
        line.contains("refused the connection: user 65534 (group 65534) is not allowed; the server lets"),
        "{line}"
    );
    assert!(line.contains("`ServerBuilder::allow_users`"), "{line}");
}

#[test]
fn an_allowed_user_is_served_from_a_snapshot() {
    let place = Place::new("an_allowed_user_is_served_from_a_snapshot");
    let mut server = place.serve(SERVER, &["allow=65534"]);
    let Some(mut client) = of_nobody(&place, &["calls", &place.socket(), "500"]) else { return };
    assert_eq!(client.line(), "done", "{}", client.errors());
    let mut client = of_nobody(&place, &["in_place", &place.socket()]).unwrap();
    assert_eq!(client.line(), "false some text");
    // The server's own user is read in place beside it.
    assert_eq!(place.start(CLIENT, &["in_place", &place.socket()]).line(), "true some text");
    // A socket that the other user may not remove is not said to be gone.
    server.kill();
    let line = of_nobody(&place, &["connect", &place.socket()]).unwrap().line();
    assert!(line.contains("its server was killed"), "{line}");
}

#[test]
fn members_of_an_allowed_group_are_served_and_others_are_not() {
    let place = Place::new("members_of_an_allowed_group_are_served_and_others_are_not");
    let mut server = place.serve(SERVER, &["group=4711"]);
    let calls = ["calls", &place.socket(), "100"];
    // The group is the effective one, or the last of many.
    let Some(mut client) = of_other(&place, NOBODY, &[4711], &calls) else { return };
    assert_eq!(client.line(), "done", "{}", client.errors());
    const MANY: [u32; 41] = {
        let mut groups = [4711; 41];
        let mut n = 0;
        while n < 40 {
            groups[n] = 5000 + n as u32;
            n += 1;
        }
        groups
    };
    assert_eq!(of_other(&place, 4242, &MANY, &calls).unwrap().line(), "done");
    let line = of_other(&place, 4242, &[4710, 4712], &["connect", &place.socket()]).unwrap().line();
    assert!(line.contains("user 4242 (group 4710) is not allowed") && line.contains("`allow_groups`"), "{line}");
    // That its number is that of the group makes no member of a user.
    let line = of_other(&place, 4711, &[NOBODY], &["connect", &place.socket()]).unwrap().line();
    assert!(line.contains("user 4711 (group 65534) is not allowed"), "{line}");
    assert_eq!(place.start(CLIENT, &calls).line(), "done", "the server's own user");
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
}

#[test]
fn a_predicate_lets_others_in_and_its_panic_nobody() {
    let place = Place::new("a_predicate_lets_others_in_and_its_panic_nobody");
    let mut server = place.serve(SERVER, &["accept=4242"]);
    let calls = ["calls", &place.socket(), "100"];
    let Some(mut client) = of_other(&place, 4242, &[4242], &calls) else { return };
    assert_eq!(client.line(), "done", "{}", client.errors());
    // Its group is one for which the answer is no.
    let line = of_other(&place, 4242, &[0], &["connect", &place.socket()]).unwrap().line();
    assert!(line.contains("user 4242 (group 0) is not allowed") && line.contains("`allow_if`"), "{line}");
    let line = of_nobody(&place, &["connect", &place.socket()]).unwrap().line();
    assert!(line.contains("user 65534 (group 65534) is not allowed"), "{line}");
    assert_eq!(of_other(&place, 4242, &[4242], &calls).unwrap().line(), "done", "the server lives on");
    assert_eq!(place.start(CLIENT, &calls).line(), "done", "the server's own user is not asked about");
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
}

#[test]
fn a_plain_name_is_refused_where_others_are_allowed() {
    for builder in [Server::builder().allow_users([NOBODY]), Server::builder().allow_if(|_| true)] {
        let error = builder.bind("some-name").unwrap_err();
        assert!(matches!(error, BindError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains("bind a path in a folder that they can"), "{error}");
    }
}
