//! The open segments and their vaults: begins them on demand, writes to them in the right order, and seals them.

use super::packing::{Packed, Used};
use super::{Options, SyncPolicy};
use crate::archive::{
    self, ArchiveError, Frame, Known, Origin, Recovered, SegmentWriter, VaultMark, VaultOf,
};
use crate::model::{Expires, Folder, Kinds, NodeName, Sealer, SegmentId, SegmentName, ShredKeys, Tree};
use crate::pipeline::workers::LineTotals;
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::primitives::storage::Storage;
use crate::pseudonym::Tokens;
use crate::pseudonym::epoch::EpochKeys;
use crate::vault::{self, VaultError, VaultParameters, VaultWriter};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// What happens to originals.
pub enum Escrow {
    /// Originals go into vaults, with the epoch secret wrapped for the escrow recipients.
    Wrap(Box<dyn Wrap>),
    /// Originals go into vaults, which the owner of the key file can open.
    KeyFile,
    /// Originals are dropped. Nobody can recover them, not even for a court: this is anonymisation.
    None,
}

/// Wraps epoch secrets for the escrow recipients.
pub trait Wrap: Send {
    /// Encrypts `secret` to all recipients.
    ///
    /// # Errors
    /// Fails if `secret` cannot be wrapped; no line of its epoch may be archived then.
    fn wrap(&self, secret: &Secret) -> Result<Vec<u8>, Diagnostic>;
}

/// The parts of an archive, and everything needed to write it.
pub struct ArchiveParts {
    /// The storage that holds the files.
    pub storage: Arc<dyn Storage>,
    /// The directories of the archive and its vaults.
    pub tree: Tree,
    /// The name of this node.
    pub node: NodeName,
    /// The legal time zone.
    pub zone: TimeZone,
    /// The time zone of timestamps that state none.
    pub source_zone: TimeZone,
    /// SHA-256 of the retention rules in force.
    pub policy: [u8; 32],
    /// The tenant that the tokens belong to.
    pub tenant: String,
    /// The kinds of tokens.
    pub kinds: Arc<Kinds>,
    /// What happens to originals.
    pub escrow: Escrow,
    /// Whether tokens of other nodes are left in the lines.
    pub foreign_tokens: bool,
    /// Seals segments.
    pub sealer: Box<dyn Sealer>,
    /// Provides shred keys.
    pub shred_keys: Box<dyn ShredKeys>,
    /// The latest instant that has come for certain, if the clock has jumped: no line expires after it.
    pub certain: Option<Timestamp>,
}

impl ArchiveParts {
    /// Seals what a crash left unsealed, and returns what became of each segment. May be repeated.
    ///
    /// # Errors
    /// Fails if something cannot be sealed.
    pub fn recover(
        &mut self,
        storage: &Arc<dyn Storage>,
        now: Timestamp,
    ) -> Result<Vec<Recovered>, ArchiveError> {
        let known = Known { zone: zone_name(&self.zone), policy: self.policy };
        let mut vaults = Vaults { storage: Arc::clone(storage), tree: self.tree.clone() };
        archive::recover(&**storage, &self.tree, &known, &mut vaults, &mut *self.sealer, now)
    }
}

/// All open segments.
pub struct OpenSegments {
    parts: ArchiveParts,
    kind_names: Vec<String>,
    open: HashMap<Folder, Open>,
    /// Counts requests for segments, to find the least recently used one.
    turn: u64,
    /// The wrapped epoch secret S, with the kid that it belongs to.
    wrap: Option<([u8; 5], Vec<u8>)>,
    /// Lines dropped because their expiry day had come before their segment was begun.
    expired: LineTotals,
}

struct Open {
    segment: SegmentWriter,
    vault: Option<VaultWriter>,
    kid: [u8; 5],
    /// The legal day on which the segment was begun. No segment outlasts it, however long the epoch.
    day: Date,
    last_used: u64,
    /// Whether the vault holds records that are not durable.
    vault_waits: bool,
}

/// A frame whose segment is open.
struct Staged {
    folder: Folder,
    frame: Frame,
    tokens: Tokens,
}

