//! What a handler knows of its call besides the arguments, and how it travels.
//!
//! # Safety
//! Reads the archive of a context in a request; a pointer of each thread to the call it serves, which is taken back before the
//! call ends; one system call without arguments.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::str::FromStr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use ipc_core::callee::{CallHandle, CallWatch};
use ipc_core::clock;
use ipc_core::socket::Credentials;

use crate::call_error::MethodName;
use crate::loan::{Loan, LoanError};
use crate::message::Message;
use crate::message::private_exports::{access, owned};
use crate::router::Client;
use crate::runtime::Runtime;
use crate::trust::Reading;

/// What a handler can ask about the call it serves: how long it may take, whether anybody still waits, who calls, and what
/// the caller said besides the arguments.
///
/// A method of a service gets one by naming it among its arguments, as `ctx: &Context`; it is no argument of the client's
/// method. Calls that a handler makes inherit it: they end with the call they are made for, and carry its metadata and trace.
/// Clones are cheap and may outlive the call; then there is no deadline any more.
///
/// ```
/// use ipc_rpc::{Context, Metadata};
///
/// /// A handler, as a test can call it: with a context of no call.
/// fn work(ctx: &Context, steps: u32) -> Option<u32> {
///     (0..steps).find(|_| ctx.is_cancelled()).map_or(Some(steps), |_| None)
/// }
/// let ctx = Context::default();
/// assert_eq!(work(&ctx, 10), Some(10));
/// assert_eq!(ctx.remaining(), None);
/// assert_eq!(ctx.peer().pid, std::process::id() as i32);
/// assert_eq!(ctx.metadata(), &Metadata::default());
/// ```
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    /// `None`: of no call.
    watch: Option<CallWatch<Client>>,
    /// That of the server.
    runtime: Option<Weak<Runtime>>,
    peer: Peer,
    extra: Extra,
}

// A context is only read.
impl UnwindSafe for Context {}
impl RefUnwindSafe for Context {}

