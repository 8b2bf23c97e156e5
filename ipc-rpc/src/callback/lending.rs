//! The client's side: the objects that are lent, and the callee that serves them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipc_core::callee::Call;
use ipc_core::layout::REPLIED;
use ipc_core::memory::Memory;
use ipc_core::socket::{self, Credentials};

use super::{KEEP, RELEASED, TAKEN_BACK, services_of};
use crate::allowed::Allowed;
use crate::router::{Admission, Client};
use crate::server::{Limits, Running, ServerBuilder};
use crate::service::{Dispatch, Incoming, Refused, Replied, ServiceDesc};
use crate::status;
use crate::trust::Trust;

/// Most objects that a connection lends at once: there are so many targets.
const MAX_OBJECTS: usize = u16::MAX as usize;

/// An object that a call lends. The client takes it back when this is dropped, at the end of the call, unless the server has
/// kept its handle.
#[derive(Debug)]
#[must_use = "dropping it takes the object back"]
pub struct Lent {
    table: Arc<Table>,
    number: u32,
}

impl Lent {
    /// What the object is called by in the arguments.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.table.end(self.number));
        ipc_core::fail_point!(ObjectTakenBack);
    }
}

/// An object, and who may still call it.
struct Entry {
    number: u32,
    object: Arc<dyn Dispatch>,
    /// The call that lent it goes on.
    lent: bool,
    /// How many handles the server keeps beyond their calls.
    kept: u32,
}

#[derive(Default)]
struct Objects {
    /// The number given out last. Numbers are not used again before 2^32 others were; the lower half is the target.
    last: u32,
    by_target: HashMap<u16, Entry>,
}

/// The objects that a connection lends.
#[derive(Default)]
pub(crate) struct Table {
    objects: Mutex<Objects>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("objects", &self.len()).finish()
    }
}

fn target(number: u32) -> u16 {
    number as u16
}

// Objects are given back to be dropped outside of the lock: what a user's value does then is not known.
impl Table {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many objects are lent.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_target.len()
    }

    fn add(&self, object: Arc<dyn Dispatch>) -> Result<u32, Arc<dyn Dispatch>> {
        let mut objects = self.lock();
        if objects.by_target.len() >= MAX_OBJECTS {
            return Err(object);
        }
        // There is a free target, and numbers go round all of them.
        let number = loop {
            objects.last = objects.last.wrapping_add(1);
            let target = target(objects.last);
            if target != 0 && !objects.by_target.contains_key(&target) {
                break objects.last;
            }
        };
        objects.by_target.insert(target(number), Entry { number, object, lent: true, kept: 0 });
        Ok(number)
    }

    /// Changes the entry of `number`, and takes the object out when nobody may call it any more.
    fn change(&self, number: u32, change: impl FnOnce(&mut Entry) -> bool) -> (bool, Option<Arc<dyn Dispatch>>) {
        let mut objects = self.lock();
        let Some(entry) = objects.by_target.get_mut(&target(number)).filter(|e| e.number == number) else {
            return (false, None);
        };
        let changed = change(entry);
        if entry.lent || entry.kept > 0 {
            return (changed, None);
        }
        (changed, objects.by_target.remove(&target(number)).map(|e| e.object))
    }

    /// The call that lent it has ended.
    fn end(&self, number: u32) -> Option<Arc<dyn Dispatch>> {
        self.change(number, |entry| std::mem::replace(&mut entry.lent, false)).1
    }

    /// The server keeps a handle. `false`: it comes too late.
    fn keep(&self, number: u32) -> bool {
        let more = |entry: &mut Entry| entry.kept.checked_add(1).map(|kept| entry.kept = kept).is_some();
        self.change(number, more).0
    }

    /// The server has dropped a handle that it kept.
    fn release(&self, number: u32) -> Option<Arc<dyn Dispatch>> {
        let fewer = |entry: &mut Entry| entry.kept.checked_sub(1).map(|kept| entry.kept = kept).is_some();
        self.change(number, fewer).1
    }

    /// The object that a request is for.
    fn get(&self, target: u16) -> Option<Arc<dyn Dispatch>> {
        self.lock().by_target.get(&target).map(|entry| entry.object.clone())
    }

    /// The server is gone, and keeps nothing any more.
    fn forget_kept(&self) -> Vec<Arc<dyn Dispatch>> {
        let mut objects = self.lock();
        let gone = objects.by_target.extract_if(|_, entry| {
            entry.kept = 0;
            !entry.lent
        });
        gone.map(|(_, entry)| entry.object).collect()
    }

    fn clear(&self) -> Vec<Arc<dyn Dispatch>> {
        self.lock().by_target.drain().map(|(_, entry)| entry.object).collect()
    }

    /// The server's end of the channel is closed. This may run where nothing of a user's may: his objects go elsewhere.
    pub(crate) fn ended(&self) {
        let gone = self.forget_kept();
        if !gone.is_empty() {
            // Without a thread they are dropped here: rather that than never.
            let _ = std::thread::Builder::new().name("ipc-rpc release".into()).spawn(move || drop(gone));
        }
    }
}

/// One of the services that the server calls here: finds the object, which does the rest.
struct Finder {
    service: &'static ServiceDesc,
    table: Arc<Table>,
}

