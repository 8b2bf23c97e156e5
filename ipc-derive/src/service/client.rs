//! The client: one struct, and for each of its modes one method for each method of the trait that the mode has a form of.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::attrs;
use super::model::{Kind, Method, Param, Service, arguments, bare, is_string};
use super::names::{local, own_tokens};

/// How a client gives results.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// As values.
    Owned,
    /// As replies to be read where they lie.
    Viewing,
    /// Later.
    Starting,
}

impl Mode {
    pub(super) const ALL: [Mode; 3] = [Mode::Owned, Mode::Viewing, Mode::Starting];

    /// Whether a client of this mode has the method.
    fn has(self, method: &Method) -> bool {
        match self {
            Mode::Owned => true,
            Mode::Viewing => method.replies(),
            // What is lent for a call is taken back when it ends, and only a call that is waited for has an end here.
            Mode::Starting => !method.streams() && method.callbacks().next().is_none(),
        }
    }
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

            /// A client of the same connection whose calls are part of what `context` belongs to: they end when its time
            /// is over, and carry its metadata and its trace. In a handler they are without this.
            #[must_use]
            #vis fn with_context(&self, context: &#p::Context) -> Self {
                Self { stub: #p::Stub::with_context(&self.stub, context), mode: #p::core::marker::PhantomData }
            }

            /// A client of the same connection whose calls tell the handler that `key` is `value`.
            #[must_use]
            #vis fn with_metadata(
                &self,
                key: impl #p::core::convert::Into<#p::String>,
                value: impl #p::core::convert::Into<#p::String>,
            ) -> Self {
                Self { stub: #p::Stub::with_metadata(&self.stub, key, value), mode: #p::core::marker::PhantomData }
            }

            /// A client of the same connection whose calls belong to this trace.
            #[must_use]
            #vis fn with_trace(&self, trace: #p::TraceId) -> Self {
                Self { stub: #p::Stub::with_trace(&self.stub, trace), mode: #p::core::marker::PhantomData }
            }

            /// A client of the same connection with `interceptor` around each of its calls, inside of those that there are.
            #[must_use]
            #vis fn with_interceptor(&self, interceptor: impl #p::Interceptor) -> Self {
                Self { stub: #p::Stub::with_interceptor(&self.stub, interceptor), mode: #p::core::marker::PhantomData }
            }

            /// Memory for `len` elements to be filled in place, that calls of this connection pass without copying it.
            ///
            /// # Errors
            ///
            /// When there is no room for so many.
            #vis fn loan<T: #p::Message>(
                &self,
                len: #p::core::primitive::usize,
            ) -> #p::core::result::Result<#p::Loan<T>, #p::LoanError> {
                #p::Stub::loan(&self.stub, len)
            }
        }

        #allows
        impl #client<#p::Owned> {
            /// A client of the same connection whose calls return replies that are read where they lie.
            #[must_use]
            #vis fn view(&self) -> #client<#p::Viewing> {
                #client { stub: #p::core::clone::Clone::clone(&self.stub), mode: #p::core::marker::PhantomData }
            }

            /// A client of the same connection whose calls return before the reply is there, which can be waited for or
            /// awaited: many calls can be on their way.
            #[must_use]
            #vis fn start(&self) -> #client<#p::Starting> {
                #client { stub: #p::core::clone::Clone::clone(&self.stub), mode: #p::core::marker::PhantomData }
            }

            /// Runs `calls` with a client as [`start`](Self::start) gives it, and tells the server of all its calls at once:
            /// at the end, or when something is waited for.
            #vis fn batch<R>(&self, calls: impl #p::core::ops::FnOnce(&#client<#p::Starting>) -> R) -> R {
                #p::Stub::batch(&self.stub, |stub| calls(&#client { stub, mode: #p::core::marker::PhantomData }))
            }

            /// Waits until the server has dealt with all one-way calls that were made on this connection before.
            ///
            /// # Errors
            ///
            /// When that takes too long, or when the connection ends before.
            #vis fn flush(&self) -> #p::core::result::Result<(), #p::CallError> {
                #p::Stub::flush(&self.stub)
            }

            /// Waits as [`flush`](Self::flush) does, without blocking the thread.
            ///
            /// # Errors
            ///
            /// The same as [`flush`](Self::flush).
            #vis async fn flush_async(&self) -> #p::core::result::Result<(), #p::CallError> {
                #p::Stub::flush_async(&self.stub).await
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

