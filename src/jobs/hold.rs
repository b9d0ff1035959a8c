//! `hold`: keeps what a case needs beyond its day, and nothing else.
//!
//! A hold freezes whole segments, for 7 days at most: long enough to extract the lines that the case names.
//! The extract is encrypted under the hold's own key, and both are erased when the hold ends; the segments
//! are purged on their day.
//!
//! ```text
//! <state>/holds/3f1c9a52e07b46d8.json           the hold: its case, its dates, the segments it freezes
//! <state>/holds/3f1c9a52e07b46d8-1.lines.age    the lines of its first extract, as they are in the archive
//! <state>/holds/3f1c9a52e07b46d8-1.pairs.age    the originals of the tokens in them, JSON lines
//! <state>/holds/keys/3f1c9a52e07b46d8.age       the key of the hold, encrypted to the escrow recipients
//! ```
//! The file is named after the SHA-256 of the case, because a case may contain any character.

mod extract;
mod key;
mod lost;
mod search;
#[cfg(test)]
mod tests;

use super::purge::Site;
use super::replay::{Purged, Purpose, purged_of};
use crate::archive::{self, ArchiveError, Segment};
use crate::ledger::event::{self, Event, NotCovered};
use crate::model::{ClassName, SegmentName};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::primitives::private_folder::{LOCK, PrivateFolder, Turn};
use crate::primitives::storage::{PUT_BACK, Storage, is_no_file};
use crate::vault;
pub use extract::{Extracted, Targets};
use jiff::ToSpan as _;
use jiff::civil::Date;
pub use search::{Searched, digest_of};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of holds in a state directory.
pub const FOLDER: &str = "holds";

/// The most days for which whole segments are frozen.
pub const LONGEST_FREEZE_DAYS: i64 = 7;

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The case: a reference of the authority that asked.
    pub case: String,
    /// The first legal day on which the hold no longer applies.
    pub until: Date,
    /// The first legal day on which the segments are no longer frozen, at most 7 days after the hold was
    /// added.
    pub frozen_until: Date,
    /// Names of the segments that the hold freezes.
    pub segments: Vec<String>,
    /// The number of extracts made.
    pub extracts: u32,
    /// The age recipient that extracts are encrypted to, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What extracts do not cover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Whether somebody has begun to release the hold. Until that is done, it freezes what it froze.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

/// Days that an extract does not cover, because the secret of their epoch is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The number of the extract.
    pub extract: u32,
    /// The days and segments.
    #[serde(flatten)]
    pub not_covered: NotCovered,
}

impl Hold {
    /// Returns what is known of a lost hold.
    fn of(lost: event::Hold) -> Self {
        let event::Hold { case, until, frozen_until, .. } = lost;
        Self::new(case, until, frozen_until, Vec::new())
    }

    fn new(case: String, until: Date, frozen_until: Date, segments: Vec<String>) -> Self {
        let (recipient, gaps) = (None, Vec::new());
        Self { case, until, frozen_until, segments, extracts: 0, recipient, gaps, released: false }
    }

    /// Returns the entry for the ledger.
    fn added(&self) -> Event {
        let Self { case, until, frozen_until, segments, .. } = self.clone();
        Event::HoldAdded(event::Hold { case, until, frozen_until, segments: segments.len() as u64 })
    }

    /// Returns whether the segments of the hold may not be purged on `today`.
    #[must_use]
    pub fn freezes(&self, today: Date) -> bool {
        today < self.frozen_until
    }
}

/// The segments to freeze.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only segments of this class.
    pub class: Option<ClassName>,
    /// Only segments with events on this legal day or later.
    pub from: Option<Date>,
    /// Only segments with events on this legal day or earlier.
    pub to: Option<Date>,
    /// Only segments of this tenant, as their vaults say. A segment without a vault may be the tenant's, and
    /// is frozen.
    pub tenant: Option<String>,
}

/// The holds of a node.
#[derive(Debug)]
pub struct Holds {
    folder: PrivateFolder,
    keys: PrivateFolder,
}

