//! Rule files: loads them, rejects unknown keys, and lets each rule be run against its own samples.
//!
//! A rule file is TOML. The files under `rules/identifiers/` are compiled into the binary; the operator can
//! add files, or replace a built-in file by one of the same name. This module does not read the disk: a
//! rule file is passed in as a name and a text.
//!
//! ```toml
//! [[rule]]
//! id          = "example-login"               # unique over all files
//! description = "login of the example daemon"
//! kind        = "usr"                         # or a list; every group of the pattern belongs to a kind
//! program     = ["exampled", "exampled-*"]    # optional: TAG or APP-NAME of syslog
//! format      = ["syslog"]                    # optional: a format or a group of formats
//! literals    = ["login by "]                 # a line must contain one; none, or under 3 bytes: slow
//! pattern     = 'login by (?P<usr>.*) from \S+'
//! source      = "exampled(8), LOGGING"
//!
//! [[rule.sample]]
//! line   = 'exampled[7]: login by jean from 192.0.2.1'
//! expect = [{ kind = "usr", text = "jean" }]
//!
//! [[rule.sample]]
//! line = 'exampled[7]: login refused'
//! none = true
//! ```
//!
//! A pattern is applied to bytes: `.` is any byte, `\w`, `\d`, `\s` and `(?i)` are ASCII. Clients choose
//! the contents of a name, so a pattern should extend as far right as the text after the name allows
//! (`(?P<usr>.*) from \S+`, not `(?P<usr>\S+) from`). Up to 64 bytes of the text to the right of the last
//! group may be matched again by the next match. A pattern that must read far beyond its match in order to
//! decide pays for that reading again at every match.

pub mod retention;
pub mod schema;

use crate::model::IdentifierRule;
use crate::primitives::diag::{Code, Diagnostic};
use std::collections::BTreeMap;

/// A rule file as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path, as messages show it. A file replaces the built-in one of the same name, such as `sshd.toml`,
    /// in whatever directory it is.
    pub path: String,
    /// Contents of the file.
    pub text: String,
}

