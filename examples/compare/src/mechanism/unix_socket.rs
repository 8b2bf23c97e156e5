//! A connected pair of Unix sockets: a stream, or packets that keep their bounds.
#![allow(unsafe_code)]
// The standard library makes no sockets of packets; the call fills an array of two descriptors.

use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::{Client, Kind, Mechanism, frame, limit};
use crate::Result;
use crate::payload::{size, sum};
use crate::process::{self, Job, Killed};

pub struct Stream;

impl Mechanism for Stream {
    fn name(&self) -> &'static str {
        "unix-stream"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let socket = UnixStream::from(process::input()?);
        frame::serve(&socket, &socket, job.payload)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let (own, other) = UnixStream::pair()?;
        let server = process::serve(job, OwnedFd::from(other), std::process::Stdio::null())?;
        Ok(Box::new(frame::Caller::new(own.try_clone()?, own, server)))
    }
}

pub struct Packets;

/// What the kernel needs of a send buffer besides the bytes of a packet.
const OVERHEAD: usize = 32;

impl Mechanism for Packets {
    fn name(&self) -> &'static str {
        "unix-seqpacket"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn refuses(&self, payload: usize, _in_flight: usize) -> Option<String> {
        let most = limit("/proc/sys/net/core/wmem_default")?.saturating_sub(OVERHEAD);
        (payload > most).then(|| format!("a packet has at most {} (net.core.wmem_default)", size(most)))
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let mut socket = UnixStream::from(process::input()?);
        let mut bytes = vec![0; job.payload];
        loop {
            let len = socket.read(&mut bytes)?;
            if len == 0 {
                return Ok(());
            }
            socket.write_all(&sum(&bytes[..len]).to_le_bytes())?;
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let mut pair = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: an array of two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the kernel has just given us these descriptors, and each is wrapped once.
        let [own, other] = pair.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let server = process::serve(job, other, std::process::Stdio::null())?;
        Ok(Box::new(Caller { socket: own.into(), _server: server }))
    }
}

/// Reading and writing are system calls that a stream and packets have in common.
struct Caller {
    socket: UnixStream,
    _server: Killed,
}

impl Client for Caller {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.socket.write(bytes)? {
            written if written == bytes.len() => Ok(()),
            written => Err(format!("a packet of {written} bytes instead of {}", bytes.len()).into()),
        }
    }

    fn receive(&mut self) -> Result<u64> {
        let mut answer = [0; 8];
        self.socket.read_exact(&mut answer)?;
        Ok(u64::from_le_bytes(answer))
    }
}
