//! What expansions of `#[service]` ask of types that they recognise by name, so that rustc speaks of services where a type of
//! the user's only has the same name.

use crate::callback::{Handle, handle_desc};
use crate::context::Context;
use crate::message::private_exports::Desc;

/// The type of an argument that is written `&Context`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the context of a call",
    label = "an argument `&Context` is an `ipc_rpc::Context`",
    note = "a message needs another name to be an argument: `use path::{Self} as Other`"
)]
pub trait CallContext {
    /// The same.
    fn of(context: &Context) -> &Self;
}

impl CallContext for Context {
    #[inline]
    fn of(context: &Context) -> &Self {
        context
    }
}

/// The context as the trait has it.
#[inline]
pub fn as_context<C: CallContext>(context: &Context) -> &C {
    C::of(context)
}

/// The type of an argument that is written `&XClient`: a client by which a handler calls back. A client of a service with
/// streams is none, because the channel back has no place for their items.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a handler can call back by",
    label = "an argument `&XClient` is the client of a service, one without streams"
)]
pub trait CallBack: Handle {}

/// Describes such an argument.
pub fn callback_desc<C: CallBack>() -> &'static Desc {
    handle_desc::<C>()
}
