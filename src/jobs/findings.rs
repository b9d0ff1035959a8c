//! What a check found to be wrong: in which file, where, and what.

use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Where in it; the whole file if it is not told.
    pub place: Option<String>,
    /// What is wrong there.
    pub what: String,
}
