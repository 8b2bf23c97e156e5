//! From a connection to a dispatcher: who is let in, which method a number means, what a panic becomes.
//!
//! # Safety
//! Tells [`Incoming`] where the request lies.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipc_core::callee::{Attached, Call, Deferred, Greeting, Handler, Reply};
use ipc_core::clock;
use ipc_core::lane::{self, Parcel, Undeliverable};
use ipc_core::layout::{BRINGS_PARCEL, NOT_RUN, OWN_METHODS, RELEASE, REPLIED};
use ipc_core::memory::{Memory, NoMemory};
use ipc_core::sealed;
use ipc_core::segment::{Area, Segment};
use ipc_core::socket::{self, Credentials};
use ipc_core::word::Corrupt;

use crate::admitted::Tasks;
use crate::allowed::Allowed;
use crate::call_error::{CallError, MethodName};
use crate::callback;
use crate::context::{Context, Entered, Extra, Handling, WITH_CONTEXT};
use crate::describe::Description;
use crate::endpoint;
use crate::executor::drop_quietly;
use crate::handshake::{self, Asked, Hello};
use crate::inspect::{ClientState, ServerState};
use crate::intercept::{self, Chain, Done, End, FOREIGN, Kind, Layered, SKIPPED};
use crate::kept::{Holding, Keeps};
use crate::message::bytes;
use crate::record::{Recordings, Taken};
use crate::rejected::Rejections;
use crate::runtime::{Runs, Runtime, Work};
use crate::server::{Control, Limits, ServeError};
use crate::service::{Dispatch, Incoming, Lent, Refused, Replied, ReplyMemory, ServiceDesc};
use crate::status;
use crate::stream;
use crate::trust::{Reading, Snapshot, Trust};

/// Who is let in, and how far they are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    pub(crate) allowed: Allowed,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
    pub(crate) reading: Option<Reading>,
    /// Who the peer is, if that is known already: a pair of sockets says only who made it.
    pub(crate) peer: Option<Credentials>,
    /// The objects that this process has lent, if it is they who are called.
    pub(crate) lent: Option<Arc<callback::Table>>,
}

/// The methods of all services of a server; a method's position is its number on every connection.
pub(crate) struct Router {
    methods: Vec<Route>,
    admission: Admission,
    runtime: Arc<Runtime>,
    pub(crate) rejections: Arc<Rejections>,
    /// How the server is told that it has handed its name over.
    control: Arc<Control>,
    /// When it was made.
    started: u64,
    /// What is around the handlers, if anything is.
    interceptors: Option<Arc<Chain>>,
    /// Who records calls.
    recordings: Recordings,
    /// What the server serves, once somebody has asked.
    description: OnceLock<OwnedFd>,
}

struct Route {
    service: Arc<dyn Dispatch>,
    index: u16,
    name: &'static str,
    signature: Vec<String>,
    fingerprint: u64,
    long: bool,
    asynchronous: bool,
    kind: Kind,
}

/// The bits of a method's number that say that more has come than its arguments.
const EXTRAS: u16 = WITH_CONTEXT | BRINGS_PARCEL;
/// Where the numbers of methods end, and those of requests begin that are the framework's own.
const METHODS_END: u16 = OWN_METHODS;

impl Router {
    pub(crate) fn new(
        services: Vec<Arc<dyn Dispatch>>,
        admission: Admission,
        runs: Runs,
        interceptors: Chain,
        control: Arc<Control>,
    ) -> Result<Self, ServeError> {
        if services.is_empty() {
            return Err(ServeError::NoService);
        }
        let (mut names, mut methods) = (HashSet::new(), Vec::new());
        for service in services {
            let desc = service.service();
            if !names.insert(desc.name) {
                return Err(ServeError::DuplicateService { name: desc.name });
            }
            for (index, method) in (0..).zip(desc.methods) {
                let signature = handshake::signature(method);
                let (name, fingerprint) = (method.name, handshake::fingerprint(&signature));
                let (long, asynchronous) = (method.long, method.asynchronous);
                let (service, kind) = (service.clone(), Kind::of(Some(method), false));
                methods.push(Route { service, index, name, signature, fingerprint, long, asynchronous, kind });
            }
        }
        if methods.len() > usize::from(METHODS_END) {
            return Err(ServeError::TooManyMethods);
        }
        let name = |r: &Route| MethodName { service: r.service.service().name, method: r.name };
        let described = methods.iter().map(|r| (name(r), r.long)).collect();
        let runtime = Runtime::new(runs, admission.limits.clone(), described);
        let interceptors = (!interceptors.is_empty()).then(|| Arc::new(interceptors));
        let started = clock::now();
        let (rejections, recordings) = (Arc::default(), Recordings::default());
        let description = OnceLock::new();
        Ok(Router { methods, admission, runtime, rejections, control, started, interceptors, recordings, description })
    }