impl Context {
    /// When the caller stops waiting; `None`: it waits as long as it takes, or has not said yet that it will not.
    ///
    /// A limit set by `with_timeout` is here from the start. That of [`ClientConfig::timeout`](crate::ClientConfig::timeout)
    /// is told when the caller has looked for the reply in vain for a moment, of a pending call when it is waited for: a handler
    /// that asks as its first step may see `None`.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Context::default().deadline(), None);
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_nanos().map(instant)
    }

    /// How long the caller still waits; zero when that is over, `None` where [`deadline`](Context::deadline) is.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Context::default().remaining(), None);
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.deadline_nanos()?.saturating_sub(clock::now())))
    }

    /// Does nobody wait for the reply any more? That is so when the caller has given the call up, when its time is over, and
    /// when its process is gone. Costs a few nanoseconds: it is read where the caller writes it.
    ///
    /// ```
    /// assert!(!ipc_rpc::Context::default().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.is_given_up() || self.deadline_nanos().is_some_and(|deadline| clock::now() >= deadline)
    }

    /// Does the server shut down? It waits for handlers that are not `async`: one that takes long can end early.
    ///
    /// ```
    /// assert!(!ipc_rpc::Context::default().is_stopping());
    /// ```
    pub fn is_stopping(&self) -> bool {
        let runtime = self.0.runtime.as_ref();
        runtime.is_some_and(|runtime| runtime.upgrade().is_none_or(|runtime| runtime.is_closing()))
    }

    /// The process that calls.
    ///
    /// ```
    /// assert!(ipc_rpc::Context::default().peer().pid > 0);
    /// ```
    pub fn peer(&self) -> Peer {
        self.0.peer
    }

    /// What the caller said besides the arguments, with `with_metadata` or by passing on what it had been told itself.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Context::default().metadata().get("tenant"), None);
    /// ```
    pub fn metadata(&self) -> &Metadata {
        &self.0.extra.metadata
    }

    /// The trace that this call is a part of.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Context::default().trace_id(), None);
    /// ```
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0.extra.trace
    }

    /// Takes memory for `len` elements, in which a reply can be made that is not copied: return it, or a struct with it. Of the
    /// context of no call it is private memory.
    ///
    /// # Errors
    ///
    /// There is no room for so many.
    ///
    /// ```
    /// use ipc_rpc::{Context, Loan, service, testing};
    ///
    /// #[service]
    /// pub trait Waves { fn sine(&self, ctx: &Context, n: u32) -> Result<Loan<f32>, String>; }
    /// struct Plain;
    /// impl Waves for Plain {
    ///     fn sine(&self, ctx: &Context, n: u32) -> Result<Loan<f32>, String> {
    ///         let mut wave = ctx.loan::<f32>(n as usize).map_err(|error| error.to_string())?;
    ///         wave.iter_mut().zip(0u16..).for_each(|(sample, n)| *sample = f32::from(n).sin());
    ///         Ok(wave)
    ///     }
    /// }
    ///
    /// let (waves, _server) = testing::pair(WavesDispatcher::new(Plain))?;
    /// let wave = waves.view().sine(5000).unwrap(); // a `&[f32]` where the handler wrote it
    /// assert_eq!((wave.get().len(), wave.get()[1]), (5000, 1f32.sin()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loan<T: Message>(&self, len: usize) -> Result<Loan<T>, LoanError> {
        let method = MethodName { service: "Context", method: "loan" };
        Loan::with(len, method, |bytes| match &self.0.watch {
            // A peer that is not trusted could change what is written there while the handler refers to it.
            Some(watch) => watch.loan(bytes, |client| client.reading != Reading::Snapshot),
            None => Ok(None),
        })
    }

    /// The context of the handler that runs on this thread; `None` outside of handlers.
    ///
    /// ```
    /// assert!(ipc_rpc::Context::current().is_none());
    /// ```
    pub fn current() -> Option<Context> {
        let here = HERE.get();
        if here == ENTERED {
            let clone = |current: &Cell<Option<Context>>| {
                let context = current.take();
                current.set(context.clone());
                context
            };
            return CURRENT.try_with(clone).ok().flatten();
        }
        // SAFETY: neither null nor `ENTERED`, so it is what `Handling::scope` has put there: a `Handling` that it borrows
        // until it puts something else there, on this thread.
        let handling = unsafe { here.as_ref() }?;
        let call = &handling.0;
        Some(Context::of(call.watch(), call.peer(), Extra::default()))
    }

    /// Runs `f` with this as the current context: calls made in it inherit it. A thread that a handler has started can do so.
    ///
    /// ```
    /// use ipc_rpc::Context;
    /// let ctx = Context::default();
    /// assert!(ctx.scope(|| Context::current().is_some()));
    /// assert!(Context::current().is_none());
    /// ```
    pub fn scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = Entered::new(self.clone());
        f()
    }

    /// Has the caller given the call up, or is it gone?
    fn is_given_up(&self) -> bool {
        self.0.watch.as_ref().is_some_and(|watch| watch.is_cancelled() || watch.is_gone())
    }

    /// What ends the calls that are part of this one.
    pub(crate) fn end(&self) -> End {
        End { deadline: self.deadline_nanos(), is_given_up: self.is_given_up() }
    }

    /// The deadline in nanoseconds of `CLOCK_MONOTONIC`.
    fn deadline_nanos(&self) -> Option<u64> {
        self.0.watch.as_ref()?.deadline()
    }

    /// The same call, of which something else is said.
    pub(crate) fn with_extra(&self, extra: Extra) -> Self {
        let Shared { watch, runtime, peer, .. } = &*self.0;
        Context(Arc::new(Shared { watch: watch.clone(), runtime: runtime.clone(), peer: *peer, extra }))
    }

    /// The context of a call.
    pub(crate) fn of(watch: CallWatch<Client>, client: &Client, extra: Extra) -> Self {
        let runtime = Some(Arc::downgrade(&client.runtime));
        Context(Arc::new(Shared { watch: Some(watch), runtime, peer: client.who.into(), extra }))
    }
}

