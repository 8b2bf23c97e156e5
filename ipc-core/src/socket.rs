//! The control socket of a channel: handshake, descriptors, doorbell, and the hang-up that tells of a peer's death.
//!
//! `SOCK_SEQPACKET`, so that a message is one packet and a reader never sees half of one.
//!
//! # Safety
//! System calls with pointers to locals and slices that live for the call; descriptors are owned by `OwnedFd` as soon as
//! the kernel has given them out.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::clock;
use crate::poll::changed;
use crate::word::Corrupt;

/// Longest packet that is sent or received, in bytes.
pub const MAX_PACKET: usize = 64 * 1024;
/// Most descriptors that come with one packet; surplus ones are closed.
const MAX_DESCRIPTORS: usize = 4;
/// Longest path of a socket, in bytes (`sockaddr_un` has 108 with the terminating zero).
pub const MAX_PATH: usize = 107;

/// Who is at the other end, as the kernel knows it since the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Process number.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// What a look at a doorbell found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All rings are read.
    Quiet,
    /// There may be more.
    More,
    /// The peer is gone.
    HungUp,
    /// The peer sent what cannot be.
    Broken(Corrupt),
}

fn call(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = OsStr::as_bytes(path.as_os_str());
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a socket path has 1 to {MAX_PATH} bytes and no zero byte, this one has {}", bytes.len()),
        ));
    }
    // SAFETY: all-zero bytes are a valid `sockaddr_un`, a plain C structure.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let len = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, len as libc::socklen_t))
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain arguments.
    let fd = call(unsafe { libc::socket(libc::AF_UNIX, kind, 0) } as isize)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A listening socket at `path`, non-blocking. The file has `mode` from the moment it can be connected to.
///
/// # Errors
/// The system's; `AddrInUse` if the path exists.
pub fn listen(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (address, len) = address(path)?;
    // The socket file takes its mode from the descriptor at bind time; nobody can connect before `listen`.
    // SAFETY: plain system call on our own descriptor.
    call(unsafe { libc::fchmod(socket.as_raw_fd(), mode as libc::mode_t) } as isize)?;
    // SAFETY: `address` is a valid address of `len` bytes.
    call(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) } as isize)?;
    crate::fail_point!(SocketBound);
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    listen_anew(socket.as_fd())?;
    Ok(socket)
}

/// Listens on a bound socket. One that listens already is this process's from now on: whoever connects is told that this one is at
/// the other end ([`credentials`]), but for those who have connected before.
///
/// # Errors
/// The system's.
pub fn listen_anew(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain system call on our own descriptor.
    call(unsafe { libc::listen(socket.as_raw_fd(), 1024) } as isize).map(drop)
}

/// Connects to the listener at `path`; waits for a place in its backlog until `deadline` (`CLOCK_MONOTONIC` nanoseconds).
///
/// # Errors
/// The system's: `NotFound`, `ConnectionRefused` (a socket file without a process), `PermissionDenied`; `TimedOut`.
pub fn connect(path: &Path, deadline: u64) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (address, len) = address(path)?;
    loop {
        // SAFETY: `address` is a valid address of `len` bytes.
        match call(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) } as isize) {
            Ok(_) => return Ok(socket),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // The backlog is full. A Unix socket cannot be polled for a place in it.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if clock::now() >= deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                clock::pause(std::time::Duration::from_millis(2));
            }
            Err(e) => return Err(e),
        }
    }
}

/// Is that a socket of ours that listens?
pub fn is_listener(socket: BorrowedFd<'_>) -> bool {
    let option = |name| {
        let (mut value, mut len) = (0 as libc::c_int, mem::size_of::<libc::c_int>() as libc::socklen_t);
        let (at, to) = (socket.as_raw_fd(), (&raw mut value).cast());
        // SAFETY: `value` has room for the `len` bytes that an option of this kind has.
        let known = unsafe { libc::getsockopt(at, libc::SOL_SOCKET, name, to, &raw mut len) } == 0;
        known.then_some(value)
    };
    option(libc::SO_ACCEPTCONN) == Some(1)
        && option(libc::SO_DOMAIN) == Some(libc::AF_UNIX)
        && option(libc::SO_TYPE) == Some(libc::SOCK_SEQPACKET)
}

