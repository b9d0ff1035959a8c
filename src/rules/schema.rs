//! The schema of identifier rule files, and the checks that a rule must pass before it is used.

use super::{OneOrMany, RulesError, line_of};
use crate::model::{Expected, Format, IdentifierRule, IdentifierSample, Kinds, Pattern};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// Parses the rules of one file. `file` is its name in messages.
///
/// # Errors
/// Returns the first error in the file.
pub fn parse(file: &str, text: &str) -> Result<Vec<IdentifierRule>, RulesError> {
    read(file, text, Patterns::Unknown)
}

/// Parses the rules of a built-in file without compiling their patterns, which a test has checked. Compiling them here
/// took two thirds of the start-up time of a filter; a filter compiles the patterns that it needs.
///
/// # Errors
/// The same as [`parse`], except for errors in patterns.
pub(super) fn parse_builtin(file: &str, text: &str) -> Result<Vec<IdentifierRule>, RulesError> {
    read(file, text, Patterns::Right)
}

fn read(file: &str, text: &str, patterns: Patterns) -> Result<Vec<IdentifierRule>, RulesError> {
    let document: Document = toml::from_str(text)
        .map_err(|source| RulesError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
    let lines = Lines { file, text };
    document.rule.into_iter().map(|rule| rule.check(&lines, patterns)).collect()
}

/// Whether the patterns of a file are known to be right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patterns {
    Right,
    Unknown,
}

/// Compiles the pattern of a rule for matching bytes, so that invalid UTF-8 in a line hides nothing from
/// `.`. Here `.` is any byte, because a message framed by octet counting may contain a line feed.
///
/// # Errors
/// Fails if the pattern is malformed or too big.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).dot_matches_new_line(true).build()
}