    /// Service and name of each method, by its number.
    pub(crate) fn method_names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.methods.iter().map(|route| (route.service.service().name, route.name))
    }

    /// What the futures of the handlers share.
    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// What the server has for a method that a client asks for: its number, or its signature if that differs.
    fn agree(&self, service: &str, name: &str, fingerprint: u64) -> Result<u16, Option<&[String]>> {
        let mut all = (0u16..).zip(&self.methods);
        match all.find(|(_, r)| r.service.service().name == service && r.name == name) {
            Some((number, route)) if route.fingerprint == fingerprint => Ok(number),
            Some((_, route)) => Err(Some(&route.signature[..])),
            None => Err(None),
        }
    }

    /// Why this client is not let in, or its segment.
    fn admit(
        &self,
        hello: &Hello<'_>,
        mut descriptors: Vec<OwnedFd>,
        (who, socket): (Credentials, BorrowedFd<'_>),
        channels: usize,
    ) -> Result<(Segment, Option<OwnedFd>), String> {
        let limits = &self.admission.limits;
        if !self.admission.allowed.admits(who, || socket::groups(socket).unwrap_or_default()) {
            return Err(format!(
                "user {} (group {}) is not allowed; the server lets others in with `ServerBuilder::allow_users`, \
                 `allow_groups` and `allow_if`",
                who.uid, who.gid
            ));
        }
        if channels >= limits.clients {
            return Err(format!("it has {channels} clients and `Limits::clients` is {}", limits.clients));
        }
        let geometry = hello.geometry;
        let memory = geometry.caller_arena().max(geometry.callee_arena());
        if geometry.blocks() > limits.blocks || memory > limits.memory {
            return Err(format!(
                "the client wants {} blocks and {memory} bytes, `Limits` allows {} and {}",
                geometry.blocks(),
                limits.blocks,
                limits.memory
            ));
        }
        if self.asked_for(hello).next().is_none() {
            let mut known: Vec<_> = self.methods.iter().map(|r| r.service.service().name).collect();
            known.dedup();
            let asked: Vec<_> = hello.services.iter().map(|s| s.service).collect();
            return Err(format!("it does not serve {}, but {}", asked.join(", "), known.join(", ")));
        }
        let socket = match (hello.callable, descriptors.len()) {
            (false, 1) => None,
            (true, 2) => descriptors.pop(),
            (callable, count) => {
                let rule = match callable {
                    false => "a client brings exactly one descriptor, its memory",
                    true => "a client that can be called brings two descriptors, its memory and a socket",
                };
                // The kernel drops those that there is no number for.
                let lost = count < 1 + usize::from(callable);
                let perhaps =
                    if lost { "; if this one has, the server has no descriptors left (ulimit -n)" } else { "" };
                return Err(format!("{rule}{perhaps}"));
            }
        };
        if let Some(socket) = &socket {
            callback::judge(socket.as_fd(), who)?;
        }
        let Some(memory) = descriptors.pop() else { return Err(String::from("a client brings its memory")) };
        Ok((Segment::open(memory, geometry).map_err(|error| error.to_string())?, socket))
    }

    /// Those of the services that a client asks for that are here.
    fn asked_for<'a>(&'a self, hello: &'a Hello<'_>) -> impl Iterator<Item = &'static ServiceDesc> + 'a {
        let first = self.methods.iter().filter(|r| r.index == 0).map(|r| r.service.service());
        first.filter(|desc| hello.services.iter().any(|s| s.service == desc.name))
    }
}

