//! The rules of `#[derive(Message)]`. Every mistake is reported at the user's own token, with what to write instead.

use syn::Type;

use super::model::{Kind, Model};
use crate::report::Report;

/// Variants that one byte tells apart.
const MAX_VARIANTS: usize = 256;

/// Reports every rule that `model` breaks.
pub(super) fn check(model: &Model, report: &mut Report) {
    lifetimes(model, report);
    kind(model, report);
    packed(model, report);
    plain(model, report);
    names(model, report);
    for field in model.fields() {
        field_type(&field.ty, report);
    }
}

fn lifetimes(model: &Model, report: &mut Report) {
    for parameter in model.generics.lifetimes() {
        report.at(
            &parameter.lifetime,
            "a message owns what it holds, so it has no lifetime: replace borrowed fields by owned ones (`&str` by `String`)",
        );
    }
}

fn kind(model: &Model, report: &mut Report) {
    match &model.kind {
        Kind::Union(token) => {
            report.at(token, "a union does not say which of its fields it holds: write an enum");
        }
        Kind::Enum(variants) if variants.is_empty() => {
            report.at(
                &model.ident,
                "an enum without variants has no value to send: add a variant or write a unit struct",
            );
        }
        Kind::Enum(variants) => {
            if let Some(variant) = variants.get(MAX_VARIANTS) {
                report.at(
                    &variant.ident,
                    format!("a message tells variants apart by one byte: this is one more than {MAX_VARIANTS}, nest some in an enum of their own"),
                );
            }
        }
        Kind::Struct(_) => {}
    }
}

fn packed(model: &Model, report: &mut Report) {
    for word in model.reprs() {
        if word == "packed" {
            report
                .at(word, "fields of a packed type cannot be borrowed: remove `packed`, a message has its own layout");
        }
    }
}

fn plain(model: &Model, report: &mut Report) {
    let Some(plain) = &model.options.plain else { return };
    match &model.kind {
        Kind::Struct(_) if !model.reprs().iter().any(|word| word == "C") => {
            report.at(
                plain,
                "a plain struct is read as its own bytes: add `#[repr(C)]`, or rustc may reorder the fields",
            );
        }
        Kind::Enum(_) if !model.is_fieldless_enum() => {
            report.at(plain, "an enum with data is not laid out as in a message: remove `plain`");
        }
        _ => {}
    }
}

fn names(model: &Model, report: &mut Report) {
    let has_view = matches!(&model.kind, Kind::Enum(_)) && !model.is_fieldless_enum();
    if let Some(view) = model.options.view.as_ref().filter(|_| !has_view) {
        report.at(view, "only an enum with data has a view of its own: remove `view`");
    }
    if let Some(archived) = model.options.archived.as_ref().filter(|archived| **archived == model.ident) {
        report.at(archived, "the archived type needs a name of its own");
    }
    if let Some(view) = model.options.view.as_ref().filter(|view| **view == model.ident || **view == model.archived()) {
        report.at(view, "the view needs a name of its own");
    }
}

/// Refuses types that can never be messages where the reason can be told better here than by rustc.
fn field_type(ty: &Type, report: &mut Report) {
    match ty {
        Type::Reference(reference) => report.at(
            reference,
            "a message owns what it holds: write an owned type (`String` for `&str`, `Vec<T>` for `&[T]`)",
        ),
        Type::Ptr(pointer) => report.at(pointer, "a pointer has no meaning in another process: send the value"),
        Type::FnPtr(function) => report.at(function, "a function has no meaning in another process"),
        Type::TraitObject(object) => {
            report.at(object, "the receiver cannot know the type behind `dyn`: list the types in an enum");
        }
        Type::Slice(slice) => report.at(slice, "a message owns what it holds: write `Vec<T>`"),
        Type::Path(path) if path.path.is_ident("usize") || path.path.is_ident("isize") => {
            report.at(path, "the size of this type depends on the target: write `u64` or `i64`");
        }
        Type::Path(path) => {
            for segment in &path.path.segments {
                let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
                if segment.ident == "PhantomData" {
                    continue;
                }
                for argument in &arguments.args {
                    if let syn::GenericArgument::Type(ty) = argument {
                        field_type(ty, report);
                    }
                }
            }
        }
        Type::Array(array) => field_type(&array.elem, report),
        Type::Group(group) => field_type(&group.elem, report),
        Type::Paren(paren) => field_type(&paren.elem, report),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|element| field_type(element, report)),
        _ => {}
    }
}