/// Kinds that are reserved for the built-in detectors, because their canonical bytes are not the text.
const RESERVED_KINDS: [&str; 5] = ["ip", "net", "em", "fk", "qr"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rule: Vec<RuleTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    id: Spanned<String>,
    description: String,
    kind: OneOrMany,
    #[serde(default)]
    program: Vec<String>,
    #[serde(default)]
    format: Vec<String>,
    literals: Vec<String>,
    pattern: Spanned<String>,
    source: String,
    #[serde(default)]
    sample: Vec<SampleTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleTable {
    line: Spanned<String>,
    #[serde(default)]
    expect: Vec<ExpectTable>,
    #[serde(default)]
    none: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectTable {
    kind: String,
    text: String,
}

impl RuleTable {
    fn check(self, lines: &Lines, patterns: Patterns) -> Result<IdentifierRule, RulesError> {
        let at = Place { lines, rule: self.id.get_ref().clone(), offset: self.id.span().start };
        if !is_rule_id(self.id.get_ref()) {
            return Err(at.wrong("its `id` is not made of `a-z`, `0-9` and `-`"));
        }
        if [&self.description, &self.source].iter().any(|text| text.trim().is_empty()) {
            return Err(at.wrong("`description` or `source` is empty"));
        }
        let kinds = check_kinds(self.kind.into_texts(), &at)?;
        if patterns == Patterns::Unknown {
            check_pattern(&self.pattern, &kinds, &at)?;
        }
        let programs = check_programs(&self.program, &at)?;
        if self.literals.iter().any(String::is_empty) {
            return Err(at.wrong("an empty text in `literals` is in every line"));
        }
        let formats = check_formats(&self.format, &at)?;
        let samples = check_samples(self.sample, &kinds, &at)?;
        Ok(IdentifierRule {
            line_number: at.line_number(),
            id: self.id.into_inner(),
            description: self.description,
            kinds,
            programs,
            formats,
            literals: self.literals,
            pattern: self.pattern.into_inner(),
            source: self.source,
            file: lines.file.to_owned(),
            samples,
        })
    }
}

fn is_rule_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn check_programs(names: &[String], at: &Place) -> Result<Vec<Pattern>, RulesError> {
    let check = |name: &String| match Pattern::new(name) {
        None | Some(Pattern::Suffix(_)) => {
            Err(at.wrong(format!("`{name}` in `program`: a `*` may only end a name")))
        }
        Some(pattern) => Ok(pattern),
    };
    names.iter().map(check).collect()
}

fn check_kinds(kinds: Vec<String>, at: &Place) -> Result<Vec<String>, RulesError> {
    if kinds.is_empty() {
        return Err(at.wrong("`kind` is empty"));
    }
    for kind in &kinds {
        if RESERVED_KINDS.contains(&kind.as_str()) {
            return Err(at.wrong(format!("kind `{kind}` is found by the built-in detectors only")));
        }
        if Kinds::default().intern(kind).is_none() {
            let limit = Kinds::MAX_NAME_BYTES;
            return Err(at.wrong(format!("kind `{kind}` is not 1 to {limit} letters of `a-z`")));
        }
    }
    Ok(kinds)
}

/// Checks that every group belongs to a declared kind, and that every declared kind has a group. A typo in the
/// name of a group would otherwise create a kind that nobody asks for, and so a leak.
fn check_pattern(pattern: &Spanned<String>, kinds: &[String], at: &Place) -> Result<(), RulesError> {
    let at = at.moved(pattern.span().start);
    let regex = regex(pattern.get_ref()).map_err(|source| RulesError::Pattern {
        file: at.lines.file.to_owned(),
        line_number: at.line_number(),
        rule: at.rule.clone(),
        source: Box::new(source),
    })?;
    let named: BTreeSet<&str> = regex.capture_names().flatten().map(IdentifierRule::kind_of).collect();
    if let Some(stray) = named.iter().find(|kind| !kinds.iter().any(|declared| declared == *kind)) {
        return Err(at.wrong(format!("a group of `pattern` is named `{stray}`, which `kind` does not list")));
    }
    match kinds.iter().find(|kind| !named.contains(kind.as_str())) {
        Some(kind) => Err(at.wrong(format!("no group of `pattern` is named `{kind}`"))),
        None => Ok(()),
    }
}

fn check_formats(names: &[String], at: &Place) -> Result<Vec<Format>, RulesError> {
    let mut formats = Vec::new();
    for name in names {
        match Format::group(name) {
            Some(group) => formats.extend_from_slice(group),
            None => return Err(at.wrong(format!("`{name}` in `format` is not the name of a format"))),
        }
    }
    Ok(formats)
}

fn check_samples(
    samples: Vec<SampleTable>,
    kinds: &[String],
    at: &Place,
) -> Result<Vec<IdentifierSample>, RulesError> {
    let samples = samples
        .into_iter()
        .map(|sample| check_sample(sample, kinds, at))
        .collect::<Result<Vec<IdentifierSample>, RulesError>>()?;
    if samples.iter().all(|sample| sample.expect.is_empty()) {
        return Err(at.wrong("it has no sample with `expect`: a line that it must hit"));
    }
    if samples.iter().all(|sample| !sample.expect.is_empty()) {
        return Err(at.wrong("it has no sample with `none = true`: a line that it must leave alone"));
    }
    Ok(samples)
}

fn check_sample(sample: SampleTable, kinds: &[String], at: &Place) -> Result<IdentifierSample, RulesError> {
    let at = at.moved(sample.line.span().start);
    if sample.expect.is_empty() != sample.none {
        return Err(at.wrong("a sample has either `expect` or `none = true`"));
    }
    for expected in &sample.expect {
        if !kinds.contains(&expected.kind) {
            return Err(
                at.wrong(format!("the sample expects kind `{}`, not one of the rule's", expected.kind))
            );
        }
        if expected.text.is_empty() || !sample.line.get_ref().contains(&expected.text) {
            return Err(at.wrong("the sample expects a text that its line does not contain"));
        }
    }
    let expect =
        sample.expect.into_iter().map(|ExpectTable { kind, text }| Expected { kind, text }).collect();
    Ok(IdentifierSample { line_number: at.line_number(), line: sample.line.into_inner(), expect })
}

/// A rule file, for turning offsets into line numbers.
struct Lines<'a> {
    file: &'a str,
    text: &'a str,
}

/// The place of an error in a rule file.
struct Place<'a> {
    lines: &'a Lines<'a>,
    rule: String,
    offset: usize,
}

