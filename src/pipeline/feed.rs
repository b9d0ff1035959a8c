//! The front of the pipeline: reads blocks of lines from the input, quarantines over-long lines, and renews
//! the keys when an epoch ends.

use super::error::PipelineError;
use super::workers::{Piece, Source, SourceItem};
use crate::input::blocks::{self, Block, Blocks};
use crate::input::{Ending, ReadBy};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::quarantine::{KeyedHash, Quarantine, Sealing};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The current keys, and when they expire.
#[derive(Debug)]
pub struct Current<K> {
    /// The keys.
    pub keys: Arc<K>,
    /// The first instant at which the keys are no longer valid; `None` if they never expire.
    pub until: Option<Timestamp>,
}

/// A source of the keys of each epoch.
pub trait Epochs: Send {
    /// The keys of an epoch.
    type Keys: Send + Sync;

    /// The keys that are valid at `now`. The secret of an epoch that has ended is erased.
    ///
    /// # Errors
    /// Fails if the keys are unavailable; the filter stops then.
    fn at(&mut self, now: Timestamp) -> Result<Current<Self::Keys>, Diagnostic>;

    /// A keyed hash that names a quarantined line.
    fn line_hash(&self, keys: &Self::Keys) -> Box<dyn KeyedHash>;
}

/// The next part of the input.
#[derive(Debug)]
pub enum Part<'a> {
    /// Whole lines.
    Lines(Block),
    /// The next bytes of an over-long line.
    TooLong {
        /// The input of the line. Each input may have one over-long line in progress at a time.
        origin: u64,
        /// The bytes, without line end.
        bytes: &'a [u8],
    },
    /// The end of an over-long line.
    TooLongEnd {
        /// The input of the line.
        origin: u64,
        /// How the line ended.
        ending: Ending,
    },
    /// The deadline passed before anything came.
    Deadline,
    /// The end of the input. Returned again by every later call.
    End,
}

/// A source of parts.
pub trait Parts: Send {
    /// Waits for the next part, until `deadline` at most.
    ///
    /// # Errors
    /// Fails if the input cannot be read. All earlier parts are valid.
    fn next_part(&mut self, deadline: Option<Timestamp>) -> Result<Part<'_>, PipelineError>;

    /// Takes a block back, to reuse its memory.
    fn recycle(&mut self, block: Block);
}

impl<R: ReadBy> Parts for Blocks<R> {
    fn next_part(&mut self, deadline: Option<Timestamp>) -> Result<Part<'_>, PipelineError> {
        Ok(match self.next_piece(deadline)? {
            blocks::Piece::Lines(block) => Part::Lines(block),
            blocks::Piece::TooLong(bytes) => Part::TooLong { origin: 0, bytes },
            blocks::Piece::TooLongEnd(ending) => Part::TooLongEnd { origin: 0, ending },
            blocks::Piece::Deadline => Part::Deadline,
            blocks::Piece::End => Part::End,
        })
    }

    fn recycle(&mut self, block: Block) {
        self.recycle(block);
    }
}

/// Returns the pieces of the input, each with the time at which it was received.
#[derive(Debug)]
pub struct Feed<P, E: Epochs> {
    parts: P,
    quarantine: Quarantine,
    epochs: E,
    clock: Clock,
    /// `None` until the first piece is requested, and after a renewal has failed.
    current: Option<Current<E::Keys>>,
    /// Over-long lines that are being quarantined, by input.
    sealing: BTreeMap<u64, Sealing>,
    /// A piece received in a new epoch. It waits until the workers have the new keys.
    held: Option<(Piece, Timestamp)>,
}

impl<P: Parts, E: Epochs> Feed<P, E> {
    /// Reads `parts`, quarantines over-long lines in `quarantine`, and takes keys from `epochs`.
    #[must_use]
    pub fn new(parts: P, quarantine: Quarantine, epochs: E, clock: Clock) -> Self {
        Self { parts, quarantine, epochs, clock, current: None, sealing: BTreeMap::new(), held: None }
    }

    /// Returns `piece`, or first the keys that it needs.
    fn deliver(&mut self, piece: Piece) -> Result<SourceItem<E::Keys>, PipelineError> {
        let received = self.clock.now();
        match self.renew(received)? {
            None => Ok(SourceItem::Piece(piece, received)),
            Some(keys) => {
                self.held = Some((piece, received));
                Ok(SourceItem::Renewed(keys))
            }
        }
    }

    /// Returns the keys that are valid at `now`, or `None` if the current keys still are.
    fn renew(&mut self, now: Timestamp) -> Result<Option<Arc<E::Keys>>, PipelineError> {
        let over = |current: &Current<E::Keys>| current.until.is_some_and(|until| now >= until);
        if self.current.as_ref().is_some_and(|current| !over(current)) {
            return Ok(None);
        }
        // Drop the old keys first: they are wiped when the last reference goes.
        self.current = None;
        let next = self.epochs.at(now).map_err(|diagnostic| PipelineError::Renew(Box::new(diagnostic)))?;
        if over(&next) {
            return Err(PipelineError::EpochOver);
        }
        let keys = Arc::clone(&next.keys);
        self.current = Some(next);
        Ok(Some(keys))
    }

    fn finish_line(&mut self, origin: u64, ending: Ending) -> Result<Option<Piece>, PipelineError> {
        let Some(sealing) = self.sealing.remove(&origin) else { return Ok(None) };
        Ok(Some(Piece::TooLong { placeholder: sealing.finish()?, ending }))
    }
}

impl<P: Parts, E: Epochs> Feed<P, E> {
    /// Ends the input. Before that, returns the pieces of over-long lines whose end will not come.
    fn finish(&mut self) -> Result<SourceItem<E::Keys>, PipelineError> {
        let Some(origin) = self.sealing.keys().next().copied() else { return Ok(SourceItem::End) };
        match self.finish_line(origin, Ending::Lf)? {
            Some(piece) => self.deliver(piece),
            None => Ok(SourceItem::End),
        }
    }
}

impl<P: Parts, E: Epochs> Source for Feed<P, E> {
    type Keys = E::Keys;

    fn next(&mut self) -> Result<SourceItem<E::Keys>, PipelineError> {
        if let Some((piece, received)) = self.held.take() {
            return Ok(SourceItem::Piece(piece, received));
        }
        loop {
            let Some(current) = &self.current else {
                // Get the keys before reading, so that a failure here cannot cost a line.
                let now = self.clock.now();
                match self.renew(now)? {
                    Some(keys) => return Ok(SourceItem::Renewed(keys)),
                    None => continue,
                }
            };
            match self.parts.next_part(current.until)? {
                Part::Lines(block) => return self.deliver(Piece::Lines(block)),
                Part::TooLong { origin, bytes } => {
                    let sealing = match self.sealing.entry(origin) {
                        Entry::Occupied(sealing) => sealing.into_mut(),
                        Entry::Vacant(none) => {
                            none.insert(self.quarantine.begin(self.epochs.line_hash(&current.keys))?)
                        }
                    };
                    sealing.update(bytes)?;
                }
                Part::TooLongEnd { origin, ending } => {
                    if let Some(piece) = self.finish_line(origin, ending)? {
                        return self.deliver(piece);
                    }
                }
                Part::Deadline => {
                    let now = self.clock.now();
                    if let Some(keys) = self.renew(now)? {
                        return Ok(SourceItem::Renewed(keys));
                    }
                }
                Part::End => return self.finish(),
            }
        }
    }

    fn recycle(&mut self, block: Block) {
        self.parts.recycle(block);
    }
}

#[cfg(test)]
mod tests;
