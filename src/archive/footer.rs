//! Encodes and decodes the footer of a segment: FORMAT.md, "Footer" and "Seek table". Does no I/O.

use crate::model::{ClassName, Folder, NodeName, Seal, SegmentId, SegmentName};
use crate::primitives::byte_map;
use jiff::civil::Date;
use sha2::{Digest, Sha256};

/// Everything a segment says about itself, apart from its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// What was known when the segment was begun.
    pub origin: Origin,
    /// Whether the segment was recovered after a crash: its frames may lack an index.
    pub recovered: bool,
    /// Digest of the segment that this node sealed before; zeros if there was none.
    pub previous: [u8; 32],
    /// Its vault; `None` if it has none.
    pub vault: Option<VaultMark>,
    /// Its frames, in order.
    pub frames: Vec<FrameEntry>,
}

/// What is known of a segment when it is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The random id that distinguishes it from all other segments.
    pub id: SegmentId,
    /// The node that wrote it.
    pub node: NodeName,
    /// Class and expiry day of its lines.
    pub folder: Folder,
    /// IANA name of the legal zone.
    pub zone: String,
    /// IANA name of the zone in which times without a zone were read; `None` if it is the legal zone, or not
    /// known.
    pub source_zone: Option<String>,
    /// The key id, which names the epoch and its secret.
    pub kid: [u8; 5],
    /// SHA-256 of the retention rules in force.
    pub policy: [u8; 32],
    /// Whether filters may lack networks, because the addresses behind tokens from upstream are not known.
    pub networks_unknown: bool,
}

/// What a segment records about its vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultMark {
    /// Length of the vault file.
    pub bytes: u64,
    /// SHA-256 of the vault file.
    pub digest: [u8; 32],
}

/// The index entry of a data frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// Offset in the file.
    pub offset: u64,
    /// Compressed length in bytes.
    pub bytes: u32,
    /// Decompressed length in bytes.
    pub line_bytes: u32,
    /// Number of lines.
    pub lines: u32,
    /// Time of the earliest event, in Unix seconds.
    pub first: i64,
    /// Time of the latest event, in Unix seconds.
    pub last: i64,
    /// The filter of its tokens, for [`super::filter::may_contain`].
    pub filter: Vec<u8>,
    /// The chain digest of this frame and all before it.
    pub chain: [u8; 32],
}

/// A decoded footer with its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The footer.
    pub footer: Footer,
    /// SHA-256 of the footer up to the seal. The stated and the computed digest were found equal.
    pub digest: [u8; 32],
    /// Number of bytes that the digest covers.
    pub bytes: usize,
    /// The seal over the digest. The ledger decides whose key it is and whether it is valid.
    pub seal: Seal,
}

/// What is wrong with the end of a file that should be a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Malformed {
    /// The defect.
    pub what: &'static str,
    /// Offset in the file.
    pub offset: u64,
}

/// Length of the header of a skippable frame (RFC 8878, 3.1.2).
pub(super) const SKIPPABLE_BYTES: usize = 8;
pub(super) const FOOTER_MAGIC: u32 = 0x184D_2A52;
pub(super) const SEEK_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// Length of the end of a seek table: number of frames, descriptor, magic number.
pub(super) const SEEK_END_BYTES: usize = 9;
const SEEK_ENTRY_BYTES: usize = 8;

const SIGNATURE: &[u8; 8] = b"OUBLSEG\0";
const VERSION: u16 = 1;
const RECOVERED: u16 = 1;
const NO_VAULT: u16 = 2;
const NETWORKS_UNKNOWN: u16 = 4;
const SOURCE_ZONE: u16 = 8;

const TEXTS: usize = 6;

