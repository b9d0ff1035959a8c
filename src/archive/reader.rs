//! Reads segments: the footer first, then only the frames that are needed.

use super::chain::Chain;
use super::error::ArchiveError;
use super::filter;
use super::footer::{self, Footer, FrameEntry, Malformed, SEEK_END_BYTES, Sealed};
use super::frame::{Frame, Unpacker};
use super::frame_reader::FramePlace;
use crate::model::{Folder, SegmentName, Tree};
use crate::primitives::storage::{Storage, Stored, is_of_one_file};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// An open sealed segment. Its footer is whole and matches its digest; its seal and its frames have not been
/// checked yet.
#[derive(Debug)]
pub struct Segment {
    file: Box<dyn Stored>,
    path: PathBuf,
    file_bytes: u64,
    sealed: Sealed,
}

impl Segment {
    /// Opens the segment at `path` and reads its footer.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] if anything after the frames, except the seal, is not as it was written;
    /// [`ArchiveError::Unreadable`] or [`ArchiveError::Io`] if the file cannot be read.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<Self, ArchiveError> {
        let file = storage.open(path).map_err(ArchiveError::reading("open a segment", path))?;
        let file_bytes = file.length().map_err(ArchiveError::reading("read a segment", path))?;
        let sealed = read_footer(&*file, path, file_bytes)?;
        Ok(Self { file, path: path.to_owned(), file_bytes, sealed })
    }

    /// Like [`Segment::open`], but also checks that the footer matches `name`: its lines were written for
    /// that class and expiry day, under that epoch.
    ///
    /// # Errors
    /// As [`Segment::open`]; [`ArchiveError::Damaged`] if the footer names another segment.
    pub fn open_as(storage: &dyn Storage, path: &Path, name: &SegmentName) -> Result<Self, ArchiveError> {
        let segment = Self::open(storage, path)?;
        if segment.footer().name(name.number) != *name {
            let malformed =
                Malformed { what: "the footer of another segment", offset: segment.footer().data_bytes() };
            return Err(ArchiveError::Damaged { path: path.to_owned(), malformed });
        }
        Ok(segment)
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the length of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Returns the footer.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.sealed.footer
    }

    /// Returns the digest that the seal covers.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.sealed.digest
    }

    /// Returns the seal, unchecked. To be valid, it must sign [`crate::model::Seal::message`] of the digest
    /// with the key that the ledger names for that day.
    #[must_use]
    pub fn seal(&self) -> &crate::model::Seal {
        &self.sealed.seal
    }

    /// Iterates over the frames that have an event within `seconds` (Unix time, both ends included) and, if
    /// `tag` is given, may hold that token. Uses the footer alone.
    pub fn frames_with(
        &self,
        seconds: RangeInclusive<i64>,
        tag: Option<&[u8; 16]>,
    ) -> impl Iterator<Item = usize> {
        let key = tag.map(filter::key);
        let fits = move |entry: &FrameEntry| {
            let in_time = entry.first <= *seconds.end() && entry.last >= *seconds.start();
            in_time && key.is_none_or(|key| filter::may_contain(&entry.filter, key))
        };
        self.footer().frames.iter().enumerate().filter(move |(_, entry)| fits(entry)).map(|(frame, _)| frame)
    }

    /// Returns the lines of a frame, checked against the digest chain and the checksum of zstd.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] with the place of the frame if it is not as it was written.
    ///
    /// # Panics
    /// If there is no such frame.
    pub fn lines(&self, frame: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut unpacker = Unpacker::new().map_err(ArchiveError::Compress)?;
        let mut lines = Vec::new();
        let bytes = self.compressed(frame)?;
        self.place(frame).unpack(&mut unpacker, &self.path, &bytes, &mut lines)?;
        Ok(lines)
    }

    /// Returns where a frame lies and what it must contain, so that it can be read without this footer.
    ///
    /// # Panics
    /// If there is no such frame.
    #[must_use]
    pub fn place(&self, frame: usize) -> FramePlace {
        let FrameEntry { offset, bytes, line_bytes, lines, chain, .. } = self.footer().frames[frame];
        let before = match frame.checked_sub(1) {
            Some(before) => Chain(self.footer().frames[before].chain),
            None => Chain::new(&self.footer().origin.id),
        };
        FramePlace { offset, bytes, line_bytes, lines, chain: Some([before, Chain(chain)]) }
    }

    /// Returns a frame still compressed, with its index, checked against the digest chain.
    pub(super) fn frame(&self, frame: usize) -> Result<Frame, ArchiveError> {
        let bytes = self.compressed(frame)?;
        let FrameEntry { line_bytes, lines, first, last, ref filter, .. } = self.footer().frames[frame];
        Ok(Frame { bytes, line_bytes, lines, first, last, filter: filter.clone() })
    }

    /// Returns the bytes that the digest covers: the footer up to its seal, read from the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sealed_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; self.sealed.bytes];
        let offset = self.footer().data_bytes() + footer::SKIPPABLE_BYTES as u64;
        self.file.read_at(offset, &mut bytes).map_err(ArchiveError::reading("read a segment", &self.path))?;
        Ok(bytes)
    }

    /// Returns the compressed bytes of a frame, checked against the digest chain.
    fn compressed(&self, frame: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.place(frame).read(&*self.file, &self.path, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads every frame and checks it.
    ///
    /// # Errors
    /// As [`Segment::lines`], for the first frame that is wrong.
    pub fn check(&self) -> Result<(), ArchiveError> {
        (0..self.footer().frames.len()).try_for_each(|frame| self.lines(frame).map(drop))
    }
}

fn read_footer(file: &dyn Stored, path: &Path, file_bytes: u64) -> Result<Sealed, ArchiveError> {
    let damaged = |malformed| ArchiveError::Damaged { path: path.to_owned(), malformed };
    let short = |what| damaged(Malformed { what, offset: file_bytes });
    let read = |offset: u64, buffer: &mut [u8]| {
        file.read_at(offset, buffer).map_err(ArchiveError::reading("read a segment", path))
    };
    let mut end = [0; SEEK_END_BYTES];
    let end_offset = file_bytes.checked_sub(SEEK_END_BYTES as u64);
    read(end_offset.ok_or_else(|| short("a file too short for a segment"))?, &mut end)?;
    let table_bytes = footer::seek_table_bytes(&end, file_bytes).map_err(damaged)?;
    let mut table = vec![0; table_bytes];
    let table_offset = file_bytes - table_bytes as u64;
    read(table_offset, &mut table)?;
    let frame_bytes = footer::footer_frame_bytes(&table).ok_or_else(|| short("no seek table"))?;
    let footer_offset = table_offset.checked_sub(u64::from(frame_bytes));
    let footer_offset = footer_offset.ok_or_else(|| short("a footer longer than the file"))?;
    let mut frame = vec![0; frame_bytes as usize];
    read(footer_offset, &mut frame)?;
    footer::decode(&frame, &table, footer_offset).map_err(damaged)
}

/// A file in an archive that has the name of a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Name of the segment.
    pub name: SegmentName,
    /// Whether it is a part: being written, or left by a crash.
    pub part: bool,
    /// Path of the file.
    pub path: PathBuf,
}

