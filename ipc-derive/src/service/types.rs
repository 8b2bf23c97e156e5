//! Rules about the types of arguments and results. Each points at the smallest wrong token.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{GenericArgument, Path, PathArguments, Token, Type, TypeParamBound, TypeReference};

use super::model::{arguments, bare, is_client, is_context};

/// Where a type stands.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The type of an argument.
    Argument,
    /// What a method returns.
    Result,
    /// Part of another type.
    Inside,
}

/// Called with the wrong tokens and the message.
pub(super) type Refuse<'r> = dyn FnMut(TokenStream, String) + 'r;

/// Judges a type that has to be owned, and everything inside it.
pub(super) fn owned(ty: &Type, place: Place, refuse: &mut Refuse<'_>) {
    match bare(ty) {
        Type::Array(array) => owned(&array.elem, Place::Inside, refuse),
        Type::Slice(slice) => {
            if place != Place::Inside {
                let vec = format!("`Vec<{}>`", spell(&slice.elem));
                let instead = if place == Place::Argument { format!("`&{}` or {vec}", spell(ty)) } else { vec };
                refuse(tokens(ty), format!("a slice has no size: write {instead}"));
            }
            owned(&slice.elem, Place::Inside, refuse);
        }
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|elem| owned(elem, Place::Inside, refuse)),
        Type::Reference(reference) => reference_in(reference, place, refuse),
        Type::Path(path) => {
            if let Some(qself) = &path.qself {
                owned(&qself.ty, Place::Inside, refuse);
            }
            named(ty, &path.path, place, refuse);
        }
        Type::ImplTrait(ty) => {
            let what = if place == Place::Result { "returns" } else { "takes" };
            let message = instead_of(&ty.bounds)
                .unwrap_or_else(|| format!("a method {what} one type that both ends know: name it instead of `impl`"));
            refuse(tokens(ty.impl_token), message);
        }
        Type::TraitObject(ty) => {
            let at = ty.dyn_token.map_or_else(|| tokens(ty), tokens);
            let message = instead_of(&ty.bounds).unwrap_or_else(|| {
                "a trait object cannot travel in a message: name a type, or an enum of the possible types".into()
            });
            refuse(at, message);
        }
        Type::Infer(ty) => refuse(tokens(ty), "write the type out: nothing tells the macro what `_` is".into()),
        Type::Never(ty) => {
            refuse(tokens(ty), "`!` has no value that could travel in a message: write `()` or an error type".into());
        }
        Type::Ptr(ty) => {
            let at = tokens(ty.star_token);
            refuse(at, "a pointer means nothing in another process: write the value's type".into());
        }
        Type::FnPtr(ty) => {
            let at = tokens(ty.fn_token);
            refuse(at, "a function pointer means nothing in another process: write a method for each function".into());
        }
        Type::Macro(ty) => {
            refuse(
                tokens(ty),
                "the macro cannot see what this type is: write it out or give it a name with `type`".into(),
            );
        }
        other => refuse(tokens(other), "a service cannot carry this type: write an owned type".into()),
    }
}

/// What services have instead of some well-known traits.
fn instead_of(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<String> {
    let last = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last(),
        _ => None,
    })?;
    let item = match &last.arguments {
        PathArguments::AngleBracketed(brackets) => brackets.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(binding) if binding.ident == "Item" => Some(spell(&binding.ty)),
            _ => None,
        }),
        _ => None,
    };
    let item = item.as_deref().unwrap_or("T");
    match last.ident.to_string().as_str() {
        "Stream" | "Iterator" | "IntoIterator" => {
            Some(format!("one item after the other is a stream: write `Streaming<{item}>`"))
        }
        "Future" => Some("write `async fn` and the type of the result itself".into()),
        "Fn" | "FnMut" | "FnOnce" => {
            Some("a closure stays in its process: make a service of it and take its client, `&XClient`".into())
        }
        _ => None,
    }
}

