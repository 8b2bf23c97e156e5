//! Second stage: what each method takes and returns, kept with the user's tokens. Classifying never fails: what is not
//! understood counts as an owned type, and the check stage refuses it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{
    Attribute, FnArg, GenericArgument, ItemTrait, Pat, Path, PathArguments, ReturnType, TraitItem, TraitItemFn, Type,
    TypeReference,
};

use super::attrs;
use super::names::{Names, own};
use super::parse::{MethodAttrs, Parsed};
use crate::docs;

/// One service.
pub(super) struct Service {
    /// The trait as it will be emitted.
    pub(super) item: ItemTrait,
    /// Path of the hidden module that the expansion names everything through.
    pub(super) private: TokenStream,
    /// What the trait's comments say.
    pub(super) docs: String,
    pub(super) mock: bool,
    pub(super) names: Names,
    pub(super) methods: Vec<Method>,
}

/// One method.
pub(super) struct Method {
    /// Its place in the trait's items.
    pub(super) item: usize,
    pub(super) ident: Ident,
    /// Its name on the wire, and where that is written.
    pub(super) wire: (String, Span),
    /// What its comments say.
    pub(super) docs: String,
    /// `cfg` attributes: the method exists where they hold.
    pub(super) gates: Vec<Attribute>,
    /// Attributes for the client's methods.
    pub(super) shown: Vec<Attribute>,
    pub(super) params: Vec<Param>,
    pub(super) result: Outcome,
    /// Whether it is an `async fn`.
    pub(super) asynchronous: bool,
    /// Callers wait for no reply.
    pub(super) oneway: bool,
    /// Running it twice is as good as once. Where that is written.
    pub(super) idempotent: Option<Path>,
    /// The handler waits for long. Where that is written.
    pub(super) blocking: Option<Path>,
    /// Set by the check stage: the expansion would not compile.
    pub(super) flawed: bool,
}

/// One argument.
pub(super) struct Param {
    pub(super) ident: Ident,
    /// As the user wrote it.
    pub(super) ty: Type,
    pub(super) kind: Kind,
}

/// How an argument is passed, with the owned type that the wire carries. The last two are no part of the request.
pub(super) enum Kind {
    /// `T`
    Owned(Type),
    /// `&T`
    Ref(Type),
    /// `&str`
    Str,
    /// `&[T]`
    Slice(Type),
    /// `&Archived<T>`
    Archived(Type),
    /// `Kept<T>`: the handler may keep it beyond the call.
    Kept(Type),
    /// `Option<&T>`
    OptRef(Type),
    /// `Option<&str>`
    OptStr,
    /// `Option<&[T]>`
    OptSlice(Type),
    /// `Option<&Archived<T>>`
    OptArchived(Type),
    /// `&XClient`: the server calls a service of the client's. The request has its number.
    Callback(Type),
    /// `Streaming<T>`: items that follow the request.
    Input(Type),
    /// `&Context`: what the server knows about the call.
    Context(Type),
}

/// What a method returns.
pub(super) struct Outcome {
    /// As it is written.
    pub(super) whole: Type,
    /// `T` and `E` if it is written `Result<T, E>`: the client's error flattens `E`.
    pub(super) fallible: Option<(Type, Type)>,
    /// `T` if it is written `Streaming<T>` or `Result<Streaming<T>, E>`.
    pub(super) stream: Option<Type>,
}

pub(super) fn build(parsed: Parsed) -> Service {
    let Parsed { item, private, mock, methods } = parsed;
    let functions = item.items.iter().enumerate().filter_map(|(position, member)| match member {
        TraitItem::Fn(method) => Some((position, method)),
        _ => None,
    });
    let methods =
        functions.zip(methods).map(|((position, method), said)| build_method(position, method, said)).collect();
    Service { names: Names::of(&item.ident), docs: docs::text(&item.attrs), item, private, mock, methods }
}

