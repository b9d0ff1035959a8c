//! Obstacles that keep a search from part of the archive. The search returns everything else, and says what
//! it lacks.
//!
//! An obstacle is a file that is damaged or that the disk cannot return, or a vault for which this node, or
//! whoever asks, has no key. A problem that affects every file, such as an archive that cannot be listed, is
//! an error instead.

use super::codes;
use crate::archive;
use crate::primitives::diag::{Code, Diagnostic};
use crate::{shred, vault};
use std::collections::BTreeMap;

/// What prevents a search from reading something, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A02 or A05 of a segment; V02 or V04 of a vault; V03, P14, P15 or S01 of a vault that does not open.
    pub code: &'static Code,
    /// The file, and the byte offset if known; or the name of the segment.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

impl Obstacle {
    /// Converts `error` into an obstacle if it reports a file that is damaged or cannot be read.
    ///
    /// # Errors
    /// Returns any other `error`, such as a missing disk or key.
    pub fn of(error: Diagnostic) -> Result<Self, Diagnostic> {
        let of_file = [archive::DAMAGED.id, archive::UNREADABLE.id, vault::DAMAGED.id, vault::UNREADABLE.id];
        Self::of_codes(error, &of_file)
    }

    /// Converts `error` as [`Self::of`] does, or if it reports a vault that is missing or that no available H
    /// opens.
    ///
    /// A vault that takes another identity is not an obstacle, because whoever asks can provide that
    /// identity.
    ///
    /// # Errors
    /// Returns any other `error`.
    pub fn of_vault(error: Diagnostic) -> Result<Self, Diagnostic> {
        Self::of(error).or_else(|error| Self::of_codes(error, &of_closed_vault()))
    }

    /// Returns whether `error` reports a vault that does not exist or does not open, as opposed to a file
    /// that cannot be read.
    #[must_use]
    pub fn is_closed_vault(error: &Diagnostic) -> bool {
        of_closed_vault().contains(&error.code.id)
    }

    fn of_codes(error: Diagnostic, codes: &[&str]) -> Result<Self, Diagnostic> {
        if !codes.contains(&error.code.id) {
            return Err(error);
        }
        let Diagnostic { code, what, place, why, .. } = error;
        Ok(Self { code, place: place.unwrap_or_default(), why: why.unwrap_or(what) })
    }
}

fn of_closed_vault() -> [&'static str; 4] {
    [vault::KEY.id, codes::NO_SHRED_KEY.id, codes::NO_ORIGINALS.id, shred::IO.id]
}

/// Obstacles by the name of the segment that has them, or whose vault has them. Keeps the first obstacle of
/// each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles(BTreeMap<String, Obstacle>);

impl Obstacles {
    /// Notes the obstacle that `error` reports.
    ///
    /// # Errors
    /// Returns `error` if it is not an obstacle.
    pub fn note(&mut self, name: &impl ToString, error: Diagnostic) -> Result<(), Diagnostic> {
        self.insert(name, Obstacle::of(error)?);
        Ok(())
    }

    /// Notes an obstacle.
    pub fn insert(&mut self, name: &impl ToString, obstacle: Obstacle) {
        self.0.entry(name.to_string()).or_insert(obstacle);
    }

    /// Notes all obstacles of `others`.
    pub fn extend(&mut self, others: &Self) {
        for (name, obstacle) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| obstacle.clone());
        }
    }

    /// Returns the code that the ledger records for an answer that lacks something because of these
    /// obstacles; `None` if there are none.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        self.first().map(|obstacle| obstacle.code)
    }

    /// Returns whether a segment has an obstacle.
    #[must_use]
    pub fn has(&self, name: &impl ToString) -> bool {
        self.0.contains_key(&name.to_string())
    }

    /// Returns whether there are no obstacles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of segments with an obstacle.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns the first obstacle by name.
    #[must_use]
    pub fn first(&self) -> Option<&Obstacle> {
        self.0.values().next()
    }

    /// Iterates over the obstacles and the names of their segments, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Obstacle)> {
        self.0.iter()
    }

    /// Returns the names of the segments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
