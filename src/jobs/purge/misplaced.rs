//! Finds segments that are due but are in the directory of another day. Somebody has moved or renamed them,
//! and a purge that goes by directories would keep them for as long as their new name says.
//!
//! The ledger names what was sealed, for which day and with which digest. Segments that are due, were not
//! purged and are not in their place are searched by their digest. A copy leaves nothing missing, so the day
//! of every file in a store that the ledger does not list is read from the file itself. Footers are read only
//! for this, and usually nothing is out of place.

use super::history::History;
use super::{Batch, Plan, Site, failed};
use crate::archive::Segment;
use crate::ledger::event::{Erasure, Event, Purge};
use crate::model::{Expires, Folder, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, is_of_one_file, is_remote};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// A segment that is not where it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The expiry day of the segment, which has come.
    pub expires: Date,
    /// The path within the archive where it was sealed.
    pub sealed_as: String,
    /// The path where it is now, including the store.
    pub lies_as: String,
}

/// A segment that cannot be found anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The expiry day of the segment, which has come.
    pub expires: Date,
    /// The path within the archive where it was sealed.
    pub sealed_as: String,
}

/// Segments that are due and not where they were sealed.
#[derive(Debug, Default)]
pub(super) struct Displaced {
    pub(super) misplaced: Vec<Misplaced>,
    pub(super) absent: Vec<Absent>,
}

/// Segments of days up to today that were sealed and not purged.
#[derive(Debug)]
pub(super) struct Sealed {
    today: Date,
    /// Digests in hex, by paths within the archive.
    digests: BTreeMap<String, String>,
    /// Hashes of the paths of segments due later, of which there may be very many.
    later: HashSet<u64>,
    /// Hashes of the file names and digests of all segments, also of those that were purged: one that was
    /// moved, renamed or restored from a copy is still one that this ledger knows.
    known: HashSet<u64>,
    /// The nodes whose segments were purged although the ledger did not know these: then this state directory
    /// is known to purge an archive of these nodes.
    purged_of: BTreeSet<String>,
}

impl Sealed {
    pub(super) fn until(today: Date) -> Self {
        let (later, known) = (HashSet::new(), HashSet::new());
        Self { today, digests: BTreeMap::new(), later, known, purged_of: BTreeSet::new() }
    }

    /// Takes an entry of the ledger into account.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Segment(segment) => self.insert(&segment.name, &segment.digest),
            Event::EraseDone(Erasure { name, digest: Some(digest), .. }) => self.insert(name, digest),
            Event::EraseDone(Erasure { name, digest: None, .. }) => drop(self.digests.remove(name)),
            Event::PurgeDone(Purge { files, .. }) => {
                for (store, name) in files.iter().filter_map(|file| file.name.split_once('/')) {
                    self.digests.remove(name);
                    if is_segment(store, name) && !self.knows(name, None) {
                        self.purged_of.extend(node_of(name));
                    }
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, name: &str, digest: &str) {
        self.known.extend([hash_of(file_of(name)), hash_of(digest)]);
        if day_of(name).is_some_and(|day| day <= self.today) {
            self.digests.insert(name.to_owned(), digest.to_owned());
        } else {
            self.later.insert(hash_of(name));
        }
    }

    /// Returns the name under which the segment with this digest was sealed, if it was not purged.
    fn name_of(&self, digest: &[u8; 32]) -> Option<String> {
        let digest = hex::encode(digest);
        let mut sealed = self.digests.iter();
        sealed.find(|(_, sealed)| **sealed == digest).map(|(name, _)| name.clone())
    }

    /// Returns the names of segments that go although the ledger does not know them: then it is not the
    /// ledger of their writer. Those of nodes whose segments were purged so before are left out.
    fn unlisted<'p>(&self, purges: &'p [Batch]) -> Vec<&'p str> {
        let files = purges.iter().flat_map(|batch| &batch.files);
        let names = files.filter_map(|file| Some((file, file.entry.name.split_once('/')?)));
        let segments = names.filter(|(_, (store, name))| is_segment(store, name));
        let unlisted = segments.filter(|(file, (_, name))| {
            // An empty file is nobody's segment.
            !self.knows(name, file.digest) && !self.is_ours(name) && file.entry.bytes != Some(0)
        });
        unlisted.map(|(_, (_, name))| name).collect()
    }

    /// Returns whether a segment of that file name, or with that digest, was sealed.
    fn knows(&self, name: &str, digest: Option<[u8; 32]>) -> bool {
        self.known.contains(&hash_of(file_of(name)))
            || digest.is_some_and(|digest| self.known.contains(&hash_of(&hex::encode(&digest))))
    }

    /// Returns whether a segment of that file name was sealed, or is of a node whose segments are purged
    /// here.
    fn is_ours(&self, name: &str) -> bool {
        self.knows(name, None) || node_of(name).is_some_and(|node| self.purged_of.contains(&node))
    }

    /// Returns whether a segment with that path, of a future day, was sealed.
    fn lists(&self, name: &str) -> bool {
        self.later.contains(&hash_of(name))
    }
}

