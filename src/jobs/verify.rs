//! `verify`: checks that segments, vaults and the ledger are as they were written. It needs no secret,
//! because the public keys are in the ledger.
//!
//! A segment is whole if its frames match their digests, its footer matches its own digest, the seal over
//! that digest is by the key that the ledger names for that day, and the ledger lists that very digest under
//! that name. A segment that the ledger lists must exist or have been purged.

mod days;
mod openable;
mod strays;

pub use days::Days;

use super::findings::Finding;
use super::ledger::{self, Anchor, LedgerReport};
use super::purge::hash;
use crate::archive::{self, ArchiveError, Segment, VaultMark};
use crate::ledger::event::{self, Event};
use crate::ledger::{ENTRIES, Verifier};
use crate::model::{Expires, Folder, Seal, SegmentName, Tree};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::primitives::storage::{Listed, Storage, is_of_one_file, is_remote};
use crate::shred::ShredStore;
use crate::vault::{Vault, VaultError};
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The archive to check.
#[derive(Debug)]
pub struct Archive {
    /// Segments and vaults.
    pub tree: Tree,
    /// The intermediate store, of the second phase.
    pub intermediate: PathBuf,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of sealed segments read.
    pub segments: u64,
    /// The number of lines in these segments.
    pub lines: u64,
    /// The number of vaults read.
    pub vaults: u64,
    /// The number of segments still being written, which have no seal yet.
    pub parts: u64,
    /// The number of segments that an ended process left open: the next start of a filter seals them.
    pub left_open: u64,
    /// The number of bytes in segments and vaults.
    pub bytes: u64,
    /// The number of entries in the ledger.
    pub entries: u64,
    /// The number of segments, sealed or not, past their expiry day, which no hold freezes.
    pub overdue: u64,
    /// The number of segments in the intermediate store whose second phase has not begun.
    pub early: u64,
    /// Expiry days whose purge has begun and not ended: it is running, or it was interrupted and the next
    /// purge completes it.
    pub broken_off: BTreeSet<Date>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What a ledger says about segments.
#[derive(Debug)]
struct Record {
    directory: PathBuf,
    /// The length of its entries in bytes, when they were read.
    length: u64,
    verifier: Verifier,
    /// Every seal of a segment, with its day and digest.
    sealed: BTreeMap<String, Vec<(Date, String)>>,
    /// Names of segments that were sealed since the check began.
    later: BTreeSet<String>,
    digests: BTreeSet<String>,
    /// Names of segments that an erasure replaced: what other ledgers say about them was true before.
    erased: BTreeSet<String>,
    /// Names of segments that may be gone.
    purged: BTreeSet<String>,
    /// Expiry days whose shred key was made and not erased.
    shred_keys: BTreeSet<String>,
    /// Expiry days whose purge has begun and not ended: anything of these days may be gone.
    begun: BTreeSet<Date>,
}

impl Record {
    /// Returns the names of segments that were sealed when the check began.
    fn expected(&self) -> impl Iterator<Item = &String> {
        self.sealed.keys().filter(|name| !self.later.contains(*name))
    }
}

/// Checks segments against ledgers.
#[derive(Debug)]
pub struct Checker {
    storage: Arc<dyn Storage>,
    /// One record per ledger, at least one.
    records: Vec<Record>,
    /// The shred keys of the node with the first ledger, if vaults are to be tried with them.
    shred: Option<ShredStore>,
    /// When a segment should be where, if that is to be checked.
    days: Option<Days>,
    verified: Verified,
}

impl Checker {
    /// Creates a checker with the ledger in `directory`, which it reads and checks.
    ///
    /// # Errors
    /// If there is no ledger, or it cannot be read.
    pub fn new(storage: &Arc<dyn Storage>, directory: &Path, anchors: &[Anchor]) -> Result<Self, Diagnostic> {
        let (storage, verified) = (Arc::clone(storage), Verified::default());
        let mut checker = Self { storage, records: Vec::new(), shred: None, days: None, verified };
        checker.add_ledger(directory, anchors)?;
        Ok(checker)
    }

    /// Counts the segments that lie where they are on a day on which they should not.
    #[must_use]
    pub fn with_days(self, days: Days) -> Self {
        Self { days: Some(days), ..self }
    }

