//! `#[derive(Message)]`: tokens to a model ([`model`], [`attribute`]), rules ([`check`]), then the items ([`expand`]).

mod attribute;
mod bounds;
mod check;
mod expand;
#[cfg(test)]
mod golden;
mod model;
mod stub;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::report::Report;

/// The impls for the type in `input`, or its mistakes and stubs.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input) {
        Ok(input) => input,
        Err(mistake) => return mistake.into_compile_error(),
    };
    let mut report = Report::default();
    let options = attribute::parse(&input, &mut report);
    let stub = stub::expand(&input, &options);
    let model = model::Model::new(input, options);
    check::check(&model, &mut report);
    match report.finish() {
        Some(mistakes) => quote! { #mistakes #stub },
        None => expand::expand(&model),
    }
}
