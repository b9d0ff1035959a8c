//! The slow reference: counts what a log contains, and what a contender left of it, without any of the
//! filter's own code.
//!
//! It splits a line into words, and lets the parser of the standard library decide which words are addresses.
//! That is right for the lines that `generate` makes, where no port or dot ever touches an address, and
//! simple enough to be trusted. It is not a detector: real lines hold addresses in many other notations.

use crate::generate::Counts;
use std::collections::HashSet;
use std::net::IpAddr;

/// What a contender replaces an identifier with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Nothing: the line stays as it is.
    Nothing,
    /// Our tokens.
    Token,
    /// This text.
    Text(&'static str),
    /// The all-zeros address.
    Zeros,
    /// Another address.
    Address,
    /// A SHA-256 in hex.
    Sha256,
}

/// What a contender's output contains, compared line by line with the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Lines of the output.
    pub(crate) lines: u64,
    /// IP addresses of an input line that are still in its output line.
    pub(crate) addresses_left: u64,
    /// E-mail addresses of an input line that are still in its output line.
    pub(crate) emails_left: u64,
    /// Replacements of the contender's kind. At least as many as there were identifiers, since most
    /// contenders also replace other text.
    pub(crate) replaced: u64,
    /// Our tokens of IP addresses.
    pub(crate) address_tokens: u64,
    /// Our tokens of e-mail addresses.
    pub(crate) email_tokens: u64,
    /// Lines that carry the expected expiry day.
    pub(crate) tags: u64,
}

/// Counts what `log` contains.
pub(crate) fn count(log: &[u8]) -> Counts {
    let mut counts = Counts::default();
    for line in lines(log) {
        counts.lines += 1;
        counts.addresses += addresses(line).count() as u64;
        counts.emails += emails(line).count() as u64;
    }
    counts
}

/// Counts what `output` contains, and what it kept of `input`. `expires` is the day that each tag must state.
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

/// Counts the distinct IP and e-mail addresses in `log`.
pub(crate) fn distinct_identifiers(log: &[u8]) -> usize {
    let addresses: HashSet<IpAddr> = lines(log).flat_map(addresses).collect();
    let emails: HashSet<&[u8]> = lines(log).flat_map(emails).collect();
    addresses.len() + emails.len()
}

/// Counts the distinct tokens in `output`: as many as there were identifiers, unless some collided.
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

/// Iterates over the words of a line that the standard library can parse as an address.
fn addresses(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    line.split(|byte| !byte.is_ascii_alphanumeric() && !b".:_-@".contains(byte))
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

/// Iterates over words that are a name, `@`, and a domain with a dot.
fn emails(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| !byte.is_ascii_alphanumeric() && !b"@.-".contains(byte)).filter(|word| {
        let mut parts = word.split(|&byte| byte == b'@');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(domain), None) => !name.is_empty() && domain.contains(&b'.'),
            _ => false,
        }
    })
}

/// Iterates over words that are `prefix` and 31 characters of the token's alphabet.
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
