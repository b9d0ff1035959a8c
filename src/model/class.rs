//! Retention classes as the rule files define them: how long, from when, on what basis, for which lines.

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
    /// The number of units, at least 1.
    pub count: u16,
    /// The unit.
    pub unit: Unit,
}

impl Period {
    /// The maximum number of years. A longer period is taken for a mistake.
    const MAX_YEARS: u16 = 100;

    /// Parses a period such as `12 months`; the unit may be singular. Returns `None` unless the period is
    /// between one day and a hundred years.
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
    /// For the duration of the contract, so the end is not known yet.
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

/// When the retention of a line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starts {
    /// At the time that the line states.
    Event,
    /// On the date in the field of this name.
    Field(String),
}

/// A text to compare with: literal, or with one `*` at its start or end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// Texts that start with this, such as `postfix/*`. A single `*` is an empty prefix and fits any text.
    Prefix(String),
    /// Texts that end with this, such as `*.example.net`.
    Suffix(String),
}

impl Pattern {
    /// Returns `None` if the text is empty, or has a `*` anywhere but at one end.
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

    /// Whether `value` fits, comparing bytes.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
        }
    }

    /// Whether `value` fits, ignoring ASCII case (host names, RFC 4343).
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

/// One set of conditions for a class. Every condition that is not empty must hold, and a condition holds
/// when one of its alternatives does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// The program that wrote the line.
    pub programs: Vec<Pattern>,
    /// The format of the line or of its message.
    pub formats: Vec<Format>,
    /// The host, ignoring case.
    pub hosts: Vec<Pattern>,
    /// Fields by name, each with the values it may have. All fields must fit.
    pub fields: Vec<(String, Vec<Pattern>)>,
    /// Texts; the line must contain one of them.
    pub contains: Vec<String>,
}

/// A retention class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionClass {
    /// The name in tags and in the archive.
    pub name: ClassName,
    /// A description for people.
    pub description: String,
    /// How long lines are kept; counted from the end of `archive_after` if there is such a phase.
    pub keep: Keep,
    /// How long lines stay in the active base before they go to the intermediate archive.
    pub archive_after: Option<Period>,
    /// When the retention starts.
    pub starts: Starts,
    /// The legal basis.
    pub basis: String,
    /// Whether the legal basis requires keeping the lines, so that nobody can have them erased before their
    /// expiry day (GDPR art. 17(3)(b)).
    pub duty: bool,
    /// The clauses of this class, in file order.
    pub clauses: Vec<Clause>,
    /// Whether lines that fit no clause of any class belong to this class.
    pub is_default: bool,
    /// Sample lines of this class, with the expected days.
    pub samples: Vec<RetentionSample>,
    /// The rule file.
    pub file: String,
    /// The line of the file where the class starts, counted from 1.
    pub line_number: usize,
}

/// A sample line of a class, with the expected days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSample {
    /// The line, without its line end.
    pub line: String,
    /// The time of receipt; if `None`, the time that the line states.
    pub received: Option<Timestamp>,
    /// The expected first day in the intermediate archive, if the sample states it.
    pub archive: Option<Date>,
    /// The expected expiry.
    pub expires: Expires,
    /// The expected duty to keep the line, if the sample states it.
    pub duty: Option<bool>,
    /// The line of the rule file where the sample starts, counted from 1.
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
