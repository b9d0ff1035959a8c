//! The running digest over the frames of a segment: `SHA-256(digest before || compressed frame)`, which starts
//! with `SHA-256(segment id)`. So a frame that was changed, moved or taken from another segment is found,
//! and it is known which one it is.

use crate::model::SegmentId;
use sha2::{Digest, Sha256};

/// A digest of all frames so far.
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
