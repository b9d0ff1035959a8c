//! Account names, client host names, MAC addresses, phone numbers: whatever the identifier rules find.
//!
//! One pass over the line searches for the literals of all rules. Only the patterns of rules whose literal
//! occurs, and whose scope fits, are run. Most lines end after the pass.

mod json;
mod literals;
mod placeholder;

use crate::model::{Format, IdentifierRule, Kind, Kinds, Pattern, Record, Span, TagPoint};
use crate::primitives::diag::{Code, Diagnostic};
use json::{has_strings, inner_string_left, is_string, string_left, string_length, strings, unquoted_end};
use literals::Literals;
use placeholder::is_placeholder;
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The selected identifier rules, compiled.
///
/// Clone this for each worker, because threads that share one take turns at its scratch memory.
#[derive(Clone, Debug)]
pub struct AccountRules {
    rules: Vec<CompiledRule>,
    literals: Literals,
    /// Distinguishes the scratch memory of these rules from that of others. Clones share it.
    generation: u64,
}

/// Memory of [`AccountRules::find`], kept between lines. Fits any rules; changing them costs one allocation.
#[derive(Debug, Default)]
pub struct AccountScratch {
    generation: u64,
    /// One bit per rule, set if its pattern has to be run.
    due: Vec<u64>,
    /// One entry per rule.
    locations: Vec<CaptureLocations>,
}

impl AccountRules {
    /// Compiles those of `rules` that find a kind named in `also`, ignoring the groups of other kinds.
    ///
    /// New kinds are added to `kinds` in the order of the rules, whether in `also` or not, so that the index
    /// of a kind does not depend on `also`.
    ///
    /// # Errors
    /// If a pattern does not compile (the loader of rule files has checked that it does), or there are too
    /// many kinds.
    pub fn compile(
        rules: &[IdentifierRule],
        kinds: &mut Kinds,
        also: &BTreeSet<String>,
    ) -> Result<Self, CompileError> {
        let mut compiled = Vec::new();
        let mut wakes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            if let Some(ready) = CompiledRule::new(index, rule, kinds, also)? {
                for literal in &rule.literals {
                    wakes.entry(literal).or_default().push(compiled.len());
                }
                compiled.push(ready);
            }
        }
        let always = (0..compiled.len()).filter(|&at| rules[compiled[at].index].literals.is_empty());
        let literals = Literals::new(&wakes, always.collect());
        Ok(Self { rules: compiled, literals, generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed) })
    }

    /// Returns whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Calls `emit` for each finding in `line`: the index of its rule in the slice that was compiled, its
    /// kind, and its span, which is not empty and lies inside the line.
    ///
    /// Findings come rule by rule. Those of different rules may overlap, even partly, and every byte of each
    /// has to be replaced. None crosses a place where a tag is or may go: the end of a JSON string, either
    /// end of STRUCTURED-DATA, or the start of a tag at the end of the line.
    pub fn find(
        &self,
        line: &[u8],
        record: &Record,
        scratch: &mut AccountScratch,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        if self.is_empty() {
            return;
        }
        scratch.fit(self);
        if !self.literals.wake(line, &mut scratch.due) {
            return;
        }
        let program = record.program.map(|span| span.of(line));
        for word_index in 0..scratch.due.len() {
            let mut word = std::mem::take(&mut scratch.due[word_index]);
            while word != 0 {
                let at = word_index * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                let rule = &self.rules[at];
                if rule.reads(program, record) {
                    rule.find(line, record, &mut scratch.locations[at], emit);
                }
            }
        }
    }
}

