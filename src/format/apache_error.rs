//! Apache httpd error log, 2.2 and 2.4.

use super::timestamp::{Parsed, asctime};
use crate::model::{Format, Record};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map_opt, opt, peek};
use nom::sequence::{delimited, preceded, terminated};

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    "[Mon Nov 23 10:00:00.123456 2026] [core:error] [pid 1:tid 2] [client 203.0.113.9:57424] AH00126: Invalid URI in request GET /cgi-bin/.%2e/ HTTP/1.1",
    "[Mon Nov 23 10:00:00.123456 2026] [ssl:info] [pid 44] [client 2001:db8::7:41234] AH01964: Connection to child 0 established",
    "[Mon Nov 23 10:00:00 2026] [error] [client 203.0.113.9] File does not exist: /srv/www/robots.txt",
    "[Mon Nov 23 10:00:00 2026] [notice] Apache/2.2.34 (Unix) configured -- resuming normal operations",
    "[proxy_fcgi:error] [pid 77:tid 88] [client 203.0.113.9:57424] AH01071: Got error 'PHP message: login failed'",
];

/// Reads the envelope of a line. When httpd sends it to syslog, it omits the time; then the process or the
/// client must follow the level.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (_, time) =
        alt((terminated(timestamp.map(Some), level), terminated(level, peek(party)).map(|_| None)))
            .parse(line)
            .ok()?;
    Some(Record { format: Format::ApacheError, time, ..Record::raw(line) })
}

/// Parses `[Mon Nov 23 10:00:00.123456 2026] `, the local time of the server.
fn timestamp(input: &[u8]) -> Parsed<'_, crate::model::StatedTime> {
    delimited(char('['), asctime, tag("] ")).parse(input)
}

/// Parses `[error]` of 2.2 or `[core:error]` of 2.4; the module is empty in `[:error]`.
fn level(input: &[u8]) -> Parsed<'_, &[u8]> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let qualified = preceded(opt(terminated(take_while(word), char(':'))), take_while1(word));
    delimited(char('['), map_opt(qualified, |name: &[u8]| is_level(name).then_some(name)), char(']'))
        .parse(input)
}

/// Parses the start of `[pid 1:tid 2]` or `[client 203.0.113.9:57424]`, which follow the level.
fn party(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((tag(" [pid "), tag(" [client "), tag(" [remote "))).parse(input)
}

/// Returns whether `name` is a level of the directive `LogLevel`.
fn is_level(name: &[u8]) -> bool {
    match name {
        b"emerg" | b"alert" | b"crit" | b"error" | b"warn" | b"notice" | b"info" | b"debug" => true,
        [b't', b'r', b'a', b'c', b'e', digit] => (b'1'..=b'8').contains(digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules() {
        let cases = [
            "[Mon Nov 23 10:00:00 2026] [error] x",
            "[Mon Nov  3 10:00:00 2026] [:error] x",
            "[Mon Nov 23 10:00:00.5 2026] [ssl:trace8] x",
            "[Mon Nov 23 10:00:00.5 2026] [auth_basic:error] [pid 1] x",
            "[error] [client 203.0.113.9] x",
            "[core:error] [remote 203.0.113.9:443] x",
        ];
        for line in cases {
            assert!(read(line.as_bytes()).is_some(), "{line}");
        }
    }

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "[",
            "[Mon Nov 23 10:00:00 2026]",
            "[Mon Nov 23 10:00:00 2026] x",
            "[Mon Nov 23 10:00:00 2026] [main] x",
            "[Mon Nov 23 10:00:00 2026] [trace9] x",
            "[Mon Nov 32 10:00:00 2026] [error] x",
            "[Mon Nov 23 10:00:00 2026 [error] x",
            "[2026-11-23 10:00:00] [error] x",
            // Without a time, a level proves nothing.
            "[error] x",
            "[notice] Apache configured",
            "[main] [client 203.0.113.9] x",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }
}
