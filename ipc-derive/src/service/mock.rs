//! The mock: the trait implemented by closures, one for each method.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::TraitItem;
use syn::ext::IdentExt;

use super::attrs;
use super::model::{Method, Param, Service};
use super::names::{local, own_span, own_tokens};

/// The struct.
pub(super) fn declare(service: &Service) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let mock = &names.mock;
    let vis = own_tokens(&item.vis);
    let marks = attrs::marks(&item.attrs);
    let allows = attrs::allows(&item.attrs);
    let allows = quote!(#(#allows)*);
    let doc = format!(" Implements [`{}`] with closures. A method that was given none panics.", names.wire);
    let fields = service.methods.iter().filter(|method| !method.flawed).map(|method| {
        let Method { ident, gates, .. } = method;
        let closure = closure(service, method);
        quote!(#(#gates)* #ident: #p::core::option::Option<#p::Box<dyn #closure>>)
    });
    let name = mock.to_string();
    quote! {
        #[doc = #doc]
        #(#marks)*
        #[derive(#p::core::default::Default)]
        #vis struct #mock {
            #(#fields,)*
        }

        #allows
        impl #p::core::fmt::Debug for #mock {
            fn fmt(&self, formatter: &mut #p::core::fmt::Formatter<'_>) -> #p::core::fmt::Result {
                let mut debug = #p::core::fmt::Formatter::debug_struct(formatter, #name);
                #p::core::fmt::DebugStruct::finish_non_exhaustive(&mut debug)
            }
        }
    }
}

/// What takes the closures.
pub(super) fn build(service: &Service) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let mock = &names.mock;
    let vis = own_tokens(&item.vis);
    let builders = service.methods.iter().filter(|method| !method.flawed).map(|method| {
        let Method { ident, gates, .. } = method;
        let closure = closure(service, method);
        let on = builder(ident);
        let doc = format!(" Has `handler` answer calls of [`{}`]({}::{}).", ident.unraw(), names.wire, ident.unraw());
        quote! {
            #(#gates)*
            #[doc = #doc]
            #[must_use]
            #vis fn #on(mut self, handler: impl #closure) -> Self {
                self.#ident = #p::core::option::Option::Some(#p::Box::new(handler));
                self
            }
        }
    });
    quote! {
        impl #mock {
            /// A mock whose methods all panic.
            #[must_use]
            #vis fn new() -> Self {
                #p::core::default::Default::default()
            }

            #(#builders)*
        }
    }
}

/// The trait for it; `None` if a mistake is in the way.
pub(super) fn implement(service: &Service) -> Option<TokenStream> {
    let Service { private: p, names, item, .. } = service;
    let sound = item.unsafety.is_none()
        && item.generics.params.is_empty()
        && item.items.iter().all(|member| matches!(member, TraitItem::Fn(_)))
        && service.methods.iter().all(|method| !method.flawed);
    if !sound {
        return None;
    }
    let (service_name, mock) = (&names.service, &names.mock);
    let call = local("__handler");
    let methods = service.methods.iter().map(|method| {
        let Method { ident, gates, params, result, .. } = method;
        let arguments = params.iter().map(|Param { ident, ty, .. }| quote!(#ident: #ty));
        let passed = params.iter().map(|param| &param.ident);
        let asyncness = method.asynchronous.then(|| quote!(async));
        let whole = &result.whole;
        let unset = format!(
            "`{}` was called, but `{mock}` was given nothing to do for it: use `{}`",
            ident.unraw(),
            builder(ident)
        );
        quote! {
            #(#gates)*
            #asyncness fn #ident(&self #(, #arguments)*) -> #whole {
                match &self.#ident {
                    #p::core::option::Option::Some(#call) => #call(#(#passed),*),
                    #p::core::option::Option::None => #p::core::panic!(#unset),
                }
            }
        }
    });
    Some(quote! {
        impl #service_name for #mock {
            #(#methods)*
        }
    })
}

/// The name of the function that takes a method's closure.
fn builder(method: &Ident) -> Ident {
    format_ident!("on_{}", method.unraw(), span = own_span(method.span()))
}

/// The bounds of a method's closure.
fn closure(service: &Service, method: &Method) -> TokenStream {
    let p = &service.private;
    let arguments = method.params.iter().map(|param| &param.ty);
    let whole = &method.result.whole;
    quote!(#p::core::ops::Fn(#(#arguments),*) -> #whole + #p::core::marker::Send + #p::core::marker::Sync + 'static)
}
