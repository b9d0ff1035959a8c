//! nginx error log: `YYYY/MM/DD HH:MM:SS [level] pid#tid: *connection message`.

use super::timestamp::{Parsed, slashed};
use crate::model::{Format, Record};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::digit1;
use nom::sequence::{delimited, separated_pair, terminated};

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    r#"2026/11/23 10:00:00 [error] 12#34: *5 open() "/srv/www/favicon.ico" failed (2: No such file or directory), client: 203.0.113.9, server: www.example.org, request: "GET /favicon.ico HTTP/1.1", host: "www.example.org""#,
    "2026/11/23 10:00:00 [warn] 7#7: *812 upstream server temporarily disabled while connecting to upstream, client: 2001:db8::7",
    "2026/11/23 10:00:00 [notice] 1#1: signal process started",
];

/// Reads the envelope of a line. The time is the local time of the server, without a zone.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (_, (time, _level, _process)) = (slashed, level, process).parse(line).ok()?;
    Some(Record { format: Format::NginxError, time: Some(time), ..Record::raw(line) })
}

/// Parses a level of the directive `error_log`.
fn level(input: &[u8]) -> Parsed<'_, &[u8]> {
    let names = alt((
        tag("error"),
        tag("warn"),
        tag("notice"),
        tag("info"),
        tag("debug"),
        tag("crit"),
        tag("alert"),
        tag("emerg"),
    ));
    delimited(tag(" ["), names, tag("] ")).parse(input)
}

/// Parses `pid#tid: `.
fn process(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    terminated(separated_pair(digit1, tag("#"), digit1), tag(": ")).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "2026/11/23 10:00:00",
            "2026/11/23 10:00:00 [error]",
            "2026/11/23 10:00:00 [error] POST 203.0.113.9 /login: wrong password",
            "2026/11/23 10:00:00 [error] 80:2 text",
            "2026/11/23 10:00:00 [error] 12#: text",
            "2026/11/23 10:00:00 [panic] 12#34: text",
            "2026/13/23 10:00:00 [error] 12#34: text",
            "2026-11-23 10:00:00 [error] 12#34: text",
            " 2026/11/23 10:00:00 [error] 12#34: text",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }
}
