//! The server's side: calls are written to the files of those who record them.
//!
//! Whoever records keeps the connection that it asked on. The server looks before each call whether it is still there, says on
//! it why it has stopped if it has, and stops when it is asked to there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipc_core::callee::Reply;
use ipc_core::socket::Credentials;
use ipc_core::{clock, file_size, socket};

use super::file::{self, CALL, END, RecordEnd, RecordedCall};
use crate::context::Extra;
use crate::handshake::{self, ToRecord};
use crate::intercept::authenticate;
use crate::message::bytes;

/// Bytes that are kept for the last record.
const END_ROOM: u64 = 1024;
/// Recordings of one server at a time.
const MOST: usize = 16;

/// Those who record calls of this server.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    all: Mutex<Vec<Arc<Taking>>>,
    /// One of them goes on.
    active: AtomicBool,
}

/// A recording.
#[derive(Debug)]
struct Taking {
    number: u64,
    service: String,
    started: u64,
    /// Leads to who records.
    socket: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Into the file, from there on, so many bytes of calls more; and of anything, so many more as any file may have. Whoever
    /// records shares the file's own position, and could move it.
    Open {
        file: File,
        at: u64,
        left: u64,
        room: u64,
        end: RecordEnd,
    },
    Over(RecordEnd),
}

/// Why a recording ends for which there is no more room.
const FULL: &str = "the file is as long as it may be";

/// A call that is recorded, until it is answered.
#[derive(Debug)]
pub(crate) struct Taken {
    by: Vec<Arc<Taking>>,
    at: u64,
    call: RecordedCall,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recordings {
    /// May there be somebody who records?
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// Does the first packet of a connection, or a further one of such a connection, ask about a recording? Then the answer.
    pub(crate) fn asked(
        &self,
        packet: &[u8],
        descriptors: &mut Vec<OwnedFd>,
        socket: BorrowedFd<'_>,
        may_ask: impl FnOnce() -> Result<(), String>,
        serves: impl Fn(&str) -> bool,
    ) -> Option<Reply> {
        let asked = handshake::asked_to_record(packet)?;
        let reply = |packet, stays| Some(Reply { packet, descriptors: Vec::new(), stays });
        if let Err(why) = may_ask() {
            return reply(handshake::refused(&why), false);
        }
        match asked {
            ToRecord::Start { service, limit } => {
                let begun = match descriptors.pop() {
                    Some(file) if serves(service) => self.begin(service, limit, file, socket),
                    Some(_) => Err(format!("it does not serve {service}")),
                    None => Err("whoever records brings a file".into()),
                };
                match begun {
                    Ok(number) => reply(handshake::recording(number), true),
                    Err(why) => reply(handshake::refused(&why), false),
                }
            }
            ToRecord::Stop { number } => match lock(&self.all).iter().find(|taking| taking.number == number) {
                Some(taking) => reply(handshake::recorded(&taking.end("")), false),
                None => reply(handshake::refused("there is no such recording"), false),
            },
        }
    }

    fn begin(&self, service: &str, limit: u64, file: OwnedFd, socket: BorrowedFd<'_>) -> Result<u64, String> {
        let socket = socket.try_clone_to_owned().map_err(|error| error.to_string())?;
        let file = File::from(file);
        let about = file.metadata().map_err(|error| error.to_string())?;
        if !about.is_file() {
            return Err("calls are recorded to regular files only".into());
        }
        let room = file_size::most().saturating_sub(about.len());
        let left = limit.min(room.saturating_sub(END_ROOM));
        let mut all = lock(&self.all);
        all.retain(|taking| taking.is_open() && !taking.is_alone());
        if all.len() >= MOST {
            return Err(format!("{MOST} record already"));
        }
        let number = all.last().map_or(1, |last| last.number + 1).max(clock::now());
        let state = Mutex::new(State::Open { file, at: about.len(), left, room, end: RecordEnd::default() });
        all.push(Arc::new(Taking { number, service: service.into(), started: clock::now(), socket, state }));
        self.active.store(true, Ordering::SeqCst);
        Ok(number)
    }

    /// Notes a call that is about to begin, if somebody records its service.
    pub(crate) fn take(
        &self,
        service: &str,
        method: u16,
        who: Credentials,
        extra: Option<&Extra>,
        request: &[u8],
    ) -> Option<Taken> {
        let by: Vec<_> = {
            let all = lock(&self.all);
            let open = all.iter().filter(|taking| {
                if taking.is_alone() {
                    taking.end("nobody listens");
                }
                taking.is_open()
            });
            let open: Vec<_> = open.cloned().collect();
            self.active.store(!open.is_empty(), Ordering::SeqCst);
            open.into_iter().filter(|taking| taking.service == service && taking.has_room(request.len())).collect()
        };
        if by.is_empty() {
            return None;
        }
        // A secret is not written to files.
        let open = |(key, _): &(&str, &str)| *key != authenticate::KEY;
        let said = extra.iter().flat_map(|extra| extra.metadata.iter()).filter(open);
        let metadata = said.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let call = RecordedCall {
            pid: who.pid,
            uid: who.uid,
            method: method.into(),
            metadata,
            trace: extra.and_then(|extra| extra.trace).map(|trace| trace.0),
            request: request.to_vec(),
            ..RecordedCall::default()
        };
        Some(Taken { by, at: clock::now(), call })
    }
}

impl Taken {
    /// Has anybody room for a reply of so many bytes? Those who have none end.
    pub(crate) fn has_room(&mut self, reply: usize) -> bool {
        let len = self.call.request.len().saturating_add(reply);
        self.by.retain(|taking| taking.has_room(len));
        !self.by.is_empty()
    }

