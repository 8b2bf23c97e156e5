//! Typed calls between processes of one Linux machine, over memory that both have mapped.
//!
//! A trait is the interface. [`#[service]`](macro@service) makes a client and a dispatcher of it; one process implements the
//! trait and serves it under a name, others connect to the name and call the methods as if they were local. Arguments and
//! results are [`Message`]s: they are written straight into shared memory and read there.
//!
//! ```
//! use ipc_rpc::{Message, Server, service};
//!
//! #[derive(Message, Debug, Clone, PartialEq)]
//! pub struct Hit { pub path: String, pub line: u32 }
//!
//! #[service]
//! pub trait Search {
//!     /// Lines that contain `word`.
//!     fn find(&self, word: &str, limit: u32) -> Vec<Hit>;
//! }
//!
//! // In one process:
//! struct Index { lines: Vec<String> }
//! impl Search for Index {
//!     fn find(&self, word: &str, limit: u32) -> Vec<Hit> {
//!         let all = self.lines.iter().zip(1..).filter(|(text, _)| text.contains(word));
//!         all.map(|(_, line)| Hit { path: "notes.txt".to_owned(), line }).take(limit as usize).collect()
//!     }
//! }
//! fn serve(name: &str, index: Index) -> Result<(), Box<dyn std::error::Error>> {
//!     Ok(Server::bind(name)?.serve(SearchDispatcher::new(index))?)
//! }
//!
//! // In another one:
//! fn ask(name: &str) -> Result<Vec<Hit>, Box<dyn std::error::Error>> {
//!     let search = SearchClient::connect(name)?;
//!     Ok(search.find("memory", 10)?)
//! }
//!
//! // (For a test both may be in one process.)
//! let index = Index { lines: vec!["a queue".to_owned(), "shared memory".to_owned()] };
//! let (search, _server) = ipc_rpc::testing::pair(SearchDispatcher::new(index))?;
//! assert_eq!(search.find("memory", 10)?, [Hit { path: "notes.txt".to_owned(), line: 2 }]);
//! # let _ = (serve, ask);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Calling
//!
//! For `trait Search` the macro defines `SearchClient`, which is `Clone`, `Send` and `Sync`: clones share one connection, and
//! any number of threads may call at once. `SearchClient::connect(name)` connects with default settings, `connect_with(name,
//! &config)` with a [`ClientConfig`]. Each method of the trait is a method of the client that takes the same arguments by
//! reference or value (`&str` where the trait has `&str`, `&Query` where it has `&Query` or `&Archived<Query>`) and returns
//! `Result<T, CallError>`, or `Result<T, CallError<E>>` where the trait returns `Result<T, E>`. `CallError<E>` is a
//! [`std::error::Error`] if `E` has `Debug` and `Display`, as `String` has. [`CallError::widen`] makes a `CallError<E>` of a
//! `CallError`, where one function calls methods of both kinds.
//!
//! A method that is an `async fn` in the trait is one of the client too. Its future runs on any executor, needs no thread,
//! and dropping it cancels the call. Everything else that waits does so with its thread, `connect` too: async code connects
//! with the likes of `spawn_blocking`, and awaits `client.start().find(..)?` where `find` is not `async`. `connect` does not
//! wait for a server that is yet to start: it fails with [`ConnectError::NoServer`] and can be repeated.
//!
//! These give a client of the same connection that calls in another way:
//!
//! | adapter | its methods |
//! |---|---|
//! | `with_timeout(duration)` | give up after this time, measured from their start, and the server does not begin a request whose time is over. Without it the limit is [`ClientConfig::timeout`]. A blocking handler that runs already goes on |
//! | `view()` | return a [`Reply`], which is read where the server wrote it |
//! | `start()` | return a [`Pending`] call at once, to be waited for, awaited or dropped: many can be on their way |
//! | `with_context(&context)`, `with_metadata(key, value)`, `with_trace(id)` | say more about the call: see [`Context`] |
//! | `with_interceptor(interceptor)` | go through this code: retries, limits, logs. See [`intercept`] |
//!
//! `view()` and `start()` have no methods with streams, `view()` none that are one-way, and `start()` none that lend an object.
//! `batch(\|calls\| ..)`, whose `calls` are those of `start()`, and `flush()` are for
//! [several calls at once](#several-calls-at-once).
//!
//! ```
//! use std::time::Duration;
//! use ipc_rpc::{CallError, service, testing};
//!
//! #[service]
//! pub trait Texts {
//!     fn repeat(&self, text: &str, times: u32) -> Result<String, String>;
//! }
//! struct Plain;
//! impl Texts for Plain {
//!     fn repeat(&self, text: &str, times: u32) -> Result<String, String> {
//!         if times < 1000 { Ok(text.repeat(times as usize)) } else { Err(format!("{times} is too often")) }
//!     }
//! }
//!
//! let (texts, _server) = testing::pair(TextsDispatcher::new(Plain))?;
//! assert_eq!(texts.with_timeout(Duration::from_secs(1)).repeat("ab", 3).unwrap(), "ababab");
//! let reply = texts.view().repeat("x", 500).unwrap();
//! assert_eq!(reply.get().len(), 500); // a `&str` in shared memory
//! match texts.repeat("x", 5000) {
//!     Err(CallError::Handler(error)) => assert_eq!(error, "5000 is too often"),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several calls at once
//!
//! Threads can call side by side over one connection, and one thread can have many calls under way. Each takes one of the
//! [`ClientConfig::blocks`] until its result has been taken or it is dropped. Whatever is under way at the same time runs in
//! any order and at the same time, also if one thread sent it.
//!
//! | | waits for a free block | waits for the reply |
//! |---|---|---|
//! | `client.find(..)` | blocking | blocking |
//! | `client.find(..).await`, of an `async fn` | as a future | as a future |
//! | `client.start().find(..)` | never: [`CallError::Busy`] | later, in any way: [`Pending`] |
//! | `client.note(..)`, of a `#[rpc(oneway)]` method | blocking, or as a future; in a `batch` blocking | never |
//!
//! **Pending calls** are values: they can be kept, sent to other threads, waited for in any order ([`join_all`] keeps theirs),
//! asked now and then, and awaited. Dropping one cancels its call.
//!
//! **Futures** need no runtime. They do nothing before they are polled first; then they look for the reply for about a
//! microsecond if replies have been coming that fast, and leave a waker. Any number of them share the connection's one
//! descriptor and one thread of this process, which sleeps while nothing happens. They are `Send` if the arguments are, end
//! in time without a timer of the runtime, and cancel their call when they are dropped.
//!
//! **One-way calls** return when the request is handed over. Nothing is heard of them: not whether the handler succeeded, and
//! not whether it was reached before the server ended, or before the time set by `with_timeout`. `client.flush()` returns
//! when the server has dealt with all that were handed over before, and fails if the connection ended before that; with
//! nothing handed over it says nothing about the connection. In async code it is `flush_async()`.
//!
//! **Batches**: inside of `client.batch(\|calls\| ..)` the server is not told of requests one by one but once, at the end or
//! when something is waited for. It saves the sender most when the server sleeps, and a little otherwise.
//!
//! ```
//! use std::future::Future;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use ipc_rpc::{CallError, join_all, service, testing};
//!
//! #[service]
//! pub trait Meter {
//!     fn square(&self, n: u64) -> u64;
//!     async fn cube(&self, n: u64) -> u64;
//!     #[rpc(oneway)]
//!     fn count(&self, n: u64);
//!     fn total(&self) -> u64;
//! }
//! #[derive(Default)]
//! struct Plain { total: AtomicU64 }
//! impl Meter for Plain {
//!     fn square(&self, n: u64) -> u64 { n * n }
//!     async fn cube(&self, n: u64) -> u64 { n * n * n }
//!     fn count(&self, n: u64) { self.total.fetch_add(n, Ordering::Relaxed); }
//!     fn total(&self) -> u64 { self.total.load(Ordering::Relaxed) }
//! }
//! let (meter, _server) = testing::pair(MeterDispatcher::new(Plain::default()))?;
//!
//! // Two calls under way, waited for in the order that suits.
//! let (first, second) = (meter.start().square(3)?, meter.start().square(4)?);
//! assert_eq!((second.wait()?, first.wait()?), (16, 9));
//!
//! // Many with one notification.
//! let calls = meter.batch(|calls| (1..=4).map(|n| calls.square(n)).collect::<Result<Vec<_>, CallError>>())?;
//! assert_eq!(join_all(calls)?, [1, 4, 9, 16]);
//!
//! // Nothing to wait for, until it matters.
//! for n in 0..1000 {
//!     meter.count(n)?;
//! }
//! meter.flush()?;
//! assert_eq!(meter.total()?, 499_500);
//!
//! // On an executor: here the smallest one.
//! let sum = block_on(async {
//!     let pending = meter.start().square(2)?;
//!     Ok::<_, CallError>(meter.cube(3).await? + pending.await?)
//! });
//! assert_eq!(sum?, 31);
//!
//! fn block_on<T>(future: impl Future<Output = T>) -> T {
//!     struct Unpark(std::thread::Thread);
//!     impl std::task::Wake for Unpark {
//!         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
//!     }
//!     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
//!     let (mut cx, mut future) = (std::task::Context::from_waker(&waker), std::pin::pin!(future));
//!     loop {
//!         match future.as_mut().poll(&mut cx) {
//!             std::task::Poll::Ready(value) => return value,
//!             std::task::Poll::Pending => std::thread::park(),
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When a server goes
//!
//! A client outlives its server. If a call finds the connection at its end, the client connects again, and all that cannot have
//! run is made over the new connection, within the time that it may take. [`ClientConfig::reconnect`] says how often that is
//! tried, for how long, and who is told ([`Observer`]). What the caller sees:
//!
//! | the call | its method is `#[rpc(idempotent)]` | is not |
//! |---|---|---|
//! | was answered before the end | the reply | the reply |
//! | had not begun | is made again | is made again |
//! | had begun | is made again | [`CallError::MayHaveRun`] |
//! | was made by `start()`, or has an input stream, and had not begun | [`CallError::NotStarted`]: make it again ([`CallError::is_retryable`]) | the same |
//! | is one-way and was handed over | | the next `flush` of this client fails if it may be lost |
//!
//! Open streams end with an error, lent objects and kept handles are those of one connection. A method is idempotent if running
//! it twice is as good as once: reading, setting, not adding.
//!
//! A new version of a server can replace a running one: [`ServerBuilder::take_over`]. What the old one has begun it ends, so calls
//! that wait notice nothing; the last two rows of the table and streams are as after a death.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use ipc_rpc::{CallError, Server, service};
//!
//! #[service]
//! pub trait Counter {
//!     /// What it was.
//!     #[rpc(idempotent)]
//!     fn set(&self, value: u64) -> u64;
//!     fn add(&self, n: u64) -> u64;
//! }
//! #[derive(Default)]
//! struct Count(AtomicU64);
//! impl Counter for Count {
//!     fn set(&self, value: u64) -> u64 { self.0.swap(value, Ordering::Relaxed) }
//!     fn add(&self, n: u64) -> u64 { self.0.fetch_add(n, Ordering::Relaxed) }
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-again-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let name = folder.join("counter.sock").display().to_string();
//! let start = || {
//!     let server = Server::bind(&name)?;
//!     let handle = server.handle();
//!     let thread = std::thread::spawn(|| server.serve(CounterDispatcher::new(Count::default())));
//!     Ok::<_, Box<dyn std::error::Error>>((handle, thread))
//! };
//! let (handle, thread) = start()?;
//! let counter = CounterClient::connect(&name)?;
//! assert_eq!(counter.add(3)?, 0);
//! handle.shutdown();
//! thread.join().unwrap()?;
//!
//! let (handle, thread) = start()?; // the next one begins at 0
//! assert_eq!(counter.add(1)?, 0); // the same client
//! # handle.shutdown();
//! # thread.join().unwrap()?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Calls in handlers
//!
//! A call that is made in a handler is part of the call that the handler serves, wherever it goes: it ends when that one's
//! time is over, if its own is not shorter, and carries the same trace and metadata, to which it can add. If that call has been
//! cancelled already it is not sent, and fails with [`CallError::Cancelled`]. Threads of the handler's own know nothing of it;
//! `with_context(&context)` and [`Context::scope`] tell them, and `Context::default().scope(..)` makes calls that are part of
//! nothing.
//!
//! ```
//! use std::time::Duration;
//! use ipc_rpc::{Context, service, testing};
//!
//! #[service]
//! pub trait Store { fn tenant(&self, ctx: &Context) -> Option<String>; }
//! struct Disk;
//! impl Store for Disk {
//!     fn tenant(&self, ctx: &Context) -> Option<String> {
//!         assert!(ctx.remaining() <= Some(Duration::from_secs(2)));
//!         ctx.metadata().get("tenant").map(str::to_owned)
//!     }
//! }
//!
//! #[service]
//! pub trait Shop { fn owner(&self, ctx: &Context) -> Option<String>; }
//! struct Counter { store: StoreClient }
//! impl Shop for Counter {
//!     fn owner(&self, _ctx: &Context) -> Option<String> {
//!         self.store.tenant().ok().flatten() // inherits what `owner` was called with
//!     }
//! }
//!
//! let (store, _disk) = testing::pair(StoreDispatcher::new(Disk))?;
//! let (shop, _counter) = testing::pair(ShopDispatcher::new(Counter { store }))?;
//! let shop = shop.with_metadata("tenant", "seven").with_timeout(Duration::from_secs(2));
//! assert_eq!(shop.owner()?.as_deref(), Some("seven"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Callbacks
//!
//! A method can take an object of its client: where the trait has `progress: &ProgressClient`, the client passes the dispatcher of
//! a value that implements `Progress`, and the handler calls that value as it would call any service, while the call that lent it
//! goes on or, with a clone of its handle, afterwards. An object that no handler has cloned is free again when the call
//! returns; one that was cloned stays until the server has dropped the last clone, or one of the two sides is gone.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use ipc_rpc::{service, testing};
//!
//! #[service]
//! pub trait Progress { fn done(&self, part: u32) -> bool; }
//!
//! #[service]
//! pub trait Jobs {
//!     fn run(&self, parts: u32, progress: &ProgressClient) -> u32;
//!     fn subscribe(&self, progress: &ProgressClient);
//! }
//!
//! // In the server:
//! #[derive(Default)]
//! struct Worker { listeners: Mutex<Vec<ProgressClient>> }
//! impl Jobs for Worker {
//!     fn run(&self, parts: u32, progress: &ProgressClient) -> u32 {
//!         self.listeners.lock().unwrap().retain(|listener| listener.done(0).is_ok()); // forgets those that are gone
//!         (1..=parts).take_while(|part| progress.done(*part).unwrap_or(false)).count() as u32
//!     }
//!     fn subscribe(&self, progress: &ProgressClient) {
//!         self.listeners.lock().unwrap().push(progress.clone());
//!     }
//! }
//!
//! // In the client:
//! struct Bar { seen: Mutex<Vec<u32>> }
//! impl Progress for Bar {
//!     fn done(&self, part: u32) -> bool {
//!         self.seen.lock().unwrap().push(part);
//!         part < 3 // enough
//!     }
//! }
//!
//! let (jobs, _server) = testing::pair(JobsDispatcher::new(Worker::default()))?;
//! let bar = Arc::new(Bar { seen: Mutex::default() });
//! assert_eq!(jobs.run(10, &ProgressDispatcher::from_arc(bar.clone()))?, 2);
//! assert_eq!(*bar.seen.lock().unwrap(), [1, 2, 3]);
//! assert_eq!(Arc::strong_count(&bar), 1); // the server has let go of it
//!
//! jobs.subscribe(&ProgressDispatcher::from_arc(bar.clone()))?;
//! assert_eq!(Arc::strong_count(&bar), 2); // the server has kept it
//! jobs.run(0, &ProgressDispatcher::from_arc(bar.clone()))?;
//! assert_eq!(bar.seen.lock().unwrap().last(), Some(&0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The two may call each other as deep as they like: threads are started when all others wait, up to 64 on the client's side.
//! Objects are called on threads of the client that start with the first object and end with the connection; their methods
//! can be `async`, take contexts, and lend objects themselves, but have no streams. A call over a handle whose client is gone
//! fails at once with [`CallError::NotStarted`] or [`CallError::MayHaveRun`]. If the call that lent an object fails at the
//! client, because it timed out for example, the object is taken back, and what the server calls of it is refused: nobody is
//! there to be told about.
//!
//! # Serving
//!
//! `SearchDispatcher::new(value)` wraps a value that implements the trait; [`Server::bind`] takes the name and
//! [`Server::serve`] answers until a [`ServerHandle`] shuts it down. Handlers run on several threads at once, so the value is
//! `Send + Sync`; state that changes goes behind a lock or an atomic. A panic ends its own call; a stack overflow ends the
//! process, as everywhere, and most of the threads have Rust's default stack, 2 MiB. [`Server::builder`] has the rest:
//! several services under one name, the number of workers, the socket's mode, other users and groups, limits, trust.
//!
//! **`async` handlers** are futures. A worker polls such a future once, where it found the request; if it is not ready then, the
//! worker goes on and the future is polled when it has been woken, by one of as many threads as there are cores, which are
//! started when they are needed. So what waits occupies no thread, and what computes for long belongs into a method that is not
//! `async`. [`ServerBuilder::spawn_with`] hands the futures to a runtime instead, and [`Server::serve_async`] is itself a
//! future, in which they are polled: then handlers can use what the runtime offers, but not those of methods that are not
//! `async`: these run on the server's threads and need a handle of the runtime. A future is dropped before its next poll
//! when nobody waits for its result any more, and looked after if nothing wakes it; its caller gets [`CallError::Abandoned`]
//! if it is still there. [`Limits`] says how many calls may be under way.
//!
//! ```
//! use std::time::Duration;
//! use ipc_rpc::{Server, service};
//!
//! #[service]
//! pub trait Naps {
//!     async fn nap(&self, milliseconds: u64) -> u64;
//!     fn add(&self, a: u64, b: u64) -> u64; // runs on a thread of the server's
//! }
//! struct Bed;
//! impl Naps for Bed {
//!     async fn nap(&self, milliseconds: u64) -> u64 {
//!         tokio::time::sleep(Duration::from_millis(milliseconds)).await;
//!         milliseconds
//!     }
//!     fn add(&self, a: u64, b: u64) -> u64 { a + b }
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-async-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let name = folder.join("naps.sock").display().to_string();
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let server = Server::bind(&name)?;
//!     let handle = server.handle();
//!     let serving = tokio::spawn(server.serve_async(NapsDispatcher::new(Bed)));
//!     let connecting = tokio::task::spawn_blocking(move || NapsClient::connect(&name));
//!     let naps = connecting.await??;
//!     let (one, two) = tokio::join!(naps.nap(20), naps.nap(20)); // at the same time
//!     assert_eq!((one?, two?), (20, 20));
//!     handle.shutdown();
//!     serving.await??;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! SIGTERM and Ctrl-C shut a server down in order, once: a second one kills ([`ServerBuilder::signals`]).
//!
//! A name without a slash is a socket in a folder that only this user can use; one with a slash is the path of a socket. The
//! name of a server that was killed is free.
//!
//! # Messages
//!
//! Numbers, text, sequences, options, maps and the like are messages, and so is every struct or enum with
//! [`#[derive(Message)]`](macro@Message); [the trait](trait@Message) lists them. A handler may take an argument
//!
//! | as | and gets |
//! |---|---|
//! | `T` | an owned value |
//! | `&T` | a reference to an owned value |
//! | `&str` | the text, in shared memory |
//! | `&[T]` | the elements in shared memory if they are numbers, `bool`, `char` or structs of those without padding; else decoded |
//! | [`&Archived<T>`](Archived) | the value in shared memory, with a method for each field |
//! | [`Kept<T>`](Kept) | the same, for as long as it likes (not in an `Option`) |
//! | `Option<&T>`, `Option<&str>`, .. | likewise |
//!
//! ## Descriptors
//!
//! `OwnedFd`, `File`, and the sockets and pipes of the standard library are messages too. They go to the other process while the
//! call does: what is passed is duplicated, and what nobody takes is closed when the call is over. Where the trait has `File`
//! the client gives its own away and the handler gets one to keep; where it has `&File` the client keeps its own, and the
//! handler has to duplicate what it wants to keep (`try_clone`). `File::into` makes an `OwnedFd`, and the reverse. A message has
//! at most 16 of them. There is nothing to read of a descriptor in place ([`Descriptor`]), so a handler takes it as `T` or `&T`,
//! and [`Reply::to_owned`] gives it to a caller. Items of streams have none.
//!
//! ```
//! use std::fs::File;
//! use std::io::Read;
//! use ipc_rpc::{service, testing};
//!
//! #[service]
//! pub trait Lines {
//!     fn count(&self, file: File) -> u64;
//! }
//! struct Counter;
//! impl Lines for Counter {
//!     fn count(&self, mut file: File) -> u64 {
//!         let mut text = String::new();
//!         file.read_to_string(&mut text).map_or(0, |_| text.lines().count() as u64)
//!     }
//! }
//!
//! let (lines, _server) = testing::pair(LinesDispatcher::new(Counter))?;
//! assert!(lines.count(File::open("Cargo.toml")?)? > 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A process that has no number left for a descriptor (`ulimit -n`) does not get it: the call fails, and says so.
//!
//! # Large data
//!
//! A large argument need not be copied at all: `client.loan::<T>(n)` gives a [`Loan`], a slice in shared memory that is filled
//! in place (by a decoder, from a file, by a loop) and passed wherever the trait has `&[T]`, whole or in part. As a type of a
//! field, `Loan<T>` lies in messages as `Vec<T>` does. A handler makes its result in one with [`Context::loan`]; the client reads
//! it where it lies with `view()`, and keeps it as long as it keeps the [`Reply`], which may outlive the client.
//!
//! | who takes it as | |
//! |---|---|
//! | `&[T]`, `&Archived<Frame>`, [`Kept<Frame>`](Kept); with `view()` a `Reply` | reads it where it is |
//! | `Frame`, `&Frame`, `Loan<T>`, `&Loan<T>`; without `view()` a result | gets a private copy |
//!
//! | who has | passes it on to a third process |
//! |---|---|
//! | a [`Loan`], of any of its connections | as any slice, without a copy |
//! | an argument, as [`Kept<T>`](Kept) | as the slices in it, or as [`Loan::part_of`] it in another struct, without a copy |
//! | an argument as a plain slice, a `Reply`, a `Vec` | by one copy |
//!
//! This goes for slices of numbers and of plain structs, from 4 KiB on (256 KiB to a third process), where the other side reads
//! in place; in all other cases the same calls copy.
//!
//! ```
//! use ipc_rpc::{Archived, Context, Loan, Message, service, testing};
//!
//! #[derive(Message)]
//! pub struct Frame { pub width: u32, pub pixels: Loan<u8> }
//!
//! #[service]
//! pub trait Filter {
//!     fn invert(&self, ctx: &Context, frame: &Archived<Frame>) -> Result<Frame, String>;
//! }
//! struct Plain;
//! impl Filter for Plain {
//!     fn invert(&self, ctx: &Context, frame: &Archived<Frame>) -> Result<Frame, String> {
//!         let from: &[u8] = frame.pixels(); // what the client wrote, where it wrote it
//!         let mut pixels = ctx.loan::<u8>(from.len()).map_err(|error| error.to_string())?;
//!         pixels.iter_mut().zip(from).for_each(|(to, from)| *to = !from);
//!         Ok(Frame { width: frame.width(), pixels })
//!     }
//! }
//!
//! let (filter, _server) = testing::pair(FilterDispatcher::new(Plain))?;
//! let mut frame = Frame { width: 1920, pixels: filter.loan(1920 * 1080)? };
//! frame.pixels.fill(1);
//! let inverted = filter.view().invert(&frame).unwrap();
//! assert!(inverted.pixels().iter().all(|pixel| *pixel == 254));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A recorder that keeps the last frame, and has a process behind it look at it:
//!
//! ```
//! use std::sync::Mutex;
//! use ipc_rpc::{Archived, Kept, Loan, Message, service, testing};
//!
//! #[derive(Message)]
//! pub struct Frame { pub width: u32, pub pixels: Loan<u8> }
//!
//! #[service]
//! pub trait Recorder {
//!     fn record(&self, frame: Kept<Frame>);
//!     fn darkest(&self) -> Option<u8>;
//! }
//! #[service]
//! pub trait Look {
//!     fn darkest(&self, frame: &Archived<Frame>) -> Option<u8>;
//! }
//! struct Eye;
//! impl Look for Eye {
//!     fn darkest(&self, frame: &Archived<Frame>) -> Option<u8> { frame.pixels().iter().min().copied() }
//! }
//! struct Last { frame: Mutex<Option<Kept<Frame>>>, eye: LookClient }
//! impl Recorder for Last {
//!     fn record(&self, frame: Kept<Frame>) { *self.frame.lock().unwrap() = Some(frame); }
//!     fn darkest(&self) -> Option<u8> {
//!         let kept = self.frame.lock().unwrap().clone()?;
//!         let pixels = Loan::part_of(&kept, |frame| frame.pixels()); // the client's memory, which `eye` will map
//!         self.eye.darkest(&Frame { width: kept.width(), pixels }).ok().flatten()
//!     }
//! }
//!
//! let (eye, _third) = testing::pair(LookDispatcher::new(Eye))?;
//! let (recorder, _server) = testing::pair(RecorderDispatcher::new(Last { frame: Mutex::default(), eye }))?;
//! let mut frame = Frame { width: 1024, pixels: recorder.loan(1 << 20)? };
//! frame.pixels.fill(7);
//! recorder.record(&frame)?;
//! assert!(frame.pixels.is_lent()); // so the next write goes to other memory
//! frame.pixels.fill(1);
//! assert_eq!(recorder.darkest()?, Some(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats of other crates
//!
//! | feature | what travels | sent without a copy | received without a copy |
//! |---|---|---|---|
//! | `arrow` | `Batch`: a `RecordBatch` of arrow-rs, with columns of all types | what `Batch::lend` has moved to loans, and slices of it | `Reply::into_batch`, `Kept::to_batch`, `Batch::read`: columns that keep the shared memory |
//! | `ndarray` | `Tensor<T>`: an array of any number of dimensions | `Tensor::new` of a loan, filled by `view_mut` | `view` of an `Archived<Tensor<T>>`, which replies and kept arguments give |
//!
//! A picture of the crate `image` needs no feature: `ImageBuffer<Rgba<u8>, Loan<u8>>` is one in a loan, decoders write into a
//! loan as into any slice, and `into_raw` gives it back to be sent. What is received is read with `ImageBuffer<Rgba<u8>, &[u8]>`.
//!
//! # Errors
//!
//! | type | says why |
//! |---|---|
//! | [`ConnectError`] | a client could not connect: names the socket, and the version or signature that differs |
//! | [`CallError`] | a call gave no result: whether the handler may have run, and whether the connection is over |
//! | [`BindError`], [`ServeError`] | a server could not start |
//! | [`NoMemory`] | there is no room for a message: what there is not enough of |
//! | [`LoanError`] | there is no room for a loan, or it would be too large; a `CallError` by `?` |
//! | [`EncodeError`], [`MessageError`] | a value cannot be sent; received bytes are no value of their type |
//!
//! All of them print as one lowercase line that says what to do where that is known. New variants may be added. A `main` that
//! returns one shows its `Debug` form, which is for the program's author: print it with `{}`.
//!
//! # Guarantees
//!
//! - A call that returns `Ok` ran once. After an error for which [`CallError::may_have_run`] is false it has not run and will
//!   not; after the others nobody can tell. What is repeated behind your back has not run, or is marked `#[rpc(idempotent)]`:
//!   such a call may have run more than once.
//! - When the server dies, every waiting call that it had begun ends at once, with its reply if that was complete; the others wait
//!   for [the next server](#when-a-server-goes).
//! - A call that begins when the result of another is known runs after it. All others are not ordered, and one that timed out
//!   or was cancelled may still be running.
//! - A handler that panics fails its own call with [`CallError::Panicked`], and nothing else.
//! - Whatever a peer writes, it can at most end its own connection, if it is read at the level [`Trust::Snapshot`], the
//!   default for other users. [`Trust::InPlace`], the default for the same user, believes that a peer does not change bytes
//!   while they are read.
//! - Methods can be added to a trait without rebuilding the other side. A method that differs fails alone, with
//!   [`CallError::Incompatible`]; the others work.
//! - A process that waits for nothing and has nothing to do makes no system calls.
//!
//! # Memory
//!
//! Large arguments and large results lie in shared memory that no size has to be declared for: it is committed when a message needs it, stays
//! while such messages keep coming, and goes back to the system when it has been idle for 250 ms. [`Memory`] has the numbers, a quota
//! among them: for arguments in [`ClientConfig::memory`], for the results of each client in [`ServerBuilder::memory`]. Where
//! there is no more, the call fails with [`CallError::NoMemory`], which says whose memory it is, how much is wanted and in use, and
//! whether the quota, the address space or the system is in the way. Loans, what a handler has [`Kept`], and replies that are
//! [held](#calling) count until they are dropped. In a handler [`Context::loan`] fails with a [`LoanError`] that is its own affair:
//! the client hears what the handler makes of it. [`MemoryUsage`] says what there is.
//!
//! ```
//! use ipc_rpc::{CallError, ClientConfig, Memory, Server, service};
//!
//! #[service]
//! pub trait Sums { fn sum(&self, numbers: &[f32]) -> f32; }
//! struct Plain;
//! impl Sums for Plain {
//!     fn sum(&self, numbers: &[f32]) -> f32 { numbers.iter().sum() }
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-quota-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let name = folder.join("sums.sock").display().to_string();
//! # let server = Server::bind(&name)?;
//! # let handle = server.handle();
//! # let thread = std::thread::spawn(|| server.serve(SumsDispatcher::new(Plain)));
//! let memory = Memory { quota: 8 << 20, ..Memory::default() };
//! let sums = SumsClient::connect_with(&name, &ClientConfig { memory, ..ClientConfig::default() })?;
//! let loan = sums.loan::<f32>(1 << 20)?; // four megabytes, and a little for its place
//! let more = vec![1.0; 1 << 20];
//! match sums.sum(&more) {
//!     Err(CallError::NoMemory { server: false, memory, .. }) => assert!(memory.passes()), // with less in use there is enough
//!     other => panic!("{other:?}"),
//! }
//! drop(loan);
//! assert_eq!(sums.sum(&more)?, 1_048_576.0);
//! # handle.shutdown();
//! # thread.join().unwrap()?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! None is on by default, and the default build depends on rkyv, memmap2, libc and what macros need.
//!
//! | feature | what it adds |
//! |---|---|
//! | `arrow` | `Batch`: record batches of arrow-rs as messages |
//! | `cli` | the program `ipc`, which lists servers, says what they do, and calls them: `cargo install --path ipc-rpc --features cli` |
//! | `dynamic` | `dynamic`: calls without types, with JSON in place of them; `record`: calls recorded, and made again |
//! | `futures` | [`Streaming`] is a `Stream` of `futures-core`, and an iterator still: with `StreamExt` write `StreamExt::take(items, 3)`, since `items.take(3)` could be either |
//! | `metrics` | `intercept::Counts`, `ServerHandle::report_metrics`: figures for the facade `metrics` |
//! | `ndarray` | `Tensor`: arrays of several dimensions as messages |
//! | `systemd` | sockets that systemd passes, `READY=1` and its watchdog |
//! | `tower` | `intercept::Tower`: layers of tower around calls |
//! | `tracing` | `intercept::Spans`: spans of `tracing` around calls |
//! | `fail-points` | for tests of this crate: places where a process stops or dies |
//!
//! # Limits
//!
//! Linux on 64-bit, little-endian machines. A message has less than 1 GiB. Do not use a connection on both sides of a `fork`.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admitted;
mod allowed;
#[cfg(feature = "arrow")]
mod arrow;
mod asynchronous;
mod batch;
mod body;
mod call_error;
mod callback;
mod connect;
mod context;
pub mod describe;
#[cfg(feature = "dynamic")]
pub mod dynamic;
mod endpoint;
mod executor;
mod expected;
mod handshake;
mod inspect;
pub mod intercept;
mod kept;
mod loan;
mod message;
mod outcome;
mod park;
mod pending;
mod reconnect;
#[cfg(feature = "dynamic")]
pub mod record;
#[cfg(not(feature = "dynamic"))]
mod record;
mod rejected;
mod reply;
#[cfg(feature = "metrics")]
mod report;
mod router;
mod runtime;
mod server;
mod service;
mod session;
mod signals;
mod status;
mod stream;
mod stub;
#[cfg(feature = "systemd")]
pub mod systemd;
#[cfg(feature = "ndarray")]
mod tensor;
mod terms;
pub mod testing;
mod trust;
mod usage;
mod waiting;

