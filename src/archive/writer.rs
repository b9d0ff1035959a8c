//! Writes a segment: begins it under a name that no other segment has, appends frames, seals it.
//!
//! ```text
//! create .part -> lock -> sync directory -> (append frame -> sync)* -> append footer and seek table -> sync
//!              -> recorded by the sealer -> rename -> sync directory
//! ```
//! A crash before the rename leaves a part, which [`super::recovery`] seals. A failed operation poisons the
//! writer: every later operation fails too.

use super::chain::Chain;
use super::error::ArchiveError;
use super::footer::{self, Footer, FrameEntry, Origin, VaultMark};
use super::frame::Frame;
use crate::model::{Sealer, SegmentId, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Storage, Stored, if_there, is_still_at};
use jiff::Timestamp;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Permission bits of directories that hold segments: readable by the group.
const DIRECTORY_MODE: u32 = 0o750;
/// Permission bits of a segment: readable by the group.
pub const FILE_MODE: u32 = 0o640;

/// Where a rewritten segment goes, and its permission bits.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The archive, or its second-phase store.
    pub tree: &'a Tree,
    /// Name of the segment in the tree.
    pub name: &'a SegmentName,
    /// Permission bits of its file.
    pub mode: u32,
}

/// An unsealed segment under its temporary name.
#[derive(Debug)]
pub struct SegmentWriter {
    storage: Arc<dyn Storage>,
    tree: Tree,
    name: SegmentName,
    part: PathBuf,
    file: Box<dyn Stored>,
    origin: Origin,
    chain: Chain,
    frames: Vec<FrameEntry>,
    /// Length of the file.
    bytes: u64,
    /// Length up to which frames were acknowledged as kept.
    acknowledged: u64,
    poisoned: bool,
}

