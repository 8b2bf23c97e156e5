//! A service with every form of call that does no harm whatever its arguments are: what goes wrong here is the framework's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ipc_rpc::{Archived, Streaming, service};
use ipc_rpc_tests::services::checksum;
use ipc_rpc_tests::zoo::{Record, Tree};

/// An object in the client's process.
#[service]
pub trait Ear {
    /// Twice the number.
    fn heard(&self, number: u64) -> u64;
    /// Not waited for.
    #[rpc(oneway)]
    fn noted(&self, number: u64);
}

/// An object in the server's process. The order matters: attackers know these by their numbers.
#[service]
pub trait Desk {
    fn add(&self, a: u64, b: u64) -> u64;
    fn echo(&self, list: &[u8]) -> Vec<u8>;
    /// A number that depends on every part. Looks at all of it twice.
    fn twice(&self, text: &str, numbers: &[f32], record: &Archived<Record>) -> u64;
    fn record(&self, record: Record) -> Record;
    fn leaves(&self, tree: &Archived<Tree>) -> u64;
    async fn echo_later(&self, list: &[u8]) -> Vec<u8>;
    #[rpc(oneway)]
    fn note(&self, number: u64);
    fn numbers(&self, count: u32) -> Streaming<u64>;
    async fn total(&self, numbers: Streaming<u64>) -> u64;
    fn doubled(&self, numbers: Streaming<u64>) -> Streaming<u64>;
    /// The sum of the answers.
    fn tell(&self, count: u8, ear: &EarClient) -> Result<u64, String>;
    async fn tell_later(&self, count: u8, ear: &EarClient) -> Result<u64, String>;
    /// Keeps the handle until eight more have been kept.
    fn keep(&self, ear: &EarClient);
    /// Keeps none any longer.
    fn forget(&self);
}

/// Numbers of the methods that are named here.
pub const TWICE: usize = 2;
pub const NUMBERS: usize = 7;
pub const TOTAL: usize = 8;
pub const DOUBLED: usize = 9;
pub const TELL: usize = 10;
pub const KEEP: usize = 12;
/// How many methods there are.
pub const METHODS: u16 = 14;
pub const METHODS_OF_EAR: u16 = 2;

/// Serves [`Desk`].
#[derive(Debug, Default)]
pub struct Clerk {
    kept: Mutex<VecDeque<EarClient>>,
}

/// How often a handler has seen its arguments change.
pub static TORN: AtomicU64 = AtomicU64::new(0);

/// What [`Desk::twice`] gives for what can be read of its arguments.
pub fn digest(text: &str, numbers: &[f32], record: &str) -> u64 {
    let text_and_numbers = format!("{text} {numbers:?} {record}");
    checksum(text_and_numbers.as_bytes())
}

fn count_leaves(tree: &Archived<Tree>) -> u64 {
    let children = tree.children();
    if children.is_empty() { 1 } else { children.iter().map(count_leaves).sum() }
}

impl Desk for Clerk {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    fn echo(&self, list: &[u8]) -> Vec<u8> {
        list.to_vec()
    }
    fn twice(&self, text: &str, numbers: &[f32], record: &Archived<Record>) -> u64 {
        let look = || digest(text, numbers, record.name()) ^ checksum(format!("{record:?}").as_bytes());
        let first = look();
        // Whoever goes on writing has time for it.
        thread::yield_now();
        if look() != first || std::str::from_utf8(text.as_bytes()).is_err() {
            TORN.fetch_add(1, Ordering::Relaxed);
        }
        digest(text, numbers, record.name())
    }
    fn record(&self, record: Record) -> Record {
        record
    }
    fn leaves(&self, tree: &Archived<Tree>) -> u64 {
        count_leaves(tree)
    }
    async fn echo_later(&self, list: &[u8]) -> Vec<u8> {
        smol::future::yield_now().await;
        list.to_vec()
    }
    fn note(&self, _number: u64) {}
    fn numbers(&self, count: u32) -> Streaming<u64> {
        Streaming::from_iter((0..u64::from(count)).map(|n| n * n))
    }
    async fn total(&self, mut numbers: Streaming<u64>) -> u64 {
        let mut sum = 0u64;
        while let Some(Ok(number)) = numbers.next_async().await {
            sum = sum.wrapping_add(number);
        }
        sum
    }
    fn doubled(&self, numbers: Streaming<u64>) -> Streaming<u64> {
        Streaming::from_iter(numbers.map_while(Result::ok).map(|n| n.wrapping_mul(2)))
    }
    fn tell(&self, count: u8, ear: &EarClient) -> Result<u64, String> {
        let mut sum = 0u64;
        for number in 0..u64::from(count) {
            sum = sum.wrapping_add(ear.heard(number).map_err(|error| error.to_string())?);
            ear.noted(number).map_err(|error| error.to_string())?;
        }
        Ok(sum)
    }
    async fn tell_later(&self, count: u8, ear: &EarClient) -> Result<u64, String> {
        let mut sum = 0u64;
        for number in 0..u64::from(count) {
            let told = match ear.start().heard(number) {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            sum = sum.wrapping_add(told.map_err(|error| error.to_string())?);
        }
        Ok(sum)
    }
    fn keep(&self, ear: &EarClient) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(ear.clone());
        let oldest = if kept.len() > 8 { kept.pop_front() } else { None };
        drop(kept);
        if let Some(oldest) = oldest {
            // Its client may be gone long since.
            let _ = oldest.noted(1);
        }
    }
    fn forget(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        drop(kept);
    }
}
