//! RFC 3164 (BSD) syslog as found in practice: PRI, time, HOSTNAME and TAG may each be missing.

use super::last_times::LastTimes;
use super::logfmt::at;
use super::pri::pri;
use super::raw;
use super::timestamp::{MISMATCH, Parsed, bsd, rfc3339, spaced_zone};
use super::zones::{end_of_time, rare_zone};
use super::{between, some_span};
use crate::model::{Format, Names, Record, Span, StatedTime, TagPoint};
use crate::scan::Line;
use memchr::memchr;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::opt;
use nom::sequence::terminated;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    "<38>Nov 23 10:00:00 web1 sshd[4321]: Failed password for invalid user admin from 203.0.113.9 port 57424 ssh2",
    "Nov  3 10:00:00 mail.example.net postfix/smtpd[99]: connect from client.example.com[203.0.113.9]",
    "<30>Nov 23 10:00:00 dovecot: imap-login: Login: user=<jean@example.fr>, rip=2001:db8::7",
    "2026-11-23T10:00:00.123456+01:00 web1 sshd[4321]: Accepted publickey for jean from 198.51.100.7 port 50022",
    r#"<190>Nov 23 10:00:00 edge nginx: 203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "curl/8.5.0""#,
    "Nov 23 10:00:00 fw1 kernel: [12.345678] IN=eth0 OUT= MAC=00:00:5e:00:53:01 SRC=203.0.113.9 DST=192.0.2.1 PROTO=TCP",
    "Nov 23 2026 10:00:00: last message repeated 3 times",
    "<189>45: rtr1: 000123: .Nov 23 10:00:00.123: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: jean] [Source: 203.0.113.9]",
];

/// Reads the envelope of a line.
///
/// With PRI the line is syslog, whatever follows; RFC 3164 4.3.3: "If a relay receives a syslog message
/// without a PRI, or with an unidentifiable PRI, then it will insert a PRI". Without PRI, a BSD time is
/// sufficient evidence. An RFC 3339 time is not, because many programs write it: a TAG must follow.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (rest, pri) = opt(terminated(pri, opt(char(' ')))).parse(line).ok()?;
    let (rest, time) = opt(timestamp).parse(rest).ok()?;
    let origin = match (&time, &pri) {
        (Some((_, Spelling::Bsd)), _) | (Some(_), Some(_)) => origin,
        (Some((_, Spelling::Rfc3339)), None) => certain_origin,
        (None, Some(_)) => program_only,
        (None, None) => return None,
    };
    let (message, (host, program)) = origin(rest).ok()?;
    Some(Record {
        format: Format::Rfc3164,
        inner: None,
        // Whoever wrote PRI also wrote what follows it directly.
        time: time.map(|(time, _)| time).or_else(|| raw::time(rest)),
        host: some_span(line, host),
        program: some_span(line, program),
        message: between(line, message, &[]),
        tag: TagPoint::LineEnd,
        names: Names::ANY,
    })
}

/// Reads the envelope of `Nov 23 10:00:00 host program[pid]: message` or `... program: message`, if the names
/// are plain, as they nearly always are, and the message has no format of its own. `None` only means that
/// [`read`] has to decide.
#[inline]
pub(super) fn read_plain(line: &Line<'_>, times: &mut LastTimes) -> Option<Record> {
    let time = times.bsd(line.bytes.first_chunk()?)?;
    // A host that begins with a small letter is neither a year nor a zone, except perhaps `z`.
    if !matches!(line.bytes.get(16)?, b'a'..=b'y') {
        return None;
    }
    let mut ends = line.name_ends(16);
    let mut next = || {
        let end = 16 + ends.trailing_zeros() as usize;
        ends &= ends.wrapping_sub(1);
        // Give up on a name that does not end within 64 bytes.
        (end < line.bytes.len().min(16 + 64)).then_some(end)
    };
    let host = next().filter(|&end| line.bytes[end] == b' ')?;
    let program = next()?;
    let colon = match line.bytes[program] {
        b'[' => {
            let closing = next().filter(|&end| line.bytes[end] == b']')?;
            next().filter(|&end| end == closing + 1)?
        }
        _ => program,
    };
    let message = colon + 2;
    let name = &line.bytes[host + 1..program];
    let fits = line.bytes[colon] == b':'
        && line.bytes.get(colon + 1) == Some(&b' ')
        && !matches!(name, b"" | b"CEF" | b"LEEF")
        && super::has_no_content(line, message);
    if !fits {
        return None;
    }
    Some(Record {
        format: Format::Rfc3164,
        inner: None,
        time: Some(time),
        host: Some(Span::new(16, host)),
        program: Some(Span::new(host + 1, program)),
        message: Span::new(message, line.bytes.len()),
        tag: TagPoint::LineEnd,
        names: Names::NONE,
    })
}

