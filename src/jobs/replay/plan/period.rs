//! Estimates the period of a segment that cannot be read, because it is damaged or missing.
//!
//! The ledger says when the segment was sealed; no line in it is later than that, except for a clock that is
//! ahead. Where lines are kept from their event on, the expiry day in the segment's name gives the days of
//! its lines, by the policy in force. The segment may have been written under another policy, so those days
//! count only if they agree with the day of the seal: lines received on that day are at most two days old.
//! Old files that were archived later do not agree, and may be of any earlier time.

use crate::jobs::purge::Site;
use crate::model::{Expires, SegmentName, Starts};
use crate::retention::expiry;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use std::ops::RangeInclusive;

/// Returns whether the segment may have lines from any of these Unix seconds.
pub(super) fn may_be_of(
    seconds: &RangeInclusive<i64>,
    site: &Site,
    name: &SegmentName,
    sealed: Option<Timestamp>,
) -> bool {
    let (first, last) = seconds_of(site, name, sealed).into_inner();
    first <= *seconds.end() && last >= *seconds.start()
}

fn seconds_of(site: &Site, name: &SegmentName, sealed: Option<Timestamp>) -> RangeInclusive<i64> {
    let Some(sealed) = sealed else { return i64::MIN..=i64::MAX };
    let latest = sealed.as_second().saturating_add(MOST_AHEAD_SECONDS);
    let days = of_policy(site, name).filter(|days| agree(days, sealed.to_zoned(site.zone.clone()).date()));
    let begin = |day: Date| day.to_zoned(site.zone.clone()).ok().map(|start| start.timestamp().as_second());
    let Some(days) = days else { return i64::MIN..=latest };
    let first = begin(*days.start()).unwrap_or(i64::MIN);
    let end = begin(days.end().saturating_add(1.day())).unwrap_or(i64::MAX);
    first..=latest.min(end.saturating_sub(1))
}

/// Returns the legal days of the events, by the policy in force.
fn of_policy(site: &Site, name: &SegmentName) -> Option<RangeInclusive<Date>> {
    let Expires::On(expires) = name.folder.expires else { return None };
    let class = site.classes.iter().find(|class| class.name == name.folder.class)?;
    if class.starts != Starts::Event {
        return None;
    }
    expiry::start_days(class, expires)
}

/// Returns whether lines of these days may have been received on the day of the seal, or on the day before,
/// which ended with the seal.
fn agree(days: &RangeInclusive<Date>, sealed: Date) -> bool {
    *days.start() <= sealed && *days.end() >= sealed.saturating_sub(MOST_DAYS.days())
}

/// How far after its receipt a stated time may be and still be believed.
const MOST_AHEAD_SECONDS: i64 = 5 * 60;

/// A stated time is believed up to 48 hours before receipt, and a segment ends with the day of receipt.
const MOST_DAYS: i64 = 3;
