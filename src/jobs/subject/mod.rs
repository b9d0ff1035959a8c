//! `subject`: what a person may ask for, and what must be known of the people in the logs after a breach.
//!
//! ```text
//! access     her lines, with purposes, legal bases and expiry dates           GDPR art. 15, 20
//! erase      her lines go, where no law obliges to keep them                  GDPR art. 17
//! restrict   her lines are frozen: a hold                                     GDPR art. 18
//! affected   whom the lines of a period are about                             GDPR art. 33, 34
//! ```
//! Who asks is in the ledger before anything is opened; whose lines they are is told there by number only.

pub mod access;
pub mod affected;
pub mod erase;
#[cfg(test)]
mod tests;

use crate::jobs::bundle;
use crate::primitives::diag::{Code, Diagnostic};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// A list of people as JSON lines, encrypted with age to `recipients`.
///
/// # Errors
/// A name that is no recipient; what age says if it refuses.
pub fn encrypted(people: &[affected::Person], recipients: &[String]) -> Result<Vec<u8>, Diagnostic> {
    let mut lines = Zeroizing::new(Vec::new());
    for person in people {
        // Text, numbers and instants under fixed names: they always serialise.
        serde_json::to_writer(&mut *lines, person).expect("a person is JSON");
        lines.push(b'\n');
    }
    bundle::encrypted_to(&lines, "--recipient", recipients)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic + use<> {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&IO, format!("cannot {action} a file of the archive"))
            .at(place)
            .because(error.to_string())
            .hint("mend the disk or the permissions, then run it again: it goes on where it stopped")
    }
}

/// All codes of this area.
pub const CODES: &[&Code] = &[&IO, &STAYS, &LEFT_ON_NODES];

static IO: Code = Code {
    id: "D01",
    title: "an erasure cannot go on",
    text: "\
What it means
  A file or directory of the archive could not be read, renamed, removed or synced.

Why it matters
  What was to be erased may be there still. If the ledger has an `erase-intent` without an `erase-done`, the new
  segment is written and safe, and only its name is missing.

Example
  an archive on a file system that became read-only

What to do
  Mend the disk or the permissions, then run `oubliette subject erase` again, or `oubliette purge`: both end what
  broke off.

References
  docs/subjects.md; GDPR art. 17",
};

/// Lines stay although no law obliges to keep them.
pub static STAYS: Code = Code {
    id: "D02",
    title: "lines of a person had to stay, for now",
    text: "\
What it means
  Some of the person's lines could not be erased, or could not be looked for: their segment is frozen by a hold,
  no rule tells whether the law obliges to keep their class, its vault does not open, or it is not sealed yet.

Why it matters
  The person has a right to be told within a month what was erased and what was not, and why.

Example
  mail  2027-11-24  held, case 2027/0815

What to do
  Held: run it again when the hold is over, or after `oubliette hold extract`. Class unknown: bring back the rule
  of that class, with `duty = true` if the law obliges to keep it. Vault: what its code says (`oubliette explain P14`); if the
  shred key of its day is lost, tell the person that nobody can give her originals back, and when the lines go. Not sealed: run it again when the day is
  over, or end the filter.

References
  GDPR art. 12(3), 17(3), 18",
};

/// Originals of lines that a worker of a fleet stored.
pub static LEFT_ON_NODES: Code = Code {
    id: "D03",
    title: "originals of a person are left in vaults of nodes",
    text: "\
What it means
  Lines of the person that a worker of a fleet stored were erased. What their tokens stand for is in the vaults of the nodes that
  wrote them. Each message names such a vault that has it still, or vaults that were not named or do not open, so that
  nobody could tell.

Why it matters
  Whoever has such a vault, an identity and the shred key of its day can tell that the person was there. A vault is covered
  by the seal of its segment, so only its node can write it anew; a copy that was changed elsewhere would be put back by
  the next `oubliette vaults`.

Example
  oubliette subject erase --archive s3://logs/fleet --case DSR-13 --token em_2ep1w...      before it was run on the nodes

What to do
  Run `oubliette subject erase` on the nodes, each on its own archive, then `oubliette vaults` there, which brings the copies to
  the same state; after that on the archive of the workers, with `--vault`, `--shred-keys` and `--identity`, so that it can
  see that nothing is left. Vaults that you leave go on their day.

References
  docs/subjects.md, docs/fleet/README.md; GDPR art. 17",
};
