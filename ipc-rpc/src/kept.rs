//! An argument that its handler keeps beyond the call.
//!
//! # Safety
//! Keeps a reference into memory that it owns.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ipc_core::callee;
use ipc_core::sources::{self, Shared, Source};

use crate::admitted::Admitted;
use crate::message::private_exports::owned;
use crate::message::{Archived, Message, MessageError, View, parts_outside};
use crate::router::Client;
use crate::service::{Incoming, Refused};
use crate::status;
use crate::trust::Snapshot;

/// An argument that a handler may keep for as long as it likes: the client's value, in shared memory, until the last clone of
/// this is dropped.
///
/// A method takes it as `frame: Kept<Frame>`, and its clients pass `&Frame`; they pass `&[f32]` for `Kept<Vec<f32>>` and `&str`
/// for `Kept<String>`. It derefs to the archived value, whose accessors read natively. It is sent and shared between threads,
/// and stays readable when the client is gone. [`Loan::part_of`](crate::Loan::part_of) makes a part of it a part of a result, or
/// of a call to a third process, without a copy.
///
/// What is kept is the client's: one call block and the memory of the arguments, which its later calls do without. A server
/// that keeps too much makes the client wait, and fail with [`CallError::Busy`](crate::CallError::Busy) in the end;
/// [`Limits::kept`](crate::Limits::kept) bounds it. Where bytes are read by copying them first
/// ([`Trust::Snapshot`](crate::Trust::Snapshot)), the copy is what is kept, and the client has its memory back.
///
/// ```
/// use std::sync::Mutex;
/// use ipc_rpc::{Kept, Message, service, testing};
///
/// #[derive(Message)]
/// pub struct Frame { pub width: u32, pub pixels: Vec<u8> }
///
/// #[service]
/// pub trait Camera {
///     fn show(&self, frame: Kept<Frame>);
///     fn brightest(&self) -> u8;
/// }
/// #[derive(Default)]
/// struct Screen(Mutex<Option<Kept<Frame>>>);
/// impl Camera for Screen {
///     fn show(&self, frame: Kept<Frame>) {
///         *self.0.lock().unwrap() = Some(frame); // the one before is the client's again
///     }
///     fn brightest(&self) -> u8 {
///         let shown = self.0.lock().unwrap();
///         shown.as_ref().and_then(|frame| frame.pixels().iter().max().copied()).unwrap_or(0)
///     }
/// }
///
/// let (client, _server) = testing::pair(CameraDispatcher::new(Screen::default()))?;
/// client.show(&Frame { width: 2, pixels: vec![1; 4] })?;
/// client.show(&Frame { width: 100, pixels: (0..200).collect() })?;
/// assert_eq!(client.brightest()?, 199);
/// assert_eq!(testing::client_usage(&client).kept, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Kept<T: Message> {
    form: NonNull<Archived<T>>,
    /// Keeps the bytes of `form`.
    memory: Arc<Argument>,
}

/// The memory of a request.
pub(crate) enum Holding {
    /// The client's own.
    Block(callee::Kept<Client>),
    /// A private copy.
    Copy(Arc<Snapshot>),
}

struct Memory {
    holding: Holding,
    keeps: Arc<Keeps>,
}

/// What a form refers to outside of its message, which begins at that address, among the loans at these.
type Outside = fn(NonNull<()>, usize, Range<usize>) -> Vec<Range<usize>>;

/// The memory of an argument, which calls to others can refer to.
struct Argument {
    memory: Memory,
    this: Weak<Argument>,
    form: NonNull<()>,
    /// What the form refers to outside of its message.
    outside: Outside,
}

// SAFETY: the pointer is to a form that whoever has a `Kept` of it can refer to, from any thread if that is `Send`; without one
// nobody asks for more than the addresses of its parts, for which only what is checked memory is read.
unsafe impl Send for Argument {}
// SAFETY: as above.
unsafe impl Sync for Argument {}

