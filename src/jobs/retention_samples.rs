//! Runs every sample of every retention class, and every clause over the samples of all other classes.

use crate::format::{self, Guess};
use crate::model::{Expires, Record, RetentionClass, RetentionSample};
use crate::primitives::diag::Diagnostic;
use crate::retention::event_time::EventClock;
use crate::retention::{Options, Policy, Stamper, TagForm};
use crate::rules::retention::{OVERLAP, RetentionRules, SAMPLE};
use jiff::Timestamp;
use jiff::civil::Date;
use std::sync::Arc;

/// What the samples of a policy showed.
#[derive(Debug, Default)]
pub(super) struct SampleReport {
    /// The number of samples run.
    pub(super) samples: usize,
    /// Samples whose result is not what they state.
    pub(super) failures: Vec<SampleFailure>,
    /// Samples that a clause of another class also matches.
    pub(super) overlaps: Vec<Overlap>,
    /// Classes without any sample.
    pub(super) untried: Vec<String>,
}

impl SampleReport {
    /// Returns one message for each problem that a person must solve.
    #[must_use]
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let failures = self.failures.iter().map(Diagnostic::from);
        let overlaps = self.overlaps.iter().map(Diagnostic::from);
        let untried = self.untried.iter().map(|class| {
            Diagnostic::new(&SAMPLE, format!("retention class `{class}` has no sample"))
                .because("nothing shows that it does what it says")
                .hint(format!("add a `[[class.{class}.sample]]`"))
        });
        failures.chain(overlaps).chain(untried).collect()
    }
}

/// A sample whose result is not what it states.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SampleFailure {
    /// File and line of the sample.
    pub(super) place: String,
    /// The class of the sample.
    pub(super) class: String,
    /// How the result differs.
    pub(super) difference: Difference,
}

/// How a result differs from what its sample states.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The line is of another class.
    Class {
        /// That other class.
        got: String,
    },
    /// The line expires on another day.
    Expires {
        /// The day that the sample states.
        expected: Expires,
        /// The day that resulted.
        got: Expires,
    },
    /// The line must be archived on another day.
    Archive {
        /// The day that the sample states.
        expected: Date,
        /// The day that resulted; `None` if the class has no such phase.
        got: Option<Date>,
    },
    /// There is a duty to keep the class although the sample says that there is none, or the other way round.
    Duty {
        /// Whether the sample says that there is a duty.
        expected: bool,
    },
    /// The line states no full time, and the sample does not state when it is received.
    NoTime,
}

/// A sample that a clause of another class also matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// File and line of the sample.
    pub(super) place: String,
    /// The class of the sample.
    pub(super) class: String,
    /// The other class.
    pub(super) other: String,
}

/// Runs all samples of `rules`, with the zones and classes of the rules, and the clock of each sample.
///
/// Returns `None` if the rules have no single default class, which loaded rules always have.
#[must_use]
pub(super) fn run(rules: &RetentionRules) -> Option<SampleReport> {
    let options = Options {
        zone: rules.zone.clone(),
        source_zone: None,
        backfill: false,
        archived: false,
        certain: None,
        tags: TagForm::None,
        trust_upstream: false,
    };
    let policy = Arc::new(Policy::new(rules.classes.clone())?);
    let runner = Runner {
        clock: EventClock::new(rules.zone.clone(), None, false),
        stamper: Stamper::new(Arc::clone(&policy), options),
        policy,
    };
    let mut report = SampleReport::default();
    for (index, class) in rules.classes.iter().enumerate() {
        for sample in &class.samples {
            runner.run(index, class, sample, &mut report);
        }
        if class.samples.is_empty() {
            report.untried.push(class.name.to_string());
        }
    }
    Some(report)
}

struct Runner {
    clock: EventClock,
    stamper: Stamper,
    policy: Arc<Policy>,
}

impl Runner {
    fn run(&self, index: usize, class: &RetentionClass, sample: &RetentionSample, report: &mut SampleReport) {
        let line = sample.line.as_bytes();
        let record = Guess::new(None).parse(line);
        let field = |name: &str| format::field(line, &record, name);
        let place = format!("{}:{}", class.file, sample.line_number);
        report.samples += 1;
        let differences = match sample.received.or_else(|| self.own_time(&record)) {
            None => vec![Difference::NoTime],
            Some(received) => {
                let dating = self.stamper.explain(line, &record, received, &field);
                let got = self.policy.name(dating.matched.class);
                differences(sample, class, (dating.matched.class != index).then_some(got), dating.due)
            }
        };
        report.failures.extend(differences.into_iter().map(|difference| SampleFailure {
            place: place.clone(),
            class: class.name.to_string(),
            difference,
        }));
        let others =
            self.policy.all_matches(line, &record, &field).into_iter().filter(|&other| other != index);
        report.overlaps.extend(others.map(|other| Overlap {
            place: place.clone(),
            class: class.name.to_string(),
            other: self.policy.name(other).to_owned(),
        }));
    }

    /// Returns the time that the line states, if it states the year.
    fn own_time(&self, record: &Record) -> Option<Timestamp> {
        let stated = record.time?;
        // If it is read at two instants far apart, a time without a year gives two results.
        let read_at = |now: i64| self.clock.instant(stated, Timestamp::from_second(now).ok()?);
        read_at(0).filter(|&instant| read_at(FAR_FROM_1970) == Some(instant))
    }
}

