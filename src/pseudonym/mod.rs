//! Pseudonyms: findings in, [`Pseudonymised`] bytes out.
//!
//! [`Pseudonymised`] is the proof that nothing leaves in clear: its only field is private to this
//! file, [`Pseudonymiser::line`] is the only way to add a line to it, and outputs accept nothing else.
//! Writing a raw line does not compile. Pseudonyms know no formats, no classes, no storage.

pub mod epoch;
pub mod recent;
pub mod token;

use crate::model::{Finding, Findings, Kind, Kinds, RenderedTag, Span};
use epoch::EpochKeys;
use recent::{RecentTags, Slot};
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
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A tag and the bytes of the line that it takes the place of (none, for an insertion).
#[derive(Clone, Copy, Debug)]
pub struct Tagging<'a> {
    /// What it replaces; empty for an insertion.
    pub replace: Span,
    /// What it says.
    pub text: &'a RenderedTag,
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
        tag: Option<Tagging<'_>>,
        out: &mut Pseudonymised,
        on_new: &mut impl FnMut(Kind, [u8; 16]),
    ) {
        let out = &mut out.bytes;
        let mut position = 0;
        let mut tag = tag;
        let mut defused = findings.defused.iter().copied().peekable();
        let mut copy_to = |end: usize, position: &mut usize, out: &mut Vec<u8>| {
            while let Some(at) = defused.next_if(|&at| (at as usize) < end) {
                out.extend_from_slice(&line[*position..at as usize]);
                out.push(b'_');
                *position = at as usize;
            }
            if let Some(Tagging { replace, text }) = tag.filter(|tag| (tag.replace.start as usize) < end) {
                out.extend_from_slice(&line[*position..replace.start as usize]);
                out.extend_from_slice(text.as_bytes());
                *position = replace.end as usize;
                tag = None;
            }
            out.extend_from_slice(&line[*position..end]);
            *position = end;
        };
        for finding in &findings.items {
            copy_to(finding.span.start as usize, &mut position, out);
            self.token(finding, line, findings, out, on_new);
            position = finding.span.end as usize;
        }
        copy_to(line.len(), &mut position, out);
        if let Some(Tagging { text, .. }) = tag {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(ending);
    }

    /// Appends a line that this program wrote itself: it holds no finding by construction, for it is
    /// made of a token and numbers only.
    pub fn notice(
        &mut self,
        notice: &Notice,
        tag: Option<&RenderedTag>,
        ending: &[u8],
        out: &mut Pseudonymised,
    ) {
        out.bytes.extend_from_slice(b"oubliette: line quarantined id=");
        out.bytes.extend_from_slice(&notice.token);
        out.bytes.extend_from_slice(format!(" bytes={} limit={}", notice.bytes, notice.limit).as_bytes());
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
            Slot::Free(slot) => {
                let tag = self.keys.tag(finding.kind, canonical);
                on_new(finding.kind, tag);
                self.recent.remember(slot, finding.kind, canonical, tag);
                tag
            }
        }
    }

    /// How many tokens were among the recent ones, and how many were not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        self.recent.hits_and_misses()
    }
}

/// What goes out in the place of a quarantined line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The `qr` token under which the line is sealed.
    pub token: Vec<u8>,
    /// Length of the line in bytes, without its line end.
    pub bytes: u64,
    /// The limit that it exceeded, in bytes.
    pub limit: u64,
}
