//! First stage: from tokens to the trait and what the attributes say.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Attribute, FnArg, Item, ItemTrait, LitStr, Meta, Path, Token, TraitItem, TraitItemFn, Visibility};

use super::attrs;
use crate::report::Report;

/// The trait without the attributes that only the macro understands, and what those said.
pub(super) struct Parsed {
    /// The trait as it will be emitted.
    pub(super) item: ItemTrait,
    /// The path of the hidden module that the expansion names everything through.
    pub(super) private: TokenStream,
    /// Whether a mock is asked for.
    pub(super) mock: bool,
    /// For each function of `item`, in order.
    pub(super) methods: Vec<MethodAttrs>,
}

/// What `#[rpc(..)]` says on one method.
#[derive(Default)]
pub(super) struct MethodAttrs {
    /// The name on the wire, if it is not the method's own.
    pub(super) name: Option<LitStr>,
    /// Callers do not wait: there is no reply. Where that is written.
    pub(super) oneway: Option<Path>,
    /// Running it twice is as good as once. Where that is written.
    pub(super) idempotent: Option<Path>,
    /// The handler waits for others for long. Where that is written.
    pub(super) blocking: Option<Path>,
}

/// Reads both inputs of the attribute macro. `None` if the item is no trait.
pub(super) fn parse(attributes: TokenStream, item: TokenStream, report: &mut Report) -> Option<Parsed> {
    let Arguments { private, mock } = arguments(attributes, report);
    let mut item = match syn::parse2::<Item>(item) {
        Ok(Item::Trait(item)) => item,
        Ok(other) => {
            report.at(keyword(&other), "`#[service]` belongs on a trait: write the methods of the service as a trait");
            return None;
        }
        Err(mistake) => {
            report.push(mistake);
            return None;
        }
    };
    refuse_rpc(&mut item.attrs, "`#[rpc(..)]` belongs on a method: a trait takes `#[service(..)]`", report);
    let mut methods = Vec::new();
    for member in &mut item.items {
        if let TraitItem::Verbatim(tokens) = member
            && let Some(method) = qualified(tokens, report)
        {
            *member = TraitItem::Fn(method);
        }
        match member {
            TraitItem::Fn(method) => {
                methods.push(method_attrs(&mut method.attrs, report));
                for input in &mut method.sig.inputs {
                    let attrs = match input {
                        FnArg::Receiver(receiver) => &mut receiver.attrs,
                        FnArg::Typed(argument) => &mut argument.attrs,
                    };
                    refuse_rpc(attrs, "`#[rpc(..)]` belongs on a method, not on an argument", report);
                }
            }
            TraitItem::Const(other) => refuse_rpc(&mut other.attrs, ON_METHODS, report),
            TraitItem::Type(other) => refuse_rpc(&mut other.attrs, ON_METHODS, report),
            TraitItem::Macro(other) => refuse_rpc(&mut other.attrs, ON_METHODS, report),
            _ => {}
        }
    }
    Some(Parsed { item, private, mock, methods })
}

const ON_METHODS: &str = "`#[rpc(..)]` belongs on a method";

/// The token that says what kind of item this is.
fn keyword(item: &Item) -> TokenStream {
    match item {
        Item::Const(item) => tokens(item.const_token),
        Item::Enum(item) => tokens(item.enum_token),
        Item::Fn(item) => tokens(item.sig.fn_token),
        Item::Impl(item) => tokens(item.impl_token),
        Item::Mod(item) => tokens(item.mod_token),
        Item::Static(item) => tokens(item.static_token),
        Item::Struct(item) => tokens(item.struct_token),
        Item::TraitAlias(item) => tokens(item.trait_token),
        Item::Type(item) => tokens(item.type_token),
        Item::Union(item) => tokens(item.union_token),
        Item::Use(item) => tokens(item.use_token),
        other => tokens(other),
    }
}

fn tokens(part: impl quote::ToTokens) -> TokenStream {
    part.into_token_stream()
}

/// The arguments of `#[service(..)]`.
struct Arguments {
    /// The path of the private module.
    private: TokenStream,
    mock: bool,
}

fn arguments(attributes: TokenStream, report: &mut Report) -> Arguments {
    let mut root: Option<Path> = None;
    let mut mock = None;
    let parsed = syn::meta::parser(|meta: ParseNestedMeta<'_>| {
        if meta.path.is_ident("mock") {
            return flag(&meta, "mock", &mut mock, report);
        }
        if !meta.path.is_ident("crate") {
            report.at(&meta.path, "unknown argument: `#[service]` takes `crate = path::to::ipc_rpc` and `mock`");
            return skip_value(&meta);
        }
        if !meta.input.peek(Token![=]) {
            report.at(&meta.path, "write `crate = path::to::ipc_rpc`");
            return skip_value(&meta);
        }
        let value = meta.value()?;
        if value.peek(LitStr) {
            report.at(value.parse::<LitStr>()?, "write the path without quotes: `crate = path::to::ipc_rpc`");
            return Ok(());
        }
        let path = value.call(Path::parse_mod_style)?;
        if root.is_some() {
            report.at(&meta.path, "`crate` is given twice: remove one");
        }
        root = Some(path);
        Ok(())
    })
    .parse2(attributes);
    if let Err(mistake) = parsed {
        report.push(mistake);
    }
    let private = match root {
        Some(root) => quote!(#root::__private),
        None => quote!(::ipc_rpc::__private),
    };
    Arguments { private, mock: mock.is_some() }
}

