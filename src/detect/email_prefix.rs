//! What programs put right before a local part, with signs that could belong to it.

use std::net::Ipv4Addr;

/// Returns the length of what precedes the address in `text[start..at]`, which was taken for its local part.
pub(super) fn length(text: &[u8], start: usize, at: usize) -> usize {
    option_of_sendmail(text, start, at)
        + interface_of_router(text, start, at)
        + guest_of_tenant(&text[start..at])
        + addresses(&text[start..at])
}

/// Returns the length of the option of sendmail that an address is glued to, `/usr/sbin/sendmail -t -fjean@`:
/// the sender that PHP's `mail()` passes on.
fn option_of_sendmail(text: &[u8], start: usize, at: usize) -> usize {
    /// How far back the name of the program may be, in bytes.
    const NEAR: usize = 512;
    let before = &text[start.saturating_sub(NEAR)..start];
    let glued = matches!(text[start..at], [b'-', b'f' | b'r', _, ..])
        && matches!(before.last(), Some(b' ' | b'"' | b'\'' | b',' | b'='))
        && [&b"sendmail"[..], b"msmtp"].iter().any(|name| memchr::memmem::find(before, name).is_some());
    if glued { 2 } else { 0 }
}

/// Returns the length of what RouterOS puts before the account in the name of an interface,
/// `in:<pppoe-jean@isp.example>`.
fn interface_of_router(text: &[u8], start: usize, at: usize) -> usize {
    const PROTOCOLS: [&[u8]; 5] = [b"pppoe-", b"pptp-", b"l2tp-", b"sstp-", b"ovpn-"];
    let name = &text[start..at];
    let is_named = |protocol: &&&[u8]| name.starts_with(protocol) && name.len() > protocol.len();
    let protocol = PROTOCOLS.iter().find(is_named).filter(|_| text[..start].ends_with(b"<"));
    protocol.map_or(0, |protocol| protocol.len())
}

/// Returns the length of what Entra ID puts before the address of a guest, `live.com#jean@example.org`.
fn guest_of_tenant(local: &[u8]) -> usize {
    const ISSUER: &[u8] = b"live.com#";
    if local.starts_with(ISSUER) && local.len() > ISSUER.len() { ISSUER.len() } else { 0 }
}

/// Returns the length of IPv4 addresses before the mailbox, `203.0.113.9-jean@`, as in the session of a
/// RADIUS client or a key of a cache. They are found for themselves.
fn addresses(local: &[u8]) -> usize {
    let mut length = 0;
    while let Some(joint) = local[length..].iter().take(16).position(|byte| matches!(byte, b'-' | b'_'))
        && is_quad(&local[length..length + joint])
    {
        length += joint + 1;
    }
    if length < local.len() { length } else { 0 }
}

fn is_quad(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok())
}

/// Returns whether a local part of letters, digits, dots and dashes may begin with any of this.
#[inline]
pub(super) fn may_begin(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9', b'.', ..] | [b'0'..=b'9', _, b'.', ..] | [b'0'..=b'9', _, _, b'.', ..])
}

/// Returns the length of the domain that qmail puts before a local mailbox of a virtual domain,
/// `example.org-jean@example.org`.
pub(super) fn own_domain(local: &[u8], domain: &[u8]) -> usize {
    let rest = local.strip_prefix(domain).and_then(|rest| rest.strip_prefix(b"-"));
    rest.filter(|rest| !rest.is_empty()).map_or(0, |rest| local.len() - rest.len())
}

/// Returns the length of the key of policyd-weight in the text after an angle bracket,
/// `<from=jean@example.org>`.
pub(super) fn key(text: &[u8]) -> usize {
    [&b"from="[..], b"to="].iter().find(|key| text.starts_with(key)).map_or(0, |key| key.len())
}

/// Returns whether `local@realm` is the principal of a host or a realm in Kerberos, nobody's address:
/// `HTTP/www.example.org@EXAMPLE.ORG`, `krbtgt/EXAMPLE.ORG@EXAMPLE.ORG` (RFC 4120, 6.2). `before` is the
/// text before it.
pub(super) fn is_of_kerberos(before: &[u8], local: &[u8], realm: &[u8]) -> bool {
    let Some(border) = local.len().checked_sub(realm.len()) else { return false };
    let (host, domain) = local.split_at(border);
    before.ends_with(b"/")
        && !realm.iter().any(u8::is_ascii_lowercase)
        && domain.eq_ignore_ascii_case(realm)
        && (host.is_empty() || host.ends_with(b"."))
}