/// 2100-01-01T00:00:00Z.
const FAR_FROM_1970: i64 = 4_102_444_800;

fn differences(
    sample: &RetentionSample,
    class: &RetentionClass,
    other_class: Option<&str>,
    due: crate::retention::expiry::Due,
) -> Vec<Difference> {
    let other = other_class.map(|got| Difference::Class { got: got.to_owned() });
    let expires = (due.expires != sample.expires)
        .then_some(Difference::Expires { expected: sample.expires, got: due.expires });
    let archive = sample
        .archive
        .filter(|&expected| due.archive != Some(expected))
        .map(|expected| Difference::Archive { expected, got: due.archive });
    let duty = sample.duty.filter(|&expected| expected != class.duty);
    let duty = duty.map(|expected| Difference::Duty { expected });
    other.into_iter().chain(expires).chain(archive).chain(duty).collect()
}

impl From<&SampleFailure> for Diagnostic {
    fn from(failure: &SampleFailure) -> Self {
        let why = match &failure.difference {
            Difference::Class { got } => format!("expected class {}, got {got}", failure.class),
            Difference::Expires { expected, got } => format!("expected {expected}, got {got}"),
            Difference::Archive { expected, got: Some(got) } => {
                format!("archived: expected {expected}, got {got}")
            }
            Difference::Archive { expected, got: None } => {
                format!("archived: expected {expected}, got no such phase")
            }
            Difference::Duty { expected: true } => "expected a duty to keep it, got none".to_owned(),
            Difference::Duty { expected: false } => "expected no duty to keep it, got one".to_owned(),
            Difference::NoTime => "the line states no full time, and the sample has no `received`".to_owned(),
        };
        Self::new(&SAMPLE, format!("a sample of retention class `{}` fails", failure.class))
            .at(&failure.place)
            .because(why)
            .hint("`oubliette explain R26` says what may be the matter")
    }
}

impl From<&Overlap> for Diagnostic {
    fn from(overlap: &Overlap) -> Self {
        let Overlap { place, class, other } = overlap;
        Self::new(&OVERLAP, format!("a sample of retention class `{class}` fits class `{other}` too"))
            .at(place)
            .because("the first clause in file order decides")
            .hint("make the clauses exclude each other; `oubliette explain R27` has an example")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleFile, retention};

    #[test]
    fn the_built_in_policy_keeps_its_promises() {
        let rules = retention::load(&[]).unwrap();
        let report = run(&rules).unwrap();
        let samples: usize = rules.classes.iter().map(|class| class.samples.len()).sum();
        assert_eq!(report.samples, samples);
        assert!(report.untried.is_empty());
        assert_eq!(report.overlaps, []);
        assert_eq!(report.failures, []);
    }

    /// A policy whose samples need no format: a text decides the class, and the time is `received`.
    #[test]
    fn what_is_reported() {
        let text = r#"
[class.one]
description = "d"
keep = "12 months"
archive_after = "1 month"
basis = "b"
default = true
match = [{ contains = "one" }]
[[class.one.sample]]
line = "one"
received = "2026-11-23T10:00:00Z"
archive = 2026-12-24
expires = 2027-12-24
[[class.one.sample]]
line = "one"
received = "2026-11-23T10:00:00Z"
archive = 2026-12-23
expires = 2027-12-23
duty = true
[[class.one.sample]]
line = "one and two"
received = "2026-11-23T10:00:00Z"
expires = 2027-12-24
[[class.one.sample]]
line = "one"
expires = 2027-12-24
[class.two]
description = "d"
keep = "30 days"
basis = "b"
match = [{ contains = "two" }]
[[class.two.sample]]
line = "three"
received = "2026-11-23T10:00:00Z"
archive = 2026-12-24
expires = 2027-12-24
[class.three]
description = "d"
keep = "contract"
basis = "b"
match = [{ contains = "four" }]
"#;
        let file = RuleFile { path: "hosting-fr.toml".to_owned(), text: text.to_owned() };
        let rules = retention::load(&[file]).unwrap();
        let report = run(&rules).unwrap();
        let messages: Vec<String> = report
            .diagnostics()
            .into_iter()
            .map(|message| {
                format!("{} {} {}", message.code.id, message.place.unwrap_or_default(), message.why.unwrap())
            })
            .collect();
        assert_eq!(
            messages,
            [
                "R26 hosting-fr.toml:15 expected 2027-12-23, got 2027-12-24",
                "R26 hosting-fr.toml:15 archived: expected 2026-12-23, got 2026-12-24",
                "R26 hosting-fr.toml:15 expected a duty to keep it, got none",
                "R26 hosting-fr.toml:25 the line states no full time, and the sample has no `received`",
                "R26 hosting-fr.toml:33 expected class two, got one",
                "R27 hosting-fr.toml:21 the first clause in file order decides",
                "R26  nothing shows that it does what it says",
            ]
        );
        assert_eq!(report.samples, 5);
        assert_eq!((report.overlaps[0].class.as_str(), report.overlaps[0].other.as_str()), ("one", "two"));
    }
}
