//! Calls that are made again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::{Call, Intercepted, Interceptor, Next};
use crate::call_error::CallError;

/// Makes calls again that have failed, some time later: those that have not run, and those of methods marked
/// `#[rpc(idempotent)]` also if they may have. That a handler returned an error is no failure.
///
/// What a client does by itself when its server is restarted ([`Reconnect`](crate::Reconnect)) it does inside of this. This is
/// for what passes otherwise: all blocks in use, limits of the server's, no memory.
///
/// ```
/// use std::time::Duration;
/// use ipc_rpc::intercept::{RateLimit, Retry};
/// use ipc_rpc::{Server, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let server = Server::builder().intercept(RateLimit::new(200.0, 1));
/// let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
/// let calc = calc.with_interceptor(Retry { attempts: 50, ..Retry::default() });
/// assert_eq!((calc.add(1, 2)?, calc.add(3, 4)?), (3, 7)); // the second one some 5 ms later
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often a call is made at most, the first time included. Default: 3.
    pub attempts: u32,
    /// The pause after the first attempt; each is twice as long as the one before, and varies by up to a half. Default: 1 ms.
    pub first: Duration,
    /// The longest pause. A call with a time limit that is told to come later ([`CallError::Limited`]) waits as long as it is told, if
    /// there is time; one without a limit does so if it is not longer than this. Default: 250 ms.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 3, first: Duration::from_millis(1), longest: Duration::from_millis(250) }
    }
}

impl Retry {
    /// How long to wait before `call` is made once more, which has failed with `error` for the `count`-th time.
    fn pause(&self, call: &Call, error: &CallError, count: u32) -> Option<Duration> {
        let helps = error.is_retryable() || call.is_idempotent() && matches!(error, CallError::MayHaveRun { .. });
        if !helps || !call.is_repeatable() || count >= self.attempts {
            return None;
        }
        let pause = self.first.saturating_mul(1 << count.saturating_sub(1).min(20)).min(self.longest);
        // The standard library's keys are random.
        let random = RandomState::new().hash_one(count) >> 32;
        let pause = pause.mul_f64(0.5 + random as f64 / 2f64.powi(33));
        let (pause, most) = match (error, call.remaining()) {
            (CallError::Limited { after, .. }, left) => (pause.max(*after), left.unwrap_or(self.longest)),
            (_, left) => (pause, left.unwrap_or(Duration::MAX)),
        };
        (pause <= most).then_some(pause)
    }
}

impl Interceptor for Retry {
    fn call(&self, call: Call, next: Next) -> Intercepted {
        let retry = *self;
        Box::pin(async move {
            let mut count = 1;
            loop {
                let error = match next.run(call.clone()).await {
                    Err(error) => error,
                    done => return done,
                };
                let Some(pause) = retry.pause(&call, &error, count) else { return Err(error) };
                next.pause(pause).await;
                count += 1;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ipc_core::clock;

    use super::super::Kind;
    use super::*;
    use crate::call_error::MethodName;

    #[test]
    fn pauses_grow_and_end() {
        let method = MethodName { service: "Calc", method: "add" };
        let call = |idempotent, repeatable, deadline| {
            Call::new(method, Kind { oneway: false, idempotent, repeatable }, Default::default(), deadline, None)
        };
        let plain = call(false, true, None);
        let retry = Retry { attempts: 30, ..Retry::default() };
        let limited = CallError::Limited { method, after: Duration::ZERO };
        for count in 1..30 {
            let most = Duration::from_millis(1 << (count - 1).min(8)).min(retry.longest);
            let pause = retry.pause(&plain, &limited, count).unwrap();
            assert!(pause >= most / 2 && pause <= most, "{count}: {pause:?}");
        }
        assert_eq!(retry.pause(&plain, &limited, 30), None);
        let later = CallError::Limited { method, after: Duration::from_secs(7) };
        assert_eq!(retry.pause(&plain, &later, 1), None);
        let soon = call(false, true, Some(clock::after(Duration::from_secs(60))));
        assert_eq!(retry.pause(&soon, &later, 1), Some(Duration::from_secs(7)));
        assert_eq!(retry.pause(&call(false, true, Some(1)), &limited, 1), None);
        assert_eq!(retry.pause(&call(false, false, None), &limited, 1), None);
        let unclear = CallError::MayHaveRun { method };
        assert_eq!(retry.pause(&plain, &unclear, 1), None);
        assert!(retry.pause(&call(true, true, None), &unclear, 1).is_some());
    }
}
