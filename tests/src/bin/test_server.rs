//! Serves all test services: `test_server NAME [workers=N] [mode=OCTAL] [allow=UID] [group=GID] [accept=UID]
//! [take=over] [clients=N] [blocks=N] [memory=N] [quota=N] [commit=N]`.
//!
//! Prints `bound` when clients can connect and `ended` after a graceful end, which the line `shutdown` on standard input
//! asks for.

use std::process::ExitCode;
use std::sync::Arc;

use ipc_rpc::{Limits, Memory, Server, Trust};
use ipc_rpc_tests::callbacks::{Desk, DownDispatcher, JobsDispatcher};
use ipc_rpc_tests::files::{Clerk, FilesDispatcher};
use ipc_rpc_tests::flows::{FlowsDispatcher, Source};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::large::{Hall, LargeDispatcher};
use ipc_rpc_tests::services::{Adder, CalcDispatcher, WorkDispatcher, Worker};
use ipc_rpc_tests::shelf::{ShelfDispatcher, Store};
use ipc_rpc_tests::system;
use ipc_rpc_tests::zoo::{BorrowedDispatcher, Keeper, ZooDispatcher};

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a name");
    let mut server = Server::builder();
    let mut limits = Limits::default();
    for argument in arguments {
        match argument.split_once('=').expect("an option") {
            ("workers", n) => server = server.workers(number(n) as usize),
            ("mode", mode) => server = server.socket_mode(u32::from_str_radix(mode, 8).expect("an octal number")),
            ("allow", user) => server = server.allow_users([number(user)]),
            ("group", group) => server = server.allow_groups([number(group)]),
            // Whose process number is known and whose user is this one; nobody else is asked about.
            ("accept", user) => {
                let user = number(user);
                server = server.allow_if(move |peer| {
                    assert!(peer.uid == user, "this user is not expected");
                    peer.pid > 0 && peer.gid != 0
                });
            }
            ("clients", n) => limits.clients = number(n) as usize,
            ("trust", "snapshot") => server = server.trust(Trust::Snapshot),
            ("take", "over") => server = server.take_over(),
            ("blocks", n) => limits.blocks = number(n),
            ("memory", n) => limits.memory = number(n),
            ("quota", n) => server = server.memory(Memory { quota: number(n).into(), ..Memory::default() }),
            ("commit", n) => system::commit_less_than(number(n)),
            (other, _) => panic!("no option {other}"),
        }
    }
    let server = server
        .limits(limits)
        .service(CalcDispatcher::new(Adder))
        .service(WorkDispatcher::new(Worker::default()))
        .service(ZooDispatcher::new(Keeper))
        .service(BorrowedDispatcher::new(Keeper))
        .service(JobsDispatcher::new(Desk::default()))
        .service(DownDispatcher::new(Desk::default()))
        .service(ShelfDispatcher::new(Arc::<Store>::default()))
        .service(FlowsDispatcher::new(Source::default()))
        .service(LargeDispatcher::new(Hall::default()))
        .service(FilesDispatcher::new(Clerk::default()));
    let server = match server.bind(&name) {
        Ok(server) => server,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let handle = server.handle();
    helper::live_no_longer_than_the_test(move |line| match line {
        "shutdown" => handle.shutdown(),
        other => panic!("no command {other}"),
    });
    println!("bound");
    match server.run() {
        Ok(()) => println!("ended"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}
