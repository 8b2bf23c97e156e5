//! Every rule of `#[derive(Message)]`: the message and the token it points at. `TRYBUILD=overwrite` records them.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("ui/message/*.rs");
}
