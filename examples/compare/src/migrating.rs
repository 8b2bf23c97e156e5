//! What the code in `docs/migrating.md` needs, so that it compiles: `cargo test --doc -p compare`. Without the other libraries
//! (`--no-default-features`) the code that uses them is left out.
#![deny(unsafe_code)]

/// What tonic's compiler would make of the chapter's `.proto`.
#[cfg(feature = "peers")]
#[allow(missing_docs, clippy::all)]
pub mod dictionary {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Word {
        #[prost(string, tag = "1")]
        pub text: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Entry {
        #[prost(uint64, optional, tag = "1")]
        pub count: Option<u64>,
    }

    include!(concat!(env!("OUT_DIR"), "/dictionary.Dictionary.rs"));
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating.md")]
mod chapter {}
