//! Lists the directories of an expiry day, and decides which files may be removed.

use super::history::UnfinishedPurge;
use super::misplaced::day_of;
use super::{Batch, Site, failed};
use crate::archive::{self, Found, Segment};
use crate::ledger::event::PurgedFile;
use crate::model::{Expires, Folder, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, Names, Storage, Stored, if_there, is_of_one_file};
use crate::retention::expiry::purge_instant;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// A file to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The path of the file.
    pub path: PathBuf,
    /// What the ledger records about the file.
    pub entry: PurgedFile,
    /// Whether the file is a part that a crash left.
    pub(super) is_part: bool,
    /// The digest that the seal of the segment covers, if the file is a segment that can be read.
    pub(super) digest: Option<[u8; 32]>,
    /// The identity of the file and the number of its names, if it has lines and these are known.
    names: Option<Names>,
    /// Why the file could not be read, if it could not. It is removed nevertheless, and its contents remain
    /// unknown.
    pub unread: Option<String>,
}

/// A file that has to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The name of the file, including its store.
    pub name: String,
    /// Why it has to stay.
    pub reason: Reason,
}

impl Blocked {
    /// Returns whether this is the file that somebody has locked, and not one that stays with it.
    pub(super) fn is_part_in_use(&self) -> bool {
        self.reason == Reason::InUse && self.name.ends_with(".part")
    }
}

/// Why a file has to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is frozen by the hold of a case.
    Held {
        /// The case.
        case: String,
    },
    /// A filter is writing to it.
    InUse,
    /// It is not a file of oubliette.
    Foreign,
    /// It is a segment of a future day that somebody moved here.
    NotDue,
    /// Its day has not begun in the zone under which it, or a segment of its day, was written.
    NotYet {
        /// When that day begins there.
        due: Timestamp,
    },
    /// It cannot be removed, moved or examined.
    Stuck {
        /// The error of the operating system.
        why: String,
    },
}

impl Reason {
    pub(super) fn stuck(error: &io::Error) -> Self {
        Self::Stuck { why: error.to_string() }
    }
}

/// What the footer of a segment states.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    /// The first instant of its expiry day in its zone; `None` if it has no end.
    due: Option<Timestamp>,
    /// Whether the segment belongs to the day of the folder that it is in.
    is_of_folder: bool,
    zone: String,
    /// Whether the zone is the one by which its lines were dated: after a crash, the recovery does not know
    /// it.
    is_zone_known: bool,
    has_vault: bool,
    lines: u64,
    digest: [u8; 32],
}

/// When the files in the folders of a day are due, by the zones that its segments state.
struct DueTimes {
    by_path: BTreeMap<PathBuf, Stated>,
    /// The times of segments whose zone is known.
    by_name: BTreeMap<SegmentName, Timestamp>,
    /// When the day has begun in the configured zone and in those of all its segments.
    last: Option<Timestamp>,
}

impl DueTimes {
    /// Returns when a file is due; `None` if its segment has no end, although it is in the folder of a day.
    fn of(&self, file: &FoundFile) -> Option<Timestamp> {
        match self.by_path.get(&file.path) {
            Some(stated) if !stated.is_of_folder || stated.is_zone_known => stated.due,
            _ => file.kind.segment().and_then(|name| self.by_name.get(name).copied()).or(self.last),
        }
    }
}

/// A file in a directory of an expiry day.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// `archive`, `vault` or `intermediate`, and its path in there.
    name: String,
    pub(super) path: PathBuf,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Segment(SegmentName),
    Part(SegmentName),
    Vault(SegmentName),
    Foreign,
    /// A directory that cannot be listed.
    Unlisted(String),
}

impl Kind {
    fn segment(&self) -> Option<&SegmentName> {
        match self {
            Self::Segment(name) | Self::Part(name) | Self::Vault(name) => Some(name),
            Self::Foreign | Self::Unlisted(_) => None,
        }
    }

