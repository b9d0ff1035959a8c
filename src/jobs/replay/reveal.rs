//! Puts originals back in place of tokens: those of the people asked for, and nobody else's.
//!
//! An original is written in its canonical form: an IPv4 address in dotted form, an IPv6 address as in RFC
//! 5952, an e-mail address in lower case with an A-label. If the token has the shape of an address, the `:`
//! of an IP address and the `@` of an e-mail address are spelt as in the token, so an encoded place stays
//! encoded. A native token has no such characters, and the archive does not record how the original was
//! spelt; within a JSON object, quotes and backslashes of the original are escaped, and nothing more can be
//! known. Brackets that were put around an address-shaped token because of its port stay.

use super::codes;
use super::event_time::Reading;
use super::lines::Line;
use super::nodes;
use super::obstacle::{Obstacle, Obstacles};
use super::plan::{Originals, Plan, PlannedSegment};
use super::secrets::{Opened, Secrets};
use super::selection::Selection;
use super::spelling::{self, Spelt, TagKey};
use super::wanted::Wanted;
use crate::format::Guess;
use crate::model::{Format, Kinds};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochKeys;
use crate::vault::Original;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Whose originals are revealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of the identifiers and tokens asked for.
    Asked,
    /// Those of everybody in the lines.
    Everybody,
}

impl Scope {
    /// Returns the name of the scope in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Asked => "asked",
            Self::Everybody => "all",
        }
    }
}

/// An original in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed {
    /// The name of the kind.
    pub kind: String,
    /// The text of the original.
    pub text: Zeroizing<Vec<u8>>,
}

impl Revealed {
    fn of(original: &Original) -> Self {
        Self { kind: original.kind.clone(), text: text(&original.kind, &original.canonical) }
    }
}

impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revealed({}, [{} bytes redacted])", self.kind, self.text.len())
    }
}

/// Originals that may be shown, of one segment or of all segments that workers stored.
pub(super) type Shown = HashMap<TagKey, Revealed>;

/// Puts originals back into lines.
#[derive(Debug)]
pub struct Reveal<'s> {
    secrets: &'s mut Secrets,
    scope: Scope,
    /// Originals by the index of their segment in the plan. With [`Scope::Asked`], of all segments; with
    /// [`Scope::Everybody`], only of the segments needed last if there are many originals.
    shown: HashMap<usize, Shown>,
    /// The segments that workers stored, and the originals of their tokens.
    of_workers: HashSet<usize>,
    of_nodes: Shown,
    /// The segments whose vault does not open.
    closed: HashMap<usize, Closed>,
    /// Segments, and places of lines that workers stored, with tokens whose originals are withheld because
    /// none of their vaults opens.
    withheld: Obstacles,
    /// The kinds that the vaults of segments name, as far as they were asked for.
    kinds: HashMap<usize, Kinds>,
    revealed: u64,
    guess: Guess,
}

/// A vault that does not open.
#[derive(Debug)]
struct Closed {
    obstacle: Obstacle,
    /// The tokens asked for in the segment of the vault.
    wanted: Option<Arc<Wanted>>,
}

impl<'s> Reveal<'s> {
    /// Opens all vaults of a plan, so that everything missing is known before the first line goes out.
    ///
    /// These are the vaults of all segments of the plan, and of the nodes whose lines a worker stored. With
    /// [`Scope::Nobody`] none is opened. Whatever can be read of a damaged vault is revealed, and so are the
    /// vaults that open if others do not: [`Self::withheld`] names the rest.
    ///
    /// # Errors
    /// Names what is missing: an identity, or the right identity; also H or a vault, if nothing can be
    /// revealed without it.
    pub fn prepare(
        plan: &Plan,
        selection: &Selection,
        scope: Scope,
        secrets: &'s mut Secrets,
        reading: &Reading,
    ) -> Result<Self, Diagnostic> {
        let guess = Guess::new(reading.format);
        let (of_workers, of_nodes) = (HashSet::new(), Shown::new());
        let (closed, withheld) = (HashMap::new(), Obstacles::default());
        let (shown, kinds) = (HashMap::new(), HashMap::new());
        let mut reveal =
            Self { secrets, scope, shown, of_workers, of_nodes, closed, withheld, kinds, revealed: 0, guess };
        if scope == Scope::Nobody {
            return Ok(reveal);
        }
        let mut outlook = Outlook::default();
        for (index, segment) in plan.segments.iter().enumerate() {
            if segment.originals == Originals::OfNodes {
                reveal.of_workers.insert(index);
            } else {
                reveal.open(index, segment, &mut outlook)?;
            }
        }
        if !reveal.of_workers.is_empty() {
            let sought = nodes::sought(&*reveal.secrets.storage(), plan, selection, scope, reading)?;
            let found = nodes::originals(sought, scope, reveal.secrets);
            outlook.opens |= !found.originals.is_empty();
            reveal.withheld.extend(&found.obstacles()?);
            if !found.missing.is_empty() {
                outlook.refusal.get_or_insert_with(|| codes::not_given_back(&found.missing));
            }
            let shown = found.originals.iter().map(|(key, original)| (*key, Revealed::of(original)));
            reveal.of_nodes = shown.collect();
        }
        outlook.demand_something().map(|()| reveal)
    }

