//! Layers of tower around calls.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Call, Done, Intercepted, Interceptor, Next};
use crate::call_error::CallError;
use crate::executor::lock;

/// A layer of tower as an interceptor, of a client or of a server (feature `tower`).
///
/// The service that the layer makes has to be `Clone`: one that is not can be put into a buffer, as with
/// `ServiceBuilder::buffer`. Its requests are [`TowerCall`]s, its responses [`Done`]s; what it changes in a request reaches the call.
/// An error of its own becomes [`CallError::Denied`] if the call was not made, else [`CallError::Result`]; a [`CallError`] stays
/// what it is.
///
/// Where it waits is said [here](super#where-it-runs): a layer with timers of tokio, such as a timeout, needs calls that are awaited
/// in tokio, at a server `async` handlers that run there ([`ServerBuilder::spawn_with`](crate::ServerBuilder::spawn_with),
/// [`Server::serve_async`](crate::Server::serve_async)).
///
/// ```
/// use ipc_rpc::intercept::Tower;
/// use ipc_rpc::{service, testing};
/// use tower::limit::ConcurrencyLimitLayer;
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// let calc = calc.with_interceptor(Tower::new(ConcurrencyLimitLayer::new(4))); // four at once, the others wait
/// assert_eq!(calc.add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tower<S>(Mutex<S>);

impl<S> Tower<S> {
    /// The service that `layer` makes of calls. The example at [`Tower`] has one.
    pub fn new<L>(layer: L) -> Self
    where
        L: Layer<TowerCalls, Service = S>,
        S: Service<TowerCall, Response = Done>,
    {
        Tower(Mutex::new(layer.layer(TowerCalls(()))))
    }
}

impl<S> std::fmt::Debug for Tower<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tower(..)")
    }
}

impl<S> Interceptor for Tower<S>
where
    S: Service<TowerCall, Response = Done> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    fn call(&self, call: Call, next: Next) -> Intercepted {
        let mut service = lock(&self.0).clone();
        Box::pin(async move {
            let (method, made) = (call.method(), Arc::<AtomicBool>::default());
            let request = TowerCall { call, next, made: made.clone() };
            let done: Result<Done, Box<dyn Error + Send + Sync>> =
                match poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into) {
                    Ok(()) => service.call(request).await.map_err(Into::into),
                    Err(error) => Err(error),
                };
            done.map_err(|error| match error.downcast::<CallError<Infallible>>() {
                Ok(error) => *error,
                Err(error) => {
                    let reason = error.to_string().into();
                    match made.load(Ordering::Relaxed) {
                        true => CallError::Result { method, reason },
                        false => CallError::Denied { method, reason },
                    }
                }
            })
        })
    }
}

/// A call as a request of tower; see [`Tower`]. Clones are the same call, for what makes it again.
///
/// ```
/// use ipc_rpc::intercept::TowerCall;
/// /// As a filter for `ServiceBuilder::filter` or `map_request`.
/// fn tagged(mut request: TowerCall) -> TowerCall {
///     request.call.set("by", "tower");
///     request
/// }
/// # let _ = tagged;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TowerCall {
    /// The call.
    pub call: Call,
    next: Next,
    made: Arc<AtomicBool>,
}

/// The service that makes the calls behind a layer; see [`Tower`].
///
/// ```
/// fn is_a_service<S: tower::Service<ipc_rpc::intercept::TowerCall>>() {}
/// is_a_service::<ipc_rpc::intercept::TowerCalls>();
/// ```
#[derive(Debug, Clone)]
pub struct TowerCalls(());

impl Service<TowerCall> for TowerCalls {
    type Response = Done;
    type Error = CallError;
    type Future = Intercepted;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TowerCall) -> Intercepted {
        Box::pin(async move {
            request.made.store(true, Ordering::Relaxed);
            let done = request.next.run(request.call).await;
            // A call that has not run for certain can be denied still.
            if done.as_ref().is_err_and(|error| !error.may_have_run()) {
                request.made.store(false, Ordering::Relaxed);
            }
            done
        })
    }
}
