//! Detection: finds the bytes of a line that identify a person.
//!
//! The pass over the block ([`crate::scan`]) yields line ends and candidates. The parsers look at candidates
//! only (`ipv4`, `ipv6`, `ipv6_name`, `hex`, `email`, `forged`); lines with escapes are also looked at
//! decoded (`encoded`). Detection depends neither on keys nor on time.

pub mod account;
pub mod canonical;

mod email;
mod email_prefix;
mod email_quoted;
mod encoded;
mod escape;
mod forged;
mod hex;
mod hit;
mod host_name;
mod ipv4;
mod ipv6;
mod ipv6_name;
mod merge;
mod version;

#[cfg(test)]
mod tests;

use crate::model::{Canonical, Finding, Findings, Kind, Record, RuleId, Span};
use crate::scan::{Candidate, Line, Scan, Shapes};
use account::{AccountRules, AccountScratch};
use encoded::{MOST_LEVELS, View, Window};
use forged::Tokens;
use hit::{Canon, Hit, Rule};
use ipnet::IpNet;
use merge::Located;

/// What is searched for, and what is left alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Networks whose addresses stay readable. Loopback by default.
    pub keep: Vec<IpNet>,
    /// Whether the lines come from another oubliette, whose tokens are kept.
    pub trust_upstream: bool,
    /// Whether the tokens of that oubliette have the shape of addresses.
    pub address_shape: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: loopback().to_vec(), trust_upstream: false, address_shape: false }
    }
}

/// Returns the loopback networks (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
#[must_use]
pub fn loopback() -> [IpNet; 2] {
    let v4 = ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
    let v6 = ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128);
    [IpNet::V4(v4), IpNet::V6(v6)]
}

/// Finds identifiers; one per worker.
#[derive(Clone, Debug)]
pub struct Detector {
    options: Options,
    /// Networks that stay readable, and their masks.
    kept_v4: Vec<(u32, u32)>,
    kept_v6: Vec<(u128, u128)>,
    /// Selected rules of rule files.
    accounts: Option<AccountRules>,
    /// Names of the rules of rule files, in load order.
    rule_names: Vec<String>,
}

/// Working memory of one worker.
#[derive(Debug, Default)]
pub struct Scratch {
    hits: Vec<Located>,
    merge: merge::Scratch,
    /// The scan of decoded views.
    scan: Scan,
    /// The scan of texts that are not part of a block.
    alone: Scan,
    views: [View; 2],
    accounts: AccountScratch,
}

