//! Epoch secrets on disk: the state directory, the fleet seed, key files, escrow.

use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::Epoch;
use jiff::Timestamp;

/// The secret that holds now.
#[derive(Debug)]
pub struct Current {
    /// Its epoch.
    pub epoch: Epoch,
    /// S.
    pub secret: Secret,
    /// When the epoch ends; `None` if it never does.
    pub until: Option<Timestamp>,
}
