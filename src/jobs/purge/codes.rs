//! The messages of a purge.

use super::place;
use crate::primitives::diag::Code;

/// All codes of this area.
pub const CODES: &[&Code] = &[&CLOCK, &IO, &LEFT, &BLOCKED, &ASTRAY, &place::NOT_THERE];

pub(super) static CLOCK: Code = Code {
    id: "P01",
    title: "the clock has jumped",
    text: "\
What it means
  Between two entries of the ledger, or since the last one, the clock went back, or went forwards by more than
  36 hours. Nothing was purged, and no hold was ended because its day has come.

Why it matters
  A clock that is a year ahead would purge a year of lines before their day, and the extracts of holds with them, and nobody could bring them
  back. After a power cut many machines start in the wrong year.

Example
  a machine that was off for a week; a clock without a battery

What to do
  Compare the clock with another one. If it is right, run `oubliette purge --confirm-clock`: the ledger keeps
  who said so. If not, set it first. Run purge daily, from a timer: then the ledger has an entry a day.

References
  README.md, \"Purge\"; CNIL, deliberation SAN-2021-019 on keeping data beyond its period",
};

pub(super) static IO: Code = Code {
    id: "P02",
    title: "the archive cannot be purged",
    text: "\
What it means
  A file or directory of the archive could not be read, moved, removed or synced.

Why it matters
  What has expired must be gone. The ledger has an intent without an end now, which says so.

Example
  an archive on a file system that became read-only

What to do
  Mend the disk or the permissions, then run `oubliette purge` again: it goes on where it stopped.

References
  README.md, \"Purge\"; GDPR art. 5(1)(e)",
};

pub(super) static LEFT: Code = Code {
    id: "P03",
    title: "a file that was removed is there again",
    text: "\
What it means
  After the files of a day were removed, their directories were listed again, and one of them is there.

Why it matters
  A line that is kept after its day is one kept too long, whoever put it back.

Example
  a synchronisation with another machine that restores what is missing

What to do
  Find out who writes to the archive besides oubliette, stop that, and run `oubliette purge` again.

References
  README.md, \"Purge\"",
};

/// Something had to stay.
pub static BLOCKED: Code = Code {
    id: "P04",
    title: "files of an expired day had to stay",
    text: "\
What it means
  Everything else of that day was purged. What had to stay is frozen by a hold, is a segment that a filter
  still writes to, is a file that oubliette did not make and does not touch, or is a segment of a later day that
  somebody has moved into this folder.

Why it matters
  Its day is over. A hold is a reason to keep it, and so is a later day of its own; the other two are not.

Example
  held: archive/expires=2027-11-24/class=connection/web1-2epqf-1.log.zst, case 2027/0815

What to do
  Held: `oubliette hold extract` keeps what the case needs, then the segment goes. In use: run purge again
  once the filter has closed it, which it does at the end of its epoch or when it stops. Not ours: look at
  it, and move it out of the archive or remove it. Not due: move it into the folder of its own day, which `oubliette
  verify` names, or nobody finds it there.

References
  README.md, \"Purge\" and \"Holds\"; GDPR art. 17(3)(e), 18(2)",
};

/// A segment lies under a later day than its own.
pub static ASTRAY: Code = Code {
    id: "P06",
    title: "a segment of a day that is over lies under another day",
    text: "\
What it means
  The ledger says under which day a segment was sealed. That day is over; the segment was not purged, and lies in
  another folder or under another name.

Why it matters
  A purge goes by folders. Under its new name the segment would be kept until the day of that name: too long.

Example
  mv archive/expires=2027-11-24/class=connection/*.zst archive/expires=2099-01-01/class=connection/

What to do
  Move it back to the path that the message names, and run `oubliette purge` again. Find out who moved it;
  `oubliette verify` says what else is not in its place, also of segments that this ledger does not know.

References
  README.md, \"Purge\"; GDPR art. 5(1)(e)",
};