/// A key that stands alone.
fn flag(meta: &ParseNestedMeta<'_>, name: &str, said: &mut Option<Path>, report: &mut Report) -> syn::Result<()> {
    if meta.input.peek(Token![=]) || meta.input.peek(syn::token::Paren) {
        report.at(&meta.path, format_args!("`{name}` takes no value: write `{name}` alone"));
        skip_value(meta)?;
    } else if said.is_some() {
        report.at(&meta.path, format_args!("`{name}` is given twice: remove one"));
    }
    *said = Some(meta.path.clone());
    Ok(())
}

/// What `#[rpc]` without anything in it should be.
const RPC_FORMS: &str = "write what the attribute is for: `#[rpc(name = \"name_on_the_wire\")]`, `#[rpc(oneway)]`, `#[rpc(idempotent)]` or `#[rpc(blocking)]`";

/// Takes `#[rpc(..)]` out of a method's attributes and reads it.
fn method_attrs(all: &mut Vec<Attribute>, report: &mut Report) -> MethodAttrs {
    let mut said = MethodAttrs::default();
    for attr in take_rpc(all, report) {
        if !matches!(attr.meta, Meta::List(_)) {
            report.at(&attr.meta, RPC_FORMS);
            continue;
        }
        let mut empty = true;
        let parsed = attr.parse_nested_meta(|meta| {
            empty = false;
            if meta.path.is_ident("oneway") {
                return flag(&meta, "oneway", &mut said.oneway, report);
            }
            if meta.path.is_ident("idempotent") {
                return flag(&meta, "idempotent", &mut said.idempotent, report);
            }
            if meta.path.is_ident("blocking") {
                return flag(&meta, "blocking", &mut said.blocking, report);
            }
            if !meta.path.is_ident("name") {
                report.at(
                    &meta.path,
                    "unknown key: `#[rpc(..)]` takes `name = \"name_on_the_wire\"`, `oneway`, `idempotent` and `blocking`",
                );
                return skip_value(&meta);
            }
            let name: LitStr = meta.value()?.parse()?;
            if said.name.is_some() {
                report.at(&meta.path, "`name` is given twice: remove one");
            } else if let Some(reason) = bad_name(&name.value()) {
                report.at(&name, reason);
            } else {
                said.name = Some(name);
            }
            Ok(())
        });
        match parsed {
            Err(mistake) => report.push(mistake),
            Ok(()) if empty => report.at(&attr.meta, RPC_FORMS),
            Ok(()) => {}
        }
    }
    said
}

/// Why `name` cannot be a method's name on the wire. Both ends print these names in errors, so they stay readable.
fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("the name is empty: write the method's name on the wire, or remove `name`")
    } else if name.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        Some("a name on the wire contains no white space and no control characters")
    } else {
        None
    }
}

/// Reads over `= value` or `(..)` after a key that is not known, so that the keys behind it are still judged.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

/// Removes the `rpc` attributes; one inside `cfg_attr` is a mistake, because the macro runs before it is decided.
fn take_rpc(all: &mut Vec<Attribute>, report: &mut Report) -> Vec<Attribute> {
    for attr in all.iter() {
        if let Some(rpc) = attrs::conditional(attr, "rpc") {
            report
                .at(rpc, "`#[rpc(..)]` cannot be conditional: write one method for each case, each with its own `cfg`");
        }
    }
    let (taken, kept) = std::mem::take(all).into_iter().partition(|attr| attr.path().is_ident("rpc"));
    *all = kept;
    all.retain(|attr| attrs::conditional(attr, "rpc").is_none());
    taken
}

fn refuse_rpc(attrs: &mut Vec<Attribute>, message: &str, report: &mut Report) {
    for attr in take_rpc(attrs, report) {
        report.at(attr.path(), message);
    }
}

/// A method with `pub` or `default` in front, which a trait does not allow: reports the qualifier and leaves it out.
fn qualified(tokens: &TokenStream, report: &mut Report) -> Option<TraitItemFn> {
    let parser = |input: syn::parse::ParseStream<'_>| {
        let attrs = input.call(Attribute::parse_outer)?;
        let visibility: Visibility = input.parse()?;
        let default = if input.peek(Token![default]) { Some(input.call(syn::Ident::parse_any)?) } else { None };
        let mut method: TraitItemFn = input.parse()?;
        method.attrs = attrs;
        Ok((visibility, default, method))
    };
    let (visibility, default, method) = parser.parse2(tokens.clone()).ok()?;
    if !matches!(visibility, Visibility::Inherited) {
        report.at(visibility, "methods are as visible as their trait: remove this");
    }
    if let Some(default) = default {
        report.at(default, "`default` has no meaning here: a method with a body is a default already");
    }
    Some(method)
}
