//! Tests of the search engine's parts, in one process.
#![deny(unsafe_code)]
// The parts are used in full by the example.
#![allow(dead_code)]

mod index;
mod pattern;
mod rank;
mod render;
mod service;

use std::fs;
use std::time::Duration;

use index::Index;
use service::{Hit, Mark, Mode, Query, Search, SearchError, Stats};

fn index(documents: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    for (path, text) in documents {
        index.add((*path).to_owned(), (*text).to_owned());
    }
    index
}

fn words(text: &str) -> Query {
    Query { text: text.to_owned(), mode: Mode::Words, limit: 20 }
}

fn regex(text: &str) -> Query {
    Query { mode: Mode::Regex { ignore_case: false }, ..words(text) }
}

/// The hits as `path:line`.
fn places(index: &Index, query: &Query) -> Vec<String> {
    index.find(query).expect("a good query").iter().map(|hit| format!("{}:{}", hit.path, hit.line)).collect()
}

/// What is marked in a hit's text.
fn marked(hit: &Hit) -> Vec<&str> {
    hit.marks.iter().map(|mark| &hit.text[mark.start as usize..mark.end as usize]).collect()
}

#[test]
fn words_are_found_in_any_case_and_between_any_signs() {
    let index = index(&[("a", "first\nBLUE_whale(x)\n"), ("b", "bluewhale\n"), ("c", "Größe, ÜBER blue\n")]);
    assert_eq!(places(&index, &words("blue")), ["a:2", "c:1"]);
    assert_eq!(places(&index, &words("über GRÖßE")), ["c:1"]);
    assert_eq!(marked(&index.find(&words("whale blue")).unwrap()[0]), ["BLUE", "whale"]);
}

#[test]
fn a_phrase_precedes_its_words_apart() {
    let apart = "whale that is blue, blue as the sea, is whale that blue\n";
    let index = index(&[
        ("apart", &apart.repeat(30)),
        ("short", "whale, blue\n"),
        ("phrase", "one long line of which only a small part speaks of blue whale and the rest of nothing at all\n"),
    ]);
    assert_eq!(places(&index, &words("blue whale"))[0], "phrase:1");
    assert_ne!(places(&index, &words("whale blue"))[0], "phrase:1");
}

#[test]
fn rare_words_and_short_documents_count_more() {
    let index = index(&[
        ("common", "a cat and a dog and a bird\n"),
        ("other", "a cat and a fish\n"),
        ("long", &"and so on and so on\n".repeat(50).replacen("so", "quokka", 1)),
        ("rare", "and so a quokka\n"),
    ]);
    assert_eq!(places(&index, &words("cat quokka"))[0], "rare:1");
    assert_eq!(places(&index, &words("quokka")), ["rare:1", "long:1"]);
}

#[test]
fn one_document_does_not_fill_the_answer() {
    let index = index(&[("many", &"apple\n".repeat(10)), ("one", "apple and pear\n"), ("none", "pear\n")]);
    let query = Query { limit: 3, ..words("apple") };
    let places = places(&index, &query);
    assert_eq!(places.len(), 3);
    assert!(places.contains(&"one:1".to_owned()), "{places:?}");
}

#[test]
fn the_limit_cuts_the_same_ranking() {
    let texts: Vec<(String, String)> = (0..60)
        .map(|n| (format!("{n}"), "alpha beta gamma\n".repeat(n % 7) + &"beta alpha\nalpha\n".repeat(n % 5)))
        .collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let index = index(&texts);
    for query in [words("alpha beta"), words("beta"), regex("a b")] {
        let all = places(&index, &Query { limit: u32::MAX, ..query.clone() });
        for limit in [1, 2, 5, 17, 100] {
            assert_eq!(places(&index, &Query { limit, ..query.clone() }), all[..all.len().min(limit as usize)]);
        }
    }
    assert_eq!(places(&index, &Query { limit: 0, ..words("alpha") }), [""; 0]);
}

#[test]
fn a_regular_expression_matches_line_by_line() {
    let index = index(&[("a", "fn main() {\r\n    let x = 1;\r\n}\r\n"), ("b", "fn a() fn b()\nsay fn c()")]);
    assert_eq!(places(&index, &regex(r"^\s*let")), ["a:2"]);
    assert_eq!(places(&index, &regex(r";$")), ["a:2"]);
    assert_eq!(places(&index, &regex(r"\}")), ["a:3"]);
    assert_eq!(places(&index, &regex(r"\{\s+let")), [""; 0]);
    assert_eq!(places(&index, &regex(r"^")).len(), 5);
    assert_eq!(places(&index, &regex(r"$")).len(), 5);
    let hits = index.find(&regex(r"fn \w+")).unwrap();
    assert_eq!(marked(&hits[0]), ["fn a", "fn b"]);
}

