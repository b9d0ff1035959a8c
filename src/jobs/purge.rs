//! `purge`: what has expired goes, and the ledger proves it; what is due for it moves to the intermediate
//! store.
//!
//! For each expiry day that has come, in this order:
//!
//! ```text
//! no key of that day is made any more -> ledger: intent -> erase H -> unlink -> sync -> list again
//!                                                                                  -> ledger: done
//! ```
//! A file that cannot be read goes as the others do, without its hash; one that cannot be removed holds neither H nor
//! another file up, and the end says that it is left. Each step may be done twice, so that a run after a crash, or after
//! days without one, goes on where the last one stopped. A filter that writes meanwhile has its parts locked and gets no
//! key of a day that is over; a segment that is held stays, and so does H. Lines in quarantine go likewise, with entries of
//! their own, and so do secrets of epochs that are over, and their wraps when nothing needs them any more.

mod astray;
mod codes;
mod inventory;
mod moving;
mod place;
mod quarantined;
#[cfg(test)]
mod tests;
mod wraps;

use super::custody::RecordedKeyring;
use crate::keyring::{self, Keyring, Wrap};
use crate::ledger::event::{self, Event, LeftFile, Purge, PurgedFile};
use crate::ledger::{self, ClockStep, Ledger, LedgerError};
use crate::model::{RetentionClass, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Listed, Storage, is_of_one_file, is_remote};
use crate::pseudonym::epoch::Epoch;
use crate::retention::expiry::purge_instant;
use crate::shred::ShredStore;
pub use astray::{Absent, Astray};
use astray::{NotInPlace, Sealed};
pub use codes::{ASTRAY, BLOCKED, CODES, LINKED, OF_OTHERS, STUCK};
use codes::{CLOCK, IO, LEFT};
pub use inventory::{Blocked, Item, Reason};
pub(in crate::jobs) use inventory::{hash, identify};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
pub(in crate::jobs) use moving::SECOND_PHASE_FILE_MODE;
pub use place::NOT_THERE;
pub(in crate::jobs) use place::keep;
pub(in crate::jobs) use quarantined::Dates;
pub use quarantined::{SealedBatch, sealed_past_due};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wraps::LastDays;

/// The zone in which a day begins first: that of Kiribati.
const EASTERNMOST: Offset = Offset::constant(14);

/// What a purge works on.
#[derive(Debug)]
pub struct Site {
    /// Where files are.
    pub storage: Arc<dyn Storage>,
    /// Segments and vaults.
    pub tree: Tree,
    /// The sealed store of the second phase.
    pub intermediate: PathBuf,
    /// The folder of sealed lines.
    pub quarantine: PathBuf,
    /// What opens the keyring of the node; `None` if its secrets are none of this purge's business.
    pub keys: Option<keyring::Settings>,
    /// Shred keys.
    pub shred: ShredStore,
    /// The ledger.
    pub ledger: Ledger,
    /// The classes of the policy.
    pub classes: Vec<RetentionClass>,
    /// Names of the segments that are frozen, each with its case.
    pub held: BTreeMap<String, String>,
    /// The legal zone.
    pub zone: TimeZone,
    /// The present.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that go, by expiry day.
    pub purges: Vec<Batch>,
    /// Segments that move to the intermediate store, by expiry day.
    pub moves: Vec<Batch>,
    /// Lines that go from quarantine, by expiry day.
    pub sealed: Vec<SealedBatch>,
    /// Epochs that are over whose secret goes.
    pub epochs: Vec<Epoch>,
    /// Wraps of secrets that go, for nothing is left of what was archived under them.
    pub wraps: Vec<Wrap>,
    /// Segments of days that are over that lie under another day: they stay, for somebody has to look at that.
    pub astray: Vec<Astray>,
    /// Segments of days that are purged now that are nowhere to be found.
    pub absent: Vec<Absent>,
    /// How many segments go of which the ledger lists none, nor has seen such go: somebody else's holds may be of them.
    pub of_others: usize,
    /// When segments are due next whose zone is not the one that is configured now.
    pub next: Option<Timestamp>,
    /// Where the ledger is not what was written. What is due goes all the same: the law's day waits for nobody.
    pub fault: Option<LedgerFault>,
}

/// Where a ledger is not what was written; nothing that it says from there on is relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFault {
    /// The file and the line.
    pub place: String,
    /// What is wrong with the line.
    pub why: String,
    /// The line, from 1.
    line: u64,
}

