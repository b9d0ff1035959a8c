//! Runs identifier rules over their samples, and every rule over the samples of all others.

use crate::detect::account::{AccountRules, AccountScratch, CompileError};
use crate::format::Guess;
use crate::model::{Expected, IdentifierRule, IdentifierSample, Kinds};
use std::collections::BTreeSet;

/// The results of the samples.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SampleReport {
    /// The number of samples run.
    pub(super) samples: usize,
    /// Samples in which their own rule does not find what they expect.
    pub(super) failures: Vec<SampleFailure>,
    /// Samples of one rule in which another rule finds something that they do not expect.
    pub(super) overlaps: Vec<Overlap>,
}

/// A sample in which its own rule does not find what it expects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SampleFailure {
    /// The rule.
    pub(super) rule: String,
    /// `file:line` of the sample.
    pub(super) place: String,
    /// Expected findings, in the order of the line.
    pub(super) expected: Vec<Expected>,
    /// Actual findings, in the order of the line. Samples are configuration, so they may be shown.
    pub(super) found: Vec<Expected>,
}

/// A sample in which another rule finds something that the sample does not expect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The rule that finds more.
    pub(super) rule: String,
    /// The rule of the sample.
    pub(super) sample_of: String,
    /// `file:line` of the sample.
    pub(super) place: String,
    /// What it finds in addition, in the order of the line.
    pub(super) found: Vec<Expected>,
}

