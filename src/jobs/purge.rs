//! `purge`: removes what has expired, with proof in the ledger, and moves segments whose second phase has
//! begun to the intermediate store.
//!
//! For each expiry day that has come, in this order:
//!
//! ```text
//! no key of that day is made any more -> ledger: intent -> erase H -> unlink -> sync -> list again
//!                                                                                  -> ledger: done
//! ```
//! A file that cannot be read is removed like the others, but without its hash. A file that cannot be removed
//! delays neither the erasure of H nor other files, and the last entry names it as left. Each step may be
//! repeated, so a run after a crash, or after days without a run, continues where the last one stopped. A
//! filter that writes meanwhile holds locks on its parts, and gets no key of a day that is over. A frozen
//! segment stays, and so does its H. Quarantined lines are purged likewise, with entries of their own, and so
//! are secrets of past epochs, and their wraps when nothing needs them any more.

mod codes;
mod history;
mod inventory;
mod misplaced;
mod moving;
mod place;
mod quarantined;
#[cfg(test)]
mod tests;
mod wraps;

use super::custody::RecordedKeyring;
use crate::keyring::{self, Keyring, Wrap};
use crate::ledger::event::{Event, LeftFile, PurgedFile};
use crate::ledger::{self, ClockStep, Ledger, LedgerError};
use crate::model::{RetentionClass, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Listed, Patience, Storage, is_of_one_file, is_remote};
use crate::pseudonym::epoch::Epoch;
use crate::quarantine;
use crate::retention::expiry::purge_instant;
use crate::shred::ShredStore;
pub use codes::{BLOCKED, CLOCK, CODES, LINKED, MISPLACED, OF_OTHERS, STUCK};
use codes::{IO, LEFT};
pub use history::LedgerFault;
use history::{UnfinishedPurge, joined};
use inventory::locked;
pub use inventory::{Blocked, Item, Reason, is_abandoned};
pub(in crate::jobs) use inventory::{hash, identify};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use misplaced::Displaced;
pub use misplaced::{Absent, Misplaced};
pub(in crate::jobs) use moving::SECOND_PHASE_FILE_MODE;
pub use place::NOT_THERE;
pub(in crate::jobs) use place::keep;
pub(in crate::jobs) use quarantined::Dates;
pub use quarantined::{SealedBatch, sealed_past_due};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The zone in which a day begins first: that of Kiribati.
const EASTERNMOST: Offset = Offset::constant(14);

/// What a purge works on.
#[derive(Debug)]
pub struct Site {
    /// The storage of all files.
    pub storage: Arc<dyn Storage>,
    /// Segments and vaults.
    pub tree: Tree,
    /// The intermediate store, of the second phase.
    pub intermediate: PathBuf,
    /// The folder of quarantined lines.
    pub quarantine: PathBuf,
    /// How to open the keyring of the node; `None` if this purge does not handle its secrets.
    pub keys: Option<keyring::Settings>,
    /// Shred keys.
    pub shred: ShredStore,
    /// The ledger.
    pub ledger: Ledger,
    /// The classes of the policy.
    pub classes: Vec<RetentionClass>,
    /// Names of the segments that holds freeze, each with its case.
    pub held: BTreeMap<String, String>,
    /// The legal zone.
    pub zone: TimeZone,
    /// The present.
    pub now: Timestamp,
    /// What a purge has for what it must record although the disk is full.
    pub patience: Arc<Patience>,
}

/// What a purge will do, or has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that are removed, by expiry day.
    pub purges: Vec<Batch>,
    /// Segments that move to the intermediate store, by expiry day.
    pub moves: Vec<Batch>,
    /// Lines that are removed from quarantine, by expiry day.
    pub sealed: Vec<SealedBatch>,
    /// Lines in quarantine that nobody can look at, so that their day is not known.
    pub unseen: Vec<Blocked>,
    /// Past epochs whose secret is erased.
    pub epochs: Vec<Epoch>,
    /// Wraps of secrets that are erased, because nothing is left of what was archived under them.
    pub wraps: Vec<Wrap>,
    /// Segments whose expiry day has come, in the directory of another day. They stay, because a person has
    /// to examine them.
    pub misplaced: Vec<Misplaced>,
    /// Segments of the days purged now that cannot be found anywhere.
    pub absent: Vec<Absent>,
    /// The names of segments to be removed that the ledger does not know, of nodes for which it has never
    /// recorded such a removal: they may be under holds that are kept elsewhere.
    pub of_others: Vec<String>,
    /// When the next segments are due whose zone is not the configured one.
    pub next: Option<Timestamp>,
    /// Where the ledger is damaged, if it is. What is due is removed nevertheless, because the legal day has
    /// come.
    pub fault: Option<LedgerFault>,
}

