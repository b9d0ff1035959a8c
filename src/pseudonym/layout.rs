//! Lays out lines before their tokens are known.
//!
//! A token has a fixed width, so a line is written at once, with a hole for the tag of each token. The holes
//! are filled when the block is done. By then, the entries of recent tokens are in the cache: each is
//! prefetched when its hole is made. The HMACs of tokens that are not among them are computed several at a
//! time. Runs of the line are copied in one stride of [`STRIDE`] bytes where the block allows it, without a
//! call or a branch on their length: excess bytes are overwritten by what follows, or lie beyond the end.

use super::hmac::{self, AT_ONCE};
use super::index::{self, Index};
use super::recent::{Key, Note, Set, TagText};
use super::token::{self, TAG_BYTES};
use super::{Dated, Networks, Placeholder, Pseudonymised, Pseudonymiser, TokenShape};
use crate::model::{Canonical, Finding, Findings, Kind, Placement, RenderedTag};
use crate::scan::Line;
use std::sync::Arc;

/// The minimum number of bytes copied at a time. Nine out of ten runs are shorter.
const STRIDE: usize = 64;

/// Tags that are still to be filled in: where each goes, and the identifier it belongs to.
#[derive(Default)]
pub(super) struct Holes {
    v4: Vec<V4Hole>,
    other: Vec<Hole>,
    /// Holes whose tokens are not among the recent tokens.
    missed: Vec<Missed>,
}

struct V4Hole {
    at: usize,
    address: [u8; 4],
    set: Set,
    /// The number of the token in the index; 0 if lines are not indexed. The same applies below.
    number: u32,
}

struct Hole {
    at: usize,
    key: Key,
    set: Set,
    number: u32,
}

struct Missed {
    at: usize,
    kind: Kind,
    block: hmac::Block,
    whose: Whose,
    set: Set,
    number: u32,
    /// The first bytes of the tag of the network, if this is an address and lines are indexed.
    network: Option<[u8; 8]>,
}

/// The identifier under which a tag is cached.
#[derive(Clone, Copy)]
enum Whose {
    V4([u8; 4]),
    Other(Key),
}

