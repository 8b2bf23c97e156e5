pub trait Jobs {
    /// Runs one.
    fn run(
        &self,
        name: &str,
        ctx: &Context,
    ) -> impl ::ipc_rpc::__private::core::future::Future<
        Output = Result<u64, Failed>,
    > + ::ipc_rpc::__private::core::marker::Send
    where
        Self: ::ipc_rpc::__private::core::marker::Sync,
    {
        async move { Ok(name.len() as u64) }
    }
    fn wait(&self, ctx: &Context, id: &u64);
    fn note(&self, text: &str);
    fn tail(&self, path: String) -> Result<Streaming<Line>, Failed>;
    fn sum(&self, numbers: Streaming<u64>) -> u64;
    fn upper(
        &self,
        lines: Streaming<String>,
        from: u32,
    ) -> impl ::ipc_rpc::__private::core::future::Future<
        Output = Streaming<String>,
    > + ::ipc_rpc::__private::core::marker::Send;
    fn store(
        &self,
        frame: Kept<Frame>,
        rows: Kept<Vec<u32>>,
        name: Kept<String>,
    ) -> impl ::ipc_rpc::__private::core::future::Future<
        Output = u64,
    > + ::ipc_rpc::__private::core::marker::Send;
    fn hash(&self, path: &str, progress: &ProgressClient) -> Result<[u8; 32], Failed>;
}
/// Client of the service [`Jobs`]. Clones share one connection, and any thread may call.
pub struct JobsClient<M = ::ipc_rpc::__private::Owned> {
    stub: ::ipc_rpc::__private::Stub,
    mode: ::ipc_rpc::__private::core::marker::PhantomData<fn() -> M>,
}
impl<M> JobsClient<M> {
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
impl JobsClient<::ipc_rpc::__private::Owned> {
    /// A client of the same connection whose calls return replies that are read where they lie.
    #[must_use]
    pub fn view(&self) -> JobsClient<::ipc_rpc::__private::Viewing> {
        JobsClient {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// A client of the same connection whose calls return before the reply is there, which can be waited for or
    /// awaited: many calls can be on their way.
    #[must_use]
    pub fn start(&self) -> JobsClient<::ipc_rpc::__private::Starting> {
        JobsClient {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
    /// Runs `calls` with a client as [`start`](Self::start) gives it, and tells the server of all its calls at once:
    /// at the end, or when something is waited for.
    pub fn batch<R>(
        &self,
        calls: impl ::ipc_rpc::__private::core::ops::FnOnce(
            &JobsClient<::ipc_rpc::__private::Starting>,
        ) -> R,
    ) -> R {
        ::ipc_rpc::__private::Stub::batch(
            &self.stub,
            |stub| calls(
                &JobsClient {
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
impl<M> ::ipc_rpc::__private::core::clone::Clone for JobsClient<M> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            stub: ::ipc_rpc::__private::core::clone::Clone::clone(&self.stub),
            mode: ::ipc_rpc::__private::core::marker::PhantomData,
        }
    }
}
impl<M> ::ipc_rpc::__private::core::fmt::Debug for JobsClient<M> {
    fn fmt(
        &self,
        formatter: &mut ::ipc_rpc::__private::core::fmt::Formatter<'_>,
    ) -> ::ipc_rpc::__private::core::fmt::Result {
        let mut debug = ::ipc_rpc::__private::core::fmt::Formatter::debug_struct(
            formatter,
            "JobsClient",
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::field(
            &mut debug,
            "stub",
            &self.stub,
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::finish(&mut debug)
    }
}
/// Serves calls to [`Jobs`] with a value that implements it. Clones serve the same value.
pub struct JobsDispatcher<S> {
    service: ::ipc_rpc::__private::Arc<S>,
}
impl<S> ::ipc_rpc::__private::core::clone::Clone for JobsDispatcher<S> {
    fn clone(&self) -> Self {
        Self {
            service: ::ipc_rpc::__private::core::clone::Clone::clone(&self.service),
        }
    }
}
impl<S> ::ipc_rpc::__private::core::fmt::Debug for JobsDispatcher<S> {
    fn fmt(
        &self,
        formatter: &mut ::ipc_rpc::__private::core::fmt::Formatter<'_>,
    ) -> ::ipc_rpc::__private::core::fmt::Result {
        let mut debug = ::ipc_rpc::__private::core::fmt::Formatter::debug_struct(
            formatter,
            "JobsDispatcher",
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::finish_non_exhaustive(&mut debug)
    }
}
/// Implements [`Jobs`] with closures. A method that was given none panics.
#[derive(::ipc_rpc::__private::core::default::Default)]
pub struct JobsMock {
    run: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                &str,
                &Context,
            ) -> Result<
                    u64,
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    wait: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                &Context,
                &u64,
            ) -> () + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    note: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                &str,
            ) -> () + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    tail: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                String,
            ) -> Result<
                    Streaming<Line>,
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    sum: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                Streaming<u64>,
            ) -> u64 + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    upper: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                Streaming<String>,
                u32,
            ) -> Streaming<
                    String,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    store: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                Kept<Frame>,
                Kept<Vec<u32>>,
                Kept<String>,
            ) -> u64 + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
    hash: ::ipc_rpc::__private::core::option::Option<
        ::ipc_rpc::__private::Box<
            dyn ::ipc_rpc::__private::core::ops::Fn(
                &str,
                &ProgressClient,
            ) -> Result<
                    [u8; 32],
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        >,
    >,
}
impl ::ipc_rpc::__private::core::fmt::Debug for JobsMock {
    fn fmt(
        &self,
        formatter: &mut ::ipc_rpc::__private::core::fmt::Formatter<'_>,
    ) -> ::ipc_rpc::__private::core::fmt::Result {
        let mut debug = ::ipc_rpc::__private::core::fmt::Formatter::debug_struct(
            formatter,
            "JobsMock",
        );
        ::ipc_rpc::__private::core::fmt::DebugStruct::finish_non_exhaustive(&mut debug)
    }
}
const _: () = {
    enum __Position {
        run,
        wait,
        note,
        tail,
        sum,
        upper,
        store,
        hash,
    }
    struct __Method;
    impl __Method {
        const run: u16 = __Position::run as u16;
        const wait: u16 = __Position::wait as u16;
        const note: u16 = __Position::note as u16;
        const tail: u16 = __Position::tail as u16;
        const sum: u16 = __Position::sum as u16;
        const upper: u16 = __Position::upper as u16;
        const store: u16 = __Position::store as u16;
        const hash: u16 = __Position::hash as u16;
    }
    static __SERVICE: ::ipc_rpc::__private::ServiceDesc = ::ipc_rpc::__private::ServiceDesc {
        name: "Jobs",
        docs: "",
        methods: &[
            ::ipc_rpc::__private::MethodDesc {
                name: "run",
                docs: "Runs one.",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "name",
                        desc: <::ipc_rpc::__private::String as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <Result<u64, Failed> as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: true,
                long: false,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "wait",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "id",
                        desc: <u64 as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <() as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: true,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "note",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "text",
                        desc: <::ipc_rpc::__private::String as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <() as ::ipc_rpc::__private::Message>::desc,
                oneway: true,
                idempotent: false,
                asynchronous: false,
                long: false,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "tail",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "path",
                        desc: <String as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: ::ipc_rpc::__private::stream_result_desc::<Line, Failed>,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: false,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "sum",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "numbers",
                        desc: ::ipc_rpc::__private::stream_desc::<u64>,
                    },
                ],
                result: <u64 as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: true,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "upper",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "lines",
                        desc: ::ipc_rpc::__private::stream_desc::<String>,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "from",
                        desc: <u32 as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: ::ipc_rpc::__private::stream_desc::<String>,
                oneway: false,
                idempotent: false,
                asynchronous: true,
                long: true,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "store",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "frame",
                        desc: <Frame as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "rows",
                        desc: <Vec<u32> as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "name",
                        desc: <String as ::ipc_rpc::__private::Message>::desc,
                    },
                ],
                result: <u64 as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: true,
                long: false,
            },
            ::ipc_rpc::__private::MethodDesc {
                name: "hash",
                docs: "",
                params: &[
                    ::ipc_rpc::__private::ParamDesc {
                        name: "path",
                        desc: <::ipc_rpc::__private::String as ::ipc_rpc::__private::Message>::desc,
                    },
                    ::ipc_rpc::__private::ParamDesc {
                        name: "progress",
                        desc: ::ipc_rpc::__private::callback_desc::<ProgressClient>,
                    },
                ],
                result: <Result<
                    [u8; 32],
                    Failed,
                > as ::ipc_rpc::__private::Message>::desc,
                oneway: false,
                idempotent: false,
                asynchronous: false,
                long: true,
            },
        ],
        callbacks: &[<ProgressClient as ::ipc_rpc::__private::Handle>::service],
        fingerprints: ::ipc_rpc::__private::core::option::Option::None,
    };
    impl JobsClient<::ipc_rpc::__private::Owned> {
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
    impl ::ipc_rpc::__private::Handle for JobsClient<::ipc_rpc::__private::Owned> {
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
    impl JobsClient<::ipc_rpc::__private::Owned> {
        /// Runs one.
        pub async fn run(
            &self,
            name: &str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            u64,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::call_result_async::<
                (::ipc_rpc::__private::String,),
                u64,
                Failed,
            >(&self.stub, __Method::run, &(name,))
                .await
        }
        /// Calls `Jobs::wait` on the server.
        #[inline]
        pub fn wait(
            &self,
            id: &u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            (),
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::call::<
                (u64,),
                (),
            >(&self.stub, __Method::wait, &(id,))
        }
        /// Calls `Jobs::note` on the server.
        #[inline]
        pub fn note(
            &self,
            text: &str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            (),
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::oneway::<
                (::ipc_rpc::__private::String,),
            >(&self.stub, __Method::note, &(text,))
        }
        /// Calls `Jobs::tail` on the server.
        #[inline]
        pub fn tail(
            &self,
            path: String,
        ) -> ::ipc_rpc::__private::core::result::Result<
            Streaming<Line>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::open_result::<
                (String,),
                Line,
                Failed,
            >(&self.stub, __Method::tail, &(&path,))
        }
        /// Calls `Jobs::sum` on the server.
        #[inline]
        pub fn sum(
            &self,
            numbers: Streaming<u64>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            u64,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::feed::<
                (),
                u64,
                u64,
            >(&self.stub, __Method::sum, &(), numbers)
        }
        /// Calls `Jobs::upper` on the server.
        pub async fn upper(
            &self,
            lines: Streaming<String>,
            from: u32,
        ) -> ::ipc_rpc::__private::core::result::Result<
            Streaming<String>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::exchange_async::<
                (u32,),
                String,
                String,
            >(&self.stub, __Method::upper, &(&from,), lines)
                .await
        }
        /// Calls `Jobs::store` on the server.
        pub async fn store(
            &self,
            frame: &Frame,
            rows: &[u32],
            name: &::ipc_rpc::__private::core::primitive::str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            u64,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::call_async::<
                (Frame, Vec<u32>, String),
                u64,
            >(&self.stub, __Method::store, &(frame, rows, name))
                .await
        }
        /// Calls `Jobs::hash` on the server.
        #[inline]
        pub fn hash(
            &self,
            path: &str,
            progress: &impl ::ipc_rpc::__private::Callback<ProgressClient>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            [u8; 32],
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            let mut __rounds = ::ipc_rpc::__private::Stub::tied_rounds(
                &self.stub,
                __Method::hash,
            );
            loop {
                match match ::ipc_rpc::__private::Stub::lend_callback::<
                    ProgressClient,
                >(__rounds.stub(), progress) {
                    ::ipc_rpc::__private::core::result::Result::Ok(__lent1) => {
                        ::ipc_rpc::__private::Stub::call_result::<
                            (
                                ::ipc_rpc::__private::String,
                                ::ipc_rpc::__private::core::primitive::u32,
                            ),
                            [u8; 32],
                            Failed,
                        >(
                            __rounds.stub(),
                            __Method::hash,
                            &(path, &::ipc_rpc::__private::Lent::number(&__lent1)),
                        )
                    }
                    ::ipc_rpc::__private::core::result::Result::Err(__error) => {
                        ::ipc_rpc::__private::core::result::Result::Err(
                            ::ipc_rpc::__private::CallError::widen(__error),
                        )
                    }
                } {
                    ::ipc_rpc::__private::core::result::Result::Err(__error) => {
                        __rounds.next(__Method::hash, __error)?
                    }
                    __done => return __done,
                }
            }
        }
    }
    impl JobsClient<::ipc_rpc::__private::Viewing> {
        /// Runs one.
        pub async fn run(
            &self,
            name: &str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<u64>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::view_result_async::<
                (::ipc_rpc::__private::String,),
                u64,
                Failed,
            >(&self.stub, __Method::run, &(name,))
                .await
        }
        /// Calls `Jobs::wait` on the server.
        #[inline]
        pub fn wait(
            &self,
            id: &u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<()>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::view::<
                (u64,),
                (),
            >(&self.stub, __Method::wait, &(id,))
        }
        /// Calls `Jobs::store` on the server.
        pub async fn store(
            &self,
            frame: &Frame,
            rows: &[u32],
            name: &::ipc_rpc::__private::core::primitive::str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<u64>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::view_async::<
                (Frame, Vec<u32>, String),
                u64,
            >(&self.stub, __Method::store, &(frame, rows, name))
                .await
        }
        /// Calls `Jobs::hash` on the server.
        #[inline]
        pub fn hash(
            &self,
            path: &str,
            progress: &impl ::ipc_rpc::__private::Callback<ProgressClient>,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Reply<[u8; 32]>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            let mut __rounds = ::ipc_rpc::__private::Stub::tied_rounds(
                &self.stub,
                __Method::hash,
            );
            loop {
                match match ::ipc_rpc::__private::Stub::lend_callback::<
                    ProgressClient,
                >(__rounds.stub(), progress) {
                    ::ipc_rpc::__private::core::result::Result::Ok(__lent1) => {
                        ::ipc_rpc::__private::Stub::view_result::<
                            (
                                ::ipc_rpc::__private::String,
                                ::ipc_rpc::__private::core::primitive::u32,
                            ),
                            [u8; 32],
                            Failed,
                        >(
                            __rounds.stub(),
                            __Method::hash,
                            &(path, &::ipc_rpc::__private::Lent::number(&__lent1)),
                        )
                    }
                    ::ipc_rpc::__private::core::result::Result::Err(__error) => {
                        ::ipc_rpc::__private::core::result::Result::Err(
                            ::ipc_rpc::__private::CallError::widen(__error),
                        )
                    }
                } {
                    ::ipc_rpc::__private::core::result::Result::Err(__error) => {
                        __rounds.next(__Method::hash, __error)?
                    }
                    __done => return __done,
                }
            }
        }
    }
    impl JobsClient<::ipc_rpc::__private::Starting> {
        /// Runs one.
        #[inline]
        pub fn run(
            &self,
            name: &str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<u64, Failed>,
            ::ipc_rpc::__private::CallError<Failed>,
        > {
            ::ipc_rpc::__private::Stub::start_result::<
                (::ipc_rpc::__private::String,),
                u64,
                Failed,
            >(&self.stub, __Method::run, &(name,))
        }
        /// Calls `Jobs::wait` on the server.
        #[inline]
        pub fn wait(
            &self,
            id: &u64,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<()>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::start::<
                (u64,),
                (),
            >(&self.stub, __Method::wait, &(id,))
        }
        /// Calls `Jobs::note` on the server.
        #[inline]
        pub fn note(
            &self,
            text: &str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            (),
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::oneway::<
                (::ipc_rpc::__private::String,),
            >(&self.stub, __Method::note, &(text,))
        }
        /// Calls `Jobs::store` on the server.
        #[inline]
        pub fn store(
            &self,
            frame: &Frame,
            rows: &[u32],
            name: &::ipc_rpc::__private::core::primitive::str,
        ) -> ::ipc_rpc::__private::core::result::Result<
            ::ipc_rpc::__private::Pending<u64>,
            ::ipc_rpc::__private::CallError,
        > {
            ::ipc_rpc::__private::Stub::start::<
                (Frame, Vec<u32>, String),
                u64,
            >(&self.stub, __Method::store, &(frame, rows, name))
        }
    }
    const _: ::ipc_rpc::__private::core::marker::PhantomData<JobsDispatcher<()>> = ::ipc_rpc::__private::core::marker::PhantomData;
    impl<
        __S: Jobs + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > JobsDispatcher<__S> {
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
        __S: Jobs + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Dispatch for JobsDispatcher<__S> {
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
                __Method::run => {
                    ::ipc_rpc::__private::Incoming::run(
                        __call,
                        {
                            let __service = ::ipc_rpc::__private::core::clone::Clone::clone(
                                &self.service,
                            );
                            move |__call: ::ipc_rpc::__private::Admitted| async move {
                                let __outcome = async {
                                    let __args = ::ipc_rpc::__private::Admitted::args::<
                                        (::ipc_rpc::__private::String,),
                                    >(&__call)?;
                                    let __0 = ::ipc_rpc::__private::str_arg(&__args.0);
                                    let __1 = ::ipc_rpc::__private::Admitted::context(&__call);
                                    let __value = <__S as Jobs>::run(
                                            &*__service,
                                            __0,
                                            ::ipc_rpc::__private::as_context::<Context>(&__1),
                                        )
                                        .await;
                                    ::ipc_rpc::__private::Admitted::reply::<
                                        Result<u64, Failed>,
                                    >(&__call, &__value)
                                }
                                    .await;
                                ::ipc_rpc::__private::core::mem::drop(__service);
                                ::ipc_rpc::__private::Admitted::finish(__call, __outcome)
                            }
                        },
                    )
                }
                __Method::wait => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (u64,),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::Incoming::context(&__call);
                    let __1 = ::ipc_rpc::__private::owned::<u64>(&__args.0)?;
                    let __value = <__S as Jobs>::wait(
                        &*self.service,
                        ::ipc_rpc::__private::as_context::<Context>(&__0),
                        &__1,
                    );
                    ::ipc_rpc::__private::Incoming::reply::<()>(__call, &__value)
                }
                __Method::note => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (::ipc_rpc::__private::String,),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::str_arg(&__args.0);
                    let __value = <__S as Jobs>::note(&*self.service, __0);
                    ::ipc_rpc::__private::Incoming::reply::<()>(__call, &__value)
                }
                __Method::tail => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (String,),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::owned::<String>(&__args.0)?;
                    let __room = ::ipc_rpc::__private::Incoming::room(&__call)?;
                    let __value = <__S as Jobs>::tail(&*self.service, __0);
                    ::ipc_rpc::__private::Incoming::reply_stream_result::<
                        Line,
                        Failed,
                    >(__call, __value, __room)
                }
                __Method::sum => {
                    ::ipc_rpc::__private::Incoming::args::<()>(&__call)?;
                    let __0 = ::ipc_rpc::__private::Incoming::input::<u64>(&__call)?;
                    let __value = <__S as Jobs>::sum(&*self.service, __0);
                    ::ipc_rpc::__private::Incoming::reply::<u64>(__call, &__value)
                }
                __Method::upper => {
                    ::ipc_rpc::__private::Incoming::run(
                        __call,
                        {
                            let __service = ::ipc_rpc::__private::core::clone::Clone::clone(
                                &self.service,
                            );
                            move |__call: ::ipc_rpc::__private::Admitted| async move {
                                let __outcome = async {
                                    let __args = ::ipc_rpc::__private::Admitted::args::<
                                        (u32,),
                                    >(&__call)?;
                                    let __0 = ::ipc_rpc::__private::Admitted::input::<
                                        String,
                                    >(&__call)?;
                                    let __1 = ::ipc_rpc::__private::Admitted::owned::<
                                        u32,
                                    >(&__call, &__args.0)?;
                                    let __room = ::ipc_rpc::__private::Admitted::room(&__call)?;
                                    let __value = <__S as Jobs>::upper(&*__service, __0, __1)
                                        .await;
                                    ::ipc_rpc::__private::Admitted::reply_stream::<
                                        String,
                                    >(&__call, __value, __room)
                                }
                                    .await;
                                ::ipc_rpc::__private::core::mem::drop(__service);
                                ::ipc_rpc::__private::Admitted::finish(__call, __outcome)
                            }
                        },
                    )
                }
                __Method::store => {
                    ::ipc_rpc::__private::Incoming::run(
                        __call,
                        {
                            let __service = ::ipc_rpc::__private::core::clone::Clone::clone(
                                &self.service,
                            );
                            move |__call: ::ipc_rpc::__private::Admitted| async move {
                                let __outcome = async {
                                    let __args = ::ipc_rpc::__private::Admitted::args::<
                                        (Frame, Vec<u32>, String),
                                    >(&__call)?;
                                    let __0 = ::ipc_rpc::__private::Admitted::kept::<
                                        Frame,
                                    >(&__call, &__args.0)?;
                                    let __1 = ::ipc_rpc::__private::Admitted::kept::<
                                        Vec<u32>,
                                    >(&__call, &__args.1)?;
                                    let __2 = ::ipc_rpc::__private::Admitted::kept::<
                                        String,
                                    >(&__call, &__args.2)?;
                                    let __value = <__S as Jobs>::store(
                                            &*__service,
                                            __0,
                                            __1,
                                            __2,
                                        )
                                        .await;
                                    ::ipc_rpc::__private::Admitted::reply::<
                                        u64,
                                    >(&__call, &__value)
                                }
                                    .await;
                                ::ipc_rpc::__private::core::mem::drop(__service);
                                ::ipc_rpc::__private::Admitted::finish(__call, __outcome)
                            }
                        },
                    )
                }
                __Method::hash => {
                    let __args = ::ipc_rpc::__private::Incoming::args::<
                        (
                            ::ipc_rpc::__private::String,
                            ::ipc_rpc::__private::core::primitive::u32,
                        ),
                    >(&__call)?;
                    let __0 = ::ipc_rpc::__private::str_arg(&__args.0);
                    let __1 = ::ipc_rpc::__private::Incoming::callback::<
                        ProgressClient,
                    >(
                        &__call,
                        ::ipc_rpc::__private::owned::<
                            ::ipc_rpc::__private::core::primitive::u32,
                        >(&__args.1)?,
                    )?;
                    let __value = <__S as Jobs>::hash(&*self.service, __0, &__1);
                    ::ipc_rpc::__private::Incoming::reply::<
                        Result<[u8; 32], Failed>,
                    >(__call, &__value)
                }
                _ => ::ipc_rpc::__private::Incoming::unknown_method(__call),
            }
        }
    }
    impl<
        __S: Jobs + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Pair for JobsDispatcher<__S> {
        type Client = JobsClient;
        fn client(stub: ::ipc_rpc::__private::Stub) -> Self::Client {
            JobsClient {
                stub,
                mode: ::ipc_rpc::__private::core::marker::PhantomData,
            }
        }
    }
    impl<
        __S: Jobs + ::ipc_rpc::__private::core::marker::Send
            + ::ipc_rpc::__private::core::marker::Sync + 'static,
    > ::ipc_rpc::__private::Callback<JobsClient> for JobsDispatcher<__S> {
        fn share(
            &self,
        ) -> ::ipc_rpc::__private::Arc<dyn ::ipc_rpc::__private::Dispatch> {
            ::ipc_rpc::__private::Arc::new(
                ::ipc_rpc::__private::core::clone::Clone::clone(self),
            )
        }
    }
    impl JobsMock {
        /// A mock whose methods all panic.
        #[must_use]
        pub fn new() -> Self {
            ::ipc_rpc::__private::core::default::Default::default()
        }
        /// Has `handler` answer calls of [`run`](Jobs::run).
        #[must_use]
        pub fn on_run(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                &str,
                &Context,
            ) -> Result<
                    u64,
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.run = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`wait`](Jobs::wait).
        #[must_use]
        pub fn on_wait(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                &Context,
                &u64,
            ) -> () + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.wait = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`note`](Jobs::note).
        #[must_use]
        pub fn on_note(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                &str,
            ) -> () + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.note = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`tail`](Jobs::tail).
        #[must_use]
        pub fn on_tail(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                String,
            ) -> Result<
                    Streaming<Line>,
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.tail = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`sum`](Jobs::sum).
        #[must_use]
        pub fn on_sum(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                Streaming<u64>,
            ) -> u64 + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.sum = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`upper`](Jobs::upper).
        #[must_use]
        pub fn on_upper(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                Streaming<String>,
                u32,
            ) -> Streaming<
                    String,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.upper = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`store`](Jobs::store).
        #[must_use]
        pub fn on_store(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                Kept<Frame>,
                Kept<Vec<u32>>,
                Kept<String>,
            ) -> u64 + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.store = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
        /// Has `handler` answer calls of [`hash`](Jobs::hash).
        #[must_use]
        pub fn on_hash(
            mut self,
            handler: impl ::ipc_rpc::__private::core::ops::Fn(
                &str,
                &ProgressClient,
            ) -> Result<
                    [u8; 32],
                    Failed,
                > + ::ipc_rpc::__private::core::marker::Send + ::ipc_rpc::__private::core::marker::Sync + 'static,
        ) -> Self {
            self.hash = ::ipc_rpc::__private::core::option::Option::Some(
                ::ipc_rpc::__private::Box::new(handler),
            );
            self
        }
    }
    impl Jobs for JobsMock {
        async fn run(&self, name: &str, ctx: &Context) -> Result<u64, Failed> {
            match &self.run {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(name, ctx)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`run` was called, but `JobsMock` was given nothing to do for it: use `on_run`"
                    )
                }
            }
        }
        fn wait(&self, ctx: &Context, id: &u64) -> () {
            match &self.wait {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(ctx, id)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`wait` was called, but `JobsMock` was given nothing to do for it: use `on_wait`"
                    )
                }
            }
        }
        fn note(&self, text: &str) -> () {
            match &self.note {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(text)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`note` was called, but `JobsMock` was given nothing to do for it: use `on_note`"
                    )
                }
            }
        }
        fn tail(&self, path: String) -> Result<Streaming<Line>, Failed> {
            match &self.tail {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(path)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`tail` was called, but `JobsMock` was given nothing to do for it: use `on_tail`"
                    )
                }
            }
        }
        fn sum(&self, numbers: Streaming<u64>) -> u64 {
            match &self.sum {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(numbers)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`sum` was called, but `JobsMock` was given nothing to do for it: use `on_sum`"
                    )
                }
            }
        }
        async fn upper(&self, lines: Streaming<String>, from: u32) -> Streaming<String> {
            match &self.upper {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(lines, from)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`upper` was called, but `JobsMock` was given nothing to do for it: use `on_upper`"
                    )
                }
            }
        }
        async fn store(
            &self,
            frame: Kept<Frame>,
            rows: Kept<Vec<u32>>,
            name: Kept<String>,
        ) -> u64 {
            match &self.store {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(frame, rows, name)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`store` was called, but `JobsMock` was given nothing to do for it: use `on_store`"
                    )
                }
            }
        }
        fn hash(
            &self,
            path: &str,
            progress: &ProgressClient,
        ) -> Result<[u8; 32], Failed> {
            match &self.hash {
                ::ipc_rpc::__private::core::option::Option::Some(__handler) => {
                    __handler(path, progress)
                }
                ::ipc_rpc::__private::core::option::Option::None => {
                    ::ipc_rpc::__private::core::panic!(
                        "`hash` was called, but `JobsMock` was given nothing to do for it: use `on_hash`"
                    )
                }
            }
        }
    }
};
