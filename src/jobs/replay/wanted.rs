//! The tokens sought in an epoch, with a quick test whether any of them may be in some bytes.
//!
//! Frames that pass their filter by chance are most of what a search reads, so it must be cheap to find that
//! they hold nothing. Few tokens are sought by the beginnings of their spellings, with vector instructions;
//! for many tokens it is faster to read each token in the frame and look it up.

use super::spelling::{self, TagKey};
use regex::bytes::Regex;
use std::collections::HashSet;

/// Tokens that are sought.
#[derive(Debug)]
pub struct Wanted {
    keys: HashSet<TagKey>,
    /// Matches each of `keys` wherever it is spelt, and possibly more; `None` if there are many keys.
    quick: Option<Regex>,
}

impl Wanted {
    /// Creates the set of these tokens.
    #[must_use]
    pub fn new(keys: HashSet<TagKey>) -> Self {
        let few = (1..=MOST_QUICK).contains(&keys.len());
        let beginnings = || keys.iter().flat_map(|key| key.beginnings()).collect::<Vec<_>>().join("|");
        // The patterns are letters and digits, so they always compile.
        let quick = few.then(|| Regex::new(&beginnings()).ok()).flatten();
        Self { keys, quick }
    }

    /// Returns whether this token is sought.
    #[must_use]
    pub fn contains(&self, key: &TagKey) -> bool {
        self.keys.contains(key)
    }

    /// Iterates over the tokens, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &TagKey> {
        self.keys.iter()
    }

    /// Returns whether one of the tokens is in `text`, which is a line or the lines of a frame.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.quick.as_ref().is_none_or(|quick| quick.is_match(text))
            && spelling::all(text).iter().any(|spelt| self.keys.contains(&spelt.key))
    }
}

/// The most tokens for the quick test. A token has up to five beginnings, and the vectors compare with 64 at
/// once.
const MOST_QUICK: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::token;

    fn key(first: u8) -> ([u8; 16], TagKey) {
        let tag = std::array::from_fn(|index| first ^ (index as u8).wrapping_mul(41));
        (tag, TagKey::of(&tag))
    }

    /// Returns every way in which a line may spell the token.
    fn spellings(tag: &[u8; 16]) -> Vec<String> {
        let mut spellings = vec![Vec::new(); 6];
        token::write("ip", b"2epqf", tag, &mut spellings[0]);
        token::write_mailbox(tag, b"", &mut spellings[1]);
        token::write_mailbox(tag, b"%40", &mut spellings[2]);
        token::write_address(tag, b"", false, &mut spellings[3]);
        token::write_address(tag, b"", true, &mut spellings[4]);
        token::write_address(tag, b"\\u003a", false, &mut spellings[5]);
        spellings.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn few_and_many_find_the_same() {
        let many: HashSet<TagKey> = (0..40).map(|first| key(first).1).collect();
        for first in 0..=u8::MAX {
            let (tag, asked) = key(first);
            let few = Wanted::new(HashSet::from([asked]));
            for spelt in spellings(&tag) {
                let upper = spelt.replacen("fd", "FD", 1).to_ascii_uppercase().replacen("FD", "fd", 1);
                for text in [&spelt, &format!("GET /?x=[{spelt}]:443 x"), &upper] {
                    let found = spelling::all(text.as_bytes()).iter().any(|spelt| spelt.key == asked);
                    assert_eq!(few.is_in(text.as_bytes()), found, "{text}");
                    assert_eq!(
                        Wanted::new(many.clone()).is_in(text.as_bytes()),
                        found && first < 40,
                        "{text}"
                    );
                }
                for text in
                    [&spelt, &format!("%20{spelt}"), &format!("node{spelt} at"), &format!("{spelt}at")]
                {
                    assert!(few.is_in(text.as_bytes()), "{text}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_in_no_text_and_nobody_in_any() {
        assert!(!Wanted::new(HashSet::from([key(1).1])).is_in(b""));
        assert!(!Wanted::new(HashSet::new()).is_in(spellings(&key(1).0)[0].as_bytes()));
    }
}
