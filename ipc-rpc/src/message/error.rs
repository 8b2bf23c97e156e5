//! What can go wrong with a message, on the side that writes it and on the side that reads it.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::io;

use ipc_core::lane::Undeliverable;
use ipc_core::layout::MAX_PARCEL;
use ipc_core::memory::NoMemory;
use rkyv::rancor::{Source, Trace};

use super::{Desc, MAX_DEPTH, MAX_SIZE};

/// Why a value could not be written as a message.
///
/// ```
/// use ipc_rpc::{CallError, EncodeError, Message, service, testing};
///
/// #[derive(Message)]
/// pub struct List { pub next: Option<Box<List>> }
///
/// #[service]
/// pub trait Lists { fn send(&self, list: &List); }
/// struct Sink;
/// impl Lists for Sink { fn send(&self, _: &List) {} }
///
/// let (lists, _server) = testing::pair(ListsDispatcher::new(Sink))?;
/// let long = (0..1000).fold(List { next: None }, |next, _| List { next: Some(Box::new(next)) });
/// match lists.send(&long) {
///     Err(CallError::Arguments { error, .. }) => assert_eq!(error, EncodeError::TooDeep { limit: 128 }),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value nests more boxes and sequences than a message may; the receiver would refuse it.
    TooDeep {
        /// Levels allowed.
        limit: u32,
    },
    /// The archive would be larger than a message may be.
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// There is no room for the archive in the memory that carries messages.
    OutOfMemory(NoMemory),
    /// A descriptor cannot be sent along.
    Descriptor {
        /// Why not.
        reason: DescriptorError,
    },
    /// The value cannot be archived.
    Unsupported {
        /// Why not.
        reason: Box<str>,
    },
}

/// Why a descriptor cannot be sent along with a message.
///
/// ```
/// use ipc_rpc::DescriptorError;
/// let error = DescriptorError::TooMany { limit: 16 };
/// assert_eq!(error.to_string(), "a message carries at most 16 descriptors");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Items of streams and what goes with a call besides its arguments have none.
    NotHere,
    /// The message has as many as one can have.
    TooMany {
        /// Descriptors allowed.
        limit: u32,
    },
    /// It is not open.
    Closed,
    /// The other side did not take those that were sent before, in the time of the call. A call that does not wait, such as one
    /// of `start()` or of a future, gives up at once.
    Full,
    /// Another error, by the system's number.
    System(i32),
}

impl Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescriptorError::NotHere => {
                write!(f, "only arguments and results of calls carry descriptors, items of streams do not")
            }
            DescriptorError::TooMany { limit } => write!(f, "a message carries at most {limit} descriptors"),
            DescriptorError::Closed => write!(f, "the descriptor is not open"),
            DescriptorError::Full => write!(f, "the other side has not taken the descriptors sent before"),
            DescriptorError::System(code) => {
                write!(f, "the descriptor cannot be sent: {}", io::Error::from_raw_os_error(*code))
            }
        }
    }
}

impl From<Undeliverable> for EncodeError {
    #[cold]
    fn from(why: Undeliverable) -> Self {
        let reason = match why {
            Undeliverable::TooMany => DescriptorError::TooMany { limit: MAX_PARCEL },
            Undeliverable::Closed => DescriptorError::Closed,
            Undeliverable::System(code) => DescriptorError::System(code),
            _ => DescriptorError::Full,
        };
        EncodeError::Descriptor { reason }
    }
}

impl EncodeError {
    #[cold]
    pub(super) fn no_descriptors() -> Self {
        EncodeError::Descriptor { reason: DescriptorError::NotHere }
    }

    #[cold]
    pub(super) fn too_deep() -> Self {
        EncodeError::TooDeep { limit: MAX_DEPTH }
    }

    #[cold]
    pub(super) fn too_large() -> Self {
        EncodeError::TooLarge { limit: MAX_SIZE }
    }
}

impl Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooDeep { limit } => {
                write!(
                    f,
                    "the value nests deeper than {limit} levels: flatten it, for example into a list with indices"
                )
            }
            EncodeError::TooLarge { limit } => {
                write!(f, "the value takes more than the {limit} bytes a message may have: send it in parts")
            }
            EncodeError::OutOfMemory(none) => Display::fmt(none, f),
            EncodeError::Descriptor { reason } => write!(f, "{reason}"),
            EncodeError::Unsupported { reason } => write!(f, "the value cannot be archived: {reason}"),
        }
    }
}

impl Error for EncodeError {}

impl Trace for EncodeError {
    fn trace<R: Debug + Display + Send + Sync + 'static>(self, _: R) -> Self {
        self
    }
}

impl Source for EncodeError {
    fn new<T: Error + Send + Sync + 'static>(source: T) -> Self {
        EncodeError::Unsupported { reason: source.to_string().into() }
    }
}

