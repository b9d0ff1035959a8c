//! Records which files are being followed, and how far files were read that were followed before.
//!
//! A file may get a second name that is followed as well, through a link, a rotation from one name to the
//! other, or an input with another configuration. Only one follower reads a file at a time, and the next one
//! continues where it ended.

use super::offsets::{Identity, Kept};
use crate::primitives::lock::Unpoisoned as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// All files that this process follows. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<HashMap<Identity, State>>>);

#[derive(Debug)]
enum State {
    Followed,
    /// No longer followed; read this far, durably.
    Left(Kept),
}

/// The claim to follow a file, held until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    file: Identity,
    left: Option<Kept>,
}

impl Claims {
    /// Claims a file for the caller, and returns how far a previous follower read it, if there was one;
    /// `None` if it is already followed.
    pub(super) fn claim(&self, file: Identity) -> Option<(Claim, Option<Kept>)> {
        let mut states = self.0.lock().unpoisoned();
        if states.len() >= MOST_REMEMBERED {
            states.retain(|_, state| matches!(state, State::Followed));
        }
        let left = match states.get(&file) {
            Some(State::Followed) => return None,
            Some(State::Left(kept)) => Some(*kept),
            None => None,
        };
        states.insert(file, State::Followed);
        Some((Claim { claims: self.clone(), file, left: None }, left))
    }
}

impl Claim {
    /// Sets how far the file was read when the claim ends.
    pub(super) fn leave_at(&mut self, kept: Kept) {
        self.left = Some(kept);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut states = self.claims.0.lock().unpoisoned();
        match self.left {
            Some(kept) => drop(states.insert(self.file, State::Left(kept))),
            None => drop(states.remove(&self.file)),
        }
    }
}

/// With this many states, files that are no longer followed are forgotten: most of them are gone by then.
const MOST_REMEMBERED: usize = 16_384;
