//! IPv4: dotted quads, and the same four octets spelt in a host name or a PTR name.

use super::hit::{Canon, Hit, Rule};
use super::host_name;
use super::version;

/// Looks at a `QUAD` candidate: `at` is the offset of the third separator. `done` is the end of the
/// last run looked at: nothing before it is read again, which keeps hostile lines linear.
pub(crate) fn find(text: &[u8], at: usize, done: &mut usize, emit: &mut impl FnMut(Hit)) {
    if at < *done {
        return;
    }
    let run = Run::around(text, at, *done);
    *done = run.end;
    let hit = match text[at] {
        b'.' => dotted(text, &run),
        separator => dashed(text, &run, separator),
    };
    if let Some(hit) = hit {
        emit(hit);
    }
}

/// A maximal run of digit groups joined by single separators.
struct Run {
    end: usize,
    /// How many groups there are; only the first [`Run::KEPT`] are kept.
    count: usize,
    groups: [Group; Run::KEPT],
}

#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    /// The octet it spells: 1 to 3 decimal digits, at most 255. Leading zeros are allowed.
    fn octet(self, text: &[u8]) -> Option<u8> {
        let digits = &text[self.start..self.end];
        let value =
            (digits.len() <= 3).then(|| digits.iter().fold(0, |n, &d| n * 10 + u16::from(d - b'0')))?;
        u8::try_from(value).ok()
    }
}

impl Run {
    const KEPT: usize = 6;

    /// The run that holds the separator at `at`, reading nothing before `floor`.
    fn around(text: &[u8], at: usize, floor: usize) -> Self {
        let separator = text[at];
        let mut start = at;
        while start > floor {
            let previous = text[start - 1];
            let joins = previous == separator && text[start].is_ascii_digit();
            if !previous.is_ascii_digit() && !joins {
                break;
            }
            start -= 1;
        }
        if text[start] == separator && start < at {
            start += 1;
        }
        let mut run = Self { end: start, count: 0, groups: [Group::default(); Self::KEPT] };
        let mut position = start;
        loop {
            let digits = text[position..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                break;
            }
            if let Some(slot) = run.groups.get_mut(run.count) {
                *slot = Group { start: position, end: position + digits };
            }
            run.count += 1;
            run.end = position + digits;
            if text.get(run.end) != Some(&separator) {
                break;
            }
            position = run.end + 1;
        }
        run
    }

    /// Octets of the four groups from `first` on.
    fn octets(&self, text: &[u8], first: usize) -> Option<[u8; 4]> {
        if self.count < first + 4 {
            return None;
        }
        let mut octets = [0; 4];
        for (octet, group) in octets.iter_mut().zip(self.groups.get(first..first + 4)?) {
            *octet = group.octet(text)?;
        }
        Some(octets)
    }
}

/// `a.b.c.d`, and what may stand around it.
fn dotted(text: &[u8], run: &Run) -> Option<Hit> {
    let mut run = Run { groups: run.groups, ..*run };
    run.groups[0].start += escape_digits(text, run.groups[0]);
    let octets = run.octets(text, 0)?;
    let start = run.groups[0].start;
    let end = run.groups[3].end;
    match run.count {
        4 => {}
        // tcpdump joins the port by a dot: `203.0.113.9.51234 > `.
        5 if is_port(&text[run.groups[4].start..run.groups[4].end]) => {}
        // Six groups or more are an OID or another long dotted number.
        _ => return None,
    }
    if version::is_version(text, start, run.end) {
        return None;
    }
    let after = &text[run.end..];
    if run.count == 4 && host_name::is_in_addr_arpa(after) {
        return Some(Hit::new(start, end, Canon::V4(reversed(octets)), Rule::Ipv4Ptr));
    }
    if run.count == 4 && host_name::continues_domain(after) {
        // In `9.113.0.203.dialup.isp.example` the name is made like a PTR name, last octet first; the
        // rest of the line may know better.
        if host_name::is_forward_suffix(after) {
            return Some(Hit::new(start, end, Canon::V4(octets), Rule::Ipv4HostName));
        }
        return Some(Hit::new(start, end, Canon::V4(reversed(octets)), Rule::Ipv4HostName).either_way());
    }
    let mut hit = Hit::new(start, end, Canon::V4(octets), Rule::Ipv4);
    hit.brackets = matches!(after, [b':', b'0'..=b'9', ..]);
    Some(hit)
}

/// Digits of an escaped control byte that stands right before the first octet: rsyslog's `#012`,
/// the octal `\012`.
fn escape_digits(text: &[u8], first: Group) -> usize {
    let escaped = first.end - first.start > 3
        && first.start > 0
        && matches!(text[first.start - 1], b'#' | b'\\')
        && matches!(text[first.start..first.start + 3], [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7']);
    if escaped { 3 } else { 0 }
}

/// A decimal port number, 1 to 65535.
fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5 && (1..=65_535).contains(&digits.iter().fold(0, |n, &d| n * 10 + u32::from(d - b'0')))
}

/// `a-b-c-d` (or with underscores) as a label of a host name.
fn dashed(text: &[u8], run: &Run, separator: u8) -> Option<Hit> {
    let start = run.groups[0].start;
    let glued = start > 0 && text[start - 1].is_ascii_alphabetic();
    // `ec2-203-0-113-9`: the 2 belongs to the word before.
    let first = usize::from(glued && run.count == 5);
    let octets = run.octets(text, first)?;
    if run.count - first > 5 {
        return None;
    }
    let (start, end) = (run.groups[first].start, run.groups[first + 3].end);
    let after = &text[run.end..];
    let named = host_name::has_address_prefix(&text[..start]);
    let longer = run.count - first == 5;
    let in_domain = if separator == b'_' || longer {
        host_name::continues_domain(after)
    } else {
        host_name::continues_name(after)
    };
    if !(in_domain || named && !longer) || matches!(after, [byte, ..] if byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some(Hit::new(start, end, Canon::V4(octets), Rule::Ipv4HostName).either_way())
}

/// Looks at a `HEX8` candidate: `at` is the offset of the eighth hex digit of `ip-cb007109.isp`.
pub(crate) fn find_hex(text: &[u8], at: usize) -> Option<Hit> {
    let (start, end) = (at.checked_sub(7)?, at + 1);
    let digits = &text[start..end];
    let after = &text[end..];
    if matches!(after, [byte, ..] if byte.is_ascii_alphanumeric()) {
        return None;
    }
    let before = &text[..start];
    // Deutsche Telekom names its dial-up hosts `pCB007109.dip0.t-ipconnect.de`.
    let telekom = matches!(before.last(), Some(b'p')) && after.starts_with(b".dip");
    let lettered = digits.iter().any(|byte| !byte.is_ascii_digit());
    let named = host_name::has_address_prefix(before) && (lettered || host_name::continues_name(after));
    if !telekom && !named {
        return None;
    }
    let value = digits
        .iter()
        .try_fold(0, |n: u32, &digit| char::from(digit).to_digit(16).map(|value| n << 4 | value))?;
    Some(Hit::new(start, end, Canon::V4(value.to_be_bytes()), Rule::Ipv4HostName))
}

fn reversed(octets: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = octets;
    [d, c, b, a]
}
