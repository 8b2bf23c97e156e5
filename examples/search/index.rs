//! The index: every text file of a folder, and for every word the places where it stands.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{error, fmt, iter};

use ignore::WalkBuilder;

use crate::pattern::Pattern;
use crate::rank::{self, Match};
use crate::service::{Hit, Mark, Query, Search, SearchError, Stats};

/// Larger files are data, not text that somebody reads.
const MAX_FILE: u64 = 4 << 20;
/// The most text of one index, all of which stays in memory.
const MAX_TEXT: u64 = 512 << 20;
/// The longest excerpt of a line, in bytes, and how much of it may stand before the first match.
const MAX_EXCERPT: usize = 200;
const MAX_BEFORE: usize = 60;

/// The text files of a folder, ready for queries.
#[derive(Debug, Default)]
pub struct Index {
    documents: Vec<Document>,
    postings: HashMap<String, Vec<Posting>>,
    words: u64,
    lines: u64,
    bytes: u64,
    skipped: u32,
}

/// The places of one word in one document; a word's postings are in the order of the documents.
#[derive(Debug)]
pub struct Posting {
    pub document: u32,
    pub starts: Vec<u32>,
}

/// A text file.
#[derive(Debug)]
pub struct Document {
    pub path: String,
    pub text: String,
    pub words: u32,
    /// Where each line begins.
    lines: Vec<u32>,
}

impl Index {
    /// Indexes the text files below `folder`, except hidden ones and those that a `.gitignore` names.
    ///
    /// Calls `progress` with the number of files read so far and of all files.
    pub fn open(folder: &Path, mut progress: impl FnMut(usize, usize)) -> Result<Self, OpenError> {
        fs::read_dir(folder).map_err(|cause| OpenError { folder: folder.to_owned(), cause })?;
        let mut index = Index::default();
        let mut files = Vec::new();
        // A `.gitignore` says what is not worth reading, also where the folder is not (yet) a repository.
        for entry in WalkBuilder::new(folder).require_git(false).sort_by_file_path(Ord::cmp).build() {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => files.push(entry.into_path()),
                Ok(_) => {}
                Err(_) => index.skipped += 1,
            }
        }
        for (done, file) in files.iter().enumerate() {
            progress(done, files.len());
            match read_text(file, MAX_FILE.min(MAX_TEXT.saturating_sub(index.bytes))) {
                Ok(Some(text)) => index.add(path_name(file), text),
                Ok(None) => {}
                Err(_) => index.skipped += 1,
            }
        }
        Ok(index)
    }

    /// Adds a document of at most 4 GiB.
    pub fn add(&mut self, path: String, text: String) {
        let document = self.documents.len() as u32;
        let mut count = 0;
        let mut folded = String::new();
        for word in words(&text) {
            count += 1;
            folded.clear();
            fold_into(&mut folded, &text[word.clone()]);
            let start = word.start as u32;
            let Some(postings) = self.postings.get_mut(&folded) else {
                self.postings.insert(folded.clone(), vec![Posting { document, starts: vec![start] }]);
                continue;
            };
            match postings.last_mut() {
                Some(last) if last.document == document => last.starts.push(start),
                _ => postings.push(Posting { document, starts: vec![start] }),
            }
        }
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1).filter(|&at| at < text.len());
        let lines: Vec<u32> = iter::once(0).chain(breaks).map(|at| at as u32).collect();
        self.words += u64::from(count);
        self.lines += lines.len() as u64;
        self.bytes += text.len() as u64;
        self.documents.push(Document { path, text, words: count, lines });
    }

    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub fn postings(&self, word: &str) -> &[Posting] {
        self.postings.get(word).map_or(&[], Vec::as_slice)
    }

    /// Words in a document, on average.
    pub fn mean_words(&self) -> f32 {
        mean(self.words, self.documents.len() as u64)
    }

    /// Bytes in a line, on average.
    pub fn mean_line(&self) -> f32 {
        mean(self.bytes, self.lines)
    }
}

