//! Expansions of each kind of message, compared with the files in `tests/golden`. `UPDATE_GOLDEN=1` writes them.

use std::path::Path;

/// Compares the expansion of `input` with the file called `name`.
fn golden(name: &str, input: &str) {
    let expanded = super::derive(input.parse().expect("tokens"));
    let file = syn::parse2(expanded).expect("the expansion is a list of items");
    let text = format!("// #[derive(Message)]\n{}\n{}", comment(input), prettyplease::unparse(&file));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name).with_extension("rs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the folder tests/golden is writable");
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} differs from the expansion; UPDATE_GOLDEN=1 writes it:\n{text}", path.display());
}

fn comment(input: &str) -> String {
    input.lines().map(|line| format!("// {}\n", line.trim_end())).collect()
}

#[test]
fn named_struct() {
    golden(
        "message_named_struct",
        "pub struct Query {\n    /// What to look for.\n    pub text: String,\n    limit: u32,\n}",
    );
}

#[test]
fn tuple_struct() {
    golden("message_tuple_struct", "pub(crate) struct Point(pub f32, pub f32);");
}

#[test]
fn unit_struct() {
    golden("message_unit_struct", "struct Nothing;");
}

#[test]
fn generic_struct() {
    golden(
        "message_generic_struct",
        "struct Page<T: Clone = u8, U = (), const N: usize = 1>\nwhere\n    U: Copy,\n{\n    items: Vec<T>,\n    slots: [T; N],\n    of: PhantomData<U>,\n    next: Option<Box<Self>>,\n}",
    );
}

#[test]
fn fieldless_enum() {
    golden("message_fieldless_enum", "pub enum Color {\n    Red,\n    Green = 7,\n}");
}

#[test]
fn data_enum() {
    golden("message_data_enum", "pub enum Shape<T> {\n    Unit,\n    Circle { r: f32 },\n    Named(String, T),\n}");
}
