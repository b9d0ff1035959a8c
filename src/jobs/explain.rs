//! What is recognised in a line, and what follows from it. Needs no key, and quotes nothing of the line.

use crate::model::Span;

/// An identifier in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its bytes.
    pub span: Span,
    /// Its kind.
    pub kind: String,
    /// The rule that found it.
    pub rule: String,
}