impl Plan {
    /// Adds what is planned or done for a day, unless that is nothing.
    fn add(&mut self, batch: Batch, had_begun: bool) {
        self.next = self.next.into_iter().chain(batch.next).min();
        self.purges.extend((!batch.is_empty() || had_begun).then_some(batch));
    }

    /// Returns whether something due could not be found: a disk may be missing.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        !self.absent.is_empty() || self.purges.iter().any(|batch| !batch.vaultless.is_empty())
    }

    /// Returns whether a person must look at the purge.
    ///
    /// That is so if files or quarantined lines of a day that has come have to stay, are missing or out of
    /// place, could not be read, or have other names; if files are removed that may be under a hold kept
    /// elsewhere; or if the ledger is damaged.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.misplaced.is_empty()
            || self.is_incomplete()
            || !self.unseen.is_empty()
            || !self.of_others.is_empty()
            || self.fault.is_some()
            || self.sealed.iter().any(|batch| !batch.held.is_empty())
            || self.purges.iter().any(|batch| !batch.blocked.is_empty())
            || self.failures().next().is_some()
            || self.linked().next().is_some()
    }

    /// Returns the names of parts that have to stay because somebody writes to them.
    pub fn in_use(&self) -> impl Iterator<Item = &str> {
        let blocked = self.purges.iter().flat_map(|batch| &batch.blocked);
        blocked.filter(|blocked| blocked.is_part_in_use()).map(|blocked| blocked.name.as_str())
    }

    /// Returns the segments to be removed whose bytes also exist under other names.
    pub fn linked(&self) -> impl Iterator<Item = &PurgedFile> {
        let files = self.purges.iter().flat_map(|batch| &batch.files).map(|file| &file.entry);
        files.filter(|entry| entry.other_names.is_some())
    }

    /// Returns the names of files that could not be removed, moved, examined or read, each with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let batches = || self.purges.iter().chain(&self.moves);
        let blocked = batches().flat_map(|batch| &batch.blocked);
        let blocked = blocked.chain(self.sealed.iter().flat_map(|batch| &batch.stuck));
        let stuck = blocked.filter_map(|blocked| match &blocked.reason {
            Reason::Stuck { why } => Some((blocked.name.as_str(), why.as_str())),
            _ => None,
        });
        let unread = batches().flat_map(|batch| &batch.files);
        stuck.chain(unread.filter_map(|file| Some((file.entry.name.as_str(), file.unread.as_deref()?))))
    }
}

/// Files of one expiry day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The expiry day.
    pub expires: Date,
    /// Files that are removed.
    pub files: Vec<Item>,
    /// Files that have to stay, and why.
    pub blocked: Vec<Blocked>,
    /// Names of missing vaults that segments to be removed say they have.
    pub vaultless: Vec<String>,
    /// Whether the shred key of the day is erased, too.
    pub key: bool,
    /// When more files of that day are due, in a zone other than the configured one.
    next: Option<Timestamp>,
    /// The zone of the files that were due first, if it is not the configured one.
    zone: Option<String>,
}

impl Batch {
    /// Creates an empty batch of that day.
    fn of(expires: Date) -> Self {
        let (files, blocked, vaultless) = Default::default();
        Self { expires, files, blocked, vaultless, key: false, next: None, zone: None }
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.blocked.is_empty() && !self.key
    }