/// Fields in order, with their lengths in bytes. FORMAT.md has the same table, and a test compares the two.
pub(super) const FIXED: [(&str, usize); 13] = [
    ("signature", 8),
    ("version", 2),
    ("flags", 2),
    ("frames", 4),
    ("segment id", 16),
    ("previous", 32),
    ("policy", 32),
    ("vault digest", 32),
    ("vault bytes", 8),
    ("lines", 8),
    ("line bytes", 8),
    ("filter bytes", 4),
    ("text bytes", 4),
];
pub(super) const ENTRY: [(&str, usize); 8] = [
    ("frame offset", 8),
    ("frame bytes", 4),
    ("frame line bytes", 4),
    ("frame lines", 4),
    ("frame filter bytes", 4),
    ("first", 8),
    ("last", 8),
    ("chain", 32),
];
pub(super) const SEAL: [(&str, usize); 7] =
    [("digest", 32), ("year", 2), ("month", 1), ("day", 1), ("zeros", 4), ("key", 32), ("signature", 64)];
const FIXED_BYTES: usize = byte_map::length(&FIXED);
const ENTRY_BYTES: usize = byte_map::length(&ENTRY);
const SEAL_BYTES: usize = byte_map::length(&SEAL);

impl Footer {
    /// Returns the number of lines in all frames.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.lines)).sum()
    }

    /// Returns the decompressed length of all frames, in bytes.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.line_bytes)).sum()
    }

    /// Returns the offset at which the data frames end and the footer starts.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.offset + u64::from(frame.bytes))
    }

    /// Returns the name of the segment, given its number.
    #[must_use]
    pub fn name(&self, number: u64) -> SegmentName {
        let Origin { node, folder, kid, .. } = &self.origin;
        SegmentName { folder: folder.clone(), node: node.clone(), kid: *kid, number }
    }

    /// Encodes the footer up to the seal, without the header of the skippable frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { origin, recovered, previous, vault, frames } = self;
        let texts = encode_texts(origin);
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = flag(*recovered, RECOVERED)
            | flag(vault.is_none(), NO_VAULT)
            | flag(origin.networks_unknown, NETWORKS_UNKNOWN)
            | flag(origin.source_zone.is_some(), SOURCE_ZONE);
        let vault = vault.unwrap_or(VaultMark { bytes: 0, digest: [0; 32] });
        let filter_bytes: u32 = frames.iter().map(|frame| count(frame.filter.len())).sum();
        let mut body = Vec::with_capacity(
            FIXED_BYTES + texts.len() + frames.len() * ENTRY_BYTES + filter_bytes as usize + SEAL_BYTES,
        );
        body.extend_from_slice(SIGNATURE);
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(&flags.to_le_bytes());
        body.extend_from_slice(&count(frames.len()).to_le_bytes());
        body.extend_from_slice(&origin.id.0);
        body.extend_from_slice(previous);
        body.extend_from_slice(&origin.policy);
        body.extend_from_slice(&vault.digest);
        for number in [vault.bytes, self.lines(), self.line_bytes()] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&filter_bytes.to_le_bytes());
        body.extend_from_slice(&count(texts.len()).to_le_bytes());
        body.extend_from_slice(&texts);
        for frame in frames {
            encode_entry(frame, &mut body);
        }
        for frame in frames {
            body.extend_from_slice(&frame.filter);
        }
        body
    }

    /// Encodes the whole seek table, given the length of the footer frame.
    pub(super) fn seek_table(&self, footer_frame_bytes: u32) -> Vec<u8> {
        let entries = self.frames.len() + 1;
        let mut table = Vec::with_capacity(SKIPPABLE_BYTES + entries * SEEK_ENTRY_BYTES + SEEK_END_BYTES);
        table.extend_from_slice(&SEEK_MAGIC.to_le_bytes());
        table.extend_from_slice(&count(entries * SEEK_ENTRY_BYTES + SEEK_END_BYTES).to_le_bytes());
        let frames = self.frames.iter().map(|frame| (frame.bytes, frame.line_bytes));
        for (bytes, line_bytes) in frames.chain([(footer_frame_bytes, 0)]) {
            table.extend_from_slice(&bytes.to_le_bytes());
            table.extend_from_slice(&line_bytes.to_le_bytes());
        }
        table.extend_from_slice(&count(entries).to_le_bytes());
        // Descriptor: no checksums, reserved bits zero.
        table.push(0);
        table.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        table
    }
}

