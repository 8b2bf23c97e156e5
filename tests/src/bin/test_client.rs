//! A client process: `test_client WHAT NAME [NUMBER]`. Prints one line when it has done what it was asked to.

use std::time::Duration;

use ipc_rpc::ClientConfig;
use ipc_rpc_tests::callbacks::{Bar, JobsClient, ProgressDispatcher};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::services::{CalcClient, WorkClient, bytes, checksum};
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
    helper::live_no_longer_than_the_test(|_| {});
    let [what, name, rest @ ..] = arguments.as_slice() else { panic!("WHAT NAME [NUMBER]") };
    match run(what, name, rest.first().map(String::as_str)) {
        Ok(text) => println!("{text}"),
        Err(error) => println!("{error}"),
    }
    if what == "idle" {
        loop {
            std::thread::park();
        }
    }
}
