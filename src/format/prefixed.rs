//! Times that do not begin the line, because their programs write something else first. Tried after all
//! formats; those of [`super::rare_heads`] come last.
//!
//! In each shape, all that precedes the time was written by the program, and what follows shows that it is
//! that program. So no client can put a time in front of the true one, and no number is taken for a time by
//! chance.

use super::logfmt::at;
use super::rare_heads;
use super::timestamp::{
    Clock, Parsed, any, bsd, clf, clock_time, date_and_clock, day_first, finish, is_of_event, leading_epoch,
    number_2, number_4, rfc3339, slashed, year_bsd, zone,
};
use super::zones::rare_zone;
use crate::model::StatedTime;
use memchr::{memchr, memmem};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n, take_while1};
use nom::character::complete::{char, digit1, one_of, satisfy};
use nom::combinator::{all_consuming, opt, peek, recognize};
use nom::sequence::{delimited, preceded, terminated};

/// Returns the time that `text` states after what its program writes first.
pub(super) fn time(text: &[u8]) -> Option<StatedTime> {
    let found = match text.first()? {
        b'0'..=b'9' => numbered(text),
        b'*' | b'.' | b':' => parsed(device(text)),
        b'<' => windows_event(text).or_else(|| parsed(delimited(tag("< "), any, tag(" >")).parse(text))),
        b't' if text.starts_with(b"time=") => parsed(check_point_pairs(text)),
        b'g' | b'h' | b'w' => parsed(load_balancer(text)),
        _ => None,
    };
    let found = found.or_else(|| failed_login(text)).or_else(|| rare_heads::time(text));
    found.filter(|time| is_of_event(*time))
}

/// Returns the time of a line that begins with a number, by what follows the number.
fn numbered(text: &[u8]) -> Option<StatedTime> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, text.get(digits)?) {
        (1, b',') => parsed(pan_os(text)),
        (1, b' ') => syslog_header(text).or_else(|| flow(text)),
        (6, b' ') => parsed(mysql(text)),
        (_, b':') => parsed(alt((device, redis, zabbix)).parse(text)),
        _ => None,
    }
}

fn parsed(result: Parsed<'_, StatedTime>) -> Option<StatedTime> {
    result.ok().map(|(_, time)| time)
}

/// Parses the head of a Cisco device: `000123: *Nov 23 10:00:00.123 CET: %SEC-6-IPACCESSLOGP: `.
///
/// Before the time may stand the number of the message, the name of the device or its part, and another
/// number. `*` and `.` mean that the clock was not set by NTP, or no longer is. A name without a number
/// before it is not read: it might be the TAG of a program whose message a client wrote.
fn device(input: &[u8]) -> Parsed<'_, StatedTime> {
    // "rtr1: ", or of IOS XR "rtr1 RP/0/RSP0/CPU0:".
    let origin = (opt(terminated(name, char(' '))), name, char(':'), opt(char(' ')));
    let (rest, counted) = opt((number, opt(origin), opt(number))).parse(input)?;
    let (rest, _) =
        if counted.is_none() { opt((char(':'), opt(char(' ')))).parse(rest)? } else { (rest, None) };
    let (rest, time) = preceded(opt(one_of("*.")), alt((bsd, year_bsd))).parse(rest)?;
    let (rest, time) = rare_zone(rest).map_or((rest, time), |(rest, offset)| (rest, at(time, offset)));
    // A zone with several meanings stays unread.
    let upper = |byte: u8| byte.is_ascii_uppercase();
    let (rest, _) = opt(preceded(char(' '), take_while_m_n(2, 5, upper))).parse(rest)?;
    let (rest, _) = alt((tag(": "), tag(" : "))).parse(rest)?;
    let (rest, _) = opt((name, char('['), digit1, tag("]: "))).parse(rest)?;
    let (rest, _) = peek((char('%'), satisfy(|letter| letter.is_ascii_uppercase()))).parse(rest)?;
    Ok((rest, time))
}

