//! Programs that write times in UTC without saying so.

use super::logfmt::at;
use crate::model::StatedTime;

/// Returns the time of a line with the zone that its program means, if it is known to mean UTC. `rest` is
/// what follows the time in `text`.
pub(super) fn zoned(text: &[u8], rest: &[u8], time: StatedTime) -> StatedTime {
    let is_utc = match (time, text.get(4), rest) {
        (StatedTime::Civil { offset_seconds: None, .. }, Some(b'-'), [b' ', record @ ..]) => {
            text.get(10) == Some(&b' ') && is_w3c(record)
        }
        (StatedTime::Civil { offset_seconds: None, .. }, Some(b'/'), [b'\t', record @ ..]) => {
            is_caddy(record)
        }
        _ => false,
    };
    if is_utc { at(time, 0) } else { time }
}

/// Returns whether a record is one of the W3C extended log format, whose times are in UTC: of IIS, of the
/// Windows driver for HTTP, of ProxySG.
fn is_w3c(record: &[u8]) -> bool {
    // Most lines of other programs end here: they begin with a name, a bracket, or the number of a message.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'_');
    let first = record.iter().position(|&byte| !plain(byte)).unwrap_or(record.len());
    if first == 0 || record.get(first) != Some(&b' ') {
        return false;
    }
    let mut fields = [&record[..0]; 8];
    for (field, text) in fields.iter_mut().zip(record.split(|&byte| byte == b' ')) {
        *field = text;
    }
    let is_number =
        |text: &[u8], most: usize| (1..=most).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    // `192.0.2.1 GET / - 443 - 203.0.113.9 `, perhaps after the names of site and server.
    let is_iis = fields[1..].windows(5).take(3).any(|fields| {
        let [method, path, _query, port, user] = fields else { return false };
        METHODS.contains(method) && path.starts_with(b"/") && is_number(port, 5) && !user.is_empty()
    });
    match fields {
        _ if is_iis => true,
        // `203.0.113.9 57424 192.0.2.1 80 HTTP/1.1 GET / `.
        [_, port, _, other, version, ..] if version.starts_with(b"HTTP/") => {
            is_number(port, 5) && is_number(other, 5)
        }
        // `57 203.0.113.9 200 TCP_NC_MISS 1024 300 GET `.
        [taken, _, status, action, bytes, ..] if action.starts_with(b"TCP_") => {
            is_number(taken, 10) && is_number(status, 3) && is_number(bytes, 20)
        }
        _ => false,
    }
}

const METHODS: [&[u8]; 7] = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"];

/// Returns whether a record is one of Caddy for people: `INFO<TAB>http.log.access<TAB>handled request`.
fn is_caddy(record: &[u8]) -> bool {
    let level = record.split(|&byte| byte == b'\t').next().unwrap_or(record);
    let known = [&b"DEBUG"[..], b"INFO", b"WARN", b"ERROR"];
    level.len() < record.len() && known.iter().any(|name| level.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::super::timestamp::stated;

    #[test]
    fn programs_that_mean_utc() {
        let (utc, local) = (stated(b"2026-11-23T10:00:00Z"), stated(b"2026-11-23 10:00:00"));
        for (record, is_utc) in [
            ("192.0.2.1 GET /index.html - 443 - 203.0.113.9 Mozilla/5.0 - 200 0 0 15", true),
            (
                "W3SVC1 WEB1 192.0.2.1 POST /login.aspx a=1 443 jean 203.0.113.9 HTTP/1.1 x - - h 200 0 0",
                true,
            ),
            ("203.0.113.9 57424 192.0.2.1 80 HTTP/1.1 GET / 400 - Hostname -", true),
            ("57 203.0.113.9 200 TCP_NC_MISS 1024 300 GET http example.net 80 / - - DIRECT 192.0.2.1", true),
            // Any other program writes local time.
            ("203.0.113.9 GET /index.html 200", false),
            ("203.0.113.9 jean GET /x 200 15", false),
            ("203.0.113.9 GET / - 443", false),
            ("203.0.113.9 GET x - 443 - 203.0.113.9", false),
            ("DROP TCP 203.0.113.9 192.0.2.1 57424 22 60 S 1 0 8192 - - - RECEIVE", false),
            ("1abc-000-AB <= jean@example.net H=x [203.0.113.9]", false),
            ("x 203.0.113.9 200 TCP_MISS x", false),
            ("", false),
        ] {
            let line = format!("2026-11-23 10:00:00 {record}");
            assert_eq!(raw::time(line.as_bytes()), if is_utc { utc } else { local }, "{line}");
        }
        for level in ["INFO", "error"] {
            let caddy = format!("2026/11/23 10:00:00.123\t{level}\thttp.log.access\thandled request\t{{}}");
            assert_eq!(raw::time(caddy.as_bytes()), utc, "{caddy}");
        }
        assert_eq!(raw::time(b"2026/11/23 10:00:00 [8203] connect from 203.0.113.9"), local);
        assert_eq!(raw::time(b"2026/11/23 10:00:00\tINFORMATION\tx"), local);
        // A stated zone counts.
        let zoned = b"2026-11-23 10:00:00 +0100 192.0.2.1 GET / - 443 - 203.0.113.9 x";
        assert_eq!(raw::time(zoned), stated(b"2026-11-23 10:00:00 +0100"));
    }
}
