//! How a call ended, as the server puts it into the block; 0 to 15 are `ipc-core`'s.

use std::time::Duration;

use ipc_core::clock;
#[cfg(feature = "metrics")]
use ipc_core::layout::REPLIED;
use ipc_core::layout::{ABANDONED, NOT_RUN, STOPPING};
use ipc_core::memory::{Lack, NoMemory};

use crate::call_error::{CallError, MethodName};
use crate::message::EncodeError;

/// The handler panicked; the reply is its message.
pub(crate) const PANICKED: u16 = 16;
/// The request is invalid, the handler has not run; the reply says why.
pub(crate) const REJECTED: u16 = 17;
/// The handler ran, its result cannot be sent; the reply says why.
pub(crate) const RESULT: u16 = 18;
/// The server does not take the call on, the handler has not run; the reply says which limit it has reached.
pub(crate) const BUSY: u16 = 19;
/// The handler ran, there is no memory for its result; the reply says how much is wanted, in use, and allowed.
pub(crate) const NO_MEMORY: u16 = 20;

/// An interceptor did not let the call through, the handler has not run; the reply says why.
pub(crate) const DENIED: u16 = 21;
/// The call is one too many in its time, the handler has not run; the reply says how many nanoseconds later it may be made.
pub(crate) const LIMITED: u16 = 22;

/// What is said of a result that cannot be sent.
pub(crate) fn of(error: &EncodeError) -> (u16, String) {
    match error {
        EncodeError::OutOfMemory(memory) => (NO_MEMORY, of_memory(memory)),
        error => (RESULT, error.to_string()),
    }
}

fn of_memory(NoMemory { lack, wanted, used, allowed }: &NoMemory) -> String {
    let lack = match lack {
        Lack::System(error) => *error,
        Lack::Space => SPACE,
        _ => QUOTA,
    };
    format!("{lack} {wanted} {used} {allowed}")
}

/// The error for a status other than that of a reply, and the text with it. `allowed` is the time that the call had.
pub(crate) fn error(status: u16, text: &str, method: MethodName, allowed: Duration) -> CallError {
    match status {
        NOT_RUN => CallError::TimedOut { method, after: allowed, may_have_run: false },
        STOPPING => CallError::NotStarted { method, why: None },
        ABANDONED => CallError::Abandoned { method },
        PANICKED => CallError::Panicked { method, message: text.into() },
        RESULT => CallError::Result { method, reason: text.into() },
        NO_MEMORY => CallError::NoMemory { method, server: true, memory: no_memory(text).into() },
        BUSY => CallError::Busy { method, server: true, reason: text.into() },
        DENIED => CallError::Denied { method, reason: text.into() },
        LIMITED => CallError::Limited { method, after: Duration::from_nanos(text.parse().unwrap_or(0)) },
        _ => CallError::Rejected { method, reason: text.into() },
    }
}

/// What the error of this status is called; `REPLIED` is that of a handler that returned one.
#[cfg(feature = "metrics")]
pub(crate) fn kind(status: u16) -> &'static str {
    match status {
        REPLIED => "Handler",
        status => error(status, "", MethodName { service: "", method: "" }, Duration::ZERO).kind(),
    }
}

/// How a call is answered whose interceptors have ended with this error; `ran`: its handler was begun.
pub(crate) fn of_error(error: CallError, ran: bool) -> (u16, String) {
    match error {
        CallError::Panicked { message, .. } => (PANICKED, message.into()),
        CallError::Abandoned { .. } => (ABANDONED, String::new()),
        CallError::Result { reason, .. } => (RESULT, reason.into()),
        CallError::NoMemory { memory, .. } if ran => (NO_MEMORY, of_memory(&memory)),
        // Whoever hears one of the others takes it that the handler has not run.
        error if ran => (RESULT, error.to_string()),
        CallError::TimedOut { may_have_run: false, .. } => (NOT_RUN, String::new()),
        CallError::NotStarted { .. } => (STOPPING, String::new()),
        CallError::Busy { reason, .. } => (BUSY, reason.into()),
        CallError::Rejected { reason, .. } => (REJECTED, reason.into()),
        CallError::Denied { reason, .. } => (DENIED, reason.into()),
        CallError::Limited { after, .. } => (LIMITED, clock::nanoseconds(after).to_string()),
        error => (DENIED, error.to_string()),
    }
}

// Where else the number of an error of the system is.
const QUOTA: i32 = 0;
const SPACE: i32 = -1;

/// What was said with [`NO_MEMORY`]. Nothing is known if there was no room to say it.
pub(crate) fn no_memory(text: &str) -> NoMemory {
    let mut words = text.split(' ');
    let lack = match words.next().and_then(|word| word.parse().ok()) {
        Some(QUOTA) => Lack::Quota,
        Some(error) if error > 0 => Lack::System(error),
        _ => Lack::Space,
    };
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    NoMemory { lack, wanted: number(), used: number(), allowed: number() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "metrics")]
    fn errors_are_called_as_those_of_clients() {
        let named = [REPLIED, NOT_RUN, STOPPING, ABANDONED, PANICKED, NO_MEMORY, LIMITED].map(kind);
        let expected = ["Handler", "TimedOut", "NotStarted", "Abandoned", "Panicked", "NoMemory", "Limited"];
        assert_eq!(named, expected);
    }

    #[test]
    fn what_is_said_of_memory_is_understood() {
        for lack in [Lack::Quota, Lack::Space, Lack::System(28)] {
            let none = NoMemory { lack, wanted: 1 << 30, used: 3, allowed: u64::MAX };
            let (status, text) = of(&EncodeError::OutOfMemory(none));
            assert_eq!((status, no_memory(&text)), (NO_MEMORY, none));
        }
        for nonsense in ["", "-7 x 99999999999999999999999", "0", " "] {
            assert_eq!(no_memory(nonsense).wanted, 0);
        }
    }
}
