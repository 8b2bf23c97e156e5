//! Requests and answers on a stream of bytes: a length, as many bytes; a number.

use std::io::{self, BufReader, IoSlice, Read, Write};

use super::Client;
use crate::Result;
use crate::payload::sum;

const BUFFER: usize = 64 << 10;

/// A request in one system call, if the other end takes it all.
fn write_request(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = (bytes.len() as u64).to_le_bytes();
    let mut slices = &mut [IoSlice::new(&len), IoSlice::new(bytes)][..];
    while !slices.is_empty() {
        match to.write_vectored(slices)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut number = [0; 8];
    from.read_exact(&mut number)?;
    Ok(u64::from_le_bytes(number))
}

/// Answers requests of up to `payload` bytes.
pub fn serve(from: impl Read, mut to: impl Write, payload: usize) -> Result<()> {
    let mut from = BufReader::with_capacity(BUFFER, from);
    let mut bytes = vec![0; payload];
    loop {
        let len = usize::try_from(read_number(&mut from)?)?;
        let bytes = bytes.get_mut(..len).ok_or("a request that is too long")?;
        from.read_exact(bytes)?;
        to.write_all(&sum(bytes).to_le_bytes())?;
    }
}

/// The calling end, and what it keeps alive.
pub struct Caller<W, R: Read, K> {
    to: W,
    from: BufReader<R>,
    _server: K,
}

impl<W: Write, R: Read, K> Caller<W, R, K> {
    pub fn new(to: W, from: R, server: K) -> Self {
        Caller { to, from: BufReader::with_capacity(BUFFER, from), _server: server }
    }
}

impl<W: Write, R: Read, K> Client for Caller<W, R, K> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(write_request(&mut self.to, bytes)?)
    }

    fn receive(&mut self) -> Result<u64> {
        Ok(read_number(&mut self.from)?)
    }
}
