//! Detection: which bytes of a line identify a person.
//!
//! [`Detector::scan`] passes once over a block and yields line ends and candidates (`scan`); the
//! parsers look at candidates only (`ipv4`, `ipv6`, `email`, `forged`); lines with escapes are
//! looked at decoded too (`encoded`). Detection knows no keys and no time.

pub mod account;
pub mod canonical;

mod email;
mod encoded;
mod forged;
mod hit;
mod host_name;
mod ipv4;
mod ipv6;
mod masks;
mod merge;
mod scan;
mod version;

use crate::model::{Canonical, Finding, Findings, Kind, Record, RuleId, Span};
use account::{AccountRules, AccountScratch};
use encoded::{MOST_LEVELS, View};
use hit::{Canon, Hit, Rule};
use ipnet::IpNet;
use merge::Located;
pub use scan::Scan;
use scan::{Candidate, Shapes};
use std::net::IpAddr;

/// What is looked for and what is left alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Networks whose addresses stay readable. Loopback by default.
    pub keep: Vec<IpNet>,
    /// Whether the lines come from another oubliette, whose tokens stay.
    pub trust_upstream: bool,
    /// Whether its tokens have the shape of addresses.
    pub address_shape: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: loopback().to_vec(), trust_upstream: false, address_shape: false }
    }
}

/// The loopback networks (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
#[must_use]
pub fn loopback() -> [IpNet; 2] {
    let v4 = ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
    let v6 = ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128);
    [IpNet::V4(v4), IpNet::V6(v6)]
}

/// Finds identifiers; one per worker.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    options: Options,
    /// Rules of rule files that were asked for.
    accounts: Option<AccountRules>,
    /// Names of the rules of rule files, in load order.
    rule_names: Vec<String>,
}

/// Working memory of one worker.
#[derive(Debug, Default)]
pub struct Scratch {
    hits: Vec<Located>,
    merge: merge::Scratch,
    scan: Scan,
    views: [View; 2],
    accounts: AccountScratch,
}

