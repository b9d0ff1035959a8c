//! Rules that find identifiers: which one made a finding, and what a rule file says of each.

use super::Format;

/// Index of a rule in the table of rule names that `detect` keeps: built-in detectors first, then
/// the rules of the rule files in load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

/// One `[[rule]]` of `rules/identifiers/*.toml`, checked but not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierRule {
    /// Its name, unique over all files.
    pub id: String,
    /// What it finds, for a person.
    pub description: String,
    /// The kinds that the groups of `pattern` stand for, in the order of the file; not empty.
    pub kinds: Vec<String>,
    /// Programs (syslog TAG or APP-NAME) whose lines it reads; a final `*` stands for any rest.
    /// Empty: all. A line that names no program is read by every rule.
    pub programs: Vec<String>,
    /// Formats it reads. Empty: all.
    pub formats: Vec<Format>,
    /// A line is looked at only if it has one of these. Every line is, which is slow, if there are
    /// none or one is shorter than three bytes.
    pub literals: Vec<String>,
    /// The regular expression, on bytes; each named group is a finding, and the name up to an
    /// underscore is its kind (`usr`, `usr_2`).
    pub pattern: String,
    /// Where the message that it reads is described.
    pub source: String,
    /// The rule file.
    pub file: String,
    /// The line of the file where it starts, from 1.
    pub line_number: usize,
    /// Lines that it must, or must not, find something in.
    pub samples: Vec<IdentifierSample>,
}

impl IdentifierRule {
    /// The kind that a group of that name stands for: what comes before the first underscore.
    #[must_use]
    pub fn kind_of(group: &str) -> &str {
        group.split_once('_').map_or(group, |(kind, _)| kind)
    }
}

/// A line with what a rule must find in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierSample {
    /// The line, without its line end.
    pub line: String,
    /// All that the rule finds in it, in the order of the line; empty for a line that it must not hit.
    pub expect: Vec<Expected>,
    /// The line of the rule file where the sample starts, from 1.
    pub line_number: usize,
}

/// One finding that a sample expects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Name of the kind.
    pub kind: String,
    /// The bytes to be replaced.
    pub text: String,
}