/// What is remembered of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) reading: Reading,
    /// Every call goes the long way, [`Router::dressed`]: somebody is to see it before its handler, or its request is copied.
    pub(crate) dressed: AtomicBool,
    /// It reads replies where they lie.
    pub(crate) in_place: bool,
    /// The addresses that its requests may refer to.
    pub(crate) loans: Range<usize>,
    pub(crate) who: Credentials,
    /// How the client's objects are called.
    pub(crate) callbacks: Arc<callback::Remote>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) streams: stream::Table,
    /// The arguments that handlers keep.
    pub(crate) keeps: Arc<Keeps>,
    pub(crate) rejections: Arc<Rejections>,
}

impl Client {
    /// Notes what was wrong with a request, if anything was.
    #[cold]
    pub(crate) fn note(&self, refused: &Refused) {
        if refused.status() == status::REJECTED {
            self.rejections.request(self.who, refused.reason());
        }
    }
}

impl Router {
    /// What somebody who asks may know of the server; of its clients only if he is to see `all`.
    fn state(&self, all: bool) -> ServerState {
        let (streams, callbacks) = self.runtime.open();
        let rejected = self.rejections.count();
        let mut state = ServerState {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            stopping: self.control.is_stopping(),
            health: self.control.health(),
            streams: streams as u64,
            callbacks: callbacks as u64,
            rejected: rejected.connections.saturating_add(rejected.broken).saturating_add(rejected.requests),
            ..ServerState::default()
        };
        if let Some(callee) = self.control.callee() {
            state.workers = callee.working() as u64;
            state.clients_count = callee.channels() as u64;
            if all {
                callee.each_channel(|client, usage| state.clients.push(ClientState::of(client.who, &usage)));
            }
        }
        state.now = clock::now();
        state
    }

    /// Who asks something, and whether he is the server's own user; `Err`: he is not allowed in.
    fn asker(&self, socket: BorrowedFd<'_>) -> Result<(Credentials, bool), String> {
        let Some(who) = self.admission.peer.or_else(|| socket::credentials(socket).ok()) else {
            return Err("the system does not say who you are".into());
        };
        if !self.admission.allowed.admits(who, || socket::groups(socket).unwrap_or_default()) {
            let why = format!("user {} (group {}) is not allowed", who.uid, who.gid);
            self.rejections.connection(who, &why);
            return Err(why);
        }
        Ok((who, endpoint::is_own(who.uid) || who.uid == 0))
    }

    /// Whether somebody may have calls recorded: who could as well trace this process, as far as one can tell.
    fn may_record(&self, socket: BorrowedFd<'_>) -> Result<(), String> {
        if self.admission.peer.is_some() {
            return Err("objects that are called back are not recorded".into());
        }
        match self.asker(socket)? {
            (_, false) => Err("a server has its calls recorded by its own user only".into()),
            (who, true) if !socket::is_beside(socket, who.pid) => {
                Err("a server has no calls recorded from within another container than its own".into())
            }
            _ => Ok(()),
        }
    }

    /// Answers an inspector.
    fn inspected(&self, socket: BorrowedFd<'_>) -> Reply {
        let told = self
            .asker(socket)
            .and_then(|(_, own)| self.files(own).map_err(|error| format!("the server cannot say what it is: {error}")));
        match told {
            Ok(descriptors) => Reply { packet: handshake::inspection(), descriptors, stays: false },
            Err(why) => Reply { packet: handshake::refused(&why), descriptors: Vec::new(), stays: false },
        }
    }

    /// The file of the description, which all inspectors share.
    fn description(&self) -> io::Result<OwnedFd> {
        if let Some(file) = self.description.get() {
            return file.try_clone();
        }
        let mut services: Vec<_> = self.methods.iter().filter(|r| r.index == 0).map(|r| r.service.service()).collect();
        services.dedup_by_key(|service| service.name);
        let file = sealed::file_of(&Description::of(&services).to_bytes().map_err(io::Error::other)?)?;
        let _ = self.description.set(file.try_clone()?);
        Ok(file)
    }