/// Parses the number of a message.
fn number(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(digit1, tag(": ")).parse(input)
}

/// Parses the name of a device, of one of its parts, or of a process.
fn name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    take_while1(in_name).parse(input)
}

/// Returns the time of a header of RFC 5424 whose STRUCTURED-DATA is none, as Check Point and others write
/// it: `1 2026-11-23T10:00:00Z gw CheckPoint 19710 - [action:"Drop"; ...]`. PROCID is the evidence. Older
/// versions of Check Point write a space for the `T`.
fn syslog_header(text: &[u8]) -> Option<StatedTime> {
    let rest = text.strip_prefix(b"1 ")?;
    let (after, clock) = date_and_clock(rest, b'-', |separator| matches!(separator, b'T' | b' ')).ok()?;
    let (after, offset) = opt(zone).parse(after).ok()?;
    let mut fields = after.strip_prefix(b" ")?.splitn(5, |&byte| byte == b' ');
    let [host, program, process, message] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let is_number = !process.is_empty() && process.iter().all(u8::is_ascii_digit);
    let is_header =
        (is_number || process == b"-") && ![host, program, message].iter().any(|it| it.is_empty());
    let certain = rest[10] == b'T' || program == b"CheckPoint";
    clock.at(offset).filter(|_| is_header && certain)
}

/// Returns the end of a record of an AWS VPC flow log in the default format:
/// `2 123456789010 eni-1235b8ca 203.0.113.9 192.0.2.1 20641 22 6 20 4249 1795427990 1795428000 ACCEPT OK`.
fn flow(text: &[u8]) -> Option<StatedTime> {
    let mut fields = text.split(|&byte| byte == b' ');
    let [version, account, interface] = [fields.next()?, fields.next()?, fields.next()?];
    let mut fields = fields.skip(7);
    let [start, end, action, status] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let is_record = version == b"2"
        && account.len() == 12
        && account.iter().all(u8::is_ascii_digit)
        && interface.starts_with(b"eni-")
        && matches!(action, b"ACCEPT" | b"REJECT" | b"-")
        && matches!(status, b"OK" | b"NODATA" | b"SKIPDATA");
    let [start, end] = [start, end].map(|field| parsed(leading_epoch(field)));
    match (start?, end?) {
        (StatedTime::Unix(start), StatedTime::Unix(end)) if is_record && start <= end => {
            Some(StatedTime::Unix(end))
        }
        _ => None,
    }
}

/// Parses the start of a PAN-OS record: `1,2026/11/23 10:00:00,001801000001,TRAFFIC,`.
fn pan_os(input: &[u8]) -> Parsed<'_, StatedTime> {
    // Before a comma, or the number that follows would pass for the fraction of a second.
    let (rest, text) =
        delimited((digit1, char(',')), take("2026/11/23 10:00:00".len()), char(',')).parse(input)?;
    let (_, time) = all_consuming(slashed).parse(text)?;
    let serial = take_while_m_n(8, 20, |byte: u8| byte.is_ascii_alphanumeric());
    let kind = take_while_m_n(3, 20, |byte: u8| byte.is_ascii_uppercase() || byte == b'-');
    let (rest, _) = (serial, char(','), kind, char(',')).parse(rest)?;
    Ok((rest, time))
}

/// Parses `261123 10:00:00` of MySQL before 5.7, MariaDB before 10.1 and `mysqld_safe`. Other programs write
/// six digits in another order, so a level, a program or, in the general log, a thread and a command must
/// follow.
fn mysql(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (year, month, day)) = (number_2, number_2, terminated(number_2, char(' '))).parse(input)?;
    let (rest, (hour, minute, second)) = clock_time(rest)?;
    let level = alt((tag("[Note] "), tag("[Warning] "), tag("[ERROR] ")));
    let program = alt((tag("mysqld_safe "), tag("mysqld "), tag("InnoDB: ")));
    let upper = satisfy(|letter| letter.is_ascii_uppercase());
    let command = recognize((char('\t'), opt(spaces), digit1, char(' '), upper));
    let (rest, _) = alt((preceded(spaces, alt((level, program))), command)).parse(rest)?;
    let clock = Clock { year: Some(2000 + i16::from(year)), month, day, hour, minute, second };
    finish(rest, clock.at(None))
}

