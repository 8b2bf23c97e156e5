//! Which lines match a pattern best.
//!
//! A line's score is the sum of three parts: BM25 of the words in its document, BM25 of the words in the line itself,
//! and a bonus for words that follow each other in the line as they do in the query. The second and each further line
//! of a document gets only a half, a third, ... of the document's part, so that one document does not fill the answer.
//! A regular expression is scored as if it were one word.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use regex::Regex;

use crate::index::{Document, Index, Posting, word_end, words};
use crate::pattern::Pattern;

/// How soon repetition stops to count, and how much length counts: the usual parameters of BM25.
const K: f32 = 1.2;
const B: f32 = 0.75;
/// The most that one word of weight 1 adds to the score of a text, however often it occurs.
const MOST: f32 = K + 1.0;
/// What two words of weight 1 in the query's order add: as much as their document and their line can together, so that
/// a line with a phrase of two words precedes every line without it.
const NEIGHBOURS: f32 = 2.0 * MOST;

/// A line that matches. The greatest has the highest score, and of equals comes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    score: Score,
    pub document: Reverse<usize>,
    /// Counted from 0.
    pub number: Reverse<usize>,
    /// In the order of the text.
    pub matches: Vec<Match>,
}

/// The bits of a number that is not negative: they are ordered as the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Score(u32);

/// A place where one of the terms of a pattern stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    pub start: usize,
    pub end: usize,
    term: usize,
    line: usize,
}

/// The best lines for a pattern, at most `limit`, best first.
pub fn best(index: &Index, pattern: &Pattern, limit: usize) -> Vec<Line> {
    match pattern {
        Pattern::Words(words) => best_for_words(index, words, limit),
        Pattern::Regex(regex) => best_for_regex(index, regex, limit),
    }
}

fn best_for_words(index: &Index, words: &[String], limit: usize) -> Vec<Line> {
    // Each word once, and the query as numbers of words.
    let mut distinct: Vec<&str> = Vec::new();
    let mut order = Vec::new();
    for word in words {
        order.push(distinct.iter().position(|known| known == word).unwrap_or_else(|| {
            distinct.push(word);
            distinct.len() - 1
        }));
    }
    let postings: Vec<&[Posting]> = distinct.iter().map(|word| index.postings(word)).collect();
    let all = index.documents().len() as f32;
    let weight = |documents: f32| (1.0 + (all - documents + 0.5) / (documents + 0.5)).ln();
    let scorer = Scorer {
        weights: postings.iter().map(|places| weight(places.len() as f32)).collect(),
        neighbours: order.windows(2).map(|pair| (pair[0], pair[1])).collect(),
        mean_words: index.mean_words(),
        mean_line: index.mean_line(),
    };
    let mut scores = vec![0.0; index.documents().len()];
    for (term, places) in postings.iter().enumerate() {
        for posting in *places {
            let document = posting.document as usize;
            scores[document] += scorer.in_document(&index.documents()[document], term, posting.starts.len());
        }
    }
    let matches = |document: usize| {
        let text = &index.documents()[document];
        let mut matches = Vec::new();
        for (term, places) in postings.iter().enumerate() {
            if let Ok(at) = places.binary_search_by_key(&document, |posting| posting.document as usize) {
                matches.extend(places[at].starts.iter().map(|&start| {
                    let start = start as usize;
                    Match { start, end: word_end(&text.text, start), term, line: text.line_of(start) }
                }));
            }
        }
        matches.sort_unstable_by_key(|found| found.start);
        matches
    };
    scorer.best(index, scores, matches, limit)
}

fn best_for_regex(index: &Index, regex: &Regex, limit: usize) -> Vec<Line> {
    let scorer = Scorer {
        weights: vec![1.0],
        neighbours: Vec::new(),
        mean_words: index.mean_words(),
        mean_line: index.mean_line(),
    };
    let mut scores = vec![0.0; index.documents().len()];
    let mut all = HashMap::new();
    for (number, document) in index.documents().iter().enumerate() {
        let matches = regex_matches(document, regex);
        if !matches.is_empty() {
            scores[number] = scorer.in_document(document, 0, matches.len());
            all.insert(number, matches);
        }
    }
    scorer.best(index, scores, |document| all.remove(&document).unwrap_or_default(), limit)
}

