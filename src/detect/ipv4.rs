//! IPv4: dotted quads, and the same four octets spelt in a host name or a PTR name.

use super::escape;
use super::hit::{Canon, Hit, Rule};
use super::host_name;
use super::version;
use wide::u8x16;

/// A dotted quad with nothing around it that could mean something else.
pub(crate) struct Plain {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) octets: [u8; 4],
    /// Whether a port follows.
    pub(crate) brackets: bool,
}

/// Returns the quad whose third dot is at `at` if it is plain, as nearly all are. `None` only means that
/// [`find`] has to decide. `block` may contain other lines: a line feed ends a word like a space.
///
/// Does not branch on the digits: it computes at once which of the 16 bytes around are digits and dots, and
/// from that the end of each octet.
#[inline]
pub(crate) fn plain(block: &[u8], at: usize) -> Option<Plain> {
    // Three octets and their dots have at most 12 bytes, the fourth 3: `ddd.ddd.ddd.ddd`. One more word is
    // read before them, and after them as much as can matter.
    let base = at.checked_sub(WORD + 11)?;
    let around: &[u8; AROUND] = block.get(base..)?.first_chunk()?;
    let bytes = around[WORD..].first_chunk().map_or(u8x16::ZERO, |window| u8x16::new(*window));
    let numbers = bytes - u8x16::splat(b'0');
    let digits = numbers.min(u8x16::splat(9)).simd_eq(numbers).to_bitmask();
    let dots = bytes.simd_eq(u8x16::splat(b'.')).to_bitmask();
    // Bit 11 is the third dot.
    let before = dots & 0x7ff;
    let second = before.checked_ilog2()?;
    let first = (before & !(1 << second)).checked_ilog2()?;
    let start = (!digits & ((1 << first) - 1)).checked_ilog2().map_or(0, |other| other + 1);
    let last_digits = ((!digits >> 12) | 8).trailing_zeros();
    let between = 0x7ff & !((2 << first) - 1) & !(1 << second);
    let lengths = [first - start, second - first - 1, 10 - second, last_digits];
    let ends = [first, second, 11, 12 + last_digits];
    let mut octets = [0; 4];
    let mut fits = dots & 0x800 != 0 && digits & between == between;
    for ((octet, length), end) in octets.iter_mut().zip(lengths).zip(ends) {
        let value = number(around, end as usize, length as usize);
        fits &= (1..=3).contains(&length) && value <= 255;
        *octet = value.to_le_bytes()[0];
    }
    let behind = WORD + 12 + last_digits as usize % 4;
    let [previous, next, after] =
        [WORD + start as usize - 1, behind, behind + 1].map(|index| around[index % AROUND]);
    let (start, end) = (base + WORD + start as usize, base + behind);
    fits &= !next.is_ascii_digit() && next != b'.' && version::is_none_before(&block[..start], previous);
    let brackets = next == b':' && after.is_ascii_digit();
    fits.then_some(Plain { start, end, octets, brackets })
}

/// Bytes that are read at once to parse a number.
const WORD: usize = 4;

/// A word, the 16 bytes in the middle, and more than can matter after them; a power of two.
const AROUND: usize = 32;