    /// What an inspector gets: description, state, and what is counted, if he is the server's `own` user.
    fn files(&self, own: bool) -> io::Result<Vec<OwnedFd>> {
        let state = bytes::to_bytes(&self.state(own)).map_err(io::Error::other)?;
        let mut files = vec![self.description()?, sealed::file_of(&state)?];
        if own && let Some(callee) = self.control.callee() {
            // Without `/proc` there are no figures.
            files.extend(callee.statistics().read_only().ok().flatten());
        }
        Ok(files)
    }
}

impl Handler for Router {
    type Peer = Client;

    fn methods(&self) -> usize {
        self.methods.len()
    }

    fn answers(&self, hello: &[u8], descriptors: &mut Vec<OwnedFd>, socket: BorrowedFd<'_>) -> Option<Reply> {
        if hello == handshake::inspector() {
            return Some(self.inspected(socket));
        }
        let serves = |name: &str| self.methods.iter().any(|route| route.service.service().name == name);
        let reply = self.recordings.asked(hello, descriptors, socket, || self.may_record(socket), serves)?;
        if let Some(callee) = self.control.callee().filter(|_| self.recordings.is_active()) {
            callee.each_channel(|client, _| client.dressed.store(true, Ordering::SeqCst));
        }
        Some(reply)
    }

    fn hands_over(&self, hello: &[u8], socket: BorrowedFd<'_>) -> Option<Result<Vec<u8>, Vec<u8>>> {
        if hello != handshake::successor() {
            return None;
        }
        let who = socket::credentials(socket).ok();
        let allowed = who.is_some_and(|who| endpoint::is_own(who.uid) || who.uid == 0);
        Some(if allowed {
            Ok(handshake::handed_over())
        } else {
            if let Some(who) = who {
                self.rejections.connection(who, "it wants to take the name over");
            }
            Err(handshake::refused("a server hands its name over to its own user only"))
        })
    }

    fn memory(&self) -> Memory {
        self.admission.memory.clone()
    }

    fn handed_over(&self) {
        self.control.hand_over();
    }

    fn greet(
        &self,
        hello: &[u8],
        descriptors: Vec<OwnedFd>,
        socket: BorrowedFd<'_>,
        channels: usize,
    ) -> Greeting<Client> {
        let Some(who) = self.admission.peer.or_else(|| socket::credentials(socket).ok()) else {
            return Greeting { answer: handshake::refused("the system does not say who you are"), accepted: None };
        };
        let refuse = |why: &str, answer| {
            self.rejections.connection(who, why);
            Greeting { answer, accepted: None }
        };
        let hello = match handshake::asked(hello) {
            Asked::Hello(hello) => hello,
            Asked::OtherVersion => return refuse("another version of the protocol", handshake::other_version()),
            Asked::Nonsense => {
                let why = "the first packet is not understood";
                return refuse(why, handshake::refused(why));
            }
        };
        if hello.probe != handshake::format_probe() {
            return refuse("another format of messages", handshake::other_format());
        }
        let (segment, back) = match self.admit(&hello, descriptors, (who, socket), channels) {
            Ok(admitted) => admitted,
            Err(why) => return refuse(&why, handshake::refused(&why)),
        };
        let asked = hello.services.iter().flat_map(|s| s.methods.iter().map(|(name, print)| (s.service, name, print)));
        let methods: Vec<_> = asked.map(|(service, name, print)| self.agree(service, name, *print)).collect();
        let reading = self.admission.reading.unwrap_or_else(|| Trust::by_default(socket, who).into());
        let services: Vec<_> = self.asked_for(&hello).collect();
        let callbacks = callback::Remote::new(back, &services, reading, self.admission.lent.clone());
        let (callbacks, tasks, streams) =
            (Arc::new(callbacks), Arc::<Tasks>::default(), stream::Table::new(self.admission.limits.streams));
        let runtime = self.runtime.clone();
        runtime.remember(Work {
            tasks: Arc::downgrade(&tasks),
            callbacks: Arc::downgrade(&callbacks),
            streams: streams.clone(),
        });
        let rejections = self.rejections.clone();
        let in_place = hello.in_place;
        let loans = if reading == Reading::Snapshot { 0..0 } else { segment.addresses(Area::CallerArena) };
        let keeps = Keeps::new(self.admission.limits.kept, self.runtime.kept.clone());
        let dressed = AtomicBool::new(self.dresses(reading));
        let client =
            Client { reading, dressed, in_place, loans, who, callbacks, tasks, runtime, streams, keeps, rejections };
        Greeting {
            answer: handshake::welcome(&methods, reading != Reading::Snapshot),
            accepted: Some((segment, client)),
        }
    }

