//! What a call carries, and how its result is known to be right.

use crate::Result;

/// The sum of all words: what every server computes of what has arrived.
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// Bytes in private memory of the caller. Each call has others, so that those of an earlier one are not taken for it.
pub struct Payload {
    bytes: Vec<u8>,
    sum: u64,
    calls: u64,
}

impl Payload {
    /// So many bytes, a multiple of eight.
    pub fn new(len: usize) -> Self {
        let bytes: Vec<u8> = (0..len as u64 / 8).flat_map(|n| (n ^ 0x5bd1_e995).to_le_bytes()).collect();
        let sum = sum(&bytes);
        Payload { bytes, sum, calls: 0 }
    }

    /// Changes the first and the last word.
    pub fn next(&mut self) {
        self.calls += 1;
        let last = self.bytes.len() - 8;
        self.set(0, self.calls);
        if last > 0 {
            self.set(last, self.calls.wrapping_mul(3));
        }
    }

    fn set(&mut self, at: usize, value: u64) {
        let word = self.bytes[at..].first_chunk_mut::<8>().expect("eight bytes from there");
        self.sum = self.sum.wrapping_sub(u64::from_le_bytes(*word)).wrapping_add(value);
        *word = value.to_le_bytes();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many there have been.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What the server has to answer.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Compares an answer.
    pub fn check(&self, answer: u64) -> Result<()> {
        check(self.sum, answer)
    }
}

/// Compares an answer with what is known to be right.
pub fn check(expected: u64, answer: u64) -> Result<()> {
    if expected == answer { Ok(()) } else { Err(format!("the answer is {answer}, not {expected}").into()) }
}

/// A number of bytes as people write it.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// Reads `8`, `64K`, `1M`, `4 KiB`.
pub fn parse_size(text: &str) -> std::result::Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        unit => return Err(format!("unknown unit {unit:?}; known are B, K and M")),
    };
    let number: usize = digits.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| (8..=1 << 28).contains(bytes));
    bytes.filter(|bytes| bytes.is_multiple_of(8)).ok_or_else(|| "a multiple of 8 up to 256 MiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_follows_the_bytes() {
        for len in [8, 16, 64, 4096] {
            let mut payload = Payload::new(len);
            for _ in 0..5 {
                let before = payload.sum();
                payload.next();
                assert_ne!(payload.sum(), before);
                assert_eq!(sum(payload.bytes()), payload.sum());
            }
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for bytes in [8, 64, 4096, 1 << 16, 1 << 20] {
            assert_eq!(parse_size(&size(bytes)), Ok(bytes));
        }
        assert_eq!(parse_size("64K"), Ok(1 << 16));
        for wrong in ["", "K", "7", "9", "1G", "1T", "99999999999999999999M"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }
}