fn spaces(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte: u8| byte == b' ').parse(input)
}

/// Parses the head of Redis: `123:M 23 Nov 2026 10:00:00.123 * `.
fn redis(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, _) = (digit1, char(':'), one_of("MSCX"), char(' ')).parse(input)?;
    terminated(day_first, (char(' '), one_of("#*-."), char(' '))).parse(rest)
}

/// Parses the head of Zabbix: `1234:20261123:100000.123 `.
fn zabbix(input: &[u8]) -> Parsed<'_, StatedTime> {
    let (rest, (year, month, day)) =
        preceded((digit1, char(':')), (number_4, number_2, terminated(number_2, char(':')))).parse(input)?;
    let fraction = (char('.'), take_while_m_n(3, 3, |byte: u8| byte.is_ascii_digit()), char(' '));
    let (rest, (hour, minute, second)) = (number_2, number_2, terminated(number_2, fraction)).parse(rest)?;
    let clock = Clock { year: Some(year), month, day, hour, minute, second };
    finish(rest, clock.at(None))
}

/// Returns the time of a Windows event as XML: `<Event ...><System>...<TimeCreated SystemTime='...'/>`.
///
/// `System` comes before everything that the author of an event fills in, where `<` is escaped. Its time
/// always has a zone.
fn windows_event(text: &[u8]) -> Option<StatedTime> {
    let rest = text.strip_prefix(b"<Event").filter(|rest| matches!(rest.first(), Some(b' ' | b'>')))?;
    let content = rest[memchr(b'>', rest)? + 1..].trim_ascii_start().strip_prefix(b"<System>")?;
    let system = &content[..memmem::find(content, b"</System>")?];
    let name = b"<TimeCreated SystemTime=";
    let (quote, value) = system[memmem::find(system, name)? + name.len()..].split_first()?;
    let value = &value[..memchr(*quote, value).filter(|_| matches!(quote, b'\'' | b'"'))?];
    match rfc3339(value).ok()? {
        ([], time @ StatedTime::Civil { offset_seconds: Some(_), .. }) => Some(time),
        _ => None,
    }
}

/// Parses the head of Check Point's pairs between bars: `time=1795428000|hostname=gw|`.
fn check_point_pairs(input: &[u8]) -> Parsed<'_, StatedTime> {
    let key = take_while1(|byte: u8| byte.is_ascii_alphanumeric() || byte == b'_');
    delimited(tag("time="), leading_epoch, (char('|'), key, char('='))).parse(input)
}

/// Parses the head of an AWS application load balancer: `https 2026-11-23T10:00:00.186641Z app/`.
fn load_balancer(input: &[u8]) -> Parsed<'_, StatedTime> {
    let kind = alt((tag("https "), tag("http "), tag("h2 "), tag("grpcs "), tag("wss "), tag("ws ")));
    delimited(kind, rfc3339, tag(" app/")).parse(input)
}

/// Returns the time of a request after which there is no status, as cPanel writes it:
/// `203.0.113.9 proxy jean [11/23/2026:10:00:00 -0000] "GET / HTTP/1.1" FAILED LOGIN`.
///
/// If another time might stand before a request, one of the two is text of a client, and neither counts.
fn failed_login(text: &[u8]) -> Option<StatedTime> {
    let user = (word, char(' '), alt((tag("-"), tag("proxy"))), char(' '), word, tag(" ["));
    let head = delimited(user, clf, tag("] \"")).parse(text);
    let (rest, time) = head.ok()?;
    memmem::find(rest, b"] \"").is_none().then_some(time)
}

/// Parses a client or a user that is certainly a single field.
fn word(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte: u8| !matches!(byte, b' ' | b'[' | b'"')).parse(input)
}

