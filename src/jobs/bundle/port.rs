//! The port beside an identifier: the law wants it, and a filter leaves it in clear.
//!
//! ```text
//! TOKEN:443   [TOKEN]:443   TOKEN#53   TOKEN.443   TOKEN port 50514   SRC=TOKEN ... SPT=50514   DST=TOKEN ... DPT=22
//! ```
//! Where a line states it otherwise, it is in the line and in no column.

use memchr::memmem;
use std::ops::Range;

/// The port of the identifier at `span` of `line`, as the line spells it.
pub(super) fn beside<'l>(line: &'l [u8], span: &Range<usize>) -> Option<&'l str> {
    let after = line.get(span.end..)?;
    let after = after.strip_prefix(b"]").unwrap_or(after);
    let glued = match after {
        [b':' | b'#' | b'.', rest @ ..] => number(rest),
        _ => None,
    };
    let spelt = || after.strip_prefix(b" port ").and_then(number);
    glued.or_else(spelt).or_else(|| of_netfilter(line, span))
}

/// `SRC=` has `SPT=`, `DST=` has `DPT=`: netfilter's own names.
fn of_netfilter<'l>(line: &'l [u8], span: &Range<usize>) -> Option<&'l str> {
    let before = line.get(..span.start)?;
    let name: &[u8] = match before {
        [.., b'S', b'R', b'C', b'='] => b" SPT=",
        [.., b'D', b'S', b'T', b'='] => b" DPT=",
        _ => return None,
    };
    let at = memmem::find(line.get(span.end..)?, name)?;
    number(line.get(span.end + at + name.len()..)?)
}

/// A port at the start of `text`: digits, and no more of them than a port has.
fn number(text: &[u8]) -> Option<&str> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    digits.parse::<u16>().ok().map(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (before, after, port) in [
            ("", ":443 x", Some("443")),
            ("[", "]:443, y", Some("443")),
            ("client ", "#53 (example.org)", Some("53")),
            ("IP ", ".46824 > x", Some("46824")),
            ("from ", " port 50514 ssh2", Some("50514")),
            ("IN=eth0 SRC=", " DST=y LEN=60 SPT=50514 DPT=22", Some("50514")),
            ("IN=eth0 SRC=x DST=", " LEN=60 SPT=50514 DPT=22", Some("22")),
            ("", " - - \"GET / HTTP/1.1\" 200 5", None),
            ("", ":99999", None),
            ("", ": the end", None),
            ("", "", None),
        ] {
            let line = format!("{before}TOKEN{after}");
            let span = before.len()..before.len() + 5;
            assert_eq!(beside(line.as_bytes(), &span), port, "{line}");
        }
    }
}
