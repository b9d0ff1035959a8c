//! Pseudonyms: findings in, [`Pseudonymised`] bytes out.
//!
//! [`Pseudonymised`] is the proof that nothing leaves in clear: its only field is private to this
//! file, [`Pseudonymiser::line`] is the only way to add a line to it, and outputs accept nothing else.
//! Writing a raw line does not compile. Pseudonyms know no formats, no classes, no storage.

pub mod epoch;
pub mod index;
pub mod recent;
pub mod token;

use crate::model::{Finding, Findings, Kind, Kinds, Placement, RenderedTag};
use epoch::EpochKeys;
use index::Index;
pub use index::{Dated, Networks, Tokens};
use recent::{RecentTags, Slot};
use std::ops::Range;
use std::sync::Arc;

/// Shape of the tokens in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenShape {
    /// `ip_2epqfnspyfc4whwyd2jp92w06ftvdrr`
    #[default]
    Native,
    /// An IPv6 unique local address for an IP, `...@pseudonym.invalid` for an e-mail.
    Address,
}

/// Lines in which every finding has been replaced by its token. Reused from block to block.
#[derive(Debug, Default)]
pub struct Pseudonymised {
    bytes: Vec<u8>,
    /// `None` unless somebody asked for it.
    index: Option<Box<Index>>,
}

impl Pseudonymised {
    /// The lines.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the lines, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if let Some(index) = &mut self.index {
            index.clear();
        }
    }

    /// The keys of the epoch that its tokens are of; `None` if no line was indexed.
    #[must_use]
    pub fn keys(&self) -> Option<&Arc<EpochKeys>> {
        self.index.as_ref()?.keys.as_ref()
    }

    /// Whether every byte belongs to an indexed line.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        let end = self.index.as_ref().and_then(|index| index.entries.last()).map_or(0, |last| last.end);
        end == self.bytes.len()
    }

    /// How many lines the index holds.
    #[must_use]
    pub fn indexed_lines(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.entries.len())
    }

    /// The bytes of an indexed line with its line end, and its retention.
    ///
    /// # Panics
    /// If the index holds no such line.
    #[must_use]
    pub fn indexed_line(&self, line: usize) -> (&[u8], Dated) {
        let entries = self.index.as_ref().map_or(&[][..], |index| &index.entries);
        let start = line.checked_sub(1).map_or(0, |before| entries[before].end);
        (&self.bytes[start..entries[line].end], entries[line].dated)
    }

    /// Adds the tokens of these indexed lines to `tokens`.
    pub fn copy_tokens(&self, lines: Range<usize>, tokens: &mut Tokens) {
        if let Some(index) = &self.index {
            tokens.extend_from(&index.tokens, index.tokens_of(lines));
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
impl Pseudonymised {
    /// Lines without any identifier, indexed, with the seconds of their events.
    pub(crate) fn of_lines(expires: crate::model::Expires, lines: &[(&str, i64)]) -> Self {
        let mut index = Box::<Index>::default();
        let mut bytes = Vec::new();
        for &(line, event_second) in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            index.end_line(bytes.len(), Dated { class: 0, expires, event_second });
        }
        Self { bytes, index: Some(index) }
    }
}

/// Replaces findings by tokens; one per worker, for it remembers recent tokens.
pub struct Pseudonymiser {
    keys: Arc<EpochKeys>,
    kinds: Arc<Kinds>,
    shape: TokenShape,
    recent: RecentTags,
}

impl Pseudonymiser {
    /// A pseudonymiser for one epoch.
    #[must_use]
    pub fn new(keys: Arc<EpochKeys>, kinds: Arc<Kinds>, shape: TokenShape) -> Self {
        Self { keys, kinds, shape, recent: RecentTags::default() }
    }

    /// Goes over to the keys of another epoch. Tokens of the old one are forgotten.
    pub fn enter(&mut self, keys: &Arc<EpochKeys>) {
        if !Arc::ptr_eq(&self.keys, keys) {
            self.keys = Arc::clone(keys);
            self.recent.clear();
        }
    }

    /// Appends `line` to `out`: findings replaced, forged tags defused, `tag` put in, then `ending`.
    /// All other bytes are copied as they are. `on_new` hears of each tag that was not among the recent
    /// ones, so that distinct identifiers can be counted.
    pub fn line(
        &mut self,
        line: &[u8],
        ending: &[u8],
        findings: &Findings,
        tag: Option<Placement<'_>>,
        out: &mut Pseudonymised,
        on_new: &mut impl FnMut(Kind, [u8; 16]),
    ) {
        let out = &mut out.bytes;
        let mut position = 0;
        let mut insertions = Insertions { line, defused: &findings.defused, tag };
        for finding in &findings.items {
            insertions.copy_to(finding.span.start as usize, &mut position, out);
            self.token(finding, line, findings, out, on_new);
            position = finding.span.end as usize;
        }
        insertions.copy_to(line.len(), &mut position, out);
        if let Some(Placement { text, .. }) = insertions.tag {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(ending);
    }

    /// Appends the line that stands for a quarantined one.
    pub fn placeholder(
        &self,
        placeholder: &Placeholder,
        tag: Option<&RenderedTag>,
        ending: &[u8],
        out: &mut Pseudonymised,
    ) {
        out.bytes.extend_from_slice(placeholder.to_string().as_bytes());
        if let Some(tag) = tag {
            out.bytes.extend_from_slice(tag.as_bytes());
        }
        out.bytes.extend_from_slice(ending);
    }

    fn token(
        &mut self,
        finding: &Finding,
        line: &[u8],
        findings: &Findings,
        out: &mut Vec<u8>,
        on_new: &mut impl FnMut(Kind, [u8; 16]),
    ) {
        let tag = self.tag(finding, findings, on_new);
        let separator = finding.separator.of(line);
        match (self.shape, finding.kind) {
            (TokenShape::Address, Kind::IP) => {
                token::write_address(&tag, separator, finding.brackets, out);
            }
            (TokenShape::Address, Kind::EM) => token::write_mailbox(&tag, separator, out),
            _ => token::write(self.kinds.name(finding.kind), &self.keys.kid(), &tag, out),
        }
    }

    fn tag(
        &mut self,
        finding: &Finding,
        findings: &Findings,
        on_new: &mut impl FnMut(Kind, [u8; 16]),
    ) -> [u8; 16] {
        let mut buffer = [0; 17];
        let canonical = findings.canonical(finding, &mut buffer);
        match self.recent.slot(finding.kind, canonical) {
            Slot::Known(tag) => tag,
            Slot::Free(place) => {
                let tag = self.keys.tag(finding.kind, canonical);
                on_new(finding.kind, tag);
                self.recent.remember(place, tag);
                tag
            }
        }
    }

    /// Enters the line that was appended to `out` last into its index, for an archive: all that stands
    /// between it and the line indexed before. Its tokens are those of `findings`.
    pub fn index_line(&mut self, findings: &Findings, dated: Dated, out: &mut Pseudonymised) {
        let Pseudonymised { bytes, index } = out;
        let index = index.get_or_insert_default();
        index.keys.get_or_insert_with(|| Arc::clone(&self.keys));
        let mut buffer = [0; 17];
        for finding in &findings.items {
            let tag = self.tag(finding, findings, &mut |_, _| {});
            index.tokens.push(finding.kind, tag, findings.canonical(finding, &mut buffer));
        }
        index.end_line(bytes.len(), dated);
    }

    /// The same for a line that stands for a quarantined one: its token names a sealed file, nobody.
    pub fn index_placeholder(&self, placeholder: &Placeholder, dated: Dated, out: &mut Pseudonymised) {
        let Pseudonymised { bytes, index } = out;
        let index = index.get_or_insert_default();
        index.keys.get_or_insert_with(|| Arc::clone(&self.keys));
        if let Some(parts) = token::parse(placeholder.token().as_bytes()) {
            index.tokens.push(Kind::QR, parts.tag, &[]);
        }
        index.end_line(bytes.len(), dated);
    }

    /// How many tokens were among the recent ones, and how many were not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        self.recent.hits_and_misses()
    }
}

/// What is put into a line beside tokens, still to come: underscores that defuse, and the tag.
struct Insertions<'a> {
    line: &'a [u8],
    /// Sorted.
    defused: &'a [u32],
    tag: Option<Placement<'a>>,
}

