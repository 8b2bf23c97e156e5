//! The tail of a log, run as two commands.
#![deny(unsafe_code)]

mod util;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::thread;
use std::time::Duration;

use util::{Place, Running};

#[test]
fn lines_come_as_they_are_written() {
    let place = Place::new();
    let (_server, line) = place.serve("stream", &["serve"]);
    assert_eq!(line, "serving files\n");
    let path = place.path().join("some.log");
    let name = path.to_str().expect("UTF-8");
    let mut log = File::create(&path).expect("a log");
    for n in 0..100 {
        writeln!(log, "old {n}").expect("a line");
    }
    write!(log, "half").expect("half a line");

    let mut client = Running(place.example("stream").args(["follow", name, "3"]).spawn().expect("a client"));
    let mut out = BufReader::new(client.0.stdout.take().expect("its output"));
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        line
    };
    // The unfinished one is the last line.
    assert_eq!([next(), next()], ["old 98\n", "old 99\n"]);
    writeln!(log, " and half").expect("the other half");
    assert_eq!(next(), "half and half\n");
    for n in 0..20_000 {
        writeln!(log, "new {n}").expect("a line");
    }
    for n in 0..20_000 {
        assert_eq!(next(), format!("new {n}\n"));
    }
    // Rotated: the name is another file's.
    fs::rename(&path, place.path().join("some.log.1")).expect("a rotated log");
    fs::write(&path, "first of the next file\n").expect("a log");
    assert_eq!(next(), "first of the next file\n");
    // Cut short: it begins anew.
    fs::write(&path, "short\n").expect("a log");
    assert_eq!(next(), "short\n");
    // Two clients, each with its own stream, and one that ends by itself.
    let answer = place.run("stream", &["follow", name, "10", "1"]);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(0), "short\n", ""));
    fs::OpenOptions::new().append(true).open(&path).and_then(|mut log| log.write_all(b"last\n")).expect("a line");
    assert_eq!(next(), "last\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_stream() {
    let place = Place::new();
    let (server, _) = place.serve("stream", &["serve"]);
    let path = place.path().join("some.log");
    fs::write(&path, "a line\n".repeat(100_000)).expect("a log");
    let name = path.to_str().expect("UTF-8");
    let threads =
        || fs::read_dir(format!("/proc/{}/task", server.0.id())).expect("its threads").filter(is_tail).count();
    let mut client = place.example("stream").args(["follow", name, "100000"]).spawn().expect("a client");
    let mut line = String::new();
    BufReader::new(client.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    assert_eq!(line, "a line\n");
    // Its output is closed now: it has nothing more to do, and says nothing of it.
    let answer = util::Finished::from(client.wait_with_output().expect("an end"));
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    // Killed in the middle.
    let mut client = Running(place.example("stream").args(["follow", name, "100000"]).spawn().expect("a client"));
    while threads() == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    client.0.kill().expect("a client to kill");
    // Nothing is left that would send.
    while threads() > 0 {
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_tail(task: &Result<fs::DirEntry, std::io::Error>) -> bool {
    let name = task.as_ref().ok().and_then(|task| fs::read_to_string(task.path().join("comm")).ok());
    name.is_some_and(|name| name.trim() == "tail")
}

#[test]
fn mistakes_are_told_in_one_line() {
    let place = Place::new();
    let usage = "stream: usage: stream serve | stream follow FILE [LAST [COUNT]]\n";
    for (arguments, error) in [
        (&[][..], usage),
        (&["follow"], usage),
        (&["follow", "file", "many"], "stream: \"many\" is not a number of lines\n"),
    ] {
        let answer = place.run("stream", arguments);
        assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(1), "", error));
    }
    let answer = place.run("stream", &["follow", "/dev/null"]);
    assert_eq!((answer.code, answer.err.lines().count()), (Some(1), 1), "{answer:?}");
    assert!(answer.err.contains("log.sock"), "{answer:?}");
    let (_server, _) = place.serve("stream", &["serve"]);
    let answer = place.run("stream", &["follow", "/no/such/file"]);
    let error = "stream: cannot read \"/no/such/file\": No such file or directory (os error 2)\n";
    assert_eq!((answer.code, answer.err.as_str()), (Some(1), error));
}
