//! Chooses between the time in the head of a line and the time in brackets before a request.
//!
//! If X-Forwarded-For is the first field of an access log, a client controls how the line begins: it could
//! forge a syslog head that states the time of the event. That line would equal, byte for byte, one from a
//! web server that logs by syslog, where a client may write what looks like a request into the message. So
//! neither time is trusted over the other: the later one counts, and nobody can make a line expire early, or
//! be dropped as if it had expired.

use super::timestamp::is_of_event;
use crate::model::StatedTime;
use jiff::civil::DateTime;

/// Returns the time that counts: the time of the head, or that of the request if it is more than a minute
/// later.
///
/// The minute allows for a relay, which writes its head a little later, and whose clock may be slow.
pub(super) fn later(head: Option<StatedTime>, request: Option<StatedTime>) -> Option<StatedTime> {
    let of_event = |time: &StatedTime| is_of_event(*time);
    let (Some(ours), Some(other)) = (head.filter(of_event), request.filter(of_event)) else { return head };
    if seconds_between(ours, other).is_some_and(|seconds| seconds > 60) { request } else { head }
}

/// Returns the later of two times that fields of one line state, as [`later`] does. A client may have written
/// the field that has the earlier one.
pub(super) fn latest(known: Option<StatedTime>, other: StatedTime) -> Option<StatedTime> {
    if known.is_none() { Some(other) } else { later(known, Some(other)) }
}

/// Returns how many seconds `request` is later than `head`, if both state a year. A zone that only the head
/// leaves open is taken to be that of the request.
///
/// Returns `None` without a year: a missing year is resolved to the one nearest to now, which is not known
/// here, and never so far in the past that a line would be dropped. Also returns `None` if only the request
/// leaves its zone open.
fn seconds_between(head: StatedTime, request: StatedTime) -> Option<i64> {
    let offset = match request {
        StatedTime::Civil { offset_seconds, .. } => offset_seconds,
        StatedTime::Unix(_) => Some(0),
    };
    let ahead = match head {
        StatedTime::Civil { offset_seconds: None, .. } => 0,
        StatedTime::Civil { offset_seconds: Some(head), .. } => offset? - head,
        StatedTime::Unix(_) => offset?,
    };
    // A clock that is not set says nothing: receipt counts.
    let head = wall_seconds(head).filter(|&seconds| seconds >= SECONDS_OF_1970)?;
    Some(wall_seconds(request)? - i64::from(ahead) - head)
}

/// Returns the seconds from 1970-01-01T00:00:00 to a calendar time, both on the same clock; `None` without a
/// year.
fn wall_seconds(time: StatedTime) -> Option<i64> {
    let (year, fields) = match time {
        StatedTime::Unix(seconds) => return Some(seconds),
        // A leap second counts as the second before it.
        StatedTime::Civil { year, month, day, hour, minute, second, .. } => {
            (year?, [month, day, hour, minute, second.min(59)])
        }
    };
    let [month, day, hour, minute, second] = fields.map(|field| i8::try_from(field).unwrap_or(-1));
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(civil.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs())
}

/// Length of the year 1970: later times are in 1971 or after.
const SECONDS_OF_1970: i64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;
    use super::*;

    #[test]
    fn the_later_of_two_times() {
        for (head, request, expected) in [
            // A relay writes its head when the request is over.
            ("2026-11-23T10:00:07Z", "23/Nov/2026:10:00:00 +0000", "head"),
            ("2026-11-23T10:00:00Z", "23/Nov/2026:11:01:00 +0100", "head"),
            ("2026-11-23T10:00:00Z", "23/Nov/2026:11:01:01 +0100", "request"),
            ("2026-11-24T01:00:00+01:00", "23/Nov/2026:18:59:00 -0500", "head"),
            ("2026-11-24T01:00:00+01:00", "23/Nov/2026:19:02:00 -0500", "request"),
            ("2001-01-01T00:00:00Z", "23/Nov/2026:10:00:00 +0000", "request"),
            ("2026-11-23T10:00:00Z", "01/Jan/2001:00:00:00 +0000", "head"),
            ("2024-02-29T23:59:59Z", "01/Mar/2024:00:00:59 +0000", "head"),
            ("2023-02-28T23:58:59Z", "01/Mar/2023:00:00:00 +0000", "request"),
            // A missing zone is that of the request. With a missing year it is not known which is later.
            ("Nov 23 2026 10:00:00", "23/Nov/2026:10:00:30 +0900", "head"),
            ("Nov 22 2026 10:00:00", "23/Nov/2026:10:00:00 +0900", "request"),
            ("Nov 23 2001 10:00:00", "23/Nov/2026:10:00:00 +0000", "request"),
            ("Nov 23 10:00:00", "23/Nov/2026:12:00:00 +0000", "head"),
            ("Nov 23 10:00:00", "01/Jan/2001:12:00:00 +0000", "head"),
            // Numbers.
            ("1795428000", "23/Nov/2026:10:01:00 +0000", "head"),
            ("1795428000", "23/Nov/2026:11:00:00 +0100", "head"),
            ("1795428000", "23/Nov/2026:12:00:00 +0100", "request"),
            ("1795428000", "23/Nov/2026:12:00:00", "head"),
            ("2026-11-23T10:00:00Z", "23/Nov/2026:12:00:00", "head"),
            ("2026-11-23T10:00:00", "23/Nov/2026:12:00:00", "request"),
        ] {
            let [head, request] = [head, request].map(|text| stated(text.as_bytes()));
            assert!(head.is_some() && request.is_some(), "{head:?} {request:?}");
            let got = later(head, request);
            let got = if got == head { "head" } else { "request" };
            assert_eq!(got, expected, "{head:?} {request:?}");
        }
    }

    #[test]
    fn times_of_no_event_are_not_later() {
        let unset = Some(StatedTime::Civil {
            year: Some(1),
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            offset_seconds: Some(0),
        });
        let event = stated(b"23/Nov/2026:10:00:00 +0000");
        assert_eq!(later(unset, event), unset);
        assert_eq!(later(Some(StatedTime::Unix(12)), event), Some(StatedTime::Unix(12)));
        assert_eq!(later(event, unset), event);
        assert_eq!(later(None, event), None);
        assert_eq!(later(event, None), event);
    }

    #[test]
    fn days_are_counted_from_1970() {
        for (text, seconds) in [
            ("1971-01-01T00:00:00Z", 31_536_000),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-23T10:00:00Z", 1_795_428_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let time = stated(text.as_bytes()).unwrap();
            assert_eq!(wall_seconds(time), Some(seconds), "{text}");
        }
    }
}
