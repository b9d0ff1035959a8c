//! Processes one block: what happens to each of its lines, from top to bottom.

use super::tally::Tally;
use super::workers::{Piece, Work};
use crate::detect::{Detector, Scratch};
use crate::format::{self, Guess};
use crate::model::{Findings, Format, Kinds, Record, Span, TagPoint};
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochKeys;
use crate::pseudonym::{Dated, Layout, Placeholder, Pseudonymised, Pseudonymiser, TokenShape};
use crate::retention::{self, LookAlikes, Stamper, Verdict};
use crate::scan::{Line, Scan};
use jiff::Timestamp;
use std::sync::Arc;

/// Settings shared by all workers of a filter.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Finds identifiers.
    pub detector: Detector,
    /// The kinds of identifiers.
    pub kinds: Arc<Kinds>,
    /// Shape of the tokens.
    pub shape: TokenShape,
    /// The format of all lines, or `None` to guess it.
    pub format: Option<Format>,
    /// Whether the lines come from another oubliette, whose tokens and tags are kept.
    pub trust_upstream: bool,
    /// Whether the output is indexed, for an archive.
    pub indexed: bool,
}

/// One worker of the filter.
pub struct Filter {
    shared: Shared,
    guess: Guess,
    look_alikes: LookAlikes,
    stamper: Stamper,
    /// `None` until the first keys arrive.
    pseudonymiser: Option<Pseudonymiser>,
    /// Memory for recent tokens, in bytes.
    recent_bytes: usize,
    scan: Scan,
    scratch: Scratch,
    findings: Findings,
    tally: Tally,
}

impl Filter {
    /// Creates a worker that caches recent tokens in `recent_bytes` bytes. `stamper` holds the policy, with
    /// empty caches.
    #[must_use]
    pub fn new(shared: Shared, stamper: Stamper, recent_bytes: usize) -> Self {
        let classes = stamper.policy().classes().len() + 1;
        Self {
            guess: Guess::new(shared.format),
            shared,
            look_alikes: LookAlikes::default(),
            stamper,
            pseudonymiser: None,
            recent_bytes,
            scan: Scan::default(),
            scratch: Scratch::default(),
            findings: Findings::default(),
            tally: Tally::new(classes),
        }
    }

    /// The counts of this worker.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn block(&mut self, block: &[u8], received: Timestamp, out: &mut Pseudonymised) {
        let Some(mut pseudonymiser) = self.pseudonymiser.take() else { return };
        let mut scan = std::mem::take(&mut self.scan);
        let mut layout = pseudonymiser.layout(out);
        if self.shared.indexed {
            layout.index_lines();
        }
        for line in scan.lines(block) {
            self.line(&line, received, &mut layout);
        }
        drop(layout);
        self.scan = scan;
        pseudonymiser.new_tags().for_each(|(kind, tag)| self.tally.token(kind, &tag));
        self.tally.recent = pseudonymiser.hits_and_misses();
        self.pseudonymiser = Some(pseudonymiser);
        self.tally.lines.bytes_in += block.len() as u64;
        self.tally.lines.bytes_out += out.as_bytes().len() as u64;
    }

    /// Processes one line.
    #[inline]
    fn line(&mut self, line: &Line<'_>, received: Timestamp, layout: &mut Layout<'_>) {
        let Self { shared, guess, look_alikes, stamper, scratch, findings, tally, .. } = self;
        let bytes = line.bytes;
        tally.lines.lines_in += 1;
        // Borrowed in place: moving a record costs as much as reading it.
        let plain = guess.read_plain(line);
        let parsed;
        let record = match &plain {
            Some(record) => record,
            None => {
                parsed = guess.parse(bytes);
                &parsed
            }
        };
        tally.format(record.format);
        let field = |name: &str| format::field(bytes, record, name);
        let event_second = if shared.indexed { stamper.event_second(record, received) } else { 0 };
        let (class, expires, tag) = match stamper.stamp(bytes, record, received, &field) {
            Verdict::Expired { class, .. } => {
                tally.class(class);
                tally.lines.dropped += 1;
                tally.lines.expired += 1;
                return;
            }
            Verdict::Keep { class, expires, tag, .. } => {
                tally.class(class);
                (class, expires, tag)
            }
        };
        shared.detector.find(line, record, scratch, findings);
        if !shared.trust_upstream {
            defuse(look_alikes, line, record, findings);
        } else if let Some(tag) = retention::tag::existing(bytes, record) {
            // A field that extends to the end of the line must not include the tag.
            findings.items.retain(|finding| !finding.span.overlaps(tag.span));
        }
        for finding in &findings.items {
            tally.identifier(finding.kind, finding.rule);
        }
        layout.line(line, findings, tag);
        if shared.indexed {
            layout.index_line(Dated { class, expires, event_second });
        }
        tally.lines.lines_out += 1;
    }

    fn placeholder(
        &mut self,
        placeholder: &Placeholder,
        ending: &[u8],
        received: Timestamp,
        out: &mut Pseudonymised,
    ) {
        let Self { shared, stamper, pseudonymiser: Some(pseudonymiser), tally, .. } = self else { return };
        // The line is quarantined, so only its time of receipt is known.
        let text = placeholder.to_string();
        let record = Record::raw(text.as_bytes());
        let event_second = stamper.event_second(&record, received);
        if let Verdict::Keep { class, expires, tag, .. } =
            stamper.stamp(text.as_bytes(), &record, received, &|_| None)
        {
            tally.class(class);
            let mut layout = pseudonymiser.layout(out);
            if shared.indexed {
                layout.index_lines();
            }
            layout.placeholder(placeholder, tag.map(|tag| tag.text), ending);
            if shared.indexed {
                layout.index_placeholder(placeholder, Dated { class, expires, event_second });
            }
        }
        tally.format(Format::Raw);
        tally.lines.lines_in += 1;
        tally.lines.quarantined += 1;
        tally.lines.bytes_in += placeholder.line_bytes() + ending.len() as u64;
        tally.lines.bytes_out += out.as_bytes().len() as u64;
    }
}

/// Finds text that only looks like a tag, and adds it to `findings.defused`.
pub fn defuse(look_alikes: &LookAlikes, line: &Line<'_>, record: &Record, findings: &mut Findings) {
    // Member names may contain escapes, and need no other word of a tag near them.
    let json = matches!(record.tag, TagPoint::JsonObject { .. });
    let named = json && (line.has_backslash() || look_alikes.names_retention(line.bytes));
    if !named && !line.block_holds_tag_words() {
        return;
    }
    let members: Vec<Span> = format::top_level_key_spans(line.bytes, record, "retention").collect();
    look_alikes.forged(line.bytes, record, &members, &mut findings.defused);
}

impl Work<EpochKeys> for Filter {
    type Output = Pseudonymised;

    fn renew(&mut self, keys: Arc<EpochKeys>) {
        match &mut self.pseudonymiser {
            Some(pseudonymiser) => pseudonymiser.enter(&keys),
            None => {
                let kinds = Arc::clone(&self.shared.kinds);
                self.pseudonymiser =
                    Some(Pseudonymiser::new(keys, kinds, self.shared.shape, self.recent_bytes));
            }
        }
    }

    fn work(
        &mut self,
        piece: &Piece,
        received: Timestamp,
        out: &mut Pseudonymised,
    ) -> Result<(), Diagnostic> {
        match piece {
            Piece::Lines(block) => self.block(block.bytes(), received, out),
            Piece::TooLong { placeholder, ending } => {
                self.placeholder(placeholder, ending.as_bytes(), received, out);
            }
        }
        Ok(())
    }
}
