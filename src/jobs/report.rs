//! `report`: what is kept, for how long and on what basis, what was purged, and who intervened.
//!
//! The report is for the data protection officer (GDPR 5(2), 30). It is made from the ledger and the footers
//! of segments, needs no secret and shows no token.

mod lost;

use super::ledger::{self, LedgerReport};
use super::purge::{Dates, keep};
use crate::archive::{self, ArchiveError, Segment};
use crate::ledger::event::{self, Event};
use crate::ledger::{ClockStep, Entry, LedgerError};
use crate::model::{ClassName, Expires, NodeName, RetentionClass, SegmentName, Starts, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// What to report on.
#[derive(Debug)]
pub struct Scope {
    /// The storage of all files.
    pub storage: Arc<dyn Storage>,
    /// Segments and vaults.
    pub tree: Tree,
    /// The intermediate store, of the second phase.
    pub intermediate: PathBuf,
    /// The folder of quarantined lines.
    pub quarantine: PathBuf,
    /// The folder of shred keys.
    pub shred: PathBuf,
    /// The folder of the ledger.
    pub ledger: PathBuf,
    /// The policy in force.
    pub classes: Vec<RetentionClass>,
    /// The legal zone.
    pub zone: TimeZone,
    /// The legal days whose purges and interventions are reported.
    pub days: RangeInclusive<Date>,
    /// The present.
    pub now: Timestamp,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When the report was made.
    pub made: Timestamp,
    /// The legal zone.
    pub zone: String,
    /// The first legal day whose purges and interventions are reported.
    pub from: Date,
    /// The last such day.
    pub to: Date,
    /// What a person must attend to; empty if there is nothing.
    pub attention: Vec<String>,
    /// The classes of the policy, in order.
    pub policy: Vec<Class>,
    /// What the archive holds, by class.
    pub kept: Vec<Kept>,
    /// Keys made and erased since the ledger began.
    pub keys: Keys,
    /// Purges within the reported days.
    pub purges: Vec<Purged>,
    /// What people and faults did within the reported days: holds, replays, reveals, refusals, confirmations.
    pub interventions: Vec<Entry>,
    /// The number of entries in the whole ledger.
    pub ledger_entries: u64,
    /// The end of the ledger, to be kept elsewhere for `oubliette ledger verify --expect`.
    pub ledger_end: String,
}

/// A class of the policy.
#[derive(Debug, Serialize)]
pub struct Class {
    /// The name of the class.
    pub name: String,
    /// What the class contains.
    pub description: String,
    /// How long it is kept, in all its phases.
    pub keep: String,
    /// When the retention period starts.
    pub starts: String,
    /// The legal basis.
    pub basis: String,
}

/// What the archive holds of one class.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The name of the class.
    pub class: String,
    /// The number of sealed segments.
    pub segments: u64,
    /// The number of segments still being written, whose lines are not counted.
    pub parts: u64,
    /// The number of lines in sealed segments.
    pub lines: u64,
    /// The number of bytes in sealed segments.
    pub bytes: u64,
    /// The legal day of the earliest event.
    pub first_event: Option<Date>,
    /// The legal day of the latest event.
    pub last_event: Option<Date>,
    /// The first day on which some of it must be gone; `None` if none of it has a known end.
    pub first_expiry: Option<Date>,
    /// The first day on which all of it must be gone, except what has no known end.
    pub last_expiry: Option<Date>,
}

/// Numbers of keys since the ledger began.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// Epoch secrets made.
    pub epoch_secrets_made: u64,
    /// Epoch secrets erased on this node.
    pub epoch_secrets_erased: u64,
    /// Wraps erased of secrets that nothing archived needs any more.
    pub wraps_erased: u64,
    /// Shred keys made, one per expiry day.
    pub shred_keys_made: u64,
    /// Shred keys erased.
    pub shred_keys_erased: u64,
}

