//! Checks that the directories given can be those that the ledger speaks of. A purge of the wrong directory
//! would find nothing due, and end as if everything were gone.

use super::{Site, failed};
use crate::archive::{self, Segment};
use crate::ledger::LedgerError;
use crate::ledger::event::{Event, PurgedFile};
use crate::model::Expires;
use crate::primitives::diag::{Code, Diagnostic};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

impl Site {
    /// Returns the names of segments that the ledger says were sealed and neither purged nor erased, with the
    /// time of the seal.
    ///
    /// # Errors
    /// If the ledger cannot be read, or is damaged.
    fn kept(&self) -> Result<BTreeMap<String, Timestamp>, LedgerError> {
        let mut kept = BTreeMap::new();
        self.ledger.read(&mut |entry, _| {
            entry.event().iter().for_each(|event| keep(&mut kept, event, entry.at));
        })?;
        Ok(kept)
    }

    /// Returns the names of the files that purges have removed.
    ///
    /// # Errors
    /// As [`Site::kept`].
    fn removed(&self) -> Result<BTreeSet<String>, LedgerError> {
        let mut removed = BTreeSet::new();
        self.ledger.read(&mut |entry, _| {
            if let Some(Event::PurgeDone(purge)) = entry.event() {
                removed.extend(purge.files.into_iter().map(|file| file.name));
            }
        })?;
        Ok(removed)
    }

    /// Refuses a directory without an archive if the ledger knows of segments that should be in one; also a
    /// place without vaults if segments that are due have vaults.
    ///
    /// # Errors
    /// [`NOT_THERE`]; also if a directory cannot be listed.
    pub fn demand_place(&self) -> Result<(), Diagnostic> {
        let stores = [&*self.tree.archive, &*self.intermediate];
        if !self.is_any_there(&stores)? {
            // A damaged ledger may list segments that are gone since.
            let kept = self.kept().unwrap_or_default().len();
            return if kept == 0 { Ok(()) } else { Err(no_archive(&self.tree.archive, kept)) };
        }
        if !self.has_days(&self.tree.vault)? && self.due_have_vaults()? {
            return Err(no_vaults(&self.tree.vault));
        }
        Ok(())
    }

    fn is_any_there(&self, paths: &[&Path]) -> Result<bool, Diagnostic> {
        for path in paths {
            // In object storage, a directory exists as long as it holds something.
            if self.storage.exists(path).map_err(failed("look for", path))?
                || !self.storage.list(path).map_err(failed("list", path))?.is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_days(&self, root: &Path) -> Result<bool, Diagnostic> {
        let listed = self.storage.list(root).map_err(failed("list", root))?;
        Ok(listed.iter().any(|listed| listed.directory && listed.name.starts_with("expires=")))
    }

    /// Returns whether a segment that is due says that it has a vault. One that could not be removed when its
    /// day was purged has none any more.
    fn due_have_vaults(&self) -> Result<bool, Diagnostic> {
        let today = Expires::On(self.today());
        let removed = self.removed().unwrap_or_default();
        for tree in [&self.tree, &self.second_tree()] {
            let listed = archive::list(&*self.storage, tree)?;
            let due = listed.iter().filter(|found| {
                !found.part
                    && found.name.folder.expires <= today
                    && !removed.contains(&self.vault_name(&found.name))
            });
            // A segment that cannot be opened does not say.
            let mut opened = due.filter_map(|found| Segment::open(&*self.storage, &found.path).ok());
            if opened.any(|segment| segment.footer().vault.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Updates `kept` by an event of the instant `at`: it holds what was sealed, and neither purged nor erased
/// since.
pub(in crate::jobs) fn keep(kept: &mut BTreeMap<String, Timestamp>, event: &Event, at: Timestamp) {
    match event {
        Event::Segment(segment) => {
            kept.insert(segment.name.clone(), at);
        }
        // After the intent, a segment may be gone.
        Event::PurgeIntent(purge) => {
            for name in purge.files.iter().filter_map(within_store) {
                kept.remove(name);
            }
        }
        Event::EraseIntent(erasure) if erasure.digest.is_none() => {
            kept.remove(&erasure.name);
        }
        _ => {}
    }
}

/// Returns the path of a file within its store.
fn within_store(file: &PurgedFile) -> Option<&str> {
    file.name.split_once('/').map(|(_, name)| name)
}

fn no_archive(archive: &Path, kept: usize) -> Diagnostic {
    Diagnostic::new(&NOT_THERE, "there is no archive in that directory, so nothing is purged")
        .at(archive.display().to_string())
        .because(format!("the ledger says that segments were sealed and not purged: {kept}"))
        .hint("name the directory that `filter` or `serve` writes to, with its disk mounted: the one that has `archive` in it")
}

fn no_vaults(vault: &Path) -> Diagnostic {
    Diagnostic::new(&NOT_THERE, "there are no vaults, so nothing is purged")
        .at(vault.display().to_string())
        .because("segments that are due have some, so they lie elsewhere")
        .hint(
            "name their folder with `--vault DIR`, with its disk mounted; if they are lost, `oubliette explain P07`",
        )
}

/// P07: a place without what is to be purged.
pub static NOT_THERE: Code = Code {
    id: "P07",
    title: "what is to be purged is not there",
    text: "\
What it means
  If the message is an error, oubliette purged nothing. Either the directory has no archive, though
  the ledger of this node lists segments that were sealed and not purged. Or the directory of vaults
  has none, though segments that are due have vaults.

  If it is a warning, segments that are due, or vaults of such segments, are nowhere in the archive.
  oubliette purged the rest of their day and erased its shred key.

Why it matters
  A purge that finds nothing looks like one that had nothing to do. Lines that lie elsewhere are
  kept too long.

Example
  oubliette purge --archive /srv/lgo

What to do
  1. Mount the disks. Name the archive with `--archive DIR`, and its vaults with `--vault DIR` or in
     the configuration.
  2. Run `oubliette purge` again. `serve` checks this at its start and after each midnight, shows
     the metric `oubliette_purge_undone`, and purges by itself once the right disk is mounted.
  3. If segments are still missing, run `oubliette verify`: it names them. Bring them back, then
     purge again.
  4. If the vaults are lost, make an empty folder in their place (`expires=2027-11-24`, with the day
     that is due), then purge again. This tells oubliette that they are lost. It erases their shred
     key with the rest of the day.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};
