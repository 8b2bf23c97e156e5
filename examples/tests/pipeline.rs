//! The dictionary, run as two commands.
#![deny(unsafe_code)]

mod util;

use std::fs;

use util::Place;

#[test]
fn words_that_no_file_of_the_server_has_are_found() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name).display().to_string();
    fs::write(path("known"), "The whale, and the sea. ".repeat(50)).expect("a file");
    fs::write(path("more"), "Divers swim").expect("a file");
    fs::write(path("text"), "The divers and the WHALES swim in the sea; ".repeat(200)).expect("a file");
    let (_server, line) = place.serve("pipeline", &["serve", &path("known"), &path("more")]);
    assert_eq!(line, "6 words\n");

    let answer = place.run("pipeline", &["check", &path("text")]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{answer:?}");
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(lines[..2], ["in", "whales"], "{answer:?}");
    let summary = lines[2].strip_prefix("1800 words, 2 unknown; a call: ").expect("a summary");
    let (alone, rest) = summary.split_once(" ns one by one, ").expect("a time");
    let (together, rest) = rest.split_once(" ns with ").expect("a time");
    assert!(alone.parse::<u64>().is_ok() && together.parse::<u64>().is_ok() && rest == "64 in flight", "{answer:?}");
    assert_eq!(lines.len(), 3);

    // Fewer words than calls in flight, and none.
    fs::write(path("text"), "whale fish").expect("a file");
    assert!(place.run("pipeline", &["check", &path("text")]).out.starts_with("fish\n2 words, 1 unknown;"));
    fs::write(path("text"), "").expect("a file");
    assert!(place.run("pipeline", &["check", &path("text")]).out.starts_with("0 words, 0 unknown;"));
}

#[test]
fn mistakes_are_told_in_one_line() {
    let place = Place::new();
    for arguments in [&[][..], &["serve"], &["check"], &["check", "a", "b"]] {
        let answer = place.run("pipeline", arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
        assert_eq!(answer.err, "pipeline: usage: pipeline serve FILE.. | pipeline check FILE\n");
    }
    for command in ["serve", "check"] {
        let answer = place.run("pipeline", &[command, "/no/such/file"]);
        let error = "pipeline: cannot read \"/no/such/file\": No such file or directory (os error 2)\n";
        assert_eq!((answer.code, answer.err.as_str()), (Some(1), error));
    }
    let answer = place.run("pipeline", &["check", "/dev/null"]);
    assert_eq!((answer.code, answer.err.lines().count()), (Some(1), 1), "{answer:?}");
    assert!(answer.err.contains("dictionary.sock"), "{answer:?}");
}
