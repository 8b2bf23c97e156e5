//! A callback: a server hashes the files of a folder, and reports its progress to the client, which shows a bar.
//!
//! `cargo run --release --example callback -- serve` in one terminal,
//! `cargo run --release --example callback -- hash FOLDER` in another. The output is what `sha256sum --check` reads.
#![deny(unsafe_code)]

mod hashing;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use ipc_rpc::{Message, Server, service};

/// Runs in the client's process; the server calls it.
#[service]
trait Progress {
    /// What there is to do. `false`: the client does not want it done.
    fn begin(&self, files: u64, bytes: u64) -> bool;
    /// So many more bytes are done. The server does not wait for the bar to move.
    #[rpc(oneway)]
    fn advance(&self, bytes: u64);
}

/// The hash of a file.
#[derive(Message, Debug, Clone, PartialEq)]
struct Line {
    hash: String,
    file: String,
}

#[service]
trait Hasher {
    /// SHA-256 of every file in a folder, by name. Calls `progress` meanwhile.
    fn hash(&self, folder: &str, progress: &ProgressClient) -> Result<Vec<Line>, String>;
}

struct Sha;

impl Hasher for Sha {
    fn hash(&self, folder: &str, progress: &ProgressClient) -> Result<Vec<Line>, String> {
        let work = |progress: &ProgressClient| -> Result<Vec<Line>, Box<dyn Error>> {
            let files = hashing::files(Path::new(folder))?;
            let bytes = files.iter().map(|file| file.bytes).sum();
            if !progress.begin(files.len() as u64, bytes)? {
                return Ok(Vec::new());
            }
            let mut lines = Vec::with_capacity(files.len());
            for file in files {
                // A client that is gone, or has given up, needs no hashes: the error ends the loop.
                let hash = hashing::hash(&file.path, |bytes| Ok(progress.advance(bytes)?))?;
                lines.push(Line { hash, file: file.path.display().to_string() });
            }
            Ok(lines)
        };
        work(progress).map_err(|error| error.to_string())
    }
}

/// Shows the progress on standard error if that is a terminal.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&self, files: u64, bytes: u64) -> bool {
        self.0.set_length(bytes);
        self.0.set_message(format!("{files} files"));
        true
    }
    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

fn hash(folder: &str) -> Result<(), Box<dyn Error>> {
    // The server may be in another folder.
    let folder = std::path::absolute(folder)?;
    let folder = folder.to_str().ok_or("the name of the folder is not UTF-8")?;
    let style = ProgressStyle::with_template("hashing {msg} {bar:40} {bytes}/{total_bytes}, {bytes_per_sec}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let progress = ProgressDispatcher::new(Bar(bar.clone()));
    // Large folders take their time: no limit but the user's patience.
    let client = HasherClient::connect("hasher")?.with_timeout(std::time::Duration::from_secs(24 * 3600));
    let lines = client.hash(folder, &progress);
    bar.finish_and_clear();
    for Line { hash, file } in lines.map_err(|error| error.to_string())? {
        println!("{hash}  {file}");
    }
    Ok(())
}

fn serve() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("hasher")?;
    println!("hashing");
    Ok(server.serve(HasherDispatcher::new(Sha))?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["hash", folder] => hash(folder),
        _ => Err("usage: callback serve | callback hash FOLDER".into()),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("callback: {error}");
    ExitCode::FAILURE
}
