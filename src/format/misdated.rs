//! Recognises times that cannot be those of an event: from a clock that is not set, or on a day that does not
//! exist.
//!
//! Such a time is reported nevertheless, so that the line is known to count from receipt although it states a
//! time.

use super::timestamp::{decimal, spelled};
use crate::model::StatedTime;

/// Returns the time that `text` states if it cannot be the time of an event, for a field that should state
/// one. Call it only if [`stated`](super::timestamp::stated) found no time.
pub(super) fn misdated(text: &[u8]) -> Option<StatedTime> {
    let text = text.trim_ascii();
    if let Some(seconds) = unset_epoch(text) {
        return Some(StatedTime::Unix(seconds));
    }
    let (rest, time) = spelled(text).ok()?;
    (rest.is_empty() || rest.starts_with(b" ")).then_some(time)
}

/// The same as [`misdated`], for a field called `name`: under `time` or `t` a number may be a duration, so it
/// is not taken for a time.
pub(super) fn misdated_as(name: &[u8], text: &[u8]) -> Option<StatedTime> {
    let may_last = [&b"time"[..], b"t"].iter().any(|known| name.eq_ignore_ascii_case(known));
    misdated(text).filter(|time| !may_last || !matches!(time, StatedTime::Unix(_)))
}

/// Returns the seconds since 1970 of a clock that is not set: within 1970, or before it, such as Go's zero
/// time.
fn unset_epoch(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    digits.first().filter(|first| first.is_ascii_digit())?;
    let seconds = sign * i64::try_from(decimal(digits)?).ok()?;
    (seconds < SECONDS_OF_1970).then_some(seconds)
}

/// Length of the year 1970. A greater number is something else.
const SECONDS_OF_1970: i64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;
    use super::*;

    #[test]
    fn times_that_are_of_no_event_are_told_from_no_times() {
        for (text, is_time) in [
            ("1970-01-01T00:00:12Z", true),
            ("0001-01-01 00:00:00", true),
            ("30/Feb/2026:10:00:00 +0100", true),
            ("Nov 31 10:00:00", true),
            ("2026-02-32T10:00:00Z", false),
            ("0000-00-00T00:00:00Z", false),
            ("never", false),
            ("", false),
        ] {
            assert_eq!(stated(text.as_bytes()), None, "{text}");
            assert_eq!(misdated(text.as_bytes()).is_some(), is_time, "{text}");
        }
    }

    #[test]
    fn numbers_of_clocks_that_are_not_set() {
        for (text, seconds) in [
            ("0", Some(0)),
            (" 0.0 ", Some(0)),
            ("37.25", Some(37)),
            ("31535999", Some(31_535_999)),
            ("-62135596800", Some(-62_135_596_800)),
            ("-6.21355968e+10", Some(-62_135_596_800)),
            ("31536000", None),
            ("1795428000", None),
            ("99999999999999999999", None),
            ("-99999999999999999999", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("0x10", None),
            ("0s", None),
        ] {
            let expected = seconds.map(StatedTime::Unix);
            assert_eq!(misdated(text.as_bytes()), expected, "{text}");
            assert_eq!(misdated_as(b"ts", text.as_bytes()), expected, "{text}");
            assert_eq!(misdated_as(b"Time", text.as_bytes()), None, "{text}");
        }
        assert!(misdated_as(b"time", b"1970-01-01T00:00:12Z").is_some());
    }
}
