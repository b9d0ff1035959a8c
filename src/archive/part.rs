//! A segment that is not sealed yet: it is being written, or a crash left it. Its whole frames can be read.
//! They have no index, and only the checksum of zstd says that they are what was written.

use super::error::ArchiveError;
use super::frame::whole_frames;
use super::frame_reader::FramePlace;
use crate::primitives::storage::Storage;
use std::path::Path;

/// The content of a part at the moment it was opened.
pub struct Part(Vec<u8>);

impl Part {
    /// Reads the whole part at `path` into memory; it is no larger than a segment.
    ///
    /// # Errors
    /// [`ArchiveError::Unreadable`] or [`ArchiveError::Io`] if it cannot be read.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<Self, ArchiveError> {
        let file = storage.open(path).map_err(ArchiveError::reading("open a segment", path))?;
        let read = |error| ArchiveError::reading("read a segment", path)(error);
        let length = usize::try_from(file.length().map_err(read)?).map_err(std::io::Error::other);
        let mut bytes = vec![0; length.map_err(read)?];
        file.read_at(0, &mut bytes).map_err(read)?;
        Ok(Self(bytes))
    }

    /// Iterates over its whole frames and their lines, in order.
    pub fn frames(&self) -> impl Iterator<Item = (FramePlace, Vec<u8>)> {
        let mut offset = 0;
        whole_frames(&self.0).filter_map(move |(frame, lines)| {
            let place = FramePlace {
                offset,
                bytes: u32::try_from(frame.len()).ok()?,
                line_bytes: u32::try_from(lines.len()).ok()?,
                lines: u32::try_from(memchr::memchr_iter(b'\n', &lines).count()).ok()?,
                chain: None,
            };
            offset += frame.len() as u64;
            Some((place, lines))
        })
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} bytes)", self.0.len())
    }
}
