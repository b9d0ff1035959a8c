//! `subject`: the requests that a person may make, and what must be known about the people in the logs after
//! a breach.
//!
//! ```text
//! access     her lines, with purposes, legal bases and expiry dates           GDPR art. 15, 20
//! erase      her lines go, where no law obliges to keep them                  GDPR art. 17
//! restrict   her lines are frozen: a hold                                     GDPR art. 18
//! affected   whom the lines of a period are about                             GDPR art. 33, 34
//! ```
//! The ledger records who asks before anything is opened. It records the people asked for only by number.

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

/// Encrypts a list of people as JSON lines, with age, to `recipients`.
///
/// # Errors
/// If a name is not a recipient, or age refuses.
pub fn encrypted(people: &[affected::Person], recipients: &[String]) -> Result<Vec<u8>, Diagnostic> {
    let mut lines = Zeroizing::new(Vec::new());
    for person in people {
        // Text, numbers and instants under fixed names always serialise.
        serde_json::to_writer(&mut *lines, person).expect("a person is JSON");
        lines.push(b'\n');
    }
    bundle::encrypted_to(&lines, "--recipient", recipients)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic + use<> {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&IO, format!("cannot {action} a file of the archive"))
            .at_path(place, error)
            .hint("mend the disk or the permissions, then run it again: it goes on where it stopped")
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&IO, &STAYS, &LEFT_ON_NODES, &IN_EXTRACTS];

static IO: Code = Code {
    id: "D01",
    title: "an erasure cannot go on",
    text: "\
What it means
  oubliette could not read, rename, remove or sync a file or directory of the archive.

Why it matters
  Some lines that were to be erased may still be there. If the ledger has an `erase-intent` without
  an `erase-done`, the new segment is safely written and only has to be renamed.

Example
  an archive on a file system that became read-only

What to do
  1. Repair the disk or the permissions.
  2. Run `oubliette subject erase` again, or `oubliette purge`. Both finish what was interrupted.

References
  docs/subjects.md; GDPR art. 17",
};

/// D02: lines that stay although no law requires them to be kept.
pub static STAYS: Code = Code {
    id: "D02",
    title: "lines of a person had to stay, for now",
    text: "\
What it means
  oubliette could not erase, or could not look for, some of the person's lines. The table says why:
  a hold freezes their segment, no rule says whether the law requires keeping their class, their
  vault does not open, or their segment is not sealed yet.

Why it matters
  Within a month, you must tell the person what you erased, what you did not erase, and why.

Example
  mail  2027-11-24  held, case 2027/0815

What to do
  - Held: run the command again when the hold is over, or after `oubliette hold extract`. If P01 is
    reported as well, the freeze is over by a clock that has jumped: follow that message first.
  - Class unknown: bring back the rule of that class, with `duty = true` if the law requires keeping
    it.
  - Vault does not open: follow its code (`oubliette explain P14`). If the shred key of its day is
    lost, tell the person that nobody can reveal their originals, and on which day the lines go.
  - Not sealed: run the command again when the day is over, or stop the filter first.

References
  GDPR art. 12(3), 17(3), 18",
};

/// D03: originals of lines that a worker of a fleet stored.
pub static LEFT_ON_NODES: Code = Code {
    id: "D03",
    title: "originals of a person are left in vaults of nodes",
    text: "\
What it means
  oubliette erased the person's lines that a worker of a fleet had stored. Their originals are in
  the vaults of the nodes that wrote them. Each message names a vault that still has some, or vaults
  that you did not name or that do not open, so that oubliette could not look.

Why it matters
  Anybody who has such a vault, an identity and the shred key of its day can tell that the person
  was there. Only the node can write the vault anew, because the seal of the segment covers it. If
  you changed a copy elsewhere, the next `oubliette vaults` would put the original back.

Example
  oubliette subject erase --archive s3://logs/fleet --case DSR-13 --token em_2ep1w...      before it was run on the nodes

What to do
  1. On each node, run `oubliette subject erase` on its own archive.
  2. On each node, run `oubliette vaults`. It updates the copies.
  3. Run `oubliette subject erase` on the archive of the workers again, with `--vault`,
     `--shred-keys` and `--identity`. It checks that nothing is left.

  Vaults that you leave as they are go on their expiry day.

References
  docs/subjects.md, docs/fleet/README.md; GDPR art. 17",
};

/// D04: lines of a person that only the extract of a case has.
pub static IN_EXTRACTS: Code = Code {
    id: "D04",
    title: "extracts of a case have lines of a person that the answer lacks",
    text: "\
What it means
  `oubliette subject access` also looked into the extracts of holds and restrictions that the
  identity opens. Those of the case that the message names have lines of the person that are not in
  the answer: the archive has them no longer, or they are not of the period that you gave.

Why it matters
  The person has a right to all data that you keep about her. But a case of an authority may be
  secret, so nothing of it goes into the answer by itself.

Example
  a restriction that outlasts the expiry day of its lines, and then a request for access

What to do
  1. Look up what the case is. For a restriction that the person asked for, read the extract as
     docs/holds.md says, and add her lines to your answer.
  2. For a case of an authority, ask who ordered it whether the person may know. Record what you
     decided.

References
  docs/subjects.md, docs/holds.md; GDPR art. 15, 23",
};
