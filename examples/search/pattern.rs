//! From a query to what is looked for.

use regex::{Regex, RegexBuilder};

use crate::index::{fold, words};
use crate::service::{Mode, Query, SearchError};

/// A query that was read and found good.
#[derive(Debug)]
pub enum Pattern {
    /// At least one word, in the order of the query.
    Words(Vec<String>),
    Regex(Regex),
}

impl Pattern {
    pub fn new(query: &Query) -> Result<Self, SearchError> {
        let text = query.text.as_str();
        match query.mode {
            Mode::Words => {
                let words: Vec<String> = words(text).map(|word| fold(&text[word])).collect();
                if words.is_empty() { Err(SearchError::EmptyQuery) } else { Ok(Pattern::Words(words)) }
            }
            Mode::Regex { .. } if text.is_empty() => Err(SearchError::EmptyQuery),
            Mode::Regex { ignore_case } => RegexBuilder::new(text)
                .multi_line(true)
                .crlf(true)
                .case_insensitive(ignore_case)
                .build()
                .map(Pattern::Regex)
                .map_err(|error| SearchError::BadPattern { pattern: query.text.clone(), reason: reason(&error) }),
        }
    }
}

/// The one line of a pattern's error that names the mistake; the others draw an arrow under the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
