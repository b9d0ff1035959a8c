//! Lists the vaults of many nodes by what their names state: class and expiry day, node, epoch.

use super::OriginalPlace;
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

/// The contents of the trees of vaults below some places, each listed once, when needed.
pub(super) struct Listing<'l> {
    storage: &'l dyn Storage,
    places: Vec<PathBuf>,
    /// The trees, which are directories with `expires=...` in them; and errors of places that cannot be
    /// searched for trees.
    trees: Option<(Vec<PathBuf>, Vec<Diagnostic>)>,
    /// Vaults by directory.
    vaults: HashMap<PathBuf, Vec<NodeVault>>,
}

impl<'l> Listing<'l> {
    pub(super) fn new(storage: &'l dyn Storage, places: Vec<PathBuf>) -> Self {
        Self { storage, places, trees: None, vaults: HashMap::new() }
    }

    /// Returns the vaults that may have the original of a token, and why others cannot be looked for. A
    /// failed disk of one node is no reason to leave out the vaults of others.
    pub(super) fn of(&mut self, place: &OriginalPlace) -> (Vec<NodeVault>, Vec<Diagnostic>) {
        let (trees, mut obstacles) = self.trees();
        let mut found = Vec::new();
        for tree in trees {
            match self.in_tree(&tree, place) {
                Ok(vaults) => found.extend(vaults),
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        (found, obstacles)
    }

    fn in_tree(&mut self, tree: &Path, place: &OriginalPlace) -> Result<Vec<NodeVault>, Diagnostic> {
        let folders = match &place.folder {
            Some(folder) => vec![folder.clone()],
            None => self.folders(tree)?,
        };
        let mut found = Vec::new();
        for folder in folders {
            let vaults = self.vaults(tree, &folder)?.iter();
            found.extend(vaults.filter(|vault| place.kid.is_none_or(|kid| vault.name.kid == kid)).cloned());
        }
        Ok(found)
    }

    fn trees(&mut self) -> (Vec<PathBuf>, Vec<Diagnostic>) {
        if self.trees.is_none() {
            let (mut trees, mut obstacles) = (Vec::new(), Vec::new());
            for place in &self.places {
                self.trees_below(place, DEEPEST_TREE, &mut trees, &mut obstacles);
            }
            self.trees = Some((trees, obstacles));
        }
        self.trees.clone().unwrap_or_default()
    }

    fn trees_below(
        &self,
        place: &Path,
        depth: u8,
        trees: &mut Vec<PathBuf>,
        obstacles: &mut Vec<Diagnostic>,
    ) {
        let directories = match self.directories(place) {
            Ok(directories) => directories,
            Err(obstacle) => return obstacles.push(obstacle),
        };
        if directories.iter().any(|directory| directory.name.starts_with("expires=")) {
            trees.push(place.to_owned());
        } else if depth > 0 {
            for directory in directories {
                self.trees_below(&directory.path, depth - 1, trees, obstacles);
            }
        }
    }

    /// Lists every class and expiry day in a tree.
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

/// The most levels between a place and a tree: `NODE/vault`.
const DEEPEST_TREE: u8 = 2;
