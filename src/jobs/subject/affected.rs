//! `subject affected`: the people in the lines of a period, for the notices of GDPR art. 33 and 34.
//!
//! Without originals, people are counted by their tokens. A person has a different token in every epoch, so
//! the count is then an upper bound. With originals, each person counts once, however long the period is.

use crate::jobs::bundle::text;
use crate::jobs::replay::{Line, Reveal, Scope, spelling};
use crate::primitives::diag::Diagnostic;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A person in the lines of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The kind of the identifier.
    pub kind: String,
    /// The token, or the identifier in clear if originals are revealed.
    pub identifier: String,
    /// The number of lines with the identifier.
    pub lines: u64,
    /// The earliest event.
    pub first: Timestamp,
    /// The latest event.
    pub last: Timestamp,
}

/// The number of identifiers of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The kind.
    pub kind: String,
    /// The number of distinct identifiers of this kind.
    pub distinct: u64,
    /// The number of lines with them; a line with two of them counts twice.
    pub lines: u64,
}

/// Everybody in the lines of a period.
#[derive(Debug, Default)]
pub struct Affected {
    people: BTreeMap<(String, String), Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    lines: u64,
    first: i64,
    last: i64,
}

impl Affected {
    /// Counts the people in a line: by originals if `scope` reveals everybody's, otherwise by tokens.
    ///
    /// A token whose original is not in the vault is counted as a token. Returns how many people with
    /// originals were not known before: those that a [list](Affected::people) reveals.
    ///
    /// # Errors
    /// If a vault can no longer be opened.
    pub fn add(&mut self, line: &Line<'_>, scope: Scope, reveal: &mut Reveal<'_>) -> Result<u64, Diagnostic> {
        let originals = if scope == Scope::Everybody { reveal.originals(line)? } else { Vec::new() };
        let originals: HashMap<_, _> =
            originals.iter().map(|(spelt, original)| ((spelt.key, spelt.span.end), original)).collect();
        let mut seen: HashSet<(String, String)> = HashSet::new();
        let mut given_back = 0;
        // A token in the shape of an address may be one of several; without an original, it is the longest.
        for one_of in spelling::all(line.bytes).chunk_by(|one, other| one.span.start == other.span.start) {
            let known = one_of.iter().find_map(|spelt| originals.get(&(spelt.key, spelt.span.end)));
            let person = match (known, one_of) {
                (Some(original), _) => (original.kind.clone(), text(&original.text)),
                (None, [longest, ..]) => {
                    let spelt = longest.clone().of_one_of(reveal.kinds(line), line.bytes);
                    token(&line.bytes[spelt.span])
                }
                (None, []) => continue,
            };
            let is_given_back = known.is_some() && !self.people.contains_key(&person);
            if seen.insert(person) {
                given_back += u64::from(is_given_back);
            }
        }
        for person in seen {
            let entry = self.people.entry(person);
            let entry = entry.or_insert(Seen { lines: 0, first: line.second, last: line.second });
            entry.lines += 1;
            (entry.first, entry.last) = (entry.first.min(line.second), entry.last.max(line.second));
        }
        Ok(given_back)
    }

    /// Returns the counts of each kind.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for ((kind, _), seen) in &self.people {
            let (distinct, lines) = counts.entry(kind).or_default();
            (*distinct, *lines) = (*distinct + 1, *lines + seen.lines);
        }
        let count = |(kind, (distinct, lines)): (&str, _)| Count { kind: kind.to_owned(), distinct, lines };
        counts.into_iter().map(count).collect()
    }

    /// Returns all people, sorted by kind.
    #[must_use]
    pub fn people(&self) -> Vec<Person> {
        let instant = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let person = |((kind, identifier), seen): (&(String, String), &Seen)| Person {
            kind: kind.clone(),
            identifier: identifier.clone(),
            lines: seen.lines,
            first: instant(seen.first),
            last: instant(seen.last),
        };
        self.people.iter().map(person).collect()
    }
}

/// Returns kind and text of a token as it is in a line. A token in the shape of an address has the kind of
/// that shape.
fn token(spelt: &[u8]) -> (String, String) {
    let spelt = text(spelt);
    let kind = match spelt.split_once('_') {
        Some((kind, _)) => kind.to_owned(),
        None if spelt.ends_with("pseudonym.invalid") => "em".to_owned(),
        None => "ip".to_owned(),
    };
    (kind, spelt)
}
