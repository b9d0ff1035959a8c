//! Times after what few programs write first. Tried last of all.
//!
//! As in [`super::prefixed`], all that precedes the time was written by the program, and what surrounds the
//! time shows that it is that program.

use super::rare_spellings::clock_of;
use super::timestamp::{
    Clock, EPOCH_WINDOW, MISMATCH, Parsed, any, asctime, bsd, clf, clock_time, date_and_clock, finish,
    iso8601, month_name, number_2, number_4, rfc3339, slashed, spaced_zone, zone,
};
use crate::model::StatedTime;
use memchr::{memchr, memmem};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{all_consuming, opt, peek, recognize, verify};
use nom::sequence::{delimited, preceded, terminated};

/// Returns the time that `text` states after what its program writes first.
pub(super) fn time(text: &[u8]) -> Option<StatedTime> {
    let found = match text.first()? {
        b'[' => bracket(text),
        b'0'..=b'9' => number(text),
        b'{' if text.starts_with(b"{address space") => uwsgi(text),
        b'(' | b'<' | b'"' | b'*' | b'#' => marked(text),
        b'S' if text.starts_with(b"Started ") => rails(text),
        b'A'..=b'Z' | b'a'..=b'z' => word(text),
        _ => None,
    };
    found.or_else(|| parsed(client(text)))
}

fn parsed(result: Parsed<'_, StatedTime>) -> Option<StatedTime> {
    result.ok().map(|(_, time)| time)
}

/// Returns the time of a line that begins with a bracket.
fn bracket(text: &[u8]) -> Option<StatedTime> {
    if text.starts_with(b"[pid: ") {
        return uwsgi(text);
    }
    // Jupyter: `[I 2026-11-23 10:00:00.123 ServerApp] `. Passenger: `[ N 2026-11-23 10:00:00.1234 1234/T1 `.
    let severity = (one_of("CDEFINW"), char(' '));
    let jupyter = delimited(severity, alt((iso8601, tornado)), peek((char(' '), name)));
    let severity = opt((one_of("CDEFINW"), char(' ')));
    let passenger = delimited((char(' '), severity), iso8601, (char(' '), digit1, char('/')));
    // Payara: `[#|2026-11-23T10:00:00.123+0100|`.
    let payara = delimited(tag("#|"), rfc3339, char('|'));
    let heads = alt((jupyter, passenger, payara, unreal, cyber_panel, process));
    parsed(preceded(char('['), heads).parse(text)).or_else(|| parsed(level(text)))
}

/// Parses `261123 10:00:00`, as Tornado writes it.
fn tornado(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (year, month, day)) = (number_2, number_2, terminated(number_2, char(' '))).parse(input)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let clock = Clock { year: Some(2000 + i16::from(year)), month, day, hour, minute, second };
    finish(rest, clock.at(None))
}

/// Parses `2026.11.23-10.00.00:123][`: the Unreal engine, in UTC.
fn unreal(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, year) = terminated(number_4, char('.')).parse(input)?;
    let (rest, (month, day)) =
        (terminated(number_2, char('.')), terminated(number_2, char('-'))).parse(rest)?;
    let (rest, (hour, minute)) =
        (terminated(number_2, char('.')), terminated(number_2, char('.'))).parse(rest)?;
    let (rest, second) = terminated(number_2, (char(':'), digit1, tag("]["))).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(Some(0)))
}

/// Parses `11.23.2026_10-00-00] `: CyberPanel.
fn cyber_panel(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (month, day)) =
        (terminated(number_2, char('.')), terminated(number_2, char('.'))).parse(input)?;
    let (rest, year) = terminated(number_4, char('_')).parse(rest)?;
    let (rest, (hour, minute)) =
        (terminated(number_2, char('-')), terminated(number_2, char('-'))).parse(rest)?;
    let (rest, second) = terminated(number_2, char(']')).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(None))
}

/// Parses `1234] 23 Nov 10:00:00.123 * ` of Redis before 3.0, and `1234] 2026/11/23 10:00:00.123 [INF] ` of
/// NATS.
fn process(input: &[u8]) -> Parsed<'_, StatedTime> {
    let redis = terminated(day_and_month, (char(' '), one_of("#*-."), char(' ')));
    let nats = terminated(slashed, tag(" ["));
    preceded((digit1, tag("] ")), alt((redis, nats))).parse(input)
}

/// Parses `23 Nov 10:00:00.123`.
fn day_and_month(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, day) = terminated(number_2, char(' ')).parse(input)?;
    let (rest, month) = terminated(month_name, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    finish(rest, Clock { year: None, month, day, hour, minute, second }.at(None))
}