/// Returns the number of `length` digits, 0 to 3, that ends before byte `end` of the 16 in the middle; any
/// number if they are not digits.
#[inline]
fn number(around: &[u8; AROUND], end: usize, length: usize) -> u32 {
    // The last digit is the highest byte; bytes before the first digit are masked out.
    const MASKS: [u32; 4] = [0, 0xff00_0000, 0xffff_0000, 0xffff_ff00];
    let word = around[end % 16..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    let mask = MASKS[length % 4];
    let digits = (word & mask).wrapping_sub(u32::from_ne_bytes([b'0'; 4]) & mask);
    let [_, hundreds, tens, units] = digits.to_le_bytes();
    100 * u32::from(hundreds) + 10 * u32::from(tens) + u32::from(units)
}

/// Examines a `QUAD` candidate: `at` is the offset of the third separator. `done` is the end of the last run
/// looked at: nothing before it is read again, which keeps hostile lines linear.
pub(crate) fn find(text: &[u8], at: usize, done: &mut usize, emit: &mut impl FnMut(Hit)) {
    if at < *done {
        return;
    }
    let run = Run::around(text, at, *done);
    // The last group may be the first of a run with another separator: `2026-11-23-203.0.113.9`. So a byte is
    // read at most twice.
    *done = run.last;
    let mut found = |hit: Hit| {
        *done = hit.end.max(*done);
        emit(hit);
    };
    match text[at] {
        b'.' if run.count == 7 => joined(text, &run).into_iter().flatten().for_each(found),
        b'.' => dotted(text, &run, &mut found),
        separator => dashed(text, &run, separator).into_iter().for_each(found),
    }
}

/// A maximal run of digit groups joined by single separators.
struct Run {
    end: usize,
    /// Start of the last group.
    last: usize,
    /// Number of groups; only the first [`Run::KEPT`] are kept.
    count: usize,
    groups: [Group; Run::KEPT],
}

#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    /// Returns the group of one to three digits that ends at `end`.
    fn before(text: &[u8], end: usize) -> Option<Self> {
        let digits = text[..end].iter().rev().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        (1..=3).contains(&digits).then(|| Self { start: end - digits, end })
    }

    /// Returns the group that ends at `end` right after the digits of an escape: `#0129`.
    fn behind_escape(text: &[u8], end: usize) -> Option<Self> {
        let digits = text[..end].iter().rev().take(7).take_while(|byte| byte.is_ascii_digit()).count();
        let start = end - digits + escape::octal_digits(&text[..end - digits], &text[end - digits..end]);
        (1..=3).contains(&(end - start)).then_some(Self { start, end })
    }

    /// Returns the octet that the group spells: 1 to 3 decimal digits, at most 255. Leading zeros are
    /// allowed.
    fn octet(self, text: &[u8]) -> Option<u8> {
        let digits = &text[self.start..self.end];
        let value =
            (digits.len() <= 3).then(|| digits.iter().fold(0, |n, &d| n * 10 + u16::from(d - b'0')))?;
        u8::try_from(value).ok()
    }
}

impl Run {
    const KEPT: usize = 6;

    /// Returns the run that contains the separator at `at`, reading nothing before `floor`.
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
        // After an address that was found, or at two separators in a row.
        if text[start] == separator {
            start += 1;
        }
        let mut run = Self { end: start, last: start, count: 0, groups: [Group::default(); Self::KEPT] };
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
            run.last = position;
            run.end = position + digits;
            if text.get(run.end) != Some(&separator) {
                break;
            }
            position = run.end + 1;
        }
        run
    }

    /// Returns the octets of the four groups from `first` on.
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

/// Parses `203.0.113.9203.0.113.8`: two addresses with nothing between them, if the fourth number cannot be
/// an octet. Also if it has three digits, `198.51.100.198.51.100.2`, and the seven numbers are not an OID: an
/// OID begins with 0, 1 or 2, or follows a name.
fn joined(text: &[u8], run: &Run) -> Option<[Hit; 2]> {
    let Group { start, end } = run.groups[3];
    let is_object = || {
        let first = run.groups[0];
        let small = first.end - first.start == 1 && text[first.start] <= b'2';
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        small || text[..first.start].last().is_some_and(named)
    };
    if end - start > 6 || run.groups[3].octet(text).is_some() && (end - start < 3 || is_object()) {
        return None;
    }
    let middle = end - last_octet(text, run.groups[3])?;
    let last = Group { start: run.last, end: run.end };
    let [a, b, c, _, d, e] = run.groups;
    let hit = |groups: [Group; 4]| {
        let mut octets = [0; 4];
        for (octet, group) in octets.iter_mut().zip(groups) {
            *octet = group.octet(text)?;
        }
        Some(Hit::new(groups[0].start, groups[3].end, Canon::V4(octets), Rule::Ipv4))
    };
    Some([hit([a, b, c, Group { start, end: middle }])?, hit([Group { start: middle, end }, d, e, last])?])
}

/// Returns the length of the longest octet at the end of a number; it includes the octets of all readings.
fn last_octet(text: &[u8], number: Group) -> Option<usize> {
    let fits = |&length: &usize| Group { start: number.end - length, ..number }.octet(text).is_some();
    (1..(number.end - number.start).min(4)).rev().find(fits)
}

