//! Which chunks of an arena have pages.

use crate::layout::CHUNK;

/// Chunks are given back in pieces that end where a huge page of the file does, as nearly as chunks do.
const PIECE: u32 = 2 << 20;
const PER_WORD: usize = u64::BITS as usize;

/// The committed chunks of the arena of so many bytes at a segment offset.
#[derive(Debug)]
pub struct Committed {
    arena_at: u32,
    chunks: usize,
    /// A bit for each chunk.
    bits: Box<[u64]>,
    count: u32,
}

impl Committed {
    /// Nothing is committed.
    pub fn new(arena_at: u32, arena_len: u32) -> Self {
        let chunks = arena_len.div_ceil(CHUNK) as usize;
        Committed { arena_at, chunks, bits: vec![0; chunks.div_ceil(PER_WORD)].into(), count: 0 }
    }

    /// Bytes in committed chunks.
    pub fn bytes(&self) -> u64 {
        u64::from(self.count) * u64::from(CHUNK)
    }

    /// The first stretch, as segment offset and bytes, that is not committed of the chunks that have some of `len` bytes at
    /// `offset`.
    pub fn missing(&self, offset: u32, len: u32) -> Option<(u32, u32)> {
        let first = ((offset - self.arena_at) / CHUNK) as usize;
        let end = ((offset - self.arena_at + len).div_ceil(CHUNK) as usize).min(self.chunks);
        let from = self.next(first, end, false);
        (from < end).then(|| self.stretch(from, self.next(from, end, true)))
    }

    /// A stretch of whole chunks was committed.
    pub fn commit(&mut self, offset: u32, len: u32) {
        for chunk in self.whole(offset, len) {
            self.count += u32::from(!self.is_set(chunk));
            self.bits[chunk / PER_WORD] |= 1 << (chunk % PER_WORD);
        }
    }

    /// The last stretch, as segment offset and bytes, of committed chunks that lie in the free run of `len` bytes at `offset`:
    /// at most `most` bytes (but a chunk), and so few that this takes little time.
    pub fn surplus(&self, offset: u32, len: u32, most: u64) -> Option<(u32, u32)> {
        let chunks = self.whole(offset, len);
        let last = self.last(chunks.clone())?;
        let most = usize::try_from(most / u64::from(CHUNK)).unwrap_or(usize::MAX).max(1);
        let piece = (self.arena_at + last as u32 * CHUNK) / PIECE * PIECE;
        let least = (piece.saturating_sub(self.arena_at).div_ceil(CHUNK) as usize).max(chunks.start);
        let mut first = last;
        while first > least && last + 1 - first < most && self.is_set(first - 1) {
            first -= 1;
        }
        Some(self.stretch(first, last + 1))
    }

    /// A stretch of whole chunks was given back.
    pub fn give_back(&mut self, offset: u32, len: u32) {
        for chunk in self.whole(offset, len) {
            self.count -= u32::from(self.is_set(chunk));
            self.bits[chunk / PER_WORD] &= !(1 << (chunk % PER_WORD));
        }
    }

    /// The chunks that lie wholly in so many bytes.
    fn whole(&self, offset: u32, len: u32) -> std::ops::Range<usize> {
        let from = offset - self.arena_at;
        from.div_ceil(CHUNK) as usize..(((from + len) / CHUNK) as usize).min(self.chunks)
    }

    fn stretch(&self, first: usize, end: usize) -> (u32, u32) {
        (self.arena_at + first as u32 * CHUNK, (end - first) as u32 * CHUNK)
    }

    fn is_set(&self, chunk: usize) -> bool {
        self.bits[chunk / PER_WORD] >> (chunk % PER_WORD) & 1 != 0
    }

    /// The first chunk of `from..end` that is committed, or is not, as `set` says; else `end`.
    fn next(&self, from: usize, end: usize, set: bool) -> usize {
        let mut at = from;
        while at < end {
            let word = self.bits[at / PER_WORD];
            let rest = (if set { word } else { !word }) >> (at % PER_WORD);
            if rest != 0 {
                return (at + rest.trailing_zeros() as usize).min(end);
            }
            at = (at / PER_WORD + 1) * PER_WORD;
        }
        end
    }

    /// The last committed one of these chunks.
    fn last(&self, chunks: std::ops::Range<usize>) -> Option<usize> {
        let mut end = chunks.end;
        while end > chunks.start {
            let at = end - 1;
            let rest = self.bits[at / PER_WORD] << (PER_WORD - 1 - at % PER_WORD);
            if rest != 0 {
                return at.checked_sub(rest.leading_zeros() as usize).filter(|at| *at >= chunks.start);
            }
            end = at / PER_WORD * PER_WORD;
        }
        None
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: u32 = 3 * 4096;

    fn commit_all(all: &mut Committed, offset: u32, len: u32) -> Vec<(u32, u32)> {
        let mut stretches = vec![];
        while let Some((at, len)) = all.missing(offset, len) {
            all.commit(at, len);
            stretches.push((at, len));
        }
        stretches
    }

    #[test]
    fn every_chunk_is_committed_once_and_given_back_once() {
        let mut all = Committed::new(AT, 4 * CHUNK);
        assert_eq!(commit_all(&mut all, AT + CHUNK + 5, 10), [(AT + CHUNK, CHUNK)]);
        assert_eq!(commit_all(&mut all, AT, 4 * CHUNK), [(AT, CHUNK), (AT + 2 * CHUNK, 2 * CHUNK)]);
        assert_eq!(all.surplus(AT + 10, 3 * CHUNK, u64::MAX), Some((AT + CHUNK, 2 * CHUNK)));
        assert_eq!(all.surplus(AT + 10, 3 * CHUNK, u64::from(CHUNK)), Some((AT + 2 * CHUNK, CHUNK)));
        all.give_back(AT + CHUNK, 2 * CHUNK);
        assert_eq!(all.bytes(), u64::from(2 * CHUNK));
        assert_eq!(all.surplus(AT + 10, 3 * CHUNK, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn it_says_what_a_list_of_flags_says(
            steps in prop::collection::vec((any::<bool>(), 0u32..300, 0u32..300, prop_oneof![Just(0), 0..CHUNK]), 1..40),
        ) {
            const CHUNKS: u32 = 300;
            let mut all = Committed::new(AT, CHUNKS * CHUNK);
            let mut flags = [false; CHUNKS as usize];
            for (commits, a, b, more) in steps {
                let (first, end) = (a.min(b), a.max(b) + 1);
                let (offset, len) = (AT + first * CHUNK + more, (end - first) * CHUNK - more);
                if commits {
                    commit_all(&mut all, offset, len);
                    flags[first as usize..end as usize].fill(true);
                } else {
                    let whole = first as usize + usize::from(more > 0)..end as usize;
                    while let Some((at, len)) = all.surplus(offset, len, u64::MAX) {
                        prop_assert!(len <= PIECE + CHUNK);
                        let (first, count) = (((at - AT) / CHUNK) as usize, (len / CHUNK) as usize);
                        prop_assert!(whole.contains(&first) && whole.contains(&(first + count - 1)));
                        prop_assert!(flags[first..first + count].iter().all(|set| *set));
                        flags[first..first + count].fill(false);
                        all.give_back(at, len);
                    }
                    prop_assert!(flags[whole].iter().all(|set| !*set));
                }
                prop_assert_eq!(all.bytes(), flags.iter().filter(|set| **set).count() as u64 * u64::from(CHUNK));
            }
        }
    }
}
