//! What keeps a search from something of the archive: a search gives everything else, and says what it lacks.
//!
//! A file that is damaged, or that the disk does not give back, is one obstacle; a vault that this node, or whoever asks,
//! has no key for is another. What would be in the way of every file, as an archive that cannot be listed, is none.

use super::codes;
use crate::archive;
use crate::primitives::diag::{Code, Diagnostic};
use crate::{shred, vault};
use std::collections::BTreeMap;

/// What is in the way, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A02 or A05 of a segment; V02 or V04 of a vault; V03, P14, P15 or S01 of one that does not open.
    pub code: &'static Code,
    /// The file, and the byte if it is known; or the name of the segment.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

impl Obstacle {
    /// The obstacle that `error` tells of: a file that is damaged or cannot be read. `error` itself if it is none.
    ///
    /// # Errors
    /// With what else keeps a file from being read: a disk that is away, a key.
    pub fn of(error: Diagnostic) -> Result<Self, Diagnostic> {
        let of_file = [archive::DAMAGED.id, archive::UNREADABLE.id, vault::DAMAGED.id, vault::UNREADABLE.id];
        Self::of_codes(error, &of_file)
    }

    /// The same, or a vault that is not there, or that no H opens which is at hand. One that takes another identity is for
    /// whoever asks to bring.
    ///
    /// # Errors
    /// With anything else.
    pub fn of_vault(error: Diagnostic) -> Result<Self, Diagnostic> {
        Self::of(error).or_else(|error| Self::of_codes(error, &of_closed_vault()))
    }

    /// Whether `error` tells of a vault that is not there or does not open, and of no file that cannot be read.
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

/// Obstacles by the name of the segment that has them, or whose vault has: the first that was met of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles(BTreeMap<String, Obstacle>);

impl Obstacles {
    /// Takes note of the obstacle that `error` tells of.
    ///
    /// # Errors
    /// `error`, if it is none.
    pub fn note(&mut self, name: &impl ToString, error: Diagnostic) -> Result<(), Diagnostic> {
        self.insert(name, Obstacle::of(error)?);
        Ok(())
    }

    /// Takes note of an obstacle.
    pub fn insert(&mut self, name: &impl ToString, obstacle: Obstacle) {
        self.0.entry(name.to_string()).or_insert(obstacle);
    }

    /// Takes note of all that `others` have.
    pub fn extend(&mut self, others: &Self) {
        for (name, obstacle) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| obstacle.clone());
        }
    }

    /// The code that the ledger keeps of an answer that lacks something of these; `None` if there are none.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        self.first().map(|obstacle| obstacle.code)
    }

    /// Whether that segment has one.
    #[must_use]
    pub fn has(&self, name: &impl ToString) -> bool {
        self.0.contains_key(&name.to_string())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many segments have one.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The first of them by name.
    #[must_use]
    pub fn first(&self) -> Option<&Obstacle> {
        self.0.values().next()
    }

    /// Each of them with the name of the segment, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Obstacle)> {
        self.0.iter()
    }

    /// Names of the segments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
