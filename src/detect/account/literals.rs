//! Which identifier rules a line wakes: a search for the literals of all rules at once.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use std::collections::BTreeMap;

/// Which rules a line wakes.
#[derive(Clone, Debug)]
pub(super) struct Literals {
    /// Says of most lines that no literal is in them. `None` if a literal is too short for it, or
    /// every line wakes a rule anyway.
    gate: Option<Gate>,
    /// All literals; `None` if there are none.
    all: Option<AhoCorasick>,
    /// Length of the longest literal, in bytes.
    longest: usize,
    /// Rules that each literal wakes.
    wakes: Vec<Vec<usize>>,
    /// Rules without literals.
    always: Vec<usize>,
}

impl Literals {
    /// From each literal to the rules that it wakes, and the rules that have none.
    pub(super) fn new(wakes: &BTreeMap<&str, Vec<usize>>, always: Vec<usize>) -> Result<Self, BuildError> {
        let all = if wakes.is_empty() {
            None
        } else {
            let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(wakes.keys())?;
            Some(automaton)
        };
        let gate = if always.is_empty() { Gate::new(wakes.keys()) } else { None };
        let longest = wakes.keys().map(|literal| literal.len()).max().unwrap_or(0);
        Ok(Self { gate, all, longest, wakes: wakes.values().cloned().collect(), always })
    }

    /// Where in `line` the first literal may begin; `None` if nothing can wake.
    pub(super) fn first_possible(&self, line: &[u8]) -> Option<usize> {
        match &self.gate {
            Some(gate) => Some(gate.find(line)?.saturating_sub(self.longest)),
            None if self.all.is_none() && self.always.is_empty() => None,
            None => Some(0),
        }
    }

    /// Sets the bits of the rules that `line` wakes; `false` if there are none.
    pub(super) fn wake(&self, line: &[u8], due: &mut [u64]) -> bool {
        let mut any = false;
        let mut set = |rules: &[usize]| {
            for &rule in rules {
                due[rule / 64] |= 1 << (rule % 64);
                any = true;
            }
        };
        set(&self.always);
        if let Some(all) = &self.all {
            // Overlapping, or `user=` would be hidden in `ruser=`.
            for hit in all.find_overlapping_iter(line) {
                set(&self.wakes[hit.pattern().as_usize()]);
            }
        }
        any
    }
}

/// A set of hashed three-byte texts of which every literal contains one. An automaton waits for each
/// byte's table entry before it can look at the next; these look-ups do not wait for each other.
#[derive(Clone, Debug)]
struct Gate {
    bits: Box<[u64; Self::BITS / 64]>,
}

impl Gate {
    /// 8 KiB: stays in the first-level cache, and is nearly empty with a few hundred literals.
    const BITS: usize = 1 << 16;

    /// `None` if a literal is shorter than three bytes.
    fn new<'a>(literals: impl Iterator<Item = &'a &'a str>) -> Option<Self> {
        let mut bits = Box::new([0_u64; Self::BITS / 64]);
        for literal in literals {
            let slot = Self::slot(number(literal.as_bytes().windows(3).max_by_key(|text| rarity(text))?));
            bits[slot / 64] |= 1 << (slot % 64);
        }
        Some(Self { bits })
    }

    /// Where the first text of the set, or one that hashes like it, begins, or a little before.
    fn find(&self, line: &[u8]) -> Option<usize> {
        // Six texts in a word of eight bytes; the next word begins with the seventh.
        let mut start = 0;
        while let Some(word) = line.get(start..).and_then(<[u8]>::first_chunk) {
            let word = u64::from_le_bytes(*word);
            let hit = (0..6).fold(0, |hit, at| hit | self.bit(word >> (8 * at)));
            if hit & 1 != 0 {
                return Some(start);
            }
            start += 6;
        }
        let rest = line[start..].windows(3).position(|text| self.bit(number(text)) & 1 != 0);
        rest.map(|at| start + at)
    }

    /// The lowest bit tells whether the text in the three low bytes is in the set.
    fn bit(&self, text: u64) -> u64 {
        let slot = Self::slot(text);
        self.bits[slot / 64] >> (slot % 64)
    }

    /// Multiplicative hash of the three low bytes (Knuth, The Art of Computer Programming, 6.4).
    fn slot(text: u64) -> usize {
        ((text as u32 & 0x00FF_FFFF).wrapping_mul(0x9E37_79B1) >> 16) as usize % Self::BITS
    }
}

/// A text of three bytes as a number.
fn number(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// How unlikely a text is in logs: bits of surprise of each byte, roughly.
fn rarity(text: &[u8]) -> u32 {
    let byte_rarity = |&byte: &u8| match byte {
        b' ' | b'0'..=b'9' => 2,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b'/' | b'.' | b'-' | b':' => 3,
        b'a'..=b'z' => 4,
        b'A'..=b'Z' | b'"' | b'[' | b']' => 5,
        _ => 6,
    };
    text.iter().map(byte_rarity).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules that `line` wakes, found the way that `account` does and the obvious way.
    fn check(literals: &[String], line: &[u8]) {
        let mut wakes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (rule, literal) in literals.iter().enumerate() {
            wakes.entry(literal).or_default().push(rule);
        }
        let woken = Literals::new(&wakes, Vec::new()).expect("few literals");
        let mut due = [0];
        if let Some(from) = woken.first_possible(line) {
            woken.wake(&line[from..], &mut due);
        }
        let contains = |literal: &str| line.windows(literal.len()).any(|text| text == literal.as_bytes());
        for (rule, literal) in literals.iter().enumerate() {
            assert_eq!(due[0] >> rule & 1 == 1, contains(literal), "{literal:?} in {}", line.escape_ascii());
        }
    }

    #[test]
    fn literals_at_every_offset() {
        for literal in ["abc", "user=", "a much longer literal than a word of eight bytes"] {
            for before in 0..20 {
                for after in 0..10 {
                    let line = format!("{}{literal}{}", ".".repeat(before), ".".repeat(after));
                    check(&[literal.to_owned(), "never".to_owned()], line.as_bytes());
                }
            }
        }
    }

    #[test]
    fn a_rule_without_literals_is_always_due() {
        let literals = Literals::new(&BTreeMap::new(), vec![1]).expect("no literals");
        let mut due = [0];
        assert_eq!(literals.first_possible(b""), Some(0));
        assert!(literals.wake(b"", &mut due));
        assert_eq!(due, [2]);
    }

    proptest! {
        #[test]
        fn wakes_what_occurs(
            literals in proptest::collection::vec("[ab=]{1,6}", 1..12),
            line in "[abc= ]{0,48}",
        ) {
            check(&literals, line.as_bytes());
        }
    }
}
