//! Loads rules as a filter would, and runs every sample of every rule.

use super::{recognition, retention_samples, rule_samples};
use crate::model::Expected;
use crate::primitives::diag::{Code, Diagnostic};
use crate::rules::{self, RuleFile};

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// The number of identifier rules.
    pub rules: usize,
    /// The number of retention classes.
    pub classes: usize,
    /// The number of samples run.
    pub samples: usize,
    /// Problems that a person must solve.
    pub problems: Vec<Diagnostic>,
}

/// Checks the built-in rules together with these files. A file replaces the built-in file of its name.
#[must_use]
pub fn run(identifiers: &[RuleFile], retention: &[RuleFile]) -> CheckReport {
    let mut report = CheckReport::default();
    check_identifiers(identifiers, &mut report);
    check_retention(retention, &mut report);
    report
}

/// The contents of a rule file, as its top-level keys tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Rules that find identifiers.
    Identifiers,
    /// Retention classes.
    Retention,
    /// Neither: it could be a configuration.
    Other,
}

/// Returns what `text` contains.
#[must_use]
pub fn about(text: &str) -> About {
    match text.parse::<toml::Table>() {
        Ok(table) if table.contains_key("rule") => About::Identifiers,
        Ok(table) if table.contains_key("class") => About::Retention,
        Ok(_) => About::Other,
        // The text is not TOML. Guess what it should be, so that the message names a line.
        Err(_) if text.contains("[[rule") => About::Identifiers,
        Err(_) if text.contains("[class.") || text.contains("[[class.") => About::Retention,
        Err(_) => About::Other,
    }
}

fn check_identifiers(files: &[RuleFile], report: &mut CheckReport) {
    let rules = match rules::load(files) {
        Ok(rules) => rules,
        Err(error) => return report.problems.push(Diagnostic::from(&error)),
    };
    report.rules = rules.len();
    match rule_samples::run(&rules) {
        Ok(samples) => {
            report.samples += samples.samples;
            report.problems.extend(samples.failures.iter().map(Diagnostic::from));
            report.problems.extend(samples.overlaps.iter().map(Diagnostic::from));
        }
        Err(error) => report.problems.push(Diagnostic::from(&error)),
    }
}

fn check_retention(files: &[RuleFile], report: &mut CheckReport) {
    let rules = match recognition::load_retention(files) {
        Ok(rules) => rules,
        Err(error) => return report.problems.push(Diagnostic::from(&error)),
    };
    report.classes = rules.classes.len();
    if let Some(samples) = retention_samples::run(&rules) {
        report.samples += samples.samples;
        report.problems.extend(samples.diagnostics());
    }
}

impl From<&rule_samples::SampleFailure> for Diagnostic {
    fn from(failure: &rule_samples::SampleFailure) -> Self {
        Self::new(&SAMPLE, format!("a sample of rule `{}` fails", failure.rule))
            .at(failure.place.clone())
            .because(format!("expected {}, found {}", shown(&failure.expected), shown(&failure.found)))
            .hint("mend the pattern, or the sample if the pattern is right")
    }
}

impl From<&rule_samples::Overlap> for Diagnostic {
    fn from(overlap: &rule_samples::Overlap) -> Self {
        let rules = format!("rule `{}` finds something in a sample of `{}`", overlap.rule, overlap.sample_of);
        Self::new(&OVERLAP, rules)
            .at(overlap.place.clone())
            .because(format!("it finds {}, which the sample does not expect", shown(&overlap.found)))
            .hint("narrow its literals, programs or pattern, or expect it in the sample")
    }
}

/// Lists findings in clear. Samples are configuration, so their contents may be shown.
fn shown(findings: &[Expected]) -> String {
    if findings.is_empty() {
        return "nothing".to_owned();
    }
    let findings = findings.iter().map(|finding| format!("{} `{}`", finding.kind, finding.text));
    findings.collect::<Vec<_>>().join(", ")
}