/// Finds `a.b.c.d`, allowing for what may surround it.
fn dotted(text: &[u8], run: &Run, emit: &mut impl FnMut(Hit)) {
    let mut run = Run { groups: run.groups, ..*run };
    run.groups[0].start += escape_digits(text, run.groups[0]);
    run.groups[0].start += port_digits(text, run.groups[0]);
    if let Some(hit) = behind_vlan(text, &run) {
        return emit(hit);
    }
    let Some(hit) = one_dotted(text, &mut run) else { return };
    emit(hit);
    // `10.203.0.113.9`: an apparent address with its port may be a number and an address.
    if run.count == 5
        && hit.start == run.groups[0].start
        && let Some(octets) = run.octets(text, 1).filter(|octets| octets[0] > 0)
        && !is_port_of(text, &run)
    {
        emit(Hit::new(run.groups[1].start, run.end, Canon::V4(octets), Rule::Ipv4));
    }
}

/// Finds one address, the most likely one.
#[inline]
fn one_dotted(text: &[u8], run: &mut Run) -> Option<Hit> {
    if run.count == 4 {
        run.groups[3].end -= glued_digits(text, run.groups[3]);
        run.end = run.groups[3].end;
    }
    if run.count == 1 {
        return parted(text, run.groups[0]).or_else(|| halved(text, run.groups[0]));
    }
    let after = &text[run.end..];
    let ptr = host_name::is_in_addr_arpa(after) || run.count == 5 && host_name::is_rpz_name(after);
    let first = usize::from(run.count == 5 && ptr || begins_behind_word(text, run));
    let octets = run.octets(text, first)?;
    let start = run.groups[first].start;
    let end = run.groups[first + 3].end;
    let group = |index: usize| &text[run.groups[first + index].start..run.groups[first + index].end];
    let whole = match run.count - first {
        4 => true,
        // tcpdump joins the port with a dot: `203.0.113.9.51234 > `. File names have a date or time there.
        5 if is_port_or_time(group(4)) => false,
        // DB2 names a connection so: address, port, start time.
        6 if is_port_or_time(group(4)) && group(5).len() >= 12 => false,
        6 if is_universal(text, run) => false,
        // Six or more groups are an OID or another long dotted number.
        _ => return None,
    };
    if version::is_version(text, run.groups[0].start, run.end) {
        return None;
    }
    if whole && ptr {
        if let Some((start, last)) = classless(text, start) {
            let octets = reversed([last, octets[1], octets[2], octets[3]]);
            return Some(Hit::new(start, end, Canon::V4(octets), Rule::Ipv4Ptr));
        }
        return Some(Hit::new(start, end, Canon::V4(reversed(octets)), Rule::Ipv4Ptr));
    }
    if whole && host_name::continues_domain(after) {
        // `9.113.0.203.dialup.isp.example` is built like a PTR name, last octet first; the rest of the line
        // may show otherwise.
        if host_name::is_forward_suffix(after) {
            return Some(Hit::new(start, end, Canon::V4(octets), Rule::Ipv4HostName));
        }
        return Some(Hit::new(start, end, Canon::V4(reversed(octets)), Rule::Ipv4HostName).either_way());
    }
    let mut hit = Hit::new(start, end, Canon::V4(octets), Rule::Ipv4);
    hit.brackets = matches!(after, [b':', b'0'..=b'9', ..]);
    Some(hit)
}

/// Returns whether the first group is too great for an octet, and is not the year of a date:
/// `2026-203-0-113-9`.
fn begins_with_other_number(text: &[u8], run: &Run) -> bool {
    run.groups[0].octet(text).is_none() && !is_date(text, run, 0)
}

/// Returns whether the groups from `first` on are a year, a month and a day.
fn is_date(text: &[u8], run: &Run, first: usize) -> bool {
    let [year, month, day] =
        [0, 1, 2].map(|index| &text[run.groups[first + index].start..run.groups[first + index].end]);
    let at_most = |digits: &[u8], most: u8| match *digits {
        [ones] => ones - b'0' <= most,
        [tens, ones] => (tens - b'0') * 10 + (ones - b'0') <= most,
        _ => false,
    };
    matches!(year, [b'1', b'9', _, _] | [b'2', b'0', _, _]) && at_most(month, 12) && at_most(day, 31)
}

