//! What lies in the directories of an expiry day, and what of it may go.

use super::astray::day_of;
use super::{Batch, Begun, Site, failed};
use crate::archive::{self, Found, Segment};
use crate::ledger::event::PurgedFile;
use crate::model::{Expires, Folder, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, Names, Stored, is_of_one_file};
use crate::retention::expiry::purge_instant;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// A file that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub path: PathBuf,
    /// What the ledger keeps of it.
    pub entry: PurgedFile,
    /// Whether it is a part that a crash left.
    pub(super) is_part: bool,
    /// Which file it is and how many names it has, if it has lines and that is known.
    names: Option<Names>,
    /// Why it could not be read, if that is so: it goes all the same, and what it was is not known.
    pub unread: Option<String>,
}

/// A file that has to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Its name, with the store it lies in.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// Why a file has to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is frozen for a case.
    Held {
        /// The case.
        case: String,
    },
    /// A filter is writing to it.
    InUse,
    /// It is none of oubliette's.
    Foreign,
    /// It is a segment of a day to come, which somebody has moved here.
    NotDue,
    /// Its day has not begun in the zone under which it, or a segment of its day, was written.
    NotYet {
        /// When that day begins there.
        due: Timestamp,
    },
    /// It cannot be removed, moved, or looked at.
    Stuck {
        /// What the operating system says.
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
    /// Whether it is of the day of the folder in which it lies.
    is_of_folder: bool,
    zone: String,
    /// Whether the zone is that under which its lines were dated: a recovery after a crash does not know it.
    is_zone_known: bool,
    has_vault: bool,
    lines: u64,
}

/// When what lies in the folders of a day is due, by the zones that its segments state.
struct DueTimes {
    by_path: BTreeMap<PathBuf, Stated>,
    /// Of segments whose zone is known.
    by_name: BTreeMap<SegmentName, Timestamp>,
    /// When the day has begun in the zone that is configured, and in that of each of its segments.
    last: Option<Timestamp>,
}

impl DueTimes {
    /// `None` of what is due already, or has no end and lies in a day that has one.
    fn of(&self, lying: &Lying) -> Option<Timestamp> {
        match self.by_path.get(&lying.path) {
            Some(stated) if !stated.is_of_folder || stated.is_zone_known => stated.due,
            _ => lying.kind.segment().and_then(|name| self.by_name.get(name).copied()).or(self.last),
        }
    }
}

/// A file in a directory of an expiry day.
#[derive(Debug)]
pub(super) struct Lying {
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
    /// Where segments, vaults and segments of the second phase are.
    pub(super) fn roots(&self) -> [&PathBuf; 3] {
        [&self.tree.archive, &self.tree.vault, &self.intermediate]
    }

    /// All segments and parts of a store. Directories of days that are over which cannot be read are told as such, and keep
    /// nothing else.
    pub(super) fn segments(&self, tree: &Tree) -> Result<Vec<Found>, Diagnostic> {
        let is_over = |path: &Path| {
            let within = path.strip_prefix(&tree.archive).unwrap_or(path).to_string_lossy();
            day_of(&within).is_some_and(|day| day <= self.today())
        };
        Ok(archive::list_without(&*self.storage, tree, &is_over)?)
    }

    /// Every expiry day that has a directory.
    pub(super) fn days_of_trees(&self) -> Result<Vec<Date>, Diagnostic> {
        let mut days = Vec::new();
        for root in self.roots() {
            let listed = self.storage.list(root).map_err(failed("list", root))?;
            let names = listed.iter().filter(|listed| listed.directory).map(|listed| &listed.name);
            days.extend(names.filter_map(|name| name.strip_prefix("expires=")?.parse::<Date>().ok()));
        }
        Ok(days)
    }