/// How a generated client returns results; the parameter of `XClient`.
///
/// ```
/// use ipc_rpc::{mode, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
///
/// fn owned(calc: &CalcClient) -> Option<u64> { calc.add(2, 3).ok() }
/// fn in_place(calc: &CalcClient<mode::Viewing>) -> Option<u64> { calc.add(2, 3).ok().map(|sum| sum.get()) }
/// ```
pub mod mode {
    /// Methods return owned values.
    ///
    /// ```
    /// # use ipc_rpc::{mode, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// fn sum(calc: &CalcClient<mode::Owned>) -> Option<u64> { calc.add(2, 3).ok() }
    /// ```
    #[derive(Debug, Clone, Copy)]
    pub struct Owned;
    /// Methods return [`Reply`](crate::Reply)s that are read where they lie.
    ///
    /// ```
    /// # use ipc_rpc::{mode, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// fn sum(calc: &CalcClient<mode::Viewing>) -> Option<u64> { calc.add(2, 3).ok().map(|sum| sum.get()) }
    /// ```
    #[derive(Debug, Clone, Copy)]
    pub struct Viewing;
    /// Methods return [`Pending`](crate::Pending) calls, before there is a reply.
    ///
    /// ```
    /// # use ipc_rpc::{mode, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// fn sum(calc: &CalcClient<mode::Starting>) -> Option<u64> { calc.add(2, 3).ok()?.wait().ok() }
    /// ```
    #[derive(Debug, Clone, Copy)]
    pub struct Starting;
}

