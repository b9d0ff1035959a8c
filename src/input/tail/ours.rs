//! Files that this process writes itself: if it followed them, each line would come back for ever.

use super::is_rotated;
use super::offsets::Identity;
use crate::primitives::storage::parent;
use std::fs;
use std::path::{Path, PathBuf};

/// What this process writes, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Files of outputs, which are rotated beside them.
    pub files: Vec<PathBuf>,
    /// Directories of lines and of state.
    pub folders: Vec<PathBuf>,
}

/// What this process writes at the moment, whatever the names.
#[derive(Debug)]
pub struct Resolved {
    files: Vec<(PathBuf, Option<Identity>)>,
    folders: Vec<PathBuf>,
}

impl Ours {
    /// Adds what is configured now. What was written before stays ours.
    pub fn extend(&mut self, more: Self) {
        let add = |all: &mut Vec<PathBuf>, more: Vec<PathBuf>| {
            more.into_iter().for_each(|path| {
                if !all.contains(&path) {
                    all.push(path);
                }
            });
        };
        add(&mut self.files, more.files);
        add(&mut self.folders, more.folders);
    }

    /// Finds out where the paths lead now.
    #[must_use]
    pub fn resolved(&self) -> Resolved {
        let files = self.files.iter().map(|path| (resolve(path), Identity::at(path))).collect();
        Resolved { files, folders: self.folders.iter().map(|path| resolve(path)).collect() }
    }
}

impl Resolved {
    /// Returns whether `path` leads to such a file, or would if the file existed.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let (at, found) = (resolve(path), Identity::at(path));
        let is_file = |(file, known): &(PathBuf, Option<Identity>)| {
            at == *file
                || (found.is_some() && found == *known)
                || (at.parent() == file.parent() && is_rotated(&at, file))
        };
        self.folders.iter().any(|folder| at.starts_with(folder)) || self.files.iter().any(is_file)
    }
}

/// Resolves the links in a path. The file need not exist yet.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    // Follows one link to the file. The target of a chain of links is known once the file exists.
    let target = fs::read_link(path).map(|target| path.with_file_name("").join(target));
    let path = target.unwrap_or_else(|_| path.to_owned());
    match (parent(&path).canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_written_here_is_known_under_any_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("logs/archive/log")).unwrap();
        fs::write(at("logs/archive/log/part"), "").unwrap();
        fs::write(at("logs/out"), "").unwrap();
        fs::write(at("logs/other"), "").unwrap();
        fs::hard_link(at("logs/out"), at("logs/hard")).unwrap();
        symlink("logs", at("link")).unwrap();
        symlink("out", at("logs/soft")).unwrap();
        let ours = Ours {
            files: vec![at("link/out"), at("logs/new")],
            folders: vec![at("link/archive"), at("logs/spool")],
        };
        let written = ours.resolved();
        for (name, is_ours) in [
            ("logs/out", true),
            ("link/out", true),
            ("logs/hard", true),
            ("logs/soft", true),
            ("logs/out.20261123T230000Z", true),
            ("logs/out.20261123T230000Z-1", true),
            ("logs/new", true),
            ("link/new", true),
            ("logs/archive/log/part", true),
            ("logs/archive/yet to come", true),
            ("logs/spool/a", true),
            ("logs/other", false),
            ("logs/newer", false),
            ("logs/archived", false),
            ("out", false),
        ] {
            assert_eq!(written.has(&at(name)), is_ours, "{name}");
        }
    }
}
