//! Figures of a callee that others can read while it runs: words in an anonymous file (memfd) that nobody else can write.
//!
//! The callee maps the file, then seals it: from then on only mappings for reading are made of it. Whoever has the descriptor
//! reads the sums of each worker ([`tallies`](crate::tallies)), the errors of each method, and a histogram of how long its calls
//! took, without a word to the callee. Durations are measured for every call that the scanner has had to wait for, or was woken for, and for one
//! of 64 of those that come in a row, at random, which counts 64 times; so the calls of a histogram are about as many as there were, and
//! measuring costs next to nothing.
//!
//! # Layout
//! L34 to L37 of `docs/layout.md`: a page of numbers, a row of sums for each worker, and errors and buckets of each method. Memory of a
//! row is there once its worker is, that of a method's buckets once it was called; what is not there is not read, which would make
//! it be there.
//!
//! # Safety
//! References into the mapping, which consists of atomics and lives as long as the value; its size is sealed.
#![allow(unsafe_code)]

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use memmap2::{MmapOptions, MmapRaw};

use crate::clock;
use crate::file_size;
use crate::histogram::{BUCKETS, Histogram, bucket};
use crate::hold::BETWEEN_PAUSES;
use crate::layout::{FIGURES, FIGURES_VERSION, METHOD_FIGURES, PAGE, ROWS};
use crate::segment::{commit, describe};
use crate::sync::{AtomicU8, Ordering, Sum};
use crate::tallies::{ENTRIES, Row};

/// Kinds of errors of a method: the status of an answer, [`REPLIED`](crate::layout::REPLIED) where the handler has replied
/// with an error of its own.
pub const ERRORS: usize = 30;

/// L34, L35: the numbers at the start of the file.
#[repr(C)]
struct Head {
    magic: Sum,
    version: Sum,
    /// Methods that have an entry; one more is there for all others.
    methods: Sum,
    rows: Sum,
}

/// L37: what is counted of one method besides the sums of the workers.
#[repr(C)]
struct Method {
    /// Bytes of requests and of replies, of measured calls times what they stand for.
    received: Sum,
    sent: Sum,
    errors: [Sum; ERRORS],
    buckets: [Sum; BUCKETS],
}

const _: () = assert!(size_of::<Row>() == 8 << 10 && size_of::<Method>() == METHOD_FIGURES);

const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// Weight of a call that stands for those between it and the next that is measured.
pub(crate) const IN_A_ROW: u64 = BETWEEN_PAUSES as u64;

/// When a call began, if it is one whose duration is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing(pub(crate) u64);

impl Timing {
    pub(crate) const NONE: Timing = Timing(0);

    /// Begins now. The call stands for 64 if it `is_in_a_row`, else for itself.
    pub(crate) fn begin(is_in_a_row: bool) -> Self {
        Timing(clock::now() << 1 | u64::from(is_in_a_row))
    }

    /// How many calls it stands for; 0: it is not measured.
    fn weight(self) -> u64 {
        match self.0 {
            0 => 0,
            began if began & 1 == 1 => IN_A_ROW,
            _ => 1,
        }
    }
}

/// The figures of a method; all of them only grow.
///
/// ```
/// use ipc_core::statistics::MethodFigures;
///
/// /// For a line in a log.
/// fn say(figures: &MethodFigures) -> String {
///     let p99 = figures.durations.quantile(0.99).unwrap_or(0);
///     format!("{} calls, {} errors, p99 {p99} ns", figures.calls, figures.errors.iter().sum::<u64>())
/// }
/// assert_eq!(say(&MethodFigures::default()), "0 calls, 0 errors, p99 0 ns");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodFigures {
    /// Calls that were given to the handler.
    pub calls: u64,
    /// About how many bytes their requests had: those of the calls that were measured, times the calls that they stand for. What
    /// lies in loans, which is not moved, is not counted.
    pub received: u64,
    /// The same of their replies.
    pub sent: u64,
    /// Errors by the status of the answer; at 0 those of the handler itself.
    pub errors: [u64; ERRORS],
    /// How long calls took, from when they were found to when they were answered, in nanoseconds.
    pub durations: Histogram,
}

