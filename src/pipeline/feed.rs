//! The front of the pipeline: blocks of lines from the input, over-long lines into quarantine, new
//! keys when an epoch ends.

use super::error::PipelineError;
use super::workers::{Fed, Piece, Source};
use crate::input::blocks::{self, Block, Blocks};
use crate::input::{Ending, ReadBy};
use crate::primitives::clock::Clock;
use crate::primitives::diag::Diagnostic;
use crate::quarantine::{KeyedHash, Quarantine, Sealing};
use jiff::Timestamp;
use std::sync::Arc;

/// The keys that hold now, and until when.
#[derive(Debug)]
pub struct Current<K> {
    /// The keys.
    pub keys: Arc<K>,
    /// The first instant at which they hold no more; `None` if there is none.
    pub until: Option<Timestamp>,
}

/// Where the keys of each epoch come from.
pub trait Epochs {
    /// The keys of an epoch.
    type Keys: Send + Sync;

    /// The keys that hold at `now`; the secret of an epoch that is over is erased.
    ///
    /// # Errors
    /// If they cannot be had: the filter stops.
    fn at(&mut self, now: Timestamp) -> Result<Current<Self::Keys>, Diagnostic>;

    /// A keyed hash that names a sealed line.
    fn line_hash(&self, keys: &Self::Keys) -> Box<dyn KeyedHash>;
}

/// Gives the pieces of the input with the time they were received.
#[derive(Debug)]
pub struct Feed<R, E: Epochs> {
    blocks: Blocks<R>,
    quarantine: Quarantine,
    epochs: E,
    clock: Clock,
    /// `None` before the first piece is asked for, then never again.
    current: Option<Current<E::Keys>>,
    /// A line of which a part was sealed.
    sealing: Option<Sealing>,
    /// A piece that was received in the new epoch: it waits until the workers have the new keys.
    held: Option<(Piece, Timestamp)>,
}

impl<R: ReadBy, E: Epochs> Feed<R, E> {
    /// Reads `blocks`, seals into `quarantine`, takes keys from `epochs`.
    #[must_use]
    pub fn new(blocks: Blocks<R>, quarantine: Quarantine, epochs: E, clock: Clock) -> Self {
        Self { blocks, quarantine, epochs, clock, current: None, sealing: None, held: None }
    }

    /// `piece`, or first the keys it needs.
    fn deliver(&mut self, piece: Piece) -> Result<Fed<E::Keys>, PipelineError> {
        let received = self.clock.now();
        match self.renew(received)? {
            None => Ok(Fed::Piece(piece, received)),
            Some(keys) => {
                self.held = Some((piece, received));
                Ok(Fed::Renewed(keys))
            }
        }
    }

    /// The keys that hold at `now`, if those at hand do not.
    fn renew(&mut self, now: Timestamp) -> Result<Option<Arc<E::Keys>>, PipelineError> {
        let over = |current: &Current<E::Keys>| current.until.is_some_and(|until| now >= until);
        if self.current.as_ref().is_some_and(|current| !over(current)) {
            return Ok(None);
        }
        // Dropped first: the last one who lets go of the old keys wipes them.
        self.current = None;
        let next = self.epochs.at(now).map_err(|diagnostic| PipelineError::Renew(Box::new(diagnostic)))?;
        if over(&next) {
            return Err(PipelineError::EpochOver);
        }
        let keys = Arc::clone(&next.keys);
        self.current = Some(next);
        Ok(Some(keys))
    }

    fn finish_line(&mut self, ending: Ending) -> Result<Option<Piece>, PipelineError> {
        let Some(sealing) = self.sealing.take() else { return Ok(None) };
        Ok(Some(Piece::TooLong { placeholder: sealing.finish()?, ending }))
    }
}

impl<R: ReadBy, E: Epochs> Source for Feed<R, E> {
    type Keys = E::Keys;

    fn next(&mut self) -> Result<Fed<E::Keys>, PipelineError> {
        if let Some((piece, received)) = self.held.take() {
            return Ok(Fed::Piece(piece, received));
        }
        loop {
            let Some(current) = &self.current else {
                // No keys, no reading: a failure here must not cost a line.
                let now = self.clock.now();
                match self.renew(now)? {
                    Some(keys) => return Ok(Fed::Renewed(keys)),
                    None => continue,
                }
            };
            match self.blocks.next_piece(current.until)? {
                blocks::Piece::Lines(block) => return self.deliver(Piece::Lines(block)),
                blocks::Piece::TooLong(bytes) => {
                    let sealing = match &mut self.sealing {
                        Some(sealing) => sealing,
                        none => none.insert(self.quarantine.begin(self.epochs.line_hash(&current.keys))?),
                    };
                    sealing.update(bytes)?;
                }
                blocks::Piece::TooLongEnd(ending) => {
                    if let Some(piece) = self.finish_line(ending)? {
                        return self.deliver(piece);
                    }
                }
                blocks::Piece::Deadline => {
                    let now = self.clock.now();
                    if let Some(keys) = self.renew(now)? {
                        return Ok(Fed::Renewed(keys));
                    }
                }
                blocks::Piece::End => return Ok(Fed::End),
            }
        }
    }

    fn recycle(&mut self, block: Block) {
        self.blocks.recycle(block);
    }
}

#[cfg(test)]
mod tests;
