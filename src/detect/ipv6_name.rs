//! IPv6 addresses spelt in names: digit by digit below `ip6.arpa`, and with dashes for colons.

use super::escape;
use super::hex;
use super::hit::{Canon, Hit, Rule};
use super::host_name;
use super::ipv6::run_around;
use std::net::Ipv6Addr;

/// Examines a `NIBBLES` candidate: hex digits joined by dots before `.ip6.arpa` (RFC 3596, 2.5), which are a
/// network if they are fewer than 32; or 32 digits before another name, as in
/// `...8.b.d.0.1.0.0.2.dnsbl.example` (RFC 5782, 2.4), or before none.
pub(crate) fn find_ptr(text: &[u8], at: usize, done: &mut usize, emit: &mut impl FnMut(Hit)) {
    if at < *done {
        return;
    }
    let (mut position, end) = run_around(text, at, *done, |byte| byte.is_ascii_hexdigit() || byte == b'.');
    *done = end;
    position += escape::octal_digits(&text[..position], &text[position..end]);
    let mut nibbles = Nibbles::default();
    let goes_on =
        text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    for label in text[position..end].split(|&byte| byte == b'.') {
        let label_end = position + label.len();
        if label.len() == 1 && !(label_end == end && goes_on) {
            nibbles.push(label_end);
        } else {
            nibbles.end(text, emit);
            nibbles = Nibbles::default();
        }
        position = label_end + 1;
    }
    nibbles.end(text, emit);
}

/// Single hex digits joined by dots.
#[derive(Default)]
struct Nibbles {
    count: usize,
    /// End of the last digit.
    end: usize,
}

impl Nibbles {
    /// Digits of an address.
    const ALL: usize = 32;
    /// Fewest digits of a network that can identify somebody: a /32.
    const FEW: usize = 8;

    fn push(&mut self, end: usize) {
        self.count += 1;
        self.end = end;
    }

    /// Emits the address that ends here, if there is one.
    fn end(&self, text: &[u8], emit: &mut impl FnMut(Hit)) {
        let after = &text[self.end..];
        let count = self.count.min(Self::ALL);
        // Global addresses begin with 2 or 3 (RFC 4291, 2.4).
        let is_first = |end: usize| matches!(text[end - 1], b'2' | b'3');
        let bare =
            || self.count == Self::ALL && (is_first(self.end) || matches!(text[self.end - 1], b'f' | b'F'));
        let named = host_name::is_ip6_arpa(after) || count == Self::ALL && host_name::continues_name(after);
        if count < Self::FEW || !(named || bare()) {
            return;
        }
        // `...8.b.d.0.1.0.0.2.b.dnsbl.example`: the last label belongs to the zone.
        let zone = self.count == Self::ALL + 1 && !is_first(self.end) && is_first(self.end - 2);
        let end = if zone { self.end - 2 } else { self.end };
        let start = end + 1 - 2 * count;
        let digits = text[start..end].iter().step_by(2).rev();
        let value = hex::value(digits) << (4 * (Self::ALL - count));
        emit(Hit::new(start, end, Canon::v6(value.to_be_bytes()), Rule::Ipv6Ptr));
    }
}

/// Examines a `DASHES` candidate: `2001-db8--1.ipv6-literal.net`, `2001-db8-0-0-0-0-0-1.isp.example`.
pub(crate) fn find_dashed(text: &[u8], at: usize, done: &mut usize, emit: &mut impl FnMut(Hit)) {
    if at < *done {
        return;
    }
    let (mut start, end) = run_around(text, at, *done, |byte| byte.is_ascii_hexdigit() || byte == b'-');
    *done = end;
    // The first group has four digits, so that of a Windows path, `\\2001-db8--1.ipv6-literal.net\x`, is whole.
    if text[start..end].get(4) != Some(&b'-') {
        start += escape::octal_digits(&text[..start], &text[start..end]);
    }
    // At most 8 groups of 4 and a prefix of a few words.
    if end - start > 64 {
        return;
    }
    let in_domain = host_name::continues_name(&text[end..]) || is_zone_in_name(&text[end..]);
    loop {
        let run = &text[start..end];
        let global = run.len() > 4 && matches!(run[0], b'2' | b'3' | b'f' | b'F') && run[4] == b'-';
        if global && (in_domain || ends_in_ip6(&text[..start])) {
            break;
        }
        match run.iter().position(|&byte| byte == b'-') {
            Some(dash) => start += dash + 1,
            None => return,
        }
    }
    let mut colons = [0; 64];
    let spelt = &mut colons[..end - start];
    spelt.copy_from_slice(&text[start..end]);
    spelt.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b':');
    let lettered = text[start..end].iter().any(u8::is_ascii_alphabetic);
    let address = std::str::from_utf8(spelt).ok().and_then(|spelt| spelt.parse::<Ipv6Addr>().ok());
    if let Some(address) = address.filter(|_| lettered || memchr::memmem::find(spelt, b"::").is_some()) {
        emit(Hit::new(start, end, Canon::v6(address.octets()), Rule::Ipv6HostName));
    }
}

/// Returns whether `after` begins with a zone in the form that Windows uses in names,
/// `fe80--1s4.ipv6-literal.net`.
fn is_zone_in_name(after: &[u8]) -> bool {
    let zone = after.strip_prefix(b"s").unwrap_or_default();
    let digits = zone.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && zone[digits..].starts_with(b".ipv6-literal.net")
}

/// Returns whether `before` ends in `ip6-` or `ipv6-`.
fn ends_in_ip6(before: &[u8]) -> bool {
    [&b"ip6-"[..], b"ipv6-"].iter().any(|prefix| {
        before.len() >= prefix.len() && before[before.len() - prefix.len()..].eq_ignore_ascii_case(prefix)
    })
}
