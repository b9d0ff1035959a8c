//! The records of a spool, each holding lines that expire on the same day.
//!
//! ```text
//! 0   4  "OSP1"
//! 4   4  length of the lines in bytes (all numbers are little-endian)
//! 8   4  number of lines
//! 12  4  expiry day: 20271124 is 2027-11-24; all ones if no day is known
//! 16  8  check: the first bytes of SHA-256 over what precedes it and the lines
//! 24     lines with their line ends
//! ```

use crate::model::Expires;
use crate::primitives::storage::Stored;
use crate::pseudonym::Pseudonymised;
use jiff::civil::Date;
use sha2::{Digest, Sha256};
use std::io;

/// The first day on which lines must no longer exist, as the digits of year, month and day; the greatest
/// number if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(u32);

/// A record that was read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    pub(super) expires: Day,
}

/// The records of one block, each a run of lines that expire on the same day.
#[derive(Default)]
pub struct Records {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    pub(super) earliest: Option<Day>,
}

pub(super) const HEADER_BYTES: u64 = 24;
const MAGIC: [u8; 4] = *b"OSP1";

impl Day {
    pub(super) fn has_come_by(self, today: Date) -> bool {
        self <= Self::of(Expires::On(today))
    }

    fn of(expires: Expires) -> Self {
        match expires {
            // A year has at most four digits.
            Expires::On(day) => Self(
                u32::from(day.year().unsigned_abs()) * 10_000
                    + u32::from(day.month().unsigned_abs()) * 100
                    + u32::from(day.day().unsigned_abs()),
            ),
            Expires::Contract => Self(u32::MAX),
        }
    }
}

impl Record {
    /// Reads the record at `offset`; `None` if there is no whole record.
    pub(super) fn read(file: &dyn Stored, offset: u64) -> io::Result<Option<Self>> {
        let left = file.length()?.saturating_sub(offset);
        let mut header = [0; HEADER_BYTES as usize];
        if left < HEADER_BYTES {
            return Ok(None);
        }
        file.read_at(offset, &mut header)?;
        let length = u64::from(number(&header, 4));
        if header[..4] != MAGIC || length > left - HEADER_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_at(offset + HEADER_BYTES, &mut bytes)?;
        let is_whole = header[16..] == check(&header[..16], &bytes);
        let (lines, expires) = (u64::from(number(&header, 8)), Day(number(&header, 12)));
        Ok(is_whole.then_some(Self { bytes, lines, expires }))
    }

    pub(super) fn is_expired(&self, today: Date) -> bool {
        self.expires.has_come_by(today)
    }
}

/// Prints only the number of lines, since there are many.
impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Records {
    /// Makes records of the lines of a block.
    ///
    /// # Panics
    /// If the block has a line that is not indexed, whose expiry day nobody would know.
    #[must_use]
    pub fn of(block: &Pseudonymised) -> Self {
        encode(block)
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

fn encode(block: &Pseudonymised) -> Records {
    assert!(block.is_indexed(), "a line of the block is not in its index");
    let mut encoded = Records::default();
    let mut run: Option<(Day, usize, u32)> = None;
    for line in 0..block.indexed_lines() {
        let (bytes, dated) = block.indexed_line(line);
        let day = Day::of(dated.expires);
        let (_, start, lines) = match run.take() {
            Some(same) if same.0 == day => same,
            before => {
                before.into_iter().for_each(|run| encoded.end(run));
                encoded.bytes.extend_from_slice(&[0; HEADER_BYTES as usize]);
                (day, encoded.bytes.len(), 0)
            }
        };
        encoded.bytes.extend_from_slice(bytes);
        run = Some((day, start, lines + 1));
    }
    run.into_iter().for_each(|run| encoded.end(run));
    encoded
}

impl Records {
    /// Fills in the header of the record that begins at `start`.
    fn end(&mut self, (day, start, lines): (Day, usize, u32)) {
        let (before, bytes) = self.bytes.split_at_mut(start);
        let at = before.len() - HEADER_BYTES as usize;
        fill(&mut before[at..], bytes, lines, day);
        self.lines += u64::from(lines);
        self.earliest = self.earliest.into_iter().chain([day]).min();
    }
}

/// Returns the records in `bytes` with the lines of expired ones zeroed, and the earliest day of the others.
pub(super) fn without_expired(bytes: &[u8], today: Date) -> (Vec<u8>, Option<Day>) {
    let (mut blanked, mut earliest, mut at) = (bytes.to_vec(), None, 0);
    while let Some(header) = bytes.get(at..at + HEADER_BYTES as usize)
        && header[..4] == MAGIC
    {
        let (start, day) = (at + HEADER_BYTES as usize, Day(number(header, 12)));
        let Some(end) = start.checked_add(number(header, 4) as usize).filter(|end| *end <= bytes.len())
        else {
            break;
        };
        if day.has_come_by(today) {
            let (before, lines) = blanked[at..end].split_at_mut(HEADER_BYTES as usize);
            lines.fill(0);
            fill(before, lines, number(header, 8), Day(0));
        } else {
            earliest = earliest.into_iter().chain([day]).min();
        }
        at = end;
    }
    (blanked, earliest)
}

fn fill(header: &mut [u8], lines_bytes: &[u8], lines: u32, day: Day) {
    // A block is far smaller than 4 GiB: its lines are bounded, and so is what tokens add to them.
    let length = u32::try_from(lines_bytes.len()).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..12].copy_from_slice(&lines.to_le_bytes());
    header[12..16].copy_from_slice(&day.0.to_le_bytes());
    let check = check(&header[..16], lines_bytes);
    header[16..24].copy_from_slice(&check);
}

fn check(header: &[u8], lines: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(header).chain_update(lines).finalize();
    let mut check = [0; 8];
    check.copy_from_slice(&digest[..8]);
    check
}

/// Reads the number at `offset` of a header.
fn number(header: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}
