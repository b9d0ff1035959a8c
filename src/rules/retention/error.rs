//! Errors in retention rule files, and what to do about them.

use crate::model::RetentionClass;
use crate::primitives::diag::{Code, Diagnostic};
use crate::rules::line_of;

/// Why a retention rule file is rejected. Rule files are configuration, so messages may quote them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// The file is not TOML, or has an unknown key, a missing key or a value of the wrong type.
    #[error("{place}: {source}")]
    Syntax {
        /// File and line.
        place: String,
        /// Line, column, and the line itself with a caret.
        source: Box<toml::de::Error>,
    },
    /// A class contradicts itself or breaks a condition.
    #[error("{place}: class {class}: {why}")]
    Class {
        /// File and line.
        place: String,
        /// The name of the class.
        class: String,
        /// What is wrong with the class.
        why: String,
    },
    /// A value is not a valid period.
    #[error("{place}: class {class}: `{text}` is no period")]
    Period {
        /// File and line.
        place: String,
        /// The name of the class.
        class: String,
        /// The invalid value.
        text: String,
    },
    /// No class is the default, for lines that fit no clause.
    #[error("no class has `default = true`")]
    NoDefault,
    /// Two classes are the default, for lines that fit no clause.
    #[error("two classes have `default = true`: {first} and {second}")]
    TwoDefaults {
        /// File and line of the first class.
        first: String,
        /// File and line of the second class.
        second: String,
    },
    /// The time zone does not exist, or differs from that of another file.
    #[error("{place}: {why}")]
    Zone {
        /// File and line.
        place: String,
        /// What is wrong with the zone.
        why: String,
    },
}

impl RetentionError {
    pub(super) fn syntax(file: &str, text: &str, source: toml::de::Error) -> Self {
        let line_number = source.span().map_or(1, |span| line_of(text, span.start));
        Self::Syntax { place: format!("{file}:{line_number}"), source: Box::new(source) }
    }

    pub(super) fn class(class: &RetentionClass, why: String) -> Self {
        let place = format!("{}:{}", class.file, class.line_number);
        Self::Class { place, class: class.name.to_string(), why }
    }
}

impl From<&RetentionError> for Diagnostic {
    fn from(error: &RetentionError) -> Self {
        match error {
            RetentionError::Syntax { place, source } => {
                Self::new(&SYNTAX, "a retention rule file does not load")
                    .at(place)
                    .because(source.to_string().trim_end())
                    .hint("mend the line that is shown, then run `oubliette check`")
            }
            RetentionError::Class { place, class, why } => {
                Self::new(&CLASS, format!("retention class `{class}` is refused"))
                    .at(place)
                    .because(why)
                    .hint("`oubliette explain R21` lists what a class has to say")
            }
            RetentionError::Period { place, class, text } => {
                Self::new(&PERIOD, format!("the period of retention class `{class}` is not understood"))
                    .at(place)
                    .because(format!("`{text}` is no period between a day and a hundred years"))
                    .hint("write \"30 days\", \"12 months\" or \"10 years\"; `keep` may be \"contract\"")
            }
            RetentionError::NoDefault => Self::new(&NO_DEFAULT, "no retention class is the default")
                .because("a line that fits no class would have no expiry")
                .hint("add `default = true` to the class that such lines should have"),
            RetentionError::TwoDefaults { first, second } => Self::new(
                &TWO_DEFAULTS,
                "two retention classes are the default",
            )
            .at(format!("{first} and {second}"))
            .because("a line that fits no class would have two expiries")
            .hint(
                "keep `default = true` in one; a file `hosting-fr.toml` of yours replaces the built-in one",
            ),
            RetentionError::Zone { place, why } => Self::new(&ZONE, "the legal zone is not known")
                .at(place)
                .because(why)
                .hint("`zone` is a name such as \"Europe/Paris\", the same in every file that has one"),
        }
    }
}

/// The error codes of this module.
pub const CODES: &[&Code] = &[&SYNTAX, &CLASS, &PERIOD, &NO_DEFAULT, &TWO_DEFAULTS, &ZONE, &SAMPLE, &OVERLAP];

static SYNTAX: Code = Code {
    id: "R20",
    title: "a retention rule file does not load",
    text: "\
What it means
  A file of retention rules is not valid TOML, has a key that classes do not have, lacks a key that
  every class has, or has a value of the wrong type. The message shows the line, with a mark under
  the place.

Why it matters
  A key that oubliette does not understand could be the one that sets a limit. Going on without it
  would keep lines for longer than the law allows, or purge them too soon. So oubliette does not
  start.

Example
  kep = \"12 months\"              the key is `keep`

What to do
  1. Correct the line that the message shows.
  2. Run `oubliette check`. It loads every rule file and tests every sample in it.

References
  TOML v1.0.0, https://toml.io/en/v1.0.0",
};