    /// Opens the vault of a segment of the plan.
    fn open(
        &mut self,
        index: usize,
        segment: &PlannedSegment,
        outlook: &mut Outlook,
    ) -> Result<(), Diagnostic> {
        let wanted = segment.wanted.clone();
        match self.secrets.open_readable(&segment.name, segment.state, segment.vault) {
            Ok(Some(opened)) => {
                outlook.opens = true;
                if let (Scope::Asked, Some(asked)) = (self.scope, wanted) {
                    self.shown.insert(index, shown(&opened, |key| asked.contains(key)));
                }
            }
            // `Secrets::unopened` has noted it.
            Ok(None) => {}
            Err(refusal) => {
                let obstacle = Obstacle::of_vault(refusal.clone())?;
                self.closed.insert(index, Closed { obstacle, wanted });
                outlook.refusal.get_or_insert(refusal);
            }
        }
        Ok(())
    }

    /// Returns the segments, and the places of lines that workers stored, with tokens that should have been
    /// revealed but were not, because none of their vaults opens. Covers only the lines examined so far.
    #[must_use]
    pub fn withheld(&self) -> &Obstacles {
        &self.withheld
    }

    /// Counts originals that are revealed in other ways than in place of tokens.
    pub fn give_back(&mut self, originals: u64) {
        self.revealed += originals;
    }

    /// Returns the number of originals revealed: once for each token replaced, plus those counted with
    /// [`Reveal::give_back`].
    #[must_use]
    pub fn revealed(&self) -> u64 {
        self.revealed
    }

    /// Returns the tokens in a line whose originals may be shown, with those originals, in order.
    ///
    /// # Errors
    /// If a vault can no longer be opened.
    pub fn originals(&mut self, line: &Line<'_>) -> Result<Vec<(Spelt, Revealed)>, Diagnostic> {
        if self.scope == Scope::Nobody {
            return Ok(Vec::new());
        }
        if let Some(Closed { obstacle, wanted }) = self.closed.get(&line.segment) {
            let is_withheld =
                |spelt: &Spelt| nodes::is_given_back(spelt, line.bytes, self.scope, wanted.as_deref());
            if spelling::all(line.bytes).iter().any(is_withheld) {
                self.withheld.insert(line.name, obstacle.clone());
            }
            return Ok(Vec::new());
        }
        self.show_everybody_in(line)?;
        let of_worker = self.of_workers.contains(&line.segment).then_some(&self.of_nodes);
        let Some(shown) = of_worker.or_else(|| self.shown.get(&line.segment)) else { return Ok(Vec::new()) };
        let with_original = |spelt: Spelt| {
            let original = shown.get(&spelt.key)?;
            Some((spelt.of_kind(&original.kind, line.bytes)?, original.clone()))
        };
        Ok(spelling::all(line.bytes).into_iter().filter_map(with_original).collect())
    }

    /// Returns the kinds that the tokens in a line may have: those that are built in, and those that its
    /// vault names, which are of rule files. Needs no key.
    pub fn kinds(&mut self, line: &Line<'_>) -> &Kinds {
        let Self { kinds, secrets, .. } = self;
        kinds.entry(line.segment).or_insert_with(|| secrets.kinds_of(line.name))
    }

