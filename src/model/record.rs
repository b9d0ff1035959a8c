//! The result of parsing one line: its envelope, as offsets into the line.

use super::Span;

/// A log line format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// RFC 5424 syslog.
    Rfc5424,
    /// RFC 3164 (BSD) syslog, with or without PRI, with BSD or RFC 3339 times.
    Rfc3164,
    /// NCSA common log format.
    Clf,
    /// CLF plus referrer and user agent.
    Combined,
    /// Combined (or common) with the virtual host in front.
    VhostCombined,
    /// nginx error log.
    NginxError,
    /// Apache httpd error log (2.2 and 2.4).
    ApacheError,
    /// HAProxy HTTP log.
    HaproxyHttp,
    /// HAProxy TCP log.
    HaproxyTcp,
    /// Linux netfilter (`IN= OUT= SRC= DST=`).
    Netfilter,
    /// A JSON object.
    Json,
    /// logfmt: `key=value` pairs.
    Logfmt,
    /// ArcSight Common Event Format.
    Cef,
    /// IBM Log Event Extended Format.
    Leef,
    /// Anything else, searched as text.
    Raw,
}

impl Format {
    /// Every format, in the order of the declaration: `ALL[f as usize] == f`.
    pub const ALL: [Self; 15] = [
        Self::Rfc5424,
        Self::Rfc3164,
        Self::Clf,
        Self::Combined,
        Self::VhostCombined,
        Self::NginxError,
        Self::ApacheError,
        Self::HaproxyHttp,
        Self::HaproxyTcp,
        Self::Netfilter,
        Self::Json,
        Self::Logfmt,
        Self::Cef,
        Self::Leef,
        Self::Raw,
    ];

    /// The name on the command line, in rules and in counts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc5424 => "rfc5424",
            Self::Rfc3164 => "rfc3164",
            Self::Clf => "clf",
            Self::Combined => "combined",
            Self::VhostCombined => "vhost-combined",
            Self::NginxError => "nginx-error",
            Self::ApacheError => "apache-error",
            Self::HaproxyHttp => "haproxy-http",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::Netfilter => "netfilter",
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Raw => "raw",
        }
    }

    /// The format with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The formats that `name` denotes in a rule: the name of a format, or of a group
    /// (`access`, `error`, `haproxy`, `syslog`).
    #[must_use]
    pub fn group(name: &str) -> Option<&'static [Self]> {
        Some(match name {
            "access" => &[Self::Clf, Self::Combined, Self::VhostCombined],
            "error" => &[Self::NginxError, Self::ApacheError],
            "haproxy" => &[Self::HaproxyHttp, Self::HaproxyTcp],
            "syslog" => &[Self::Rfc5424, Self::Rfc3164],
            _ => {
                let index = Self::named(name)? as usize;
                &Self::ALL[index..=index]
            }
        })
    }
}

/// The time that a line states, without guessing: parts that the line does not state are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatedTime {
    /// A calendar time. Fields are in range (`month` 1..=12, `day` 1..=31, `hour` 0..=23, `minute` 0..=59,
    /// `second` 0..=60), but the day need not exist: a sender may state 30 February. Fractions of a second
    /// are dropped.
    Civil {
        /// Year, if stated.
        year: Option<i16>,
        /// Month, 1 to 12.
        month: u8,
        /// Day of the month, 1 to 31.
        day: u8,
        /// Hour, 0 to 23.
        hour: u8,
        /// Minute, 0 to 59.
        minute: u8,
        /// Second, 0 to 60.
        second: u8,
        /// Seconds east of UTC, if stated; `Z` is 0.
        offset_seconds: Option<i32>,
    },
    /// Seconds since 1970-01-01T00:00:00Z.
    Unix(i64),
}

/// The place for a retention tag in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPoint {
    /// RFC 5424 STRUCTURED-DATA. `elements` covers the field: `-`, or the SD-ELEMENTs.
    StructuredData {
        /// The STRUCTURED-DATA field.
        elements: Span,
    },
    /// A JSON object that ends the line: `close` is the offset of its final `}`.
    JsonObject {
        /// Offset of the closing brace.
        close: u32,
        /// Whether the object has no member.
        empty: bool,
    },
    /// Before the line end (LF or CRLF, which are not part of the line).
    LineEnd,
}

/// The envelope of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The format of the whole line.
    pub format: Format,
    /// The format of the message, if it was recognised too (JSON inside syslog).
    pub inner: Option<Format>,
    /// The time of the event as the line states it.
    pub time: Option<StatedTime>,
    /// HOSTNAME, or the virtual host.
    pub host: Option<Span>,
    /// APP-NAME or TAG of syslog, without PID.
    pub program: Option<Span>,
    /// The message: MSG of syslog, otherwise the whole line.
    pub message: Span,
    /// Where a tag may go.
    pub tag: TagPoint,
    /// The names of the fields that the line may have.
    pub names: Names,
}

/// A set of names that may contain more than was added (Bloom 1970, one hash of 6 bits). It suffices to rule
/// out a field that a line does not have without reading the line again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names(u64);

impl Names {
    /// The set of all names.
    pub const ANY: Self = Self(u64::MAX);
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Adds a name.
    #[inline]
    pub fn add(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    /// Whether `name` may have been added; `false` is certain.
    #[inline]
    #[must_use]
    pub fn may_hold(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// Whether all of `names` may have been added; `false` is certain.
    #[inline]
    #[must_use]
    pub fn may_hold_all(self, names: Self) -> bool {
        self.0 & names.0 == names.0
    }

    #[inline]
    fn bit(name: &[u8]) -> u64 {
        let [first, last] = [name.first(), name.last()].map(|byte| u64::from(byte.copied().unwrap_or(0)));
        1 << ((first * 7 + last * 13 + name.len() as u64 * 29) % 64)
    }
}

impl Record {
    /// The record of a line in no known format.
    #[must_use]
    pub fn raw(line: &[u8]) -> Self {
        Self {
            format: Format::Raw,
            inner: None,
            time: None,
            host: None,
            program: None,
            message: Span::new(0, line.len()),
            tag: TagPoint::LineEnd,
            names: Names::ANY,
        }
    }

    /// Whether the line or its message has this format.
    #[must_use]
    pub fn is(&self, format: Format) -> bool {
        self.format == format || self.inner == Some(format)
    }
}