impl OpenSegments {
    /// Opens an archive and seals what a crash left unsealed. Also returns what became of each segment recovered.
    ///
    /// # Errors
    /// Fails if something that a crash left unsealed cannot be sealed.
    pub fn open(mut parts: ArchiveParts, now: Timestamp) -> Result<(Self, Vec<Recovered>), Diagnostic> {
        let storage = Arc::clone(&parts.storage);
        let recovered = parts.recover(&storage, now)?;
        Ok((Self::of_recovered(parts), recovered))
    }

    /// Opens an archive in which nothing is left unsealed.
    #[must_use]
    pub fn of_recovered(parts: ArchiveParts) -> Self {
        let kind_names = parts.kinds.iter().map(|(_, name)| name.to_owned()).collect();
        let (open, expired) = (HashMap::new(), LineTotals::default());
        Self { parts, kind_names, open, turn: 0, wrap: None, expired }
    }

    /// Whether tokens of other nodes may be in the lines.
    pub(super) fn finds_foreign_tokens(&self) -> bool {
        self.parts.foreign_tokens
    }

    /// The number of open segments.
    pub(super) fn open_segments(&self) -> usize {
        self.open.len()
    }

    /// The lines dropped so far because their expiry day had come before their segment was begun.
    pub(super) fn expired(&self) -> LineTotals {
        self.expired
    }