    fn vault(&self) -> Option<&SegmentName> {
        match self {
            Self::Vault(name) => Some(name),
            _ => None,
        }
    }
}

impl Site {
    /// Returns the directories of segments, of vaults, and of segments of the second phase.
    pub(super) fn roots(&self) -> [&PathBuf; 3] {
        [&self.tree.archive, &self.tree.vault, &self.intermediate]
    }

    /// Returns all segments and parts of a store. Directories of days that have come are skipped if they
    /// cannot be read; they are reported elsewhere and delay nothing else.
    pub(super) fn segments(&self, tree: &Tree) -> Result<Vec<Found>, Diagnostic> {
        let is_over = |path: &Path| {
            let within = path.strip_prefix(&tree.archive).unwrap_or(path).to_string_lossy();
            day_of(&within).is_some_and(|day| day <= self.today())
        };
        Ok(archive::list_without(&*self.storage, tree, &is_over)?)
    }

    /// Returns every expiry day that has a directory.
    pub(super) fn days_of_trees(&self) -> Result<Vec<Date>, Diagnostic> {
        let mut days = Vec::new();
        for root in self.roots() {
            let listed = self.storage.list(root).map_err(failed("list", root))?;
            let names = listed.iter().filter(|listed| listed.directory).map(|listed| &listed.name);
            days.extend(names.filter_map(|name| name.strip_prefix("expires=")?.parse::<Date>().ok()));
        }
        Ok(days)
    }

    /// Returns which files of a day are removed and which have to stay. Those that an interrupted run listed
    /// (`before`) may be gone already.
    pub(super) fn batch(
        &self,
        expires: Date,
        before: Option<&UnfinishedPurge>,
        progress: &dyn Fn(u64),
    ) -> Result<Batch, Diagnostic> {
        let files = self.files_of(expires)?;
        let vaults: BTreeSet<SegmentName> =
            files.iter().filter_map(|file| file.kind.vault().cloned()).collect();
        let written = self.written(&files)?;
        let due_times = self.due_times(expires, &files);
        let is_over = expires <= self.today();
        // An interrupted purge may have removed the segment that said when its vault is due.
        let had_begun = |file: &FoundFile| {
            file.kind.vault().is_some() && before.is_some_and(|begun| begun.lists(&file.name))
        };
        let (mut batch, mut first) = (Batch::of(expires), None);
        batch.next = self.next_of(expires, &due_times);
        for file in files {
            let is_elsewhere = due_times.by_path.get(&file.path).is_some_and(|stated| !stated.is_of_folder);
            let stays = self
                .reason_to_stay(&file.kind, &written)
                .or_else(|| self.is_to_come(&file, &due_times).filter(|_| !had_begun(&file)))
                .or_else(|| (!is_over && is_elsewhere).then_some(Reason::NotDue));
            let FoundFile { name, path, kind } = file;
            if let Some(reason) = stays {
                // If the day has not begun here, the other files are not due at all.
                batch.blocked.extend(is_over.then_some(Blocked { name, reason }));
                continue;
            }
            let stated = due_times.by_path.get(&path);
            let Some(item) = self.item(name, path, &kind, stated, progress)? else { continue };
            let segment = kind.segment().filter(|segment| !vaults.contains(segment));
            if let Some(segment) = segment.filter(|_| stated.is_some_and(|stated| stated.has_vault)) {
                batch.vaultless.push(self.vault_name(segment));
            }
            let known = stated.filter(|stated| stated.is_of_folder && stated.is_zone_known);
            first = first.into_iter().chain(known.and_then(|stated| Some((stated.due?, &stated.zone)))).min();
            batch.files.push(item);
        }
        let here_known_as = self.zone.iana_name();
        batch.zone = first.map(|(_, zone)| zone).filter(|zone| here_known_as != Some(zone.as_str())).cloned();
        count_other_names(&mut batch.files);
        let has_key = self.shred.has(Expires::On(expires))?;
        match before {
            Some(begun) => batch.vaultless.retain(|vault| !begun.lists(vault)),
            // Report it once: when the day is purged with its key. A segment that is restored later has no
            // vault any more.
            None if !has_key => batch.vaultless.clear(),
            None => {}
        }
        batch.key = has_key && !self.needs_key(&batch);
        Ok(batch)
    }

