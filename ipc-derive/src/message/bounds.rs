//! Which bounds an expansion puts on the user's type parameters.
//!
//! A parameter that reaches a field gets `Message`, one that only marks a type (`PhantomData`) gets `'static`. There are no
//! bounds on field types, so recursive types need no help; the exception is a projection such as `T::Item`, which a bound
//! on `T` says nothing about.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{GenericArgument, Generics, Ident, PathArguments, Type, TypePath};

use super::model::Model;

/// The bounds, ready to use.
pub(super) struct Bounds {
    /// The user's generics with our bounds in the where-clause.
    pub(super) generics: Generics,
    /// The parameters that travel.
    pub(super) travelling: Vec<Ident>,
}

impl Bounds {
    pub(super) fn new(model: &Model) -> Self {
        let private = model.options.private();
        let parameters: Vec<Ident> = model.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
        let mut found = Found { of: Some(model.ident.clone()), ..Found::default() };
        model.fields().iter().for_each(|field| found.visit(&field.ty, &parameters));

        let mut generics = model.generics.clone();
        let mut travelling = Vec::new();
        let mut predicates = Vec::new();
        for parameter in parameters {
            match found.parameters.contains(&parameter) {
                true => {
                    predicates.push(quote! { #parameter: #private::Message });
                    travelling.push(parameter);
                }
                false => predicates.push(quote! { #parameter: 'static }),
            }
        }
        predicates.extend(found.projections.iter().map(|projection| quote! { #projection: #private::Message }));
        if !predicates.is_empty() {
            let clause = generics.make_where_clause();
            for predicate in predicates {
                // A parameter or a path, a colon and a bound always parse.
                clause.predicates.extend(syn::parse2::<syn::WherePredicate>(predicate));
            }
        }
        Bounds { generics, travelling }
    }
}

/// What the field types mention.
#[derive(Default)]
struct Found {
    /// The type itself: what it mentions of itself adds nothing.
    of: Option<Ident>,
    parameters: Vec<Ident>,
    projections: Vec<TokenStream>,
}

impl Found {
    fn visit(&mut self, ty: &Type, parameters: &[Ident]) {
        match ty {
            Type::Path(path) => self.visit_path(path, parameters),
            Type::Array(array) => self.visit(&array.elem, parameters),
            Type::Group(group) => self.visit(&group.elem, parameters),
            Type::Paren(paren) => self.visit(&paren.elem, parameters),
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|element| self.visit(element, parameters)),
            _ => {}
        }
    }

    fn visit_path(&mut self, path: &TypePath, parameters: &[Ident]) {
        let segments = &path.path.segments;
        let first = segments.first().filter(|_| path.path.leading_colon.is_none()).map(|segment| &segment.ident);
        let parameter = first.filter(|ident| parameters.contains(ident));
        match (&path.qself, parameter) {
            (Some(qself), _) if mentions(&qself.ty, parameters) => self.projections.push(path.to_token_stream()),
            (None, Some(parameter)) if segments.len() == 1 => self.parameters.push(parameter.clone()),
            (None, Some(_)) => self.projections.push(path.to_token_stream()),
            _ if segments
                .last()
                .is_some_and(|last| last.ident == "PhantomData" || Some(&last.ident) == self.of.as_ref()) => {}
            _ => segments.iter().for_each(|segment| self.visit_arguments(&segment.arguments, parameters)),
        }
    }

    fn visit_arguments(&mut self, arguments: &PathArguments, parameters: &[Ident]) {
        let PathArguments::AngleBracketed(arguments) = arguments else { return };
        for argument in &arguments.args {
            if let GenericArgument::Type(ty) = argument {
                self.visit(ty, parameters);
            }
        }
    }
}

/// Whether `ty` depends on a parameter.
fn mentions(ty: &Type, parameters: &[Ident]) -> bool {
    let mut found = Found::default();
    found.visit(ty, parameters);
    !found.parameters.is_empty() || !found.projections.is_empty()
}
