//! A retention class as the rule files define it: how long, from when, on what basis, for which lines.

use super::{ClassName, Expires, Format};
use jiff::Timestamp;
use jiff::civil::Date;
use std::fmt;

/// The unit of a [`Period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Legal days.
    Days,
    /// Calendar months.
    Months,
    /// Calendar years: twelve calendar months each.
    Years,
}

/// A length of time on the calendar: `12 months`, `30 days`, `10 years`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// How many, at least 1.
    pub count: u16,
    /// Of what.
    pub unit: Unit,
}

impl Period {
    /// No period is longer than this many years: longer ones are taken for a mistake.
    const MAX_YEARS: u16 = 100;

    /// Reads `12 months`; the unit may stand in the singular. `None` unless the period is between a day
    /// and a hundred years.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once(' ')?;
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count = count.parse().ok()?;
        let (unit, per_year) = match unit {
            "day" | "days" => (Unit::Days, 365),
            "month" | "months" => (Unit::Months, 12),
            "year" | "years" => (Unit::Years, 1),
            _ => return None,
        };
        (1..=Self::MAX_YEARS * per_year).contains(&count).then_some(Self { count, unit })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Days => "day",
            Unit::Months => "month",
            Unit::Years => "year",
        };
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "{} {unit}{plural}", self.count)
    }
}

/// How long a class is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// For a period.
    For(Period),
    /// As long as the contract: no end known yet.
    Contract,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(period) => period.fmt(f),
            Self::Contract => f.write_str("contract"),
        }
    }
}

/// From when a class is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starts {
    /// From the line's own time.
    Event,
    /// From the date in the field of that name.
    Field(String),
}

/// A text to compare with: as it stands, or with one `*` at its start or at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// `postfix/*`: what it starts with. `*` alone is an empty prefix: any text.
    Prefix(String),
    /// `*.example.net`: what it ends with.
    Suffix(String),
}

impl Pattern {
    /// `None` if the text is empty, or has a `*` elsewhere than at one end.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let pattern = if let Some(prefix) = text.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else if let Some(suffix) = text.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else {
            Self::Exact(text.to_owned())
        };
        (!text.is_empty() && !pattern.literal().contains('*')).then_some(pattern)
    }

    /// Whether `value` fits, byte for byte.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
        }
    }

    /// Whether `value` fits when ASCII letters of either case count as equal (host names, RFC 4343).
    #[must_use]
    pub fn fits_ignoring_case(&self, value: &[u8]) -> bool {
        let literal = self.literal().as_bytes();
        let compared = match self {
            Self::Exact(_) => Some(value),
            Self::Prefix(_) => value.get(..literal.len()),
            Self::Suffix(_) => value.len().checked_sub(literal.len()).and_then(|start| value.get(start..)),
        };
        compared.is_some_and(|compared| compared.eq_ignore_ascii_case(literal))
    }

    fn literal(&self) -> &str {
        let (Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text)) = self;
        text
    }
}

/// One way for a line to be of a class: every condition that is not empty must hold, and a condition
/// holds when one of its alternatives does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// The program that wrote the line.
    pub programs: Vec<Pattern>,
    /// The format of the line or of its message.
    pub formats: Vec<Format>,
    /// The host, in either case.
    pub hosts: Vec<Pattern>,
    /// Fields by name, each with the values it may have. All fields must fit.
    pub fields: Vec<(String, Vec<Pattern>)>,
    /// Texts of which the line must contain one.
    pub contains: Vec<String>,
}

/// A retention class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionClass {
    /// Its name, in tags and in the archive.
    pub name: ClassName,
    /// What it holds, for people.
    pub description: String,
    /// How long it is kept, after `archive_after` if there is such a phase.
    pub keep: Keep,
    /// How long it stays in the active base before it goes to the intermediate archive.
    pub archive_after: Option<Period>,
    /// From when.
    pub starts: Starts,
    /// The legal basis.
    pub basis: String,
    /// Whether that basis obliges to keep it: nobody can have it erased before its day (GDPR art. 17(3)(b)).
    pub duty: bool,
    /// The ways for a line to be of this class, in file order.
    pub clauses: Vec<Clause>,
    /// Whether lines that no clause of any class fits are of this class.
    pub is_default: bool,
    /// Lines of this class, with the days that they must be given.
    pub samples: Vec<RetentionSample>,
    /// The rule file.
    pub file: String,
    /// The line of the file where the class starts, from 1.
    pub line_number: usize,
}

/// A line of a class, with the days that it must be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSample {
    /// The line, without its line end.
    pub line: String,
    /// When it is received; `None`: at the time that the line states.
    pub received: Option<Timestamp>,
    /// When it must be archived, if the sample says so.
    pub archive: Option<Date>,
    /// When it must expire.
    pub expires: Expires,
    /// Whether there must be a duty to keep it, if the sample says so.
    pub duty: Option<bool>,
    /// The line of the rule file where the sample starts, from 1.
    pub line_number: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        let period = |count, unit| Some(Period { count, unit });
        for (text, expected) in [
            ("12 months", period(12, Unit::Months)),
            ("1 month", period(1, Unit::Months)),
            ("30 days", period(30, Unit::Days)),
            ("10 years", period(10, Unit::Years)),
            ("100 years", period(100, Unit::Years)),
            ("101 years", None),
            ("1201 months", None),
            ("36501 days", None),
            ("0 days", None),
            ("-1 days", None),
            ("+1 days", None),
            ("12months", None),
            ("12  months", None),
            (" months", None),
            ("12 weeks", None),
            ("99999999999 days", None),
            ("contract", None),
            ("", None),
        ] {
            assert_eq!(Period::parse(text), expected, "{text:?}");
            if let Some(period) = expected {
                assert_eq!(period.to_string(), text);
            }
        }
    }

    #[test]
    fn patterns() {
        for (pattern, value, fits) in [
            ("sshd", "sshd", true),
            ("sshd", "sshd-session", false),
            ("sshd", "SSHD", false),
            ("postfix/*", "postfix/smtpd", true),
            ("postfix/*", "postfix", false),
            ("*.example.net", "www.example.net", true),
            ("*.example.net", "example.net", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().fits(value.as_bytes()), fits, "{pattern} {value}");
        }
        for (pattern, value, fits) in [
            ("www.Example.net", "WWW.example.NET", true),
            ("*.EXAMPLE.net", "www.example.net", true),
            ("*.example.net", "net", false),
            ("web*", "WEB3", true),
            ("web*", "we", false),
        ] {
            let pattern_ = Pattern::new(pattern).unwrap();
            assert_eq!(pattern_.fits_ignoring_case(value.as_bytes()), fits, "{pattern} {value}");
        }
        for refused in ["", "a*b", "*a*", "**"] {
            assert_eq!(Pattern::new(refused), None, "{refused:?}");
        }
    }
}