    /// Reads and checks one more ledger: each worker of a fleet has its own, and their segments are stored
    /// together.
    ///
    /// # Errors
    /// If there is no ledger, or it cannot be read.
    pub fn add_ledger(&mut self, directory: &Path, anchors: &[Anchor]) -> Result<(), Diagnostic> {
        let (mut sealed, mut purged) = (BTreeMap::<String, Vec<_>>::new(), BTreeSet::new());
        let mut digests = BTreeSet::from([hex::encode(&[0; 32])]);
        let (mut erased, mut shred_keys, mut begun) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut early = Vec::new();
        let length = length_of(&*self.storage, directory);
        let read = ledger::read(&self.storage, directory, anchors, &mut |entry| match entry.event() {
            Some(Event::Segment(event::Segment { name, digest, .. })) => {
                digests.insert(digest.clone());
                sealed.entry(name).or_default().push((entry.day, digest));
            }
            Some(Event::ShredKeyMade { expires }) => drop(shred_keys.insert(expires)),
            Some(Event::ShredKeyErased { expires }) => drop(shred_keys.remove(&expires)),
            // After the intent, a segment may be gone; if the purge was interrupted, the next run completes
            // it.
            Some(Event::PurgeIntent(purge)) => {
                if is_before(entry.at, purge.expires) {
                    early.push((entry.n, purge.expires));
                }
                begun.insert(purge.expires);
                purged.extend(purge.files.into_iter().filter_map(|file| within_store(&file.name)));
            }
            Some(Event::PurgeDone(purge)) => drop(begun.remove(&purge.expires)),
            // The new segment replaces what was sealed under that name before, which is no longer expected.
            Some(Event::EraseIntent(erasure)) => match erasure.digest {
                Some(digest) => {
                    digests.insert(digest.clone());
                    erased.insert(erasure.name.clone());
                    sealed.insert(erasure.name, vec![(erasure.sealed, digest)]);
                }
                None => {
                    sealed.remove(&erasure.name);
                    purged.insert(erasure.name);
                }
            },
            _ => {}
        })?;
        let (LedgerReport { end, findings, .. }, verifier) = read;
        self.verified.entries += end.n;
        self.verified.findings.extend(findings);
        for (entry, day) in early {
            self.verified.findings.push(Finding {
                file: directory.join(ENTRIES).display().to_string(),
                place: Some(format!("line {entry}")),
                what: format!("it says that what expires on {day} was purged before that day"),
            });
        }
        self.verified.broken_off.extend(&begun);
        let (directory, later) = (directory.to_owned(), BTreeSet::new());
        self.records.push(Record {
            directory,
            length,
            verifier,
            sealed,
            later,
            digests,
            erased,
            purged,
            shred_keys,
            begun,
        });
        Ok(())
    }

    /// Reads the ledgers again that have grown since: others may write, purge and erase meanwhile. Returns
    /// whether any has.
    fn read_again(&mut self) -> Result<bool, Diagnostic> {
        let mut has_grown = false;
        for record in &mut self.records {
            if length_of(&*self.storage, &record.directory) == record.length {
                continue;
            }
            let Self { records, verified, .. } = Self::new(&self.storage, &record.directory, &[])?;
            let Some(read) = records.into_iter().next().filter(|_| verified.findings.is_empty()) else {
                continue;
            };
            let since = read.sealed.keys().filter(|name| !record.sealed.contains_key(*name));
            let later = since.chain(&record.later).cloned().collect();
            *record = Record { later, ..read };
            has_grown = true;
        }
        Ok(has_grown)
    }

    /// Returns whether a purge of that day has begun and not ended.
    fn is_being_purged(&self, expires: Expires) -> bool {
        let Expires::On(day) = expires else { return false };
        self.records.iter().any(|record| record.begun.contains(&day))
    }

