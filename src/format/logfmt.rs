//! logfmt: `key=value` pairs separated by spaces; values that contain spaces are quoted.

use super::escapes;
use super::misdated::{misdated, misdated_as};
use super::request_time::latest;
use super::time_names::may_last;
use super::timestamp::{leading_epoch, stated};
use super::zones;
use crate::model::{Format, Record, StatedTime};
use memchr::memchr2;
use std::borrow::Cow;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    r#"time="2026-11-23T10:00:00+01:00" level=error msg="authentication failed for \"jean\"" remote_ip=203.0.113.9"#,
    "ts=2026-11-23T10:00:00.123Z caller=main.go:12 level=info client=[2001:db8::7]:41234",
    "t=1795428000 lvl=info msg=started addr=192.0.2.1:443",
    r#"date=2026-11-23 time=10:00:00 devname="fw1" srcip=203.0.113.9 dstip=192.0.2.1 action="deny""#,
    r#"type=USER_AUTH msg=audit(1795428000.123:456): pid=1 uid=0 acct="jean" addr=203.0.113.9 res=failed"#,
];

/// Reads the envelope of a line that begins with a pair and has at least two. Pairs must make up three
/// quarters of its bytes; the rest may be loose words.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let mut count = 0_usize;
    let mut in_pairs = 0_usize;
    let mut times = Times::default();
    for item in Items::of(line) {
        match item {
            Item::Pair { key, value, length } => {
                (count, in_pairs) = (count + 1, in_pairs + length);
                times.note(key, value, count == 1);
            }
            Item::Word if count == 0 => return None,
            Item::Word => {}
        }
    }
    let mostly_pairs = in_pairs.saturating_mul(4) >= line.len().saturating_mul(3);
    (count >= 2 && mostly_pairs).then(|| Record {
        format: Format::Logfmt,
        time: times.stated(),
        ..Record::raw(line)
    })
}

/// Returns the value of the first pair whose key is `name`, unescaped.
pub(super) fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    Items::of(line).find_map(|item| match item {
        Item::Pair { key, value, .. } if key == name => Some(unquote(value)),
        _ => None,
    })
}

/// The values that may state the time, the first of each kind.
#[derive(Default)]
struct Times<'a> {
    /// The key and the value.
    time: Option<(&'a [u8], &'a [u8])>,
    /// Whether this pair begins the line, so that no client can have written it.
    leads: bool,
    /// The latest time of more such pairs.
    more: Option<StatedTime>,
    date: Option<&'a [u8]>,
    audit: Option<&'a [u8]>,
    /// The zone of a time that states none: of FortiOS, Stormshield and Sophos.
    zone: Option<&'a [u8]>,
    /// A time under one of the names that few programs use.
    rare: Option<&'a [u8]>,
}

impl<'a> Times<'a> {
    fn note(&mut self, key: &'a [u8], value: &'a [u8], leads: bool) {
        match key {
            b"time" | b"ts" | b"t" | b"timestamp" | b"@timestamp" => {
                if self.time.is_none() {
                    (self.time, self.leads) = (Some((key, value)), leads);
                } else if let Some(found) = stated(bare(value)).filter(|_| !may_last(key, value)) {
                    self.more = latest(self.more, found);
                }
            }
            b"date" => self.date = self.date.or(Some(value)),
            b"tz" | b"timezone" => self.zone = self.zone.or(Some(value)),
            b"eventtime" | b"event_time" | b"datetime" | b"date_time" | b"time_local" | b"time_iso8601"
            | b"_time" => self.rare = self.rare.or(Some(value)),
            b"msg" if value.starts_with(b"audit(") => self.audit = self.audit.or(Some(value)),
            _ => {}
        }
    }

    /// Returns the time from `time=...`, or `date=2026-11-23 time=10:00:00` (FortiOS), or
    /// `msg=audit(1795428000.123:456):`.
    fn stated(self) -> Option<StatedTime> {
        let (key, time) = self.time.map(|(key, value)| (key, bare(value))).unzip();
        let zoned = |time: StatedTime| self.zone.map_or(time, |name| zones::zoned(time, bare(name)));
        if let (Some(full), Some((key, value))) = (time.and_then(stated), self.time) {
            return match self.more {
                Some(other) if !self.leads && may_last(key, value) => Some(zoned(other)),
                Some(other) if !self.leads => latest(Some(zoned(full)), zoned(other)),
                _ => Some(zoned(full)),
            };
        }
        if let (Some(date), Some(time)) = (self.date.map(bare), time.or(Some(b""))) {
            return stated(date).or_else(|| joined(date, time)).map(zoned);
        }
        let audit = self.audit.and_then(|value| leading_epoch(value.strip_prefix(b"audit(")?).ok());
        let found = audit.map(|(_, time)| time).or_else(|| stated(bare(self.rare?)));
        found.or_else(|| misdated_as(key?, time?))
    }
}