    /// Returns the segments whose parts somebody writes to, or may write to, each with the reason to stay.
    fn written(&self, files: &[FoundFile]) -> Result<BTreeMap<SegmentName, Reason>, Diagnostic> {
        let mut written = BTreeMap::new();
        for file in files {
            let Kind::Part(name) = &file.kind else { continue };
            let reason = match is_abandoned(&*self.storage, &file.path) {
                Ok(true) => continue,
                Ok(false) => Reason::InUse,
                Err(error) if is_of_one_file(&error) => Reason::stuck(&error),
                Err(error) => return Err(failed("look at", &file.path)(error)),
            };
            written.insert(name.clone(), reason);
        }
        Ok(written)
    }

    /// Determines when each file of a day is due. Reads only the footers of segments.
    fn due_times(&self, expires: Date, files: &[FoundFile]) -> DueTimes {
        let mut by_path = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        let mut last = purge_instant(expires, &self.zone);
        for file in files.iter().filter(|file| file.kind.is_segment()) {
            let Some(stated) = self.stated(&file.path, Expires::On(expires)) else { continue };
            if stated.is_of_folder {
                last = last.max(stated.due);
                let known = stated.due.filter(|_| stated.is_zone_known);
                by_name.extend(file.kind.segment().cloned().zip(known));
            }
            by_path.insert(file.path.clone(), stated);
        }
        DueTimes { by_path, by_name, last }
    }

    /// Returns what the footer of a segment in the folder of `expires` states; `None` if it cannot be read.
    pub(super) fn stated(&self, path: &Path, expires: Expires) -> Option<Stated> {
        let segment = Segment::open(&*self.storage, path).ok()?;
        let footer = segment.footer();
        let own = footer.origin.folder.expires;
        let zone = TimeZone::get(&footer.origin.zone).ok();
        let due = match own {
            Expires::On(day) => purge_instant(day, zone.as_ref().unwrap_or(&self.zone)),
            Expires::Contract => None,
        };
        Some(Stated {
            due,
            is_of_folder: own == expires,
            zone: footer.origin.zone.clone(),
            is_zone_known: zone.is_some() && !footer.recovered,
            has_vault: footer.vault.is_some(),
            lines: footer.lines(),
            digest: *segment.digest(),
        })
    }

    /// Returns the next instant at which segments of that day are due in a zone of their own.
    fn next_of(&self, expires: Date, due_times: &DueTimes) -> Option<Timestamp> {
        let here = purge_instant(expires, &self.zone);
        let is_over = expires <= self.today();
        let to_come = due_times.by_name.values().copied().chain(due_times.last);
        // Segments of a future day that are due when it begins here, or later, are found then.
        to_come.filter(|due| *due > self.now && (is_over || Some(*due) < here)).min()
    }

    /// Returns why a file may not be removed yet, by the zones that segments state.
    fn is_to_come(&self, file: &FoundFile, due_times: &DueTimes) -> Option<Reason> {
        let stated = due_times.by_path.get(&file.path);
        let due = due_times.of(file);
        match stated.filter(|stated| !stated.is_of_folder) {
            // A segment without an end belongs to no day.
            Some(_) => due.is_none_or(|due| due > self.now).then_some(Reason::NotDue),
            None => due.filter(|due| *due > self.now).map(|due| Reason::NotYet { due }),
        }
    }