impl Place<'_> {
    fn moved(&self, offset: usize) -> Self {
        Self { lines: self.lines, rule: self.rule.clone(), offset }
    }

    fn line_number(&self) -> usize {
        line_of(self.lines.text, self.offset)
    }

    fn wrong(&self, why: impl Into<String>) -> RulesError {
        RulesError::Rule {
            file: self.lines.file.to_owned(),
            line_number: self.line_number(),
            rule: self.rule.clone(),
            why: why.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::diag::Diagnostic;

    const GOOD: &str = r#"# a rule file
[[rule]]
id = "example"
description = "log-in"
kind = "usr"
program = ["exampled", "example-*"]
format = ["access", "raw"]
literals = ["login "]
pattern = 'login (?P<usr>\w+)'
source = "exampled(8)"

[[rule.sample]]
line = 'login jean'
expect = [{ kind = "usr", text = "jean" }]

[[rule.sample]]
line = 'logout'
none = true
"#;

    fn refusal(from: &str, to: &str) -> RulesError {
        assert!(GOOD.contains(from), "{from}");
        parse("my.toml", &GOOD.replacen(from, to, 1)).expect_err(to)
    }

    #[test]
    fn a_rule_is_read_as_it_stands() {
        let rules = parse("my.toml", GOOD).expect("well formed");
        let [rule] = &rules[..] else { panic!("{rules:?}") };
        assert_eq!((rule.id.as_str(), rule.file.as_str(), rule.line_number), ("example", "my.toml", 3));
        assert_eq!(rule.kinds, ["usr"]);
        assert_eq!(rule.programs, ["exampled", "example-*"].map(|name| Pattern::new(name).unwrap()));
        assert_eq!(rule.formats, [Format::Clf, Format::Combined, Format::VhostCombined, Format::Raw]);
        assert_eq!(rule.literals, ["login "]);
        let [hit, miss] = &rule.samples[..] else { panic!("{rule:?}") };
        assert_eq!(hit.expect, [Expected { kind: "usr".to_owned(), text: "jean".to_owned() }]);
        assert_eq!((hit.line.as_str(), hit.line_number, miss.line_number), ("login jean", 13, 17));
        assert_eq!(miss.expect, []);
    }

    #[test]
    fn scopes_may_be_left_out_and_kinds_be_many() {
        let text = GOOD
            .replace("program = [\"exampled\", \"example-*\"]\nformat = [\"access\", \"raw\"]\n", "")
            .replace("kind = \"usr\"\n", "kind = [\"usr\", \"badge\"]\n")
            .replace(r"(?P<usr>\w+)", r"(?P<usr>\w+)(?P<usr_2>)(?P<badge_of_2>\d*)");
        let rules = parse("my.toml", &text).expect("well formed");
        assert_eq!(rules[0].kinds, ["usr", "badge"]);
        assert!(rules[0].programs.is_empty() && rules[0].formats.is_empty());
        assert_eq!(parse("empty.toml", "").expect("no rules"), []);
    }

    #[test]
    fn an_unknown_key_is_shown_in_its_line() {
        let error = refusal("literals =", "literal =");
        let shown = Diagnostic::from(&error);
        assert_eq!(shown.code.id, "R01");
        assert_eq!(shown.place.as_deref(), Some("my.toml"));
        let why = shown.why.expect("a reason");
        assert!(why.contains("line 8, column 1"), "{why}");
        assert!(why.contains("8 | literal = [\"login \"]"), "{why}");
        assert!(why.contains("^^^^^^^"), "{why}");
        assert!(why.contains("unknown field `literal`"), "{why}");
    }

    #[test]
    fn what_is_not_toml_or_of_the_wrong_shape() {
        for (from, to, why) in [
            ("# a rule file", "title = 7", "unknown field `title`"),
            ("none = true", "nothing = true", "unknown field `nothing`"),
            ("text = \"jean\"", "test = \"jean\"", "unknown field `test`"),
            ("source = \"exampled(8)\"\n", "", "missing field `source`"),
            ("literals = [\"login \"]\n", "", "missing field `literals`"),
            ("kind = \"usr\"", "kind = 7", "a text or a list of texts"),
            ("literals = [\"login \"]", "literals = \"login \"", "expected a sequence"),
            ("id = \"example\"", "id = \"example", "invalid basic string"),
        ] {
            let error = refusal(from, to);
            assert!(matches!(error, RulesError::Syntax { .. }), "{to}: {error}");
            assert!(error.to_string().contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_meant() {
        // (from, to, line of the message, a part of it)
        for (from, to, line, why) in [
            ("id = \"example\"", "id = \"Example\"", 3, "its `id`"),
            ("\"log-in\"", "\" \"", 3, "`description` or `source`"),
            ("kind = \"usr\"", "kind = []", 3, "`kind` is empty"),
            ("kind = \"usr\"", "kind = \"ip\"", 3, "built-in detectors only"),
            ("kind = \"usr\"", "kind = [\"usr\", \"em\"]", 3, "built-in detectors only"),
            ("kind = \"usr\"", "kind = \"Usr\"", 3, "letters of `a-z`"),
            ("kind = \"usr\"", "kind = \"employees\"", 3, "letters of `a-z`"),
            ("kind = \"usr\"", "kind = \"host\"", 9, "named `usr`, which `kind` does not list"),
            ("kind = \"usr\"", "kind = [\"usr\", \"host\"]", 9, "no group of `pattern` is named `host`"),
            ("(?P<usr>", "(?P<user>", 9, "named `user`"),
            ("(?P<usr>", "(", 9, "no group of `pattern` is named `usr`"),
            ("example-*", "*-example", 3, "a `*` may only end a name"),
            ("\"raw\"", "\"rawish\"", 3, "not the name of a format"),
            ("[\"login \"]", "[\"login \", \"\"]", 3, "empty text in `literals`"),
            ("none = true", "", 17, "either `expect` or `none"),
            ("none = true", "none = true\nexpect = [{ kind = \"usr\", text = \"logout\" }]", 17, "either"),
            ("none = true", "expect = [{ kind = \"usr\", text = \"logout\" }]", 3, "no sample with `none"),
            ("expect = [{ kind = \"usr\", text = \"jean\" }]", "none = true", 3, "no sample with `expect`"),
            ("{ kind = \"usr\"", "{ kind = \"host\"", 13, "not one of the rule's"),
            ("text = \"jean\"", "text = \"jane\"", 13, "does not contain"),
        ] {
            let error = refusal(from, to);
            let RulesError::Rule { line_number, rule, .. } = &error else { panic!("{to}: {error:?}") };
            assert_eq!((*line_number, rule.to_lowercase().as_str()), (line, "example"), "{to}: {error}");
            assert!(error.to_string().contains(why), "{to}: {error}");
            assert_eq!(Diagnostic::from(&error).code.id, "R03");
        }
    }

    #[test]
    fn a_pattern_that_does_not_compile() {
        for pattern in [r"(?P<usr>(?!x)\w+)", "(?P<usr>", "(?P<usr>a)(?P<usr>b)", r"(?P<usr>\p{Greek})"] {
            let error = refusal(r"login (?P<usr>\w+)", pattern);
            assert!(matches!(error, RulesError::Pattern { line_number: 9, .. }), "{pattern}: {error}");
            assert_eq!(Diagnostic::from(&error).code.id, "R02");
        }
    }
}
