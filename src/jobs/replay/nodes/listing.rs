//! Vaults of many nodes, by what their names say: class and expiry day, node, epoch.

use super::Place;
use crate::jobs::replay::codes;
use crate::model::{Folder, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Listed, Storage};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A vault of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeVault {
    /// The name of its segment, which is on the node.
    pub(super) name: SegmentName,
    pub(super) path: PathBuf,
}

/// What is in the trees of vaults below some places, listed when it is needed, once.
pub(super) struct Listing<'l> {
    storage: &'l dyn Storage,
    places: Vec<PathBuf>,
    /// Trees: what has `expires=...` in it.
    trees: Option<Vec<PathBuf>>,
    /// By directory.
    vaults: HashMap<PathBuf, Vec<NodeVault>>,
}

impl<'l> Listing<'l> {
    pub(super) fn new(storage: &'l dyn Storage, places: Vec<PathBuf>) -> Self {
        Self { storage, places, trees: None, vaults: HashMap::new() }
    }

    /// The vaults that may have the original of a token.
    ///
    /// # Errors
    /// If a directory cannot be listed.
    pub(super) fn of(&mut self, place: &Place) -> Result<Vec<NodeVault>, Diagnostic> {
        let mut found = Vec::new();
        for tree in self.trees()? {
            let folders = match &place.folder {
                Some(folder) => vec![folder.clone()],
                None => self.folders(&tree)?,
            };
            for folder in folders {
                let vaults = self.vaults(&tree, &folder)?.iter();
                found.extend(
                    vaults.filter(|vault| place.kid.is_none_or(|kid| vault.name.kid == kid)).cloned(),
                );
            }
        }
        Ok(found)
    }

    fn trees(&mut self) -> Result<Vec<PathBuf>, Diagnostic> {
        if let Some(trees) = &self.trees {
            return Ok(trees.clone());
        }
        let mut trees = Vec::new();
        for place in &self.places {
            self.trees_below(place, DEEPEST_TREE, &mut trees)?;
        }
        self.trees = Some(trees.clone());
        Ok(trees)
    }

    fn trees_below(&self, place: &Path, depth: u8, trees: &mut Vec<PathBuf>) -> Result<(), Diagnostic> {
        let directories = self.directories(place)?;
        if directories.iter().any(|directory| directory.name.starts_with("expires=")) {
            trees.push(place.to_owned());
        } else if depth > 0 {
            for directory in directories {
                self.trees_below(&directory.path, depth - 1, trees)?;
            }
        }
        Ok(())
    }

    /// Every class and expiry day in a tree.
    fn folders(&self, tree: &Path) -> Result<Vec<Folder>, Diagnostic> {
        let mut folders = Vec::new();
        for day in self.directories(tree)? {
            let classes = self.directories(&day.path)?;
            folders.extend(classes.iter().filter_map(|class| Folder::parse(&day.name, &class.name)));
        }
        Ok(folders)
    }

    fn vaults(&mut self, tree: &Path, folder: &Folder) -> Result<&[NodeVault], Diagnostic> {
        let directory = tree.join(folder.to_string());
        if !self.vaults.contains_key(&directory) {
            let vault = |listed: Listed| {
                let name = SegmentName::parse_vault(folder, &listed.name)?;
                Some(NodeVault { name, path: listed.path })
            };
            let listed = self.list(&directory)?;
            self.vaults.insert(directory.clone(), listed.into_iter().filter_map(vault).collect());
        }
        Ok(&self.vaults[&directory])
    }

    fn directories(&self, path: &Path) -> Result<Vec<Listed>, Diagnostic> {
        Ok(self.list(path)?.into_iter().filter(|listed| listed.directory).collect())
    }

    fn list(&self, path: &Path) -> Result<Vec<Listed>, Diagnostic> {
        self.storage.list(path).map_err(|error| codes::cannot_look(path, &error))
    }
}

/// How far below a place a tree may be: `NODE/vault`.
const DEEPEST_TREE: u8 = 2;
