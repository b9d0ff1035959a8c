//! Canonical forms: one byte sequence for all spellings of an identifier.

use super::email_quoted;
use crate::model::{Finding, Findings, Kind, Record, Span};
use std::net::IpAddr;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Appends the canonical form of the e-mail address `local @ domain` to `out`: the local part in NFC and
/// lower case, its quotes without escapes, one `@`, and the domain as lower-case A-labels without a final
/// dot.
pub(crate) fn push_email(local: &[u8], domain: &[u8], out: &mut Vec<u8>) -> Span {
    let start = out.len();
    let more = domain.iter().take_while(|&&byte| byte == b'@').count();
    let domain = &domain[more..];
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    if let Some(plain) = email_quoted::unescaped(local) {
        return push_email(&plain, domain, out);
    }
    if local.is_ascii() && domain.is_ascii() {
        push_lower(local, out);
        out.push(b'@');
        if let Some(address) = bracketed(domain).and_then(literal) {
            push_literal(address, out);
            return Span::new(start, out.len());
        }
        push_lower(domain, out);
        return Span::new(start, out.len());
    }
    push_folded(local, out);
    out.push(b'@');
    if let Some(address) = bracketed(domain).and_then(literal) {
        push_literal(address, out);
        return Span::new(start, out.len());
    }
    match std::str::from_utf8(domain) {
        Ok(name) if !name.is_ascii() => match idna::domain_to_ascii(name) {
            Ok(ascii) => out.extend_from_slice(ascii.as_bytes()),
            // Not a valid name in the DNS, but the same name still yields the same bytes.
            Err(_) => push_folded(domain, out),
        },
        _ => {
            push_lower(domain, out);
        }
    }
    Span::new(start, out.len())
}

/// Returns the text between the brackets of an address literal.
fn bracketed(domain: &[u8]) -> Option<&[u8]> {
    domain.strip_prefix(b"[")?.strip_suffix(b"]")
}

/// Parses an address literal without its brackets, `192.0.2.1` or `IPv6:2001:db8::1` (RFC 5321, 4.1.3).
pub(crate) fn literal(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    match text.split_at_checked(5) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("ipv6:") => v6.parse().ok().map(IpAddr::V6),
        _ => text.parse().ok().map(IpAddr::V4),
    }
}

/// Appends an address literal.
fn push_literal(address: IpAddr, out: &mut Vec<u8>) {
    let tag = if address.is_ipv6() { "ipv6:" } else { "" };
    out.extend_from_slice(format!("[{tag}{address}]").as_bytes());
}

/// Appends `bytes` with ASCII letters in lower case.
pub(crate) fn push_lower(bytes: &[u8], out: &mut Vec<u8>) -> Span {
    let start = out.len();
    out.extend_from_slice(bytes);
    out[start..].make_ascii_lowercase();
    Span::new(start, out.len())
}

/// Appends the first `length` bytes of `text` like [`push_lower`], in a single copy if they are few.
#[inline]
pub(crate) fn push_lower_start(text: &[u8], length: usize, out: &mut Vec<u8>) -> Span {
    const STRIDE: usize = 64;
    let Some(mut stride) = text.first_chunk::<STRIDE>().copied().filter(|_| length <= STRIDE) else {
        return push_lower(&text[..length], out);
    };
    stride.make_ascii_lowercase();
    let start = out.len();
    out.extend_from_slice(&stride);
    out.truncate(start + length);
    Span::new(start, start + length)
}

/// Appends `bytes` in NFC and lower case if they are UTF-8, otherwise with ASCII letters in lower case.
fn push_folded(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_ascii() => {
            let mut buffer = [0; 4];
            // Its lower case depends on where it stands: at the end of a word it is another letter.
            let with_sigma = text.contains('\u{3a3}').then(|| text.to_lowercase());
            let text = with_sigma.as_deref().unwrap_or(text);
            let lower = text.chars().flat_map(char::to_lowercase);
            // Lower-casing can leave a composable pair behind, so it comes first.
            if is_nfc(text) && text.chars().all(|c| c.to_lowercase().count() == 1) {
                lower.for_each(|c| out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()));
            } else {
                lower.nfc().for_each(|c| out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()));
            }
        }
        _ => {
            push_lower(bytes, out);
        }
    }
}

/// A value typed on the command line, as an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The kind of the identifier.
    pub kind: Kind,
    /// The canonical form, which is the input of the HMAC.
    pub canonical: Vec<u8>,
}

/// Reads `value` as an IP address, a network (`/64` or `/24`), or an e-mail address, in any notation that
/// detection knows. Returns `None` if it is none of them.
#[must_use]
pub fn typed(value: &str) -> Option<Typed> {
    if let Ok(network) = value.parse::<ipnet::IpNet>()
        && let Some(canonical) = network_bytes(network)
    {
        return Some(Typed { kind: Kind::NET, canonical });
    }
    let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Typed { kind: Kind::IP, canonical: address_bytes(address) });
    }
    let detector = super::Detector::new(super::Options { keep: Vec::new(), ..super::Options::default() });
    let mut scratch = super::Scratch::default();
    let mut findings = Findings::default();
    detector.find_alone(value.as_bytes(), &Record::raw(value.as_bytes()), &mut scratch, &mut findings);
    let finding = findings.items.iter().find(|finding| is_all_of(value, finding))?;
    let canonical = findings.canonical(finding, &mut [0; 17]).to_vec();
    Some(Typed { kind: finding.kind, canonical })
}

/// Returns whether `finding` is all of `value`, except for what an address may have around it: brackets, a
/// zone and a port, which stay in a line beside its token.
fn is_all_of(value: &str, finding: &Finding) -> bool {
    let (start, end) = (finding.span.start as usize, finding.span.end as usize);
    let (Some(before), Some(rest)) = (value.get(..start), value.get(end..)) else { return false };
    if finding.kind != Kind::IP {
        return before.is_empty() && rest.is_empty();
    }
    let rest = match rest.strip_prefix('%') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "%_~-".contains(c)),
        None => rest,
    };
    let rest = match before {
        "" => Some(rest),
        "[" => rest.strip_prefix(']'),
        _ => None,
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix([':', '#', '.']).is_some_and(is_port))
}

/// Returns the canonical bytes of an address.
#[must_use]
pub fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => [&[4][..], &v4.octets()].concat(),
        IpAddr::V6(v6) => [&[6][..], &v6.octets()].concat(),
    }
}

/// Returns the canonical bytes of an IPv6 /64 (`06 || 8 bytes`) or an IPv4 /24 (`04 || 3 bytes`): kind `net`.
fn network_bytes(network: ipnet::IpNet) -> Option<Vec<u8>> {
    match network {
        ipnet::IpNet::V4(v4) if v4.prefix_len() == 24 => {
            Some([&[4][..], &v4.network().octets()[..3]].concat())
        }
        ipnet::IpNet::V6(v6) if v6.prefix_len() == 64 => {
            Some([&[6][..], &v6.network().octets()[..8]].concat())
        }
        _ => None,
    }
}
