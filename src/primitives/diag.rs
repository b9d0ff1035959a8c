//! Diagnostics: what, where, why, how to mend it. `cli::report` prints them; nobody else does.
//!
//! A diagnostic never quotes log content, an identifier, a token's input or a key: it names the
//! source, line number, byte offset, length or rule. What was typed may be a key in the wrong place, so every text of
//! one is redacted.

use super::redaction::redacted;
use std::fmt;

/// A stable error code with the long text that `oubliette explain CODE` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `K03`: one letter for the area (K keys, R rules, C command line and configuration, I input
    /// and output, O outputs of the sidecar, Q quarantine, A archive, V vault), two digits.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means, why it matters, an example, what to do, references.
    pub text: &'static str,
}

/// One message for a person.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Which message it is.
    pub code: &'static Code,
    /// What happened: lower case, no full stop.
    pub what: String,
    /// Where: file and line, key id, source.
    pub place: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A message with nothing but its headline.
    #[must_use]
    pub fn new(code: &'static Code, what: impl Into<String>) -> Self {
        Self { code, what: redacted(what.into()), place: None, why: None, hint: None }
    }

    /// Adds where.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(redacted(place.into()));
        self
    }

    /// Adds why.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(redacted(why.into()));
        self
    }

    /// Why, without the picture of the place in a file, which a terminal alone shows well.
    #[must_use]
    pub fn why_without_picture(&self) -> Option<String> {
        let is_picture = |line: &&str| {
            let behind_number = line.trim_start_matches(|start: char| start == ' ' || start.is_ascii_digit());
            behind_number.starts_with('|') || line.starts_with("TOML parse error at line ")
        };
        let lines =
            |why: &String| why.lines().filter(|line| !is_picture(line)).collect::<Vec<_>>().join("; ");
        self.why.as_ref().map(lines)
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(redacted(hint.into()));
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code.id, self.what)?;
        let why = &self.why_without_picture();
        for (label, text) in [("where", &self.place), ("why", why), ("hint", &self.hint)] {
            if let Some(text) = text {
                write!(f, "; {label}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