/// Encodes everything after the data frames: the footer with its seal, and the seek table.
pub(super) fn trailer(footer: &Footer, mut body: Vec<u8>, digest: &[u8; 32], seal: &Seal) -> Vec<u8> {
    body.extend_from_slice(digest);
    // Legal days lie in this millennium, so the year of a seal is positive.
    body.extend_from_slice(&u16::try_from(seal.day.year()).unwrap_or(0).to_le_bytes());
    body.extend_from_slice(&[seal.day.month().unsigned_abs(), seal.day.day().unsigned_abs(), 0, 0, 0, 0]);
    body.extend_from_slice(&seal.key);
    body.extend_from_slice(&seal.signature);
    let mut trailer = Vec::with_capacity(SKIPPABLE_BYTES + body.len() + 1024);
    trailer.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    trailer.extend_from_slice(&count(body.len()).to_le_bytes());
    trailer.append(&mut body);
    let footer_frame_bytes = count(trailer.len());
    trailer.extend_from_slice(&footer.seek_table(footer_frame_bytes));
    trailer
}

pub(super) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the length of the whole seek table, read from its last [`SEEK_END_BYTES`] bytes.
pub(super) fn seek_table_bytes(end: &[u8; SEEK_END_BYTES], file_bytes: u64) -> Result<usize, Malformed> {
    let wrong = |what| Malformed { what, offset: file_bytes.saturating_sub(SEEK_END_BYTES as u64) };
    let [entries @ .., descriptor, m0, m1, m2, m3] = *end;
    if u32::from_le_bytes([m0, m1, m2, m3]) != SEEKABLE_MAGIC || descriptor != 0 {
        return Err(wrong("no seek table"));
    }
    let entries = u64::from(u32::from_le_bytes(entries));
    let bytes = entries * SEEK_ENTRY_BYTES as u64 + (SKIPPABLE_BYTES + SEEK_END_BYTES) as u64;
    if entries == 0 || bytes > file_bytes {
        return Err(wrong("a seek table longer than the file"));
    }
    usize::try_from(bytes).map_err(|_| wrong("a seek table too long for this machine"))
}

