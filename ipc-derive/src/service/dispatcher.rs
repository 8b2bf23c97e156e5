//! The dispatcher, the table that describes the service, and the methods' indexes.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::attrs;
use super::model::{Kind, Method, Param, Service};
use super::names::{local, own_tokens};

/// The struct, without its constructor and without what it does.
pub(super) fn declare(service: &Service) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let dispatcher = &names.dispatcher;
    let vis = own_tokens(&item.vis);
    let marks = attrs::marks(&item.attrs);
    let allows = attrs::allows(&item.attrs);
    let allows = quote!(#(#allows)*);
    let doc =
        format!(" Serves calls to [`{}`] with a value that implements it. Clones serve the same value.", names.wire);
    let name = dispatcher.to_string();
    quote! {
        #[doc = #doc]
        #(#marks)*
        #vis struct #dispatcher<S> {
            service: #p::Arc<S>,
        }

        #allows
        impl<S> #p::core::clone::Clone for #dispatcher<S> {
            fn clone(&self) -> Self {
                Self { service: #p::core::clone::Clone::clone(&self.service) }
            }
        }

        #allows
        impl<S> #p::core::fmt::Debug for #dispatcher<S> {
            fn fmt(&self, formatter: &mut #p::core::fmt::Formatter<'_>) -> #p::core::fmt::Result {
                let mut debug = #p::core::fmt::Formatter::debug_struct(formatter, #name);
                #p::core::fmt::DebugStruct::finish_non_exhaustive(&mut debug)
            }
        }
    }
}

/// The bounds of the implementor; after a mistake without the trait, which may not be usable as a bound.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Service,
    Nothing,
}

/// The constructor and the runtime's traits, with these bodies of `Dispatch`'s two methods.
pub(super) fn implement(
    service: &Service,
    bound: Bound,
    described: &TokenStream,
    dispatched: &TokenStream,
) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let (dispatcher, client, implementor) = (&names.dispatcher, &names.client, &names.implementor);
    let vis = own_tokens(&item.vis);
    let service_bound = (bound == Bound::Service).then(|| {
        let service = &names.service;
        quote!(#service +)
    });
    let bounds = quote!(#service_bound #p::core::marker::Send + #p::core::marker::Sync + 'static);
    let (method, call) = (local("__method"), local("__call"));
    quote! {
        impl<#implementor: #bounds> #dispatcher<#implementor> {
            /// A dispatcher that calls `service`.
            #vis fn new(service: #implementor) -> Self {
                Self { service: #p::Arc::new(service) }
            }

            /// A dispatcher that calls `service`, which is used elsewhere too.
            #vis fn from_arc(service: #p::Arc<#implementor>) -> Self {
                Self { service }
            }
        }

        impl<#implementor: #bounds> #p::Dispatch for #dispatcher<#implementor> {
            fn service(&self) -> &'static #p::ServiceDesc {
                #described
            }

            #[inline]
            fn dispatch(
                &self,
                #method: u16,
                #call: #p::Incoming<'_>,
            ) -> #p::core::result::Result<#p::Replied, #p::Refused> {
                #dispatched
            }
        }

        impl<#implementor: #bounds> #p::Pair for #dispatcher<#implementor> {
            type Client = #client;

            fn client(stub: #p::Stub) -> Self::Client {
                #client { stub, mode: #p::core::marker::PhantomData }
            }
        }

        impl<#implementor: #bounds> #p::Callback<#client> for #dispatcher<#implementor> {
            fn share(&self) -> #p::Arc<dyn #p::Dispatch> {
                #p::Arc::new(#p::core::clone::Clone::clone(self))
            }
        }
    }
}

/// Makes the dispatcher count as used, and with it the trait and its methods: a program that only calls a service never
/// implements the trait, which is no dead code.
pub(super) fn keep(service: &Service) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let dispatcher = &names.dispatcher;
    quote!(const _: #p::core::marker::PhantomData<#dispatcher<()>> = #p::core::marker::PhantomData;)
}