/// Whether this is `()`.
pub(super) fn is_unit(ty: &Type) -> bool {
    matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// A reference where an owned type has to be.
fn reference_in(reference: &TypeReference, place: Place, refuse: &mut Refuse<'_>) {
    let elem = bare(&reference.elem);
    if place != Place::Inside && last_is(elem, "Streaming") {
        let whose = if place == Place::Argument { "the handler" } else { "the caller" };
        return refuse(tokens(reference), format!("{whose} owns the stream: write `{}`", spell(elem)));
    }
    if place == Place::Argument && reference.mutability.is_some() && is_context(elem) {
        return refuse(tokens(reference), "nobody changes the context of a call: write `&Context`".into());
    }
    if place == Place::Argument && reference.mutability.is_some() && is_client(elem) {
        return refuse(tokens(reference), format!("calls need no `&mut`: write `&{}`", spell(elem)));
    }
    if place == Place::Argument && (reference.mutability.is_some() || reference.lifetime.is_some()) {
        if let Some(token) = reference.mutability {
            refuse(
                tokens(token),
                "the callee cannot change the caller's value: write `&` and return what has changed".into(),
            );
        }
        if let Some(lifetime) = &reference.lifetime {
            refuse(tokens(lifetime), "an argument lives as long as the call: remove the lifetime".into());
        }
        return pointee(elem, refuse);
    }
    if place != Place::Result && (is_context(elem) || is_client(elem)) {
        let message = if is_context(elem) {
            "every call has a context: take it as an argument, `&Context`".into()
        } else {
            format!("a client to call back by is an argument of its own: write `&{}`", spell(elem))
        };
        return refuse(tokens(reference), message);
    }
    let instead = owned_instead(elem);
    match place {
        Place::Result => refuse(
            tokens(reference.and_token),
            format!("a result is owned: write `{instead}`; a client that wants no copy calls through `view()`"),
        ),
        _ => refuse(
            tokens(reference.and_token),
            format!("a reference inside another type cannot travel in a message: write `{instead}`"),
        ),
    }
}

/// Judges what a reference in an argument points to.
pub(super) fn pointee(ty: &Type, refuse: &mut Refuse<'_>) {
    match bare(ty) {
        Type::Slice(slice) => owned(&slice.elem, Place::Inside, refuse),
        Type::Reference(inner) => {
            refuse(tokens(inner.and_token), format!("one `&` is enough: write `&{}`", spell(&inner.elem)));
            pointee(&inner.elem, refuse);
        }
        Type::Path(path) if path.qself.is_none() && path.path.is_ident("str") => {}
        // Only behind a lifetime or `mut`, which has been refused.
        ty if is_context(ty) => {}
        ty if last_is(ty, "Kept") => {
            refuse(tokens(ty), format!("the handler owns what it may keep: write `{}` without `&`", spell(ty)));
        }
        ty if last_is(ty, "Streaming") => {
            refuse(tokens(ty), format!("the handler owns the stream: write `{}` without `&`", spell(ty)));
        }
        ty => match arguments(ty, "Archived") {
            Some([inner]) => owned(inner, Place::Inside, refuse),
            None => owned(ty, Place::Inside, refuse),
        },
    }
}

/// Gives a `Streaming` or `Kept` without exactly one type one, so that rustc does not complain as well.
pub(super) fn complete(ty: &mut Type) {
    let incomplete = |name| last_is(ty, name) && arguments::<1>(ty, name).is_none();
    if (incomplete("Streaming") || incomplete("Kept"))
        && let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last_mut()
    {
        last.arguments = PathArguments::AngleBracketed(syn::parse_quote!(<()>));
    }
}

/// Whether this is a path that ends in `name`, with or without arguments.
fn last_is(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.qself.is_none() && path.path.segments.last().is_some_and(|last| last.ident == name)
}

/// A type that is a path.
fn named(ty: &Type, path: &Path, place: Place, refuse: &mut Refuse<'_>) {
    if let Some(first) = path.segments.first()
        && first.ident == "Self"
    {
        let message = "`Self` is the type that implements the service, which a client does not have: name a type";
        refuse(tokens(&first.ident), message.into());
        return;
    }
    if path.is_ident("str") && place != Place::Inside {
        let instead = if place == Place::Argument { "`&str` or `String`" } else { "`String`" };
        refuse(tokens(path), format!("`str` has no size: write {instead}"));
    }
    if let Some([inner]) = arguments(bare(ty), "Archived") {
        let inner = spell(inner);
        let message = match place {
            Place::Argument => format!("the handler reads an archived value where it lies: write `&Archived<{inner}>`"),
            Place::Result => format!("a method returns `{inner}`; a client reads the archived result through `view()`"),
            Place::Inside => format!("an archived value cannot be part of another type: write `{inner}`"),
        };
        refuse(tokens(path), message);
    }
    if last_is(bare(ty), "Kept") {
        let message = match (place, arguments(bare(ty), "Kept")) {
            (Place::Inside, Some([inner])) => {
                let inner = spell(inner);
                format!(
                    "what a handler keeps is an argument of its own: write `Kept<{inner}>`, or `{inner}` in another type"
                )
            }
            (Place::Result, Some([inner])) => {
                format!("an argument can be kept, a result is owned: write `{}`", spell(inner))
            }
            _ => "write what the handler may keep: `Kept<T>`".into(),
        };
        refuse(tokens(path), message);
        return;
    }
    if is_context(ty) && place == Place::Argument {
        let message = "a context belongs to its call: write `&Context` (a message of your own needs another name here)";
        refuse(tokens(path), message.into());
        return;
    }
    if is_client(ty) && place == Place::Argument {
        let name = spell(ty);
        refuse(
            tokens(path),
            format!(
                "a call lends what the server calls back: write `&{name}` (a message of this name goes as `&Archived<{name}>`)"
            ),
        );
        return;
    }
    if last_is(bare(ty), "Streaming") {
        let message = match (place, arguments::<1>(bare(ty), "Streaming").is_some()) {
            (Place::Inside, _) => {
                "a stream comes after a message and is no part of one: take it as an argument, or return `Streaming<T>` or `Result<Streaming<T>, E>`"
            }
            (_, false) => "write what the stream consists of: `Streaming<T>`",
            (_, true) => "a method returns one stream: `Streaming<T>` or `Result<Streaming<T>, E>`",
        };
        refuse(tokens(path), message.into());
        return;
    }
    if let Some(last) = path.segments.last() {
        match last.ident.to_string().as_str() {
            // `usize` alone, or the one in `core::primitive`; another path may name a type of the user's.
            name @ ("usize" | "isize") if path.segments.len() == 1 || path_has(path, "primitive") => {
                let (wide, narrow) = if name == "usize" { ("u64", "u32") } else { ("i64", "i32") };
                refuse(
                    tokens(&last.ident),
                    format!("`{name}` is not the same type in every process: write `{wide}` or `{narrow}`"),
                );
            }
            "Result" if place == Place::Result && arguments::<2>(bare(ty), "Result").is_none() => refuse(
                tokens(path),
                "write both types, `Result<T, E>`: the macro cannot see the error type behind an alias".into(),
            ),
            _ => {}
        }
    }
    for segment in &path.segments {
        arguments_of(&segment.arguments, refuse);
    }
}

fn path_has(path: &Path, name: &str) -> bool {
    path.segments.iter().any(|segment| segment.ident == name)
}

/// The generic arguments of a path's segment.
fn arguments_of(arguments: &PathArguments, refuse: &mut Refuse<'_>) {
    match arguments {
        // `Fn(A) -> B` is a trait: rustc says so.
        PathArguments::None | PathArguments::Parenthesized(_) => {}
        PathArguments::AngleBracketed(brackets) => {
            for argument in &brackets.args {
                match argument {
                    GenericArgument::Type(ty) => owned(ty, Place::Inside, refuse),
                    GenericArgument::Lifetime(lifetime) => refuse(
                        tokens(lifetime),
                        "a type with a lifetime borrows, and a message owns everything in it: use an owned type".into(),
                    ),
                    GenericArgument::AssocType(binding) => owned(&binding.ty, Place::Inside, refuse),
                    _ => {}
                }
            }
        }
    }
}

/// The owned type to write instead of a reference to `elem`.
fn owned_instead(elem: &Type) -> String {
    match elem {
        Type::Slice(slice) => format!("Vec<{}>", owned_instead(bare(&slice.elem))),
        Type::Reference(reference) => owned_instead(bare(&reference.elem)),
        Type::Path(path) if path.path.is_ident("str") => "String".into(),
        other => match arguments(other, "Archived") {
            Some([inner]) => spell(inner),
            None => spell(other),
        },
    }
}

/// The type on one line, as a user would write it.
fn spell(ty: &Type) -> String {
    fn write(tokens: TokenStream, out: &mut String) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    out.push_str(open);
                    write(group.stream(), out);
                    out.push_str(close);
                }
                TokenTree::Punct(punct) => {
                    out.push(punct.as_char());
                    if matches!(punct.as_char(), ',' | ';') {
                        out.push(' ');
                    }
                }
                word => {
                    if out.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
                        out.push(' ');
                    }
                    out.push_str(&word.to_string());
                }
            }
        }
    }
    let mut out = String::new();
    write(tokens(bare(ty)), &mut out);
    out
}

fn tokens(part: impl ToTokens) -> TokenStream {
    part.into_token_stream()
}