impl Detector {
    /// A detector.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, accounts: None, rule_names: Vec::new() }
    }

    /// The same with the rules of rule files, and the names of all of those in load order.
    #[must_use]
    pub fn with_accounts(mut self, accounts: AccountRules, rule_names: Vec<String>) -> Self {
        self.accounts = Some(accounts).filter(|accounts| !accounts.is_empty());
        self.rule_names = rule_names;
        self
    }

    /// Name of a rule.
    #[must_use]
    pub fn rule_name(&self, rule: RuleId) -> &str {
        let index = usize::from(rule.0);
        let of_file = || self.rule_names.get(index - Rule::NAMES.len()).map_or("", String::as_str);
        Rule::NAMES.get(index).copied().unwrap_or_else(of_file)
    }

    /// Scans a block of lines.
    pub fn scan<'a>(block: &'a [u8], scan: &'a mut Scan) -> Lines<'a> {
        scan.run(block);
        Lines { block, scan, start: 0, newline: 0, candidate: 0 }
    }

    /// The identifiers in one line of a scanned block.
    pub fn find(&self, line: &Line<'_>, record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
        findings.clear();
        if line.candidates.is_empty() && self.accounts.is_none() {
            return;
        }
        scratch.hits.clear();
        let base = line.start;
        let mut escaped = false;
        {
            let hits = &mut scratch.hits;
            let anchors = line.candidates.iter().map(|candidate| {
                let at = Candidate { at: candidate.at - base, ..*candidate };
                escaped |= at.shapes.has(Shapes::ESCAPE);
                at
            });
            self.find_in(line.bytes, anchors, |hit| {
                if encoded::touches_escape(line.bytes, hit.start) {
                    return;
                }
                let span = Span::new(hit.start, hit.end);
                hits.push(Located::new(span, 0, &hit, line.bytes, findings));
            });
        }
        if escaped {
            self.find_decoded(line, scratch, findings);
        }
        self.find_accounts(line.bytes, record, scratch, findings);
        merge::merge(&mut scratch.hits, &mut scratch.merge, &mut findings.items);
    }

    fn find_accounts(&self, line: &[u8], record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
        let Some(accounts) = &self.accounts else { return };
        let hits = &mut scratch.hits;
        accounts.find(line, record, &mut scratch.accounts, &mut |index, kind, span| {
            // What upstream has been through is left as it is.
            if self.options.trust_upstream && forged::holds_token(span.of(line)) {
                return;
            }
            // Rule files hold far fewer than 65,528 rules; the loader counts them.
            let rule = RuleId(u16::try_from(index + Rule::NAMES.len()).unwrap_or(u16::MAX));
            let canonical = canonical_of(kind, span.of(line), findings);
            let separator = Span::default();
            hits.push(Located::of_rule(Finding { span, kind, canonical, rule, separator, brackets: false }));
        });
    }

    /// The identifiers in a text that is not part of a block.
    pub fn find_alone(&self, line: &[u8], record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
        let mut scan = std::mem::take(&mut scratch.scan);
        scan.run(line);
        // Separate memory: decoded views are scanned too.
        let whole = Line { bytes: line, ending: b"", start: 0, candidates: &scan.candidates };
        let mut inner = Scratch::default();
        std::mem::swap(&mut inner, scratch);
        self.find(&whole, record, &mut inner, findings);
        std::mem::swap(&mut inner, scratch);
        scratch.scan = scan;
    }

    fn find_decoded(&self, line: &Line<'_>, scratch: &mut Scratch, findings: &mut Findings) {
        let Scratch { hits, scan, views, .. } = scratch;
        let [view, next] = views;
        let base = line.start as usize;
        let line_offset = |offset: usize| Span::new(0, offset).end;
        scan.candidates.clear();
        scan.candidates.extend(
            line.candidates
                .iter()
                .filter(|c| c.shapes.has(Shapes::ESCAPE))
                .map(|c| Candidate { at: line_offset(c.at as usize - base), ..*c }),
        );
        let mut more = view.decode(line.bytes, &scan.candidates, line_offset);
        for level in 1..=MOST_LEVELS {
            if !more {
                return;
            }
            scan.run(&view.text);
            // Windows are lines of their own: nothing may be found across two of them.
            let mut start = 0;
            let mut from = 0;
            for &newline in &scan.newlines {
                let window = &view.text[..newline as usize];
                let to = from + scan.candidates[from..].partition_point(|candidate| candidate.at < newline);
                let anchors = scan.candidates[from..to]
                    .iter()
                    .copied()
                    .map(|candidate| Candidate { at: candidate.at - start, ..candidate });
                let text = &window[start as usize..];
                self.find_in(text, anchors, |hit| {
                    if level < MOST_LEVELS && encoded::touches_escape(text, hit.start) {
                        return;
                    }
                    let (from, to) = (start as usize + hit.start, start as usize + hit.end);
                    let mut located = Located::new(view.span(from, to), level, &hit, text, findings);
                    located.separator(view, from, to);
                    hits.push(located);
                });
                start = newline + 1;
                from = to;
            }
            scan.candidates.retain(|candidate| candidate.shapes.has(Shapes::ESCAPE));
            more = next.decode(&view.text, &scan.candidates, |offset| view.origin(offset));
            std::mem::swap(view, next);
        }
    }

    /// Runs the parsers on the candidates of one text; emits hits, unsorted, that are to be replaced.
    fn find_in(&self, text: &[u8], candidates: impl Iterator<Item = Candidate>, mut emit: impl FnMut(Hit)) {
        let mut done = Done::default();
        let mut keep = |hit: Hit| {
            if self.is_wanted(&hit, text) {
                emit(hit);
            }
        };
        for Candidate { at, shapes } in candidates {
            let at = at as usize;
            if shapes.has(Shapes::QUAD) {
                ipv4::find(text, at, &mut done.quad, &mut keep);
            }
            if shapes.has(Shapes::COLONS) {
                ipv6::find(text, at, &mut done.colons, &mut keep);
            }
            if shapes.has(Shapes::AT)
                && let Some(hit) = email::find(text, at, done.email)
            {
                done.email = hit.end;
                keep(hit);
            }
            if shapes.has(Shapes::TOKEN)
                && !self.options.trust_upstream
                && let Some(hit) = forged::find(text, at)
            {
                keep(hit);
            }
            if shapes.has(Shapes::HEX8)
                && let Some(hit) = ipv4::find_hex(text, at)
            {
                keep(hit);
            }
            if shapes.has(Shapes::NIBBLES) {
                ipv6::find_ptr(text, at, &mut done.nibbles, &mut keep);
            }
            if shapes.has(Shapes::DASHES) {
                ipv6::find_dashed(text, at, &mut done.dashes, &mut keep);
            }
        }
    }

    /// Whether a hit is an identifier: no mask, no unspecified address, no network that stays readable,
    /// no token of a trusted upstream.
    fn is_wanted(&self, hit: &Hit, text: &[u8]) -> bool {
        match hit.canon {
            Canon::V4(octets) => {
                octets != [0; 4] && !is_netmask(octets) && !self.is_kept(IpAddr::from(octets))
            }
            Canon::V6(octets) => {
                let upstream = self.options.trust_upstream && self.options.address_shape && octets[0] == 0xfd;
                octets != [0; 16] && !upstream && !self.is_kept(IpAddr::from(octets))
            }
            Canon::Email { at } => {
                let upstream = self.options.trust_upstream
                    && self.options.address_shape
                    && &text[at + 1..hit.end] == b"pseudonym.invalid"
                    && at - hit.start == 26
                    && text[hit.start..at].iter().all(|&byte| forged::is_crockford(byte));
                !upstream
            }
            Canon::Verbatim => true,
        }
    }

    fn is_kept(&self, address: IpAddr) -> bool {
        self.options.keep.iter().any(|network| network.contains(&address))
    }
}

