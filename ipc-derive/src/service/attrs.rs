//! Which of the user's attributes follow a method or the trait to which generated item.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// The attributes that decide whether a method exists. They go on everything generated for the method.
pub(super) fn gates(attrs: &[Attribute]) -> Vec<Attribute> {
    select(attrs, &|meta| meta.path().is_ident("cfg").then(|| meta.clone()))
}

/// The attributes a caller cares about: documentation, `deprecated`, and `must_use` if it gives a reason (without one it
/// adds nothing to the `Result` that a client's method returns).
pub(super) fn shown(attrs: &[Attribute]) -> Vec<Attribute> {
    select(attrs, &|meta| {
        let path = meta.path();
        let shown = path.is_ident("doc")
            || path.is_ident("deprecated")
            || (path.is_ident("must_use") && !matches!(meta, Meta::Path(_)));
        shown.then(|| meta.clone())
    })
}

/// What of a trait's attributes goes on the dispatcher: `deprecated` and `doc(hidden)`.
pub(super) fn marks(attrs: &[Attribute]) -> Vec<Attribute> {
    select(attrs, &|meta| {
        let hidden = meta.path().is_ident("doc") && matches!(meta, Meta::List(_));
        (hidden || meta.path().is_ident("deprecated")).then(|| meta.clone())
    })
}

/// The lints that the user has switched off at the trait or at a method, switched off in generated code too. An `expect`
/// becomes an `allow`: what it expects happens in the user's code, not here.
pub(super) fn allows(attrs: &[Attribute]) -> Vec<Attribute> {
    let mut allows = select(attrs, &|meta| match meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            let lints = &list.tokens;
            syn::parse2(quote!(allow(#lints))).ok()
        }
        _ => None,
    });
    // The expansion uses the deprecated item; the user's own uses are what the warning is for.
    allows.extend(select(attrs, &|meta| {
        if meta.path().is_ident("deprecated") { syn::parse2(quote!(allow(deprecated))).ok() } else { None }
    }));
    allows
}

/// Whether `attrs` say anything in documentation.
pub(super) fn documented(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| matches!(&attr.meta, Meta::NameValue(pair) if pair.path.is_ident("doc")))
}

/// The conditions under which a method with these gates exists.
pub(super) fn conditions(gates: &[Attribute]) -> Vec<TokenStream> {
    fn of(meta: &Meta) -> Option<TokenStream> {
        let Meta::List(list) = meta else { return None };
        if list.path.is_ident("cfg") {
            return Some(list.tokens.clone());
        }
        let (condition, metas) = cfg_attr(meta)?;
        let metas = metas.iter().filter_map(of);
        Some(quote!(any(not(#condition), all(#(#metas),*))))
    }
    gates.iter().filter_map(|attr| of(&attr.meta)).collect()
}

/// The attribute called `name` inside a `cfg_attr`.
pub(super) fn conditional(attr: &Attribute, name: &str) -> Option<TokenStream> {
    fn find(meta: &Meta, name: &str) -> Option<TokenStream> {
        let (_, metas) = cfg_attr(meta)?;
        metas.iter().find_map(|meta| {
            if meta.path().is_ident(name) { Some(meta.path().to_token_stream()) } else { find(meta, name) }
        })
    }
    find(&attr.meta, name)
}

/// The attributes for which `pick` gives something, also those inside `cfg_attr`.
fn select(attrs: &[Attribute], pick: &dyn Fn(&Meta) -> Option<Meta>) -> Vec<Attribute> {
    let mut selected = Vec::new();
    for attr in attrs {
        if let Some(meta) = select_meta(&attr.meta, pick) {
            selected.push(Attribute { meta, ..attr.clone() });
        }
    }
    selected
}

fn select_meta(meta: &Meta, pick: &dyn Fn(&Meta) -> Option<Meta>) -> Option<Meta> {
    let Some((condition, metas)) = cfg_attr(meta) else { return pick(meta) };
    let metas: Vec<Meta> = metas.iter().filter_map(|meta| select_meta(meta, pick)).collect();
    if metas.is_empty() {
        return None;
    }
    syn::parse2(quote!(cfg_attr(#condition, #(#metas),*))).ok()
}

/// The condition and the attributes of a `cfg_attr`.
fn cfg_attr(meta: &Meta) -> Option<(TokenStream, Punctuated<Meta, Token![,]>)> {
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let parser = |input: syn::parse::ParseStream<'_>| {
        let mut condition = TokenStream::new();
        while !input.peek(Token![,]) {
            condition.extend([input.parse::<proc_macro2::TokenTree>()?]);
        }
        input.parse::<Token![,]>()?;
        Ok((condition, Punctuated::parse_terminated(input)?))
    };
    parser.parse2(list.tokens.clone()).ok()
}
