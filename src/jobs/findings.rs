//! The findings of a check: in which file, where, and what is wrong.

use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The place in the file; `None` for the whole file.
    pub place: Option<String>,
    /// What is wrong there.
    pub what: String,
}
