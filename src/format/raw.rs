//! Lines of no known format. Even these expire by their own date if they start with a time.

use super::rare_spellings::tai64n;
use super::timestamp::any;
use super::{epochs, prefixed, utc_heads};
use crate::model::{Record, StatedTime};
use nom::Parser;
use nom::branch::alt;

/// Sample lines of no known format.
pub(super) const SAMPLES: &[&str] = &[
    "2026-11-23 10:00:00,123 fail2ban.actions [77]: NOTICE [sshd] Ban 203.0.113.9",
    "2026-11-23T10:00:00.123456Z 42 [Note] Access denied for user 'jean'@'203.0.113.9' (using password: YES)",
    "[2026-11-23 10:00:00 +0100] info [webmaild] 203.0.113.9 - jean@example.fr FAILED LOGIN",
    "2026/11/23 10:00:00 [8203] connect from client.example.com (203.0.113.9)",
    "[23/Nov/2026:10:00:00 +0100] 203.0.113.9 TLSv1.3 \"GET / HTTP/1.1\" 5",
    "1795428000.899     57 203.0.113.9 TCP_MISS/200 2014 GET http://www.example.org/ - DIRECT/192.0.2.1 text/html",
    "@400000006b03c62a075bcd15 tcpserver: pid 26162 from 203.0.113.9",
    "000123: *Nov 23 10:00:00.123 CET: %SEC-6-IPACCESSLOGP: list 100 denied tcp 203.0.113.9(57424) -> 192.0.2.1(22), 1 packet",
    "1 2026-11-23T10:00:00Z gw CheckPoint 19710 - [action:\"Drop\"; src:\"203.0.113.9\"; dst:\"192.0.2.1\"]",
    "1,2026/11/23 10:00:00,001801000001,TRAFFIC,end,2305,2026/11/23 10:00:00,203.0.113.9,192.0.2.1",
    "2 123456789010 eni-1235b8ca 203.0.113.9 192.0.2.1 20641 22 6 20 4249 1795427990 1795428000 ACCEPT OK",
    "https 2026-11-23T10:00:00.186641Z app/lb/50dc 203.0.113.9:2817 192.0.2.1:80 0.086 0.048 0.037 200 200 0 57 \"GET https://www.example.org:443/ HTTP/1.1\" \"curl/8.5.0\" - -",
    "261123 10:00:00 [Warning] Access denied for user 'jean'@'203.0.113.9' (using password: YES)",
    "203.0.113.9 proxy jean [11/23/2026:10:00:00 -0000] \"POST /login HTTP/1.1\" FAILED LOGIN webmaild: user password incorrect",
    "2026:11:23-10:00:00: '203.0.113.9' 1 failed login attempt. Account 'jean'",
    "tls 2.0 2026-11-23T10:00:00 net/lb/c6 51 203.0.113.9:51341 192.0.2.1:443 5 2 98 246 -",
    "2026-11-23\t10:00:00\tCDG50-C1\t1045\t203.0.113.9\tGET\twww.example.org\t/\t200\t-\tcurl/8.5.0",
    "[pid: 1|app: 0|req: 1/1] 203.0.113.9 () {40 vars in 702 bytes} [Mon Nov 23 10:00:00 2026] GET / => generated 9 bytes",
    "Started GET \"/\" for 203.0.113.9 at 2026-11-23 10:00:00 +0100",
    "INFO  [main] 2026-11-23 10:00:00,123 Server.java:1 - /203.0.113.9",
    "1234:M 23 Nov 10:00:00.123 * Accepted 203.0.113.9:57424",
    "23/11/2026 -- 10:00:00 - <Notice> - from 203.0.113.9",
    "Mon Nov 23 10:00:00 PM CET 2026 203.0.113.9",
    "an address on its own: 2001:db8::7",
    "",
];

/// Reads the envelope of a line of no known format.
pub(super) fn read(line: &[u8]) -> Record {
    Record { time: time(line), ..Record::raw(line) }
}

/// Returns the time at the start of a line, in brackets or not, or after what a few programs write before it.
pub(super) fn time(line: &[u8]) -> Option<StatedTime> {
    let line = line.trim_ascii_start();
    // Ruby: "I, [2026-11-23T10:00:00.321744 #11479]  INFO -- : ...".
    let text = match line {
        [b'A'..=b'Z', b',', b' ', rest @ ..] => rest,
        _ => line,
    };
    let text = text.strip_prefix(b"[").unwrap_or(text);
    match alt((any, tai64n)).parse(text) {
        Ok((rest, time)) => Some(utc_heads::zoned(text, rest, time)),
        Err(_) => epochs::time(line).or_else(|| prefixed::time(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::timestamp::stated;

    #[test]
    fn leading_times() {
        let expected = stated(b"2026-11-23 10:00:00");
        for line in [
            "2026-11-23 10:00:00,123 text",
            "2026-11-23T10:00:00.123: text",
            "2026-11-23T10:00:00.123,1,2,3",
            "2026-11-23 10:00:00|text",
            "[2026-11-23 10:00:00] text",
            "  2026/11/23 10:00:00 text",
            "[23/Nov/2026:10:00:00] text",
            "Mon Nov 23 10:00:00 2026 [pid 3] text",
            "2026 Nov 23 10:00:00 text",
            "I, [2026-11-23T10:00:00.321744 #11479]  INFO -- : text",
        ] {
            assert_eq!(read(line.as_bytes()).time, expected, "{line}");
        }
    }

    #[test]
    fn no_leading_time() {
        for line in [
            "",
            "[",
            "text 2026-11-23 10:00:00",
            "2026-11-23",
            "10:00:00 text",
            "1795428000x",
            "1795428000 text",
            "[[2026-11-23 10:00:00]",
        ] {
            assert_eq!(read(line.as_bytes()).time, None, "{line:?}");
        }
    }
}