/// Two connected sockets, for both ends in one process.
///
/// # Errors
/// The system's: no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `fds` has room for the two results.
    call(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } as isize)?;
    // SAFETY: the kernel has just given us this descriptor.
    let a = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: the kernel has just given us this descriptor.
    let b = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    Ok((a, b))
}

/// Accepts one connection, or `None` if nobody is waiting.
///
/// # Errors
/// The system's: no descriptors left.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    loop {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: null pointers say that the peer's address is not wanted.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags) };
        match call(fd as isize) {
            // SAFETY: the kernel has just given us this descriptor.
            Ok(fd) => return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Who is at the other end.
///
/// # Errors
/// The system's, if `socket` is not a connected Unix socket.
pub fn credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut c = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = mem::size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `c` and `len` are valid places for the result and its size.
    call(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut c).cast(), &raw mut len) } as isize)?;
    Ok(Credentials { pid: c.pid, uid: c.uid, gid: c.gid })
}

/// Whether packets that are received on `socket` tell who has sent them: see [`receive_from`].
///
/// # Errors
/// The system's.
pub fn ask_who_sends(socket: BorrowedFd<'_>, ask: bool) -> io::Result<()> {
    let value = libc::c_int::from(ask);
    let (at, len) = ((&raw const value).cast(), mem::size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: `value` is a valid place for the option's value.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, at, len) };
    call(set as isize).map(drop)
}

/// The groups of who is at the other end, besides its effective one.
///
/// # Errors
/// The system's, if `socket` is not a connected Unix socket.
///
/// ```
/// use std::os::fd::AsFd;
/// let (ours, _theirs) = ipc_core::socket::pair()?;
/// assert!(ipc_core::socket::groups(ours.as_fd()).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0u32; 32];
    loop {
        let mut len = size_of_val(&*groups) as libc::socklen_t;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
        // SAFETY: `groups` has room for `len` bytes, and `len` is a valid place for the size of the result.
        let got =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, groups.as_mut_ptr().cast(), &raw mut len) };
        let count = len as usize / size_of::<u32>();
        match call(got as isize) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // There are more: the kernel has said how many.
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => groups.resize(count, 0),
            Err(e) => return Err(e),
        }
    }
}

/// Do this process and the one at the other end, which is number `pid` here, see each other, as far as pid namespaces go? Then
/// neither is in a container, or both are in the same one. `false`: they do not, or the system does not say.
///
/// ```
/// use std::os::fd::AsFd;
/// use ipc_core::socket;
/// let (ours, _theirs) = socket::pair()?;
/// let me = socket::credentials(ours.as_fd())?;
/// assert!(socket::is_beside(ours.as_fd(), me.pid));
/// assert!(!socket::is_beside(ours.as_fd(), 0)); // a process without a number here
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_beside(socket: BorrowedFd<'_>, pid: i32) -> bool {
    if pid <= 0 {
        return false;
    }
    // The number may be another process's by now. The descriptor is that of who has connected; kernels before 6.5 have none.
    let process = process(socket);
    match &process {
        Some(process) => has_one_number(pid, &format!("/proc/self/fdinfo/{}", process.as_raw_fd())),
        None => is_here(pid),
    }
}

/// Is process `pid` in the pid namespace of this one, and in no other below it?
pub fn is_here(pid: i32) -> bool {
    pid > 0 && has_one_number(pid, &format!("/proc/{pid}/status"))
}

fn has_one_number(pid: i32, file: &str) -> bool {
    let says = std::fs::read_to_string(file).unwrap_or_default();
    // One number for each namespace from this one down to its own.
    let numbers = says.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().eq([pid.to_string()]))
}