/// The body of `dispatch`.
pub(super) fn dispatch(service: &Service) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let indexes = &names.indexes;
    let (selector, call) = (local("__method"), local("__call"));
    let arms = service.methods.iter().map(|method| {
        let Method { ident, gates, .. } = method;
        let body = serve(service, method);
        quote! {
            #(#gates)*
            #indexes::#ident => { #body }
        }
    });
    quote! {
        match #selector {
            #(#arms)*
            _ => #p::Incoming::unknown_method(#call),
        }
    }
}

/// Reads a method's arguments, calls it and replies.
fn serve(service: &Service, method: &Method) -> TokenStream {
    let Service { private: p, .. } = service;
    let (call, implementor, outcome) = (local("__call"), local("__service"), local("__outcome"));
    if !method.asynchronous {
        return handle(service, method, &quote!(self.service), &quote!(#p::Incoming), None);
    }
    let handled = handle(service, method, &quote!(#implementor), &quote!(#p::Admitted), Some(quote!(&)));
    quote! {
        #p::Incoming::run(#call, {
            let #implementor = #p::core::clone::Clone::clone(&self.service);
            move |#call: #p::Admitted| async move {
                let #outcome = async { #handled }.await;
                // Whoever sees the answer can count on the value being let go of.
                #p::core::mem::drop(#implementor);
                #p::Admitted::finish(#call, #outcome)
            }
        })
    }
}

/// The part of it that is the same for methods that block and for `async` ones, but for the type of `__call`, and whether it
/// is passed by reference in the end.
fn handle(
    service: &Service,
    method: &Method,
    implementation: &TokenStream,
    carrier: &TokenStream,
    by_ref: Option<TokenStream>,
) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let (trait_name, implementor, ident) = (&names.service, &names.implementor, &method.ident);
    let request = method.request(p);
    let (call, args, value, room) = (local("__call"), local("__args"), local("__value"), local("__room"));
    let wait = method.asynchronous.then(|| quote!(.await));
    // What has come with the request besides its bytes is the thread's only for as long as that runs nothing else.
    let owned = |ty: TokenStream, form: &TokenStream| match method.asynchronous {
        true => quote!(#carrier::owned::<#ty>(&#call, #form)?),
        false => quote!(#p::owned::<#ty>(#form)?),
    };
    let mut reads = Vec::new();
    let mut passed = Vec::new();
    let mut field = 0;
    for (number, Param { kind, .. }) in method.params.iter().enumerate() {
        let name = local(&format!("__{number}"));
        let option = quote!(#p::core::option::Option);
        let position = Literal::usize_unsuffixed(field);
        let form = quote!(&#args.#position);
        field += 1;
        let (value, pass) = match kind {
            Kind::Owned(ty) => (owned(quote!(#ty), &form), quote!(#name)),
            Kind::Ref(ty) => (owned(quote!(#ty), &form), quote!(&#name)),
            Kind::Str => (quote!(#p::str_arg(#form)), quote!(#name)),
            Kind::Slice(ty) => (quote!(#p::slice_arg::<#ty>(#form)?), quote!(&#name)),
            Kind::Archived(_) => (form, quote!(#name)),
            Kind::Kept(ty) => (quote!(#carrier::kept::<#ty>(&#call, #form)?), quote!(#name)),
            Kind::OptRef(ty) => (owned(quote!(#option<#ty>), &form), quote!(#option::as_ref(&#name))),
            Kind::OptStr => (quote!(#option::map(#p::option_form::<#p::String>(#form), #p::str_arg)), quote!(#name)),
            Kind::OptSlice(ty) => (
                quote! {
                    match #p::option_form::<#p::Vec<#ty>>(#form) {
                        #option::Some(form) => #option::Some(#p::slice_arg::<#ty>(form)?),
                        #option::None => #option::None,
                    }
                },
                quote!(#option::as_deref(&#name)),
            ),
            Kind::OptArchived(ty) => (quote!(#p::option_form::<#ty>(#form)), quote!(#name)),
            Kind::Callback(client) => (
                quote!(#carrier::callback::<#client>(&#call, #p::owned::<#p::core::primitive::u32>(#form)?) #wait ?),
                quote!(&#name),
            ),
            Kind::Input(item) => {
                field -= 1;
                (quote!(#carrier::input::<#item>(&#call)?), quote!(#name))
            }
            Kind::Context(ty) => {
                field -= 1;
                // What the user wrote is asked to be the context, so that rustc says where it is another type.
                (quote!(#carrier::context(&#call)), quote!(#p::as_context::<#ty>(&#name)))
            }
        };
        reads.push(quote!(let #name = #value;));
        passed.push(pass);
    }
    let read = (field > 0).then(|| quote!(let #args =));
    let run = quote!(<#implementor as #trait_name>::#ident(&*#implementation #(, #passed)*));
    let whole = &method.result.whole;
    let reply = match (&method.result.stream, &method.result.fallible) {
        (None, _) => quote!(#carrier::reply::<#whole>(#by_ref #call, &#value)),
        (Some(item), None) => quote!(#carrier::reply_stream::<#item>(#by_ref #call, #value, #room)),
        (Some(item), Some((_, err))) => {
            quote!(#carrier::reply_stream_result::<#item, #err>(#by_ref #call, #value, #room))
        }
    };
    // Before the handler runs: without room it is not to.
    let ask = method.result.stream.is_some().then(|| quote!(let #room = #carrier::room(&#call)?;));
    quote! {
        #read #carrier::args::<#request>(&#call)?;
        #(#reads)*
        #ask
        let #value = #run #wait;
        #reply
    }
}

/// The methods' indexes: the compiler numbers the methods that exist.
pub(super) fn indexes(service: &Service) -> TokenStream {
    let (positions, indexes) = (&service.names.positions, &service.names.indexes);
    let variants = service.methods.iter().map(|Method { ident, gates, .. }| quote!(#(#gates)* #ident));
    let constants = service
        .methods
        .iter()
        .map(|Method { ident, gates, .. }| quote!(#(#gates)* const #ident: u16 = #positions::#ident as u16;));
    quote! {
        enum #positions { #(#variants,)* }

        struct #indexes;

        impl #indexes { #(#constants)* }
    }
}

/// The static that describes the service to the other end.
pub(super) fn table(service: &Service) -> TokenStream {
    let Service { private: p, names, docs, .. } = service;
    let (table, name) = (&names.table, &names.wire);
    let methods = service.methods.iter().map(|method| {
        let Method { gates, wire: (name, _), docs, params, result, .. } = method;
        let params = params.iter().filter_map(|param| {
            let name = param.wire_name();
            let desc = param.kind.desc(p)?;
            Some(quote!(#p::ParamDesc { name: #name, desc: #desc }))
        });
        let result = result.desc(p);
        let (oneway, idempotent, long) = (method.oneway, method.idempotent.is_some(), method.long());
        let asynchronous = method.asynchronous;
        quote! {
            #(#gates)*
            #p::MethodDesc {
                name: #name,
                docs: #docs,
                params: &[#(#params),*],
                result: #result,
                oneway: #oneway,
                idempotent: #idempotent,
                asynchronous: #asynchronous,
                long: #long,
            }
        }
    });
    let callbacks = service.methods.iter().flat_map(|method| {
        let gates = &method.gates;
        method.callbacks().map(move |client| quote!(#(#gates)* <#client as #p::Handle>::service))
    });
    quote! {
        static #table: #p::ServiceDesc = #p::ServiceDesc {
            name: #name,
            docs: #docs,
            methods: &[#(#methods),*],
            callbacks: &[#(#callbacks),*],
            fingerprints: #p::core::option::Option::None,
        };
    }
}
