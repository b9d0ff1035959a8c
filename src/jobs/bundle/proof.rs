//! Proves where the lines of a bundle come from: by seals of segments, digests of frames, entries of the
//! ledger, and the keys that signed them.

use super::{About, Files};
use crate::archive::Segment;
use crate::jobs::replay::{Line, PlannedSegment, Purged};
use crate::ledger::event::Event;
use crate::ledger::{self, Entry, Signed, pem};
use crate::model::{Seal, SegmentName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::Storage;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The frames in which lines were found.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Numbers of frames in the bundle, from 1, by segment and number in the segment.
    frames: BTreeMap<(SegmentName, usize), usize>,
    paths: BTreeMap<SegmentName, PathBuf>,
}

impl Proof {
    /// Returns the number in the bundle of the frame that holds a line.
    pub(super) fn place(&mut self, planned: &PlannedSegment, line: &Line<'_>) -> usize {
        let next = self.frames.len() + 1;
        if !self.paths.contains_key(line.name) {
            self.paths.insert(line.name.clone(), planned.path.clone());
        }
        *self.frames.entry((line.name.clone(), line.frame)).or_insert(next)
    }

    /// Adds the proof of all lines to `files`, and the key of `today`. `ledger` is the folder of the ledger.
    ///
    /// # Errors
    /// If a segment or the ledger is damaged or cannot be read.
    pub(super) fn collect(
        &self,
        storage: &Arc<dyn Storage>,
        ledger: &Path,
        about: &About,
        today: Date,
        files: &mut Files,
    ) -> Result<(), Diagnostic> {
        let mut frames = String::from(FRAMES_HEAD);
        for (number, (name, path)) in (1..).zip(&self.paths) {
            let segment = Segment::open(&**storage, path)?;
            seal(number, name, &segment, files)?;
            for ((_, frame), in_bundle) in self.frames.iter().filter(|((of, _), _)| of == name) {
                frame_row(*in_bundle, number, *frame, &segment, &mut frames);
            }
        }
        files.insert("proof/frames.csv".to_owned(), Zeroizing::new(frames.into_bytes()));
        let names: BTreeSet<String> = self.paths.keys().map(ToString::to_string).collect();
        let case = about.purpose.case.as_deref().unwrap_or_default();
        let filter = EntryFilter { case, segments: &names, purged: &about.gaps.purged };
        entries(storage, ledger, &filter, today, files)
    }
}

const FRAMES_HEAD: &str = "frame,segment,number_in_segment,offset,bytes,chain_before,chain\r\n";

/// Adds the seal of a segment and the bytes that it covers.
fn seal(number: usize, name: &SegmentName, segment: &Segment, files: &mut Files) -> Result<(), Diagnostic> {
    let Seal { day, key: _, signature } = *segment.seal();
    let mut add = |file: &str, bytes: Vec<u8>| {
        files.insert(format!("proof/segments/{number}/{file}"), Zeroizing::new(bytes));
    };
    add("footer", segment.sealed_bytes()?);
    add("sealed", Seal::message(segment.digest()).to_vec());
    add("sealed.sig", signature.to_vec());
    add("day", format!("{day}\n").into_bytes());
    add("name", format!("{name}\n").into_bytes());
    Ok(())
}

fn frame_row(in_bundle: usize, segment_number: usize, frame: usize, segment: &Segment, rows: &mut String) {
    let entries = &segment.footer().frames;
    let entry = &entries[frame];
    let before = match frame.checked_sub(1) {
        Some(before) => hex::encode(&entries[before].chain),
        None => format!("SHA-256 of segment id {}", segment.footer().origin.id),
    };
    let (offset, bytes, chain) = (entry.offset, entry.bytes, hex::encode(&entry.chain));
    // Writing to a string cannot fail.
    let _ = write!(rows, "{in_bundle},{segment_number},{frame},{offset},{bytes},{before},{chain}\r\n");
}

/// Selects the entries of the ledger that belong to a bundle.
struct EntryFilter<'f> {
    case: &'f str,
    segments: &'f BTreeSet<String>,
    /// The purges that may have removed lines of the period.
    purged: &'f Purged,
}

impl EntryFilter<'_> {
    /// Returns whether an entry belongs to the bundle. `accesses` are the numbers of the accesses of the case
    /// so far.
    fn takes(&self, entry: &Entry, accesses: &mut BTreeSet<u64>) -> bool {
        match entry.event() {
            Some(Event::Begin(_) | Event::NextKey(_)) => true,
            Some(Event::Segment(segment)) => self.segments.contains(&segment.name),
            Some(Event::EraseIntent(erasure)) => self.segments.contains(&erasure.name),
            Some(Event::Access(access)) if access.case.as_deref() == Some(self.case) => {
                accesses.insert(entry.n)
            }
            Some(Event::AccessDone(done)) => accesses.contains(&done.entry),
            Some(Event::AccessRefused { access, .. }) => access.case.as_deref() == Some(self.case),
            Some(Event::HoldAdded(hold)) => hold.case == self.case,
            Some(Event::HoldExtracted(extract)) => extract.case == self.case,
            Some(Event::HoldReleased { case } | Event::HoldExpired { case }) => case == self.case,
            Some(Event::PurgeIntent(_) | Event::PurgeDone(_)) => self.purged.has(entry.n),
            _ => false,
        }
    }
}

/// Adds these entries, each with its signature and the day whose key made it; and the keys of those days and
/// of `today`.
fn entries(
    storage: &Arc<dyn Storage>,
    ledger: &Path,
    filter: &EntryFilter<'_>,
    today: Date,
    files: &mut Files,
) -> Result<(), Diagnostic> {
    let (mut accesses, mut days) = (BTreeSet::new(), BTreeSet::from([today]));
    let verifier = ledger::signed(storage, ledger, &mut |Signed { entry, signed, signature }| {
        if !filter.takes(&entry, &mut accesses) {
            return;
        }
        // The day whose key signed it.
        let day = entry.day;
        days.insert(day);
        for (kind, bytes) in
            [("json", signed.to_vec()), ("sig", signature.to_vec()), ("day", format!("{day}\n").into_bytes())]
        {
            files.insert(format!("proof/ledger/{}.{kind}", entry.n), Zeroizing::new(bytes));
        }
    })?;
    for day in days {
        if let Some(key) = verifier.key_of(day) {
            files.insert(format!("proof/keys/{day}.pem"), Zeroizing::new(pem(key).into_bytes()));
        }
    }
    Ok(())
}
