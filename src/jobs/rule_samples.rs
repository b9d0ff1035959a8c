//! Runs identifier rules over their samples, and every rule over the samples of all others.

use crate::detect::account::{AccountRules, AccountScratch, CompileError};
use crate::format::Guess;
use crate::model::{Expected, IdentifierRule, IdentifierSample, Kinds};
use std::collections::BTreeSet;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SampleReport {
    /// How many samples were run.
    pub samples: usize,
    /// Samples in which their own rule finds something else than they expect.
    pub failures: Vec<SampleFailure>,
    /// Samples of one rule in which another finds something that they do not expect.
    pub overlaps: Vec<Overlap>,
}

/// A sample in which its own rule finds something else than it expects.
#[derive(Debug, PartialEq, Eq)]
pub struct SampleFailure {
    /// The rule.
    pub rule: String,
    /// `file:line` of the sample.
    pub place: String,
    /// Expected, in the order of the line.
    pub expected: Vec<Expected>,
    /// Found, in the order of the line. Samples are configuration: they may be shown.
    pub found: Vec<Expected>,
}

/// A sample in which a rule that is not its own finds something that it does not expect.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The rule that finds more.
    pub rule: String,
    /// The rule whose sample it is.
    pub sample_of: String,
    /// `file:line` of the sample.
    pub place: String,
    /// What it finds more, in the order of the line.
    pub found: Vec<Expected>,
}

impl SampleReport {
    /// Whether every sample went as it says, and no rule finds anything in another's samples.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.overlaps.is_empty()
    }
}

/// Runs all samples of `rules` with every kind asked for. The lines are parsed as in a live run.
///
/// # Errors
/// If the rules do not compile together.
pub fn run(rules: &[IdentifierRule]) -> Result<SampleReport, CompileError> {
    let also: BTreeSet<String> = rules.iter().flat_map(|rule| rule.kinds.iter().cloned()).collect();
    let mut kinds = Kinds::default();
    let compiled = AccountRules::compile(rules, &mut kinds, &also)?;
    let mut runner = Runner { rules, compiled, kinds, scratch: AccountScratch::default() };
    let mut report = SampleReport::default();
    for (owner, rule) in rules.iter().enumerate() {
        for sample in &rule.samples {
            report.samples += 1;
            runner.run(owner, sample, &mut report);
        }
    }
    Ok(report)
}

struct Runner<'a> {
    rules: &'a [IdentifierRule],
    compiled: AccountRules,
    kinds: Kinds,
    scratch: AccountScratch,
}

impl Runner<'_> {
    fn run(&mut self, owner: usize, sample: &IdentifierSample, report: &mut SampleReport) {
        let rule = &self.rules[owner];
        let place = format!("{}:{}", rule.file, sample.line_number);
        let mut found = self.findings(&sample.line);
        let own = std::mem::take(&mut found[owner]);
        if own != sample.expect {
            report.failures.push(SampleFailure {
                rule: rule.id.clone(),
                place: place.clone(),
                expected: sample.expect.clone(),
                found: own,
            });
        }
        for (other, mut found) in found.into_iter().enumerate() {
            found.retain(|finding| !sample.expect.contains(finding));
            if !found.is_empty() {
                report.overlaps.push(Overlap {
                    rule: self.rules[other].id.clone(),
                    sample_of: rule.id.clone(),
                    place: place.clone(),
                    found,
                });
            }
        }
    }

    /// What each rule finds in `line`, in the order of the line.
    fn findings(&mut self, line: &str) -> Vec<Vec<Expected>> {
        let bytes = line.as_bytes();
        let record = Guess::new(None).parse(bytes);
        let mut spans = vec![Vec::new(); self.rules.len()];
        self.compiled.find(bytes, &record, &mut self.scratch, &mut |rule, kind, span| {
            spans[rule].push((span, kind));
        });
        let kinds = &self.kinds;
        let expected = |(span, kind): (crate::model::Span, crate::model::Kind)| Expected {
            kind: kinds.name(kind).to_owned(),
            text: String::from_utf8_lossy(span.of(bytes)).into_owned(),
        };
        spans
            .into_iter()
            .map(|mut found: Vec<_>| {
                found.sort_unstable();
                found.into_iter().map(expected).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{self, RuleFile};

    #[test]
    fn every_builtin_sample_goes_as_it_says() {
        let report = run(&rules::load(&[]).expect("built-in rules load")).expect("and compile");
        for failure in &report.failures {
            eprintln!("{failure:#?}");
        }
        for overlap in &report.overlaps {
            eprintln!("{overlap:?}");
        }
        assert!(report.is_clean());
        assert!(report.samples > 100, "{}", report.samples);
    }
}
