//! Reads the fraction of a second that a line states. Formats drop it, because no day and no class depends on
//! it; but the order of lines does.
//!
//! ```text
//! 10:15:30.123456   10:15:30,123   1795428930.25   1795428930123
//! ```

use crate::model::StatedTime;
use memchr::memmem;

/// Returns the nanoseconds within the second of `stated`, which was read from `line`; `None` if the line
/// states none.
///
/// The first text that spells that second is assumed to be the one that was read. If it is another, it spells
/// the same second, so lines can only change places within that second.
pub(super) fn nanoseconds(line: &[u8], stated: StatedTime) -> Option<u32> {
    match stated {
        StatedTime::Civil { minute, second, .. } => {
            let spelt = [b':', tens(minute), ones(minute), b':', tens(second), ones(second)];
            let rest = line.get(memmem::find(line, &spelt)? + spelt.len()..)?;
            match rest {
                [b'.' | b',', digits @ ..] => fraction(digits),
                _ => None,
            }
        }
        StatedTime::Unix(seconds) => {
            let spelt = seconds.to_string();
            let rest = line.get(memmem::find(line, spelt.as_bytes())? + spelt.len()..)?;
            match rest {
                [b'.', digits @ ..] => fraction(digits),
                // Milliseconds, microseconds or nanoseconds.
                digits => fraction(digits).filter(|_| matches!(count(digits), 3 | 6 | 9)),
            }
        }
    }
}

/// Reads `123` as 123,000,000; digits after the ninth are dropped.
fn fraction(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take(count(text)).chain([&b'0'; 9]).take(9);
    (count(text) > 0).then(|| digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

fn count(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn tens(number: u8) -> u8 {
    b'0' + number / 10
}

fn ones(number: u8) -> u8 {
    b'0' + number % 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Guess;

    #[test]
    fn fractions() {
        for (line, nanoseconds) in [
            ("2026-11-23T10:15:30.25Z web1 sshd[1]: x", Some(250_000_000)),
            ("<22>1 2026-11-23T10:15:30.000042+01:00 web1 app - - - x", Some(42_000)),
            ("2026-11-23T10:15:30Z web1 sshd[1]: at 11:15:30.5 x", None),
            ("2026-11-23 10:15:30,007 INFO [main] x", Some(7_000_000)),
            ("{\"ts\":\"2026-11-23T10:15:30.1234567891Z\",\"x\":1}", Some(123_456_789)),
            ("{\"ts\":1795428930.5,\"x\":1}", Some(500_000_000)),
            ("{\"ts\":1795428930123,\"x\":1}", Some(123_000_000)),
            ("{\"ts\":1795428930,\"x\":1}", None),
            ("Nov 23 10:15:30 web1 sshd[1]: x", None),
            ("2026-11-23T10:15:30. x", None),
        ] {
            let record = Guess::new(None).parse(line.as_bytes());
            let stated = record.time.and_then(|stated| super::nanoseconds(line.as_bytes(), stated));
            assert_eq!(stated, nanoseconds, "{line}");
        }
    }

    #[test]
    fn any_text_may_follow() {
        for stated in [
            StatedTime::Unix(i64::MIN),
            StatedTime::Civil {
                year: None,
                month: 1,
                day: 1,
                hour: 0,
                minute: 15,
                second: 60,
                offset_seconds: None,
            },
        ] {
            for line in ["", ":15:60", ":15:60.", ":15:60,9", "-9223372036854775808.1"] {
                let nanoseconds = nanoseconds(line.as_bytes(), stated);
                assert!(nanoseconds.is_none_or(|nanoseconds| nanoseconds < 1_000_000_000), "{line}");
            }
        }
    }
}
