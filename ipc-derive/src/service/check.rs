//! Third stage: every rule of a service. All mistakes are reported; a method with one is marked as flawed.

use std::collections::{HashMap, HashSet};

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, ItemTrait, Pat, PatType, PathArguments, Receiver, ReceiverKind,
    Safety, Signature, TraitItem, TraitItemFn, TypeParamBound,
};

use super::attrs;
use super::model::{Kind, Method, Service};
use super::names::RESERVED;
use super::types::{self, Place};
use crate::report::Report;

/// The most arguments a method takes: a request is a tuple, and tuples of up to twelve are messages.
const MOST_ARGUMENTS: usize = 12;

pub(super) fn check(service: &mut Service, report: &mut Report) {
    check_trait(&service.item, report);
    let mut methods = service.methods.iter_mut();
    for member in &service.item.items {
        match member {
            TraitItem::Fn(item) => {
                if let Some(method) = methods.next() {
                    check_method(item, method, report);
                }
            }
            TraitItem::Const(item) => {
                report.at(item.const_token, "a service has only methods: move this constant out of the trait")
            }
            TraitItem::Type(item) => {
                report.at(item.type_token, "a service has only methods: name the type itself where it is used");
            }
            TraitItem::Macro(item) => {
                report.at(&item.mac.path, "write the methods out: `#[service]` cannot see what this macro expands to");
            }
            other => report.at(other, "a service has only methods: `fn name(&self, argument: T) -> R;`"),
        }
    }
    if !service.item.generics.params.is_empty() {
        // Every type may mention a parameter.
        service.methods.iter_mut().for_each(|method| method.flawed = true);
    }
    check_names(&mut service.methods, report);
}

