//! The server's side: the channel back to a client, and the handles of its objects.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipc_core::caller::{Caller, Draft, Failure, Holder, Limit, NoBlock};
use ipc_core::clock;
use ipc_core::layout::REPLIED;
use ipc_core::socket::{self, Credentials};

use super::{Handle, KEEP, RELEASED, Table, services_of};
use crate::connect::{ClientConfig, Connection};
use crate::service::{Refused, ServiceDesc};
use crate::status;
use crate::stub::Stub;
use crate::trust::{Reading, Trust};

/// How long a client may take to shake hands, and to hear that a handle is kept: its callee has been started for that.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// A connection for each service.
    Open(Vec<Connection>),
    Failed(String),
}

/// How a client's objects are called.
pub(crate) struct Remote {
    state: Mutex<State>,
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
        Remote { state: Mutex::new(state), services, trust, table, handles: Arc::default() }
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

    /// A handle of the object that the client calls `number`.
    #[cold]
    pub(super) fn handle<C: Handle>(&self, number: u32) -> Result<C, Refused> {
        let refuse = |reason: &str| Refused { status: status::REJECTED, reason: reason.to_owned() };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Waiting(_) = &*state
            && let State::Waiting(socket) = std::mem::replace(&mut *state, State::Absent)
        {
            *state = self.connect(socket);
        }
        let all = match &*state {
            State::Open(all) => all,
            State::Failed(why) => return Err(refuse(why)),
            State::Absent | State::Waiting(_) => return Err(refuse("the client cannot be called")),
        };
        let known = all.iter().find(|connection| ptr::eq(connection.service, C::service()));
        let Some(connection) = known.filter(|_| number as u16 != 0) else {
            return Err(refuse("there is no such object"));
        };
        let object = Object::new(connection.caller.clone(), number, &self.handles);
        let stub = Stub::for_object(connection.to(object), &self.config());
        drop(state);
        Ok(C::over(stub))
    }

    fn config(&self) -> ClientConfig {
        ClientConfig { connect_timeout: PATIENCE, trust: Some(self.trust), ..ClientConfig::default() }
    }

    fn connect(&self, socket: OwnedFd) -> State {
        let path = PathBuf::from("the client's end of the connection");
        match Connection::greet_all(&self.services, socket, path, &self.config(), clock::after(PATIENCE)) {
            Ok(all) => State::Open(all),
            Err(error) => State::Failed(format!("the client cannot be called: {error}")),
        }
    }
}

/// An object of a client, as its server knows it. Shared by the clones of a handle, and dropped with the last of them.
#[derive(Debug)]
pub(crate) struct Object {
    caller: Arc<Caller>,
    number: u32,
    kept: AtomicBool,
    /// The client has taken it back before it could be kept. Its target may be another object's some day.
    gone: AtomicBool,
    /// One-way requests went to it: those that are not answered have to arrive before it is taken back.
    oneway: AtomicBool,
    handles: Arc<AtomicUsize>,
}

impl Object {
    fn new(caller: Arc<Caller>, number: u32, handles: &Arc<AtomicUsize>) -> Self {
        handles.fetch_add(1, Ordering::Relaxed);
        let no = || AtomicBool::new(false);
        Object { caller, number, kept: no(), gone: no(), oneway: no(), handles: handles.clone() }
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
    fn settle(&self) {
        if self.oneway.load(Ordering::Relaxed) {
            let _ = self.caller.flush(Limit::Until(clock::after(PATIENCE)));
        }
    }

    /// The handle stays when the call that lent the object has been answered; the client has to know first.
    fn keep(&self) {
        let limit = Limit::Until(clock::after(PATIENCE));
        let mut draft = match Caller::draft(&*self.caller, limit) {
            Ok(draft) => draft,
            // All blocks are out, and the call ends without a word of the handle.
            Err(NoBlock::Busy) => return self.gone.store(true, Ordering::Relaxed),
            Err(_) => return,
        };
        address(&mut draft, self.number);
        match draft.submit(KEEP, 0, limit).wait(limit) {
            Ok(answer) if answer.status() == REPLIED => self.kept.store(true, Ordering::Relaxed),
            Ok(_) => self.gone.store(true, Ordering::Relaxed),
            // It may have heard, or hear it later: releasing what was not kept does no harm.
            Err(Failure::TimedOut) => self.kept.store(true, Ordering::Relaxed),
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
        self.handles.fetch_sub(1, Ordering::Relaxed);
        if *self.kept.get_mut() {
            release(&self.caller, self.number, *self.oneway.get_mut());
        }
    }
}

/// A request about the object of this number.
fn address<C: Holder>(draft: &mut Draft<C>, number: u32) {
    draft.address(number as u16, (number >> 16) as u16);
}

/// Tells the client that it can forget an object. Waits for nothing: handles are dropped anywhere.
fn release(caller: &Arc<Caller>, number: u32, oneway: bool) {
    let send = move |mut draft: Draft<Arc<Caller>>| {
        address(&mut draft, number);
        draft.submit(RELEASED, 0, Limit::None).detach();
    };
    if !(oneway && caller.usage().detached > 0) {
        match Caller::try_draft(caller.clone()) {
            Ok(draft) => return send(draft),
            Err(NoBlock::Busy) => {}
            Err(_) => return,
        }
    }
    // All blocks are out, or requests to the object are on their way: somebody else waits for that. It ends with the
    // connection at the latest.
    let caller = caller.clone();
    let waits = move || {
        if caller.flush(Limit::None).is_ok()
            && let Ok(draft) = Caller::draft(caller, Limit::None)
        {
            send(draft);
        }
    };
    let _ = std::thread::Builder::new().name("ipc-rpc release".into()).spawn(waits);
}

/// The handle that a handler is given. It goes when the handler has ended, before the call is answered: if there are clones
/// then, they are kept. A clone of this is nothing.
#[derive(Debug, Default)]
pub(crate) struct First(Option<Arc<Connection>>);

impl First {
    pub(crate) fn of(connection: &Arc<Connection>) -> Self {
        First(Some(connection.clone()))
    }
}

impl Clone for First {
    fn clone(&self) -> Self {
        First(None)
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        // One is ours, one is that of the stub we are part of. Whoever else has one can clone it, so the answer `no` is final.
        match &connection.object {
            Some(object) if Arc::strong_count(&connection) > 2 => object.keep(),
            Some(object) => object.settle(),
            None => {}
        }
    }
}
