//! An arena of a segment: extents with committed pages.
//!
//! # Pages
//! They are committed before an extent is handed out, without the lock: whoever has the extent has the chunks that lie in it,
//! and a chunk that two extents share may be committed twice. They are given back with the lock, a few at a time, by the thread
//! of `surplus.rs`. What is committed is kept as long as it was needed within the last [`Memory::idle`]: by then the most that
//! was in use at once (`peak`) is what comes next, as far as can be told.
//!
//! # Safety
//! One copy of bytes when a message outgrows its memory; everything else is bookkeeping.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, TryLockError, Weak};
use std::time::Duration;

use crate::committed::Committed;
use crate::extent::{Extent, Extents};
use crate::layout::{CHUNK, EXTENT, EXTENT_START, MAX_MESSAGE};
use crate::memory::{Lack, Memory, MemoryUsage, NoMemory};
use crate::segment::{Pages, Segment};
use crate::surplus;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering, thread};

/// A huge page, which is committed as a whole.
const HUGE: u32 = 2 << 20;

/// The allocator of one side of a segment.
#[derive(Debug)]
pub struct Arena {
    this: Weak<Arena>,
    pages: Pages,
    state: Mutex<State>,
    /// Threads that wait for `state`.
    waiting: AtomicU32,
    at: u32,
    size: u32,
}

#[derive(Debug)]
struct State {
    extents: Extents,
    committed: Committed,
    memory: Memory,
    /// The most bytes in use at once since the last look at what is surplus.
    peak: u64,
    /// Such looks are taken.
    watched: bool,
}

impl State {
    /// Bytes that are not given back.
    fn floor(&self) -> u64 {
        self.peak.max(self.extents.used()).saturating_add(self.memory.keep)
    }

    /// Was no more in use than is now, since the last look?
    fn is_idle(&self) -> bool {
        self.peak == self.extents.used()
    }

    /// An extent was taken, or grew.
    fn note_use(&mut self) {
        self.peak = self.peak.max(self.extents.used());
    }
}

impl Arena {
    /// An arena of `len` bytes at offset `at` of `segment`.
    pub fn new(segment: &Segment, at: u32, len: u32) -> Arc<Self> {
        let state = State {
            extents: Extents::new(at, len),
            committed: Committed::new(at, len),
            memory: Memory::default(),
            peak: 0,
            watched: false,
        };
        let pages = segment.pages();
        Arc::new_cyclic(|this| Arena {
            this: this.clone(),
            pages,
            state: Mutex::new(state),
            waiting: AtomicU32::new(0),
            at,
            size: len,
        })
    }

    /// Goes by `memory` from now on, as far as the system can.
    pub fn use_memory(&self, segment: &Segment, memory: &Memory) {
        if let Some(node) = memory.numa_node {
            let _ = segment.prefer_node(self.at, self.size, node);
        }
        if memory.huge_pages {
            segment.advise_huge_pages(self.at, self.size);
        }
        let mut first = memory.prefault.min(self.size) / CHUNK * CHUNK;
        if first > 0 && segment.populate(self.at, first).is_err() {
            first = 0;
        }
        let mut state = self.lock();
        state.committed.commit(self.at, first);
        state.memory = Memory { keep: memory.keep.max(u64::from(first)), ..memory.clone() };
    }

    /// An extent of at least `needed` bytes, of `wanted` if there is room.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is allocated then.
    pub fn take(&self, segment: &Segment, needed: u32, wanted: u32) -> Result<Extent, NoMemory> {
        let mut state = self.lock();
        let left = state.memory.quota.saturating_sub(state.extents.used());
        if u64::from(needed).next_multiple_of(u64::from(EXTENT)) > left {
            let short = state.memory.quota < u64::from(self.size);
            return Err(self.none(&state, if short { Lack::Quota } else { Lack::Space }, needed));
        }
        let wanted = wanted.min(u32::try_from(left).unwrap_or(u32::MAX) / EXTENT * EXTENT);
        let Some(extent) = state.extents.take(wanted.max(needed)).or_else(|| state.extents.take(needed)) else {
            return Err(self.none(&state, Lack::Space, needed));
        };
        state.note_use();
        let (mut state, committed) = self.commit(segment, state, &extent);
        if let Err(error) = committed {
            let _ = state.extents.free(extent);
            return Err(self.none(&state, Lack::System(error.raw_os_error().unwrap_or(libc::ENOMEM)), needed));
        }
        Ok(extent)
    }

    /// Addresses for `len` bytes, without pages.
    pub(crate) fn reserve(&self, len: u32) -> Option<Extent> {
        self.lock().extents.take(len)
    }

