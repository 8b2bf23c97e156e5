//! What the two processes say to each other: the service, its messages and its errors.

use std::{error, fmt};

use ipc_rpc::{Message, service};

/// A search engine over the text files of one folder.
#[service]
pub trait Search {
    /// The lines that match, best first.
    fn find(&self, query: &Query) -> Result<Vec<Hit>, SearchError>;

    /// What the index holds.
    fn stats(&self) -> Stats;
}

/// What to look for.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Query {
    pub text: String,
    pub mode: Mode,
    /// The most hits to return.
    pub limit: u32,
}

/// How to read the text of a query.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Words in any order, upper and lower case alike.
    Words,
    /// A regular expression, matched line by line.
    Regex { ignore_case: bool },
}

/// A line that matches.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Hit {
    pub path: String,
    /// Counted from 1.
    pub line: u32,
    /// The line without its indentation, cut to its neighbourhood of the first match if it is long.
    pub text: String,
    /// Where the matches lie in `text`, in order.
    pub marks: Vec<Mark>,
}

/// A range of bytes.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub start: u32,
    pub end: u32,
}

/// The size of an index.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    pub documents: u32,
    /// Files left out because they are too large or could not be read.
    pub skipped: u32,
}

/// A query that cannot be answered.
#[derive(Message, Debug, Clone, PartialEq)]
pub enum SearchError {
    EmptyQuery,
    BadPattern { pattern: String, reason: String },
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchError::EmptyQuery => f.write_str("the query is empty: give at least one word"),
            SearchError::BadPattern { pattern, reason } => write!(f, "bad pattern {pattern:?}: {reason}"),
        }
    }
}

impl error::Error for SearchError {}
