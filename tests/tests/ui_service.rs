//! What `#[service]` accepts and what it says about everything else: one file a rule, see `tests/ui/service`.
//!
//! Messages are recorded for the toolchain of the workspace; `TRYBUILD=overwrite` records them anew.

#[path = "../ui/service/pass/deny_lints.rs"]
pub mod deny_lints;

#[test]
fn ui_service() {
    let cases = trybuild::TestCases::new();
    deny_lints::main();
    cases.pass("ui/service/pass/*.rs");
    cases.compile_fail("ui/service/*.rs");
}