/// Returns the length of the footer frame, read from the seek table after it.
pub(super) fn footer_frame_bytes(table: &[u8]) -> Option<u32> {
    let entry = table.len().checked_sub(SEEK_END_BYTES + SEEK_ENTRY_BYTES)?;
    table.get(entry..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Decodes a footer frame, which starts at `offset` in the file, and the seek table after it. Checks every
/// byte of both except the seal.
pub(super) fn decode(frame: &[u8], table: &[u8], offset: u64) -> Result<Sealed, Malformed> {
    let mut reader = Reader { bytes: frame, offset };
    let magic = reader.u32("footer header")?;
    let length = reader.u32("footer header")?;
    if magic != FOOTER_MAGIC || length as usize != reader.bytes.len() {
        return Err(Malformed { what: "no footer", offset });
    }
    let body = reader.bytes;
    let footer = footer(&mut reader)?;
    let bytes = body.len() - reader.bytes.len();
    let digest = digest_of(&body[..bytes]);
    let seal_offset = reader.offset;
    let (stated, seal) = seal(&mut reader)?;
    if stated != digest {
        return Err(Malformed { what: "a footer that differs from its digest", offset });
    }
    if !reader.bytes.is_empty() {
        return Err(reader.wrong("bytes behind the seal"));
    }
    if footer.data_bytes() != offset {
        return Err(Malformed { what: "a footer that is not where the data ends", offset });
    }
    let expected = footer.seek_table(count(frame.len()));
    match expected.iter().zip(table).position(|(expected, found)| expected != found) {
        None if expected.len() == table.len() => Ok(Sealed { footer, digest, bytes, seal }),
        differs => {
            let at = differs.unwrap_or(expected.len()) as u64;
            let offset = seal_offset + SEAL_BYTES as u64 + at;
            Err(Malformed { what: "a seek table that differs from the footer", offset })
        }
    }
}

fn footer(reader: &mut Reader<'_>) -> Result<Footer, Malformed> {
    if reader.array("signature")? != *SIGNATURE {
        return Err(reader.wrong("no signature of a footer"));
    }
    if u16::from_le_bytes(reader.array("version")?) != VERSION {
        return Err(reader.wrong("a version of the format that is not known"));
    }
    let flags = u16::from_le_bytes(reader.array("flags")?);
    if flags & !(RECOVERED | NO_VAULT | NETWORKS_UNKNOWN | SOURCE_ZONE) != 0 {
        return Err(reader.wrong("flags that are not known"));
    }
    let frames = reader.u32("frames")?;
    let id = SegmentId(reader.array("segment id")?);
    let (previous, policy) = (reader.array("previous")?, reader.array("policy")?);
    let digest = reader.array("vault digest")?;
    let mark = VaultMark { digest, bytes: reader.u64("vault bytes")? };
    let (lines, line_bytes) = (reader.u64("lines")?, reader.u64("line bytes")?);
    let filter_bytes = reader.u32("filter bytes")?;
    let text_bytes = reader.u32("text bytes")?;
    let mut texts = Reader { offset: reader.offset, bytes: reader.take(text_bytes as usize, "texts")? };
    let origin =
        Origin { id, policy, networks_unknown: flags & NETWORKS_UNKNOWN != 0, ..origin(&mut texts)? };
    let has_source_zone = flags & SOURCE_ZONE != 0;
    let source_zone = has_source_zone.then(|| text(&mut texts).map(str::to_owned)).transpose()?;
    if !texts.bytes.is_empty() {
        return Err(texts.wrong("bytes behind the texts"));
    }
    let origin = Origin { source_zone, ..origin };
    let frames = entries(reader, frames as usize, filter_bytes as usize)?;
    let vault = (flags & NO_VAULT == 0).then_some(mark);
    let footer = Footer { origin, recovered: flags & RECOVERED != 0, previous, vault, frames };
    if (footer.lines(), footer.line_bytes()) != (lines, line_bytes) {
        return Err(reader.wrong("counts that do not add up"));
    }
    Ok(footer)
}

/// Reads the next text.
fn text<'b>(reader: &mut Reader<'b>) -> Result<&'b str, Malformed> {
    let length = usize::from(u16::from_le_bytes(reader.array("a text's length")?));
    let bytes = reader.take(length, "a text")?;
    std::str::from_utf8(bytes).map_err(|_| reader.wrong("a text that is not UTF-8"))
}

/// Reads the texts that every footer has; leaves the other fields of the origin blank.
fn origin(reader: &mut Reader<'_>) -> Result<Origin, Malformed> {
    let mut texts = [""; TEXTS];
    for place in &mut texts {
        *place = text(reader)?;
    }
    let [node, class, expires, zone, kid, _program] = texts;
    let folder = Folder::parse(&format!("expires={expires}"), &format!("class={class}"));
    let (Some(node), Some(folder), Ok(kid)) = (NodeName::new(node), folder, kid.as_bytes().try_into()) else {
        return Err(reader.wrong("a node, class, expiry or kid that is none"));
    };
    let (id, policy) = (SegmentId([0; 16]), [0; 32]);
    let (zone, source_zone, networks_unknown) = (zone.to_owned(), None, false);
    Ok(Origin { id, node, folder, zone, source_zone, kid, policy, networks_unknown })
}