impl LedgerFault {
    /// The fault that `error` tells of; `error` itself if it is none.
    fn of(error: LedgerError) -> Result<Self, LedgerError> {
        let LedgerError::Fault { path, fault } = error else { return Err(error) };
        let place = format!("{}:{}, byte {}", path.display(), fault.line, fault.offset);
        Ok(Self { place, why: fault.kind.to_string(), line: fault.line })
    }
}

impl Plan {
    /// Takes what is planned of a day, or done, which may be nothing.
    fn add(&mut self, batch: Batch, had_begun: bool) {
        self.next = self.next.into_iter().chain(batch.next).min();
        self.purges.extend((!batch.is_empty() || had_begun).then_some(batch));
    }

    /// Whether something that is due was nowhere to be found: a disk may be missing.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        !self.absent.is_empty() || self.purges.iter().any(|batch| !batch.vaultless.is_empty())
    }

    /// Whether a file of a day that is over has to stay, or is not where it should be; or goes though it may be held elsewhere.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.astray.is_empty()
            || self.is_incomplete()
            || self.of_others > 0
            || self.fault.is_some()
            || self.sealed.iter().any(|batch| !batch.held.is_empty())
            || self.purges.iter().any(|batch| !batch.blocked.is_empty())
            || self.failures().next().is_some()
            || self.linked().next().is_some()
    }

    /// Segments that go and whose bytes lie under other names as well.
    pub fn linked(&self) -> impl Iterator<Item = &PurgedFile> {
        let files = self.purges.iter().flat_map(|batch| &batch.files).map(|file| &file.entry);
        files.filter(|entry| entry.other_names.is_some())
    }

    /// Names of files that could not be removed, moved or looked at, and of those that went unread; and why.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let batches = || self.purges.iter().chain(&self.moves);
        let stuck = batches().flat_map(|batch| &batch.blocked).filter_map(|blocked| match &blocked.reason {
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
    /// The day.
    pub expires: Date,
    /// Those that go.
    pub files: Vec<Item>,
    /// Those that have to stay, and why.
    pub blocked: Vec<Blocked>,
    /// Names of vaults that are not there, and that segments which go say they have.
    pub vaultless: Vec<String>,
    /// Whether the shred key of the day goes, too.
    pub key: bool,
    /// When more of that day is due, in another zone than the one that is configured now.
    next: Option<Timestamp>,
    /// The zone of those that were due first, if it is another than the one that is configured now.
    zone: Option<String>,
}

impl Batch {
    /// Nothing of that day.
    fn of(expires: Date) -> Self {
        let (files, blocked, vaultless) = Default::default();
        Self { expires, files, blocked, vaultless, key: false, next: None, zone: None }
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.blocked.is_empty() && !self.key
    }

    /// Their bytes together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.entry.bytes).sum()
    }

    /// Their lines together.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.files.iter().filter_map(|file| file.entry.lines).sum()
    }

    /// Does something with each file that goes. One that it fails with has to stay and holds up no other, unless the failure
    /// is one of all that follow. Those with which it was done are left.
    fn each(&mut self, does: &str, work: impl Fn(&Item) -> Result<(), Failure>) -> Result<(), Diagnostic> {
        for file in std::mem::take(&mut self.files) {
            match work(&file) {
                Ok(()) => self.files.push(file),
                Err(Failure::OfFile(error)) => {
                    self.blocked.push(Blocked { name: file.entry.name, reason: Reason::stuck(&error) });
                }
                Err(Failure::OfAll(error)) => return Err(failed(does, &file.path)(error)),
            }
        }
        Ok(())
    }

    /// What the ledger is told of those that have to stay and are kept by nothing.
    fn left(&self) -> Vec<LeftFile> {
        let stuck = self.blocked.iter().filter_map(|blocked| match &blocked.reason {
            Reason::Stuck { why } => Some(LeftFile { name: blocked.name.clone(), why: why.clone() }),
            _ => None,
        });
        stuck.collect()
    }
}

/// Why something could not be done with a file.
enum Failure {
    /// Others may go.
    OfFile(io::Error),
    /// Nor can it be done with others.
    OfAll(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_of_one_file(&error) { Self::OfFile(error) } else { Self::OfAll(error) }
    }
}

/// What the ledger says of the past.
#[derive(Debug)]
struct History {
    /// Purges that have an intent and no end.
    begun: BTreeMap<Date, Begun>,
    /// Purges of sealed lines that have an intent and no end.
    quarantine: BTreeMap<Date, event::Quarantined>,
    /// What was sealed and not purged.
    sealed: Sealed,
    /// Until when secrets are needed.
    last_days: LastDays,
    /// Where it is not what was written: nothing after that is known.
    fault: Option<LedgerFault>,
}