fn check_trait(item: &ItemTrait, report: &mut Report) {
    if let Some(token) = item.unsafety {
        report.at(
            token,
            "a service is called from other processes, which prove nothing to the compiler: remove `unsafe`",
        );
    }
    if let Some(token) = item.modifiers.auto_token {
        report.at(token, "a service has methods, which an auto trait cannot have: remove `auto`");
    }
    for parameter in &item.generics.params {
        let name: &dyn ToTokens = match parameter {
            GenericParam::Lifetime(lifetime) => &lifetime.lifetime,
            GenericParam::Type(ty) => &ty.ident,
            GenericParam::Const(constant) => &constant.ident,
        };
        report.at(name, "a service has no parameters: both ends agree on one set of types, so name them");
    }
    if let Some(clause) = &item.generics.where_clause {
        report.at(clause.where_token, "a service has no `where` clause: write a bound as `trait Name: Bound`");
    }
    for bound in &item.supertraits {
        match bound {
            TypeParamBound::Lifetime(lifetime) if lifetime.ident == "static" => {}
            TypeParamBound::Lifetime(lifetime) => report.at(lifetime, SUPERTRAIT_LIFETIME),
            TypeParamBound::Trait(bound) => {
                if let Some(lifetimes) = &bound.lifetimes {
                    report.at(lifetimes, SUPERTRAIT_LIFETIME);
                }
                for segment in &bound.path.segments {
                    let PathArguments::AngleBracketed(brackets) = &segment.arguments else { continue };
                    for argument in &brackets.args {
                        if let GenericArgument::Lifetime(lifetime) = argument
                            && lifetime.ident != "static"
                        {
                            report.at(lifetime, SUPERTRAIT_LIFETIME);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

const SUPERTRAIT_LIFETIME: &str =
    "whoever implements a service owns what it uses: no lifetime but `'static` in a supertrait";

/// Reports into `report` and remembers whether there was anything.
struct Check<'r> {
    report: &'r mut Report,
    flawed: bool,
}

impl Check<'_> {
    fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.flawed = true;
        self.report.at(tokens, message);
    }
}

fn check_method(item: &TraitItemFn, method: &mut Method, report: &mut Report) {
    let mut check = Check { report, flawed: false };
    let sig = &item.sig;
    check_qualifiers(sig, &mut check);
    check_generics(&sig.generics, &mut check);
    if RESERVED.contains(&sig.ident.unraw().to_string().as_str()) {
        check.at(
            &sig.ident,
            format_args!("the client has a method `{}` of its own: choose another name and keep the one on the wire with `#[rpc(name = \"..\")]`", sig.ident.unraw()),
        );
    }
    match sig.receiver() {
        Some(receiver) => check_receiver(receiver, &mut check),
        None => check.at(
            &sig.ident,
            format_args!("`{}` has no receiver: write `fn {}(&self, ..)`", sig.ident.unraw(), sig.ident),
        ),
    }
    if let Some(blocking) = &method.blocking
        && method.asynchronous
    {
        check.at(
            blocking,
            "an `async` method occupies no worker while it waits, so it has nothing to declare: remove `blocking`; if its body blocks, make it a plain `fn`",
        );
    }
    if let Some(idempotent) = &method.idempotent {
        if method.oneway {
            check.at(
                idempotent,
                "a one-way call is handed over once and never made again: remove `idempotent` or `oneway`",
            );
        } else if method.streams() {
            check.at(idempotent, "items that have gone cannot be sent again, so a call with a stream is never made twice: remove `idempotent`");
        }
    }
    check_arguments(sig, method, &mut check);
    check_result(method, &mut check);
    method.flawed = check.flawed;
}

fn check_qualifiers(sig: &Signature, check: &mut Check<'_>) {
    if let Some(token) = sig.constness {
        check.at(token, "a call runs in another process, never at compile time: remove `const`");
    }
    match &sig.safety {
        Safety::Unsafe(token) => {
            check.at(
                token,
                "a method is called from another process, which proves nothing to the compiler: remove `unsafe`",
            );
        }
        Safety::Safe(token) => check.at(token, "remove `safe`: a method of a service is always safe"),
        Safety::Default => {}
    }
    if let Some(abi) = &sig.abi {
        check.at(abi, "a call goes through messages, not through a calling convention: remove this");
    }
    if let Some(variadic) = &sig.variadic {
        check.at(variadic.dots, "a method has a fixed number of arguments: take a `&[T]`");
    }
}

fn check_generics(generics: &Generics, check: &mut Check<'_>) {
    for parameter in &generics.params {
        match parameter {
            GenericParam::Type(ty) => check.at(
                &ty.ident,
                "a method has no type parameters: the dispatcher decodes one known type, so name it or write a method for each type",
            ),
            GenericParam::Const(constant) => check.at(
                &constant.ident,
                "a method has no const parameters: the dispatcher decodes one known type, so use `Vec<T>` or a fixed length",
            ),
            GenericParam::Lifetime(lifetime) => {
                check.at(&lifetime.lifetime, "a method has no lifetimes: an argument lives as long as the call, a result is owned");
            }
        }
    }
    if let Some(clause) = &generics.where_clause {
        check.at(clause.where_token, "a method of a service has no `where` clause: remove it");
    }
}

fn check_receiver(receiver: &Receiver, check: &mut Check<'_>) {
    match &receiver.kind {
        ReceiverKind::Reference(_, lifetime, mutability) => {
            if let Some(token) = mutability {
                check.at(
                    token,
                    "calls run at the same time: take `&self` and keep what changes behind a lock or an atomic",
                );
            }
            if let Some(lifetime) = lifetime {
                check.at(lifetime, "the receiver lives as long as the call: write `&self`");
            }
        }
        ReceiverKind::Value => check.at(receiver.self_token, "one value serves every call: write `&self`"),
        ReceiverKind::Typed(_, ty) => check.at(ty, "the dispatcher lends the service to each call: write `&self`"),
        _ => check.at(receiver, "write `&self`"),
    }
}

fn check_arguments(sig: &Signature, method: &Method, check: &mut Check<'_>) {
    let arguments = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    let mut names = HashSet::new();
    let (mut carried, mut context, mut input) = (0, false, false);
    for (argument, param) in arguments.zip(&method.params) {
        carried += usize::from(!matches!(param.kind, Kind::Context(_) | Kind::Input(_)));
        if carried == MOST_ARGUMENTS + 1 {
            carried += 1;
            check.at(
                argument,
                format_args!(
                    "a method takes at most {MOST_ARGUMENTS} arguments: put some into a struct that derives `Message`"
                ),
            );
        }
        check_pattern(argument, check);
        if let Pat::Ident(pattern) = &*argument.pat
            && !names.insert(pattern.ident.unraw())
        {
            check.at(&pattern.ident, format_args!("`{}` is the name of two arguments: rename one", pattern.ident));
        }
        for attr in &argument.attrs {
            if attr.path().is_ident("cfg") || attrs::conditional(attr, "cfg").is_some() {
                check.at(
                    &attr.meta,
                    "an argument cannot be conditional: write one method for each case, each with its own `cfg`",
                );
            }
        }
        let refuse: &mut types::Refuse<'_> = &mut |tokens, message| check.at(tokens, message);
        match &param.kind {
            Kind::Owned(ty) => types::owned(ty, Place::Argument, refuse),
            Kind::Ref(ty) => types::pointee(ty, refuse),
            Kind::Slice(ty) | Kind::Archived(ty) | Kind::Kept(ty) | Kind::OptSlice(ty) | Kind::OptArchived(ty) => {
                types::owned(ty, Place::Inside, refuse);
            }
            Kind::OptRef(ty) => types::pointee(ty, refuse),
            Kind::Str | Kind::OptStr => {}
            Kind::Callback(client) => {
                if method.oneway {
                    refuse(
                        client.to_token_stream(),
                        "a one-way call is over before the handler could call back: remove `oneway`".into(),
                    );
                }
            }
            Kind::Input(item) => {
                types::owned(item, Place::Inside, refuse);
                if std::mem::replace(&mut input, true) {
                    let advice = "a method takes one stream: merge the two into one, of an enum of their items";
                    refuse(argument.ty.to_token_stream(), advice.into());
                } else if method.oneway {
                    let advice = "a one-way call ends with its request, so no stream can follow it: remove `oneway`";
                    refuse(argument.ty.to_token_stream(), advice.into());
                }
            }
            Kind::Context(_) => {
                if std::mem::replace(&mut context, true) {
                    refuse(argument.ty.to_token_stream(), "a call has one context: remove this argument".into());
                }
            }
        }
    }
}

fn check_pattern(argument: &PatType, check: &mut Check<'_>) {
    match &*argument.pat {
        Pat::Ident(pattern) => {
            if let Some(token) = pattern.by_ref {
                check.at(token, "an argument is a plain name: remove `ref`");
            }
            if let Some(token) = pattern.mutability {
                check.at(token, "an argument is a plain name: write `let mut` in the method's body");
            }
            if let Some((at, _)) = &pattern.subpat {
                check.at(at, "an argument is a plain name: match on it in the method's body");
            }
        }
        Pat::Wild(pattern) => {
            check.at(pattern, "an argument needs a name, which errors and the client's documentation show")
        }
        pattern => check.at(pattern, "an argument is a plain name: take the value apart in the method's body"),
    }
}

fn check_result(method: &Method, check: &mut Check<'_>) {
    if method.oneway && !types::is_unit(&method.result.whole) {
        check.at(
            &method.result.whole,
            "a one-way method returns nothing, because nobody waits for it: remove this or `oneway`",
        );
        return;
    }
    let refuse: &mut types::Refuse<'_> = &mut |tokens, message| check.at(tokens, message);
    if let Some(item) = &method.result.stream {
        types::owned(item, Place::Inside, refuse);
        if let Some((_, err)) = &method.result.fallible {
            types::owned(err, Place::Result, refuse);
        }
        return;
    }
    match &method.result.fallible {
        None => types::owned(&method.result.whole, Place::Result, refuse),
        Some((ok, err)) => {
            // What stands in a `Result` is a result as well: the same advice applies to it.
            types::owned(ok, Place::Result, refuse);
            types::owned(err, Place::Result, refuse);
        }
    }
}

/// Two methods may share a name on the wire only if they never exist together: the compiler decides that where `cfg`
/// attributes are involved (see `expand`).
fn check_names(methods: &mut [Method], report: &mut Report) {
    let mut first: HashMap<String, Ident> = HashMap::new();
    for method in methods.iter_mut().filter(|method| method.gates.is_empty()) {
        let (name, span) = &method.wire;
        let Some(other) = first.get(name) else {
            first.insert(name.clone(), method.ident.clone());
            continue;
        };
        report.push(syn::Error::new(*span, same_name(name, other)));
        method.flawed = true;
    }
}

/// The message for a second method with the same name on the wire.
pub(super) fn same_name(name: &str, other: &Ident) -> String {
    format!("`{name}` is already the name on the wire of `{other}`: names within a service differ")
}
