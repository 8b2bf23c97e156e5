//! Calls as futures. They need no runtime: a waker is called when the answer comes, when the connection ends or when the time
//! is over. Nothing of a call is done before its future is polled first, and dropping the future cancels it.

use std::future::poll_fn;

use ipc_core::caller::{Answer, Caller, Pending};

use crate::call_error::CallError;
use crate::message::{Argument, Message};
use crate::reply::Reply;
use crate::stub::{AT_ONCE, Shared, Stub, reply, reply_result};
use crate::terms::Terms;

impl Stub {
    /// As [`Stub::call`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_async<A: Message, R: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<R, CallError> {
        let read = |answer: Answer<Shared>| answer.holder().0.read::<R, _>(method, &answer);
        self.send_and_async(method, args, R::is_error, read).await
    }

    /// As [`Stub::call_result`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub async fn call_result_async<A: Message, R: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<R, CallError<E>> {
        let read = |answer: Answer<Shared>| answer.holder().0.read_result::<R, E, _>(method, &answer);
        self.send_and_async(method, args, |_| false, read).await
    }

    /// As [`Stub::view`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn view_async<A: Message, R: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Reply<R>, CallError> {
        self.send_and_async(method, args, |_| false, |answer| reply(method, answer)).await
    }

    /// As [`Stub::view_result`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub async fn view_result_async<A: Message, R: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Reply<R>, CallError<E>> {
        self.send_and_async(method, args, |_| false, |answer| reply_result(method, answer)).await
    }

    /// The path of a call as far as the reply's bytes; goes on with `then`.
    async fn send_and_async<A: Message, T, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        failed: fn(&T) -> bool,
        then: impl Fn(Answer<Shared>) -> Result<T, CallError<E>> + Copy,
    ) -> Result<T, CallError<E>> {
        let send = |stub: Stub| async move {
            let sent = stub.send_async(method, args).await;
            sent.map_err(CallError::widen).and_then(then)
        };
        match self.interceptors() {
            Some(chain) => Box::pin(self.intercepted_async(chain, method, true, failed, send)).await,
            None => self.send_async(method, args).await.map_err(CallError::widen).and_then(then),
        }
    }

    /// The path of a call as far as the reply's bytes.
    async fn send_async<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Answer<Shared>, CallError> {
        let mut rounds = self.rounds(method);
        loop {
            match rounds.stub().send_once(method, args).await {
                Err(error) => rounds.next_async(method, error).await?,
                answer => return answer,
            }
        }
    }

    async fn send_once<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Answer<Shared>, CallError> {
        let connection = self.session.share();
        let terms = self.terms(&connection, method)?;
        let mut pending = self.begin_async(Shared(connection.clone()), method, args, &terms).await?;
        poll_fn(|cx| pending.poll_ready(cx, terms.limit)).await;
        connection.wait(method, pending, terms.limit, || terms.allowed, Ok, |error, _| Err(error))
    }

    /// First half of any call.
    ///
    /// # Errors
    /// [`CallError`]; nothing was sent.
    pub(crate) async fn begin_async<A: Message>(
        &self,
        caller: Shared,
        method: u16,
        args: &impl Argument<A>,
        terms: &Terms,
    ) -> Result<Pending<Shared>, CallError> {
        let connection = caller.0.clone();
        match Caller::draft_async(caller, terms.limit).await {
            Ok(draft) => self.submit(&connection, draft, method, args, terms, AT_ONCE),
            Err(why) => Err(connection.not_sent(method, why)),
        }
    }
}
