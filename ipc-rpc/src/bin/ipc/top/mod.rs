//! `ipc top`.

mod reading;
mod report;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ipc_rpc::{ConnectError, Discovered, ServerInfo, discover};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde_json::{Value, json};

use crate::Common;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::list::trouble;
use crate::text;
use reading::Reading;
use report::{Entry, Live};
use screen::{Go, Screen};

/// Shows what servers do: calls a second, latency, errors, and who calls
#[derive(Args)]
pub struct Top {
    /// Only this server
    name: Option<String>,

    /// Print one table of what was done since the servers began, or within one interval, and end
    #[arg(long)]
    once: bool,

    /// Time between two looks [default: 1]
    #[arg(short, long, value_name = "SECONDS", value_parser = text::seconds)]
    interval: Option<Duration>,
}

/// How long to wait for a key at a time.
const TICK: Duration = Duration::from_millis(50);

impl Top {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let look = Look { name: self.name.clone(), patience: common.patience() };
        let before = look.readings()?;
        if self.once {
            let report = match self.interval {
                None => report(&[], &before),
                Some(interval) => {
                    thread::sleep(interval);
                    report(&before, &look.readings()?)
                }
            };
            return print(&report, common.json);
        }
        let interval = self.interval.unwrap_or(Duration::from_secs(1));
        if common.json {
            return every(interval, before, &look);
        }
        if !io::stdout().is_terminal() {
            return Err(Failure::usage("standard output is no terminal: use --once or --json"));
        }
        let mut terminal = ratatui::try_init()?;
        let done = live(&mut terminal, interval, before, look);
        ratatui::restore();
        done
    }
}

/// Which servers to look at.
struct Look {
    name: Option<String>,
    patience: Duration,
}

/// A server, or why it could not be asked.
type Found = (String, Result<Reading, ConnectError>);

impl Look {
    /// Looks at the servers once. The one that was asked for has to answer.
    fn readings(&self) -> Result<Vec<Found>, Failure> {
        if let Some(name) = &self.name {
            let server = ServerInfo::of(name, self.patience)?;
            return Ok(vec![(name.clone(), Ok(Reading::of(&server)))]);
        }
        let found = discover(self.patience)?.into_iter();
        Ok(found.map(|Discovered { name, server, .. }| (name, server.map(|server| Reading::of(&server)))).collect())
    }

    /// The same, where a server that was there may be gone for a while.
    fn readings_again(&self) -> Result<Vec<Found>, Failure> {
        match &self.name {
            Some(name) => {
                let server = ServerInfo::of(name, self.patience).map(|server| Reading::of(&server));
                Ok(vec![(name.clone(), server)])
            }
            None => self.readings(),
        }
    }
}

/// What was done between two looks; since a server began if it was not there at the first.
fn report(before: &[Found], now: &[Found]) -> Vec<Entry> {
    let earlier = |name: &str| before.iter().find(|(known, _)| known == name).and_then(|(_, one)| one.as_ref().ok());
    let one = |(name, server): &Found| Entry {
        name: name.clone(),
        server: match server {
            Ok(reading) => Ok(Live::between(earlier(name), reading)),
            Err(error) => Err((trouble(error), error.to_string())),
        },
    };
    now.iter().map(one).collect()
}

fn print(report: &[Entry], json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", text::json(&as_json(report), false))?;
    } else {
        report::tables(report, &mut out)?;
    }
    Ok(out.flush()?)
}

// The time of day, for whoever keeps the lines. Nothing is computed from it.
#[allow(clippy::disallowed_types)]
fn as_json(report: &[Entry]) -> Value {
    use std::time::{SystemTime, UNIX_EPOCH};
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    json!({"time": time, "servers": report.iter().map(Entry::json).collect::<Vec<_>>()})
}

/// A line of JSON for each interval, until nobody reads them.
fn every(interval: Duration, mut before: Vec<Found>, look: &Look) -> Result<(), Failure> {
    let mut next = Instant::now();
    loop {
        next += interval;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let now = look.readings_again()?;
        print(&report(&before, &now), true)?;
        before = now;
    }
}

/// The view on a terminal. Servers are asked by a thread of its own, so that one that is silent does not keep keys waiting.
fn live(terminal: &mut DefaultTerminal, interval: Duration, before: Vec<Found>, look: Look) -> Result<(), Failure> {
    let (sender, reports) = sync_channel(1);
    thread::Builder::new().name("ipc look".into()).spawn(move || ask(interval, before, &look, &sender))?;
    let (mut screen, interrupt) = (Screen::new(interval), Interrupt::new()?);
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        match next(&reports, &mut screen, &interrupt)? {
            Go::On => {}
            Go::Away => return Ok(()),
        }
    }
}

/// Waits until there is something new to be shown.
fn next(
    reports: &Receiver<Result<Vec<Entry>, Failure>>,
    screen: &mut Screen,
    interrupt: &Interrupt,
) -> Result<Go, Failure> {
    while !interrupt.was_heard() {
        match reports.try_recv() {
            Ok(report) => {
                screen.show(report?);
                return Ok(Go::On);
            }
            Err(TryRecvError::Disconnected) => {
                return Err(Failure::failed("the thread that asks servers has ended"));
            }
            Err(TryRecvError::Empty) => {}
        }
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(screen.key(key)),
                Event::Resize(..) => return Ok(Go::On),
                _ => {}
            }
        }
    }
    Ok(Go::Away)
}

fn ask(interval: Duration, first: Vec<Found>, look: &Look, reports: &SyncSender<Result<Vec<Entry>, Failure>>) {
    let mut before = first;
    // At once something is to be seen: what was done since the servers began.
    if reports.send(Ok(report(&[], &before))).is_err() {
        return;
    }
    loop {
        thread::sleep(interval);
        let report = look.readings_again().map(|now| {
            let report = report(&before, &now);
            before = now;
            report
        });
        let failed = report.is_err();
        if reports.send(report).is_err() || failed {
            return;
        }
    }
}
