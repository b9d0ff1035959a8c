//! Locks that stay usable when a thread panics while it holds one.

use std::sync::{LockResult, PoisonError};

/// Takes what a lock protects, even if a thread panicked while it held the lock: the panic was reported, and
/// each change under our locks is a single step, so none is left half done.
pub trait Unpoisoned<T> {
    /// Returns the guard or the value.
    fn unpoisoned(self) -> T;
}

impl<T> Unpoisoned<T> for LockResult<T> {
    fn unpoisoned(self) -> T {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
