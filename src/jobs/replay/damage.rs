//! What of the archive is damaged or cannot be read: a search gives everything else, and says what it could not read.

use crate::archive;
use crate::primitives::diag::{Code, Diagnostic};
use crate::vault;
use std::collections::BTreeMap;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// A02 or A05 of a segment, V02 or V04 of a vault.
    pub code: &'static Code,
    /// The file, and the byte if it is known.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

impl Damage {
    /// The damage that `error` tells of; `error` itself if it is no damage.
    ///
    /// # Errors
    /// With what else keeps a file from being read: a disk, permissions, a key.
    pub fn of(error: Diagnostic) -> Result<Self, Diagnostic> {
        let of_file = [archive::DAMAGED.id, archive::UNREADABLE.id, vault::DAMAGED.id, vault::UNREADABLE.id];
        if !of_file.contains(&error.code.id) {
            return Err(error);
        }
        let Diagnostic { code, place, why, .. } = error;
        Ok(Self { code, place: place.unwrap_or_default(), why: why.unwrap_or_default() })
    }
}

/// Damage by the name of the segment that has it, or whose vault has: the first that was met of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damaged(BTreeMap<String, Damage>);

impl Damaged {
    /// Takes note of the damage that `error` tells of.
    ///
    /// # Errors
    /// `error`, if it is no damage.
    pub fn note(&mut self, name: &impl ToString, error: Diagnostic) -> Result<(), Diagnostic> {
        let damage = Damage::of(error)?;
        self.0.entry(name.to_string()).or_insert(damage);
        Ok(())
    }

    /// Takes note of all that `others` have.
    pub fn extend(&mut self, others: &Self) {
        for (name, damage) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| damage.clone());
        }
    }

    /// The code that the ledger keeps of an answer that lacks something of these; `None` if there are none.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        self.first().map(|damage| damage.code)
    }

    /// Whether that segment has some.
    #[must_use]
    pub fn has(&self, name: &impl ToString) -> bool {
        self.0.contains_key(&name.to_string())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many segments have some.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The first of them by name.
    #[must_use]
    pub fn first(&self) -> Option<&Damage> {
        self.0.values().next()
    }

    /// Names of the segments.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