#[cfg(feature = "arrow")]
pub use arrow::{ArchivedBatch, Batch, Keeper};
pub use call_error::{CallError, MethodName};
pub use callback::{Callback, Handle};
pub use connect::{ClientConfig, ConnectError};
pub use context::{Context, InvalidTraceId, Metadata, MetadataIter, Peer, TraceId};
pub use executor::BoxFuture;
pub use handshake::{Difference, Mismatch};
pub use inspect::{
    ClientState, Discovered, Health, MethodFigures, MethodStatistics, RunningCall, ServerInfo, ServerState, discover,
};
pub use ipc_core::gap::Waiting;
pub use ipc_core::histogram::Histogram;
pub use ipc_core::memory::{Lack, Memory, MemoryUsage, NoMemory};
pub use ipc_core::word::Corrupt;
/// ```
/// use ipc_rpc::{Archived, Message};
///
/// #[derive(Message)]
/// pub struct Hit { pub path: String, pub line: u32 }
///
/// fn say(hit: &Archived<Hit>) -> String {
///     format!("{}:{}", hit.path(), hit.line())
/// }
/// # let _ = say;
/// ```
pub use ipc_derive::Message;
/// Turns a trait into a service.
///
/// For `trait Calc` it defines, with the trait's visibility, `CalcClient` (see [Calling](crate#calling)) and
/// `CalcDispatcher` (see [Serving](crate#serving)). The trait stays as it is, except that an `async fn` is declared as the
/// function it stands for, one that returns a future which is `Send`; implementations write `async fn`. Documentation and
/// `cfg` of methods hold for the generated ones too.
///
/// ```
/// use ipc_rpc::{Archived, Message, service, testing};
///
/// #[derive(Message)]
/// pub struct Document { pub title: String, pub words: Vec<u32> }
///
/// #[service]
/// pub trait Store {
///     /// Keeps a document; gives the number of its words.
///     fn add(&self, document: &Archived<Document>) -> u64;
///     fn mean(&self, numbers: &[f32]) -> Option<f32>;
///     #[rpc(name = "forget")]
///     fn forget_all(&self) {}
/// }
///
/// struct Nothing;
/// impl Store for Nothing {
///     fn add(&self, document: &Archived<Document>) -> u64 {
///         assert_eq!(document.title(), "a title"); // read where the client wrote it
///         document.words().len() as u64
///     }
///     fn mean(&self, numbers: &[f32]) -> Option<f32> {
///         (!numbers.is_empty()).then(|| numbers.iter().sum::<f32>() / numbers.len() as f32)
///     }
/// }
///
/// let (store, _server) = testing::pair(StoreDispatcher::new(Nothing))?;
/// assert_eq!(store.add(&Document { title: "a title".to_owned(), words: vec![1, 2, 3] })?, 3);
/// assert_eq!(store.mean(&[1.0, 2.0])?, Some(1.5));
/// store.forget_all()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Methods
///
/// | in the trait | the client's method | the handler |
/// |---|---|---|
/// | `fn m(&self, ..) -> T` | waits with its thread | has a worker of the server to itself |
/// | `async fn m(&self, ..) -> T` | is an `async fn` | is a future: it waits without a thread, and is dropped when its call is cancelled |
/// | `#[rpc(oneway)] fn m(&self, ..)` | returns when the request is handed over; the client's `flush()` tells when all have run | returns nothing |
/// | `fn m(&self, ..) -> Streaming<T>` | returns the stream when the handler does | gives items as fast as the client takes them |
/// | `#[rpc(idempotent)] fn m(&self, ..) -> T` | makes the call again if the server has died meanwhile: see [When a server goes](crate#when-a-server-goes) | may run twice for one call |
/// | `#[rpc(blocking)] fn m(&self, ..) -> T` | as without | waits for long: another worker takes over meanwhile |
///
/// Each of them but the last may be `async`, and return `Result<T, E>` or `Result<Streaming<T>, E>` (but a one-way method returns nothing).
/// One trait can have all kinds.
///
/// # Arguments
///
/// Up to twelve messages, owned or borrowed as [the table](crate#messages) shows, and beside them
///
/// | in the trait | who calls passes | the handler gets |
/// |---|---|---|
/// | `ctx: &Context`, anywhere | nothing | the call's [`Context`]: its deadline, whether it is cancelled, who calls, metadata, trace |
/// | `frame: Kept<T>` | `&T`; `&[f32]` for `Kept<Vec<f32>>` | the value in shared memory, to keep: see [`Kept`] |
/// | `items: Streaming<T>`, one at most | the stream | its items, as they come |
/// | `progress: &ProgressClient` | `&ProgressDispatcher::new(object)`: see [`Callback`] | a client of the object, which it may call, also after the call |
///
/// The last segment of a type's path decides: `Context`, `Kept`, `Streaming`, and what ends in `Client` cannot be the names of
/// messages that are arguments.
///
/// ```
/// use ipc_rpc::{Context, service, testing};
///
/// #[service]
/// pub trait Jobs {
///     /// Does `steps` steps, as far as the time of the call allows.
///     async fn run(&self, steps: u32, ctx: &Context) -> u32;
///     #[rpc(oneway)]
///     fn note(&self, text: &str);
/// }
///
/// struct Runner;
/// impl Jobs for Runner {
///     async fn run(&self, steps: u32, ctx: &Context) -> u32 {
///         assert_eq!(ctx.metadata().get("tenant"), Some("a"));
///         (0..steps).take_while(|_| !ctx.is_cancelled()).count() as u32
///     }
///     fn note(&self, text: &str) {
///         assert_eq!(text, "half way");
///     }
/// }
///
/// let (jobs, _server) = testing::pair(JobsDispatcher::new(Runner))?;
/// let jobs = jobs.with_metadata("tenant", "a");
/// jobs.note("half way")?;
/// jobs.flush()?;
/// # fn block_on<F: Future>(future: F) -> F::Output { smol::block_on(future) }
/// assert_eq!(block_on(jobs.run(3))?, 3); // any executor
/// assert_eq!(jobs.start().run(4)?.wait()?, 4); // or none
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A method with a stream, and one that calls back:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use ipc_rpc::{Streaming, service, testing};
///
/// #[service]
/// pub trait Progress {
///     fn done(&self, lines: u64);
/// }
/// #[service]
/// pub trait Texts {
///     /// The lines that contain `word`.
///     fn search(&self, lines: Streaming<String>, word: &str) -> Streaming<String>;
///     fn count(&self, text: &str, progress: &ProgressClient) -> u64;
/// }
///
/// struct Plain;
/// impl Texts for Plain {
///     fn search(&self, lines: Streaming<String>, word: &str) -> Streaming<String> {
///         let word = word.to_owned();
///         // A line that does not come, because the client is gone, is the end.
///         Streaming::from_iter(lines.map_while(Result::ok).filter(move |line| line.contains(&word)))
///     }
///     fn count(&self, text: &str, progress: &ProgressClient) -> u64 {
///         text.lines().zip(1..).map(|(_, n)| progress.done(n).map_or(0, |()| 1)).sum()
///     }
/// }
///
/// #[derive(Default)]
/// struct Bar(AtomicU64);
/// impl Progress for Bar {
///     fn done(&self, lines: u64) {
///         self.0.store(lines, Ordering::Relaxed);
///     }
/// }
///
/// let (texts, _server) = testing::pair(TextsDispatcher::new(Plain))?;
/// let lines = Streaming::from_iter(["a queue", "shared memory"].map(str::to_owned));
/// let found = texts.search(lines, "memory")?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(found, ["shared memory"]);
///
/// let bar = Arc::new(Bar::default());
/// assert_eq!(texts.count("one\ntwo\nthree", &ProgressDispatcher::from_arc(bar.clone()))?, 3);
/// assert_eq!(bar.0.load(Ordering::Relaxed), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Mocks
///
/// `#[service(mock)]` also defines `CalcMock`, which implements the trait with closures, one for each method, that take what
/// the method takes and return what it returns (of an `async` method the result itself). A method without one panics. It can
/// be served, or called as the trait's implementation that it is.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service(mock)]
/// pub trait Calc {
///     fn add(&self, a: u64, b: u64) -> u64;
///     async fn half(&self, a: u64) -> Result<u64, String>;
/// }
///
/// let mock = CalcMock::new().on_add(|a, b| a + b).on_half(|a| Err(format!("{a} is odd")));
/// assert_eq!(mock.add(2, 3), 5);
/// let (calc, _server) = testing::pair(CalcDispatcher::new(mock))?;
/// assert_eq!(calc.add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Rules
///
/// Methods take `&self` and arguments with plain names; results are owned. Methods may have a body, which an implementation can
/// replace. Not allowed are generics, lifetimes, `impl Trait`, `unsafe`, associated types, constants and functions, and the
/// names that the client needs for itself: `batch`, `clone`, `connect`, `connect_with`, `flush`, `flush_async`, `loan`, `start`,
/// `view`, `with_context`, `with_interceptor`, `with_metadata`, `with_timeout`, `with_trace`. All mistakes of a trait are reported at once, each where it is.
///
/// # Options
///
/// - `#[service(crate = path)]`: where `ipc_rpc` is, if a crate of yours re-exports it.
/// - `#[service(mock)]`: a mock as well.
/// - `#[rpc(name = "other")]` on a method: its name on the wire, so that it can be renamed in the source alone.
/// - `#[rpc(oneway)]`, `#[rpc(idempotent)]`, `#[rpc(blocking)]` on a method: see [above](#methods).
pub use ipc_derive::service;
pub use kept::Kept;
pub use loan::{Loan, LoanError};
pub use message::{
    Archived, Argument, Descriptor, DescriptorError, Elements, ElementsIter, EncodeError, Message, MessageError,
    MessageErrorKind, View,
};
pub use pending::{Pending, join_all};
pub use reconnect::{ConnectionEvent, Observer, Reconnect};
pub use rejected::Rejected;
pub use reply::Reply;
#[cfg(feature = "metrics")]
pub use report::MetricsReporter;
pub use server::{BindError, Limits, ServeError, Server, ServerBuilder, ServerHandle};
pub use service::{Dispatch, Pair};
pub use stream::{Closed, NotSent, Sink, Streaming};
#[cfg(feature = "ndarray")]
pub use tensor::{ArchivedTensor, Tensor};
pub use trust::Trust;
pub use usage::{ClientUsage, ServerUsage};