/// Returns the time of uWSGI:
/// `[pid: 1|app: 0|req: 1/1] 203.0.113.9 (jean) {40 vars in 702 bytes} [Mon Nov 23 10:00:00 2026] GET / =>`.
///
/// If another such time might stand in the line, one of the two is the name of a user, and neither counts.
fn uwsgi(text: &[u8]) -> Option<StatedTime> {
    let request = memmem::find(text, b"[pid: ").map(|at| &text[at..])?;
    let (head, rest) = split(request, b" bytes} [")?;
    let (after, time) = asctime(rest).ok()?;
    let certain = memchr(b'|', head).is_some() && memmem::find(rest, b" bytes} [").is_none();
    (certain && after.starts_with(b"] ")).then_some(time)
}

fn split<'a>(text: &'a [u8], between: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(text, between)?;
    Some((&text[..at], &text[at + between.len()..]))
}

/// Returns the time of a line that begins with a number, perhaps a hexadecimal one.
fn number(text: &[u8]) -> Option<StatedTime> {
    if text.get(10) == Some(&b'\t') {
        return tabbed(text);
    }
    let found = match *text.get(2)? {
        b'/' => parsed(alt((suricata, snort, nfs)).parse(text)),
        b'-' => parsed(alt((splunk, month_and_day)).parse(text)),
        // ISPConfig: `23.11.2026-10:00 - DEBUG [`.
        b'.' => parsed(isp_config(text)),
        // Route 53: `1.0 2026-11-23T10:00:00Z Z123 `.
        b'0' | b'1' if text.get(1) == Some(&b'.') => {
            parsed(delimited((digit1, char('.'), digit1, char(' ')), rfc3339, tag(" Z")).parse(text))
        }
        _ => None,
    };
    found.or_else(|| parsed(alt((redis, webmin, hexadecimal)).parse(text)))
}

/// Returns the time of a record that begins with date and time between tabs.
///
/// CloudFront means UTC, and an airport follows: `2026-11-23<TAB>10:00:00<TAB>CDG50-C1`. Wowza names its zone
/// there.
fn tabbed(text: &[u8]) -> Option<StatedTime> {
    let (rest, clock) = date_and_clock(text, b'-', |separator| separator == b'\t').ok()?;
    let next = rest.strip_prefix(b"\t")?;
    let is_edge = edge(next).is_ok();
    let word = &next[..memchr(b'\t', next).unwrap_or(next.len())];
    let named = [b" ", &word[..word.len().min(5)]].concat();
    let zone = all_consuming(spaced_zone).parse(&named).ok().map(|(_, offset)| offset);
    clock.at(if is_edge { Some(0) } else { zone.filter(|_| word.len() < named.len()) })
}

/// Parses a place of CloudFront: `CDG50-C1`, `LHR3`.
fn edge(input: &[u8]) -> Parsed<'_, char> {
    let airport = take_while_m_n(3, 3, |byte: u8| byte.is_ascii_uppercase());
    preceded((airport, digit1), one_of("-\t")).parse(input)
}

/// Parses `11/23/2026-10:00:00.123456  [**] [`: Suricata's `fast.log`; and `23/11/2026 -- 10:00:00 - <`: its
/// own log.
fn suricata(input: &[u8]) -> Parsed<'_, StatedTime> {
    let alerts = terminated(|text| month_then_day(text, "-"), tag("  [**] ["));
    alt((alerts, terminated(|text| day_then_month(text, " -- "), tag(" - <")))).parse(input)
}

/// Parses `11/23/2026`, a separator and `10:00:00`, for a program that always writes the month first.
fn month_then_day<'a>(input: &'a [u8], separator: &str) -> Parsed<'a, StatedTime> {
    let (rest, month) = terminated(number_2, char('/')).parse(input)?;
    let (rest, day) = terminated(number_2, char('/')).parse(rest)?;
    let (rest, year) = terminated(number_4, tag(separator)).parse(rest)?;
    clock_of(rest, year, month, day)
}

/// Parses `23/11/2026`, a separator and `10:00:00`, for a program that always writes the day first.
fn day_then_month<'a>(input: &'a [u8], separator: &str) -> Parsed<'a, StatedTime> {
    let (rest, day) = terminated(number_2, char('/')).parse(input)?;
    let (rest, month) = terminated(number_2, char('/')).parse(rest)?;
    let (rest, year) = terminated(number_4, tag(separator)).parse(rest)?;
    clock_of(rest, year, month, day)
}

/// Parses `11/23-10:00:00.123456  [**] [`: Snort. If it is told to write the year, it puts two digits behind
/// the day or, since version 3, before the month; a month cannot be above 12.
fn snort(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (first, second)) = (terminated(number_2, char('/')), number_2).parse(input)?;
    let (rest, third) = opt(preceded(char('/'), number_2)).parse(rest)?;
    let (year, month, day) = match third {
        None => (None, first, second),
        Some(day) if first > 12 => (Some(first), second, day),
        Some(year) => (Some(year), first, second),
    };
    let year = year.map(|year| 2000 + i16::from(year));
    let (rest, (hour, minute, second)) =
        delimited(char('-'), clock_time, (char(' '), opt(char(' ')), tag("[**] ["))).parse(rest)?;
    finish(rest, Clock { year, month, day, hour, minute, second }.at(None))
}

