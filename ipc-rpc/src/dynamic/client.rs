//! A client of a service that is known by its description.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::raw::{self, Raw};
use super::{DynamicError, decode, encode_arguments};
use crate::call_error::CallError;
use crate::connect::{ClientConfig, ConnectError};
use crate::describe::{Description, MethodInfo, ServiceInfo, TypeInfo};
use crate::inspect::ServerInfo;
use crate::message::Message;
use crate::service::{MethodDesc, ServiceDesc};
use crate::stub::Stub;
use crate::trust::Trust;

/// A client of a service that this program has no types of. Clones share one connection, and any thread may call.
///
/// Replies are copied before they are read, whatever [`ClientConfig::trust`] says.
///
/// ```
/// use ipc_rpc::dynamic::{DynamicCallError, DynamicClient};
/// use ipc_rpc::{CallError, ClientConfig, Server, service};
/// use serde_json::json;
///
/// #[service]
/// pub trait Calc {
///     fn divide(&self, a: i64, b: i64) -> Result<i64, String>;
/// }
/// struct Plain;
/// impl Calc for Plain {
///     fn divide(&self, a: i64, b: i64) -> Result<i64, String> {
///         a.checked_div(b).ok_or("not by that".into())
///     }
/// }
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-dynamic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("calc.sock").display().to_string();
/// # let server = Server::bind(&name)?;
/// # let handle = server.handle();
/// # let thread = std::thread::spawn(|| server.serve(CalcDispatcher::new(Plain)));
/// let calc = DynamicClient::ask(&name, "Calc", &ClientConfig::default())?;
/// assert_eq!(calc.call("divide", &json!({"a": 7, "b": 2}))?, json!(3));
/// match calc.call("divide", &json!([7, 0])) {
///     Err(DynamicCallError::Call(CallError::Handler(error))) => assert_eq!(error, "not by that"),
///     other => panic!("{other:?}"),
/// }
/// # handle.shutdown();
/// # thread.join().unwrap()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DynamicClient {
    description: Arc<Description>,
    /// The place of the service in the description.
    service: usize,
    stub: Stub,
}

/// Why a call without types gave no result.
///
/// ```
/// use ipc_rpc::CallError;
/// use ipc_rpc::dynamic::DynamicCallError;
///
/// /// Is it worth another try?
/// fn passes(error: &DynamicCallError) -> bool {
///     matches!(error, DynamicCallError::Call(error) if error.is_retryable())
/// }
/// # let _ = passes;
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum DynamicCallError {
    /// The service has no such method.
    NoMethod {
        /// The service.
        service: String,
        /// The method.
        method: String,
        /// The methods that it has.
        known: Vec<String>,
    },
    /// The method cannot be called without types: it takes or gives streams, objects or descriptors.
    Unsupported {
        /// The method, with its service.
        method: String,
        /// The type.
        ty: String,
    },
    /// The arguments are not those of the method; nothing was sent.
    Arguments(DynamicError),
    /// The call failed; [`CallError::Handler`] has the error of the handler.
    Call(CallError<Value>),
    /// The reply is no value of its type; the handler has run.
    Reply(DynamicError),
}

impl fmt::Display for DynamicCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DynamicCallError::NoMethod { service, method, known } => {
                write!(f, "{service} has no method {method:?}, but {}", known.join(", "))
            }
            DynamicCallError::Unsupported { method, ty } => {
                write!(f, "{method} cannot be called without types: a {ty} cannot be written as JSON")
            }
            DynamicCallError::Arguments(error) => error.fmt(f),
            DynamicCallError::Call(error) => error.fmt(f),
            DynamicCallError::Reply(error) => write!(f, "the reply: {error}"),
        }
    }
}

