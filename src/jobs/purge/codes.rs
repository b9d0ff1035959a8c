//! The messages of a purge.

use super::place;
use crate::primitives::diag::Code;

/// All error codes of this module.
pub const CODES: &[&Code] =
    &[&CLOCK, &IO, &LEFT, &BLOCKED, &MISPLACED, &place::NOT_THERE, &STUCK, &LINKED, &OF_OTHERS];

/// P01: the clock has jumped.
pub static CLOCK: Code = Code {
    id: "P01",
    title: "the clock has jumped",
    text: "\
What it means
  Between two entries of the ledger, or since the last one, the clock went back, or went forwards by
  more than 36 hours. oubliette purged nothing, and ended no hold whose day has come.

Why it matters
  A clock that is a year ahead would purge a year of lines before their day, and the extracts of
  holds with them. Nobody could bring them back. After a power cut, many machines start in the wrong
  year.

Example
  a machine that was off for a week; a clock without a battery

What to do
  1. Compare the clock with another one.
  2. If it is wrong, set it.
  3. Run `oubliette purge --dry-run`. Lines that arrived while the clock was wrong may have days of
     that clock: if it was behind, they are due at once. Copy what must stay before you go on. If it
     was ahead, they lie in `archive` under expiry days that are years away, and no purge removes
     them before that.
  4. Run `oubliette purge --confirm-clock`. The ledger records who confirmed the clock.
  5. From now on, run `oubliette purge` daily from a timer, so that the ledger has an entry for each
     day.

References
  docs/purge.md; CNIL, deliberation SAN-2021-019 on keeping data beyond its period",
};

pub(super) static IO: Code = Code {
    id: "P02",
    title: "the archive cannot be purged",
    text: "\
What it means
  oubliette could not list or sync a directory of the archive, or could not move a file, for a
  reason that is not in that file alone.

Why it matters
  Expired lines must be gone. The ledger now has the intent of a purge without its end.

Example
  object storage that does not answer; a disk that is full when segments move to their second phase

What to do
  1. Repair the disk or the permissions.
  2. Run `oubliette purge` again. It goes on where it stopped.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};

pub(super) static LEFT: Code = Code {
    id: "P03",
    title: "a file that was removed is there again",
    text: "\
What it means
  After it had removed the files of a day, oubliette listed their directories again. One of the
  files is there.

Why it matters
  It is kept longer than the law allows, whoever put it back.

Example
  a synchronisation with another machine that restores what is missing

What to do
  1. Find out which program writes to the archive besides oubliette, and stop it.
  2. Run `oubliette purge` again.

References
  docs/purge.md",
};

/// P04: files that had to stay.
pub static BLOCKED: Code = Code {
    id: "P04",
    title: "files of an expired day had to stay",
    text: "\
What it means
  These files of an expired day are still there; everything else of that day was purged. The table
  says why each had to stay:
  - held: a hold freezes it.
  - in use: a filter still writes to this segment.
  - not ours: oubliette did not make this file, and does not touch it.
  - not due, with an instant: the segment was written under another legal zone, in which its day
    begins at that instant.
  - not due, without an instant: it is a segment of a later day that somebody moved into this
    folder.

Why it matters
  The day is over. A hold, or a later day of its own, is a reason to keep a file. Nothing else is.

Example
  held: archive/expires=2027-11-24/class=connection/web1-2epqf-1.log.zst, case 2027/0815

What to do
  - held: run `oubliette hold extract`. It keeps the lines that the case needs; then the segment can
    go.
  - in use: run `oubliette purge` again when the filter has closed the segment. It does so at the
    end of its epoch, or when it stops. `serve` purges it by itself within seconds of that.
  - not ours: look at the file, then move it out of the archive or remove it.
  - not due, with an instant: run `oubliette purge` again after that instant. `serve` does so by
    itself.
  - not due, without an instant: move the segment into the folder of its own day, which
    `oubliette verify` names. Nobody finds it where it is.

References
  docs/purge.md, docs/holds.md; GDPR art. 17(3)(e), 18(2)",
};

