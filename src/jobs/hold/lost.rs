//! Finds holds that the ledger knows of and whose file is missing or keeps less than the ledger says.
//!
//! Somebody removed or changed the file, or a disk lost it. The ledger does not record which segments a hold
//! freezes, so that is then unknown.

use super::{Hold, Holds};
use crate::jobs::purge::Site;
use crate::ledger::event::{self, Event};
use crate::ledger::{Ledger, LedgerError};
use crate::primitives::diag::{Code, Diagnostic};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// A hold according to the ledger.
#[derive(Debug)]
struct RecordedHold {
    hold: event::Hold,
    /// Whether something was extracted for the hold; after that it may freeze nothing.
    extracted: bool,
}

impl RecordedHold {
    /// Returns whether `hold` freezes as many segments for as long. It does not notice if they are other
    /// segments.
    fn is_kept_by(&self, hold: &Hold) -> bool {
        let event::Hold { case, until, frozen_until, segments } = &self.hold;
        let freezes = self.extracted || hold.frozen_until >= *frozen_until;
        hold.case == *case && hold.until >= *until && freezes && hold.segments.len() as u64 >= *segments
    }
}

/// The holds that have not ended according to the ledger.
#[derive(Debug, Default)]
struct RecordedHolds(BTreeMap<String, RecordedHold>);

impl RecordedHolds {
    /// Reads the holds; `None` if the ledger has a fault, because what ended after it is unknown. Whoever
    /// relies on the ledger reports the fault.
    fn of(ledger: &Ledger) -> Result<Option<Self>, Diagnostic> {
        let mut recorded = Self::default();
        match ledger.read(&mut |entry, _| entry.event().into_iter().for_each(|event| recorded.apply(event))) {
            Err(LedgerError::Fault { .. }) => Ok(None),
            read => Ok(read.map(|_| Some(recorded))?),
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::HoldAdded(hold) => {
                self.0.insert(hold.case.clone(), RecordedHold { hold, extracted: false });
            }
            Event::HoldExtracted(extract) => {
                self.0.entry(extract.case).and_modify(|recorded| recorded.extracted = true);
            }
            Event::HoldReleased { case } | Event::HoldExpired { case } => {
                self.0.remove(&case);
            }
            _ => {}
        }
    }
}

impl Holds {
    /// Returns the holds that have not ended by `today` according to the ledger, and whose file is missing or
    /// keeps less.
    ///
    /// # Errors
    /// As [`Holds::list`]; also if the ledger cannot be read.
    pub fn lost(&self, ledger: &Ledger, today: Date) -> Result<Vec<event::Hold>, Diagnostic> {
        let Some(recorded) = RecordedHolds::of(ledger)? else { return Ok(Vec::new()) };
        let holds = self.list()?;
        let mut lost: Vec<RecordedHold> = recorded.0.into_values().collect();
        lost.retain(|recorded| {
            today < recorded.hold.until && !holds.iter().any(|hold| recorded.is_kept_by(hold))
        });
        Ok(lost.into_iter().map(|recorded| recorded.hold).collect())
    }

    /// Records in the ledger the holds in force that it does not have, and returns these: whoever added them
    /// was stopped before the entry.
    ///
    /// # Errors
    /// As [`Holds::lost`]; also if the ledger cannot be written.
    pub fn record_missing(&self, site: &mut Site) -> Result<Vec<Hold>, Diagnostic> {
        let mut missing = self.list()?;
        missing.retain(|hold| site.today() < hold.until && !hold.released);
        if missing.is_empty() {
            return Ok(missing);
        }
        let Some(recorded) = RecordedHolds::of(&site.ledger)? else { return Ok(Vec::new()) };
        missing.retain(|hold| !recorded.0.contains_key(&hold.case));
        for hold in &missing {
            site.ledger.append(hold.added())?;
        }
        Ok(missing)
    }

    /// Refuses to purge or erase as long as a lost hold may freeze something.
    ///
    /// # Errors
    /// H07 if there is such a hold; otherwise as [`Holds::lost`].
    pub fn demand_none_lost(&self, ledger: &Ledger, today: Date) -> Result<(), Diagnostic> {
        let lost = self.lost(ledger, today)?;
        match lost.iter().find(|hold| today < hold.frozen_until) {
            Some(hold) => Err(self.lost_hold_error(hold, "so nothing is purged or erased")),
            None => Ok(()),
        }
    }

    /// Returns the message that a hold is lost.
    #[must_use]
    pub fn lost_hold_error(&self, hold: &event::Hold, therefore: &str) -> Diagnostic {
        let event::Hold { case, until, frozen_until, segments } = hold;
        let name = format!("{}.json", super::stem(case));
        Diagnostic::new(&LOST, format!("the file of the hold of case {case} is missing or was changed, {therefore}"))
            .at(self.folder.path(&name).display().to_string())
            .because(format!(
                "the ledger says: until {until}, and frozen until {frozen_until}, number of segments: {segments}"
            ))
            .hint("put its file back from a copy, or add the hold again; to end it, `oubliette hold release`; `oubliette explain H07`")
    }
}

/// H07: a hold is lost.
pub(super) static LOST: Code = Code {
    id: "H07",
    title: "the file of a hold is missing, or was changed",
    text: "\
What it means
  The ledger says that a hold was added and has not ended. But its file in `<state>/holds` is
  missing, or names fewer segments or earlier days. Somebody removed or changed it, or a disk lost
  it.

  While the hold may still freeze segments, which is 7 days at most, oubliette purges nothing and
  erases nobody's lines. `oubliette hold list` shows the hold until its end.

Why it matters
  Only that file says which segments the hold freezes. A purge would remove them, and an authority
  relies on them.

Example
  rm /var/lib/oubliette/holds/*.json

What to do
  1. Put the file back from a copy.
  2. If there is no copy, add the hold again under the same case, with the class and the days of the
     order. That freezes the segments that are still there.
  3. If that command says that extracts are there, move them and their key in `keys` to another
     folder, then repeat it. The key still opens them.

  If the case needs nothing any more, run `oubliette hold release --case REF`. It ends the hold and
  erases the extracts that are left.

References
  docs/holds.md",
};
