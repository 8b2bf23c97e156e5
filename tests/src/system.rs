//! The system calls that helpers and tests make themselves.
//!
//! # Safety
//! Plain system calls on process numbers and on descriptors that are open for the call.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Ends a process at once.
pub const KILL: i32 = libc::SIGKILL;
/// Stops a process.
pub const STOP: i32 = libc::SIGSTOP;
/// Asks a process to end.
pub const TERMINATE: i32 = libc::SIGTERM;
/// What Ctrl-C sends.
pub const INTERRUPT: i32 = libc::SIGINT;
/// Has a stopped process go on.
pub const CONTINUE: i32 = libc::SIGCONT;

/// Sends `signal` to process `pid`.
///
/// # Panics
/// There is no such process, or it is another user's.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: plain arguments.
    let done = unsafe { libc::kill(pid as libc::pid_t, signal) };
    assert_eq!(done, 0, "kill {pid}: {}", io::Error::last_os_error());
}

fn dispose(signal: i32, action: libc::sighandler_t) {
    // SAFETY: a default, or a handler that only writes a constant.
    let before = unsafe { libc::signal(signal, action) };
    assert_ne!(before, libc::SIG_ERR, "signal {signal}");
}

extern "C" fn say_heard(_: libc::c_int) {
    let text = b"heard\n";
    // SAFETY: reads a constant.
    unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
}

/// From now on SIGTERM has this process print `heard`, and nothing else.
pub fn say_when_terminated() {
    dispose(TERMINATE, say_heard as extern "C" fn(libc::c_int) as usize);
}

/// Has `command` find `descriptor` under the number 3.
pub fn pass_as_three(command: &mut Command, descriptor: OwnedFd) {
    let pass = move || {
        // SAFETY: plain arguments; the descriptor is the closure's.
        let mut done = unsafe { libc::dup2(descriptor.as_raw_fd(), 3) };
        if done == 3 {
            // In case it is 3 already.
            // SAFETY: plain arguments.
            done = unsafe { libc::fcntl(3, libc::F_SETFD, 0) };
        }
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between `fork` and `exec` this makes system calls only.
    unsafe { command.pre_exec(pass) };
}

/// Starts `command` with Ctrl-C ignored.
pub fn ignore_interrupts(command: &mut Command) {
    let ignore = || {
        dispose(INTERRUPT, libc::SIG_IGN);
        Ok(())
    };
    // SAFETY: between `fork` and `exec` this makes a system call only.
    unsafe { command.pre_exec(ignore) };
}

/// Forks a child that does nothing until it is killed, and dies with this thread. Its number.
///
/// # Panics
/// The system refuses.
pub fn fork_a_sleeper() -> u32 {
    // SAFETY: the child makes system calls only.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        die_with_parent();
        loop {
            // SAFETY: no arguments.
            unsafe { libc::pause() };
        }
    }
    u32::try_from(pid).expect("a child")
}

