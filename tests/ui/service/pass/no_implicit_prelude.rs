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
    let _ = (Option, Result, String, Vec, Clone, Send, Stub, Message, S, M);
}
