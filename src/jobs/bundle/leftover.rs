//! What a process that was killed left of a bundle: lines, and what was revealed of them, in clear. Whoever makes a bundle at
//! that place again removes it.
//!
//! A process that is alive has a lock on the lines. What is anything but a bundle in the making stays, and the new bundle is
//! refused; so does one that has its sums, for it may be whole.

use super::output::{Destination, failed};
use super::stage::{PARTIAL, with_suffix};
use super::{LINES, TABLE};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use std::path::{Path, PathBuf};

impl Destination {
    /// Removes what a process that was killed left here. Where that was, if there was any.
    ///
    /// # Errors
    /// [`super::WRITE`] if it cannot be looked at or removed.
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
        // The lines last: without them nobody would know what the rest is.
        for path in files.iter().rev().filter(|path| **path != lines).chain([&lines]) {
            // A file, or else a directory that is empty by now.
            let removed = storage.unlink(path).or_else(|_| storage.remove_directory(path));
            removed.map_err(failed("remove what is left of", path))?;
        }
        if let Self::Directory(_) = self {
            storage.remove_directory(&partial).map_err(failed("remove what is left of", &partial))?;
        }
        Ok(Some(partial))
    }
}

/// Everything in the directory, what is above before what is below; nothing if something in it is none of a bundle.
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
        // What a link leads to is not of this bundle.
        if listed.directory && !listed.link {
            found.extend(list(&listed.path.clone())?);
        }
        at += 1;
    }
    Ok(found.into_iter().map(|listed| listed.path).collect())
}

/// The files of an encrypted bundle.
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

/// What a bundle has at its top before it has its sums.
const NAMES: [&str; 5] = ["README.txt", "LISEZMOI.txt", LINES, TABLE, "proof"];
