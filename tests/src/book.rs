//! The chapters of the book, so that `cargo test --doc` compiles and runs their code.
//!
//! That of `getting-started.md` makes a package of its own: `tests/getting_started.rs`. That of `migrating.md` needs the other
//! libraries: `examples/compare/src/migrating.rs`. `.ci/book` finds a chapter that is nowhere.

macro_rules! chapters {
    ($($(#[$condition:meta])? $name:ident: $file:literal;)*) => {
        $(
            $(#[$condition])?
            #[doc = include_str!(concat!("../../docs/", $file))]
            mod $name {}
        )*
    };
}

chapters! {
    introduction: "introduction.md";
    concepts: "concepts.md";
    services: "services.md";
    messages: "messages.md";
    calling: "calling.md";
    asynchronous: "async.md";
    streams: "streams.md";
    callbacks: "callbacks.md";
    large_data: "large-data.md";
    #[cfg(feature = "formats")]
    formats: "formats.md";
    failures: "failures.md";
    security: "security.md";
    tuning: "tuning.md";
    operating: "operating.md";
    testing: "testing.md";
    troubleshooting: "troubleshooting.md";
    protocol: "protocol.md";
    layout: "layout.md";
    safety: "safety.md";
    design: "design.md";
    benchmarks: "benchmarks.md";
}
