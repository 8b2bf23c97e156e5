//! Structs: the form has the fields' forms in order, `repr(C)`, private, read through methods of the fields' names.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Member;

use super::{Context, Parts, respanned};
use crate::message::model::{Field, Fields, Style};

pub(super) fn parts(context: &Context<'_>, fields: &Fields) -> Parts {
    let Context { p, this, archived, model, .. } = context;
    let (name, docs) = (model.name(), model.docs());
    let list = &fields.list;
    let types: Vec<_> = list.iter().map(|field| &field.ty).collect();
    let members: Vec<&Member> = list.iter().map(|field| &field.member).collect();
    let names = list.iter().map(Field::name);
    let calls = |function: &'static str| list.iter().map(move |field| context.call(function, field));
    let (serialize, resolve, check, decode, copies) =
        (calls("serialize"), calls("resolve"), calls("check"), calls("decode"), calls("copies"));
    let plain = list.iter().map(|field| context.of(field, "PLAIN"));
    let indices = (0..list.len()).map(syn::Index::from);
    let resolvers = list.iter().map(|field| context.of(field, "Res"));
    let (_, arguments, _) = context.bounds.generics.split_for_impl();

    let same_offsets: TokenStream = members
        .iter()
        .map(|member| {
            quote! { && ::core::mem::offset_of!(Self, #member) == ::core::mem::offset_of!(#archived #arguments, #member) }
        })
        .collect();
    let same_size = quote! { ::core::mem::size_of::<Self>() == ::core::mem::size_of::<#archived #arguments>() };
    let shown = members.iter().map(|member| quote! { &self.#member });
    let (description, parameters) = (context.describe(fields), context.parameters());
    let Reading { view, slice, read_view, read_slice, assertion } = reading(context);

    Parts {
        beside: beside(context, fields),
        hidden: assertion,
        resolver: quote! { (#(#resolvers,)*) },
        view,
        slice,
        copy: quote! {
            #same_size
                && 0 #(+ ::core::mem::size_of::<#types>())* == ::core::mem::size_of::<Self>()
                #(&& #copies())*
                #same_offsets
        },
        plain: quote! {
            #same_size
                && ::core::mem::align_of::<Self>() <= ::core::mem::align_of::<#archived #arguments>()
                #(&& #plain)*
                #same_offsets
        },
        serialize: quote! {
            ::core::result::Result::Ok((#(#serialize(&self.#members, __encoder)?,)*))
        },
        resolve: quote! {
            #({
                let __place = unsafe { #p::field(__out, &raw mut (*__out.ptr()).#members) };
                #resolve(&self.#members, __resolver.#indices, __place);
            })*
        },
        check: quote! {
            #(unsafe { #check(&raw const (*__form).#members, __checker, #name, #names)?; })*
            ::core::result::Result::Ok(())
        },
        read_view,
        read_slice,
        deserialize: quote! {
            ::core::result::Result::Ok(#this { #(#members: #decode(&__form.#members)?,)* })
        },
        debug: context.show(&name, fields, shown),
        kind: quote! { #p::Kind::Struct(#name, #docs, #parameters, #description) },
    }
}

/// The archived type and its methods.
fn beside(context: &Context<'_>, fields: &Fields) -> TokenStream {
    let Context { archived, bounds, lints, .. } = context;
    let (generics, arguments, clause) = bounds.generics.split_for_impl();
    let doc = format!("[`{}`] as it lies in a message, read in place.", context.model.name());
    let head = context.head(&doc, &quote! { struct }, archived, &bounds.generics);
    let body = context.declare(fields, None, |field| context.of(field, "Form"), false);
    let definition = match fields.style {
        Style::Named => quote! { #head #clause #body },
        Style::Tuple | Style::Unit => quote! { #head #body #clause; },
    };
    let accessors = fields.list.iter().map(|field| accessor(context, field, fields.list.len()));
    let methods = match fields.list.is_empty() {
        true => TokenStream::new(),
        false => quote! { #lints impl #generics #archived #arguments #clause { #(#accessors)* } },
    };
    quote! { #[repr(C)] #definition #methods }
}

/// The method that reads a field natively: under its name, `get` for the field of a newtype, `get_0` .. for other tuples.
fn accessor(context: &Context<'_>, field: &Field, count: usize) -> TokenStream {
    let Field { member, docs, .. } = field;
    let vis = respanned(&field.vis);
    let view = context.view_of(field, &quote! { '_ });
    let read = context.of(field, "view");
    let name: Ident = match member {
        Member::Named(ident) => ident.clone(),
        Member::Unnamed(index) if count == 1 => Ident::new("get", index.span),
        Member::Unnamed(index) => format_ident!("get_{}", index.index, span = index.span),
    };
    let default = format!("Reads `{}`.", field.name());
    let docs = match docs.is_empty() {
        true => quote! { #[doc = #default] },
        false => quote! { #(#docs)* },
    };
    quote! {
        #docs
        #[inline]
        #vis fn #name(&self) -> #view {
            #read(&self.#member)
        }
    }
}

/// How a struct is read as a whole.
struct Reading {
    view: TokenStream,
    slice: TokenStream,
    read_view: TokenStream,
    read_slice: TokenStream,
    assertion: TokenStream,
}

/// As its form, or as itself if it is `#[message(plain)]`.
fn reading(context: &Context<'_>) -> Reading {
    let Context { p, this, archived, model, bounds, .. } = context;
    let (_, arguments, _) = bounds.generics.split_for_impl();
    let Some(plain) = &model.options.plain else {
        return Reading {
            view: quote! { &'__v #archived #arguments },
            slice: quote! { &'__v [#archived #arguments] },
            read_view: quote! { __form },
            read_slice: quote! { __forms },
            assertion: TokenStream::new(),
        };
    };
    let reason = format!(
        "`{}` is not plain: every field has to be a number, `bool`, `char`, an array of those, or plain itself",
        model.name()
    );
    // The macro's hygiene, because the user may have an `assert!` of their own; the user's position.
    let span = crate::message::model::generated(plain.span());
    let check = |ty: TokenStream| quote_spanned! {span=> ::core::assert!(<#ty as #p::Message>::PLAIN, #reason) };
    // Whether a generic type is plain is known only where it is used.
    let (assertion, inside) = match bounds.generics.params.is_empty() {
        true => {
            let check = check(quote! { #this });
            (quote! { const _: () = #check; }, TokenStream::new())
        }
        false => {
            let check = check(quote! { Self });
            (TokenStream::new(), quote! { const { #check }; })
        }
    };
    Reading {
        view: quote! { &'__v #this #arguments },
        slice: quote! { &'__v [#this #arguments] },
        read_view: quote! { #inside #p::plain_ref::<Self>(__form) },
        read_slice: quote! { #inside #p::plain_slice::<Self>(__forms) },
        assertion,
    }
}
