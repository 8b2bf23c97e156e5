//! Round trips that run nothing.

use ipc_core::caller::{Answer, Caller};
use ipc_core::layout::{NOT_RUN, RELEASE};

use crate::call_error::CallError;
use crate::service::PING;
use crate::stub::Stub;

impl Stub {
    /// Has the server answer a request that asks it for nothing: it takes the way of a call there and back.
    pub(super) fn ping(&self) -> Result<(), CallError> {
        let connection = self.session.read();
        let (limit, allowed) = (self.limit(), self.allowed());
        let draft = Caller::draft(&*connection.caller, limit).map_err(|why| connection.not_sent(PING, why))?;
        let answered = |answer: Answer<&Caller>| match answer.status() {
            NOT_RUN => Ok(()),
            _ => Err(connection.not_replied(PING, &answer, allowed)),
        };
        let failed = |failure, _, _| Err(connection.failed(PING, failure, allowed));
        draft.submit(RELEASE, 0, limit).wait_then(limit, answered, answered, failed)
    }
}