/// A purge that was completed.
#[derive(Debug, Serialize)]
pub struct Purged {
    /// The expiry day of what was purged.
    pub expires: Date,
    /// When it was gone, by the machine's clock.
    pub at: Timestamp,
    /// The number of legal days from the expiry day to the purge, in the zone in which the expiry day began
    /// first; 0 is on that day.
    pub days_late: i64,
    /// The number of files.
    pub files: u64,
    /// The number of lines.
    pub lines: u64,
    /// The number of bytes.
    pub bytes: u64,
}

/// Makes the report. It reads only the footers of segments.
///
/// # Errors
/// If the ledger, a directory or a segment cannot be read.
pub fn report(scope: &Scope) -> Result<Report, Diagnostic> {
    let today = scope.zone.to_datetime(scope.now).date();
    let mut facts = Facts::default();
    let (ledger, verifier) = facts.read(scope)?;
    let mut attention: Vec<String> =
        ledger.findings.iter().map(|finding| format!("the ledger is not whole: {}", finding.what)).collect();
    attention.extend(verifier.head().step.map(|ClockStep { from, to }| {
        format!(
            "the clock said {from}, and then {to}, and nobody has confirmed it: nothing is purged until then; `oubliette explain P01`"
        )
    }));
    attention.extend(facts.unfinished.iter().map(|day| format!("a purge of {day} was begun and not ended")));
    let begun = |day| format!("a purge of lines in quarantine of {day} was begun and not ended");
    attention.extend(facts.quarantine_unfinished.iter().map(begun));
    let lost = |day: &String| {
        format!(
            "a shred key of expiry day {day} is lost: nobody can give back originals of what was archived under it"
        )
    };
    attention.extend(facts.lost.iter().map(lost));
    let stores = stores(scope, today, &mut attention)?;
    attention.extend(lost::lost(scope, &facts, &stores)?);
    let kept = stores.kept;
    if kept.is_empty() && !facts.sealed.is_empty() {
        attention.push(format!(
            "no segment lies in {}, though the ledger says that segments were sealed and not purged: {}; name the archive, with its disk mounted",
            scope.tree.archive.display(),
            facts.sealed.len()
        ));
    }
    let sealed = Dates::new(&scope.classes, &scope.zone).due(&scope.quarantine, today)?;
    if !sealed.unseen.is_empty() {
        let count = sealed.unseen.len();
        attention
            .push(format!("lines in quarantine whose day nobody can tell: {count}; `oubliette explain Q06`"));
    }
    let mut overdue = BTreeMap::<Date, u64>::new();
    sealed.due.iter().for_each(|due| *overdue.entry(due.expires).or_default() += 1);
    let left = |(day, lines)| {
        format!("lines in quarantine past their expiry day {day}: {lines}; `oubliette purge` says why")
    };
    attention.extend(overdue.into_iter().map(left));
    let names = scope.classes.iter().map(|class| class.name.as_str());
    let known: BTreeSet<&str> = names.chain([ClassName::UPSTREAM]).collect();
    let unknown = kept.iter().filter(|kept| !known.contains(kept.class.as_str()));
    attention.extend(unknown.map(|kept| format!("class {} is archived and not in the policy", kept.class)));
    Ok(Report {
        made: scope.now,
        zone: scope.zone.iana_name().unwrap_or("UTC").to_owned(),
        from: *scope.days.start(),
        to: *scope.days.end(),
        attention,
        policy: scope.classes.iter().map(Class::of).collect(),
        kept,
        keys: facts.keys,
        purges: facts.purges,
        interventions: facts.interventions,
        ledger_entries: ledger.end.n,
        ledger_end: ledger.end.to_string(),
    })
}

impl Class {
    fn of(class: &RetentionClass) -> Self {
        let keep = match class.archive_after {
            Some(first) => format!("{first}, then {} in the intermediate store", class.keep),
            None => class.keep.to_string(),
        };
        let starts = match &class.starts {
            Starts::Event => "the event".to_owned(),
            Starts::Field(field) => format!("the date in `{field}`"),
        };
        let (name, description, basis) =
            (class.name.as_str().to_owned(), class.description.clone(), class.basis.clone());
        Self { name, description, keep, starts, basis }
    }
}

