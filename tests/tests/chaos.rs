//! A short run of the program `chaos`, which does the work; `.ci/run` has it do more.

use ipc_rpc_tests::helper::Place;

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

fn run(test: &'static str, arguments: &[&str]) {
    let place = Place::new(test);
    let mut chaos = place.start(CHAOS, arguments);
    let mut last = String::new();
    loop {
        match chaos.line() {
            line if line.is_empty() => break,
            line => last = line,
        }
    }
    assert!(chaos.wait().success(), "{}", chaos.errors());
    assert_eq!(last, "no hang, no wrong outcome, nothing is left over");
}

#[test]
fn what_is_claimed_is_true_when_processes_are_killed() {
    run("what_is_claimed_is_true_when_processes_are_killed", &["--kills", "60", "--seed", "1"]);
}