    #[inline]
    fn call(&self, client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
        let Some(route) = self.methods.get(usize::from(call.method())) else { return self.special(client, call) };
        if client.dressed.load(Ordering::Relaxed) {
            return self.dressed(route, client, call, None);
        }
        let (request, len) = call.request();
        let handling = Handling(call.handle());
        // SAFETY: readable until the call is finished, and unchanged, because the peer is trusted; the reply goes behind the
        // request or elsewhere.
        let incoming = unsafe { Incoming::new(request, len, call.reply_buffer(), call, client) };
        // A handler that panics leaves its service as any panicking `&self` method does; the framework holds nothing of it.
        let dispatch = || handling.scope(|| route.service.dispatch(route.index, incoming));
        match catch_unwind(AssertUnwindSafe(dispatch)) {
            Ok(Ok(replied)) => (REPLIED, replied.len),
            failed => without_reply(client, call, failed),
        }
    }

    fn may_borrow(&self, client: &Client) -> bool {
        client.in_place
    }

    fn is_long(&self, _client: &Client, method: u16) -> bool {
        self.methods.get(usize::from(method & !EXTRAS)).is_some_and(|route| route.long)
    }

    fn ended(&self, client: &Client, why: Option<Corrupt>) {
        if let Some(why) = why {
            self.rejections.broken(client.who, why);
        }
        client.tasks.close();
        client.callbacks.ended();
        client.streams.close();
    }
}

impl Router {
    /// A method number that stands for no method as it is: with a context, with descriptors, or for the framework itself.
    #[cold]
    fn special(&self, client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
        let number = call.method();
        let method = number & !EXTRAS;
        if let Some(route) = self.methods.get(usize::from(method)).filter(|_| number != method) {
            let extra = (number & WITH_CONTEXT != 0).then(|| call.extra());
            return self.dressed(route, client, call, extra);
        }
        // Users' code that runs in there is looked after in there. This is for what nobody has thought of.
        let served = catch_unwind(AssertUnwindSafe(|| match number {
            stream::FIRST_METHOD..=stream::LAST_METHOD => stream::serve(client, call),
            callback::FIRST_METHOD..=callback::LAST_METHOD => callback::serve(client, call),
            // There was no reply to be given back.
            RELEASE => (NOT_RUN, 0),
            _ => refuse(call, status::REJECTED, "the server has no method of this number"),
        }));
        let (status, len) = served.unwrap_or_else(|panic| refuse(call, status::PANICKED, &message_of(panic)));
        if status == status::REJECTED {
            client.rejections.request(client.who, &format!("number {number:#06x} about {}", call.target()));
        }
        (status, len)
    }