/// What a purge that broke off had begun.
#[derive(Debug, Default)]
struct Begun {
    files: Vec<PurgedFile>,
    zone: Option<String>,
    key_erased: bool,
}

impl Begun {
    /// Whether it listed a file of that name, with its store.
    fn lists(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

impl Site {
    /// What a purge would do now. Nothing is changed; the purge makes the same plan, day by day.
    ///
    /// # Errors
    /// If the archive, the shred keys or the ledger cannot be read.
    pub fn plan(&self, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        let history = self.history()?;
        let begun = &history.begun;
        let NotInPlace { astray, absent } = self.not_in_place(&history)?;
        let mut plan = Plan { astray, absent, fault: history.fault.clone(), ..Plan::default() };
        for expires in self.due_days(begun)? {
            let batch = self.batch(expires, begun.get(&expires), progress)?;
            plan.add(batch, begun.contains_key(&expires));
        }
        plan.of_others = self.of_others(&history.sealed, &plan);
        plan.sealed = self.sealed_batches()?;
        plan.moves = self.moves(progress)?;
        plan.wraps = self.spent_wraps(&history.last_days, &plan.purges)?;
        if let Some(keyring) = self.keyring()? {
            plan.epochs = keyring.past(self.now)?;
        }
        Ok(plan)
    }

    /// Does it. What it did, and what had to stay.
    ///
    /// # Errors
    /// A clock that jumped and was not confirmed: then nothing is done. Anything that cannot be read, written
    /// or erased: other days are purged all the same, and the next run goes on from there.
    pub fn purge(&mut self, confirm_clock: bool, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        self.trust_clock(confirm_clock)?;
        let command = "purge".to_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        // Whatever there is to do: an entry a day is what a clock that jumps is told by.
        self.ledger.append(Event::Start { command: command.clone(), version })?;
        match self.purge_due(progress) {
            Ok(done) => {
                let exit = u8::from(done.is_blocked());
                let stuck = done.failures().next().map(|_| STUCK.id);
                let code = done.fault.as_ref().map(|_| ledger::FAULT.id).or(stuck).map(str::to_owned);
                self.ledger.append(Event::Stop { command, exit, code })?;
                Ok(done)
            }
            Err(failure) => {
                let code = Some(failure.code.id.to_owned());
                // On a disk that takes no entry either, the failure is what there is to tell.
                let _ = self.ledger.append(Event::Stop { command, exit: 2, code });
                Err(failure)
            }
        }
    }

    fn purge_due(&mut self, progress: &dyn Fn(u64)) -> Result<Plan, Diagnostic> {
        let mut history = self.history()?;
        let not_in_place = self.not_in_place(&history);
        if let Some(LedgerFault { line, why, .. }) = &history.fault {
            self.ledger.append(Event::LedgerFault { line: *line, why: why.clone() })?;
        }
        let mut done = Plan { fault: history.fault.take(), ..Plan::default() };
        let looked = not_in_place.map(|found| (done.astray, done.absent) = (found.astray, found.absent));
        let mut failure = looked.err();
        let begun = &mut history.begun;
        for expires in self.due_days(begun)? {
            let before = begun.remove(&expires);
            let had_begun = before.is_some();
            match self.purge_day(expires, before, progress) {
                Ok(batch) => done.add(batch, had_begun),
                // The days after it are due as well.
                Err(failed) => failure = failure.or(Some(failed)),
            }
        }
        done.of_others = self.of_others(&history.sealed, &done);
        // Nor does one of these hold the others up.
        let quarantine = self.purge_quarantine(history.quarantine).map(|sealed| done.sealed = sealed);
        let moved = self.move_due(progress).map(|moves| done.moves = moves);
        let wraps = self.erase_spent_wraps(&history.last_days, &done.purges).map(|wraps| done.wraps = wraps);
        let epochs = self.erase_past_epochs().map(|epochs| done.epochs = epochs);
        let failures = [quarantine, moved, wraps, epochs].into_iter().filter_map(Result::err);
        failure.into_iter().chain(failures).next().map_or(Ok(done), Err)
    }

    /// The keyring of the node, if it is of any business here and there is one.
    fn keyring(&self) -> Result<Option<Keyring>, Diagnostic> {
        Ok(self.keys.clone().map(Keyring::existing).transpose()?.flatten())
    }

    fn erase_past_epochs(&self) -> Result<Vec<Epoch>, Diagnostic> {
        let Some(keys) = &self.keys else { return Ok(Vec::new()) };
        let mut keyring = RecordedKeyring::open(keys.clone())?.told_to(Some(self.ledger.clone()));
        keyring.erase_past(self.now)
    }

    /// The legal day.
    #[must_use]
    pub fn today(&self) -> Date {
        self.now.to_zoned(self.zone.clone()).date()
    }

    /// The legal day that is surely there: of a clock that jumped and that nobody confirmed, the earlier one.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn certain_day(&mut self) -> Result<Date, Diagnostic> {
        let before = self.ledger.clock_step()?.map(|step| step.from.to_zoned(self.zone.clone()).date());
        Ok(before.map_or(self.today(), |before| before.min(self.today())))
    }

    /// Why nothing is purged before somebody confirms the clock, if that is so.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn clock_jump(&mut self) -> Result<Option<Diagnostic>, Diagnostic> {
        Ok(self.ledger.clock_step()?.map(|step| jumped(&step)))
    }

