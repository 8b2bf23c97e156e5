//! Two message queues of System V.
#![allow(unsafe_code)]
// These calls are C's alone. Messages are sent from and received into a vector that is as long as the call is told.

use std::io;

use super::memory::check;
use super::{Client, Kind, Mechanism, limit};
use crate::Result;
use crate::payload::size;
use crate::process::{self, Job, Killed};

pub struct SysvQueue;

/// The type of a message, which comes before its text.
const TYPE: usize = size_of::<libc::c_long>();

fn key(job: &Job, queue: u32) -> libc::key_t {
    ((0x4a + queue) << 24 | (job.number & 0xff_ffff)) as libc::key_t
}

const REQUESTS: u32 = 0;
const ANSWERS: u32 = 1;

/// A queue and a buffer for its messages.
struct Queue {
    id: libc::c_int,
    message: Vec<u64>,
}

impl Queue {
    fn open(job: &Job, queue: u32, create: bool) -> Result<Self> {
        let flags = 0o600 | if create { libc::IPC_CREAT | libc::IPC_EXCL } else { 0 };
        // SAFETY: numbers only.
        let id = check(unsafe { libc::msgget(key(job, queue), flags) })?;
        Ok(Queue { id, message: vec![0; (TYPE + job.payload.max(8)).div_ceil(8)] })
    }

    fn remove(job: &Job, queue: u32) {
        // SAFETY: numbers only.
        let id = unsafe { libc::msgget(key(job, queue), 0) };
        // SAFETY: numbers; removal needs no structure.
        unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let (words, _) = bytes.as_chunks::<8>();
        let text = self.message.get_mut(1..=words.len()).ok_or("a message that is too long")?;
        text.iter_mut().zip(words).for_each(|(to, from)| *to = u64::from_ne_bytes(*from));
        self.message[0] = 1;
        // SAFETY: the type and as many bytes behind it, which the vector has.
        check(unsafe { libc::msgsnd(self.id, self.message.as_ptr().cast(), words.len() * 8, 0) })?;
        Ok(())
    }

    fn receive(&mut self) -> Result<&[u64]> {
        let room = (self.message.len() - 1) * 8;
        // SAFETY: room for the type and as many bytes behind it.
        let len = unsafe { libc::msgrcv(self.id, self.message.as_mut_ptr().cast(), room, 1, 0) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        Ok(&self.message[1..=len / 8])
    }
}

impl Mechanism for SysvQueue {
    fn name(&self) -> &'static str {
        "sysv-queue"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn refuses(&self, payload: usize, _in_flight: usize) -> Option<String> {
        let most = limit("/proc/sys/kernel/msgmax")?;
        (payload > most).then(|| format!("a message has at most {} (kernel.msgmax)", size(most)))
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let (mut requests, mut answers) = (Queue::open(job, REQUESTS, false)?, Queue::open(job, ANSWERS, false)?);
        loop {
            let words = requests.receive()?;
            let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le(*word)));
            answers.send(&sum.to_le_bytes())?;
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let (requests, answers) = (Queue::open(job, REQUESTS, true)?, Queue::open(job, ANSWERS, true)?);
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
        Ok(*self.answers.receive()?.first().ok_or("an answer without a number")?)
    }
}
