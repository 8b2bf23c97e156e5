//! Handlers that keep what they are given.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_rpc::{Context, Kept, Message, Streaming, service};

use crate::services::{WorkError, checksum};

/// Something with parts.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Frame {
    /// Pixels in a row.
    pub width: u32,
    /// All of them.
    pub pixels: Vec<u8>,
    /// What is in it.
    pub names: Vec<String>,
}

/// What has been kept, by number.
#[service]
pub trait Shelf {
    /// Keeps the bytes; gives their checksum.
    fn put(&self, key: u32, bytes: Kept<Vec<u8>>) -> u64;
    /// The same, async.
    async fn put_later(&self, key: u32, bytes: Kept<Vec<u8>>) -> u64;
    /// Not waited for.
    #[rpc(oneway)]
    fn leave(&self, key: u32, bytes: Kept<Vec<u8>>);
    /// Keeps only the text of the two.
    fn put_text(&self, key: u32, frame: Kept<Frame>, text: Kept<String>) -> String;
    /// Keeps the frame, and fails, or panics.
    fn put_frame(&self, key: u32, frame: Kept<Frame>, panics: bool) -> Result<(), WorkError>;
    /// Keeps the bytes, and sends them piece by piece.
    fn put_pieces(&self, key: u32, len: u32, bytes: Kept<Vec<u8>>) -> Streaming<Vec<u8>>;
    /// Keeps the bytes, and returns when nobody waits any more.
    fn put_and_wait(&self, key: u32, bytes: Kept<Vec<u8>>, ctx: &Context);
    /// Lets other threads drop the bytes, in so many microseconds, and gives them back.
    fn pass_on(&self, micros: u32, bytes: Kept<Vec<u8>>) -> Vec<u8>;
    /// Looks at them.
    fn look(&self, bytes: Kept<Vec<u8>>) -> u64;
    /// The checksum of what was kept under this number.
    fn checksum(&self, key: u32) -> Option<u64>;
    /// Keeps it no longer.
    fn take(&self, key: u32) -> bool;
}

/// One thing on a shelf.
#[derive(Debug, Clone)]
pub enum Thing {
    /// Bytes.
    Bytes(Kept<Vec<u8>>),
    /// A frame.
    Frame(Kept<Frame>),
    /// Text.
    Text(Kept<String>),
}

/// Serves [`Shelf`].
#[derive(Debug, Default)]
pub struct Store {
    things: Mutex<HashMap<u32, Thing>>,
}

impl Store {
    /// What is kept.
    pub fn things(&self) -> MutexGuard<'_, HashMap<u32, Thing>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: u32, thing: Thing) {
        let old = self.things().insert(key, thing);
        drop(old);
    }

    /// The checksum of the bytes kept under this number.
    pub fn sum(&self, key: u32) -> Option<u64> {
        match self.things().get(&key)? {
            Thing::Bytes(bytes) => Some(checksum(bytes.get())),
            Thing::Frame(frame) => Some(checksum(frame.pixels())),
            Thing::Text(text) => Some(checksum(text.get().as_bytes())),
        }
    }
}

impl Shelf for Arc<Store> {
    fn put(&self, key: u32, bytes: Kept<Vec<u8>>) -> u64 {
        let sum = checksum(bytes.get());
        self.keep(key, Thing::Bytes(bytes));
        sum
    }

    async fn put_later(&self, key: u32, bytes: Kept<Vec<u8>>) -> u64 {
        smol::future::yield_now().await;
        let sum = checksum(bytes.get());
        self.keep(key, Thing::Bytes(bytes.clone()));
        smol::future::yield_now().await;
        sum
    }

    fn leave(&self, key: u32, bytes: Kept<Vec<u8>>) {
        self.keep(key, Thing::Bytes(bytes));
    }

    fn put_text(&self, key: u32, frame: Kept<Frame>, text: Kept<String>) -> String {
        let both = format!("{} {}", frame.width(), text.get());
        self.keep(key, Thing::Text(text));
        both
    }

    fn put_frame(&self, key: u32, frame: Kept<Frame>, panics: bool) -> Result<(), WorkError> {
        self.keep(key, Thing::Frame(frame));
        assert!(!panics, "the frame was kept");
        Err(WorkError { code: 1, reason: "the frame was kept".into() })
    }

    fn put_pieces(&self, key: u32, len: u32, bytes: Kept<Vec<u8>>) -> Streaming<Vec<u8>> {
        self.keep(key, Thing::Bytes(bytes.clone()));
        let (len, mut at) = (len as usize, 0);
        Streaming::from_iter(std::iter::from_fn(move || {
            let piece = bytes.get().get(at..)?.chunks(len).next()?.to_vec();
            at += piece.len();
            Some(piece)
        }))
    }

    fn put_and_wait(&self, key: u32, bytes: Kept<Vec<u8>>, ctx: &Context) {
        self.keep(key, Thing::Bytes(bytes));
        while !ctx.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pass_on(&self, micros: u32, bytes: Kept<Vec<u8>>) -> Vec<u8> {
        let (one, other) = (bytes.clone(), bytes.clone());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(micros.into()));
            drop(one);
        });
        std::thread::spawn(move || drop(other));
        bytes.to_owned().unwrap_or_default()
    }

    fn look(&self, bytes: Kept<Vec<u8>>) -> u64 {
        checksum(bytes.get())
    }

    fn checksum(&self, key: u32) -> Option<u64> {
        self.sum(key)
    }

    fn take(&self, key: u32) -> bool {
        let thing = self.things().remove(&key);
        thing.is_some()
    }
}