    /// Returns the number of bytes in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.entry.bytes).sum()
    }

    /// Returns the number of lines in all files.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.files.iter().filter_map(|file| file.entry.lines).sum()
    }

    /// Applies `work` to each file to be removed, and keeps those for which it succeeds.
    ///
    /// If it fails for a file, that file has to stay and does not delay the others, unless the failure
    /// concerns all that follow.
    fn each(&mut self, does: &str, work: impl Fn(&Item) -> Result<(), Failure>) -> Result<(), Diagnostic> {
        for file in std::mem::take(&mut self.files) {
            match work(&file) {
                Ok(()) => self.files.push(file),
                Err(Failure::InUse) => {
                    self.blocked.push(Blocked { name: file.entry.name, reason: Reason::InUse });
                }
                Err(Failure::OfFile(error)) => {
                    self.blocked.push(Blocked { name: file.entry.name, reason: Reason::stuck(&error) });
                }
                Err(Failure::OfAll(error)) => return Err(failed(does, &file.path)(error)),
            }
        }
        Ok(())
    }

    /// Returns the files that should have been removed and are left, for the ledger.
    fn left(&self) -> Vec<LeftFile> {
        let stuck = self.blocked.iter().filter_map(|blocked| match &blocked.reason {
            Reason::Stuck { why } => Some(LeftFile { name: blocked.name.clone(), why: why.clone() }),
            _ => None,
        });
        stuck.collect()
    }
}

/// Why an operation on a file failed.
enum Failure {
    /// A filter that is starting is about to seal the part.
    InUse,
    /// The failure concerns this file only.
    OfFile(io::Error),
    /// The failure concerns all files.
    OfAll(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_of_one_file(&error) { Self::OfFile(error) } else { Self::OfAll(error) }
    }
}

impl Site {
    /// Returns what a purge would do now, without changing anything. The purge makes the same plan, day by
    /// day.
    ///
    /// # Errors
    /// If the archive, the shred keys or the ledger cannot be read.
    pub fn plan(&self, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        let history = self.history()?;
        let unfinished = &history.unfinished;
        let Displaced { misplaced, absent } = self.displaced(&history)?;
        let mut plan = Plan { misplaced, absent, fault: history.fault.clone(), ..Plan::default() };
        for expires in self.due_days(unfinished)? {
            let batch = self.batch(expires, unfinished.get(&expires), progress)?;
            plan.add(batch, unfinished.contains_key(&expires));
        }
        plan.of_others = self.of_others(&history.sealed, &plan);
        (plan.sealed, plan.unseen) = self.sealed_batches()?;
        plan.moves = self.moves(progress)?;
        plan.wraps = self.spent_wraps(&history.last_days, &plan.purges)?;
        if let Some(keyring) = self.keyring()? {
            plan.epochs = keyring.past(self.now)?;
        }
        Ok(plan)
    }

    /// Purges. Returns what was done and what had to stay.
    ///
    /// # Errors
    /// If the clock jumped and was not confirmed: then nothing is done. If anything cannot be read, written
    /// or erased: other days are purged nevertheless, and the next run continues from there.
    pub fn purge(&mut self, confirm_clock: bool, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        self.trust_clock(confirm_clock)?;
        let command = "purge".to_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        // Written even if there is nothing to do: an entry per day is needed to detect a clock that jumps.
        self.ledger.append(Event::Start { command: command.clone(), version })?;
        match self.purge_due(progress) {
            Ok(done) => {
                let exit = u8::from(done.is_blocked());
                let stuck = done.failures().next().map(|_| STUCK.id);
                let unseen = done.unseen.first().map(|_| quarantine::SEALED_LINES.id);
                let code = done.fault.as_ref().map(|_| ledger::FAULT.id).or(stuck).or(unseen);
                let code = code.map(str::to_owned);
                self.ledger.append(Event::Stop { command, exit, code })?;
                Ok(done)
            }
            Err(failure) => {
                let code = Some(failure.code.id.to_owned());
                // If the disk does not accept this entry either, report the original failure.
                let _ = self.ledger.append(Event::Stop { command, exit: 2, code });
                Err(failure)
            }
        }
    }

