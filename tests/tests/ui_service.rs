//! What `#[service]` accepts and what it says about everything else: one file a rule, see `tests/ui/service`.
//!
//! Messages are recorded for the toolchain of the workspace; `TRYBUILD=overwrite` records them anew.

#[test]
fn ui_service() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/service/pass/*.rs");
    cases.compile_fail("ui/service/*.rs");
}
