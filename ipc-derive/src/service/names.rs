//! Every identifier that the expansion defines.
//!
//! A name that comes from one of the user's keeps the user's location, so that "go to definition" on `calc.add()` lands
//! on the trait's method, but resolves (and counts for lints) as the macro's own code.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;

/// Names that the client defines itself: no method of a service can have them.
pub(super) const RESERVED: [&str; 14] = [
    "batch",
    "clone",
    "connect",
    "connect_with",
    "flush",
    "flush_async",
    "loan",
    "start",
    "view",
    "with_context",
    "with_interceptor",
    "with_metadata",
    "with_timeout",
    "with_trace",
];

/// The names of one service.
pub(super) struct Names {
    /// The trait.
    pub(super) service: Ident,
    /// The service's name on the wire.
    pub(super) wire: String,
    /// The client stub.
    pub(super) client: Ident,
    /// The dispatcher.
    pub(super) dispatcher: Ident,
    /// The mock.
    pub(super) mock: Ident,
    /// Hidden enum with one variant for each method that exists: the variant's number is the method's index.
    pub(super) positions: Ident,
    /// Hidden struct whose associated constants are the method indexes, as patterns.
    pub(super) indexes: Ident,
    /// Hidden static that describes the service.
    pub(super) table: Ident,
    /// Parameter of the dispatcher: the type that implements the service.
    pub(super) implementor: Ident,
}

impl Names {
    pub(super) fn of(service: &Ident) -> Names {
        let wire = service.unraw().to_string();
        let span = own_span(service.span());
        Names {
            service: own(service),
            client: Ident::new(&format!("{wire}Client"), span),
            dispatcher: Ident::new(&format!("{wire}Dispatcher"), span),
            mock: Ident::new(&format!("{wire}Mock"), span),
            wire,
            positions: format_ident!("__Position"),
            indexes: format_ident!("__Method"),
            table: format_ident!("__SERVICE"),
            implementor: format_ident!("__S"),
        }
    }
}

/// The user's identifier as a name that the expansion defines.
pub(super) fn own(ident: &Ident) -> Ident {
    let mut own = ident.clone();
    own.set_span(own_span(ident.span()));
    own
}

/// All of the user's `tokens` as the expansion's own code.
pub(super) fn own_tokens(tokens: impl ToTokens) -> TokenStream {
    respan(tokens.into_token_stream(), &own_span)
}

/// The expansion's `tokens`, for rustc to show them at `span`.
pub(super) fn located(tokens: impl ToTokens, span: Span) -> TokenStream {
    respan(tokens.into_token_stream(), &|own| own.located_at(span))
}

fn respan(tokens: TokenStream, new: &dyn Fn(Span) -> Span) -> TokenStream {
    let one = |mut tree: TokenTree| {
        let span = new(tree.span());
        if let TokenTree::Group(group) = &tree {
            tree = Group::new(group.delimiter(), respan(group.stream(), new)).into();
        }
        tree.set_span(span);
        tree
    };
    tokens.into_iter().map(one).collect()
}

/// A local variable of generated code, out of reach of the user's names.
pub(super) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

pub(super) fn own_span(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}
