//! Last stage: the trait, its client, its dispatcher and the table that describes it.
//!
//! What users name stands beside the trait; the rest is in one `const _` block. Functions are called by path and not
//! with dot syntax: no trait that is in scope where the user wrote the service can get in between.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, TraitItem};

use super::attrs;
use super::check::same_name;
use super::client::{self, Mode};
use super::dispatcher::{self, Bound};
use super::mock;
use super::model::Service;
use super::trait_item;

pub(super) fn expand(service: &Service) -> TokenStream {
    let item = trait_item::emitted(service);
    let table = &service.names.table;
    let described = quote!(&#table);
    let allows = allows(service);
    let mut parts = vec![client::declare(service), dispatcher::declare(service), clashes(service)];
    let mut hidden = vec![
        dispatcher::indexes(service),
        dispatcher::table(service),
        client::connect(service, &client::connect_body(service)),
        client::handle(service, &described),
    ];
    hidden.extend(Mode::ALL.map(|mode| client::methods(service, mode, |method| client::call(service, method, mode))));
    hidden.push(dispatcher::keep(service));
    hidden.push(dispatcher::implement(service, Bound::Service, &described, &dispatcher::dispatch(service)));
    if service.mock {
        parts.push(mock::declare(service));
        hidden.push(mock::build(service));
        hidden.extend(mock::implement(service));
    }
    quote! {
        #item
        #(#parts)*
        #(#allows)*
        const _: () = {
            #(#hidden)*
        };
    }
}

/// The lints that are switched off at the trait or at any of its methods: the hidden block mixes all of them.
fn allows(service: &Service) -> Vec<Attribute> {
    let mut allows = attrs::allows(&service.item.attrs);
    for member in &service.item.items {
        if let TraitItem::Fn(method) = member {
            allows.extend(attrs::allows(&method.attrs));
        }
    }
    allows
}

/// Errors for methods that have the same name on the wire and exist together under some `cfg`. Those that always exist
/// together have been reported.
fn clashes(service: &Service) -> TokenStream {
    let methods = &service.methods;
    let mut clashes = TokenStream::new();
    for (number, second) in methods.iter().enumerate() {
        for first in &methods[..number] {
            // Two methods of the same name in Rust are an error of their own.
            if first.wire.0 != second.wire.0 || first.ident == second.ident {
                continue;
            }
            let conditions = attrs::conditions(&first.gates).into_iter().chain(attrs::conditions(&second.gates));
            let message = same_name(&second.wire.0, &first.ident);
            let error = syn::Error::new(second.wire.1, message).into_compile_error();
            clashes.extend(quote!(#[cfg(all(#(#conditions),*))] #error));
        }
    }
    clashes
}