/// The process at the other end.
fn process(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let (mut fd, mut len) = (-1 as RawFd, mem::size_of::<RawFd>() as libc::socklen_t);
    let (at, to) = (socket.as_raw_fd(), (&raw mut fd).cast());
    // SAFETY: `fd` and `len` are valid places for the result and its size.
    let got = unsafe { libc::getsockopt(at, libc::SOL_SOCKET, libc::SO_PEERPIDFD, to, &raw mut len) };
    // SAFETY: the kernel has just given us this descriptor.
    (got == 0 && fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Is this a Unix socket for packets, as those of [`pair`] are?
pub fn is_for_packets(descriptor: BorrowedFd<'_>) -> bool {
    let option = |name| {
        let (mut value, mut len) = (0i32, mem::size_of::<i32>() as libc::socklen_t);
        let fd = descriptor.as_raw_fd();
        // SAFETY: `value` and `len` are valid places for the result and its size.
        let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut len) };
        (got == 0).then_some(value)
    };
    option(libc::SO_DOMAIN) == Some(libc::AF_UNIX) && option(libc::SO_TYPE) == Some(libc::SOCK_SEQPACKET)
}

/// Space for the control message that carries descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends one packet, with up to one descriptor.
///
/// # Errors
/// `WouldBlock` if the peer's buffer is full, `BrokenPipe` if it is gone.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    send_all(socket, bytes, descriptor.as_slice())
}

/// Sends one packet with descriptors, of which at most four go along. Never blocks, however the socket is set.
///
/// # Errors
/// `WouldBlock` if the peer's buffer is full, `BrokenPipe` if it is gone.
pub fn send_all(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let descriptors = descriptors.get(..MAX_DESCRIPTORS).unwrap_or(descriptors);
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero bytes are a valid `msghdr`, a plain C structure.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        let payload = size_of_val(descriptors) as libc::c_uint;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: pure computation.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as _;
        // SAFETY: `message` has a control buffer of the length just set.
        let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: pure computation.
        let len = unsafe { libc::CMSG_LEN(payload) };
        let value = libc::cmsghdr { cmsg_len: len as _, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
        // SAFETY: `head` points into `control`, which is aligned for a `cmsghdr` and has 64 bytes.
        unsafe { head.write(value) };
        // SAFETY: `head` points to the initialised header above.
        let data = unsafe { libc::CMSG_DATA(head) };
        for (n, descriptor) in descriptors.iter().enumerate() {
            // SAFETY: `data` lies in `control`, which has room for as many descriptors as there can be.
            let place = unsafe { data.cast::<RawFd>().add(n) };
            // SAFETY: as above.
            unsafe { place.write_unaligned(descriptor.as_raw_fd()) };
        }
    }
    loop {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: all pointers in `message` are to locals and to `bytes`, which live for the call.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
        match call(sent) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => {
                changed();
                return other.map(|_| ());
            }
        }
    }
}

/// How long the next packet is. 0: the peer is gone.
fn next_len(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    loop {
        // SAFETY: nothing is written through a pointer to no bytes.
        let len = unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), 0, flags) };
        match call(len) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A peer that closes with our unread packet in its buffer resets the connection.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            other => return other,
        }
    }
}

/// Receives one packet and the descriptors that came with it. An empty one: the peer is gone.
///
/// # Errors
/// `WouldBlock` if there is none yet, `InvalidData` for one that is longer than [`MAX_PACKET`].
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    // No more than it needs: what a thread has once allocated it keeps.
    let mut buffer = vec![0; next_len(socket)?.min(MAX_PACKET)];
    // SAFETY: pure computation.
    let room = unsafe { libc::CMSG_SPACE((MAX_DESCRIPTORS * mem::size_of::<RawFd>()) as u32) };
    let received = receive_whole(socket, &mut buffer, room as usize)?;
    buffer.truncate(received.len);
    Ok((buffer, received.descriptors))
}

/// The same with who has sent it, as the system says. `None`: it was not [asked](ask_who_sends).
///
/// # Errors
/// As [`receive`].
///
/// ```
/// use std::os::fd::AsFd;
/// use ipc_core::socket;
/// let (ours, theirs) = socket::pair()?;
/// socket::ask_who_sends(ours.as_fd(), true)?;
/// socket::send(theirs.as_fd(), b"here", None)?;
/// let (packet, _, sender) = socket::receive_from(ours.as_fd())?;
/// assert_eq!((&packet[..], sender.unwrap().pid), (&b"here"[..], std::process::id() as i32));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn receive_from(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>, Option<Credentials>)> {
    let mut buffer = vec![0; next_len(socket)?.min(MAX_PACKET)];
    let received = receive_whole(socket, &mut buffer, usize::MAX)?;
    buffer.truncate(received.len);
    Ok((buffer, received.descriptors, received.sender))
}

