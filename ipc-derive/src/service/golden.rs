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

const FORMS: &str = r#"
    pub trait Jobs {
        /// Runs one.
        async fn run(&self, name: &str, ctx: &Context) -> Result<u64, Failed> {
            Ok(name.len() as u64)
        }
        #[rpc(blocking)]
        fn wait(&self, ctx: &Context, id: &u64);
        #[rpc(oneway)]
        fn note(&self, text: &str);
        fn tail(&self, path: String) -> Result<Streaming<Line>, Failed>;
        fn sum(&self, numbers: Streaming<u64>) -> u64;
        async fn upper(&self, lines: Streaming<String>, from: u32) -> Streaming<String>;
        async fn store(&self, frame: Kept<Frame>, rows: Kept<Vec<u32>>, name: Kept<String>) -> u64;
        fn hash(&self, path: &str, progress: &ProgressClient) -> Result<[u8; 32], Failed>;
    }
"#;

#[test]
fn golden_service() {
    compare("service.rs", Default::default(), INPUT);
}

#[test]
fn golden_service_forms() {
    compare("service_forms.rs", quote::quote!(mock), FORMS);
}

fn compare(file: &str, attributes: proc_macro2::TokenStream, input: &str) {
    let expansion = super::attribute(attributes, input.parse().unwrap());
    let expansion = prettyplease::unparse(&syn::parse2(expansion).expect("the expansion is a list of items"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &expansion).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(golden, expansion, "the expansion has changed; `UPDATE_GOLDEN=1` accepts it");
}