/// Why received bytes are not the message they should be.
///
/// The text names the type and, where it is known, the field.
///
/// ```
/// use ipc_rpc::{CallError, MessageError};
///
/// fn reason(error: &CallError) -> Option<&MessageError> {
///     match error {
///         CallError::Reply { error, .. } => Some(error), // prints as `Hit.line: ..`
///         _ => None,
///     }
/// }
/// # let _ = reason;
/// ```
pub struct MessageError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: MessageErrorKind,
    at: Option<(&'static str, &'static str)>,
    reason: Box<str>,
}

/// What is wrong with the bytes of a [`MessageError`].
///
/// ```
/// # use std::collections::BTreeMap;
/// # use ipc_rpc::{MessageError, MessageErrorKind};
/// /// Is the map that was received one that no honest peer sends?
/// fn is_forged(read: &Result<BTreeMap<u32, String>, MessageError>) -> bool {
///     matches!(read, Err(error) if error.kind() == MessageErrorKind::DuplicateKey)
/// }
/// assert!(!is_forged(&Ok(BTreeMap::new())));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageErrorKind {
    /// Fewer bytes than the root of the message has.
    TooShort,
    /// The message does not end where its root could begin.
    Misaligned,
    /// Nested deeper than a message may be.
    TooDeep,
    /// Bytes that are no value of the type: offsets out of range, invalid text, unknown variants.
    Invalid,
    /// A map or set that holds one key twice.
    DuplicateKey,
    /// A descriptor that has not come along, or was taken already.
    NoDescriptor,
}

impl MessageError {
    #[cold]
    fn build(kind: MessageErrorKind, reason: String) -> Self {
        MessageError(Box::new(Inner { kind, at: None, reason: reason.into() }))
    }

    pub(super) fn too_short(desc: &'static Desc, needed: usize, found: usize) -> Self {
        let reason = format!("{} takes at least {needed} bytes, the message has {found}", desc.name());
        MessageError::build(MessageErrorKind::TooShort, reason)
    }

    pub(super) fn misaligned(desc: &'static Desc, address: usize, align: usize) -> Self {
        let reason = format!("{} needs an alignment of {align}, the message at {address:#x} has less", desc.name());
        MessageError::build(MessageErrorKind::Misaligned, reason)
    }

    pub(super) fn too_deep() -> Self {
        MessageError::build(MessageErrorKind::TooDeep, format!("nested deeper than {MAX_DEPTH} levels"))
    }

    pub(crate) fn invalid(reason: String) -> Self {
        MessageError::build(MessageErrorKind::Invalid, reason)
    }

    pub(super) fn duplicate_key(desc: &'static Desc) -> Self {
        MessageError::build(MessageErrorKind::DuplicateKey, format!("{} holds the same key twice", desc.name()))
    }

    /// The file in which a message came is refused.
    pub(crate) fn file(reason: String) -> Self {
        MessageError::invalid(reason)
    }

    #[cold]
    pub(super) fn no_descriptor(index: u32) -> Self {
        let reason = format!(
            "descriptor {index} has not come along; if it was sent, the process that was to get it had none left (ulimit -n)"
        );
        MessageError::build(MessageErrorKind::NoDescriptor, reason)
    }

    /// Notes the innermost field that is known to hold the fault.
    #[cold]
    pub(super) fn at(mut self, type_name: &'static str, field: &'static str) -> Self {
        self.0.at.get_or_insert((type_name, field));
        self
    }

    /// What is wrong, for code that wants to tell cases apart.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use ipc_rpc::{MessageError, MessageErrorKind};
    /// /// Is the map that was received one that no honest peer sends?
    /// fn is_forged(read: &Result<BTreeMap<u32, String>, MessageError>) -> bool {
    ///     matches!(read, Err(error) if error.kind() == MessageErrorKind::DuplicateKey)
    /// }
    /// assert!(!is_forged(&Ok(BTreeMap::new())));
    /// ```
    pub fn kind(&self) -> MessageErrorKind {
        self.0.kind
    }
}

impl Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.at {
            Some((type_name, field)) => write!(f, "{type_name}.{field}: {}", self.0.reason),
            None => write!(f, "{}", self.0.reason),
        }
    }
}

impl Debug for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageError({:?}, \"{self}\")", self.0.kind)
    }
}

impl Clone for MessageError {
    fn clone(&self) -> Self {
        MessageError(self.0.clone())
    }
}

impl PartialEq for MessageError {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for MessageError {}

impl Error for MessageError {}

impl Trace for MessageError {
    fn trace<R: Debug + Display + Send + Sync + 'static>(self, _: R) -> Self {
        self
    }
}

impl Source for MessageError {
    fn new<T: Error + Send + Sync + 'static>(source: T) -> Self {
        MessageError::invalid(source.to_string())
    }
}
