//! Purges quarantined lines whose day has come. A quarantined line is kept as long as its placeholder in the
//! output.

use super::{Blocked, Reason, Site};
use crate::ledger::event::{Event, Quarantined};
use crate::model::{Expires, Folder, Record, RetentionClass};
use crate::primitives::diag::Diagnostic;
use crate::quarantine::{self, SEALED_LINES, SealedLine, SealedLines};
use crate::retention::{Options, Policy, Stamper, TagForm};
use crate::rules::retention::RetentionError;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Quarantined lines of one expiry day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// The expiry day.
    pub expires: Date,
    /// Lines that are removed.
    pub lines: Vec<SealedLine>,
    /// Lines that have to stay, each with the case of a hold on segments of its class and day.
    pub held: Vec<(SealedLine, String)>,
    /// Lines that could not be removed, and why.
    pub stuck: Vec<Blocked>,
}

impl SealedBatch {
    /// Returns the number of lines that are removed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lines.len() as u64
    }

    fn entry(&self) -> Quarantined {
        let bytes = self.lines.iter().map(|line| line.bytes).sum();
        Quarantined { expires: self.expires, lines: self.count(), bytes, left: None }
    }

    /// Removes the lines, which `entry` lists. A line that cannot be removed does not delay the others.
    /// Returns the entry of what is gone.
    fn remove(&mut self, mut entry: Quarantined) -> Quarantined {
        for line in std::mem::take(&mut self.lines) {
            match quarantine::remove(&line) {
                Ok(()) => self.lines.push(line),
                Err(error) => {
                    entry.lines = entry.lines.saturating_sub(1);
                    entry.bytes = entry.bytes.saturating_sub(line.bytes);
                    self.stuck.push(Blocked { name: line.name(), reason: Reason::stuck(&error) });
                }
            }
        }
        let left = self.stuck.len() as u64;
        Quarantined { left: (left > 0).then_some(left), ..entry }
    }
}

/// A quarantined line whose day has come.
#[derive(Debug)]
pub(in crate::jobs) struct Due {
    /// The expiry day.
    pub(in crate::jobs) expires: Date,
    /// The folder in which its placeholder is archived.
    folder: Folder,
    line: SealedLine,
}

/// What was found in quarantine on some day.
#[derive(Debug, Default)]
pub(in crate::jobs) struct DueLines {
    /// The lines whose day has come.
    pub(in crate::jobs) due: Vec<Due>,
    /// The lines that cannot be dated, because nobody can look at them.
    pub(in crate::jobs) unseen: Vec<Blocked>,
}

/// Dates quarantined lines by the policy, which knows only when each line was quarantined.
#[derive(Debug)]
pub(in crate::jobs) struct Dates<'a> {
    classes: &'a [RetentionClass],
    zone: &'a TimeZone,
}

impl<'a> Dates<'a> {
    /// Creates the dates for these classes, with days in that zone.
    pub(in crate::jobs) fn new(classes: &'a [RetentionClass], zone: &'a TimeZone) -> Self {
        Self { classes, zone }
    }

    /// Returns the lines in `quarantine` whose day has come.
    ///
    /// # Errors
    /// If the folder cannot be read, or the policy has no default class.
    pub(in crate::jobs) fn due(&self, quarantine: &Path, today: Date) -> Result<DueLines, Diagnostic> {
        let SealedLines { lines, unseen } = quarantine::sealed_lines(quarantine)?;
        let unseen = unseen.into_iter().map(|(name, error)| Blocked { name, reason: Reason::stuck(&error) });
        let unseen = unseen.collect();
        if lines.is_empty() {
            return Ok(DueLines { due: Vec::new(), unseen });
        }
        let stamper = self.stamper()?;
        let due = |line: SealedLine| {
            let folder = folder(&stamper, &line);
            let Expires::On(expires) = folder.expires else { return None };
            (expires <= today).then_some(Due { expires, folder, line })
        };
        Ok(DueLines { due: lines.into_iter().filter_map(due).collect(), unseen })
    }