    /// Refuses to purge, and keeps that in the ledger, if the clock jumped and nobody confirms it. To be called before
    /// anything ends because its day has come: a hold is as hard to bring back as a segment.
    ///
    /// # Errors
    /// If it jumped; if the ledger cannot be read or written.
    pub fn trust_clock(&mut self, confirm: bool) -> Result<(), Diagnostic> {
        if let Err(refusal) = self.check_clock(confirm) {
            let (code, clock) = (refusal.code.id.to_owned(), Some(self.ledger.now()));
            // A clock that is set right again needs nobody to confirm it.
            let kept =
                self.ledger.append_unmoved(Event::Refused { command: "purge".to_owned(), code, clock });
            return match kept {
                // A ledger that has failed says no more than that; the refusal says how.
                Ok(_) | Err(LedgerError::Poisoned { .. }) => Err(refusal),
                Err(unkept) => Err(unkept.into()),
            };
        }
        Ok(())
    }

    fn check_clock(&mut self, confirm: bool) -> Result<(), Diagnostic> {
        let Some(step) = self.ledger.clock_step()? else { return Ok(()) };
        if !confirm {
            return Err(jumped(&step));
        }
        let ClockStep { from, to } = step;
        self.ledger.append(Event::ClockConfirmed { from, to })?;
        Ok(())
    }