/// Returns a value without its quotes.
fn bare(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(value)
}

/// Returns a calendar time with this offset.
pub(super) fn at(time: StatedTime, offset: i32) -> StatedTime {
    match time {
        StatedTime::Civil { year, month, day, hour, minute, second, .. } => {
            StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds: Some(offset) }
        }
        StatedTime::Unix(_) => time,
    }
}

/// Joins a date and a time of day from two fields. The half of the day and a zone may follow the time.
pub(super) fn joined(date: &[u8], time: &[u8]) -> Option<StatedTime> {
    let mut text = [b' '; 48];
    text[..10].copy_from_slice(date.get(..10).filter(|_| date.len() == 10)?);
    text[11..19].copy_from_slice(time.get(..8)?);
    let short = text;
    if let Some(end) = text.get_mut(19..11 + time.len()) {
        end.copy_from_slice(&time[8..]);
    }
    let short = &short[..19];
    stated(&text).or_else(|| stated(short)).or_else(|| misdated(short))
}

/// The text between two spaces.
enum Item<'a> {
    /// `key=value`; the value still has its quotes. `length` includes the space before the pair.
    Pair { key: &'a [u8], value: &'a [u8], length: usize },
    /// Anything else.
    Word,
}

/// The items of a line.
struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn of(line: &'a [u8]) -> Self {
        Self { rest: line }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let spaces = self.rest.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
        let text = &self.rest[spaces..];
        if text.is_empty() {
            return None;
        }
        let key = text.iter().take_while(|&&byte| in_key(byte)).count();
        let value = match text.get(key..) {
            Some([b'=', value @ ..]) if key > 0 && !text[0].is_ascii_digit() => value,
            _ => {
                self.rest = &text[end_of_word(text)..];
                return Some(Item::Word);
            }
        };
        let length = end_of_value(value);
        self.rest = &value[length..];
        // A list such as `a=1, b=2` is not logfmt: its values would include the comma.
        if matches!(value[..length].last(), Some(b',' | b';')) {
            return Some(Item::Word);
        }
        Some(Item::Pair { key: &text[..key], value: &value[..length], length: spaces + key + 1 + length })
    }
}

fn in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'/')
}

fn end_of_word(text: &[u8]) -> usize {
    memchr2(b' ', b'\t', text).unwrap_or(text.len())
}

/// Returns the offset of the next space; for a quoted value, of the next space after the closing quote.
fn end_of_value(value: &[u8]) -> usize {
    if !value.starts_with(b"\"") {
        return end_of_word(value);
    }
    let quote = escapes::next_unescaped(b'"', value, 1);
    quote.map_or(value.len(), |quote| quote + 1 + end_of_word(&value[quote + 1..]))
}

