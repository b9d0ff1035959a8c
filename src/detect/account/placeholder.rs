//! Words in place of a name, which say nothing about a person.

use crate::model::Kind;
use std::net::IpAddr;

/// Returns whether `text` is a word for an unknown account or host, which says nothing about a person. An
/// address in place of a host name is left to the address parsers: it must get the token of the address, or
/// stay if the operator keeps its network.
pub(super) fn is_placeholder(kind: Kind, text: &[u8]) -> bool {
    // `?` of Dovecot and the audit system, NOUSER of OpenSSH, `unauthenticated` of MySQL.
    const WORDS: [&[u8]; 6] = [b"-", b"unknown", b"(unknown)", b"?", b"NOUSER", b"unauthenticated"];
    let word = matches!(kind, Kind::USR | Kind::HOST) && (WORDS.contains(&text) || is_uid(text));
    word || kind == Kind::HOST && is_address(text)
}

/// Returns whether `text` is what systemd calls an account by, `UID 1000`: the number, which stays elsewhere.
fn is_uid(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"UID ").unwrap_or_default();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Returns whether `text` is an address, or an address literal (RFC 5321, section 4.1.3): `[203.0.113.9]`,
/// `[IPv6:2001:db8::9]`.
fn is_address(text: &[u8]) -> bool {
    let literal = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text);
    let address = literal.strip_prefix(b"IPv6:").unwrap_or(literal);
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_accounts_are_no_names() {
        for (text, number) in [("UID 1000", true), ("UID jean", false), ("UID ", false), ("1000", false)] {
            assert_eq!(is_placeholder(Kind::USR, text.as_bytes()), number, "{text}");
        }
    }
}