    fn purge_day(
        &mut self,
        expires: Date,
        before: Option<Begun>,
        progress: &dyn Fn(u64),
    ) -> Result<Batch, Diagnostic> {
        if expires <= self.today() {
            // From here on nobody begins a segment of that day: what is listed now is all there is.
            self.shred.expire_until(expires)?;
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
        // One that is still there is no reason to keep lines as well; without it the purge is not at its end.
        key?;
        self.ledger.append(Event::PurgeDone(joined(expires, &batch, before.as_ref())))?;
        Ok(batch)
    }

    fn erase_key(&mut self, batch: &Batch, before: Option<&Begun>) -> Result<(), Diagnostic> {
        if self.needs_key(batch) {
            return Ok(());
        }
        let expires = batch.expires;
        let erased = self.shred.erase(expires)?;
        if erased || before.is_some_and(|begun| !begun.key_erased) {
            self.ledger.append(Event::ShredKeyErased { expires: expires.to_string() })?;
        }
        Ok(())
    }

    /// A filter that starts seals what a crash left, under its last name, while that is being purged: it goes as well.
    fn remove_late(
        &mut self,
        batch: &mut Batch,
        before: Option<&Begun>,
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
        if file.is_part && !self.is_abandoned(&file.path)? {
            // Whoever starts is about to seal it.
            return Err(Failure::OfFile(io::ErrorKind::ResourceBusy.into()));
        }
        match self.storage.unlink(&file.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Whatever it is, the next file may lie on another disk. Of object storage that is away each would be waited for.
            Err(error) if !is_remote(&file.path) => Err(Failure::OfFile(error)),
            unlinked => Ok(unlinked?),
        }
    }

    /// Makes the removals durable, and removes the directories that are empty now, unless somebody may begin a segment there.
    fn sync_day(&self, expires: Date) -> Result<(), Diagnostic> {
        let is_over = expires <= self.today();
        for root in self.roots() {
            let day = root.join(format!("expires={expires}"));
            let listed = self.within(&day)?.unwrap_or_default();
            let classes = listed.into_iter().filter(|listed| listed.directory).map(|listed| listed.path);
            for directory in classes.chain([day.clone()]) {
                // Out of one that cannot be listed nothing was removed.
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

    /// What is in a directory; `None` if it is one that cannot be listed, which is told as such.
    fn within(&self, directory: &Path) -> Result<Option<Vec<Listed>>, Diagnostic> {
        match self.storage.list(directory) {
            Err(error) if is_of_one_file(&error) => Ok(None),
            listed => listed.map(Some).map_err(failed("list", directory)),
        }
    }

    /// Lists again: of what was to go, nothing may be there.
    fn check_gone(&self, expires: Date, batch: &Batch) -> Result<(), Diagnostic> {
        let listed = self.lying(expires)?;
        let left = listed.iter().find(|lying| batch.files.iter().any(|file| file.path == lying.path));
        match left {
            None => Ok(()),
            Some(left) => Err(Diagnostic::new(&LEFT, "a file that was removed is still there")
                .at(left.path.display().to_string())
                .because("somebody holds or made it anew")
                .hint("find out who writes there, then run `oubliette purge` again")),
        }
    }

    /// Days that are over and have files, a shred key, or a purge that broke off; and those that begin in some zone before
    /// the next one begins here.
    fn due_days(&self, begun: &BTreeMap<Date, Begun>) -> Result<BTreeSet<Date>, Diagnostic> {
        let mut days: BTreeSet<Date> = begun.keys().copied().collect();
        days.extend(self.shred.days()?);
        days.extend(self.days_of_trees()?);
        let tomorrow = self.today().saturating_add(1.day());
        let latest = purge_instant(tomorrow, &self.zone).unwrap_or(self.now);
        // Nowhere is the day ahead of that.
        let latest = EASTERNMOST.to_datetime(latest).date();
        days.retain(|day| *day <= latest);
        Ok(days)
    }

    fn history(&self) -> Result<History, Diagnostic> {
        let mut history = History {
            begun: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            sealed: Sealed::until(self.today()),
            last_days: LastDays::default(),
            fault: None,
        };
        let mut hear = |event| history.hear(event);
        let read = self.ledger.read(&mut |entry, _| entry.event().into_iter().for_each(&mut hear));
        history.fault = read.err().map(LedgerFault::of).transpose()?;
        Ok(history)
    }
}

impl History {
    fn hear(&mut self, event: Event) {
        self.sealed.hear(&event);
        self.last_days.hear(&event);
        match event {
            Event::PurgeIntent(purge) => {
                let begun = self.begun.entry(purge.expires).or_default();
                (begun.files, begun.zone) = (purge.files, purge.zone);
            }
            Event::ShredKeyErased { expires } => {
                let day = expires.parse::<Date>().ok();
                if let Some(begun) = day.and_then(|day| self.begun.get_mut(&day)) {
                    begun.key_erased = true;
                }
            }
            Event::PurgeDone(purge) => drop(self.begun.remove(&purge.expires)),
            Event::QuarantineIntent(lines) => drop(self.quarantine.insert(lines.expires, lines)),
            Event::QuarantinePurged(lines) => drop(self.quarantine.remove(&lines.expires)),
            _ => {}
        }
    }
}

/// What the ledger is told: the files that are there, and those that a run before this one listed and perhaps
/// removed.
fn joined(expires: Date, batch: &Batch, before: Option<&Begun>) -> Purge {
    let listed = batch.files.iter().map(|file| file.entry.clone());
    // Of what was listed first nothing may be left that states it.
    let zone = before.and_then(|begun| begun.zone.clone()).or_else(|| batch.zone.clone());
    let before = before.map(|begun| begun.files.clone()).unwrap_or_default();
    let mut files: BTreeMap<String, PurgedFile> =
        before.into_iter().chain(listed).map(|file| (file.name.clone(), file)).collect();
    let left = batch.left();
    // In a directory that cannot be listed may be what was removed, and what was not.
    let is_in = |name: &str, left: &LeftFile| {
        name.strip_prefix(&*left.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    files.retain(|name, _| !left.iter().any(|left| is_in(name, left)));
    let files: Vec<PurgedFile> = files.into_values().collect();
    let bytes = files.iter().filter_map(|file| file.bytes).sum();
    let lines = files.iter().filter_map(|file| file.lines).sum();
    Purge { expires, files, bytes, lines, zone, left }
}

fn jumped(ClockStep { from, to }: &ClockStep) -> Diagnostic {
    Diagnostic::new(&CLOCK, "the clock has jumped, so nothing is purged and no hold ends by its day")
        .because(format!("it said {from}, and then {to}"))
        .hint("if it is right now, run `oubliette purge --confirm-clock`; if not, set it first")
}

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let (what, place) = (format!("cannot {action} a file of the archive"), path.display().to_string());
    move |error| {
        Diagnostic::new(&IO, what)
            .at(place)
            .because(error.to_string())
            .hint("mend the disk or the permissions, then run it again: it goes on where it stopped")
    }
}