impl Default for Context {
    /// The context of no call, for tests that call handlers themselves: nothing limits it and nothing is said. The caller is
    /// this process.
    fn default() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        // SAFETY: no arguments, cannot fail.
        let gid = unsafe { libc::getegid() };
        let peer = Peer { uid: crate::endpoint::user(), gid, pid };
        Context(Arc::new(Shared { watch: None, runtime: None, peer, extra: Extra::default() }))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("remaining", &self.remaining())
            .field("is_cancelled", &self.is_cancelled())
            .field("peer", &self.peer())
            .field("metadata", self.metadata())
            .field("trace_id", &self.trace_id())
            .finish()
    }
}

thread_local! {
    /// What runs on this thread: null, nothing that has a context; `ENTERED`, something whose context is in `CURRENT`; else a
    /// handler whose context is made when somebody asks for it. Nothing has to be destroyed at the end of a thread, so that
    /// reading it is one load and a handler costs two stores.
    static HERE: Cell<*const Handling<'static>> = const { Cell::new(ptr::null()) };
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

const ENTERED: *const Handling<'static> = ptr::dangling();

/// Does this thread run a handler?
#[inline(always)]
pub(crate) fn is_current() -> bool {
    !HERE.get().is_null()
}

/// Has the handler that runs on this thread a context of its own? Else its caller has said nothing besides the arguments.
pub(crate) fn is_entered() -> bool {
    HERE.get() == ENTERED
}

/// What ends a call, and those that are part of it.
pub(crate) struct End {
    /// In nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) deadline: Option<u64>,
    /// Nobody waits for it any more.
    pub(crate) is_given_up: bool,
}

/// What ends the call whose handler runs on this thread. As its context says it, but without making one.
pub(crate) fn current_end() -> Option<End> {
    let here = HERE.get();
    if here == ENTERED {
        return Context::current().map(|context| context.end());
    }
    // SAFETY: as in `Context::current`.
    let call = &unsafe { here.as_ref() }?.0;
    Some(End { deadline: call.deadline(), is_given_up: call.is_given_up() })
}

/// A call whose handler runs on this thread.
pub(crate) struct Handling<'a>(pub(crate) CallHandle<'a, Client>);

impl Handling<'_> {
    /// Runs the handler.
    #[inline(always)]
    pub(crate) fn scope<T>(&self, handler: impl FnOnce() -> T) -> T {
        /// Puts back what was there before, also when the handler unwinds.
        struct Before(*const Handling<'static>);
        impl Drop for Before {
            #[inline(always)]
            fn drop(&mut self) {
                HERE.set(self.0);
            }
        }
        let _before = Before(HERE.replace(ptr::from_ref(self).cast()));
        handler()
    }
}

/// A scope that has been entered; what was before it comes back when it is dropped, on the same thread.
pub(crate) struct Entered {
    context: Option<Context>,
    here: *const Handling<'static>,
}

impl Entered {
    pub(crate) fn new(context: Context) -> Self {
        let context = CURRENT.try_with(|current| current.replace(Some(context))).ok().flatten();
        Entered { context, here: HERE.replace(ENTERED) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(self.here);
        let before = self.context.take();
        // Dropped at the end, outside of the cell: what a context holds may be the last of a connection.
        let _ended = CURRENT.try_with(|current| current.replace(before));
    }
}

/// The moment that is `nanos` of `CLOCK_MONOTONIC`. Always from the same pair of readings, so that a moment stays the same.
fn instant(nanos: u64) -> Instant {
    static PAIR: OnceLock<(Instant, u64)> = OnceLock::new();
    let (base, at) = *PAIR.get_or_init(|| (Instant::now(), clock::now()));
    let moment = match nanos.checked_sub(at) {
        Some(later) => base.checked_add(Duration::from_nanos(later)),
        None => base.checked_sub(Duration::from_nanos(at - nanos)),
    };
    moment.unwrap_or(base)
}

/// A process as the kernel vouches for it.
///
/// ```
/// let peer = ipc_rpc::Context::default().peer();
/// assert_eq!(peer.pid, std::process::id() as i32);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process number when it connected; the process may be gone, and the number another's.
    pub pid: i32,
}