/// Parses `23/11/2026 10:00:00 : epoch `: NFS-Ganesha; and `23/11/2026 10:00:00 :: `: Carbon.
fn nfs(input: &[u8]) -> Parsed<'_, StatedTime> {
    terminated(|text| day_then_month(text, " "), alt((tag(" : epoch "), tag(" :: ")))).parse(input)
}

/// Parses `11-23-2026 10:00:00.123 +0100 INFO `: Splunk.
fn splunk(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (month, day)) =
        (terminated(number_2, char('-')), terminated(number_2, char('-'))).parse(input)?;
    let (rest, year) = terminated(number_4, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = terminated(clock_time, char(' ')).parse(rest)?;
    let (rest, offset) = terminated(zone, (char(' '), peek(level_name))).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second }.at(Some(offset)))
}

/// Parses `11-23 10:00:00 system,info,account `: RouterOS 7; and `11-23 10:00:00 +0100 08 mx1 SMTP-IN:`:
/// Axigen.
fn month_and_day(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (month, day)) =
        (terminated(number_2, char('-')), terminated(number_2, char(' '))).parse(input)?;
    let (rest, (hour, minute, second)) = terminated(clock_time, char(' ')).parse(rest)?;
    let axigen = terminated(zone, (char(' '), number_2, char(' ')));
    let (rest, offset) = alt((topics.map(|_| None), axigen.map(Some))).parse(rest)?;
    finish(rest, Clock { year: None, month, day, hour, minute, second }.at(offset))
}

/// Parses the topics of a message of RouterOS, at least two: `system,info,account `.
fn topics(input: &[u8]) -> Parsed<'_, &[u8]> {
    let topic = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'!');
    let more = take_while1(move |byte: u8| topic(byte) || byte == b',');
    recognize((take_while1(topic), char(','), more, char(' '))).parse(input)
}

/// Parses `nov/23 10:00:00 system,info,account `: RouterOS 6 omits this year.
fn router_os(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, month) = terminated(month_name, char('/')).parse(input)?;
    let (rest, day) = terminated(number_2, char(' ')).parse(rest)?;
    let (rest, (hour, minute, second)) = terminated(clock_time, (char(' '), topics)).parse(rest)?;
    finish(rest, Clock { year: None, month, day, hour, minute, second }.at(None))
}

/// Parses `23.11.2026-10:00 - DEBUG [`: ISPConfig.
fn isp_config(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (day, month)) =
        (terminated(number_2, char('.')), terminated(number_2, char('.'))).parse(input)?;
    let (rest, year) = terminated(number_4, char('-')).parse(rest)?;
    let (rest, (hour, minute)) = (terminated(number_2, char(':')), number_2).parse(rest)?;
    let (rest, _) = (tag(" - "), level_name).parse(rest)?;
    finish(rest, Clock { year: Some(year), month, day, hour, minute, second: 0 }.at(None))
}

/// Parses `123:M 23 Nov 10:00:00.123 * `: Redis 3 and 4.
fn redis(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, _) = (digit1, char(':'), one_of("MSCX"), char(' ')).parse(input)?;
    terminated(day_and_month, (char(' '), one_of("#*-."), char(' '))).parse(rest)
}

/// Parses `1795428000.1234.0 [23/Nov/2026 10:00:00] `: Webmin's log of actions.
fn webmin(input: &[u8]) -> Parsed<'_, StatedTime> {
    let second = take_while_m_n(10, 10, |byte: u8| byte.is_ascii_digit());
    delimited((second, char('.'), digit1, char('.'), digit1, tag(" [")), any, tag("] ")).parse(input)
}

/// Parses a line that begins with a hexadecimal number: the UUID of a call before the time of FreeSWITCH, the
/// time of OpenLDAP, the owner of a bucket before the time of an S3 access log.
fn hexadecimal(input: &[u8]) -> Parsed<'_, StatedTime> {
    let hex = |byte: u8| byte.is_ascii_hexdigit();
    let uuid = (take_while_m_n(36, 36, move |byte: u8| hex(byte) || byte == b'-'), char(' '));
    let level = (opt((digit1, char('.'), digit1, char('%'), char(' '))), char('['));
    let call = delimited(uuid, iso8601, (char(' '), level));
    let plain = |byte: u8| !matches!(byte, b' ' | b'[' | b'"');
    let owner = (take_while_m_n(64, 64, hex), char(' '), take_while1(plain), tag(" ["));
    alt((call, delimited(owner, clf, tag("] ")), open_ldap)).parse(input)
}

