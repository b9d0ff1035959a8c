//! Segments that are due and lie under another day than their own: somebody has moved or renamed them, and a purge by
//! folders would keep them for as long as their new name says.
//!
//! The ledger names what was sealed, under which day and with which digest. What of that is due, was not purged and is not
//! in its place is looked for by its digest. Footers are read for that alone, and as a rule nothing is out of its place.

use super::{History, Site, failed};
use crate::archive::{self, Segment};
use crate::ledger::event::{Erasure, Event, Purge};
use crate::model::{Expires, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use jiff::civil::Date;
use std::collections::BTreeMap;

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

/// Segments of days up to today that were sealed and not purged. What is due later may be very many.
#[derive(Debug)]
pub(super) struct Sealed {
    today: Date,
    /// Digests in hex, by paths within the archive.
    digests: BTreeMap<String, String>,
}

impl Sealed {
    pub(super) fn until(today: Date) -> Self {
        Self { today, digests: BTreeMap::new() }
    }

    /// Takes note of an entry of the ledger.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Segment(segment) => self.insert(&segment.name, &segment.digest),
            Event::EraseDone(Erasure { name, digest: Some(digest), .. }) => self.insert(name, digest),
            Event::EraseDone(Erasure { name, digest: None, .. }) => drop(self.digests.remove(name)),
            Event::PurgeDone(Purge { files, .. }) => {
                let names = files.iter().filter_map(|file| file.name.split_once('/'));
                names.for_each(|(_, name)| drop(self.digests.remove(name)));
            }
            _ => {}
        }
    }

    fn insert(&mut self, name: &str, digest: &str) {
        if day_of(name).is_some_and(|day| day <= self.today) {
            self.digests.insert(name.to_owned(), digest.to_owned());
        }
    }
}

impl Site {
    /// Segments that are due and lie elsewhere, or nowhere.
    pub(super) fn not_in_place(&self, history: &History) -> Result<NotInPlace, Diagnostic> {
        let mut missing = self.missing(&history.sealed)?;
        let mut not_in_place = NotInPlace::default();
        if missing.is_empty() {
            return Ok(not_in_place);
        }
        for (store, tree) in [("archive", &self.tree), ("intermediate", &self.second_tree())] {
            not_in_place.astray.extend(self.found_in(store, tree, &mut missing)?);
        }
        if history.fault.is_some() {
            // Of what the ledger says was sealed some may have been purged since.
            return Ok(not_in_place);
        }
        for (expires, name) in missing.into_values() {
            // Told once: when the day goes, and its key with it.
            if self.shred.existing(Expires::On(expires))?.is_some() {
                not_in_place.absent.push(Absent { expires, sealed_as: name.clone() });
            }
        }
        Ok(not_in_place)
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
        let listed = archive::list(&*self.storage, tree)?;
        for found in listed.into_iter().filter(|found| !found.part) {
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
                lies |= self.storage.exists(&place).map_err(failed("look for", &place))?;
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

/// The day of `expires=2027-11-24/...`.
fn day_of(name: &str) -> Option<Date> {
    name.strip_prefix("expires=")?.split('/').next()?.parse().ok()
}
