//! A token that callers know.

use std::hint::black_box;
use std::sync::Arc;

use super::{Call, Intercepted, Interceptor, Next};

/// A secret that both sides know: around the calls of a client it puts it into their metadata, around the handlers of a server
/// it denies the calls that come without ([`CallError::Denied`](crate::CallError::Denied)).
///
/// The processes that may connect are the ones that [`ServerBuilder`](crate::ServerBuilder) lets in; this is for what is finer
/// than that. How long it takes to deny a call does not tell how much of the secret was right. The handler does not see it.
///
/// ```
/// use ipc_rpc::intercept::Authenticate;
/// use ipc_rpc::{CallError, Server, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let server = Server::builder().intercept(Authenticate::with("xyzzy"));
/// let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
/// assert!(matches!(calc.add(1, 2), Err(CallError::Denied { .. })));
/// let calc = calc.with_interceptor(Authenticate::with("xyzzy"));
/// assert_eq!(calc.add(1, 2)?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Authenticate(Arc<str>);

/// Where the secret is in the metadata.
pub(crate) const KEY: &str = "authorization";

impl Authenticate {
    /// With this secret, which travels as the text `authorization` of the metadata.
    ///
    /// ```
    /// let both = ipc_rpc::intercept::Authenticate::with("xyzzy");
    /// assert_eq!(format!("{both:?}"), "Authenticate(..)");
    /// ```
    pub fn with(secret: impl Into<Arc<str>>) -> Self {
        Authenticate(secret.into())
    }

    fn accepts(&self, said: &str) -> bool {
        let (own, said) = (self.0.as_bytes(), said.as_bytes());
        let unequal = own.iter().zip(said).fold(0, |unequal, (a, b)| black_box(unequal | (a ^ b)));
        own.len() == said.len() && unequal == 0
    }
}

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticate(..)")
    }
}

impl Interceptor for Authenticate {
    fn call(&self, mut call: Call, next: Next) -> Intercepted {
        let denied = match call.peer() {
            None => {
                call.set(KEY, &*self.0);
                None
            }
            Some(_) => match call.metadata.remove(KEY) {
                Some(said) if self.accepts(&said) => None,
                Some(_) => Some("its token is wrong"),
                None => Some("it comes without a token"),
            },
        };
        Box::pin(async move {
            match denied {
                None => next.run(call).await,
                Some(reason) => Err(call.denied(reason)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_accepted() {
        let secret = Authenticate::with("open sesame");
        assert!(secret.accepts("open sesame"));
        for wrong in ["", "o", "open sesamf", "open sesame ", "pen sesame", "Open sesame"] {
            assert!(!secret.accepts(wrong), "{wrong:?}");
        }
    }
}
