//! The least runtime that an expansion of `#[service]` works with: client and dispatcher in one thread, every request and
//! reply a real archive. Services name it with `#[service(crate = crate::loopback)]`; what fails with it fails in the macro.

/// What expansions name.
pub mod __private {
    pub use ::core;
    pub use ::std::{string::String, vec::Vec};
    pub use ipc_rpc::__private::*;

    use std::convert::Infallible;
    use std::ptr::NonNull;
    use std::sync::Arc;
    use std::time::Duration;

    #[derive(Debug)]
    pub struct Owned;
    #[derive(Debug)]
    pub struct Viewing;
    #[derive(Debug, Default)]
    pub struct ClientConfig;
    #[derive(Debug)]
    pub struct ConnectError;
    #[derive(Debug, PartialEq)]
    pub enum CallError<E = Infallible> {
        Service(E),
        UnknownMethod,
        Refused(String),
    }

    pub struct ServiceDesc {
        pub name: &'static str,
        pub methods: &'static [MethodDesc],
    }
    pub struct MethodDesc {
        pub name: &'static str,
        pub params: &'static [ParamDesc],
        pub result: fn() -> &'static Desc,
    }
    pub struct ParamDesc {
        pub name: &'static str,
        pub desc: fn() -> &'static Desc,
    }

    /// An archive, aligned as messages are.
    pub struct Archive {
        words: Vec<u128>,
        len: usize,
    }

    struct Full;

    // SAFETY: no buffer is ever returned.
    unsafe impl Grow for Full {
        fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
            panic!("the loopback has no room for {needed} bytes")
        }
    }

    impl Archive {
        fn of<A: Message>(value: &impl Argument<A>) -> Archive {
            let mut words = vec![0_u128; 256];
            let buffer = Buffer { data: NonNull::from(words.as_mut_slice()).cast(), len: 16 * 256 };
            // SAFETY: `words` outlives the call and has this many bytes.
            let len = unsafe { encode::<A>(value, buffer, &mut Full) }.expect("small values are encoded");
            Archive { words, len }
        }

        fn form<T: Message>(&self) -> &T::Form {
            // SAFETY: `words` has at least `len` bytes, borrowed as long as the form.
            unsafe { access::<T>(self.words.as_ptr().cast(), self.len) }.expect("what was encoded is valid")
        }
    }

    #[derive(Clone)]
    pub struct Stub {
        server: Arc<dyn Dispatch>,
        pub timeout: Option<Duration>,
    }

    impl core::fmt::Debug for Stub {
        fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(formatter, "Stub({:?})", self.timeout)
        }
    }

    impl Stub {
        pub fn connect(_: &'static ServiceDesc, _: impl AsRef<str>, _: &ClientConfig) -> Result<Stub, ConnectError> {
            Err(ConnectError)
        }

        pub fn with_timeout(&self, timeout: Duration) -> Stub {
            Stub { timeout: Some(timeout), ..self.clone() }
        }

        pub fn call<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<R, CallError> {
            let reply = self.ask::<A, Infallible>(method, args)?;
            Ok(decode::<R>(reply.form::<R>()).expect("what was encoded is decoded"))
        }

        pub fn call_result<A: Message, R: Message, E: Message>(
            &self,
            method: u16,
            args: &impl Argument<A>,
        ) -> Result<R, CallError<E>> {
            let reply = self.ask::<A, E>(method, args)?;
            decode::<Result<R, E>>(reply.form::<Result<R, E>>())
                .expect("what was encoded is decoded")
                .map_err(CallError::Service)
        }

        pub fn view<A: Message, R: Message>(
            &self,
            method: u16,
            args: &impl Argument<A>,
        ) -> Result<Reply<R>, CallError> {
            Ok(Reply { value: self.call::<A, R>(method, args)? })
        }

        pub fn view_result<A: Message, R: Message, E: Message>(
            &self,
            method: u16,
            args: &impl Argument<A>,
        ) -> Result<Reply<R>, CallError<E>> {
            Ok(Reply { value: self.call_result::<A, R, E>(method, args)? })
        }

        fn ask<A: Message, E>(&self, method: u16, args: &impl Argument<A>) -> Result<Archive, CallError<E>> {
            let request = Archive::of::<A>(args);
            match self.server.dispatch(method, Incoming { request: &request }) {
                Ok(Replied { reply }) => Ok(reply),
                Err(Refused::UnknownMethod) => Err(CallError::UnknownMethod),
                Err(Refused::Message(error)) => Err(CallError::Refused(error.to_string())),
            }
        }
    }

    #[derive(Debug)]
    pub struct Reply<T> {
        pub value: T,
    }

    pub struct Incoming<'a> {
        request: &'a Archive,
    }
    pub struct Replied {
        reply: Archive,
    }
    pub enum Refused {
        UnknownMethod,
        Message(MessageError),
    }

    impl From<MessageError> for Refused {
        fn from(error: MessageError) -> Refused {
            Refused::Message(error)
        }
    }

    impl<'a> Incoming<'a> {
        pub fn args<A: Message>(&self) -> Result<&'a A::Form, Refused> {
            Ok(self.request.form::<A>())
        }

        pub fn reply<R: Message>(self, value: &R) -> Result<Replied, Refused> {
            Ok(Replied { reply: Archive::of::<R>(value) })
        }

        pub fn unknown_method(self) -> Result<Replied, Refused> {
            Err(Refused::UnknownMethod)
        }
    }

    pub trait Dispatch: Send + Sync + 'static {
        fn service(&self) -> &'static ServiceDesc;
        fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused>;
    }

    pub trait Pair: Dispatch + Sized {
        type Client;
        fn client(stub: Stub) -> Self::Client;
    }

    /// A client of `dispatcher`.
    pub fn pair<D: Pair>(dispatcher: D) -> D::Client {
        D::client(stub(dispatcher))
    }

    /// The untyped client of `dispatcher`.
    pub fn stub(dispatcher: impl Dispatch) -> Stub {
        Stub { server: Arc::new(dispatcher), timeout: None }
    }

    /// The lines that describe a method: its parameters and its result.
    pub fn described(method: &MethodDesc) -> Vec<String> {
        let params = method.params.iter().map(|param| format!("{}: {}", param.name, (param.desc)().name()));
        params.chain([(method.result)().name().to_string()]).collect()
    }
}
