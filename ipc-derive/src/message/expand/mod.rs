//! The items for a type without mistakes.
//!
//! Beside the type go its archived form and, for an enum with data, its view; everything else sits in an unnamed constant.
//! All paths are absolute, locals begin with two underscores, and names that follow the user's point at the user's code but
//! count as the macro's, so that no lint of the user fires in them.

mod enums;
mod structs;

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Generics, Visibility};

use super::bounds::Bounds;
use super::model::{Field, Fields, Kind, Model, Style, own};
use crate::docs;

/// All items for `model`.
pub(super) fn expand(model: &Model) -> TokenStream {
    let context = Context::new(model);
    match &model.kind {
        Kind::Struct(fields) => context.assemble(&structs::parts(&context, fields)),
        Kind::Enum(variants) => context.assemble(&enums::parts(&context, variants)),
        // Refused by the rules.
        Kind::Union(_) => TokenStream::new(),
    }
}

/// What every part of an expansion needs to name.
struct Context<'m> {
    model: &'m Model,
    /// The path of `__private`.
    p: TokenStream,
    /// The type.
    this: Ident,
    /// Its archived form.
    archived: Ident,
    bounds: Bounds,
    /// `allow` attributes for every item.
    lints: TokenStream,
    vis: Visibility,
}

/// What differs between structs and enums.
struct Parts {
    /// The items beside the type.
    beside: TokenStream,
    /// Items that only the impls name.
    hidden: TokenStream,
    /// The type that the first pass leaves for the second.
    resolver: TokenStream,
    /// The types that reading gives, with the lifetime `'__v`.
    view: TokenStream,
    slice: TokenStream,
    /// Constant expressions of type `bool`.
    copy: TokenStream,
    plain: TokenStream,
    /// Bodies of functions.
    serialize: TokenStream,
    resolve: TokenStream,
    check: TokenStream,
    read_view: TokenStream,
    read_slice: TokenStream,
    deserialize: TokenStream,
    debug: TokenStream,
    /// The expression for the description's `Kind`.
    kind: TokenStream,
}

impl<'m> Context<'m> {
    fn new(model: &'m Model) -> Self {
        let mut lints: TokenStream = model.attributes("allow").map(|attribute| quote! { #attribute }).collect();
        if model.mentions_deprecated() {
            lints.extend(quote! { #[allow(deprecated)] });
        }
        Context {
            model,
            p: model.options.private(),
            this: own(&model.ident),
            archived: model.archived(),
            bounds: Bounds::new(model),
            lints,
            vis: respanned(&model.vis),
        }
    }

    /// The items around the parts.
    fn assemble(&self, parts: &Parts) -> TokenStream {
        let Context { p, this, archived, lints, .. } = self;
        let Parts { beside, hidden, resolver, view, slice, copy, plain, serialize, resolve, .. } = parts;
        let Parts { check, read_view, read_slice, deserialize, debug, kind, .. } = parts;
        let (generics, arguments, clause) = self.bounds.generics.split_for_impl();
        quote! {
            #beside

            #lints
            const _: () = {
                #hidden

                unsafe impl #generics #p::Argument<#this #arguments> for #this #arguments #clause {
                    const COPY: bool = #copy;

                    #[inline]
                    fn serialize(
                        &self,
                        __encoder: &mut #p::Encoder<'_>,
                    ) -> ::core::result::Result<#resolver, #p::EncodeError> {
                        #serialize
                    }

                    #[inline]
                    fn resolve(&self, __resolver: #resolver, __out: #p::Place<#archived #arguments>) {
                        #resolve
                    }
                }

                unsafe impl #generics #p::Message for #this #arguments #clause {
                    type Form = #archived #arguments;
                    type Res = #resolver;
                    type View<'__v> = #view;
                    type Slice<'__v> = #slice;
                    const PLAIN: bool = #plain;

                    #[inline]
                    fn view<'__v>(__form: &'__v #archived #arguments) -> #view {
                        #read_view
                    }

                    #[inline]
                    fn slice<'__v>(__forms: &'__v [#archived #arguments]) -> #slice {
                        #read_slice
                    }

                    #[inline]
                    fn deserialize(
                        __form: &#archived #arguments,
                    ) -> ::core::result::Result<Self, #p::MessageError> {
                        #deserialize
                    }

                    fn desc() -> &'static #p::Desc {
                        const { &#p::Desc { id: #p::TypeId::of::<Self>(), kind: #kind } }
                    }
                }

                unsafe impl #generics #p::Portable for #archived #arguments #clause {}

                unsafe impl #generics #p::CheckBytes<#p::Checker> for #archived #arguments #clause {
                    #[inline]
                    unsafe fn check_bytes(
                        __form: *const Self,
                        __checker: &mut #p::Checker,
                    ) -> ::core::result::Result<(), #p::MessageError> {
                        #check
                    }
                }

