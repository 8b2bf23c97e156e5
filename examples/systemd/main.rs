//! A service that systemd starts for its first client: `README.md` beside this file says how.
use std::{env, error::Error, process::ExitCode};

use ipc_rpc::{Server, service, systemd};

#[service]
trait Greeter {
    fn greet(&self, name: &str) -> String;
}

struct Polite;

impl Greeter for Polite {
    fn greet(&self, name: &str) -> String {
        format!("Hello, {name}!")
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments {
        ["serve"] => {
            let builder = Server::builder().notify_systemd();
            // Started by hand it listens by itself.
            let server = if systemd::passes("greeter") {
                builder.bind_activated("greeter")?
            } else {
                builder.bind("greeter")?
            };
            systemd::notify(&format!("STATUS=greets at {}", server.path().display()));
            // Until SIGTERM, which `systemctl stop` sends.
            server.serve(GreeterDispatcher::new(Polite))?;
        }
        ["greet", name] => println!("{}", GreeterClient::connect("greeter")?.greet(name)?),
        _ => return Err("usage: systemd serve | systemd greet NAME".into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Err(error) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) else { return ExitCode::SUCCESS };
    eprintln!("greeter: {error}");
    ExitCode::FAILURE
}