/// P06: a segment in the directory of a later day than its own.
pub static MISPLACED: Code = Code {
    id: "P06",
    title: "a segment of a day that is over lies elsewhere",
    text: "\
What it means
  The footer of a segment, or of a copy of one, says that its day is over. But the segment lies in
  the folder of a later day, or where no segment should be. The ledger does not list it there.

Why it matters
  `oubliette purge` goes by folders. It would remove this segment only on the day of that folder, or
  never: too late.

Example
  mv archive/expires=2027-11-24/class=connection/*.zst archive/expires=2099-01-01/class=connection/
  cp -r archive/expires=2027-11-24 archive/backup

What to do
  1. If it is a copy, remove it. If not, move it to the path that the message names, and run
     `oubliette purge` again, so that the ledger records its removal.
  2. Find out who moved or copied it.
  3. Run `oubliette verify`: it names everything else that is out of place. In object storage, only
     `verify` finds copies.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};

/// P08: a file that could not be removed, moved, examined or read.
pub static STUCK: Code = Code {
    id: "P08",
    title: "a file of an expired day could not be removed, or not be read",
    text: "\
What it means
  Every file of the expired day that oubliette could remove is gone, and so is the day's shred key.
  Two things may have failed:
  - stuck: the operating system did not let oubliette remove a file or a line in quarantine, list a
    directory, or move a file to its second phase. With `--json`, the table gives the reason. The
    originals of these segments can no longer be opened by anybody, but their lines can still be
    read; and an escrow identity alone opens a line in quarantine.
  - not read: the operating system could not read a file. oubliette removed it like the others. The
    ledger has its name without its hash.

Why it matters
  Expired lines must be gone. The ledger entry `purge-done` names what is left, and why.

Example
  a segment with the attribute `immutable` (lsattr); a directory of another user
  an archive on a file system that became read-only; bad blocks

What to do
  - stuck: repair the permissions, the attribute or the disk. Then run `oubliette purge` again, as
    the user who owns the archive. It removes what is left.
  - not read: the file is gone, so its archive needs nothing. Look at the kernel's log and at
    `smartctl -a` before the disk fails further.

References
  docs/purge.md; unlink(2), section ERRORS; GDPR art. 5(1)(e)",
};

/// P09: a segment to be removed that has other names.
pub static LINKED: Code = Code {
    id: "P09",
    title: "the bytes of a purged segment lie under another name as well",
    text: "\
What it means
  A purged segment had hard links: other names of the same file, outside the folders that a purge
  looks into, or in the folder of a later day. Its name in the archive is gone. The ledger says how
  many other names there were; so does the table with `--json`.

Why it matters
  A file is gone only with its last name. Until then, its lines can be read. Its originals cannot:
  the shred key of the day is erased.

Example
  a backup with `cp -al` or `rsync --link-dest` on the disk of the archive

What to do
  1. Look for the other names on the disk of the archive, with the file name from the message:
     `find / -xdev -name '*-2epqf-1.log.zst'`
  2. Remove them. The next purge no longer reports them.
  3. Set up the backups of that disk so that they expire on the same day as the lines.

References
  docs/purge.md; link(2); GDPR art. 5(1)(e)",
};

/// P20: a state directory that is not that of the segments' writer.
pub static OF_OTHERS: Code = Code {
    id: "P20",
    title: "the segments were written with another state directory, whose holds are not seen",
    text: "\
What it means
  Some segments are due that the ledger of the state directory in use (the one that you named, or
  the default) does not know, neither by digest nor by file name. They were written with another
  state directory, or this one was lost and made anew. A purge obeys only the holds in its own state directory, so it also removes
  what a hold in the other one freezes. The shred key of the day is in the other one too. Or a hold
  was added with a state directory that did not exist, or whose ledger does not know the segments: a
  purge with another one does not see it.

Why it matters
  Lines that an authority asked for would be gone, and nobody would know. This is only a warning: a
  lost state directory, or a purge from another machine, must not keep lines beyond their day.

Example
  sudo -u alice oubliette purge --archive /srv/log     which looks into the state directory of alice

What to do
  1. Run `oubliette purge --dry-run --state-dir DIR` with the state directory of the program that
     writes the archive. With the right one, this warning is gone.
  2. If you purge from here on purpose, also run `oubliette hold add` with this state directory,
     then go on. Once the ledger has recorded such a purge, oubliette does not warn again of segments
     that the same nodes wrote.
  3. If a purge ran by mistake, run `oubliette hold list` with the right state directory: it says
     whether a hold was affected. The next purge there erases the shred key, and names what is
     missing (P07).

References
  docs/purge.md, docs/holds.md",
};