    /// Sees to it that the extent has pages. The lock is released meanwhile.
    fn commit<'a>(
        &'a self,
        segment: &Segment,
        mut state: MutexGuard<'a, State>,
        extent: &Extent,
    ) -> (MutexGuard<'a, State>, io::Result<()>) {
        while let Some((mut at, mut len)) = state.committed.missing(extent.offset(), extent.len()) {
            let huge = state.memory.huge_pages;
            drop(state);
            let done = if huge {
                let end = (at + len).next_multiple_of(HUGE).min(self.at + self.size);
                at = (at / HUGE * HUGE).max(self.at);
                len = end - at;
                segment.populate(at, len)
            } else {
                segment.commit(at, len)
            };
            state = self.lock();
            if done.is_err() {
                return (state, done);
            }
            state.committed.commit(at, len);
        }
        (state, Ok(()))
    }

    /// Gives a message that outgrew its memory at least `needed` bytes, with the first `used` bytes from `from` in place.
    /// `old` is the extent it lies in, if it does. The bytes start [`EXTENT_START`] behind the start of the extent given.
    ///
    /// # Errors
    /// [`NoMemory`], and `old` as it was.
    ///
    /// # Safety
    /// `used` bytes at `from` are readable, nobody writes them meanwhile, and they are in `old` or in no extent of this arena.
    pub(crate) unsafe fn grow(
        &self,
        segment: &Segment,
        old: &mut Option<Extent>,
        from: NonNull<u8>,
        used: usize,
        needed: usize,
    ) -> Result<(), NoMemory> {
        let limit = MAX_MESSAGE as usize + EXTENT_START as usize;
        let bytes = needed.saturating_add(EXTENT_START as usize);
        if bytes > limit {
            return Err(self.refuses(needed as u64));
        }
        // Twice what is needed while messages are small, so that growing step by step copies little in all; large ones
        // mostly arrive as one slice and need no more.
        let wanted = bytes.saturating_add(bytes.min(CHUNK as usize)).min(limit);
        if let Some(extent) = old
            && self.extend(segment, extent, wanted as u32)
        {
            return Ok(());
        }
        let extent = self.take(segment, bytes as u32, wanted as u32)?;
        let to = segment.pointer(extent.offset() + EXTENT_START);
        // SAFETY: the caller vouches for `from`; the new extent has at least `needed` bytes behind its start, which is
        // more than `used`, it is ours alone and overlaps no other extent.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), used) };
        if let Some(old) = old.replace(extent) {
            self.free(old);
        }
        Ok(())
    }

    /// Makes `extent` at least `len` bytes long where it lies, if the memory behind it is free and the quota allows it.
    pub fn extend(&self, segment: &Segment, extent: &mut Extent, len: u32) -> bool {
        let mut state = self.lock();
        let before = extent.len();
        let more = u64::from(len).next_multiple_of(u64::from(EXTENT)).saturating_sub(u64::from(before));
        let left = state.memory.quota.saturating_sub(state.extents.used());
        if more > left || !state.extents.extend(extent, len) {
            return false;
        }
        state.note_use();
        let (mut state, committed) = self.commit(segment, state, extent);
        if committed.is_err() {
            state.extents.shrink(extent, before);
        }
        committed.is_ok()
    }

    /// Gives back what lies behind the first `len` bytes.
    pub fn shrink(&self, extent: &mut Extent, len: u32) {
        self.lock().extents.shrink(extent, len);
    }

    /// Frees an extent. Its memory goes back to the system when it has not been needed for a while.
    pub fn free(&self, extent: Extent) {
        let mut state = self.lock();
        let _ = state.extents.free(extent);
        if state.watched || state.committed.bytes() <= state.extents.used().saturating_add(state.memory.keep) {
            return;
        }
        state.watched = true;
        let idle = state.memory.idle;
        drop(state);
        surplus::watch(self.this.clone(), idle);
    }

    /// Some time has passed: gives back what was not needed meanwhile. `Some`: there may be more after this time.
    pub(crate) fn give_back(&self) -> Option<Duration> {
        let mut state = self.lock();
        let was_idle = state.is_idle();
        let mut floor = state.floor();
        state.peak = state.extents.used();
        loop {
            // More may have come into use since.
            floor = floor.max(state.floor());
            let above = state.committed.bytes().saturating_sub(floor);
            let surplus = |state: &State| {
                state.extents.free_runs(CHUNK).find_map(|(at, len)| state.committed.surplus(at, len, above))
            };
            let Some((at, len)) = (above > 0).then(|| surplus(&state)).flatten() else { break };
            self.pages.decommit(at, len);
            state.committed.give_back(at, len);
            drop(state);
            // Whoever waits for the lock goes first. Not otherwise: on a busy core this is the last to come back.
            while self.waiting.load(Ordering::Relaxed) != 0 {
                thread::yield_now();
            }
            state = self.lock();
        }
        // If nothing was needed besides, what is left lies between what is in use.
        let more = state.committed.bytes() > state.extents.used().saturating_add(state.memory.keep);
        state.watched = more && !(was_idle && state.is_idle());
        state.watched.then_some(state.memory.idle)
    }

    /// What there is.
    pub fn usage(&self) -> MemoryUsage {
        let state = self.lock();
        let runs = || state.extents.free_runs(1).map(|(_, len)| u64::from(len));
        MemoryUsage {
            used: state.extents.used(),
            committed: state.committed.bytes(),
            free: u64::from(self.size) - state.extents.used(),
            longest_free: runs().max().unwrap_or(0),
        }
    }

    /// The error for a message or a loan of so many bytes, which no arena has.
    #[cold]
    pub(crate) fn refuses(&self, wanted: u64) -> NoMemory {
        NoMemory { wanted, ..self.none(&self.lock(), Lack::Space, 0) }
    }

    fn none(&self, state: &State, lack: Lack, wanted: u32) -> NoMemory {
        let allowed = state.memory.quota.min(u64::from(self.size));
        NoMemory { lack, wanted: u64::from(wanted), used: state.extents.used(), allowed }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half way through a change.
        match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                state
            }
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::layout::Geometry;

    const MIB: u32 = 1 << 20;

    /// An arena whose looks are the test's alone.
    fn arena(memory: Memory) -> (Segment, Arc<Arena>) {
        let segment = Segment::create(Geometry::new(1, 64 * MIB, 0).unwrap()).unwrap();
        let arena = Arena::new(&segment, segment.geometry().caller_arena_at(), 64 * MIB);
        arena.use_memory(&segment, &Memory { idle: Duration::MAX, ..memory });
        (segment, arena)
    }

    /// Kibibytes that the file really has.
    fn pages(segment: &Segment) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::File::from(segment.descriptor().try_clone_to_owned().unwrap());
        file.metadata().unwrap().blocks() / 2 - u64::from(segment.geometry().caller_arena_at() / 1024)
    }

    #[test]
    fn what_was_not_needed_for_a_while_goes_back_and_no_more() {
        let (segment, arena) = arena(Memory::default());
        let large = arena.take(&segment, 30 * MIB, 30 * MIB).unwrap();
        let small = arena.take(&segment, MIB, MIB).unwrap();
        arena.free(large);
        assert!(arena.give_back().is_some(), "it was needed until now");
        assert_eq!(pages(&segment), 31 * 1024);
        // Needed again, in part: what comes next may be as large.
        let again = arena.take(&segment, 9 * MIB, 9 * MIB).unwrap();
        arena.free(again);
        assert!(arena.give_back().is_some());
        let left = arena.usage().committed;
        assert!((11 * MIB..12 * MIB).contains(&(left as u32)), "{left}");
        assert!(arena.give_back().is_none());
        assert_eq!(arena.usage().committed, u64::from(2 * MIB));
        assert_eq!(pages(&segment), 2 * 1024);
        arena.free(small);
        let usage = arena.usage();
        assert_eq!((usage.used, usage.free, usage.longest_free), (0, u64::from(64 * MIB), u64::from(64 * MIB)));
        assert_eq!(usage.fragmentation(), 0.0);
    }

    #[test]
    fn what_lies_between_is_not_waited_for() {
        let (segment, arena) = arena(Memory { keep: 0, ..Memory::default() });
        // Every other one stays: each chunk has some of them.
        let mut all: Vec<_> = (0..200).map(|_| Some(arena.take(&segment, 4096, 4096).unwrap())).collect();
        for extent in all.iter_mut().step_by(2) {
            arena.free(extent.take().unwrap());
        }
        arena.give_back();
        assert_eq!(arena.give_back(), None);
        let usage = arena.usage();
        assert_eq!((usage.used, usage.committed), (100 * 4096, 13 * u64::from(CHUNK)));
        assert!(usage.fragmentation() > 0.0 && usage.fragmentation() < 0.1, "{}", usage.fragmentation());
    }

    #[test]
    fn a_quota_is_kept_to_the_byte_and_says_so() {
        let (segment, arena) = arena(Memory { quota: 1000 * 64, ..Memory::default() });
        let mut first = arena.take(&segment, 600 * 64, 900 * 64).unwrap();
        assert_eq!(first.len(), 900 * 64);
        assert!(arena.extend(&segment, &mut first, 1000 * 64));
        assert!(!arena.extend(&segment, &mut first, 1000 * 64 + 1));
        let none = arena.take(&segment, 1, 1).unwrap_err();
        assert_eq!(none, NoMemory { lack: Lack::Quota, wanted: 1, used: 64_000, allowed: 64_000 });
        assert!(none.passes() && !arena.take(&segment, 64_001, 64_001).unwrap_err().passes());
        arena.shrink(&mut first, 900 * 64);
        let rest = arena.take(&segment, 100 * 64 - 5, MIB).unwrap();
        assert_eq!((rest.len(), arena.usage().used), (100 * 64, 64_000));
        // Without a quota the address space is the limit.
        let (segment, arena) = self::arena(Memory::default());
        assert_eq!(arena.take(&segment, 64 * MIB + 1, MIB).unwrap_err().lack, Lack::Space);
    }

    #[test]
    fn what_is_there_from_the_start_is_mapped_and_stays() {
        let (segment, arena) = arena(Memory { prefault: 3 * MIB, keep: 0, ..Memory::default() });
        assert_eq!((arena.usage().committed, pages(&segment)), (u64::from(3 * MIB), 3 * 1024));
        let faults = || {
            // SAFETY: all-zero bytes are a valid `rusage`, a plain C structure of integers.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: `usage` is a valid place for the result.
            assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }, 0);
            usage.ru_minflt
        };
        let fill = |extent: &Extent| {
            let before = faults();
            // SAFETY: the extent is the test's, and has pages.
            unsafe { segment.pointer(extent.offset()).as_ptr().write_bytes(1, extent.len() as usize) };
            faults() - before
        };
        let extent = arena.take(&segment, 3 * MIB, 3 * MIB).unwrap();
        assert_eq!(fill(&extent), 0);
        let more = arena.take(&segment, 3 * MIB, 3 * MIB).unwrap();
        assert!(fill(&more) > 0, "the system maps memory before it is used: nothing is shown here");
        arena.free(extent);
        arena.free(more);
        while arena.give_back().is_some() {}
        assert_eq!(arena.usage().committed, u64::from(3 * MIB));
    }

    /// What the kernel says of the mapping that `address` is in.
    fn smaps(address: NonNull<u8>) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut of = String::new();
        let mut inside = false;
        for line in maps.lines() {
            if let Some((from, to)) = line.split(' ').next().and_then(|range| range.split_once('-')) {
                let number = |text| usize::from_str_radix(text, 16).unwrap();
                inside = (number(from)..number(to)).contains(&address.addr().get());
            }
            if inside {
                of.push_str(line);
                of.push('\n');
            }
        }
        of
    }

    #[test]
    fn huge_pages_are_used_where_the_system_has_them() {
        let allowed = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
        let (segment, arena) = arena(Memory { huge_pages: true, ..Memory::default() });
        let extent = arena.take(&segment, 8 * MIB, 8 * MIB).unwrap();
        // Whatever the system has, the memory is there.
        assert!(pages(&segment) >= 8 * 1024);
        let said = smaps(segment.pointer(extent.offset()));
        let huge = said.lines().find_map(|line| line.strip_prefix("ShmemPmdMapped:")).unwrap_or("0 kB").trim();
        if ["[advise]", "[always]", "[within_size]"].iter().any(|mode| allowed.contains(mode)) {
            assert_ne!(huge, "0 kB", "{said}");
        } else {
            eprintln!("not shown: the system has no huge pages for shared memory ({})", allowed.trim());
            assert!(said.lines().any(|line| line.starts_with("VmFlags:") && line.contains(" hg")) || said.is_empty());
        }
        arena.free(extent);
        while arena.give_back().is_some() {}
        assert!(pages(&segment) <= 3 * 1024, "{}", pages(&segment));
    }

    #[test]
    fn memory_of_a_node_is_preferred_where_there_are_nodes() {
        let (segment, arena) = arena(Memory { numa_node: Some(0), ..Memory::default() });
        let Ok(maps) = std::fs::read_to_string("/proc/self/numa_maps") else {
            eprintln!("not shown: the kernel knows no nodes");
            return;
        };
        let at = format!("{:x} ", segment.pointer(arena.at).addr().get());
        let said = maps.lines().find(|line| line.starts_with(&at)).unwrap_or_default();
        assert!(said.contains("prefer"), "{said:?} in {maps}");
        // A node that there is not is no obstacle.
        arena.use_memory(&segment, &Memory { numa_node: Some(1023), ..Memory::default() });
        let _ = arena.take(&segment, MIB, MIB).unwrap();
    }
}
