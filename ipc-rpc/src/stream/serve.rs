//! The requests of streams, as the server answers them.
//!
//! # Safety
//! Promises about the memory of calls that are `ipc-core`'s.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use ipc_core::callee::{Call, Deferred};
use ipc_core::layout::REPLIED;
use ipc_core::memory::NoMemory;

use super::outlet::{Arriving, Held};
use super::produce::message_of;
use super::wire::{self, CLOSE, CLOSED, END, ITEM, NEXT, OPEN_INPUT, Place, Request};
use crate::router::Client;
use crate::status;

/// Answers a request whose method number is one of the streams'. Does not unwind.
pub(crate) fn serve(client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
    // Wakers are the user's.
    match catch_unwind(AssertUnwindSafe(|| answer(client, call))) {
        Ok(answer) => answer,
        Err(panic) => wire::say(status::PANICKED, &message_of(panic), call),
    }
}

fn answer(client: &Client, call: &mut Call<'_, Client>) -> (u16, usize) {
    let (target, number) = (call.target(), call.extra());
    let streams = &client.streams;
    match call.method() {
        NEXT => {
            let Some(outlet) = streams.outlet(target) else { return (CLOSED, 0) };
            outlet.bring(number, call)
        }
        ITEM => match streams.inlet(target) {
            Some(inlet) => inlet.bring(number, call),
            None => (CLOSED, 0),
        },
        OPEN_INPUT => match streams.open_inlet(target, || call.is_cancelled()) {
            Ok(()) => {
                ipc_core::fail_point!(InputRegistered);
                (REPLIED, 0)
            }
            Err(why) => wire::say(status::REJECTED, why, call),
        },
        END => match streams.inlet(target) {
            Some(inlet) => {
                let reason = (call.request().1 > 0).then(|| wire::read_text(call));
                inlet.bring_end(number, reason, call)
            }
            None => (CLOSED, 0),
        },
        CLOSE => {
            streams.close_stream(target, number);
            ipc_core::fail_point!(StreamClosed);
            (REPLIED, 0)
        }
        _ => wire::say(status::REJECTED, "the server has no method of this number", call),
    }
}

// SAFETY: `Call::reply_buffer` and `Call::grow_reply` promise the same.
unsafe impl Place for Call<'_, Client> {
    fn buffer(&self) -> (NonNull<u8>, usize) {
        self.reply_buffer()
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.grow_reply(used, needed)
    }
}

// SAFETY: the bytes are readable until the call is answered.
unsafe impl Request for Call<'_, Client> {
    fn request(&self) -> (NonNull<u8>, usize) {
        Call::request(self)
    }
}

impl Arriving<Deferred<Client>> for Call<'_, Client> {
    fn put_off(&mut self) -> Deferred<Client> {
        self.defer()
    }
}

// SAFETY: `Deferred::reply_buffer` and `Deferred::grow_reply` promise the same.
unsafe impl Place for Deferred<Client> {
    fn buffer(&self) -> (NonNull<u8>, usize) {
        self.reply_buffer()
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.grow_reply(used, needed)
    }
}

// SAFETY: the bytes are readable until the call is answered, which uses the value up.
unsafe impl Request for Deferred<Client> {
    fn request(&self) -> (NonNull<u8>, usize) {
        Deferred::request(self)
    }
}

impl Held for Deferred<Client> {
    fn finish(self, status: u16, len: usize) {
        Deferred::finish(self, status, len);
    }

    fn is_cancelled(&self) -> bool {
        Deferred::is_cancelled(self)
    }
}