/// What makes the client one that a server can be given to call back by.
pub(super) fn handle(service: &Service, described: &TokenStream) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let client = &names.client;
    let streams: Vec<&Method> = service.methods.iter().filter(|method| method.streams()).collect();
    let lendable = streams.iter().all(|method| !method.gates.is_empty()).then(|| {
        let without = streams.iter().map(|method| {
            let conditions = attrs::conditions(&method.gates);
            quote!(#[cfg(not(all(#(#conditions),*)))])
        });
        quote! {
            #(#without)*
            impl #p::CallBack for #client<#p::Owned> {}
        }
    });
    quote! {
        impl #p::Handle for #client<#p::Owned> {
            fn over(stub: #p::Stub) -> Self {
                Self { stub, mode: #p::core::marker::PhantomData }
            }

            fn service() -> &'static #p::ServiceDesc {
                #described
            }

            fn stub(&self) -> &#p::Stub {
                &self.stub
            }
        }

        #lendable
    }
}

/// The methods of one mode; `body` writes each one's body.
pub(super) fn methods(service: &Service, mode: Mode, body: impl Fn(&Method) -> TokenStream) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let client = &names.client;
    let methods = service.methods.iter().filter(|method| !method.flawed && mode.has(method)).map(|method| {
        let signature = signature(service, method, mode);
        let body = body(method);
        quote!(#signature { #body })
    });
    let mode = match mode {
        Mode::Owned => quote!(Owned),
        Mode::Viewing => quote!(Viewing),
        Mode::Starting => quote!(Starting),
    };
    quote! {
        impl #client<#p::#mode> {
            #(#methods)*
        }
    }
}