/// The spelling of the time. The two spellings prove different things.
#[derive(Clone, Copy)]
enum Spelling {
    Bsd,
    Rfc3339,
}

/// HOSTNAME and TAG, each empty if missing.
type Origin<'a> = (&'a [u8], &'a [u8]);

/// Parses the time and the space after it. Cisco devices write `: ` there, perhaps after a zone; some
/// programs write a space before the zone of an RFC 3339 time.
fn timestamp(input: &[u8]) -> Parsed<'_, (StatedTime, Spelling)> {
    let (rest, (time, spelling)) =
        alt((bsd.map(|time| (time, Spelling::Bsd)), rfc3339.map(|time| (time, Spelling::Rfc3339))))
            .parse(input)?;
    // Scripts write `Nov 23 10:00:00 PM` there.
    let (rest, time) = match (spelling, rest) {
        (Spelling::Bsd, [b' ', b'A' | b'P', b'M', b' ', ..]) => end_of_time(rest, time),
        _ => (rest, time),
    };
    let zone = match (spelling, time, rest) {
        (_, StatedTime::Civil { offset_seconds: Some(_), .. }, _) => None,
        (Spelling::Rfc3339, ..) => spaced_zone(rest).ok(),
        // A host may have the name of a zone, but it has no colon there.
        (Spelling::Bsd, _, [b' ', b'A'..=b'Z', ..]) => {
            rare_zone(rest).filter(|(rest, _)| rest.starts_with(b": %"))
        }
        _ => None,
    };
    let (rest, time) = zone.map_or((rest, time), |(rest, offset)| (rest, at(time, offset)));
    let (rest, _) = (opt(char(':')), end_or_space).parse(rest)?;
    Ok((rest, (time, spelling)))
}

/// Parses `HOSTNAME TAG`, `TAG` or `HOSTNAME`; the rest is the message. Never fails.
fn origin(input: &[u8]) -> Parsed<'_, Origin<'_>> {
    if let Ok((message, program)) = tag_field(input) {
        return Ok((message, (&input[..0], program)));
    }
    let Ok((rest, host)) = hostname(input) else { return Ok((input, (&input[..0], &input[..0]))) };
    // Cisco writes a lone colon after the name; UniFi writes its name twice.
    let rest = rest.strip_prefix(b": ").unwrap_or(rest);
    let rest = rest.strip_prefix(host).and_then(|rest| rest.strip_prefix(b" ")).unwrap_or(rest);
    match tag_field(rest) {
        Ok((message, program)) => Ok((message, (host, program))),
        Err(_) => Ok((rest, (host, &input[..0]))),
    }
}

/// Parses `TAG`, for a message without a time. Never fails.
fn program_only(input: &[u8]) -> Parsed<'_, Origin<'_>> {
    let (message, program) = tag_field(input).unwrap_or((input, &input[..0]));
    Ok((message, (&input[..0], program)))
}

/// Parses `HOSTNAME TAG:` or `TAG[pid]:`, nothing less.
fn certain_origin(input: &[u8]) -> Parsed<'_, Origin<'_>> {
    if let Ok((message, program)) = tag_field(input) {
        let with_pid = input.get(program.len()) == Some(&b'[');
        return if with_pid { Ok((message, (&input[..0], program))) } else { Err(MISMATCH) };
    }
    let (rest, host) = hostname(input)?;
    if LEVELS.iter().any(|level| host.eq_ignore_ascii_case(level)) {
        return Err(MISMATCH);
    }
    let (message, program) = tag_field(rest)?;
    Ok((message, (host, program)))
}

