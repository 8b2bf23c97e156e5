/// Adds numbers and remembers words.
pub trait Calc: Send {
    /// The sum of `a` and `b`.
    fn add(&self, a: u64, b: u64) -> u64;
    #[cfg(feature = "words")]
    fn find(
        &self,
        query: &Query,
        names: &[f32],
        from: Option<&str>,
    ) -> Result<Vec<Hit>, Failed>;
    fn r#match(&self, text: &str, query: &Archived<Query>) {}
}
/// Client of the service [`Calc`]. Clones share one connection, and any thread may call.
///
/// Adds numbers and remembers words.
pub struct CalcClient<M = ::ipc_rpc::__private::Owned> {
    stub: ::ipc_rpc::__private::Stub,
    mode: ::ipc_rpc::__private::core::marker::PhantomData<fn() -> M>,
}
impl<M> CalcClient<M> {
    /// A client of the same connection whose calls fail when there is no reply after `timeout`.
    #[must_use]
    pub fn with_timeout(
        &self,
        timeout: ::ipc_rpc::__private::core::time::Duration,
    ) -> Self {
        Self {
            stub: ::ipc_rpc::__private::Stub::with_timeout(&self.stub, timeout),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection whose calls are part of what `context` belongs to: they end when its time
    /// is over, and carry its metadata and its trace. In a handler they are without this.
    #[must_use]
    pub fn with_context(&self, context: &::ipc_rpc::__private::Context) -> Self {
        Self {
            stub: ::ipc_rpc::__private::Stub::with_context(&self.stub, context),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection whose calls tell the handler that `key` is `value`.
    #[must_use]
    pub fn with_metadata(
        &self,
        key: impl ::ipc_rpc::__private::core::convert::Into<
            ::ipc_rpc::__private::String,
        >,
        value: impl ::ipc_rpc::__private::core::convert::Into<
            ::ipc_rpc::__private::String,
        >,
    ) -> Self {
        Self {
            stub: ::ipc_rpc::__private::Stub::with_metadata(&self.stub, key, value),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection whose calls belong to this trace.
    #[must_use]
    pub fn with_trace(&self, trace: ::ipc_rpc::__private::TraceId) -> Self {
        Self {
            stub: ::ipc_rpc::__private::Stub::with_trace(&self.stub, trace),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection with `interceptor` around each of its calls, inside of those that there are.
    #[must_use]
    pub fn with_interceptor(
        &self,
        interceptor: impl ::ipc_rpc::__private::Interceptor,
    ) -> Self {
        Self {
            stub: ::ipc_rpc::__private::Stub::with_interceptor(&self.stub, interceptor),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// Memory for `len` elements to be filled in place, that calls of this connection pass without copying it.
    ///
    /// # Errors
    ///
    /// When there is no room for so many.
    pub fn loan<T: ::ipc_rpc::__private::Message>(
        &self,
        len: ::ipc_rpc::__private::core::primitive::usize,
    ) -> ::ipc_rpc::__private::core::result::Result<
        ::ipc_rpc::__private::Loan<T>,
        ::ipc_rpc::__private::LoanError,
    > {
        ::ipc_rpc::__private::Stub::loan(&self.stub, len)
    }
}
impl CalcClient<::ipc_rpc::__private::Owned> {
    /// A client of the same connection whose calls return replies that are read where they lie.
    #[must_use]
    pub fn view(&self) -> CalcClient<::ipc_rpc::__private::Viewing> {
        CalcClient {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection whose calls return before the reply is there, which can be waited for or
    /// awaited: many calls can be on their way.
    #[must_use]
    pub fn start(&self) -> CalcClient<::ipc_rpc::__private::Starting> {
        CalcClient {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// Runs `calls` with a client as [`start`](Self::start) gives it, and tells the server of all its calls at once:
    /// at the end, or when something is waited for.
    pub fn batch<R>(
        &self,
        calls: impl ::ipc_rpc::__private::core::ops::FnOnce(
            &CalcClient<::ipc_rpc::__private::Starting>,
        ) -> R,
    ) -> R {
        ::ipc_rpc::__private::Stub::batch(
            &self.stub,
            |stub| calls(
                &CalcClient {
                    stub,
                    mode: ::ipc_rpc::__private::core::marker::PhantomData,
                },
            ),
        )
    }
    /// Waits until the server has dealt with all one-way calls that were made on this connection before.
    ///
    /// # Errors
    ///
    /// When that takes too long, or when the connection ends before.
    pub fn flush(
        &self,
    ) -> ::ipc_rpc::__private::core::result::Result<
        (),
        ::ipc_rpc::__private::CallError,
    > {
        ::ipc_rpc::__private::Stub::flush(&self.stub)
    }
    /// Waits as [`flush`](Self::flush) does, without blocking the thread.
    ///
    /// # Errors
    ///
    /// The same as [`flush`](Self::flush).
    pub async fn flush_async(
        &self,
    ) -> ::ipc_rpc::__private::core::result::Result<
        (),
        ::ipc_rpc::__private::CallError,
    > {
        ::ipc_rpc::__private::Stub::flush_async(&self.stub).await
    }
}
impl<M> ::ipc_rpc::__private::core::clone::Clone for CalcClient<M> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
}
impl<M> ::ipc_rpc::__private::core::fmt::Debug for CalcClient<M> {
    fn fmt(
        &self,
        formatter: &mut ::ipc_rpc::__private::core::fmt::Formatter<'_>,
    ) -> ::ipc_rpc::__private::core::fmt::Result {
        let mut debug = ::ipc_rpc::__private::core::fmt::Formatter::debug_struct(
            formatter,
            "CalcClient",
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::field(
            &mut debug,
            "stub",
            &self.stub,
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::finish(&mut debug)
    }
}
/// Serves calls to [`Calc`] with a value that implements it. Clones serve the same value.
pub struct CalcDispatcher<S> {
    service: ::ipc_rpc::__private::Arc<S>,
}
impl<S> ::ipc_rpc::__private::core::clone::Clone for CalcDispatcher<S> {
    fn clone(&self) -> Self {
        Self {
            service: ::ipc_rpc::__private::core::clone::Clone::clone(&self.service),
        }
    }
}
impl<S> ::ipc_rpc::__private::core::fmt::Debug for CalcDispatcher<S> {
    fn fmt(
        &self,
        formatter: &mut ::ipc_rpc::__private::core::fmt::Formatter<'_>,
    ) -> ::ipc_rpc::__private::core::fmt::Result {
        let mut debug = ::ipc_rpc::__private::core::fmt::Formatter::debug_struct(
            formatter,
            "CalcDispatcher",
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::finish_non_exhaustive(&mut debug)
    }
}
const _: () = {
    enum __Position {
        add,
        #[cfg(feature = "words")]
        find,
        r#match,
    }
    struct __Method;
    impl __Method {
        const add: u16 = __Position::add as u16;
        #[cfg(feature = "words")]
        const find: u16 = __Position::find as u16;
        const r#match: u16 = __Position::r#match as u16;
    }
    static __SERVICE: ::ipc_rpc::__private::ServiceDesc = ::ipc_rpc::__private::ServiceDesc {
        name: "Calc",
        docs: "Adds numbers and remembers words.",
        methods: &[
            ::ipc_rpc::__private::MethodDesc {
                name: "add",
                docs: "The sum of `a` and `b`.",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "a",
                        desc: <u64 as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "b",
                        desc: <u64 as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <u64 as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: false,
            },
            #[cfg(feature = "words")]
            ::ipc_rpc::__private::MethodDesc {
                name: "find_word",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "query",
                        desc: <Query as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "names",
                        desc: <::ipc_rpc::__private::Vec<
                            f32,
                        > as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "from",
                        desc: <::ipc_rpc::__private::core::option::Option<
                            ::ipc_rpc::__private::String,
                        > as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <Result<
                    Vec<Hit>,
                    Failed,
                > as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: false,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "match",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "text",
                        desc: <::ipc_rpc::__private::String as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "query",
                        desc: <Query as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <() as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: false,
            },
        ],
        callbacks: &[],
        fingerprints: ::ipc_rpc::__private::core::option::Option::None,
    };
    impl CalcClient<::ipc_rpc::__private::Owned> {
        /// Connects to the server called `name`; a `name` with a slash in it is the path of the server's socket.
        ///
        /// # Errors
        ///
        /// When there is no such server, or when it does not speak this service.
        pub fn connect(
            name: impl ::ipc_rpc::__private::core::convert::AsRef<str>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            Self,
            ::ipc_rpc::__private::ConnectError,
        > {
            Self::connect_with(
                name,
                &::ipc_rpc::__private::core::default::Default::default(),
            )
        }
        /// Connects as [`connect`](Self::connect) does, with other settings.
        ///
        /// # Errors
        ///
        /// The same as [`connect`](Self::connect).
        pub fn connect_with(
            name: impl ::ipc_rpc::__private::core::convert::AsRef<str>,
            config: &::ipc_rpc::__private::ClientConfig,
        ) -> ::ipc_rpc::__private::core::result::Result<
            Self,
            ::ipc_rpc::__private::ConnectError,
        > {
            ::ipc_rpc::__private::core::result::Result::map(
                ::ipc_rpc::__private::Stub::connect(&__SERVICE, name, config),
                |stub| Self {
                    stub,
                    mode: ::ipc_rpc::__private::core::marker::PhantomData,
                },
            )
        }
    }
    impl ::ipc_rpc::__private::Handle for CalcClient<::ipc_rpc::__private::Owned> {
        fn over(stub: ::ipc_rpc::__private::Stub) -> Self {
            Self {
                stub,
                mode: ::ipc_rpc::__private::core::marker::PhantomData,
            }
        }
        fn service() -> &'static ::ipc_rpc::__private::ServiceDesc {
            &__SERVICE
        }
        fn stub(&self) -> &::ipc_rpc::__private::Stub {
            &self.stub
        }
    }
    impl ::ipc_rpc::__private::CallBack for CalcClient<::ipc_rpc::__private::Owned> {}
    impl CalcClient<::ipc_rpc::__private::Owned> {
        /// The sum of `a` and `b`.
        #[inline]
        pub fn add(
            &self,
            a: u64,
            b: u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            u64,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::call::<
                (u64, u64),
                u64,
            >(&self.stub, __Method::add, &(&a, &b))
        }
        #[cfg(feature = "words")]
        /// Calls `Calc::find_word` on the server.
        #[inline]
        pub fn find(
            &self,
            query: &Query,
            names: &[f32],
            from: Option<&str>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            Vec<Hit>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::call_result::<
                (
                    Query,
                    ::ipc_rpc::__private::Vec<f32>,
                    ::ipc_rpc::__private::core::option::Option<
                        ::ipc_rpc::__private::String,
                    >,
                ),
                Vec<Hit>,
                Failed,
            >(&self.stub, __Method::find, &(query, names, &from))
        }
        /// Calls `Calc::match` on the server.
        #[inline]
        pub fn r#match(
            &self,
            text: &str,
            query: &Query,
        ) -> ::ipc_rpc::__private::core::result::Result<
            (),
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::call::<
                (::ipc_rpc::__private::String, Query),
                (),
            >(&self.stub, __Method::r#match, &(text, query))
        }
    }
    impl CalcClient<::ipc_rpc::__private::Viewing> {
        /// The sum of `a` and `b`.
        #[inline]
        pub fn add(
            &self,
            a: u64,
            b: u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<u64>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::view::<
                (u64, u64),
                u64,
            >(&self.stub, __Method::add, &(&a, &b))
        }
        #[cfg(feature = "words")]
        /// Calls `Calc::find_word` on the server.
        #[inline]
        pub fn find(
            &self,
            query: &Query,
            names: &[f32],
            from: Option<&str>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<Vec<Hit>>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::view_result::<
                (
                    Query,
                    ::ipc_rpc::__private::Vec<f32>,
                    ::ipc_rpc::__private::core::option::Option<
                        ::ipc_rpc::__private::String,
                    >,
                ),
                Vec<Hit>,
                Failed,
            >(&self.stub, __Method::find, &(query, names, &from))
        }
        /// Calls `Calc::match` on the server.
        #[inline]
        pub fn r#match(
            &self,
            text: &str,
            query: &Query,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<()>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::view::<
                (::ipc_rpc::__private::String, Query),
                (),
            >(&self.stub, __Method::r#match, &(text, query))
        }
    }
    impl CalcClient<::ipc_rpc::__private::Starting> {
        /// The sum of `a` and `b`.
        #[inline]
        pub fn add(
            &self,
            a: u64,
            b: u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<u64>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::start::<
                (u64, u64),
                u64,
            >(&self.stub, __Method::add, &(&a, &b))
        }
        #[cfg(feature = "words")]
        /// Calls `Calc::find_word` on the server.
        #[inline]
        pub fn find(
            &self,
            query: &Query,
            names: &[f32],
            from: Option<&str>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<Vec<Hit>, Failed>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::start_result::<
                (
                    Query,
                    ::ipc_rpc::__private::Vec<f32>,
                    ::ipc_rpc::__private::core::option::Option<
                        ::ipc_rpc::__private::String,
                    >,
                ),
                Vec<Hit>,
                Failed,
            >(&self.stub, __Method::find, &(query, names, &from))
        }
        /// Calls `Calc::match` on the server.
        #[inline]
        pub fn r#match(
            &self,
            text: &str,
            query: &Query,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<()>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::start::<
                (::ipc_rpc::__private::String, Query),
                (),
            >(&self.stub, __Method::r#match, &(text, query))
        }
    }
    const _: ::ipc_rpc::__private::core::marker::PhantomData<CalcDispatcher<()>> = ::ipc_rpc::__private::core::marker::PhantomData;
    impl<
        __S: Calc + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > CalcDispatcher<__S> {
        /// A dispatcher that calls `service`.
        pub fn new(service: __S) -> Self {
            Self {
                service: ::ipc_rpc::__private::Arc::new(service),
            }
        }
        /// A dispatcher that calls `service`, which is used elsewhere too.
        pub fn from_arc(service: ::ipc_rpc::__private::Arc<__S>) -> Self {
            Self { service }
        }
    }
    impl<
        __S: Calc + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Dispatch for CalcDispatcher<__S> {
        fn service(&self) -> &'static ::ipc_rpc::__private::ServiceDesc {
            &__SERVICE
        }
        #[inline]
        fn dispatch(
            &self,
            __method: u16,
            __call: ::ipc_rpc::__private::Incoming<'_>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Replied,
            ::ipc_rpc::__private::Refused,
        > {
            match __method {
                __Method::add => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (u64, u64),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::owned::<u64>(&__args.0)?;
                    let __1 = ::ipc_rpc::__private::owned::<u64>(&__args.1)?;
                    let __value = <__S as Calc>::add(&*self.service, __0, __1);
                    ::ipc_rpc::__private::Incoming::reply::<u64>(__call, &__value)
                }
                #[cfg(feature = "words")]
                __Method::find => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (
                            Query,
                            ::ipc_rpc::__private::Vec<f32>,
                            ::ipc_rpc::__private::core::option::Option<
                                ::ipc_rpc::__private::String,
                            >,
                        ),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::owned::<Query>(&__args.0)?;
                    let __1 = ::ipc_rpc::__private::slice_arg::<f32>(&__args.1)?;
                    let __2 = ::ipc_rpc::__private::core::option::Option::map(
                        ::ipc_rpc::__private::option_form::<
                            ::ipc_rpc::__private::String,
                        >(&__args.2),
                        ::ipc_rpc::__private::str_arg,
                    );
                    let __value = <__S as Calc>::find(&*self.service, &__0, &__1, __2);
                    ::ipc_rpc::__private::Incoming::reply::<
                        Result<Vec<Hit>, Failed>,
                    >(__call, &__value)
                }
                __Method::r#match => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (::ipc_rpc::__private::String, Query),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::str_arg(&__args.0);
                    let __1 = &__args.1;
                    let __value = <__S as Calc>::r#match(&*self.service, __0, __1);
                    ::ipc_rpc::__private::Incoming::reply::<()>(__call, &__value)
                }
                _ => ::ipc_rpc::__private::Incoming::unknown_method(__call),
            }
        }
    }
    impl<
        __S: Calc + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Pair for CalcDispatcher<__S> {
        type Client = CalcClient;
        fn client(stub: ::ipc_rpc::__private::Stub) -> Self::Client {
            CalcClient {
                stub,
                mode: ::ipc_rpc::__private::core::marker::PhantomData,
            }
        }
    }
    impl<
        __S: Calc + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Callback<CalcClient> for CalcDispatcher<__S> {
        fn share(
            &self,
        ) -> ::ipc_rpc::__private::Arc<dyn ::ipc_rpc::__private::Dispatch> {
            ::ipc_rpc::__private::Arc::new(
                ::ipc_rpc::__private::core::clone::Clone::clone(self),
            )
        }
    }
};
