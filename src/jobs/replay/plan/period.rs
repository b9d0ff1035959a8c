//! Estimates the period of a segment that cannot be read, because it is damaged, missing or purged.
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

/// Returns whether a purged segment may have had lines from any of these Unix seconds. `other_zone` says
/// that its days may be those of a zone other than the legal one.
///
/// Every archive purges, so a note about every purge would tell nobody anything. Where the days by the policy
/// and the day of the seal do not agree, both count, and not everything before: either old files were
/// archived later, under the policy in force, or lines of the day of the seal under another policy.
pub(super) fn may_have_been_of(
    seconds: &RangeInclusive<i64>,
    site: &Site,
    name: &SegmentName,
    sealed: Option<Timestamp>,
    other_zone: bool,
) -> bool {
    let meets = |range: RangeInclusive<i64>| range.start() <= seconds.end() && range.end() >= seconds.start();
    let margin = i64::from(other_zone).days();
    let days = of_policy(site, name)
        .map(|days| days.start().saturating_sub(margin)..=days.end().saturating_add(margin));
    let Some(days) = days else {
        let Expires::On(expires) = name.folder.expires else { return true };
        // No line is archived that has expired already.
        let ended = Timestamp::from_second(begin(site, expires).unwrap_or(i64::MAX)).ok();
        return may_be_of(seconds, site, name, sealed.or(ended));
    };
    let Some(sealed) = sealed else { return meets(of_days(site, &days)) };
    let day = sealed.to_zoned(site.zone.clone()).date();
    // Just before midnight, a clock that is ahead states a time of the next day.
    if agree(&days, day) || agree(&days, day.saturating_add(1.day())) {
        return meets(of_days(site, &days));
    }
    // Lines cannot be later than their seal.
    let old = *days.end() < day && meets(of_days(site, &days));
    let since = begin(site, day.saturating_sub(MOST_DAYS.days())).unwrap_or(i64::MIN);
    old || meets(since..=sealed.as_second().saturating_add(MOST_AHEAD_SECONDS))
}

fn seconds_of(site: &Site, name: &SegmentName, sealed: Option<Timestamp>) -> RangeInclusive<i64> {
    let Some(sealed) = sealed else { return i64::MIN..=i64::MAX };
    let latest = sealed.as_second().saturating_add(MOST_AHEAD_SECONDS);
    let days = of_policy(site, name).filter(|days| agree(days, sealed.to_zoned(site.zone.clone()).date()));
    let Some(days) = days else { return i64::MIN..=latest };
    let (first, last) = of_days(site, &days).into_inner();
    first..=latest.min(last)
}

/// Returns the Unix seconds of legal days.
fn of_days(site: &Site, days: &RangeInclusive<Date>) -> RangeInclusive<i64> {
    let first = begin(site, *days.start()).unwrap_or(i64::MIN);
    let end = begin(site, days.end().saturating_add(1.day())).unwrap_or(i64::MAX);
    first..=end.saturating_sub(1)
}

fn begin(site: &Site, day: Date) -> Option<i64> {
    day.to_zoned(site.zone.clone()).ok().map(|start| start.timestamp().as_second())
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
