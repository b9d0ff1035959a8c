//! `replay --bundle`: the lines of a case for the authority that asked, with all that is needed to check them
//! on a machine without oubliette.
//!
//! ```text
//! README.txt LISEZMOI.txt    what this is, in both languages, and how to check it
//! lines.log                  the lines as stored, byte for byte
//! lines.csv                  a row a line: times, identifier, port, the line with what was revealed
//! proof/check.sh             the check, for sh, sha256sum and openssl
//! proof/frames.csv           where each line was found: segment, frame, digests of frames
//! proof/segments/1/          what the seal of a segment is over, and the seal
//! proof/keys/2026-11-23.pem  public keys of the days, each signed with the one before
//! proof/ledger/17.json       entries of the ledger that belong to the case, to its segments and to those keys
//! SHA256SUMS, SHA256SUMS.sig over all of these, signed with the key of the day
//! ```
//! A frame holds lines of other people, so the bundle contains only its digest. Lines are written to the disk
//! as they come, under a name that marks the bundle as incomplete. The lines of a bundle to be encrypted are
//! never on the disk in clear.

mod leftover;
mod output;
mod port;
mod proof;
mod readme;
mod spool;
mod stage;
mod table;

use crate::jobs::purge::Site;
use crate::jobs::replay::{Gaps, Line, PlannedSegment, Purpose, Revealed, spelling::Spelt};
use crate::ledger::event::{Bundled, Event};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::primitives::storage::Storage;
use jiff::Timestamp;
use jiff::tz::TimeZone;
pub use output::Destination;
pub(in crate::jobs) use output::encrypted_to;
use proof::Proof;
use sha2::{Digest as _, Sha256};
use spool::Spool;
use stage::{Stage, Sums};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use table::Table;
pub(in crate::jobs) use table::{cell, text, time_from};
use zeroize::Zeroizing;

/// What a bundle says about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Who asked, and why. Case, basis and period are stated.
    pub purpose: Purpose,
    /// The legal zone.
    pub zone: TimeZone,
    /// When the bundle was made.
    pub made: Timestamp,
    /// The number of segments searched.
    pub segments: u64,
    /// What the answer lacks.
    pub gaps: Gaps,
    /// Whether lines may have something of what was asked for in clear, where it was not looked for.
    pub in_clear: bool,
}

/// The small files of a bundle, by their names within it. They are wiped when dropped.
pub type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// A bundle being written.
#[derive(Debug)]
pub struct Bundle {
    about: About,
    stage: Stage,
    lines: Spool,
    table: Table,
    proof: Proof,
    count: u64,
}

/// The size of a complete bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of lines.
    pub lines: u64,
    /// The number of files.
    pub files: u64,
}

impl Bundle {
    /// Begins an empty bundle at `destination`. If it is dropped unfinished, what was written is removed.
    ///
    /// # Errors
    /// [`WRITE`].
    pub fn begin(
        about: About,
        storage: &Arc<dyn Storage>,
        destination: &Destination,
    ) -> Result<Self, Diagnostic> {
        let mut stage = Stage::begin(storage, destination, about.made)?;
        let lines = stage.spool(LINES)?;
        let table = Table::new(stage.spool(TABLE)?, about.zone.clone())?;
        Ok(Self { about, stage, lines, table, proof: Proof::default(), count: 0 })
    }

    /// Adds a line of `planned`, with its `originals` that may be shown, and the line with those put back.
    ///
    /// # Errors
    /// [`WRITE`].
    pub fn add(
        &mut self,
        planned: &PlannedSegment,
        line: &Line<'_>,
        originals: &[(Spelt, Revealed)],
        revealed: &[u8],
    ) -> Result<(), Diagnostic> {
        self.count += 1;
        let place = self.proof.place(planned, line);
        self.table.row(self.count, place, line, originals, revealed)?;
        self.lines.write_all(line.bytes).map_err(|error| {
            Diagnostic::new(&WRITE, "cannot write a bundle")
                .because(error.to_string())
                .hint("name a place on a disk with room; what was there of the bundle is removed")
        })
    }