impl From<Credentials> for Peer {
    fn from(who: Credentials) -> Self {
        Peer { uid: who.uid, gid: who.gid, pid: who.pid }
    }
}

/// Texts by name that travel with a call.
///
/// ```
/// use ipc_rpc::Metadata;
///
/// let mut metadata = Metadata::default();
/// metadata.insert("tenant", "blue");
/// metadata.insert("priority", "7");
/// assert_eq!(metadata.get("tenant"), Some("blue"));
/// assert_eq!(metadata.iter().collect::<Vec<_>>(), [("priority", "7"), ("tenant", "blue")]);
/// assert_eq!(metadata.len(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The text under `key`.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Metadata::default().get("tenant"), None);
    /// ```
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Puts a text under `key`; gives the one that was there.
    ///
    /// ```
    /// let mut metadata = ipc_rpc::Metadata::default();
    /// assert_eq!(metadata.insert("tenant", "blue"), None);
    /// assert_eq!(metadata.insert("tenant", "red"), Some("blue".to_owned()));
    /// ```
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.0.insert(key.into(), value.into())
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// All of them, by key.
    ///
    /// ```
    /// let metadata = ipc_rpc::Metadata::from_iter([("a", "1")]);
    /// assert!(metadata.iter().eq([("a", "1")]));
    /// ```
    pub fn iter(&self) -> MetadataIter<'_> {
        MetadataIter(self.0.iter())
    }

    /// How many there are.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::Metadata::from_iter([("a", "1"), ("b", "2")]).len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there nothing?
    ///
    /// ```
    /// assert!(ipc_rpc::Metadata::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Metadata(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'a> IntoIterator for &'a Metadata {
    type Item = (&'a str, &'a str);
    type IntoIter = MetadataIter<'a>;
    fn into_iter(self) -> MetadataIter<'a> {
        self.iter()
    }
}

/// Goes through a [`Metadata`].
///
/// ```
/// let metadata = ipc_rpc::Metadata::from_iter([("a", "1"), ("b", "2")]);
/// assert_eq!(metadata.iter().next(), Some(("a", "1")));
/// ```
#[derive(Debug, Clone)]
pub struct MetadataIter<'a>(btree_map::Iter<'a, String, String>);

impl<'a> Iterator for MetadataIter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key.as_str(), value.as_str()))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// The number of a trace: the same for all calls that were made, directly or through others, for one purpose.
///
/// Prints and parses as 32 hexadecimal digits, as tracing systems write it.
///
/// ```
/// use ipc_rpc::TraceId;
///
/// let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_ne!(TraceId::random(), TraceId::random());
/// assert!("not one".parse::<TraceId>().is_err());
/// # Ok::<(), ipc_rpc::InvalidTraceId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub(crate) u128);

impl TraceId {
    /// A number that is not used yet, as far as chance goes.
    ///
    /// ```
    /// assert_ne!(ipc_rpc::TraceId::random().as_u128(), 0);
    /// ```
    pub fn random() -> Self {
        // The standard library's keys come from the system's source of random numbers.
        let half = || {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u64(clock::now());
            u128::from(hasher.finish())
        };
        TraceId((half() << 64 | half()).max(1))
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(ipc_rpc::TraceId::from(7).as_u128(), 7);
    /// ```
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for TraceId {
    fn from(number: u128) -> Self {
        TraceId(number)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        // `from_str_radix` would take a sign.
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(TraceId).ok_or(InvalidTraceId(()))
    }
}

/// A text is no [`TraceId`].
///
/// ```
/// let error = "4bf9".parse::<ipc_rpc::TraceId>().unwrap_err();
/// assert_eq!(error.to_string(), "a trace id has 32 hexadecimal digits");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceId(());

impl fmt::Display for InvalidTraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trace id has 32 hexadecimal digits")
    }
}