/// Parses `6b040ea0.12345678 0x7f1234567700 conn=` and `6b040ea0 conn=`: slapd, seconds since 1970.
fn open_ldap(input: &[u8]) -> Parsed<'_, StatedTime> {
    let hex = |byte: u8| byte.is_ascii_hexdigit();
    let fraction = (char('.'), take_while_m_n(8, 8, hex), tag(" 0x"), take_while1(hex));
    let (rest, seconds) =
        terminated(take_while_m_n(8, 8, hex), (opt(fraction), tag(" conn="))).parse(input)?;
    let seconds = std::str::from_utf8(seconds).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let seconds = seconds.filter(|at| EPOCH_WINDOW.contains(at)).and_then(|at| i64::try_from(at).ok());
    finish(rest, seconds.map(StatedTime::Unix))
}

/// Returns the time of a line that begins with a mark.
fn marked(text: &[u8]) -> Option<StatedTime> {
    // FileZilla Server: `(000001) 23/11/2026 10:00:00 - (`, or `<23-11-2026 10:00:00> FTP `.
    let session = delimited((char('('), digit1, char(')'), opt(char(' '))), any, tag(" - ("));
    let own = delimited(char('<'), any, alt((tag("> FTP "), tag("> Admin "))));
    // Murmur: `<W>2026-11-23 10:00:00.123 `.
    let murmur = delimited((char('<'), one_of("DWCFX"), char('>')), iso8601, char(' '));
    // hMailServer: `"SMTPD"<TAB>1234<TAB>5<TAB>"2026-11-23 10:00:00.123"<TAB>`.
    let kind = take_while1(|byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let numbers = (digit1, opt((char('\t'), digit1)));
    let hmail = delimited((char('"'), kind, tag("\"\t"), numbers, tag("\t\"")), iso8601, tag("\"\t"));
    // Cisco's wireless controllers: `*spamApTask0: Nov 23 10:00:00.123: #CAPWAP-3-`.
    let task = take_while1(|byte: u8| byte.is_ascii_alphanumeric() || byte == b'_');
    let wireless = delimited((char('*'), task, tag(": ")), bsd, tag(": #"));
    // WebLogic: `####<Nov 23, 2026, 10:00:00,123 PM CET> <Info> `.
    let weblogic = delimited(tag("####<"), any, tag("> <"));
    parsed(alt((session, own, murmur, hmail, wireless, weblogic)).parse(text))
}

/// Parses the name of a part of a program.
fn name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'#' | b':');
    take_while1(in_name).parse(input)
}

/// Returns the time of a request to Rails, at the end of the line:
/// `Started GET "/" for 203.0.113.9 at 2026-11-23 10:00:00 +0100`.
fn rails(text: &[u8]) -> Option<StatedTime> {
    let at = memmem::rfind(text, b" at ")?;
    let client = &text[memmem::rfind(&text[..at], b"\" for ")?..at];
    let (rest, time) = iso8601(&text[at + 4..]).ok()?;
    // An address has no spaces. A tag may follow.
    let certain = client.iter().filter(|&&byte| byte == b' ').count() == 2;
    (certain && (rest.is_empty() || rest.starts_with(b" expires="))).then_some(time)
}

/// Returns the time of a line that begins with a word.
fn word(text: &[u8]) -> Option<StatedTime> {
    let found = match text {
        // AWS network load balancer, in UTC: `tls 2.0 2026-11-23T10:00:00 net/`.
        [b't', b'l', b's', b' ', _, b'.', _, b' ', rest @ ..] => {
            let (after, clock) = date_and_clock(rest, b'-', |separator| separator == b'T').ok()?;
            return clock.at(Some(0)).filter(|_| after.starts_with(b" net/"));
        }
        // Half-Life and Source: `L 11/23/2026 - 10:00:00: `, or ` - ` after the time.
        [b'L', b' ', rest @ ..] => {
            parsed(terminated(|text| month_then_day(text, " - "), alt((tag(": "), tag(" - ")))).parse(rest))
        }
        // CUPS: `E [23/Nov/2026:10:00:00 +0100] `.
        [b'A'..=b'Z' | b'd', b' ', b'[', rest @ ..] => parsed(terminated(clf, tag("] ")).parse(rest)),
        [_, _, _, b'/', ..] => parsed(router_os(text)),
        // Jitsi: `JVB 2026-11-23 10:00:00.123 INFO: `, `Jicofo ...`.
        [b'J', ..] => {
            let program = alt((tag("JVB "), tag("Jicofo ")));
            parsed(delimited(program, iso8601, (char(' '), level_name)).parse(text))
        }
        [b'A'..=b'Z', ..] => parsed(level(text)),
        // PowerMTA: `d,2026-11-23 10:00:00+0100,`.
        [b'a'..=b'z', b',', rest @ ..] | [b'a'..=b'z', b'a'..=b'z', b',', rest @ ..] => {
            let (after, clock) = date_and_clock(rest, b'-', |separator| separator == b' ').ok()?;
            let (after, offset) = zone(after).ok()?;
            return clock.at(Some(offset)).filter(|_| after.starts_with(b","));
        }
        _ => None,
    };
    found.or_else(|| parsed(hexadecimal(text)))
}

