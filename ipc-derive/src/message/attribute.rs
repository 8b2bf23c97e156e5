//! The grammar of `#[message(..)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, Path, Token};

use crate::report::Report;

/// What `#[message(..)]` on the type asks for. Each key keeps the user's token.
#[derive(Default)]
pub(super) struct Options {
    /// The path under which `ipc_rpc` is known.
    pub(super) krate: Option<Path>,
    /// A name for the archived type instead of `ArchivedX`.
    pub(super) archived: Option<Ident>,
    /// A name for the view of an enum instead of `XView`.
    pub(super) view: Option<Ident>,
    /// The type is read as its own bytes; an error if that cannot be.
    pub(super) plain: Option<Ident>,
    /// The archived type does not show its fields.
    pub(super) no_debug: Option<Ident>,
}

impl Options {
    /// The path of the module that expansions name.
    pub(super) fn private(&self) -> TokenStream {
        match &self.krate {
            Some(path) => quote! { #path::__private },
            None => quote! { ::ipc_rpc::__private },
        }
    }
}

/// Reads the attributes of the type and refuses those of its parts.
pub(super) fn parse(input: &DeriveInput, report: &mut Report) -> Options {
    let mut options = Options::default();
    for attribute in of_message(&input.attrs) {
        if let Err(mistake) = attribute.parse_nested_meta(|meta| options.key(&meta)) {
            report.push(mistake);
        }
    }
    let mut refuse = |attributes: &[Attribute], what: &str| {
        for attribute in of_message(attributes) {
            report.at(attribute, format!("#[message] belongs on the type: {what} has nothing to configure"));
        }
    };
    for parameter in &input.generics.params {
        match parameter {
            syn::GenericParam::Type(parameter) => refuse(&parameter.attrs, "a parameter"),
            syn::GenericParam::Const(parameter) => refuse(&parameter.attrs, "a parameter"),
            syn::GenericParam::Lifetime(parameter) => refuse(&parameter.attrs, "a parameter"),
        }
    }
    let mut refuse_fields = |fields: &Fields| fields.iter().for_each(|field| refuse(&field.attrs, "a field"));
    match &input.data {
        Data::Struct(data) => refuse_fields(&data.fields),
        Data::Enum(data) => data.variants.iter().for_each(|variant| refuse_fields(&variant.fields)),
        Data::Union(_) => {}
    }
    if let Data::Enum(data) = &input.data {
        data.variants.iter().for_each(|variant| refuse(&variant.attrs, "a variant"));
    }
    options
}

fn of_message(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("message"))
}

impl Options {
    fn key(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(key) = meta.path.get_ident() else { return Err(unknown(meta)) };
        match key.to_string().as_str() {
            "crate" => set(&mut self.krate, meta, meta.value()?.call(Path::parse_mod_style)?),
            "archived" => set(&mut self.archived, meta, meta.value()?.parse()?),
            "view" => set(&mut self.view, meta, meta.value()?.parse()?),
            "plain" => set(&mut self.plain, meta, flag(meta, key)?),
            "no_debug" => set(&mut self.no_debug, meta, flag(meta, key)?),
            _ => Err(unknown(meta)),
        }
    }
}

fn flag(meta: &ParseNestedMeta<'_>, key: &Ident) -> syn::Result<Ident> {
    match meta.input.peek(Token![=]) {
        true => Err(meta.error(format!("`{key}` takes no value: write `#[message({key})]`"))),
        false => Ok(key.clone()),
    }
}

fn set<T>(option: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> syn::Result<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this key is given twice: keep one of them")),
    }
}

fn unknown(meta: &ParseNestedMeta<'_>) -> syn::Error {
    meta.error("unknown key: `crate = path`, `archived = Name`, `view = Name`, `plain` and `no_debug` exist")
}
