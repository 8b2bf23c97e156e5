//! What expansions of `#[service]` ask of types that they recognise by name, so that rustc speaks of services where a type of
//! the user's only has the same name.

use crate::context::Context;

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
