//! The search engine, run as the processes that a user starts.
#![deny(unsafe_code)]

mod util;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use util::{Finished, Place, Running};

/// A folder with notes, one of which a `.gitignore` names.
fn notes() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for notes");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for a note");
        fs::write(file, text).expect("a note");
    };
    write("apart.md", &"A whale is not always blue; blue is the sea, where the whale lives.\n".repeat(20));
    write("deep/phrase.md", "# Notes\n\n    Two divers swim beside a blue whale.\n");
    write("other.txt", "nothing to see\n");
    write("secret.log", "blue whale blue whale\n");
    write("binary", "blue whale\0\n");
    write(".gitignore", "*.log\n");
    folder
}

/// Runs `search` in a place that must be empty again when it has ended.
fn search(arguments: &[&str]) -> Finished {
    let place = Place::new();
    let answer = place.run("search", arguments);
    assert_eq!(files(&place), [""; 0]);
    answer
}

/// Names of what an example left behind, or has in use.
fn files(place: &Place) -> Vec<String> {
    let files = place.path().read_dir().expect("the folder of a test");
    files.map(|file| file.expect("a file of a test").file_name().to_string_lossy().into_owned()).collect()
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().expect("a name in UTF-8")
}

/// Asserts that a run ended in one line of error, and returns the line.
fn one_error(answer: Finished) -> String {
    assert_eq!((answer.code, answer.out.as_str(), answer.err.lines().count()), (Some(2), "", 1), "{answer:?}");
    answer.err.strip_prefix("search: ").expect("an error of this program").trim_end().to_owned()
}