/// Figures have at most so many rows.
const MOST_ROWS: usize = 4096;

/// A mapped file of figures.
#[derive(Debug)]
struct Figures {
    map: MmapRaw,
    /// `None`: memory of this process.
    file: Option<OwnedFd>,
    methods: usize,
    rows: usize,
}

impl Figures {
    fn row(&self, row: usize) -> Option<&Row> {
        let at = self.map.as_mut_ptr().wrapping_add(ROWS).wrapping_add(row * size_of::<Row>()).cast::<Row>();
        // SAFETY: in the mapping, whose length was made or checked for so many rows; aligned, since pages are and a row is a
        // multiple of 8 bytes; atomics only, alive as long as `self`.
        (row < self.rows).then(|| unsafe { &*at })
    }

    /// The last one stands for all methods that have none.
    fn method(&self, method: usize) -> &Method {
        let at = self.map.as_mut_ptr().wrapping_add(self.method_at(method)).cast::<Method>();
        // SAFETY: as in `row`; there are `methods + 1` of them.
        unsafe { &*at }
    }

    fn method_at(&self, method: usize) -> usize {
        ROWS + self.rows * size_of::<Row>() + method.min(self.methods) * size_of::<Method>()
    }

    fn len(methods: usize, rows: usize) -> usize {
        ROWS + rows * size_of::<Row>() + (methods + 1) * size_of::<Method>()
    }

    /// Is there memory for this page of the file?
    fn is_there(&self, page: usize) -> bool {
        let Some(file) = &self.file else { return true };
        let at = (page * PAGE as usize) as libc::off_t; // Less than the length of a mapping.
        // SAFETY: plain system call on our own descriptor.
        unsafe { libc::lseek(file.as_raw_fd(), at, libc::SEEK_DATA) == at }
    }

    fn read(&self, method: usize) -> MethodFigures {
        let (place, method) = (self.method_at(method), method.min(self.methods));
        let mut known = (usize::MAX, false);
        let mut read = |at: usize| {
            let page = at / PAGE as usize;
            if known.0 != page {
                known = (page, self.is_there(page));
            }
            if !known.1 || !at.is_multiple_of(size_of::<Sum>()) || at + size_of::<Sum>() > self.map.len() {
                return 0;
            }
            // SAFETY: aligned, and in the mapping; an atomic, alive as long as `self`.
            unsafe { &*self.map.as_mut_ptr().wrapping_add(at).cast::<Sum>() }.load(Ordering::Relaxed)
        };
        let mut part = |offset: usize, number: usize| read(place + offset + number * size_of::<Sum>());
        let mut figures = MethodFigures {
            received: part(offset_of!(Method, received), 0),
            sent: part(offset_of!(Method, sent), 0),
            errors: std::array::from_fn(|number| part(offset_of!(Method, errors), number)),
            durations: Histogram::of((0..BUCKETS).map(|number| part(offset_of!(Method, buckets), number))),
            calls: 0,
        };
        for row in 0..self.rows {
            let calls = read(ROWS + row * size_of::<Row>() + method * size_of::<Sum>());
            figures.calls = figures.calls.wrapping_add(calls);
        }
        figures
    }
}

const UNTOUCHED: u8 = 0;
const THERE: u8 = 1;
const MISSING: u8 = 2;

/// The figures of a callee, as it writes them.
#[derive(Debug)]
pub struct Statistics {
    figures: Figures,
    /// Whether the memory of a method's errors and buckets is there.
    memory: Box<[AtomicU8]>,
}

