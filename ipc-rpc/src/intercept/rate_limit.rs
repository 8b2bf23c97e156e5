//! So many calls a second.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_core::clock;

use super::{Call, Intercepted, Interceptor, Next};
use crate::executor::lock;

/// Lets so many calls a second through, and some more at once after a quiet time; the others fail with
/// [`CallError::Limited`](crate::CallError::Limited), which says when to come again. Clones share one count.
///
/// At a server it counts the calls of all clients; use one for each, found by [`Call::peer`], to be fair to each.
///
/// ```
/// use ipc_rpc::intercept::RateLimit;
/// use ipc_rpc::{CallError, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// let calc = calc.with_interceptor(RateLimit::new(0.1, 2)); // two at once, and then one in ten seconds
/// assert_eq!((calc.add(1, 2)?, calc.add(3, 4)?), (3, 7));
/// assert!(matches!(calc.add(5, 6), Err(CallError::Limited { after, .. }) if after.as_secs() >= 9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Nanoseconds from one call to the next.
    each: f64,
    /// How many can be saved up.
    burst: f64,
    /// When all that can be saved up is, in nanoseconds of `CLOCK_MONOTONIC`.
    full_at: Arc<Mutex<f64>>,
}

impl RateLimit {
    /// `per_second` calls a second, and up to `burst` at once (at least 1).
    ///
    /// ```
    /// let hundred = ipc_rpc::intercept::RateLimit::new(100.0, 10);
    /// assert!(hundred.take().is_ok());
    /// ```
    pub fn new(per_second: f64, burst: u32) -> Self {
        RateLimit { each: 1e9 / per_second.max(1e-9), burst: f64::from(burst.max(1)), full_at: Arc::default() }
    }

    /// Counts one call.
    ///
    /// # Errors
    /// When there is room for it.
    ///
    /// ```
    /// let one = ipc_rpc::intercept::RateLimit::new(0.1, 1);
    /// assert!(one.take().is_ok());
    /// assert!(one.take().is_err_and(|after| after.as_secs() >= 9));
    /// ```
    pub fn take(&self) -> Result<(), Duration> {
        self.take_at(clock::now() as f64)
    }

    fn take_at(&self, now: f64) -> Result<(), Duration> {
        let mut full_at = lock(&self.full_at);
        let then = full_at.max(now) + self.each;
        let late = then - now - self.burst * self.each;
        // A nanosecond is less than the numbers are exact to.
        if late > 1.0 {
            return Err(Duration::from_nanos(late as u64));
        }
        *full_at = then;
        Ok(())
    }
}

impl Interceptor for RateLimit {
    fn call(&self, call: Call, next: Next) -> Intercepted {
        let taken = self.take();
        Box::pin(async move {
            match taken {
                Ok(()) => next.run(call).await,
                Err(after) => Err(call.limited(after)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_some_at_once() {
        let limit = RateLimit::new(10.0, 3);
        let start = 5e9;
        let at = |milliseconds: f64| limit.take_at(start + milliseconds * 1e6);
        assert!(at(0.0).is_ok() && at(0.0).is_ok() && at(0.0).is_ok());
        assert_eq!(at(0.0), Err(Duration::from_millis(100)));
        assert_eq!(at(60.0), Err(Duration::from_millis(40)));
        assert!(at(100.0).is_ok());
        assert!(at(100.0).is_err());
        // No more is saved up than three.
        assert!(at(9000.0).is_ok() && at(9000.0).is_ok() && at(9000.0).is_ok() && at(9000.0).is_err());
        let never = RateLimit::new(0.0, 0);
        assert!(never.take_at(start).is_ok() && never.take_at(start * 1e6).is_err());
    }
}