    /// A call that needs more than its memory: a private copy of the request, the context behind its arguments, or the
    /// descriptors that came along.
    #[cold]
    fn dressed(&self, route: &Route, client: &Client, call: &mut Call<'_, Client>, extra: Option<u16>) -> (u16, usize) {
        if !self.dresses(client.reading) {
            client.dressed.store(false, Ordering::SeqCst);
            // Somebody may have begun to record meanwhile, and have said so before this was stored.
            if self.dresses(client.reading) {
                client.dressed.store(true, Ordering::Relaxed);
            }
        }
        let _unpacked = if call.method() & BRINGS_PARCEL != 0 {
            let mut parcel = call.take_parcel();
            if client.reading != Reading::Snapshot
                && let Err(reason) = call.import(&mut parcel)
            {
                return without_reply(client, call, Ok(Err(Refused::new(status::REJECTED, reason))));
            }
            Some(Unpacked::new(parcel))
        } else {
            None
        };
        let (mut request, len) = call.request();
        let mut copy = None;
        if client.reading == Reading::Snapshot {
            // SAFETY: the request's bytes are readable until the call is finished.
            let copied = unsafe { Snapshot::copy(request, len) };
            request = copied.bytes().0;
            copy = Some(Arc::new(copied));
        }
        let (mut args_len, mut said) = (len, None);
        if let Some(extra) = extra {
            // SAFETY: `len` bytes at `request` are readable until the call is finished, and unchanged: a private copy, or a
            // peer that is trusted.
            match unsafe { Extra::behind(request, len, extra) } {
                Ok((args, extra)) => (args_len, said) = (args, Some(extra)),
                Err(reason) => return without_reply(client, call, Ok(Err(Refused::new(status::REJECTED, reason)))),
            }
        }
        // SAFETY: as above.
        match unsafe { Snapshot::sealed(request, args_len) } {
            None => {}
            Some(Ok(sealed)) => {
                (request, args_len) = sealed.bytes();
                call.came_in_a_file(args_len);
                copy = Some(Arc::new(sealed));
            }
            Some(Err(reason)) => return without_reply(client, call, Ok(Err(Refused::new(status::REJECTED, reason)))),
        }
        let taken = if self.recordings.is_active() {
            // SAFETY: as above.
            let request = unsafe { slice::from_raw_parts(request.as_ptr(), args_len) };
            self.recordings.take(route.service.service().name, route.index, client.who, said.as_ref(), request)
        } else {
            None
        };
        let request = Request { bytes: (request, args_len), copy, taken: Cell::new(taken) };
        let answer = match &self.interceptors {
            Some(chain) => self.intercepted(chain, route, client, call, &request, said.unwrap_or_default()),
            None => {
                let context = said.map(|extra| Context::of(call.watch(), client, extra));
                // SAFETY: as above.
                match unsafe { run(route, client, call, &request, context, None) } {
                    (Ok(Ok(replied)), failed) => replied_with(call, failed, replied),
                    (failed, _) => without_reply(client, call, failed),
                }
            }
        };
        if let Some(taken) = request.taken.take() {
            put_down(taken, call, answer);
        }
        answer
    }

    /// Do all calls of a client that is read so go the long way?
    fn dresses(&self, reading: Reading) -> bool {
        reading == Reading::Snapshot || self.interceptors.is_some() || self.recordings.is_active()
    }

