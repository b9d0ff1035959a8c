//! Account names, client host names, MAC addresses, phone numbers: what the identifier rules find.
//!
//! One pass over the line looks for the literals of all rules; only the patterns of rules whose
//! literal occurred, and whose scope fits, are run. Most lines end after the pass.

use crate::model::{Format, IdentifierRule, Kind, Kinds, Record, Span, TagPoint};
use crate::primitives::diag::{Code, Diagnostic};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identifier rules that were asked for, compiled.
///
/// To be cloned for each worker: threads that share one take turns at its scratch memory.
#[derive(Clone, Debug)]
pub struct AccountRules {
    rules: Vec<CompiledRule>,
    literals: Literals,
    /// Tells the scratch of these rules from that of others. Clones share it.
    generation: u64,
}

/// Memory of [`AccountRules::find`], kept from line to line. Fits any rules; changing them costs one
/// allocation.
#[derive(Debug, Default)]
pub struct AccountScratch {
    generation: u64,
    /// One bit per rule: its pattern is to be run.
    due: Vec<u64>,
    /// One per rule.
    locations: Vec<CaptureLocations>,
}

impl AccountRules {
    /// Compiles those of `rules` that find a kind named in `also`; other kinds' groups are ignored.
    /// Kinds that are new are added to `kinds`, in the order of the rules, whether asked for or
    /// not, so that a kind's index does not depend on `also`.
    ///
    /// # Errors
    /// If a pattern does not compile (the loader of rule files has checked that it does), or there
    /// are too many kinds or literals.
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
        let literals = Literals::new(&wakes, always.collect())?;
        Ok(Self { rules: compiled, literals, generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed) })
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Calls `emit` for each finding in `line`: the index of its rule in the slice that was
    /// compiled, its kind, and its span, which is not empty and lies inside the line.
    ///
    /// Findings come rule by rule; those of different rules may overlap, partly too, and every byte
    /// of each is to be replaced. None crosses a place where a tag is or may go: not the end of a
    /// JSON string, nor either end of STRUCTURED-DATA, nor the start of a tag at the line's end.
    pub fn find(
        &self,
        line: &[u8],
        record: &Record,
        scratch: &mut AccountScratch,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        let Some(from) = self.literals.first_possible(line) else { return };
        scratch.fit(self);
        if !self.literals.wake(&line[from..], &mut scratch.due) {
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

/// What a rule becomes.
#[derive(Clone, Debug)]
struct CompiledRule {
    /// Its index among all rules, compiled or not.
    index: usize,
    regex: Regex,
    /// Capture groups of the kinds asked for.
    groups: Vec<(usize, Kind)>,
    programs: Vec<Program>,
    formats: Vec<Format>,
}

/// A program in a rule's scope.
#[derive(Clone, Debug)]
enum Program {
    Named(Vec<u8>),
    Prefix(Vec<u8>),
}

impl CompiledRule {
    /// `None` if no group is of a kind in `also`.
    fn new(
        index: usize,
        rule: &IdentifierRule,
        kinds: &mut Kinds,
        also: &BTreeSet<String>,
    ) -> Result<Option<Self>, CompileError> {
        for kind in &rule.kinds {
            kinds.intern(kind).ok_or_else(|| CompileError::Kind { place: place(rule), kind: kind.clone() })?;
        }
        if !rule.kinds.iter().any(|kind| also.contains(kind)) {
            return Ok(None);
        }
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
        let programs = rule.programs.iter().map(|program| Program::new(program)).collect();
        Ok(Some(Self { index, regex, groups, programs, formats: rule.formats.clone() }))
    }

    /// Whether a line of this program and record is in the rule's scope. A line that names no
    /// program is in every program's scope: a leak is worse than a false positive.
    fn reads(&self, program: Option<&[u8]>, record: &Record) -> bool {
        let program_fits = self.programs.is_empty()
            || program.is_none_or(|name| self.programs.iter().any(|program| program.is(name)));
        program_fits && (self.formats.is_empty() || self.formats.iter().any(|&format| record.is(format)))
    }

    fn find(
        &self,
        line: &[u8],
        record: &Record,
        locations: &mut CaptureLocations,
        emit: &mut dyn FnMut(usize, Kind, Span),
    ) {
        let mut from = 0;
        while from <= line.len() {
            let Some(whole) = self.regex.captures_read_at(locations, line, from) else { break };
            let mut last_end = None;
            for &(group, kind) in &self.groups {
                let Some((start, end)) = locations.get(group).filter(|(start, end)| start < end) else {
                    continue;
                };
                last_end = last_end.max(Some(end));
                for_each_piece(line, record, start, end, &mut |span| {
                    if !is_placeholder(kind, span.of(line)) {
                        emit(self.index, kind, span);
                    }
                });
            }
            // What follows the last group may introduce the next match; not much of it, or a line of
            // many matches would be read many times over.
            let context = last_end.filter(|end| whole.end() - end <= MAX_REREAD_BYTES);
            let next = context.unwrap_or(whole.end());
            from = if next > from { next } else { from + 1 };
        }
    }
}

/// How much of what a pattern matches right of its last group is offered to the next match.
const MAX_REREAD_BYTES: usize = 64;

/// Words that stand where no account or host is known, and say nothing about a person. An address in
/// place of a host name is left to the detector of addresses: it is to have the address's token, or
/// to stay if the operator keeps its network.
fn is_placeholder(kind: Kind, text: &[u8]) -> bool {
    let word = matches!(kind, Kind::USR | Kind::HOST) && matches!(text, b"-" | b"unknown" | b"(unknown)");
    word || kind == Kind::HOST && is_address(text)
}

fn is_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Cuts `start..end` so that no piece crosses a place where a tag is, or may go. In JSON an
/// identifier ends with the string that it stands in; around STRUCTURED-DATA, and before a tag at the
/// line's end, it is cut in two.
fn for_each_piece(line: &[u8], record: &Record, mut start: usize, mut end: usize, emit: &mut dyn FnMut(Span)) {
    // An object that was cut is not JSON to the parser, but its strings end in the same way.
    if record.is(Format::Json) || line.starts_with(b"{\"") {
        end = start + json_string_length(&line[start..end]);
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

/// Where ` expires=2027-11-24 class=connection` (and ` clock=received`) begins at the end of `line`;
/// its length if it does not.
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

/// Length of a date, longer than the word `contract`.
const MAX_EXPIRES_BYTES: usize = 10;

/// Number of bytes before the quotation mark that ends the JSON string which `text` begins in (RFC
/// 8259, section 7: a quotation mark inside is escaped by a backslash).
fn json_string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

impl Program {
    fn new(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.as_bytes().to_vec()),
            None => Self::Named(name.as_bytes().to_vec()),
        }
    }

    fn is(&self, program: &[u8]) -> bool {
        match self {
            Self::Named(name) => program == name,
            Self::Prefix(prefix) => program.starts_with(prefix),
        }
    }
}

/// Which rules a line wakes.
#[derive(Clone, Debug)]
struct Literals {
    /// Says of most lines that no literal is in them. `None` if a literal is too short for it, or
    /// every line wakes a rule anyway.
    gate: Option<Gate>,
    /// All literals; `None` if there are none.
    all: Option<AhoCorasick>,
    /// Length of the longest literal, in bytes.
    longest: usize,
    /// Rules that each literal wakes.
    wakes: Vec<Vec<usize>>,
    /// Rules without literals.
    always: Vec<usize>,
}

impl Literals {
    fn new(wakes: &BTreeMap<&str, Vec<usize>>, always: Vec<usize>) -> Result<Self, CompileError> {
        let all = if wakes.is_empty() {
            None
        } else {
            let automaton = AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::DFA))
                .build(wakes.keys())
                .map_err(|source| CompileError::Literals { source: Box::new(source) })?;
            Some(automaton)
        };
        let gate = if always.is_empty() { Gate::new(wakes.keys()) } else { None };
        let longest = wakes.keys().map(|literal| literal.len()).max().unwrap_or(0);
        Ok(Self { gate, all, longest, wakes: wakes.values().cloned().collect(), always })
    }

    /// Where in `line` the first literal may begin; `None` if nothing can wake.
    fn first_possible(&self, line: &[u8]) -> Option<usize> {
        match &self.gate {
            Some(gate) => Some(gate.find(line)?.saturating_sub(self.longest)),
            None if self.all.is_none() && self.always.is_empty() => None,
            None => Some(0),
        }
    }

    /// Sets the bits of the rules that `line` wakes; `false` if there are none.
    fn wake(&self, line: &[u8], due: &mut [u64]) -> bool {
        let mut any = false;
        let mut set = |rules: &[usize]| {
            for &rule in rules {
                due[rule / 64] |= 1 << (rule % 64);
                any = true;
            }
        };
        set(&self.always);
        if let Some(all) = &self.all {
            // Overlapping, or `user=` would be hidden in `ruser=`.
            for hit in all.find_overlapping_iter(line) {
                set(&self.wakes[hit.pattern().as_usize()]);
            }
        }
        any
    }
}

