//! Removes what a killed process left of a bundle: lines, and originals revealed from them, which are in
//! clear unless the bundle was to be encrypted. The next bundle written to the same place removes it.
//!
//! A live process holds a lock on the file of lines. Anything other than an incomplete bundle stays, and the
//! new bundle is refused; so does a bundle that has its sums, because it may be complete.

use super::output::{Destination, failed};
use super::stage::{PARTIAL, with_suffix};
use super::{LINES, TABLE};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use std::path::{Path, PathBuf};

impl Destination {
    /// Removes what a killed process left here. Returns where that was, if there was anything.
    ///
    /// # Errors
    /// [`super::WRITE`] if it cannot be examined or removed.
    pub fn clear(&self, storage: &dyn Storage) -> Result<Option<PathBuf>, Diagnostic> {
        let partial = with_suffix(self.path(), PARTIAL);
        let files = match self {
            Self::Directory(_) => below(storage, &partial)?,
            Self::Encrypted { .. } => beside(storage, &partial)?,
        };
        let lines = match self {
            Self::Directory(_) => partial.join(LINES),
            Self::Encrypted { .. } => with_suffix(&partial, &format!(".{LINES}")),
        };
        if !files.contains(&lines) || !is_abandoned(storage, &lines)? {
            return Ok(None);
        }
        // Remove the lines last: without them, nobody would know what the other files are.
        for path in files.iter().rev().filter(|path| **path != lines).chain([&lines]) {
            // A file, or a directory that is empty by now.
            let removed = storage.unlink(path).or_else(|_| storage.remove_directory(path));
            removed.map_err(failed("remove what is left of", path))?;
        }
        if let Self::Directory(_) = self {
            storage.remove_directory(&partial).map_err(failed("remove what is left of", &partial))?;
        }
        Ok(Some(partial))
    }
}

/// Lists everything in the directory, parents before children. Returns nothing if it contains anything that
/// is not part of a bundle.
fn below(storage: &dyn Storage, directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let list = |path: &Path| storage.list(path).map_err(failed("look at", path));
    let mut found = Vec::new();
    for listed in list(directory)? {
        if !NAMES.contains(&&*listed.name) {
            return Ok(Vec::new());
        }
        found.push(listed);
    }
    let mut at = 0;
    while let Some(listed) = found.get(at) {
        // A link leads out of this bundle, so it is not followed.
        if listed.directory && !listed.link {
            found.extend(list(&listed.path.clone())?);
        }
        at += 1;
    }
    Ok(found.into_iter().map(|listed| listed.path).collect())
}

/// Lists the files of an encrypted bundle.
fn beside(storage: &dyn Storage, partial: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let spools = [LINES, TABLE].map(|name| with_suffix(partial, &format!(".{name}")));
    let mut found = Vec::new();
    for path in spools.into_iter().chain([partial.to_owned()]) {
        if storage.exists(&path).map_err(failed("look for", &path))? {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_abandoned(storage: &dyn Storage, lines: &Path) -> Result<bool, Diagnostic> {
    let locked = storage.edit(lines).and_then(|mut file| file.try_lock());
    locked.map_err(failed("look at", lines))
}

/// The names at the top of a bundle before it has its sums.
const NAMES: [&str; 5] = ["README.txt", "LISEZMOI.txt", LINES, TABLE, "proof"];