                impl #generics ::core::fmt::Debug for #archived #arguments #clause {
                    fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        #debug
                    }
                }
            };
        }
    }

    /// The head of an archived type: documentation, attributes, name; `generics` may have a lifetime more than the type.
    fn head(&self, doc: &str, keyword: &TokenStream, name: &Ident, generics: &Generics) -> TokenStream {
        let Context { lints, vis, .. } = self;
        let non_exhaustive: Option<&Attribute> = self.model.attributes("non_exhaustive").next();
        quote! {
            #[doc = #doc]
            #lints
            #non_exhaustive
            #vis #keyword #name #generics
        }
    }

    /// The fields of an archived or viewed type in the style of the user's, each of type `ty(field)`.
    fn declare(
        &self,
        fields: &Fields,
        vis: Option<&Visibility>,
        ty: impl Fn(&Field) -> TokenStream,
        documented: bool,
    ) -> TokenStream {
        let declared = fields.list.iter().map(|field| {
            let ty = ty(field);
            let docs = field.docs.iter().filter(|_| documented);
            match &field.member {
                syn::Member::Named(ident) => quote! { #(#docs)* #vis #ident: #ty },
                syn::Member::Unnamed(_) => quote! { #(#docs)* #vis #ty },
            }
        });
        match fields.style {
            Style::Named => quote! { { #(#declared,)* } },
            Style::Tuple => quote! { ( #(#declared,)* ) },
            Style::Unit => TokenStream::new(),
        }
    }

    /// `<T as Message>::Form` and the like. Here as wherever a field's type is named, tokens stand where the user wrote it:
    /// a type that is no message is then reported there.
    fn of(&self, field: &Field, item: &str) -> TokenStream {
        let Context { p, .. } = self;
        let ty = &field.ty;
        let item = Ident::new(item, field.span());
        quote_spanned! {field.span()=> <#ty as #p::Message>::#item }
    }

    /// `function::<T>`, a function of the private module.
    fn call(&self, function: &str, field: &Field) -> TokenStream {
        let Context { p, .. } = self;
        let ty = &field.ty;
        let function = Ident::new(function, field.span());
        quote_spanned! {field.span()=> #p::#function::<#ty> }
    }

    /// `View<'lifetime, T>`.
    fn view_of(&self, field: &Field, lifetime: &TokenStream) -> TokenStream {
        let Context { p, .. } = self;
        let ty = &field.ty;
        quote_spanned! {field.span()=> #p::View<#lifetime, #ty> }
    }

    /// The fields of a description.
    fn describe(&self, fields: &Fields) -> TokenStream {
        let Context { p, .. } = self;
        let described = fields.list.iter().map(|field| {
            let (name, docs) = (field.name(), docs::text(&field.docs));
            let desc = self.of(field, "desc");
            quote! { #p::Field { name: #name, docs: #docs, desc: #desc } }
        });
        quote! { &[#(#described),*] }
    }

    /// The parameters of a description.
    fn parameters(&self) -> TokenStream {
        let Context { p, bounds, .. } = self;
        let travelling = &bounds.travelling;
        quote! { &[#(<#travelling as #p::Message>::desc),*] }
    }

    /// Shows `values` as the fields of `name`, as a derived `Debug` of the user's type would.
    fn show(&self, name: &str, fields: &Fields, values: impl Iterator<Item = TokenStream>) -> TokenStream {
        let hides = self.model.options.no_debug.is_some();
        let names = fields.list.iter().map(Field::name);
        match fields.style {
            _ if hides => quote! { ::core::fmt::Formatter::debug_struct(__f, #name).finish_non_exhaustive() },
            Style::Named => quote! {
                ::core::fmt::Formatter::debug_struct(__f, #name) #(.field(#names, #values))* .finish()
            },
            Style::Tuple => quote! { ::core::fmt::Formatter::debug_tuple(__f, #name) #(.field(#values))* .finish() },
            Style::Unit => quote! { ::core::fmt::Formatter::write_str(__f, #name) },
        }
    }
}

/// A visibility that points at the user's code and counts as the macro's.
fn respanned(vis: &Visibility) -> Visibility {
    let tokens = quote! { #vis };
    let respan = |token: proc_macro2::TokenTree| {
        let mut token = token;
        token.set_span(super::model::generated(token.span()));
        token
    };
    // The same words as before, so they parse.
    syn::parse2(tokens.into_iter().map(respan).collect()).unwrap_or_else(|_| vis.clone())
}
