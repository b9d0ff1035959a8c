//! The slow reference: what a log holds, and what a contender left of it, found without any of the filter's
//! own code.
//!
//! A line is cut into words, and the standard library's parser says which words are addresses. That is
//! right for the lines that `generate` makes, where a port or a dot never sticks to an address, and simple
//! enough to be believed. It is no detector: real lines hold addresses in many other notations.

use crate::generate::Counts;
use std::collections::HashSet;
use std::net::IpAddr;

/// What a contender puts in the place of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Nothing: the line stays as it is.
    Nothing,
    /// Our tokens.
    Token,
    /// This text.
    Text(&'static str),
    /// The address of all zeros.
    Zeros,
    /// Another address.
    Address,
    /// A SHA-256 in hex.
    Sha256,
}

/// What a contender's output holds, line by line beside the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Lines of the output.
    pub(crate) lines: u64,
    /// IP addresses of an input line that its output line still holds.
    pub(crate) addresses_left: u64,
    /// E-mail addresses of an input line that its output line still holds.
    pub(crate) emails_left: u64,
    /// Replacements of the contender's kind; at least as many as there were identifiers, as most take more
    /// for one.
    pub(crate) replaced: u64,
    /// Our tokens of IP addresses.
    pub(crate) address_tokens: u64,
    /// Our tokens of e-mail addresses.
    pub(crate) email_tokens: u64,
    /// Lines that carry the expected expiry.
    pub(crate) tags: u64,
}

/// What `log` holds.
pub(crate) fn count(log: &[u8]) -> Counts {
    let mut counts = Counts::default();
    for line in lines(log) {
        counts.lines += 1;
        counts.addresses += addresses(line).count() as u64;
        counts.emails += emails(line).count() as u64;
    }
    counts
}

/// What `output` holds, and what it has kept of `input`. `expires` is the date that each tag must state.
pub(crate) fn compare(input: &[u8], output: &[u8], replacement: Replacement, expires: &str) -> Seen {
    let mut seen = Seen { lines: lines(output).count() as u64, ..Seen::default() };
    let tags =
        [format!("expires={expires} "), format!("expires=\"{expires}\""), format!("expires\":\"{expires}\"")];
    for (before, after) in lines(input).zip(lines(output)) {
        let kept: Vec<IpAddr> = addresses(after).collect();
        seen.addresses_left += addresses(before).filter(|address| kept.contains(address)).count() as u64;
        let kept: Vec<&[u8]> = emails(after).collect();
        seen.emails_left += emails(before).filter(|email| kept.contains(email)).count() as u64;
        seen.replaced += replacements(after, replacement);
        seen.address_tokens += tokens(after, b"ip_").count() as u64;
        seen.email_tokens += tokens(after, b"em_").count() as u64;
        seen.tags += u64::from(tags.iter().any(|tag| contains(after, tag.as_bytes())));
    }
    seen
}

/// How many different addresses and e-mail addresses `log` holds.
pub(crate) fn distinct_identifiers(log: &[u8]) -> usize {
    let addresses: HashSet<IpAddr> = lines(log).flat_map(addresses).collect();
    let emails: HashSet<&[u8]> = lines(log).flat_map(emails).collect();
    addresses.len() + emails.len()
}

/// How many different tokens `output` holds: as many as there were identifiers, or some fell together.
pub(crate) fn distinct_tokens(output: &[u8]) -> usize {
    let of = |prefix| lines(output).flat_map(move |line| tokens(line, prefix));
    of(b"ip_").chain(of(b"em_")).collect::<HashSet<_>>().len()
}

fn replacements(line: &[u8], replacement: Replacement) -> u64 {
    let count = match replacement {
        Replacement::Nothing => 0,
        Replacement::Token => tokens(line, b"ip_").count() + tokens(line, b"em_").count(),
        Replacement::Text(text) => {
            line.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
        }
        Replacement::Zeros => addresses(line).filter(IpAddr::is_unspecified).count(),
        Replacement::Address => addresses(line).count(),
        Replacement::Sha256 => {
            line.split(|byte| !byte.is_ascii_hexdigit()).filter(|word| word.len() == 64).count()
        }
    };
    count as u64
}

fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    log.split_inclusive(|&byte| byte == b'\n')
}

/// The words of a line that the standard library can read as an address.
fn addresses(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    line.split(|byte| !byte.is_ascii_alphanumeric() && !b".:_-@".contains(byte))
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

/// A name, `@`, and a domain with a dot.
fn emails(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| !byte.is_ascii_alphanumeric() && !b"@.-".contains(byte)).filter(|word| {
        let mut parts = word.split(|&byte| byte == b'@');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(domain), None) => !name.is_empty() && domain.contains(&b'.'),
            _ => false,
        }
    })
}

/// Words of `prefix` and 31 characters of the token's alphabet.
fn tokens<'l>(line: &'l [u8], prefix: &'static [u8]) -> impl Iterator<Item = &'l [u8]> {
    line.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').filter(move |word| {
        word.strip_prefix(prefix).is_some_and(|body| {
            body.len() == 31 && body.iter().all(|byte| b"0123456789abcdefghjkmnpqrstvwxyz".contains(byte))
        })
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