    fn purge_due(&mut self, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        let mut history = self.history()?;
        let displaced = self.displaced(&history);
        if let Some(LedgerFault { line, why, .. }) = &history.fault {
            self.ledger.append(Event::LedgerFault { line: *line, why: why.clone() })?;
        }
        let mut done = Plan { fault: history.fault.take(), ..Plan::default() };
        let looked = displaced.map(|found| (done.misplaced, done.absent) = (found.misplaced, found.absent));
        let mut failure = looked.err();
        let unfinished = &mut history.unfinished;
        for expires in self.due_days(unfinished)? {
            let before = unfinished.remove(&expires);
            let had_begun = before.is_some();
            match self.purge_day(expires, before, progress) {
                Ok(batch) => done.add(batch, had_begun),
                // The following days are due as well.
                Err(failed) => failure = failure.or(Some(failed)),
            }
        }
        done.of_others = self.of_others(&history.sealed, &done);
        // A failure of one of these does not stop the others either.
        let quarantine = self.purge_quarantine(history.quarantine);
        let quarantine = quarantine.map(|found| (done.sealed, done.unseen) = found);
        let moved = self.move_due(progress).map(|moves| done.moves = moves);
        let wraps = self.erase_spent_wraps(&history.last_days, &done.purges).map(|wraps| done.wraps = wraps);
        let epochs = self.erase_past_epochs(&history.secrets).map(|epochs| done.epochs = epochs);
        let failures = [quarantine, moved, wraps, epochs].into_iter().filter_map(Result::err);
        failure.into_iter().chain(failures).next().map_or(Ok(done), Err)
    }

    /// Returns the keyring of the node, if this purge handles it and it exists.
    fn keyring(&self) -> Result<Option<Keyring>, Diagnostic> {
        Ok(self.keys.clone().map(Keyring::existing).transpose()?.flatten())
    }

    fn erase_past_epochs(&self, made: &BTreeSet<(String, String)>) -> Result<Vec<Epoch>, Diagnostic> {
        let Some(keys) = &self.keys else { return Ok(Vec::new()) };
        let keyring = RecordedKeyring::open(keys.clone())?.waiting_with(Arc::clone(&self.patience));
        let mut keyring = keyring.told_to(Some(self.ledger.clone()));
        keyring.tell_the_end_of(made)?;
        keyring.erase_past(self.now)
    }

    /// Lets the purge have room that was set aside on the disk of the ledger: a disk that is full must not
    /// keep what is due, whose removal makes room.
    #[must_use]
    pub fn with_reserve(self) -> Self {
        let patience = Arc::new(Patience::default().with_reserve(self.ledger.reserve()));
        Self { ledger: self.ledger.waiting_with(Arc::clone(&patience)), patience, ..self }
    }

    /// Returns the legal day.
    #[must_use]
    pub fn today(&self) -> Date {
        self.now.to_zoned(self.zone.clone()).date()
    }