/// Lists all segments and parts of an archive, by expiry day, class and name. Ignores files with other names.
///
/// # Errors
/// If a directory cannot be read.
pub fn list(storage: &dyn Storage, tree: &Tree) -> Result<Vec<Found>, ArchiveError> {
    list_without(storage, tree, &|_| false)
}

/// Like [`list`], but skips unreadable directories for which `is_left_out` returns true.
///
/// # Errors
/// If another directory cannot be read, or the storage is not available.
pub fn list_without(
    storage: &dyn Storage,
    tree: &Tree,
    is_left_out: &dyn Fn(&Path) -> bool,
) -> Result<Vec<Found>, ArchiveError> {
    let list = |path: &Path| match storage.list(path) {
        Err(error) if is_of_one_file(&error) && is_left_out(path) => Ok(Vec::new()),
        listed => listed.map_err(ArchiveError::io("list a directory", path)),
    };
    let mut found = Vec::new();
    for expires in list(&tree.archive)?.into_iter().filter(|listed| listed.directory) {
        for class in list(&expires.path)?.into_iter().filter(|listed| listed.directory) {
            let Some(folder) = Folder::parse(&expires.name, &class.name) else { continue };
            found.extend(list(&class.path)?.into_iter().filter_map(|file| {
                let (name, part) = SegmentName::parse(&folder, &file.name)?;
                Some(Found { name, part, path: file.path })
            }));
        }
    }
    found.sort();
    Ok(found)
}