fn encode_texts(origin: &Origin) -> Vec<u8> {
    let class: &ClassName = &origin.folder.class;
    let (expires, kid) = (origin.folder.expires.to_string(), String::from_utf8_lossy(&origin.kid));
    let texts: [&str; TEXTS] = [
        origin.node.as_str(),
        class.as_str(),
        &expires,
        &origin.zone,
        &kid,
        concat!("oubliette ", env!("CARGO_PKG_VERSION")),
    ];
    let mut bytes = Vec::with_capacity(128);
    for text in texts.into_iter().chain(origin.source_zone.as_deref()) {
        // Names of nodes, classes and zones are far below 64 KiB.
        bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn encode_entry(frame: &FrameEntry, body: &mut Vec<u8>) {
    body.extend_from_slice(&frame.offset.to_le_bytes());
    for number in [frame.bytes, frame.line_bytes, frame.lines, count(frame.filter.len())] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(&frame.first.to_le_bytes());
    body.extend_from_slice(&frame.last.to_le_bytes());
    body.extend_from_slice(&frame.chain);
}

/// Reads the entries of the frames and their filters. Frames must follow one another from the start of the
/// file.
fn entries(
    reader: &mut Reader<'_>,
    frames: usize,
    filter_bytes: usize,
) -> Result<Vec<FrameEntry>, Malformed> {
    // Check before allocating anything by a number from the file.
    let entry_bytes = frames.checked_mul(ENTRY_BYTES).ok_or_else(|| reader.wrong("too many frames"))?;
    let mut table = Reader { offset: reader.offset, bytes: reader.take(entry_bytes, "frame entries")? };
    let mut filters = Reader { offset: reader.offset, bytes: reader.take(filter_bytes, "filters")? };
    let mut entries = Vec::with_capacity(frames);
    let mut end = 0;
    for _ in 0..frames {
        let offset = table.u64("frame offset")?;
        let [bytes, line_bytes, lines, filter_bytes] =
            ["frame bytes", "frame line bytes", "frame lines", "frame filter bytes"]
                .map(|what| table.u32(what));
        let (bytes, line_bytes, lines, filter_bytes) = (bytes?, line_bytes?, lines?, filter_bytes?);
        let (first, last) = (table.i64("first")?, table.i64("last")?);
        let chain = table.array("chain")?;
        if offset != end {
            return Err(table.wrong("a frame that does not follow the one before"));
        }
        end = offset.checked_add(u64::from(bytes)).ok_or_else(|| table.wrong("a frame beyond all files"))?;
        let filter = filters.take(filter_bytes as usize, "a filter")?.to_vec();
        entries.push(FrameEntry { offset, bytes, line_bytes, lines, first, last, filter, chain });
    }
    if filters.bytes.is_empty() { Ok(entries) } else { Err(filters.wrong("filters of no frame")) }
}

fn seal(reader: &mut Reader<'_>) -> Result<([u8; 32], Seal), Malformed> {
    let digest = reader.array("seal")?;
    let year = u16::from_le_bytes(reader.array("seal")?);
    let [month, day, zeros @ ..] = reader.array::<6>("seal")?;
    let (key, signature) = (reader.array("seal")?, reader.array("seal")?);
    let day = Date::new(year.cast_signed(), month.cast_signed(), day.cast_signed());
    match day {
        Ok(day) if zeros == [0; 4] => Ok((digest, Seal { day, key, signature })),
        _ => Err(reader.wrong("a seal without a day")),
    }
}

/// Returns the number as the format stores it. Nothing counted reaches 4 GiB, since segments roll long
/// before.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The bytes still to be read, and their offset in the file.
struct Reader<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.offset }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.wrong(what))?;
        self.bytes = rest;
        self.offset += length as u64;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self, what: &'static str) -> Result<[u8; LENGTH], Malformed> {
        let mut array = [0; LENGTH];
        array.copy_from_slice(self.take(LENGTH, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.array(what).map(i64::from_le_bytes)
    }
}