/// Lines being laid out. The output is borrowed until this is dropped, and by then every token is in its
/// place.
pub struct Layout<'a> {
    maker: &'a mut Pseudonymiser,
    out: &'a mut Pseudonymised,
    /// The index of the output, while lines are indexed.
    index: Option<Box<Index>>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(maker: &'a mut Pseudonymiser, out: &'a mut Pseudonymised) -> Self {
        Self { maker, out, index: None }
    }

    /// Begins to index lines for an archive: each one must then be added with [`Layout::index_line`].
    pub fn index_lines(&mut self) {
        let Pseudonymiser { recent, networks, keys, destinations, .. } = &mut *self.maker;
        recent.take_notes();
        networks.get_or_insert_with(|| Networks::new(Arc::clone(keys)));
        let mut index = self.out.index.take().unwrap_or_default();
        index.tokens.made_after(destinations.renew(keys.vaults_begun()));
        self.index = Some(index);
    }

    /// Adds the latest line to the index of the output. It comprises all bytes after the line that was indexed
    /// before.
    pub fn index_line(&mut self, dated: Dated) {
        let Some(index) = &mut self.index else { return };
        index.keys.get_or_insert_with(|| Arc::clone(&self.maker.keys));
        index.end_line(&self.out.buffer[..self.out.length], dated, &mut self.maker.destinations);
    }

    /// Adds a placeholder to the index. Its token names a quarantine file, not a person.
    pub fn index_placeholder(&mut self, placeholder: &Placeholder, dated: Dated) {
        let Some(index) = &mut self.index else { return };
        if let Some(parts) = token::parse(placeholder.token().as_bytes()) {
            index.tokens.push(Kind::QR, parts.tag, &[]);
        }
        index.placeholders.push(index.entries.len());
        self.index_line(dated);
    }

    /// Adds `line` with its findings replaced, forged tags defused and `tag` inserted, followed by its line end.
    /// All other bytes are copied unchanged.
    #[inline]
    pub fn line(&mut self, line: &Line<'_>, findings: &Findings, tag: Option<Placement<'_>>) {
        self.make_room(line.bytes.len() + self.room_for(findings));
        let mut insertions = Insertions { defused: &findings.defused, tag };
        let mut position = 0;
        for finding in &findings.items {
            self.copy_to(finding.span.start, &mut position, line, &mut insertions);
            self.token(finding, line.bytes, findings);
            position = finding.span.end;
        }
        #[expect(clippy::cast_possible_truncation, reason = "lines are bounded by LONGEST_LINE")]
        let end = line.bytes.len() as u32;
        self.copy_to(end, &mut position, line, &mut insertions);
        if let Some(Placement { text, .. }) = insertions.tag {
            self.tag(text);
        }
        match line.ending {
            b"\n" => self.push(b'\n'),
            ending => self.extend(ending),
        }
    }

    /// Adds the placeholder of a quarantined line.
    pub fn placeholder(&mut self, placeholder: &Placeholder, tag: Option<&RenderedTag>, ending: &[u8]) {
        let text = placeholder.to_string();
        self.make_room(text.len());
        self.extend(text.as_bytes());
        if let Some(tag) = tag {
            self.tag(tag);
        }
        self.extend(ending);
    }

    /// The maximum number of bytes that the findings of a line add to it.
    #[inline]
    fn room_for(&self, findings: &Findings) -> usize {
        // An address-shaped token spells its separators, at most eight, as the line does.
        let separators = match self.maker.shape {
            TokenShape::Native => 0,
            TokenShape::Address => findings.items.iter().map(|finding| 8 * finding.separator.len()).sum(),
        };
        findings.items.len() * token::MOST_BYTES + separators + findings.defused.len()
    }

    /// Ensures that there is room for `bytes` more bytes, a tag, a line end and a stride.
    #[inline]
    fn make_room(&mut self, bytes: usize) {
        let needed = self.out.length + bytes + RenderedTag::MOST_BYTES + 2 + STRIDE;
        if self.out.buffer.len() < needed {
            self.out.buffer.resize((2 * needed).max(64 << 10), 0);
        }
    }

    /// Copies the line from `position` to `end`, with the insertions that belong before `end`.
    #[inline(always)]
    fn copy_to(&mut self, end: u32, position: &mut u32, line: &Line<'_>, insertions: &mut Insertions<'_>) {
        while let Some((&at, later)) = insertions.defused.split_first()
            && at < end
        {
            self.tag_before(at + 1, position, line, insertions);
            insertions.defused = later;
            // If it is inside an identifier, skip it: the token that replaced it contains no tag.
            if at >= *position {
                self.copy(line, *position, at);
                self.push(b'_');
                *position = at;
            }
        }
        self.tag_before(end, position, line, insertions);
        self.copy(line, *position, end);
        *position = end;
    }

    /// Inserts the tag if its place is before `end`.
    #[inline(always)]
    fn tag_before(&mut self, end: u32, position: &mut u32, line: &Line<'_>, insertions: &mut Insertions<'_>) {
        if let Some(Placement { replace, text }) = insertions.tag.take_if(|tag| tag.replace.start < end) {
            let start = (*position).max(replace.start);
            self.copy(line, *position, start);
            self.tag(text);
            *position = start.max(replace.end);
        }
    }

    /// Copies the bytes `from..to` of the line.
    #[inline(always)]
    fn copy(&mut self, line: &Line<'_>, from: u32, to: u32) {
        self.copy_from(line.block, line.start as usize + from as usize, to as usize - from as usize);
    }

    /// Copies `length` bytes of `text` starting at `from`, in whole strides where possible.
    #[inline(always)]
    fn copy_from(&mut self, text: &[u8], from: usize, length: usize) {
        let at = self.out.length;
        self.out.length = at + length;
        let out = &mut self.out.buffer[at..];
        let text = &text[from..];
        let (Some(target), Some(source)) = (out.first_chunk_mut::<STRIDE>(), text.first_chunk::<STRIDE>())
        else {
            out[..length].copy_from_slice(&text[..length]);
            return;
        };
        *target = *source;
        if length > STRIDE {
            copy_rest(&mut out[STRIDE..], &text[STRIDE..], length - STRIDE);
        }
    }

    #[inline(always)]
    fn tag(&mut self, tag: &RenderedTag) {
        self.copy_from(tag.padded(), 0, tag.as_bytes().len());
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.out.buffer[self.out.length] = byte;
        self.out.length += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.out.buffer[self.out.length..][..bytes.len()].copy_from_slice(bytes);
        self.out.length += bytes.len();
    }

    #[inline(always)]
    fn token(&mut self, finding: &Finding, line: &[u8], findings: &Findings) {
        if self.maker.shape == TokenShape::Address && matches!(finding.kind, Kind::IP | Kind::EM) {
            return self.address_shaped(finding, line, findings);
        }
        let prefix = self.maker.prefixes[usize::from(finding.kind.0)];
        self.out.buffer[self.out.length..][..16].copy_from_slice(&prefix.bytes);
        let at = self.out.length + prefix.length;
        self.out.length = at + TAG_BYTES;
        match finding.canonical {
            Canonical::V4(address) if finding.kind == Kind::IP => {
                let [a, b, c, d] = address;
                let number = self.number(finding.kind, &[4, a, b, c, d]);
                let set = self.maker.recent.v4_set(address);
                self.maker.holes.v4.push(V4Hole { at, address, set, number });
            }
            _ => {
                let mut buffer = [0; 17];
                let canonical = findings.canonical(finding, &mut buffer);
                match Key::new(finding.kind, canonical) {
                    Some(key) => {
                        let number = self.number(finding.kind, canonical);
                        let set = self.maker.recent.other_set(&key);
                        self.maker.holes.other.push(Hole { at, key, set, number });
                    }
                    None => {
                        let tag = self.maker.long(finding.kind, canonical);
                        self.out.buffer[at..][..TAG_BYTES].copy_from_slice(&token::encode_tag(&tag));
                        self.enter(finding.kind, tag, canonical);
                    }
                }
            }
        }
    }

    /// Adds a token whose tag is not known yet to the index. Returns its number there.
    #[inline(always)]
    fn number(&mut self, kind: Kind, canonical: &[u8]) -> u32 {
        self.index.as_mut().map_or(0, |index| index.push_later(kind, canonical))
    }

    /// Adds a token whose tag is known to the index.
    fn enter(&mut self, kind: Kind, tag: [u8; 16], canonical: &[u8]) {
        let Some(index) = &mut self.index else { return };
        let networks = self.maker.networks.as_mut().filter(|_| kind == Kind::IP);
        match networks.and_then(|networks| networks.tag_of(canonical)) {
            Some(network) => index.tokens.push_address(tag, index::head(&network), canonical),
            None => index.tokens.push(kind, tag, canonical),
        }
    }

    /// Writes an address-shaped token. It has no fixed width, so its tag is computed at once.
    fn address_shaped(&mut self, finding: &Finding, line: &[u8], findings: &Findings) {
        let mut buffer = [0; 17];
        let canonical = findings.canonical(finding, &mut buffer);
        let tag = self.maker.tag_now(finding.kind, canonical);
        self.enter(finding.kind, tag, canonical);
        let separator = finding.separator.of(line);
        let mut text = Vec::with_capacity(token::MOST_BYTES);
        match finding.kind {
            Kind::IP => token::write_address(&tag, separator, finding.brackets, &mut text),
            _ => token::write_mailbox(&tag, separator, &mut text),
        }
        self.extend(&text);
    }
}

