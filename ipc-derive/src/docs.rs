//! What the comments of an item say, as text that travels.

use syn::{Attribute, Expr, Lit, Meta};

/// The text of the documentation comments, without the space that each line begins with. Documentation that comes from
/// elsewhere (`include_str!`, `cfg_attr`) is not known to a macro.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let comments = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(expression) => match &expression.lit {
                Lit::Str(comment) => Some(comment.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let all = comments.collect::<Vec<_>>().join("\n");
    let indented = all.lines().all(|line| line.is_empty() || line.starts_with(' '));
    let lines = all.lines().map(|line| if indented { line.strip_prefix(' ').unwrap_or(line) } else { line });
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn comments_are_text_without_their_indentation() {
        let of = |item: syn::ItemStruct| text(&item.attrs);
        assert_eq!(of(syn::parse_quote! { struct A; }), "");
        let lines = syn::parse_quote! {
            /// One line.
            ///
            ///     code
            #[derive(Debug)]
            #[doc = " more"]
            struct A;
        };
        assert_eq!(of(lines), "One line.\n\n    code\nmore");
        assert_eq!(of(syn::parse_quote! { #[doc = "bare"] #[doc = " so"] struct A; }), "bare\n so");
        assert_eq!(of(syn::parse_quote! { #[doc = include_str!("x")] #[doc(hidden)] struct A; }), "");
    }
}