static CLASS: Code = Code {
    id: "R21",
    title: "a retention class is refused",
    text: "\
What it means
  A class is valid TOML but breaks one of these conditions. Every class has
  - a name of a-z, 0-9 and `-` that starts with a letter, which no other class of any file has, and
    which is not `upstream`;
  - a `description`, and a `basis`: the legal text that sets its period;
  - `keep`, and `archive_after` if it has two phases;
  - if need be, `starts`: \"event\", or { field = \"NAME\" };
  - a `match` with at least one clause, unless it is the default class. A clause has one or more of
    `program`, `host`, `format`, `field` and `contains`. None of them is empty, a `*` is only at one
    end of a text, and `format` names formats or groups of them;
  - samples: `line` and `expires` (a date, or \"contract\"), and if need be `received` and `archive`.

Why it matters
  A clause that fits every line would give the period of one class to all others. A class that fits
  no line is a promise that nobody keeps.

Example
  match = [{ format = \"acess\" }]            the group is called `access`

What to do
  1. Correct the class at the line that the message names.
  2. Run `oubliette check`.

References
  rules/retention/hosting-fr.toml, which has an example of every form.",
};

static PERIOD: Code = Code {
    id: "R22",
    title: "a period is not understood",
    text: "\
What it means
  `keep` or `archive_after` must be a whole number, a blank, and days, months or years, from one day
  to a hundred years. `keep` may also be \"contract\": the end is not known yet. This value is
  neither.

Why it matters
  The law or the contract sets the period, to the day. oubliette never guesses it.

Example
  keep = \"1 an\"                 write \"1 year\"
  keep = \"52 weeks\"             write \"12 months\" if you mean a year: weeks are not months

What to do
  Write the period as the legal text does. Months and years are calendar months: a period in months
  ends on the same day number, or on the last day of a month that has no such day.

References
  Code de procedure civile, art. 641 and 642-1",
};

static NO_DEFAULT: Code = Code {
    id: "R23",
    title: "no retention class is the default",
    text: "\
What it means
  No class has `default = true`, so lines that fit no class have no expiry day.

Why it matters
  There is always a line that nobody thought of. Without an expiry day, you would keep it for ever,
  which is an offence if it names a person.

Example
  [class.connection]
  default = true

What to do
  Set `default = true` in the class whose period suits unknown lines. The built-in policy takes
  connection logs, for which the law sets one year. (If you have an empty file `hosting-fr.toml`, it
  removes the built-in policy and its default class.)

References
  Code penal, art. 226-20; GDPR art. 5(1)(e)",
};

static TWO_DEFAULTS: Code = Code {
    id: "R24",
    title: "two retention classes are the default",
    text: "\
What it means
  More than one class has `default = true`. The classes of all files count, including the built-in
  policy.

Why it matters
  The order of files must not decide which of two periods a line gets.

Example
  hosting-fr.toml (built in) and company.toml both have a default class.

What to do
  Remove `default = true` from one of them. To replace the built-in policy, call your file
  `hosting-fr.toml`.

References
  rules/retention/hosting-fr.toml",
};

static ZONE: Code = Code {
    id: "R25",
    title: "the legal zone is not known",
    text: "\
What it means
  `zone` does not name a time zone of the IANA database, or two files name different zones.

Why it matters
  A legal day starts at midnight where the law applies. In another zone, oubliette would purge lines
  hours too soon or too late, and count lines around midnight from the wrong day.

Example
  zone = \"Paris\"                write \"Europe/Paris\"
  zone = \"+01:00\"               has no summer time: write \"Europe/Paris\"

What to do
  Write the zone of the country whose law sets the periods, in one file only, or the same in every
  file. If sources write local times of another zone, name that one with `--source-zone`.

References
  https://www.iana.org/time-zones",
};

/// A sample fails. Reported by `check`.
pub static SAMPLE: Code = Code {
    id: "R26",
    title: "a sample of a retention class fails",
    text: "\
What it means
  A sample line of a class gets another class, or another day, than the sample says. Or the sample
  says that there is a duty to keep such lines and the class does not, or the other way round. The
  message names both.

Why it matters
  Samples prove the policy. Either the rules do not do what you meant, or you changed them and
  forgot the sample.

Example
  expected 2027-11-23, got 2027-11-24
  The last day of twelve months from 23 November 2026 is 23 November 2027, and the first day on
  which the line must be gone is the day after: `expires` is 2027-11-24.

What to do
  - Another class: a clause above fits too, or `match` asks for a field that the line does not have.
    `oubliette explain` with the line shows what is recognised in it.
  - Another day: count as art. 641 does. A line without a full time needs `received`.
  - The duty: put `duty = true` into a class whose legal basis requires keeping its lines. Nobody
    can have such lines erased before their day.

References
  Code de procedure civile, art. 641",
};

/// A sample fits two classes. Reported by `check`.
pub static OVERLAP: Code = Code {
    id: "R27",
    title: "a sample fits two retention classes",
    text: "\
What it means
  A clause of another class fits a sample too. The first clause in file order decides, so for now
  one of the two classes wins by its place in the file.

Why it matters
  If somebody moves a class, lines silently get another expiry day.

Example
  match = [{ field = { event = \"invoice\" } }] also fits cancelled invoices, which have a class of
  their own with another time.

What to do
  Make the clauses exclude each other: list the values that you mean, such as
      field = { event = \"invoice\", status = [\"issued\", \"paid\"] }

References
  rules/retention/hosting-fr.toml",
};