/// A set of hashed three-byte texts of which every literal contains one. An automaton waits for each
/// byte's table entry before it can look at the next; these look-ups do not wait for each other.
#[derive(Clone, Debug)]
struct Gate {
    bits: Box<[u64; Self::BITS / 64]>,
}

impl Gate {
    /// 8 KiB: stays in the first-level cache, and is nearly empty with a few hundred literals.
    const BITS: usize = 1 << 16;

    /// `None` if a literal is shorter than three bytes.
    fn new<'a>(literals: impl Iterator<Item = &'a &'a str>) -> Option<Self> {
        let mut bits = Box::new([0_u64; Self::BITS / 64]);
        for literal in literals {
            let slot = Self::slot(number(literal.as_bytes().windows(3).max_by_key(|text| rarity(text))?));
            bits[slot / 64] |= 1 << (slot % 64);
        }
        Some(Self { bits })
    }

    /// Where the first text of the set, or one that hashes like it, begins, or a little before.
    fn find(&self, line: &[u8]) -> Option<usize> {
        // Six texts in a word of eight bytes; the next word begins with the seventh.
        let mut start = 0;
        while let Some(word) = line.get(start..).and_then(<[u8]>::first_chunk) {
            let word = u64::from_le_bytes(*word);
            let hit = (0..6).fold(0, |hit, at| hit | self.bit(word >> (8 * at)));
            if hit & 1 != 0 {
                return Some(start);
            }
            start += 6;
        }
        let rest = line[start..].windows(3).position(|text| self.bit(number(text)) & 1 != 0);
        rest.map(|at| start + at)
    }

    /// The lowest bit tells whether the text in the three low bytes is in the set.
    fn bit(&self, text: u64) -> u64 {
        let slot = Self::slot(text);
        self.bits[slot / 64] >> (slot % 64)
    }

    /// Multiplicative hash of the three low bytes (Knuth, The Art of Computer Programming, 6.4).
    fn slot(text: u64) -> usize {
        ((text as u32 & 0x00FF_FFFF).wrapping_mul(0x9E37_79B1) >> 16) as usize % Self::BITS
    }
}

