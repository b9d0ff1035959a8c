//! IPv6 in every notation of RFC 4291, 2.2, with what logs glue to it: brackets, ports, zones, words.

use super::escape;
use super::hit::{Canon, Hit, Rule};
use crate::primitives::hex;
use std::ops::Range;

/// Examines a `COLONS` candidate: `at` is the offset of a colon. `done` is used as in [`super::ipv4::find`],
/// and `quads_done` is the `done` of that function: the quad of `::ffff:203.0.113.9.198.51.100.7` is not
/// looked at twice.
pub(crate) fn find(
    text: &[u8],
    at: usize,
    done: &mut usize,
    quads_done: &mut usize,
    emit: &mut impl FnMut(Hit),
) {
    if at < *done {
        return;
    }
    let (start, end) = run_around(text, at, *done, |byte| byte.is_ascii_hexdigit() || byte == b':');
    *done = end;
    if is_date_of_erlang(&text[..start], &text[start..end]) {
        return;
    }
    let mut from = start;
    // `2001:db8::1::2001:db8::2`: the run may continue with another address.
    for _ in 0..MOST_IN_RUN {
        let before_border = border(text, from, end).and_then(|border| parse(&text[..border], from, border));
        let Some(hit) = before_border.or_else(|| parse(text, from, end)) else { return };
        *done = hit.end.max(end);
        // If a quad is glued to it, the first number of the quad begins there.
        if hit.end > end || hit.end + 3 == end && text.get(end) == Some(&b'.') {
            *quads_done = hit.end.max(*quads_done);
        }
        from = hit.end;
        emit(hit);
        if from >= end {
            return;
        }
    }
}

/// Recognises `28-Nov-2026::10:15:30`, as RabbitMQ and other programs in Erlang write a time.
fn is_date_of_erlang(before: &[u8], run: &[u8]) -> bool {
    let shape = |shape: &[u8], text: &[u8]| {
        let fits = |(sign, byte): (&u8, &u8)| match sign {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'0' => byte.is_ascii_digit(),
            _ => sign == byte,
        };
        shape.len() == text.len() && shape.iter().zip(text).all(fits)
    };
    shape(b"0000::00:00:00", run)
        && before.last_chunk().is_some_and(|month: &[u8; 6]| shape(b"0-Aaa-", month))
}

/// Returns the start of the second of two addresses with nothing between them, `2001:db8::12001:db8::2`: the
/// last four digits of a group that is too long.
fn border(text: &[u8], start: usize, end: usize) -> Option<usize> {
    // Length of the first address and the first group of the second.
    const MOST: usize = "2001:0db8:0000:0000:0000:0000:0000:00012001:".len();
    if end - start < "fe80::1fe80::1".len() || !is_common_start(&text[start..]) {
        return None;
    }
    let mut group = start;
    for (colon, &byte) in text[start..end].iter().take(MOST).enumerate() {
        if byte != b':' {
            continue;
        }
        let at = start + colon;
        let second = at.saturating_sub(4);
        if (5..=8).contains(&(at - group))
            && is_common_start(&text[second..])
            && !is_common_start(&text[at + 1..])
            && parse(text, second, end).is_some()
        {
            return Some(second);
        }
        group = at + 1;
    }
    None
}

/// Most addresses searched for in one run. This is bounded because each search may read the whole run.
const MOST_IN_RUN: usize = 8;

/// An address with nothing around it that could mean something else.
pub(crate) struct Plain {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) octets: [u8; 16],
}