    /// Appends the line to `out`, with originals in place of the tokens whose originals may be shown.
    ///
    /// # Errors
    /// As [`Reveal::originals`].
    pub fn put_back(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> Result<(), Diagnostic> {
        let originals = self.originals(line)?;
        if originals.is_empty() {
            out.extend_from_slice(line.bytes);
            return Ok(());
        }
        self.revealed += originals.len() as u64;
        let json = self.guess.parse(line.bytes.trim_ascii_end()).is(Format::Json);
        let mut end = 0;
        for (spelt, original) in &originals {
            // Tokens do not overlap, but text that only looks like a token may.
            if spelt.span.start < end {
                continue;
            }
            out.extend_from_slice(&line.bytes[end..spelt.span.start]);
            write(original, &line.bytes[spelt.separator.clone()], json, out);
            end = spelt.span.end;
        }
        out.extend_from_slice(&line.bytes[end..]);
        Ok(())
    }

    /// Loads the originals of everybody in the segment of a line, if they are asked for and not loaded yet.
    fn show_everybody_in(&mut self, line: &Line<'_>) -> Result<(), Diagnostic> {
        let at_hand = self.shown.contains_key(&line.segment) || self.of_workers.contains(&line.segment);
        if self.scope != Scope::Everybody || at_hand {
            return Ok(());
        }
        let originals = || self.shown.values().map(HashMap::len).sum::<usize>();
        if self.shown.len() >= SEGMENTS_SHOWN && originals() >= MOST_SHOWN {
            self.shown.clear();
        }
        // Whatever is missing from its vault was noted in `prepare`.
        let opened = self.secrets.open_readable(line.name, line.state, None)?;
        self.shown.insert(line.segment, opened.map_or_else(Shown::new, |opened| shown(&opened, |_| true)));
        Ok(())
    }
}

/// Whether there is anything to reveal.
#[derive(Debug, Default)]
struct Outlook {
    /// Whether any vault opens.
    opens: bool,
    /// Why the first vault that does not open does not.
    refusal: Option<Diagnostic>,
}

impl Outlook {
    /// Refuses a reveal that would show nothing at all: whoever asks may have the wrong key, or be on the
    /// wrong node.
    fn demand_something(self) -> Result<(), Diagnostic> {
        match self.refusal {
            Some(refusal) if !self.opens => Err(refusal),
            _ => Ok(()),
        }
    }
}

fn shown(opened: &Opened, is_shown: impl Fn(&TagKey) -> bool) -> Shown {
    let entry = |original: &Original| {
        let key = key_of(original, &opened.keys, &opened.kinds)?;
        is_shown(&key).then(|| (key, Revealed::of(original)))
    };
    opened.originals.iter().filter_map(entry).collect()
}

/// Returns the token of an original, by the keys of its epoch and the kinds of its vault.
pub(super) fn key_of(original: &Original, keys: &EpochKeys, kinds: &Kinds) -> Option<TagKey> {
    let kind = kinds.find(&original.kind)?;
    Some(TagKey::of(&keys.tag(kind, &original.canonical)))
}

/// Returns the text of a canonical identifier.
fn text(kind: &str, canonical: &[u8]) -> Zeroizing<Vec<u8>> {
    let address = match (kind, canonical) {
        ("ip", [4, octets @ ..]) => <[u8; 4]>::try_from(octets).ok().map(|v4| Ipv4Addr::from(v4).to_string()),
        ("ip", [6, octets @ ..]) => {
            <[u8; 16]>::try_from(octets).ok().map(|v6| Ipv6Addr::from(v6).to_string())
        }
        _ => None,
    };
    Zeroizing::new(address.map_or_else(|| canonical.to_vec(), String::into_bytes))
}

fn write(original: &Revealed, separator: &[u8], json: bool, out: &mut Vec<u8>) {
    // An e-mail address may have colons, too: in quotes, or in an address in brackets.
    let separates = if original.kind == "ip" { b':' } else { b'@' };
    for &byte in original.text.iter() {
        match byte {
            _ if byte == separates && !separator.is_empty() => out.extend_from_slice(separator),
            b'"' | b'\\' if json => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 if json => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// The number of segments whose originals are all in memory at once, however many originals there are.
const SEGMENTS_SHOWN: usize = 8;

/// As long as there are fewer originals than this in memory, those of further segments stay as well. Lines
/// come in turn from all segments of their time, so one that does not stay is opened every few lines.
const MOST_SHOWN: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn originals_are_written_as_their_place_is() {
        for (kind, canonical, separator, json, expected) in [
            ("ip", &[4, 203, 0, 113, 7][..], "", false, "203.0.113.7"),
            ("ip", &[6, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], ":", false, "2001:db8::1"),
            (
                "ip",
                &[6, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                "%3A",
                false,
                "2001%3Adb8%3A%3A1",
            ),
            ("em", b"jean@example.org", "", true, "jean@example.org"),
            ("em", b"jean@example.org", "\\u0040", true, "jean\\u0040example.org"),
            ("em", b"jean@[ipv6:2001:db8::1]", "@", false, "jean@[ipv6:2001:db8::1]"),
            ("em", b"jean@[ipv6:2001:db8::1]", "%40", false, "jean%40[ipv6:2001:db8::1]"),
            ("em", b"\"a:b\"@example.org", "@", false, "\"a:b\"@example.org"),
            ("em", b"\"a b\"@example.org", "", true, "\\\"a b\\\"@example.org"),
            ("em", b"\"a b\"@example.org", "", false, "\"a b\"@example.org"),
            ("usr", b"root", "", false, "root"),
        ] {
            let revealed = Revealed { kind: kind.to_owned(), text: text(kind, canonical) };
            let mut out = Vec::new();
            write(&revealed, separator.as_bytes(), json, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
