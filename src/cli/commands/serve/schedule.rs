//! The purge inside the sidecar, of the archive and of the copies that outputs have left. It runs at the
//! start and after each legal midnight. What stayed undone is tried again when a missing disk is back, when a
//! segment that was still being written is complete, when a clock that has jumped is confirmed or set right,
//! when the configuration is loaded again, and an hour after a disk has refused it.

use super::{archive_directory, outlets, stores};
use crate::cli::commands::{purge, site};
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::input::tail::Identity;
use crate::jobs::purge::{BLOCKED, CLOCK, NOT_THERE, Plan, STUCK, is_abandoned};
use crate::jobs::serve::CANNOT_START;
use crate::pipeline::Observed;
use crate::primitives::diag::Diagnostic;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::Disk;
use crate::quarantine::SEALED_LINES;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that purges. Dropping this ends the thread.
pub(super) struct Schedule {
    state: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    settings: Settings,
    /// Whether the settings were loaded again since the last purge: somebody may have mended the cause of its
    /// failure.
    is_loaded: bool,
    is_over: bool,
}

impl Schedule {
    /// Starts the thread. It purges now and after each midnight in `zone`, with the settings in force at that
    /// time; `observed` shows whether it succeeded.
    ///
    /// # Errors
    /// J01 if the thread cannot be started.
    pub(super) fn start(
        report: Report,
        settings: &Settings,
        zone: TimeZone,
        observed: Arc<Observed>,
    ) -> Result<Self, Diagnostic> {
        let state = State { settings: settings.clone(), is_loaded: false, is_over: false };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("purge".to_owned());
        let thread = thread.spawn(move || keep(report, &shared, &zone, &observed)).map_err(|error| {
            Diagnostic::new(&CANNOT_START, "the sidecar cannot start the thread that purges")
                .because(error.to_string())
                .hint("raise `TasksMax=` of the unit")
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Puts new settings in force.
    pub(super) fn follow(&self, settings: &Settings) {
        let mut state = self.state.0.lock().unpoisoned();
        (state.settings, state.is_loaded) = (settings.clone(), true);
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.state.0.lock().unpoisoned().is_over = true;
        self.state.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been reported.
            let _ = thread.join();
        }
    }
}

fn keep(report: Report, shared: &(Mutex<State>, Condvar), zone: &TimeZone, observed: &Observed) {
    loop {
        let settings = {
            let mut state = shared.0.lock().unpoisoned();
            state.is_loaded = false;
            state.settings.clone()
        };
        let found = mounted(&settings);
        let Outcome { undone, due, in_use } =
            if settings.serve.purge() { purge_once(report, &settings) } else { Outcome::default() };
        observed.purge_undone(undone);
        outlets::purge(report, &settings, zone);
        let clock = settings.clock;
        let Some(midnight) = next_midnight(clock.now(), zone) else { return };
        let next = due.map_or(midnight, |due| midnight.min(due));
        let is_due = |settings: &Settings, is_loaded: bool| {
            // A missing disk may be back. Without any change, another try would only report the same again.
            let is_mended = || match undone {
                Some(code) if code == CLOCK.id => is_clock_trusted(settings),
                _ => mounted(settings) != found,
            };
            let is_changed = undone.is_some() && (is_loaded || is_mended());
            // If it cannot be determined whether somebody writes to a part, the purge reports that.
            let is_free = |part: &PathBuf| is_abandoned(&Disk, part).unwrap_or(true);
            clock.now() >= next || is_changed || in_use.iter().any(is_free)
        };
        if !wait(shared, if undone.is_some() { AWAY_LOOK } else { LONGEST_WAIT }, is_due) {
            return;
        }
    }
}

/// Waits until a purge `is_due`, which is checked every `each`. Returns false if the schedule ends instead.
fn wait(shared: &(Mutex<State>, Condvar), each: Duration, is_due: impl Fn(&Settings, bool) -> bool) -> bool {
    loop {
        let state = shared.0.lock().unpoisoned();
        let waited = shared.1.wait_timeout_while(state, each, |state| !state.is_over);
        let state = waited.unpoisoned().0;
        if state.is_over {
            return false;
        }
        let (settings, is_loaded) = (state.settings.clone(), state.is_loaded);
        // Release the lock, so that nobody waits for it while a file server hangs on a request for a
        // directory.
        drop(state);
        if is_due(&settings, is_loaded) {
            return true;
        }
    }
}

/// Identifies the directories that are the stores of the archive now. Mounting or unmounting a disk changes
/// them.
fn mounted(settings: &Settings) -> [Option<Identity>; 3] {
    stores(settings).map(|store| Identity::at(&store))
}

/// Returns whether the clock agrees with the ledger: somebody has confirmed it, or set it right.
fn is_clock_trusted(settings: &Settings) -> bool {
    let step = site::ledger_of_node(settings).map(|ledger| ledger.map(|mut ledger| ledger.clock_step()));
    matches!(step, Ok(Some(Ok(None))))
}

/// What a purge leaves to be done.
#[derive(Default)]
struct Outcome {
    /// The code of what stayed undone, which was reported.
    undone: Option<&'static str>,
    /// When to purge again before midnight: segments are due then in another zone than the configured one,
    /// or a disk may accept what it has refused.
    due: Option<Timestamp>,
    /// Parts that are due and that somebody writes to: each is tried again when it is complete.
    in_use: Vec<PathBuf>,
}

/// Purges once.
fn purge_once(report: Report, settings: &Settings) -> Outcome {
    let archive = archive_directory(settings);
    match purge::perform_due(report, settings, &archive) {
        Ok(plan) => {
            if plan != (Plan { next: plan.next, ..Plan::default() }) {
                purge::summarise(report, &plan, false);
                purge::holds_not_seen(report, settings, &plan, false);
            }
            let in_use: Vec<_> = plan.in_use().map(|part| archive.join(part)).collect();
            let absent = plan.is_incomplete().then_some(NOT_THERE.id);
            let stuck = plan.failures().next().map(|_| STUCK.id);
            let due = plan.next.into_iter().chain(stuck.and_then(|_| later(settings))).min();
            let unseen = plan.unseen.first().map(|_| SEALED_LINES.id);
            let undone = absent.or(stuck).or(unseen).or((!in_use.is_empty()).then_some(BLOCKED.id));
            Outcome { undone, due, in_use }
        }
        Err(problem) => {
            report.error(&problem);
            // Whether a clock that has jumped is trusted again is looked up more often.
            let due = if problem.code.id == CLOCK.id { None } else { later(settings) };
            Outcome { undone: Some(problem.code.id), due, ..Outcome::default() }
        }
    }
}

/// Returns when to try again what a disk has refused: nobody can see whether it would refuse it again.
fn later(settings: &Settings) -> Option<Timestamp> {
    settings.clock.now().checked_add(LATER).ok()
}

/// Returns the time one minute after the end of this legal day: what arrived just before the end is sealed by
/// then.
fn next_midnight(now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let tomorrow = now.to_zoned(zone.clone()).tomorrow().ok()?.start_of_day().ok()?;
    tomorrow.timestamp().checked_add(1.minute()).ok()
}

/// The clock may be set while we wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How soon what a disk has refused is tried again. Each try is reported and recorded.
const LATER: SignedDuration = SignedDuration::from_hours(1);

/// How often to check whether what stayed undone can be done.
const AWAY_LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_that_of_the_legal_zone() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        for (now, next) in [
            ("2026-11-23T22:59:00Z", "2026-11-23T23:01:00Z"),
            ("2026-11-23T23:00:00Z", "2026-11-24T23:01:00Z"),
            // The day of 23 hours.
            ("2027-03-27T23:30:00Z", "2027-03-28T22:01:00Z"),
        ] {
            assert_eq!(next_midnight(now.parse().unwrap(), &zone), next.parse().ok(), "{now}");
        }
    }
}