/// Returns the address around the colon at `at` if it is plain, as nearly all are: eight groups, or three to
/// seven with one `::` between them. `None` only means that [`find`] has to decide. `block` may contain other
/// lines.
#[inline]
pub(crate) fn plain(block: &[u8], at: usize) -> Option<Plain> {
    const LONGEST: usize = "2001:0db8:0000:0000:0000:0000:0000:0001".len();
    let in_run = |byte: &&u8| VALUES[usize::from(**byte)] <= COLON;
    let start = at - block[..at].iter().rev().take(LONGEST).take_while(in_run).count();
    let around = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':');
    let before = start.checked_sub(1).map(|before| block[before]);
    if before.is_some_and(|byte| around(byte) || matches!(byte, b'#' | b'\\' | b'-'))
        || !is_common_start(&block[start..])
    {
        return None;
    }
    let run = &block[start..block.len().min(start + LONGEST + 1)];
    // Groups of 16 bits, those before the gap and those after it, each pushed in from the right.
    let (mut head, mut all, mut group, mut digits, mut count, mut gap) = (0_u128, 0_u128, 0_u16, 0, 0, None);
    let mut length = 0;
    // Whether each group so far has two digits, as in an EUI-64, which is not an address.
    let mut pairs = true;
    for &byte in run {
        match VALUES[usize::from(byte)] {
            COLON => {
                if digits == 0 {
                    // A second colon: the gap, if it is the first one and not at the start.
                    if gap.is_some() || count == 0 {
                        return None;
                    }
                    gap = Some(count);
                    head = all;
                } else {
                    all = all << 16 | u128::from(group);
                    pairs &= digits == 2;
                    count += 1;
                }
                (group, digits) = (0, 0);
            }
            value if value < COLON => {
                group = group << 4 | u16::from(value);
                digits += 1;
                if digits > 4 {
                    return None;
                }
            }
            _ => break,
        }
        length += 1;
    }
    let end = start + length;
    if digits == 0 || block.get(end).is_some_and(|&after| around(after)) {
        return None;
    }
    all = all << 16 | u128::from(group);
    pairs &= digits == 2;
    count += 1;
    let value = match gap {
        None if count == 8 && !pairs => all,
        // The groups after the gap are already in place.
        Some(before) if (3..=7).contains(&count) => {
            let behind = 16 * (count - before);
            all & !(u128::MAX << behind) | head << (128 - 16 * before)
        }
        _ => return None,
    };
    // `0:0:0:0:0:ffff:cb00:7107` is an IPv4 address.
    (value >> 32 != 0xffff).then(|| Plain { start, end, octets: value.to_be_bytes() })
}

/// The value of a hexadecimal digit; [`COLON`] for a colon; a greater value for anything else.
static VALUES: [u8; 256] = {
    let mut values = hex::VALUES;
    values[b':' as usize] = COLON;
    values
};

const COLON: u8 = 16;

/// Groups of a run, at most those of two addresses with their ports.
#[derive(Default)]
struct Groups {
    count: usize,
    /// Start and end of each group; an empty group is one side of `::`.
    spans: [(usize, usize); Groups::MOST],
}

impl Groups {
    const MOST: usize = 18;

    /// Splits a run. Returns `None` if there are more groups than any reading allows.
    fn split(text: &[u8], start: usize, end: usize) -> Option<Self> {
        let mut groups = Self::default();
        let mut from = start;
        for group in text[start..end].split(|&byte| byte == b':') {
            *groups.spans.get_mut(groups.count)? = (from, from + group.len());
            groups.count += 1;
            from += group.len() + 1;
        }
        Some(groups)
    }

    /// Cuts off what is glued to the last of eight groups, `2001:db8:1:2:3:4:5:67890`: its first four digits
    /// include all readings of it.
    fn cut_last(&mut self) {
        if let [groups @ .., (start, end)] = &mut self.spans[..self.count]
            && groups.iter().all(|(start, end)| start < end)
        {
            *end = (*start + 4).min(*end);
        }
    }
}

