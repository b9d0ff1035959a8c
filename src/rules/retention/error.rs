//! Why retention rule files are refused, and what to do about it.

use crate::model::RetentionClass;
use crate::primitives::diag::{Code, Diagnostic};
use crate::rules::line_of;

/// Why retention rule files are refused. They are configuration: their text may be quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// Not TOML, an unknown key, a missing key, a value of the wrong type.
    #[error("{place}: {source}")]
    Syntax {
        /// File and line.
        place: String,
        /// Line, column and the line itself with a caret.
        source: Box<toml::de::Error>,
    },
    /// A class that says something impossible.
    #[error("{place}: class {class}: {why}")]
    Class {
        /// File and line.
        place: String,
        /// The class.
        class: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a length of time.
    #[error("{place}: class {class}: `{text}` is no period")]
    Period {
        /// File and line.
        place: String,
        /// The class.
        class: String,
        /// What stands there.
        text: String,
    },
    /// No class takes the lines that fit nowhere.
    #[error("no class has `default = true`")]
    NoDefault,
    /// Two classes would take the lines that fit nowhere.
    #[error("two classes have `default = true`: {first} and {second}")]
    TwoDefaults {
        /// File and line of one.
        first: String,
        /// File and line of another.
        second: String,
    },
    /// No such zone, or not the one of another file.
    #[error("{place}: {why}")]
    Zone {
        /// File and line.
        place: String,
        /// What is wrong with it.
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
                Self::new(&PERIOD, format!("retention class `{class}` is kept for no known time"))
                    .at(place)
                    .because(format!("`{text}` is no period between a day and a hundred years"))
                    .hint("write \"30 days\", \"12 months\" or \"10 years\"; `keep` may be \"contract\"")
            }
            RetentionError::NoDefault => Self::new(&NO_DEFAULT, "no retention class is the default")
                .because("a line that fits no class would have no expiry")
                .hint("add `default = true` to the class that such lines are to be of"),
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

/// The codes of this area.
pub const CODES: &[&Code] = &[&SYNTAX, &CLASS, &PERIOD, &NO_DEFAULT, &TWO_DEFAULTS, &ZONE, &SAMPLE, &OVERLAP];

static SYNTAX: Code = Code {
    id: "R20",
    title: "a retention rule file does not load",
    text: "\
What it means
  A file of retention rules is not valid TOML, has a key that no class knows, lacks a key that every
  class has, or gives a value of the wrong type. The message shows the line, with a mark under the
  place.

Why it matters
  A key that is not understood could be the one that sets a limit. Going on without it would keep
  lines for longer than the law allows, or purge them too soon, so nothing is started.

Example
  kep = \"12 months\"              the key is `keep`

What to do
  Mend the line that the message shows, then run `oubliette check`, which loads every rule file and
  runs every sample in it.

References
  TOML v1.0.0, https://toml.io/en/v1.0.0
",
};

static CLASS: Code = Code {
    id: "R21",
    title: "a retention class is refused",
    text: "\
What it means
  A class is well formed but cannot be meant as it stands. Every class has
  - a name of a-z, 0-9 and `-` that starts with a letter, which no other class of any file has, and
    which is not `upstream`;
  - a `description` and a `basis`, the text that sets its time;
  - `keep`, and if it has two phases `archive_after`;
  - if need be `starts`: \"event\", or { field = \"NAME\" };
  - a `match` with at least one clause, unless it is the default class. A clause has one or more of
    `program`, `host`, `format`, `field` and `contains`; none of them is empty, a `*` only stands at
    one end of a text, and `format` names formats or groups of them;
  - samples: `line` and `expires` (a date, or \"contract\"), and if need be `received` and `archive`.

Why it matters
  A clause that fits every line would give one class's time to all others. A class that no line can
  be of is a promise that nobody keeps.

Example
  match = [{ format = \"acess\" }]            the group is called `access`

What to do
  Mend the class at the line that the message names, then run `oubliette check`.

References
  rules/retention/hosting-fr.toml, which has an example of every form.
",
};

static PERIOD: Code = Code {
    id: "R22",
    title: "a period is not understood",
    text: "\
What it means
  `keep` or `archive_after` is not a whole number, a blank, and days, months or years, between one
  day and a hundred years. `keep` may also be \"contract\": no end is known yet.

Why it matters
  The time that a line is kept is set by law or by the contract, to the day. It is never guessed.

Example
  keep = \"1 an\"                 write \"1 year\"
  keep = \"52 weeks\"             write \"12 months\" if a year is meant: weeks are not months

What to do
  Write the period as the text behind it does. Months and years are calendar months: a period in
  months ends on the same day number, or on the last day of a month that has no such day.

References
  Code de procedure civile, art. 641 and 642-1
",
};

static NO_DEFAULT: Code = Code {
    id: "R23",
    title: "no retention class is the default",
    text: "\
What it means
  No class has `default = true`, so lines that fit no class have no expiry.

Why it matters
  There is always a line that nobody thought of. Without an expiry it would be kept for ever, which
  is an offence if it names a person.

Example
  [class.connection]
  default = true

What to do
  Choose the class whose time suits unknown lines. The built-in policy takes connection logs, which
  the law sets at one year. An empty file `hosting-fr.toml` of yours removes the built-in policy,
  and its default class with it.

References
  Code penal, art. 226-20; GDPR art. 5(1)(e)
",
};

static TWO_DEFAULTS: Code = Code {
    id: "R24",
    title: "two retention classes are the default",
    text: "\
What it means
  More than one class has `default = true`. The classes of all files count together, those of the
  built-in policy included.

Why it matters
  Which of two times holds for a line must not depend on the order of files.

Example
  hosting-fr.toml (built in) and company.toml both have a default class.

What to do
  Take `default = true` out of one. To replace the built-in policy, call your file
  `hosting-fr.toml`.

References
  rules/retention/hosting-fr.toml
",
};

static ZONE: Code = Code {
    id: "R25",
    title: "the legal zone is not known",
    text: "\
What it means
  `zone` does not name a time zone of the IANA database, or two files name different ones.

Why it matters
  A legal day starts at midnight where the law holds. In another zone, lines would be purged hours
  too soon or too late, and those around midnight would count from another day.

Example
  zone = \"Paris\"                write \"Europe/Paris\"
  zone = \"+01:00\"               has no summer time: write \"Europe/Paris\"

What to do
  Write the zone of the country whose law sets the times, the same in every file, or in one file
  only. If sources write local times of another zone, give it with `--source-zone`.

References
  https://www.iana.org/time-zones
",
};

/// A sample that turns out otherwise; `check` reports it.
pub static SAMPLE: Code = Code {
    id: "R26",
    title: "a retention sample turns out otherwise",
    text: "\
What it means
  A sample line of a class is given another class, or another day, than the sample says; or it says
  that there is a duty to keep such lines and the class does not, or the other way round. The
  message names both.

Why it matters
  Samples are how the policy is proved. Either the rules do not do what was meant, or what was meant
  has changed and the sample was forgotten.

Example
  expected 2027-11-23, got 2027-11-24
  The last day of twelve months from 23 November 2026 is 23 November 2027, and the first day on
  which the line must be gone is the day after: `expires` is 2027-11-24.

What to do
  If the class is another one, a clause above fits too, or `match` asks for a field that the line
  does not have: `oubliette explain` shows what was recognised in it. If the day is another one,
  count as art. 641 does. A line without a full time needs `received`. `duty = true` stands in a
  class whose legal basis obliges to keep it: nobody can have such lines erased before their day.

References
  Code de procedure civile, art. 641
",
};

/// A sample that fits two classes; `check` reports it.
pub static OVERLAP: Code = Code {
    id: "R27",
    title: "a sample fits two retention classes",
    text: "\
What it means
  A clause of another class fits a sample too. The first clause in file order decides, so today one
  of the two classes wins by its place in the file.

Why it matters
  When somebody moves a class, lines change their expiry without a word.

Example
  match = [{ field = { event = \"invoice\" } }] also fits cancelled invoices, which have a class of
  their own with another time.

What to do
  Make the clauses exclude each other: list the values that are meant, such as
  field = { event = \"invoice\", status = [\"issued\", \"paid\"] }.

References
  rules/retention/hosting-fr.toml
",
};
