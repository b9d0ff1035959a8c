//! Tests that the scan leaves out only what no parser would look at.

use super::hit::Canon;
use super::*;
use proptest::prelude::*;

type Found = Vec<(usize, usize, Canon, &'static str)>;

/// Returns what the general parsers find in a text.
fn by_candidates(text: &[u8]) -> Found {
    let mut scan = Scan::default();
    let line = scan.line(text);
    let mut found = Vec::new();
    Detector::new(Options::default()).find_in(text, line.candidates.iter().copied(), |hit| {
        found.push((hit.start, hit.end, hit.canon, Rule::NAMES[hit.rule as usize]));
    });
    found
}

/// Returns the same, but starting at every byte at which a shape is complete, one after the other. A run is
/// looked at once for each such byte, and only the parsers themselves leave anything out.
fn by_every_byte(text: &[u8]) -> Found {
    let detector = Detector::new(Options::default());
    let mut scan = Scan::default();
    let line = scan.line(text);
    let mut found = Vec::new();
    let mut done = Done::default();
    let mut emit = |mut hit: Hit| {
        if detector.is_wanted(&mut hit, text) {
            found.push((hit.start, hit.end, hit.canon, Rule::NAMES[hit.rule as usize]));
        }
    };
    for at in 0..text.len() {
        let has = |shape| {
            line.candidates.iter().any(|candidate| candidate.at as usize == at && candidate.shapes.has(shape))
        };
        let digit = |byte: u8| byte.is_ascii_digit();
        if chain(text, at, 3, 2..=4, &|byte| matches!(byte, b'.' | b'-' | b'_'), &digit) {
            ipv4::find(text, at, &mut done.quad, &mut emit);
        }
        if doubled_or_fourth(text, at, b':') {
            ipv6::find(text, at, &mut done.colons, &mut done.quad, &mut emit);
        }
        if text[at] == b'@'
            && let Some(hit) = email::find(text, at, done.email)
        {
            done.email = hit.end;
            emit(hit);
        }
        if has(Shapes::TOKEN)
            && let Some(hit) = forged::find(text, at)
        {
            emit(hit);
        }
        if has(Shapes::HEX8)
            && let Some(hit) = hex::find(text, at)
        {
            emit(hit);
        }
        let hex = |byte: &u8| byte.is_ascii_hexdigit();
        let nibble = |(index, byte): (usize, &u8)| if index % 2 == 0 { hex(byte) } else { *byte == b'.' };
        if at >= 14 && text[at - 14..=at].iter().enumerate().all(nibble) {
            ipv6_name::find_ptr(text, at, &mut done.nibbles, &mut emit);
        }
        if doubled_or_fourth(text, at, b'-') && text[at.saturating_sub(2)..at].iter().any(hex) {
            ipv6_name::find_dashed(text, at, &mut done.dashes, &mut emit);
        }
    }
    found
}

/// Returns whether the last of `count` separators is at `at`, each at one of `distances` after the previous
/// one.
fn chain(
    text: &[u8],
    at: usize,
    count: usize,
    distances: std::ops::RangeInclusive<usize>,
    separates: &impl Fn(u8) -> bool,
    before: &impl Fn(u8) -> bool,
) -> bool {
    let here = separates(text[at]) && at > 0 && before(text[at - 1]);
    let mut earlier = distances.clone().filter_map(|distance| at.checked_sub(distance));
    here && (count == 1
        || earlier.any(|earlier| chain(text, earlier, count - 1, distances.clone(), separates, before)))
}

fn doubled_or_fourth(text: &[u8], at: usize, separator: u8) -> bool {
    let separates = |byte| byte == separator;
    let doubled = at > 0 && text[at] == separator && text[at - 1] == separator;
    let padded = [b" ", text].concat();
    doubled || chain(&padded, at + 1, 4, 2..=5, &separates, &|_| true)
}

const PIECES: [&str; 45] = [
    "1042.",
    "10.",
    "203.0.113.9203.0.113.8",
    "203.0.113.9",
    "203-0-113-9",
    "2026-",
    "09-",
    "7_8_9_1",
    "1.",
    "2-",
    "3_",
    "..",
    "--",
    "25",
    "255",
    "9.113.0.203.in-addr.arpa",
    "9.ip-203-0-113.eu",
    "::ffff:203.0.113.9",
    "2001:db8::1",
    "2001:db8:1:2:3:4:5:6",
    "fe80::",
    "::",
    ":",
    "ab:",
    "2001-db8--1.ipv6-literal.net",
    "1-2-3-4-5",
    "a.b.",
    "b.8.b.d.0.1.0.0.2.ip6.arpa",
    "0.1.2.3.4.5.6.7.8.9.",
    "jean@example.fr",
    "@",
    "@@",
    "@[",
    "jean",
    "example.fr",
    "\"",
    "<",
    ">",
    "=",
    " ",
    " ",
    "/",
    "v",
    "cb007109.dyn.isp.example",
    "_0123456789abcdefghjkmnpqrstvwxy",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_run_is_looked_at_once(
        kinds in prop::collection::vec(0..PIECES.len(), 2..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let text: String = picks.iter().map(|pick| PIECES[kinds[pick.index(kinds.len())]]).collect();
        let found = by_candidates(text.as_bytes());
        prop_assert_eq!(found, by_every_byte(text.as_bytes()), "{}", text);
    }
}

/// An address spelt with backslashes is found, however many there are, even in JSON in JSON.
#[test]
fn runs_of_backslashes() {
    let detector = Detector::new(Options::default());
    for count in 1..32 {
        let run = "\\".repeat(count);
        for address in [
            format!("jean{run}u0040example.org"),
            format!("jean{run}@example.org"),
            format!("{run}\"jean{run}\"@example.org"),
        ] {
            let line = format!("rcpt={address} x");
            let mut findings = Findings::default();
            let (record, mut scratch) = (Record::raw(line.as_bytes()), Scratch::default());
            detector.find_alone(line.as_bytes(), &record, &mut scratch, &mut findings);
            let found = |span: Span| span.of(line.as_bytes());
            let [one] = &findings.items[..] else { panic!("{} findings in {line}", findings.items.len()) };
            assert!(found(one.span).ends_with(b"example.org"), "{line}");
            assert!(found(one.span).starts_with(b"jean") || found(one.span).starts_with(b"\\"), "{line}");
        }
    }
}