    fn stamper(&self) -> Result<Stamper, Diagnostic> {
        let policy =
            Policy::new(self.classes.to_vec()).ok_or_else(|| Diagnostic::from(&RetentionError::NoDefault))?;
        let options = Options {
            zone: self.zone.clone(),
            source_zone: None,
            backfill: false,
            archived: false,
            certain: None,
            tags: TagForm::None,
            trust_upstream: false,
        };
        Ok(Stamper::new(Arc::new(policy), options))
    }
}

/// Returns the number of lines in `quarantine` whose day has come by the legal day `today`, by these classes.
///
/// # Errors
/// If the folder or a line in it cannot be looked at, or the policy has no default class.
pub fn sealed_past_due(
    classes: &[RetentionClass],
    zone: &TimeZone,
    quarantine: &Path,
    today: Date,
) -> Result<u64, Diagnostic> {
    let DueLines { due, unseen } = Dates::new(classes, zone).due(quarantine, today)?;
    match unseen.first() {
        Some(Blocked { name, reason: Reason::Stuck { why } }) => {
            let what = "cannot look at lines in quarantine";
            Err(Diagnostic::new(&SEALED_LINES, what).at(name.clone()).because(why.clone()))
        }
        _ => Ok(due.len() as u64),
    }
}

/// Returns class and day that the placeholder of a line received.
fn folder(stamper: &Stamper, line: &SealedLine) -> Folder {
    let text = line.placeholder.to_string();
    let record = Record::raw(text.as_bytes());
    let dating = stamper.explain(text.as_bytes(), &record, line.sealed, &|_| None);
    let class = stamper.policy().classes()[dating.matched.class].name.clone();
    Folder { expires: dating.due.expires, class }
}

impl Site {
    /// Returns which quarantined lines are removed, and which have to stay; and those that cannot be dated.
    pub(super) fn sealed_batches(&self) -> Result<(Vec<SealedBatch>, Vec<Blocked>), Diagnostic> {
        let mut batches = BTreeMap::new();
        let found = Dates::new(&self.classes, &self.zone).due(&self.quarantine, self.today())?;
        for Due { expires, folder, line } in found.due {
            let empty = || SealedBatch { expires, lines: Vec::new(), held: Vec::new(), stuck: Vec::new() };
            let batch = batches.entry(expires).or_insert_with(empty);
            match self.case_of(&folder) {
                Some(case) => batch.held.push((line, case)),
                None => batch.lines.push(line),
            }
        }
        Ok((batches.into_values().collect(), found.unseen))
    }

    /// Returns the case of a hold on segments of that class and day: it may cover the quarantined line as
    /// well.
    fn case_of(&self, folder: &Folder) -> Option<String> {
        let inside = format!("{folder}/");
        self.held.iter().find(|(segment, _)| segment.starts_with(&inside)).map(|(_, case)| case.clone())
    }

    /// Removes the lines that are due, and completes what an interrupted purge had begun. Also returns the
    /// lines that cannot be dated.
    pub(super) fn purge_quarantine(
        &mut self,
        mut begun: BTreeMap<Date, Quarantined>,
    ) -> Result<(Vec<SealedBatch>, Vec<Blocked>), Diagnostic> {
        let (mut batches, unseen) = self.sealed_batches()?;
        for batch in batches.iter_mut().filter(|batch| !batch.lines.is_empty()) {
            // The entry of the interrupted purge lists both the lines that it removed and those that it left.
            let before = begun.remove(&batch.expires).filter(|before| before.lines >= batch.count());
            let entry = before.unwrap_or_else(|| batch.entry());
            self.ledger.append(Event::QuarantineIntent(entry.clone()))?;
            let gone = batch.remove(entry);
            self.end_quarantine(gone)?;
        }
        begun.into_values().try_for_each(|entry| self.end_quarantine(entry))?;
        Ok((batches, unseen))
    }