impl AccountScratch {
    fn fit(&mut self, rules: &AccountRules) {
        if self.generation != rules.generation {
            self.generation = rules.generation;
            self.due = vec![0; rules.rules.len().div_ceil(64)];
            self.locations = rules.rules.iter().map(|rule| rule.regex.capture_locations()).collect();
        }
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
struct CompiledRule {
    /// Its index among all rules, compiled or not.
    index: usize,
    regex: Regex,
    /// Capture groups of the selected kinds.
    groups: Vec<(usize, Kind)>,
    programs: Vec<Pattern>,
    formats: Vec<Format>,
    /// Whether the pattern asks where the text ends.
    ends: bool,
}

impl CompiledRule {
    /// Compiles a rule. Returns `None` if no group is of a kind in `also`.
    fn new(
        index: usize,
        rule: &IdentifierRule,
        kinds: &mut Kinds,
        also: &BTreeSet<String>,
    ) -> Result<Option<Self>, CompileError> {
        for kind in &rule.kinds {
            kinds
                .intern(kind)
                .ok_or_else(|| CompileError::Kind { place: place(rule), kind: kind.clone() })?;
        }
        if !rule.kinds.iter().any(|kind| also.contains(kind)) {
            return Ok(None);
        }
        // The same settings as the check in the loader of rule files: on bytes, with `.` matching any byte.
        let regex = RegexBuilder::new(&rule.pattern)
            .unicode(false)
            .dot_matches_new_line(true)
            .build()
            .map_err(|source| CompileError::Pattern { place: place(rule), source: Box::new(source) })?;
        let groups: Vec<(usize, Kind)> = regex
            .capture_names()
            .enumerate()
            .filter_map(|(group, name)| Some((group, IdentifierRule::kind_of(name?))))
            .filter(|(_, kind)| also.contains(*kind))
            .filter_map(|(group, kind)| Some((group, kinds.find(kind)?)))
            .collect();
        let (programs, formats) = (rule.programs.clone(), rule.formats.clone());
        let ends = rule.pattern.contains('$');
        Ok(Some(Self { index, regex, groups, programs, formats, ends }))
    }

    /// Returns whether a line of this program and record is in the scope of the rule. A line that names no
    /// program is in the scope of every program, because a leak is worse than a false positive.
    fn reads(&self, program: Option<&[u8]>, record: &Record) -> bool {
        let program_fits = self.programs.is_empty()
            || program.is_none_or(|name| self.programs.iter().any(|program| program.fits(name)));
        program_fits && (self.formats.is_empty() || self.formats.iter().any(|&format| record.is(format)))
    }

    /// Emits all findings of this rule.
    fn find(
        &self,
        line: &[u8],
        record: &Record,
        locations: &mut CaptureLocations,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        if !has_strings(line, record) {
            return self.find_in(line, 0..line.len(), record, locations, None, emit);
        }
        let (mut found, mut crosses) = (Vec::new(), self.ends);
        let mut keep = |_: usize, kind: Kind, span: Span| found.push((span, kind));
        self.find_in(line, 0..line.len(), record, locations, Some(&mut crosses), &mut keep);
        if crosses {
            // Each string may be a text of its own, and says then where its names end.
            let of_line = std::mem::take(&mut found);
            for string in strings(line) {
                let mut keep = |_: usize, kind: Kind, span: Span| found.push((span, kind));
                self.find_in(line, string, record, locations, None, &mut keep);
            }
            found.sort_unstable();
            let among = found.len();
            for (span, kind) in of_line {
                let before = found[..among].partition_point(|(other, _)| other.start < span.end);
                if !found[..before].last().is_some_and(|(other, _)| other.overlaps(span)) {
                    found.push((span, kind));
                }
            }
        }
        found.into_iter().for_each(|(span, kind)| emit(self.index, kind, span));
    }

    /// Emits the findings in `range` of a line, as if the line ended there. With `crosses`, sets that instead
    /// for a match that extends over more than a string of JSON, unless it names somebody by a whole string.
    fn find_in(
        &self,
        line: &[u8],
        range: Range<usize>,
        record: &Record,
        locations: &mut CaptureLocations,
        mut crosses: Option<&mut bool>,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        let json = has_strings(line, record);
        let text = &line[..range.end];
        let mut from = range.start;
        let mut budget = MAX_SEARCHED_BYTES;
        while from <= text.len() {
            let Some(left) = budget.checked_sub((text.len() - from) as u64) else {
                return self.take_the_rest(line, record, from, emit);
            };
            budget = left;
            let Some(whole) = self.regex.captures_read_at(locations, text, from) else { break };
            if let Some(crosses) = &mut crosses
                && let Some(end) = string_left(line, whole.range())
                && !self.names_strings(line, locations)
            {
                **crosses = true;
                from = end.max(from + 1);
                continue;
            }
            let (mut last_end, mut left) = (None, None);
            for &(group, kind) in &self.groups {
                let Some((start, end)) = locations.get(group).filter(|(start, end)| start < end) else {
                    continue;
                };
                last_end = last_end.max(Some(end));
                let inner = if json { inner_string_left(line, start..end) } else { None };
                left = left.or(inner.as_ref().map(|inner| inner.end));
                let end = inner.map_or_else(|| unquoted_end(line, start, end, json), |inner| inner.start);
                for_each_piece(line, record, start, end, &mut |span| {
                    if !is_placeholder(kind, span.of(line)) {
                        emit(self.index, kind, span);
                    }
                });
            }
            // Text after the last group may introduce the next match; but only a little, or a line of many
            // matches would be read many times.
            let context = last_end.filter(|end| whole.end() - end <= MAX_REREAD_BYTES);
            let next = left.or(context).unwrap_or(whole.end());
            from = if next > from { next } else { from + 1 };
        }
    }

    /// Returns whether a match names somebody, by nothing but whole strings of JSON.
    fn names_strings(&self, line: &[u8], locations: &CaptureLocations) -> bool {
        let groups = self.groups.iter().filter_map(|&(group, _)| locations.get(group));
        let mut names = groups.filter(|(start, end)| start < end).peekable();
        names.peek().is_some() && names.all(|(start, end)| is_string(line, start, end))
    }

    /// Emits the whole rest of a line that is too costly to search, because a leak is worse. In JSON, emits
    /// the content of every remaining string.
    fn take_the_rest(
        &self,
        line: &[u8],
        record: &Record,
        from: usize,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        let Some(&(_, kind)) = self.groups.first() else { return };
        let mut emit = |span| emit(self.index, kind, span);
        if !has_strings(line, record) {
            return for_each_piece(line, record, from, line.len(), &mut emit);
        }
        let mut start = 0;
        while let Some(quote) = memchr::memchr(b'"', &line[start..]) {
            let content = start + quote + 1;
            let end = content + string_length(&line[content..]);
            if from < end {
                for_each_piece(line, record, content.max(from), end, &mut emit);
            }
            start = line.len().min(end + 1);
        }
    }
}

/// Most bytes that a rule may search in one line, where each search counts up to the end of the line.
///
/// A single search is linear, but a pattern that reads far beyond its matches is not, on a line with many of
/// them, and the line would hold up all others. 4096 findings of one rule in a line of 1 MiB reach this
/// limit.
const MAX_SEARCHED_BYTES: u64 = 1 << 31;

/// Most bytes of a match after its last group that are offered to the next match.
const MAX_REREAD_BYTES: usize = 64;

/// Cuts `start..end` so that no piece crosses a place where a tag is or may go. In JSON an identifier ends
/// with its string; around STRUCTURED-DATA, and before a tag at the end of the line, it is cut in two.
fn for_each_piece(
    line: &[u8],
    record: &Record,
    mut start: usize,
    mut end: usize,
    emit: &mut dyn FnMut(Span),
) {
    if has_strings(line, record) {
        end = start + string_length(&line[start..end]);
    }
    let (first, second) = match record.tag {
        TagPoint::StructuredData { elements } => (elements.start as usize, elements.end as usize),
        _ => (end, end),
    };
    let third = if end == line.len() { tag_start(line) } else { end };
    for cut in [first, second, third] {
        if start < cut && cut < end {
            emit(Span::new(start, cut));
            start = cut;
        }
    }
    if start < end {
        emit(Span::new(start, end));
    }
}

/// Returns the start of ` expires=2027-11-24 class=connection` (and ` clock=received`) at the end of `line`;
/// the length of the line if there is none.
fn tag_start(line: &[u8]) -> usize {
    let whole = line.len();
    let line = line.strip_suffix(b" clock=received").unwrap_or(line);
    let is_class = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let class = line.iter().rev().take(MAX_CLASS_BYTES).take_while(|byte| is_class(byte)).count();
    let Some(line) = line[..line.len() - class].strip_suffix(b" class=") else { return whole };
    let expires = line.iter().rev().take(MAX_EXPIRES_BYTES).take_while(|byte| is_class(byte)).count();
    line[..line.len() - expires].strip_suffix(b" expires=").map_or(whole, <[u8]>::len)
}

/// Length of the longest class name.
const MAX_CLASS_BYTES: usize = 64;

/// Length of a date, which is longer than the word `contract`.
const MAX_EXPIRES_BYTES: usize = 10;

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

fn place(rule: &IdentifierRule) -> String {
    format!("{}:{}", rule.file, rule.line_number)
}

/// The reasons why rules do not compile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A pattern is malformed or too big.
    #[error("{place}: {source}")]
    Pattern {
        /// File and line of the rule.
        place: String,
        /// The error in the pattern.
        source: Box<regex::Error>,
    },
    /// The name of a kind is malformed, or there are 255 kinds already.
    #[error("{place}: no room for kind {kind}")]
    Kind {
        /// File and line of the rule.
        place: String,
        /// The name of the kind.
        kind: String,
    },
}

impl From<&CompileError> for Diagnostic {
    fn from(error: &CompileError) -> Self {
        let diagnostic = Self::new(&COMPILE, "the identifier rules do not compile");
        match error {
            CompileError::Pattern { place, source } => diagnostic.at(place).because(source.to_string()),
            CompileError::Kind { place, kind } => {
                diagnostic.at(place).because(format!("kind `{kind}` is malformed, or one too many (255)"))
            }
        }
        .hint("take rules out of the rule files until they fit; `oubliette check` tries")
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&COMPILE];

static COMPILE: Code = Code {
    id: "R04",
    title: "the identifier rules do not compile",
    text: "\
What it means
  Each rule loads. But together, or once compiled, they exceed a limit: a pattern of more than 10
  MiB, or more than 255 kinds.

Why it matters
  Leaving a rule out would let its identifiers through. So oubliette does not start.

Example
  pattern = '(?P<usr>.{1,1000}){1,1000}'

What to do
  1. Shorten the counted repetitions in the pattern, or merge kinds that you need not tell apart.
  2. Run `oubliette check`. It compiles all rules.

References
  https://docs.rs/regex/latest/regex/struct.RegexBuilder.html#method.size_limit",
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(id: &str, kinds: &[&str], literals: &[&str], pattern: &str) -> IdentifierRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        IdentifierRule {
            id: id.to_owned(),
            description: "test".to_owned(),
            kinds: owned(kinds),
            programs: Vec::new(),
            formats: Vec::new(),
            literals: owned(literals),
            pattern: pattern.to_owned(),
            source: "test".to_owned(),
            file: "test.toml".to_owned(),
            line_number: 1,
            samples: Vec::new(),
        }
    }

