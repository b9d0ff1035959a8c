//! The second phase: moves segments of a class with `archive_after` to the intermediate store on that day.
//!
//! A segment is copied under a temporary name, synced and renamed, and its directory synced; only then is the
//! first copy removed. After a crash there are two whole copies, or one whole and one temporary copy, and the
//! next run continues. The copy is read-only, and its directory is accessible only to its owner.

use super::inventory::{CHUNK_BYTES, Sealed, hash};
use super::{Batch, Item, Site};
use crate::ledger::event::{Event, Purge};
use crate::model::{Expires, Keep, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Stored, if_there};
use crate::retention::expiry::archive_day;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const DIRECTORY_MODE: u32 = 0o700;
/// Permission bits of a segment in the intermediate store.
pub(in crate::jobs) const SECOND_PHASE_FILE_MODE: u32 = 0o400;

impl Site {
    /// Returns the segments whose second phase has begun, by expiry day.
    pub(super) fn moves(&self, progress: &dyn Fn(u64)) -> Result<Vec<Batch>, Diagnostic> {
        let mut batches: BTreeMap<Date, Vec<Item>> = BTreeMap::new();
        for found in self.segments(&self.tree)? {
            let Some(expires) = self.second_phase_of(&found.name).filter(|_| !found.part) else { continue };
            let name = format!("archive/{}", found.name);
            let stated = self.stated(&found.path, found.name.folder.expires);
            let item = self.item(name, found.path, &Sealed, stated.as_ref(), progress)?;
            batches.entry(expires).or_default().extend(item);
        }
        let batch = |(expires, files)| Batch { files, ..Batch::of(expires) };
        Ok(batches.into_iter().map(batch).collect())
    }

    /// Returns the expiry day of a segment that is in its second phase.
    fn second_phase_of(&self, name: &SegmentName) -> Option<Date> {
        let Expires::On(expires) = name.folder.expires else { return None };
        let class = self.classes.iter().find(|class| class.name == name.folder.class)?;
        let (Some(_), Keep::For(keep)) = (class.archive_after, class.keep) else { return None };
        let today = self.today();
        (archive_day(expires, keep) <= today && today < expires).then_some(expires)
    }

    /// Moves these segments. Returns what was moved and what had to stay.
    pub(super) fn move_due(&mut self, progress: &dyn Fn(u64)) -> Result<Vec<Batch>, Diagnostic> {
        let mut batches = self.moves(progress)?;
        for batch in &mut batches {
            let moved = batch.each("move", |file| Ok(self.move_file(&file.path)?));
            let files = batch.files.iter().map(|file| file.entry.clone()).collect();
            let (expires, bytes, lines, left) = (batch.expires, batch.bytes(), batch.lines(), batch.left());
            // Also record what was moved before a failure.
            self.ledger.append(Event::Moved(Purge { expires, files, bytes, lines, zone: None, left }))?;
            moved?;
        }
        Ok(batches)
    }

    fn move_file(&self, from: &Path) -> io::Result<()> {
        let Ok(within) = from.strip_prefix(&self.tree.archive) else { return Ok(()) };
        let to = self.intermediate.join(within);
        let (Some(from_directory), Some(to_directory)) = (from.parent(), to.parent()) else { return Ok(()) };
        // An existing copy may be incomplete, or older than an erasure of lines.
        if !self.storage.exists(&to)? || !self.is_same(from, &to)? {
            self.storage.create_directory(to_directory, DIRECTORY_MODE)?;
            self.copy(from, &to)?;
            self.storage.sync_directory(to_directory)?;
        }
        self.storage.unlink(from)?;
        self.storage.sync_directory(from_directory)
    }

    fn is_same(&self, from: &Path, to: &Path) -> io::Result<bool> {
        let hashed = |path: &Path| hash(&*self.storage.open(path)?, &|_| {});
        Ok(hashed(from)? == hashed(to)?)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let part = to.with_extension("zst.part");
        if_there(self.storage.unlink(&part))?;
        let source = self.storage.open(from)?;
        let mut copy = self.storage.create(&part, SECOND_PHASE_FILE_MODE)?;
        let copied = copy_bytes(&*source, &mut *copy).and_then(|()| copy.sync());
        if copied.is_err() {
            // On a full disk, it would take the last room. If it cannot be removed, the next run removes it.
            let _ = self.storage.unlink(&part);
        }
        copied.and_then(|()| self.storage.rename(&part, to))
    }

    /// Returns the intermediate store as an archive of its own.
    #[must_use]
    pub fn second_tree(&self) -> Tree {
        Tree { archive: self.intermediate.clone(), vault: self.tree.vault.clone() }
    }
}

fn copy_bytes(from: &dyn Stored, to: &mut dyn Stored) -> io::Result<()> {
    let length = from.length()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < length {
        let count = usize::try_from(length - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        from.read_at(offset, &mut buffer[..count])?;
        to.append(&buffer[..count])?;
        offset += count as u64;
    }
    Ok(())
}
