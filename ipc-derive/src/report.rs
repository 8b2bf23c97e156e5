//! All the mistakes of one macro input, reported in one compile.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Collects mistakes until a stage ends.
#[derive(Default)]
pub(crate) struct Report {
    mistakes: Option<syn::Error>,
}

impl Report {
    /// Records `message` at the user's `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Records a mistake that a parser has found.
    pub(crate) fn push(&mut self, mistake: syn::Error) {
        match &mut self.mistakes {
            Some(all) => all.combine(mistake),
            none => *none = Some(mistake),
        }
    }

    /// The `compile_error!` items for everything recorded, or `None` when there was no mistake.
    pub(crate) fn finish(self) -> Option<TokenStream> {
        self.mistakes.map(|all| all.into_compile_error())
    }
}
