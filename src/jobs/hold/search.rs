//! Looks for a person's lines in the extracts of holds: copies that no search of the archive reads.
//!
//! A custodian's identity opens the key of a hold, and that key its extracts. The originals in an extract say
//! which tokens are the person's, even if the secret of their epoch is gone with its day.

use super::{Hold, Holds, failed, key};
use crate::jobs::replay::{Selection, TagKey, spelling};
use crate::keyring::Identities;
use crate::model::Kinds;
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use jiff::civil::Date;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use zeroize::{Zeroize as _, Zeroizing};

/// What the extracts of a case have of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The case.
    pub case: String,
    /// The day on which the hold ends, and its extracts are erased.
    pub until: Date,
    /// The digests of her lines, as [`digest_of`] returns them.
    pub lines: HashSet<[u8; 32]>,
    /// What prevented the extracts, or some lines in them, from being searched.
    pub gap: Option<String>,
}

/// Returns the digest of a line, with or without its end.
#[must_use]
pub fn digest_of(line: &[u8]) -> [u8; 32] {
    Sha256::digest(line.trim_ascii_end()).into()
}

/// A token of an extract, and its original.
#[derive(Deserialize)]
struct Pair<'p> {
    #[serde(borrow)]
    token: Cow<'p, str>,
    kind: &'p str,
    canonical: &'p str,
}

impl Holds {
    /// Looks in all extracts for lines of the people whom `selection` names.
    ///
    /// # Errors
    /// As [`Holds::list`].
    pub fn search(
        &self,
        selection: &Selection,
        identities: &Identities,
    ) -> Result<Vec<Searched>, Diagnostic> {
        let mut searched = Vec::new();
        for Hold { case, until, .. } in self.list()? {
            let (extracts, mut lines) = (self.extracts(&case)?, HashSet::new());
            if extracts.is_empty() {
                continue;
            }
            let gap = self.search_case(&case, &extracts, (selection, identities), &mut lines)?;
            searched.push(Searched { case, until, lines, gap });
        }
        Ok(searched)
    }

    /// Returns the cases with extracts, of which none is opened because of `why`.
    ///
    /// # Errors
    /// As [`Holds::list`].
    pub fn not_searched(&self, why: &str) -> Result<Vec<Searched>, Diagnostic> {
        let mut cases = Vec::new();
        for Hold { case, until, .. } in self.list()? {
            if !self.extracts(&case)?.is_empty() {
                cases.push(Searched { case, until, lines: HashSet::new(), gap: Some(why.to_owned()) });
            }
        }
        Ok(cases)
    }

    /// Adds the lines in the extracts of a case to `found`. Returns what prevents some from being searched.
    fn search_case(
        &self,
        case: &str,
        extracts: &[PathBuf],
        (selection, identities): (&Selection, &Identities),
        found: &mut HashSet<[u8; 32]>,
    ) -> Result<Option<String>, Diagnostic> {
        let name = key::name(case);
        let Some(sealed) = self.keys.read(&name).map_err(failed("read", &self.keys.path(&name)))? else {
            return Ok(Some("the key of the hold is not there".to_owned()));
        };
        let opened = identities.decrypt(&sealed).ok().and_then(|text| Identities::of_text(&text));
        let Some(key) = opened else {
            return Ok(Some("the identity does not open the key of the hold".to_owned()));
        };
        let mut gap = None;
        for lines in extracts {
            let file = lines.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(number) = file.strip_suffix(".lines.age") else { continue };
            let read = |name: &str| self.folder.read(name).map_err(failed("read", &self.folder.path(name)));
            let (lines, pairs) = (read(&file)?, read(&format!("{number}.pairs.age"))?);
            let open = |sealed: Option<Zeroizing<Vec<u8>>>| key.decrypt(&sealed?).ok();
            match (open(lines), open(pairs)) {
                (Some(lines), Some(pairs)) => gap = gap.or(search(&lines, &pairs, selection, found)),
                _ => gap = gap.or(Some(format!("{file} or its pairs are damaged or not there"))),
            }
        }
        Ok(gap)
    }
}

/// Adds the lines of an extract that are sought to `found`. Returns why some cannot be told.
fn search(
    lines: &[u8],
    pairs: &[u8],
    selection: &Selection,
    found: &mut HashSet<[u8; 32]>,
) -> Option<String> {
    let mut sought: HashSet<TagKey> = selection.tokens.iter().copied().collect();
    let (mut known, kinds) = (HashSet::new(), Kinds::default());
    for pair in pairs.split(|&byte| byte == b'\n') {
        let Ok(Pair { token, kind, canonical }) = serde_json::from_slice(pair) else { continue };
        let is_asked = selection.identifiers.iter().any(|asked| {
            let mut asked_for = hex::encode(&asked.canonical);
            let same = kinds.name(asked.kind) == kind && asked_for == canonical;
            asked_for.zeroize();
            same
        });
        for spelt in spelling::all(token.as_bytes()) {
            known.insert(spelt.key);
            if is_asked {
                sought.insert(spelt.key);
            }
        }
    }
    let mut untold = 0_u64;
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let keys = spelling::all(line);
        if keys.iter().any(|spelt| sought.contains(&spelt.key)) {
            found.insert(digest_of(line));
        } else if !selection.identifiers.is_empty() && keys.iter().any(|spelt| !known.contains(&spelt.key)) {
            untold += 1;
        }
    }
    (untold > 0).then(|| format!("lines whose originals were not extracted: {untold}"))
}