impl Holds {
    /// Opens the holds, and creates their folder if necessary.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(storage: &Arc<dyn Storage>, directory: &Path) -> Result<Self, Diagnostic> {
        let folder = PrivateFolder::open(storage, directory).map_err(failed("make", directory))?;
        Ok(Self { folder, keys: PrivateFolder::at(storage, &directory.join(key::KEYS)) })
    }

    /// Opens the existing holds for reading, without creating anything.
    #[must_use]
    pub fn at(storage: &Arc<dyn Storage>, directory: &Path) -> Self {
        let folder = PrivateFolder::at(storage, directory);
        Self { folder, keys: PrivateFolder::at(storage, &directory.join(key::KEYS)) }
    }

    /// Waits until no other process changes holds or purges.
    ///
    /// # Errors
    /// If the lock cannot be obtained.
    pub fn turn(&self) -> Result<Turn, Diagnostic> {
        self.folder.turn().map_err(failed("lock", &self.folder.path("")))
    }

    /// Returns whether another process is changing holds or purging now.
    #[must_use]
    pub fn are_changed(&self) -> bool {
        let lock = self.folder.readable(LOCK);
        matches!(lock.and_then(|lock| lock.map(|mut lock| lock.try_lock()).transpose()), Ok(Some(false)))
    }

    /// Returns all holds, sorted by case.
    ///
    /// # Errors
    /// If a hold cannot be read: what it freezes is unknown, so nothing may be purged.
    pub fn list(&self) -> Result<Vec<Hold>, Diagnostic> {
        let names = self.folder.names().map_err(failed("list", &self.folder.path("")))?;
        let mut holds = Vec::new();
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            let path = self.folder.path(name);
            let text = self.folder.read(name).map_err(failed("read", &path))?.unwrap_or_default();
            holds.push(serde_json::from_slice(&text).map_err(|_| no_hold(&path))?);
        }
        holds.sort_by(|a: &Hold, b| a.case.cmp(&b.case));
        Ok(holds)
    }

    /// Returns the names of the segments that are frozen on `today`, each with its case.
    ///
    /// # Errors
    /// As [`Holds::list`].
    pub fn held(&self, today: Date) -> Result<BTreeMap<String, String>, Diagnostic> {
        let holds = self.list()?;
        let frozen = holds.iter().filter(|hold| hold.freezes(today));
        Ok(frozen
            .flat_map(|hold| hold.segments.iter().map(|name| (name.clone(), hold.case.clone())))
            .collect())
    }

    /// Returns the holds that freeze nothing on `today` any more, and for which nothing was extracted.
    ///
    /// # Errors
    /// As [`Holds::list`].
    pub fn thawed(&self, today: Date) -> Result<Vec<Hold>, Diagnostic> {
        let mut thawed = Vec::new();
        for hold in self.list()?.into_iter().filter(|hold| !hold.freezes(today)) {
            if self.extracts(&hold.case)?.is_empty() {
                thawed.push(hold);
            }
        }
        Ok(thawed)
    }

    /// Adds a hold until a day, and freezes the segments of `scope` for its case.
    ///
    /// # Errors
    /// If the case names somebody or has a hold already, the day is over, or the scope has no segments.
    pub fn add(&self, site: &mut Site, case: &str, until: Date, scope: &Scope) -> Result<Hold, Diagnostic> {
        let frozen_until = until.min(site.today().saturating_add(LONGEST_FREEZE_DAYS.days()));
        self.begin(site, case, until, frozen_until, scope)
    }

    fn begin(
        &self,
        site: &mut Site,
        case: &str,
        until: Date,
        frozen_until: Date,
        scope: &Scope,
    ) -> Result<Hold, Diagnostic> {
        Purpose { case: Some(case.to_owned()), ..Purpose::default() }.demand_nobody_named()?;
        if case.trim().is_empty() {
            return Err(refusal(&CASE, "a hold is for a case", "`--case` is empty"));
        }
        let today = site.today();
        if until <= today {
            return Err(refusal(&DATES, "a hold ends on a day to come", "`--until` is today or before"));
        }
        if self.find(case)?.is_some() {
            return Err(refusal(&CASE, "the case has a hold already", "a case has one hold at a time"));
        }
        self.demand_nothing_left(case)?;
        // The times of parts, and of segments recovered after a crash, are unknown, so each of them would be
        // frozen.
        if scope.from.is_some_and(|from| from > latest_day(today) || scope.to.is_some_and(|to| to < from)) {
            let why = "the period begins after its end, or after the last day that a line can be of";
            return Err(refusal(&NOTHING, "no line is of that time", why));
        }
        let segments = segments_of(site, scope)?;
        if segments.is_empty() {
            return Err(refusal(
                &NOTHING,
                "there is nothing to hold",
                "no segment is of that class and time",
            ));
        }
        let hold = Hold::new(case.to_owned(), until, frozen_until, segments);
        self.put(site, &hold)?;
        Ok(hold)
    }

    /// Adds a hold of everything that is in `scope` now, to extract from it at once. This hold freezes
    /// nothing.
    ///
    /// If the case has a hold already, that hold is prolonged with its extracts. Returns the existing hold as
    /// it was; `None` if the case had none.
    ///
    /// It freezes nothing either as long as the clock is not believed: its freeze ends on the
    /// [certain day](Site::certain_day).
    ///
    /// # Errors
    /// As [`Holds::add`]; also if the day is before the present end of the hold, or the existing hold freezes
    /// segments, from which nothing may have been extracted yet.
    pub fn restrict(
        &self,
        site: &mut Site,
        case: &str,
        until: Date,
        scope: &Scope,
    ) -> Result<Option<Hold>, Diagnostic> {
        let certain = site.certain_day()?;
        let Some(before) = self.find(case)? else {
            return self.begin(site, case, until, certain, scope).map(|_| None);
        };
        if before.freezes(certain) {
            return Err(Diagnostic::new(&CASE, "the case has a hold that freezes segments")
                .because("the lines that they are frozen for may not be extracted yet")
                .hint("state the reference of the request; if it is the same, `oubliette hold extract`"));
        }
        if until < before.until {
            let why = "a hold is prolonged, and not shortened";
            return Err(refusal(&DATES, "the hold of the case lasts longer already", why));
        }
        let segments = segments_of(site, scope)?;
        self.put(site, &Hold { until, frozen_until: certain, segments, ..before.clone() })?;
        Ok(Some(before))
    }

    /// Refuses a new hold if an earlier one has left its key or extracts. A hold is removed after these, so
    /// without it they mean that it was lost, and a new hold would overwrite them.
    fn demand_nothing_left(&self, case: &str) -> Result<(), Diagnostic> {
        let Some(left) = self.left_of(case)? else { return Ok(()) };
        Err(Diagnostic::new(&CASE, "an earlier hold of the case is lost, and its extracts are there")
            .at(left.display().to_string())
            .because("another hold would write over them, and over the key that opens them")
            .hint("put the file of the hold back; if it is lost, `oubliette explain H01`"))
    }

    /// Returns the key of the hold of a case, or one of its extracts, if there is any.
    fn left_of(&self, case: &str) -> Result<Option<PathBuf>, Diagnostic> {
        if let Some(key) = self.existing_key(case)? {
            return Ok(Some(key));
        }
        Ok(self.extracts(case)?.into_iter().next())
    }

    /// Saves a hold, and then records it in the ledger.
    ///
    /// If a crash prevents the entry, the hold is in force and [recorded](Holds::record_missing) later. In
    /// the reverse order, a hold that is only in the ledger would be lost, and block every purge.
    ///
    /// # Errors
    /// If the hold or the entry cannot be written.
    pub fn put(&self, site: &mut Site, hold: &Hold) -> Result<(), Diagnostic> {
        self.keep(hold)?;
        site.ledger.append(hold.added())?;
        Ok(())
    }

    /// Returns the paths of the extracts of a case's hold, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn extracts(&self, case: &str) -> Result<Vec<PathBuf>, Diagnostic> {
        let stem = format!("{}-", stem(case));
        let mut names = self.folder.names().map_err(failed("list", &self.folder.path("")))?;
        names.retain(|name| name.starts_with(&stem) && name.ends_with(".age"));
        Ok(names.iter().map(|name| self.folder.path(name)).collect())
    }

    /// Ends a hold, even a lost one, and erases its extracts.
    ///
    /// Its file says first that it is released, so that [`Holds::finish_releases`] completes what was
    /// interrupted. From the ledger alone, nobody could tell whether the hold was released or added again.
    ///
    /// # Errors
    /// If the case has no hold; also if the ledger cannot be written or a file not erased.
    pub fn release(&self, site: &mut Site, case: &str) -> Result<Hold, Diagnostic> {
        let Some(hold) = self.find(case)? else {
            let lost = self.lost(&site.ledger, site.today())?.into_iter().find(|lost| lost.case == case);
            let hold = lost.map_or_else(|| self.found(case), |lost| Ok(Hold::of(lost)))?;
            self.end(site, &hold)?;
            return Ok(hold);
        };
        self.keep(&Hold { released: true, ..hold.clone() })?;
        self.end(site, &hold)?;
        Ok(hold)
    }

    /// Ends the holds whose release was interrupted, and returns these.
    ///
    /// # Errors
    /// As [`Holds::list`] and [`Holds::release`].
    pub fn finish_releases(&self, site: &mut Site) -> Result<Vec<Hold>, Diagnostic> {
        let mut begun = self.list()?;
        begun.retain(|hold| hold.released);
        begun.iter().try_for_each(|hold| self.end(site, hold))?;
        Ok(begun)
    }

    fn end(&self, site: &mut Site, hold: &Hold) -> Result<(), Diagnostic> {
        site.ledger.append(Event::HoldReleased { case: hold.case.clone() })?;
        self.erase(hold)
    }

    /// Returns the holds whose day has come, if the clock is right. A hold that lasts longer according to the
    /// ledger is not over.
    ///
    /// # Errors
    /// As [`Holds::list`]; also if the ledger cannot be read.
    pub fn over(&self, site: &Site) -> Result<Vec<Hold>, Diagnostic> {
        let today = site.today();
        let mut over = self.list()?;
        over.retain(|hold| hold.until <= today);
        if !over.is_empty() {
            let lost = self.lost(&site.ledger, today)?;
            over.retain(|hold| lost.iter().all(|lost| lost.case != hold.case));
        }
        Ok(over)
    }

    /// Ends every hold whose day has come, and returns these.
    ///
    /// # Errors
    /// If the clock jumped and was not confirmed, and a hold would end by it; also if a hold cannot be
    /// erased.
    pub fn expire(&self, site: &mut Site) -> Result<Vec<Hold>, Diagnostic> {
        let over = self.over(site)?;
        if let (false, Some(jump)) = (over.is_empty(), site.clock_jump()?) {
            return Err(jump);
        }
        for hold in &over {
            site.ledger.append(Event::HoldExpired { case: hold.case.clone() })?;
            self.erase(hold)?;
        }
        Ok(over)
    }

    fn found(&self, case: &str) -> Result<Hold, Diagnostic> {
        self.find(case)?.ok_or_else(|| {
            Diagnostic::new(&CASE, "the case has no hold").hint("`oubliette hold list` shows those there are")
        })
    }

    fn find(&self, case: &str) -> Result<Option<Hold>, Diagnostic> {
        Ok(self.list()?.into_iter().find(|hold| hold.case == case))
    }

    fn keep(&self, hold: &Hold) -> Result<(), Diagnostic> {
        let name = format!("{}.json", stem(&hold.case));
        // Strings, numbers and dates under fixed names always serialise.
        let text = serde_json::to_vec(hold).expect("a hold is JSON");
        self.folder.write(&name, &text).map_err(failed("write", &self.folder.path(&name)))
    }

    /// Erases a hold. The key goes first: without it, nobody can open what a crash leaves. The extracts
    /// follow: as long as they exist, the hold does, too.
    fn erase(&self, hold: &Hold) -> Result<(), Diagnostic> {
        self.erase_key(&hold.case)?;
        let stem = stem(&hold.case);
        let names = self.folder.names().map_err(failed("list", &self.folder.path("")))?;
        let extracts = names.into_iter().filter(|name| name.starts_with(&format!("{stem}-")));
        for name in extracts {
            self.folder.erase(&name).map_err(failed("erase", &self.folder.path(&name)))?;
        }
        // The file of the hold goes last. It is not overwritten first: a hold of zeros could not be read,
        // which would stop every purge.
        let name = format!("{stem}.json");
        self.folder.remove(&name).map_err(failed("remove", &self.folder.path(&name)))
    }
}

