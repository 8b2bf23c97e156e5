//! The expansion of a small service, compared with a file that a person can read.

use std::path::Path;

const INPUT: &str = r#"
    /// Adds numbers and remembers words.
    pub trait Calc: Send {
        /// The sum of `a` and `b`.
        fn add(&self, a: u64, b: u64) -> u64;
        #[cfg(feature = "words")]
        #[rpc(name = "find_word")]
        fn find(&self, query: &Query, names: &[f32], from: Option<&str>) -> Result<Vec<Hit>, Failed>;
        fn r#match(&self, text: &str, query: &Archived<Query>) {}
    }
"#;

#[test]
fn golden_service() {
    let expansion = super::attribute(Default::default(), INPUT.parse().unwrap());
    let expansion = prettyplease::unparse(&syn::parse2(expansion).expect("the expansion is a list of items"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/service.rs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &expansion).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    assert_eq!(golden, expansion, "the expansion has changed; `UPDATE_GOLDEN=1` accepts it");
}