/// Parses the level of a message and the time after it: `INFO  2026-11-23 10:00:00,123 `,
/// `[ERROR] 2026-11-23 10:00:00`, `INFO  [main] 2026-11-23 10:00:00,123`, `ERROR - 2026-11-23 10:00:00 -->`.
///
/// A name between brackets is that of a thread.
fn level(input: &[u8]) -> Parsed<'_, StatedTime> {
    // "Error: 2026-11-23 10:00:00 is no date" is text.
    let loud = verify(level_name, |name: &[u8]| name.iter().all(u8::is_ascii_uppercase));
    let level = alt((delimited(char('['), level_name, char(']')), loud));
    let (rest, _) = (level, alt((dashes, terminated(tag(": "), peek(char('[')))))).parse(input)?;
    let (rest, _) = opt((char('['), name, char(']'), dashes)).parse(rest)?;
    preceded(opt(char('[')), any).parse(rest)
}

/// Parses spaces and dashes between two fields.
fn dashes(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while_m_n(1, 8, |byte: u8| matches!(byte, b' ' | b'\t' | b'-')).parse(input)
}

/// Parses the name of a level. `CONNECT` is one of Tinyproxy.
fn level_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    const NAMES: [&[u8]; 13] = [
        b"TRACE",
        b"DEBUG",
        b"INFO",
        b"NOTICE",
        b"WARN",
        b"WARNING",
        b"ERROR",
        b"CRITICAL",
        b"FATAL",
        b"ALERT",
        b"EMERGENCY",
        b"SEVERE",
        b"CONNECT",
    ];
    let (rest, word) = take_while_m_n(4, 9, |byte: u8| byte.is_ascii_alphabetic()).parse(input)?;
    if NAMES.iter().any(|name| name.eq_ignore_ascii_case(word)) { Ok((rest, word)) } else { Err(MISMATCH) }
}

/// Parses the start of a line that begins with a client.
///
/// `203.0.113.9 [23/Nov/2026:10:00:00 +0100] TCP 200 `: nginx's stream module; `... PLAY "`: its RTMP module;
/// `203.0.113.9 -  23/Nov/2026:10:00:00 +0100 "GET / HTTP/1.1" `: PHP-FPM.
fn client(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, _) =
        terminated(take_while1(|byte: u8| !matches!(byte, b' ' | b'[' | b'"')), char(' ')).parse(input)?;
    if let Some(rest) = rest.strip_prefix(b"[") {
        let kinds = alt((tag("TCP "), tag("UDP "), tag("PLAY \""), tag("PUBLISH \"")));
        return terminated(clf, (tag("] "), kinds)).parse(rest);
    }
    let Some(rest) = rest.strip_prefix(b"- ") else { return Err(MISMATCH) };
    let (head, request) = split(rest, b" \"").ok_or(MISMATCH)?;
    let time = &head[head.len().saturating_sub(b"23/Nov/2026:10:00:00 +0100".len())..];
    let (_, time) = all_consuming(clf).parse(time)?;
    // Before another such quote, one of the two times may be the name of a user.
    if memmem::find(request, b" \"").is_some() { Err(MISMATCH) } else { Ok((request, time)) }
}

#[cfg(test)]
mod tests {
    use super::super::prefixed;
    use super::super::raw;
    use super::super::timestamp::stated;

    const UUID: &str = "a1b2c3d4-0000-4000-8000-000000000001";
    const OWNER: &str = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";