/// What the ledger says.
#[derive(Debug, Default)]
struct Facts {
    keys: Keys,
    purges: Vec<Purged>,
    interventions: Vec<Entry>,
    /// Expiry days whose purge was announced and has not been completed.
    unfinished: BTreeSet<Date>,
    /// Expiry days whose purge of quarantined lines was announced and has not been completed.
    quarantine_unfinished: BTreeSet<Date>,
    /// Expiry days with a lost shred key that have not been purged since.
    lost: BTreeSet<String>,
    /// Expiry days whose shred key was erased.
    erased: BTreeSet<String>,
    /// Epoch secrets that were erased, by epoch and kid.
    secrets_erased: BTreeSet<(String, String)>,
    /// Segments that were sealed and neither purged nor erased, with the time of the seal.
    sealed: BTreeMap<String, Timestamp>,
    /// Every node that sealed a segment.
    nodes: BTreeSet<NodeName>,
}

/// What both stores hold.
#[derive(Debug)]
struct Stores {
    /// By class.
    kept: Vec<Kept>,
    /// Every segment, also those still being written.
    names: BTreeSet<String>,
    /// Sealed segments with a vault.
    with_vault: Vec<SegmentName>,
}

impl Facts {
    fn read(&mut self, scope: &Scope) -> Result<(LedgerReport, crate::ledger::Verifier), LedgerError> {
        ledger::read(&scope.storage, &scope.ledger, &[], &mut |entry| {
            self.apply(entry, &scope.days, &scope.zone)
        })
    }

    fn apply(&mut self, entry: &Entry, days: &RangeInclusive<Date>, zone: &TimeZone) {
        let event = entry.event();
        // After one boot in a wrong year, the days of the ledger stay in that year.
        let day = entry.day_by_clock(zone);
        let is_reported = days.contains(&day) || days.contains(&entry.day);
        event.iter().for_each(|event| keep(&mut self.sealed, event, entry.at));
        if let Some(Event::ShredKeyLost { expires }) = &event {
            self.lost.insert(expires.clone());
        }
        match event {
            Some(Event::EpochSecretMade { .. }) => self.keys.epoch_secrets_made += 1,
            // After a crash, or a wait for room, it may be recorded twice.
            Some(Event::EpochSecretErased { epoch, kid }) => {
                self.keys.epoch_secrets_erased += u64::from(self.secrets_erased.insert((epoch, kid)));
            }
            Some(Event::WrapErased { .. }) => self.keys.wraps_erased += 1,
            Some(Event::ShredKeyMade { expires }) => {
                self.keys.shred_keys_made += 1;
                self.erased.remove(&expires);
            }
            Some(Event::ShredKeyErased { expires }) => {
                self.keys.shred_keys_erased += 1;
                self.lost.remove(&expires);
                self.erased.insert(expires);
            }
            Some(Event::Segment(segment)) => {
                self.nodes.extend(SegmentName::parse_path(&segment.name).map(|name| name.node));
            }
            Some(Event::PurgeIntent(purge)) => {
                self.unfinished.insert(purge.expires);
            }
            Some(Event::QuarantineIntent(lines)) => {
                self.quarantine_unfinished.insert(lines.expires);
            }
            Some(Event::QuarantinePurged(lines)) => {
                self.quarantine_unfinished.remove(&lines.expires);
                let event::Quarantined { expires, lines, bytes, left } = lines;
                // What is left is reported as long as it is in quarantine.
                if is_reported && (lines > 0 || left.is_none()) {
                    self.gone(entry, day, (expires, lines, lines, bytes));
                }
            }
            Some(Event::PurgeDone(purge)) => self.purged(entry, &purge, day, is_reported),
            Some(
                Event::Begin(_)
                | Event::NextKey(_)
                | Event::KeyErased { .. }
                | Event::Start { .. }
                | Event::Stop { code: None, .. }
                | Event::Moved(_),
            ) => {}
            // Show what this version does not know rather than skip it.
            _ if is_reported => self.interventions.push(entry.clone()),
            _ => {}
        }
    }