/// A method's attributes and signature.
fn signature(service: &Service, method: &Method, mode: Mode) -> TokenStream {
    let Service { private: p, names, item, .. } = service;
    let Method { ident, gates, shown, params, result, .. } = method;
    let vis = own_tokens(&item.vis);
    let doc = (!attrs::documented(shown)).then(|| {
        let doc = format!(" Calls `{}::{}` on the server.", names.wire, method.wire.0);
        quote!(#[doc = #doc])
    });
    let params = params.iter().filter_map(|param| param.passed(p));
    let (value, error) = match &result.fallible {
        None => (&result.whole, None),
        Some((ok, err)) => (ok, Some(quote!(<#err>))),
    };
    let value = match (mode, &result.fallible) {
        (Mode::Owned, _) => quote!(#value),
        (Mode::Viewing, _) => quote!(#p::Reply<#value>),
        (Mode::Starting, _) if method.oneway => quote!(#value),
        (Mode::Starting, None) => quote!(#p::Pending<#value>),
        (Mode::Starting, Some((_, err))) => quote!(#p::Pending<#value, #err>),
    };
    let (inline, asyncness) =
        if asynchronous(method, mode) { (None, Some(quote!(async))) } else { (Some(quote!(#[inline])), None) };
    quote! {
        #(#gates)*
        #doc
        #(#shown)*
        #inline
        #vis #asyncness fn #ident(&self #(, #params)*) -> #p::core::result::Result<#value, #p::CallError #error>
    }
}

/// Whether the client's method is an `async fn`. To start a call needs no waiting.
fn asynchronous(method: &Method, mode: Mode) -> bool {
    method.asynchronous && mode != Mode::Starting
}

/// A method's body.
pub(super) fn call(service: &Service, method: &Method, mode: Mode) -> TokenStream {
    let Service { private: p, names, .. } = service;
    let (indexes, ident) = (&names.indexes, &method.ident);
    let (result, input) = (&method.result, method.input());
    let (rounds, error, done) = (local("__rounds"), local("__error"), local("__done"));
    let mut lends = Vec::new();
    let mut values = Vec::new();
    let mut stream = None;
    for (number, Param { ident, kind, .. }) in method.params.iter().enumerate() {
        values.push(match kind {
            Kind::Ref(_) | Kind::Str | Kind::Slice(_) | Kind::Archived(_) | Kind::Kept(_) => quote!(#ident),
            Kind::Callback(client) => {
                let lent = local(&format!("__lent{number}"));
                lends.push((lent.clone(), quote!(#p::Stub::lend_callback::<#client>(#rounds.stub(), #ident))));
                quote!(&#p::Lent::number(&#lent))
            }
            Kind::Input(_) => {
                stream = Some(quote!(, #ident));
                continue;
            }
            Kind::Context(_) => continue,
            // An `Option<&T>` is a value too: it is archived through a reference to it.
            _ => quote!(&#ident),
        });
    }
    let base = match (method.oneway, &result.stream, input, mode) {
        (true, ..) => "oneway",
        (_, Some(_), Some(_), _) => "exchange",
        (_, Some(_), None, _) => "open",
        (_, None, Some(_), _) => "feed",
        (_, None, None, Mode::Owned) => "call",
        (_, None, None, Mode::Viewing) => "view",
        (_, None, None, Mode::Starting) => "start",
    };
    let fallible = if result.fallible.is_some() { "_result" } else { "" };
    let (suffix, wait) = if asynchronous(method, mode) { ("_async", Some(quote!(.await))) } else { ("", None) };
    let function = format_ident!("{base}{fallible}{suffix}");
    let mut types = vec![method.request(p)];
    if !method.oneway {
        let value = match (&result.stream, &result.fallible) {
            (Some(item), _) => item,
            (None, Some((ok, _))) => ok,
            (None, None) => &result.whole,
        };
        types.push(quote!(#value));
        types.extend(result.fallible.as_ref().map(|(_, err)| quote!(#err)));
        types.extend(input.map(|item| quote!(#item)));
    }
    let call = |stub: TokenStream, stream: Option<&TokenStream>| quote!(#p::Stub::#function::<#(#types),*>(#stub, #indexes::#ident, &(#(#values,)*) #stream) #wait);
    if lends.is_empty() {
        return call(quote!(&self.stub), stream.as_ref());
    }
    // What is lent is lent over one connection, and lent again when the call is made over another one.
    let call = call(quote!(#rounds.stub()), stream.as_ref());
    let call = lends.iter().rev().fold(call, |call, (lent, lend)| {
        let widened = match &result.fallible {
            None => quote!(#error),
            Some(_) => quote!(#p::CallError::widen(#error)),
        };
        quote! {
            match #lend {
                #p::core::result::Result::Ok(#lent) => #call,
                #p::core::result::Result::Err(#error) => #p::core::result::Result::Err(#widened),
            }
        }
    });
    if stream.is_some() {
        // A stream can be sent once.
        let only = match asynchronous(method, mode) {
            true => quote!(#p::Stub::only_round_async(&self.stub, #indexes::#ident).await),
            false => quote!(#p::Stub::only_round(&self.stub, #indexes::#ident)),
        };
        let widened = result.fallible.as_ref().map(|_| quote!(.map_err(#p::CallError::widen)));
        return quote! {
            let #rounds = #only #widened?;
            let #done = #call;
            #rounds.end(#done)
        };
    }
    let next = match asynchronous(method, mode) {
        true => quote!(#rounds.next_async(#indexes::#ident, #error).await?),
        false => quote!(#rounds.next(#indexes::#ident, #error)?),
    };
    quote! {
        let mut #rounds = #p::Stub::tied_rounds(&self.stub, #indexes::#ident);
        loop {
            match #call {
                #p::core::result::Result::Err(#error) => #next,
                #done => return #done,
            }
        }
    }
}

impl Param {
    /// The argument as a client passes it: as the trait has it, but `&T` for `&Archived<T>` and `Kept<T>`, of which sequences and
    /// text may be borrowed in whatever they lie.
    fn passed(&self, p: &TokenStream) -> Option<TokenStream> {
        let Param { ident, ty, kind } = self;
        Some(match kind {
            Kind::Archived(inner) => quote!(#ident: &#inner),
            Kind::Kept(inner) => match arguments(bare(inner), "Vec") {
                Some([element]) => quote!(#ident: &[#element]),
                None if is_string(inner) => quote!(#ident: &#p::core::primitive::str),
                None => quote!(#ident: &#inner),
            },
            Kind::OptArchived(inner) => quote!(#ident: #p::core::option::Option<&#inner>),
            Kind::Callback(client) => quote!(#ident: &impl #p::Callback<#client>),
            Kind::Context(_) => return None,
            _ => quote!(#ident: #ty),
        })
    }
}