    fn end_quarantine(&mut self, entry: Quarantined) -> Result<(), Diagnostic> {
        quarantine::sync(&self.quarantine)?;
        self.ledger.append(Event::QuarantinePurged(entry))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;
    use crate::jobs::recognition::load_retention;
    use crate::jobs::scene::{DAY, MIDNIGHT, WRITTEN, events, segment, site};
    use crate::primitives::storage::Memory;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;
    use std::time::SystemTime;

    /// Returns the token of a line; each number gives a different token.
    fn token(number: u32) -> String {
        format!("qr_2epqf{number:026}")
    }

    fn seal(quarantine: &Path, number: u32, sealed: &str) -> PathBuf {
        fs::create_dir_all(quarantine).unwrap();
        let path = quarantine.join(format!("{}.age", token(number)));
        fs::write(&path, "sealed").unwrap();
        let sealed: jiff::Timestamp = sealed.parse().unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::from(sealed)).unwrap();
        path
    }

    fn site_with(memory: &Memory, quarantine: &Path, now: &str) -> Site {
        let classes = load_retention(&[]).unwrap().classes;
        Site { quarantine: quarantine.to_owned(), classes, ..site(memory, now).unwrap() }
    }

    fn purge(memory: &Memory, quarantine: &Path, now: &str) -> Plan {
        site_with(memory, quarantine, now).purge(true, &|_| {}).unwrap()
    }

    fn told(memory: &Memory) -> Vec<Event> {
        let of_quarantine =
            |event: &Event| matches!(event, Event::QuarantineIntent(_) | Event::QuarantinePurged(_));
        events(memory).into_iter().filter(of_quarantine).collect()
    }

