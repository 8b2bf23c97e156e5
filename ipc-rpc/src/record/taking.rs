//! The server's side: calls are written to the files of those who record them.
//!
//! Whoever records keeps the connection that it asked on. The server looks before each call whether it is still there, says on
//! it why it has stopped if it has, and stops when it is asked to there.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    /// Into the file, so many bytes of calls more; and of anything, so many more as any file may have.
    Open {
        file: File,
        left: u64,
        room: u64,
        end: RecordEnd,
    },
    Over(RecordEnd),
}

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
        let state = Mutex::new(State::Open { file, left, room, end: RecordEnd::default() });
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
            open.into_iter().filter(|taking| taking.service == service).collect()
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
    /// Writes the call down with its answer; `None`: a reply that lies elsewhere.
    pub(crate) fn end(mut self, status: u16, reply: Option<&[u8]>) {
        self.call.took = clock::now().saturating_sub(self.at);
        self.call.status = status;
        self.call.reply = reply.unwrap_or_default().to_vec();
        for taking in &self.by {
            self.call.begun = self.at.saturating_sub(taking.started);
            let archive = bytes::to_bytes(&self.call).ok().filter(|_| reply.is_some());
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

    /// Writes a call, or counts one that cannot be.
    fn note(&self, archive: Option<&[u8]>) {
        let mut state = lock(&self.state);
        let State::Open { file, left, room, end } = &mut *state else { return };
        let Some(archive) = archive else {
            end.left_out += 1;
            return;
        };
        let record = file::record(CALL, archive);
        let failed = match left.checked_sub(record.len() as u64) {
            None => Some("the file is as long as it may be".into()),
            Some(rest) => {
                *left = rest;
                *room = room.saturating_sub(record.len() as u64);
                file.write_all(&record).err().map(|error| format!("the file cannot be written: {error}"))
            }
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
            State::Open { file, room, end, .. } => {
                end.reason = why.to_owned();
                let record = bytes::to_bytes(end).map(|archive| file::record(END, &archive));
                // Where there is no room for it, it is said on the socket.
                if let Some(record) = record.ok().filter(|record| record.len() as u64 <= *room) {
                    let _ = file.write_all(&record);
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