/// Has the kernel kill this process when the thread that started it is gone.
pub fn die_with_parent() {
    // SAFETY: plain arguments.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Lets so many wait at a listener, and one more.
///
/// # Panics
/// It is no listener.
pub fn listen_to(listener: BorrowedFd<'_>, most: i32) {
    // SAFETY: plain arguments.
    let done = unsafe { libc::listen(listener.as_raw_fd(), most) };
    assert_eq!(done, 0, "listen: {}", io::Error::last_os_error());
}

/// Something of which a process can be allowed so much and no more.
pub type Resource = libc::__rlimit_resource_t;
/// Numbers of descriptors, from 0 on.
pub const DESCRIPTORS: Resource = libc::RLIMIT_NOFILE;
/// Bytes of a file.
pub const FILE_SIZE: Resource = libc::RLIMIT_FSIZE;
/// Bytes of address space.
pub const ADDRESSES: Resource = libc::RLIMIT_AS;

/// Allows process `pid` so much of a resource from now on. Gives what it was allowed before.
///
/// # Panics
/// There is no such process, or it was never allowed so much.
pub fn limit(pid: u32, resource: Resource, most: u64) -> u64 {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null pointer says that nothing is to be set; `old` is a valid place for the result.
    let asked = unsafe { libc::prlimit(pid as libc::pid_t, resource, std::ptr::null(), &raw mut old) };
    let new = libc::rlimit { rlim_cur: most, ..old };
    // SAFETY: `new` is a valid limit; a null pointer says that the old one is not wanted.
    let set = unsafe { libc::prlimit(pid as libc::pid_t, resource, &raw const new, std::ptr::null_mut()) };
    assert_eq!((asked, set), (0, 0), "prlimit {pid}: {}", io::Error::last_os_error());
    old.rlim_cur
}

/// Has the kernel tell this process for good that there is no memory, when it asks to commit `most` bytes or more at once.
///
/// # Panics
/// The kernel has no filters for system calls.
pub fn commit_less_than(most: u32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let (equal, at_least) = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
    let answer = libc::BPF_RET | libc::BPF_K;
    // Of `struct seccomp_data`: the number of the call, and the low half of its fourth argument, the length.
    let (call, len) = (0, if cfg!(target_endian = "little") { 40 } else { 44 });
    let mut program = [
        step(load, 0, 0, call),
        step(equal, 0, 3, libc::SYS_fallocate as u32),
        step(load, 0, 0, len),
        step(at_least, 0, 1, most),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSPC as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain arguments.
    let asked = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: a filter of steps that live for the call. All threads of the process get it.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    assert_eq!((asked, set), (0, 0), "seccomp: {}", io::Error::last_os_error());
}

/// Is this process root?
pub fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The user this process acts as.
pub fn user() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

/// Has `command` run as another user, with these groups: the first is the effective one. For root.
pub fn run_as(command: &mut Command, user: u32, groups: &'static [u32]) {
    let become_other = move || {
        let group = groups.first().copied().unwrap_or(user);
        // SAFETY: as many groups as there are.
        let mut done = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
        // SAFETY: plain arguments.
        done |= unsafe { libc::setgid(group) };
        // SAFETY: plain arguments.
        done |= unsafe { libc::setuid(user) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between `fork` and `exec` this makes system calls only.
    unsafe { command.pre_exec(become_other) };
}

/// A memfd of `len` bytes with these seals.
///
/// # Panics
/// The system refuses.
pub fn memfd(len: u64, seals: i32) -> OwnedFd {
    // SAFETY: the name is a NUL-terminated string that lives for the call.
    let fd = unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0, "memfd_create: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just given us this descriptor.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: plain system call on our own descriptor.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as libc::off_t) }, 0);
    if seals != 0 {
        // SAFETY: plain system call on our own descriptor.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    }
    fd
}

/// A file that is not open.
pub fn closed_file() -> ManuallyDrop<File> {
    // SAFETY: nothing is open under this number, and nothing is closed, because the value is never dropped.
    ManuallyDrop::new(unsafe { File::from_raw_fd(i32::MAX) })
}

/// The seals of an honest segment.
pub const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Seals a memfd against writing, too.
///
/// # Errors
/// It is sealed against further seals.
pub fn add_seals(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain system call on a descriptor that is open for the call.
    let done =
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the pages of `len` bytes at `at` back to the system.
///
/// # Errors
/// The system's.
pub fn punch(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain system call on a descriptor that is open for the call.
    let done = unsafe { libc::fallocate(fd.as_raw_fd(), mode, at as libc::off_t, len as libc::off_t) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends one packet with any number (up to 8) of descriptors.
///
/// # Errors
/// The system's.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    #[repr(C, align(8))]
    struct Control([u8; 128]);
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero bytes are a valid `msghdr`, a plain C structure.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        assert!(descriptors.len() <= 8);
        let payload = size_of_val(descriptors) as libc::c_uint;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: pure computation.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as _;
        // SAFETY: `message` has a control buffer of the length just set.
        let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: pure computation.
        let len = unsafe { libc::CMSG_LEN(payload) };
        let value = libc::cmsghdr { cmsg_len: len as _, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
        // SAFETY: `head` points into `control`, which is aligned for a `cmsghdr` and has 128 bytes.
        unsafe { head.write(value) };
        // SAFETY: `head` points to the header written above.
        let data = unsafe { libc::CMSG_DATA(head) };
        for (n, descriptor) in descriptors.iter().enumerate() {
            // SAFETY: room for eight descriptors of four bytes was asserted above.
            let place = unsafe { data.cast::<i32>().add(n) };
            // SAFETY: inside `control`, as above.
            unsafe { place.write_unaligned(descriptor.as_raw_fd()) };
        }
    }
    // SAFETY: all pointers in `message` are to locals and to `bytes`, which live for the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes whoever sleeps on a word that processes share.
pub fn wake(word: &std::sync::atomic::AtomicU32) {
    // SAFETY: a futex wake reads nothing through the address of a live word.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