    #[test]
    fn a_sealed_line_goes_on_the_day_of_its_placeholder_and_nothing_else_does() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let quarantine = directory.path().join("quarantine");
        let due = seal(&quarantine, 1, WRITTEN);
        // Legal midnight is an hour before midnight UTC.
        let later = seal(&quarantine, 2, "2026-11-23T23:00:00Z");
        fs::write(quarantine.join("identity.txt"), "").unwrap();
        assert_eq!(purge(&memory, &quarantine, "2027-11-23T22:59:59Z"), Plan::default());
        let plan = site_with(&memory, &quarantine, MIDNIGHT).plan(&|_| {}).unwrap();
        assert!(due.exists(), "a plan removes nothing");
        let done = purge(&memory, &quarantine, MIDNIGHT);
        assert_eq!(done, plan);
        assert_eq!((done.sealed[0].expires, done.sealed[0].count()), (DAY, 1));
        assert!(!due.exists() && later.exists() && quarantine.join("identity.txt").exists());
        let entry = Quarantined { expires: DAY, lines: 1, bytes: 6, left: None };
        assert_eq!(told(&memory), [Event::QuarantineIntent(entry.clone()), Event::QuarantinePurged(entry)]);
        assert_eq!(purge(&memory, &quarantine, MIDNIGHT), Plan::default());
        assert_eq!(told(&memory).len(), 2);
    }

    /// Nobody can remove a directory as a file, not even root.
    #[test]
    fn a_sealed_line_that_cannot_be_removed_saves_no_other() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let stuck = directory.path().join(format!("{}.age", token(1)));
        fs::create_dir(&stuck).unwrap();
        let written: jiff::Timestamp = WRITTEN.parse().unwrap();
        File::open(&stuck).unwrap().set_modified(SystemTime::from(written)).unwrap();
        let bytes = fs::metadata(&stuck).unwrap().len();
        let due = [seal(directory.path(), 2, WRITTEN), seal(directory.path(), 3, "2026-11-22T10:00:00Z")];
        let done = purge(&memory, directory.path(), MIDNIGHT);
        assert!(stuck.exists() && due.iter().all(|due| !due.exists()));
        assert!(done.is_blocked());
        let name = format!("quarantine/{}.age", token(1));
        assert_eq!(done.failures().map(|(name, _)| name).collect::<Vec<_>>(), [&*name]);
        let of_day: Vec<_> = told(&memory).into_iter().skip(2).collect();
        assert_eq!(
            of_day,
            [
                Event::QuarantineIntent(Quarantined { expires: DAY, lines: 2, bytes: bytes + 6, left: None }),
                Event::QuarantinePurged(Quarantined { expires: DAY, lines: 1, bytes: 6, left: Some(1) }),
            ]
        );
        let last = events(&memory).pop();
        assert!(
            matches!(&last, Some(Event::Stop { exit: 1, code: Some(code), .. }) if code == "P08"),
            "{last:?}"
        );
        fs::remove_dir(&stuck).unwrap();
        assert_eq!(purge(&memory, directory.path(), MIDNIGHT), Plan::default());
    }

    /// The directory can be listed, but the paths of its files are too long for the operating system.
    #[test]
    fn a_line_that_nobody_can_look_at_is_named_and_everything_else_goes() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let mut deep = directory.path().to_owned();
        while deep.as_os_str().len() < 4060 - 201 {
            deep.push("d".repeat(200));
        }
        deep.push("d".repeat(4080 - deep.as_os_str().len()));
        fs::create_dir_all(&deep).unwrap();
        let name = format!("{}.age", token(1));
        let opened = File::open(&deep).unwrap();
        fs::write(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()), "sealed").unwrap();
        let done = purge(&memory, &deep, MIDNIGHT);
        let unseen: Vec<_> = done.unseen.iter().map(|blocked| blocked.name.as_str()).collect();
        assert_eq!((unseen, done.is_blocked()), (vec![&*format!("quarantine/{name}")], true));
        let last = events(&memory).pop();
        assert!(
            matches!(&last, Some(Event::Stop { exit: 1, code: Some(code), .. }) if code == "Q06"),
            "{last:?}"
        );
    }

    #[test]
    fn a_clock_that_has_jumped_purges_no_sealed_line() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let due = seal(directory.path(), 1, WRITTEN);
        purge(&memory, directory.path(), WRITTEN);
        let refused = site_with(&memory, directory.path(), MIDNIGHT).purge(false, &|_| {}).unwrap_err();
        assert_eq!((refused.code.id, due.exists()), ("P01", true));
    }

    #[test]
    fn a_hold_on_the_class_and_day_keeps_sealed_lines() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let due = seal(directory.path(), 1, WRITTEN);
        let class = {
            let site = site_with(&memory, directory.path(), MIDNIGHT);
            Dates::new(&site.classes, &site.zone).due(&site.quarantine, DAY).unwrap().due[0]
                .folder
                .class
                .clone()
        };
        let held = |class: &str| {
            let mut site = site_with(&memory, directory.path(), MIDNIGHT);
            site.held.insert(segment(DAY, class).to_string(), "case 7".to_owned());
            site.purge(true, &|_| {}).unwrap()
        };
        let plan = held(class.as_str());
        assert!(plan.is_blocked() && due.exists());
        assert_eq!((plan.sealed[0].count(), plan.sealed[0].held[0].1.as_str()), (0, "case 7"));
        assert_eq!(told(&memory), []);
        assert!(!held("another").is_blocked() && !due.exists());
    }

    #[test]
    fn a_purge_that_broke_off_is_ended_and_counted_once() {
        let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
        let left = seal(directory.path(), 1, WRITTEN);
        // It removed two of three lines. Of another day it removed all lines, and stopped before it recorded
        // that.
        let entry = |expires, lines| Quarantined { expires, lines, bytes: 6 * lines, left: None };
        let begun = [entry(DAY, 3), entry(jiff::civil::date(2027, 11, 1), 2)];
        for entry in &begun {
            let mut ledger = site_with(&memory, directory.path(), MIDNIGHT).ledger;
            ledger.append(Event::QuarantineIntent(entry.clone())).unwrap();
        }
        purge(&memory, directory.path(), MIDNIGHT);
        assert!(!left.exists());
        let [first, second] = begun.map(Event::QuarantinePurged);
        assert_eq!(told(&memory)[3..], [first, second]);
    }
}