/// Removes the quotes of a value and decodes its escapes: `\"`, `\\`, `\n`, `\r`, `\t`.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else {
        return Cow::Borrowed(value);
    };
    escapes::decoded(inner, |byte| match byte {
        b'"' | b'\\' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mostly_pairs() {
        for line in [
            "a=1 b=2",
            "a= b=",
            r#"a="x y z" b=2"#,
            r#"a="x \" y" b=2"#,
            "level=info msg=started in 5s user=jean path=/index.html",
            "a=b=c d==",
            "a=1\tb=2",
        ] {
            assert!(read(line.as_bytes()).is_some(), "{line:?}");
        }
    }

    #[test]
    fn not_this_format() {
        for line in [
            "",
            " ",
            "=",
            "=a =b",
            "a=1",
            "hello a=1 b=2",
            "a=1 and then a long sentence b=2",
            // Lists with commas, as postfix and keycloak write them.
            "from=<jean@example.fr>, size=12, nrcpt=1 (queue active)",
            "type=LOGIN_ERROR, realmId=a, clientId=b",
            // Sums, options, query strings.
            "1=2 3=4",
            "--a=1 sentence",
            "a=1&b=2&c=3",
            // A quote that never ends makes one pair.
            r#"a="x b=2 c=3"#,
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn times_among_the_pairs() {
        let expected = stated(b"2026-11-23T10:00:00Z");
        for line in [
            "time=2026-11-23T10:00:00Z a=1",
            r#"a=1 ts="2026-11-23 10:00:00 UTC""#,
            "a=1 t=2026-11-23T10:00:00Z t=2020-01-01T00:00:00Z",
            "timestamp=2026-11-23T10:00:00.5Z a=1",
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().time, expected, "{line}");
        }
        let local = stated(b"2026-11-23 10:00:00");
        for line in [
            "date=2026-11-23 time=10:00:00 a=1",
            r#"date="2026-11-23 10:00:00" a=1"#,
            "time=10:00:00 date=2026-11-23",
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().time, local, "{line}");
        }
        let paris = stated(b"2026-11-23 10:00:00 +0100");
        for line in [
            r#"date=2026-11-23 time=10:00:00 devname="fw1" eventtime=1795400000123456789 tz="+0100" a=1"#,
            r#"id=firewall time="2026-11-23 10:00:00" fw="fw1" tz=+0100 startime="2026-11-22 10:00:00""#,
            r#"time_local="23/Nov/2026:10:00:00 +0100" a=1"#,
            "time_iso8601=2026-11-23T10:00:00+01:00 a=1",
            r#"datetime="2026-11-23 10:00:00 +0100" a=1"#,
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().time, paris, "{line}");
        }
        // A zone that is not a number, and a time that states its own.
        assert_eq!(read(b"date=2026-11-23 time=10:00:00 tz=Paris").unwrap().time, local);
        assert_eq!(read(b"time=2026-11-23T10:00:00Z tz=+0100").unwrap().time, expected);
        for line in ["eventtime=1795428000123456789 a=1", "event_time=1795428000 a=1"] {
            let unix = Some(StatedTime::Unix(1_795_428_000));
            assert_eq!(read(line.as_bytes()).unwrap().time, unix, "{line}");
        }
        assert_eq!(read(b"eventtime=12 a=1").unwrap().time, None);
        // Sophos, and what else may follow the time of day.
        for (line, expected) in [
            (r#"date=2026-11-23 time=10:00:00 timezone="CET" device_name="x""#, "2026-11-23 10:00:00 +0100"),
            (r#"date=2026-11-23 time=10:00:00 timezone="America/New_York""#, "2026-11-23 10:00:00 -0500"),
            ("date=2026-11-23 time=10:00:00Z a=1", "2026-11-23T10:00:00Z"),
            (r#"date=2026-11-23 time="10:00:00 -0500" a=1"#, "2026-11-23 10:00:00 -0500"),
            (r#"date=2026-11-23 time="10:00:00 PM" a=1"#, "2026-11-23 22:00:00"),
            ("date=2026-11-23 time=10:00:00x a=1", "2026-11-23 10:00:00"),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().time, stated(expected.as_bytes()), "{line}");
        }
        // An unset clock; under `time` a number may be a duration.
        let unset = |line: &str| read(line.as_bytes()).unwrap().time;
        assert_eq!(unset("ts=0.5 a=1"), Some(StatedTime::Unix(0)));
        assert_eq!((unset("time=12 a=1"), unset("t=0 ts=0")), (None, None));
        let audit = read(b"type=LOGIN msg=audit(1795428000.123:4): pid=1").unwrap().time;
        assert_eq!(audit, Some(StatedTime::Unix(1_795_428_000)));
        for line in [
            "time=12 a=1",
            "date=2026-11-23 a=1",
            "date=2026-11-23 time=1",
            "msg=audit( a=1",
            "msg=audit(x): a=1",
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().time, None, "{line}");
        }
    }

    /// A client may have written `agent` and `path`, and with them a pair.
    #[test]
    fn no_pair_of_a_client_and_no_duration_makes_a_line_older() {
        for (line, expected) in [
            ("agent=x time=2020-01-01T00:00:00Z ts=2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("agent=x time=2020-01-01T00:00:00Z y time=2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("agent=x ts=1577836800 y=1 ts=1795428000", "1795428000"),
            ("agent=x ts=2026-11-23T10:00:00Z y=1 time=2020-01-01T00:00:00Z", "2026-11-23T10:00:00Z"),
            // What begins the line is the time, even if a later one follows.
            ("time=2026-11-23T10:00:00Z agent=x time=2026-12-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("time=1795428000 agent=x ts=2020-01-01T00:00:00Z", "1795428000"),
            // One and a half seconds.
            ("level=info time=1500000000 ts=2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("ts=2026-11-23T10:00:00Z time=2500000000", "2026-11-23T10:00:00Z"),
            ("level=info ts=2001-11-23T10:00:00Z time=2500000000", "2001-11-23T10:00:00Z"),
            // Nothing else states a time.
            ("time=1795428000 level=info", "1795428000"),
        ] {
            let expected = stated(expected.as_bytes());
            assert!(expected.is_some());
            assert_eq!(read(line.as_bytes()).unwrap().time, expected, "{line}");
        }
    }

    #[test]
    fn values_by_key() {
        let line = br#"a=1 b="x \"y\"\n\\" c= d="" a=2 e"f=3 g="open"#;
        let cases: &[(&str, Option<&str>)] = &[
            ("a", Some("1")),
            ("b", Some("x \"y\"\n\\")),
            ("c", Some("")),
            ("d", Some("")),
            ("f", None),
            ("g", Some("\"open")),
            ("", None),
        ];
        for &(name, expected) in cases {
            assert_eq!(value(line, name.as_bytes()).as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }
}