/// Words that programs other than syslog write in the place of HOSTNAME.
const LEVELS: [&[u8]; 18] = [
    b"trace",
    b"debug",
    b"dbg",
    b"info",
    b"inf",
    b"notice",
    b"note",
    b"warn",
    b"warning",
    b"wrn",
    b"error",
    b"err",
    b"crit",
    b"critical",
    b"alert",
    b"emerg",
    b"fatal",
    b"panic",
];

/// Parses HOSTNAME and the space after it: a name or an address, so not text such as `CEF:0|` or `key=value`.
///
/// RFC 3164 4.1.2: "The HOSTNAME field will contain only the hostname, the IPv4 address, or the IPv6 address
/// of the originator of the message." A zone (`%eth0`) and sysklogd's `name/address` occur.
fn hostname(input: &[u8]) -> Parsed<'_, &[u8]> {
    if !matches!(input.first(), Some(b':' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')) {
        return Err(MISMATCH);
    }
    let in_name = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%' | b'/' | b'@')
    };
    terminated(take_while1(in_name), end_or_space).parse(input)
}

/// Parses `TAG:` or `TAG[pid]:` and the space after it. The colon may be missing after a PID.
///
/// RFC 3164 4.1.3: "The TAG is a string of ABNF alphanumeric characters [...]. Any non-alphanumeric character
/// will terminate the TAG field". Names such as `postfix/smtpd` and `systemd-logind` are older than that
/// sentence and kept whole; `sshd(pam_unix)` is cut at the parenthesis.
fn tag_field(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, name) = take_while1(in_tag).parse(input)?;
    let rest = match rest {
        [b'[', after @ ..] => {
            let end = after.iter().position(|&byte| matches!(byte, b']' | b' ')).ok_or(MISMATCH)?;
            let after = after[end..].strip_prefix(b"]").ok_or(MISMATCH)?;
            match after {
                // "[pid]:" leaves no doubt, so the space after it may be missing.
                [b':', message @ ..] if !message.starts_with(b" ") => return Ok((message, program(name))),
                [b':', after @ ..] => after,
                _ => after,
            }
        }
        // Some devices begin a CEF message with "CEF: 0|".
        [b':', after @ ..] if !matches!(name, b"CEF" | b"LEEF") => after,
        _ => return Err(MISMATCH),
    };
    let (rest, ()) = end_or_space(rest)?;
    Ok((rest, program(name)))
}

/// Returns a TAG without the suffix that PAM adds: `sshd` of `sshd(pam_unix)`.
fn program(name: &[u8]) -> &[u8] {
    let cut = memchr(b'(', name).filter(|&at| at > 0).unwrap_or(name.len());
    &name[..cut]
}

fn in_tag(byte: u8) -> bool {
    !byte.is_ascii_control()
        && !matches!(byte, b' ' | b':' | b'[' | b']' | b'{' | b'}' | b'"' | b'=' | b'<' | b'>' | b'|' | b',')
}

