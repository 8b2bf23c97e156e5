//! Services that take handles, for clients and servers in processes of their own.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipc_rpc::{CallError, service};

use crate::helper::until;

/// Hears how a job goes on.
#[service]
pub trait Progress {
    /// A part is done. The answer is how many are.
    fn done(&self, part: u64) -> u64;
    /// Nobody waits for this.
    #[rpc(oneway)]
    fn note(&self, part: u64);
    /// Makes the file `gate.begun`, and waits for the file `gate`.
    fn pass(&self, gate: &str);
    /// Gives bytes back.
    fn echo(&self, bytes: &[u8]) -> Vec<u8>;
}

/// Does jobs.
#[service]
pub trait Jobs {
    /// Tells of so many parts, and gives the last answer.
    fn run(&self, parts: u64, progress: &ProgressClient) -> Result<u64, String>;
    /// The same by one-way calls.
    fn notes(&self, parts: u64, progress: &ProgressClient);
    /// Keeps a handle.
    fn keep(&self, progress: &ProgressClient);
    /// Keeps a handle, and then panics.
    fn keep_and_panic(&self, progress: &ProgressClient);
    /// Keeps a handle, makes the file `gate.begun`, and waits for the file `gate`.
    fn keep_and_wait(&self, gate: &str, progress: &ProgressClient);
    /// Tells all objects whose handles are kept of a part; gives how many answered, and how the others failed.
    fn tell(&self, part: u64) -> (u64, Vec<String>);
    /// The same by one-way calls, and then forgets them.
    fn tell_last(&self, part: u64);
    /// How many handles are kept.
    fn kept(&self) -> u64;
    /// Drops the handles that are kept.
    fn forget(&self);
    /// Has the object pass a gate.
    fn pass(&self, gate: &str, progress: &ProgressClient) -> Result<(), String>;
    /// Two objects in one call: the sum of their answers.
    fn both(&self, a: &ProgressClient, b: &ProgressClient) -> Result<u64, String>;
    /// Has the object give bytes back.
    fn echo(&self, bytes: &[u8], progress: &ProgressClient) -> Result<Vec<u8>, String>;
}

/// Goes down by calling [`Up`] until there is no depth left.
#[service]
pub trait Down {
    /// One level.
    fn down(&self, depth: u32, up: &UpClient) -> Result<u32, String>;
}

/// Goes on down.
#[service]
pub trait Up {
    /// One level.
    fn up(&self, depth: u32) -> Result<u32, String>;
}

/// The server's side of all of them.
#[derive(Debug, Default)]
pub struct Desk {
    kept: Mutex<Vec<ProgressClient>>,
    passed: Mutex<Vec<String>>,
}

fn text<T>(result: Result<T, CallError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Makes the file `gate.begun`, and waits for the file `gate`.
///
/// # Panics
/// The file cannot be made.
pub fn pass(gate: &str) {
    fs::write(format!("{gate}.begun"), "").expect("a place for the gate");
    until(|| Path::new(gate).exists());
}

impl Desk {
    /// How the calls of [`Jobs::pass`] ended.
    pub fn passed(&self) -> Vec<String> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, progress: &ProgressClient) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
    }

    fn all(&self) -> Vec<ProgressClient> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Jobs for Desk {
    fn run(&self, parts: u64, progress: &ProgressClient) -> Result<u64, String> {
        (1..=parts).try_fold(0, |_, part| text(progress.done(part)))
    }

    fn notes(&self, parts: u64, progress: &ProgressClient) {
        for part in 1..=parts {
            progress.note(part).expect("a client that is there");
        }
    }

    fn keep(&self, progress: &ProgressClient) {
        self.hold(progress);
    }

    fn keep_and_panic(&self, progress: &ProgressClient) {
        self.hold(progress);
        panic!("after keeping");
    }

    fn keep_and_wait(&self, gate: &str, progress: &ProgressClient) {
        self.hold(progress);
        pass(gate);
    }

    fn tell(&self, part: u64) -> (u64, Vec<String>) {
        let results = self.all().into_iter().map(|p| p.done(part));
        let (done, failed): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
        (done.len() as u64, failed.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect())
    }

    fn tell_last(&self, part: u64) {
        let all = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        for progress in all {
            progress.note(part).expect("a client that is there");
        }
    }

    fn kept(&self) -> u64 {
        self.all().len() as u64
    }

    fn forget(&self) {
        let all = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }

    fn pass(&self, gate: &str, progress: &ProgressClient) -> Result<(), String> {
        let result = text(progress.pass(gate));
        let outcome = result.as_ref().err().cloned().unwrap_or_else(|| "passed".to_owned());
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        result
    }

    fn both(&self, a: &ProgressClient, b: &ProgressClient) -> Result<u64, String> {
        Ok(text(a.done(1))? + text(b.done(2))?)
    }

    fn echo(&self, bytes: &[u8], progress: &ProgressClient) -> Result<Vec<u8>, String> {
        text(progress.echo(bytes))
    }
}

impl Down for Desk {
    fn down(&self, depth: u32, up: &UpClient) -> Result<u32, String> {
        if depth == 0 {
            return Ok(0);
        }
        up.up(depth - 1).map(|n| n + 1).map_err(|error| error.to_string())
    }
}

/// A client's side of [`Progress`]: adds up.
#[derive(Debug, Default)]
pub struct Bar {
    sum: AtomicU64,
    count: AtomicU64,
}

impl Bar {
    /// The sum of all parts.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::SeqCst)
    }
}

impl Progress for Bar {
    fn done(&self, part: u64) -> u64 {
        self.sum.fetch_add(part, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn note(&self, part: u64) {
        // Long enough for an answer to overtake it.
        std::thread::sleep(Duration::from_micros(200));
        self.sum.fetch_add(part, Ordering::SeqCst);
    }

    fn pass(&self, gate: &str) {
        pass(gate);
    }

    fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

/// A client's side of [`Up`].
#[derive(Debug, Clone)]
pub struct Climber(pub DownClient);

impl Up for Climber {
    fn up(&self, depth: u32) -> Result<u32, String> {
        self.0.down(depth, &UpDispatcher::new(self.clone())).map(|n| n + 1).map_err(|error| error.to_string())
    }
}

/// The smallest object to lend.
#[service]
pub trait Double {
    /// Twice `n`.
    fn double(&self, n: u64) -> u64;
}

/// Serves [`Double`].
#[derive(Debug)]
pub struct Doubler;

impl Double for Doubler {
    fn double(&self, n: u64) -> u64 {
        2 * n
    }
}
