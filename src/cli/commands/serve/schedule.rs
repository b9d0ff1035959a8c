//! The purge inside the sidecar, of the archive and of what outputs have left: at its start, and after each legal midnight.

use super::{archive_directory, outlets};
use crate::cli::args::{ArchivePlace, PurgeArgs};
use crate::cli::commands::purge;
use crate::cli::files;
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::jobs::purge::Plan;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that purges; it ends when this is dropped.
pub(super) struct Schedule {
    state: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    settings: Settings,
    is_over: bool,
}

impl Schedule {
    /// Purges now, and after each midnight in `zone`, as the settings that hold then say.
    pub(super) fn start(report: Report, settings: &Settings, zone: TimeZone) -> Self {
        let state =
            Arc::new((Mutex::new(State { settings: settings.clone(), is_over: false }), Condvar::new()));
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("purge".to_owned());
        let thread = thread.spawn(move || keep(report, &shared, &zone)).ok();
        Self { state, thread }
    }

    /// From now on these hold.
    pub(super) fn follow(&self, settings: &Settings) {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).settings = settings.clone();
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.state.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told.
            let _ = thread.join();
        }
    }
}

fn keep(report: Report, shared: &(Mutex<State>, Condvar), zone: &TimeZone) {
    loop {
        let settings = shared.0.lock().unwrap_or_else(PoisonError::into_inner).settings.clone();
        if settings.serve.purge() {
            purge_once(report, &settings);
        }
        outlets::purge(report, &settings, zone);
        let clock = settings.clock;
        let Some(next) = next_midnight(clock.now(), zone) else { return };
        let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_over && clock.now() < next {
            // A minute at most, for the clock may be set meanwhile.
            let waited = shared.1.wait_timeout(state, LONGEST_WAIT);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_over {
            return;
        }
    }
}

/// What stays undone is told, and tried again the next day, or by `oubliette purge`.
fn purge_once(report: Report, settings: &Settings) {
    let archive = archive_directory(settings);
    let segments = archive.join("archive");
    // A link that leads nowhere is refused below, and told: segments are somewhere then.
    if !segments.is_dir() && files::refuse_dangling(&segments).is_ok() {
        return;
    }
    let place = ArchivePlace { archive: Some(archive), vault: settings.vault.clone() };
    let args = PurgeArgs { place, dry_run: false, confirm_clock: false };
    match purge::perform(report, settings, &args) {
        Ok(performed) if performed.plan == Plan::default() => {}
        Ok(performed) => purge::summarise(report, &performed.plan, false),
        Err(problem) => report.error(&problem),
    }
}

/// A minute after the end of this legal day: what came just before it is sealed by then.
fn next_midnight(now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let tomorrow = now.to_zoned(zone.clone()).tomorrow().ok()?.start_of_day().ok()?;
    tomorrow.timestamp().checked_add(1.minute()).ok()
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

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
