//! What is emitted beside mistakes: the trait, the client and the dispatcher as far as they are sound, so that code which
//! uses them does not fail because of the mistakes.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{FnArg, Pat, ReturnType, TraitItem, TraitItemFn, Type};

use super::client::{self, Mode};
use super::dispatcher::{self, Bound};
use super::mock;
use super::model::{Service, bare};
use super::{trait_item, types};

pub(super) fn expand(service: &mut Service) -> TokenStream {
    quiet_trait(service);
    // Nothing runs: the bodies only have to have the right type.
    let endless = quote!(loop {});
    let item = trait_item::emitted(service);
    let mut parts = vec![
        client::declare(service),
        dispatcher::declare(service),
        client::connect(service, &endless),
        client::handle(service, &endless),
        dispatcher::implement(service, Bound::Nothing, &endless, &endless),
    ];
    parts.extend(Mode::ALL.map(|mode| client::methods(service, mode, |_| endless.clone())));
    if service.mock {
        parts.push(mock::declare(service));
        parts.push(mock::build(service));
        parts.extend(mock::implement(service));
    }
    quote! {
        #item
        #(#parts)*
    }
}

/// Takes out of the trait what rustc would refuse once more.
fn quiet_trait(service: &mut Service) {
    service.item.modifiers.auto_token = None;
    let flawed: Vec<usize> = service.methods.iter().filter(|method| method.flawed).map(|method| method.item).collect();
    for position in flawed {
        if let Some(TraitItem::Fn(method)) = service.item.items.get_mut(position) {
            quiet_method(method);
        }
    }
    let mut seen = Vec::new();
    service.item.items.retain(|member| match member {
        // The second of two functions with one name and no `cfg`: the first stands for both.
        TraitItem::Fn(method)
            if !method.attrs.iter().any(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")) =>
        {
            let name = method.sig.ident.unraw();
            let new = !seen.contains(&name);
            seen.push(name);
            new
        }
        TraitItem::Verbatim(_) => false,
        _ => true,
    });
}

fn quiet_method(method: &mut TraitItemFn) {
    let sig = &mut method.sig;
    sig.constness = None;
    sig.variadic = None;
    let mut names = Vec::new();
    for (number, input) in sig.inputs.iter_mut().enumerate() {
        let argument = match input {
            FnArg::Typed(argument) => argument,
            FnArg::Receiver(receiver) => {
                receiver.mutability = None;
                continue;
            }
        };
        argument.attrs.clear();
        let plain = match &*argument.pat {
            Pat::Ident(pattern) => {
                let new = !names.contains(&pattern.ident);
                names.push(pattern.ident.clone());
                // With a body, `mut x` and `ref x` are fine.
                new && (method.default.is_some() || pattern.to_token_stream().into_iter().count() == 1)
            }
            _ => method.default.is_some(),
        };
        if !plain {
            let name = format_ident!("__{number}");
            *argument.pat = syn::parse_quote!(#name);
        }
        if is_hole(&argument.ty) {
            *argument.ty = syn::parse_quote!(());
        }
        types::complete(&mut argument.ty);
    }
    if let ReturnType::Type(_, ty) = &mut sig.output {
        if has_infer(ty.to_token_stream()) {
            **ty = syn::parse_quote!(());
        }
        types::complete(ty);
    }
}

/// Whether rustc refuses the type of an argument by itself.
fn is_hole(ty: &Type) -> bool {
    matches!(bare(ty), Type::Never(_)) || has_infer(ty.to_token_stream())
}

fn has_infer(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(word) => word == "_",
        TokenTree::Group(group) => has_infer(group.stream()),
        _ => false,
    })
}
