//! Search engine: a server process indexes a folder and answers ranked queries, a client process asks and prints.
//!
//! `cargo run --release --example search -- "shared memory" .` starts both. To run them apart, in two terminals:
//! `... -- --serve notes ~/notes` and `... -- --connect notes "shared memory"`.
#![deny(unsafe_code)]

mod index;
mod load;
mod pattern;
mod rank;
mod render;
#[path = "../server_process.rs"]
mod server_process;
mod service;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ipc_rpc::Server;

use index::Index;
use pattern::Pattern;
use server_process::{Home, ServerProcess};
use service::{Mode, Query, SearchClient, SearchDispatcher};

/// The call is repeated for its median time, but not for longer than this.
const CALLS: usize = 201;
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds the lines of a folder's text files that match best
#[derive(Parser)]
#[command(name = "search", after_help = "Exit status: 0 if lines were found, 1 if none were, 2 on an error.")]
struct Arguments {
    /// Words to look for; words that follow each other count most
    #[arg(required_unless_present_any = ["serve", "child", "load"])]
    query: Option<String>,

    /// Folder to index, by a server process started for this query
    #[arg(required_unless_present_any = ["serve", "child", "connect", "load"], conflicts_with = "connect")]
    folder: Option<PathBuf>,

    /// Print at most this many lines
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Take QUERY for a regular expression
    #[arg(short, long)]
    regex: bool,

    /// Let the regular expression match upper and lower case alike, as words always do
    #[arg(short, long, requires = "regex")]
    ignore_case: bool,

    /// Highlight the matches
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,

    /// Only serve: index FOLDER and answer under NAME until interrupted
    #[arg(long, num_args = 2, value_names = ["NAME", "FOLDER"], conflicts_with_all = ["query", "connect"])]
    serve: Option<Vec<OsString>>,

    /// Only ask the server of this name
    #[arg(long, value_name = "NAME")]
    connect: Option<String>,

    /// Ask the server of this name again and again, for "shared memory" unless QUERY says otherwise, and count the calls
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "connect", "serve"])]
    load: Option<String>,

    /// For how long to ask
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, requires = "load")]
    seconds: f64,

    /// Serve the parent process, which asks and then closes standard input
    #[arg(long, hide = true, allow_hyphen_values = true)]
    child: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("search: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if let Some([name, folder]) = arguments.serve.as_deref() {
        let name = name.to_str().ok_or("the name of the server must be UTF-8")?;
        serve(name, Path::new(folder))
    } else if let Some(folder) = &arguments.child {
        serve_parent(folder)
    } else if let Some(name) = &arguments.load {
        let query = Query { text: arguments.query.clone().unwrap_or("shared memory".into()), ..arguments.query() };
        load::run(name, &query, Duration::try_from_secs_f64(arguments.seconds)?)
    } else if let Some(name) = &arguments.connect {
        ask(name, &arguments)
    } else {
        serve_and_ask(&arguments)
    }
}

/// Both sides: a server process for this one query, and the client.
fn serve_and_ask(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    // A query that is no good need not wait for an index. The server checks again: it takes queries from others, too.
    Pattern::new(&arguments.query())?;
    let folder = arguments.folder.as_deref().unwrap_or(Path::new("."));
    match ServerProcess::start(&[Path::new("--child"), folder])? {
        Ok(server) => ask(server.socket(), arguments),
        // It has said why.
        Err(status) if status.code() == Some(2) => Ok(ExitCode::from(2)),
        Err(status) => Err(format!("the server process ended before it could serve: {status}").into()),
    }
}

/// The server by itself.
fn serve(name: &str, folder: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let index = open(folder)?;
    let server = Server::bind(name)?;
    println!("serving {} documents as {name:?}", index.documents().len());
    server.serve(SearchDispatcher::new(index))?;
    Ok(ExitCode::SUCCESS)
}

/// The server as a child process.
fn serve_parent(folder: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let home = Home::new()?;
    let index = open(folder)?;
    let socket = home.socket()?;
    let server = Server::bind(&socket)?;
    home.announce(&socket)?;
    server.serve(SearchDispatcher::new(index))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens an index and shows the progress if standard error is a terminal.
fn open(folder: &Path) -> Result<Index, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} files")?;
    let bar = ProgressBar::new(0).with_style(style).with_message("indexing");
    let index = Index::open(folder, |done, all| {
        bar.update(|state| {
            state.set_len(all as u64);
            state.set_pos(done as u64);
        });
    });
    bar.finish_and_clear();
    Ok(index?)
}

/// The client: asks, prints the answer, and says how long a call took.
fn ask(name: &str, arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let search = SearchClient::connect(name)?;
    let stats = search.stats()?;
    let query = arguments.query();
    let hits = search.find(&query)?;
    let mut times = Vec::with_capacity(CALLS);
    let begin = Instant::now();
    while times.len() < CALLS && begin.elapsed() < PATIENCE {
        let start = Instant::now();
        search.find(&query)?;
        times.push(start.elapsed());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for hit in &hits {
        render::hit(&mut out, hit, arguments.colour())?;
    }
    render::summary(&mut out, &stats, hits.len(), &mut times)?;
    out.flush()?;
    Ok(ExitCode::from(u8::from(hits.is_empty())))
}

impl Arguments {
    fn query(&self) -> Query {
        let mode = if self.regex { Mode::Regex { ignore_case: self.ignore_case } } else { Mode::Words };
        Query { text: self.query.clone().unwrap_or_default(), mode, limit: self.limit }
    }

    fn colour(&self) -> bool {
        match self.color {
            Colour::Auto => render::colour_by_default(),
            Colour::Always => true,
            Colour::Never => false,
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