impl Statistics {
    /// Figures of `methods` methods (at most 1023, others are one), written by `rows` workers (of at most 4096).
    ///
    /// If this process may have no files that are so long, nobody else can read them.
    ///
    /// # Errors
    /// The system's: no memory, no descriptor.
    pub fn new(methods: usize, rows: usize) -> io::Result<Self> {
        let (methods, rows) = (methods.min(ENTRIES - 1), rows.min(MOST_ROWS));
        let len = Figures::len(methods, rows);
        let (map, file) = if file_size::check("", len as u64).is_ok() {
            let (map, file) = Self::map(len)?;
            (map, Some(file))
        } else {
            // No memory is taken before it is used.
            (MmapOptions::new().len(len).no_reserve_swap().map_anon()?.into(), None)
        };
        let head = map.as_mut_ptr().cast::<Head>();
        // SAFETY: the mapping begins with it, aligned to a page; atomics only.
        let head = unsafe { &*head };
        for (place, value) in [
            (&head.version, FIGURES_VERSION),
            (&head.methods, methods as u64),
            (&head.rows, rows as u64),
            (&head.magic, FIGURES),
        ] {
            place.store(value, Ordering::Relaxed);
        }
        let memory = (0..=methods).map(|_| AtomicU8::new(UNTOUCHED)).collect();
        Ok(Statistics { figures: Figures { map, file, methods, rows }, memory })
    }

    /// A file that only this mapping of it can write.
    fn map(len: usize) -> io::Result<(MmapRaw, OwnedFd)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a NUL-terminated string that lives for the call.
        let fd = check(unsafe { libc::memfd_create(c"figures of ipc-rpc".as_ptr(), flags) })?;
        // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = i64::try_from(len).map_err(io::Error::other)?;
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), size) })?;
        commit(file.as_fd(), 0, ROWS as u32)?;
        let map = MmapOptions::new().len(len).no_reserve_swap().map_raw(&file)?;
        // SAFETY: plain system call on our own descriptor.
        let sealed = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) });
        if sealed.is_err() {
            // A kernel before 5.1, which has no such seal. The file is given to processes of the same user, which it trusts.
            // SAFETY: plain system call on our own descriptor.
            check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS & !libc::F_SEAL_FUTURE_WRITE) })?;
        }
        Ok((map, file))
    }

    /// The file once more, opened for reading only, for whoever is to read it: see [`View`]. `None`: there is none.
    ///
    /// # Errors
    /// The system's: no descriptor, no `/proc`.
    pub fn read_only(&self) -> io::Result<Option<OwnedFd>> {
        let open = |file: &OwnedFd| std::fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(self.figures.file.as_ref().map(open).transpose()?.map(OwnedFd::from))
    }

    /// What has been counted of the method of this number.
    pub fn read(&self, method: usize) -> MethodFigures {
        self.figures.read(method)
    }

    /// How many methods have figures of their own.
    pub fn methods(&self) -> usize {
        self.figures.methods
    }

    /// The row of a worker, with its memory. `None`: there is no memory.
    pub(crate) fn row(&self, row: usize) -> Option<&Row> {
        let here = self.figures.row(row)?;
        let entries = (self.figures.methods + 1) * size_of::<Sum>();
        self.commit(ROWS + row * size_of::<Row>(), entries).then_some(here)
    }

    fn commit(&self, at: usize, len: usize) -> bool {
        // Both are far below 4 GiB.
        self.figures.file.as_ref().is_none_or(|file| commit(file.as_fd(), at as u32, len as u32).is_ok())
    }

    /// The place of a method in a row: its number, or the last.
    pub(crate) fn entry(&self, method: u16) -> usize {
        usize::from(method).min(self.figures.methods)
    }

    /// Errors and buckets of a method; `None`: there is no memory for them.
    fn method(&self, method: u16) -> Option<&Method> {
        let entry = self.entry(method);
        let memory = self.memory.get(entry)?;
        if memory.load(Ordering::Relaxed) == UNTOUCHED {
            let there = self.commit(self.figures.method_at(entry), size_of::<Method>());
            memory.store(if there { THERE } else { MISSING }, Ordering::Relaxed);
        }
        (memory.load(Ordering::Relaxed) == THERE).then(|| self.figures.method(entry))
    }

    /// A call of `method` ended without a result: with this status, or with the handler's error, 0.
    #[cold]
    pub(crate) fn failed(&self, method: u16, status: u16) {
        if let Some(error) = self.method(method).and_then(|m| m.errors.get(usize::from(status) % ERRORS)) {
            error.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call of `method` that is measured has so many bytes elsewhere: of the request, and of the reply.
    #[cold]
    pub(crate) fn carried(&self, method: u16, timing: Timing, (received, sent): (usize, usize)) {
        let weight = timing.weight();
        let Some(method) = self.method(method).filter(|_| weight != 0) else { return };
        method.received.fetch_add((received as u64).saturating_mul(weight), Ordering::Relaxed);
        method.sent.fetch_add((sent as u64).saturating_mul(weight), Ordering::Relaxed);
    }

    /// A call of `method` that was measured is answered: bytes of the request, and of the reply.
    #[cold]
    pub(crate) fn ended(&self, method: u16, timing: Timing, (received, sent): (u32, usize)) {
        let weight = timing.weight();
        if weight == 0 {
            return;
        }
        let duration = clock::now().saturating_sub(timing.0 >> 1);
        self.carried(method, timing, (received as usize, sent));
        let Some(method) = self.method(method) else { return };
        if let Some(count) = method.buckets.get(bucket(duration)) {
            count.fetch_add(weight, Ordering::Relaxed);
        }
    }
}

/// The figures of another process's callee.
///
/// ```
/// use ipc_core::statistics::{Statistics, View};
///
/// let ours = Statistics::new(3, 1)?;
/// let theirs = View::open(ours.read_only()?.unwrap())?;
/// assert_eq!(theirs.methods(), 3);
/// assert_eq!(theirs.read(0).calls, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct View {
    figures: Figures,
}

