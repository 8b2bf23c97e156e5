//! The type to be derived, as data. Every part keeps the user's tokens; nothing is generated here but names.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Generics, Index, Member, Type, Visibility};

use super::attribute::Options;
use crate::docs;

/// A type that derives `Message`.
pub(super) struct Model {
    /// The user's name.
    pub(super) ident: Ident,
    pub(super) vis: Visibility,
    pub(super) generics: Generics,
    pub(super) attributes: Vec<Attribute>,
    pub(super) options: Options,
    pub(super) kind: Kind,
}

/// What sort of type it is.
pub(super) enum Kind {
    Struct(Fields),
    Enum(Vec<Variant>),
    Union(syn::Token![union]),
}

/// The fields of a struct or of a variant, in order.
pub(super) struct Fields {
    pub(super) style: Style,
    pub(super) list: Vec<Field>,
}

/// How fields are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Named,
    Tuple,
    Unit,
}

/// A field.
pub(super) struct Field {
    pub(super) member: Member,
    pub(super) vis: Visibility,
    /// The type, with `Self` written out.
    pub(super) ty: Type,
    pub(super) docs: Vec<Attribute>,
    pub(super) deprecated: bool,
}

/// A variant of an enum.
pub(super) struct Variant {
    pub(super) ident: Ident,
    pub(super) fields: Fields,
    pub(super) docs: Vec<Attribute>,
    pub(super) deprecated: bool,
}

impl Model {
    pub(super) fn new(input: DeriveInput, options: Options) -> Self {
        let (_, arguments, _) = input.generics.split_for_impl();
        let ident = &input.ident;
        let this = quote! { #ident #arguments };
        let kind = match input.data {
            Data::Struct(data) => Kind::Struct(Fields::new(data.fields, &this)),
            Data::Enum(data) => {
                Kind::Enum(data.variants.into_iter().map(|variant| Variant::new(variant, &this)).collect())
            }
            Data::Union(data) => Kind::Union(data.union_token),
        };
        Model { ident: input.ident, vis: input.vis, generics: input.generics, attributes: input.attrs, options, kind }
    }

    /// The type's name in descriptions and errors.
    pub(super) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// The name of the archived type.
    pub(super) fn archived(&self) -> Ident {
        let default = || format_ident!("Archived{}", self.ident, span = generated(self.ident.span()));
        self.options.archived.as_ref().map_or_else(default, own)
    }

    /// The name of the view of an enum with data.
    pub(super) fn view(&self) -> Ident {
        let default = || format_ident!("{}View", self.ident, span = generated(self.ident.span()));
        self.options.view.as_ref().map_or_else(default, own)
    }

    /// What the type's comments say.
    pub(super) fn docs(&self) -> String {
        docs::text(&self.attributes)
    }

    /// All fields of the type.
    pub(super) fn fields(&self) -> Vec<&Field> {
        match &self.kind {
            Kind::Struct(fields) => fields.list.iter().collect(),
            Kind::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields.list).collect(),
            Kind::Union(_) => Vec::new(),
        }
    }

    /// Whether this is an enum without any field, which is read as itself.
    pub(super) fn is_fieldless_enum(&self) -> bool {
        matches!(&self.kind, Kind::Enum(_)) && self.fields().is_empty()
    }

    /// The attributes of the type called `name`.
    pub(super) fn attributes(&self, name: &str) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| attribute.path().is_ident(name))
    }

    /// The words inside the type's `#[repr(..)]`.
    pub(super) fn reprs(&self) -> Vec<Ident> {
        let mut words = Vec::new();
        for attribute in self.attributes("repr") {
            // A malformed `repr` is rustc's to report.
            let _ = attribute.parse_nested_meta(|meta| {
                words.extend(meta.path.get_ident().cloned());
                if meta.input.peek(syn::token::Paren) {
                    let _: Group = meta.input.parse()?;
                }
                Ok(())
            });
        }
        words
    }

    /// Whether using the type's parts makes rustc say that something is deprecated.
    pub(super) fn mentions_deprecated(&self) -> bool {
        let variants = match &self.kind {
            Kind::Enum(variants) => variants.as_slice(),
            _ => &[],
        };
        self.attributes("deprecated").next().is_some()
            || self.fields().iter().any(|field| field.deprecated)
            || variants.iter().any(|variant| variant.deprecated)
    }
}

impl Fields {
    fn new(fields: syn::Fields, this: &TokenStream) -> Self {
        let style = match fields {
            syn::Fields::Named(_) => Style::Named,
            syn::Fields::Unnamed(_) => Style::Tuple,
            syn::Fields::Unit => Style::Unit,
        };
        let list = fields.into_iter().enumerate().map(|(i, field)| Field::new(i, field, this)).collect();
        Fields { style, list }
    }
}

impl Field {
    fn new(i: usize, field: syn::Field, this: &TokenStream) -> Self {
        let member = match field.ident {
            Some(ident) => Member::Named(own(&ident)),
            // A message has far fewer fields than an index can count.
            None => Member::Unnamed(Index { index: i as u32, span: generated(field.ty.span()) }),
        };
        // Replacing a path by a path leaves a type; were it not one, rustc would say so at the user's own tokens.
        let ty = syn::parse2(without_self(field.ty.to_token_stream(), this)).unwrap_or(field.ty);
        Field { member, vis: field.vis, ty, docs: only(&field.attrs, "doc"), deprecated: has_deprecated(&field.attrs) }
    }

    /// The place of the field's type in the user's code.
    pub(super) fn span(&self) -> Span {
        generated(self.ty.span())
    }

    /// The field's name in descriptions and errors.
    pub(super) fn name(&self) -> String {
        match &self.member {
            Member::Named(ident) => ident.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }
}

impl Variant {
    fn new(variant: syn::Variant, this: &TokenStream) -> Self {
        Variant {
            ident: own(&variant.ident),
            fields: Fields::new(variant.fields, this),
            docs: only(&variant.attrs, "doc"),
            deprecated: has_deprecated(&variant.attrs),
        }
    }
}

fn only(attributes: &[Attribute], name: &str) -> Vec<Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident(name)).cloned().collect()
}

fn has_deprecated(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("deprecated"))
}

/// A span that points at the user's code and counts as the macro's, so that no lint of the user fires there.
pub(super) fn generated(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// A name of the user's for something we define.
pub(super) fn own(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(generated(ident.span()));
    ident
}

/// Writes `Self` out, because field types are repeated where `Self` is another type.
fn without_self(tokens: TokenStream, this: &TokenStream) -> TokenStream {
    let replace = |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => this.clone(),
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), without_self(group.stream(), this));
            inner.set_span(group.span());
            TokenTree::Group(inner).into()
        }
        other => other.into(),
    };
    tokens.into_iter().map(replace).collect::<Vec<TokenStream>>().into_iter().collect()
}
