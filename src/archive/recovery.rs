//! Recovers what a crash left: cuts a part at its last whole frame and seals it.
//!
//! The index of the frames was in memory and is lost. Tokens are found again in the lines, but the times of
//! events and the networks of addresses are not. So a search by time or network reads every frame of such a
//! segment.

use super::chain::Chain;
use super::error::ArchiveError;
use super::filter;
use super::footer::{Footer, FrameEntry, Origin, VaultMark};
use super::frame::whole_frames;
use super::reader::{Found, Segment, list};
use super::writer::{in_custody, publish, record, sealed};
use crate::model::{Sealer, SegmentId, SegmentName, Tree};
use crate::primitives::storage::{Storage, Stored, if_there, is_still_at};
use crate::pseudonym::token;
use jiff::Timestamp;
use memchr::memmem;
use std::path::Path;

/// What a node knows about all its segments when it starts.
#[derive(Clone, Debug)]
pub struct Known {
    /// IANA name of the legal zone.
    pub zone: String,
    /// SHA-256 of the retention rules in force.
    pub policy: [u8; 32],
}

/// The outcome for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// The part was sealed.
    Sealed {
        /// Name of the segment.
        name: SegmentName,
        /// Number of lines in it.
        lines: u64,
        /// Bytes after the last whole frame that were cut off: lines that were never acknowledged.
        cut_bytes: u64,
    },
    /// The part held no whole frame and was removed.
    Removed {
        /// Name that the segment had.
        name: SegmentName,
        /// Length of the part in bytes.
        cut_bytes: u64,
    },
}

/// Access to the vault beside a part, implemented by a module that knows vaults.
pub trait VaultOf {
    /// Cuts the vault of `name` at its last whole record and returns the segment it belongs to; `None` if
    /// there is no vault.
    ///
    /// # Errors
    /// If it cannot be read or cut.
    fn recover(&mut self, name: &SegmentName) -> Result<Option<(SegmentId, VaultMark)>, ArchiveError>;

    /// Removes the vault of `name`, if there is one, durably.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn remove(&mut self, name: &SegmentName) -> Result<(), ArchiveError>;
}

/// Seals all parts that nobody is writing.
///
/// # Errors
/// At the first part that cannot be sealed; it and all parts after it are left unchanged.
pub fn recover(
    storage: &dyn Storage,
    tree: &Tree,
    known: &Known,
    vaults: &mut dyn VaultOf,
    sealer: &mut dyn Sealer,
    now: Timestamp,
) -> Result<Vec<Recovered>, ArchiveError> {
    let mut recovered = Vec::new();
    for Found { name, path, .. } in list(storage, tree)?.into_iter().filter(|found| found.part) {
        let Some(file) = abandoned(storage, &path)? else { continue };
        recovered.push(recover_one(storage, tree, file, &name, known, vaults, sealer, now)?);
    }
    Ok(recovered)
}

/// Opens and locks the part; `None` if it is being written or has just been sealed.
fn abandoned(storage: &dyn Storage, path: &Path) -> Result<Option<Box<dyn Stored>>, ArchiveError> {
    let opened = if_there(storage.edit(path)).map_err(ArchiveError::io("open a segment", path))?;
    opened.map_or(Ok(None), |part| locked(storage, path, part))
}

/// Locks a part that was opened at `path`; `None` if it is being written, or is not there any more.
pub(super) fn locked(
    storage: &dyn Storage,
    path: &Path,
    mut file: Box<dyn Stored>,
) -> Result<Option<Box<dyn Stored>>, ArchiveError> {
    let locked = file.try_lock().map_err(ArchiveError::io("lock a segment", path))?;
    // The previous holder of the lock may have renamed it since, or removed it. After that, another process
    // may have begun a segment of the same name: its part and vault must stay.
    let there = is_still_at(storage, path, &*file).map_err(ArchiveError::io("look for a segment", path))?;
    Ok((locked && there).then_some(file))
}

