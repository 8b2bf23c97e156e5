//! Services whose handlers do what a test needs: take long, panic, fail, make much of little.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipc_rpc::{Message, service};

use crate::helper::until;

/// The smallest service.
#[service]
pub trait Calc {
    /// The sum.
    fn add(&self, a: i64, b: i64) -> i64;
}

/// Serves [`Calc`].
#[derive(Debug)]
pub struct Adder;

impl Calc for Adder {
    fn add(&self, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
}

/// An error of a handler.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
pub struct WorkError {
    /// A number.
    pub code: i32,
    /// A reason.
    pub reason: String,
}

impl std::fmt::Display for WorkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (code {})", self.reason, self.code)
    }
}

impl std::error::Error for WorkError {}

/// A message that can nest as deep as one likes.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Nest {
    /// What is inside.
    pub inner: Option<Box<Nest>>,
}

impl Nest {
    /// So many levels.
    pub fn of(levels: u32) -> Self {
        let mut nest = Nest { inner: None };
        for _ in 0..levels {
            nest = Nest { inner: Some(Box::new(nest)) };
        }
        nest
    }
}

/// Handlers that misbehave on demand.
#[service]
pub trait Work {
    /// How many of the other methods have begun.
    fn runs(&self) -> u64;
    /// Makes the file `GATE.in`, and returns when there is a file `GATE.out`.
    fn pass(&self, gate: &str) -> u64;
    /// Returns after so many milliseconds.
    fn sleep(&self, milliseconds: u64) -> u64;
    /// Panics with this text.
    fn panic(&self, text: &str) -> u64;
    /// Panics with something that is no text.
    fn panic_with_a_number(&self) -> u64;
    /// Fails unless `code` is 0.
    fn fail(&self, code: i32) -> Result<String, WorkError>;
    /// A list of so many bytes.
    fn make(&self, len: u64, byte: u8) -> Vec<u8>;
    /// The same list.
    fn mirror(&self, bytes: &[u8]) -> Vec<u8>;
    /// A number that depends on every byte and its place.
    fn checksum(&self, bytes: &[u8]) -> u64;
    /// So many levels.
    fn nest(&self, levels: u32) -> Nest;
    /// Counts the levels.
    fn levels(&self, nest: Nest) -> u32;
    /// Ends the process at once.
    fn abort(&self) -> u64;
}

/// Serves [`Work`].
#[derive(Debug, Default)]
pub struct Worker {
    runs: AtomicU64,
}

impl Worker {
    fn begin(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A number that depends on every byte and its place.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Bytes without a pattern that a shift would keep.
pub fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let first: Vec<u8> =
        (0..len.min(65_521)).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed).collect();
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        let take = first.len().min(len - all.len());
        all.extend_from_slice(&first[..take]);
    }
    all
}

impl Work for Worker {
    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
    fn pass(&self, gate: &str) -> u64 {
        let run = self.begin();
        fs::write(format!("{gate}.in"), "").expect("the test's folder");
        until(|| Path::new(&format!("{gate}.out")).exists());
        run
    }
    fn sleep(&self, milliseconds: u64) -> u64 {
        let run = self.begin();
        std::thread::sleep(Duration::from_millis(milliseconds));
        run
    }
    fn panic(&self, text: &str) -> u64 {
        self.begin();
        panic!("{text}");
    }
    fn panic_with_a_number(&self) -> u64 {
        self.begin();
        std::panic::panic_any(7u32)
    }
    fn fail(&self, code: i32) -> Result<String, WorkError> {
        self.begin();
        if code == 0 { Ok("well".into()) } else { Err(WorkError { code, reason: "it went wrong".into() }) }
    }
    fn make(&self, len: u64, byte: u8) -> Vec<u8> {
        self.begin();
        vec![byte; len as usize]
    }
    fn mirror(&self, bytes: &[u8]) -> Vec<u8> {
        self.begin();
        bytes.to_vec()
    }
    fn checksum(&self, bytes: &[u8]) -> u64 {
        self.begin();
        checksum(bytes)
    }
    fn nest(&self, levels: u32) -> Nest {
        self.begin();
        Nest::of(levels)
    }
    fn levels(&self, nest: Nest) -> u32 {
        self.begin();
        std::iter::successors(nest.inner.as_deref(), |n| n.inner.as_deref()).count() as u32
    }
    fn abort(&self) -> u64 {
        std::process::abort()
    }
}
