//! Formats: the envelope of a line, read with `nom`. Never fails: at worst [`Format::Raw`].

use crate::model::{Format, Record};
use std::borrow::Cow;

/// Guesses the format of each line, starting from the last one that fitted.
///
/// The answer depends on the line alone, never on the lines before it: the last format is only
/// where the search starts.
#[derive(Clone, Debug)]
pub struct Guess {
    forced: Option<Format>,
    last: Format,
}

impl Guess {
    /// A guesser, or with `forced` a parser of that one format (a line that does not fit is `Raw`).
    #[must_use]
    pub fn new(forced: Option<Format>) -> Self {
        Self { forced, last: Format::Raw }
    }

    /// The envelope of `line` (without its line end).
    pub fn parse(&mut self, line: &[u8]) -> Record {
        self.last = self.forced.unwrap_or(Format::Raw);
        Record::raw(line)
    }
}

/// The value of a named field of a structured line (JSON member, logfmt pair, CEF or LEEF
/// extension, SD-PARAM), unescaped. Dots reach into nested JSON objects.
#[must_use]
pub fn field<'a>(_line: &'a [u8], _record: &Record, _name: &str) -> Option<Cow<'a, [u8]>> {
    None
}
/// Placeholder until the parsers are in.
pub fn top_level_key_spans<'a>(_line: &'a [u8], _record: &Record, _key: &'a str) -> impl Iterator<Item = crate::model::Span> {
    std::iter::empty()
}
