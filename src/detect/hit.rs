//! A hit: what a parser found in a text, before the hits of all parsers and views are merged.

use crate::model::{Kind, RuleId};

/// The built-in rules, in the order of their [`RuleId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Rule {
    Ipv4,
    Ipv4HostName,
    Ipv4Ptr,
    Ipv6,
    Ipv6HostName,
    Ipv6Ptr,
    Email,
    ForgedToken,
}

impl Rule {
    /// Names shown to people, in the same order.
    pub(crate) const NAMES: [&'static str; 8] =
        ["ipv4", "ipv4-host-name", "ipv4-ptr", "ipv6", "ipv6-host-name", "ipv6-ptr", "email", "forged-token"];

    pub(crate) fn id(self) -> RuleId {
        RuleId(self as u16)
    }

    /// Returns the kind of identifier that the rule finds.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Email => Kind::EM,
            Self::ForgedToken => Kind::FK,
            _ => Kind::IP,
        }
    }
}

/// The canonical form, or where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canon {
    V4([u8; 4]),
    V6([u8; 16]),
    /// An e-mail address, with the offset of its `@`.
    Email {
        at: usize,
    },
    /// The bytes as they stand.
    Verbatim,
}

impl Canon {
    /// Returns the form of an IPv6 address; an IPv4-mapped one is an IPv4 address (RFC 4291, 2.5.5.2).
    pub(crate) fn v6(octets: [u8; 16]) -> Self {
        match octets {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Self::V4([a, b, c, d]),
            _ => Self::V6(octets),
        }
    }
}

/// An identifier at `start..end` of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) canon: Canon,
    pub(crate) rule: Rule,
    /// The octets may be in the opposite order: the rest of the line decides.
    pub(crate) either_way: bool,
    /// An IPv4 address followed by `:port`.
    pub(crate) brackets: bool,
}

impl Hit {
    pub(crate) fn new(start: usize, end: usize, canon: Canon, rule: Rule) -> Self {
        Self { start, end, canon, rule, either_way: false, brackets: false }
    }

    /// Leaves the order of the octets to the rest of the line.
    pub(crate) fn either_way(mut self) -> Self {
        self.either_way = true;
        self
    }
}