    /// Notes a purge of `day` by the machine's clock; what it removed only if it `is_reported`.
    fn purged(&mut self, entry: &Entry, purge: &event::Purge, day: Date, is_reported: bool) {
        self.unfinished.remove(&purge.expires);
        let event::Purge { expires, ref files, bytes, lines, ref zone, ref left } = *purge;
        // Nothing was purged; what is left is reported as long as it is in the archive.
        if !is_reported || files.is_empty() && !left.is_empty() {
            return;
        }
        let zone = zone.as_deref().and_then(|zone| TimeZone::get(zone).ok());
        let day = zone.map_or(day, |zone| zone.to_datetime(entry.clock()).date());
        self.gone(entry, day, (expires, files.len() as u64, lines, bytes));
    }

    /// Notes what a purge removed on `day`: its expiry day, and the numbers of files, lines and bytes.
    fn gone(&mut self, entry: &Entry, day: Date, (expires, files, lines, bytes): (Date, u64, u64, u64)) {
        // Dates of this era: their difference is far from any limit.
        let days_late: i64 = (day - expires).get_days().into();
        // Nothing goes before its day. An older version did not record the zone, which may be east of that of
        // the ledger.
        let days_late = days_late.max(0);
        self.purges.push(Purged { expires, at: entry.clock(), days_late, files, lines, bytes });
    }
}

