//! The server's side: the channel back to a client, and the handles of its objects.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ipc_core::caller::{Caller, Draft, Failure, Holder, Limit, NoBlock, NotFlushed, Pending};
use ipc_core::clock;
use ipc_core::layout::REPLIED;
use ipc_core::socket::{self, Credentials};

use super::{Handle, KEEP, RELEASED, Table, services_of};
use crate::connect::{ClientConfig, Connection};
use crate::executor::lock;
use crate::park::block_on;
use crate::service::{Refused, ServiceDesc};
use crate::session::Session;
use crate::status;
use crate::stub::Stub;
use crate::trust::{Reading, Trust};
use crate::waiting::Waiting;

/// How long a client may take to shake hands, and to hear that a handle is kept: its callee has been started for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for one that has not answered in that time, and not since.
const IMPATIENCE: Duration = Duration::from_millis(10);

/// Why a descriptor is not the end of a pair of sockets that this client has made.
pub(crate) fn judge(socket: BorrowedFd<'_>, who: Credentials) -> Result<(), String> {
    if !socket::is_for_packets(socket) {
        return Err("the second descriptor is not a Unix socket for packets".into());
    }
    // A socket that leads elsewhere would have this process speak to others in the client's name.
    match socket::credentials(socket) {
        Ok(other) if other.uid == who.uid => Ok(()),
        _ => Err("the second descriptor does not lead to the client's user".into()),
    }
}

enum State {
    /// The client cannot be called.
    Absent,
    /// Nothing was called yet.
    Waiting(OwnedFd),
    /// Somebody shakes hands.
    Opening,
    /// A connection for each service.
    Open(Vec<Connection>, Arc<Line>),
    Failed(String),
}

struct Door {
    state: State,
    /// Who waits for hands to be shaken.
    waiting: Waiting,
}

/// How a client's objects are called.
pub(crate) struct Remote {
    door: Mutex<Door>,
    opened: Condvar,
    services: Vec<&'static ServiceDesc>,
    trust: Trust,
    /// The objects of this process, if the peer is a server that calls them.
    table: Option<Arc<Table>>,
    handles: Arc<AtomicUsize>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("handles", &self.handles()).finish_non_exhaustive()
    }
}

impl Remote {
    /// For a client that has asked for these services, is read like this, and has sent this socket.
    pub(crate) fn new(
        socket: Option<OwnedFd>,
        services: &[&'static ServiceDesc],
        reading: Reading,
        table: Option<Arc<Table>>,
    ) -> Self {
        let services = services_of(services);
        let trust = match reading {
            Reading::Snapshot => Trust::Snapshot,
            Reading::InPlace | Reading::Unchecked => Trust::InPlace,
        };
        let state = match socket {
            Some(socket) if !services.is_empty() => State::Waiting(socket),
            _ => State::Absent,
        };
        let door = Mutex::new(Door { state, waiting: Waiting::default() });
        Remote { door, opened: Condvar::new(), services, trust, table, handles: Arc::default() }
    }

    /// The objects of this process that the peer calls.
    pub(super) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// How many handles of the client's objects there are.
    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// The peer is gone. Runs nothing of a user's.
    pub(crate) fn ended(&self) {
        if let Some(table) = &self.table {
            table.ended();
        }
    }

    /// The socket, for the one who shakes hands; nobody else gets it.
    fn begin(&self) -> Option<OwnedFd> {
        let mut door = lock(&self.door);
        if !matches!(door.state, State::Waiting(_)) {
            return None;
        }
        match std::mem::replace(&mut door.state, State::Opening) {
            State::Waiting(socket) => Some(socket),
            _ => None,
        }
    }

    /// Hands were shaken, or not.
    fn end(&self, state: State) {
        let mut door = lock(&self.door);
        door.state = state;
        let waiting = door.waiting.take();
        drop(door);
        waiting.wake(&self.opened);
    }

    /// Shakes hands if nobody has, and waits for it.
    fn open(&self) -> MutexGuard<'_, Door> {
        if let Some(socket) = self.begin() {
            self.end(self.connect(socket));
        }
        let mut door = lock(&self.door);
        while matches!(door.state, State::Opening) {
            door.waiting.sleeps();
            door = self.opened.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
        door
    }

    /// The same for a future: a client that keeps silent holds up a thread of its own, and none that others need.
    pub(super) fn poll_open(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        if let Some(socket) = self.begin() {
            let this = self.clone();
            let thread = std::thread::Builder::new().name("ipc-rpc greeting".into());
            if let Err(error) = thread.spawn(move || this.end(this.connect(socket))) {
                self.end(State::Failed(format!("the client cannot be called: {error}")));
            }
        }
        let waker = cx.waker().clone();
        let mut door = lock(&self.door);
        if !matches!(door.state, State::Opening) {
            return Poll::Ready(());
        }
        let old = door.waiting.register(waker);
        drop(door);
        drop(old);
        Poll::Pending
    }

    /// A handle of the object that the client calls `number`. What is to be done at its end is done `later`, or else by the
    /// thread that drops it.
    #[cold]
    pub(super) fn handle<C: Handle>(&self, number: u32, later: Option<&Arc<Later>>) -> Result<C, Refused> {
        let refuse = |reason: &str| Refused::new(status::REJECTED, reason);
        let door = self.open();
        let (all, line) = match &door.state {
            State::Open(all, line) => (all, line),
            State::Failed(why) => return Err(refuse(why)),
            State::Absent | State::Waiting(_) | State::Opening => return Err(refuse("the client cannot be called")),
        };
        let known = all.iter().find(|connection| ptr::eq(connection.service, C::service()));
        let Some(connection) = known.filter(|_| number as u16 != 0) else {
            return Err(refuse("there is no such object"));
        };
        let stub = Stub::for_object(connection.to(Object::new(line, number)), &self.config(), later);
        drop(door);
        Ok(C::over(stub))
    }

    fn config(&self) -> ClientConfig {
        ClientConfig { connect_timeout: PATIENCE, trust: Some(self.trust), ..ClientConfig::default() }
    }

    fn connect(&self, socket: OwnedFd) -> State {
        let path = PathBuf::from("the client's end of the connection");
        match Connection::greet_all(&self.services, socket, path, &self.config(), clock::after(PATIENCE), &|| ()) {
            Ok(all) => match all.filter(|all| !all.is_empty()) {
                Some(all) => {
                    let line = Line::new(all[0].caller.clone(), self.handles.clone());
                    ipc_core::fail_point!(LineOpened);
                    State::Open(all, line)
                }
                None => State::Absent,
            },
            Err(error) => State::Failed(format!("the client cannot be called: {error}")),
        }
    }
}

/// What all handles of a client's objects share.
#[derive(Debug)]
pub(crate) struct Line {
    caller: Arc<Caller>,
    handles: Arc<AtomicUsize>,
    /// The client was waited for in vain, and has not answered since.
    silent: AtomicBool,
    releases: Mutex<Releases>,
}

/// Objects of which the client is to be told that they are released, once there is a block for it.
#[derive(Debug, Default)]
struct Releases {
    /// With whether what was sent before has to arrive first.
    queue: VecDeque<(u32, bool)>,
    /// A thread does that.
    sender: bool,
}

impl Line {
    fn new(caller: Arc<Caller>, handles: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Line { caller, handles, silent: AtomicBool::new(false), releases: Mutex::default() })
    }