impl Dispatch for Finder {
    fn service(&self) -> &'static ServiceDesc {
        self.service
    }

    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
        match self.table.get(call.target()) {
            Some(object) if ptr::eq(object.service(), self.service) => object.dispatch(method, call),
            Some(_) => Err(refused("the object is of another service")),
            None => Err(refused(TAKEN_BACK)),
        }
    }
}

fn refused(reason: &str) -> Refused {
    Refused::new(status::REJECTED, reason)
}

enum Served {
    /// Nothing was lent yet.
    Waiting(OwnedFd),
    By(Running),
    Failed(String),
}

/// What a connection can lend, and the callee for it, which starts with the first object.
pub(crate) struct Lending {
    services: Vec<&'static ServiceDesc>,
    table: Arc<Table>,
    trust: Trust,
    server: Credentials,
    served: Mutex<Served>,
}

impl fmt::Debug for Lending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lending").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Lending {
    /// For a connection about `services`, to a server that runs as `server` and is trusted so far: this, and the end of a
    /// pair of sockets that goes to the server; `None`: there is nothing that could be lent.
    pub(crate) fn new(
        services: &[&'static ServiceDesc],
        trust: Trust,
        server: Credentials,
    ) -> io::Result<Option<(Self, OwnedFd)>> {
        let services = services_of(services);
        if services.is_empty() {
            return Ok(None);
        }
        let (ours, theirs) = socket::pair()?;
        let served = Mutex::new(Served::Waiting(ours));
        Ok(Some((Lending { services, table: Arc::default(), trust, server, served }, theirs)))
    }

    /// How many objects are lent.
    pub(crate) fn objects(&self) -> usize {
        self.table.len()
    }

    pub(super) fn lend(&self, service: &'static ServiceDesc, object: Arc<dyn Dispatch>) -> Result<Lent, Box<str>> {
        if !self.services.iter().any(|known| ptr::eq(*known, service)) {
            return Err("the server knows another service by this name, or none".into());
        }
        self.start()?;
        let full = |_| format!("{MAX_OBJECTS} objects are lent, and no more can be");
        let number = self.table.add(object).map_err(full)?;
        ipc_core::fail_point!(ObjectLent);
        Ok(Lent { table: self.table.clone(), number })
    }

    fn start(&self) -> Result<(), Box<str>> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        match &*served {
            Served::By(_) => return Ok(()),
            Served::Failed(why) => return Err(why.as_str().into()),
            Served::Waiting(_) => {}
        }
        let Served::Waiting(socket) = std::mem::replace(&mut *served, Served::Failed(String::new())) else {
            return Ok(());
        };
        let builder = server(&self.services, &self.table, self.trust, self.server);
        let running = Running::in_background(builder).map_err(|error| error.to_string()).and_then(|running| {
            match running.callee.adopt(socket) {
                Ok(()) => Ok(running),
                Err(error) => Err(error.to_string()),
            }
        });
        match running {
            Ok(running) => *served = Served::By(running),
            Err(why) => {
                *served = Served::Failed(why.clone());
                return Err(why.into());
            }
        }
        Ok(())
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        // Before the callee hears of the end, so that it has none of them to drop.
        let objects = self.table.clear();
        let served = self.served.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Served::By(running) = std::mem::replace(served, Served::Failed(String::new())) {
            // This may be one of its threads: a handler that drops the last client.
            running.detach();
        }
        drop(objects);
    }
}

/// The server of the objects in `table`, which are of these services, for the peer `who`.
fn server(services: &[&'static ServiceDesc], table: &Arc<Table>, trust: Trust, who: Credentials) -> ServerBuilder {
    let finder =
        |service: &&'static ServiceDesc| -> Arc<dyn Dispatch> { Arc::new(Finder { service, table: table.clone() }) };
    let admission = Admission {
        allowed: Allowed { users: vec![who.uid], ..Allowed::default() },
        limits: Limits { clients: 1, ..Limits::default() },
        memory: Memory::default(),
        reading: Some(trust.into()),
        peer: Some(who),
        lent: Some(table.clone()),
    };
    ServerBuilder::for_callbacks(services.iter().map(finder).collect(), admission)
}

/// The same for objects that are lent as if calls of this process had lent them, to a peer that is not trusted. For fuzzing.
pub(crate) fn server_of(objects: Vec<Arc<dyn Dispatch>>, who: Credentials) -> (ServerBuilder, Vec<Lent>) {
    let table = Arc::<Table>::default();
    let mut services: Vec<_> = objects.iter().map(|object| object.service()).collect();
    services.dedup_by_key(|service| service.name);
    let lend = |object| Some(Lent { number: table.add(object).ok()?, table: table.clone() });
    let lent = objects.into_iter().filter_map(lend).collect();
    (server(&services, &table, Trust::Snapshot, who), lent)
}

/// Serves what the server says about an object: that it keeps its handle, or has released it.
pub(crate) fn serve(client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
    let Some(table) = client.callbacks.table() else { return (status::REJECTED, 0) };
    let number = u32::from(call.extra()) << 16 | u32::from(call.target());
    let done = match call.method() {
        KEEP => {
            let kept = table.keep(number);
            ipc_core::fail_point!(KeepHeard);
            kept
        }
        RELEASED => {
            let object = table.release(number);
            // A user's value may panic when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(object)));
            ipc_core::fail_point!(ReleasedHeard);
            true
        }
        _ => false,
    };
    (if done { REPLIED } else { status::REJECTED }, 0)
}
