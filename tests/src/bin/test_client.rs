//! A client process: `test_client WHAT NAME [NUMBER]`. Prints one line when it has done what it was asked to.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use ipc_rpc::ClientConfig;
use ipc_rpc_tests::callbacks::{Bar, JobsClient, ProgressDispatcher};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::services::{CalcClient, WorkClient, bytes, checksum};
use ipc_rpc_tests::shelf::ShelfClient;
use ipc_rpc_tests::system;
use ipc_rpc_tests::zoo::BorrowedClient;

type Outcome = Result<String, Box<dyn std::error::Error>>;

/// Calls so often, and checks every result.
fn calls(name: &str, count: i64) -> Outcome {
    let (calc, work) = (CalcClient::connect(name)?, WorkClient::connect(name)?);
    for n in 0..count {
        assert_eq!(calc.add(n, 1)?, n + 1);
        if n % 50 == 0 {
            let data = bytes(n as usize * 37, n as u8);
            assert_eq!(work.checksum(&data)?, checksum(&data));
        }
    }
    Ok("done".into())
}

/// Does what it is told, and says after each thing what came of it.
fn obey(name: &str, told: &Receiver<String>) -> Outcome {
    let mut connected: Option<WorkClient> = None;
    for command in told {
        let number = |text: &str| text.parse().unwrap_or(0);
        let work = || connected.as_ref().ok_or("not connected");
        let outcome = || -> Outcome {
            match command.split_once(' ').unwrap_or((&command, "")) {
                ("commit", most) => system::commit_less_than(number(most) as u32),
                // So many bytes, there and back.
                ("mirror", len) => drop(work()?.mirror(&bytes(number(len), 1))?),
                ("make", len) => drop(work()?.make(number(len) as u64, 1)?),
                _ => return Err("no such command".into()),
            }
            Ok("done".into())
        };
        let outcome = match command.split_once(' ') {
            Some(("connect", arena)) => {
                let arena = arena.parse().unwrap_or(0);
                let config = ClientConfig {
                    arguments: arena,
                    replies: arena,
                    connect_timeout: Duration::from_millis(300),
                    ..ClientConfig::default()
                };
                let new = WorkClient::connect_with(name, &config);
                new.map(|new| connected = Some(new)).map(|()| "done".to_owned()).map_err(Into::into)
            }
            _ => outcome(),
        };
        println!("{}", outcome.unwrap_or_else(|error| error.to_string()));
    }
    Ok("over".into())
}

fn run(what: &str, name: &str, number: Option<&str>) -> Outcome {
    let count = || number.and_then(|n| n.parse().ok()).unwrap_or(1);
    match what {
        "connect" => CalcClient::connect(name).map(|_| "connected".to_owned()).map_err(Into::into),
        "calls" => calls(name, count()),
        // A call, then nothing.
        "idle" => calls(name, count()).map(|_| "idle".to_owned()),
        // Many calls that nobody answers, and memory that nobody gives back.
        "cling" => {
            let gate = number.unwrap_or_default().to_owned();
            let client = WorkClient::connect_with(name, &ClientConfig { timeout: None, ..ClientConfig::default() })?;
            let held = (0..4).map(|n| client.view().make(1 << 20, n)).collect::<Result<Vec<_>, _>>()?;
            let data = bytes(1 << 20, 1);
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let (client, gate) = (&client, format!("{gate}{n}"));
                    scope.spawn(move || client.pass(&gate));
                }
                for _ in 0..2 {
                    scope.spawn(|| while client.checksum(&data).is_ok() {});
                }
            });
            Ok(format!("{}", held.len()))
        }
        // An object that the server keeps, and then nothing.
        "lend" => {
            let jobs = JobsClient::connect(name)?;
            let object = ProgressDispatcher::new(Bar::default());
            (0..count()).try_for_each(|_| jobs.keep(&object))?;
            println!("lent");
            loop {
                std::thread::park();
            }
        }
        // Arguments that the server keeps, and then nothing.
        "shelve" => {
            let shelf = ShelfClient::connect(name)?;
            for key in 0..count() as u32 {
                let data = bytes(10 + key as usize * 100_000, key as u8);
                assert_eq!(shelf.put(key, &data)?, checksum(&data));
            }
            println!("shelved");
            loop {
                std::thread::park();
            }
        }
        // An object that stays in a call of the server's.
        "pass" => {
            let jobs = JobsClient::connect(name)?;
            let object = ProgressDispatcher::new(Bar::default());
            Ok(format!("{:?}", jobs.pass(number.unwrap_or_default(), &object).map_err(|e| e.to_string())))
        }
        // Whether the handler reads text of this process where it lies.
        "in_place" => {
            let (shared, text) = BorrowedClient::connect(name)?.text("some text")?;
            Ok(format!("{shared} {text}"))
        }
        // Whether a call is answered in time.
        "timeout" => {
            let client = WorkClient::connect(name)?.with_timeout(Duration::from_millis(count() as u64));
            Ok(format!("{:?}", client.sleep(60_000).map_err(|e| e.to_string())))
        }
        other => Err(format!("no such thing as {other}").into()),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (tell, told) = mpsc::channel();
    helper::live_no_longer_than_the_test(move |line| drop(tell.send(line.to_owned())));
    let [what, name, rest @ ..] = arguments.as_slice() else { panic!("WHAT NAME [NUMBER]") };
    let done = if what == "obey" { obey(name, &told) } else { run(what, name, rest.first().map(String::as_str)) };
    match done {
        Ok(text) => println!("{text}"),
        Err(error) => println!("{error}"),
    }
    if what == "idle" {
        loop {
            std::thread::park();
        }
    }
}