    /// When the client is not waited for any more.
    fn end_of_patience(&self) -> u64 {
        clock::after(if self.silent.load(Ordering::Relaxed) { IMPATIENCE } else { PATIENCE })
    }

    /// Has it answered?
    fn note(&self, answered: bool) {
        self.silent.store(!answered, Ordering::Relaxed);
    }

    /// Tells the client that it can forget an object. Waits for nothing: handles are dropped anywhere.
    fn release(self: &Arc<Self>, number: u32, behind: bool) {
        if !(behind && self.caller.usage().detached > 0) {
            match Caller::try_draft(&*self.caller) {
                Ok(draft) => return released(draft, number),
                Err(NoBlock::Busy) => {}
                Err(_) => return,
            }
        }
        // All blocks are out, or requests to the object are on their way: a thread waits for that.
        let mut releases = lock(&self.releases);
        releases.queue.push_back((number, behind));
        if releases.sender {
            return;
        }
        let line = self.clone();
        let thread = std::thread::Builder::new().name("ipc-rpc release".into());
        // Without a thread the next one to be released tries again.
        releases.sender = thread.spawn(move || line.release_all()).is_ok();
    }

    /// Ends with the connection at the latest.
    fn release_all(&self) {
        loop {
            let mut releases = lock(&self.releases);
            let Some((number, behind)) = releases.queue.pop_front() else {
                releases.sender = false;
                return;
            };
            drop(releases);
            if !behind || self.caller.flush(Limit::None).is_ok() {
                // Without a block the connection is over, and so is what is left of the queue.
                if let Ok(draft) = Caller::draft(&*self.caller, Limit::None) {
                    released(draft, number);
                }
            }
        }
    }
}

fn released<C: Holder>(mut draft: Draft<C>, number: u32) {
    address(&mut draft, number);
    draft.submit(RELEASED, 0, Limit::None).detach();
    ipc_core::fail_point!(ReleasedSent);
}

/// A request about the object of this number.
fn address<C: Holder>(draft: &mut Draft<C>, number: u32) {
    draft.address(number as u16, (number >> 16) as u16);
}

/// An object of a client, as its server knows it. Shared by the clones of a handle, and dropped with the last of them.
#[derive(Debug)]
pub(crate) struct Object {
    line: Arc<Line>,
    number: u32,
    kept: AtomicBool,
    /// The client has taken it back before it could be kept. Its target may be another object's some day.
    gone: AtomicBool,
    /// Requests went to it that nobody waits for: those that are not answered have to arrive before it is released.
    oneway: AtomicBool,
}

