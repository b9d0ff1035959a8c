//! The digest chain over the frames of a segment.
//!
//! Each link is `SHA-256(previous digest || compressed frame)`, starting from `SHA-256(segment id)`. The
//! chain reveals a frame that was changed, moved or taken from another segment, and which frame that is.

use crate::model::SegmentId;
use sha2::{Digest, Sha256};

/// The digest of all frames so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain(pub(super) [u8; 32]);

impl Chain {
    pub(super) fn new(id: &SegmentId) -> Self {
        Self(Sha256::digest(id.0).into())
    }

    pub(super) fn next(self, frame: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(frame);
        Self(hasher.finalize().into())
    }
}
