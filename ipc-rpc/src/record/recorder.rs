//! The side of whoever records.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use ipc_core::{clock, socket};

use super::file::{self, RecordEnd};
use crate::connect::{self, ConnectError};
use crate::endpoint;
use crate::handshake::{self, Answer, PROTOCOL};
use crate::inspect::ServerInfo;

/// A recording that goes on. Dropping it, or dying, ends it too: then the file has no end record.
///
/// The example at [`record`](crate::record) has one.
#[derive(Debug)]
pub struct Recorder {
    socket: OwnedFd,
    number: u64,
}

impl Recorder {
    /// Has the server called `name` write all calls of `service` that begin from now on to `file`, a regular file that is empty
    /// and can be written, until it has `limit` bytes more. The server does so for its own user and for root, in
    /// no other container than its own.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: as for a client. [`Refused`](ConnectError::Refused) by a server that is built without the feature
    /// `dynamic`, too.
    pub fn start(
        name: impl AsRef<str>,
        service: &str,
        mut file: File,
        limit: u64,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let info = ServerInfo::of(name.as_ref(), timeout)?;
        let path = endpoint::path_of(name.as_ref(), false).unwrap_or_else(|_| PathBuf::from(name.as_ref()));
        let io = |error| ConnectError::Io { path: path.clone(), error };
        file::begin(&mut file, service, &info.description).map_err(io)?;
        let deadline = clock::after(timeout);
        let connected = socket::connect(&path, deadline);
        let socket = connected.map_err(|error| connect::not_connected("", path.clone(), error, timeout))?;
        socket::send(socket.as_fd(), &handshake::record(service, limit), Some(file.as_fd())).map_err(io)?;
        if !socket::wait_readable(socket.as_fd(), deadline).map_err(io)? {
            return Err(ConnectError::TimedOut { path, after: timeout });
        }
        let (packet, _) = socket::receive(socket.as_fd()).map_err(io)?;
        let number = told(&packet, path)?;
        Ok(Recorder { socket, number })
    }

    /// Waits so long for the server to end it by itself: because the file is full, or cannot be written. `None`: it goes on.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// The system's; `UnexpectedEof` if the server has ended.
    pub fn wait(&self, time: Duration) -> io::Result<Option<RecordEnd>> {
        match socket::wait_readable(self.socket.as_fd(), clock::after(time))? {
            true => self.hear().map(Some),
            false => Ok(None),
        }
    }

    /// Ends the recording. All calls that were answered before are in the file then.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// As [`wait`](Recorder::wait); `TimedOut` if the server does not answer.
    pub fn stop(self, timeout: Duration) -> io::Result<RecordEnd> {
        socket::send(self.socket.as_fd(), &handshake::stop_recording(self.number), None)?;
        self.wait(timeout)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    fn hear(&self) -> io::Result<RecordEnd> {
        let (packet, _) = socket::receive(self.socket.as_fd())?;
        if packet.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended"));
        }
        handshake::told_of_end(&packet).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The number of a recording, as the server tells it.
fn told(packet: &[u8], path: PathBuf) -> Result<u64, ConnectError> {
    let reason = match handshake::told_of_recording(packet) {
        Ok(number) => return Ok(number),
        // Who does not know the question takes it for that of another version.
        Err(Some(Answer::Version(PROTOCOL))) => "it is built without the feature `dynamic`, so it cannot record".into(),
        Err(Some(Answer::Version(there))) => return Err(ConnectError::Version { path, here: PROTOCOL, there }),
        Err(Some(Answer::Refused(reason))) => reason,
        Err(_) if packet.is_empty() => "the server left without a word".into(),
        Err(_) => return Err(ConnectError::NotAServer { path }),
    };
    Err(ConnectError::Refused { path, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_the_feature_is_told_from_another_version() {
        let mut packet = handshake::other_version();
        let told = |packet: &[u8]| told(packet, PathBuf::from("x.sock")).expect_err("no recording").to_string();
        let text = told(&packet);
        assert!(text.contains("without the feature `dynamic`") && !text.contains("version"), "{text}");
        // Behind the magic there is the version.
        packet[8..12].copy_from_slice(&(PROTOCOL + 1).to_le_bytes());
        assert!(told(&packet).contains("build both with the same version"));
        assert!(told(&handshake::refused("not you")).contains("not you"));
    }
}
