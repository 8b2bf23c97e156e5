//! A short run of the program `hostile`, which does the work; `.ci/run` has it do more.

use ipc_rpc_tests::helper::Place;

#[test]
fn honest_peers_go_on_beside_hostile_ones() {
    let place = Place::new("honest_peers_go_on_beside_hostile_ones");
    let mut hostile = place.start(env!("CARGO_BIN_EXE_hostile"), &["--seconds", "5", "--seed", "1"]);
    let mut said = String::new();
    loop {
        match hostile.line() {
            line if line.is_empty() => break,
            line => said += &(line + "\n"),
        }
    }
    assert!(hostile.wait().success(), "{}", hostile.errors());
    assert!(said.contains("the server is alive and as it was"), "{said}");
    assert!(said.contains("all results right, 0 hangs"), "{said}");
}
