//! `ipc`: which servers there are, what they serve and do, and calls to them from a shell.
#![forbid(unsafe_code)]

mod call;
mod completions;
mod describe;
mod failure;
mod interrupt;
mod list;
mod ping;
mod record;
mod replay;
mod table;
mod text;
mod top;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use failure::Failure;

const EXIT: &str = "\
A NAME is what the server was bound to: a plain name, or the path of a socket.

Exit status:
  0  done
  1  the server did not answer, or the call failed; a replay differs
  2  wrong usage: no such method, arguments that are none of its types
  3  there is no server of that name
  4  the handler replied with an error, which is on standard error";

/// Looks at the servers of this user, and calls them.
#[derive(Parser)]
#[command(name = "ipc", version, after_help = EXIT)]
struct Arguments {
    /// Print JSON, errors too
    #[arg(long, global = true)]
    json: bool,

    /// How long to wait for an answer [default: 2, for a call 30]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = text::seconds)]
    timeout: Option<Duration>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Describe(describe::Describe),
    Top(top::Top),
    Call(call::Call),
    Ping(ping::Ping),
    Record(record::Record),
    Replay(replay::Replay),
    Completions(completions::Completions),
}

/// What is the same for all commands.
struct Common {
    json: bool,
    timeout: Option<Duration>,
}

impl Common {
    /// How long to wait for a server to say what it is.
    fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(2))
    }
}

fn main() -> ExitCode {
    let Arguments { json, timeout, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") => {
            return Failure::from(error).report(true);
        }
        Err(error) => error.exit(),
    };
    let common = Common { json, timeout };
    let done = match command {
        Command::List(list) => list.run(&common),
        Command::Describe(describe) => describe.run(&common),
        Command::Top(top) => top.run(&common),
        Command::Call(call) => call.run(&common),
        Command::Ping(ping) => ping.run(&common),
        Command::Record(record) => record.run(&common),
        Command::Replay(replay) => replay.run(&common),
        Command::Completions(completions) => completions.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