    /// Returns the legal day that has certainly come: if the clock jumped and nobody confirmed it, the
    /// earlier day.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn certain_day(&mut self) -> Result<Date, Diagnostic> {
        let before = self.ledger.clock_step()?.map(|step| step.from.to_zoned(self.zone.clone()).date());
        Ok(before.map_or(self.today(), |before| before.min(self.today())))
    }

    /// Returns why nothing is purged until somebody confirms the clock, if it jumped.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn clock_jump(&mut self) -> Result<Option<Diagnostic>, Diagnostic> {
        Ok(self.ledger.clock_step()?.map(|step| jumped(&step, self.ledger.now())))
    }

    /// Refuses to purge, and records that in the ledger, if the clock jumped and nobody confirms it. To be
    /// called before anything ends because its day has come: a hold is as hard to restore as a segment.
    ///
    /// # Errors
    /// If the clock jumped, or the ledger cannot be read or written.
    pub fn trust_clock(&mut self, confirm: bool) -> Result<(), Diagnostic> {
        if let Err(refusal) = self.check_clock(confirm) {
            let (code, clock) = (refusal.code.id.to_owned(), Some(self.ledger.now()));
            // The entry does not move the clock of the ledger, so a clock that is set right again needs no
            // confirmation.
            let kept =
                self.ledger.append_unmoved(Event::Refused { command: "purge".to_owned(), code, clock });
            return match kept {
                // A ledger that has failed reports only that, whereas the refusal says how it failed.
                Ok(_) | Err(LedgerError::Poisoned { .. }) => Err(refusal),
                Err(unkept) => Err(unkept.into()),
            };
        }
        Ok(())
    }

    fn check_clock(&mut self, confirm: bool) -> Result<(), Diagnostic> {
        let Some(step) = self.ledger.clock_step()? else { return Ok(()) };
        if !confirm {
            return Err(jumped(&step, self.ledger.now()));
        }
        let ClockStep { from, to } = step;
        self.ledger.append(Event::ClockConfirmed { from, to })?;
        Ok(())
    }

    fn purge_day(
        &mut self,
        expires: Date,
        before: Option<UnfinishedPurge>,
        progress: &dyn Fn(u64),
    ) -> Result<Batch, Diagnostic> {
        if expires <= self.today() {
            // From here on nobody begins a segment of that day, so what is listed now is complete.
            self.patience.attempt(self.shred.directory(), || self.shred.expire_until(expires))?;
        }
        let mut batch = self.batch(expires, before.as_ref(), progress)?;
        if batch.files.is_empty() && !batch.key && before.is_none() {
            return Ok(batch);
        }
        self.ledger.append(Event::PurgeIntent(joined(expires, &batch, before.as_ref())))?;
        let key = self.erase_key(&batch, before.as_ref());
        batch.each("remove", |file| self.unlink(file))?;
        self.remove_late(&mut batch, before.as_ref(), progress)?;
        self.sync_day(expires)?;
        self.check_gone(expires, &batch)?;
        // A key that could not be erased is no reason to keep lines as well, but the purge is not complete
        // while it exists.
        key?;
        self.ledger.append(Event::PurgeDone(joined(expires, &batch, before.as_ref())))?;
        Ok(batch)
    }

    fn erase_key(&mut self, batch: &Batch, before: Option<&UnfinishedPurge>) -> Result<(), Diagnostic> {
        if self.needs_key(batch) {
            return Ok(());
        }
        let expires = batch.expires;
        let erased = self.patience.attempt(self.shred.directory(), || self.shred.erase(expires))?;
        if erased || before.is_some_and(|begun| !begun.key_erased) {
            self.ledger.append(Event::ShredKeyErased { expires: expires.to_string() })?;
        }
        Ok(())
    }

    /// Removes segments that were sealed during the purge: a filter that starts seals the parts that a crash
    /// left, under their final names.
    fn remove_late(
        &mut self,
        batch: &mut Batch,
        before: Option<&UnfinishedPurge>,
        progress: &dyn Fn(u64),
    ) -> Result<(), Diagnostic> {
        let mut late = self.batch(batch.expires, before, progress)?.files;
        let files = |name: &str| batch.files.iter().any(|file| file.entry.name == name);
        late.retain(|file| {
            !files(&file.entry.name) && batch.blocked.iter().all(|blocked| blocked.name != file.entry.name)
        });
        if late.is_empty() {
            return Ok(());
        }
        let sealed: BTreeSet<String> = late.iter().map(|file| format!("{}.part", file.entry.name)).collect();
        batch.files.retain(|file| !sealed.contains(&file.entry.name));
        batch.blocked.retain(|blocked| !sealed.contains(&blocked.name));
        batch.files.extend(late);
        self.ledger.append(Event::PurgeIntent(joined(batch.expires, batch, before)))?;
        batch.each("remove", |file| self.unlink(file))
    }

    fn unlink(&self, file: &Item) -> Result<(), Failure> {
        // Held until the part is gone, so that nobody begins to seal it meanwhile.
        let lock = match file.is_part.then(|| locked(&*self.storage, &file.path)).transpose() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            locked => locked?,
        };
        if matches!(lock, Some(None)) {
            return Err(Failure::InUse);
        }
        match self.storage.unlink(&file.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Whatever the error, the next file may be on another disk. But object storage that does not
            // answer would cause a wait for each file.
            Err(error) if !is_remote(&file.path) => Err(Failure::OfFile(error)),
            unlinked => Ok(unlinked?),
        }
    }

    /// Makes the removals durable, and removes directories that are empty now, unless somebody may begin a
    /// segment there.
    fn sync_day(&self, expires: Date) -> Result<(), Diagnostic> {
        let is_over = expires <= self.today();
        for root in self.roots() {
            let day = root.join(format!("expires={expires}"));
            let listed = self.within(&day)?.unwrap_or_default();
            let classes = listed.into_iter().filter(|listed| listed.directory).map(|listed| listed.path);
            for directory in classes.chain([day.clone()]) {
                // Nothing was removed from a directory that cannot be listed.
                let there = self.storage.exists(&directory).map_err(failed("look for", &directory))?;
                if !there || self.within(&directory)?.is_none() {
                    continue;
                }
                self.storage.sync_directory(&directory).map_err(failed("sync", &directory))?;
                if is_over && self.within(&directory)?.is_some_and(|listed| listed.is_empty()) {
                    self.storage.remove_directory(&directory).map_err(failed("remove", &directory))?;
                }
            }
            if self.storage.exists(root).map_err(failed("look for", root))? {
                self.storage.sync_directory(root).map_err(failed("sync", root))?;
            }
        }
        Ok(())
    }

    /// Lists a directory; `None` if it cannot be listed, which is reported elsewhere.
    fn within(&self, directory: &Path) -> Result<Option<Vec<Listed>>, Diagnostic> {
        match self.storage.list(directory) {
            Err(error) if is_of_one_file(&error) => Ok(None),
            listed => listed.map(Some).map_err(failed("list", directory)),
        }
    }

    /// Lists the day again, and checks that nothing is left of what was to be removed.
    fn check_gone(&self, expires: Date, batch: &Batch) -> Result<(), Diagnostic> {
        let listed = self.files_of(expires)?;
        let left = listed.iter().find(|found| batch.files.iter().any(|file| file.path == found.path));
        match left {
            None => Ok(()),
            Some(left) => Err(Diagnostic::new(&LEFT, "a file that was removed is still there")
                .at(left.path.display().to_string())
                .because("somebody holds or made it anew")
                .hint("find out who writes there, then run `oubliette purge` again")),
        }
    }

    /// Returns the days that have come and have files, a shred key or an interrupted purge; also those that
    /// begin in some zone before the next day begins here.
    fn due_days(&self, unfinished: &BTreeMap<Date, UnfinishedPurge>) -> Result<BTreeSet<Date>, Diagnostic> {
        let mut days: BTreeSet<Date> = unfinished.keys().copied().collect();
        days.extend(self.shred.days()?);
        days.extend(self.days_of_trees()?);
        let tomorrow = self.today().saturating_add(1.day());
        let latest = purge_instant(tomorrow, &self.zone).unwrap_or(self.now);
        // No zone is ahead of that day.
        let latest = EASTERNMOST.to_datetime(latest).date();
        days.retain(|day| *day <= latest);
        Ok(days)
    }
}

/// Returns the message that a clock is not believed, which says `now`.
pub fn jumped(step: &ClockStep, now: Timestamp) -> Diagnostic {
    Diagnostic::new(
        &CLOCK,
        "the clock has jumped, so nothing is purged, and no hold or freeze ends by its day",
    )
    .because(readings(step, now))
    .hint("if it is right now, run `oubliette purge --confirm-clock`; if not, set it first")
}

/// Returns what a clock said before and after its jump, and what it says `now`: whoever confirms it may look at
/// a jump of last week, while the clock has gone wrong again.
#[must_use]
pub fn readings(ClockStep { from, to }: &ClockStep, now: Timestamp) -> String {
    match now.duration_since(*to).abs() < SignedDuration::from_hours(1) {
        true => format!("it said {from}, and then {to}"),
        false => format!("it said {from}, and then {to}; now it says {now}"),
    }
}

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let (what, place) = (format!("cannot {action} a file of the archive"), path.display().to_string());
    move |error| {
        Diagnostic::new(&IO, what)
            .at_path(place, error)
            .hint("mend the disk or the permissions, then run it again: it goes on where it stopped")
    }
}