impl Drop for Layout<'_> {
    fn drop(&mut self) {
        self.maker.fill(&mut self.out.buffer, self.index.as_deref_mut());
        if let Some(mut index) = self.index.take() {
            index.finish();
            self.out.index = Some(index);
        }
    }
}

impl Pseudonymiser {
    /// Fills all holes in `out` and completes the tokens of `index`.
    fn fill(&mut self, out: &mut [u8], mut index: Option<&mut Index>) {
        let Self { recent, holes: Holes { v4, other, missed }, .. } = self;
        for &V4Hole { at, address, set, number } in &*v4 {
            let Some((text, slot)) = recent.v4(address, set) else {
                let [a, b, c, d] = address;
                let whose = Whose::V4(address);
                let missing = |block| Missed { at, kind: Kind::IP, block, whose, set, number, network: None };
                missed.extend(hmac::Block::new(&[4, a, b, c, d]).map(missing));
                continue;
            };
            put(out, at, text);
            if let (Some(index), Some(note)) = (index.as_deref_mut(), recent.v4_note(slot)) {
                index.complete(number, note);
            }
        }
        for &Hole { at, ref key, set, number } in &*other {
            let Some((text, slot)) = recent.other(key, set) else {
                let whose = Whose::Other(*key);
                let missing =
                    |block| Missed { at, kind: key.kind(), block, whose, set, number, network: None };
                missed.extend(hmac::Block::new(key.canonical()).map(missing));
                continue;
            };
            put(out, at, text);
            if let (Some(index), Some(note)) = (index.as_deref_mut(), recent.other_note(slot)) {
                index.complete(number, note);
            }
        }
        v4.clear();
        other.clear();
        self.fill_missed(out, index);
    }