    /// Writes the call down with its answer; `None`: a reply that lies elsewhere.
    pub(crate) fn end(mut self, status: u16, reply: Option<Vec<u8>>) {
        let is_whole = reply.is_some();
        self.call.took = clock::now().saturating_sub(self.at);
        self.call.status = status;
        self.call.reply = reply.unwrap_or_default();
        for taking in &self.by {
            self.call.begun = self.at.saturating_sub(taking.started);
            let archive = is_whole.then(|| bytes::to_bytes(&self.call).ok()).flatten();
            taking.note(archive.as_deref());
        }
    }
}

impl Taking {
    fn is_open(&self) -> bool {
        matches!(*lock(&self.state), State::Open { .. })
    }

    /// Nobody is at the other end.
    fn is_alone(&self) -> bool {
        socket::is_hung_up(self.socket.as_fd())
    }

    /// Is there room for a call of so many bytes? If not, it ends: before anything is copied in vain.
    fn has_room(&self, len: usize) -> bool {
        let has = matches!(&*lock(&self.state), State::Open { left, .. } if len as u64 <= *left);
        if !has {
            self.end(FULL);
        }
        has
    }

    /// Writes a call, or counts one that cannot be.
    fn note(&self, archive: Option<&[u8]>) {
        let mut state = lock(&self.state);
        let State::Open { file, at, left, room, end } = &mut *state else { return };
        let Some(archive) = archive else {
            end.left_out += 1;
            return;
        };
        let len = record_len(archive);
        let failed = match left.checked_sub(len) {
            None => Some(FULL.into()),
            Some(rest) => match write(file, *at, CALL, archive) {
                Ok(()) => {
                    (*at, *left, *room) = (*at + len, rest, room.saturating_sub(len));
                    None
                }
                Err(error) => Some(format!("the file cannot be written: {error}")),
            },
        };
        match failed {
            None => end.calls += 1,
            Some(why) => {
                drop(state);
                self.end(&why);
            }
        }
    }

    /// Ends it; says how it ended, to the other end too if it was not asked to.
    fn end(&self, why: &str) -> RecordEnd {
        let mut state = lock(&self.state);
        let end = match &mut *state {
            State::Over(end) => return end.clone(),
            State::Open { file, at, room, end, .. } => {
                end.reason = why.to_owned();
                // Where there is no room for it, it is said on the socket.
                if let Some(archive) = bytes::to_bytes(end).ok().filter(|archive| record_len(archive) <= *room) {
                    let _ = write(file, *at, END, &archive);
                }
                end.clone()
            }
        };
        *state = State::Over(end.clone());
        drop(state);
        if !why.is_empty() {
            let _ = socket::send(self.socket.as_fd(), &handshake::recorded(&end), None);
        }
        end
    }
}

fn record_len(archive: &[u8]) -> u64 {
    size_of::<[u8; 8]>() as u64 + archive.len() as u64
}

fn write(file: &File, at: u64, kind: u32, archive: &[u8]) -> io::Result<()> {
    let head = file::record_head(kind, archive);
    file.write_all_at(&head, at)?;
    file.write_all_at(archive, at + head.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_not_copied() {
        let path = std::env::temp_dir().join(format!("ipc-rpc-taking-{}", std::process::id()));
        let (ours, _theirs) = socket::pair().unwrap();
        let recordings = Recordings::default();
        let who = socket::credentials(ours.as_fd()).unwrap();
        let begin = || recordings.begin("Calc", 1000, File::create(&path).unwrap().into(), ours.as_fd()).unwrap();
        let take = |len: usize| recordings.take("Calc", 0, who, None, &vec![0; len]);
        begin();
        assert!(take(1001).is_none() && take(10).is_none());
        begin();
        let mut taken = take(500).unwrap();
        assert!(taken.has_room(500) && !taken.has_room(501) && !taken.has_room(1));
        taken.end(0, Some(vec![0; 500]));
        assert!(take(10).is_none() && !recordings.is_active());
        std::fs::remove_file(path).unwrap();
    }
}