/// Ends of the last runs looked at, one a family of parsers.
#[derive(Default)]
struct Done {
    quad: usize,
    colons: usize,
    email: usize,
    nibbles: usize,
    dashes: usize,
}

/// `255.255.255.0` and the like: ones, then zeros, at least 8 ones.
fn is_netmask(octets: [u8; 4]) -> bool {
    let mask = u32::from_be_bytes(octets);
    mask.leading_ones() >= 8 && mask.leading_ones() + mask.trailing_zeros() >= 32
}

/// One line of a scanned block.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The line without its line end.
    pub bytes: &'a [u8],
    /// LF, CRLF, or nothing for a last line that lacks it.
    pub ending: &'a [u8],
    start: u32,
    candidates: &'a [Candidate],
}

/// The lines of a scanned block, in order.
#[derive(Debug)]
pub struct Lines<'a> {
    block: &'a [u8],
    scan: &'a Scan,
    start: usize,
    newline: usize,
    candidate: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.start >= self.block.len() {
            return None;
        }
        let (end, next) = match self.scan.newlines.get(self.newline) {
            Some(&newline) => (newline as usize, newline as usize + 1),
            None => (self.block.len(), self.block.len()),
        };
        self.newline += 1;
        let candidates = &self.scan.candidates[self.candidate..];
        let here = candidates.iter().take_while(|candidate| (candidate.at as usize) < next).count();
        self.candidate += here;
        let carriage_return = end < next && end > self.start && self.block[end - 1] == b'\r';
        let text_end = if carriage_return { end - 1 } else { end };
        let line = Line {
            bytes: &self.block[self.start..text_end],
            ending: &self.block[text_end..next],
            start: u32::try_from(self.start).unwrap_or(u32::MAX),
            candidates: &candidates[..here],
        };
        self.start = next;
        Some(line)
    }
}

/// The canonical form of a finding of kind `kind` that a rule file's rule made.
pub(crate) fn canonical_of(kind: Kind, bytes: &[u8], findings: &mut Findings) -> Canonical {
    if kind == Kind::EM
        && let Some(at) = memchr::memrchr(b'@', bytes)
    {
        return Canonical::Bytes(canonical::push_email(&bytes[..at], &bytes[at + 1..], &mut findings.bytes));
    }
    Canonical::Bytes(canonical::push_lower(bytes, &mut findings.bytes))
}