    /// Writes frames in this order, each after the originals of its tokens. Returns the totals of what was
    /// written (the rest has expired) and the memory of the frames for reuse. On failure, the frames are cut
    /// off again as far as possible, and nothing more may be written.
    pub(super) fn write(
        &mut self,
        packed: Vec<Packed>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(LineTotals, Vec<Used>), Diagnostic> {
        let written = self.append_all(packed, options, now);
        match written {
            Ok(_) => self.open.values_mut().for_each(|open| open.segment.acknowledge()),
            Err(_) => self.abandon(now),
        }
        written
    }

    /// Cuts off frames that were not acknowledged, and seals the segments that are intact. The next start seals the
    /// others, but has no index of their frames.
    fn abandon(&mut self, now: Timestamp) {
        let mut well: Vec<_> = self.open.extract_if(|_, open| open.segment.abandon()).collect();
        well.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (_, open) in well {
            // The caller reports the earlier error. A segment that cannot be sealed here is left to the next start, too.
            let _ = self.seal(open, now);
        }
    }

    fn append_all(
        &mut self,
        packed: Vec<Packed>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(LineTotals, Vec<Used>), Diagnostic> {
        let (mut staged, mut written) = (Vec::with_capacity(packed.len()), LineTotals::default());
        let mut spares = Vec::with_capacity(packed.len());
        for Packed { folder, keys, frame, tokens, totals, .. } in packed {
            if !self.has_room_for(&folder, &keys, options) {
                spares.extend(self.append(std::mem::take(&mut staged), options)?);
                self.make_room_for(&folder, options, now)?;
            }
            if self.opens(&folder, &keys, now)? {
                written += totals;
                staged.push(Staged { folder, frame, tokens });
            } else {
                self.expired += totals;
            }
        }
        spares.extend(self.append(staged, options)?);
        Ok((written, spares))
    }

    /// Appends frames to open segments, after adding the originals of their tokens to the vaults. Returns the memory of
    /// the frames for reuse.
    fn append(&mut self, staged: Vec<Staged>, options: &Options) -> Result<Vec<Used>, Diagnostic> {
        let durable = options.sync != SyncPolicy::None;
        let folders: BTreeSet<Folder> = staged.iter().map(|staged| staged.folder.clone()).collect();
        for folder in &folders {
            let Some(Open { vault: Some(vault), vault_waits, .. }) = self.open.get_mut(folder) else {
                continue;
            };
            let of_folder = staged.iter().filter(|staged| staged.folder == *folder);
            *vault_waits |= vault.add(&of_folder.map(|staged| &staged.tokens).collect::<Vec<_>>())?;
            if durable && *vault_waits {
                vault.sync()?;
                *vault_waits = false;
            }
        }
        let mut spares = Vec::with_capacity(staged.len());
        for Staged { folder, frame, tokens } in staged {
            if let Some(open) = self.open.get_mut(&folder) {
                spares.push(Used { tokens, frame: open.segment.append(frame)? });
            }
        }
        for folder in folders.iter().filter(|_| durable) {
            if let Some(open) = self.open.get_mut(folder) {
                open.segment.sync()?;
            }
        }
        Ok(spares)
    }

    /// Whether the segment of `folder` is open, or can be opened without sealing another one.
    fn has_room_for(&self, folder: &Folder, keys: &EpochKeys, options: &Options) -> bool {
        match self.open.get(folder) {
            Some(open) => open.kid == keys.kid(),
            None => self.open.len() < options.most_open.max(1),
        }
    }

    /// Seals a segment of `folder` from another epoch, and the least recently used segments until there is room.
    fn make_room_for(
        &mut self,
        folder: &Folder,
        options: &Options,
        now: Timestamp,
    ) -> Result<(), Diagnostic> {
        if let Some(open) = self.open.remove(folder) {
            // It belongs to another epoch.
            self.seal(open, now)?;
        }
        while self.open.len() >= options.most_open.max(1) {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last_used);
            let Some(oldest) = oldest.map(|(folder, _)| folder.clone()) else { break };
            if let Some(open) = self.open.remove(&oldest) {
                self.seal(open, now)?;
            }
        }
        Ok(())
    }

    /// Opens the segment of `folder` if it is not open. Returns `false` if its expiry day has come.
    fn opens(&mut self, folder: &Folder, keys: &EpochKeys, now: Timestamp) -> Result<bool, Diagnostic> {
        self.turn += 1;
        if let Some(open) = self.open.get_mut(folder) {
            open.last_used = self.turn;
            return Ok(true);
        }
        let begun = self.begin(folder, keys, now)?;
        let is_open = begun.is_some();
        self.open.extend(begun.map(|begun| (folder.clone(), begun)));
        Ok(is_open)
    }

    /// Begins a segment. Returns `None` if its expiry day has come: expired lines are not stored.
    fn begin(
        &mut self,
        folder: &Folder,
        keys: &EpochKeys,
        now: Timestamp,
    ) -> Result<Option<Open>, Diagnostic> {
        let day = self.legal_day(now);
        let certain = self.parts.certain.map_or(day, |certain| day.min(self.legal_day(certain)));
        if folder.expires <= Expires::On(certain) {
            return Ok(None);
        }
        // Get the key before creating the file: the key store reads its own clock, which may be past midnight.
        let shred_key = match self.parts.escrow {
            Escrow::None => None,
            Escrow::Wrap(_) | Escrow::KeyFile => match self.parts.shred_keys.key_for(folder.expires)? {
                None => return Ok(None),
                key => key,
            },
        };
        let ArchiveParts { storage, tree, node, zone, source_zone, policy, .. } = &self.parts;
        let origin = Origin {
            id: archive::new_id()?,
            node: node.clone(),
            folder: folder.clone(),
            zone: zone_name(zone),
            source_zone: source_zone.iana_name().filter(|_| source_zone != zone).map(str::to_owned),
            kid: keys.kid(),
            policy: *policy,
            networks_unknown: self.parts.foreign_tokens,
        };
        let is_free = |name: &SegmentName| {
            let path = tree.vault(name);
            let exists = storage.exists(&path);
            let failed = |source| VaultError::Io { action: "look for a vault", path, source };
            Ok(!exists.map_err(failed)?)
        };
        let segment = SegmentWriter::begin(storage, tree, origin, &is_free)?;
        let vault = shred_key.map(|key| self.begin_vault(&segment, keys, &key)).transpose()?;
        let vault_waits = vault.is_some();
        Ok(Some(Open { segment, vault, kid: keys.kid(), day, last_used: self.turn, vault_waits }))
    }

    /// Begins the vault of `segment`. Not called without escrow.
    fn begin_vault(
        &mut self,
        segment: &SegmentWriter,
        keys: &EpochKeys,
        shred_key: &Secret,
    ) -> Result<VaultWriter, Diagnostic> {
        let wrap = match &mut self.parts.escrow {
            Escrow::KeyFile | Escrow::None => Vec::new(),
            Escrow::Wrap(recipients) => match self.wrap.take().filter(|(kid, _)| *kid == keys.kid()) {
                Some((_, wrapped)) => wrapped,
                None => recipients.wrap(keys.secret())?,
            },
        };
        let ArchiveParts { storage, tree, tenant, .. } = &self.parts;
        let name = segment.name();
        let (secret, begun, kinds) = (keys.secret(), keys.begin_vault(), &self.kind_names);
        let parameters = VaultParameters { secret, wrap: &wrap, shred_key, begun, tenant, kinds };
        let vault = VaultWriter::begin(storage, tree, name, segment.id(), &parameters)?;
        self.wrap = Some((keys.kid(), wrap));
        Ok(vault)
    }

    /// Seals segments that are full or were begun on another legal day.
    pub(super) fn seal_due(&mut self, options: &Options, now: Timestamp) -> Result<(), Diagnostic> {
        self.seal_those(|open| open.segment.bytes() >= options.most_segment_bytes, now)?;
        self.seal_old(now)
    }

    /// Seals segments that were begun on another legal day.
    pub(super) fn seal_old(&mut self, now: Timestamp) -> Result<(), Diagnostic> {
        if self.open.is_empty() {
            return Ok(());
        }
        let today = self.legal_day(now);
        self.seal_those(|open| open.day != today, now)
    }

    fn legal_day(&self, now: Timestamp) -> Date {
        now.to_zoned(self.parts.zone.clone()).date()
    }

    pub(super) fn seal_all(&mut self, now: Timestamp) -> Result<(), Diagnostic> {
        self.seal_those(|_| true, now)?;
        self.wrap = None;
        Ok(())
    }

    /// Seals the segments that `which` chooses. If one cannot be sealed, seals all others, because nothing
    /// more may be written to them.
    fn seal_those(&mut self, which: impl Fn(&Open) -> bool, now: Timestamp) -> Result<(), Diagnostic> {
        let mut chosen: Vec<_> = self.open.extract_if(|_, open| which(open)).collect();
        chosen.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut sealed = Ok(());
        for (_, open) in chosen {
            // The first error is the one to report.
            sealed = sealed.and(self.seal(open, now));
        }
        if sealed.is_err() {
            self.abandon(now);
        }
        sealed
    }

    /// Seals a segment, after syncing its vault: the footer of the segment states the length of the vault.
    fn seal(&mut self, open: Open, now: Timestamp) -> Result<(), Diagnostic> {
        let Open { segment, vault, .. } = open;
        let mark = match vault {
            None => None,
            Some(mut vault) => {
                vault.sync()?;
                let (bytes, digest) = vault.mark();
                Some(VaultMark { bytes, digest })
            }
        };
        segment.seal(mark, &mut *self.parts.sealer, now)?;
        Ok(())
    }
}

impl std::fmt::Debug for OpenSegments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSegments").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// The IANA name of `zone`. The command line accepts only named zones, so the fallback is for completeness.
fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// The vaults, as needed for the recovery of segments.
struct Vaults {
    storage: Arc<dyn Storage>,
    tree: Tree,
}

impl VaultOf for Vaults {
    fn recover(&mut self, name: &SegmentName) -> Result<Option<(SegmentId, VaultMark)>, ArchiveError> {
        let cut = vault::cut(&*self.storage, &self.tree.vault(name)).map_err(in_custody)?;
        Ok(cut.map(|(id, bytes, digest)| (id, VaultMark { bytes, digest })))
    }

    fn remove(&mut self, name: &SegmentName) -> Result<(), ArchiveError> {
        let path = self.tree.vault(name);
        let directory: PathBuf = self.tree.vault.join(name.folder.to_string());
        let exists = self.storage.exists(&path);
        let removed = exists.and_then(|exists| {
            if exists {
                self.storage.unlink(&path)?;
                self.storage.sync_directory(&directory)?;
            }
            Ok(())
        });
        removed.map_err(|source| ArchiveError::Io { action: "remove a vault", path, source })
    }
}

fn in_custody(error: VaultError) -> ArchiveError {
    ArchiveError::Custody(Box::new(error.into()))
}
