//! Nothing from the prelude is needed, and names of the user's that look like it do no harm.
#![no_implicit_prelude]

struct Option;
struct Result;
struct String;
struct Vec;
struct Clone;
struct Send;
struct Stub;
struct Message;
struct S;
struct M;
struct R;
struct Arc;
struct Box;
struct Future;
struct Pending;
struct Incoming;
struct Admitted;
struct Handle;
struct Callback;
mod core {}
mod std {}

/// A trait with the names that generated code uses on everything.
trait Shadow: ::core::marker::Sized {
    fn call(self) {}
    fn args(self) {}
    fn reply(self) {}
    fn map(self) {}
    fn as_ref(self) {}
    fn as_deref(self) {}
    fn field(self) {}
    fn finish(self) {}
    fn finish_non_exhaustive(self) {}
    fn clone(self) {}
    fn view(self) {}
    fn start(self) {}
    fn batch(self) {}
    fn flush(self) {}
    fn run(self) {}
    fn context(self) {}
    fn scope(self) {}
    fn input(self) {}
    fn callback(self) {}
    fn number(self) {}
    fn share(self) {}
    fn deref(self) {}
    fn into_future(self) {}
    fn into(self) {}
    fn new(self) {}
    fn default(self) {}
    fn map_err(self) {}
}
impl<T> Shadow for T {}

#[::ipc_rpc::service]
trait Store {
    fn put(
        &self,
        text: &str,
        list: &[::std::string::String],
        text_or: ::core::option::Option<&str>,
        number_or: ::core::option::Option<&u8>,
        list_or: ::core::option::Option<&[u8]>,
        form_or: ::core::option::Option<&::ipc_rpc::Archived<u8>>,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String>;
    fn ping(&self);
}

#[::ipc_rpc::service(mock)]
trait Ways {
    async fn put(&self, text: &str, ctx: &::ipc_rpc::Context, list: &[u8]) -> ::core::result::Result<u8, u8> {
        let _ = (text, ctx, list);
        ::core::result::Result::Ok(1)
    }
    fn context(&self, ctx: &::ipc_rpc::Context);
    #[rpc(oneway)]
    fn note(&self, text: &str);
    #[rpc(oneway)]
    async fn note_later(&self, text: &str);
    fn list(&self) -> ::ipc_rpc::Streaming<u8>;
    fn sum(&self, items: ::ipc_rpc::Streaming<u8>) -> ::core::result::Result<u8, u8>;
    async fn both(&self, items: ::ipc_rpc::Streaming<u8>) -> ::core::result::Result<::ipc_rpc::Streaming<u8>, u8>;
    fn call_back(&self, store: &StoreClient) -> ::core::result::Result<u8, u8>;
    async fn call_back_later(&self, store: &StoreClient) -> ::core::result::Result<u8, u8>;
}

struct Server;

impl Store for Server {
    fn put(
        &self,
        _: &str,
        _: &[::std::string::String],
        _: ::core::option::Option<&str>,
        _: ::core::option::Option<&u8>,
        _: ::core::option::Option<&[u8]>,
        _: ::core::option::Option<&::ipc_rpc::Archived<u8>>,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
        ::core::result::Result::Ok(::std::vec::Vec::new())
    }
    fn ping(&self) {}
}

fn main() {
    let _ = StoreDispatcher::new(Server);
    let _ = |client: &StoreClient| client.ping().is_ok();
    let _ = WaysDispatcher::new(WaysMock::new());
    let _ = |client: &WaysClient| client.flush().is_ok();
    let _ = (R, Arc, Box, Future, Pending, Incoming, Admitted, Handle, Callback);
    let _ = (Option, Result, String, Vec, Clone, Send, Stub, Message, S, M);
}
