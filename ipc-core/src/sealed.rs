//! A message in a file of its own (memfd), which nobody can change any more when its reader gets it: so a reader that does not
//! trust the writer checks it once and uses it where it lies.
//!
//! The writer fills a [`Writing`], whose mapping is gone when it is sealed; the kernel seals nothing that is mapped for
//! writing. The reader opens a [`Sealed`], which judges what came: kind, seals, size, and that all pages are there.
//!
//! # Safety
//! Mappings of files whose size is sealed, or that nobody else has yet, and system calls on descriptors of our own.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use memmap2::{Mmap, MmapOptions, MmapRaw};

use crate::file_size;
use crate::layout::{EXTENT_START, MAX_MESSAGE, PAGE};

/// The message begins here, at 8 modulo 16 as everywhere.
const START: u64 = EXTENT_START as u64;
const SEALS: libc::c_int = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// An anonymous file of these bytes, which nobody can change any more, to be passed to those who read it with [`read`].
///
/// # Errors
/// The system's: no memory, no descriptor.
pub fn file_of(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a NUL-terminated string that lives for the call.
    let fd = check(unsafe { libc::memfd_create(c"ipc-rpc text".as_ptr(), flags) })?;
    // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file_size::check("the text", bytes.len() as u64)?;
    file.write_all(bytes)?;
    // SAFETY: plain system call on our own descriptor.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
    Ok(file.into())
}

/// Reads an anonymous file that a peer has passed.
///
/// ```
/// use ipc_core::sealed;
/// assert_eq!(sealed::read(sealed::file_of(b"some bytes")?, 10)?, b"some bytes");
/// assert!(sealed::read(sealed::file_of(b"some bytes")?, 9).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `InvalidData` if it is no memfd, which reading could block, or longer than `most` bytes; or the system's error.
pub fn read(file: OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    // SAFETY: plain system call on our own descriptor.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) } < 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the descriptor passed is no memfd"));
    }
    let file = std::fs::File::from(file);
    let len = file.metadata()?.len();
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= most) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the file passed has more than {most} bytes")));
    };
    let mut bytes = vec![0; len];
    // Its position is shared with the writer, and with others who read it.
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writing {
    file: OwnedFd,
    map: MmapRaw,
}

impl Writing {
    /// Memory for a message of `needed` bytes.
    ///
    /// # Errors
    /// The system's: no memory, no descriptor, a limit on the size of files.
    pub fn new(needed: usize) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a NUL-terminated string that lives for the call.
        let fd = check(unsafe { libc::memfd_create(c"ipc-rpc message".as_ptr(), flags) })?;
        // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let map = map(&file, needed)?;
        Ok(Writing { file, map })
    }

    /// Makes it larger; what was written stays, at another address.
    ///
    /// # Errors
    /// As [`Writing::new`].
    pub fn grow(&mut self, needed: usize) -> io::Result<()> {
        // Large messages mostly come as one part, with little behind it.
        self.map = map(&self.file, needed.saturating_add(needed / 4))?;
        Ok(())
    }

    /// Where the message goes: address, 8 modulo 16, and number of bytes.
    pub fn buffer(&self) -> (NonNull<u8>, usize) {
        let start = EXTENT_START as usize;
        // The mapping has more than `START` bytes.
        let data = NonNull::new(self.map.as_mut_ptr().wrapping_add(start)).unwrap_or(NonNull::dangling());
        (data, self.map.len().saturating_sub(start))
    }

    /// Ends it after `len` bytes: from now on nobody can change it.
    ///
    /// # Errors
    /// The system's.
    pub fn seal(self, len: usize) -> io::Result<OwnedFd> {
        let Writing { file, map } = self;
        drop(map);
        let size = i64::try_from(START + len as u64).map_err(io::Error::other)?;
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), size) })?;
        // SAFETY: plain system call on our own descriptor.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
        Ok(file)
    }
}

/// Commits and maps memory for a message of `needed` bytes.
fn map(file: &OwnedFd, needed: usize) -> io::Result<MmapRaw> {
    let len = (START as usize).saturating_add(needed).next_multiple_of(PAGE as usize);
    let size = i64::try_from(len).map_err(io::Error::other)?;
    file_size::check("the message", len as u64)?;
    // Not `ftruncate`, behind which a lack of memory is a signal.
    // SAFETY: plain system call on our own descriptor.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, size) })?;
    MmapOptions::new().len(len).map_raw(file)
}

/// A message that nobody can change.
#[derive(Debug)]
pub struct Sealed {
    map: Mmap,
    len: usize,
}