impl Source for Argument {
    fn share(&self, data: NonNull<u8>, len: usize) -> Option<Shared> {
        let Holding::Block(kept) = &self.memory.holding else { return None };
        let (request, request_len) = kept.request();
        let start = request.addr().get();
        let outside = || (self.outside)(self.form, start, kept.peer().loans.clone());
        let is_part = |range: &Range<usize>| sources::contains(range, data, len);
        if !is_part(&(start..start + request_len)) && !outside().iter().any(is_part) {
            return None;
        }
        let (file, offset) = kept.origin(data)?;
        Some(Shared { file, offset, hold: Box::new(self.this.upgrade()?) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.keeps.now.fetch_sub(1, Ordering::Relaxed);
        self.keeps.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many arguments of one client are kept, with those of calls that run.
#[derive(Debug)]
pub(crate) struct Keeps {
    now: AtomicUsize,
    limit: usize,
    /// The same of all clients of the server.
    all: Arc<AtomicUsize>,
}

impl Keeps {
    pub(crate) fn new(limit: usize, all: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Keeps { now: AtomicUsize::new(0), limit, all })
    }

    /// One more, of the memory that `hold` gives.
    fn keep(self: &Arc<Self>, hold: impl FnOnce() -> Option<Holding>) -> Result<Memory, Refused> {
        let more = |now| (now < self.limit).then_some(now + 1);
        if self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let reason = format!("it keeps {} arguments of this client, as many as `Limits::kept` allows", self.limit);
            return Err(Refused::new(status::BUSY, reason));
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        match hold() {
            Some(holding) => Ok(Memory { holding, keeps: self.clone() }),
            None => {
                self.now.fetch_sub(1, Ordering::Relaxed);
                self.all.fetch_sub(1, Ordering::Relaxed);
                Err(over())
            }
        }
    }
}

#[cold]
fn over() -> Refused {
    Refused::new(status::REJECTED, "the call is over, and its arguments with it")
}

impl Holding {
    fn bytes(&self) -> (NonNull<u8>, usize) {
        match self {
            Holding::Block(kept) => kept.request(),
            Holding::Copy(copy) => copy.bytes(),
        }
    }
}

// SAFETY: a `Kept` is a shared reference to a form plus the memory it lies in, which is bound to no thread (`is_shared`).
unsafe impl<T: Message> Send for Kept<T> where Archived<T>: Sync {}
// SAFETY: as above.
unsafe impl<T: Message> Sync for Kept<T> where Archived<T>: Sync {}

const _: fn() = is_shared::<Memory>;
fn is_shared<M: Send + Sync>() {}

impl<T: Message> Kept<T> {
    fn new(memory: Memory, form: &Archived<T>) -> Result<Self, Refused> {
        // A checked value in these bytes, which stay where they are for as long as `memory` lives. Any other is no argument.
        let ((start, len), at) = (memory.holding.bytes(), NonNull::from(form));
        let from = at.addr().get().wrapping_sub(start.addr().get());
        if from > len || size_of::<Archived<T>>() > len - from {
            return Err(over());
        }
        let memory = Arc::new_cyclic(|this: &Weak<Argument>| Argument {
            memory,
            this: this.clone(),
            form: at.cast(),
            // SAFETY: `form`, which the memory keeps.
            outside: |form, start, loans| parts_outside(unsafe { form.cast::<Archived<T>>().as_ref() }, start, loans),
        });
        let source: Weak<dyn Source> = Arc::<Argument>::downgrade(&memory);
        sources::add(source);
        Ok(Kept { form: at, memory })
    }

    /// Reads the value natively: a number, a `&str`, a slice, or a reference to the archived struct.
    ///
    /// ```
    /// # use std::sync::Mutex;
    /// # use ipc_rpc::{Kept, service, testing};
    /// # #[service]
    /// # pub trait Last { fn put(&self, text: Kept<String>) -> u64; }
    /// # #[derive(Default)]
    /// # struct Plain(Mutex<Option<Kept<String>>>);
    /// # impl Last for Plain {
    /// fn put(&self, text: Kept<String>) -> u64 {
    ///     let len = text.get().len(); // of a `&str`
    ///     *self.0.lock().unwrap() = Some(text);
    ///     len as u64
    /// }
    /// # }
    /// # let (last, _server) = testing::pair(LastDispatcher::new(Plain::default()))?;
    /// # assert_eq!(last.put("four")?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self) -> View<'_, T> {
        T::view(self)
    }

    /// What keeps the memory.
    pub(crate) fn owner(&self) -> Arc<dyn Send + Sync> {
        self.memory.clone()
    }

    /// Makes an owned value.
    ///
    /// ```
    /// # use std::sync::Mutex;
    /// # use ipc_rpc::{Kept, service, testing};
    /// # #[service]
    /// # pub trait Last { fn put(&self, text: Kept<String>) -> u64; }
    /// # #[derive(Default)]
    /// # struct Plain(Mutex<Option<Kept<String>>>);
    /// # impl Last for Plain {
    /// fn put(&self, text: Kept<String>) -> u64 {
    ///     let owned: String = text.to_owned().unwrap(); // and the client has its memory back with the call
    ///     owned.len() as u64
    /// }
    /// # }
    /// # let (last, _server) = testing::pair(LastDispatcher::new(Plain::default()))?;
    /// # assert_eq!(last.put("four")?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A map or set that holds a key twice; no honest client sends one.
    pub fn to_owned(&self) -> Result<T, MessageError> {
        owned::<T>(self)
    }
}

impl<T: Message> Clone for Kept<T> {
    /// Another owner of the same memory.
    fn clone(&self) -> Self {
        Kept { form: self.form, memory: self.memory.clone() }
    }
}

impl<T: Message> Deref for Kept<T> {
    type Target = Archived<T>;
    fn deref(&self) -> &Archived<T> {
        // SAFETY: it was referred to when this was made, in bytes that `memory` keeps for as long as `self` lives.
        unsafe { self.form.as_ref() }
    }
}

impl<T: Message> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Incoming<'_> {
    /// Keeps the argument at `form` beyond the call.
    ///
    /// # Errors
    /// The server keeps as many as it may.
    pub fn kept<T: Message>(&self, form: &Archived<T>) -> Result<Kept<T>, Refused> {
        Kept::new(self.client().keeps.keep(|| self.keep())?, form)
    }
}

impl Admitted {
    /// Keeps the argument at `form` beyond the call.
    ///
    /// # Errors
    /// The server keeps as many as it may.
    pub fn kept<T: Message>(&self, form: &Archived<T>) -> Result<Kept<T>, Refused> {
        let keeps = self.client(|client| client.keeps.clone()).ok_or_else(over)?;
        Kept::new(keeps.keep(|| self.keep())?, form)
    }
}