fn receive_whole(socket: BorrowedFd<'_>, buffer: &mut [u8], room: usize) -> io::Result<Received> {
    let received = loop {
        match receive_into(socket, buffer, room) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break Received::default(),
            other => break other?,
        }
    };
    if received.lacks & libc::MSG_TRUNC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer sent a packet that is too long"));
    }
    Ok(received)
}

/// What came as one packet on an open connection.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes, if it was not longer than the buffer.
    pub len: Option<usize>,
    /// The descriptor that came along.
    pub descriptor: Option<OwnedFd>,
    /// There were others, or there was no number left for it.
    pub lost: bool,
}

/// Receives a short packet with up to one descriptor. No bytes: the peer is gone.
///
/// # Errors
/// `WouldBlock` if there is none.
pub fn next(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Packet> {
    // Not `CMSG_SPACE`, whose padding has room for a second one.
    // SAFETY: pure computation.
    let room = unsafe { libc::CMSG_LEN(mem::size_of::<RawFd>() as u32) };
    let Received { len, mut descriptors, lacks, .. } = receive_into(socket, buffer, room as usize)?;
    Ok(Packet {
        len: (lacks & libc::MSG_TRUNC == 0).then_some(len),
        descriptor: descriptors.pop(),
        lost: lacks & libc::MSG_CTRUNC != 0,
    })
}

/// A packet, but for its bytes.
#[derive(Default)]
struct Received {
    len: usize,
    descriptors: Vec<OwnedFd>,
    sender: Option<Credentials>,
    /// Flags that say what there was no room for.
    lacks: libc::c_int,
}

/// Receives one packet, with what comes along in so many bytes of a control message.
fn receive_into(socket: BorrowedFd<'_>, buffer: &mut [u8], room: usize) -> io::Result<Received> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid `msghdr`, a plain C structure.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = room.min(control.0.len()) as _;
    // A descriptor that a peer has passed may be set to block at any time, by that peer.
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: all pointers in `message` are to locals and to `buffer`, which live for the call.
    let len = call(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })?;
    let (descriptors, sender) = along(&message);
    Ok(Received { len, descriptors, sender, lacks: message.msg_flags })
}