/// Parses the address in the run `start..end` of hex digits and colons.
fn parse(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let start = trim_start(text, start, end)?;
    before_word(text, start, end)
        .and_then(|end| parse_trimmed(text, start, end))
        .or_else(|| {
            // `2001:db8::1203.0.113.9`: a group of four digits is not an octet.
            let last = text[start..end].last_chunk::<4>().filter(|_| text.get(end) == Some(&b'.'));
            let digits = last.is_some_and(|last| last.iter().all(u8::is_ascii_digit));
            let quad = (digits && quad_from(text, end - 3, end).is_some()).then(|| end - 3)?;
            parse_trimmed(&text[..quad], start, quad)
        })
        .or_else(|| parse_trimmed(text, start, end))
        .or_else(|| {
            // `2001:db8::1::443`: an address has no two gaps, but the text before the second may be one.
            let first = memchr::memmem::find(&text[start..end], b"::")? + 2;
            let second = memchr::memmem::find(&text[start + first..end], b"::")?;
            parse_trimmed(text, start, start + first + second)
        })
        .or_else(|| {
            // `2001:db8::1a203.0.113.9`, `2001:db8:0:0:0:0:0:1:203.0.113.9`: the quad is an address of its
            // own.
            let quad = separate_quad(text, start, end)?;
            let colon = usize::from(text[quad - 1] == b':');
            parse_trimmed(text, start, quad - colon)
        })
        .or_else(|| {
            // `2001:db8:1:2:3:4:5:6.203.0.113.9`: the last group is not an octet.
            (text.get(end) == Some(&b'.')).then(|| parse_groups(text, start, end, None)).flatten()
        })
}

/// Returns the start of a dotted quad in the last group of the run, or in place of it.
fn separate_quad(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let digits = text[start..end].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let first = end - digits;
    (first > start && quad_from(text, first, end).is_some()).then_some(first)
}

fn parse_trimmed(text: &[u8], start: usize, mut end: usize) -> Option<Hit> {
    let quad = quad_at_end(text, start, end);
    if let Some(quad) = quad {
        end = quad.end;
    } else {
        end = trim_end(text, start, end);
    }
    parse_groups(text, start, end, quad)
}

/// Parses the address in the groups of `start..end`; the last may be a quad.
fn parse_groups(text: &[u8], start: usize, end: usize, quad: Option<Quad>) -> Option<Hit> {
    let hex_end = quad.map_or(end, |quad| quad.start);
    let mut groups = Groups::split(text, start, hex_end)?;
    if groups.count == 8 && is_common_start(&text[start..end]) {
        groups.cut_last();
    }
    let groups = &groups.spans[..groups.count];
    let reading = Reading { text, groups, quad: quad.map(|quad| quad.octets) };
    let (octets, first, last) = reading.octets()?;
    let end = match quad {
        Some(quad) if last == groups.len() => quad.end,
        _ => groups[last - 1].1,
    };
    Some(Hit::new(groups[first].0, end, Canon::v6(octets), Rule::Ipv6))
}

