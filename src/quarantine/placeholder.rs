//! What goes out in place of a quarantined line.

use std::fmt;

/// The text that stands for a sealed line: `oubliette: line quarantined id=qr_... bytes=N limit=MAX`.
///
/// It holds a keyed token and two numbers, nothing of the line. Its only constructor checks the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    token: String,
    bytes: u64,
    limit: u64,
}

impl Placeholder {
    /// `None` if `token` is not `qr_` and 31 characters of lower-case Crockford base32: it names a file
    /// and is written out, so nothing else may get in.
    pub(super) fn new(token: String, bytes: u64, limit: u64) -> Option<Self> {
        let body = token.strip_prefix("qr_")?;
        let crockford =
            |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() && !b"ilou".contains(&byte);
        (body.len() == 31 && body.bytes().all(crockford)).then_some(Self { token, bytes, limit })
    }

    /// The token, which is also the name of the sealed file.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Length of the line, without its line end.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oubliette: line quarantined id={} bytes={} limit={}", self.token, self.bytes, self.limit)
    }
}