    /// A call inside of the server's interceptors.
    fn intercepted(
        &self,
        chain: &Arc<Chain>,
        route: &Route,
        client: &Client,
        call: &mut Call<'_, Client>,
        request: &Request,
        said: Extra,
    ) -> (u16, usize) {
        let method = MethodName { service: route.service.service().name, method: route.name };
        let context = Context::of(call.watch(), client, said.clone());
        let arrived = Some((client.who.into(), request.bytes.1));
        let deadline = context.end().deadline;
        let seen = intercept::Call::new(method, route.kind, (said.metadata, said.trace), deadline, arrived);
        let mut layered = Layered::new(chain, seen);
        if route.asynchronous {
            // They go with the handler's future.
            // SAFETY: as `dressed` has it.
            return match unsafe { run(route, client, call, request, Some(context), Some(layered)) } {
                (Ok(Ok(replied)), _) => (REPLIED, replied.len),
                (failed, _) => without_reply(client, call, failed),
            };
        }
        let (mut told, mut replied) = (None::<Result<Done, CallError>>, None);
        let handle = call.handle();
        let is_unwanted = || handle.is_given_up() || client.runtime.is_closing();
        let end = End { at: deadline.unwrap_or(u64::MAX), if_so: Some(&is_unwanted) };
        let over = catch_unwind(AssertUnwindSafe(|| {
            intercept::drive(&mut layered, &end, |seen| {
                if let Some(told) = &told {
                    return Clone::clone(told);
                }
                let context = context.with_extra(Extra { metadata: seen.metadata.clone(), trace: seen.trace });
                // SAFETY: as `dressed` has it.
                let run = || unsafe { run(route, client, call, request, Some(context), None) };
                let outcome = match seen.enter(run) {
                    None => Err(seen.denied(SKIPPED)),
                    Some((Ok(Ok(reply)), failed)) => {
                        replied = Some(reply);
                        Ok(Done { failed })
                    }
                    Some((Ok(Err(refused)), _)) => {
                        client.note(&refused);
                        Err(status::error(refused.status(), refused.reason(), method, Duration::ZERO))
                    }
                    Some((Err(panic), _)) => Err(CallError::Panicked { method, message: message_of(panic).into() }),
                };
                told = Some(outcome.clone());
                outcome
            })
        }));
        drop_quietly(layered);
        let failed = told.as_ref().is_some_and(|told| told.as_ref().is_ok_and(|done| done.failed));
        let ran = told.is_some_and(|told| told.err().is_none_or(|error| error.may_have_run()));
        // The end has come while they waited.
        let over = over.map(|over| {
            over.unwrap_or_else(|| match client.runtime.is_closing() {
                true => Err(CallError::NotStarted { method, why: None }),
                false => Err(CallError::TimedOut { method, after: Duration::ZERO, may_have_run: false }),
            })
        });
        let answer = match (over, replied) {
            (Err(panic), _) => refuse(call, status::PANICKED, &message_of(panic)),
            (Ok(Err(error)), _) => {
                let (status, reason) = status::of_error(error, ran);
                refuse(call, status, &reason)
            }
            (Ok(_), Some(replied)) => replied_with(call, failed, replied),
            (Ok(_), None) => refuse(call, status::DENIED, FOREIGN),
        };
        if answer.0 != REPLIED {
            call.failed(answer.0);
        }
        answer
    }
}

/// The arguments of a dressed call.
struct Request {
    bytes: (NonNull<u8>, usize),
    copy: Option<Arc<Snapshot>>,
    /// What is to be written down about the call.
    taken: Cell<Option<Taken>>,
}

/// Writes a recorded call down with its answer: a status, and so many bytes of the reply.
#[cold]
pub(crate) fn put_down(mut taken: Taken, call: &impl ReplyMemory, (status, len): (u16, usize)) {
    if call.has_sent_body() {
        return taken.end(status, None);
    }
    let (data, room) = call.buffer();
    let len = len.min(room);
    if taken.has_room(len) {
        let mut reply = vec![0; len];
        // SAFETY: `room` bytes at `data` are this call's reply until it is finished, and the copy is new memory. The caller may
        // write there all the same: the bytes are judged by whoever reads the recording.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), reply.as_mut_ptr(), len) };
        taken.end(status, Some(reply));
    }
}

/// Runs the handler of a dressed call; says whether it has returned an error, too.
///
/// # Safety
/// The bytes of `request` are readable and do not change until the call is finished, or as long as its copy lives, if there
/// is one.
unsafe fn run(
    route: &Route,
    client: &Client,
    call: &mut Call<'_, Client>,
    request: &Request,
    context: Option<Context>,
    layered: Option<Layered>,
) -> (std::thread::Result<Result<Replied, Refused>>, bool) {
    let reply = call.reply_buffer();
    let (handling, scope) = (Handling(call.handle()), context.clone());
    let mut dressed = Dressed { call: &mut *call, request, context, layered, failed: Cell::new(false) };
    let (data, len) = request.bytes;
    // SAFETY: the caller's promise; the reply goes behind the request or elsewhere.
    let incoming = unsafe { Incoming::new(data, len, reply, &mut dressed, client) };
    let dispatch = || {
        let _scope = scope.map(Entered::new);
        route.service.dispatch(route.index, incoming)
    };
    let result = catch_unwind(AssertUnwindSafe(|| handling.scope(dispatch)));
    (result, dressed.failed.get())
}