impl Search for Index {
    fn find(&self, query: &Query) -> Result<Vec<Hit>, SearchError> {
        let pattern = Pattern::new(query)?;
        let best = rank::best(self, &pattern, query.limit as usize);
        Ok(best.iter().map(|line| self.documents[line.document.0].hit(line.number.0, &line.matches)).collect())
    }

    fn stats(&self) -> Stats {
        Stats { documents: self.documents.len() as u32, skipped: self.skipped }
    }
}

impl Document {
    /// The number of the line, counted from 0, that holds the byte at `place`.
    pub fn line_of(&self, place: usize) -> usize {
        self.lines.partition_point(|&start| start as usize <= place) - 1
    }

    /// Where a line begins, if there is such a line.
    pub fn line_start(&self, line: usize) -> Option<usize> {
        self.lines.get(line).map(|&start| start as usize)
    }

    /// A line's range in the text, without the line break.
    pub fn line(&self, line: usize) -> Range<usize> {
        let start = self.line_start(line).unwrap_or(self.text.len());
        let end = self.line_start(line + 1).unwrap_or(self.text.len());
        start..start + self.text[start..end].trim_end_matches(['\n', '\r']).len()
    }

    /// A line and its matches as they are shown: without indentation, and cut if the line is long.
    fn hit(&self, line: usize, matches: &[Match]) -> Hit {
        let Range { mut start, end } = self.line(line);
        start = end - self.text[start..end].trim_start().len();
        let mut cut = start..end;
        if cut.len() > MAX_EXCERPT {
            let first = matches.first().map_or(start, |first| first.start);
            cut.start = self.text.ceil_char_boundary(first.saturating_sub(MAX_BEFORE).clamp(start, end - MAX_EXCERPT));
            cut.end = self.text.floor_char_boundary(cut.start + MAX_EXCERPT);
        }
        let before = if cut.start > start { "…" } else { "" };
        let after = if cut.end < end { "…" } else { "" };
        let place = |at: usize| (at.clamp(cut.start, cut.end) - cut.start + before.len()) as u32;
        let marks = matches.iter().map(|found| Mark { start: place(found.start), end: place(found.end) });
        Hit {
            path: self.path.clone(),
            line: line as u32 + 1,
            text: format!("{before}{}{after}", &self.text[cut.clone()]),
            marks: marks.filter(|mark| mark.start < mark.end).collect(),
        }
    }
}

/// The words of a text: runs of letters and digits.
pub fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    iter::from_fn(move || {
        let start = rest + text[rest..].find(char::is_alphanumeric)?;
        rest = word_end(text, start);
        Some(start..rest)
    })
}

/// Where the word that begins at `start` ends.
pub fn word_end(text: &str, start: usize) -> usize {
    text[start..].find(|c: char| !c.is_alphanumeric()).map_or(text.len(), |length| start + length)
}

/// A word as the index knows it: in lower case.
pub fn fold(word: &str) -> String {
    let mut folded = String::new();
    fold_into(&mut folded, word);
    folded
}

fn fold_into(folded: &mut String, word: &str) {
    folded.extend(word.chars().flat_map(char::to_lowercase));
}

/// The content of a file of at most `limit` bytes, or `None` if it is not text: not UTF-8, or with a zero byte.
fn read_text(file: &Path, limit: u64) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    if bytes.contains(&0) {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes).ok())
}

/// How a path is shown: the folder's name as the user gave it, but for a leading `./`.
fn path_name(path: &Path) -> String {
    path.strip_prefix("./").unwrap_or(path).to_string_lossy().into_owned()
}

fn mean(sum: u64, count: u64) -> f32 {
    (sum as f32 / count.max(1) as f32).max(1.0)
}

/// A folder that cannot be indexed.
#[derive(Debug)]
pub struct OpenError {
    folder: PathBuf,
    cause: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read folder {:?}: {}", self.folder, self.cause)
    }
}

impl error::Error for OpenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.cause)
    }
}