/// Drops what precedes the address in its run: a lone colon, and a group that is the end of a word
/// (`IPv6:2001:db8::1` has the 6, `std::vec` the d).
fn trim_start(text: &[u8], start: usize, end: usize) -> Option<usize> {
    // `203.0.113.9::1521`: the 9 belongs to the quad before. Not so the group of `203.0.113.9.fe80::1`.
    let quad = start > 1 && text[start - 1] == b'.' && text[start - 2].is_ascii_digit() && {
        let digits = text[start..end].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=3).contains(&digits) && text.get(start + digits) == Some(&b':')
    };
    let in_word = start > 0 && (text[start - 1].is_ascii_alphanumeric() || text[start - 1] == b'_');
    let glued = quad || in_word && !escape::ends_in_letter(&text[..start]);
    let group = text[start..end].iter().position(|&byte| byte == b':')?;
    // The digits of `#012fe80::1`, but not those of `#2001:db8::1`; the letter of `\bfe80::1`.
    let control = group > 4 || text[start] < b'2';
    let octal = if control { escape::octal_digits(&text[..start], &text[start..end]) } else { 0 };
    let letter = group == 5 && text[..start].ends_with(b"\\") && b"0abef".contains(&text[start]);
    let escaped = if octal > 0 { octal } else { usize::from(letter) };
    let (mut start, group) = (start + escaped, group - escaped.min(group));
    if group > 4 || (glued && !quad) {
        // `peer2001:db8::1`, `203.0.113.9a2001:db8::1`: four digits of a global address, not the end of a
        // word.
        let four = start + group.saturating_sub(4);
        // `addr_fe80::1`: an underscore separates where a letter does not.
        let divided = group == 4 && text[start - 1] == b'_';
        let global = group >= 4 && matches!(text[four], b'2' | b'3') && text[four..four + 4].is_ascii();
        let local = divided && matches!(text[four], b'f' | b'F')
            || group >= 4 && text[four..four + 4].eq_ignore_ascii_case(b"fe80");
        if (global && (divided || text[start + group..].get(1) != Some(&b':'))) || local {
            return Some(four);
        }
    }
    if glued || group > 4 {
        // `fe80::2001:db8::8a2e:203.0.113.9`: the text after the address before is an address too.
        let behind_other = group == 0 && text[start - 1].is_ascii_hexdigit();
        if behind_other && quad_at_end(text, start, end).is_some_and(|quad| quad.start > start + 2) {
            return Some(start);
        }
        start += group;
        // `Net::DNS`: two colons after a word do not belong to an address, unless a third follows.
        if text[start..end].starts_with(b"::") && !text[start..end].starts_with(b":::") {
            return Some(start + 2);
        }
    }
    let run = &text[start..end];
    if let Some(port) = run.strip_prefix(b":::")
        && !glued
        && port.iter().all(u8::is_ascii_digit)
    {
        // `:::22`, as netstat writes it: any address, port 22.
        return None;
    }
    let colons = run.iter().take_while(|&&byte| byte == b':').count();
    start += if colons == 1 { 1 } else { colons.saturating_sub(2) };
    Some(start)
}

/// Returns the end of the run without a word after it: `2001:db8::1:denied`. If a group continues as a word,
/// its letters do not belong to the address; in `2001:db8::1still` the 1 does.
fn before_word(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let run = &text[start..end];
    let letters = run.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let goes_on = text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let before = run[..run.len() - letters].strip_suffix(b":")?;
    let ends_in_group = before.last().is_some_and(u8::is_ascii_hexdigit);
    (letters > 0 && goes_on && ends_in_group).then_some(start + before.len())
}

/// Drops what follows the address in its run: a colon of the sentence, a word after `::`.
fn trim_end(text: &[u8], start: usize, end: usize) -> usize {
    let run = &text[start..end];
    if run.ends_with(b":::") || (run.ends_with(b":") && !run.ends_with(b"::")) {
        return end - 1;
    }
    // `2001:db8:1:2:3:4:5:6::x`: eight groups leave none for `::` to stand for.
    if run.ends_with(b"::") && memchr::memchr_iter(b':', run).count() == 9 {
        return end - 2;
    }
    end
}

/// Returns whether `text` starts with a group of four digits like all addresses in use, except those that
/// stand for an IPv4 address: global ones start with 2 or 3; link-local, site-local and multicast ones with
/// f.
#[inline]
fn is_common_start(text: &[u8]) -> bool {
    let no_colon = |a: &u8, b: &u8, c: &u8| (*a != b':') & (*b != b':') & (*c != b':');
    match text {
        [b'2' | b'3', a, b, c, b':', ..] => no_colon(a, b, c),
        [b'f' | b'F', a, b, c, b':', ..] => {
            !matches!((a, b), (b'f' | b'F', b'f' | b'F')) && no_colon(a, b, c)
        }
        _ => false,
    }
}

/// A dotted quad that ends the address (RFC 4291, 2.2, form 3).
#[derive(Clone, Copy)]
struct Quad {
    start: usize,
    end: usize,
    octets: [u8; 4],
}

