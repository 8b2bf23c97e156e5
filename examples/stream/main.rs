//! A stream: a server follows a log file that grows, and a client prints the lines as they come.
//!
//! `cargo run --release --example stream -- serve` in one terminal,
//! `cargo run --release --example stream -- follow CHANGELOG.md 10` in another: the last 10 lines, then new ones until
//! Ctrl-C. With a third argument it ends after so many lines.
#![deny(unsafe_code)]

mod tail;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, thread};

use ipc_rpc::{Server, Sink, Streaming, service};
use tail::{PAUSE, Tail};

#[service]
trait Log {
    /// The last lines of a file, then every line that is added to it.
    fn follow(&self, file: &str, last: u32) -> Result<Streaming<String>, String>;
}

struct Files;

impl Log for Files {
    fn follow(&self, file: &str, last: u32) -> Result<Streaming<String>, String> {
        let tail =
            Tail::open(Path::new(file), last as usize).map_err(|error| format!("cannot read {file:?}: {error}"))?;
        let (sink, lines) = Streaming::channel();
        thread::Builder::new()
            .name("tail".into())
            .spawn(move || pump(tail, sink))
            .map_err(|error| error.to_string())?;
        Ok(lines)
    }
}

/// Sends lines until nobody reads them any more. A reader who is slow makes `send` wait, and memory stays as it is.
fn pump(mut tail: Tail, sink: Sink<String>) {
    while !sink.is_closed() {
        match tail.next_line() {
            Ok(Some(line)) => {
                if sink.send(&line).is_err() {
                    return;
                }
            }
            Ok(None) => thread::sleep(PAUSE),
            Err(error) => return sink.fail(error),
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("log")?;
    println!("serving files");
    Ok(server.serve(LogDispatcher::new(Files))?)
}

fn follow(file: &str, last: u32, count: usize) -> Result<(), Box<dyn Error>> {
    // The server may be in another folder.
    let file = std::path::absolute(file)?;
    let file = file.to_str().ok_or("the name of the file is not UTF-8")?;
    let lines = LogClient::connect("log")?.follow(file, last).map_err(|error| error.to_string())?;
    for line in lines.take(count) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{}", line?).and_then(|()| out.flush()).is_err() {
            break; // Whoever reads the output has seen enough. Dropping the stream tells the server.
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number of lines"));
    let run = || match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["follow", file] => follow(file, 10, usize::MAX),
        ["follow", file, last] => follow(file, number(last)?, usize::MAX),
        ["follow", file, last, count] => follow(file, number(last)?, number(count)? as usize),
        _ => Err("usage: stream serve | stream follow FILE [LAST [COUNT]]".into()),
    };
    let Err(error) = run() else { return ExitCode::SUCCESS };
    eprintln!("stream: {error}");
    ExitCode::FAILURE
}