/// Returns whether the first group does not belong to the address: in `wlan0.203.0.113.9` it is the digit of
/// a word. No address begins with 0, or with a date or a Unix time, `20261123.203.0.113.9` (no number of an
/// OID has so many digits).
fn begins_behind_word(text: &[u8], run: &Run) -> bool {
    let first = run.groups[0];
    let is_time = matches!(first.end - first.start, 8 | 10..=19);
    // `1042.203.0.113.9`, `1042.203.0.113.9.51234`; numbers of objects continue like this,
    // `enterprises.12356.101.4.1.3`.
    let other = || {
        let ends = run.count == 5 || run.groups[5].octet(text).is_none();
        ends && begins_with_other_number(text, run) && !text[..first.start].ends_with(b"enterprises.")
    };
    if (5..=6).contains(&run.count) && (is_time || other()) {
        return run.octets(text, 1).is_some();
    }
    let glued = first.start > 0 && text[first.start - 1].is_ascii_alphabetic();
    let digit = first.end - first.start == 1;
    let counts = if glued { 5..=6 } else { 5..=5 };
    counts.contains(&run.count)
        && digit
        && (glued || text[first.start] == b'0')
        && run.octets(text, 1).is_some()
}

/// Parses `eth0.100.203.0.113.9`, where a word ends in a digit, and the number of a VLAN follows. If that
/// could be an octet, it is replaced too: the last number may be a port.
fn behind_vlan(text: &[u8], run: &Run) -> Option<Hit> {
    let [word, vlan, first, ..] = run.groups;
    let glued = word.end - word.start == 1 && text[..word.start].last().is_some_and(u8::is_ascii_alphabetic);
    let octets = run.octets(text, 2).filter(|octets| run.count == 6 && glued && octets[0] > 0)?;
    if version::is_version(text, word.start, run.end) {
        return None;
    }
    let start = match vlan.octet(text) {
        Some(_) if run.groups[5].octet(text).is_some_and(|port| KNOWN_PORTS.contains(&port)) => return None,
        Some(_) => vlan.start,
        None if vlan.end - vlan.start <= 4 && !is_date(text, run, 1) => first.start,
        None => return None,
    };
    Some(Hit::new(start, run.end, Canon::V4(octets), Rule::Ipv4))
}

/// Parses `9.0/26.113.0.203.in-addr.arpa`, `9.0-63.113.0.203.in-addr.arpa`, where a zone of fewer than 256
/// addresses continues at `start` (RFC 2317). Returns the start of the last octet, and the octet.
fn classless(text: &[u8], start: usize) -> Option<(usize, u8)> {
    let joint = start.checked_sub(1).filter(|&joint| matches!(text[joint], b'/' | b'-'))?;
    let zone = Group::before(text, joint)?;
    let last = Group::before(text, zone.start.checked_sub(1).filter(|&dot| text[dot] == b'.')?)?;
    Some((last.start, last.octet(text)?))
}

/// Parses `ip9.ip-203-0-113.eu`, `9.ip-203-0-113.eu`, `ip-9.net-203-0-113.rev.isp.example`: a name whose
/// first label contains the last octet. `third` is the last number.
fn parted(text: &[u8], third: Group) -> Option<Hit> {
    let second = Group::before(text, dash_before(text, third)?)?;
    let first = Group::before(text, dash_before(text, second)?)?;
    let rest = &text[..first.start];
    let (rest, begins_label) = match rest.strip_suffix(b".net-") {
        Some(rest) => (rest, &b"ip-"[..]),
        None => (rest.strip_suffix(b".ip-")?, &b"ip"[..]),
    };
    let last = Group::before(text, rest.len()).or_else(|| Group::behind_escape(text, rest.len()))?;
    let label = &text[..last.start];
    let glued = label.last().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let begins = label.ends_with(begins_label) || !glued || escape::is_control(label);
    if !begins || !host_name::continues_name(&text[third.end..]) {
        return None;
    }
    let octets = [first.octet(text)?, second.octet(text)?, third.octet(text)?, last.octet(text)?];
    Some(Hit::new(last.start, third.end, Canon::V4(octets), Rule::Ipv4HostName))
}

/// Parses `lfbn-1-113-9.w203-0.abo.wanadoo.fr`, in whose second label the first two octets are. `fourth` is
/// the last number of the first label.
fn halved(text: &[u8], fourth: Group) -> Option<Hit> {
    let third = Group::before(text, dash_before(text, fourth)?)?;
    let half = text[fourth.end..].strip_prefix(b".w")?;
    let digits = |text: &[u8]| text.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let first = Group { start: fourth.end + 2, end: fourth.end + 2 + digits(half) };
    let rest = text[first.end..].strip_prefix(b"-")?;
    let second = Group { start: first.end + 1, end: first.end + 1 + digits(rest) };
    if [first, second].iter().any(|group| group.start == group.end)
        || !text[second.end..].starts_with(b".abo.")
    {
        return None;
    }
    let octets = [first.octet(text)?, second.octet(text)?, third.octet(text)?, fourth.octet(text)?];
    Some(Hit::new(third.start, second.end, Canon::V4(octets), Rule::Ipv4HostName))
}