/// Returns the quad whose first octet is the last group of the run.
fn quad_at_end(text: &[u8], start: usize, end: usize) -> Option<Quad> {
    let first = text[start..end].iter().rposition(|&byte| byte == b':').map(|colon| start + colon + 1)?;
    quad_from(text, first, end)
}

/// Returns the quad whose first octet is `first..end`.
fn quad_from(text: &[u8], first: usize, end: usize) -> Option<Quad> {
    if text.get(end) != Some(&b'.') {
        return None;
    }
    let mut octets = [0; 4];
    let mut position = first;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            if text.get(position) != Some(&b'.') {
                return None;
            }
            position += 1;
        }
        let digits = text[position..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=3).contains(&digits) {
            return None;
        }
        let value =
            text[position..position + digits].iter().fold(0, |n, &digit| n * 10 + u16::from(digit - b'0'));
        *octet = u8::try_from(value).ok()?;
        position += digits;
    }
    Some(Quad { start: first, end: position, octets })
}

/// The ways to read a list of groups as an address.
struct Reading<'a> {
    text: &'a [u8],
    /// The groups without the quad. If there is a quad, the last group is empty (the one before the quad).
    groups: &'a [(usize, usize)],
    quad: Option<[u8; 4]>,
}

impl Reading<'_> {
    /// Returns the address, the index of its first group, and one past its last.
    fn octets(&self) -> Option<([u8; 16], usize, usize)> {
        let all = self.groups.len();
        if let Some(found) = self.behind_other() {
            return Some(found);
        }
        // `::1:5432`: this machine and a port, so not an address of anybody.
        if all == 4 && self.groups[1].1 == self.groups[0].0 + 1 && self.digits(2) == b"1" && self.is_port(3) {
            return self.window(0, 3);
        }
        if let Some(found) = self.window(0, all) {
            return Some(found);
        }
        if self.quad.is_some() {
            return None;
        }
        // `2001:db8:1::ab9:C0A8:102:46824`, `1:2:3:4:5:6:7:8:443`: the last group is the port; or something
        // else that cannot be a group, `2001:db8::1:1732612345`, `1:2:3:4:5:6:7:8:bad`.
        if (self.is_port(all - 1) || self.digits(all - 1).len() > 4 || all == 9)
            && let Some(found) = self.window(0, all - 1)
        {
            return Some(found);
        }
        if let Some(found) = self.before_other() {
            return Some(found);
        }
        // A word or a time before a full address, `10:15:2001:db8:0:0:0:0:0:1`.
        (1..all.saturating_sub(7)).find_map(|first| {
            let (start, end) = self.groups[first];
            let global = end - start == 4 && matches!(self.text[start], b'2' | b'3' | b'f' | b'F');
            if global { self.window(first, first + 8) } else { None }
        })
    }

    /// Finds the address after groups of something else, `42:2001:db8::1`, `10:15:30:fe80::1`,
    /// `::2001:db8::1`. Addresses in use begin as [`is_common_start`] says, or with a group that no whole
    /// address follows.
    fn behind_other(&self) -> Option<([u8; 16], usize, usize)> {
        let all = self.groups.len();
        if self.starts(0) || self.digits(0) == b"64" {
            return None;
        }
        let first = (1..all).find(|&index| self.starts(index))?;
        // `::42:2001:db8::1`: two addresses.
        if let Some(found) = self.window(0, first) {
            return Some(found);
        }
        let port = || (self.digits(all - 1).len() > 4).then(|| self.window(first, all - 1)).flatten();
        self.window(first, all).or_else(port)
    }

    /// Finds the first of two addresses that are joined by a colon, `2001:db8::1:2001:db8::2`, with or
    /// without its port; or the address of `fe80::2001:db8::1:2` that contains all its groups; or
    /// `2001:2:3:4:5:6:7:8` of `2001:2:3:4:5:6:7:8::443` and of `2001:2:3:4:5:6:7:8:443:10:15`.
    fn before_other(&self) -> Option<([u8; 16], usize, usize)> {
        let all = self.groups.len();
        if !self.starts(0) {
            return None;
        }
        let others = || (2..all).filter(|&index| self.starts(index));
        let first = others().find_map(|other| self.window(0, other).or_else(|| self.window(0, other - 1)));
        let is_full = || all > 9 && (0..8).all(|index| !self.digits(index).is_empty());
        let full = || if is_full() { self.window(0, 8) } else { None };
        first.or_else(|| others().find_map(|other| self.window(other, all))).or_else(full)
    }

    /// Returns whether an address may begin with the group.
    #[inline]
    fn starts(&self, index: usize) -> bool {
        is_common_start(&self.text[self.groups[index].0..])
    }

    fn is_port(&self, index: usize) -> bool {
        let digits = self.digits(index);
        (1..=5).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit)
            && digits.iter().fold(0, |n, &digit| n * 10 + u32::from(digit - b'0')) <= 65_535
    }

    fn digits(&self, index: usize) -> &[u8] {
        let (start, end) = self.groups[index];
        &self.text[start..end]
    }

    /// Parses groups `first..last` (and the quad, if `last` is the end) as one address.
    fn window(&self, first: usize, last: usize) -> Option<([u8; 16], usize, usize)> {
        if last <= first || (first..last).any(|index| self.digits(index).len() > 4) {
            return None;
        }
        let quad = self.quad.filter(|_| last == self.groups.len());
        // The group before the quad is the quad itself.
        let hex_last = if quad.is_some() { last - 1 } else { last };
        let gap = (first..hex_last).find(|&index| self.digits(index).is_empty());
        let octets = match gap {
            None => self.full(first, hex_last, quad)?,
            Some(gap) => self.compressed(first, hex_last, gap, quad)?,
        };
        Some((octets, first, last))
    }

    /// Parses eight groups, or six and a quad.
    fn full(&self, first: usize, last: usize, quad: Option<[u8; 4]>) -> Option<[u8; 16]> {
        let expected = if quad.is_some() { 6 } else { 8 };
        // Eight groups of two digits are an EUI-64, not an address.
        let eui = (first..last).all(|index| self.digits(index).len() == 2);
        if last - first != expected || (eui && quad.is_none()) {
            return None;
        }
        let mut octets = [0; 16];
        self.put(&mut octets, 0, first, last);
        if let Some(quad) = quad {
            octets[12..].copy_from_slice(&quad);
        }
        Some(octets)
    }

    /// Parses groups with `::`, at the first empty group `gap`.
    fn compressed(&self, first: usize, last: usize, gap: usize, quad: Option<[u8; 4]>) -> Option<[u8; 16]> {
        // `::1` splits into two empty groups and `1`, `fe80::` into `fe80` and two empty ones.
        let head = first..gap;
        let after = (gap..last).take_while(|&index| self.digits(index).is_empty()).count();
        let borders = usize::from(gap == first) + usize::from(gap + after == last && quad.is_none());
        if after != 1 + borders {
            return None;
        }
        let tail = gap + after..last;
        if tail.clone().any(|index| self.digits(index).is_empty()) {
            return None;
        }
        let quad_groups = if quad.is_some() { 2 } else { 0 };
        let stated = head.len() + tail.len() + quad_groups;
        // RFC 4291 requires `::` to stand for at least one group; in real logs it may stand for none.
        if stated > 8 || (quad.is_none() && !self.is_plausible(&head, &tail, last)) {
            return None;
        }
        let mut octets = [0; 16];
        self.put(&mut octets, 0, head.start, head.end);
        self.put(&mut octets, 2 * (8 - quad_groups - tail.len()), tail.start, tail.end);
        if let Some(quad) = quad {
            octets[12..].copy_from_slice(&quad);
        }
        Some(octets)
    }

    /// Returns whether a compressed address is one, and not a word of a program: `dead::beef`, `b::`,
    /// `1::bigint`.
    ///
    /// It must have a digit or three groups. A short one must end where its word ends, unless it begins as
    /// `fe80` and `2a00` do. `last` is used as in [`Reading::window`].
    fn is_plausible(&self, head: &Range<usize>, tail: &Range<usize>, last: usize) -> bool {
        let stated = head.len() + tail.len();
        let mut digits = head.clone().chain(tail.clone()).flat_map(|index| self.digits(index));
        let has_digit = digits.any(u8::is_ascii_digit);
        let end = self.groups[last - 1].1;
        let glued = self.text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        match stated {
            0 => false,
            // `add::f32` of Rust; no address in use begins with a 0 that is not written.
            2 if head.len() == 1
                && matches!(self.digits(last - 1), b"f32" | b"f64")
                && self.digits(head.start).len() < 4
                && self.digits(head.start).iter().all(u8::is_ascii_alphabetic) =>
            {
                false
            }
            1 if tail.is_empty() => has_digit && !glued && self.digits(head.start).len() >= 3,
            1 | 2 => has_digit && (!glued || self.is_certain(head.start, last)),
            _ => true,
        }
    }

    /// Returns whether groups with something glued to them are still an address: they begin like most
    /// addresses, and both ends have a number, unlike `feed::1st` and `Fe32::from`.
    fn is_certain(&self, first: usize, last: usize) -> bool {
        let numbered = |index: usize| self.digits(index).iter().any(u8::is_ascii_digit);
        self.starts(first) && numbered(first) && numbered(last - 1)
    }

    fn put(&self, octets: &mut [u8; 16], at: usize, first: usize, last: usize) {
        for (slot, index) in (first..last).enumerate() {
            let value = self.digits(index).iter().fold(0, |n: u16, &digit| n << 4 | hex_value(digit));
            octets[at + 2 * slot..at + 2 * slot + 2].copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Returns the maximal run of bytes of `class` around `at`, reading nothing before `floor`.
pub(super) fn run_around(text: &[u8], at: usize, floor: usize, class: impl Fn(u8) -> bool) -> (usize, usize) {
    let left = text[floor..at].iter().rev().take_while(|byte| class(**byte)).count();
    let right = text[at..].iter().take_while(|byte| class(**byte)).count();
    (at - left, at + right)
}

/// Returns the value of a hexadecimal digit.
pub(super) fn hex_value(digit: u8) -> u16 {
    u16::from(VALUES[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    fn by_find(line: &[u8], at: usize) -> Option<(usize, usize, Canon)> {
        let mut found = None;
        find(line, at, &mut 0, &mut 0, &mut |hit| {
            found.get_or_insert((hit.start, hit.end, hit.canon));
        });
        found
    }

    #[test]
    fn plain_addresses_are_seen() {
        for address in ["2001:db8::1:2", "2001:db8:1:2:3:4:5:6", "fe80::1:2:3:4:5", "2001:DB8:0:0:0:0:0:1"] {
            for line in [format!("from {address} port"), format!("a\n{address} -"), format!("[{address}]")] {
                let at = line.find(address).unwrap() + address.find("::").map_or(4, |gap| gap + 1);
                let plain = plain(line.as_bytes(), at).unwrap_or_else(|| panic!("{line}"));
                assert_eq!(Ipv6Addr::from(plain.octets), address.parse::<Ipv6Addr>().unwrap());
                assert_eq!(&line[plain.start..plain.end], address);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The fast path finds what the general parser finds.
        #[test]
        fn plain_is_what_find_says(line in "[a-z. #]{0,2}((2001|fe80):)?([0-9a-fA-F]{0,4}:){2,9}[0-9a-f]{0,5}([.: a-z%]{0,3}[0-9]{0,2})?") {
            for (at, _) in line.match_indices(':') {
                if let Some(plain) = plain(line.as_bytes(), at) {
                    let expected = (plain.start, plain.end, Canon::v6(plain.octets));
                    prop_assert_eq!(by_find(line.as_bytes(), at), Some(expected), "{}", line);
                }
            }
        }
    }
}
