//! Retention rule files: their format, and the checks before they are used.
//!
//! ```toml
//! zone = "Europe/Paris"               # optional: the zone of legal days, the same in every file
//!
//! [class.support-ticket]              # a-z, 0-9 and `-`
//! description   = "Support tickets, three years after they are closed"
//! archive_after = "3 months"          # optional: a first phase, before `keep`
//! keep          = "3 years"           # days, months, years; or "contract": no end known yet
//! starts        = { field = "closed_at" }   # or "event", the line's own time, which is the default
//! basis         = "GDPR art. 5(1)(e)"
//! duty          = false               # optional; true: the basis requires keeping it, so nobody can have it erased
//! match         = [
//!     # One clause must fit. Within a clause, every key must fit, with one of its values.
//!     { program = ["ticketd", "support/*"] },
//!     { format = ["json", "logfmt"], field = { event = "ticket", status = ["open", "closed"] } },
//!     { host = "*.support.example.net", contains = ["[ticket]"] },
//! ]
//!
//! [[class.support-ticket.sample]]
//! line     = '{"time":"2026-11-23T10:00:00+01:00","event":"ticket","closed_at":"2026-11-20"}'
//! received = "2026-11-23T09:00:01Z"   # optional: the line's own time
//! archive  = 2027-02-21               # optional
//! expires  = 2030-02-21               # or "contract"
//! duty     = false                    # optional
//! ```
//! Clauses are tried in file order, files are ordered by name, and the first clause that fits decides.
//! Exactly one class has `default = true`, for lines that fit no clause. A `*` may be at one end of a
//! program, a host or a value; in `field`, numbers and booleans are compared as they are written.
//!
//! This module does not read the disk: a rule file is passed in as a name and a text. Rule files are
//! configuration, so messages may quote them.

mod error;
mod schema;

pub use error::{CODES, OVERLAP, RetentionError, SAMPLE};

use super::{RuleFile, in_force};
use crate::model::RetentionClass;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

/// The built-in rule files, by name.
const BUILTIN: &[(&str, &str)] =
    &[("hosting-fr.toml", include_str!("../../rules/retention/hosting-fr.toml"))];

/// The zone of legal days if no file sets one.
const DEFAULT_ZONE: &str = "Europe/Paris";

/// The contents of all retention rule files together.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionRules {
    /// The zone of legal days.
    pub zone: TimeZone,
    /// The classes, in file order; exactly one is the default.
    pub classes: Vec<RetentionClass>,
}

/// Loads the classes of the built-in files and of `extra`. A file of `extra` replaces the built-in file of the same
/// name; an empty one removes it.
///
/// # Errors
/// Returns the first error in any file. No classes are loaded then: without its class, a line would be kept
/// for the period of another one.
pub fn load(extra: &[RuleFile]) -> Result<RetentionRules, RetentionError> {
    let mut zone: Option<schema::Zone> = None;
    let mut classes: Vec<RetentionClass> = Vec::new();
    for (path, text) in in_force(BUILTIN, extra).into_values() {
        let parsed = schema::parse(path, text)?;
        zone = schema::same_zone(zone, parsed.zone)?;
        for class in parsed.classes {
            if let Some(first) = classes.iter().find(|other| other.name == class.name) {
                let why =
                    format!("a class of this name stands at {}:{} already", first.file, first.line_number);
                return Err(RetentionError::class(&class, why));
            }
            classes.push(class);
        }
    }
    check_default(&classes)?;
    let zone = match zone {
        Some(zone) => zone.zone,
        None => schema::Zone::of_file("built in", 1, DEFAULT_ZONE)?.zone,
    };
    Ok(RetentionRules { zone, classes })
}