    /// Checks a whole archive: that what exists is sound, and that nothing is missing.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn archive(mut self, archive: &Archive, progress: &dyn Fn(u64)) -> Result<Verified, Diagnostic> {
        let mut there = BTreeSet::new();
        for root in [&archive.tree.archive, &archive.intermediate] {
            let tree = Tree { archive: root.clone(), vault: archive.tree.vault.clone() };
            for found in archive::list(&*self.storage, &tree)? {
                let name = found.name.to_string();
                // A purge is copying it to the second phase, or was killed then: the next one copies it anew.
                if found.part && *root == archive.intermediate && there.contains(&name) {
                    continue;
                }
                if !found.part || self.is_left_sealed(&found.path, &name) {
                    self.segment(&tree, &found.name, &found.path, progress)?;
                } else {
                    self.count_day(&found.name, None);
                }
                let is_early = |days: &Days| !found.part && days.are_of_first_phase(&found.name);
                if *root == archive.intermediate && self.days.as_ref().is_some_and(is_early) {
                    self.verified.early += 1;
                }
                there.insert(name);
            }
        }
        self.missing(&archive.tree, &there);
        self.orphans(archive, &there)?;
        self.strays(archive)?;
        self.forget_gone(archive)?;
        Ok(self.verified)
    }

    /// Removes findings about files that a purge has removed or moved since the check began. What was moved is
    /// checked where it is now.
    fn forget_gone(&mut self, archive: &Archive) -> Result<(), Diagnostic> {
        if self.verified.findings.is_empty() {
            return Ok(());
        }
        let mut purged = BTreeSet::new();
        for Record { directory, .. } in &self.records {
            ledger::read(&self.storage, directory, &[], &mut |entry| {
                if let Some(Event::PurgeIntent(purge)) = entry.event() {
                    purged.extend(purge.files.into_iter().map(|file| file.name));
                }
            })?;
        }
        let storage = &self.storage;
        // Regardless of the name of the store that holds the file.
        let is_purged = |path: &Path| {
            purged.iter().any(|name| name.split_once('/').is_some_and(|(_, within)| path.ends_with(within)))
        };
        let is_moved = |path: &Path| {
            let within = path.strip_prefix(&archive.tree.archive);
            within.is_ok_and(|within| storage.exists(&archive.intermediate.join(within)).unwrap_or(false))
        };
        self.verified.findings.retain(|Finding { file, .. }| {
            let path = Path::new(file);
            storage.exists(path).unwrap_or(true) || !(is_purged(path) || is_moved(path))
        });
        Ok(())
    }

    /// Counts a part. A process that writes to one holds a lock on it; if that cannot be determined, it
    /// counts as being written.
    ///
    /// Returns whether it is to be checked like a segment: nobody writes to it, and the ledger lists it as
    /// sealed. The entry comes between the seal and the renaming, so after a crash such a part is whole.
    fn is_left_sealed(&mut self, path: &Path, name: &str) -> bool {
        let locked = self.storage.edit(path).and_then(|mut file| file.try_lock());
        if !locked.is_ok_and(|locked| locked) {
            self.verified.parts += 1;
            return false;
        }
        self.verified.left_open += 1;
        // Whoever held the lock until now may have renamed it.
        self.records.iter().any(|record| record.sealed.contains_key(name))
            && self.storage.exists(path).unwrap_or(true)
    }

