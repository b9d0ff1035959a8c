//! Files that are followed now, and how far others were read that somebody followed before.
//!
//! A file may get a second name that is followed as well: a link, a rotation from one name to the other, an input that is
//! configured otherwise. Nobody follows it beside whoever does, and who follows it next goes on where that one ended.

use super::offsets::{Identity, Kept};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What everybody follows in this process. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<HashMap<Identity, State>>>);

#[derive(Debug)]
enum State {
    Followed,
    /// So far, durably.
    Left(Kept),
}

/// That somebody follows a file, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    file: Identity,
    left: Option<Kept>,
}

impl Claims {
    /// From now on the caller follows that file, from where somebody left it if somebody did; `None` if somebody else does.
    pub(super) fn claim(&self, file: Identity) -> Option<(Claim, Option<Kept>)> {
        let mut states = self.states();
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

    /// A thread that panicked while it held the lock left it whole.
    fn states(&self) -> MutexGuard<'_, HashMap<Identity, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// How far the file was read when it is left.
    pub(super) fn leave_at(&mut self, kept: Kept) {
        self.left = Some(kept);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut states = self.claims.states();
        match self.left {
            Some(kept) => drop(states.insert(self.file, State::Left(kept))),
            None => drop(states.remove(&self.file)),
        }
    }
}

/// Files that were left are forgotten when there are so many: most of them are gone by then.
const MOST_REMEMBERED: usize = 16_384;