    /// What of a day goes, and what has to stay. What a run `before` this one listed may be gone.
    pub(super) fn batch(
        &self,
        expires: Date,
        before: Option<&Begun>,
        progress: &dyn Fn(u64),
    ) -> Result<Batch, Diagnostic> {
        let lying = self.lying(expires)?;
        let vaults: BTreeSet<SegmentName> =
            lying.iter().filter_map(|file| file.kind.vault().cloned()).collect();
        let mut written = BTreeMap::new();
        for file in &lying {
            let Kind::Part(name) = &file.kind else { continue };
            match self.is_abandoned(&file.path) {
                Ok(true) => {}
                Ok(false) => drop(written.insert(name.clone(), Reason::InUse)),
                // Somebody may be writing to it.
                Err(error) if is_of_one_file(&error) => {
                    drop(written.insert(name.clone(), Reason::stuck(&error)));
                }
                Err(error) => return Err(failed("look at", &file.path)(error)),
            }
        }
        let due_times = self.due_times(expires, &lying);
        let is_over = expires <= self.today();
        // A purge that broke off may have removed the segment that said when its vault is due.
        let had_begun =
            |file: &Lying| file.kind.vault().is_some() && before.is_some_and(|begun| begun.lists(&file.name));
        let (mut batch, mut first) = (Batch::of(expires), None);
        batch.next = self.next_of(expires, &due_times);
        for file in lying {
            let is_elsewhere = due_times.by_path.get(&file.path).is_some_and(|stated| !stated.is_of_folder);
            let stays = self
                .reason_to_stay(&file.kind, &written)
                .or_else(|| self.is_to_come(&file, &due_times).filter(|_| !had_begun(&file)))
                .or_else(|| (!is_over && is_elsewhere).then_some(Reason::NotDue));
            let Lying { name, path, kind } = file;
            if let Some(reason) = stays {
                // Of a day that has not begun here the rest has no reason to go.
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
        let here: Vec<Names> = batch.files.iter().filter_map(|item| item.names).collect();
        for item in &mut batch.files {
            let Some(names) = item.names else { continue };
            let others =
                names.count.saturating_sub(here.iter().filter(|other| **other == names).count() as u64);
            item.entry.other_names = (others > 0).then_some(others);
        }
        let has_key = self.shred.has(expires)?;
        match before {
            Some(begun) => batch.vaultless.retain(|vault| !begun.lists(vault)),
            // Told once: when the day goes, and its key with it. A segment that is brought back later has no vault any more.
            None if !has_key => batch.vaultless.clear(),
            None => {}
        }
        batch.key = has_key && !self.needs_key(&batch);
        Ok(batch)
    }

    /// When each file of a day is due. Footers are read for it, and nothing else of a segment.
    fn due_times(&self, expires: Date, lying: &[Lying]) -> DueTimes {
        let mut by_path = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        let mut last = purge_instant(expires, &self.zone);
        for file in lying.iter().filter(|file| file.kind.is_segment()) {
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

    /// What the footer of a segment states that lies under `expires`; `None` if it cannot be read.
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
        })
    }

    /// The next instant at which segments of that day are due in a zone of their own.
    fn next_of(&self, expires: Date, due_times: &DueTimes) -> Option<Timestamp> {
        let here = purge_instant(expires, &self.zone);
        let is_over = expires <= self.today();
        let to_come = due_times.by_name.values().copied().chain(due_times.last);
        // Those of a day to come that are due with it, or after it, are found when it begins.
        to_come.filter(|due| *due > self.now && (is_over || Some(*due) < here)).min()
    }

    /// Why a file may not go yet, by the zones that segments state.
    fn is_to_come(&self, lying: &Lying, due_times: &DueTimes) -> Option<Reason> {
        let stated = due_times.by_path.get(&lying.path);
        let due = due_times.of(lying);
        match stated.filter(|stated| !stated.is_of_folder) {
            // One without an end is of no day.
            Some(_) => due.is_none_or(|due| due > self.now).then_some(Reason::NotDue),
            None => due.filter(|due| *due > self.now).map(|due| Reason::NotYet { due }),
        }
    }

    /// Whether something may need the key of that day when the batch is done.
    pub(super) fn needs_key(&self, batch: &Batch) -> bool {
        let is_to_come = |blocked: &Blocked| matches!(blocked.reason, Reason::NotYet { .. });
        batch.expires > self.today() || batch.blocked.iter().any(is_to_come) || self.is_held(batch.expires)
    }

    /// Whether a segment of that day is frozen, wherever it lies: its disk may be missing, and what it holds needs H.
    pub(super) fn is_held(&self, expires: Date) -> bool {
        let day = format!("expires={expires}/");
        self.held.keys().any(|segment| segment.starts_with(&day))
    }

    /// The name of the vault of a segment, with the store it lies in.
    fn vault_name(&self, segment: &SegmentName) -> String {
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

    /// `None` if the file has gone meanwhile. One that cannot be read is as due as any other.
    pub(super) fn item(
        &self,
        name: String,
        path: PathBuf,
        kind: &impl IsSegment,
        stated: Option<&Stated>,
        progress: &dyn Fn(u64),
    ) -> Result<Option<Item>, Diagnostic> {
        let file = match self.storage.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened,
        };
        let (length, names, identified) = match file {
            Ok(file) => (file.length().ok(), file.names().ok().flatten(), identify(&*file, progress)),
            Err(error) => (None, None, Err(error)),
        };
        // Nobody opens the copy of a vault without H.
        let names = names.filter(|_| kind.is_segment() || kind.is_part());
        let (bytes, sha256, unread) = match identified {
            Ok((bytes, sha256)) => (Some(bytes), Some(sha256), None),
            Err(error) if is_of_one_file(&error) => (length, None, Some(error.to_string())),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // One that is damaged goes all the same; how many lines it had is not known.
        let lines = stated.map(|stated| stated.lines);
        let entry = PurgedFile { name, bytes, lines, sha256, other_names: None };
        Ok(Some(Item { path, entry, is_part: kind.is_part(), names, unread }))
    }

    /// Whether nobody writes to a part; also if it has gone.
    pub(super) fn is_abandoned(&self, path: &Path) -> io::Result<bool> {
        match self.storage.edit(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            // A dry run has nothing to write.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                self.storage.open(path)?.try_lock()
            }
            opened => opened.and_then(|mut file| file.try_lock()),
        }
    }

    /// All files in the directories of that day, and those of the directories that cannot be listed.
    pub(super) fn lying(&self, expires: Date) -> Result<Vec<Lying>, Diagnostic> {
        let mut lying = Vec::new();
        for (store, root) in ["archive", "vault", "intermediate"].into_iter().zip(self.roots()) {
            let day = format!("expires={expires}");
            for class in self.listed(format!("{store}/{day}"), &root.join(&day), &mut lying)? {
                let name = format!("{store}/{day}/{}", class.name);
                if !class.directory {
                    lying.push(Lying { name, path: class.path, kind: Kind::Foreign });
                    continue;
                }
                let folder = Folder::parse(&day, &class.name);
                for file in self.listed(name.clone(), &class.path, &mut lying)? {
                    // To remove a link would leave what it names.
                    let folder = folder.as_ref().filter(|_| !file.link && !file.directory);
                    let kind = folder.map_or(Kind::Foreign, |folder| kind_of(store, folder, &file.name));
                    let name = format!("{name}/{}", file.name);
                    lying.push(Lying { name, path: file.path, kind });
                }
            }
        }
        Ok(lying)
    }

    /// What is in a directory; it is `lying` there itself if that cannot be known.
    fn listed(&self, name: String, path: &Path, lying: &mut Vec<Lying>) -> Result<Vec<Listed>, Diagnostic> {
        match self.storage.list(path) {
            Err(error) if is_of_one_file(&error) => {
                lying.push(Lying { name, path: path.to_owned(), kind: Kind::Unlisted(error.to_string()) });
                Ok(Vec::new())
            }
            listed => listed.map_err(failed("list", path)),
        }
    }
}

/// Whether lines can be counted in a file, and whether it is a part.
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

/// A sealed segment, where no other file can be.
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
    // What a purge or a move that broke off left of a copy is as good as a part.
    let segment = || match SegmentName::parse(folder, file)? {
        (name, true) => Some(Kind::Part(name)),
        (name, false) => Some(Kind::Segment(name)),
    };
    let vault = || SegmentName::parse_vault(folder, file).map(Kind::Vault);
    let kind = if store == "vault" { vault() } else { segment() };
    kind.unwrap_or(Kind::Foreign)
}

/// Length and SHA-256 of a file, in hex. An object has the latter beside it since it was stored: a purge of terabytes reads
/// footers and nothing else.
pub(in crate::jobs) fn identify(file: &dyn Stored, progress: &dyn Fn(u64)) -> io::Result<(u64, String)> {
    match file.recorded_sha256()? {
        Some(sha256) => Ok((file.length()?, hex::encode(&sha256))),
        None => hash(file, progress),
    }
}

/// Length and SHA-256 of a file, in hex.
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

/// Enough for a disk to be busy, little enough for a progress bar to move.
pub(in crate::jobs) const CHUNK_BYTES: usize = 1 << 20;
