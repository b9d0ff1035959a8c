//! Generates what a client might write to keep the filter busy: beginnings of identifiers that never become
//! one.
//!
//! Each line holds one IP address and one e-mail address, so that there is an answer to check.

use super::Writer;
use std::fmt::Write;

/// Texts that, when repeated, look like the start of an identifier at nearly every byte and yet contain none.
/// With fewer repetitions than the given number they could be one: exactly eight groups are an IPv6 address.
const SHAPES: [(&str, usize); 16] = [
    // Chains of digit groups: longer than an address, like an OID; out of range; cut short.
    ("1.1.", 4),
    ("999.", 4),
    ("1.2.3.x", 1),
    ("7-", 9),
    ("1--2--", 2),
    // Chains of hex groups: nibbles of a PTR name without its end, a certificate's fingerprint, a path of C++
    // names, colons alone.
    ("a.b.", 8),
    ("1e:2e:", 8),
    ("c::d::e::", 1),
    ("::::", 1),
    // `@` without a domain, or with a domain that has no dot.
    ("@@@@", 1),
    ("a@b ", 1),
    // Escapes: each line must be examined decoded as well, the third and fourth twice.
    ("%41", 3),
    ("\\u0041", 2),
    ("%2541", 2),
    ("\\\\", 2),
    // The outline of a token in letters that tokens do not use, and hex that could spell an address.
    ("_uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu deadbeef ", 1),
];

impl Writer {
    /// Writes eight runs of 8 to 63 bytes, each of a random shape.
    pub(super) fn hostile(&mut self) {
        self.text.push_str("Nov 23 00:00:00 web1 app[7]: ");
        for _ in 0..8 {
            let shape = self.below(SHAPES.len() as u64);
            let bytes = 8 + self.below(56);
            self.repeat(usize::try_from(shape).unwrap_or(0), usize::try_from(bytes).unwrap_or(0));
        }
        self.answer();
    }

    /// Writes one run of `bytes` bytes; the shapes take turns.
    pub(super) fn hostile_run(&mut self, bytes: usize) {
        self.text.push_str("Nov 23 00:00:00 web1 app[7]: ");
        let turn = self.counts.lines % SHAPES.len() as u64;
        self.repeat(usize::try_from(turn).unwrap_or(0), bytes);
        self.answer();
    }

    /// Writes a shape over `bytes` bytes, then a space.
    fn repeat(&mut self, shape: usize, bytes: usize) {
        let (text, least) = SHAPES[shape];
        for _ in 0..least.max(bytes / text.len()) {
            self.text.push_str(text);
        }
        self.text.push(' ');
    }

    fn answer(&mut self) {
        let client = self.client();
        let _ = write!(self.text, "from ");
        self.address(client);
        let _ = write!(self.text, " to ");
        self.email(client);
    }
}