/// Returns what both stores hold. Adds what should be gone to `attention`.
fn stores(scope: &Scope, today: Date, attention: &mut Vec<String>) -> Result<Stores, Diagnostic> {
    let (mut classes, mut overdue) = (BTreeMap::<String, Kept>::new(), BTreeMap::<Date, u64>::new());
    let (mut names, mut with_vault) = (BTreeSet::new(), Vec::new());
    for root in [&scope.tree.archive, &scope.intermediate] {
        let tree = Tree { archive: root.clone(), vault: scope.tree.vault.clone() };
        for found in archive::list(&*scope.storage, &tree)? {
            names.insert(found.name.to_string());
            let class = found.name.folder.class.as_str().to_owned();
            let kept = classes.entry(class.clone()).or_insert_with(|| Kept { class, ..Kept::default() });
            if let Expires::On(day) = found.name.folder.expires {
                widen(&mut kept.first_expiry, &mut kept.last_expiry, day);
                if day <= today {
                    *overdue.entry(day).or_default() += 1;
                }
            }
            if found.part {
                kept.parts += 1;
            } else {
                match Segment::open(&*scope.storage, &found.path) {
                    Ok(segment) => {
                        kept.add(&segment, &scope.zone);
                        with_vault.extend(segment.footer().vault.is_some().then_some(found.name));
                    }
                    Err(ArchiveError::Damaged { .. }) => attention.push(format!(
                        "a segment is damaged, and not counted: {}; `oubliette verify` says where",
                        found.name
                    )),
                    Err(ArchiveError::Unreadable { source, .. }) => attention.push(format!(
                        "a segment cannot be read, and is not counted: {}: {source}",
                        found.name
                    )),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let left =
        |(day, files)| format!("segments past their expiry day {day}: {files}; `oubliette purge` says why");
    attention.extend(overdue.into_iter().map(left));
    Ok(Stores { kept: classes.into_values().collect(), names, with_vault })
}

impl Kept {
    fn add(&mut self, segment: &Segment, zone: &TimeZone) {
        self.segments += 1;
        self.lines += segment.footer().lines();
        self.bytes += segment.file_bytes();
        let frames = segment.footer().frames.iter();
        for second in frames.flat_map(|frame| [frame.first, frame.last]) {
            // A recovered segment has no times: its range is all numbers, which are not dates.
            if let Ok(instant) = Timestamp::from_second(second) {
                widen(&mut self.first_event, &mut self.last_event, zone.to_datetime(instant).date());
            }
        }
    }
}

fn widen(first: &mut Option<Date>, last: &mut Option<Date>, day: Date) {
    *first = Some(first.map_or(day, |first| first.min(day)));
    *last = Some(last.map_or(day, |last| last.max(day)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::purge::Site;
    use crate::jobs::scene::{DAY, MIDNIGHT, NEXT, WRITTEN, archive, folder, site, write};
    use crate::primitives::storage::Memory;
    use std::path::Path;

    pub(super) fn scope(memory: &Memory, now: &str) -> Scope {
        Scope {
            storage: Arc::new(memory.clone()),
            tree: Tree::at(Path::new("/log")),
            intermediate: "/log/intermediate".into(),
            quarantine: "/state/quarantine".into(),
            shred: "/state/shred".into(),
            ledger: "/state/ledger".into(),
            classes: Vec::new(),
            zone: TimeZone::get("Europe/Paris").unwrap(),
            days: jiff::civil::date(2026, 1, 1)..=jiff::civil::date(2028, 1, 1),
            now: now.parse().unwrap(),
        }
    }

    #[test]
    fn what_is_kept_is_counted_by_class() {
        let report = report(&scope(&archive(), WRITTEN)).unwrap();
        let counted = |kept: &Kept| (kept.class.clone(), kept.segments, kept.lines);
        let counted: Vec<_> = report.kept.iter().map(counted).collect();
        assert_eq!(counted, [("connection".to_owned(), 2, 4), ("mail".to_owned(), 1, 2)]);
        let connection = &report.kept[0];
        assert_eq!((connection.first_expiry, connection.last_expiry), (Some(DAY), Some(NEXT)));
        assert_eq!(connection.first_event, Some(jiff::civil::date(1970, 1, 1)));
        // Neither class is in the empty policy.
        assert_eq!(report.attention.len(), 2);
    }

    #[test]
    fn what_should_be_gone_needs_a_human_until_it_is() {
        let memory = archive();
        let overdue =
            |report: &Report| report.attention.iter().any(|line| line.contains("past their expiry"));
        assert!(overdue(&report(&scope(&memory, MIDNIGHT)).unwrap()));
        site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        let after = report(&scope(&memory, MIDNIGHT)).unwrap();
        assert!(!overdue(&after));
        let purges: Vec<_> = after.purges.iter().map(|purge| (purge.expires, purge.days_late)).collect();
        assert_eq!(purges, [(DAY, 0)]);
        assert_eq!((after.purges[0].files, after.purges[0].lines), (4, 4));
        assert_eq!(after.keys.shred_keys_erased, 1);
        let named: Vec<_> = after.interventions.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(named, ["clock-confirmed"]);
    }

    /// One command or boot in a wrong year keeps the ledger in that year for good.
    #[test]
    fn what_was_done_after_a_clock_was_years_ahead_is_reported() {
        let memory = archive();
        let unknown = || Event::Refused { command: "purge".to_owned(), code: "P07".to_owned(), clock: None };
        site(&memory, "2099-01-01T00:00:00Z").unwrap().ledger.append(unknown()).unwrap();
        let jumps =
            |report: &Report| report.attention.iter().any(|line| line.starts_with("the clock said 2026-"));
        assert!(jumps(&report(&scope(&memory, MIDNIGHT)).unwrap()));
        let mut right = site(&memory, MIDNIGHT).unwrap();
        right.purge(true, &|_| {}).unwrap();
        right.ledger.append(unknown()).unwrap();
        let after = report(&scope(&memory, MIDNIGHT)).unwrap();
        assert!(!jumps(&after));
        let purges: Vec<_> = after.purges.iter().map(|purge| (purge.at, purge.days_late)).collect();
        assert_eq!(purges, [(MIDNIGHT.parse().unwrap(), 0)]);
        let named: Vec<_> = after.interventions.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(named, ["clock-confirmed", "refused"], "not what is of 2099 by the clock");
    }

    /// A day begins in the east while it is still the day before in the zone of the ledger.
    #[test]
    fn what_goes_on_its_day_in_the_east_is_not_early() {
        let memory = archive();
        let mut site = site(&memory, "2027-11-23T16:00:00Z").unwrap();
        let purge = event::Purge {
            expires: DAY,
            files: Vec::new(),
            bytes: 0,
            lines: 0,
            zone: None,
            left: Vec::new(),
        };
        site.ledger.append(Event::PurgeDone(purge)).unwrap();
        let purges = report(&scope(&memory, MIDNIGHT)).unwrap().purges;
        assert_eq!(
            purges.iter().map(|purge| (purge.expires, purge.days_late)).collect::<Vec<_>>(),
            [(DAY, 0)]
        );
    }

    /// Lines written in Tokyo have their midnight eight hours before the ledger's.
    #[test]
    fn what_goes_late_in_the_east_is_late() {
        for (now, days_late) in
            [("2027-11-23T15:00:00Z", 0), ("2027-11-24T14:59:59Z", 0), ("2027-11-24T15:00:00Z", 1)]
        {
            let memory = Memory::new();
            let zone = TimeZone::get("Asia/Tokyo").unwrap();
            let mut east = Site { zone, ..site(&memory, WRITTEN).unwrap() };
            write(&mut east, &folder(DAY, "connection"), false);
            site(&memory, now).unwrap().purge(true, &|_| {}).unwrap();
            let purges = report(&scope(&memory, MIDNIGHT)).unwrap().purges;
            let purges: Vec<_> = purges.iter().map(|purge| (purge.files, purge.days_late)).collect();
            assert_eq!(purges, [(2, days_late)], "{now}");
        }
    }

    #[test]
    fn sealed_lines_past_their_day_need_a_human_until_they_are_purged() {
        let (memory, directory) = (archive(), tempfile::tempdir().unwrap());
        let path = directory.path().join(format!("qr_2epqf{:026}.age", 0));
        std::fs::write(&path, "sealed").unwrap();
        let sealed = std::time::SystemTime::from(WRITTEN.parse::<Timestamp>().unwrap());
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(sealed).unwrap();
        let classes = crate::jobs::recognition::load_retention(&[]).unwrap().classes;
        let scope = |now| Scope {
            quarantine: directory.path().into(),
            classes: classes.clone(),
            ..scope(&memory, now)
        };
        let overdue = |report: &Report| {
            report
                .attention
                .iter()
                .any(|line| line.contains("in quarantine past their expiry day 2027-11-24: 1"))
        };
        assert!(!overdue(&report(&scope(WRITTEN)).unwrap()));
        assert!(overdue(&report(&scope(MIDNIGHT)).unwrap()));
        let quarantine = directory.path().into();
        let mut site = crate::jobs::purge::Site {
            quarantine,
            classes: classes.clone(),
            ..site(&memory, MIDNIGHT).unwrap()
        };
        site.purge(true, &|_| {}).unwrap();
        let after = report(&scope(MIDNIGHT)).unwrap();
        assert!(!overdue(&after) && !path.exists());
        let purged = after.purges.last().unwrap();
        assert_eq!((purged.expires, purged.files, purged.lines, purged.bytes), (DAY, 1, 1, 6));
        assert_eq!(after.interventions.len(), 1, "the clock that was confirmed");
    }

    #[test]
    fn a_changed_ledger_needs_a_human() {
        let memory = archive();
        let entries = PathBuf::from("/state/ledger").join(crate::ledger::ENTRIES);
        memory.damage(&entries, |bytes| {
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
        });
        let attention = report(&scope(&memory, WRITTEN)).unwrap().attention;
        assert!(attention.iter().any(|line| line.contains("the ledger is not whole")), "{attention:?}");
    }
}