fn refusal(code: &'static Code, what: &str, why: &str) -> Diagnostic {
    let hint = format!("`oubliette explain {}` says what a hold needs", code.id);
    Diagnostic::new(code, what).because(why).hint(hint)
}

/// Returns the last day that a line can be from: the clock of a source may be slightly ahead, and so may its
/// zone.
fn latest_day(today: Date) -> Date {
    today.saturating_add(1.day())
}

/// Returns the names of the segments of `scope`, including those still being written.
fn segments_of(site: &Site, scope: &Scope) -> Result<Vec<String>, Diagnostic> {
    let seconds = seconds(site, scope);
    let mut names = Vec::new();
    for tree in [&site.tree, &site.second_tree()] {
        for found in archive::list(&*site.storage, tree)? {
            if scope.class.as_ref().is_some_and(|class| *class != found.name.folder.class)
                || is_of_another_tenant(site, scope, &found.name)
            {
                continue;
            }
            let in_time = found.part
                || match Segment::open(&*site.storage, &found.path) {
                    Ok(segment) => segment.frames_with(seconds.clone(), None).next().is_some(),
                    // A damaged segment may be of that time, and may be restored from a copy.
                    Err(ArchiveError::Damaged { .. } | ArchiveError::Unreadable { .. }) => true,
                    Err(error) => return Err(error.into()),
                };
            names.extend(in_time.then(|| found.name.to_string()));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Returns the purges that may have removed lines of the period of `scope`.
#[must_use]
pub fn purged(site: &Site, scope: &Scope) -> Purged {
    let takes = |class: &ClassName| scope.class.as_ref().is_none_or(|wanted| wanted == class);
    purged_of(site, &seconds(site, scope), &takes)
}

/// Returns whether the vault of a segment names a tenant other than that of `scope`.
fn is_of_another_tenant(site: &Site, scope: &Scope, name: &SegmentName) -> bool {
    let Some(tenant) = &scope.tenant else { return false };
    // A vault that is missing or cannot be read is no reason to release what a case may need.
    vault::header(&*site.storage, &site.tree.vault(name)).is_ok_and(|header| header.tenant != *tenant)
}

/// Returns the instants of the legal days of `scope`, in Unix seconds.
fn seconds(site: &Site, scope: &Scope) -> RangeInclusive<i64> {
    let start = |day: Date| day.to_zoned(site.zone.clone()).ok().map(|start| start.timestamp().as_second());
    let from = scope.from.and_then(start).unwrap_or(i64::MIN);
    let to = scope.to.and_then(|day| start(day.saturating_add(1.day()))).map_or(i64::MAX, |next| next - 1);
    from..=to
}

fn stem(case: &str) -> String {
    hex::encode(&Sha256::digest(case)[..8])
}

fn no_hold(path: &Path) -> Diagnostic {
    Diagnostic::new(&IO, "a file among the holds is none, so nothing is purged")
        .at(path.display().to_string())
        .because("it was changed, or never was one")
        .hint("restore it from a copy; if there is none, `oubliette explain H01`")
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic + use<> {
    let place = path.display().to_string();
    move |error| {
        let hint = match is_no_file(&error) {
            true => PUT_BACK,
            false => "run it as the user who owns the state directory; on a full disk make room first",
        };
        Diagnostic::new(&IO, format!("cannot {action} a hold")).at_path(place, error).hint(hint)
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&IO, &DATES, &CASE, &NOTHING, &extract::CLOSED, &extract::LACKING, &lost::LOST];

static IO: Code = Code {
    id: "H01",
    title: "a hold cannot be read or written",
    text: "\
What it means
  oubliette could not open, read, write or erase a file in `<state>/holds`.

Why it matters
  A purge must not remove segments under a hold. While oubliette cannot read a hold, it purges
  nothing.

Example
  oubliette purge    run by a user who may not read the state directory

What to do
  - Permissions: run the command as the user who owns the state directory.
  - Disk full: make room.
  - A hold whose file is older than its extracts: put a newer copy back. Without one, move the
    extracts and their key in `keys` to another folder, which still opens them, and extract again.
  - A damaged hold, which the message names: restore its file from a copy. Without a copy, move the
    file to another folder, with all others that begin with its name (the extracts) and its key in
    `keys`, which still opens them. Then add the hold again under the same case, which
    `oubliette ledger show` lists.

References
  docs/holds.md",
};

static DATES: Code = Code {
    id: "H02",
    title: "a hold must end on a future day",
    text: "\
What it means
  A hold ends on the day given with `--until`. That day must be after today.

Why it matters
  A hold without an end would be a way around every retention period.

Example
  oubliette hold add --case 2027/0815 --until 2026-01-01

What to do
  1. Give the day from which the authority no longer needs the data.
  2. Extract the lines that the case needs within 7 days: whole segments are frozen for no longer.

References
  Code de procedure penale art. 60-2; GDPR art. 5(1)(e), 18(2)",
};

static CASE: Code = Code {
    id: "H03",
    title: "the case has a hold already, or has none",
    text: "\
What it means
  A case can have only one hold at a time, and you can extract or release only a hold that exists.
  `--case` cannot be empty. `oubliette subject restrict` refuses a case whose hold still freezes
  segments.

Why it matters
  Two holds of one case would end on different days, and nobody could say which one counts. A
  restriction would end the freeze before the lines that the authority asked for are extracted.

Example
  oubliette hold release --case 2027/0815     a reference with a digit wrong

What to do
  1. Run `oubliette hold list`: it shows the cases. Correct the reference.
  2. To change the days or the class of a hold, release it and add another.

References
  docs/holds.md",
};

static NOTHING: Code = Code {
    id: "H04",
    title: "there is nothing to hold",
    text: "\
What it means
  The archive has no segment of that class and those days. Or no line can be of those days, because
  they are in the future, or end before they begin.

Why it matters
  Somebody relies on a hold. This one would preserve nothing.

Example
  oubliette hold add --case 2027/0815 --until 2027-12-01 --class conection

What to do
  1. Compare the class with the names of directories in the archive: `class=...`
  2. Give `--from` and `--to` as legal days.
  3. If the segments were purged already, nobody can hold them. `oubliette ledger show` says what
     was purged.

References
  docs/holds.md",
};
