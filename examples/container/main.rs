//! Two containers that share a folder and nothing else: `README.md` beside this file says how.
use std::{env, error::Error, process::ExitCode};

use ipc_rpc::{Context, Server, service};

#[service]
trait Measure {
    /// The sum of the numbers, and the client as the server sees it.
    fn sum(&self, numbers: &[f32], ctx: &Context) -> (f32, String);
}

struct Scales;

impl Measure for Scales {
    fn sum(&self, numbers: &[f32], ctx: &Context) -> (f32, String) {
        let peer = ctx.peer();
        // A process of another container has no number here.
        let process = if peer.pid == 0 { "somewhere else".to_owned() } else { format!("{}", peer.pid) };
        (numbers.iter().sum(), format!("user {}, process {process}", peer.uid))
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments {
        // A path, since each container has plain names of its own.
        ["serve", path, users @ ..] => {
            let users: Vec<u32> = users.iter().map(|user| user.parse()).collect::<Result<_, _>>()?;
            Server::builder().allow_users(users).bind(path)?.serve(MeasureDispatcher::new(Scales))?;
        }
        ["sum", path, count] => {
            let measure = MeasureClient::connect(path)?;
            // Much of it comes in memory that both containers map, though they share no /dev/shm: it has no name anywhere.
            let numbers = vec![0.5; count.parse()?];
            let (sum, client) = measure.sum(&numbers)?;
            println!("{sum} ({client})");
        }
        _ => return Err("usage: container serve PATH [USER]... | container sum PATH COUNT".into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Err(error) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) else { return ExitCode::SUCCESS };
    eprintln!("container: {error}");
    ExitCode::FAILURE
}
