//! Many calls in flight: a server knows the words of some files, a client looks every word of another file up.
//!
//! `cargo run --release --example pipeline -- serve README.md docs/*.md` in one terminal,
//! `cargo run --release --example pipeline -- check CHANGELOG.md` in another: it prints the words that no file of the server
//! has, and what a call took when the client waited for each, and with 64 in flight.
#![deny(unsafe_code)]

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use ipc_rpc::{Server, service};

const IN_FLIGHT: usize = 64;

#[service]
trait Dictionary {
    /// Whether a word is known.
    fn knows(&self, word: &str) -> bool;
}

struct Words(HashSet<String>);

impl Dictionary for Words {
    fn knows(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

/// The words of a text in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn read(file: &str) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {file:?}: {error}").into())
}

fn serve(files: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut known = HashSet::new();
    for file in files {
        known.extend(words(&read(file)?));
    }
    let server = Server::bind("dictionary")?;
    println!("{} words", known.len());
    Ok(server.serve(DictionaryDispatcher::new(Words(known)))?)
}

/// Each word is a call, and the next one starts when its reply is there.
fn one_by_one<'t>(client: &DictionaryClient, text: &'t [String]) -> Result<BTreeSet<&'t str>, Box<dyn Error>> {
    let mut unknown = BTreeSet::new();
    for word in text {
        if !client.knows(word)? {
            unknown.insert(word.as_str());
        }
    }
    Ok(unknown)
}

/// Each word is a call, and up to [`IN_FLIGHT`] of them are under way at any time.
fn in_flight<'t>(client: &DictionaryClient, text: &'t [String]) -> Result<BTreeSet<&'t str>, Box<dyn Error>> {
    let (starting, mut unknown, mut calls) = (client.start(), BTreeSet::new(), VecDeque::new());
    let mut text = text.iter();
    loop {
        // As many calls as there is room for.
        for word in text.by_ref().take(IN_FLIGHT - calls.len()) {
            calls.push_back((word.as_str(), starting.knows(word)?));
        }
        let Some((word, call)) = calls.pop_front() else { return Ok(unknown) };
        if !call.wait()? {
            unknown.insert(word);
        }
    }
}

fn check(file: &str) -> Result<(), Box<dyn Error>> {
    let text: Vec<String> = words(&read(file)?).collect();
    let client = DictionaryClient::connect("dictionary")?;
    let start = Instant::now();
    let unknown = one_by_one(&client, &text)?;
    let (alone, start) = (start.elapsed(), Instant::now());
    let again = in_flight(&client, &text)?;
    let together = start.elapsed();
    assert_eq!(unknown, again);
    unknown.iter().for_each(|word| println!("{word}"));
    let each = |time: Duration| time.as_secs_f64() * 1e9 / text.len().max(1) as f64;
    let (alone, together) = (each(alone), each(together));
    println!(
        "{} words, {} unknown; a call: {alone:.0} ns one by one, {together:.0} ns with {IN_FLIGHT} in flight",
        text.len(),
        unknown.len()
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", ref files @ ..] if !files.is_empty() => serve(files),
        ["check", file] => check(file),
        _ => Err("usage: pipeline serve FILE.. | pipeline check FILE".into()),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("pipeline: {error}");
    ExitCode::FAILURE
}