fn build_method(item: usize, method: &TraitItemFn, said: MethodAttrs) -> Method {
    let ident = &method.sig.ident;
    let wire = match said.name {
        Some(name) => (name.value(), name.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    let typed = method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    let params = typed.enumerate().map(|(number, argument)| Param {
        ident: match &*argument.pat {
            Pat::Ident(pattern) => own(&pattern.ident),
            _ => format_ident!("__{number}"),
        },
        ty: (*argument.ty).clone(),
        kind: classify(&argument.ty),
    });
    Method {
        item,
        ident: own(ident),
        wire,
        docs: docs::text(&method.attrs),
        gates: attrs::gates(&method.attrs),
        shown: attrs::shown(&method.attrs),
        params: params.collect(),
        result: outcome(&method.sig.output),
        asynchronous: method.sig.asyncness.is_some(),
        oneway: said.oneway.is_some(),
        idempotent: said.idempotent,
        blocking: said.blocking,
        flawed: false,
    }
}

fn classify(ty: &Type) -> Kind {
    let plain = bare(ty);
    if let Type::Reference(reference) = plain {
        return borrowed(reference).unwrap_or_else(|| Kind::Owned(ty.clone()));
    }
    if let Some([inner]) = arguments(plain, "Option")
        && let Type::Reference(reference) = bare(inner)
        && let Some(kind) = borrowed(reference)
    {
        return match kind {
            Kind::Ref(ty) => Kind::OptRef(ty),
            Kind::Str => Kind::OptStr,
            Kind::Slice(ty) => Kind::OptSlice(ty),
            Kind::Archived(ty) => Kind::OptArchived(ty),
            // The check stage refuses these.
            _ => Kind::Owned(ty.clone()),
        };
    }
    if let Some([item]) = arguments(plain, "Streaming") {
        return Kind::Input(item.clone());
    }
    if let Some([kept]) = arguments(plain, "Kept") {
        return Kind::Kept(kept.clone());
    }
    Kind::Owned(ty.clone())
}

/// The kind of a plain shared reference.
fn borrowed(reference: &TypeReference) -> Option<Kind> {
    if reference.mutability.is_some() || reference.lifetime.is_some() {
        return None;
    }
    let target = bare(&reference.elem);
    Some(match target {
        Type::Slice(slice) => Kind::Slice((*slice.elem).clone()),
        Type::Path(path) if path.qself.is_none() && path.path.is_ident("str") => Kind::Str,
        _ if is_context(target) => Kind::Context(target.clone()),
        _ if is_client(target) => Kind::Callback(target.clone()),
        _ => match arguments(target, "Archived") {
            Some([inner]) => Kind::Archived((*inner).clone()),
            _ => Kind::Ref((*reference.elem).clone()),
        },
    })
}

fn outcome(output: &ReturnType) -> Outcome {
    let whole = match output {
        ReturnType::Type(_, ty) => (**ty).clone(),
        ReturnType::Default => syn::parse_quote!(()),
    };
    let fallible = arguments(bare(&whole), "Result").map(|[ok, err]| (ok.clone(), err.clone()));
    let value = fallible.as_ref().map_or(&whole, |(ok, _)| ok);
    let stream = arguments(bare(value), "Streaming").map(|[item]| item.clone());
    Outcome { whole, fallible, stream }
}

/// Whether this is a path that ends in `Context`, the type that tells a handler about its call.
pub(super) fn is_context(ty: &Type) -> bool {
    last_word(ty).is_some_and(|word| word == "Context")
}

/// Whether this is a path to what looks like the client of a service.
pub(super) fn is_client(ty: &Type) -> bool {
    last_word(ty)
        .is_some_and(|word| word.unraw().to_string().strip_suffix("Client").is_some_and(|service| !service.is_empty()))
}

/// Whether this is a path that ends in `String`.
pub(super) fn is_string(ty: &Type) -> bool {
    last_word(ty).is_some_and(|word| word == "String")
}

/// The last segment of a path, if it has no arguments.
fn last_word(ty: &Type) -> Option<&Ident> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last()?;
    (path.qself.is_none() && last.arguments.is_none()).then_some(&last.ident)
}

/// The type without parentheses and without the invisible groups that `macro_rules` puts around `$t:ty`.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        other => other,
    }
}