    fn compile(rules: &[IdentifierRule], also: &[&str]) -> AccountRules {
        let also = also.iter().map(|kind| (*kind).to_owned()).collect();
        AccountRules::compile(rules, &mut Kinds::default(), &also).expect("test rules compile")
    }

    fn find<'l>(rules: &AccountRules, line: &'l [u8], record: &Record) -> Vec<(usize, Kind, &'l [u8])> {
        let mut found = Vec::new();
        rules.find(line, record, &mut AccountScratch::default(), &mut |rule, kind, span| {
            found.push((rule, kind, span.of(line)));
        });
        found
    }

    fn texts<'l>(rules: &[IdentifierRule], line: &'l [u8], record: &Record) -> Vec<&'l [u8]> {
        let rules = compile(rules, &["usr", "host", "mac"]);
        find(&rules, line, record).into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn groups_name_kinds() {
        let rules = [
            rule("a", &["host"], &["h="], r"h=(?P<host>\S+)"),
            rule("b", &["usr", "badge"], &["u="], r"u=(?P<usr>\w+):(?P<usr_2>\w*)(?:/(?P<badge>\d+))?"),
        ];
        let line = b"u=jean:root/42 h=pc u=bob:";
        let mut kinds = Kinds::default();
        let also = BTreeSet::from(["usr".to_owned(), "badge".to_owned()]);
        let compiled = AccountRules::compile(&rules, &mut kinds, &also).expect("compiles");
        let badge = kinds.find("badge").expect("interned");
        let expected: [(usize, Kind, &[u8]); 4] =
            [(1, Kind::USR, b"jean"), (1, Kind::USR, b"root"), (1, badge, b"42"), (1, Kind::USR, b"bob")];
        assert_eq!(find(&compiled, line, &Record::raw(line)), expected);
    }

    #[test]
    fn kinds_do_not_depend_on_what_is_asked_for() {
        let rules = [
            rule("a", &["alpha"], &["a="], "a=(?P<alpha>.)"),
            rule("b", &["beta"], &["b="], "b=(?P<beta>.)"),
        ];
        let (mut few, mut many) = (Kinds::default(), Kinds::default());
        let only_beta = BTreeSet::from(["beta".to_owned()]);
        let both = BTreeSet::from(["alpha".to_owned(), "beta".to_owned()]);
        AccountRules::compile(&rules, &mut few, &only_beta).expect("compiles");
        AccountRules::compile(&rules, &mut many, &both).expect("compiles");
        assert_eq!(few.find("beta"), many.find("beta"));
    }

    #[test]
    fn nothing_asked_for_finds_nothing() {
        let rules = compile(&[rule("a", &["usr"], &["u="], "u=(?P<usr>.*)")], &["host"]);
        assert!(rules.is_empty());
        assert_eq!(find(&rules, b"u=jean", &Record::raw(b"u=jean")), []);
    }

    #[test]
    fn scope() {
        let scoped = |programs: &[&str], formats: &[Format]| IdentifierRule {
            programs: programs.iter().map(|name| Pattern::new(name).unwrap()).collect(),
            formats: formats.to_vec(),
            ..rule("a", &["usr"], &["u="], r"u=(?P<usr>\S+)")
        };
        let line = b"postfix/smtpd: u=jean";
        let program = |length| Record { program: Some(Span::new(0, length)), ..Record::raw(line) };
        let json = Record { inner: Some(Format::Json), ..Record::raw(line) };
        // (programs, formats, record, read)
        let cases: [(&[&str], &[Format], Record, bool); 9] = [
            (&[], &[], program(13), true),
            (&["postfix/smtpd"], &[], program(13), true),
            (&["postfix/*"], &[], program(13), true),
            (&["sshd", "postfix*"], &[], program(13), true),
            (&["postfix"], &[], program(13), false),
            (&["Postfix/smtpd"], &[], program(13), false),
            (&["sshd"], &[], Record::raw(line), true),
            (&[], &[Format::Json], Record::raw(line), false),
            (&[], &[Format::Json], json, true),
        ];
        for (programs, formats, record, read) in cases {
            let found = texts(&[scoped(programs, formats)], line, &record);
            assert_eq!(found == [b"jean"], read, "{programs:?} {formats:?} {record:?}");
        }
    }

    #[test]
    fn literals_inside_others_wake_their_rules() {
        let rules = [
            rule("long", &["usr"], &["ruser="], r"ruser=(?P<usr>\S+)"),
            rule("short", &["host"], &["user="], r"user=(?P<host>\S+)"),
            rule("none", &["mac"], &[], r"(?P<mac>n{3})"),
        ];
        let line = b"ruser=nnn";
        assert_eq!(texts(&rules, line, &Record::raw(line)), [b"nnn"; 3]);
        assert_eq!(texts(&rules[..2], b"user", &Record::raw(b"user")), [b""; 0]);
    }

    #[test]
    fn words_that_name_nobody() {
        let rules = [rule("a", &["usr", "host"], &["u="], r"u=(?P<usr>\S*) h=(?P<host>\S*)")];
        for (line, expected) in [
            ("u= h=", &[][..]),
            ("u=- h=-", &[]),
            ("u=unknown h=unknown", &[]),
            ("u=(unknown) h=(unknown)", &[]),
            ("u=Unknown h=--", &["Unknown", "--"]),
            ("u=203.0.113.9 h=203.0.113.9", &["203.0.113.9"]),
            ("u=root h=2001:db8::9", &["root"]),
            ("u=null h=[IPv6:2001:db8::9]", &["null"]),
            ("u=? h=?", &[]),
            ("u=NOUSER h=pc", &["pc"]),
            ("u=unauthenticated h=pc", &["pc"]),
            ("u=nouser h=??", &["nouser", "??"]),
            ("u=anonymous h=203-0-113-9.example.net", &["anonymous", "203-0-113-9.example.net"]),
        ] {
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(texts(&rules, line.as_bytes(), &Record::raw(line.as_bytes())), expected, "{line}");
        }
    }

    #[test]
    fn findings_do_not_cross_places_of_tags() {
        let rules = [rule("a", &["usr"], &["u="], "u=(?P<usr>.*)")];
        let json = |line: &[u8]| Record { format: Format::Json, ..Record::raw(line) };
        let check = |line: &[u8], record: &Record, expected: &[&[u8]]| {
            assert_eq!(texts(&rules, line, record), expected, "{}", line.escape_ascii());
        };
        let line = br#"{"m":"u=a\\\"b\\","n":1}"#;
        check(line, &json(line), &[br#"a\\\"b\\"#]);
        let line = br#"{"m":"u=","n":1}"#;
        check(line, &json(line), &[]);
        let line = br#"{"m":"u=-","n":1}"#;
        check(line, &json(line), &[]);
        let line = br#"{"m":"u=cut off"#;
        check(line, &Record::raw(line), &[b"cut off"]);
        let line = b"<1>1 - - - - - [x u=a] b";
        let elements = Span::new(15, 22);
        let record = Record { tag: TagPoint::StructuredData { elements }, ..Record::raw(line) };
        check(line, &record, &[b"a]", b" b"]);
        let tag = b" expires=2027-11-24 class=connection";
        let line = b"u=a b expires=2027-11-24 class=connection";
        check(line, &Record::raw(line), &[b"a b", tag]);
        let line = b"u=a expires=2027-11-24 class=connection clock=received";
        check(line, &Record::raw(line), &[b"a", &line[3..]]);
        let line = b"u=a expires=tomorrow class=connection!";
        check(line, &Record::raw(line), &[&line[2..]]);
    }

    #[test]
    fn context_right_of_a_finding_may_introduce_the_next() {
        let rules = [rule("a", &["usr"], &["x"], "(?:^|,)(?P<usr>x+)(?:,|$)")];
        assert_eq!(texts(&rules, b"x,xx,xxx", &Record::raw(b"")), [&b"x"[..], b"xx", b"xxx"]);
        // Only a little, or the line would be read again for every match.
        let rules = [rule("a", &["usr"], &["x"], "(?P<usr>x).*")];
        assert_eq!(texts(&rules, &[b'x'; 50], &Record::raw(b"")).len(), 50);
        assert_eq!(texts(&rules, &[b'x'; 100], &Record::raw(b"")).len(), 1);
    }

    #[test]
    fn a_line_too_costly_to_search_is_taken_whole() {
        let rules = compile(&[rule("a", &["usr"], &["u="], "u=(?P<usr>.)")], &["usr"]);
        let count = 1 << 15;
        let mut line = b"u=ab,".repeat(count);
        let record = Record::raw(&line);
        let found = find(&rules, &line, &record);
        assert!(found.len() < count);
        let last = found[found.len() - 1].2;
        assert!(last.len() > 5 && line.ends_with(last));
        // In JSON, string by string.
        line = [b"{\"m\":\"", &line[..], b"\",\"n\":\"bob\",\"c\":1}"].concat();
        let found = find(&rules, &line, &Record { format: Format::Json, ..Record::raw(&line) });
        let rest: Vec<&[u8]> = found[found.len() - 4..].iter().map(|found| found.2).collect();
        assert!(rest[0].len() > 5);
        assert_eq!(rest[1..], [&b"n"[..], b"bob", b"c"]);
    }

    #[test]
    fn any_byte_can_stand_in_a_name() {
        let rules = [rule("a", &["usr"], &["user "], r"user (?P<usr>.*) from \S+")];
        let line = b"user a\xff\xfe\0\n\xc3 b from x";
        assert_eq!(texts(&rules, line, &Record::raw(line)), [b"a\xff\xfe\0\n\xc3 b"]);
    }

    #[test]
    fn scratch_of_other_rules_is_not_trusted() {
        let first = compile(&[rule("a", &["usr"], &["u="], "u=(?P<usr>.)")], &["usr"]);
        let other =
            [rule("b", &["usr"], &["u="], "(u)(=)(?P<usr>..)"), rule("c", &["usr"], &["v="], "v=(?P<usr>.)")];
        let second = compile(&other, &["usr"]);
        let mut scratch = AccountScratch::default();
        for (rules, length) in [(&first, 1), (&second, 2), (&first, 1)] {
            let mut lengths = Vec::new();
            rules.find(b"u=abc", &Record::raw(b"u=abc"), &mut scratch, &mut |_, _, span| {
                lengths.push(span.len())
            });
            assert_eq!(lengths, [length]);
        }
    }

    #[test]
    fn errors_name_the_rule() {
        let refused = |rule: IdentifierRule| {
            let also = rule.kinds.iter().cloned().collect();
            let error = AccountRules::compile(&[rule], &mut Kinds::default(), &also).expect_err("refused");
            Diagnostic::from(&error).to_string()
        };
        assert!(refused(rule("a", &["usr"], &["u"], "(?P<usr>")).contains("test.toml:1"));
        assert!(refused(rule("a", &["NOTAKIND"], &["u"], "(?P<NOTAKIND>.)")).contains("NOTAKIND"));
    }

    /// The parts of the lines of the property test below.
    const PIECES: &[&[u8]] = &[
        b"u=",
        b" from ",
        b"\"",
        b"\\",
        b"aa:bb:cc:dd:ee:ff",
        b",",
        b"x",
        b"\xff",
        b"-",
        b" class=a",
        b"{\"",
        b" expires=2027-11-24",
    ];

    proptest! {
        #[test]
        fn spans_are_inside_the_line(
            line in proptest::collection::vec(
                proptest::sample::select(PIECES),
                0..24,
            ),
            cut in 0_usize..64,
        ) {
            let line = line.concat();
            let rules = compile(
                &[
                    rule("a", &["usr"], &["u="], "u=(?P<usr>.*?)(?: from (?P<usr_2>.*)|,|$)"),
                    rule("b", &["mac"], &[], "(?:^|[^0-9a-f:])(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?:$|[^0-9a-f:])"),
                    rule("c", &["host"], &["x"], "(?P<host>x*)"),
                ],
                &["usr", "host", "mac"],
            );
            let cut = cut.min(line.len());
            let elements = Span::new(cut / 2, cut);
            for record in [
                Record::raw(&line),
                Record { format: Format::Json, ..Record::raw(&line) },
                Record { tag: TagPoint::StructuredData { elements }, ..Record::raw(&line) },
            ] {
                rules.find(&line, &record, &mut AccountScratch::default(), &mut |rule, _, span| {
                    assert!(rule < 3 && span.start < span.end && span.end as usize <= line.len());
                });
            }
        }
    }
}
