//! What the clients ask for: bytes of a pattern, of which both sides have a copy.

use ipc_rpc::{Context, Loan, service};
use ipc_rpc_tests::random::Random;

/// The most bytes of a message.
pub const MOST: usize = 64 << 20;
/// Messages begin at any of so many places of the pattern.
const STARTS: u64 = 1 << 16;

/// Bytes that look random.
pub struct Pattern(Vec<u8>);

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let words = (0..(MOST as u64 + STARTS) / 8).map(|_| random.any().to_le_bytes());
        Pattern(words.flatten().collect())
    }

    /// The `len` bytes of message `key`.
    pub fn of(&self, key: u64, len: usize) -> &[u8] {
        &self.0[(key % STARTS) as usize..][..len]
    }
}

/// Takes and gives bytes of the pattern.
#[service]
pub trait Sizes {
    /// Are these those of `key`?
    fn take(&self, key: u64, bytes: &[u8]) -> bool;
    /// Those of `key`.
    fn make(&self, key: u64, len: u64) -> Vec<u8>;
    /// The same, written where they are read.
    fn lend(&self, key: u64, len: u64, context: &Context) -> Result<Loan<u8>, String>;
    /// The same ones, if they are those of `key`.
    fn mirror(&self, key: u64, bytes: &[u8]) -> Vec<u8>;
}

pub struct Keeper(pub Pattern);

impl Sizes for Keeper {
    fn take(&self, key: u64, bytes: &[u8]) -> bool {
        bytes == self.0.of(key, bytes.len())
    }

    fn make(&self, key: u64, len: u64) -> Vec<u8> {
        self.0.of(key, len as usize).to_vec()
    }

    fn lend(&self, key: u64, len: u64, context: &Context) -> Result<Loan<u8>, String> {
        let mut loan = context.loan(len as usize).map_err(|error| error.to_string())?;
        loan.copy_from_slice(self.0.of(key, len as usize));
        Ok(loan)
    }

    fn mirror(&self, key: u64, bytes: &[u8]) -> Vec<u8> {
        assert!(self.take(key, bytes), "not what was sent");
        bytes.to_vec()
    }
}
