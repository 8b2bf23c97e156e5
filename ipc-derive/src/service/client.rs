//! The client: one struct, and for each of its two modes one method for each method of the trait.

use proc_macro2::TokenStream;
use quote::quote;

use super::attrs;
use super::model::{Kind, Method, Param, Service};
use super::names::own_tokens;

/// How a client gives results.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// As values.
    Owned,
    /// As replies to be read where they lie.
    Viewing,
}

/// The struct and everything about it that depends neither on the methods nor on the descriptor table.
pub(super) fn declare(service: &Service) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let client = &names.client;
    let vis = own_tokens(&item.vis);
    let shown = attrs::shown(&item.attrs);
    let allows = attrs::allows(&item.attrs);
    let allows = quote!(#(#allows)*);
    let doc =
        format!(" Client of the service [`{}`]. Clones share one connection, and any thread may call.", names.wire);
    let separator = attrs::documented(&item.attrs).then(|| quote!(#[doc = ""]));
    let name = client.to_string();
    quote! {
        #[doc = #doc]
        #separator
        #(#shown)*
        #vis struct #client<M = #p::Owned> {
            stub: #p::Stub,
            mode: #p::core::marker::PhantomData<fn() -> M>,
        }

        #allows
        impl<M> #client<M> {
            /// A client of the same connection whose calls fail when there is no reply after `timeout`.
            #[must_use]
            #vis fn with_timeout(&self, timeout: #p::core::time::Duration) -> Self {
                Self { stub: #p::Stub::with_timeout(&self.stub, timeout), mode: #p::core::marker::PhantomData }
            }
        }

        #allows
        impl #client<#p::Owned> {
            /// A client of the same connection whose calls return replies that are read where they lie.
            #[must_use]
            #vis fn view(&self) -> #client<#p::Viewing> {
                #client { stub: #p::core::clone::Clone::clone(&self.stub), mode: #p::core::marker::PhantomData }
            }
        }

        #allows
        impl<M> #p::core::clone::Clone for #client<M> {
            #[inline]
            fn clone(&self) -> Self {
                Self { stub: #p::core::clone::Clone::clone(&self.stub), mode: #p::core::marker::PhantomData }
            }
        }

        #allows
        impl<M> #p::core::fmt::Debug for #client<M> {
            fn fmt(&self, formatter: &mut #p::core::fmt::Formatter<'_>) -> #p::core::fmt::Result {
                let mut debug = #p::core::fmt::Formatter::debug_struct(formatter, #name);
                #p::core::fmt::DebugStruct::field(&mut debug, "stub", &self.stub);
                #p::core::fmt::DebugStruct::finish(&mut debug)
            }
        }
    }
}

/// The functions that connect; `body` is what `connect_with` does.
pub(super) fn connect(service: &Service, body: &TokenStream) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let client = &names.client;
    let vis = own_tokens(&item.vis);
    quote! {
        impl #client<#p::Owned> {
            /// Connects to the server called `name`; a `name` with a slash in it is the path of the server's socket.
            ///
            /// # Errors
            ///
            /// When there is no such server, or when it does not speak this service.
            #vis fn connect(
                name: impl #p::core::convert::AsRef<str>,
            ) -> #p::core::result::Result<Self, #p::ConnectError> {
                Self::connect_with(name, &#p::core::default::Default::default())
            }

            /// Connects as [`connect`](Self::connect) does, with other settings.
            ///
            /// # Errors
            ///
            /// The same as [`connect`](Self::connect).
            #vis fn connect_with(
                name: impl #p::core::convert::AsRef<str>,
                config: &#p::ClientConfig,
            ) -> #p::core::result::Result<Self, #p::ConnectError> {
                #body
            }
        }
    }
}

/// The body of `connect_with`.
pub(super) fn connect_body(service: &Service) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let table = &names.table;
    quote! {
        #p::core::result::Result::map(#p::Stub::connect(&#table, name, config), |stub| Self {
            stub,
            mode: #p::core::marker::PhantomData,
        })
    }
}

/// The methods of one mode.
pub(super) fn methods(service: &Service, mode: Mode) -> TokenStream {
    let methods = service.methods.iter().map(|method| {
        let signature = signature(service, method, mode);
        let body = call(service, method, mode);
        quote!(#signature { #body })
    });
    implement(service, mode, methods)
}

/// The `impl` block of one mode.
pub(super) fn implement(service: &Service, mode: Mode, methods: impl Iterator<Item = TokenStream>) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let client = &names.client;
    let mode = match mode {
        Mode::Owned => quote!(Owned),
        Mode::Viewing => quote!(Viewing),
    };
    quote! {
        impl #client<#p::#mode> {
            #(#methods)*
        }
    }
}

/// A method's attributes and signature.
pub(super) fn signature(service: &Service, method: &Method, mode: Mode) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let Method { ident, gates, shown, params, .. } = method;
    let vis = own_tokens(&item.vis);
    let doc = (!attrs::documented(shown)).then(|| {
        let doc = format!(" Calls `{}::{}` on the server.", names.wire, method.wire.0);
        quote!(#[doc = #doc])
    });
    let params = params.iter().map(|param| param.passed(p));
    let (value, error) = match &method.result.fallible {
        None => (&method.result.whole, quote!(#p::CallError)),
        Some((ok, err)) => (ok, quote!(#p::CallError<#err>)),
    };
    let value = match mode {
        Mode::Owned => quote!(#value),
        Mode::Viewing => quote!(#p::Reply<#value>),
    };
    quote! {
        #(#gates)*
        #doc
        #(#shown)*
        #[inline]
        #vis fn #ident(&self #(, #params)*) -> #p::core::result::Result<#value, #error>
    }
}

/// A method's body.
fn call(service: &Service, method: &Method, mode: Mode) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let (indexes, ident) = (&names.indexes, &method.ident);
    let request = method.request(p);
    let values = method.params.iter().map(|Param { ident, kind, .. }| match kind {
        Kind::Ref(_) | Kind::Str | Kind::Slice(_) | Kind::Archived(_) => quote!(#ident),
        // An `Option<&T>` is a value too: it is archived through a reference to it.
        _ => quote!(&#ident),
    });
    let arguments = quote!((&self.stub, #indexes::#ident, &(#(#values,)*)));
    let whole = &method.result.whole;
    match (&method.result.fallible, mode) {
        (None, Mode::Owned) => quote!(#p::Stub::call::<#request, #whole> #arguments),
        (None, Mode::Viewing) => quote!(#p::Stub::view::<#request, #whole> #arguments),
        (Some((ok, err)), Mode::Owned) => quote!(#p::Stub::call_result::<#request, #ok, #err> #arguments),
        (Some((ok, err)), Mode::Viewing) => quote!(#p::Stub::view_result::<#request, #ok, #err> #arguments),
    }
}

impl Param {
    /// The argument as a client passes it: as the trait has it, but `&T` for `&Archived<T>`.
    fn passed(&self, p: &TokenStream) -> TokenStream {
        let Param { ident, ty, kind } = self;
        match kind {
            Kind::Archived(inner) => quote!(#ident: &#inner),
            Kind::OptArchived(inner) => quote!(#ident: #p::core::option::Option<&#inner>),
            _ => quote!(#ident: #ty),
        }
    }
}
