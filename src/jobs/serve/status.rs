//! The status of a sidecar: what can be observed of its pipeline, and what comes next in the calendar of its
//! archive.

use crate::pipeline::Observed;
use crate::primitives::clock::Clock;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::Storage;
use crate::telemetry::{Observe, Purge, Snapshot};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Where expiry days are looked up.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// The storage of all files.
    pub storage: Arc<dyn Storage>,
    /// The directories of segments, of vaults, and of segments of the second phase.
    pub roots: [PathBuf; 3],
    /// The zone of legal days.
    pub zone: TimeZone,
    /// The clock.
    pub clock: Clock,
}

/// The status of a sidecar, which can be asked for at any time.
#[derive(Debug)]
pub struct Status {
    observed: Arc<Observed>,
    calendar: Mutex<Calendar>,
}

impl Status {
    /// Creates the status of a sidecar that writes to the archive of `calendar`.
    #[must_use]
    pub fn new(observed: Arc<Observed>, calendar: Calendar) -> Self {
        Self { observed, calendar: Mutex::new(calendar) }
    }

    /// Changes the archive that the sidecar writes to.
    pub fn follow(&self, calendar: Calendar) {
        *self.calendar.lock().unpoisoned() = calendar;
    }
}

impl Observe for Status {
    fn snapshot(&self) -> Snapshot {
        let calendar = self.calendar.lock().unpoisoned().clone();
        Snapshot { purge: calendar.next(), ..self.observed.snapshot() }
    }
}

impl Calendar {
    /// Returns the earliest expiry day in the archive; `None` if there is none, or if the archive cannot be
    /// read.
    fn next(&self) -> Option<Purge> {
        let names = self.roots.iter().filter_map(|root| self.storage.list(root).ok()).flatten();
        let expires = names.filter_map(|listed| day_of(&listed.name)).min()?;
        let now = self.clock.now();
        let today = self.zone.to_datetime(now).date();
        let days = i64::from(today.until(expires).ok()?.get_days());
        let begins = expires.to_zoned(self.zone.clone()).ok()?.timestamp();
        Some(Purge { expires, days, wait: begins.duration_since(now) })
    }
}

/// Parses the day of a directory `expires=2027-11-24`.
fn day_of(name: &str) -> Option<Date> {
    name.strip_prefix("expires=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::storage::Disk;
    use jiff::SignedDuration;

    #[test]
    fn the_earliest_day_of_all_stores_comes_next() {
        let directory = tempfile::tempdir().unwrap();
        let roots = ["archive", "vault", "intermediate"].map(|name| directory.path().join(name));
        let calendar = Calendar {
            storage: Arc::new(Disk),
            roots: roots.clone(),
            zone: TimeZone::get("Europe/Paris").unwrap(),
            // It is already the 24th there.
            clock: Clock::Fixed("2026-11-23T23:30:00Z".parse().unwrap()),
        };
        assert_eq!(calendar.next(), None);
        for (root, name) in
            [(0, "expires=2027-11-24"), (2, "expires=2026-12-24"), (1, "expires=contract"), (0, "lost")]
        {
            std::fs::create_dir_all(roots[root].join(name)).unwrap();
        }
        let (expires, days) = (jiff::civil::date(2026, 12, 24), 30);
        let wait = SignedDuration::from_mins(30 * 24 * 60 - 30);
        assert_eq!(calendar.next(), Some(Purge { expires, days, wait }));
        std::fs::create_dir(roots[0].join("expires=2026-11-23")).unwrap();
        assert_eq!(calendar.next().unwrap().days, -1);
    }
}