impl SegmentWriter {
    /// Begins a segment. Its number is the first one, counting from 1, that is free in the archive and
    /// according to `is_free`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn begin(
        storage: &Arc<dyn Storage>,
        tree: &Tree,
        origin: Origin,
        is_free: &dyn Fn(&SegmentName) -> Result<bool, Diagnostic>,
    ) -> Result<Self, ArchiveError> {
        let directory = tree.archive.join(origin.folder.to_string());
        storage
            .create_directory(&directory, DIRECTORY_MODE)
            .map_err(ArchiveError::io("make a directory", &directory))?;
        let listed = storage.list(&directory).map_err(ArchiveError::io("list a directory", &directory))?;
        let names = listed.iter().filter_map(|file| SegmentName::parse(&origin.folder, &file.name));
        let alike = names.filter(|(name, _)| (&name.node, &name.kid) == (&origin.node, &origin.kid));
        let last = alike.map(|(name, _)| name.number).max().unwrap_or(0);
        for number in last.saturating_add(1).. {
            let (node, folder) = (origin.node.clone(), origin.folder.clone());
            let name = SegmentName { folder, node, kid: origin.kid, number };
            let part = tree.part(&name);
            if let Some(file) = claim(&**storage, tree, &name, is_free)? {
                storage
                    .sync_directory(&directory)
                    .map_err(ArchiveError::io("sync a directory", &directory))?;
                let (storage, tree, chain) = (Arc::clone(storage), tree.clone(), Chain::new(&origin.id));
                let frames = Vec::new();
                return Ok(Self {
                    storage,
                    tree,
                    name,
                    part,
                    file,
                    origin,
                    chain,
                    frames,
                    bytes: 0,
                    acknowledged: 0,
                    poisoned: false,
                });
            }
        }
        let exhausted = io::ErrorKind::AlreadyExists.into();
        Err(ArchiveError::io("number a segment", &directory)(exhausted))
    }

    /// Begins a segment that will replace the sealed one called `name`, under a temporary name. Removes
    /// whatever a crash left under that name.
    pub(super) fn stage(
        storage: &Arc<dyn Storage>,
        destination: &Destination<'_>,
        origin: Origin,
    ) -> Result<Self, ArchiveError> {
        let Destination { tree, name, mode } = *destination;
        let part = tree.staged(name);
        if_there(storage.unlink(&part)).map_err(ArchiveError::io("remove what a crash left", &part))?;
        let file = storage.create(&part, mode).map_err(ArchiveError::io("make a segment", &part))?;
        let (storage, tree, name) = (Arc::clone(storage), tree.clone(), name.clone());
        let (chain, frames) = (Chain::new(&origin.id), Vec::new());
        let (bytes, acknowledged, poisoned) = (0, 0, false);
        Ok(Self { storage, tree, name, part, file, origin, chain, frames, bytes, acknowledged, poisoned })
    }

    /// Returns the name of the segment.
    #[must_use]
    pub fn name(&self) -> &SegmentName {
        &self.name
    }

    /// Returns the id that distinguishes the segment from all others.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.origin.id
    }

    /// Returns the length of the file so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a frame, which is durable after [`SegmentWriter::sync`]. Returns its buffer for reuse by
    /// [`super::Packer::pack_into`].
    ///
    /// # Errors
    /// If it cannot be written; every later call returns [`ArchiveError::Poisoned`].
    pub fn append(&mut self, frame: Frame) -> Result<Vec<u8>, ArchiveError> {
        self.attempt("write a segment", |file| file.append(&frame.bytes))?;
        let Frame { bytes, line_bytes, lines, first, last, filter } = frame;
        self.chain = self.chain.next(&bytes);
        let (offset, chain) = (self.bytes, self.chain.0);
        self.bytes += bytes.len() as u64;
        // A frame is far below 4 GiB: its lines are, and zstd adds little even to incompressible data.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.frames.push(FrameEntry { offset, bytes: length, line_bytes, lines, first, last, filter, chain });
        Ok(bytes)
    }

    /// Makes all frames durable.
    ///
    /// # Errors
    /// If that fails; every later call returns [`ArchiveError::Poisoned`].
    pub fn sync(&mut self) -> Result<(), ArchiveError> {
        self.attempt("sync a segment", |file| file.sync())
    }

    /// Marks all frames so far as acknowledged: senders have been told that these lines are kept, so
    /// [`SegmentWriter::abandon`] leaves them in place.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.bytes;
    }

    /// Cuts off the frames that were not acknowledged, after an operation on this segment or another one
    /// failed.
    ///
    /// Their lines will be sent again, and would be here twice. If the cut fails, the result is no worse than
    /// after a crash.
    ///
    /// Returns whether the segment can still be sealed: nothing has failed on it, and frames are left.
    pub fn abandon(&mut self) -> bool {
        // The error to report is the earlier one, so this one is dropped.
        self.poisoned |= self.file.truncate(self.acknowledged).is_err();
        self.frames.retain(|frame| frame.offset < self.acknowledged);
        self.chain = self.frames.last().map_or_else(|| Chain::new(&self.origin.id), |last| Chain(last.chain));
        self.bytes = self.acknowledged;
        !self.poisoned && !self.frames.is_empty()
    }

    /// Seals the segment: writes footer, seal and seek table, and gives it its final name, all durably.
    ///
    /// # Errors
    /// If any of that fails: a part is left, which the next start seals.
    pub fn seal(
        mut self,
        vault: Option<VaultMark>,
        sealer: &mut dyn Sealer,
        now: Timestamp,
    ) -> Result<SegmentName, ArchiveError> {
        let previous = sealer.previous().map_err(in_custody)?;
        let digest = self.end(previous, vault, sealer, now)?;
        record(&self.name, &digest, sealer, now)?;
        publish(&*self.storage, &self.tree, &self.name)?;
        Ok(self.name)
    }

    /// Seals a staged segment: writes footer (which names `previous`), seal and seek table durably, under the
    /// temporary name.
    ///
    /// Returns the digest of the segment. The sealer does not record it: the caller that replaces a segment
    /// does.
    ///
    /// # Errors
    /// If any of that fails.
    pub fn seal_staged(
        mut self,
        previous: [u8; 32],
        vault: Option<VaultMark>,
        sealer: &mut dyn Sealer,
        now: Timestamp,
    ) -> Result<[u8; 32], ArchiveError> {
        let digest = self.end(previous, vault, sealer, now)?;
        let directory = self.tree.archive.join(self.name.folder.to_string());
        self.storage.sync_directory(&directory).map_err(ArchiveError::io("sync a directory", &directory))?;
        Ok(digest)
    }

    fn end(
        &mut self,
        previous: [u8; 32],
        vault: Option<VaultMark>,
        sealer: &mut dyn Sealer,
        now: Timestamp,
    ) -> Result<[u8; 32], ArchiveError> {
        let (origin, frames) = (self.origin.clone(), std::mem::take(&mut self.frames));
        let footer = Footer { origin, recovered: false, previous, vault, frames };
        let (trailer, digest) = sealed(&footer, sealer, now)?;
        self.attempt("write a segment", |file| file.append(&trailer))?;
        self.sync()?;
        Ok(digest)
    }

    /// Removes the segment, which must be empty.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(self) -> Result<(), ArchiveError> {
        self.storage.unlink(&self.part).map_err(ArchiveError::io("remove an empty segment", &self.part))
    }

    fn attempt(
        &mut self,
        action: &'static str,
        operation: impl FnOnce(&mut dyn Stored) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        if self.poisoned {
            return Err(ArchiveError::Poisoned { path: self.part.clone() });
        }
        operation(&mut *self.file).map_err(|source| {
            self.poisoned = true;
            ArchiveError::io(action, &self.part)(source)
        })
    }
}

