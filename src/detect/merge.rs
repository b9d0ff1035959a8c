//! Merges the hits of all parsers and views: sorted, disjoint, the most accurate reading first.

use super::canonical;
use super::encoded::View;
use super::hit::{Canon, Hit, Rule};
use crate::model::{Canonical, Finding, Findings, Kind, Span};

/// A hit with its place in the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    finding: Finding,
    /// How many times the text was decoded to find it.
    level: usize,
    /// The octets may be in the opposite order.
    either_way: bool,
}

impl Located {
    /// Locates a hit in `text`, which `span` of the line spells. Appends its canonical bytes to `findings`.
    pub(crate) fn new(span: Span, level: usize, hit: &Hit, text: &[u8], findings: &mut Findings) -> Self {
        let finding = finding(span, hit, text, &mut findings.bytes);
        Self { finding, level, either_way: hit.either_way }
    }

    /// Locates a finding made by a rule of a rule file.
    pub(crate) fn of_rule(finding: Finding) -> Self {
        Self { finding, level: 0, either_way: false }
    }

    /// Records how the line spells the first `:` of `from..to` of the view, or `@` in an address of mail.
    pub(crate) fn separator(&mut self, view: &View, from: usize, to: usize) {
        let plain = if self.finding.kind == Kind::EM { b'@' } else { b':' };
        let first = view.text[from..to].iter().position(|byte| *byte == plain);
        if let Some(first) = first {
            let span = view.span(from + first, from + first + 1);
            if span.len() > 1 {
                self.finding.separator = span;
            }
        }
    }

    /// Returns whether a rule of a rule file made it.
    fn is_of_rule_file(&self) -> bool {
        self.finding.rule.0 > Rule::ForgedToken as u16
    }

    /// Returns whether `self` wins over `other`, which overlaps it.
    ///
    /// Among readings of one text, the deeper one knows better where an identifier ends. A field that a rule
    /// file names is one identifier with all its contents, unless it is itself an address or an e-mail
    /// address.
    fn beats(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.finding.span.len(), other.finding.span.len());
        match (self.is_of_rule_file(), other.is_of_rule_file()) {
            (true, false) => ours > theirs,
            (false, true) => ours >= theirs,
            _ => (self.level, ours) >= (other.level, theirs),
        }
    }

    /// Returns whether the parts of two overlapping hits beyond the winner must be replaced too, because they
    /// are part of an identifier. That is not so for a shallower reading of the same identifier, which took
    /// an escape for text.
    fn joins(&self, other: &Self) -> bool {
        self.level == other.level
            || self.finding.kind != other.finding.kind
            || self.is_of_rule_file()
            || other.is_of_rule_file()
    }
}

/// Builds the finding of a hit in `text`, which `span` of the line spells. Appends canonical bytes to
/// `bytes`.
#[inline]
pub(crate) fn finding(span: Span, hit: &Hit, text: &[u8], bytes: &mut Vec<u8>) -> Finding {
    let canonical = match hit.canon {
        Canon::V4(octets) => Canonical::V4(octets),
        Canon::V6(octets) => Canonical::V6(octets),
        Canon::Email { at } => {
            let (local, domain) = (&text[hit.start..at], &text[at + 1..hit.end]);
            Canonical::Bytes(canonical::push_email(local, domain, bytes))
        }
        Canon::Verbatim => Canonical::Bytes(canonical::push_lower(&text[hit.start..hit.end], bytes)),
    };
    let (kind, rule) = (hit.rule.kind(), hit.rule.id());
    Finding { span, kind, canonical, rule, separator: Span::default(), brackets: hit.brackets }
}

/// Working memory.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    kept: Vec<Located>,
}

/// Most plain addresses of a line that are consulted about the order of octets in its host names.
const MOST_WITNESSES: usize = 16;

/// Sorts `hits`, resolves overlaps, and appends the findings.
pub(crate) fn merge(hits: &mut [Located], scratch: &mut Scratch, findings: &mut Vec<Finding>) {
    if hits.len() > 1 {
        let key =
            |hit: &Located| (hit.finding.span.start, std::cmp::Reverse((hit.level, hit.finding.span.len())));
        hits.sort_by_key(key);
    }
    let kept = &mut scratch.kept;
    kept.clear();
    for hit in hits.iter() {
        settle_overlap(kept, *hit);
    }
    settle_order(kept);
    findings.extend(kept.iter().map(|hit| hit.finding));
}

/// Adds `hit` to the disjoint hits before it; of two that overlap, the better one wins.
fn settle_overlap(kept: &mut Vec<Located>, mut hit: Located) {
    while let Some(last) = kept.last_mut() {
        if !last.finding.span.overlaps(hit.finding.span) {
            break;
        }
        let joins = last.joins(&hit);
        if last.beats(&hit) {
            if joins {
                last.finding.span.end = last.finding.span.end.max(hit.finding.span.end);
            }
            return;
        }
        if joins {
            hit.finding.span.start = hit.finding.span.start.min(last.finding.span.start);
            hit.finding.span.end = hit.finding.span.end.max(last.finding.span.end);
        }
        kept.pop();
    }
    kept.push(hit);
}

/// Decides the order of octets in host names, which may put the first or the last octet first. If another
/// address of the line equals one of the two readings, that reading is meant.
fn settle_order(hits: &mut [Located]) {
    if !hits.iter().any(|hit| hit.either_way) {
        return;
    }
    let mut witnesses = [[0; 4]; MOST_WITNESSES];
    let mut count = 0;
    for hit in hits.iter().filter(|hit| !hit.either_way) {
        if let (Canonical::V4(octets), Some(slot)) = (hit.finding.canonical, witnesses.get_mut(count)) {
            *slot = octets;
            count += 1;
        }
    }
    for hit in hits.iter_mut().filter(|hit| hit.either_way) {
        if let Canonical::V4([a, b, c, d]) = hit.finding.canonical {
            let (stated, turned) = ([a, b, c, d], [d, c, b, a]);
            if !witnesses[..count].contains(&stated) && witnesses[..count].contains(&turned) {
                hit.finding.canonical = Canonical::V4(turned);
            }
        }
    }
}