/// The type arguments of `ty` if it is a path that ends in `name`.
pub(super) fn arguments<'t, const N: usize>(ty: &'t Type, name: &str) -> Option<[&'t Type; N]> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(brackets) = &last.arguments else { return None };
    if path.qself.is_some() || last.ident != name {
        return None;
    }
    let types: Option<Vec<&Type>> = brackets
        .args
        .iter()
        .map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect();
    types?.try_into().ok()
}

impl Method {
    /// The type of the request: the tuple of what the wire carries for each argument.
    pub(super) fn request(&self, p: &TokenStream) -> TokenStream {
        let wire = self.params.iter().filter_map(|param| param.kind.wire(p));
        // At the method's name: rustc points there when one of the types is no message.
        quote_spanned!(self.ident.span()=> (#(#wire,)*))
    }

    /// The items that callers send, if they send any.
    pub(super) fn input(&self) -> Option<&Type> {
        self.params.iter().find_map(|param| match &param.kind {
            Kind::Input(item) => Some(item),
            _ => None,
        })
    }

    /// The clients by which the handler calls back.
    pub(super) fn callbacks(&self) -> impl Iterator<Item = &Type> {
        self.params.iter().filter_map(|param| match &param.kind {
            Kind::Callback(client) => Some(client),
            _ => None,
        })
    }

    /// Whether the handler may wait for something that another thread of the server has to do.
    pub(super) fn long(&self) -> bool {
        self.blocking.is_some() || self.input().is_some() || self.callbacks().next().is_some()
    }

    /// Whether items travel for it.
    pub(super) fn streams(&self) -> bool {
        self.result.stream.is_some() || self.input().is_some()
    }

    /// Whether there is one reply, which can be waited for later or read in place.
    pub(super) fn replies(&self) -> bool {
        !self.oneway && !self.streams()
    }
}

impl Param {
    /// The argument's name in errors about the layout.
    pub(super) fn wire_name(&self) -> String {
        self.ident.unraw().to_string()
    }
}

impl Kind {
    /// The owned type that the request carries, if it carries any.
    pub(super) fn wire(&self, p: &TokenStream) -> Option<TokenStream> {
        Some(match self {
            Kind::Owned(ty) | Kind::Ref(ty) | Kind::Archived(ty) | Kind::Kept(ty) => quote!(#ty),
            Kind::Str => quote!(#p::String),
            Kind::Slice(ty) => quote!(#p::Vec<#ty>),
            Kind::OptRef(ty) | Kind::OptArchived(ty) => quote!(#p::core::option::Option<#ty>),
            Kind::OptStr => quote!(#p::core::option::Option<#p::String>),
            Kind::OptSlice(ty) => quote!(#p::core::option::Option<#p::Vec<#ty>>),
            Kind::Callback(_) => quote!(#p::core::primitive::u32),
            Kind::Input(_) | Kind::Context(_) => return None,
        })
    }

    /// The function that describes the argument to the other end.
    pub(super) fn desc(&self, p: &TokenStream) -> Option<TokenStream> {
        match self {
            Kind::Callback(client) => Some(quote!(#p::callback_desc::<#client>)),
            Kind::Input(item) => Some(quote!(#p::stream_desc::<#item>)),
            other => other.wire(p).map(|ty| quote!(<#ty as #p::Message>::desc)),
        }
    }
}

impl Outcome {
    /// The function that describes the result to the other end.
    pub(super) fn desc(&self, p: &TokenStream) -> TokenStream {
        let whole = &self.whole;
        match (&self.stream, &self.fallible) {
            (None, _) => quote!(<#whole as #p::Message>::desc),
            (Some(item), None) => quote!(#p::stream_desc::<#item>),
            (Some(item), Some((_, err))) => quote!(#p::stream_result_desc::<#item, #err>),
        }
    }
}
