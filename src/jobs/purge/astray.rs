//! Segments that are due and lie under another day than their own: somebody has moved or renamed them, and a purge by
//! folders would keep them for as long as their new name says.
//!
//! The ledger names what was sealed, under which day and with which digest. What of that is due, was not purged and is not
//! in its place is looked for by its digest. A copy leaves nothing missing: so what the ledger does not list, and whatever else
//! lies in a store, is asked for its own day. Footers are read for that alone, and as a rule nothing is out of its place.

use super::{Batch, History, Plan, Site, failed};
use crate::archive::Segment;
use crate::ledger::event::{Erasure, Event, Purge};
use crate::model::{Expires, Folder, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, is_of_one_file, is_remote};
use jiff::civil::Date;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// A segment that is not where it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Astray {
    /// Its day, which is over.
    pub expires: Date,
    /// Where it was sealed: its path within the archive.
    pub sealed_as: String,
    /// Where it lies now, with the store.
    pub lies_as: String,
}

/// A segment that is nowhere to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Its day, which is over.
    pub expires: Date,
    /// Where it was sealed: its path within the archive.
    pub sealed_as: String,
}

/// What is due and not where it was sealed.
#[derive(Debug, Default)]
pub(super) struct NotInPlace {
    pub(super) astray: Vec<Astray>,
    pub(super) absent: Vec<Absent>,
}

/// Segments of days up to today that were sealed and not purged.
#[derive(Debug)]
pub(super) struct Sealed {
    today: Date,
    /// Digests in hex, by paths within the archive.
    digests: BTreeMap<String, String>,
    /// Hashes of the paths of those that are due later, which may be very many.
    later: HashSet<u64>,
    /// Whether segments were purged that the ledger did not list: this ledger is known to be that of others' archive.
    has_purged_unlisted: bool,
}

impl Sealed {
    pub(super) fn until(today: Date) -> Self {
        Self { today, digests: BTreeMap::new(), later: HashSet::new(), has_purged_unlisted: false }
    }

    /// Takes note of an entry of the ledger.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Segment(segment) => self.insert(&segment.name, &segment.digest),
            Event::EraseDone(Erasure { name, digest: Some(digest), .. }) => self.insert(name, digest),
            Event::EraseDone(Erasure { name, digest: None, .. }) => drop(self.digests.remove(name)),
            Event::PurgeDone(Purge { files, .. }) => {
                for (store, name) in files.iter().filter_map(|file| file.name.split_once('/')) {
                    let is_listed = self.digests.remove(name).is_some() || self.lists(name);
                    self.has_purged_unlisted |= is_segment(store, name) && !is_listed;
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, name: &str, digest: &str) {
        if day_of(name).is_some_and(|day| day <= self.today) {
            self.digests.insert(name.to_owned(), digest.to_owned());
        } else {
            self.later.insert(hash_of(name));
        }
    }

    /// Under which name that one was sealed, if it was not purged.
    fn name_of(&self, digest: &[u8; 32]) -> Option<String> {
        let digest = hex::encode(digest);
        let mut sealed = self.digests.iter();
        sealed.find(|(_, sealed)| **sealed == digest).map(|(name, _)| name.clone())
    }

    /// How many segments go, if the ledger lists none of them, and never saw others of that kind go: it is not the ledger of
    /// whoever wrote them.
    pub(super) fn unlisted(&self, purges: &[Batch]) -> usize {
        let files = purges.iter().flat_map(|batch| &batch.files);
        let names = files.filter_map(|file| file.entry.name.split_once('/'));
        let segments: Vec<&str> =
            names.filter(|(store, name)| is_segment(store, name)).map(|(_, name)| name).collect();
        let is_listed = |name: &&str| self.digests.contains_key(*name) || self.lists(name);
        if self.has_purged_unlisted || segments.iter().any(is_listed) { 0 } else { segments.len() }
    }

    /// Whether a segment of that path, of a day to come, was sealed.
    fn lists(&self, name: &str) -> bool {
        self.later.contains(&hash_of(name))
    }
}

impl Site {
    /// How many segments go that somebody else's ledger lists, and none that this one does: holds that are kept there are not
    /// seen. Whoever purges object storage did not store what lies in it, as a rule.
    pub(super) fn of_others(&self, sealed: &Sealed, plan: &Plan) -> usize {
        let is_unknown = plan.fault.is_some() || is_remote(&self.tree.archive);
        if is_unknown { 0 } else { sealed.unlisted(&plan.purges) }
    }

