//! Frames: one process decodes pictures, or draws 4K frames, into memory that it lends; another one blurs them and makes
//! thumbnails, in memory that it lends in turn. No pixel is copied from one process to the other.
//!
//! `cargo run --release --example frames -- process FOLDER OUT` starts both processes; `generate 8 OUT` needs no folder.
#![deny(unsafe_code)]

mod pictures;
#[path = "../server_process.rs"]
mod server_process;
mod service;
mod studio;

use std::error::Error;
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use ipc_rpc::{Loan, LoanError, Server};

use server_process::{Home, ServerProcess};
use service::{Frame, Shape, StudioClient, StudioDispatcher};

/// Blurs pictures and makes thumbnails, in another process
#[derive(Parser)]
#[command(name = "frames", after_help = "Exit status: 0, 1 if something was skipped, 2 on an error.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// How far a pixel is smeared
    #[arg(short, long, default_value_t = 8, global = true)]
    radius: u32,

    /// The longer side of a thumbnail
    #[arg(short, long, default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    thumbnail: u32,

    /// Do the work in this process, without a call
    #[arg(long, global = true)]
    alone: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Takes the PNG files of a folder
    Process { folder: PathBuf, out: PathBuf },
    /// Draws frames
    Generate {
        frames: u32,
        out: PathBuf,
        #[arg(long, default_value_t = 3840, value_parser = clap::value_parser!(u32).range(1..=16384))]
        width: u32,
        #[arg(long, default_value_t = 2160, value_parser = clap::value_parser!(u32).range(1..=16384))]
        height: u32,
    },
    /// Only draws frames, of all kinds of colours, and writes them as files
    Draw {
        frames: u32,
        out: PathBuf,
        #[arg(long, default_value_t = 640, value_parser = clap::value_parser!(u32).range(1..=16384))]
        width: u32,
        #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u32).range(1..=16384))]
        height: u32,
    },
    #[command(hide = true)]
    Serve,
}

/// The call that does nothing is repeated for its median time, but not for longer than this.
const CALLS: usize = 1001;
const PATIENCE: Duration = Duration::from_secs(2);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("frames: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Process { folder, out } => work(arguments, &files(folder)?, out),
        Command::Generate { frames, out, width, height } => {
            let shape = Shape { width: *width, height: *height, channels: 4 };
            let all: Vec<_> = (0..*frames).map(|n| Source::Drawn(n, shape)).collect();
            work(arguments, &all, out)
        }
        Command::Draw { frames, out, width, height } => {
            prepare(out)?;
            for n in 0..*frames {
                let shape = Shape { width: *width, height: *height, channels: 4 - n % 4 };
                let mut pixels = vec![0; shape.bytes()];
                pictures::draw(n, shape, &mut pixels);
                let path = out.join(format!("drawn-{n}.png"));
                pictures::write(&path, shape, &pixels).map_err(|error| said(&path, &error))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve => {
            let home = Home::new()?;
            let socket = home.socket().map_err(|error| error.to_string())?;
            let server = Server::bind(&socket)?;
            home.announce(&socket)?;
            server.serve(StudioDispatcher::new(studio::Painter))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn said(path: &Path, error: &dyn Display) -> Failure {
    format!("{}: {error}", path.display()).into()
}

/// Where a picture comes from.
enum Source {
    File(PathBuf),
    Drawn(u32, Shape),
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Drawn(n, _) => write!(f, "frame {n}"),
        }
    }
}

impl Source {
    /// What its results are called after.
    fn name(&self) -> String {
        match self {
            Source::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Drawn(n, _) => format!("frame-{n}"),
        }
    }

    fn open(&self, take: impl FnOnce(usize) -> Result<Loan<u8>, LoanError>) -> Result<Frame, Box<dyn Error>> {
        match self {
            Source::File(path) => pictures::read(path, take),
            Source::Drawn(n, shape) => {
                let mut frame = Frame { shape: *shape, pixels: take(shape.bytes())? };
                pictures::draw(*n, *shape, &mut frame.pixels);
                Ok(frame)
            }
        }
    }
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Result<Vec<Source>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| said(folder, &error))? {
        let path = entry?.path();
        if path.is_file() {
            all.push(path);
        }
    }
    if all.is_empty() {
        return Err(said(folder, &"no files in it"));
    }
    all.sort();
    Ok(all.into_iter().map(Source::File).collect())
}

fn prepare(out: &Path) -> Result<(), Failure> {
    fs::create_dir_all(out).map_err(|error| said(out, &error))
}

/// Counts what is done.
#[derive(Default)]
struct Tally {
    frames: AtomicUsize,
    skipped: AtomicUsize,
    /// Bytes of pixels, there and back.
    sent: AtomicU64,
    made: AtomicU64,
    /// Those of them that did not lie in memory of both processes.
    copied: AtomicU64,
    /// Of each call: the work, and all else.
    times: Mutex<Vec<(Duration, Duration)>>,
}

/// Shorter sequences are copied, as part of the message, which is as fast.
const REFERRED_TO: usize = 4096;

impl Tally {
    fn passed(&self, counter: &AtomicU64, len: usize, shared: bool) {
        counter.fetch_add(len as u64, Ordering::Relaxed);
        if !shared || len < REFERRED_TO {
            self.copied.fetch_add(len as u64, Ordering::Relaxed);
        }
    }
}

/// Has all pictures processed, and says what that was.
fn work(arguments: &Arguments, sources: &[Source], out: &Path) -> Result<ExitCode, Failure> {
    prepare(out)?;
    let server = match arguments.alone {
        true => None,
        false => match ServerProcess::start(&[Path::new("serve")])? {
            Ok(server) => Some(server),
            Err(status) => return Err(format!("the other process ended before it could serve: {status}").into()),
        },
    };
    let client = server.as_ref().map(|server| StudioClient::connect(server.socket())).transpose()?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures {msg}")?;
    let bar = ProgressBar::new(sources.len() as u64).with_style(style);
    let (tally, next, begin) = (Tally::default(), AtomicUsize::new(0), Instant::now());
    let threads = thread::available_parallelism()?.get();
    let work = || -> Result<(), Failure> {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let frame = match &client {
                Some(client) => source.open(|len| client.loan(len)),
                None => source.open(|len| Ok(Loan::from(vec![0; len]))),
            };
            match frame {
                Ok(frame) => one(arguments, client.as_ref(), &frame, &out.join(source.name()), &tally)?,
                Err(error) => {
                    tally.skipped.fetch_add(1, Ordering::Relaxed);
                    bar.suspend(|| eprintln!("skipped {source}: {error}"));
                }
            }
            bar.inc(1);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err("a thread has panicked".into())))
    })?;
    bar.finish_and_clear();
    summary(&tally, begin.elapsed(), client.is_some());
    if let Some(client) = client {
        hand_over(&client)?;
    }
    Ok(ExitCode::from(u8::from(tally.skipped.into_inner() > 0)))
}