impl Object {
    fn new(line: &Arc<Line>, number: u32) -> Self {
        line.handles.fetch_add(1, Ordering::Relaxed);
        let no = || AtomicBool::new(false);
        Object { line: line.clone(), number, kept: no(), gone: no(), oneway: no() }
    }

    /// What its requests are addressed to.
    pub(crate) fn target(&self) -> u16 {
        self.number as u16
    }

    /// A request is on its way to it that nobody waits for.
    pub(crate) fn note_oneway(&self) {
        self.oneway.store(true, Ordering::Relaxed);
    }

    /// The handle goes with the call that lent the object.
    async fn settle(&self) {
        let flushed = Caller::flush_async(&*self.line.caller, Limit::Until(self.line.end_of_patience())).await;
        self.line.note(!matches!(flushed, Err(NotFlushed::TimedOut)));
    }

    /// The handle stays when the call that lent the object has been answered; the client has to know first.
    async fn keep(&self) {
        let end = self.line.end_of_patience();
        let mut draft = match Caller::draft_async(self.line.caller.clone(), Limit::Until(end)).await {
            Ok(draft) => draft,
            // All blocks are out, and the call ends without a word of the handle.
            Err(NoBlock::Busy) => return self.gone.store(true, Ordering::Relaxed),
            Err(_) => return,
        };
        address(&mut draft, self.number);
        let mut word = Word { object: self, pending: Some(draft.submit(KEEP, 0, Limit::None)) };
        // It may have heard, or hear it later, whatever becomes of us: releasing what was not kept does no harm.
        self.kept.store(true, Ordering::Relaxed);
        ipc_core::fail_point!(KeepSent);
        match word.answer(end).await {
            Ok(status) => {
                self.line.note(true);
                if status != REPLIED {
                    self.kept.store(false, Ordering::Relaxed);
                    self.gone.store(true, Ordering::Relaxed);
                }
            }
            Err(Failure::TimedOut) => self.line.note(false),
            // The connection is over, and says so to every call.
            Err(_) => {}
        }
    }

    /// Is there no point in calling it, since the client has taken it back?
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.line.handles.fetch_sub(1, Ordering::Relaxed);
        if *self.kept.get_mut() {
            self.line.release(self.number, *self.oneway.get_mut());
        }
    }
}

/// The request to keep an object. If its answer is not waited for it comes nevertheless, and has to before the object is
/// released.
struct Word<'a> {
    object: &'a Object,
    pending: Option<Pending<Arc<Caller>>>,
}

impl Word<'_> {
    /// Its status, if it comes until then.
    async fn answer(&mut self, end: u64) -> Result<u16, Failure> {
        let limit = Limit::Until(end);
        poll_fn(|cx| self.pending.as_mut().map_or(Poll::Ready(()), |pending| pending.poll_ready(cx, limit))).await;
        match self.pending.take_if(|_| clock::now() < end) {
            Some(pending) => pending.wait(limit).map(|answer| answer.status()),
            None => Err(Failure::TimedOut),
        }
    }
}

impl Drop for Word<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.object.note_oneway();
            pending.detach();
        }
    }
}

/// What is to be done when the handle of a handler has ended, before its call is answered.
pub(crate) struct Ending {
    connection: Arc<Connection>,
    kept: bool,
}

impl Ending {
    /// Waits for the client, but not for long.
    pub(crate) async fn run(self) {
        match &self.connection.object {
            Some(object) if self.kept => object.keep().await,
            Some(object) => object.settle().await,
            None => {}
        }
    }
}

/// The endings of a call's handles: a future does not wait for them where it is dropped.
#[derive(Default)]
pub(crate) struct Later(Mutex<Vec<Ending>>);

impl Later {
    /// All that there are.
    pub(crate) fn take(&self) -> Vec<Ending> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// The handle that a handler is given. It goes when the handler has ended, before the call is answered: if there are clones
/// then, they are kept. A clone of this is nothing.
#[derive(Default)]
pub(crate) struct First(Option<(Arc<Session>, Option<Arc<Later>>)>);

impl First {
    pub(crate) fn of(session: &Arc<Session>, later: Option<&Arc<Later>>) -> Self {
        First(Some((session.clone(), later.cloned())))
    }
}

impl fmt::Debug for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("First").finish_non_exhaustive()
    }
}

impl Clone for First {
    fn clone(&self) -> Self {
        First(None)
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let Some((session, later)) = self.0.take() else { return };
        let connection = session.share();
        // One is ours, one is that of the stub we are part of. Whoever else has one can clone it, so the answer `no` is final.
        // The connection has one that is ours, and the session's; calls under way have others.
        let kept = Arc::strong_count(&session) > 2 || Arc::strong_count(&connection) > 2;
        let oneway = connection.object.as_ref().is_some_and(|object| object.oneway.load(Ordering::Relaxed));
        if !kept && !oneway {
            return;
        }
        let ending = Ending { connection, kept };
        match later {
            Some(later) => lock(&later.0).push(ending),
            None => block_on(ending.run()),
        }
    }
}