/// What expansions of the macros name; no public interface.
#[doc(hidden)]
pub mod __private {
    pub use ::core;
    pub use ::std::{boxed::Box, string::String, sync::Arc, vec::Vec};

    pub use crate::admitted::Admitted;
    pub use crate::callback::{Callback, Handle, Lent};
    pub use crate::expected::{CallBack, as_context, callback_desc};
    pub use crate::intercept::Interceptor;
    pub use crate::message::private_exports::*;
    pub use crate::mode::{Owned, Starting, Viewing};
    pub use crate::service::{Dispatch, Incoming, MethodDesc, Pair, ParamDesc, Refused, Replied, ServiceDesc};
    pub use crate::session::Rounds;
    pub use crate::stream::{Sink, Streaming, stream_desc, stream_result_desc};
    pub use crate::stub::Stub;
    pub use crate::{
        CallError, ClientConfig, ConnectError, Context, Loan, LoanError, Metadata, Pending, Reply, TraceId,
    };

    /// The first packet of a client that asks for this service and brings so many blocks, and so many bytes for each arena; for
    /// fuzzing.
    pub fn first_packet(service: &ServiceDesc, blocks: u32, arena: u32, callable: bool) -> Option<Vec<u8>> {
        let geometry = ipc_core::layout::Geometry::new(blocks, arena, arena)?;
        crate::handshake::hello(&[service], &geometry, callable, true).ok()
    }

    /// Reads a packet as the first one of a client, then as the answer of a server; for fuzzing. Says which it could be.
    pub fn read_packet(packet: &[u8], service: &'static ServiceDesc) -> (bool, bool) {
        let asked = matches!(crate::handshake::asked(packet), crate::handshake::Asked::Hello(_));
        (asked, crate::handshake::answered(packet, &[service]).is_some())
    }
}