impl std::error::Error for DynamicCallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DynamicCallError::Arguments(error) | DynamicCallError::Reply(error) => Some(error),
            DynamicCallError::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl DynamicClient {
    /// Connects to the server called `name`, and asks it what its service looks like.
    ///
    /// The example at [`DynamicClient`] calls it.
    ///
    /// # Errors
    ///
    /// As [`connect`](DynamicClient::connect).
    pub fn ask(name: impl AsRef<str>, service: &str, config: &ClientConfig) -> Result<Self, ConnectError> {
        let info = ServerInfo::of(name.as_ref(), config.connect_timeout)?;
        DynamicClient::connect(name, &info.description, service, config)
    }

    /// Connects to the server called `name`, to call a service of the description.
    ///
    /// ```
    /// use ipc_rpc::describe::Description;
    /// use ipc_rpc::dynamic::DynamicClient;
    /// use ipc_rpc::ClientConfig;
    ///
    /// /// A description that was kept in a file, so that the server need not be asked.
    /// fn connect(kept: &[u8]) -> Result<DynamicClient, Box<dyn std::error::Error>> {
    ///     let description = Description::from_bytes(kept)?;
    ///     Ok(DynamicClient::connect("calc", &description, "Calc", &ClientConfig::default())?)
    /// }
    /// # let _ = connect;
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; [`ConnectError::Config`] if the description has no such service, and
    /// [`ConnectError::Incompatible`] if the server has other methods of these names than the description.
    pub fn connect(
        name: impl AsRef<str>,
        description: &Description,
        service: &str,
        config: &ClientConfig,
    ) -> Result<Self, ConnectError> {
        let Some(number) = description.services.iter().position(|known| known.name == service) else {
            let known: Vec<&str> = description.services.iter().map(|known| known.name.as_str()).collect();
            let reason = format!("the description has no service {service:?}, but {}", known.join(", "));
            return Err(ConnectError::Config { reason });
        };
        let config = ClientConfig { trust: Some(Trust::Snapshot), ..config.clone() };
        let stub = Stub::connect(known(&description.services[number]), name, &config)?;
        Ok(DynamicClient { description: Arc::new(description.clone()), service: number, stub })
    }

    /// The service.
    ///
    /// ```
    /// use ipc_rpc::dynamic::DynamicClient;
    ///
    /// fn methods(client: &DynamicClient) -> Vec<&str> {
    ///     client.service().methods.iter().map(|method| method.name.as_str()).collect()
    /// }
    /// # let _ = methods;
    /// ```
    pub fn service(&self) -> &ServiceInfo {
        &self.description.services[self.service]
    }

    /// A client of the same connection whose calls fail when there is no reply after `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ipc_rpc::dynamic::DynamicClient;
    ///
    /// fn hasty(client: &DynamicClient) -> DynamicClient {
    ///     client.with_timeout(Duration::from_millis(50))
    /// }
    /// # let _ = hasty;
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        DynamicClient { stub: self.stub.with_timeout(timeout), ..self.clone() }
    }

    /// A client of the same connection whose calls tell the handler that `key` is `value`.
    ///
    /// ```
    /// use ipc_rpc::dynamic::DynamicClient;
    ///
    /// fn on_behalf_of(client: &DynamicClient, tenant: &str) -> DynamicClient {
    ///     client.with_metadata("tenant", tenant)
    /// }
    /// # let _ = on_behalf_of;
    /// ```
    #[must_use]
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        DynamicClient { stub: self.stub.with_metadata(key, value), ..self.clone() }
    }

    /// Calls a method; its arguments are written as for [`encode_arguments`](super::encode_arguments()). A one-way method
    /// gives `null`, at once.
    ///
    /// The example at [`DynamicClient`] calls it.
    ///
    /// # Errors
    ///
    /// [`DynamicCallError`].
    pub fn call(&self, method: &str, arguments: &Value) -> Result<Value, DynamicCallError> {
        let (number, info) = self.method(method)?;
        let request = encode_arguments(&self.description, info, arguments).map_err(DynamicCallError::Arguments)?;
        let reply = self.call_bytes(number, request)?;
        if info.oneway {
            return Ok(Value::Null);
        }
        let value = decode(&self.description, info.result, &reply).map_err(DynamicCallError::Reply)?;
        match (self.description.kind(info.result), value) {
            (Some(TypeInfo::Fallible(..)), Value::Object(outcome)) => match outcome.into_iter().next() {
                Some((name, error)) if name == "Err" => Err(DynamicCallError::Call(CallError::Handler(error))),
                Some((_, value)) => Ok(value),
                None => Ok(Value::Null),
            },
            (_, value) => Ok(value),
        }
    }

    /// Has the server answer a request that runs nothing, by the way that calls take; gives the time there and back.
    ///
    /// ```
    /// # use ipc_rpc::dynamic::DynamicClient;
    /// # use ipc_rpc::{ClientConfig, Server, describe::Description, service};
    /// #[service]
    /// pub trait Calc { fn add(&self, a: i64, b: i64) -> i64; }
    /// # struct Plain;
    /// # impl Calc for Plain { fn add(&self, a: i64, b: i64) -> i64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-ping-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::bind(&name)?;
    /// # let handle = server.handle();
    /// # let thread = std::thread::spawn(|| server.serve(CalcDispatcher::new(Plain)));
    /// let description = Description::of_client::<CalcClient>();
    /// let calc = DynamicClient::connect(&name, &description, "Calc", &ClientConfig::default())?;
    /// let time = calc.ping()?;
    /// assert!(!time.is_zero());
    /// # handle.shutdown();
    /// # thread.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`]: there was no answer.
    pub fn ping(&self) -> Result<Duration, CallError> {
        let begin = Instant::now();
        self.stub.ping().map(|()| begin.elapsed())
    }

    /// The method of this name that can be called, and its number.
    fn method(&self, name: &str) -> Result<(u16, &MethodInfo), DynamicCallError> {
        let service = self.service();
        let found = (0u16..).zip(&service.methods).find(|(_, method)| method.name == name);
        let (number, info) = found.ok_or_else(|| DynamicCallError::NoMethod {
            service: service.name.clone(),
            method: name.into(),
            known: service.methods.iter().map(|method| method.name.clone()).collect(),
        })?;
        let living = |ty: u32, also_descriptors: bool| {
            let part = self.description.living_part(ty)?;
            (also_descriptors || !matches!(part, TypeInfo::Descriptor(_))).then(|| self.description.name(ty))
        };
        // An argument may be an `Option` of a descriptor.
        let mut living_params = info.params.iter().filter_map(|param| living(param.ty, false));
        match living_params.next().or_else(|| living(info.result, true)) {
            None => Ok((number, info)),
            Some(ty) => Err(DynamicCallError::Unsupported { method: format!("{}::{name}", service.name), ty }),
        }
    }

    /// What the server serves, as far as this client knows.
    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    /// Makes a call of bytes; those of a one-way method have no reply.
    pub(crate) fn call_bytes(&self, method: u16, request: Vec<u8>) -> Result<Vec<u8>, DynamicCallError> {
        let request = Raw(request);
        let oneway = self.service().methods.get(usize::from(method)).is_some_and(|method| method.oneway);
        let reply = match oneway {
            true => self.stub.oneway::<Raw>(method, &request).map(|()| Vec::new()),
            false => raw::call(&self.stub, method, &request),
        };
        reply.map_err(|error| DynamicCallError::Call(error.widen()))
    }
}

