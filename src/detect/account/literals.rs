//! Finds which identifier rules a line wakes, by searching for the literals of all rules at once.
//!
//! The three bytes of each literal that are least common in logs are hashed into a bit table. The bytes of
//! the line are looked up there, three at a time at every offset; a hit is compared with the literals of that
//! hash. An automaton (Aho-Corasick) would wait for the table entry of each byte before it could look up the
//! next, 1.4 ns; these look-ups do not wait for each other, 0.5 ns.

use std::collections::BTreeMap;

/// The literals of all rules, and the rules that each wakes.
#[derive(Clone, Debug)]
pub(super) struct Literals {
    /// One bit per hash, set if a literal has that hash.
    bits: Box<[u64; BITS / 64]>,
    /// Sorted by `slot`.
    literals: Vec<Literal>,
    /// Rules that are due on every line: those without literals, or with one shorter than three bytes.
    always: Vec<usize>,
}

/// 8 KiB: this stays in the first-level cache, and is nearly empty with a few hundred literals.
const BITS: usize = 1 << 16;

#[derive(Clone, Debug)]
struct Literal {
    /// Hash of three of its bytes.
    slot: usize,
    /// Offset of these bytes in `text`.
    offset: usize,
    text: Vec<u8>,
    /// Rules that it wakes.
    wakes: Vec<usize>,
}

impl Literals {
    /// Builds the search from each literal's rules, and from the rules that have no literals.
    pub(super) fn new(wakes: &BTreeMap<&str, Vec<usize>>, mut always: Vec<usize>) -> Self {
        let mut bits = Box::new([0; BITS / 64]);
        let mut literals = Vec::new();
        for (&text, rules) in wakes {
            let texts = text.as_bytes().windows(3).enumerate();
            let Some((offset, rarest)) = texts.max_by_key(|(_, text)| rarity(text)) else {
                always.extend(rules);
                continue;
            };
            let slot = slot(number(rarest));
            bits[slot / 64] |= 1 << (slot % 64);
            literals.push(Literal { slot, offset, text: text.as_bytes().to_vec(), wakes: rules.clone() });
        }
        literals.sort_by_key(|literal| literal.slot);
        Self { bits, literals, always }
    }

    /// Sets the bits of the rules that `line` wakes. Returns `false` if there are none.
    pub(super) fn wake(&self, line: &[u8], due: &mut [u64]) -> bool {
        let mut any = set(due, &self.always);
        // Six texts begin in a word of eight bytes; the next word begins with the seventh.
        let mut start = 0;
        while let Some(word) = line.get(start..).and_then(<[u8]>::first_chunk) {
            let word = u64::from_le_bytes(*word);
            if (0..6).fold(0, |hit, at| hit | self.bit(word >> (8 * at))) & 1 != 0 {
                for at in 0..6 {
                    any |= self.wake_at(line, start + at, word >> (8 * at), due);
                }
            }
            start += 6;
        }
        for (at, text) in line[start..].windows(3).enumerate() {
            any |= self.wake_at(line, start + at, number(text), due);
        }
        any
    }

    /// Returns a value whose lowest bit is set if a literal has the hash of the three low bytes.
    fn bit(&self, text: u64) -> u64 {
        let slot = slot(text);
        self.bits[slot / 64] >> (slot % 64)
    }

    /// Wakes the rules of the literals whose rarest three bytes are `text`, found at `at` in `line`.
    fn wake_at(&self, line: &[u8], at: usize, text: u64, due: &mut [u64]) -> bool {
        if self.bit(text) & 1 == 0 {
            return false;
        }
        let slot = slot(text);
        let first = self.literals.partition_point(|literal| literal.slot < slot);
        let mut any = false;
        for literal in self.literals[first..].iter().take_while(|literal| literal.slot == slot) {
            let rest = at.checked_sub(literal.offset).map(|start| &line[start..]);
            if rest.is_some_and(|rest| rest.starts_with(&literal.text)) {
                any |= set(due, &literal.wakes);
            }
        }
        any
    }
}

/// Sets the bits of `rules`. Returns `false` if there are none.
fn set(due: &mut [u64], rules: &[usize]) -> bool {
    for &rule in rules {
        due[rule / 64] |= 1 << (rule % 64);
    }
    !rules.is_empty()
}

/// Computes the multiplicative hash of the three low bytes (Knuth, The Art of Computer Programming, 6.4).
fn slot(text: u64) -> usize {
    ((text as u32 & 0x00FF_FFFF).wrapping_mul(0x9E37_79B1) >> 16) as usize % BITS
}

/// Returns a text of three bytes as a number: the first byte is the lowest, as in a word of the line.
fn number(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Returns how unlikely a text is in logs: roughly the bits of surprise of each byte.
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

    /// Compares the rules that `line` wakes, found as `account` does, with those of a plain search.
    fn check(literals: &[String], line: &[u8]) {
        let mut wakes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (rule, literal) in literals.iter().enumerate() {
            wakes.entry(literal).or_default().push(rule);
        }
        let mut due = [0];
        let any = Literals::new(&wakes, Vec::new()).wake(line, &mut due);
        assert_eq!(any, due[0] != 0);
        let contains = |literal: &str| line.windows(literal.len()).any(|text| text == literal.as_bytes());
        for (rule, literal) in literals.iter().enumerate() {
            assert_eq!(
                due[0] >> rule & 1 == 1,
                literal.len() < 3 || contains(literal),
                "{literal:?} in {}",
                line.escape_ascii()
            );
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
    fn without_a_long_literal_a_rule_is_always_due() {
        let literals = Literals::new(&BTreeMap::from([("ab", vec![2])]), vec![1]);
        let mut due = [0];
        assert!(literals.wake(b"", &mut due));
        assert_eq!(due, [1 << 1 | 1 << 2]);
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