#[test]
fn a_regular_expression_ignores_case_when_told() {
    let index = index(&[("a", "Alpha\n")]);
    assert_eq!(places(&index, &regex("alpha")), [""; 0]);
    assert_eq!(places(&index, &Query { mode: Mode::Regex { ignore_case: true }, ..words("alpha") }), ["a:1"]);
}

#[test]
fn bad_queries_say_why() {
    let index = index(&[("a", "text\n")]);
    for empty in [words(""), words(" \t"), words("+-"), regex("")] {
        assert_eq!(index.find(&empty), Err(SearchError::EmptyQuery), "{empty:?}");
    }
    let error = index.find(&regex("a(b")).unwrap_err();
    assert_eq!(error.to_string(), r#"bad pattern "a(b": unclosed group"#);
    let error = index.find(&regex("(a{1000}){1000}")).unwrap_err().to_string();
    assert!(error.contains("size limit") && !error.contains('\n'), "{error}");
}

#[test]
fn long_lines_are_cut_around_the_first_match() {
    let line = format!("{} needle {}\n", "ä".repeat(500), "ö".repeat(500));
    let hit = &index(&[("a", &line)]).find(&words("needle")).unwrap()[0];
    assert!(hit.text.len() < 220 && hit.text.starts_with('…') && hit.text.ends_with('…'), "{}", hit.text);
    assert_eq!(marked(hit), ["needle"]);

    let line = format!("needle {} needle\n", "x".repeat(500));
    let hit = &index(&[("a", &line)]).find(&words("needle")).unwrap()[0];
    assert!(hit.text.starts_with("needle") && hit.text.ends_with('…'), "{}", hit.text);
    assert_eq!(marked(hit), ["needle"]);
}

#[test]
fn indentation_is_left_out() {
    let hit = &index(&[("a", "\t    two words  \n")]).find(&words("words")).unwrap()[0];
    assert_eq!((hit.text.as_str(), marked(hit)), ("two words  ", vec!["words"]));
}

#[test]
fn only_text_files_are_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("text", b"word\n");
    write("empty", b"");
    write("zero", b"word\0word");
    write("latin", b"word \xe4\n");
    write("large", &b"word\n".repeat(1 << 20));
    write(".hidden", b"word\n");
    write("ignored.log", b"word\n");
    write(".gitignore", b"*.log\n");
    let mut last = (0, 0);
    let index = Index::open(folder.path(), |done, all| last = (done + 1, all)).unwrap();
    assert_eq!(index.stats(), Stats { documents: 2, skipped: 1 });
    assert_eq!(last, (5, 5));
    assert_eq!(places(&index, &words("word")), [format!("{}:1", folder.path().join("text").display())]);
}

#[test]
fn a_hit_is_rendered_with_and_without_colour() {
    let hit = Hit {
        path: "a\nb".into(),
        line: 7,
        text: "x\x1b[2Jyz".into(),
        // The second and the third are not in the text.
        marks: vec![Mark { start: 5, end: 6 }, Mark { start: 2, end: 3 }, Mark { start: 6, end: 900 }],
    };
    let rendered = |colour| {
        let mut out = Vec::new();
        render::hit(&mut out, &hit, colour).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(rendered(false), "a\u{fffd}b:7: x\u{fffd}[2Jyz\n");
    assert_eq!(rendered(true), "\x1b[35ma\u{fffd}b\x1b[0m:\x1b[32m7\x1b[0m: x\u{fffd}[2J\x1b[1;31my\x1b[0mz\n");
}

#[test]
fn the_summary_counts_and_takes_the_median() {
    let mut out = Vec::new();
    let mut times = [900, 12, 13].map(Duration::from_micros);
    render::summary(&mut out, &Stats { documents: 1, skipped: 0 }, 2, &mut times).unwrap();
    render::summary(&mut out, &Stats { documents: 3, skipped: 1 }, 1, &mut times[..1]).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "1 document, 2 hits, median call time 13.0 µs over 3 calls\n\
         3 documents (1 skipped), 1 hit, median call time 12.0 µs over 1 call\n"
    );
}
