//! Two POSIX message queues.
#![allow(unsafe_code)]
// These calls are C's alone. Messages are sent from slices and received into a vector; the call is told how long they are.

use std::ffi::CString;
use std::{io, mem};

use super::memory::check;
use super::{Client, Kind, Mechanism, limit};
use crate::Result;
use crate::payload::{size, sum};
use crate::process::{self, Job, Killed};

pub struct PosixQueue;

const REQUESTS: &str = "requests";
const ANSWERS: &str = "answers";

/// A queue and a buffer for its messages.
struct Queue {
    id: libc::mqd_t,
    message: Vec<u8>,
}

impl Queue {
    fn open(job: &Job, queue: &str, message: usize, create: bool) -> Result<Self> {
        let name = CString::new(job.name(queue))?;
        // SAFETY: a structure of numbers.
        let mut attributes: libc::mq_attr = unsafe { mem::zeroed() };
        attributes.mq_maxmsg = job.in_flight as libc::c_long;
        attributes.mq_msgsize = message as libc::c_long;
        let flags = libc::O_RDWR | if create { libc::O_CREAT | libc::O_EXCL } else { 0 };
        // SAFETY: a NUL-terminated name, and the mode and the attributes that are read if the queue is created.
        let id = check(unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes) })?;
        Ok(Queue { id, message: vec![0; message] })
    }

    fn remove(job: &Job, queue: &str) {
        if let Ok(name) = CString::new(job.name(queue)) {
            // SAFETY: a NUL-terminated name.
            unsafe { libc::mq_unlink(name.as_ptr()) };
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        // SAFETY: a slice, and its length.
        check(unsafe { libc::mq_send(self.id, bytes.as_ptr().cast(), bytes.len(), 0) })?;
        Ok(())
    }

    fn receive(&mut self) -> Result<&[u8]> {
        let (place, room) = (self.message.as_mut_ptr().cast(), self.message.len());
        // SAFETY: a vector, and its length.
        let len = unsafe { libc::mq_receive(self.id, place, room, std::ptr::null_mut()) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        Ok(&self.message[..len])
    }
}

impl Mechanism for PosixQueue {
    fn name(&self) -> &'static str {
        "posix-queue"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn refuses(&self, payload: usize, in_flight: usize) -> Option<String> {
        let bytes = limit("/proc/sys/fs/mqueue/msgsize_max")?;
        if payload > bytes {
            return Some(format!("a message has at most {} (fs.mqueue.msgsize_max)", size(bytes)));
        }
        let messages = limit("/proc/sys/fs/mqueue/msg_max")?;
        (in_flight > messages).then(|| format!("a queue holds at most {messages} messages (fs.mqueue.msg_max)"))
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let mut requests = Queue::open(job, REQUESTS, job.payload, false)?;
        let answers = Queue::open(job, ANSWERS, 8, false)?;
        loop {
            let sum = sum(requests.receive()?);
            answers.send(&sum.to_le_bytes())?;
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let requests = Queue::open(job, REQUESTS, job.payload, true)?;
        let answers = Queue::open(job, ANSWERS, 8, true)?;
        Ok(Box::new(Caller { requests, answers, _server: process::serve_by_name(job)? }))
    }

    fn remove(&self, job: &Job) {
        Queue::remove(job, REQUESTS);
        Queue::remove(job, ANSWERS);
    }
}

struct Caller {
    requests: Queue,
    answers: Queue,
    _server: Killed,
}

impl Client for Caller {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.requests.send(bytes)
    }

    fn receive(&mut self) -> Result<u64> {
        let answer = self.answers.receive()?;
        Ok(u64::from_le_bytes(*answer.first_chunk().ok_or("an answer without a number")?))
    }
}