    /// Segments that are due and lie elsewhere, or nowhere.
    pub(super) fn not_in_place(&self, history: &History) -> Result<NotInPlace, Diagnostic> {
        let mut missing = self.missing(&history.sealed)?;
        let mut not_in_place = NotInPlace { astray: self.copies(&history.sealed)?, ..NotInPlace::default() };
        if missing.is_empty() {
            return Ok(not_in_place);
        }
        for (store, tree) in [("archive", &self.tree), ("intermediate", &self.second_tree())] {
            for found in self.found_in(store, tree, &mut missing)? {
                if not_in_place.astray.iter().all(|known| known.lies_as != found.lies_as) {
                    not_in_place.astray.push(found);
                }
            }
        }
        if history.fault.is_some() {
            // Of what the ledger says was sealed some may have been purged since.
            return Ok(not_in_place);
        }
        for (expires, name) in missing.into_values() {
            let begun = history.begun.get(&expires);
            let lists = |store| begun.is_some_and(|begun| begun.lists(&format!("{store}/{name}")));
            // A purge that is not at its end may have removed it. Told once: when the day goes, and its key with it.
            if !lists("archive") && !lists("intermediate") && self.shred.has(expires)? {
                not_in_place.absent.push(Absent { expires, sealed_as: name.clone() });
            }
        }
        Ok(not_in_place)
    }

    /// Segments of days that are over that lie where no purge looks, and that the ledger does not list there. In object
    /// storage each would cost a request, and a ledger lists what one worker of many has stored: there `verify` tells.
    fn copies(&self, sealed: &Sealed) -> Result<Vec<Astray>, Diagnostic> {
        let mut copies = Vec::new();
        for (store, root) in [("archive", &self.tree.archive), ("intermediate", &self.intermediate)] {
            for path in if is_remote(root) { Vec::new() } else { self.unlisted_in(root, sealed)? } {
                // What cannot be opened is for `verify` to tell.
                let Ok(segment) = Segment::open(&*self.storage, &path) else { continue };
                let Folder { expires: Expires::On(expires), .. } = segment.footer().origin.folder else {
                    continue;
                };
                if expires <= self.today() {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    let as_it_lies = || format!("{}/{file}", segment.footer().origin.folder);
                    let sealed_as = sealed.name_of(segment.digest()).unwrap_or_else(as_it_lies);
                    let within = path.strip_prefix(root).unwrap_or(&path);
                    copies.push(Astray {
                        expires,
                        sealed_as,
                        lies_as: format!("{store}/{}", within.display()),
                    });
                }
            }
        }
        Ok(copies)
    }

    /// Files in a store that are no segments which the ledger lists; those in folders of days that are over are purged or
    /// told as they are.
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
                        // It is being written, or is sealed by the next start.
                        Some((_, true)) => {}
                        Some((name, false)) if sealed.lists(&name.to_string()) => {}
                        _ => strays.push(file),
                    }
                }
            }
        }
        // Links to directories may lead round in a circle.
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

    /// Takes out of `missing` what lies in a store. Those that lie under a day to come.
    fn found_in(
        &self,
        store: &str,
        tree: &Tree,
        missing: &mut Missing<'_>,
    ) -> Result<Vec<Astray>, Diagnostic> {
        let mut astray = Vec::new();
        let today = Expires::On(self.today());
        for found in self.segments(tree)?.into_iter().filter(|found| !found.part) {
            // What cannot be opened is for `verify` to tell.
            let Ok(segment) = Segment::open(&*self.storage, &found.path) else { continue };
            let known = missing.remove(&hex::encode(segment.digest()));
            // What lies under an earlier day goes now.
            if let Some((expires, name)) = known.filter(|_| found.name.folder.expires > today) {
                let (sealed_as, lies_as) = (name.clone(), format!("{store}/{}", found.name));
                astray.push(Astray { expires, sealed_as, lies_as });
            }
        }
        Ok(astray)
    }

    /// What is due, was not purged, and is in neither store where it was sealed.
    fn missing<'s>(&self, sealed: &'s Sealed) -> Result<Missing<'s>, Diagnostic> {
        let mut missing = Missing::new();
        for (name, digest) in &sealed.digests {
            let Some(expires) = day_of(name) else { continue };
            let places = [self.tree.archive.join(name), self.intermediate.join(name)];
            let mut lies = false;
            for place in places {
                lies |= match self.storage.exists(&place) {
                    // In a directory that cannot be looked into, which is told as such.
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

/// By digest: the day and the path.
type Missing<'s> = BTreeMap<String, (Date, &'s String)>;

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Whether that file of a store is a sealed segment.
fn is_segment(store: &str, name: &str) -> bool {
    store != "vault" && name.ends_with(".log.zst")
}

/// The day of `expires=2027-11-24/...`.
pub(super) fn day_of(name: &str) -> Option<Date> {
    name.strip_prefix("expires=")?.split('/').next()?.parse().ok()
}