/// While this lives, a parcel can be taken apart on this thread.
struct Unpacked;

impl Unpacked {
    fn new(parcel: Parcel) -> Self {
        lane::unpack(parcel);
        Unpacked
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        lane::unpack(Parcel::default());
    }
}

/// A call with a private copy of its request, with a context, or with descriptors.
struct Dressed<'c, 'a> {
    call: &'c mut Call<'a, Client>,
    request: &'c Request,
    context: Option<Context>,
    /// What is around the handler, if that is a future.
    layered: Option<Layered>,
    /// The handler has returned an error.
    failed: Cell<bool>,
}

impl ReplyMemory for Dressed<'_, '_> {
    fn buffer(&self) -> (NonNull<u8>, usize) {
        self.call.reply_buffer()
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.call.grow_reply(used, needed)
    }

    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.call.attach(data, len)
    }

    fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.call.send(index, descriptor)
    }

    fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable> {
        self.call.send_body(behind, file, len)
    }

    fn has_sent_body(&self) -> bool {
        self.call.has_sent_body()
    }

    fn lends(&self) -> bool {
        self.call.lends()
    }
}

impl Lent for Dressed<'_, '_> {
    fn method(&self) -> u16 {
        self.call.method() & !EXTRAS
    }

    fn target(&self) -> u16 {
        self.call.target()
    }

    fn context(&self, client: &Client) -> Context {
        self.context.clone().unwrap_or_else(|| Lent::context(self.call, client))
    }

    fn copy(&self) -> Option<Arc<Snapshot>> {
        self.request.copy.clone()
    }

    fn keep(&self) -> Option<Holding> {
        self.request.copy.clone().map(Holding::Copy).or_else(|| self.call.keep().map(Holding::Block))
    }

    fn rest_of_parcel(&mut self) -> Parcel {
        lane::unpack(Parcel::default())
    }

    fn layered(&mut self) -> Option<Layered> {
        self.layered.take()
    }

    fn taken(&mut self) -> Option<Taken> {
        self.request.taken.take()
    }

    fn defer(&mut self) -> Deferred<Client> {
        // Its answer is given elsewhere.
        self.request.taken.set(None);
        self.call.defer()
    }

    fn failed(&self) {
        self.failed.set(true);
    }
}

/// What a panic said. Dropping a payload can panic itself, so payloads that are no text are leaked.
#[cold]
pub(crate) fn message_of(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<&'static str>() {
        Ok(text) => text.to_string(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => {
                std::mem::forget(other);
                String::from("the panic carries no text")
            }
        },
    }
}

/// Answers a call with the reply that is written, which is the handler's error if it has `failed`.
#[cold]
fn replied_with(call: &Call<'_, Client>, failed: bool, replied: Replied) -> (u16, usize) {
    if failed {
        call.failed(REPLIED);
    }
    (REPLIED, replied.len)
}

/// Answers a call whose handler has not replied.
#[cold]
fn without_reply(
    client: &Client,
    call: &mut Call<'_, Client>,
    failed: std::thread::Result<Result<Replied, Refused>>,
) -> (u16, usize) {
    let answer = match failed {
        Ok(Ok(replied)) => (REPLIED, replied.len),
        Ok(Err(refused)) => {
            client.note(&refused);
            refuse(call, refused.status(), refused.reason())
        }
        Err(panic) => refuse(call, status::PANICKED, &message_of(panic)),
    };
    if answer.0 != REPLIED {
        call.failed(answer.0);
    }
    answer
}

/// Answers with a status and a text in place of a reply.
#[cold]
pub(crate) fn refuse(call: &mut impl ReplyMemory, status: u16, reason: &str) -> (u16, usize) {
    let mut end = reason.len().min(2048);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let (mut data, mut room) = call.buffer();
    if room < end {
        match call.grow(0, end) {
            Ok(larger) => (data, room) = larger,
            Err(_) => end = 0,
        }
    }
    let len = end.min(room);
    // SAFETY: `room` bytes at `data` are this call's reply, and `len` is not more; the text is elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(reason.as_ptr(), data.as_ptr(), len) };
    (status, len)
}
