//! What really happened, as each process writes it down: an append-only file that is still there when the process is killed.
//!
//! A handler writes that it runs before it does anything else. Who made a call writes what came of it. Every call has a
//! number of its own, so the two meet when all is over, whichever process is dead by then.

use std::fs::File;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::clock;

/// Bytes of a record in the file: a write of so many is either there or not.
const LEN: usize = 32;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($variant),* }

        impl $name {
            const ALL: &[$name] = &[$($name::$variant),*];

            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

named! {
    /// How a call was made.
    Form {
        Blocking = "blocking",
        Idempotent = "idempotent",
        Large = "large payload",
        Pending = "pending",
        Batch = "batch",
        Async = "async",
        OneWay = "one-way",
        Output = "stream out",
        Input = "stream in",
        Both = "stream both ways",
        Callback = "callback",
        Called = "called back",
        Kept = "called back later",
        Connection = "connection",
    }
}

named! {
    /// What is known of a call: that its handler ran, or what came of it where it was made.
    How {
        Ran = "ran",
        Replied = "replied",
        Flushed = "one-way, flushed",
        Sent = "one-way, not flushed",
        Dropped = "given up",
        NotStarted = "not started",
        MayHaveRun = "may have run",
        NotInTime = "not run in time",
        TimedOut = "out of time",
        Busy = "busy",
        Cancelled = "not sent, own call over",
        Wrong = "WRONG",
        Died = "died",
    }
}

impl How {
    /// How often the handler can have run.
    pub fn runs(self, form: Form) -> RangeInclusive<u32> {
        match self.runs_once() {
            once if form != Form::Idempotent || *once.end() == 0 => once,
            once => *once.start()..=u32::MAX,
        }
    }

    /// The same, of a call that is not made again.
    pub fn runs_once(self) -> RangeInclusive<u32> {
        match self {
            How::Ran => 1..=1,
            How::Replied | How::Flushed => 1..=1,
            How::NotStarted | How::NotInTime | How::Busy | How::Cancelled => 0..=0,
            How::Sent | How::Dropped | How::MayHaveRun | How::TimedOut | How::Wrong | How::Died => 0..=1,
        }
    }

    /// Says it that the peer is dead? (A handler's own call is over when the client that it calls back is.)
    pub fn is_death(self) -> bool {
        matches!(self, How::NotStarted | How::MayHaveRun | How::Cancelled)
    }
}

/// A line of the journal.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Number of the call.
    pub id: u64,
    /// When it was made, and when it ended. Of what ran, the moment.
    pub began: u64,
    pub ended: u64,
    /// Number of the process that was called; 0 if it was whichever server was there.
    pub peer: u32,
    pub form: Form,
    pub how: How,
}

impl Record {
    fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.began.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ended.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.peer.to_le_bytes());
        bytes[28] = self.form as u8;
        bytes[29] = self.how as u8;
        bytes
    }

    fn of(bytes: &[u8; LEN]) -> Option<Self> {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        Some(Record {
            id: word(0),
            began: word(8),
            ended: word(16),
            peer: word(24) as u32,
            form: *Form::ALL.get(usize::from(bytes[28]))?,
            how: *How::ALL.get(usize::from(bytes[29]))?,
        })
    }
}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Number of this process, one of those of its round.
    pub number: u32,
    next: AtomicU64,
}

impl Journal {
    pub fn open(path: &str, number: u32) -> Self {
        let file = File::options().create(true).append(true).open(path).expect("a file for the journal");
        Journal { file, number, next: AtomicU64::new(1) }
    }

    /// The number of a new call.
    pub fn id(&self) -> u64 {
        u64::from(self.number) << 32 | self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A handler runs for call `id`.
    pub fn ran(&self, id: u64, form: Form) {
        let now = clock::now();
        self.write(&[Record { id, began: now, ended: now, peer: self.number, form, how: How::Ran }]);
    }

    /// This process is about to kill itself.
    #[cfg(feature = "fail-points")]
    pub fn died(&self) {
        let now = clock::now();
        let (peer, form, how) = (self.number, Form::Blocking, How::Died);
        self.write(&[Record { id: 0, began: now, ended: now, peer, form, how }]);
    }

    pub fn write(&self, records: &[Record]) {
        let bytes: Vec<u8> = records.iter().flat_map(Record::bytes).collect();
        (&self.file).write_all(&bytes).expect("room for the journal");
    }
}

/// All that is in a journal; what was being written when the process was killed is left out.
pub fn read(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.as_chunks().0.iter().filter_map(Record::of).collect()
}