impl Detector {
    /// Creates a detector without rules of rule files.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (mut kept_v4, mut kept_v6) = (Vec::new(), Vec::new());
        for network in &options.keep {
            match network {
                IpNet::V4(v4) => kept_v4.push((v4.network().to_bits(), v4.netmask().to_bits())),
                IpNet::V6(v6) => kept_v6.push((v6.network().to_bits(), v6.netmask().to_bits())),
            }
        }
        Self { options, kept_v4, kept_v6, accounts: None, rule_names: Vec::new() }
    }

    /// Adds the rules of rule files. `rule_names` are the names of all of them, in load order.
    #[must_use]
    pub fn with_accounts(mut self, accounts: AccountRules, rule_names: Vec<String>) -> Self {
        self.accounts = Some(accounts).filter(|accounts| !accounts.is_empty());
        self.rule_names = rule_names;
        self
    }

    /// Returns the name of a rule.
    #[must_use]
    pub fn rule_name(&self, rule: RuleId) -> &str {
        let index = usize::from(rule.0);
        let of_file = || self.rule_names.get(index - Rule::NAMES.len()).map_or("", String::as_str);
        Rule::NAMES.get(index).copied().unwrap_or_else(of_file)
    }

    /// Returns the names of all rules, by their number.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        Rule::NAMES.into_iter().chain(self.rule_names.iter().map(String::as_str))
    }

    /// Finds the identifiers in one line of a scanned block.
    #[inline]
    pub fn find(&self, line: &Line<'_>, record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
        findings.clear();
        if self.accounts.is_none() {
            if line.candidates.is_empty() || self.find_plain(line, findings) {
                return;
            }
            findings.clear();
        }
        self.find_all(line, record, scratch, findings);
    }

    /// Finds the identifiers of a line in which they follow one another and no escape spells part of one, as
    /// in nearly every line. Returns `false` for any other line; then the contents of `findings` are
    /// meaningless.
    fn find_plain(&self, line: &Line<'_>, findings: &mut Findings) -> bool {
        if line.has_escapes() && !encoded::are_inert(line) {
            return false;
        }
        let mut found = Plain { line, findings, done: Done::default(), end: 0, in_order: true };
        for &Candidate { at, shapes } in line.candidates {
            let at = (at - line.start) as usize;
            let plain = match shapes {
                Shapes::QUAD => self.plain_v4(at, &mut found),
                Shapes::COLONS => self.plain_v6(at, &mut found),
                Shapes::AT => self.plain_email(at, &mut found),
                Shapes::HEX8 => hex::is_word(line, at),
                // The escapes of this line are inert; otherwise it would not get here.
                Shapes::ESCAPE => true,
                _ => false,
            };
            if !plain {
                self.find_at(at, shapes, &mut found);
            }
            if !found.in_order {
                return false;
            }
        }
        true
    }

    /// Handles a `QUAD` candidate on the fast path; `false` means that [`Self::find_at`] has to decide.
    #[inline]
    fn plain_v4(&self, at: usize, found: &mut Plain<'_>) -> bool {
        let start = found.line.start as usize;
        if at < found.done.quad {
            return true;
        }
        let Some(plain) = ipv4::plain(found.line.block, start + at) else { return false };
        if plain.start < start + found.done.quad {
            return false;
        }
        found.done.quad = plain.end - start;
        let span = Span::new(plain.start - start, plain.end - start);
        if self.identifies_v4(plain.octets) && !found.touches_token(self, span) {
            found.push(span, Kind::IP, Canonical::V4(plain.octets), Rule::Ipv4, plain.brackets);
        }
        true
    }

    /// Handles a `COLONS` candidate on the fast path; `false` means that [`Self::find_at`] has to decide.
    #[inline]
    fn plain_v6(&self, at: usize, found: &mut Plain<'_>) -> bool {
        let start = found.line.start as usize;
        if at < found.done.colons {
            return true;
        }
        let Some(plain) = ipv6::plain(found.line.block, start + at) else { return false };
        if plain.start < start + found.done.colons {
            return false;
        }
        found.done.colons = plain.end - start;
        let span = Span::new(plain.start - start, plain.end - start);
        if self.identifies_v6(plain.octets) && !found.touches_token(self, span) {
            found.push(span, Kind::IP, Canonical::V6(plain.octets), Rule::Ipv6, false);
        }
        true
    }

    /// Handles an `AT` candidate on the fast path; `false` means that [`Self::find_at`] has to decide.
    #[inline]
    fn plain_email(&self, at: usize, found: &mut Plain<'_>) -> bool {
        let Some(plain) = email::plain(found.line, at, found.done.email) else { return false };
        found.done.email = plain.end;
        let span = Span::new(plain.start, plain.end);
        if !found.touches_token(self, span) {
            let start = found.line.start as usize + plain.start;
            let text = &found.line.block[start..];
            let canonical = canonical::push_lower_start(text, span.len(), &mut found.findings.bytes);
            found.push(span, Kind::EM, Canonical::Bytes(canonical), Rule::Email, false);
        }
        true
    }

    /// Runs the general parsers on one candidate of a line.
    fn find_at(&self, at: usize, shapes: Shapes, found: &mut Plain<'_>) {
        let Plain { line, findings, done, end, in_order } = found;
        let candidate = Candidate { at: Span::new(0, at).end, shapes };
        self.find_by(line.bytes, candidate, done, &mut |mut hit: Hit| {
            if self.is_wanted(&mut hit, line.bytes) {
                let span = Span::new(hit.start, hit.end);
                *in_order &= span.start >= *end && !hit.either_way;
                *end = span.end;
                findings.items.push(merge::finding(span, &hit, line.bytes, &mut findings.bytes));
            }
        });
    }

    /// Finds the identifiers of any line.
    fn find_all(&self, line: &Line<'_>, record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
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
                if encoded::touches_escape(line.bytes, hit.start, hit.end) {
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
            // The upstream has already processed its tokens, so they are left as they are.
            if self
                .upstream()
                .is_some_and(|tokens| tokens.overlap(line, span.start as usize, span.end as usize))
            {
                return;
            }
            // Rule files have far fewer than 65,528 rules; the loader counts them.
            let rule = RuleId(u16::try_from(index + Rule::NAMES.len()).unwrap_or(u16::MAX));
            let canonical = canonical_of(kind, span.of(line), findings);
            let separator = Span::default();
            hits.push(Located::of_rule(Finding { span, kind, canonical, rule, separator, brackets: false }));
        });
    }

    /// Finds the identifiers in a text that is not part of a block.
    pub fn find_alone(&self, line: &[u8], record: &Record, scratch: &mut Scratch, findings: &mut Findings) {
        let mut scan = std::mem::take(&mut scratch.alone);
        self.find(&scan.line(line), record, scratch, findings);
        scratch.alone = scan;
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
            // Windows are lines of their own: no finding may span two of them.
            let mut candidates = &scan.candidates[..];
            for &Window { start, word, end } in &view.windows {
                let text = &view.text[start..end];
                // Candidates before the word were looked at in the line itself.
                let before = candidates.iter().take_while(|candidate| (candidate.at as usize) < word).count();
                candidates = &candidates[before..];
                let here = candidates.iter().take_while(|candidate| (candidate.at as usize) < end).count();
                let (here, later) = candidates.split_at(here);
                candidates = later;
                let base = line_offset(start);
                let anchors =
                    here.iter().map(|candidate| Candidate { at: candidate.at - base, ..*candidate });
                self.find_in(text, anchors, |hit| {
                    if level < MOST_LEVELS && encoded::touches_escape(text, hit.start, hit.end) {
                        return;
                    }
                    let (from, to) = (start + hit.start, start + hit.end);
                    let mut located = Located::new(view.span(from, to), level, &hit, text, findings);
                    located.separator(view, from, to);
                    hits.push(located);
                });
            }
            scan.candidates.retain(|candidate| candidate.shapes.has(Shapes::ESCAPE));
            more = next.decode(&view.text, &scan.candidates, |offset| view.origin(offset));
            std::mem::swap(view, next);
        }
    }

    /// Runs the parsers on the candidates of one text. Emits the hits to be replaced, unsorted.
    fn find_in(&self, text: &[u8], candidates: impl Iterator<Item = Candidate>, mut emit: impl FnMut(Hit)) {
        let mut done = Done::default();
        let mut keep = |mut hit: Hit| {
            if self.is_wanted(&mut hit, text) {
                emit(hit);
            }
        };
        for candidate in candidates {
            self.find_by(text, candidate, &mut done, &mut keep);
        }
    }

    /// Runs the parsers for the shapes of a candidate.
    fn find_by(&self, text: &[u8], candidate: Candidate, done: &mut Done, keep: &mut impl FnMut(Hit)) {
        if candidate.shapes == Shapes::ESCAPE {
            return;
        }
        let at = candidate.at as usize;
        let shapes = done.left(text, at, candidate.shapes);
        if shapes == Shapes::NONE {
            return;
        }
        if shapes.has(Shapes::QUAD) {
            ipv4::find(text, at, &mut done.quad, keep);
        }
        if shapes.has(Shapes::COLONS) {
            let before = done.quad;
            ipv6::find(text, at, &mut done.colons, &mut done.quad, keep);
            // `::ffff:203.0.113.9.203.0.113.10`: the scan reports the run of the quad only once, so read it
            // to its end.
            if done.quad > before && text.get(done.quad) == Some(&b'.') {
                ipv4::find(text, done.quad, &mut done.quad, keep);
            }
        }
        if shapes.has(Shapes::AT)
            && let Some(hit) = email::find(text, at, done.email)
        {
            done.email = hit.end;
            keep(hit);
        }
        if shapes.has(Shapes::TOKEN) {
            if self.options.trust_upstream {
                // No local part extends back into a token.
                done.email = forged::end_at(text, at).unwrap_or(0).max(done.email);
            } else if let Some(hit) = forged::find(text, at) {
                keep(hit);
            }
        }
        if shapes.has(Shapes::HEX8)
            && let Some(hit) = hex::find(text, at)
        {
            keep(hit);
        }
        if shapes.has(Shapes::NIBBLES) {
            ipv6_name::find_ptr(text, at, &mut done.nibbles, keep);
        }
        if shapes.has(Shapes::DASHES) {
            ipv6_name::find_dashed(text, at, &mut done.dashes, keep);
        }
    }

    /// Returns whether a hit is an identifier: not a netmask, an unspecified address or part of a network
    /// that stays readable, and not touching a token of a trusted upstream. If only one reading of the octets
    /// is an identifier, that one is chosen.
    fn is_wanted(&self, hit: &mut Hit, text: &[u8]) -> bool {
        let identifies = match hit.canon {
            Canon::V4(octets) => {
                self.identifies_v4(octets) || hit.either_way && self.identifies_turned(hit, text)
            }
            Canon::V6(octets) => self.identifies_v6(octets),
            Canon::Email { .. } | Canon::Verbatim => true,
        };
        identifies && !self.touches_token(text, hit.start, hit.end)
    }

    /// Handles an address in a host name that seems to belong to nobody or to a network that stays readable.
    /// If it is an identifier with its octets in the opposite order, it is read so:
    /// `203.0.113.127.dyn.example.net`.
    #[cold]
    fn identifies_turned(&self, hit: &mut Hit, text: &[u8]) -> bool {
        let Canon::V4([a, b, c, d]) = hit.canon else { return false };
        let turned = [d, c, b, a];
        // `2.0.0.127.dnsbl.example` queries whether a block list works.
        let localhost = [a, b, c] == [127, 0, 0];
        let own = localhost || host_name::is_of_own_network(text, hit.start, hit.end);
        let identifies = !own && self.identifies_v4(turned);
        if identifies {
            hit.canon = Canon::V4(turned);
        }
        identifies
    }

    /// Returns whether a token of a trusted upstream touches `start..end`.
    #[inline]
    fn touches_token(&self, text: &[u8], start: usize, end: usize) -> bool {
        self.upstream().is_some_and(|tokens| tokens.touch(text, start, end))
    }

    /// Returns the form of the upstream tokens to be kept; `None` without a trusted upstream.
    #[inline]
    fn upstream(&self) -> Option<Tokens> {
        let shaped = if self.options.address_shape { Tokens::AddressShaped } else { Tokens::Native };
        self.options.trust_upstream.then_some(shaped)
    }

    #[inline]
    fn identifies_v4(&self, octets: [u8; 4]) -> bool {
        // No host has an address that begins with 0 (RFC 1122, 3.2.1.3).
        octets[0] != 0 && !is_netmask(octets) && !self.is_kept_v4(octets)
    }

    #[inline]
    fn identifies_v6(&self, octets: [u8; 16]) -> bool {
        octets != [0; 16] && !self.is_kept_v6(octets)
    }

    #[inline]
    fn is_kept_v4(&self, octets: [u8; 4]) -> bool {
        let address = u32::from_be_bytes(octets);
        self.kept_v4.iter().any(|&(network, mask)| address & mask == network)
    }

    #[inline]
    fn is_kept_v6(&self, octets: [u8; 16]) -> bool {
        let address = u128::from_be_bytes(octets);
        self.kept_v6.iter().any(|&(network, mask)| address & mask == network)
    }
}

