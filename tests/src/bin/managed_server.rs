//! A server as a service manager runs one: `managed_server NAME [async] [own] [off] [other=NAME] [again]
//! [grace=MILLISECONDS] [activated] [notify] [busy] [everybody]`.
//!
//! Prints `bound`, and `ended` when it has returned from serving. `own`: it has a handler for SIGTERM, which prints `heard`.
//! `everybody`: it lets all users in. `off`: it wants no signals. `other`: it has a second server. `again`: it serves once more afterwards. `activated`: the name
//! is that of a socket it was passed. `notify`: it tells the manager how it is. `busy`: it is not ready when it begins. The
//! line `fork` on standard input has it fork a child that sleeps, and print the child's number; `ready` and `failing`: it is.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_rpc::{Health, Server, ServerBuilder, ServerHandle, service};
use ipc_rpc_tests::services::{Adder, CalcDispatcher, WorkDispatcher, Worker};
use ipc_rpc_tests::{helper, system};

/// Handlers that wait without a thread.
#[service]
pub trait Later {
    /// As `Work::pass`.
    async fn later(&self, gate: &str) -> u64;
}

struct Gatekeeper;

impl Later for Gatekeeper {
    async fn later(&self, gate: &str) -> u64 {
        std::fs::write(format!("{gate}.in"), "").expect("a folder for gates");
        while !std::fs::exists(format!("{gate}.out")).expect("a folder for gates") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        1
    }
}

fn services(builder: ServerBuilder) -> ServerBuilder {
    let builder = builder.service(CalcDispatcher::new(Adder)).service(WorkDispatcher::new(Worker::default()));
    builder.service(LaterDispatcher::new(Gatekeeper))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a name");
    let (mut builder, mut other) = (Server::builder().workers(1), None);
    let (mut future, mut again, mut activated, mut not_ready) = (false, false, false, false);
    for argument in arguments {
        match argument.split_once('=').unwrap_or((&argument, "")) {
            ("async", _) => future = true,
            ("own", _) => system::say_when_terminated(),
            ("everybody", _) => builder = builder.allow_if(|_| true),
            ("off", _) => builder = builder.signals(false),
            ("other", name) => other = Some(name.to_owned()),
            ("again", _) => again = true,
            ("busy", _) => not_ready = true,
            ("activated", _) => activated = true,
            ("notify", _) => builder = builder.notify_systemd(),
            ("grace", time) => builder = builder.grace(Duration::from_millis(time.parse().expect("a number"))),
            (unknown, _) => panic!("no option {unknown}"),
        }
    }
    let handle = Arc::<Mutex<Option<ServerHandle>>>::default();
    let served = handle.clone();
    helper::live_no_longer_than_the_test(move |line| {
        let say = |health| served.lock().expect("no panic").as_ref().expect("a server").set_health(health);
        match line {
            "fork" => println!("{}", system::fork_a_sleeper()),
            "ready" => say(Health::Ready),
            "failing" => say(Health::Failing("its disk\nis full".into())),
            unknown => panic!("no command {unknown}"),
        }
    });
    let other = other.map(|name| {
        let other = services(Server::builder()).bind(name).expect("a free name");
        std::thread::spawn(|| other.run())
    });
    for _ in 0..1 + u32::from(again) {
        let builder = services(builder.clone());
        let server = if activated {
            builder.bind_activated(&name).map_err(|error| error.to_string())
        } else {
            builder.bind(&name).map_err(|error| error.to_string())
        };
        let server = match server {
            Ok(server) => server,
            Err(error) => {
                println!("{error}");
                return ExitCode::FAILURE;
            }
        };
        if not_ready {
            server.handle().set_health(Health::NotReady("it begins".into()));
        }
        *handle.lock().expect("no panic") = Some(server.handle());
        println!("bound");
        let served = if future {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(server.run_async())
        } else {
            server.run()
        };
        println!("{}", served.map_or_else(|error| error.to_string(), |()| "ended".to_owned()));
    }
    if let Some(other) = other {
        other.join().expect("a server").expect("a server");
    }
    ExitCode::SUCCESS
}
