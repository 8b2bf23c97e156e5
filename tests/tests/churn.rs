//! A short run of the program `churn`, which does the work; `.ci/run` has it do more.

use ipc_rpc_tests::helper::Place;

const CHURN: &str = env!("CARGO_BIN_EXE_churn");

fn run(test: &'static str, operations: u32, seed: u32) {
    let place = Place::new(test);
    let mut churn = place.start(CHURN, &["--ops", &operations.to_string(), "--seed", &seed.to_string()]);
    let mut last = String::new();
    loop {
        match churn.line() {
            line if line.is_empty() => break,
            line => last = line,
        }
    }
    assert!(churn.wait().success(), "{}", churn.errors());
    assert_eq!(last, "nothing is left over");
}

#[test]
fn nothing_is_left_over_after_random_use_and_misuse() {
    run("nothing_is_left_over_after_random_use_and_misuse", 4000, 1);
}

#[test]
fn nothing_is_left_over_with_another_seed() {
    run("nothing_is_left_over_with_another_seed", 4000, 2);
}