impl Site {
    /// Returns the names of the segments to be removed, or just removed, that the ledger does not know.
    ///
    /// Then they are listed in somebody else's ledger, and holds kept there are not seen. Object storage is
    /// exempt, because whoever purges it has usually not stored what it holds.
    pub(super) fn of_others(&self, sealed: &Sealed, plan: &Plan) -> Vec<String> {
        if plan.fault.is_some() || is_remote(&self.tree.archive) {
            return Vec::new();
        }
        let mut unlisted = sealed.unlisted(&plan.purges);
        if !unlisted.is_empty()
            && let Ok(since) = self.history()
        {
            // A filter that started meanwhile has sealed parts that a crash left.
            unlisted.retain(|name| !since.sealed.knows(name, None));
        }
        unlisted.into_iter().map(str::to_owned).collect()
    }

    /// Returns those of these sealed segments that the ledger does not know: their writers keep their holds
    /// elsewhere, and a purge of theirs does not see those kept here. As for `of_others`, object storage
    /// and nodes whose segments were purged from here are exempt.
    ///
    /// # Errors
    /// If the ledger cannot be read, or a directory cannot be looked at.
    pub fn held_of_others(&self, names: &[String]) -> Result<Vec<String>, Diagnostic> {
        if is_remote(&self.tree.archive) {
            return Ok(Vec::new());
        }
        let history = self.history()?;
        let mut of_others = Vec::new();
        for name in names.iter().filter(|name| history.fault.is_none() && !history.sealed.is_ours(name)) {
            for store in [&self.tree.archive, &self.intermediate] {
                // One that is still being written is in no ledger yet.
                let path = store.join(name);
                if !self.storage.exists(&path).map_err(failed("look for", &path))? {
                    continue;
                }
                // A copy under another name is known by its digest.
                let digest = Segment::open(&*self.storage, &path).ok().map(|segment| *segment.digest());
                if !history.sealed.knows(name, digest) {
                    of_others.push(name.clone());
                    break;
                }
            }
        }
        Ok(of_others)
    }

    /// Returns the segments that are due and are elsewhere or missing.
    pub(super) fn displaced(&self, history: &History) -> Result<Displaced, Diagnostic> {
        let mut missing = self.missing(&history.sealed)?;
        let mut displaced = Displaced { misplaced: self.copies(&history.sealed)?, ..Displaced::default() };
        if missing.is_empty() {
            return Ok(displaced);
        }
        for (store, tree) in [("archive", &self.tree), ("intermediate", &self.second_tree())] {
            for found in self.found_in(store, tree, &mut missing)? {
                if displaced.misplaced.iter().all(|known| known.lies_as != found.lies_as) {
                    displaced.misplaced.push(found);
                }
            }
        }
        if history.fault.is_some() {
            // Some of what the ledger says was sealed may have been purged since the fault.
            return Ok(displaced);
        }
        for (expires, name) in missing.into_values() {
            let begun = history.unfinished.get(&expires);
            let lists = |store| begun.is_some_and(|begun| begun.lists(&format!("{store}/{name}")));
            // An interrupted purge may have removed it. Report it once: when the day is purged with its key.
            if !lists("archive") && !lists("intermediate") && self.shred.has(Expires::On(expires))? {
                displaced.absent.push(Absent { expires, sealed_as: name.clone() });
            }
        }
        Ok(displaced)
    }

    /// Returns the segments whose expiry day has come that are where no purge looks, and that the ledger does
    /// not list there.
    ///
    /// Object storage is left to `verify`: each segment would cost a request, and a ledger lists what one
    /// worker of many has stored.
    fn copies(&self, sealed: &Sealed) -> Result<Vec<Misplaced>, Diagnostic> {
        let mut copies = Vec::new();
        for (store, root) in [("archive", &self.tree.archive), ("intermediate", &self.intermediate)] {
            for path in if is_remote(root) { Vec::new() } else { self.unlisted_in(root, sealed)? } {
                // `verify` reports segments that cannot be opened.
                let Ok(segment) = Segment::open(&*self.storage, &path) else { continue };
                let Folder { expires: Expires::On(expires), .. } = segment.footer().origin.folder else {
                    continue;
                };
                if expires <= self.today() {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    let as_it_lies = || format!("{}/{file}", segment.footer().origin.folder);
                    let sealed_as = sealed.name_of(segment.digest()).unwrap_or_else(as_it_lies);
                    let within = path.strip_prefix(root).unwrap_or(&path);
                    copies.push(Misplaced {
                        expires,
                        sealed_as,
                        lies_as: format!("{store}/{}", within.display()),
                    });
                }
            }
        }
        Ok(copies)
    }