/// The findings of a line so far, as long as each follows the one before.
struct Plain<'a> {
    line: &'a Line<'a>,
    findings: &'a mut Findings,
    done: Done,
    /// End of the last finding.
    end: u32,
    in_order: bool,
}

impl Plain<'_> {
    #[inline]
    fn touches_token(&self, detector: &Detector, span: Span) -> bool {
        detector.touches_token(self.line.bytes, span.start as usize, span.end as usize)
    }

    #[inline]
    fn push(&mut self, span: Span, kind: Kind, canonical: Canonical, rule: Rule, brackets: bool) {
        self.in_order &= span.start >= self.end;
        self.end = span.end;
        let rule = rule.id();
        self.findings.items.push(Finding {
            span,
            kind,
            canonical,
            rule,
            separator: Span::default(),
            brackets,
        });
    }
}

/// Ends of the last runs looked at, one per family of parsers.
#[derive(Default)]
struct Done {
    quad: usize,
    colons: usize,
    email: usize,
    nibbles: usize,
    dashes: usize,
}

impl Done {
    /// Returns the shapes of a candidate that a parser has to look at. Removes shapes in a run that was
    /// already looked at, an `@` before a byte that no domain begins with, and escapes, which are not for
    /// parsers.
    #[inline]
    fn left(&self, text: &[u8], at: usize, shapes: Shapes) -> Shapes {
        let domain = text.get(at + 1).is_some_and(|&byte| email::goes_on(byte));
        shapes
            .without(Shapes::ESCAPE, true)
            .without(Shapes::QUAD, at < self.quad)
            .without(Shapes::COLONS, at < self.colons)
            .without(Shapes::NIBBLES, at < self.nibbles)
            .without(Shapes::DASHES, at < self.dashes)
            .without(Shapes::AT, !domain)
    }
}

/// Returns whether these octets are a netmask such as `255.255.255.0`: ones, then zeros, at least 8 ones.
fn is_netmask(octets: [u8; 4]) -> bool {
    let mask = u32::from_be_bytes(octets);
    mask.leading_ones() >= 8 && mask.leading_ones() + mask.trailing_zeros() >= 32
}

/// Returns the canonical form of a finding of kind `kind` made by a rule of a rule file.
pub(crate) fn canonical_of(kind: Kind, bytes: &[u8], findings: &mut Findings) -> Canonical {
    if kind == Kind::EM
        && let Some(at) = memchr::memrchr(b'@', bytes)
    {
        return Canonical::Bytes(canonical::push_email(&bytes[..at], &bytes[at + 1..], &mut findings.bytes));
    }
    Canonical::Bytes(canonical::push_lower(bytes, &mut findings.bytes))
}