/// SHA-256 of the files that [`load`] would read: each name and text, preceded by its length. It identifies
/// the rules by which lines were dated.
#[must_use]
pub fn digest(extra: &[RuleFile]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in in_force(BUILTIN, extra).into_iter().flat_map(|(name, (_, text))| [name, text]) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn check_default(classes: &[RetentionClass]) -> Result<(), RetentionError> {
    let mut defaults = classes.iter().filter(|class| class.is_default);
    match (defaults.next(), defaults.next()) {
        (Some(_), None) => Ok(()),
        (None, _) => Err(RetentionError::NoDefault),
        (Some(first), Some(second)) => Err(RetentionError::TwoDefaults {
            first: format!("{}:{}", first.file, first.line_number),
            second: format!("{}:{}", second.file, second.line_number),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Expires, Format, Keep, Pattern, Starts};
    use crate::primitives::diag::Diagnostic;

    /// Loads `text` instead of the built-in file.
    fn load_only(text: &str) -> Result<RetentionRules, RetentionError> {
        load(&[file("hosting-fr.toml", text)])
    }

    fn file(name: &str, text: &str) -> RuleFile {
        RuleFile { path: name.to_owned(), text: text.to_owned() }
    }

    const WHOLE: &str = r#"
zone = "America/New_York"

[class.zulu]
description = "z"
keep = "30 days"
basis = "b"
duty = true
match = [
    { program = "ticketd", host = ["a.example.net", "*.b.example.net"] },
    { format = ["access", "json"], field = { n = 5, ok = true, s = ["x", "y*"] }, contains = "[t]" },
]
[[class.zulu.sample]]
line = 'x'
received = "2026-11-23T10:00:00Z"
archive = 2026-12-01
expires = 2026-12-24
duty = true
[[class.zulu.sample]]
line = 'y'
expires = "contract"

[class.alpha]
description = "a"
archive_after = "3 months"
keep = "contract"
starts = { field = "closed_at" }
basis = "b"
default = true
"#;

    #[test]
    fn everything_that_a_file_may_say() {
        let rules = load_only(WHOLE).unwrap();
        assert_eq!(rules.zone.iana_name(), Some("America/New_York"));
        let [zulu, alpha] = rules.classes.as_slice() else { panic!("two classes") };
        assert_eq!((zulu.name.as_str(), zulu.line_number, zulu.is_default), ("zulu", 4, false));
        assert_eq!((alpha.name.as_str(), alpha.line_number, alpha.is_default), ("alpha", 23, true));
        let [first, second] = zulu.clauses.as_slice() else { panic!("two clauses") };
        let exact = |text: &str| Pattern::Exact(text.to_owned());
        assert_eq!(first.programs, [exact("ticketd")]);
        assert_eq!(first.hosts, [exact("a.example.net"), Pattern::Suffix(".b.example.net".to_owned())]);
        assert_eq!(second.formats, [Format::Clf, Format::Combined, Format::VhostCombined, Format::Json]);
        assert_eq!(second.contains, ["[t]"]);
        let fields = [
            ("n".to_owned(), vec![exact("5")]),
            ("ok".to_owned(), vec![exact("true")]),
            ("s".to_owned(), vec![exact("x"), Pattern::Prefix("y".to_owned())]),
        ];
        assert_eq!(second.fields, fields);
        let [sample, open] = zulu.samples.as_slice() else { panic!("two samples") };
        assert_eq!((sample.line.as_str(), sample.line_number), ("x", 14));
        assert_eq!(sample.received, Some("2026-11-23T10:00:00Z".parse().unwrap()));
        assert_eq!(sample.archive, Some("2026-12-01".parse().unwrap()));
        assert_eq!(sample.expires, Expires::On("2026-12-24".parse().unwrap()));
        assert_eq!((open.line_number, open.received, open.expires), (20, None, Expires::Contract));
        assert_eq!(
            (alpha.keep, alpha.archive_after.unwrap().to_string()),
            (Keep::Contract, "3 months".to_owned())
        );
        assert_eq!(alpha.starts, Starts::Field("closed_at".to_owned()));
        assert_eq!((zulu.duty, alpha.duty, sample.duty, open.duty), (true, false, Some(true), None));
    }

    #[test]
    fn the_built_in_policy() {
        let rules = load(&[]).unwrap();
        assert_eq!(rules.zone.iana_name(), Some(DEFAULT_ZONE));
        let found: Vec<String> = rules
            .classes
            .iter()
            .map(|class| {
                let archive = class.archive_after.map_or(String::new(), |phase| format!("{phase} + "));
                let starts = match &class.starts {
                    Starts::Event => "event",
                    Starts::Field(name) => name,
                };
                format!("{}: {archive}{} from {starts}", class.name, class.keep)
            })
            .collect();
        // The published policy, row by row.
        assert_eq!(
            found,
            [
                "connection: 12 months from event",
                "active-profile: contract from event",
                "inactive-profile: 3 months + 6 months from last_login",
                "empty-profile: 6 months from registered_at",
                "terminated: 30 days from last_login",
                "invoice: 10 years from event",
                "cancelled-invoice: 30 days from event",
                "dropped-order: 30 days from event",
                "support-ticket: 3 years from closed_at",
            ]
        );
        for class in &rules.classes {
            assert_eq!(class.is_default, class.name.as_str() == "connection");
            assert_eq!(
                class.duty,
                ["connection", "invoice"].contains(&class.name.as_str()),
                "{}",
                class.name
            );
            assert!(class.samples.len() >= 2, "{} needs samples", class.name);
        }
    }

    #[test]
    fn files_join_in_the_order_of_their_names() {
        let extra = "[class.extra]\ndescription='d'\nkeep='1 day'\nbasis='b'\nmatch=[{contains='x'}]\n";
        for (name, expected) in [("a.toml", "extra"), ("z.toml", "connection")] {
            let rules = load(&[file(name, extra)]).unwrap();
            assert_eq!(rules.classes[0].name.as_str(), expected);
        }
        let twice = load(&[file("a.toml", extra), file("b.toml", extra)]).unwrap_err();
        assert!(twice.to_string().contains("a.toml:1"), "{twice}");
        let other_zone = format!("zone = 'Europe/Berlin'\n{extra}");
        assert!(matches!(load(&[file("a.toml", &other_zone)]), Err(RetentionError::Zone { .. })));
    }

    /// The error, and the place and code of the message.
    #[test]
    fn refusals() {
        let class = |keys: &str| {
            format!("[class.a]\ndescription = 'd'\nkeep = '12 months'\nbasis = 'b'\ndefault = true\n{keys}")
        };
        for (text, place, code, says) in [
            // Files that do not match the schema.
            (class("kep = 1"), "hosting-fr.toml:6", "R20", "unknown field `kep`"),
            (class("match = [\n{ progam = 'x' }]"), "hosting-fr.toml:7", "R20", "unknown field `progam`"),
            (
                class("[[class.a.sample]]\nline='x'\nexpires=2026-01-01\nclock=1"),
                "hosting-fr.toml:9",
                "R20",
                "unknown field `clock`",
            ),
            (class("starts = { feld = 'x' }"), "hosting-fr.toml:6", "R20", "\"event\""),
            ("zones = 'UTC'".to_owned(), "hosting-fr.toml:1", "R20", "unknown field `zones`"),
            ("[class.a]\nkeep = '1 day'".to_owned(), "hosting-fr.toml:1", "R20", "missing field"),
            (class("match = 'x'"), "hosting-fr.toml:6", "R20", "invalid type"),
            (class("match = [{ program = 5 }]"), "hosting-fr.toml:6", "R20", "a text or a list of texts"),
            ("[class".to_owned(), "hosting-fr.toml:1", "R20", ""),
            // Classes that make no sense.
            (
                class("[class.B]\ndescription='d'\nkeep='1 day'\nbasis='b'"),
                "hosting-fr.toml:6",
                "R21",
                "its name",
            ),
            (
                class("[class.upstream]\ndescription='d'\nkeep='1 day'\nbasis='b'"),
                "hosting-fr.toml:6",
                "R21",
                "upstream",
            ),
            (
                class("[class.b]\ndescription=''\nkeep='1 day'\nbasis='b'"),
                "hosting-fr.toml:6",
                "R21",
                "empty",
            ),
            (
                class("[class.b]\ndescription='d'\nkeep='1 day'\nbasis='b'"),
                "hosting-fr.toml:6",
                "R21",
                "no line can be",
            ),
            (class("starts = 'now'"), "hosting-fr.toml:1", "R21", "`starts`"),
            (class("starts = { field = '' }"), "hosting-fr.toml:1", "R21", "`starts`"),
            (class("match = [\n\n{}]"), "hosting-fr.toml:8", "R21", "fits every line"),
            (class("match = [{ program = [] }]"), "hosting-fr.toml:6", "R21", "`program`"),
            (class("match = [{ program = 'a*b' }]"), "hosting-fr.toml:6", "R21", "`a*b`"),
            (class("match = [{ format = 'xml' }]"), "hosting-fr.toml:6", "R21", "`xml`"),
            (class("match = [{ contains = '' }]"), "hosting-fr.toml:6", "R21", "`contains`"),
            (class("match = [{ field = {} }]"), "hosting-fr.toml:6", "R21", "`field`"),
            (class("match = [{ field = { a = [] } }]"), "hosting-fr.toml:6", "R21", "`field`"),
            (class("match = [{ field = { a = 1.5 } }]"), "hosting-fr.toml:6", "R21", "`field`"),
            (class("[[class.a.sample]]\nline='x'\nexpires='never'"), "hosting-fr.toml:8", "R21", "`expires`"),
            (
                class("[[class.a.sample]]\nline='x'\nexpires=2026-01-01T00:00:00Z"),
                "hosting-fr.toml:8",
                "R21",
                "`expires`",
            ),
            (
                class("[[class.a.sample]]\nline='x'\nexpires=2026-01-01\nreceived='noon'"),
                "hosting-fr.toml:9",
                "R21",
                "`received`",
            ),
            (
                class("[[class.a.sample]]\nline='x'\nexpires=2026-01-01\narchive='x'"),
                "hosting-fr.toml:9",
                "R21",
                "`archive`",
            ),
            (class("[[class.a.sample]]\nline='x\ny'\nexpires=2026-01-01"), "hosting-fr.toml:8", "R20", ""),
            (
                class("[[class.a.sample]]\nline=\"x\\ny\"\nexpires=2026-01-01"),
                "hosting-fr.toml:7",
                "R21",
                "line end",
            ),
            // Periods.
            (class("archive_after = '3 weeks'"), "hosting-fr.toml:6", "R22", "`3 weeks`"),
            (class("archive_after = 'contract'"), "hosting-fr.toml:6", "R22", "`contract`"),
            (
                "[class.a]\ndescription='d'\nbasis='b'\nkeep='0 days'\ndefault=true".to_owned(),
                "hosting-fr.toml:4",
                "R22",
                "`0 days`",
            ),
            // Zones.
            ("zone = 'Europe/Pari'".to_owned(), "hosting-fr.toml:1", "R25", "`Europe/Pari`"),
        ] {
            let error = load_only(&text).unwrap_err();
            let diagnostic = Diagnostic::from(&error);
            let found = (diagnostic.place.as_deref().unwrap_or_default(), diagnostic.code.id);
            assert_eq!(found, (place, code), "{text}\n{diagnostic}");
            assert!(diagnostic.to_string().contains(says), "{text}\n{diagnostic}");
        }
    }

    #[test]
    fn the_default_class() {
        let class = |name: &str, is_default: bool| {
            format!(
                "[class.{name}]\ndescription='d'\nkeep='1 day'\nbasis='b'\nmatch=[{{contains='x'}}]\ndefault={is_default}\n"
            )
        };
        let error = load_only(&class("a", false)).unwrap_err();
        assert!(matches!(error, RetentionError::NoDefault));
        assert_eq!(Diagnostic::from(&error).code.id, "R23");
        assert!(matches!(load_only(""), Err(RetentionError::NoDefault)));
        let error = load_only(&format!("{}{}", class("a", true), class("b", true))).unwrap_err();
        let diagnostic = Diagnostic::from(&error);
        assert_eq!(diagnostic.code.id, "R24");
        assert_eq!(diagnostic.place.as_deref(), Some("hosting-fr.toml:1 and hosting-fr.toml:7"));
    }

    #[test]
    fn an_unknown_key_is_shown_with_a_caret() {
        let text = "[class.a]\ndescription = 'd'\nkeeps = '12 months'\n";
        let diagnostic = Diagnostic::from(&load_only(text).unwrap_err());
        assert_eq!(
            diagnostic.why.unwrap(),
            "TOML parse error at line 3, column 1\n  |\n3 | keeps = '12 months'\n  | ^^^^^\nunknown field \
             `keeps`, expected one of `description`, `keep`, `archive_after`, `starts`, `basis`, `duty`, `match`, \
             `default`, `sample`"
        );
    }

    #[test]
    fn every_code_says_what_to_do() {
        for code in CODES {
            for heading in ["What it means", "Why it matters", "Example", "What to do", "References"] {
                assert!(code.text.contains(heading), "{}: {heading}", code.id);
            }
            let long = code.text.lines().find(|line| line.len() > 100);
            assert_eq!(long, None, "{}", code.id);
        }
    }
}
