//! Seconds since 1970 at the start of a line.
//!
//! Ten digits alone may as well be a size, a counter or a phone number: `1500000000 bytes copied`. So what
//! surrounds them must show that they are a time.

use super::timestamp::EPOCH_WINDOW;
use crate::model::StatedTime;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, one_of, satisfy};
use nom::combinator::recognize;
use nom::sequence::{delimited, terminated};

/// Returns the time of a line that begins with seconds since 1970, as a known program writes them.
pub(super) fn time(line: &[u8]) -> Option<StatedTime> {
    let bracketed = line.strip_prefix(b"[");
    // Meraki: `1 1795428000.123456789 MX84 flows `.
    let counted = line.strip_prefix(b"1 ");
    let text = bracketed.or(counted).unwrap_or(line);
    let (digits, rest) = text.split_at_checked(10)?;
    let seconds = digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok())??;
    let seconds = seconds.parse().ok().filter(|seconds| EPOCH_WINDOW.contains(seconds))?;
    let certain = match rest {
        // Nagios, unbound, NSD.
        [b']', ..] => bracketed.is_some(),
        [b'.', fraction @ ..] => is_fraction(fraction, bracketed.is_some()),
        _ if counted.is_some() => false,
        [b'|', after @ ..] => is_queue_log(after),
        [b':', b' ', after @ ..] => is_mosquitto(after),
        [b' ', after @ ..] => is_pure_ftpd(after),
        _ => false,
    };
    if certain { i64::try_from(seconds).ok().map(StatedTime::Unix) } else { None }
}

/// Returns whether a fraction from milliseconds to nanoseconds follows, as in Squid, Zeek, tcpdump and nginx.
fn is_fraction(text: &[u8], bracketed: bool) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = match text.get(digits) {
        None => !bracketed,
        Some(b']') => bracketed,
        Some(next) => !bracketed && matches!(next, b' ' | b'\t' | b':' | b',' | b'|'),
    };
    (3..=9).contains(&digits) && ends
}

/// Asterisk's log of queues: `1795428000|1795427990.12|support|SIP/100|CONNECT|3`.
fn is_queue_log(text: &[u8]) -> bool {
    let field = || terminated(take_while1(|byte: u8| byte != b'|'), char('|'));
    let event = take_while1(|byte: u8| byte.is_ascii_uppercase() || byte == b'_');
    let call = recognize((digit1, char('.'), digit1));
    let call = alt((call, tag("NONE"), tag("MANAGER"), tag("REALTIME")));
    let mut record = (call, char('|'), field(), field(), terminated(event, char('|')));
    let read: nom::IResult<_, _, ()> = record.parse(text);
    read.is_ok()
}

/// Mosquitto: `1795428000: New connection from 203.0.113.9:57424 on port 1883.`
fn is_mosquitto(text: &[u8]) -> bool {
    const STARTS: [&[u8]; 12] = [
        b"New ",
        b"Client ",
        b"Socket ",
        b"Received ",
        b"Sending ",
        b"mosquitto ",
        b"Opening ",
        b"Config ",
        b"Saving ",
        b"OpenSSL ",
        b"Denied ",
        b"No will ",
    ];
    STARTS.iter().any(|start| text.starts_with(start))
}

/// Pure-FTPd with `stats`: `1795428000 5f3.1a jean 203.0.113.9 D 1234 5 "/home/jean/x"`.
fn is_pure_ftpd(text: &[u8]) -> bool {
    let hex = || satisfy(|letter| letter.is_ascii_hexdigit());
    let id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.';
    let word = || terminated(take_while1(|byte: u8| byte != b' '), char(' '));
    let session = delimited(hex(), take_while1(id), char(' '));
    let mut record = (session, word(), word(), one_of("UD"), char(' '), digit1, char(' '), digit1, char(' '));
    let read: nom::IResult<_, _, ()> = record.parse(text);
    read.is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;

    #[test]
    fn programs_that_begin_a_line_with_seconds_since_1970() {
        for line in [
            "1795428000.899     57 203.0.113.9 TCP_MISS/200 2014 GET http://x.example.net/ - NONE/- -",
            "1795428000.123456\tC1\t203.0.113.9\t57424\t192.0.2.1\t22\ttcp",
            "1795428000.123456 IP 203.0.113.9.57424 > 192.0.2.1.22: Flags [S], seq 1",
            "1795428000.123456 [0 203.0.113.9:57424] \"GET\" \"x\"",
            "1795428000.123",
            "1 1795428000.123456789 MX84 flows src=203.0.113.9",
            "[1795428000] SSH ALERT: web1;SSH;CRITICAL;HARD;3;203.0.113.9",
            "[1795428000] unbound[7:0] info: 203.0.113.9 example.net. A IN",
            "[1795428000.123456] x",
            "1795428000|1795427990.12|support|SIP/100|CONNECT|3|203.0.113.9",
            "1795428000|NONE|support|jean|ADDMEMBER|",
            "1795428000: New connection from 203.0.113.9:57424 on port 1883.",
            "1795428000: Client auto-1 disconnected.",
            "1795428000 5f3.1a jean 203.0.113.9 D 1234 5 \"/home/jean/x\"",
        ] {
            assert_eq!(raw::time(line.as_bytes()), Some(StatedTime::Unix(1_795_428_000)), "{line}");
        }
    }

    #[test]
    fn ten_digits_alone_are_no_time() {
        for line in [
            "1500000000 bytes copied to 203.0.113.9",
            "1500000000 bytes (1.5 GB, 1.4 GiB) copied, 1.2 s, 551 MB/s",
            "3362345678 called 203.0.113.9",
            "1500000000,203.0.113.9,ok",
            "1500000000: value too large",
            "1500000000:0;ssh jean@203.0.113.9",
            "1500000000\tbytes\t203.0.113.9",
            "1500000000|jean|203.0.113.9",
            "1500000000 203.0.113.9",
            "1500000000",
            "1500000000] x",
            "1 1500000000 x",
            "1500000000.5 bits/sec",
            "1500000000.123x",
            "[1500000000 bytes]",
            "[1500000000.123 x",
            "1500000000.123.4 x",
            "15000000001 x",
        ] {
            assert_eq!(raw::time(line.as_bytes()), None, "{line}");
        }
    }
}