impl std::error::Error for InvalidTraceId {}

/// What travels of a context: the trace as two halves, high one first, and the metadata.
pub(crate) type Wire = (Option<(u64, u64)>, Vec<(String, String)>);

/// The bit of a method number that says that a context lies behind the arguments.
pub(crate) const WITH_CONTEXT: u16 = 1 << 15;

/// What a caller says besides the arguments.
///
/// On the wire it is an archive of [`Wire`], at the very end of the request, at an address that is 8 modulo 16. The tag's high
/// half says where: its low 4 bits are the bytes of padding between the arguments and the archive, the rest its 8-byte words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) metadata: Metadata,
    pub(crate) trace: Option<TraceId>,
}

/// Where a request's arguments end and its context begins; `None` if the tag says what cannot be.
fn parts(len: usize, extra: u16) -> Option<(usize, usize)> {
    let at = len.checked_sub(8 * usize::from(extra >> 4))?;
    Some((at.checked_sub(usize::from(extra & 15))?, at))
}

impl Extra {
    /// Reads what lies behind the arguments of a request of `len` bytes at `request`; gives the bytes of the arguments too.
    ///
    /// # Errors
    /// Why it cannot be read.
    ///
    /// # Safety
    /// The request's bytes are readable and do not change meanwhile.
    pub(crate) unsafe fn behind(request: NonNull<u8>, len: usize, extra: u16) -> Result<(usize, Self), String> {
        let Some((args, at)) = parts(len, extra) else { return Err("the request is shorter than its context".into()) };
        let archive = request.as_ptr().wrapping_add(at);
        // SAFETY: `at` is at most `len`, so the bytes are among those that the caller vouches for.
        let wire = unsafe { access::<Wire>(archive, len - at) }.and_then(owned::<Wire>);
        let (trace, metadata) = wire.map_err(|error| format!("the context of the request is invalid: {error}"))?;
        let trace = trace.map(|(high, low)| TraceId(u128::from(high) << 64 | u128::from(low)));
        Ok((args, Extra { metadata: metadata.into_iter().collect(), trace }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_can_only_point_into_its_request() {
        assert_eq!(parts(48, 2 << 4 | 8), Some((24, 32)));
        assert_eq!(parts(16, 2 << 4), Some((0, 0)));
        assert_eq!(parts(15, 2 << 4), None);
        assert_eq!(parts(16, 2 << 4 | 1), None);
        for len in 0..64 {
            for extra in 0..=u16::MAX {
                if let Some((args, at)) = parts(len, extra) {
                    assert!(args <= at && at <= len);
                }
            }
        }
    }

    #[test]
    fn a_context_ends_with_its_scope() {
        let (one, two) = (Context::default(), Context::default());
        let is = |context: &Context| Context::current().is_some_and(|c| Arc::ptr_eq(&c.0, &context.0));
        assert!(!is_current() && Context::current().is_none());
        one.scope(|| {
            assert!(is(&one) && is_current());
            two.scope(|| assert!(is(&two)));
            let panic = std::panic::catch_unwind(|| two.scope(|| std::panic::resume_unwind(Box::new(()))));
            assert!(panic.is_err() && is(&one));
            std::thread::scope(|scope| scope.spawn(|| assert!(!is_current())).join().unwrap());
        });
        assert!(!is_current() && Context::current().is_none());
    }

    #[test]
    fn moments_stay_the_same() {
        let now = clock::now();
        assert_eq!(instant(now), instant(now));
        assert_eq!(instant(now + 1_000_000) - instant(now), Duration::from_millis(1));
        let read = Instant::now();
        let difference = instant(clock::now()).saturating_duration_since(read).as_millis();
        assert!(difference < 1000, "{difference}");
    }
}
