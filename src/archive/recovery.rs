//! What a crash left: a part is cut at its last whole frame and sealed.
//!
//! The index of its frames was in memory and is gone. The tokens are found again in the lines; the instants of events
//! and the networks of addresses are not, so a search by time or network reads every frame of that segment.

use super::chain::Chain;
use super::error::ArchiveError;
use super::filter;
use super::footer::{Footer, FrameEntry, Origin, VaultMark};
use super::frame::whole_frames;
use super::reader::{Found, Segment, list};
use super::writer::{in_custody, publish, record, sealed};
use crate::model::{Sealer, SegmentId, SegmentName, Tree};
use crate::primitives::storage::{Storage, Stored};
use crate::pseudonym::token;
use jiff::Timestamp;
use memchr::memmem;
use std::path::Path;

/// What is known of all segments of a node when it starts.
#[derive(Clone, Debug)]
pub struct Known {
    /// IANA name of the legal zone.
    pub zone: String,
    /// SHA-256 of the retention rules in force.
    pub policy: [u8; 32],
}

/// What became of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It was sealed.
    Sealed {
        /// Under this name.
        name: SegmentName,
        /// Lines in it.
        lines: u64,
        /// Bytes behind the last whole frame that were cut off: lines that nobody was told are safe.
        cut_bytes: u64,
    },
    /// There was no whole frame in it, so it was removed.
    Removed {
        /// What it was called.
        name: SegmentName,
        /// Bytes that were in it.
        cut_bytes: u64,
    },
}

/// The vault beside a part, as whoever knows vaults sees it.
pub trait VaultOf {
    /// Cuts the vault of `name` at its last whole record and says which segment it belongs to; `None` if
    /// there is none.
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

/// Seals all parts that nobody writes to.
///
/// # Errors
/// At the first one that cannot be sealed; it stays as it is, and so do those after it.
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

/// The part, locked; `None` if somebody writes to it or has just sealed it.
fn abandoned(storage: &dyn Storage, path: &Path) -> Result<Option<Box<dyn Stored>>, ArchiveError> {
    let mut file = match storage.edit(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(ArchiveError::io("open a segment", path))?,
    };
    let locked = file.try_lock().map_err(ArchiveError::io("lock a segment", path))?;
    // Whoever had the lock may have renamed it since.
    let there = storage.exists(path).map_err(ArchiveError::io("look for a segment", path))?;
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
        // Signed: it may lack its entry, and lacks its name.
        file.sync().map_err(failed("sync a segment"))?;
        if !sealer.knows(&name.to_string(), &digest).map_err(in_custody)? {
            record(name, &digest, sealer, now)?;
        }
        publish(storage, tree, name)?;
        return Ok(Recovered::Sealed { name: name.clone(), lines, cut_bytes: 0 });
    }
    // A part without vault never had one, or has no frame: its vault is durable before its first frame. One whose header is
    // damaged opens for nobody as it is, and stays: nothing else has what it holds.
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
        // Whoever wrote it may have been told another one than whoever recovers it.
        source_zone: None,
        kid: name.kid,
        policy: known.policy,
        networks_unknown: true,
    };
    let previous = sealer.previous().map_err(in_custody)?;
    let footer = Footer { origin, recovered: true, previous, vault: vault.map(|(_, mark)| mark), frames };
    let (trailer, digest) = sealed(&footer, sealer, now)?;
    file.append(&trailer).map_err(failed("write a segment"))?;
    file.sync().map_err(failed("sync a segment"))?;
    record(name, &digest, sealer, now)?;
    publish(storage, tree, name)?;
    Ok(Recovered::Sealed { name: name.clone(), lines: footer.lines(), cut_bytes })
}

/// The lines of a part that is a whole segment already, and its digest.
fn whole_segment(storage: &dyn Storage, part: &Path) -> Option<(u64, [u8; 32])> {
    let segment = Segment::open(storage, part).ok()?;
    segment.check().ok()?;
    Some((segment.footer().lines(), *segment.digest()))
}

/// An id for a segment; 16 bytes from the operating system.
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

/// Entries for the whole frames at the start of `bytes`, with the tokens found in them.
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

/// The filter of the tokens that are spelt in `lines`; empty, which is "not known", if some may be spelt in the
/// shape of addresses, of which the line ending and the escapes are many.
fn filter_of(lines: &[u8]) -> Vec<u8> {
    if may_hold_address_shapes(lines) {
        return Vec::new();
    }
    let mut keys: Vec<u64> = token::all(lines).map(|tag| filter::key(&tag)).collect();
    keys.sort_unstable();
    keys.dedup();
    filter::build(&mut keys)
}

/// Whether there is the domain of such an e-mail address, or four digits that such an IP address begins with before
/// a colon, however that is escaped.
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
