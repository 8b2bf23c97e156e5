//! Calls as futures. They need no runtime: a waker is called when the answer comes, when the connection ends or when the time
//! is over. Nothing of a call is done before its future is polled first, and dropping the future cancels it.

use std::future::poll_fn;

use ipc_core::caller::{Answer, Caller, Holder, Pending};

use crate::call_error::CallError;
use crate::message::{Argument, Message};
use crate::reply::Reply;
use crate::stub::{Shared, Stub};
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
        let answer = self.send_async(&*self.connection.caller, method, args).await?;
        self.connection.read::<R, _>(method, &answer)
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
        let answer = self.send_async(&*self.connection.caller, method, args).await.map_err(CallError::widen)?;
        self.connection.read_result::<R, E, _>(method, &answer)
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
        let answer = self.send_async(Shared(self.connection.clone()), method, args).await?;
        self.reply(method, answer)
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
        let caller = Shared(self.connection.clone());
        let answer = self.send_async(caller, method, args).await.map_err(CallError::widen)?;
        self.reply_result(method, answer)
    }

    /// The path of a call as far as the reply's bytes.
    async fn send_async<C: Holder + Unpin, A: Message>(
        &self,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Answer<C>, CallError> {
        let terms = self.terms(method)?;
        let mut pending = self.begin_async(caller, method, args, &terms).await?;
        poll_fn(|cx| pending.poll_ready(cx, terms.limit)).await;
        self.wait(method, pending, terms.limit, || terms.allowed, Ok)
    }

    /// As [`Stub::begin`].
    ///
    /// # Errors
    /// [`CallError`]; nothing was sent.
    pub(crate) async fn begin_async<C: Holder + Unpin, A: Message>(
        &self,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
        terms: &Terms,
    ) -> Result<Pending<C>, CallError> {
        match Caller::draft_async(caller, terms.limit).await {
            Ok(draft) => self.submit(draft, method, args, terms),
            Err(why) => Err(self.not_sent(method, why)),
        }
    }
}