impl View {
    /// Maps figures that a callee has given.
    ///
    /// # Errors
    /// `InvalidData` if it is something else or of another version, or the system's error.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let (seals, size) = describe(file.as_fd())?;
        let size = usize::try_from(size).unwrap_or(0);
        if seals & libc::F_SEAL_SHRINK == 0 || size < ROWS {
            return Err(invalid("the figures are not in a memfd with the seal SHRINK"));
        }
        let map = MmapOptions::new().len(size).no_reserve_swap().map_raw_read_only(&file)?;
        // SAFETY: the mapping begins with it, aligned to a page; atomics only; it is read alone.
        let head = unsafe { &*map.as_mut_ptr().cast::<Head>() };
        let read = |place: &Sum| place.load(Ordering::Relaxed);
        if read(&head.magic) != FIGURES || read(&head.version) != FIGURES_VERSION {
            return Err(invalid("the figures are of another version"));
        }
        let methods = usize::try_from(read(&head.methods)).ok().filter(|n| *n < ENTRIES);
        let rows = usize::try_from(read(&head.rows)).ok().filter(|n| *n <= MOST_ROWS);
        match (methods, rows) {
            (Some(methods), Some(rows)) if Figures::len(methods, rows) <= size => {
                Ok(View { figures: Figures { map, file: Some(file), methods, rows } })
            }
            _ => Err(invalid("the figures are not as long as they say")),
        }
    }

    /// How many methods have figures of their own.
    pub fn methods(&self) -> usize {
        self.figures.methods
    }

    /// What has been counted of the method of this number; with [`View::methods`] of all that have no figures of their own.
    pub fn read(&self, method: usize) -> MethodFigures {
        self.figures.read(method)
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopened(ours: &Statistics) -> OwnedFd {
        ours.figures.file.as_ref().unwrap().try_clone().unwrap()
    }

    #[test]
    fn what_is_counted_is_seen_by_who_has_the_file() {
        let ours = Statistics::new(2, 2).unwrap();
        let theirs = View::open(ours.read_only().unwrap().unwrap()).unwrap();
        let rows = [ours.row(0).unwrap(), ours.row(1).unwrap()];
        for (row, method) in [(0, 0), (1, 0), (1, 1), (1, ours.entry(77))] {
            assert!(crate::tallies::count(rows[row], method));
        }
        ours.failed(0, 16);
        ours.failed(0, u16::MAX);
        ours.ended(0, Timing::begin(true), (3, 5));
        ours.ended(0, Timing::NONE, (3, 5));
        ours.ended(1, Timing::begin(false), (0, usize::MAX));
        let (first, others) = (theirs.read(0), theirs.read(2));
        assert_eq!((first.calls, first.errors[16], first.errors.iter().sum::<u64>()), (2, 1, 2));
        assert_eq!((first.durations.count(), first.received, first.sent), (IN_A_ROW, 3 * 64, 5 * 64));
        assert_eq!((theirs.read(1).durations.count(), others.calls, theirs.read(99).calls), (1, 1, 1));
        assert_eq!(ours.read(0), first);
    }

    #[test]
    fn what_is_looked_at_takes_no_memory() {
        use std::os::unix::fs::MetadataExt;
        let ours = Statistics::new(40, 60).unwrap();
        assert!(crate::tallies::count(ours.row(7).unwrap(), 3));
        ours.failed(5, 16);
        let theirs = View::open(ours.read_only().unwrap().unwrap()).unwrap();
        let blocks = || std::fs::File::from(reopened(&ours)).metadata().unwrap().blocks();
        let before = blocks();
        let all: Vec<_> = (0..=40).map(|method| theirs.read(method)).collect();
        assert_eq!((all[3].calls, all[5].errors[16]), (1, 1));
        assert_eq!(ours.read(3), all[3]);
        assert_eq!(blocks(), before);
    }

    #[test]
    fn who_is_to_read_cannot_write() {
        let ours = Statistics::new(1, 1).unwrap();
        for file in [ours.read_only().unwrap().unwrap(), reopened(&ours)] {
            assert!(MmapOptions::new().len(4096).map_raw(&file).is_err());
            // SAFETY: plain system call on our own descriptor.
            assert_ne!(unsafe { libc::ftruncate(file.as_raw_fd(), 0) }, 0);
        }
    }

    #[test]
    fn what_could_end_the_reader_is_refused() {
        let why = |file: OwnedFd| View::open(file).unwrap_err().to_string();
        assert!(why(std::fs::File::open("/proc/self/exe").unwrap().into()).contains("memfd"));
        // SAFETY: the name is a NUL-terminated string that lives for the call.
        let fd = unsafe { libc::memfd_create(c"unsealed".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
        assert!(fd >= 0);
        // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
        let unsealed = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        unsealed.set_len(8192).unwrap();
        assert!(why(unsealed.into()).contains("SHRINK"));
        let ours = Statistics::new(1, 1).unwrap();
        // SAFETY: the mapping begins with it; atomics only.
        let head = unsafe { &*ours.figures.map.as_mut_ptr().cast::<Head>() };
        for (place, value, reason) in [
            (&head.methods, 1024, "long"),
            (&head.methods, 9, "long"),
            (&head.rows, 2, "long"),
            (&head.rows, u64::MAX, "long"),
            (&head.rows, 4097, "long"),
            (&head.version, 2, "version"),
            (&head.magic, 0, "version"),
        ] {
            let before = place.swap(value, Ordering::Relaxed);
            assert!(why(reopened(&ours)).contains(reason));
            place.store(before, Ordering::Relaxed);
        }
        assert!(View::open(reopened(&ours)).is_ok());
    }
}
