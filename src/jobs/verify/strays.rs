//! Finds what oubliette did not make in the directories of an archive.
//!
//! No purge removes it, so lines in it would be kept forever: for example, a copy of a segment under another
//! name, a directory that does not name a day, or a link to a file elsewhere.

use super::{Archive, Checker, listed};
use crate::model::{Folder, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Listed;
use std::path::Path;

/// Returns whether a file name in that folder is one of ours.
type Named = fn(&Folder, &str) -> bool;

impl Checker {
    /// Searches all three stores.
    pub(super) fn strays(&mut self, archive: &Archive) -> Result<(), Diagnostic> {
        let segment: Named = |folder, file| SegmentName::parse(folder, file).is_some();
        let vault: Named = |folder, file| SegmentName::parse_vault(folder, file).is_some();
        let stores = [(&archive.tree.archive, segment), (&archive.intermediate, segment)];
        for (root, is_ours) in stores.into_iter().chain([(&archive.tree.vault, vault)]) {
            self.strays_of(root, is_ours)?;
        }
        Ok(())
    }

    fn strays_of(&mut self, root: &Path, is_ours: Named) -> Result<(), Diagnostic> {
        for day in listed(&*self.storage, root)? {
            // The directory that a file system has at its root.
            if day.directory && day.name == "lost+found" {
                continue;
            }
            if !day.directory || !day.name.starts_with("expires=") {
                self.stray(&day);
                continue;
            }
            for class in listed(&*self.storage, &day.path)? {
                match Folder::parse(&day.name, &class.name).filter(|_| class.directory) {
                    Some(folder) => self.strays_in(&folder, &class.path, is_ours)?,
                    None => self.stray(&class),
                }
            }
        }
        Ok(())
    }

    fn strays_in(&mut self, folder: &Folder, directory: &Path, is_ours: Named) -> Result<(), Diagnostic> {
        for file in listed(&*self.storage, directory)? {
            let is_named = is_ours(folder, &file.name) || SegmentName::is_staged(&file.name);
            if file.directory || file.link || !is_named {
                self.stray(&file);
            }
        }
        Ok(())
    }

    fn stray(&mut self, found: &Listed) {
        self.wrong(&found.path, None, "oubliette did not make it, so no purge removes it");
    }
}