#[expect(clippy::too_many_arguments, reason = "all that a start knows; there is one caller")]
fn recover_one(
    storage: &dyn Storage,
    tree: &Tree,
    mut file: Box<dyn Stored>,
    name: &SegmentName,
    known: &Known,
    vaults: &mut dyn VaultOf,
    sealer: &mut dyn Sealer,
    now: Timestamp,
) -> Result<Recovered, ArchiveError> {
    let part = tree.part(name);
    let failed = |action| ArchiveError::io(action, &part);
    if let Some((lines, digest)) = whole_segment(storage, &part) {
        // The part is already signed: it may lack its ledger entry, and lacks its final name.
        file.sync().map_err(failed("sync a segment"))?;
        if !sealer.knows(&name.to_string(), &digest).map_err(in_custody)? {
            record(name, &digest, sealer, now)?;
        }
        publish(storage, tree, name)?;
        return Ok(Recovered::Sealed { name: name.clone(), lines, cut_bytes: 0 });
    }
    // If a part has no vault, it never had one, or it has no frame, since a vault is durable before the first
    // frame. A vault with a damaged header cannot be opened as it is, and is kept: nothing else holds its
    // originals.
    let vault = vaults.recover(name)?;
    let id = vault.map_or_else(new_id, |(id, _)| Ok(id))?;
    let bytes = read_whole(&*file).map_err(failed("read a segment"))?;
    let frames = frames_of(&bytes, &id);
    let data_bytes = frames.last().map_or(0, |frame| frame.offset + u64::from(frame.bytes));
    let cut_bytes = bytes.len() as u64 - data_bytes;
    if frames.is_empty() {
        vaults.remove(name)?;
        storage.unlink(&part).map_err(failed("remove an empty segment"))?;
        return Ok(Recovered::Removed { name: name.clone(), cut_bytes });
    }
    file.truncate(data_bytes).map_err(failed("cut a segment"))?;
    let origin = Origin {
        id,
        node: name.node.clone(),
        folder: name.folder.clone(),
        zone: known.zone.clone(),
        // The node that wrote the part may have been configured with another source zone than the one that
        // recovers it.
        source_zone: None,
        kid: name.kid,
        policy: known.policy,
        networks_unknown: true,
    };
    let previous = sealer.previous().map_err(in_custody)?;
    let footer = Footer { origin, recovered: true, previous, vault: vault.map(|(_, mark)| mark), frames };
    let (trailer, digest) = sealed(&footer, sealer, now)?;
    if let Err(error) = file.append(&trailer) {
        // On a full disk, half of it would take the last room. If it cannot be cut off, the next start does so.
        let _ = file.truncate(data_bytes);
        return Err(failed("write a segment")(error));
    }
    file.sync().map_err(failed("sync a segment"))?;
    record(name, &digest, sealer, now)?;
    publish(storage, tree, name)?;
    Ok(Recovered::Sealed { name: name.clone(), lines: footer.lines(), cut_bytes })
}

/// Returns the number of lines and the digest of a part that is already a whole segment.
fn whole_segment(storage: &dyn Storage, part: &Path) -> Option<(u64, [u8; 32])> {
    let segment = Segment::open(storage, part).ok()?;
    segment.check().ok()?;
    Some((segment.footer().lines(), *segment.digest()))
}

/// Returns a new segment id: 16 random bytes from the operating system.
///
/// # Errors
/// If it gives none.
pub fn new_id() -> Result<SegmentId, ArchiveError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| ArchiveError::Randomness)?;
    Ok(SegmentId(id))
}

fn read_whole(file: &dyn Stored) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Builds the entries of the whole frames at the start of `bytes`, with filters of the tokens found in them.
fn frames_of(bytes: &[u8], id: &SegmentId) -> Vec<FrameEntry> {
    let mut chain = Chain::new(id);
    let mut offset = 0;
    whole_frames(bytes)
        .filter_map(|(frame, lines)| {
            chain = chain.next(frame);
            let entry = FrameEntry {
                offset,
                bytes: u32::try_from(frame.len()).ok()?,
                line_bytes: u32::try_from(lines.len()).ok()?,
                lines: u32::try_from(memchr::memchr_iter(b'\n', &lines).count()).ok()?,
                first: i64::MIN,
                last: i64::MAX,
                filter: filter_of(&lines),
                chain: chain.0,
            };
            offset += frame.len() as u64;
            Some(entry)
        })
        .collect()
}

/// Builds the filter of the tokens in `lines`. The filter is empty, which means "not known", if `lines` may
/// hold tokens in the shape of addresses: these have too many endings and escapes to be found again.
fn filter_of(lines: &[u8]) -> Vec<u8> {
    if may_hold_address_shapes(lines) {
        return Vec::new();
    }
    let mut keys: Vec<u64> = token::all(lines).map(|tag| filter::key(&tag)).collect();
    keys.sort_unstable();
    keys.dedup();
    filter::build(&mut keys)
}

/// Returns whether `lines` contain the domain of a token in the shape of an e-mail address, or the four hex
/// digits with which a token in the shape of an IP address begins, before a colon or its escape.
fn may_hold_address_shapes(lines: &[u8]) -> bool {
    let mailbox = memmem::find(lines, token::MAILBOX_DOMAIN).is_some();
    mailbox
        || memmem::find_iter(lines, b"fd").any(|at| match lines.get(at + 2..at + 5) {
            Some([a, b, separator]) => {
                a.is_ascii_hexdigit() && b.is_ascii_hexdigit() && matches!(separator, b':' | b'%' | b'\\')
            }
            _ => false,
        })
}
