//! What is expanded beside the report of mistakes: impls that let the rest of the user's code compile, so that a mistake in
//! a type gives no further errors where the type is used.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, GenericParam, Lifetime};

use super::attribute::Options;

/// Impls of the right signatures without a body worth running.
pub(super) fn expand(input: &DeriveInput, options: &Options) -> TokenStream {
    let p = options.private();
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    // A message is `'static`, so a type with lifetimes gets its stub for that lifetime.
    let of_static = |mut parameter: GenericParam| {
        if let GenericParam::Lifetime(parameter) = &mut parameter {
            parameter.lifetime = Lifetime::new("'static", Span::call_site());
        }
        parameter
    };
    let mut arguments = input.generics.clone();
    arguments.params = arguments.params.into_iter().map(of_static).collect();
    generics.params = generics.params.into_iter().filter(|it| !matches!(it, GenericParam::Lifetime(_))).collect();
    if generics.lifetimes().next().is_none() && input.generics.lifetimes().next().is_some() {
        // Bounds may name the lifetimes that were just removed.
        generics.where_clause = None;
    }
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let clause = generics.make_where_clause();
    for parameter in parameters {
        clause.predicates.extend(syn::parse2::<syn::WherePredicate>(quote! { #parameter: 'static }));
    }
    let (_, arguments, _) = arguments.split_for_impl();
    let (parameters, _, clause) = generics.split_for_impl();
    quote! {
        const _: () = {
            unsafe impl #parameters #p::Argument<#ident #arguments> for #ident #arguments #clause {
                fn serialize(&self, _: &mut #p::Encoder<'_>) -> ::core::result::Result<(), #p::EncodeError> {
                    ::core::unreachable!()
                }
                fn resolve(&self, _: (), _: #p::Place<()>) {}
            }
            unsafe impl #parameters #p::Message for #ident #arguments #clause {
                type Form = ();
                type Res = ();
                type View<'view> = ();
                type Slice<'view> = ();
                fn view(_: &()) {}
                fn slice(_: &[()]) {}
                fn deserialize(_: &()) -> ::core::result::Result<Self, #p::MessageError> {
                    ::core::unreachable!()
                }
                fn desc() -> &'static #p::Desc {
                    ::core::unreachable!()
                }
            }
        };
    }
}
