//! Does what `docs/getting-started.md` says, in an empty folder outside of the workspace, and compares what is printed.
//!
//! In the chapter, a block of Rust whose first line is `// PATH` is a file. A block of `console` has commands behind `$ `, and
//! what they print; `…` stands for anything. A command of `console,stays` goes on running, that of the next `console,ended` finds
//! it ended by Ctrl-C, and fails.
#![deny(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ipc_rpc_tests::system;

const CHAPTER: &str = include_str!("../../docs/getting-started.md");
/// What the chapter says about the reader's machine.
const REPOSITORY: &str = "~/ipc-rpc";
const RUNTIME: &str = "/run/user/1000";

/// The program that the reader has left running.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Either can fail only if the process has ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Reader {
    /// Where the reader is: the folder changes with `cd`.
    folder: PathBuf,
    runtime: PathBuf,
    left_running: Option<Running>,
}

impl Reader {
    fn command(&self, line: &str) -> Command {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mut command = Command::new("sh");
        // `exec`: cargo and then the program are this process, to be sent a signal.
        command.args(["-c", &format!("exec {line}").replace(REPOSITORY, repository.to_str().expect("UTF-8"))]);
        // All that cargo and nextest have told this test is about its own package.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("NEXTEST")) {
            if !["CARGO", "CARGO_HOME", "CARGO_NET_OFFLINE"].contains(&name.as_str()) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/getting-started"));
        // Nobody looks at these with a debugger.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        command.env("XDG_RUNTIME_DIR", &self.runtime).env("CARGO_TERM_COLOR", "never");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What is printed, as the chapter would have it.
    fn as_read(&self, text: &str) -> String {
        text.replace(self.runtime.to_str().expect("UTF-8"), RUNTIME)
    }

    fn console(&mut self, kind: &str, block: &str) {
        for part in block.split("$ ").filter(|part| !part.is_empty()) {
            let (line, expected) = part.split_once('\n').unwrap_or((part, ""));
            if let Some(folder) = line.strip_prefix("cd ") {
                self.folder.push(folder);
                continue;
            }
            match kind {
                "console" => {
                    let out = self.command(line).output().expect("a shell");
                    let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
                    assert!(out.status.success(), "{line}: {error}");
                    self.compare(line, expected, &text);
                }
                "console,stays" => {
                    let mut child = self.command(line).stderr(Stdio::inherit()).spawn().expect("a shell");
                    let out = child.stdout.take().expect("its output");
                    self.left_running = Some(Running(child));
                    let mut text = String::new();
                    BufReader::new(out).read_line(&mut text).expect("a line");
                    self.compare(line, expected, &text);
                }
                "console,ended" => {
                    let mut running = self.left_running.take().expect("a program that was left running");
                    system::kill(running.0.id(), system::INTERRUPT);
                    running.0.wait().expect("its end");
                    let out = self.command(line).output().expect("a shell");
                    assert!(!out.status.success(), "{line} succeeded");
                    self.compare(line, expected, &String::from_utf8_lossy(&out.stderr));
                }
                _ => panic!("no such kind of block: {kind}"),
            }
            // As the reader of `cargo new` gets newer versions than were locked here, if there are any; a test has none to fetch.
            if line.starts_with("cargo new") {
                let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
                let package = line.rsplit(' ').next().expect("a name");
                fs::copy(lock, self.folder.join(package).join("Cargo.lock")).expect("a copy");
            }
        }
    }

    fn compare(&self, line: &str, expected: &str, printed: &str) {
        let printed = self.as_read(printed);
        assert!(matches(expected, &printed), "{line}\n--- should print\n{expected}--- and printed\n{printed}---");
    }
}

/// Is `text` what `pattern` says? `…` in it stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (open && pattern.ends_with('…'))
}

#[test]
fn patterns() {
    assert!(matches("a…c", "abbc") && matches("a", "a") && matches("a…", "abc"));
    assert!(!matches("a…c", "abcd") && !matches("a", "ab") && !matches("b", "ab"));
}

#[test]
fn the_chapter_does_what_it_says() {
    let place = tempfile::tempdir().expect("a folder");
    let runtime = place.path().join("run");
    fs::create_dir(&runtime).expect("a folder");
    let mut reader = Reader { folder: place.path().to_owned(), runtime, left_running: None };
    let (mut files, mut commands) = (0, 0);

    // A fence, its kind, the block, a fence.
    let mut parts = CHAPTER.split("```");
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let (kind, block) = block.split_once('\n').expect("a block");
        if kind == "rust" {
            let (path, text) =
                block.strip_prefix("// ").and_then(|rest| rest.split_once('\n')).expect("the name of a file");
            let path = reader.folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
            files += 1;
        } else {
            reader.console(kind, block);
            commands += block.matches("$ ").count();
        }
    }
    assert!(files >= 4 && commands >= 8, "the chapter has {files} files and {commands} commands");
}
