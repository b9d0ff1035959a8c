//! Runs records through the filter core and then compression, in one thread.

use crate::archive::{ArchiveError, Lines, Packer, WholeSegment, filter as index};
use crate::input::Block;
use crate::jobs::custody::RecordedKeyring;
use crate::jobs::filter::{EpochsOf, Plan};
use crate::jobs::recognition::Recognition;
use crate::keyring::Escrow;
use crate::model::{Expires, Folder, RetentionClass};
use crate::pipeline::filter::Filter;
use crate::pipeline::{Current, Epochs as _, Piece, PipelineError, Work as _};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::pseudonym::epoch::EpochKeys;
use crate::pseudonym::{Pseudonymised, token};
use crate::quarantine::Quarantine;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// Filters lines and packs them into frames.
pub struct RecordPacker {
    filter: Filter,
    packer: Packer,
    epochs: EpochsOf,
    current: Option<Current<EpochKeys>>,
    quarantine: Quarantine,
    block: Pseudonymised,
    classes: Vec<RetentionClass>,
    policy_digest: [u8; 32],
    zone: TimeZone,
    clock: Clock,
    /// The latest instant that has come for certain, if the clock has jumped.
    certain: Option<Timestamp>,
    max_line_bytes: usize,
}

impl RecordPacker {
    /// Creates a packer for `plan`, which must trust the upstream and index lines for an archive. `level`
    /// is the compression level.
    ///
    /// # Errors
    /// If there are no keys, or zstd has no memory.
    pub fn new(plan: Plan, level: i32) -> Result<Self, Diagnostic> {
        let keyring = RecordedKeyring::open(plan.keys)?;
        let recipients = keyring.escrow()?.map(Escrow::into_recipients).unwrap_or_default();
        let Recognition { shared, stamper, zone, policy_digest, .. } = plan.recognition;
        let (classes, certain) = (stamper.policy().classes().to_vec(), stamper.certain());
        let epochs = EpochsOf::new(keyring, plan.tenant, Arc::clone(&shared.kinds));
        let mut packer = Self {
            filter: Filter::new(shared, stamper, RECENT_BYTES),
            packer: Packer::new(level).map_err(ArchiveError::Compress)?,
            epochs,
            current: None,
            quarantine: Quarantine::new(&plan.state_dir, recipients, plan.max_line_bytes as u64),
            block: Pseudonymised::default(),
            classes,
            policy_digest,
            zone,
            clock: plan.clock,
            certain,
            max_line_bytes: plan.max_line_bytes,
        };
        packer.renew()?;
        Ok(packer)
    }

    /// Filters whole lines, received at `time`, into frames of `segment`. Returns the number of identifiers
    /// that were in clear.
    pub(super) fn filter(
        &mut self,
        lines: Vec<u8>,
        time: Timestamp,
        segment: &mut WholeSegment,
    ) -> Result<u64, Diagnostic> {
        self.piece(&Piece::Lines(Block::new(lines)), time, segment)
    }

    /// Quarantines a record that is too long to be searched, and puts a placeholder into `segment`.
    pub(super) fn seal(
        &mut self,
        record: &[u8],
        time: Timestamp,
        segment: &mut WholeSegment,
    ) -> Result<u64, Diagnostic> {
        self.renew()?;
        let Some(current) = &self.current else { return Ok(0) };
        let hash = self.epochs.line_hash(&current.keys);
        let mut sealing = self.quarantine.begin(hash).map_err(PipelineError::from)?;
        sealing.update(record).map_err(PipelineError::from)?;
        let placeholder = sealing.finish().map_err(PipelineError::from)?;
        self.piece(&Piece::TooLong { placeholder, ending: crate::input::Ending::Lf }, time, segment)
    }

    fn piece(
        &mut self,
        piece: &Piece,
        time: Timestamp,
        segment: &mut WholeSegment,
    ) -> Result<u64, Diagnostic> {
        self.renew()?;
        let before = self.filter.tally().all_identifiers();
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        self.filter.work(piece, time, &mut block)?;
        self.pack(&block, segment)?;
        self.block = block;
        Ok(self.filter.tally().all_identifiers() - before)
    }

    /// Compresses the lines of a block, with one frame per mebibyte.
    fn pack(&mut self, block: &Pseudonymised, segment: &mut WholeSegment) -> Result<(), Diagnostic> {
        let mut left = 0..block.indexed_lines();
        while !left.is_empty() {
            let mut lines = Lines::default();
            left.start += lines.push(block, left.clone());
            let mut keys: Vec<u64> = token::all(lines.as_bytes()).map(|tag| index::key(&tag)).collect();
            let frame = self.packer.pack(&lines, index::build(&mut keys)).map_err(ArchiveError::Compress)?;
            segment.append(frame);
        }
        Ok(())
    }

    /// Takes the keys of a new epoch if the last one has ended.
    fn renew(&mut self) -> Result<(), Diagnostic> {
        let now = self.clock.now();
        let over = |current: &Current<EpochKeys>| current.until.is_some_and(|until| now >= until);
        if self.current.as_ref().is_some_and(|current| !over(current)) {
            return Ok(());
        }
        let current = self.epochs.at(now)?;
        self.filter.renew(Arc::clone(&current.keys));
        self.current = Some(current);
        Ok(())
    }

    /// Returns whether a record is too long to be searched.
    pub(super) fn is_too_long(&self, record: &[u8]) -> bool {
        record.len() > self.max_line_bytes
    }

    /// Returns whether the expiry day has come: expired lines are not stored.
    pub(super) fn has_expired(&self, folder: &Folder) -> bool {
        let now = self.certain.map_or(self.now(), |certain| self.now().min(certain));
        folder.expires <= Expires::On(now.to_zoned(self.zone.clone()).date())
    }

    /// Returns the classes of the policy.
    pub(super) fn classes(&self) -> &[RetentionClass] {
        &self.classes
    }

    pub(super) fn policy_digest(&self) -> [u8; 32] {
        self.policy_digest
    }

    /// Returns the legal zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Nodes leave few identifiers in clear, so a small table suffices.
const RECENT_BYTES: usize = 1 << 20;