    /// Returns whether anything may need the key of that day after the batch is done.
    pub(super) fn needs_key(&self, batch: &Batch) -> bool {
        let is_to_come = |blocked: &Blocked| matches!(blocked.reason, Reason::NotYet { .. });
        batch.expires > self.today() || batch.blocked.iter().any(is_to_come) || self.is_held(batch.expires)
    }

    /// Returns whether a segment of that day is frozen, wherever it is: its disk may be missing, and its
    /// originals need H.
    pub(super) fn is_held(&self, expires: Date) -> bool {
        let day = format!("expires={expires}/");
        self.held.keys().any(|segment| segment.starts_with(&day))
    }

    /// Returns the name of a segment's vault, including its store.
    pub(super) fn vault_name(&self, segment: &SegmentName) -> String {
        let path = self.tree.vault(segment);
        let within = path.strip_prefix(&self.tree.vault).unwrap_or(&path);
        format!("vault/{}", within.display())
    }

    fn reason_to_stay(&self, kind: &Kind, written: &BTreeMap<SegmentName, Reason>) -> Option<Reason> {
        if let Kind::Unlisted(why) = kind {
            return Some(Reason::Stuck { why: why.clone() });
        }
        let Some(segment) = kind.segment() else { return Some(Reason::Foreign) };
        let case = self.held.get(&segment.to_string()).cloned();
        let held = case.map(|case| Reason::Held { case });
        held.or_else(|| written.get(segment).cloned())
    }

    /// Returns the item of a file; `None` if the file is gone meanwhile. A file that cannot be read is as due
    /// as any other.
    pub(super) fn item(
        &self,
        name: String,
        path: PathBuf,
        kind: &impl IsSegment,
        stated: Option<&Stated>,
        progress: &dyn Fn(u64),
    ) -> Result<Option<Item>, Diagnostic> {
        let Some(file) = if_there(self.storage.open(&path)).transpose() else { return Ok(None) };
        let (length, names, identified) = match file {
            Ok(file) => (file.length().ok(), file.names().ok().flatten(), identify(&*file, progress)),
            Err(error) => (None, None, Err(error)),
        };
        // Other names of a vault are harmless: nobody can open a copy without H.
        let names = names.filter(|_| kind.is_segment() || kind.is_part());
        let (bytes, sha256, unread) = match identified {
            Ok((bytes, sha256)) => (Some(bytes), Some(sha256), None),
            Err(error) if is_of_one_file(&error) => (length, None, Some(error.to_string())),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // A damaged segment is removed nevertheless; the number of its lines is unknown.
        let (lines, digest) = stated.map(|stated| (stated.lines, stated.digest)).unzip();
        let entry = PurgedFile { name, bytes, lines, sha256, other_names: None };
        Ok(Some(Item { path, entry, is_part: kind.is_part(), digest, names, unread }))
    }

    /// Lists all files in the directories of that day, and the directories that cannot be listed.
    pub(super) fn files_of(&self, expires: Date) -> Result<Vec<FoundFile>, Diagnostic> {
        let mut files = Vec::new();
        for (store, root) in ["archive", "vault", "intermediate"].into_iter().zip(self.roots()) {
            let day = format!("expires={expires}");
            for class in self.listed(format!("{store}/{day}"), &root.join(&day), &mut files)? {
                let name = format!("{store}/{day}/{}", class.name);
                if !class.directory {
                    files.push(FoundFile { name, path: class.path, kind: Kind::Foreign });
                    continue;
                }
                let folder = Folder::parse(&day, &class.name);
                for file in self.listed(name.clone(), &class.path, &mut files)? {
                    // Removing a link would leave what it points to.
                    let folder = folder.as_ref().filter(|_| !file.link && !file.directory);
                    let kind = folder.map_or(Kind::Foreign, |folder| kind_of(store, folder, &file.name));
                    let name = format!("{name}/{}", file.name);
                    files.push(FoundFile { name, path: file.path, kind });
                }
            }
        }
        Ok(files)
    }

    /// Lists a directory. If it cannot be listed, it is itself added to `files`.
    fn listed(
        &self,
        name: String,
        path: &Path,
        files: &mut Vec<FoundFile>,
    ) -> Result<Vec<Listed>, Diagnostic> {
        match self.storage.list(path) {
            Err(error) if is_of_one_file(&error) => {
                files.push(FoundFile {
                    name,
                    path: path.to_owned(),
                    kind: Kind::Unlisted(error.to_string()),
                });
                Ok(Vec::new())
            }
            listed => listed.map_err(failed("list", path)),
        }
    }
}

/// Notes how many names each file has besides those among `files`.
fn count_other_names(files: &mut [Item]) {
    let here: Vec<Names> = files.iter().filter_map(|item| item.names).collect();
    for item in files {
        let Some(names) = item.names else { continue };
        let others = names.count.saturating_sub(here.iter().filter(|other| **other == names).count() as u64);
        item.entry.other_names = (others > 0).then_some(others);
    }
}

/// Returns whether nobody writes to a part, or it is gone.
///
/// # Errors
/// If that cannot be determined.
pub fn is_abandoned(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    Ok(if_there(locked(storage, path))?.is_none_or(|lock| lock.is_some()))
}

/// Locks a part; `None` if somebody writes to it.
pub(super) fn locked(storage: &dyn Storage, path: &Path) -> io::Result<Option<Box<dyn Stored>>> {
    let mut part = match storage.edit(path) {
        // A dry run cannot open it for writing.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => storage.open(path)?,
        opened => opened?,
    };
    Ok(part.try_lock()?.then_some(part))
}

/// Tells whether a file is a sealed segment, whose lines can be counted, or a part.
pub(super) trait IsSegment {
    fn is_segment(&self) -> bool;
    fn is_part(&self) -> bool;
}

impl IsSegment for Kind {
    fn is_segment(&self) -> bool {
        matches!(self, Self::Segment(_))
    }

