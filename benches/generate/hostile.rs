//! What a client writes who wants to keep the filter busy: beginnings of identifiers that never become one.
//!
//! Each line holds one address and one e-mail address, so that there is an answer to check.

use super::Writer;
use std::fmt::Write;

/// Text that, repeated, completes the shape of an identifier at nearly every byte and yet holds none. What
/// repeats less often than stated could be one: eight groups and no more are an IPv6 address.
const SHAPES: [(&str, usize); 16] = [
    // Chains of digit groups: longer than an address, as an OID is; out of range; cut short.
    ("1.1.", 4),
    ("999.", 4),
    ("1.2.3.x", 1),
    ("7-", 9),
    ("1--2--", 2),
    // Chains of hex groups: nibbles of a PTR name without its end, a certificate's fingerprint, a path of
    // C++ names, colons alone.
    ("a.b.", 8),
    ("1e:2e:", 8),
    ("c::d::e::", 1),
    ("::::", 1),
    // `@` without a domain, or with a domain that has no dot.
    ("@@@@", 1),
    ("a@b ", 1),
    // Escapes: each line has to be looked at decoded as well, the third and fourth twice.
    ("%41", 3),
    ("\\u0041", 2),
    ("%2541", 2),
    ("\\\\", 2),
    // The outline of a token in letters that tokens do not have, and hex that could spell an address.
    ("_uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu deadbeef ", 1),
];

impl Writer {
    /// Eight runs of 8 to 64 bytes, each of a shape by chance.
    pub(super) fn hostile(&mut self) {
        self.text.push_str("Nov 23 00:00:00 web1 app[7]: ");
        for _ in 0..8 {
            let shape = self.below(SHAPES.len() as u64);
            let bytes = 8 + self.below(56);
            self.repeat(usize::try_from(shape).unwrap_or(0), usize::try_from(bytes).unwrap_or(0));
        }
        self.answer();
    }

    /// One run of `bytes` bytes; the shapes take turns.
    pub(super) fn hostile_run(&mut self, bytes: usize) {
        self.text.push_str("Nov 23 00:00:00 web1 app[7]: ");
        let turn = self.counts.lines % SHAPES.len() as u64;
        self.repeat(usize::try_from(turn).unwrap_or(0), bytes);
        self.answer();
    }

    /// A shape over `bytes` bytes, then a space.
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