impl RuleFile {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Loads the identifier rules of the built-in files and of `extra`, ordered by file name. A file of
/// `extra` replaces the built-in file of the same name.
///
/// # Errors
/// Returns the first error in any file. No rules are loaded then: a missing rule would be a leak.
pub fn load(extra: &[RuleFile]) -> Result<Vec<IdentifierRule>, RulesError> {
    let mut rules: Vec<IdentifierRule> = Vec::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (name, (path, text)) in in_force(BUILTIN, extra) {
        let is_own = extra.iter().any(|file| file.name() == name);
        let rules_of = if is_own { schema::parse } else { schema::parse_builtin };
        for rule in rules_of(path, text)? {
            let place = format!("{path}:{}", rule.line_number);
            if let Some(first) = places.insert(rule.id.clone(), place) {
                let why = format!("a rule of this `id` stands at {first} already");
                let IdentifierRule { id, line_number, file, .. } = rule;
                return Err(RulesError::Rule { file, line_number, rule: id, why });
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

/// Paths and texts of the rule files in force, by name. A file of `extra` replaces the built-in file of the
/// same name.
fn in_force<'f>(
    builtin: &[(&'f str, &'f str)],
    extra: &'f [RuleFile],
) -> BTreeMap<&'f str, (&'f str, &'f str)> {
    let extra = extra.iter().map(|file| (file.name(), (file.path.as_str(), file.text.as_str())));
    builtin.iter().map(|&(name, text)| (name, (name, text))).chain(extra).collect()
}

/// The number of the line that contains the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

/// One text or a list of texts.
#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_texts(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// The built-in rule files, by name.
const BUILTIN: &[(&str, &str)] = &[
    ("courier.toml", include_str!("../../rules/identifiers/courier.toml")),
    ("cyrus.toml", include_str!("../../rules/identifiers/cyrus.toml")),
    ("dhcp.toml", include_str!("../../rules/identifiers/dhcp.toml")),
    ("dovecot.toml", include_str!("../../rules/identifiers/dovecot.toml")),
    ("dropbear.toml", include_str!("../../rules/identifiers/dropbear.toml")),
    ("exim.toml", include_str!("../../rules/identifiers/exim.toml")),
    ("login.toml", include_str!("../../rules/identifiers/login.toml")),
    ("mac.toml", include_str!("../../rules/identifiers/mac.toml")),
    ("mysql.toml", include_str!("../../rules/identifiers/mysql.toml")),
    ("named.toml", include_str!("../../rules/identifiers/named.toml")),
    ("network.toml", include_str!("../../rules/identifiers/network.toml")),
    ("openvpn.toml", include_str!("../../rules/identifiers/openvpn.toml")),
    ("pam.toml", include_str!("../../rules/identifiers/pam.toml")),
    ("panels.toml", include_str!("../../rules/identifiers/panels.toml")),
    ("polkit.toml", include_str!("../../rules/identifiers/polkit.toml")),
    ("postfix.toml", include_str!("../../rules/identifiers/postfix.toml")),
    ("postgresql.toml", include_str!("../../rules/identifiers/postgresql.toml")),
    ("proftpd.toml", include_str!("../../rules/identifiers/proftpd.toml")),
    ("pure-ftpd.toml", include_str!("../../rules/identifiers/pure-ftpd.toml")),
    ("rabbitmq.toml", include_str!("../../rules/identifiers/rabbitmq.toml")),
    ("radius.toml", include_str!("../../rules/identifiers/radius.toml")),
    ("samba.toml", include_str!("../../rules/identifiers/samba.toml")),
    ("sendmail.toml", include_str!("../../rules/identifiers/sendmail.toml")),
    ("slapd.toml", include_str!("../../rules/identifiers/slapd.toml")),
    ("sshd.toml", include_str!("../../rules/identifiers/sshd.toml")),
    ("sudo.toml", include_str!("../../rules/identifiers/sudo.toml")),
    ("tel.toml", include_str!("../../rules/identifiers/tel.toml")),
    ("vpn.toml", include_str!("../../rules/identifiers/vpn.toml")),
    ("vsftpd.toml", include_str!("../../rules/identifiers/vsftpd.toml")),
    ("web.toml", include_str!("../../rules/identifiers/web.toml")),
];

/// Why a rule file is rejected. Rule files are configuration, so messages may quote them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The file is not TOML, or has an unknown key, a missing key or a value of the wrong type.
    #[error("{file}: {source}")]
    Syntax {
        /// The rule file.
        file: String,
        /// Line, column, and the line itself with a caret.
        source: Box<toml::de::Error>,
    },
    /// The pattern is not a valid regular expression.
    #[error("{file}:{line_number}: rule {rule}: {source}")]
    Pattern {
        /// The rule file.
        file: String,
        /// The line on which the pattern starts.
        line_number: usize,
        /// The rule's id.
        rule: String,
        /// What is wrong with the pattern.
        source: Box<regex::Error>,
    },
    /// The rule contradicts itself or breaks a condition.
    #[error("{file}:{line_number}: rule {rule}: {why}")]
    Rule {
        /// The rule file.
        file: String,
        /// The line number in the file.
        line_number: usize,
        /// The rule's id.
        rule: String,
        /// What is wrong with the rule.
        why: String,
    },
}

impl From<&RulesError> for Diagnostic {
    fn from(error: &RulesError) -> Self {
        match error {
            RulesError::Syntax { file, source } => Self::new(&SYNTAX, "a rule file does not load")
                .at(file)
                .because(source.to_string().trim_end())
                .hint("nothing is filtered until the file is mended: a rule left out would be a leak"),
            RulesError::Pattern { file, line_number, rule, source } => {
                Self::new(&PATTERN, format!("the pattern of rule `{rule}` is no regular expression"))
                    .at(format!("{file}:{line_number}"))
                    .because(source.to_string())
                    .hint("the syntax is that of the Rust crate regex: no look-around, no back-references")
            }
            RulesError::Rule { file, line_number, rule, why } => {
                Self::new(&RULE, format!("rule `{rule}` is refused"))
                    .at(format!("{file}:{line_number}"))
                    .because(why)
                    .hint("`oubliette explain R03` lists what a rule has to say")
            }
        }
    }
}

/// The error codes of this module.
pub const CODES: &[&Code] = &[&SYNTAX, &PATTERN, &RULE];

static SYNTAX: Code = Code {
    id: "R01",
    title: "a rule file does not load",
    text: "\
What it means
  A file of identifier rules is not valid TOML, has a key that rules do not have, lacks a key that
  every rule has, or has a value of the wrong type. The message shows the line, with a mark under
  the place.

Why it matters
  A key that oubliette does not understand could be the one that makes a rule find something. Going
  on without it would let identifiers through in clear. So oubliette does not start.

Example
  literal = [\"login by \"]        the key is `literals`

What to do
  1. Correct the line that the message shows.
  2. Run `oubliette check`. It loads every rule file and tests every sample in it.

References
  TOML v1.0.0, https://toml.io/en/v1.0.0",
};

static PATTERN: Code = Code {
    id: "R02",
    title: "a rule's pattern is no regular expression",
    text: "\
What it means
  The `pattern` of an identifier rule does not compile, or compiles to more than 10 MiB.

Why it matters
  The rule would find nothing, and its identifiers would stay in clear. Patterns must run in linear
  time on every line, however hostile. That is why the language has no look-around and no
  back-references.

Example
  'user=(?P<usr>(?!root)\\S+)'     look-ahead: write what the name is, not what it is not

What to do
  Rewrite the pattern. It is applied to bytes: `.` is any byte, and classes such as `\\w` and `\\d`
  are ASCII only.

References
  https://docs.rs/regex/latest/regex/#syntax",
};

static RULE: Code = Code {
    id: "R03",
    title: "an identifier rule is refused",
    text: "\
What it means
  A rule is valid TOML but breaks one of these conditions. Every rule has
  - an `id` of a-z, 0-9 and `-`, which no other rule of any file has;
  - a `description`, and a `source`: the document that describes the message;
  - a `kind`, or a list of kinds, 1 to 8 letters each; not `ip`, `net`, `em`, `fk` or `qr`, which
    only the built-in detectors find;
  - a `pattern` with a named group for each of these kinds, and for no other: `(?P<usr>...)`, and
    `(?P<usr_2>...)` for a second one;
  - `literals`, none of them empty;
  - in `program`, names whose only `*` is their last character; in `format`, names of formats;
  - at least one sample in which it must find something, and one in which it must find nothing.

Why it matters
  A slip in the name of a group would make a kind that nobody asks for, and so a rule that never
  finds anything. Nobody can check a rule without samples.

Example
  kind = \"usr\" with pattern = 'login by (?P<user>\\S+)'     the group must be named `usr`

What to do
  1. Correct the rule at the line that the message names.
  2. Run `oubliette check`.

References
  The files in rules/identifiers/, which are examples of every form.",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, id: &str) -> RuleFile {
        let text = format!(
            r#"
[[rule]]
id = "{id}"
description = "test"
kind = "usr"
literals = ["x="]
pattern = 'x=(?P<usr>\S+)'
source = "test"
sample = [{{ line = "x=1", expect = [{{ kind = "usr", text = "1" }}] }}, {{ line = "x", none = true }}]
"#
        );
        RuleFile { path: name.to_owned(), text }
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let rules = load(&[file("zz.toml", "last"), file("aa.toml", "first")]).expect("loads");
        assert_eq!(rules.first().map(|rule| rule.id.as_str()), Some("first"));
        assert_eq!(rules.last().map(|rule| rule.id.as_str()), Some("last"));
        assert!(BUILTIN.is_sorted_by_key(|(name, _)| *name));
        for (name, _) in BUILTIN {
            assert!(rules.iter().any(|rule| rule.file == *name), "{name}");
        }
    }

    #[test]
    fn an_id_is_unique_over_all_files() {
        let error = load(&[file("a.toml", "twice"), file("b.toml", "twice")]).expect_err("refused");
        assert_eq!(error.to_string(), "b.toml:3: rule twice: a rule of this `id` stands at a.toml:3 already");
        assert!(load(&[file("a.toml", "sshd-invalid-user")]).is_err());
        assert!(load(&[file("sshd.toml", "sshd-invalid-user")]).is_ok());
    }

    #[test]
    fn messages_show_the_path_of_a_file_and_its_name_alone_says_what_it_replaces() {
        assert!(load(&[file("/etc/rules/identifiers/sshd.toml", "sshd-invalid-user")]).is_ok());
        let error = load(&[file("/etc/rules/identifiers/a.toml", "Wrong")]).expect_err("refused");
        assert_eq!(Diagnostic::from(&error).place.as_deref(), Some("/etc/rules/identifiers/a.toml:3"));
    }

    #[test]
    fn one_bad_file_loads_nothing() {
        let bad = RuleFile { path: "bad.toml".to_owned(), text: "[[rule]]\nid = 7".to_owned() };
        assert!(load(&[file("good.toml", "good"), bad]).is_err());
    }

    /// Checks the patterns that [`load`] does not compile.
    #[test]
    fn builtin_files_have_right_patterns() {
        for (name, text) in BUILTIN {
            assert!(schema::parse(name, text).is_ok_and(|rules| !rules.is_empty()), "{name}");
        }
    }

    #[test]
    fn builtin_files_are_ascii() {
        for (name, text) in BUILTIN {
            assert!(text.is_ascii(), "{name}");
        }
    }
}
