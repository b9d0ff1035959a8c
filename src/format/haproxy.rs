//! HAProxy HTTP and TCP logs (options `httplog` and `tcplog`), bare or as the MSG of syslog.

use super::timestamp::{MISMATCH, Parsed, clf};
use crate::model::{Format, Record, StatedTime};
use memchr::{memchr, memrchr};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{map_opt, opt, recognize, verify};
use nom::sequence::{delimited, preceded, terminated};

/// Sample lines of the HTTP format.
pub(super) const HTTP_SAMPLES: &[&str] = &[
    r#"203.0.113.9:57424 [23/Nov/2026:10:00:00.123] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {www.example.org} {} "GET /index.html HTTP/1.1""#,
    r#"2001:db8::7:41234 [23/Nov/2026:10:00:00.123] https~ app/<NOSRV> -1/-1/-1/-1/+5001 408 212 - - cR-- 2/2/0/0/3 0/0 "<BADREQ>""#,
    r#"203.0.113.9:57424 [23/Nov/2026:10:00:00.123] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#,
];

/// Sample lines of the TCP format.
pub(super) const TCP_SAMPLES: &[&str] = &[
    "203.0.113.9:57424 [23/Nov/2026:10:00:00.123] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
    "2001:db8::7:41234 [23/Nov/2026:10:00:00.123] smtp smtp/mx1 1/0/+5007 +212 cD 4/3/2/1/0 0/0",
    "198.51.100.7:50022 [23/Nov/2026:10:00:00.123] ssh ssh/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0",
    "203.0.113.9:57424 [23/Nov/2026:10:00:00.123] https/1: SSL handshake failure",
];

/// Reads the envelope of a line (HAProxy configuration manual 8.2.2, 8.2.3 and 8.2.5). Checks the line up to
/// the termination state.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let session = preceded((token, server), alt((http, tcp)));
    let (_, (_, time, format)) = (client, accept_date, alt((session, connection_error))).parse(line).ok()?;
    Some(Record { format, time: Some(time), ..Record::raw(line) })
}

/// Parses `client_ip ':' client_port`.
fn client(input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(token, |text: &[u8]| {
        memrchr(b':', text).is_some_and(|colon| colon > 0 && text[colon + 1..].iter().all(u8::is_ascii_digit))
    })
    .parse(input)
}

/// Parses `'[' accept_date ']'`, the local time of the proxy.
fn accept_date(input: &[u8]) -> Parsed<'_, StatedTime> {
    delimited(char('['), clf, tag("] ")).parse(input)
}

/// Parses `backend_name '/' server_name`.
fn server(input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(token, |text: &[u8]| memchr(b'/', text).is_some_and(|at| at > 0)).parse(input)
}

/// Parses `TR '/' Tw '/' Tc '/' Tr '/' Ta`, status, bytes, two cookies and a `termination_state` of 4
/// characters.
fn http(input: &[u8]) -> Parsed<'_, Format> {
    let (rest, _) = (timers::<5>, number, char(' '), number, char(' ')).parse(input)?;
    let (rest, _) = (token, token, termination::<4>).parse(rest)?;
    Ok((rest, Format::HaproxyHttp))
}

/// Parses `Tw '/' Tc '/' Tt`, bytes and a `termination_state` of 2 characters.
fn tcp(input: &[u8]) -> Parsed<'_, Format> {
    let (rest, _) = (timers::<3>, number, char(' '), termination::<2>).parse(input)?;
    Ok((rest, Format::HaproxyTcp))
}

/// Parses `frontend_name '/' bind_name ':' message`: a connection that never became a session, so TCP.
fn connection_error(input: &[u8]) -> Parsed<'_, Format> {
    let (rest, name) = server(input)?;
    if name.ends_with(b":") { Ok((rest, Format::HaproxyTcp)) } else { Err(MISMATCH) }
}

/// Parses `N` numbers separated by slashes, then a space.
fn timers<const N: usize>(input: &[u8]) -> Parsed<'_, ()> {
    let (mut rest, _) = number(input)?;
    for _ in 1..N {
        (rest, _) = (char('/'), number).parse(rest)?;
    }
    char(' ').map(|_| ()).parse(rest)
}

/// Parses a number. `-1` means that the event did not happen, `+5007` that the session is still running
/// (option `logasap`).
fn number(input: &[u8]) -> Parsed<'_, &[u8]> {
    recognize((opt(alt((char('-'), char('+')))), digit1)).parse(input)
}

/// Parses a `termination_state` of `N` letters and dashes, then a space.
fn termination<const N: usize>(input: &[u8]) -> Parsed<'_, &[u8]> {
    let state = take_while1(|byte: u8| byte.is_ascii_alphabetic() || byte == b'-');
    terminated(map_opt(state, |text: &[u8]| (text.len() == N).then_some(text)), char(' ')).parse(input)
}

/// Parses bytes up to a space, and consumes the space.
fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(take_while1(|byte| byte != b' '), char(' ')).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_this_format() {
        let time = "[23/Nov/2026:10:00:00.123]";
        let cases = [
            String::new(),
            "203.0.113.9:57424".to_owned(),
            format!("203.0.113.9:57424 {time}"),
            format!("203.0.113.9:57424 {time} fe be/srv"),
            format!("203.0.113.9:57424 {time} fe be/srv 1/2 0 --"),
            format!("203.0.113.9:57424 {time} fe be/srv 1/2/3/4 0 --"),
            format!("203.0.113.9:57424 {time} fe be/srv 1/2/3 0 ---- 0/0/0/0/0 0/0"),
            format!("203.0.113.9:57424 {time} fe be/srv 1/2/3/4/5 200 5 - - -- 0/0/0/0/0 0/0"),
            format!("203.0.113.9:57424 {time} fe be 1/2/3 0 -- 0/0/0/0/0 0/0"),
            format!("203.0.113.9 {time} fe be/srv 1/2/3 0 -- 0/0/0/0/0 0/0"),
            format!(":57424 {time} fe be/srv 1/2/3 0 -- 0/0/0/0/0 0/0"),
            "203.0.113.9:57424 [23/Nov/2026:10:00:61.123] fe be/srv 1/2/3 0 -- 0/0/0/0/0 0/0".to_owned(),
            format!("203.0.113.9:57424 {time} text: with a colon"),
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }
}
