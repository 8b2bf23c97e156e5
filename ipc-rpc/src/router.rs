//! From a connection to a dispatcher: who is let in, which method a number means, what a panic becomes.
//!
//! # Safety
//! Tells [`Incoming`] where the request lies.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ipc_core::callee::{Call, Greeting, Handler};
use ipc_core::layout::REPLIED;
use ipc_core::segment::Segment;
use ipc_core::socket::Credentials;
use ipc_core::word::Corrupt;

use crate::callback;
use crate::endpoint;
use crate::handshake::{self, Asked, Hello, NO_METHOD};
use crate::server::{Limits, ServeError};
use crate::service::{Dispatch, Incoming, Refused, ServiceDesc};
use crate::status;
use crate::trust::{Reading, Snapshot};

/// Who is let in, and how far they are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    pub(crate) users: Vec<u32>,
    pub(crate) limits: Limits,
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
}

struct Route {
    service: Arc<dyn Dispatch>,
    index: u16,
    name: &'static str,
    signature: Vec<String>,
    fingerprint: u64,
}

impl Router {
    pub(crate) fn new(services: Vec<Arc<dyn Dispatch>>, admission: Admission) -> Result<Self, ServeError> {
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
                methods.push(Route { service: service.clone(), index, name, signature, fingerprint });
            }
        }
        if methods.len() >= usize::from(NO_METHOD) {
            return Err(ServeError::TooManyMethods);
        }
        Ok(Router { methods, admission })
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
        who: Credentials,
        channels: usize,
    ) -> Result<(Segment, Option<OwnedFd>), String> {
        let limits = &self.admission.limits;
        let allowed = who.uid == endpoint::user() || who.uid == 0 || self.admission.users.contains(&who.uid);
        if !allowed {
            return Err(format!("user {} is not allowed; see `ServerBuilder::allow_users`", who.uid));
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
            (false, _) => return Err(String::from("a client brings exactly one descriptor, its memory")),
            (true, _) => {
                return Err(String::from(
                    "a client that can be called brings two descriptors, its memory and a socket",
                ));
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
    pub(crate) who: Credentials,
    /// How the client's objects are called.
    pub(crate) callbacks: callback::Remote,
}

impl Handler for Router {
    type Peer = Client;

    fn greet(&self, hello: &[u8], descriptors: Vec<OwnedFd>, who: Credentials, channels: usize) -> Greeting<Client> {
        let refuse = |answer| Greeting { answer, accepted: None };
        let hello = match handshake::asked(hello) {
            Asked::Hello(hello) => hello,
            Asked::OtherVersion => return refuse(handshake::other_version()),
            Asked::Nonsense => return refuse(handshake::refused("the first packet is not understood")),
        };
        if hello.probe != handshake::format_probe() {
            return refuse(handshake::other_format());
        }
        let who = self.admission.peer.unwrap_or(who);
        let (segment, socket) = match self.admit(&hello, descriptors, who, channels) {
            Ok(admitted) => admitted,
            Err(why) => return refuse(handshake::refused(&why)),
        };
        let asked = hello.services.iter().flat_map(|s| s.methods.iter().map(|(name, print)| (s.service, name, print)));
        let methods: Vec<_> = asked.map(|(service, name, print)| self.agree(service, name, *print)).collect();
        let own = if who.uid == endpoint::user() { Reading::InPlace } else { Reading::Snapshot };
        let reading = self.admission.reading.unwrap_or(own);
        let services: Vec<_> = self.asked_for(&hello).collect();
        let callbacks = callback::Remote::new(socket, &services, reading, self.admission.lent.clone());
        let client = Client { reading, who, callbacks };
        Greeting { answer: handshake::welcome(&methods), accepted: Some((segment, client)) }
    }

    fn ended(&self, client: &Client, _why: Option<Corrupt>) {
        client.callbacks.ended();
    }

    #[inline]
    fn call(&self, client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
        let Some(route) = self.methods.get(usize::from(call.method())) else {
            return special(client, call);
        };
        let (mut request, mut len) = call.request();
        let copy;
        if client.reading == Reading::Snapshot {
            // SAFETY: the request's bytes are readable until the call is finished.
            copy = unsafe { Snapshot::copy(request, len) };
            (request, len) = copy.bytes();
        }
        // SAFETY: readable until the call is finished, and unchanged: a private copy, or a peer that is trusted; the reply
        // goes behind the request or elsewhere.
        let incoming = unsafe { Incoming::new(request, len, call.reply_buffer(), call, client) };
        // A handler that panics leaves its service as any panicking `&self` method does; the framework holds nothing of it.
        match catch_unwind(AssertUnwindSafe(|| route.service.dispatch(route.index, incoming))) {
            Ok(Ok(replied)) => (REPLIED, replied.len),
            Ok(Err(Refused { status, reason })) => refuse(call, status, &reason),
            Err(panic) => refuse(call, status::PANICKED, &message_of(panic)),
        }
    }
}

/// A method number that is not one of the services'.
#[cold]
fn special(client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
    match call.method() {
        callback::FIRST_METHOD..=callback::LAST_METHOD => callback::serve(client, call),
        _ => refuse(call, status::REJECTED, "the server has no method of this number"),
    }
}

/// What a panic said. Dropping a payload can panic itself, so payloads that are no text are leaked.
#[cold]
fn message_of(panic: Box<dyn std::any::Any + Send>) -> String {
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

/// Answers with a status and a text in place of a reply.
#[cold]
fn refuse<P>(call: &mut Call<'_, P>, status: u16, reason: &str) -> (u16, usize) {
    let mut end = reason.len().min(2048);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let (mut data, mut room) = call.reply_buffer();
    if room < end {
        match call.grow_reply(0, end) {
            Ok(larger) => (data, room) = larger,
            Err(_) => end = 0,
        }
    }
    let len = end.min(room);
    // SAFETY: `room` bytes at `data` are this call's reply, and `len` is not more; the text is elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(reason.as_ptr(), data.as_ptr(), len) };
    (status, len)
}