/// A text of three bytes as a number.
fn number(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// How unlikely a text is in logs: bits of surprise of each byte, roughly.
fn rarity(text: &[u8]) -> u32 {
    let byte_rarity = |&byte: &u8| match byte {
        b' ' | b'0'..=b'9' => 2,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b'/' | b'.' | b'-' | b':' => 3,
        b'a'..=b'z' => 4,
        b'A'..=b'Z' | b'"' | b'[' | b']' => 5,
        _ => 6,
    };
    text.iter().map(byte_rarity).sum()
}

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

fn place(rule: &IdentifierRule) -> String {
    format!("{}:{}", rule.file, rule.line_number)
}

/// Why rules do not compile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A pattern is malformed or too big.
    #[error("{place}: {source}")]
    Pattern {
        /// File and line of the rule.
        place: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// A kind's name is malformed, or there are 255 kinds already.
    #[error("{place}: no room for kind {kind}")]
    Kind {
        /// File and line of the rule.
        place: String,
        /// The kind.
        kind: String,
    },
    /// The literals of all rules together are too many.
    #[error("literals: {source}")]
    Literals {
        /// Which limit they exceed.
        source: Box<aho_corasick::BuildError>,
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
            CompileError::Literals { source } => diagnostic.because(source.to_string()),
        }
        .hint("take rules out of the rule files until they fit; `oubliette check` tries")
    }
}

/// The codes of this area.
pub const CODES: &[&Code] = &[&COMPILE];

static COMPILE: Code = Code {
    id: "R04",
    title: "the identifier rules do not compile",
    text: "\
What it means
  Each rule loads, but together, or once compiled, they exceed a limit: a pattern of more than 10 MiB,
  more than 255 kinds, or more literals than the search automaton can number.

Why it matters
  Leaving a rule out would let through what it finds, so nothing is started.

Example
  pattern = '(?P<usr>.{1,1000}){1,1000}'

What to do
  Shorten counted repetitions in the pattern, or merge kinds that need not be told apart. `oubliette check` compiles all rules.

References
  https://docs.rs/regex/latest/regex/struct.RegexBuilder.html#method.size_limit
",
};
