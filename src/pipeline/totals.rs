//! Counts by name, over one or more runs. Runs may number kinds and classes differently: a sidecar that reloads its
//! configuration goes on counting.

use super::distinct::Distinct;
use super::tally::{Indexed, Tally};
use crate::model::{ClassName, Format, Kind, Kinds, LineCounts};
use crate::telemetry::Output;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The counts of consecutive runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    lines: LineCounts,
    /// Hits and misses in the tables of recent tokens.
    recent: (u64, u64),
    identifiers: BTreeMap<String, u64>,
    distinct: BTreeMap<String, Distinct>,
    formats: BTreeMap<&'static str, u64>,
    classes: BTreeMap<String, u64>,
    elapsed: Duration,
}

impl Totals {
    /// The counts of one run.
    #[must_use]
    pub fn of(tally: &Tally, kinds: &Kinds, classes: &[ClassName], elapsed: Duration) -> Self {
        let mut totals = Self::default();
        totals.add(tally, kinds, classes, elapsed);
        totals
    }

    /// Adds a run that took `elapsed`. `classes` holds the names of the policy's classes, in the order of the policy.
    pub fn add(&mut self, tally: &Tally, kinds: &Kinds, classes: &[ClassName], elapsed: Duration) {
        let Indexed { kinds: identifiers, formats, classes: lines, distinct, .. } = tally.indexed();
        for (kind, name) in kinds.iter() {
            let index = usize::from(kind.0);
            if identifiers[index] > 0 || matches!(kind, Kind::IP | Kind::EM) {
                *self.identifiers.entry(name.to_owned()).or_default() += identifiers[index];
                self.distinct.entry(name.to_owned()).or_default().merge(&distinct[index]);
            }
        }
        for (format, lines) in Format::ALL.into_iter().zip(formats) {
            *self.formats.entry(format.name()).or_default() += lines;
        }
        for (class, lines) in classes.iter().zip(lines) {
            *self.classes.entry(class.to_string()).or_default() += lines;
        }
        self.lines += tally.lines;
        self.recent = (self.recent.0 + tally.recent.0, self.recent.1 + tally.recent.1);
        self.elapsed += elapsed;
    }

    /// The counts for `--stats json`.
    #[must_use]
    pub fn counts(&self) -> Counts<'_> {
        let (hits, misses) = self.recent;
        Counts {
            lines: self.lines,
            identifiers: self.identifiers.iter().map(|(kind, count)| (kind.as_str(), *count)).collect(),
            distinct: self.distinct.iter().map(|(kind, tokens)| (kind.as_str(), tokens.count())).collect(),
            formats: nonzero(self.formats.iter().map(|(format, lines)| (*format, *lines))),
            classes: nonzero(self.classes.iter().map(|(class, lines)| (class.as_str(), *lines))),
            recent: Recent { hits, misses },
            seconds: self.elapsed.as_millis() as f64 / 1000.0,
            outputs: None,
        }
    }
}

/// The counts as `--stats json` prints them: these keys in this order, with maps sorted by name. The maps
/// omit zeros, except for `ip` and `em`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts<'a> {
    /// What happened to the lines.
    #[serde(flatten)]
    pub lines: LineCounts,
    /// Identifiers replaced, by kind.
    pub identifiers: BTreeMap<&'a str, u64>,
    /// Distinct tokens, by kind: exact up to 2^14, within about 0.8 % beyond that. An identifier has a different
    /// token in each epoch.
    pub distinct: BTreeMap<&'a str, u64>,
    /// Lines, by format.
    pub formats: BTreeMap<&'a str, u64>,
    /// Lines, by retention class.
    pub classes: BTreeMap<&'a str, u64>,
    /// How often a table of recent tokens saved an HMAC.
    pub recent: Recent,
    /// Wall-clock time in seconds, to the millisecond.
    pub seconds: f64,
    /// What happened to the lines at each output beside the archive, if the command has such outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Delivered<'a>>>,
}

/// What happened to the lines at an output beside the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Delivered<'a> {
    /// The name in the configuration.
    pub name: &'a str,
    /// Lines that the receiver took over.
    pub delivered: u64,
    /// Lines that wait in the spool for the next process.
    pub waiting: u64,
    /// Lines that were sent again after a connection broke; the receiver may have them twice.
    pub resent: u64,
    /// Lines that were lost because the spool was full.
    pub dropped: u64,
    /// Lines that the receiver rejected; they are not sent again.
    pub refused: u64,
    /// Lines that expired before they were sent.
    pub expired: u64,
}

/// Hits and misses in the tables of recent tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recent {
    /// The token was in the table.
    pub hits: u64,
    /// The token had to be made.
    pub misses: u64,
}

