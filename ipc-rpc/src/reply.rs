//! A reply that is read where it lies.
//!
//! # Safety
//! Keeps a reference into memory that it owns.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;

use ipc_core::lane::{self, Parcel};

use crate::message::private_exports::owned;
use crate::message::{Archived, Message, MessageError, View};
use crate::stub::Held;

/// The result of a call made with `view()`: the server's value, in shared memory, until this is dropped.
///
/// Derefs to the archived value, whose accessors read natively. It keeps one call block of the connection, and the memory
/// of the value, so drop it when done; it may outlive the client.
///
/// ```
/// use ipc_rpc::{Message, service, testing};
///
/// #[derive(Message)]
/// pub struct Page { pub title: String, pub words: Vec<u32> }
///
/// #[service]
/// pub trait Pages {
///     fn page(&self, number: u32) -> Page;
/// }
/// struct Book;
/// impl Pages for Book {
///     fn page(&self, number: u32) -> Page {
///         Page { title: format!("page {number}"), words: vec![number; 1000] }
///     }
/// }
///
/// let (client, _server) = testing::pair(PagesDispatcher::new(Book))?;
/// let page = client.view().page(7)?;
/// assert_eq!(page.title(), "page 7");
/// assert_eq!(page.words().len(), 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reply<T: Message> {
    form: *const Archived<T>,
    /// Keeps the bytes of `form`.
    _held: Held,
    /// The descriptors that came along.
    parcel: Parcel,
}

// SAFETY: a `Reply` is a shared reference to a form plus the memory it lies in, which is bound to no thread.
unsafe impl<T: Message> Send for Reply<T> where Archived<T>: Sync {}
// SAFETY: as above.
unsafe impl<T: Message> Sync for Reply<T> where Archived<T>: Sync {}

impl<T: Message> Reply<T> {
    /// Keeps `held` for the checked value at `form`, and what this thread is to unpack.
    ///
    /// # Safety
    /// `form` lies in the bytes of `held` and was checked.
    pub(crate) unsafe fn new(held: Held, form: *const Archived<T>) -> Self {
        Reply { form, _held: held, parcel: lane::unpack(Parcel::default()) }
    }

    /// Reads the value natively: a number, a `&str`, a slice, or a reference to the archived struct.
    ///
    /// ```
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Texts { fn upper(&self, text: &str) -> String; }
    /// # struct Plain;
    /// # impl Texts for Plain { fn upper(&self, text: &str) -> String { text.to_uppercase() } }
    /// # let (texts, _server) = testing::pair(TextsDispatcher::new(Plain))?;
    /// let reply = texts.view().upper("memory")?;
    /// let text: &str = reply.get();
    /// assert_eq!(text, "MEMORY");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self) -> View<'_, T> {
        T::view(self)
    }

    /// Makes an owned value. Descriptors in it are duplicates, so that this can be done again.
    ///
    /// ```
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Texts { fn upper(&self, text: &str) -> String; }
    /// # struct Plain;
    /// # impl Texts for Plain { fn upper(&self, text: &str) -> String { text.to_uppercase() } }
    /// # let (texts, _server) = testing::pair(TextsDispatcher::new(Plain))?;
    /// let reply = texts.view().upper("memory")?;
    /// let text: String = reply.to_owned()?;
    /// drop(reply);
    /// assert_eq!(text, "MEMORY");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A map or set that holds a key twice; no honest server sends one. A descriptor that has not come along, or cannot be
    /// duplicated, because this process has as many as it may have.
    pub fn to_owned(&self) -> Result<T, MessageError> {
        if self.parcel.is_empty() {
            return owned::<T>(self);
        }
        // What cannot be duplicated is missing then.
        lane::unpack(self.parcel.try_clone().unwrap_or_default());
        let value = owned::<T>(self);
        lane::unpack(Parcel::default());
        value
    }
}

impl<T: Message> Deref for Reply<T> {
    type Target = Archived<T>;
    fn deref(&self) -> &Archived<T> {
        // SAFETY: checked when this was made, in bytes that `_held` keeps for as long as `self` lives.
        unsafe { &*self.form }
    }
}

impl<T: Message> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
