//! Frames of many segments, each by its place alone: footers are read once, frames when they are needed, and on
//! several threads.

use super::chain::Chain;
use super::error::ArchiveError;
use super::footer::Malformed;
use super::frame::{MOST_LINE_BYTES, Unpacker};
use crate::primitives::storage::{Storage, Stored};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where a frame lies in its file, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Where it starts.
    pub offset: u64,
    /// Its length, compressed.
    pub bytes: u32,
    /// Its length, decompressed.
    pub line_bytes: u32,
    /// Its lines.
    pub lines: u32,
    /// The digest of all frames before it, and with it; `None` for a frame that no seal covers yet.
    pub(super) chain: Option<[Chain; 2]>,
}

impl FramePlace {
    /// Reads the frame as it lies in the file at `path` into `bytes`, and compares it with its digest.
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

    /// Decompresses what was read into `lines`.
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

/// Reads frames; one a thread, for it keeps files open and memory for what it reads.
#[derive(Debug)]
pub struct FrameReader<'s> {
    storage: &'s dyn Storage,
    files: HashMap<PathBuf, Box<dyn Stored>>,
    bytes: Vec<u8>,
    unpacker: Unpacker,
}

impl<'s> FrameReader<'s> {
    /// For files in `storage`.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new(storage: &'s dyn Storage) -> Result<Self, ArchiveError> {
        let unpacker = Unpacker::new().map_err(ArchiveError::Compress)?;
        Ok(Self { storage, files: HashMap::new(), bytes: Vec::new(), unpacker })
    }

    /// Reads the lines of a frame of the segment at `path` into `lines`, in place of what is there.
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
        // A line longer than a frame has come and gone.
        self.bytes.clear();
        self.bytes.shrink_to(2 * MOST_LINE_BYTES);
        place.read(&*self.files[path], path, &mut self.bytes)?;
        place.unpack(&mut self.unpacker, path, &self.bytes, lines)
    }
}

/// Files that are kept open.
const MOST_OPEN: usize = 64;
