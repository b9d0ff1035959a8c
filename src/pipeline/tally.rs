//! The counts, and their invariant: lines in = lines out + quarantined + dropped by rule, plus undelivered if an output
//! failed.

use super::distinct::Distinct;
use super::error::PipelineError;
use super::workers::{Flow, LineTotals};
use crate::model::{Format, Kind, LineCounts, RuleId};

/// The counts of one worker. They are merged at the end.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What happened to the lines.
    pub lines: LineCounts,
    /// Hits and misses in the tables of recent tokens.
    pub recent: (u64, u64),
    /// Identifiers replaced, by [`Kind`].
    identifiers: [u64; KINDS],
    /// Identifiers replaced, by [`RuleId`]; as long as the highest id that found one requires.
    rules: Vec<u64>,
    /// Lines, by [`Format`].
    formats: [u64; Format::ALL.len()],
    /// Lines, by the index of their class in the policy.
    classes: Vec<u64>,
    /// Distinct tokens, by [`Kind`].
    distinct: Vec<Distinct>,
}

impl Tally {
    /// Creates a tally for a policy of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            lines: LineCounts::default(),
            recent: (0, 0),
            identifiers: [0; KINDS],
            rules: Vec::new(),
            formats: [0; Format::ALL.len()],
            classes: vec![0; classes],
            distinct: vec![Distinct::default(); KINDS],
        }
    }

    /// Counts a replaced identifier that `rule` found.
    #[inline]
    pub fn identifier(&mut self, kind: Kind, rule: RuleId) {
        self.identifiers[usize::from(kind.0)] += 1;
        match self.rules.get_mut(usize::from(rule.0)) {
            Some(count) => *count += 1,
            None => self.first_of(rule),
        }
    }

    #[cold]
    fn first_of(&mut self, rule: RuleId) {
        let index = usize::from(rule.0);
        self.rules.resize(index + 1, 0);
        self.rules[index] = 1;
    }

    /// The number of identifiers replaced, of all kinds.
    #[must_use]
    pub fn all_identifiers(&self) -> u64 {
        self.identifiers.iter().sum()
    }

    /// Counts a token that was made. A token that comes from a cache need not be reported again.
    #[inline]
    pub fn token(&mut self, kind: Kind, tag: &[u8; 16]) {
        self.distinct[usize::from(kind.0)].insert(tag);
    }

    /// Counts a line of this format.
    #[inline]
    pub fn format(&mut self, format: Format) {
        self.formats[format as usize] += 1;
    }

    /// Counts a line of the class with this index in the policy. An index that the policy does not have is
    /// not counted.
    #[inline]
    pub fn class(&mut self, index: usize) {
        if let Some(count) = self.classes.get_mut(index) {
            *count += 1;
        }
    }

    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.lines += other.lines;
        self.recent = (self.recent.0 + other.recent.0, self.recent.1 + other.recent.1);
        add(&mut self.identifiers, &other.identifiers);
        add(&mut self.formats, &other.formats);
        for (ours, theirs) in [(&mut self.rules, &other.rules), (&mut self.classes, &other.classes)] {
            ours.resize(ours.len().max(theirs.len()), 0);
            add(ours, theirs);
        }
        for (ours, theirs) in self.distinct.iter_mut().zip(&other.distinct) {
            ours.merge(theirs);
        }
    }

    /// Counts lines that the writer dropped, because they had expired in the meantime, as dropped instead of out.
    /// Quarantined lines among them stay in quarantine.
    pub fn expire(&mut self, dropped: LineTotals) {
        // The writer may have dropped more lines than are counted here: a worker that panicked loses its counts.
        let counts = &mut self.lines;
        let lines = dropped.lines.saturating_sub(dropped.placeholders).min(counts.lines_out);
        counts.lines_out -= lines;
        counts.dropped += lines;
        counts.expired += lines;
        counts.bytes_out = counts.bytes_out.saturating_sub(dropped.bytes);
    }

    /// Counts lines that the workers processed but the output did not write as undelivered, if the pipeline
    /// ended early.
    pub fn settle(&mut self, flow: &Flow) {
        if flow.complete {
            return;
        }
        let counts = &mut self.lines;
        let placed = counts.lines_out + counts.quarantined;
        let written = flow.lines_out + flow.expired.placeholders;
        // A placeholder that was not written counts as a line: the output cannot tell them apart, and lines that may be
        // missing from it are not claimed as written.
        let missing = placed.saturating_sub(written).min(counts.lines_out);
        counts.lines_out -= missing;
        counts.undelivered += missing;
        counts.bytes_out = counts.bytes_out.min(flow.bytes_out);
    }

    /// [`LineCounts::holds`].
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lines.holds()
    }

    /// Checks the counts of the workers for consistency, and against the independent counts of the reader and
    /// the writer. A line that a worker lost, invented or joined to another one shows up here.
    ///
    /// # Errors
    /// [`PipelineError::Unbalanced`].
    pub fn check(&self, flow: &Flow) -> Result<(), PipelineError> {
        let counts = self.lines;
        let placed = counts.lines_out + counts.quarantined;
        let written = flow.lines_out + flow.expired.placeholders;
        let read_as_counted = (flow.lines_in, flow.bytes_in) == (counts.lines_in, counts.bytes_in);
        let written_as_counted = (written, flow.bytes_out) == (placed, counts.bytes_out);
        // After an early end (error, broken pipe), some blocks were in progress and not counted.
        let balanced = self.holds() && (!flow.complete || read_as_counted && written_as_counted);
        if balanced {
            return Ok(());
        }
        Err(PipelineError::Unbalanced { counts, read: flow.lines_in, written: flow.lines_out })
    }

    /// The counts by index, for callers that know the meaning of the indices.
    #[must_use]
    pub(super) fn indexed(&self) -> Indexed<'_> {
        Indexed {
            kinds: &self.identifiers,
            rules: &self.rules,
            formats: &self.formats,
            classes: &self.classes,
            distinct: &self.distinct,
        }
    }
}

