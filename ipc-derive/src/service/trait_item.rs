//! The trait as it is emitted: what the user wrote, with `async` methods in a form that promises futures which can move
//! between threads. Implementations still write `async fn`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{ItemTrait, ReturnType, Token, TraitItem, TraitItemFn};

use super::model::Service;
use super::names::{located, own_span};

pub(super) fn emitted(service: &Service) -> ItemTrait {
    let mut item = service.item.clone();
    for member in &mut item.items {
        if let TraitItem::Fn(method) = member
            && let Some(token) = method.sig.asyncness.take()
        {
            promise(method, token, &service.private);
        }
    }
    item
}

/// Makes an `async` method one that returns a future.
fn promise(method: &mut TraitItemFn, token: Token![async], p: &TokenStream) {
    // Where rustc explains that a handler's future cannot leave its thread, it shows the word `async`.
    let span = own_span(token.span);
    let output = match &method.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    };
    let p = located(p, span);
    let future = quote_spanned!(span=> impl #p::core::future::Future<Output = #output> + #p::core::marker::Send);
    method.sig.output =
        ReturnType::Type(Token![->](own_span(Span::call_site())), Box::new(syn::Type::Verbatim(future)));
    let Some(body) = &mut method.default else { return };
    // A body uses `self`, and what shares it moves between threads.
    method.sig.generics.make_where_clause().predicates.push(syn::parse_quote!(Self: #p::core::marker::Sync));
    let block = quote_spanned!(span=> async move #body);
    *body =
        syn::Block { brace_token: body.brace_token, stmts: vec![syn::Stmt::Expr(syn::Expr::Verbatim(block), None)] };
}