/// Runs all samples of `rules` with every kind requested. The lines are parsed as in a live run.
///
/// # Errors
/// If the rules do not compile together.
pub(super) fn run(rules: &[IdentifierRule]) -> Result<SampleReport, CompileError> {
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

    /// Returns what each rule finds in `line`, in the order of the line.
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
    use crate::model::Record;
    use crate::rules::{self, RuleFile};
    use std::time::{Duration, Instant};

    fn builtin() -> Vec<IdentifierRule> {
        rules::load(&[]).expect("built-in rules load")
    }

    #[test]
    fn every_builtin_sample_goes_as_it_says() {
        let report = run(&builtin()).expect("built-in rules compile");
        assert!(report.failures.is_empty() && report.overlaps.is_empty(), "{report:#?}");
        assert!(report.samples >= 150, "{}", report.samples);
    }

    /// A daemon in transit may have joined a record of several lines into one: what is found at the start of
    /// a message is found at the start of each of these lines.
    #[test]
    fn what_is_found_in_a_message_is_found_in_a_later_line_of_one() {
        let rules = builtin();
        let also = rules.iter().flat_map(|rule| rule.kinds.iter().cloned()).collect();
        let compiled = AccountRules::compile(&rules, &mut Kinds::default(), &also).expect("compiles");
        let (mut scratch, mut missed, mut samples) = (AccountScratch::default(), Vec::new(), 0);
        for (rule, sample) in
            rules.iter().flat_map(|rule| rule.samples.iter().map(move |sample| (rule, sample)))
        {
            let Some(at) = start_of_message(&sample.line) else { continue };
            let (header, message) = sample.line.split_at(at);
            for escaped in ["#012", "#015#012#011", r"\n", r"\012", r"\r\n\t", r"\u000a"] {
                let line = format!("{header}first{escaped}{message}");
                let mut covered = vec![false; line.len()];
                let record = Guess::new(None).parse(line.as_bytes());
                compiled.find(line.as_bytes(), &record, &mut scratch, &mut |_, _, span| {
                    covered[span.start as usize..span.end as usize].fill(true);
                });
                let start = line.len() - message.len();
                let is_covered = |expected: &Expected| {
                    let mut found = message.match_indices(&expected.text);
                    let is_in_header = !message.contains(&expected.text);
                    is_in_header
                        || found.any(|(at, text)| {
                            covered[start + at..start + at + text.len()].iter().all(|covered| *covered)
                        })
                };
                samples += 1;
                missed
                    .extend((!sample.expect.iter().all(is_covered)).then(|| format!("{}: {line}", rule.id)));
            }
        }
        assert!(missed.is_empty() && samples > 500, "{samples}: {missed:#?}");
    }

    /// Returns the offset at which the message begins, after a header of syslog.
    fn start_of_message(line: &str) -> Option<usize> {
        if let Some(header) = line.strip_prefix("Nov 23 10:00:00 ") {
            return Some(line.len() - header.split_once(": ")?.1.len());
        }
        line.starts_with('<').then(|| line.match_indices(" - ").last())?.map(|(at, text)| at + text.len())
    }

    /// Two rules that match each other's lines, one of them with a sample that fails.
    const PAIR: &str = r#"
[[rule]]
id = "narrow"
description = "one word"
kind = "usr"
literals = ["login "]
pattern = 'login (?P<usr>\w+)'
source = "test"
[[rule.sample]]
line = 'login jean dupont'
expect = [{ kind = "usr", text = "jean" }]
[[rule.sample]]
line = 'login'
none = true

[[rule]]
id = "wide"
description = "the whole rest"
kind = "usr"
literals = ["login"]
pattern = 'login (?P<usr>.*)'
source = "test"
[[rule.sample]]
line = 'login jean'
expect = [{ kind = "usr", text = "jean" }]
[[rule.sample]]
line = 'login  '
none = true
"#;

    #[test]
    fn failures_and_overlaps_are_reported() {
        let rules = rules::schema::parse("pair.toml", PAIR).expect("well formed");
        let report = run(&rules).expect("compiles");
        let usr = |text: &str| Expected { kind: "usr".to_owned(), text: text.to_owned() };
        assert_eq!(report.samples, 4);
        assert_eq!(
            report.failures,
            [SampleFailure {
                rule: "wide".to_owned(),
                place: "pair.toml:27".to_owned(),
                expected: vec![],
                found: vec![usr(" ")],
            }]
        );
        assert_eq!(
            report.overlaps,
            [Overlap {
                rule: "wide".to_owned(),
                sample_of: "narrow".to_owned(),
                place: "pair.toml:10".to_owned(),
                found: vec![usr("jean dupont")],
            }]
        );
    }

    #[test]
    fn a_file_of_the_operator_replaces_the_builtin_one() {
        let text = PAIR.split("[[rule]]\nid = \"wide\"").next().expect("first half").to_owned();
        let rules = rules::load(&[RuleFile { path: "sshd.toml".to_owned(), text }]).expect("loads");
        assert!(rules.iter().any(|rule| rule.id == "narrow"));
        assert!(!rules.iter().any(|rule| rule.id.starts_with("sshd-")));
        assert!(rules.iter().any(|rule| rule.file == "pam.toml"));
    }

    /// Long lines made for each rule, as a client can write them. If the time grew with the square of the
    /// length, half a megabyte would take 3 s and more; it takes some 20 ms.
    #[test]
    fn hostile_lines_take_linear_time() {
        let rules = builtin();
        let also = rules.iter().flat_map(|rule| rule.kinds.iter().cloned()).collect();
        let compiled = AccountRules::compile(&rules, &mut Kinds::default(), &also).expect("compiles");
        let mut scratch = AccountScratch::default();
        let mut texts: Vec<String> = ["Invalid user ", "user=<", "aa:", " "].map(String::from).to_vec();
        for rule in &rules {
            let hits = rule.samples.iter().filter(|sample| !sample.expect.is_empty());
            // Text that begins like a finding, before one: a pattern must not search far for its end in vain.
            texts.extend(hits.map(|sample| format!("{} {} ", rule.literals.join(" "), sample.line)));
        }
        for text in texts {
            let line = text.repeat((1 << 19) / text.len());
            let start = Instant::now();
            compiled.find(line.as_bytes(), &Record::raw(line.as_bytes()), &mut scratch, &mut |_, _, _| {});
            assert!(start.elapsed() < Duration::from_millis(1500), "{text}: {:?}", start.elapsed());
        }
    }
}
