//! Builds a segment in memory, to be stored whole: for object storage, which cannot append.

use super::chain::Chain;
use super::error::ArchiveError;
use super::footer::{Footer, FrameEntry, Origin};
use super::frame::Frame;
use super::writer::{in_custody, sealed};
use crate::model::Sealer;
use jiff::Timestamp;

/// Compressed frames, one after the other, and their index.
#[derive(Debug)]
pub struct WholeSegment {
    origin: Origin,
    chain: Chain,
    frames: Vec<FrameEntry>,
    bytes: Vec<u8>,
}

impl WholeSegment {
    /// Creates a segment without frames.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        let chain = Chain::new(&origin.id);
        Self { origin, chain, frames: Vec::new(), bytes: Vec::new() }
    }

    /// Adds a frame.
    pub fn append(&mut self, frame: Frame) {
        let Frame { bytes, line_bytes, lines, first, last, filter } = frame;
        self.chain = self.chain.next(&bytes);
        let (offset, chain) = (self.bytes.len() as u64, self.chain.0);
        self.bytes.extend_from_slice(&bytes);
        // A frame is far below 4 GiB: its lines are, and zstd adds little even to incompressible data.
        let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.frames.push(FrameEntry { offset, bytes, line_bytes, lines, first, last, filter, chain });
    }

    /// Returns the length of its frames in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.lines)).sum()
    }

    /// Seals the segment, which has no vault, and returns the whole file (with footer, seal and seek table)
    /// and its digest. The sealer does not record the digest: the caller that stores the segment records it.
    ///
    /// # Errors
    /// If it cannot be sealed.
    pub fn seal(
        mut self,
        sealer: &mut dyn Sealer,
        now: Timestamp,
    ) -> Result<(Vec<u8>, [u8; 32]), ArchiveError> {
        let previous = sealer.previous().map_err(in_custody)?;
        let (origin, frames) = (self.origin, self.frames);
        let footer = Footer { origin, recovered: false, previous, vault: None, frames };
        let (trailer, digest) = sealed(&footer, sealer, now)?;
        self.bytes.extend(trailer);
        Ok((self.bytes, digest))
    }
}
