//! What lies in the directories of an expiry day, and what of it may go.

use super::{Batch, Begun, Site, failed};
use crate::archive::Segment;
use crate::ledger::event::PurgedFile;
use crate::model::{Expires, Folder, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::Stored;
use jiff::civil::Date;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
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
}

impl Kind {
    fn segment(&self) -> Option<&SegmentName> {
        match self {
            Self::Segment(name) | Self::Part(name) | Self::Vault(name) => Some(name),
            Self::Foreign => None,
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
        let mut written = BTreeSet::new();
        for file in &lying {
            if let Kind::Part(name) = &file.kind
                && !self.is_abandoned(&file.path)?
            {
                written.insert(name.clone());
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
        let has_key = self.shred.existing(Expires::On(expires))?.is_some();
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

    fn reason_to_stay(&self, kind: &Kind, written: &BTreeSet<SegmentName>) -> Option<Reason> {
        let Some(segment) = kind.segment() else { return Some(Reason::Foreign) };
        let case = self.held.get(&segment.to_string()).cloned();
        let held = case.map(|case| Reason::Held { case });
        held.or_else(|| written.contains(segment).then_some(Reason::InUse))
    }

    /// `None` if the file has gone meanwhile.
    pub(super) fn item(
        &self,
        name: String,
        path: PathBuf,
        kind: &impl IsSegment,
        progress: &dyn Fn(u64),
    ) -> Result<Option<Item>, Diagnostic> {
        let file = match self.storage.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("open", &path))?,
        };
        let (bytes, sha256) = identify(&*file, progress).map_err(failed("read", &path))?;
        let opened = kind.is_segment().then(|| Segment::open(&*self.storage, &path).ok()).flatten();
        // One that is damaged goes all the same; how many lines it had is not known.
        let own_day = opened.as_ref().map(|segment| segment.footer().origin.folder.expires);
        let has_vault = opened.as_ref().is_some_and(|segment| segment.footer().vault.is_some());
        let lines = opened.map(|segment| segment.footer().lines());
        let entry = PurgedFile { name, bytes, lines, sha256 };
        Ok(Some(Item { path, entry, is_part: kind.is_part(), own_day, has_vault }))
    }

    /// Whether nobody writes to a part; also if it has gone.
    pub(super) fn is_abandoned(&self, path: &Path) -> Result<bool, Diagnostic> {
        match self.storage.edit(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            opened => opened.and_then(|mut file| file.try_lock()).map_err(failed("look at", path)),
        }
    }

    /// All files in the directories of that day.
    pub(super) fn lying(&self, expires: Date) -> Result<Vec<Lying>, Diagnostic> {
        let mut lying = Vec::new();
        for (store, root) in ["archive", "vault", "intermediate"].into_iter().zip(self.roots()) {
            let day = format!("expires={expires}");
            for class in self.storage.list(&root.join(&day)).map_err(failed("list", root))? {
                if !class.directory {
                    let name = format!("{store}/{day}/{}", class.name);
                    lying.push(Lying { name, path: class.path, kind: Kind::Foreign });
                    continue;
                }
                let folder = Folder::parse(&day, &class.name);
                for file in self.storage.list(&class.path).map_err(failed("list", &class.path))? {
                    // To remove a link would leave what it names.
                    let folder = folder.as_ref().filter(|_| !file.link);
                    let kind = folder.map_or(Kind::Foreign, |folder| kind_of(store, folder, &file.name));
                    let name = format!("{store}/{day}/{}/{}", class.name, file.name);
                    lying.push(Lying { name, path: file.path, kind });
                }
            }
        }
        Ok(lying)
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
