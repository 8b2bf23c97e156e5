//! The hasher, run as two commands.
#![deny(unsafe_code)]

mod util;

use std::fs;
use std::process::Command;

use util::Place;

#[test]
fn the_hashes_of_a_folder_are_those_of_sha256sum() {
    let place = Place::new();
    let (_server, line) = place.serve("callback", &["serve"]);
    assert_eq!(line, "hashing\n");
    let folder = place.path().join("files");
    fs::create_dir_all(folder.join("deep/er")).expect("a folder");
    fs::write(folder.join("empty"), "").expect("a file");
    fs::write(folder.join("abc"), "abc").expect("a file");
    fs::write(folder.join("deep/er/long"), vec![7; 3_000_001]).expect("a file");
    std::os::unix::fs::symlink("/dev/zero", folder.join("link")).expect("a link");

    let name = folder.to_str().expect("UTF-8");
    let answer = place.run("callback", &["hash", name]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{answer:?}");
    let lines: Vec<&str> = answer.out.lines().collect();
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(lines[0], format!("{known}  {name}/abc"));
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(lines[2], format!("{empty}  {name}/empty"));
    assert_eq!(lines.len(), 3);
    let sums = place.path().join("sums");
    fs::write(&sums, &answer.out).expect("a file");
    if let Ok(checked) = Command::new("sha256sum").arg("--check").arg("--quiet").arg(&sums).output() {
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn mistakes_are_told_in_one_line() {
    let place = Place::new();
    for arguments in [&[][..], &["hash"], &["hash", "a", "b"]] {
        let answer = place.run("callback", arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
        assert_eq!(answer.err, "callback: usage: callback serve | callback hash FOLDER\n");
    }
    let answer = place.run("callback", &["hash", "."]);
    assert_eq!((answer.code, answer.err.lines().count()), (Some(1), 1), "{answer:?}");
    assert!(answer.err.contains("hasher.sock"), "{answer:?}");
    let (_server, _) = place.serve("callback", &["serve"]);
    let answer = place.run("callback", &["hash", "/no/such/folder"]);
    let error = "callback: cannot read \"/no/such/folder\": No such file or directory (os error 2)\n";
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(1), "", error));
}

#[test]
fn a_client_that_goes_away_ends_the_work() {
    let place = Place::new();
    let (server, _) = place.serve("callback", &["serve"]);
    let folder = place.path().join("files");
    fs::create_dir(&folder).expect("a folder");
    // More than can be hashed before the client is killed, and nothing of it takes room on a disk.
    for n in 0..64 {
        let file = fs::File::create(folder.join(n.to_string())).expect("a file");
        file.set_len(1 << 32).expect("a file with a hole");
    }
    let name = folder.to_str().expect("UTF-8");
    let mut client = util::Running(place.example("callback").args(["hash", name]).spawn().expect("a client"));
    let reading = || {
        let links = fs::read_dir(format!("/proc/{}/fd", server.0.id())).expect("its descriptors");
        links.flatten().filter_map(|link| fs::read_link(link.path()).ok()).any(|file| file.starts_with(&folder))
    };
    while !reading() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    client.0.kill().expect("a client to kill");
    while reading() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
