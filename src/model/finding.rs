//! The results of detection for one line.

use super::{Kind, RuleId, Span};

/// The canonical bytes of an identifier: the input of the HMAC, the same for every notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Canonical {
    /// An IPv4 address, IPv4-mapped IPv6 included: `04 || 4 bytes`.
    V4([u8; 4]),
    /// An IPv6 address: `06 || 16 bytes`.
    V6([u8; 16]),
    /// Anything else: bytes `start..end` of [`Findings::bytes`].
    Bytes(Span),
}

/// One identifier found in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The bytes of the line to be replaced.
    pub span: Span,
    /// The kind of the identifier.
    pub kind: Kind,
    /// The canonical bytes, which are the input of the HMAC.
    pub canonical: Canonical,
    /// The rule that found it.
    pub rule: RuleId,
    /// The encoded spelling of the identifier's first `:` or `@` in the line (`%3A`, `\u0040`), which an
    /// address-shaped token uses as well. Empty if it is not encoded.
    pub separator: Span,
    /// Whether an address-shaped IPv6 token needs brackets here (an IPv4 address followed by `:port`).
    pub brackets: bool,
}

/// The findings of one line. Reused from line to line.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Identifiers, sorted by `span` and disjoint.
    pub items: Vec<Finding>,
    /// Storage for canonical bytes that are not addresses.
    pub bytes: Vec<u8>,
    /// Offsets in the line at which an underscore is inserted to defuse a forged tag; sorted, and outside
    /// every span of `items`.
    pub defused: Vec<u32>,
}

impl Findings {
    /// Removes all findings and keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.defused.clear();
    }

    /// The canonical bytes of `finding`, as input of the HMAC. Uses `buffer` if they must be assembled.
    #[must_use]
    pub fn canonical<'a>(&'a self, finding: &Finding, buffer: &'a mut [u8; 17]) -> &'a [u8] {
        match finding.canonical {
            Canonical::V4(octets) => {
                buffer[0] = 4;
                buffer[1..5].copy_from_slice(&octets);
                &buffer[..5]
            }
            Canonical::V6(octets) => {
                buffer[0] = 6;
                buffer[1..].copy_from_slice(&octets);
                &buffer[..]
            }
            Canonical::Bytes(span) => span.of(&self.bytes),
        }
    }
}
