//! A segment: the memory of one channel, an anonymous file (memfd) mapped by two processes.
//!
//! The caller creates it, seals its size before anybody else sees it, and passes the descriptor over a Unix socket; the
//! callee checks seals, size and kind before it maps. It has no name anywhere: when both ends are gone the kernel frees it.
//!
//! # Safety
//! This file turns offsets into pointers, which needs `unsafe`. A [`Segment`] keeps its mapping for as long as it lives,
//! its size is sealed against shrinking (no SIGBUS), and every accessor checks its offset against the geometry that was
//! validated once at the start; the peer's words are never used for it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use memmap2::{MmapOptions, MmapRaw};

use crate::file_size;
use crate::layout::{BlockHead, Flags, Geometry, INLINE, INLINE_ROOM, PAGE, TAKEN};
use crate::sync::{AtomicU32, AtomicU64};

const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
const UNWRITABLE: libc::c_int = libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE;

/// A mapped segment and its descriptor.
#[derive(Debug)]
pub struct Segment {
    map: MmapRaw,
    file: Arc<OwnedFd>,
    read_only: OnceLock<Arc<OwnedFd>>,
    geometry: Geometry,
}

impl Segment {
    /// Creates, seals and maps a segment. The part that holds flags, queues and blocks is committed; arenas are committed
    /// on use.
    ///
    /// # Errors
    /// The system's: no memory, no descriptor, a kernel without memfd seals.
    ///
    /// ```
    /// use ipc_core::{layout::Geometry, segment::Segment};
    /// let geometry = Geometry::new(8, 1 << 16, 1 << 16).unwrap();
    /// let ours = Segment::create(geometry)?;
    /// let theirs = Segment::open(ours.descriptor().try_clone_to_owned()?, geometry)?;
    /// ours.block(3).unwrap().method.store(1, std::sync::atomic::Ordering::Relaxed);
    /// assert_eq!(theirs.block(3).unwrap().method.load(std::sync::atomic::Ordering::Relaxed), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(geometry: Geometry) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a NUL-terminated string that lives for the call.
        let fd = unsafe { libc::memfd_create(c"ipc-rpc".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = i64::try_from(geometry.len()).map_err(io::Error::other)?;
        file_size::check("the segment", geometry.len())?;
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), size) })?;
        // Who is given it for reading only, and is another user, is not to open it anew.
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::fchmod(file.as_raw_fd(), 0o444) })?;
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
        commit(file.as_fd(), 0, geometry.caller_arena_at())?;
        Segment::map(file, geometry)
    }

    /// Checks and maps a segment that a peer has passed.
    ///
    /// # Errors
    /// `InvalidData` if the file is not an ordinary memfd of exactly this size that is sealed against shrinking, growing
    /// and further seals; or the system's error.
    pub fn open(file: OwnedFd, geometry: Geometry) -> io::Result<Self> {
        let (seals, size) = describe(file.as_fd())?;
        if seals & SEALS != SEALS || seals & UNWRITABLE != 0 {
            return Err(invalid("the descriptor passed is not a writable memfd with the seals SHRINK, GROW and SEAL"));
        }
        if size != geometry.len() {
            return Err(invalid("the size of the memfd passed is not that of the announced geometry"));
        }
        Segment::map(file, geometry)
    }

    fn map(file: OwnedFd, geometry: Geometry) -> io::Result<Self> {
        let len = usize::try_from(geometry.len()).map_err(io::Error::other)?;
        let map = MmapOptions::new().len(len).no_reserve_swap().map_raw(&file)?;
        #[cfg(shuttle)]
        crate::schedule::mapped(map.as_mut_ptr().addr(), len, number(&file));
        Ok(Segment { map, file: Arc::new(file), read_only: OnceLock::new(), geometry })
    }

    /// The memfd, for who is to read all of it.
    ///
    /// # Errors
    /// The system's: no descriptor, no `/proc`.
    pub fn read_only(&self) -> io::Result<Arc<OwnedFd>> {
        if let Some(file) = self.read_only.get() {
            return Ok(file.clone());
        }
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = Arc::new(OwnedFd::from(std::fs::File::open(path)?));
        Ok(self.read_only.get_or_init(|| file).clone())
    }

    /// Maps `len` bytes of a file of somebody else's in the place of those at `at`, for this process alone. What is written
    /// there does not reach the file.
    ///
    /// # Errors
    /// `InvalidData` if it is no memfd that cannot become shorter, or has no such bytes; `InvalidInput` if no pages of this
    /// segment begin and end there; or the system's.
    pub(crate) fn overlay(&self, at: u32, len: u32, file: BorrowedFd<'_>, offset: u64) -> io::Result<()> {
        let (seals, size) = describe(file)?;
        if seals & libc::F_SEAL_SHRINK == 0 || offset.checked_add(u64::from(len)).is_none_or(|end| end > size) {
            return Err(invalid("the descriptor passed is not a memfd with the seal SHRINK and so many bytes"));
        }
        self.remap(at, len, file, offset, libc::MAP_PRIVATE)
    }

    /// Maps the segment where [`Segment::overlay`] has mapped something else.
    ///
    /// # Errors
    /// The system's; something else stays there.
    pub(crate) fn uncover(&self, at: u32, len: u32) -> io::Result<()> {
        self.remap(at, len, self.file.as_fd(), u64::from(at), libc::MAP_SHARED)
    }

    fn remap(&self, at: u32, len: u32, file: BorrowedFd<'_>, offset: u64, how: libc::c_int) -> io::Result<()> {
        let end = u64::from(at) + u64::from(len);
        if len == 0 || !(at | len).is_multiple_of(PAGE) || end > self.geometry.len() || !has_known_pages() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (address, offset) = (self.pointer(at).as_ptr().cast(), i64::try_from(offset).map_err(io::Error::other)?);
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, how | libc::MAP_FIXED | libc::MAP_NORESERVE);
        // SAFETY: whole pages inside of our own mapping are replaced by others that can be read and written; nothing here refers
        // to them but by pointers, and whoever has such pointers reads what the peer wants him to read, as before.
        let mapped = unsafe { libc::mmap(address, len as usize, protection, flags, file.as_raw_fd(), offset) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The memfd, to be passed to the peer.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The geometry it was made with.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The head of block `index`, or `None` if there is no such block.
    #[inline]
    pub fn block(&self, index: u32) -> Option<&BlockHead> {
        if index >= self.geometry.blocks() {
            return None;
        }
        let at = self.pointer(self.geometry.block_at(index));
        // SAFETY: in the mapping (index checked, geometry validated against the mapped length), aligned to 256 bytes,
        // alive as long as `self`; the type consists of atomics only, so the peer may write meanwhile.
        Some(unsafe { at.cast::<BlockHead>().as_ref() })
    }

    /// The head of the block at offset `at`.
    ///
    /// # Safety
    /// `at` is [`Geometry::block_at`] of a block of this segment.
    #[inline(always)]
    pub(crate) unsafe fn block_at(&self, at: u32) -> &BlockHead {
        // SAFETY: in the mapping and aligned, by the promise, as in `block`.
        unsafe { self.pointer(at).cast::<BlockHead>().as_ref() }
    }

    /// The word `taken` of block `index`, or `None` if there is no such block.
    #[inline]
    pub fn taken(&self, index: u32) -> Option<&AtomicU32> {
        if index >= self.geometry.blocks() {
            return None;
        }
        let at = self.pointer(self.geometry.block_at(index) + TAKEN);
        // SAFETY: in the mapping (index checked), aligned to 8 bytes, atomic, alive as long as `self`.
        Some(unsafe { at.cast::<AtomicU32>().as_ref() })
    }

    /// The flags of the callee's queue.
    #[inline]
    pub fn callee_flags(&self) -> &Flags {
        // SAFETY: offset 0 of a mapping of at least one page; atomics only; alive as long as `self`.
        unsafe { self.pointer(0).cast::<Flags>().as_ref() }
    }

    /// The flags of the caller's queue.
    #[inline]
    pub fn caller_flags(&self) -> &Flags {
        // SAFETY: offset 64 of a mapping of at least one page; atomics only; alive as long as `self`.
        unsafe { self.pointer(64).cast::<Flags>().as_ref() }
    }

    /// The cells of the callee's queue.
    #[inline]
    pub fn request_cells(&self) -> &[AtomicU64] {
        self.cells(self.geometry.request_cells_at(), self.geometry.request_cells())
    }

    /// The cells of the caller's queue.
    #[inline]
    pub fn announcement_cells(&self) -> &[AtomicU64] {
        self.cells(self.geometry.announcement_cells_at(), self.geometry.announcement_cells())
    }

    #[inline]
    fn cells(&self, at: u32, count: u32) -> &[AtomicU64] {
        let first = self.pointer(at).cast::<AtomicU64>();
        // SAFETY: `at` and `count` come from the validated geometry, which puts the cells inside the mapping, aligned to
        // 8 bytes; atomics only, so the peer may write meanwhile; alive as long as `self`.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), count as usize) }
    }

    /// Where an area begins and ends.
    #[inline]
    fn ends(&self, area: Area) -> (u32, u32) {
        match area {
            Area::Inline(block) => {
                let at = self.geometry.block_at(block);
                (at + INLINE, at + INLINE + INLINE_ROOM)
            }
            Area::CallerArena => (self.geometry.caller_arena_at(), self.geometry.callee_arena_at()),
            Area::CalleeArena => {
                let at = self.geometry.callee_arena_at();
                (at, at + self.geometry.callee_arena())
            }
        }
    }

    /// Checks that `len` bytes at `offset` lie inside `area` and gives their address.
    #[inline]
    pub fn bytes(&self, area: Area, offset: u32, len: u32) -> Option<NonNull<u8>> {
        let (from, to) = self.ends(area);
        (offset >= from && offset <= to && len <= to - offset).then(|| self.pointer(offset))
    }

    /// The address of `offset`, which the caller has checked to lie in the segment.
    #[inline(always)]
    pub(crate) fn pointer(&self, offset: u32) -> NonNull<u8> {
        debug_assert!(u64::from(offset) <= self.geometry.len());
        // SAFETY: the mapping starts at a non-null address, and every caller in this file passes an offset inside it.
        unsafe { NonNull::new_unchecked(self.map.as_mut_ptr().wrapping_add(offset as usize)) }
    }

    /// The offset of an address, if it lies in the mapping.
    #[inline]
    pub(crate) fn offset_of(&self, address: NonNull<u8>) -> Option<u32> {
        let offset = address.addr().get().wrapping_sub(self.map.as_mut_ptr().addr());
        u32::try_from(offset).ok().filter(|offset| u64::from(*offset) < self.geometry.len())
    }

    /// The addresses of an area.
    pub fn addresses(&self, area: Area) -> std::ops::Range<usize> {
        let (from, to) = self.ends(area);
        let base = self.map.as_mut_ptr().addr();
        base + from as usize..base + to as usize
    }

    /// Commits the pages of `len` bytes at `offset`, so that running out of memory is an error here and not a signal later.
    ///
    /// # Errors
    /// The system's, `ENOSPC` or `ENOMEM` when there is no memory.
    pub fn commit(&self, offset: u32, len: u32) -> io::Result<()> {
        commit(self.file.as_fd(), offset, len)
    }

    /// The same by writing to them, as it were, through this mapping: they are mapped already when they are used, and are
    /// huge ones if that was [advised](Segment::advise_huge_pages). What they hold stays.
    ///
    /// # Errors
    /// The system's: `ENOMEM`, or `EFAULT` where there is a limit on the file.
    pub fn populate(&self, offset: u32, len: u32) -> io::Result<()> {
        match self.advise(offset, len, libc::MADV_POPULATE_WRITE) {
            // A kernel before 5.14.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.commit(offset, len),
            done => done,
        }
    }

    /// Asks for huge pages for `len` bytes at `offset`, from wherever else the kernel allows it.
    pub fn advise_huge_pages(&self, offset: u32, len: u32) {
        // A kernel without them says so here.
        let _ = self.advise(offset, len, libc::MADV_HUGEPAGE);
    }

    /// Memory for `len` bytes at `offset` is to come from NUMA node `node`, as long as that has any.
    ///
    /// # Errors
    /// The system's: there is no such node, or the kernel knows none.
    pub fn prefer_node(&self, offset: u32, len: u32, node: u32) -> io::Result<()> {
        const NODES: u32 = 1024;
        if node >= NODES {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut mask = [0u64; NODES as usize / 64];
        mask[node as usize / 64] = 1 << (node % 64);
        let at = self.range(offset, len)?;
        // SAFETY: a range of our own mapping; `mask` has so many bits (the kernel counts one more). It moves no memory.
        let done = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                at.as_ptr(),
                len as usize,
                libc::MPOL_PREFERRED,
                mask.as_ptr(),
                u64::from(NODES) + 1,
                0,
            )
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn advise(&self, offset: u32, len: u32, advice: libc::c_int) -> io::Result<()> {
        let at = self.range(offset, len)?;
        loop {
            // SAFETY: a range of our own mapping; both advices that are given leave the bytes in it as they are.
            match check(unsafe { libc::madvise(at.as_ptr().cast(), len as usize, advice) }) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// The address of `len` bytes that lie in the segment.
    fn range(&self, offset: u32, len: u32) -> io::Result<NonNull<u8>> {
        match u64::from(offset) + u64::from(len) <= self.geometry.len() {
            true => Ok(self.pointer(offset)),
            false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// What gives pages back to the system, without the mapping.
    pub(crate) fn pages(&self) -> Pages {
        Pages { file: self.file.clone() }
    }
}

/// The pages of a segment.
#[derive(Debug)]
pub(crate) struct Pages {
    file: Arc<OwnedFd>,
}

impl Pages {
    /// Gives those of `len` bytes at `offset` back to the system; they read as zero afterwards.
    pub(crate) fn decommit(&self, offset: u32, len: u32) {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain system call on our own descriptor. Failure leaves the memory committed, which harms nobody.
        let _ = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, i64::from(offset), i64::from(len)) };
    }
}

/// A part of a segment in which a message may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The message bytes of a block.
    Inline(u32),
    /// The arena the caller allocates from.
    CallerArena,
    /// The arena the callee allocates from.
    CalleeArena,
}

/// A signal makes a call like this begin anew: where they come often no long one would ever end.
const COMMIT: u32 = 16 << 20;

pub(crate) fn commit(file: BorrowedFd<'_>, offset: u32, len: u32) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let (at, piece) = (i64::from(offset) + i64::from(done), (len - done).min(COMMIT));
        // SAFETY: plain system call on a descriptor that is open for the call.
        match check(unsafe { libc::fallocate(file.as_raw_fd(), 0, at, i64::from(piece)) }) {
            Ok(()) => done += piece,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The seals of a memfd of ordinary pages, and its size.
pub(crate) fn describe(file: BorrowedFd<'_>) -> io::Result<(libc::c_int, u64)> {
    // SAFETY: plain system call on a descriptor that is open for the call.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 {
        return Err(invalid("the descriptor passed is not a writable memfd with the seals SHRINK, GROW and SEAL"));
    }
    // SAFETY: all-zero bytes are a valid `statfs`, a plain C structure of integers.
    let mut kind: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `kind` is a valid place for the result.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut kind) })?;
    // A memfd of huge pages can be sealed too, but touching it kills the process when the pool is empty.
    if kind.f_type != libc::TMPFS_MAGIC {
        return Err(invalid("the memfd passed is not of ordinary pages"));
    }
    // SAFETY: all-zero bytes are a valid `stat`, a plain C structure of integers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the result.
    check(unsafe { libc::fstat(file.as_raw_fd(), &raw mut stat) })?;
    Ok((seals, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Are the pages of this machine those that the layout is aligned to?
pub(crate) fn has_known_pages() -> bool {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) == libc::c_long::from(PAGE) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number of the file.
#[cfg(shuttle)]
fn number(file: &OwnedFd) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let file = file.try_clone().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).map_or(0, |file| file.ino())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(4, 1 << 16, 1 << 16).unwrap()
    }

    fn memfd(flags: libc::c_uint, size: i64, seals: libc::c_int) -> OwnedFd {
        // SAFETY: NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"test".as_ptr(), flags) };
        assert!(fd >= 0);
        // SAFETY: fresh descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: plain system call.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), size) }, 0);
        if seals != 0 {
            // SAFETY: plain system call.
            assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
        }
        fd
    }

    #[test]
    fn unsealed_or_wrong_sized_memory_is_refused() {
        let len = geometry().len() as i64;
        let open = |fd| Segment::open(fd, geometry()).unwrap_err().to_string();
        assert!(open(memfd(libc::MFD_ALLOW_SEALING, len, 0)).contains("seals"));
        assert!(open(memfd(libc::MFD_ALLOW_SEALING, len, libc::F_SEAL_GROW)).contains("seals"));
        assert!(open(memfd(libc::MFD_ALLOW_SEALING, len - 4096, SEALS)).contains("size"));
        assert!(open(memfd(libc::MFD_ALLOW_SEALING, len, SEALS | libc::F_SEAL_WRITE)).contains("seals"));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(open(file.into()).contains("memfd"));
    }

    #[test]
    fn bytes_outside_their_area_are_refused() {
        let s = Segment::create(geometry()).unwrap();
        let g = *s.geometry();
        let inline = g.block_at(1) + INLINE;
        assert!(s.bytes(Area::Inline(1), inline, INLINE_ROOM).is_some());
        assert!(s.bytes(Area::Inline(1), inline, INLINE_ROOM + 1).is_none());
        assert!(s.bytes(Area::Inline(1), inline - 1, 1).is_none());
        assert!(s.bytes(Area::Inline(1), inline + INLINE_ROOM, u32::MAX).is_none());
        assert!(s.bytes(Area::CallerArena, g.caller_arena_at(), 1 << 16).is_some());
        assert!(s.bytes(Area::CallerArena, g.callee_arena_at(), 1).is_none());
        assert!(s.bytes(Area::CalleeArena, g.callee_arena_at() + 8, 1 << 16).is_none());
        assert!(s.block(4).is_none());
    }
}
