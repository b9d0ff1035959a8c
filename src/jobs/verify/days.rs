//! What lies in an archive on a day on which it should not: past its expiry day, or in the intermediate store
//! before its second phase. Its files are as they were written, so this is told and is no fault.

use crate::model::{Expires, Keep, RetentionClass, SegmentName};
use crate::retention::expiry::{archive_day, purge_instant};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// What decides on which days a segment should be where.
#[derive(Debug)]
pub struct Days {
    /// The present.
    pub now: Timestamp,
    /// The legal zone.
    pub zone: TimeZone,
    /// The classes of the policy.
    pub classes: Vec<RetentionClass>,
    /// Names of the segments that holds freeze, each with its case.
    pub held: BTreeMap<String, String>,
}

impl Days {
    /// Returns whether the expiry day of a segment has begun in its `zone`, or in the legal zone if it states
    /// none, and no hold freezes it.
    pub(super) fn are_over(&self, name: &SegmentName, zone: Option<&str>) -> bool {
        let Expires::On(day) = name.folder.expires else { return false };
        let zone = zone.and_then(|zone| TimeZone::get(zone).ok());
        let due = purge_instant(day, zone.as_ref().unwrap_or(&self.zone));
        due.is_some_and(|due| due <= self.now) && !self.held.contains_key(&name.to_string())
    }

    /// Returns whether the second phase of a segment is still to come.
    pub(super) fn are_of_first_phase(&self, name: &SegmentName) -> bool {
        let class = self.classes.iter().find(|class| class.name == name.folder.class);
        let Some(RetentionClass { archive_after: Some(_), keep: Keep::For(keep), .. }) = class else {
            return false;
        };
        let Expires::On(expires) = name.folder.expires else { return false };
        self.zone.to_datetime(self.now).date() < archive_day(expires, *keep)
    }
}