    /// Fills the holes whose tags must be computed.
    fn fill_missed(&mut self, out: &mut [u8], mut index: Option<&mut Index>) {
        let mut missed = std::mem::take(&mut self.holes.missed);
        if index.is_some() {
            self.find_networks(&mut missed);
        }
        let (batches, rest) = missed.as_chunks::<AT_ONCE>();
        for batch in batches {
            let tags = self.keys.tags(batch.each_ref().map(|hole| (hole.kind, hole.block)));
            for (hole, tag) in batch.iter().zip(tags) {
                self.fill_one(hole, tag, out, index.as_deref_mut());
            }
        }
        for hole in rest {
            let [tag] = self.keys.tags([(hole.kind, hole.block)]);
            self.fill_one(hole, tag, out, index.as_deref_mut());
        }
        self.holes.missed = missed;
        self.holes.missed.clear();
    }

    /// Finds the networks of those holes that are addresses.
    fn find_networks(&mut self, missed: &mut [Missed]) {
        let Some(networks) = &mut self.networks else { return };
        for (number, hole) in missed.iter().enumerate().filter(|(_, hole)| hole.kind == Kind::IP) {
            match hole.whose {
                Whose::V4([a, b, c, d]) => networks.ask(number, &[4, a, b, c, d]),
                Whose::Other(key) => networks.ask(number, key.canonical()),
            }
        }
        networks.answer(|number, tag| missed[number].network = Some(index::head(&tag)));
    }

    fn fill_one(&mut self, hole: &Missed, tag: [u8; 16], out: &mut [u8], index: Option<&mut Index>) {
        let text = token::encode_tag(&tag);
        put(out, hole.at, &text);
        let network = hole.network.unwrap_or_else(|| index::head(&tag));
        let mut note = Note { tag, network, sent: 0 };
        if let Some(index) = index {
            index.complete(hole.number, &mut note);
        }
        match hole.whose {
            Whose::V4(address) => self.recent.remember_v4(address, hole.set, text, note),
            Whose::Other(key) => self.recent.remember_other(key, hole.set, text, note),
        }
        self.new.push((hole.kind, tag));
    }

    /// Computes the tag of a canonical form that is too long to be cached.
    fn long(&mut self, kind: Kind, canonical: &[u8]) -> [u8; 16] {
        let tag = self.keys.tag(kind, canonical);
        self.recent.miss();
        self.new.push((kind, tag));
        tag
    }

    /// The tag of a canonical form, from the cache or computed at once.
    fn tag_now(&mut self, kind: Kind, canonical: &[u8]) -> [u8; 16] {
        let Some(key) = Key::new(kind, canonical) else { return self.long(kind, canonical) };
        let set = self.recent.other_set(&key);
        if let Some((text, _)) = self.recent.other(&key, set)
            && let Some(tag) = token::decode_tag(text)
        {
            return tag;
        }
        let tag = self.keys.tag(kind, canonical);
        // The note is never read: the vault always looks up tokens that were made at once.
        self.recent.remember_other(key, set, token::encode_tag(&tag), Note::default());
        self.new.push((kind, tag));
        tag
    }
}

/// Copies `length` bytes: in one more stride if possible.
#[inline]
fn copy_rest(out: &mut [u8], text: &[u8], length: usize) {
    match (out.first_chunk_mut::<STRIDE>(), text.first_chunk::<STRIDE>()) {
        (Some(target), Some(source)) if length <= STRIDE => *target = *source,
        _ => out[..length].copy_from_slice(&text[..length]),
    }
}

#[inline]
fn put(out: &mut [u8], at: usize, text: &TagText) {
    if let Some(hole) = out[at..].first_chunk_mut::<TAG_BYTES>() {
        *hole = *text;
    }
}

/// What remains to be inserted into a line beside tokens: underscores that defuse forged tags, and the tag.
struct Insertions<'a> {
    /// Sorted offsets.
    defused: &'a [u32],
    tag: Option<Placement<'a>>,
}