/// Searches the whole text for lines that may match, which is fast, and then each such line by itself, so that a match
/// never spans lines.
fn regex_matches(document: &Document, regex: &Regex) -> Vec<Match> {
    let mut matches = Vec::new();
    let mut from = Some(0);
    while let Some(found) = from.and_then(|from| regex.find_at(&document.text, from)) {
        let line = document.line_of(found.start());
        let range = document.line(line);
        matches.extend(regex.find_iter(&document.text[range.clone()]).map(|found| Match {
            start: range.start + found.start(),
            end: range.start + found.end(),
            term: 0,
            line,
        }));
        from = document.line_start(line + 1);
    }
    matches
}

impl Score {
    fn new(value: f32) -> Self {
        Score(value.to_bits())
    }

    fn value(self) -> f32 {
        f32::from_bits(self.0)
    }
}

/// What a pattern's terms are worth.
struct Scorer {
    weights: Vec<f32>,
    /// Terms that follow each other in the query.
    neighbours: Vec<(usize, usize)>,
    mean_words: f32,
    mean_line: f32,
}

impl Scorer {
    /// What `count` occurrences of a term add to a document's score.
    fn in_document(&self, document: &Document, term: usize, count: usize) -> f32 {
        self.weights[term] * bm25(count, document.words as f32 / self.mean_words)
    }

    /// The score of a line by itself; `matches` are those of the line.
    fn in_line(&self, document: &Document, line: usize, matches: &[Match]) -> f32 {
        let length = document.line(line).len() as f32 / self.mean_line;
        let count = |term| matches.iter().filter(|found| found.term == term).count();
        let words: f32 = self.weights.iter().enumerate().map(|(term, weight)| weight * bm25(count(term), length)).sum();
        let adjacent = |pair: &&(usize, usize)| {
            matches.windows(2).any(|two| (two[0].term, two[1].term) == **pair && follows(document, &two[0], &two[1]))
        };
        words + self.neighbours.iter().filter(adjacent).map(|&pair| self.pair(pair)).sum::<f32>()
    }

    /// No line scores more by itself.
    fn in_line_at_most(&self) -> f32 {
        MOST * self.weights.iter().sum::<f32>() + self.neighbours.iter().map(|&pair| self.pair(pair)).sum::<f32>()
    }

    fn pair(&self, (first, second): (usize, usize)) -> f32 {
        NEIGHBOURS * (self.weights[first] + self.weights[second])
    }

    /// The best lines, given each document's score and a way to learn its matches, in the order of its text.
    fn best(
        &self,
        index: &Index,
        scores: Vec<f32>,
        mut matches: impl FnMut(usize) -> Vec<Match>,
        limit: usize,
    ) -> Vec<Line> {
        let candidates = scores.iter().enumerate().filter(|&(_, &score)| score > 0.0);
        let mut candidates: BinaryHeap<(Score, Reverse<usize>)> =
            candidates.map(|(document, &score)| (Score::new(score), Reverse(document))).collect();
        let mut best: BinaryHeap<Reverse<Line>> = BinaryHeap::new();
        while let Some((_, document)) = candidates.pop() {
            let score = scores[document.0];
            // Documents come best first: when this one cannot add a line, no other can.
            let possible = Score::new(score + self.in_line_at_most());
            if best.len() >= limit && best.peek().is_none_or(|worst| worst.0.score > possible) {
                break;
            }
            let text = &index.documents()[document.0];
            let matches = matches(document.0);
            let mut lines: Vec<(Score, &[Match])> = matches
                .chunk_by(|one, next| one.line == next.line)
                .map(|line| (Score::new(self.in_line(text, line[0].line, line)), line))
                .collect();
            lines.sort_by_key(|&(by_itself, _)| Reverse(by_itself));
            for (place, (by_itself, matches)) in lines.into_iter().enumerate() {
                let score = Score::new(by_itself.value() + score / (place + 1) as f32);
                let line = Line { score, document, number: Reverse(matches[0].line), matches: matches.to_vec() };
                if best.len() < limit {
                    best.push(Reverse(line));
                } else if let Some(mut worst) = best.peek_mut()
                    && line > worst.0
                {
                    worst.0 = line;
                } else {
                    // Lines come best first, too.
                    break;
                }
            }
        }
        best.into_sorted_vec().into_iter().map(|Reverse(line)| line).collect()
    }
}

/// The part of BM25 that depends on the text: the number of occurrences, and the length as a multiple of the mean.
fn bm25(count: usize, length: f32) -> f32 {
    let count = count as f32;
    count * (K + 1.0) / (count + K * (1.0 - B + B * length))
}

/// No word stands between the two matches.
fn follows(document: &Document, one: &Match, other: &Match) -> bool {
    words(&document.text[one.end..]).next().is_some_and(|next| one.end + next.start == other.start)
}
