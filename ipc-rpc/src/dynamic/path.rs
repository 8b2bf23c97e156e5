//! Where in a value something is, for errors.

use std::fmt::{self, Write};

use super::DynamicError;

/// A place in a value, as a list from the inside out that lies on the stack.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    /// A field, an argument or a variant.
    Field(&'p Path<'p>, &'p str),
    /// An element.
    Index(&'p Path<'p>, usize),
    /// An entry of a map.
    Key(&'p Path<'p>, &'p str),
}

impl Path<'_> {
    #[cold]
    pub(super) fn error(&self, reason: impl Into<String>) -> DynamicError {
        DynamicError { path: self.to_string(), reason: reason.into() }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From the outside in; as many places as nesting allows.
        let mut places = Vec::new();
        let mut at = self;
        loop {
            let outer = match at {
                Path::Root => break,
                Path::Field(outer, _) | Path::Index(outer, _) | Path::Key(outer, _) => outer,
            };
            places.push(at);
            at = outer;
        }
        for (number, place) in places.iter().rev().enumerate() {
            match place {
                Path::Root => {}
                Path::Field(_, name) if number == 0 => f.write_str(name)?,
                Path::Field(_, name) => write!(f, ".{name}")?,
                Path::Index(_, index) => write!(f, "[{index}]")?,
                Path::Key(_, key) => {
                    f.write_char('[')?;
                    write!(f, "{:?}", key.chars().take(40).collect::<String>())?;
                    f.write_char(']')?;
                }
            }
        }
        Ok(())
    }
}
