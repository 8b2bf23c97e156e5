//! `#[service]`.

use proc_macro2::TokenStream;

pub(crate) fn attribute(_attributes: TokenStream, item: TokenStream) -> TokenStream {
    item
}
