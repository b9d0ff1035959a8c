//! Times of JSON objects that no member states alone, or states under a name that means something else
//! elsewhere. Tried last.

use super::json::{Members, text_of, time_of};
use super::logfmt::{at, joined};
use super::zones;
use crate::model::StatedTime;
use memchr::memmem;

/// Returns the time of `{"date":"2026-11-23","time":"10:00:00"}`, with the zone in `tz` of FortiOS.
/// CloudFront means UTC.
pub(super) fn date_and_time(object: &[u8]) -> Option<StatedTime> {
    let (mut date, mut time, mut zone, mut is_edge) = (None, None, None, false);
    for (name, value) in Members::of(object)? {
        match name {
            _ if name.eq_ignore_ascii_case(b"date") => date = date.or(Some(value)),
            _ if name.eq_ignore_ascii_case(b"time") => time = time.or(Some(value)),
            b"tz" => zone = zone.or(text_of(value)),
            b"x-edge-location" => is_edge = true,
            _ => {}
        }
    }
    let joined = joined(&text_of(date?)?, &text_of(time?)?)?;
    match zone {
        _ if is_edge => Some(at(joined, 0)),
        Some(zone) => Some(zones::zoned(joined, &zone)),
        None => Some(joined),
    }
}

/// Returns the start of the request in an access log of Envoy; others mean a session or a task by
/// `start_time`.
pub(super) fn envoy(object: &[u8]) -> Option<StatedTime> {
    memmem::find(object, b"\"start_time\"")?;
    let (mut time, mut is_envoy) = (None, false);
    for (name, value) in Members::of(object)? {
        match name {
            b"start_time" => time = time.or(Some(value)),
            b"response_flags" | b"upstream_host" | b"downstream_remote_address" => is_envoy = true,
            _ => {}
        }
    }
    time_of(time?).filter(|_| is_envoy)
}