/// Makes the part of that name and locks it; `None` if the name is taken. The lock distinguishes a part that
/// is being written from one that a crash left.
fn claim(
    storage: &dyn Storage,
    tree: &Tree,
    name: &SegmentName,
    is_free: &dyn Fn(&SegmentName) -> Result<bool, Diagnostic>,
) -> Result<Option<Box<dyn Stored>>, ArchiveError> {
    let part = tree.part(name);
    let io = || ArchiveError::io("make a segment", &part);
    let mut file = match storage.create(&part, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made.map_err(io())?,
    };
    // A recovery that looks for parts left by a crash may have locked it first. It removes the part, which is
    // empty, or has done so already: whatever we wrote to such a file would be lost with our handle.
    let is_ours = file.try_lock().and_then(|locked| Ok(locked && is_still_at(storage, &part, &*file)?));
    if !is_ours.map_err(io())? {
        return Ok(None);
    }
    // Another process may have sealed that number after the directory was listed.
    if storage.exists(&tree.segment(name)).map_err(io())? || !is_free(name).map_err(in_custody)? {
        storage.unlink(&part).map_err(io())?;
        return Ok(None);
    }
    Ok(Some(file))
}

/// Encodes the end of a segment with that footer, and returns it with the digest that the seal covers.
pub(super) fn sealed(
    footer: &Footer,
    sealer: &mut dyn Sealer,
    now: Timestamp,
) -> Result<(Vec<u8>, [u8; 32]), ArchiveError> {
    let body = footer.encode();
    let digest = footer::digest_of(&body);
    let seal = sealer.seal(now, &digest).map_err(in_custody)?;
    Ok((footer::trailer(footer, body, &digest, &seal), digest))
}

/// Has the sealer record a segment that is durable but not renamed yet.
pub(super) fn record(
    name: &SegmentName,
    digest: &[u8; 32],
    sealer: &mut dyn Sealer,
    now: Timestamp,
) -> Result<(), ArchiveError> {
    sealer.record(now, &name.to_string(), digest).map_err(in_custody)
}

pub(super) fn in_custody(diagnostic: Diagnostic) -> ArchiveError {
    ArchiveError::Custody(Box::new(diagnostic))
}

/// Gives a part its final name, durably.
pub(super) fn publish(storage: &dyn Storage, tree: &Tree, name: &SegmentName) -> Result<(), ArchiveError> {
    let (part, path) = (tree.part(name), tree.segment(name));
    storage.rename(&part, &path).map_err(ArchiveError::io("rename a segment", &part))?;
    let directory = tree.archive.join(name.folder.to_string());
    storage.sync_directory(&directory).map_err(ArchiveError::io("sync a directory", &directory))
}
