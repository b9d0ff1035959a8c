//! Diagnostics: what happened, where, why, and how to fix it. Only `cli::report` prints them.
//!
//! A diagnostic never quotes log content, an identifier, a token's input or a key: it names the source, line
//! number, byte offset, length or rule. A user may have typed a key in the wrong place, so every text of a
//! diagnostic is redacted.

use super::redaction::redacted;
use std::fmt;
use std::path::Path;

/// A stable error code with the long text that `oubliette explain CODE` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, such as `K03`: a letter for the area and two digits.
    ///
    /// The areas are A archive, B bundle, C command line and configuration, D erasure for data subjects, F
    /// object storage, batches and Kafka topics, H holds, I input and output, J sidecar, K keys, L ledger, O
    /// outputs of the sidecar, P purge, Q quarantine, R rules, S shred keys, T telemetry, V vault.
    pub id: &'static str,
    /// The title, one line.
    pub title: &'static str,
    /// The text: what it means, why it matters, an example, what to do, references.
    pub text: &'static str,
}

/// One message for a person.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The code of the message.
    pub code: &'static Code,
    /// What happened: lower case, no full stop.
    pub what: String,
    /// Where: file and line, key id, source.
    pub place: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// How to fix it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Creates a diagnostic with only a headline.
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

    /// Adds the path where it happened, and why.
    #[must_use]
    pub fn at_path(self, path: impl AsRef<Path>, why: impl ToString) -> Self {
        self.at(path.as_ref().display().to_string()).because(why.to_string())
    }

    /// Returns why, without the excerpt that points at a place in a file: that reads well only on a terminal.
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

    /// Adds how to fix it.
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