    fn is_part(&self) -> bool {
        matches!(self, Self::Part(_))
    }
}

/// The kind of a file that is known to be a sealed segment.
pub(super) struct Sealed;

impl IsSegment for Sealed {
    fn is_segment(&self) -> bool {
        true
    }

    fn is_part(&self) -> bool {
        false
    }
}

fn kind_of(store: &str, folder: &Folder, file: &str) -> Kind {
    // A leftover of an interrupted purge or move counts as a part.
    let segment = || match SegmentName::parse(folder, file)? {
        (name, true) => Some(Kind::Part(name)),
        (name, false) => Some(Kind::Segment(name)),
    };
    let vault = || SegmentName::parse_vault(folder, file).map(Kind::Vault);
    let kind = if store == "vault" { vault() } else { segment() };
    kind.unwrap_or(Kind::Foreign)
}

/// Returns length and SHA-256 of a file, in hex. An object has its SHA-256 stored beside it, so a purge of
/// terabytes reads only footers.
pub(in crate::jobs) fn identify(file: &dyn Stored, progress: &dyn Fn(u64)) -> io::Result<(u64, String)> {
    match file.recorded_sha256()? {
        Some(sha256) => Ok((file.length()?, hex::encode(&sha256))),
        None => hash(file, progress),
    }
}

/// Returns length and SHA-256 of a file, in hex.
pub(in crate::jobs) fn hash(file: &dyn Stored, progress: &dyn Fn(u64)) -> io::Result<(u64, String)> {
    let length = file.length()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < length {
        let count = usize::try_from(length - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        file.read_at(offset, &mut buffer[..count])?;
        hasher.update(&buffer[..count]);
        offset += count as u64;
        progress(count as u64);
    }
    Ok((length, hex::encode(&hasher.finalize())))
}

/// Enough to keep a disk busy, and little enough for a progress bar to move.
pub(in crate::jobs) const CHUNK_BYTES: usize = 1 << 20;