/// R05: a sample of an identifier rule that fails.
pub static SAMPLE: Code = Code {
    id: "R05",
    title: "a sample of an identifier rule fails",
    text: "\
What it means
  In one of its own samples, a rule finds something else than the sample expects.

Why it matters
  Samples show that a rule does what it says. A rule whose sample fails finds too little, so that
  identifiers stay in clear, or too much.

Example
  a `[[rule.sample]]` with `none = true` in which the pattern hits

What to do
  1. Correct the pattern; or the sample, if the pattern is right.
  2. Run `oubliette check` again.

References
  ARCHITECTURE.md, \"Rules are data\"",
};

/// R06: two identifier rules that overlap.
pub static OVERLAP: Code = Code {
    id: "R06",
    title: "an identifier rule finds something in another rule's sample",
    text: "\
What it means
  `oubliette check` runs every rule over the samples of all other rules. In one of them, this rule
  finds something that the sample does not expect.

Why it matters
  The two rules read the same message differently. One of them is wrong about the kind of the
  identifier, or about where it ends. Equal identifiers would then get different tokens.

Example
  'user=(?P<usr>\\S+)' with the literal `user=` in no particular program

What to do
  Narrow the rule that finds more: name its programs, use longer literals, or write a stricter
  pattern. If it is right, add what it finds to `expect` of the sample.

References
  ARCHITECTURE.md, \"Rules are data\"",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> RuleFile {
        RuleFile { path: name.to_owned(), text: text.to_owned() }
    }

    fn codes(report: &CheckReport) -> Vec<&'static str> {
        report.problems.iter().map(|problem| problem.code.id).collect()
    }

    const RULE: &str = r#"
        [[rule]]
        id = "example-login"
        description = "login of the example daemon"
        kind = "usr"
        literals = ["example login by "]
        pattern = 'example login by (?P<usr>\S+)'
        source = "exampled(8)"
        [[rule.sample]]
        line = 'exampled[7]: example login by jean'
        expect = [{ kind = "usr", text = "TEXT" }]
        [[rule.sample]]
        line = 'exampled[7]: example login refused'
        none = true
    "#;

    #[test]
    fn what_ships_is_clean() {
        let report = run(&[], &[]);
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
        assert!(report.rules > 0 && report.classes > 0 && report.samples > 0);
    }

    #[test]
    fn a_failing_sample_is_found_and_a_good_one_is_not() {
        let good = run(&[file("example.toml", &RULE.replace("TEXT", "jean"))], &[]);
        assert_eq!(codes(&good), [""; 0]);
        let bad = run(&[file("example.toml", &RULE.replace("TEXT", "jea"))], &[]);
        assert_eq!(codes(&bad), ["R05"]);
        assert_eq!(bad.problems[0].place.as_deref(), Some("example.toml:10"));
    }

    #[test]
    fn a_greedy_rule_overlaps() {
        // `Invalid user alice from` is a sample of the sshd rules, which find only the name.
        let greedy = RULE.replace("[\"example login by \"]", "[\"Invalid user \"]");
        let greedy = greedy.replace("'example login by (?P<usr>\\S+)'", "'(?P<usr>Invalid) user '");
        let greedy = greedy.replace("example login by jean", "Invalid user").replace("TEXT", "Invalid");
        let greedy = greedy.replace("exampled[7]: Invalid user'", "exampled[7]: Invalid user '");
        let found = codes(&run(&[file("greedy.toml", &greedy)], &[]));
        assert!(found.contains(&"R06") && found.iter().all(|code| *code == "R06"), "{found:?}");
    }

    #[test]
    fn what_does_not_load_is_a_problem_of_its_own() {
        assert_eq!(codes(&run(&[file("x.toml", "[[rule]]\nidd = 1")], &[])), ["R01"]);
        assert_eq!(codes(&run(&[], &[file("x.toml", "[class.x]\nkeeep = 1")])), ["R20"]);
    }

    #[test]
    fn what_a_file_is_about() {
        for (text, expected) in [
            ("[[rule]]\nid = 'x'", About::Identifiers),
            ("zone = 'UTC'\n[class.x]\nkeep = '1 day'", About::Retention),
            ("zone = 'UTC'", About::Other),
            ("", About::Other),
            ("[[rule]]\nid = ", About::Identifiers),
            ("[class.x]\nkeep = ", About::Retention),
            ("zone = ", About::Other),
        ] {
            assert_eq!(about(text), expected, "{text}");
        }
    }
}