impl<'a> Counts<'a> {
    /// Adds what happened to the lines at these outputs beside the archive.
    #[must_use]
    pub fn with_outputs(self, outputs: &'a [Output]) -> Self {
        Self { outputs: Some(outputs.iter().map(Delivered::at).collect()), ..self }
    }

    /// Formats the counts as one line of JSON, without a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Writing to memory cannot fail, and all values are numbers or maps with string keys.
        serde_json::to_string(self).expect("counts are JSON")
    }
}

impl<'a> Delivered<'a> {
    fn at(output: &'a Output) -> Self {
        let Output { delivered, resent, dropped, refused, expired, .. } = *output;
        let (name, waiting) = (output.name.as_str(), output.spool_lines);
        Self { name, delivered, waiting, resent, dropped, refused, expired }
    }
}

fn nonzero<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<&'a str, u64> {
    counts.filter(|&(_, count)| count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RuleId;

    fn tally(lines_in: u64, lines_out: u64, quarantined: u64, dropped: u64, expired: u64) -> Tally {
        let mut tally = Tally::new(2);
        tally.lines =
            LineCounts { lines_in, lines_out, quarantined, dropped, expired, ..LineCounts::default() };
        tally
    }

    #[test]
    fn the_json_is_the_contract() {
        let mut kinds = Kinds::default();
        let plate = kinds.intern("plate").unwrap();
        let classes = ["connection", "billing", "unused"].map(|name| ClassName::new(name).unwrap());
        let (mut first, mut second) = (tally(10, 6, 1, 3, 1), tally(2, 2, 0, 0, 0));
        (first.lines.bytes_in, second.lines.bytes_out) = (1500, 1600);
        for (kind, byte) in [(Kind::IP, 1), (Kind::IP, 1), (Kind::IP, 2), (Kind::USR, 1), (plate, 9)] {
            first.identifier(kind, RuleId(1));
            first.token(kind, &[byte; 16]);
        }
        second.identifier(Kind::IP, RuleId(1));
        second.token(Kind::IP, &[2; 16]);
        [Format::Raw, Format::Json, Format::Raw].into_iter().for_each(|format| first.format(format));
        second.format(Format::Clf);
        [0, 1, 0, 7].into_iter().for_each(|class| first.class(class));
        first.merge(&second);
        assert!(first.holds());
        assert_eq!(
            Totals::of(&first, &kinds, &classes, Duration::from_micros(1_234_567)).counts().to_json(),
            concat!(
                r#"{"lines_in":12,"lines_out":8,"quarantined":1,"dropped":3,"expired":1,"undelivered":0,"#,
                r#""bytes_in":1500,"bytes_out":1600,"identifiers":{"em":0,"ip":4,"plate":1,"usr":1},"#,
                r#""distinct":{"em":0,"ip":2,"plate":1,"usr":1},"formats":{"clf":1,"json":1,"raw":2},"#,
                r#""classes":{"billing":1,"connection":2},"recent":{"hits":0,"misses":0},"seconds":1.234}"#
            )
        );
        assert_eq!(
            Totals::of(&Tally::new(0), &Kinds::default(), &[], Duration::ZERO).counts().to_json(),
            concat!(
                r#"{"lines_in":0,"lines_out":0,"quarantined":0,"dropped":0,"expired":0,"undelivered":0,"bytes_in":0,"#,
                r#""bytes_out":0,"identifiers":{"em":0,"ip":0},"distinct":{"em":0,"ip":0},"formats":{},"#,
                r#""classes":{},"recent":{"hits":0,"misses":0},"seconds":0.0}"#
            )
        );
    }

    #[test]
    fn runs_are_added_by_name_whatever_their_numbers() {
        let class = |name| ClassName::new(name).unwrap();
        let mut totals = Totals::default();
        for (names, kinds, token) in [
            (["connection", "billing"], ["plate", "badge"], 1),
            (["billing", "connection"], ["badge", "plate"], 1),
            (["connection", "support"], ["badge", "plate"], 2),
        ] {
            let mut known = Kinds::default();
            let [first, second] = kinds.map(|name| known.intern(name).unwrap());
            let plate = if kinds[0] == "plate" { first } else { second };
            let mut run = tally(1, 1, 0, 0, 0);
            run.identifier(plate, RuleId(1));
            run.token(plate, &[token; 16]);
            run.class(names.iter().position(|name| *name == "connection").unwrap());
            totals.add(&run, &known, &names.map(class), Duration::from_secs(1));
        }
        let counts = totals.counts();
        assert_eq!((counts.lines.lines_in, counts.lines.lines_out, counts.seconds), (3, 3, 3.0));
        assert_eq!(counts.identifiers, BTreeMap::from([("em", 0), ("ip", 0), ("plate", 3)]));
        assert_eq!(counts.distinct, BTreeMap::from([("em", 0), ("ip", 0), ("plate", 2)]));
        assert_eq!(counts.classes, BTreeMap::from([("connection", 3)]));
    }
}