/// Takes ownership of every descriptor in the control part of a received message, and finds who has sent it.
fn along(message: &libc::msghdr) -> (Vec<OwnedFd>, Option<Credentials>) {
    let (mut all, mut sender) = (Vec::new(), None);
    // SAFETY: `message` was filled in by the kernel; its control buffer is alive.
    let mut head = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !head.is_null() {
        // SAFETY: not null, so it points to a header the kernel wrote.
        let value = unsafe { head.read_unaligned() };
        if value.cmsg_level == libc::SOL_SOCKET && value.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: pure computation.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (value.cmsg_len as usize).saturating_sub(empty) / mem::size_of::<RawFd>();
            for n in 0..count {
                // SAFETY: `head` points to a header the kernel wrote.
                let data = unsafe { libc::CMSG_DATA(head) }.cast::<RawFd>();
                // SAFETY: the kernel says that `count` descriptors follow the header.
                let data = unsafe { data.add(n) };
                // SAFETY: in bounds, as above.
                let fd = unsafe { data.read_unaligned() };
                // SAFETY: the kernel has just installed this descriptor for us.
                all.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        if value.cmsg_level == libc::SOL_SOCKET && value.cmsg_type == libc::SCM_CREDENTIALS {
            // SAFETY: `head` points to a header the kernel wrote.
            let data = unsafe { libc::CMSG_DATA(head) }.cast::<libc::ucred>();
            // SAFETY: the kernel has written a `ucred` behind a header of this type.
            let libc::ucred { pid, uid, gid } = unsafe { data.read_unaligned() };
            sender = Some(Credentials { pid, uid, gid });
        }
        // SAFETY: both point to what the kernel wrote.
        head = unsafe { libc::CMSG_NXTHDR(message, head) };
    }
    (all, sender)
}

/// Waits until `socket` can be read, or `deadline` has passed (`false`).
///
/// # Errors
/// The system's.
pub fn wait_readable(socket: BorrowedFd<'_>, deadline: u64) -> io::Result<bool> {
    wait_for(socket, libc::POLLIN, deadline)
}

/// Waits until a packet can be sent on `socket`, or `deadline` has passed (`false`).
///
/// # Errors
/// The system's.
pub fn wait_writable(socket: BorrowedFd<'_>, deadline: u64) -> io::Result<bool> {
    wait_for(socket, libc::POLLOUT, deadline)
}

/// Is nobody at the other end?
pub fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one valid `pollfd`.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready > 0 && poll.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

fn wait_for(socket: BorrowedFd<'_>, events: libc::c_short, deadline: u64) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_sub(clock::now()).div_ceil(1_000_000).min(i32::MAX as u64) as i32;
        let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
        // SAFETY: one valid `pollfd`.
        match call(unsafe { libc::poll(&raw mut poll, 1, left) } as isize) {
            Ok(0) if clock::now() >= deadline => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// How often a ring is tried while the system has no memory for one byte.
const RINGS: u32 = 1000;

/// Rings the doorbell of the peer: never blocks, and a full buffer means that it is ringing already.
pub fn ring(socket: BorrowedFd<'_>) {
    let (bell, flags) = ([1u8], libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    crate::fail_point!(FlagCleared);
    #[cfg(shuttle)]
    if !crate::schedule::sends(1) {
        return;
    }
    for _ in 0..RINGS {
        // SAFETY: one byte of a local.
        let sent = call(unsafe { libc::send(socket.as_raw_fd(), bell.as_ptr().cast(), 1, flags) });
        match sent.map_err(|e| e.raw_os_error()) {
            // The sleep flag is down already, so nobody else will ring: this one must go out.
            Err(Some(libc::ENOBUFS | libc::ENOMEM | libc::EINTR)) => std::thread::yield_now(),
            _ => return changed(),
        }
    }
}

/// Ends the connection for both sides, whoever else holds the descriptor.
pub fn shut_down(socket: BorrowedFd<'_>) {
    // SAFETY: plain system call; an error means that it is shut down already.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
    changed();
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn packets_and_descriptors_arrive_whole() {
        let (a, b) = pair().unwrap();
        let file = crate::poll::Signal::new().unwrap();
        send(a.as_fd(), b"hello", Some(file.as_fd())).unwrap();
        send(a.as_fd(), b"again", None).unwrap();
        send(a.as_fd(), &[1; MAX_PACKET + 1], None).unwrap();
        let (packet, fds) = receive(b.as_fd()).unwrap();
        assert_eq!((&packet[..], fds.len()), (&b"hello"[..], 1));
        assert_eq!(receive(b.as_fd()).unwrap().0, b"again");
        assert_eq!(receive(b.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(receive(b.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert_eq!(receive(b.as_fd()).unwrap().0, b"");
    }

    #[test]
    fn a_doorbell_rings_and_hangs_up() {
        let (a, b) = pair().unwrap();
        let lane = crate::lane::Lane::new(1);
        assert_eq!(lane.empty(b.as_fd()), (Drained::Quiet, false));
        for _ in 0..100_000 {
            ring(a.as_fd()); // never blocks
        }
        assert_eq!(lane.empty(b.as_fd()), (Drained::More, true));
        while lane.empty(b.as_fd()).0 == Drained::More {}
        drop(a);
        assert_eq!(lane.empty(b.as_fd()).0, Drained::HungUp);
    }

    #[test]
    fn long_paths_are_refused_with_the_limit() {
        let path = std::path::PathBuf::from("/tmp").join("x".repeat(200));
        assert!(connect(&path, 0).unwrap_err().to_string().contains("107"));
    }
}
