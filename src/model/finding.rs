//! What detection yields for one line.

use super::{Kind, RuleId, Span};

/// The canonical bytes of an identifier: what is HMACed, the same for every notation.
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
    /// What kind of identifier it is.
    pub kind: Kind,
    /// What is HMACed.
    pub canonical: Canonical,
    /// The rule that found it.
    pub rule: RuleId,
    /// The bytes that spell the identifier's first `:` or `@` in the line (`%3A`, `\u0040`), when it
    /// is not spelt as itself: an address-shaped token spells its own the same way. Empty otherwise.
    pub separator: Span,
    /// Whether an address-shaped IPv6 token needs brackets here (an IPv4 address followed by `:port`).
    pub brackets: bool,
}

/// The findings of one line: sorted by span, disjoint. Reused from line to line.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Identifiers, sorted by `span`, disjoint.
    pub items: Vec<Finding>,
    /// Where canonical bytes that are not addresses live.
    pub bytes: Vec<u8>,
    /// Offsets in the line where an underscore is inserted to defuse a forged tag; sorted, outside
    /// every span of `items`.
    pub defused: Vec<u32>,
}

impl Findings {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.defused.clear();
    }

    /// The canonical bytes of `finding`, as HMAC input, in `buffer` if they have to be put together.
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