/// Has one picture blurred and scaled down, and writes both.
fn one(
    arguments: &Arguments,
    client: Option<&StudioClient>,
    frame: &Frame,
    name: &Path,
    tally: &Tally,
) -> Result<(), Failure> {
    let file = |kind: &str| PathBuf::from(format!("{}-{kind}.png", name.display()));
    let save = |kind: &str, shape, pixels: &[u8]| {
        let path = file(kind);
        pictures::write(&path, shape, pixels).map_err(|error| said(&path, &error))
    };
    let small = frame.shape.within(arguments.thumbnail);
    let Some(client) = client else {
        let take = |len| Ok(Loan::from(vec![0; len]));
        let paint = |to: &mut [u8]| studio::blur(&frame.pixels, to, frame.shape, arguments.radius as usize);
        let blurred = studio::make(frame.shape, take, paint)?;
        let shrunk = studio::make(small, take, |to| studio::shrink(&frame.pixels, frame.shape, to, small))?;
        save("blurred", frame.shape, &blurred.frame.pixels)?;
        save("thumbnail", small, &shrunk.frame.pixels)?;
        tally.frames.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    };
    // The replies stay in the memory of the process that made them: files are written from there.
    for (kind, shape) in [("blurred", frame.shape), ("thumbnail", small)] {
        let begin = Instant::now();
        let reply = match kind {
            "blurred" => client.view().blur(frame, arguments.radius)?,
            _ => client.view().thumbnail(frame, arguments.thumbnail)?,
        };
        let (took, made) = (begin.elapsed(), reply.get());
        let pixels = made.frame().pixels();
        if *made.frame().shape() != shape || pixels.len() != shape.bytes() {
            return Err(format!("the other process made a picture of {:?}", made.frame().shape()).into());
        }
        tally.passed(&tally.sent, frame.pixels.len(), frame.pixels.is_shared());
        tally.passed(&tally.made, pixels.len(), made.shared());
        let times = (made.work(), took.saturating_sub(made.work()));
        tally.times.lock().unwrap_or_else(|poison| poison.into_inner()).push(times);
        save(kind, shape, pixels)?;
    }
    tally.frames.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// The middle one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn summary(tally: &Tally, took: Duration, called: bool) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let frames = tally.frames.load(Ordering::Relaxed);
    println!("{frames} pictures in {:.1} s", took.as_secs_f64());
    if !called {
        return;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{:.1} MiB of pixels there, {:.1} MiB back, {} bytes of them copied from one process to the other",
        mib(count(&tally.sent)),
        mib(count(&tally.made)),
        count(&tally.copied)
    );
    let times = tally.times.lock().unwrap_or_else(|poison| poison.into_inner());
    let (mut works, mut others): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
    println!(
        "{} calls: the work takes {:.1?}, all else of a call {:.1?} (medians)",
        times.len(),
        median(&mut works),
        median(&mut others)
    );
}

/// Shows what it costs to give a 4K frame to the other process when there is nothing to do with it.
fn hand_over(client: &StudioClient) -> Result<(), Failure> {
    let shape = Shape { width: 3840, height: 2160, channels: 4 };
    let mut frame = Frame { shape, pixels: client.loan(shape.bytes())? };
    if let Some(last) = frame.pixels.last_mut() {
        *last = 7;
    }
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < CALLS && start.elapsed() < PATIENCE {
        let begin = Instant::now();
        if client.last(&frame)? != Some(7) {
            return Err("the other process reads something else".into());
        }
        times.push(begin.elapsed());
    }
    println!("a call that reads one byte of a frame of {} bytes takes {:.1?}", shape.bytes(), median(&mut times));
    Ok(())
}