    /// Checks one segment, wherever it is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn one(mut self, path: &Path, progress: &dyn Fn(u64)) -> Result<Verified, Diagnostic> {
        if let Some(segment) = self.open(path)? {
            self.frames(&segment, progress)?;
            let name = segment.footer().origin.folder.to_string();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            self.seal(&segment, &format!("{name}/{file}"))?;
        }
        Ok(self.verified)
    }

    fn segment(
        &mut self,
        tree: &Tree,
        name: &SegmentName,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Diagnostic> {
        let segment = self.open(path)?;
        let zone = segment.as_ref().map(Segment::footer).filter(|footer| !footer.recovered);
        self.count_day(name, zone.map(|footer| footer.origin.zone.as_str()));
        let Some(segment) = segment else { return Ok(()) };
        if segment.footer().origin.folder != name.folder {
            self.wrong(path, None, "it lies in the directory of another day or class than it says");
        }
        self.frames(&segment, progress)?;
        self.seal(&segment, &name.to_string())?;
        let vault = tree.vault(name);
        if let Some(mark) = segment.footer().vault {
            if self.is_being_purged(name.folder.expires) && !self.storage.exists(&vault).unwrap_or(true) {
                return Ok(());
            }
            self.vault(&vault, &mark, progress)?;
            self.openable(name, &vault)?;
        } else if self.storage.exists(&vault).is_ok_and(|exists| exists) {
            self.wrong(
                &vault,
                None,
                "its header was damaged when its segment was sealed after a crash: nobody opens it as it is",
            );
        }
        Ok(())
    }

    /// Counts a segment that should be gone, by the zone that it states.
    fn count_day(&mut self, name: &SegmentName, zone: Option<&str>) {
        let is_over = self.days.as_ref().is_some_and(|days| days.are_over(name, zone));
        if is_over && !self.is_being_purged(name.folder.expires) {
            self.verified.overdue += 1;
        }
    }

    /// Opens a segment. If it is damaged, adds a finding and returns `None`.
    fn open(&mut self, path: &Path) -> Result<Option<Segment>, Diagnostic> {
        let opened = Segment::open(&*self.storage, path);
        self.damage(opened)
    }

    /// Reads every frame.
    fn frames(&mut self, segment: &Segment, progress: &dyn Fn(u64)) -> Result<(), Diagnostic> {
        for (frame, entry) in segment.footer().frames.iter().enumerate() {
            let read = segment.lines(frame);
            if self.damage(read)?.is_none() {
                break;
            }
            progress(u64::from(entry.bytes));
        }
        self.verified.segments += 1;
        self.verified.lines += segment.footer().lines();
        self.verified.bytes += segment.file_bytes();
        Ok(())
    }

    /// Turns a file that is damaged or that the disk cannot return into a finding. A missing disk is an
    /// error.
    fn damage<T>(&mut self, read: Result<T, ArchiveError>) -> Result<Option<T>, Diagnostic> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(ArchiveError::Damaged { path, malformed }) => {
                self.wrong(&path, Some(malformed.offset), malformed.what);
                Ok(None)
            }
            Err(ArchiveError::Unreadable { path, source }) => {
                self.wrong(&path, None, &format!("the segment cannot be read: {source}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks the seal, and what the ledger says about it.
    fn seal(&mut self, segment: &Segment, name: &str) -> Result<(), Diagnostic> {
        let mut found = self.faults_of_seal(segment, name);
        // It may have been sealed, or replaced by an erasure, since the ledger was read.
        if !found.is_empty() && self.read_again()? {
            found = self.faults_of_seal(segment, name);
        }
        self.verified.findings.extend(found);
        Ok(())
    }

    fn faults_of_seal(&self, segment: &Segment, name: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut wrong = |byte, what: &str| found.push(finding(segment.path(), byte, what));
        let seal = segment.seal();
        // The start of the footer, which ends with the seal.
        let place = Some(segment.footer().data_bytes());
        let digest = hex::encode(segment.digest());
        // A segment may be listed by a worker of a fleet that did not seal it: the sealer died before it
        // wrote its entry.
        let keys = self.records.iter().filter_map(|record| record.verifier.key_of(seal.day).copied());
        let keys: Vec<VerifyingKey> = keys.collect();
        if keys.is_empty() {
            let what = format!("the ledger has no key of {}, on which it was sealed", seal.day);
            wrong(None, &what);
        } else if !keys.iter().any(|key| is_sealed(key, seal, segment.digest())) {
            let what = format!(
                "the seal is none by the key of {}: it was changed, or sealed again with another key",
                seal.day
            );
            wrong(place, &what);
        }
        let Some(record) = self.record_of(name, &digest) else { return found };
        let sealed = record.sealed.get(name).cloned();
        match sealed.as_deref() {
            None => wrong(None, "the ledger does not know it"),
            Some([.., (_, last)]) if *last != digest => {
                wrong(None, "the ledger knows another segment of that name");
            }
            Some([(first, _), .., (last, _)]) if first != last => {
                let what = format!("it was sealed on {first}, and again with a later key on {last}");
                wrong(None, &what);
            }
            // The entry may be of a later day than the seal: after a crash in between, the key of the past
            // day signs nothing new.
            Some([.., (day, _)]) if *day < seal.day => {
                let what = format!("it says that it was sealed on {}, and the ledger, on {day}", seal.day);
                wrong(place, &what);
            }
            Some(_) => {}
        }
        let previous = hex::encode(&segment.footer().previous);
        if !self.records.iter().any(|record| record.digests.contains(&previous)) {
            wrong(None, "the segment sealed before it is not in the ledger");
        }
        found
    }

    /// Returns the ledger with an erasure of that segment, or else one that lists this very segment, or else
    /// one that lists its name, or else the first one.
    fn record_of(&self, name: &str, digest: &str) -> Option<&Record> {
        let last = |record: &Record| record.sealed.get(name).and_then(|sealed| sealed.last()).cloned();
        let knows = |record: &&Record| last(record).is_some_and(|(_, known)| known == digest);
        let names = |record: &&Record| record.sealed.contains_key(name);
        let mut records = self.records.iter();
        let erased = records.clone().find(|record| record.erased.contains(name));
        let known = erased.or_else(|| records.clone().find(knows));
        known.or_else(|| records.clone().find(names)).or_else(|| records.next())
    }

    fn vault(&mut self, path: &Path, mark: &VaultMark, progress: &dyn Fn(u64)) -> Result<(), Diagnostic> {
        let hashed = self.storage.open(path).and_then(|file| hash(&*file, progress));
        match hashed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.wrong(path, None, "the vault is missing")
            }
            Err(error) if is_of_one_file(&error) => {
                self.wrong(path, None, &format!("the vault cannot be read: {error}"));
            }
            Err(error) => {
                return Err(ArchiveError::Io {
                    action: "read a vault",
                    path: path.to_owned(),
                    source: error,
                }
                .into());
            }
            Ok((bytes, digest)) => {
                self.verified.vaults += 1;
                self.verified.bytes += bytes;
                if (bytes, digest) != (mark.bytes, hex::encode(&mark.digest)) {
                    self.changed_vault(path, bytes, mark)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a finding about a vault that is not as its segment says: where it differs, as far as its own
    /// checks tell.
    fn changed_vault(&mut self, path: &Path, bytes: u64, mark: &VaultMark) -> Result<(), Diagnostic> {
        match Vault::open(&*self.storage, path).and_then(|vault| vault.check()) {
            Err(VaultError::Damaged { what, offset, .. }) => {
                self.wrong(path, Some(offset), &format!("{what} is not as it was written"));
            }
            Err(error) => return Err(error.into()),
            Ok(()) if bytes < mark.bytes => {
                self.wrong(path, Some(bytes), "the vault ends too soon: records were cut off");
            }
            Ok(()) if bytes > mark.bytes => {
                self.wrong(path, Some(mark.bytes), "the vault has records that its segment does not know");
            }
            Ok(()) => self.wrong(path, None, "the vault is whole, and not the one that its segment knows"),
        }
        Ok(())
    }

    /// Adds findings about segments that were sealed and not purged, and that do not exist.
    fn missing(&mut self, tree: &Tree, there: &BTreeSet<String>) {
        let purged = |name: &str| self.records.iter().any(|record| record.purged.contains(name));
        let sealed = self.records.iter().flat_map(Record::expected);
        let gone = sealed.filter(|name| !there.contains(*name) && !purged(name));
        for name in gone.cloned().collect::<BTreeSet<_>>() {
            self.wrong(
                &tree.archive.join(name),
                None,
                "the segment is missing: it was sealed, and not purged",
            );
        }
    }

    /// Adds findings about vaults without a segment.
    fn orphans(&mut self, archive: &Archive, there: &BTreeSet<String>) -> Result<(), Diagnostic> {
        let storage = Arc::clone(&self.storage);
        let exists = |path: &Path| storage.exists(path).unwrap_or(true);
        let tree = &archive.tree;
        for (name, path) in vaults(&*storage, &tree.vault)? {
            if there.contains(&name.to_string()) || self.is_being_purged(name.folder.expires) {
                continue;
            }
            // The segment may have been begun since its directory was listed. It is begun before its vault, and
            // its vault is removed before it.
            let second = archive.intermediate.join(name.to_string());
            let has_segment = [tree.part(&name), tree.segment(&name), second].iter().any(|at| exists(at));
            if !has_segment && exists(&path) {
                self.wrong(&path, None, "the vault has no segment");
            }
        }
        Ok(())
    }

    fn wrong(&mut self, path: &Path, byte: Option<u64>, what: &str) {
        self.verified.findings.push(finding(path, byte, what));
    }
}

fn finding(path: &Path, byte: Option<u64>, what: &str) -> Finding {
    let place = byte.map(|byte| format!("byte {byte}"));
    Finding { file: path.display().to_string(), place, what: what.to_owned() }
}

/// Returns the length of a ledger, 0 if it is not known.
fn length_of(storage: &dyn Storage, directory: &Path) -> u64 {
    storage.open(&directory.join(ENTRIES)).and_then(|entries| entries.length()).unwrap_or(0)
}

/// Lists all vaults below `root`.
fn vaults(storage: &dyn Storage, root: &Path) -> Result<Vec<(SegmentName, PathBuf)>, Diagnostic> {
    let mut vaults = Vec::new();
    for day in listed(storage, root)?.into_iter().filter(|listed| listed.directory) {
        for class in listed(storage, &day.path)?.into_iter().filter(|listed| listed.directory) {
            let Some(folder) = Folder::parse(&day.name, &class.name) else { continue };
            let named = |file: Listed| Some((SegmentName::parse_vault(&folder, &file.name)?, file.path));
            vaults.extend(listed(storage, &class.path)?.into_iter().filter_map(named));
        }
    }
    Ok(vaults)
}

fn listed(storage: &dyn Storage, path: &Path) -> Result<Vec<Listed>, Diagnostic> {
    let listed = storage.list(path);
    Ok(listed.map_err(|source| ArchiveError::Io {
        action: "list a directory",
        path: path.to_owned(),
        source,
    })?)
}

/// Returns the number of bytes below some directories, for a progress bar. Object storage is not counted,
/// because that would take a request per object.
///
/// # Errors
/// If a directory cannot be listed.
pub fn bytes_below(storage: &dyn Storage, roots: &[&Path]) -> io::Result<u64> {
    let mut bytes = 0;
    for root in roots.iter().filter(|root| !is_remote(root)) {
        // Links may form a cycle.
        for listed in storage.list(root)?.into_iter().filter(|listed| !listed.link) {
            bytes += if listed.directory {
                bytes_below(storage, &[&listed.path])?
            } else {
                storage.open(&listed.path).and_then(|file| file.length()).unwrap_or(0)
            };
        }
    }
    Ok(bytes)
}

/// Returns whether a day has begun nowhere at an instant: the first zones are 14 hours ahead of UTC.
fn is_before(at: Timestamp, day: Date) -> bool {
    Offset::constant(14).to_datetime(at).date() < day
}

fn is_sealed(key: &VerifyingKey, seal: &Seal, digest: &[u8; 32]) -> bool {
    let signature = Signature::from_bytes(&seal.signature);
    key.as_bytes() == &seal.key && key.verify_strict(&Seal::message(digest), &signature).is_ok()
}

/// Returns `expires=.../x` of `archive/expires=.../x`; `None` for a vault, which is not a segment.
fn within_store(name: &str) -> Option<String> {
    let within = name.strip_prefix("archive/").or_else(|| name.strip_prefix("intermediate/"))?;
    Some(within.to_owned())
}

/// P05: what is checked is not what was written.
pub static CHANGED: Code = Code {
    id: "P05",
    title: "the archive is not what was sealed",
    text: "\
What it means
  The table names each file with a fault, and the place in it. It is one of these:
  - A segment or vault was changed, or is missing though it was not purged.
  - A segment is not the one that the ledger lists, or was sealed again with a later key.
  - The ledger itself was changed, or says that something was purged before its day.
  - Something lies in the archive that oubliette did not make: a copy, a directory that belongs to
    no day, a symbolic link in the place of a file.

Why it matters
  A changed file proves nothing any more. A failing disk and a forger leave the same traces.

Example
  archive/expires=2027-11-24/class=connection/web1-2epqf-1.log.zst, byte 8123: a frame that differs from its
  digest

What to do
  1. Keep the file as it is. `zstd -t FILE` says which of its lines can still be read.
  2. Find out who or what changed it. A segment that was sealed again with a later key is a forgery:
     no crash leaves one.
  3. Restore the file from a copy. An unchanged copy passes `oubliette verify`.
  4. Move anything that oubliette did not make out of the archive. If it holds lines, delete it on
     their day: no purge removes it.

References
  docs/verify.md; src/archive/FORMAT.md; src/ledger/LEDGER.md",
};

#[cfg(test)]
mod tests;
