//! Names of followed files: a file with several names is followed under one of them.

use crate::input::tail::Identity;
use crate::primitives::lock::Unpoisoned as _;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The paths that inputs follow now, each with the number of its followers.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<PathBuf, usize>>>);

/// Marks a path as followed until it is dropped.
pub(super) struct Named {
    names: Names,
    pub(super) path: PathBuf,
}

impl Names {
    /// Marks `path` as followed, whoever else follows the file.
    pub(super) fn add(&self, path: &Path) -> Named {
        self.named(&mut self.0.lock().unpoisoned(), path.to_owned())
    }

    /// Marks as followed those paths in `found` that are files of which no input follows any name, with one
    /// name for each file.
    pub(super) fn add_new(&self, mut found: Vec<PathBuf>) -> Vec<Named> {
        let mut paths = self.0.lock().unpoisoned();
        let mut known: HashSet<_> = paths.keys().filter_map(|path| Identity::at(path)).collect();
        found.retain(|path| Identity::at(path).is_some_and(|file| known.insert(file)));
        found.into_iter().map(|path| self.named(&mut paths, path)).collect()
    }

    fn named(&self, paths: &mut BTreeMap<PathBuf, usize>, path: PathBuf) -> Named {
        *paths.entry(path.clone()).or_default() += 1;
        Named { names: self.clone(), path }
    }
}

impl Named {
    /// Returns whether somebody else follows the path, too.
    pub(super) fn is_shared(&self) -> bool {
        self.names.0.lock().unpoisoned().get(&self.path).is_some_and(|count| *count > 1)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut paths = self.names.0.lock().unpoisoned();
        if let Some(count) = paths.get_mut(&self.path) {
            *count -= 1;
            if *count == 0 {
                paths.remove(&self.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_new_under_one_of_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let new = |names: &Names, found: &[&str]| -> Vec<String> {
            let new = names.add_new(found.iter().map(|name| at(name)).collect());
            new.iter().map(|named| named.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        fs::write(at("b"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        symlink(at("b"), at("a")).unwrap();
        fs::hard_link(at("b"), at("c")).unwrap();
        let names = Names::default();
        assert_eq!(new(&names, &["b", "c", "gone", "other"]), ["b", "other"]);
        let first = names.add(&at("a"));
        assert!(!first.is_shared());
        let second = names.add(&at("a"));
        assert!(first.is_shared() && second.is_shared());
        assert_eq!(new(&names, &["a", "b", "c", "other"]), ["other"]);
        drop(first);
        assert!(!second.is_shared());
        assert_eq!(new(&names, &["b"]), [""; 0]);
        drop(second);
        assert_eq!(new(&names, &["b"]), ["b"]);
    }
}