    /// Returns the files in a store that are not segments listed in the ledger. Directories of days that have
    /// come are left out, because everything in them is purged or reported.
    fn unlisted_in(&self, root: &Path, sealed: &Sealed) -> Result<Vec<PathBuf>, Diagnostic> {
        let (mut unlisted, mut strays) = (Vec::new(), Vec::new());
        for day in self.storage.list(root).map_err(failed("list", root))? {
            let is_over = day_of(&day.name).is_some_and(|day| day <= self.today());
            if is_over && day.directory {
                continue;
            }
            if !day.directory || !day.name.starts_with("expires=") {
                strays.push(day);
                continue;
            }
            for class in self.within(&day.path)?.unwrap_or_default() {
                let Some(folder) = Folder::parse(&day.name, &class.name).filter(|_| class.directory) else {
                    strays.push(class);
                    continue;
                };
                for file in self.within(&class.path)?.unwrap_or_default() {
                    match SegmentName::parse(&folder, &file.name) {
                        // A part is being written, or the next start seals it.
                        Some((_, true)) => {}
                        Some((name, false)) if sealed.lists(&name.to_string()) => {}
                        _ => strays.push(file),
                    }
                }
            }
        }
        // Links to directories may form a cycle.
        while let Some(Listed { path, directory, link, .. }) = strays.pop() {
            match directory {
                false => unlisted.push(path),
                true if link => {}
                true => strays.extend(self.within(&path)?.unwrap_or_default()),
            }
        }
        unlisted.sort();
        Ok(unlisted)
    }

    /// Removes from `missing` the segments found in a store. Returns those found in the directory of a future
    /// day.
    fn found_in(
        &self,
        store: &str,
        tree: &Tree,
        missing: &mut Missing<'_>,
    ) -> Result<Vec<Misplaced>, Diagnostic> {
        let mut misplaced = Vec::new();
        let today = Expires::On(self.today());
        for found in self.segments(tree)?.into_iter().filter(|found| !found.part) {
            // `verify` reports segments that cannot be opened.
            let Ok(segment) = Segment::open(&*self.storage, &found.path) else { continue };
            let known = missing.remove(&hex::encode(segment.digest()));
            // A segment in the directory of an earlier day is purged now.
            if let Some((expires, name)) = known.filter(|_| found.name.folder.expires > today) {
                let (sealed_as, lies_as) = (name.clone(), format!("{store}/{}", found.name));
                misplaced.push(Misplaced { expires, sealed_as, lies_as });
            }
        }
        Ok(misplaced)
    }

    /// Returns the segments that are due, were not purged, and are in neither store where they were sealed.
    fn missing<'s>(&self, sealed: &'s Sealed) -> Result<Missing<'s>, Diagnostic> {
        let mut missing = Missing::new();
        for (name, digest) in &sealed.digests {
            let Some(expires) = day_of(name) else { continue };
            let places = [self.tree.archive.join(name), self.intermediate.join(name)];
            let mut lies = false;
            for place in places {
                lies |= match self.storage.exists(&place) {
                    // It may be in a directory that cannot be looked into, which is reported elsewhere.
                    Err(error) if is_of_one_file(&error) => true,
                    exists => exists.map_err(failed("look for", &place))?,
                };
            }
            if !lies {
                missing.insert(digest.clone(), (expires, name));
            }
        }
        Ok(missing)
    }
}

/// Day and path of missing segments, by digest.
type Missing<'s> = BTreeMap<String, (Date, &'s String)>;

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Returns the name of the file in a path within an archive.
fn file_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Returns the node that wrote the segment with that path; `None` if that is not the path of a segment.
fn node_of(name: &str) -> Option<String> {
    let mut parts = name.split('/');
    let (day, class) = (parts.next()?, parts.next()?);
    let (name, _) = SegmentName::parse(&Folder::parse(day, class)?, parts.next()?)?;
    Some(name.node.to_string())
}

/// Returns whether that file of a store is a sealed segment.
fn is_segment(store: &str, name: &str) -> bool {
    store != "vault" && name.ends_with(".log.zst")
}

/// Parses the day of `expires=2027-11-24/...`.
pub(super) fn day_of(name: &str) -> Option<Date> {
    name.strip_prefix("expires=")?.split('/').next()?.parse().ok()
}