#[test]
fn one_command_finds_lines_best_first() {
    let notes = notes();
    let answer = search(&["blue whale", path(&notes)]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{answer:?}");
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(lines.len(), 21, "{answer:?}");
    assert_eq!(lines[0], format!("{}/deep/phrase.md:3: Two divers swim beside a blue whale.", path(&notes)));
    assert!(lines[1].starts_with(&format!("{}/apart.md:1: A whale is", path(&notes))), "{answer:?}");
    assert!(!answer.out.contains("secret.log") && !answer.out.contains("binary"));

    let summary = lines[20].strip_prefix("3 documents, 20 hits, median call time ").expect("a summary");
    let (time, calls) = summary.split_once(" µs over ").expect("a time and a number of calls");
    assert!(time.parse::<f64>().expect("a number") > 0.0);
    assert!(calls.strip_suffix(" calls").expect("several calls").parse::<u32>().expect("a number") > 1);
}

#[test]
fn a_regular_expression_is_matched_line_by_line() {
    let notes = notes();
    let answer = search(&["--regex", r"^\s+two\b.*whale\.$", path(&notes)]);
    assert!(answer.code == Some(1) && answer.out.starts_with("3 documents, 0 hits, "), "{answer:?}");
    let answer = search(&["--regex", "--ignore-case", r"^\s+two\b.*whale\.$", path(&notes)]);
    assert_eq!(answer.code, Some(0));
    assert!(answer.out.contains("deep/phrase.md:3: Two divers"), "{answer:?}");
    assert!(answer.out.contains("3 documents, 1 hit, "), "{answer:?}");
}

#[test]
fn the_limit_cuts_the_answer() {
    let answer = search(&["--limit", "2", "blue", path(&notes())]);
    assert_eq!(answer.out.lines().count(), 3, "{answer:?}");
    assert!(answer.out.contains("3 documents, 2 hits, "), "{answer:?}");
}

#[test]
fn matches_are_highlighted_on_request() {
    let notes = notes();
    let coloured = search(&["--color", "always", "beside", path(&notes)]);
    assert!(coloured.out.contains("Two divers swim \x1b[1;31mbeside\x1b[0m a blue whale."), "{coloured:?}");
    let plain = search(&["beside", path(&notes)]);
    assert!(!plain.out.contains('\x1b'), "{plain:?}");
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let notes = notes();
    let missing = notes.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let error = one_error(search(&["word", missing]));
    assert_eq!(error, format!("cannot read folder {missing:?}: No such file or directory (os error 2)"));

    let file = notes.path().join("other.txt");
    let file = file.to_str().expect("UTF-8");
    let error = one_error(search(&["word", file]));
    assert_eq!(error, format!("cannot read folder {file:?}: Not a directory (os error 20)"));

    let closed = notes.path().join("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("a closed folder");
    // Nothing is closed to root.
    if fs::read_dir(&closed).is_err() {
        let closed = closed.to_str().expect("UTF-8");
        let error = one_error(search(&["word", closed]));
        assert_eq!(error, format!("cannot read folder {closed:?}: Permission denied (os error 13)"));
    }
}

#[test]
fn a_bad_query_is_an_error() {
    let notes = notes();
    for empty in ["", "  ", "?!"] {
        let error = one_error(search(&[empty, path(&notes)]));
        assert_eq!(error, "the query is empty: give at least one word");
    }
    let error = one_error(search(&["--regex", "(a|b", path(&notes)]));
    assert_eq!(error, r#"bad pattern "(a|b": unclosed group"#);
}

#[test]
fn several_clients_ask_one_server() {
    let (notes, place) = (notes(), Place::new());
    let mut server =
        Running(place.example("search").args(["--serve", "notes", path(&notes)]).spawn().expect("a server"));
    let mut ready = String::new();
    BufReader::new(server.0.stdout.take().expect("its output")).read_line(&mut ready).expect("a line");
    assert_eq!(ready, "serving 3 documents as \"notes\"\n");

    thread::scope(|scope| {
        for limit in 1..=4 {
            let place = &place;
            scope.spawn(move || {
                let answer = place.run("search", &["--connect", "notes", "blue", "-n", &limit.to_string()]);
                assert_eq!((answer.code, answer.out.lines().count()), (Some(0), limit + 1), "{answer:?}");
            });
        }
    });
    // The server's own errors reach the user as they are.
    let error = one_error(place.run("search", &["--connect", "notes", ""]));
    assert_eq!(error, "the query is empty: give at least one word");
    let error = one_error(place.run("search", &["--connect", "notes", "--regex", "["]));
    assert_eq!(error, r#"bad pattern "[": unclosed character class"#);
}

#[test]
fn without_a_server_the_client_says_what_it_tried() {
    let place = Place::new();
    let error = one_error(place.run("search", &["--connect", "notes", "word"]));
    assert!(error.contains(place.path().join("ipc-rpc/notes.sock").to_str().expect("UTF-8")), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (notes, place) = (notes(), Place::new());
    let mut child = place.example("search").args(["blue", path(&notes)]).spawn().expect("a search");
    drop(child.stdout.take());
    let answer = Finished::from(child.wait_with_output().expect("an end"));
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert_eq!(files(&place), [""; 0]);
}

#[test]
fn a_killed_client_takes_its_server_down() {
    let (notes, place) = (notes(), Place::new());
    fs::write(notes.path().join("many"), "blue whale, and so on and so on and so on\n".repeat(10_000)).expect("a note");
    let arguments = ["--limit", "10000", "blue", path(&notes)];
    let mut client = Running(place.example("search").args(arguments).stderr(Stdio::null()).spawn().expect("a search"));
    // It prints more than a pipe holds, so it is still there.
    let mut line = String::new();
    let mut out = BufReader::new(client.0.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("a line");
    let id = client.0.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("the list of its children");
    let server = children.trim();
    assert!(is_running(server) && files(&place).len() == 1, "{server:?} {:?}", files(&place));

    client.0.kill().expect("a client to kill");
    let begin = Instant::now();
    while is_running(server) || !files(&place).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the server outlives its client");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs; one that has ended may wait to be reaped.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