/// Counts by index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed<'a> {
    /// Identifiers replaced, by [`Kind`].
    pub(super) kinds: &'a [u64],
    /// Identifiers replaced, by [`RuleId`].
    pub(super) rules: &'a [u64],
    /// Lines, by [`Format`].
    pub(super) formats: &'a [u64],
    /// Lines, by the index of their class in the policy.
    pub(super) classes: &'a [u64],
    /// Distinct tokens, by [`Kind`].
    pub(super) distinct: &'a [Distinct],
}

fn add(ours: &mut [u64], theirs: &[u64]) {
    for (ours, theirs) in ours.iter_mut().zip(theirs) {
        *ours += theirs;
    }
}

/// A kind is an 8-bit index.
const KINDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: LineCounts) -> Tally {
        Tally { lines, ..Tally::new(2) }
    }

    /// Seven of ten lines were written.
    fn given_out(expired: u64) -> LineCounts {
        LineCounts {
            lines_in: 10,
            lines_out: 7,
            quarantined: 1,
            dropped: 2,
            expired,
            undelivered: 0,
            bytes_in: 100,
            bytes_out: 120,
        }
    }

    #[test]
    fn reader_and_writer_are_witnesses() {
        let counted = tally(given_out(0));
        let flow = Flow {
            lines_in: 10,
            bytes_in: 100,
            lines_out: 8,
            bytes_out: 120,
            complete: true,
            ..Flow::default()
        };
        assert!(counted.check(&flow).is_ok());
        for wrong in [
            Flow { lines_in: 11, ..flow },
            Flow { bytes_in: 101, ..flow },
            Flow { lines_out: 7, ..flow },
            Flow { bytes_out: 121, ..flow },
        ] {
            assert!(matches!(counted.check(&wrong), Err(PipelineError::Unbalanced { .. })), "{wrong:?}");
            assert!(counted.check(&Flow { complete: false, ..wrong }).is_ok());
        }
        let lost = tally(LineCounts { lines_out: 6, ..given_out(0) });
        assert!(lost.check(&Flow { complete: false, ..flow }).is_err());
    }

    #[test]
    fn what_expired_on_the_way_is_dropped_and_sealed_lines_stay_sealed() {
        let given_out = tally(given_out(2));
        let expired = LineTotals { lines: 3, placeholders: 1, bytes: 50 };
        let read = Flow { lines_in: 10, bytes_in: 100, complete: true, ..Flow::default() };
        let flow = Flow { lines_out: 5, bytes_out: 70, expired, ..read };
        assert!(given_out.check(&flow).is_err());
        let mut counted = given_out.clone();
        counted.expire(expired);
        assert!(counted.check(&flow).is_ok());
        assert!(counted.check(&Flow { lines_out: 4, ..flow }).is_err());
        let LineCounts { lines_out, quarantined, dropped, expired, bytes_out, .. } = counted.lines;
        assert_eq!((lines_out, quarantined, dropped, expired, bytes_out), (5, 1, 4, 4, 70));
        let mut panicked = tally(LineCounts { lines_in: 1, lines_out: 1, ..LineCounts::default() });
        panicked.expire(LineTotals { lines: 3, placeholders: 1, bytes: 50 });
        assert!(panicked.holds());
    }

    #[test]
    fn what_an_output_did_not_take_is_not_out() {
        let read = Flow { lines_in: 10, bytes_in: 100, ..Flow::default() };
        for (taken, lines_out, undelivered) in [(8, 7, 0), (5, 4, 3), (0, 0, 7)] {
            let mut counted = tally(given_out(0));
            let flow = Flow { lines_out: taken, bytes_out: 15 * taken, ..read };
            counted.settle(&flow);
            let LineCounts { bytes_out, .. } = counted.lines;
            assert_eq!((counted.lines.lines_out, counted.lines.undelivered), (lines_out, undelivered));
            assert_eq!((bytes_out, counted.check(&flow).is_ok()), (15 * taken, true));
        }
        let mut counted = tally(given_out(0));
        counted.settle(&Flow { complete: true, ..read });
        assert_eq!(counted.lines, given_out(0));
    }

    #[test]
    fn rules_are_counted_however_many_there_are() {
        let (mut few, mut many) = (Tally::new(0), Tally::new(0));
        few.identifier(Kind::IP, RuleId(0));
        [RuleId(900), RuleId(0), RuleId(900)].into_iter().for_each(|rule| many.identifier(Kind::IP, rule));
        few.merge(&many);
        let rules = few.indexed().rules;
        assert_eq!((rules[0], rules[1], rules[900], rules.len()), (2, 0, 2, 901));
    }

    #[test]
    fn merging_keeps_every_class() {
        let mut few = Tally::new(0);
        let mut many = Tally::new(3);
        many.class(2);
        few.merge(&many);
        few.merge(&many);
        assert_eq!(few.classes, [0, 0, 2]);
    }
}
