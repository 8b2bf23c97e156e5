//! Enums: the form is a `repr(u8)` enum of the variants in order; the user's discriminants stay with the user's type.
//!
//! An enum without fields is read as itself. One with data is read as a view: an enum of the same variants whose fields are
//! the views of the fields.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Generics;

use super::{Context, Parts};
use crate::docs;
use crate::message::model::{Field, Variant, generated};

pub(super) fn parts(context: &Context<'_>, variants: &[Variant]) -> Parts {
    let Context { p, this, archived, model, bounds, .. } = context;
    let (name, docs) = (model.name(), model.docs());
    let numbered: Vec<Numbered<'_>> = variants.iter().zip(0..=u8::MAX).map(Numbered::new).collect();
    let (_, arguments, _) = bounds.generics.split_for_impl();
    let reading = match model.is_fieldless_enum() {
        true => fieldless(context, &numbered),
        false => with_data(context, &numbered),
    };
    let Reading { beside, hidden, resolver, view, slice, plain, copy, serialize, resolve, read_slice } = reading;

    let shown = numbered.iter().map(|it| {
        let (pattern, names) = (it.pattern(archived), it.names());
        let show = context.show(&it.name(), &it.variant.fields, names.into_iter());
        quote! { #pattern => #show }
    });
    let checks = numbered.iter().map(|it| it.check(context));
    let decoded = numbered.iter().map(|it| {
        let (pattern, variant, names) = (it.pattern(archived), &it.variant.ident, it.names());
        let (members, decode) = (it.members(), it.calls(context, "decode"));
        quote! { #pattern => #this::#variant { #(#members: #decode(#names)?,)* } }
    });
    let described = numbered.iter().map(|it| {
        let (name, docs) = (it.name(), docs::text(&it.variant.docs));
        let fields = context.describe(&it.variant.fields);
        quote! { #p::Variant { name: #name, docs: #docs, fields: #fields } }
    });
    let parameters = context.parameters();

    Parts {
        beside,
        hidden,
        resolver,
        view,
        slice,
        copy,
        plain,
        serialize,
        resolve,
        check: quote! {
            match unsafe { *__form.cast::<u8>() } {
                #(#checks)*
                __tag => return ::core::result::Result::Err(#p::unknown_variant(#name, __tag)),
            }
            ::core::result::Result::Ok(())
        },
        read_view: quote! { <#archived #arguments>::view(__form) },
        read_slice,
        deserialize: quote! { ::core::result::Result::Ok(match __form { #(#decoded,)* }) },
        debug: quote! { match self { #(#shown,)* } },
        kind: quote! { #p::Kind::Enum(#name, #docs, #parameters, &[#(#described),*]) },
    }
}

/// A variant, the number it has in messages, and what its parts are called in an expansion.
struct Numbered<'m> {
    variant: &'m Variant,
    tag: Literal,
    /// The `repr(C)` image of the variant in the form.
    image: Ident,
    /// The variant of the resolver.
    resolver: Ident,
}

impl<'m> Numbered<'m> {
    fn new((variant, tag): (&'m Variant, u8)) -> Self {
        Numbered {
            variant,
            tag: Literal::u8_suffixed(tag),
            image: format_ident!("__Image{tag}", span = Span::call_site()),
            resolver: format_ident!("__V{tag}", span = Span::call_site()),
        }
    }

    fn fields(&self) -> &'m [Field] {
        &self.variant.fields.list
    }

    fn name(&self) -> String {
        use syn::ext::IdentExt;
        self.variant.ident.unraw().to_string()
    }

    fn members(&self) -> Vec<&'m syn::Member> {
        self.fields().iter().map(|field| &field.member).collect()
    }

    /// `function::<T>` for each field.
    fn calls(&self, context: &Context<'_>, function: &str) -> Vec<TokenStream> {
        self.fields().iter().map(|field| context.call(function, field)).collect()
    }

    /// A name for each field.
    fn names(&self) -> Vec<TokenStream> {
        (0..self.fields().len()).map(|i| format_ident!("__f{i}")).map(|name| quote! { #name }).collect()
    }

    /// The pattern of this variant of `owner` that gives the fields their names.
    fn pattern(&self, owner: &Ident) -> TokenStream {
        let (variant, members, names) = (&self.variant.ident, self.members(), self.names());
        quote! { #owner::#variant { #(#members: #names),* } }
    }

    /// An arm that checks the fields of the variant.
    fn check(&self, context: &Context<'_>) -> TokenStream {
        let Context { bounds, .. } = context;
        let Numbered { tag, image, .. } = self;
        let (_, arguments, _) = bounds.generics.split_for_impl();
        if self.fields().is_empty() {
            return quote! { #tag => {} };
        }
        let owner = format!("{}::{}", context.model.name(), self.name());
        let field_names = self.fields().iter().map(Field::name);
        let (check, names) = (self.calls(context, "check"), self.names());
        quote! {
            #tag => {
                let __image = __form.cast::<#image #arguments>();
                #(unsafe { #check(&raw const (*__image).#names, __checker, #owner, #field_names)?; })*
            }
        }
    }

    /// How `repr(u8)` lays the variant out.
    fn declare_image(&self, context: &Context<'_>) -> TokenStream {
        let Context { archived, bounds, .. } = context;
        let Numbered { image, .. } = self;
        let (_, arguments, clause) = bounds.generics.split_for_impl();
        let generics = without_defaults(&bounds.generics);
        let names = self.names();
        let forms = self.fields().iter().map(|field| context.of(field, "Form"));
        quote! {
            #[repr(C)]
            struct #image #generics #clause {
                __tag: u8,
                #(#names: #forms,)*
                __of: ::core::marker::PhantomData<#archived #arguments>,
            }
        }
    }

    /// An arm that writes the variant and its fields.
    fn resolve(&self, context: &Context<'_>) -> TokenStream {
        let Context { p, this, bounds, .. } = context;
        let Numbered { tag, image, resolver, .. } = self;
        let (_, arguments, _) = bounds.generics.split_for_impl();
        let (pattern, resolve, names) = (self.pattern(this), self.calls(context, "resolve"), self.names());
        let resolvers: Vec<Ident> = (0..names.len()).map(|i| format_ident!("__r{i}")).collect();
        quote! {
            (#pattern, __Resolver::#resolver((#(#resolvers,)*))) => {
                let __image = unsafe { __out.ptr() }.cast::<#image #arguments>();
                unsafe { (&raw mut (*__image).__tag).write(#tag) };
                #({
                    let __place = unsafe { #p::field(__out, &raw mut (*__image).#names) };
                    #resolve(#names, #resolvers, __place);
                })*
            }
        }
    }
}

/// What differs between enums with and without data.
struct Reading {
    beside: TokenStream,
    hidden: TokenStream,
    resolver: TokenStream,
    view: TokenStream,
    slice: TokenStream,
    plain: TokenStream,
    copy: TokenStream,
    serialize: TokenStream,
    resolve: TokenStream,
    read_slice: TokenStream,
}

fn fieldless(context: &Context<'_>, variants: &[Numbered<'_>]) -> Reading {
    let Context { p, this, archived, model, .. } = context;
    let definition = archived_enum(context, variants);
    let idents: Vec<&Ident> = variants.iter().map(|it| &it.variant.ident).collect();
    let tags: Vec<&Literal> = variants.iter().map(|it| &it.tag).collect();
    let Context { lints, bounds, .. } = context;
    let (generics, arguments, clause) = bounds.generics.split_for_impl();
    let hidden = model.options.plain.as_ref().map(|plain| {
        let reason = format!("`{}` is not plain: its variants have to be numbered 0, 1, .. in one byte", model.name());
        let check = quote_spanned! {generated(plain.span())=>
            ::core::assert!(<#this #arguments as #p::Message>::PLAIN, #reason)
        };
        quote! { const _: () = #check; }
    });
    let (slice, read_slice) = match model.options.plain.is_some() {
        true => (quote! { &'__v [#this #arguments] }, quote! { #p::plain_slice::<Self>(__forms) }),
        false => (quote! { #p::Elements<'__v, #this #arguments> }, quote! { #p::Elements::new(__forms) }),
    };
    Reading {
        beside: quote! {
            #definition

            #lints
            impl #generics #archived #arguments #clause {
                /// Reads the variant.
                #[inline]
                pub fn view(&self) -> #this #arguments {
                    match self { #(#archived::#idents { .. } => #this::#idents {},)* }
                }
            }
        },
        hidden: hidden.unwrap_or_default(),
        resolver: quote! { () },
        view: quote! { #this #arguments },
        slice,
        plain: quote! {
            true #(&& unsafe { #p::has_tag(&::core::mem::ManuallyDrop::new(#this::#idents {}), #tags) })*
        },
        copy: quote! { <Self as #p::Message>::PLAIN },
        serialize: quote! { ::core::result::Result::Ok(()) },
        resolve: quote! {
            let __tag = match self { #(#this::#idents {} => #tags,)* };
            unsafe { __out.ptr().cast::<u8>().write(__tag) };
        },
        read_slice,
    }
}

fn with_data(context: &Context<'_>, variants: &[Numbered<'_>]) -> Reading {
    let Context { p, this, archived, model, bounds, lints, .. } = context;
    let (generics, arguments, clause) = bounds.generics.split_for_impl();
    let view = model.view();
    let view_generics = with_lifetime(&bounds.generics);
    let (_, view_arguments, _) = view_generics.split_for_impl();

    let definition = archived_enum(context, variants);
    let doc = format!("[`{}`] read in place.", model.name());
    let head = context.head(&doc, &quote! { enum }, &view, &view_generics);
    let viewed = variants.iter().map(|it| {
        let (ident, docs) = (&it.variant.ident, &it.variant.docs);
        let ty = |field: &Field| context.view_of(field, &quote! { '__v });
        let body = context.declare(&it.variant.fields, None, ty, true);
        quote! { #(#docs)* #ident #body }
    });
    let views = variants.iter().map(|it| {
        let (pattern, ident, members) = (it.pattern(archived), &it.variant.ident, it.members());
        let read = it.fields().iter().map(|field| context.of(field, "view"));
        let names = it.names();
        quote! { #pattern => #view::#ident { #(#members: #read(#names),)* } }
    });

    let images = variants.iter().map(|it| it.declare_image(context));
    let resolver_generics = without_defaults(&bounds.generics);
    let resolver_variants = variants.iter().map(|it| {
        let resolver = &it.resolver;
        let parts = it.fields().iter().map(|field| context.of(field, "Res"));
        quote! { #resolver((#(#parts,)*)) }
    });
    let first_pass = variants.iter().map(|it| {
        let (pattern, resolver, names) = (it.pattern(this), &it.resolver, it.names());
        let serialize = it.calls(context, "serialize");
        quote! { #pattern => __Resolver::#resolver((#(#serialize(#names, __encoder)?,)*)) }
    });
    let second_pass = variants.iter().map(|it| it.resolve(context));
    let mismatch = (variants.len() > 1).then(|| quote! { _ => #p::mismatch(), });

    Reading {
        beside: quote! {
            #definition

            #head #clause { #(#viewed,)* }

            #lints
            impl #generics #archived #arguments #clause {
                /// Reads the variant and its fields.
                #[inline]
                pub fn view<'__v>(&'__v self) -> #view #view_arguments {
                    match self { #(#views,)* }
                }
            }
        },
        hidden: quote! {
            #[doc(hidden)]
            pub enum __Resolver #resolver_generics #clause { #(#resolver_variants,)* }
            #(#images)*
        },
        resolver: quote! { __Resolver #arguments },
        view: quote! { #view #view_arguments },
        slice: quote! { &'__v [#archived #arguments] },
        plain: quote! { false },
        copy: quote! { false },
        serialize: quote! { ::core::result::Result::Ok(match self { #(#first_pass,)* }) },
        resolve: quote! { match (self, __resolver) { #(#second_pass)* #mismatch } },
        read_slice: quote! { __forms },
    }
}

/// The archived enum.
fn archived_enum(context: &Context<'_>, variants: &[Numbered<'_>]) -> TokenStream {
    let Context { archived, bounds, .. } = context;
    let (_, _, clause) = bounds.generics.split_for_impl();
    let doc = format!("[`{}`] as it lies in a message, read in place.", context.model.name());
    let head = context.head(&doc, &quote! { enum }, archived, &bounds.generics);
    let declared = variants.iter().map(|it| {
        let (ident, docs) = (&it.variant.ident, &it.variant.docs);
        let body = context.declare(&it.variant.fields, None, |field| context.of(field, "Form"), true);
        quote! { #(#docs)* #ident #body }
    });
    quote! { #[repr(u8)] #head #clause { #(#declared,)* } }
}

/// The generics with the lifetime of a view in front.
fn with_lifetime(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params.insert(0, syn::parse_quote! { '__v });
    generics
}

/// The generics without defaults, which mean nothing on hidden types.
fn without_defaults(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    for parameter in &mut generics.params {
        match parameter {
            syn::GenericParam::Type(parameter) => parameter.default = None,
            syn::GenericParam::Const(parameter) => parameter.default = None,
            syn::GenericParam::Lifetime(_) => {}
        }
    }
    generics
}