impl Sealed {
    /// Judges and maps a message of `len` bytes that a peer has passed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(file: OwnedFd, len: u64) -> Result<Self, &'static str> {
        if len > u64::from(MAX_MESSAGE) {
            return Err("it is longer than a message may be");
        }
        // SAFETY: plain system call on our own descriptor.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & SEALS != SEALS {
            return Err("it is no memfd with the seals WRITE, SHRINK, GROW and SEAL");
        }
        // SAFETY: all-zero bytes are a valid `statfs`, a plain C structure of integers.
        let mut kind: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: `kind` is a valid place for the result.
        let known = check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut kind) });
        // Huge pages can be sealed too, but touching them kills the process when their pool is empty.
        if known.is_err() || kind.f_type != libc::TMPFS_MAGIC {
            return Err("it is not of ordinary pages");
        }
        // SAFETY: all-zero bytes are a valid `stat`, a plain C structure of integers.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is a valid place for the result.
        let known = check(unsafe { libc::fstat(file.as_raw_fd(), &raw mut stat) });
        if known.is_err() || u64::try_from(stat.st_size) != Ok(START + len) {
            return Err("its size is not that of the message");
        }
        // A page that is missing would be taken from this process's memory, or end it. Their number says nothing: there can be
        // some behind the end.
        // SAFETY: plain system call on our own descriptor.
        let hole = unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_HOLE) };
        if hole != stat.st_size {
            return Err("it has holes");
        }
        let len = usize::try_from(len).map_err(|_| "it is longer than a message may be")?;
        // Private, since kernels before 6.7 do not share what is sealed against writing.
        // SAFETY: the seals keep the file as long as it is, and its bytes as they are, for everybody and for ever.
        let map = unsafe { MmapOptions::new().len(START as usize + len).map_copy_read_only(&file) };
        map.map(|map| Sealed { map, len }).map_err(|_| "it cannot be mapped")
    }

    /// Address and number of its bytes.
    pub fn bytes(&self) -> (NonNull<u8>, usize) {
        let data = self.map.as_ptr().cast_mut().wrapping_add(START as usize);
        (NonNull::new(data).unwrap_or(NonNull::dangling()), self.len)
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn many_read_one_file_at_a_time_and_nobody_changes_it() {
        let file = file_of(&[7; 100_000]).unwrap();
        std::thread::scope(|scope| {
            let read = || (0..100).all(|_| read(file.try_clone().unwrap(), 100_000).unwrap() == [7; 100_000]);
            let all: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
            assert!(all.into_iter().all(|one| one.join().unwrap()));
        });
        let mut file = std::fs::File::from(file);
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
    }

    fn written(text: &[u8]) -> OwnedFd {
        let mut writing = Writing::new(text.len()).unwrap();
        let (to, room) = writing.buffer();
        assert!(room >= text.len() && to.addr().get() % 16 == 8);
        // SAFETY: there is room, and the text lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), to.as_ptr(), text.len()) };
        writing.grow(100_000).unwrap();
        assert!(writing.buffer().1 >= 100_000);
        writing.seal(text.len()).unwrap()
    }

    #[test]
    fn what_is_sealed_stays_as_it_is() {
        let file = written(b"for ever");
        let sealed = Sealed::open(file.try_clone().unwrap(), 8).unwrap();
        let (data, len) = sealed.bytes();
        // SAFETY: mapped as long as `sealed` lives, and nobody can change it.
        let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) };
        assert_eq!(bytes, b"for ever");
        // The writer's own descriptor is good for nothing but reading.
        let mut again = std::fs::File::from(file);
        assert_eq!(again.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(again.set_len(0).is_err() && again.set_len(1 << 20).is_err());
        assert!(MmapOptions::new().len(16).map_raw(&again).is_err());
        again.seek(io::SeekFrom::Start(START)).unwrap();
        let mut text = String::new();
        again.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), bytes), ("for ever", b"for ever".as_slice()));
    }

    #[test]
    fn what_is_mapped_for_writing_is_not_sealed() {
        let writing = Writing::new(8).unwrap();
        let second = MmapOptions::new().len(16).map_raw(&writing.file).unwrap();
        assert_eq!(writing.seal(8).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        drop(second);
    }

    #[test]
    fn what_could_change_or_is_not_there_is_refused() {
        let why = |file: OwnedFd, len| Sealed::open(file, len).unwrap_err();
        let unsealed = Writing::new(8).unwrap().file;
        assert!(why(unsealed, 4088).contains("seals"));
        assert!(why(std::io::pipe().unwrap().0.into(), 8).contains("seals"));
        assert!(why(std::fs::File::open("/proc/self/exe").unwrap().into(), 8).contains("seals"));
        for len in [0, 7, 9, 1 << 20] {
            assert!(why(written(b"8 bytes!"), len).contains("size"));
        }
        assert!(why(written(b"8 bytes!"), u64::MAX).contains("longer"));
        let holes = Writing::new(8).unwrap();
        // SAFETY: plain system call on our own descriptor.
        assert_eq!(unsafe { libc::ftruncate(holes.file.as_raw_fd(), 1 << 20) }, 0);
        assert!(why(holes.seal((1 << 20) - 8).unwrap(), (1 << 20) - 8).contains("holes"));
        // As many pages as it should have, but elsewhere.
        let Writing { file, map } = Writing::new(8).unwrap();
        drop(map);
        let (mode, len) = (libc::FALLOC_FL_KEEP_SIZE, 1 << 20);
        // SAFETY: plain system call on our own descriptor.
        assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), len) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fallocate(file.as_raw_fd(), mode, len, len) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) }, 0);
        assert!(why(file, (1 << 20) - 8).contains("holes"));
    }
}
