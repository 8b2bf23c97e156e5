//! Second stage: what each method takes and returns, kept with the user's tokens. Classifying never fails: what is not
//! understood counts as an owned type, and the check stage refuses it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{
    Attribute, FnArg, GenericArgument, ItemTrait, Pat, PathArguments, ReturnType, TraitItem, TraitItemFn, Type,
    TypeReference,
};

use super::attrs;
use super::names::{Names, own};
use super::parse::{MethodAttrs, Parsed};

/// One service.
pub(super) struct Service {
    /// The trait as it will be emitted.
    pub(super) item: ItemTrait,
    /// Path of the hidden module that the expansion names everything through.
    pub(super) private: TokenStream,
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
    /// `cfg` attributes: the method exists where they hold.
    pub(super) gates: Vec<Attribute>,
    /// Attributes for the client's methods.
    pub(super) shown: Vec<Attribute>,
    pub(super) params: Vec<Param>,
    pub(super) result: Outcome,
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

/// How an argument is passed, with the owned type that the wire carries.
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
    /// `Option<&T>`
    OptRef(Type),
    /// `Option<&str>`
    OptStr,
    /// `Option<&[T]>`
    OptSlice(Type),
    /// `Option<&Archived<T>>`
    OptArchived(Type),
}

/// What a method returns.
pub(super) struct Outcome {
    /// The type that the wire carries.
    pub(super) whole: Type,
    /// `T` and `E` if it is written `Result<T, E>`: the client's error flattens `E`.
    pub(super) fallible: Option<(Type, Type)>,
}

pub(super) fn build(parsed: Parsed) -> Service {
    let Parsed { item, private, methods } = parsed;
    let functions = item.items.iter().enumerate().filter_map(|(position, member)| match member {
        TraitItem::Fn(method) => Some((position, method)),
        _ => None,
    });
    let methods =
        functions.zip(methods).map(|((position, method), said)| build_method(position, method, said)).collect();
    Service { names: Names::of(&item.ident), item, private, methods }
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
        gates: attrs::gates(&method.attrs),
        shown: attrs::shown(&method.attrs),
        params: params.collect(),
        result: outcome(&method.sig.output),
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
            other => other,
        };
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
    Outcome { whole, fallible }
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
        let wire = self.params.iter().map(|param| param.kind.wire(p));
        // At the method's name: rustc points there when one of the types is no message.
        quote_spanned!(self.ident.span()=> (#(#wire,)*))
    }
}

impl Param {
    /// The argument's name in errors about the layout.
    pub(super) fn wire_name(&self) -> String {
        self.ident.unraw().to_string()
    }
}

impl Kind {
    /// The owned type that the wire carries.
    pub(super) fn wire(&self, p: &TokenStream) -> TokenStream {
        match self {
            Kind::Owned(ty) | Kind::Ref(ty) | Kind::Archived(ty) => quote!(#ty),
            Kind::Str => quote!(#p::String),
            Kind::Slice(ty) => quote!(#p::Vec<#ty>),
            Kind::OptRef(ty) | Kind::OptArchived(ty) => quote!(#p::core::option::Option<#ty>),
            Kind::OptStr => quote!(#p::core::option::Option<#p::String>),
            Kind::OptSlice(ty) => quote!(#p::core::option::Option<#p::Vec<#ty>>),
        }
    }
}