/// The table that a client is made of. They are kept: a program talks to few services, and to the same ones again.
fn known(service: &ServiceInfo) -> &'static ServiceDesc {
    static KNOWN: Mutex<Vec<(ServiceInfo, &'static ServiceDesc)>> = Mutex::new(Vec::new());
    // The texts say nothing about a call.
    let bare =
        |method: &MethodInfo| MethodInfo { docs: String::new(), params: Vec::new(), result: 0, ..method.clone() };
    let methods = service.methods.iter().map(bare).collect();
    let own = ServiceInfo { name: service.name.clone(), docs: String::new(), methods };
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, desc)) = all.iter().find(|(known, _)| *known == own) {
        return desc;
    }
    let text = |text: &str| -> &'static str { Box::leak(text.into()) };
    let methods = own.methods.iter().map(|method| MethodDesc {
        name: text(&method.name),
        docs: "",
        params: &[],
        result: <() as Message>::desc,
        oneway: method.oneway,
        idempotent: method.idempotent,
        long: false,
        asynchronous: false,
    });
    let fingerprints: Vec<u64> = own.methods.iter().map(|method| method.fingerprint).collect();
    let desc: &'static ServiceDesc = Box::leak(Box::new(ServiceDesc {
        name: text(&own.name),
        docs: "",
        methods: methods.collect::<Vec<_>>().leak(),
        callbacks: &[],
        fingerprints: Some(fingerprints.leak()),
    }));
    all.push((own, desc));
    desc
}
