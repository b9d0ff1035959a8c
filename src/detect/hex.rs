//! Addresses in hexadecimal or padded decimal digits with nothing between them: in the names that access
//! networks give to subscribers, and in the records that the Linux audit system writes about sockets.

use super::escape;
use super::hit::{Canon, Hit, Rule};
use super::host_name;
use super::ipv6::hex_value;
use crate::scan::Line;

/// Examines a `HEX8` candidate: `at` is the offset of the eighth hex digit of a run.
pub(crate) fn find(text: &[u8], at: usize) -> Option<Hit> {
    let start = at.checked_sub(7)?;
    let start = start + escape::octal_digits(&text[..start], &text[start..]);
    let digits = text[start..].iter().take(MOST_DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (before, rest) = text.split_at(start);
    let (digits, after) = rest.split_at(digits);
    // `saddr=`, `"saddr":"`, `\"saddr\": \"`
    let signs = before.iter().rev().take(16).take_while(|byte| b"= :\"\\".contains(byte)).count();
    if signs > 0 && !before.ends_with(b" ") && before[..before.len() - signs].ends_with(b"saddr") {
        return in_socket(start, digits);
    }
    if digits.len() < 8 || after.first().is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    match (digits.len(), digits) {
        (8 | 32, _) if is_of_connection(before, after) => {
            Some(if digits.len() == 8 { v4(start, digits) } else { v6(start, digits) })
        }
        (8, _) => (names_v4(before, digits, after) || names_boot_file(before)).then(|| v4(start, digits)),
        // `dCB007109.access.isp.example`: the letter is not a digit of the address.
        (9, [b'a'..=b'f', digits @ ..]) => {
            (!begins_glued(before) && host_name::continues_access_name(after)).then(|| v4(start + 1, digits))
        }
        (32, _) => names_v6(before, digits, after).then(|| v6(start, digits)),
        _ => padded(before, digits, after).map(|(skipped, octets)| {
            Hit::new(start + skipped, start + digits.len(), Canon::V4(octets), Rule::Ipv4HostName)
        }),
    }
}

/// Returns whether the digits are clearly no address but the beginning of a word of letters and digits, such
/// as the queue id in `: 4F2A1B3C5D: `: what announces an address does not end in a space, a bracket or a
/// slash, and the names that contain one continue. `false` only means that [`find`] has to decide.
#[inline]
pub(crate) fn is_word(line: &Line<'_>, at: usize) -> bool {
    let rest = line.name_ends(at + 1).trailing_zeros() as usize;
    let rest = line.bytes.get(at + 1..at + 1 + rest);
    let before = at.checked_sub(8).and_then(|before| line.bytes.get(before));
    let begins = match before {
        Some(b' ' | b'(' | b'[') => true,
        // `Gecko/20100101 `, but not `pxelinux.cfg/CB007109 `.
        Some(b'/') => !line.bytes[..at - 7].ends_with(b"cfg/"),
        _ => false,
    };
    // The id of a connection goes on with a port, `CB007109:9C56_`.
    let goes_on = |end: usize| matches!(line.bytes[end..], [b':', b'0'..=b'9' | b'A'..=b'F', ..]);
    let is_word = |rest: &[u8]| rest.iter().all(u8::is_ascii_alphanumeric) && !goes_on(at + 1 + rest.len());
    begins && rest.is_some_and(is_word)
}

/// Most digits that are read: those of the longest socket address, and one more.
const MOST_DIGITS: usize = 2 * 28 + 1;

/// Finds the address in the digits of a `struct sockaddr`: the family, in the byte order of the machine; the
/// port; for IPv6 the flow; then the address.
fn in_socket(start: usize, digits: &[u8]) -> Option<Hit> {
    match digits.get(..4)?.to_ascii_uppercase().as_slice() {
        b"0200" | b"0002" => Some(v4(start + 8, digits.get(8..16)?)),
        b"0A00" | b"000A" => Some(v6(start + 16, digits.get(16..48)?)),
        _ => None,
    }
}

/// Recognises `ip-cb007109.isp`, `pCB007109.dip0.t-ipconnect.example`, `xcb007109.dyn.isp.example`,
/// `cb007109.nip.io`.
fn names_v4(before: &[u8], digits: &[u8], after: &[u8]) -> bool {
    let lettered = digits.iter().any(|byte| !byte.is_ascii_digit());
    let named = host_name::address_prefix(before).is_some_and(|prefix| match prefix {
        b"ip" | b"IP" | b"Ip" => lettered || host_name::continues_name(after),
        // These prefixes announce the number of a machine or of an account.
        _ if MACHINES.iter().any(|machine| prefix.eq_ignore_ascii_case(machine)) => false,
        _ => host_name::continues_name(after),
    });
    let telekom = before.ends_with(b"p") && after.starts_with(b".dip");
    let in_name = || host_name::continues_access_name(after) || host_name::is_forward_suffix(after);
    named || (lettered || telekom) && begins_label(before) && in_name()
}

/// Recognises `CB007109:9C56_C0000201:01BB_6742F000_0007:1092`, by which HAProxy's documentation names a
/// connection (`unique-id-format`): address and port of the client, of the server, then the time and counts.
fn is_of_connection(before: &[u8], after: &[u8]) -> bool {
    let is_digit = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let begins = !before.last().is_some_and(u8::is_ascii_alphanumeric) || escape::is_control(before);
    let Some(port) = after.strip_prefix(b":").filter(|_| begins) else { return false };
    let length = port.iter().take(6).take_while(is_digit).count();
    let next = port[length..].strip_prefix(b"_").unwrap_or_default();
    (1..=5).contains(&length) && next.iter().take(8).take_while(is_digit).count() == 8
}

/// Recognises `pxelinux.cfg/CB007109`, `grub.cfg-CB007109`: files that a machine requests to boot from the
/// network.
fn names_boot_file(before: &[u8]) -> bool {
    before.ends_with(b"pxelinux.cfg/") || before.ends_with(b"grub.cfg-")
}

/// Prefixes after which eight digits are not an address: `vps-1a2b3c4d.vps.example.net`.
const MACHINES: [&[u8]; 6] = [b"vps", b"node", b"ns", b"user", b"ec", b"net"];

/// Recognises `2a01cb0008bd2700289c166d32b9da85.ipv6.abo.isp.example`,
/// `p200300c1....dip0.t-ipconnect.example`: a global address before labels of an access network. The labels
/// are required because digests have as many digits.
fn names_v6(before: &[u8], digits: &[u8], after: &[u8]) -> bool {
    let label = begins_label(before) || host_name::address_prefix(before).is_some();
    matches!(digits[0], b'2' | b'3') && label && host_name::continues_access_name(after)
}

/// Returns whether a label of a name begins after `before`, or has begun with just one letter or `0x`.
fn begins_label(before: &[u8]) -> bool {
    let rest = match before {
        [rest @ .., b'0', b'x'] => rest,
        [rest @ .., letter] if letter.is_ascii_alphabetic() => rest,
        _ => before,
    };
    !begins_glued(rest)
}

/// Returns whether the text after `before` continues a label.
fn begins_glued(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !escape::is_control(before)
}

/// Recognises `word203000113009.isp.example`: four octets of three decimal digits, after a word. Returns the
/// number of digits that belong to the word, and the octets.
fn padded(before: &[u8], digits: &[u8], after: &[u8]) -> Option<(usize, [u8; 4])> {
    // Most numbers of this length in messages have no name after them.
    let skipped = digits.len().checked_sub(12).filter(|_| after.starts_with(b"."))?;
    let (word, octets) = digits.split_at(skipped);
    let glued = word.last().or(before.last()).is_some_and(u8::is_ascii_alphabetic);
    let named = word.is_empty() && host_name::address_prefix(before).is_some();
    if !(glued || named) || octets[0] > b'2' || !host_name::continues_domain(after) {
        return None;
    }
    let mut address = [0; 4];
    for (octet, digits) in address.iter_mut().zip(octets.chunks_exact(3)) {
        *octet = std::str::from_utf8(digits).ok()?.parse().ok()?;
    }
    (address[0] != 0).then_some((skipped, address))
}

fn v4(start: usize, digits: &[u8]) -> Hit {
    let [.., a, b, c, d] = value(digits).to_be_bytes();
    Hit::new(start, start + digits.len(), Canon::V4([a, b, c, d]), Rule::Ipv4HostName)
}

fn v6(start: usize, digits: &[u8]) -> Hit {
    let octets = value(digits).to_be_bytes();
    Hit::new(start, start + digits.len(), Canon::v6(octets), Rule::Ipv6HostName)
}

/// Returns the number that at most 32 hex digits spell.
pub(super) fn value<'d>(digits: impl IntoIterator<Item = &'d u8>) -> u128 {
    digits.into_iter().fold(0, |value, &digit| value << 4 | u128::from(hex_value(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Scan, Shapes};
    use proptest::prelude::*;

    /// Returns the candidates of `text`, each with whether it is a word.
    fn words(text: &[u8]) -> Vec<(usize, bool)> {
        let mut scan = Scan::default();
        let line = scan.line(text);
        let hex = line.candidates.iter().filter(|candidate| candidate.shapes.has(Shapes::HEX8));
        hex.map(|candidate| candidate.at as usize).map(|at| (at, is_word(&line, at))).collect()
    }

    #[test]
    fn words_are_seen() {
        for (text, word) in [
            ("postfix/smtp[9]: 4F2A1B3C5D: to=", true),
            ("Gecko/20100101 Firefox", true),
            ("commit [0123456789abcdef0123]", true),
            ("GET /pxelinux.cfg/CB007109 HTTP", false),
            ("from cb007109.dyn.isp.example", false),
            ("audit: saddr=02000035CB007109", false),
            ("4F2A1B3C5D: to=", false),
        ] {
            assert_eq!(words(text.as_bytes()).first().map(|(_, is)| *is), Some(word), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The fast path leaves out nothing that the general parser finds.
        #[test]
        fn a_word_is_no_address(
            before in "([ (/]|cfg/|saddr=|\"saddr\":\"|ip|dyn|[a-z]|-|_|\\.|[0-9]|/pxelinux.cfg/){0,3}",
            digits in "(cb007109|CB007109|203000113009|[0-9a-f]{7,13}|2a01cb00[0-9a-f]{24}|02000035CB007109)",
            after in "([a-z0-9]{0,60}|:9C56_C0000201:01BB_|[.](nip.io|dyn.isp.example|dip0.isp.example|[a-z]{1,3})|[-_/: ,]){0,2}",
        ) {
            let text = format!("{before}{digits}{after}");
            for (at, is_word) in words(text.as_bytes()) {
                prop_assert!(!is_word || find(text.as_bytes(), at).is_none(), "{}", text);
            }
        }
    }
}