/// Returns whether six numbers are an address and the two bytes of its port, as ONC RPC joins them (RFC 5665,
/// 5.2.3.3), `addr=203.0.113.9.8.1`, `tcp 203.0.113.9.8.1`: after one of these words, or in a line of
/// rpcbind.
fn is_universal(text: &[u8], run: &Run) -> bool {
    const WORDS: [&[u8]; 5] = [b"addr", b"tcp", b"udp", b"tcp6", b"udp6"];
    let octets = |first| run.octets(text, first);
    if octets(2).is_none() || matches!(octets(0), None | Some([1, 3, 6, 1])) {
        return false;
    }
    let before = &text[..run.groups[0].start];
    let signs = before.iter().rev().take(16).take_while(|byte| b" \t=:\"'\\[(".contains(byte)).count();
    let word = &before[..before.len() - signs];
    let named = || WORDS.iter().any(|name| word.ends_with(name));
    let near = || memchr::memmem::find(&before[before.len().saturating_sub(128)..], b"rpcbind").is_some();
    signs > 0 && (named() || near())
}

/// Returns the position of the dash right before a group.
fn dash_before(text: &[u8], group: Group) -> Option<usize> {
    group.start.checked_sub(1).filter(|&dash| text[dash] == b'-')
}

/// Returns the length of the digits of an escaped control byte right before the first octet: rsyslog's
/// `#012`, the octal `\012`.
fn escape_digits(text: &[u8], first: Group) -> usize {
    let escaped = first.end - first.start > 3
        && first.start > 0
        && matches!(text[first.start - 1], b'#' | b'\\')
        && matches!(text[first.start..first.start + 3], [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7']);
    if escaped { 3 } else { 0 }
}

/// Returns the length of the port of the previous address, `203.0.113.9:443203.0.113.8`.
#[inline]
fn port_digits(text: &[u8], first: Group) -> usize {
    let length = first.end - first.start;
    if !(4..=8).contains(&length) || !matches!(text[..first.start], [.., b'0'..=b'9' | b']', b':']) {
        return 0;
    }
    last_octet(text, first).map_or(0, |octet| length - octet)
}

/// Returns the length of the digits after the last octet that begin an IPv6 address:
/// `203.0.113.92001:db8::1`,
/// `203.0.113.1592a01:db8::1`.
fn glued_digits(text: &[u8], last: Group) -> usize {
    let letters = text[last.end..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (length, digits) = (last.end - last.start, 4_usize.saturating_sub(letters));
    let glued = length > 3
        && length - digits <= 3
        && digits > 0
        && matches!(text[last.end - digits], b'2' | b'3')
        && text.get(last.end + letters) == Some(&b':');
    if glued { digits } else { 0 }
}

/// Returns whether the digits are a decimal port number, 0 to 65535; or the number of a process, a date, a
/// time of day, or a Unix time in up to nanoseconds.
fn is_port_or_time(digits: &[u8]) -> bool {
    let port = || digits.iter().fold(0, |n, &d| n * 10 + u32::from(d - b'0')) <= 65_535;
    (6..=19).contains(&digits.len()) || (digits.len() <= 5 && port())
}

/// Returns whether the fifth number is the port of the address before it and not its last octet: a port that
/// is in use, or one in a line of tcpdump; or part of what follows, `203.0.113.9.203-0-113-9.isp.example`.
fn is_port_of(text: &[u8], run: &Run) -> bool {
    let (before, after) = (&text[..run.groups[0].start], &text[run.end..]);
    let known = || run.groups[4].octet(text).is_some_and(|port| KNOWN_PORTS.contains(&port));
    let listed = || before.ends_with(b"> ") || after.starts_with(b" >");
    let goes_on = matches!(after, [b'-' | b'_', b'0'..=b'9', ..]);
    goes_on || !host_name::continues_name(after) && (listed() || known())
}

/// Ports below 256 of services that are in use; 0 is the port of a raw socket.
const KNOWN_PORTS: [u8; 24] = [
    0, 20, 21, 22, 23, 25, 49, 53, 67, 68, 69, 80, 88, 110, 111, 119, 123, 135, 137, 138, 139, 143, 161, 179,
];

/// Parses `a-b-c-d` (or with underscores) as a label of a host name.
fn dashed(text: &[u8], run: &Run, separator: u8) -> Option<Hit> {
    if let Some(hit) = halved(text, Group { start: run.last, end: run.end }) {
        return Some(hit);
    }
    let mut run = Run { groups: run.groups, ..*run };
    run.groups[0].start += escape_digits(text, run.groups[0]);
    let start = run.groups[0].start;
    let glued = start > 0 && text[start - 1].is_ascii_alphabetic();
    // `ec2-203-0-113-9`: the 2 belongs to the word before; `2026-203-0-113-9.isp.example`: no octet is that
    // great.
    let great = run.count == 5 && begins_with_other_number(text, &run);
    let first = match run.count {
        // `nan92-1-203-0-113-9.fbx.isp.example`: the digits of a word, the number of a device, and the
        // address.
        6 if glued && host_name::continues_access_name(&text[run.end..]) => 2,
        _ => usize::from(glued && run.count == 5 || great),
    };
    let mut octets = run.octets(text, first)?;
    if run.count - first > 5 {
        return None;
    }
    let longer = run.count - first == 5;
    let (start, mut end) = (run.groups[first].start, run.groups[first + 3].end);
    if longer && let Some(later) = run.octets(text, first + 1) {
        // `lns-bzn-34-203-0-113-9.isp.example`: the number of a device precedes it, so none of the five may
        // stay.
        (octets, end) = (later, run.end);
    }
    let after = &text[run.end..];
    let named = host_name::has_address_prefix(&text[..start]);
    let in_domain = if separator == b'_' || longer || great {
        host_name::continues_domain(after)
    } else {
        host_name::continues_name(after)
    };
    let ends = !matches!(after, [byte, ..] if byte.is_ascii_alphanumeric());
    let whole = (in_domain || named && !longer && !great) && ends;
    // `203-0-113-9-static.isp.example`, `203-0-113-9s.isp.example`
    let suffixed = || !longer && separator == b'-' && host_name::continues_label(after);
    (whole || suffixed()).then(|| Hit::new(start, end, Canon::V4(octets), Rule::Ipv4HostName).either_way())
}

fn reversed(octets: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = octets;
    [d, c, b, a]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns what [`find`] makes of the candidate at `at`, if it is a plain address.
    fn by_find(line: &[u8], at: usize) -> Option<(usize, usize, Canon, bool)> {
        let mut found = None;
        find(line, at, &mut 0, &mut |hit| found = Some((hit.start, hit.end, hit.canon, hit.brackets)));
        found
    }

    /// Returns the offset of the third dot of the first quad.
    fn third_dot(line: &[u8]) -> Option<usize> {
        let mut scan = crate::scan::Scan::default();
        let line = scan.line(line);
        let quad = line.candidates.iter().find(|candidate| candidate.shapes.has(crate::scan::Shapes::QUAD));
        quad.map(|candidate| candidate.at as usize)
    }

    #[test]
    fn plain_addresses_are_seen() {
        for (line, address) in [
            ("203.0.113.9 - - [", [203, 0, 113, 9]),
            ("Failed password from 1.2.3.4 port 22", [1, 2, 3, 4]),
            ("relay=mx.example.org[100.200.250.255]:25", [100, 200, 250, 255]),
            ("\"remote_ip\":\"192.0.2.70\",", [192, 0, 2, 70]),
        ] {
            let block = format!("a line before it\n{line}\na line behind it");
            let at = third_dot(block.as_bytes()).unwrap();
            let plain = plain(block.as_bytes(), at).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(plain.octets, address, "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The fast path finds what the general parser finds.
        #[test]
        fn plain_is_what_find_says(line in "[a-z ]{0,3}(version |OpenSSL|Chrome/|v|ip-|\\[|\"|=|:|/|-|_|@|\\.)?[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,3}[.][0-9]{0,4}([.: a-z-][0-9a-z .]{0,4})?") {
            let padded = format!("                {line}\n                ");
            if let Some(at) = third_dot(padded.as_bytes()).filter(|&at| padded.as_bytes()[at] == b'.')
                && let Some(plain) = plain(padded.as_bytes(), at)
            {
                let expected = (plain.start, plain.end, Canon::V4(plain.octets), plain.brackets);
                prop_assert_eq!(by_find(padded.as_bytes(), at), Some(expected), "{}", padded);
            }
        }
    }
}