#[cfg(test)]
mod tests {
    use super::super::timestamp::stated;
    use super::*;

    /// Checks that `lines` state the time `expected`, and `others`, which lack some of the evidence, none.
    fn check(expected: &str, lines: &[&str], others: &[&str]) {
        let expected = stated(expected.as_bytes());
        assert!(expected.is_some());
        for line in lines {
            assert_eq!(time(line.as_bytes()), expected, "{line}");
        }
        for line in others {
            assert_eq!(time(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn devices() {
        check(
            "Nov 23 10:00:00",
            &[
                "000123: *Nov 23 10:00:00.123: %SEC-6-IPACCESSLOGP: list 100 denied tcp 203.0.113.9(57424)",
                "000123: Nov 23 10:00:00: %SYS-5-CONFIG_I: x",
                "45: 000123: .Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "45: rtr1: *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "45: 192.0.2.1: 000123: *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "45: ip_2epqfnspyfc4whwyd2jp92w06ftvdrr: *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "45: RP/0/RSP0/CPU0:Nov 23 10:00:00.123 : bgp[1051]: %ROUTING-BGP-5-MAXPFX : x",
                "*Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                ".Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                // A zone with several meanings.
                "000123: *Nov 23 10:00:00.123 BST: %SYS-5-CONFIG_I: x",
            ],
            &[
                // Not what a device writes, or a TAG before it.
                "000123: *Nov 23 10:00:00.123: text",
                "000123: *Nov 23 10:00:00.123: %d text",
                "000123: *Nov 23 10:00:00.123 %SYS-5-CONFIG_I: x",
                "000123 *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "000123: text *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "000123: **Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "rtr1: *Nov 23 10:00:00.123: %SYS-5-CONFIG_I: x",
                "000123: *Nov 31 10:00:00.123: %SYS-5-CONFIG_I: x",
                // Uptime.
                "000123: 00:00:46: %LINK-3-UPDOWN: x",
                "000123: 1w2d: %LINK-3-UPDOWN: x",
            ],
        );
        check(
            "2026-11-23 10:00:00 CET",
            &[
                "000123: *Nov 23 2026 10:00:00.123 CET: %SYS-5-CONFIG_I: x",
                "45: vmx01 RP/0/RSP1/CPU0:Nov 23 2026 10:00:00.941 CET: bgp[1051]: %ROUTING-BGP-5-MAXPFX : x",
                ": 2026 Nov 23 10:00:00 CET: %ETHPORT-5-IF_UP: x",
                ":Nov 23 2026 10:00:00 CET: %ASA-session-5-111008: x",
            ],
            &["sw01: 2026 Nov 23 10:00:00 CET: %ETHPORT-5-IF_UP: x"],
        );
        check("Nov 23 10:00:00 +0900", &["000123: *Nov 23 10:00:00.123 JST: %SYS-5-CONFIG_I: x"], &[]);
    }

    #[test]
    fn headers_without_structured_data() {
        check(
            "2026-11-23T10:00:00Z",
            &[
                r#"1 2026-11-23T10:00:00Z gw CheckPoint 19710 - [action:"Drop"; src:"203.0.113.9"]"#,
                "1 2026-11-23T10:00:00.123Z web1 app[7] - - no structured data",
            ],
            &[
                r#"1 2026-11-23T10:00:00Zgw CheckPoint 19710 - [action:"Drop"]"#,
                r#"2 2026-11-23T10:00:00Z gw CheckPoint 19710 - [action:"Drop"]"#,
                "1 2026-11-23T10:00:00Z a row of a table",
                "1 2026-11-23T10:00:00Z web1 app -",
                "1 2026-11-23T10:00:00Z  app - - x",
            ],
        );
        check(
            "2026-11-23 10:00:00",
            &[
                r#"1 2026-11-23 10:00:00 gw CheckPoint 19710 - [action:"Drop"]"#,
                // The name of a host is no zone.
                r#"1 2026-11-23 10:00:00 CET-gw CheckPoint 19710 - [action:"Drop"]"#,
            ],
            &["1 2026-11-23 10:00:00 gw 2 3 - x"],
        );
    }

    #[test]
    fn records() {
        check(
            "1795428000",
            &[
                "2 123456789010 eni-1235b8ca 203.0.113.9 192.0.2.1 20641 22 6 20 4249 1795427990 1795428000 ACCEPT OK",
                "2 123456789010 eni-1235b8ca - - - - - - - 1795428000 1795428000 - NODATA",
                // Tokens and tag.
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 REJECT OK expires=2027-11-24 class=c",
                "time=1795428000|hostname=gw|product=VPN-1 & FireWall-1|src=203.0.113.9|time=1095428000|",
            ],
            &[
                "3 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 ACCEPT OK",
                "2 12345678901 eni-1 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 ACCEPT OK",
                "2 123456789010 eth0 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 ACCEPT OK",
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 1795427990 1795428000 ACCEPT OK",
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 1795428000 1795427990 ACCEPT OK",
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 ACCEPT",
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 1795427990 1795428000 ALLOW OK",
                "2 123456789010 eni-1 ip_a ip_b 1 2 6 20 9 27990 28000 ACCEPT OK",
                "time=1795428000|",
                "time=1795428000 hostname=gw",
                "time=28000|hostname=gw|",
                "xtime=1795428000|hostname=gw|",
            ],
        );
        check(
            "2026-11-23 10:00:00",
            &[
                "1,2026/11/23 10:00:00,001801000001,TRAFFIC,end,2305,2020/11/23 10:00:00,203.0.113.9,192.0.2.1",
                "0,2026/11/23 10:00:00,007200001056,HIP-MATCH,x",
            ],
            &[
                "1,2026/11/23 10:00:00,001801000001,traffic,end",
                "1,2026/11/23 10:00:00,paid,TRAFFIC,end",
                "1,2026/11/23 10:00:00,,TRAFFIC,end",
                "1,2026/11/23,001801000001,TRAFFIC,end",
                "12,2026/11/23 10:00:00,001801000001,TRAFFIC,end",
            ],
        );
        check(
            "2026-11-23T10:00:00Z",
            &[
                r#"http 2026-11-23T10:00:00.186641Z app/lb/50dc 203.0.113.9:2817 192.0.2.1:80 0.000 0.001 "GET /""#,
                "h2 2026-11-23T10:00:00.186641Z app/lb/50dc 203.0.113.9:2817",
                "grpcs 2026-11-23T10:00:00.186641Z app/lb/50dc 203.0.113.9:2817",
                "wss 2026-11-23T10:00:00.186641Z app/lb/50dc 203.0.113.9:2817",
            ],
            &[
                "http 2026-11-23T10:00:00.186641Z text",
                "http: 2026-11-23T10:00:00.186641Z app/lb/50dc",
                "http app/lb/50dc 2026-11-23T10:00:00.186641Z",
                "ftp 2026-11-23T10:00:00.186641Z app/lb/50dc",
            ],
        );
    }

    #[test]
    fn servers() {
        check(
            "2026-11-23 10:00:00",
            &[
                "261123 10:00:00 [Warning] Access denied for user 'jean'@'203.0.113.9'",
                "261123 10:00:00 mysqld_safe Starting mysqld daemon",
                "261123 10:00:00  InnoDB: Started",
                "261123 10:00:00  mysqld started",
                "261123 10:00:00\t    5 Connect\tjean@203.0.113.9 on db",
                "123:M 23 Nov 2026 10:00:00.123 * Accepted 203.0.113.9:57424",
                "1234:20261123:100000.123 failed to accept an incoming connection from 203.0.113.9",
                "< 2026-11-23 10:00:00.123 >LOG:  connection received: host=203.0.113.9",
            ],
            &[
                // Hadoop writes the year first, too, but no colons; others may write the day first.
                "261123 100000 [Note] x",
                "261123 10:00:00 text",
                "261123 10:00:00",
                "261123 10:00:00 INFO dfs.DataNode",
                "261323 10:00:00 [Note] x",
                "261131 10:00:00 [Note] x",
                "261123 10:00:00\ttext",
                "123:M 23 Nov 2026 10:00:00.123 text",
                "123:Q 23 Nov 2026 10:00:00.123 * x",
                "1234:20261323:100000.123 x",
                "1234:20261123:100000 x",
                "1234:23112026:100000.123 x",
                "< 2026-11-23 10:00:00.123 x",
                "<2026-11-23 10:00:00.123 >",
            ],
        );
        check("2026-11-23 09:00:00", &["261123  9:00:00 [ERROR] x"], &[]);
    }

    #[test]
    fn windows_events() {
        let head = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>";
        let made = "<TimeCreated SystemTime='2026-11-23T10:00:00.1234567Z'/>";
        let old = "<TimeCreated SystemTime='2020-01-01T00:00:00Z'/>";
        let data = |text: &str| format!("<EventData><Data Name='x'>{text}</Data></EventData></Event>");
        check(
            "2026-11-23T10:00:00Z",
            &[
                &format!("{head}<System><Provider Name='x'/>{made}</System>{}", data("203.0.113.9")),
                &format!("{head}<System>{made}</System>{}", data(old)),
                &format!("{head} <System>{}</System>{}", made.replace('\'', "\""), data("")),
                &format!("<Event><System>{made}</System>"),
            ],
            &[
                &format!("{head}<System></System>{}", data(old)),
                &format!("{head}{}<System>{made}</System>", data(old)),
                &format!("{head}<System>{made}"),
                &format!("{head}<System>{}</System>", made.replace('Z', "")),
                &format!("{head}<System>{}</System>", made.replace('\'', "")),
                &format!("{head}<System><TimeCreated SystemTime='</System>"),
                &format!("<Events><System>{made}</System>"),
                &format!("x{head}<System>{made}</System>"),
            ],
        );
    }

    /// A user name is whatever a client types.
    #[test]
    fn failed_logins() {
        check(
            "2026-11-23T10:00:00Z",
            &[
                r#"203.0.113.9 - jean [11/23/2026:10:00:00 -0000] "GET / HTTP/1.1" FAILED LOGIN cpaneld: x"#,
                r#"203.0.113.9 proxy jean@example.net [11/23/2026:10:00:00 -0000] "POST /login/" FAILED LOGIN x"#,
                r#"ip_2epq proxy em_2epq [11/23/2026:10:00:00 -0000] "POST /login/" FAILED LOGIN x"#,
            ],
            &[
                r#"203.0.113.9 - x [01/01/2020:00:00:00 -0000] "y [11/23/2026:10:00:00 -0000] "GET /" FAILED LOGIN"#,
                r#"203.0.113.9 - x y [11/23/2026:10:00:00 -0000] "GET /" FAILED LOGIN"#,
                r#"203.0.113.9, x - jean [11/23/2026:10:00:00 -0000] "GET /" FAILED LOGIN"#,
                r#"203.0.113.9 x jean [11/23/2026:10:00:00 -0000] "GET /" FAILED LOGIN"#,
                r#"203.0.113.9 - jean [11/23/2026:10:00:00 -0000] GET / FAILED LOGIN"#,
                r#"203.0.113.9 - jean [05/11/2026:10:00:00 +0100] "GET /" FAILED LOGIN"#,
                r#"203.0.113.9 - jean [11/31/2026:10:00:00 -0000] "GET /" FAILED LOGIN"#,
            ],
        );
    }

    #[test]
    fn text_is_no_time() {
        for line in
            ["", " ", "*", ":", "<", "<Event", "1", "1,", "1 ", "2 ", "123:", "time=", "http ", "a - b ["]
        {
            assert_eq!(time(line.as_bytes()), None, "{line:?}");
        }
    }
}
