//! The messages of a purge.

use super::place;
use crate::primitives::diag::Code;

/// All codes of this area.
pub const CODES: &[&Code] =
    &[&CLOCK, &IO, &LEFT, &BLOCKED, &ASTRAY, &place::NOT_THERE, &STUCK, &LINKED, &OF_OTHERS];

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
  docs/purge.md; CNIL, deliberation SAN-2021-019 on keeping data beyond its period",
};

pub(super) static IO: Code = Code {
    id: "P02",
    title: "the archive cannot be purged",
    text: "\
What it means
  A directory of the archive could not be listed or synced, or a file could not be moved, for a reason that is not of that
  file alone.

Why it matters
  What has expired must be gone. The ledger has an intent without an end now, which says so.

Example
  object storage that does not answer; a disk that is full when segments move to their second phase

What to do
  Mend the disk or the permissions, then run `oubliette purge` again: it goes on where it stopped.

References
  docs/purge.md; GDPR art. 5(1)(e)",
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
  docs/purge.md",
};

/// Something had to stay.
pub static BLOCKED: Code = Code {
    id: "P04",
    title: "files of an expired day had to stay",
    text: "\
What it means
  Everything else of that day was purged. What had to stay is frozen by a hold, is a segment that a filter
  still writes to, is a file that oubliette did not make and does not touch, is a segment of a later day that
  somebody has moved into this folder, or was written under another legal zone, in which the day has not begun.

Why it matters
  Its day is over. A hold is a reason to keep it, and so is a later day of its own; the other two are not.

Example
  held: archive/expires=2027-11-24/class=connection/web1-2epqf-1.log.zst, case 2027/0815

What to do
  Held: `oubliette hold extract` keeps what the case needs, then the segment goes. In use: run purge again
  once the filter has closed it, which it does at the end of its epoch or when it stops. Not ours: look at
  it, and move it out of the archive or remove it. Not due, with an instant: run purge again then; a sidecar does
  by itself. Not due, without one: move it into the folder of its own day, which `oubliette
  verify` names, or nobody finds it there.

References
  docs/purge.md, docs/holds.md; GDPR art. 17(3)(e), 18(2)",
};

/// A segment lies under a later day than its own.
pub static ASTRAY: Code = Code {
    id: "P06",
    title: "a segment of a day that is over lies elsewhere",
    text: "\
What it means
  A segment, or the copy of one, says of itself that its day is over, and lies in the folder of a later day, or where no
  segment should lie. The ledger does not list it there.

Why it matters
  A purge goes by folders. Where it lies, the segment would be kept until the day of that folder, or for ever: too long.

Example
  mv archive/expires=2027-11-24/class=connection/*.zst archive/expires=2099-01-01/class=connection/
  cp -r archive/expires=2027-11-24 archive/backup

What to do
  Move it to the path that the message names, and run `oubliette purge` again, so that the ledger keeps that it went; or, if it is
  a copy, remove it. Find out who moved or copied it; `oubliette verify` says what else is not in its place. In object storage
  only `verify` finds copies.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};

/// A file could not be removed, moved or looked at, or went unread.
pub static STUCK: Code = Code {
    id: "P08",
    title: "a file of an expired day could not be removed, or not be read",
    text: "\
What it means
  Of a day that is over, the operating system did not let a file go, or did not say what lies in a directory: the table has it as
  `stuck`, with `--json` with the reason. Or it did not give a file back to be read: that went like the others, and the ledger
  has its name without its hash. Every other file of the day is gone, and so is its shred key: what is left of the originals opens
  for nobody. The lines in a segment that is left can still be read. A file of the second phase is `stuck` if it could not
  be moved there.

Why it matters
  What has expired must be gone. The entry `purge-done` names what is left, and why.

Example
  a segment with the attribute `immutable` (lsattr); a directory of another user; an archive on a file system that became
  read-only; bad blocks

What to do
  Stuck: mend the permissions, the attribute or the disk, then run `oubliette purge` again, as the user who owns the archive: it removes what
  is left. Unread: nothing for this archive; look at the kernel's log and at `smartctl -a` for the disk before it takes
  more.

References
  docs/purge.md; unlink(2), section ERRORS; GDPR art. 5(1)(e)",
};

/// A segment that goes has other names.
pub static LINKED: Code = Code {
    id: "P09",
    title: "the bytes of a purged segment lie under another name as well",
    text: "\
What it means
  A segment of a day that is over had hard links: names outside of the folders that a purge looks into, or in a later one. Its
  name in the archive is gone. The table has with `--json` how many other names there were, and so has the ledger.

Why it matters
  A file is gone with its last name. Until then its lines can be read, though not whose they are: the shred key of the day is
  erased.

Example
  a backup with `cp -al` or `rsync --link-dest` on the disk of the archive

What to do
  The purge that comes next does not see those names any more. Look for copies on the disk of the archive: `find / -xdev -name
  '*-2epqf-1.log.zst'`, with the name that the message names. Remove them, and have backups of that disk expire on the same
  day.

References
  docs/purge.md; link(2); GDPR art. 5(1)(e)",
};

/// The state directory is not that of whoever wrote the segments.
pub static OF_OTHERS: Code = Code {
    id: "P20",
    title: "the holds of whoever wrote the segments are not seen",
    text: "\
What it means
  The ledger of the state directory that was named, or of the default one, lists none of the segments that are due. They were written
  with another state directory, or this one was lost and made anew. A purge goes by the holds in its own state directory, so what
  a case froze in another one goes like the rest. The shred key of the day, too, is with whoever wrote.

Why it matters
  What an authority asked for would be gone, and nobody would know. It is no refusal: an archive must not outlast its days because a
  state directory was lost, or because another machine purges.

Example
  sudo -u alice oubliette purge --archive /srv/log     which looks into the state directory of alice

What to do
  Name the state directory of whoever writes the archive with --state-dir, first with --dry-run: with the right one this is not said. If
  the archive is purged from here on purpose, run `hold add` with this state directory as well, and go on: a ledger that has kept such a purge
  does not ask again. If it went by mistake, `oubliette hold list` with the right one says whether a hold was touched; its
  next purge erases the shred key and names what is not there (P07).

References
  docs/purge.md, docs/holds.md",
};