/// Parses the end of the line, or one space, which is consumed.
fn end_or_space(input: &[u8]) -> Parsed<'_, ()> {
    match input {
        [] => Ok((input, ())),
        [b' ', rest @ ..] => Ok((rest, ())),
        _ => Err(MISMATCH),
    }
}

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;
    use super::*;

    /// Returns HOSTNAME, TAG and message of a line, each empty if missing.
    fn parts(line: &str) -> Option<[&str; 3]> {
        let record = read(line.as_bytes())?;
        let text = |span: Span| &line[span.start as usize..span.end as usize];
        Some([record.host.map_or("", text), record.program.map_or("", text), text(record.message)])
    }

    fn check(cases: &[(&str, [&str; 3])]) {
        for &(line, expected) in cases {
            assert_eq!(parts(line), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn with_host_and_tag() {
        check(&[
            ("<38>Nov 23 10:00:00 web1 sshd[7]: hello", ["web1", "sshd", "hello"]),
            ("Nov 23 10:00:00 web1 sshd[7]: hello", ["web1", "sshd", "hello"]),
            // Hosts that begin like a zone.
            ("Nov 23 10:00:00 WEST-WEB01 sshd[7]: hello", ["WEST-WEB01", "sshd", "hello"]),
            ("Nov 23 10:00:00 EST.example.net sshd[7]: hello", ["EST.example.net", "sshd", "hello"]),
            ("Nov 23 10:00:00 MST_1 sshd[7]: hello", ["MST_1", "sshd", "hello"]),
            ("Nov 23 10:00:00 CET web1 sshd[7]: hello", ["web1", "sshd", "hello"]),
            ("Nov  3 10:00:00.123 web1 su: hello", ["web1", "su", "hello"]),
            ("<38>2026-11-23T10:00:00.5+01:00 web1 sshd[7]: hello", ["web1", "sshd", "hello"]),
            ("2026-11-23T10:00:00Z web1 postfix/smtpd[7]: hello", ["web1", "postfix/smtpd", "hello"]),
            ("Nov 23 10:00:00 2001:db8::80 sshd[7]: x", ["2001:db8::80", "sshd", "x"]),
            ("Nov 23 10:00:00 2001:db8:: sshd[7]: x", ["2001:db8::", "sshd", "x"]),
            ("Nov 23 10:00:00 fe80::1%eth0 sshd[7]: x", ["fe80::1%eth0", "sshd", "x"]),
            ("Nov 23 10:00:00 203.0.113.80 sshd[7]: x", ["203.0.113.80", "sshd", "x"]),
            ("Nov 23 2026 10:00:00 web1 sshd[7]: x", ["web1", "sshd", "x"]),
            ("Nov 23 10:00:00 2026 web1 sshd[7]: x", ["web1", "sshd", "x"]),
        ]);
    }

    #[test]
    fn tags_as_programs_write_them() {
        check(&[
            ("Nov 23 10:00:00 web1 sshd(pam_unix)[7]: x", ["web1", "sshd", "x"]),
            ("Nov 23 10:00:00 web1 (sd-pam)[7]: x", ["web1", "(sd-pam)", "x"]),
            ("Nov 23 10:00:00 web1 proftpd[7] web1: x", ["web1", "proftpd", "web1: x"]),
            ("Nov 23 10:00:00 web1 app[7]:x", ["web1", "app", "x"]),
            ("Nov 23 10:00:00 web1 kernel: [12.3] x", ["web1", "kernel", "[12.3] x"]),
            ("Nov 23 10:00:00 web1 %ASA-6-302013: x", ["web1", "%ASA-6-302013", "x"]),
            ("Nov 23 10:00:00 web1 sudo:     jean : x", ["web1", "sudo", "    jean : x"]),
            ("Nov 23 10:00:00 web1 app:", ["web1", "app", ""]),
        ]);
    }

    #[test]
    fn parts_missing() {
        check(&[
            // No HOSTNAME.
            ("<38>Nov 23 10:00:00 sshd[7]: x", ["", "sshd", "x"]),
            ("Nov 23 10:00:00 imap-login: Info: x", ["", "imap-login", "Info: x"]),
            ("2026-11-23T10:00:00Z sshd[7]: x", ["", "sshd", "x"]),
            // No TAG.
            (
                "Nov 23 10:00:00 web1 last message repeated 2 times",
                ["web1", "", "last message repeated 2 times"],
            ),
            ("<38>2026-11-23T10:00:00Z web1 hello world", ["web1", "", "hello world"]),
            // Neither.
            ("Nov 23 10:00:00 {\"a\":1}", ["", "", "{\"a\":1}"]),
            ("Nov 23 10:00:00 key=value x=y", ["", "", "key=value x=y"]),
            ("Nov 23 10:00:00 [error] x", ["", "", "[error] x"]),
            ("Nov 23 10:00:00", ["", "", ""]),
            // No time: PRI alone makes it syslog.
            ("<38>sshd[7]: x", ["", "sshd", "x"]),
            ("<38>hello world", ["", "", "hello world"]),
            ("<38>", ["", "", ""]),
            ("<38>1 - web1 app - - no structured data", ["", "", "1 - web1 app - - no structured data"]),
        ]);
    }

    #[test]
    fn devices() {
        check(&[
            ("<189>Nov 23 10:00:00: %SYS-5-CONFIG: x", ["", "%SYS-5-CONFIG", "x"]),
            ("<189>Nov 23 2026 10:00:00 fw1 : %ASA-6-1: x", ["fw1", "%ASA-6-1", "x"]),
            ("Nov 23 10:00:00 gw gw sshd[7]: x", ["gw", "sshd", "x"]),
            ("Nov 23 10:00:00 fw1 CEF:0|a|b", ["fw1", "", "CEF:0|a|b"]),
            ("Nov 23 10:00:00 fw1 CEF: 0|a|b", ["fw1", "", "CEF: 0|a|b"]),
            ("Nov 23 10:00:00 LEEF:1.0|a|b", ["", "", "LEEF:1.0|a|b"]),
            ("<38> Nov 23 10:00:00 web1 su: x", ["web1", "su", "x"]),
        ]);
    }

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "hello world",
            "November rain",
            "Nov 23",
            "Nov 23 10:00",
            "Nov 32 10:00:00 web1 su: x",
            "Nov 23 10:00:00web1",
            // A PRI out of range is not a PRI.
            "<192>Nov 23 10:00:00 web1 su: x",
            "<999>Nov 23 10:00:00 web1 su: x",
            // An RFC 3339 time alone proves nothing.
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:00Z hello world",
            "2026-11-23T10:00:00Z hello: world",
            "2026-11-23T10:00:00Z INFO main: started",
            "2026-11-23T10:00:00Z warning server[7]: x",
            "2026-11-23T10:00:00Z [main] server: x",
            "2026-11-23T10:00:00Z stdout F {}",
            "2026-11-23 10:00:00 web1 su: x",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_zone_after_the_time_counts() {
        let time = |line: &str| read(line.as_bytes()).and_then(|record| record.time);
        for (line, expected) in [
            ("<38>2026-11-23T10:00:00 UTC web1 sshd[7]: x", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00 +0100 web1 sshd[7]: x", "2026-11-23T10:00:00+01:00"),
            ("<189>Nov 23 10:00:00 JST: %SYS-5-CONFIG_I: x", "Nov 23 10:00:00 +0900"),
            // Hosts.
            ("<38>2026-11-23T10:00:00 EST-gw1 sshd[7]: x", "2026-11-23T10:00:00"),
            ("<38>Nov 23 10:00:00 JST sshd[7]: x", "Nov 23 10:00:00"),
            // The half of the day, perhaps before a zone.
            ("Nov 23 10:00:00 PM web1 sshd[7]: x", "Nov 23 22:00:00"),
            ("<38>Nov 23 12:00:00 AM EST web1 sshd[7]: x", "Nov 23 00:00:00 EST"),
            ("Nov 23 10:00:00 AM-gw1 sshd[7]: x", "Nov 23 10:00:00"),
            // A number.
            ("<38>Nov 23 10:00:00 -2014 bytes from 203.0.113.9", "Nov 23 10:00:00"),
            ("<38>Nov 23 10:00:00 2014 bytes from 203.0.113.9", "Nov 23 10:00:00"),
        ] {
            let expected = stated(expected.as_bytes());
            assert!(expected.is_some());
            assert_eq!(time(line), expected, "{line}");
        }
        check(&[
            ("<38>2026-11-23T10:00:00 UTC web1 sshd[7]: x", ["web1", "sshd", "x"]),
            ("<189>Nov 23 10:00:00 JST: %SYS-5-CONFIG_I: x", ["", "%SYS-5-CONFIG_I", "x"]),
        ]);
    }
}
