//! Reads frames of many segments by their places alone: footers are read once, frames when they are needed,
//! on several threads.

use super::chain::Chain;
use super::error::ArchiveError;
use super::footer::Malformed;
use super::frame::{MOST_LINE_BYTES, Unpacker};
use crate::primitives::storage::{Storage, Stored};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where a frame lies in its file, and what it must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Offset in the file.
    pub offset: u64,
    /// Compressed length in bytes.
    pub bytes: u32,
    /// Decompressed length in bytes.
    pub line_bytes: u32,
    /// Number of lines.
    pub lines: u32,
    /// The chain digests before and after this frame; `None` for a frame that no seal covers yet.
    pub(super) chain: Option<[Chain; 2]>,
}

impl FramePlace {
    /// Reads the compressed frame from the file at `path` into `bytes` and checks it against its digest.
    pub(super) fn read(
        &self,
        file: &dyn Stored,
        path: &Path,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ArchiveError> {
        bytes.resize(self.bytes as usize, 0);
        file.read_at(self.offset, bytes).map_err(ArchiveError::reading("read a segment", path))?;
        match self.chain {
            Some([before, with]) if before.next(bytes) != with => {
                Err(self.damaged(path, "a frame that differs from its digest"))
            }
            _ => Ok(()),
        }
    }

    /// Decompresses the frame in `bytes` into `lines` and checks its length and line count.
    pub(super) fn unpack(
        &self,
        unpacker: &mut Unpacker,
        path: &Path,
        bytes: &[u8],
        lines: &mut Vec<u8>,
    ) -> Result<(), ArchiveError> {
        let unpacked = unpacker.unpack(bytes, lines);
        unpacked.ok_or_else(|| self.damaged(path, "a frame that does not decompress"))?;
        let counted = memchr::memchr_iter(b'\n', lines).count();
        if (lines.len(), counted) != (self.line_bytes as usize, self.lines as usize) {
            return Err(self.damaged(path, "a frame that holds other lines than its entry says"));
        }
        Ok(())
    }

    fn damaged(&self, path: &Path, what: &'static str) -> ArchiveError {
        let malformed = Malformed { what, offset: self.offset };
        ArchiveError::Damaged { path: path.to_owned(), malformed }
    }
}

/// Reads frames. Each thread needs its own, since it keeps files open and reuses its buffers.
#[derive(Debug)]
pub struct FrameReader<'s> {
    storage: &'s dyn Storage,
    files: HashMap<PathBuf, Box<dyn Stored>>,
    bytes: Vec<u8>,
    unpacker: Unpacker,
}

impl<'s> FrameReader<'s> {
    /// Creates a reader for files in `storage`.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new(storage: &'s dyn Storage) -> Result<Self, ArchiveError> {
        let unpacker = Unpacker::new().map_err(ArchiveError::Compress)?;
        Ok(Self { storage, files: HashMap::new(), bytes: Vec::new(), unpacker })
    }

    /// Reads the lines of a frame of the segment at `path` into `lines`, replacing what is there.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] with the place of the frame if it is not as it was written;
    /// [`ArchiveError::Unreadable`] or [`ArchiveError::Io`] if the file cannot be read.
    pub fn read(&mut self, path: &Path, place: &FramePlace, lines: &mut Vec<u8>) -> Result<(), ArchiveError> {
        if !self.files.contains_key(path) {
            if self.files.len() >= MOST_OPEN {
                self.files.clear();
            }
            let file = self.storage.open(path).map_err(ArchiveError::reading("open a segment", path))?;
            self.files.insert(path.to_owned(), file);
        }
        // The last frame may have held a line longer than a normal frame: give that memory back.
        self.bytes.clear();
        self.bytes.shrink_to(2 * MOST_LINE_BYTES);
        place.read(&*self.files[path], path, &mut self.bytes)?;
        place.unpack(&mut self.unpacker, path, &self.bytes, lines)
    }
}

/// Most files kept open at once.
const MOST_OPEN: usize = 64;
