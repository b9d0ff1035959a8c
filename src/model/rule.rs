//! Identifier rules: the id of the rule behind a finding, and the contents of rule files.

use super::{Format, Pattern};

/// Index of a rule in the table of rule names in `detect`: built-in detectors first, then the rules of the
/// rule files in load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

/// One `[[rule]]` of `rules/identifiers/*.toml`, checked but not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierRule {
    /// The id of the rule, unique over all files.
    pub id: String,
    /// What the rule finds, described for people.
    pub description: String,
    /// The kinds of the groups of `pattern`, in the order of the file; not empty.
    pub kinds: Vec<String>,
    /// The programs (syslog TAG or APP-NAME) whose lines the rule reads, or empty for all; a final `*` stands
    /// for any suffix. A line that names no program is read by every rule.
    pub programs: Vec<Pattern>,
    /// The formats that the rule reads, or empty for all.
    pub formats: Vec<Format>,
    /// Texts; only lines that contain one of them are searched. If there are none, or one is shorter than
    /// three bytes, every line is searched, which is slow.
    pub literals: Vec<String>,
    /// The regular expression, applied to bytes. Each named group is a finding, and its name up to the first
    /// underscore is the kind (`usr`, `usr_2`).
    pub pattern: String,
    /// The document that describes the messages.
    pub source: String,
    /// The rule file.
    pub file: String,
    /// The line of the file where the rule starts, counted from 1.
    pub line_number: usize,
    /// Lines in which the rule must, or must not, find something.
    pub samples: Vec<IdentifierSample>,
}

impl IdentifierRule {
    /// The kind of a group with this name: the part before the first underscore.
    #[must_use]
    pub fn kind_of(group: &str) -> &str {
        group.split_once('_').map_or(group, |(kind, _)| kind)
    }
}

/// A sample line, and what a rule must find in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierSample {
    /// The line, without its line end.
    pub line: String,
    /// Everything that the rule finds in the line, in order; empty if it must find nothing.
    pub expect: Vec<Expected>,
    /// The line of the rule file where the sample starts, counted from 1.
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