    /// Checks that `lines` state the time `expected`, and `others`, which lack some of the evidence, none.
    fn check(expected: &str, lines: &[&str], others: &[&str]) {
        let expected = stated(expected.as_bytes());
        assert!(expected.is_some());
        for line in lines {
            assert_eq!(raw::time(line.as_bytes()), expected, "{line}");
            // The archive reads a line again when it has tokens and a tag.
            let archived = line.replace("203.0.113.9", "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr");
            let archived = archived + " expires=2027-11-24 class=connection";
            assert_eq!(raw::time(archived.as_bytes()), expected, "{archived}");
            // No time after text that a program did not write.
            for head in ["text ", "\"", "a b ", "= "] {
                let other = format!("{head}{line}");
                assert_eq!(prefixed::time(other.as_bytes()), None, "{other}");
            }
        }
        for line in others {
            assert_eq!(raw::time(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn clouds() {
        check(
            "2026-11-23T10:00:00Z",
            &[
                "tls 2.0 2026-11-23T10:00:00 net/lb/c6 51 203.0.113.9:51341 192.0.2.1:443 5 2 98 246 -",
                "2026-11-23\t10:00:00\tCDG50-C1\t1045\t203.0.113.9\tGET\td1.example.net\t/\t200\t-\tx",
                "2026-11-23\t10:00:00\tLHR3\t1045\t203.0.113.9\tGET\td1.example.net\t/\t200\t-\tx",
                "1.0 2026-11-23T10:00:00Z Z123 example.net A NOERROR UDP FRA6 203.0.113.9 -",
                &format!(
                    r#"{OWNER} logs [23/Nov/2026:10:00:00 +0000] 203.0.113.9 {OWNER} 3E57 REST.GET.OBJECT k"#
                ),
            ],
            &[
                "tls 2.0 2026-11-23T10:00:00 text",
                "tls 2.0 2026-11-23 10:00:00 net/lb/c6",
                "2026-11-23\t10:00\tCDG50-C1",
                "2026-11-23\t10:00:00",
                "1.0 2026-11-23T10:00:00Z text",
                "79a59df9 logs [23/Nov/2026:10:00:00 +0000] 203.0.113.9 x",
            ],
        );
        check(
            "2026-11-23 10:00:00",
            &["2026-11-23\t10:00:00\t203.0.113.9\tGET\t/", "2026-11-23\t10:00:00\tABCDEFGHI\tx 203.0.113.9"],
            &[],
        );
        check("2026-11-23 10:00:00 CET", &["2026-11-23\t10:00:00\tCET\tconnect\t203.0.113.9"], &[]);
    }

    #[test]
    fn panels() {
        check(
            "2026-11-23 10:00:00",
            &[
                "23.11.2026-10:00 - DEBUG [plugins.inc:155] - 203.0.113.9",
                "[11.23.2026_10-00-00] 203.0.113.9",
                "1795428000.1234.0 [23/Nov/2026 10:00:00] root 1 203.0.113.9 useradmin save_user.cgi",
            ],
            &[
                "23.11.2026-10:00 - text",
                "23.11.2026-10:00 DEBUG [x]",
                "23.13.2026-10:00 - DEBUG [x]",
                "[23.11.2026_10-00-00] x",
                "[11.23.2026_10-00] x",
                "1.2.3 [23/Nov/2026 10:00:00] root",
            ],
        );
        check("2026-11-05 10:00:00", &["05.11.2026-10:00 - WARNING [x] 203.0.113.9"], &[]);
        check("2026-11-05 10:00:00", &["[11.05.2026_10-00-00] x 203.0.113.9"], &[]);
    }

    #[test]
    fn requests() {
        check(
            "23/Nov/2026:10:00:00 +0100",
            &[
                "203.0.113.9 [23/Nov/2026:10:00:00 +0100] TCP 200 0 0 0.003",
                r#"203.0.113.9 [23/Nov/2026:10:00:00 +0100] PLAY "live" "x" "" - 0 0 "" "x" (1s)"#,
                r#"203.0.113.9 -  23/Nov/2026:10:00:00 +0100 "GET /index.php" 200"#,
                r#"203.0.113.9 - jean 23/Nov/2026:10:00:00 +0100 "GET /index.php?a="b" 200"#,
                "E [23/Nov/2026:10:00:00 +0100] [Client 1] 203.0.113.9",
                r#"Started GET "/" for 203.0.113.9 at 2026-11-23 10:00:00 +0100"#,
                r#"Started GET "/a" for x at 2020-01-01 00:00:00" for 203.0.113.9 at 2026-11-23 10:00:00 +0100"#,
            ],
            &[
                "203.0.113.9 [23/Nov/2026:10:00:00 +0100] text",
                "203.0.113.9 x [23/Nov/2026:10:00:00 +0100] TCP 200",
                r#"203.0.113.9 - x 01/Jan/2020:00:00:00 +0100 "x 23/Nov/2026:10:00:00 +0100 "GET /" 200"#,
                "203.0.113.9 - x 23/Nov/2026:10:00:00 +0100 GET / 200",
                r#"203.0.113.9 - - "GET /" 200"#,
                "E 23/Nov/2026:10:00:00 +0100] x",
                "Started at 2026-11-23 10:00:00 +0100",
                r#"Started GET "/" for 203.0.113.9 at 2026-11-23 10:00:00 +0100 by x"#,
                r#"Started GET "/" for one of us at 2026-11-23 10:00:00 +0100"#,
            ],
        );
        check(
            "2026-11-23 10:00:00",
            &[
                "[pid: 1|app: 0|req: 1/1] 203.0.113.9 (jean) {40 vars in 702 bytes} [Mon Nov 23 10:00:00 2026] GET / =>",
                "{address space usage: 9 bytes/0MB} {rss usage: 9 bytes/0MB} [pid: 1|app: 0|req: 1/1] 203.0.113.9 () \
                 {4 vars in 7 bytes} [Mon Nov 23 10:00:00 2026] GET / =>",
            ],
            &[
                "[pid: 1|app: 0|req: 1/1] x (a bytes} [Wed Jan  1 00:00:00 2020] x) {4 vars in 7 bytes} \
                 [Mon Nov 23 10:00:00 2026] GET / =>",
                "[pid: 1|app: 0|req: 1/1] 203.0.113.9 () {4 vars in 7 bytes} GET / =>",
                "[pid: 1] text",
                "{address space",
            ],
        );
    }

    #[test]
    fn levels() {
        check(
            "2026-11-23 10:00:00",
            &[
                "INFO  2026-11-23 10:00:00,123 [main] x - 203.0.113.9",
                "[INFO] 2026-11-23 10:00:00,123 x 203.0.113.9",
                "[Warning] 2026-11-23 10:00:00 x 203.0.113.9",
                "ERROR - 2026-11-23 10:00:00 --> 203.0.113.9",
                "INFO  [Native-Transport-Requests-1] 2026-11-23 10:00:00,123 x 203.0.113.9",
                "CONNECT   2026-11-23 10:00:00.123 [1]: x 203.0.113.9",
                "INFO: [2026-11-23 10:00:00.123] x 203.0.113.9",
                "JVB 2026-11-23 10:00:00.123 INFO: [1] x: 203.0.113.9",
                "[I 2026-11-23 10:00:00.123 ServerApp] 302 GET / (@203.0.113.9)",
                "[I 261123 10:00:00 web:2246] 200 GET / (203.0.113.9) 1.23ms",
                "[ N 2026-11-23 10:00:00.1234 1234/T1 age/Cor/CoreMain.cpp:1 ]: 203.0.113.9",
                "[ 2026-11-23 10:00:00.1234 1234/7f1 age/Cor/CoreMain.cpp:1 ]: 203.0.113.9",
            ],
            &[
                "Error: 2026-11-23 10:00:00 is no date",
                "ERROR: 2026-11-23 10:00:00 is no date",
                "Error 2026-11-23 10:00:00",
                "LEVEL 2026-11-23 10:00:00",
                "INFO2026-11-23 10:00:00",
                "INFO user x 2026-11-23 10:00:00",
                "INFO [a thread] 2026-11-23 10:00:00",
                "JVB 2026-11-23 10:00:00 x",
                "[I 2026-11-23 10:00:00]",
                "[ 2026-11-23 10:00:00 x",
            ],
        );
        check(
            "2026-11-23T10:00:00Z",
            &["[notice] 2026-11-23T10:00:00.123456Z couchdb@127.0.0.1 203.0.113.9"],
            &[],
        );
        check(
            "Nov 23 10:00:00",
            &["CONNECT   Nov 23 10:00:00.123 [1234]: Connect: client [203.0.113.9]"],
            &[],
        );
        check(
            "2026-11-23 10:00:00 +0100",
            &["[#|2026-11-23T10:00:00.123+0100|INFO|203.0.113.9|#]"],
            &["[#|x"],
        );
    }

    #[test]
    fn servers_and_devices() {
        check(
            "Nov 23 10:00:00",
            &[
                "1234:M 23 Nov 10:00:00.123 * Accepted 203.0.113.9:57424",
                "[1234] 23 Nov 10:00:00.123 * Accepted 203.0.113.9:57424",
                "nov/23 10:00:00 system,info,account user admin logged in from 203.0.113.9 via winbox",
                "11-23 10:00:00 system,info,account user admin logged in from 203.0.113.9 via winbox",
                "11/23-10:00:00.123456  [**] [1:1:1] x [**] {TCP} 203.0.113.9:57424 -> 192.0.2.1:22",
                "11/23-10:00:00.123456 [**] [1:1:1] \"x\" [**] {TCP} 203.0.113.9:57424 -> 192.0.2.1:22",
                "*spamApTask0: Nov 23 10:00:00.123: #CAPWAP-3-DTLS_CLOSED_ERR: x 203.0.113.9",
            ],
            &[
                "1234:Q 23 Nov 10:00:00.123 * x",
                "1234:M 23 Nov 10:00:00.123 text",
                "[1234] 23 Nov 10:00:00.123 text",
                "nov/23 10:00:00 text",
                "nov/23 10:00:00 text, and more",
                "11-23 10:00:00 text",
                "23-11 10:00:00 system,info,account x",
                "11/23-10:00:00.123456 text",
                "23/11-10:00:00.123456  [**] [1:1:1] x",
                "*spamApTask0: Nov 23 10:00:00.123: text",
            ],
        );
        check(
            "2026-11-05 10:00:00",
            &[
                "L 11/05/2026 - 10:00:00: \"x<2><STEAM_1:0:1><>\" connected, address \"203.0.113.9:57424\"",
                "L 11/05/2026 - 10:00:00.123 - \"x<2><STEAM_1:0:1><>\" connected, address \"203.0.113.9:57424\"",
                "11/05/2026-10:00:00.123456  [**] [1:1:1] x [**] {TCP} 203.0.113.9:57424 -> 192.0.2.1:22",
                "11/05/26-10:00:00.123456  [**] [1:1:1] x [**] {TCP} 203.0.113.9:57424 -> 192.0.2.1:22",
                "26/11/05-10:00:00.123456 [**] [1:1:1] \"x\" [**] {TCP} 203.0.113.9:57424 -> 192.0.2.1:22",
                "05/11/2026 -- 10:00:00 - <Notice> - x 203.0.113.9",
                "05/11/2026 10:00:00 : epoch 6b040ea0 : nfs1 : ganesha.nfsd-1 203.0.113.9",
                "05/11/2026 10:00:00 :: 203.0.113.9",
            ],
            &[
                "L 11/05/2026 10:00:00: x",
                "11/05/2026-10:00:00.123456 text",
                "11/05/26-10:00:00.123456 text",
                "05/11/2026 -- 10:00:00 - text",
                "05/11/2026 10:00:00 : text",
            ],
        );
        check(
            "2026-11-23 10:00:00",
            &[
                "[1234] 2026/11/23 10:00:00.123456 [DBG] 203.0.113.9:57424 - cid:1",
                "(000001)23/11/2026 10:00:00 - (not logged in) (203.0.113.9)> Connected",
                "(000001) 11/23/2026 10:00:00 AM - (not logged in) (203.0.113.9)> Connected",
                "<23-11-2026 10:00:00> FTP Session 1 203.0.113.9 [Response] 220-x",
                "<W>2026-11-23 10:00:00.123 1 => <1:(-1)> New connection: 203.0.113.9:57424",
                "\"SMTPD\"\t1234\t5\t\"2026-11-23 10:00:00.123\"\t\"203.0.113.9\"\t\"RECEIVED: EHLO x\"",
                "\"APPLICATION\"\t1234\t\"2026-11-23 10:00:00.123\"\t\"x 203.0.113.9\"",
                &format!("{UUID} 2026-11-23 10:00:00.123456 [NOTICE] New Channel sofia/x/1@203.0.113.9"),
                &format!("{UUID} 2026-11-23 10:00:00.123456 97.50% [NOTICE] x 203.0.113.9"),
            ],
            &[
                "[1234] 2026/11/23 10:00:00.123456 text",
                "(000001)23/11/2026 10:00:00 text",
                "(000001)05/11/2026 10:00:00 - (not logged in)",
                "(x)23/11/2026 10:00:00 - (not logged in)",
                "<23-11-2026 10:00:00> text",
                "<W>2026-11-23",
                "\"SMTPD\"\t\"2026-11-23 10:00:00.123\"\t\"x\"",
                "\"text\"\t1234\t\"2026-11-23 10:00:00.123\"\t\"x\"",
                &format!("{UUID} 2026-11-23 10:00:00.123456 text"),
                &format!("{} 2026-11-23 10:00:00.123456 [NOTICE] x", &UUID[1..]),
            ],
        );
        check(
            "2026-11-23 10:00:00 +0100",
            &[
                "d,2026-11-23 10:00:00+0100,2026-11-20 10:00:00+0100,x,203.0.113.9",
                "tq,2026-11-23 10:00:00+0100,x,203.0.113.9",
            ],
            &["d,2026-11-23 10:00:00,x", "d,2026-11-23 10:00:00+0100 x", "abc,2026-11-23 10:00:00+0100,x"],
        );
        check(
            "1795428000",
            &[
                "6b040ea0.12345678 0x7f1234567700 conn=1000 fd=12 ACCEPT from IP=203.0.113.9:57424",
                "6b040ea0 conn=1000 fd=12 ACCEPT from IP=203.0.113.9:57424",
            ],
            &[
                "6b040ea0 text",
                "0b040ea0 conn=1000",
                "6b040ea0.12345678 conn=1000",
                "6b040ea0.1 0x1 conn=1000",
            ],
        );
        let splunk = "11-05-2026 10:00:00.123 +0100 INFO  TcpInputProc - 203.0.113.9";
        check("2026-11-05 10:00:00 +0100", &[splunk], &["11-05-2026 10:00:00.123 +0100 text"]);
        let axigen = "11-23 10:00:00 +0100 08 mx1 SMTP-IN:00000001: connection accepted 203.0.113.9";
        check("Nov 23 10:00:00 +0100", &[axigen], &["11-23 10:00:00 +0100 text"]);
        let unreal = "[2026.11.23-10.00.00:123][ 12]LogNet: NotifyAcceptedConnection: 203.0.113.9";
        let weblogic = "####<Nov 23, 2026, 10:00:00,123 PM CET> <Info> <x> <203.0.113.9>";
        check("2026-11-23 22:00:00 CET", &[weblogic], &["####<Nov 23, 2026, 10:00:00 PM CET> x"]);
        check("2026-11-23T10:00:00Z", &[unreal], &["[2026.11.23-10.00.00:123] x", "[2026.11.23-10.00.00]"]);
    }
}