    /// Records how many segments were searched, and what the answer lacks.
    pub fn searched(&mut self, segments: u64, gaps: Gaps) {
        (self.about.segments, self.about.gaps) = (segments, gaps);
    }

    /// Signs the bundle and gives it its name. `ledger` is the folder of the ledger.
    ///
    /// # Errors
    /// If a segment or the ledger cannot be read, or the ledger or the bundle cannot be written; [`MIDNIGHT`]
    /// if the day of the key ended meanwhile.
    pub fn finish(self, site: &mut Site, ledger: &Path) -> Result<Written, Diagnostic> {
        let Self { about, mut stage, lines, table, proof, count } = self;
        stage.take(LINES, lines)?;
        stage.take(TABLE, table.into_spool()?)?;
        let case = about.purpose.case.clone().unwrap_or_default();
        let mut files = Files::new();
        // From here on, the ledger has a key of today.
        let day = site.ledger.day()?;
        proof.collect(&site.storage, ledger, &about, day, &mut files)?;
        files.insert("proof/check.sh".to_owned(), Zeroizing::new(readme::check(day).into_bytes()));
        for (name, text) in [
            ("README.txt", readme::english(&about, count, day)),
            ("LISEZMOI.txt", readme::french(&about, count, day)),
        ] {
            files.insert(name.to_owned(), Zeroizing::new(text.into_bytes()));
        }
        let sums = text_of(&stage.sums(&files));
        let event = Event::Bundled(Bundled { case, lines: count, sums: hex::encode(&Sha256::digest(&sums)) });
        let seal = site.ledger.sign(event, &sums)?;
        if seal.day != day {
            return Err(Diagnostic::new(&MIDNIGHT, "midnight passed while the bundle was written")
                .hint("run it again: the bundle names the key of one day"));
        }
        files.insert(SUMS.to_owned(), Zeroizing::new(sums));
        files.insert(format!("{SUMS}.sig"), Zeroizing::new(seal.signature.to_vec()));
        Ok(Written { lines: count, files: stage.finish(&files)? })
    }
}

/// Returns what `sha256sum` prints for the files.
fn text_of(sums: &Sums) -> Vec<u8> {
    let lines = sums.iter().map(|(name, digest)| format!("{}  {name}\n", hex::encode(digest)));
    lines.collect::<String>().into_bytes()
}

const LINES: &str = "lines.log";
const TABLE: &str = "lines.csv";
const SUMS: &str = "SHA256SUMS";

/// All error codes of this module.
pub const CODES: &[&Code] = &[&WRITE, &MIDNIGHT];

/// B01: a destination that cannot be written.
pub static WRITE: Code = Code {
    id: "B01",
    title: "a bundle cannot be written",
    text: "\
What it means
  The directory or file given with --bundle exists already, or oubliette cannot create or write it.
  Or the value of --bundle-recipient is not an age recipient.

Why it matters
  What you hand over must be exactly what was signed. So oubliette never writes a bundle over or
  into something else. Until the bundle is complete, its name ends in `.partial`; if it fails,
  oubliette removes it. If the process was killed, the next bundle at that place removes the rest.

Example
  oubliette replay ... --bundle /srv/cases/2027-0815      a second time

What to do
  1. Name a directory that does not exist yet, on a disk with room.
  2. If a directory with that name and `.partial` stays, look at it: another process is writing to
     it, it has its sums already, or it holds other files.

  The entries in the ledger stay: they say that somebody searched for the lines.

References
  docs/replay.md",
};

/// B03: the day of the key has ended.
pub static MIDNIGHT: Code = Code {
    id: "B03",
    title: "midnight passed while a bundle was written",
    text: "\
What it means
  oubliette signs a bundle with the key of the legal day that the bundle names. That day ended
  before it could sign.

Why it matters
  The command in the README of the bundle would check the signature with the key of another day, and
  fail.

Example
  oubliette replay --bundle DIR at 23:59:59

What to do
  Run the command again. It wrote nothing.

References
  docs/replay.md; src/ledger/LEDGER.md",
};
