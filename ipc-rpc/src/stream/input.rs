//! The stream that a handler reads its client's items from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ipc_core::callee::Deferred;
use ipc_core::layout::REPLIED;

use super::inlet::{Arrival, Inlet, settle};
use super::outlet::Held;
use super::streaming::failed;
use super::table::Home;
use super::wire;
use crate::call_error::{CallError, MethodName};
use crate::message::Message;
use crate::router::Client;
use crate::status;
use crate::trust::Reading;

/// Reads an input stream.
#[derive(Debug)]
pub(crate) struct Input {
    inlet: Arc<Inlet<Deferred<Client>>>,
    home: Home<Deferred<Client>>,
    reading: Reading,
    method: MethodName,
    /// Taken out of the inlet and not answered yet.
    ready: VecDeque<Arrival<Deferred<Client>>>,
}

impl Input {
    pub(crate) fn new(
        inlet: Arc<Inlet<Deferred<Client>>>,
        home: Home<Deferred<Client>>,
        reading: Reading,
        method: MethodName,
    ) -> Self {
        Input { inlet, home, reading, method, ready: VecDeque::new() }
    }

    /// The next item.
    pub(crate) fn next<T: Message>(&mut self) -> Option<Result<T, CallError>> {
        if self.ready.is_empty()
            && let Err(why) = self.inlet.wait(&mut self.ready)
        {
            return Some(Err(failed(self.method, why.into())));
        }
        self.take()
    }

    /// The next item, once it is here.
    pub(crate) fn poll_next<T: Message>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        if self.ready.is_empty()
            && let Err(why) = ready!(self.inlet.poll(cx, &mut self.ready))
        {
            return Poll::Ready(Some(Err(failed(self.method, why.into()))));
        }
        Poll::Ready(self.take())
    }

    fn take<T: Message>(&mut self) -> Option<Result<T, CallError>> {
        let arrival = self.ready.pop_front()?;
        ipc_core::fail_point!(ItemRead);
        match arrival {
            Arrival::Item(mut request) => match wire::read_request::<T>(&request, self.reading) {
                Ok(item) => {
                    request.finish(REPLIED, 0);
                    Some(Ok(item))
                }
                Err(error) => {
                    let (status, len) = wire::say(status::REJECTED, &error.to_string(), &mut request);
                    Held::finish(request, status, len);
                    Some(Err(CallError::Reply { method: self.method, error }))
                }
            },
            Arrival::Copied(copy) => {
                let reading = if self.reading == Reading::Unchecked { Reading::Unchecked } else { Reading::InPlace };
                Some(
                    wire::read_request::<T>(&copy, reading)
                        .map_err(|error| CallError::Reply { method: self.method, error }),
                )
            }
            Arrival::End(None) => None,
            Arrival::End(Some(reason)) => Some(Err(failed(self.method, reason))),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.home.forget_inlet(&self.inlet);
        settle(std::mem::take(&mut self.ready));
        self.inlet.close("the stream is not read any more");
    }
}