impl Insertions<'_> {
    /// Copies the line from `position` to `end`, with what is to be put in before `end`.
    fn copy_to(&mut self, end: usize, position: &mut usize, out: &mut Vec<u8>) {
        while let Some((&at, later)) = self.defused.split_first()
            && (at as usize) < end
        {
            self.tag_before(at as usize + 1, position, out);
            self.defused = later;
            // Within an identifier: the token that took its place holds no tag.
            if at as usize >= *position {
                out.extend_from_slice(&self.line[*position..at as usize]);
                out.push(b'_');
                *position = at as usize;
            }
        }
        self.tag_before(end, position, out);
        out.extend_from_slice(&self.line[*position..end]);
        *position = end;
    }

    /// Puts the tag in if its place is before `end`.
    fn tag_before(&mut self, end: usize, position: &mut usize, out: &mut Vec<u8>) {
        if let Some(Placement { replace, text }) = self.tag.take_if(|tag| (tag.replace.start as usize) < end)
        {
            let start = (*position).max(replace.start as usize);
            out.extend_from_slice(&self.line[*position..start]);
            out.extend_from_slice(text.as_bytes());
            *position = start.max(replace.end as usize);
        }
    }
}

/// What goes out in the place of a quarantined line: a token and two numbers, nothing of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    token: String,
    bytes: u64,
    limit: u64,
}

impl Placeholder {
    /// The line of `bytes` bytes, more than `limit`, that is sealed under `token`. `None` if that is not
    /// a `qr` token: it is written out, so nothing else may get in.
    #[must_use]
    pub fn new(token: &str, bytes: u64, limit: u64) -> Option<Self> {
        let body = token.strip_prefix("qr_").filter(|body| token::is_body(body.as_bytes()));
        body.map(|_| Self { token: token.to_owned(), bytes, limit })
    }

    /// The token, which is also the name of the sealed file.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Length of the line, without its line end.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.bytes
    }
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "oubliette: line quarantined id={} bytes={} limit={}", self.token, self.bytes, self.limit)
    }
}
