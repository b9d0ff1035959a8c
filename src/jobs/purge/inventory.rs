//! What lies in the directories of an expiry day, and what of it may go.

use super::astray::day_of;
use super::{Batch, Begun, Site, failed};
use crate::archive::{self, Found, Segment};
use crate::ledger::event::PurgedFile;
use crate::model::{Expires, Folder, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, Names, Stored, is_of_one_file};
use jiff::civil::Date;
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
    /// The day that its footer states, if it is a segment that can be read.
    pub(super) own_day: Option<Expires>,
    /// Whether it is such a segment, and says that it has a vault.
    has_vault: bool,
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
        let mut batch = Batch::of(expires);
        for Lying { name, path, kind } in lying {
            match self.reason_to_stay(&kind, &written) {
                Some(reason) => batch.blocked.push(Blocked { name, reason }),
                None => match self.item(name, path, &kind, progress)? {
                    Some(item) if self.is_not_due(&item) => {
                        batch.blocked.push(Blocked { name: item.entry.name, reason: Reason::NotDue });
                    }
                    Some(item) => {
                        if item.has_vault && kind.segment().is_some_and(|segment| !vaults.contains(segment)) {
                            batch.vaultless.extend(kind.segment().map(|segment| self.vault_name(segment)));
                        }
                        batch.files.push(item);
                    }
                    None => {}
                },
            }
        }
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
        batch.key = !self.is_held(expires) && has_key;
        Ok(batch)
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

    /// Whether a segment says of itself that its day is to come, whatever folder it lies in.
    fn is_not_due(&self, item: &Item) -> bool {
        item.own_day.is_some_and(|day| day > Expires::On(self.today()))
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
        let opened = kind.is_segment().then(|| Segment::open(&*self.storage, &path).ok()).flatten();
        // One that is damaged goes all the same; how many lines it had is not known.
        let own_day = opened.as_ref().map(|segment| segment.footer().origin.folder.expires);
        let has_vault = opened.as_ref().is_some_and(|segment| segment.footer().vault.is_some());
        let lines = opened.map(|segment| segment.footer().lines());
        let entry = PurgedFile { name, bytes, lines, sha256, other_names: None };
        Ok(Some(Item { path, entry, is_part: kind.is_part(), own_day, has_vault, names, unread }))
    }

    /// Whether nobody writes to a part; also if it has gone.
    pub(super) fn is_abandoned(&self, path: &Path) -> io::Result<bool> {
        match self.storage.edit(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
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
