//! `ipc record`.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ipc_rpc::record::{RecordEnd, Recorder};
use ipc_rpc::{ConnectError, ServerInfo};
use serde_json::json;

use crate::Common;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::text::{self, printable};

/// Has a server write down the calls of a service, to be made again with `ipc replay`
#[derive(Args)]
pub struct Record {
    /// The server; it has to be built with the feature `dynamic`
    name: String,

    /// The service, if there are several
    service: Option<String>,

    /// Where to; a file that is not there yet, which only its owner can read
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// For how long [default: until Enter or Ctrl-C is pressed]
    #[arg(short, long, value_parser = text::seconds)]
    seconds: Option<Duration>,

    /// End when the file has so many megabytes
    #[arg(long, value_name = "MB", default_value_t = 1000)]
    limit: u64,
}

/// How long to wait for the end at a time.
const TICK: Duration = Duration::from_millis(50);

impl Record {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let interrupt = Interrupt::new()?;
        let service = self.service(common)?;
        let recorder = self.start(&service, common)?;
        eprintln!("recording {} of {}", printable(&service), printable(&self.name));
        let end = self.wait(recorder, &interrupt, common.patience()).map_err(|error| {
            let file = self.output.display();
            Failure::failed(format!("{error}; {file} has what was recorded until then"))
        })?;
        let mut out = io::stdout().lock();
        let RecordEnd { calls, left_out, reason, .. } = &end;
        if common.json {
            let end = json!({"file": self.output, "calls": calls, "left_out": left_out, "reason": reason});
            return Ok(writeln!(out, "{}", text::json(&end, false))?);
        }
        let left_out = if *left_out > 0 { format!(", {left_out} left out") } else { String::new() };
        let reason = if reason.is_empty() { String::new() } else { format!("; the server ended it: {reason}") };
        Ok(writeln!(out, "{}", printable(&format!("{calls} calls recorded{left_out}{reason}")))?)
    }

    fn service(&self, common: &Common) -> Result<String, Failure> {
        let services = ServerInfo::of(&self.name, common.patience())?.description.services;
        let known = || services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
        match (&self.service, &services[..]) {
            (Some(name), _) if services.iter().any(|service| service.name == *name) => Ok(name.clone()),
            (Some(name), _) => Err(Failure::usage(format!("it serves no {name:?}, but {}", known()))),
            (None, [one]) => Ok(one.name.clone()),
            (None, _) => Err(Failure::usage(format!("say which of its services: {}", known()))),
        }
    }

    fn start(&self, service: &str, common: &Common) -> Result<Recorder, Failure> {
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.output);
        let file = opened.map_err(|error| Failure::usage(format!("{}: {error}", self.output.display())))?;
        let limit = self.limit.saturating_mul(1_000_000);
        Recorder::start(&self.name, service, file, limit, common.patience()).map_err(|error: ConnectError| {
            // There is nothing in it.
            let _ = fs::remove_file(&self.output);
            error.into()
        })
    }

    /// Waits until the recording is to end, or the server has ended it.
    fn wait(&self, recorder: Recorder, interrupt: &Interrupt, patience: Duration) -> io::Result<RecordEnd> {
        let (begin, entered) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        if io::stdin().is_terminal() {
            let entered = entered.clone();
            thread::spawn(move || {
                let _ = io::stdin().read_line(&mut String::new());
                entered.store(true, Ordering::Relaxed);
            });
        }
        loop {
            if let Some(end) = recorder.wait(TICK)? {
                return Ok(end);
            }
            let is_over = self.seconds.is_some_and(|seconds| begin.elapsed() >= seconds);
            if is_over || entered.load(Ordering::Relaxed) || interrupt.was_heard() {
                return recorder.stop(patience);
            }
        }
    }
}
