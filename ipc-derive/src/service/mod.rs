//! `#[service]`: turns a trait into its client and its dispatcher.
//!
//! | stage | file | what it does |
//! | --- | --- | --- |
//! | parse | `parse` | reads the attribute and the trait, takes `#[rpc(..)]` out of the trait |
//! | model | `model` | classifies arguments and results; never fails, never judges |
//! | check | `check`, `types` | applies every rule and reports all mistakes |
//! | expand | `expand` | `trait_item`, `client`, `dispatcher`, `mock`, and the descriptor table |
//! | fallback | `fallback` | what is emitted beside the mistakes, so that nothing else fails because of them |
//!
//! `names` computes every identifier that the expansion defines, `attrs` decides which of the user's attributes follow
//! a method to which generated item.

mod attrs;
mod check;
mod client;
mod dispatcher;
mod expand;
mod fallback;
#[cfg(test)]
mod golden;
mod mock;
mod model;
mod names;
mod parse;
mod trait_item;
mod types;

use proc_macro2::TokenStream;
use quote::quote;

use crate::report::Report;

pub(crate) fn attribute(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let mut report = Report::default();
    let Some(parsed) = parse::parse(attributes, item.clone(), &mut report) else {
        // Not a trait: there is nothing to build a client from.
        let mistakes = report.finish();
        return quote!(#mistakes #item);
    };
    let mut service = model::build(parsed);
    check::check(&mut service, &mut report);
    match report.finish() {
        None => expand::expand(&service),
        Some(mistakes) => {
            let rest = fallback::expand(&mut service);
            quote!(#mistakes #rest)
        }
    }
}
