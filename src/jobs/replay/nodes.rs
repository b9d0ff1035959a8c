//! Originals of lines that a worker of a fleet stored. They are in the vaults of the nodes that wrote the lines, whose
//! names do not pair with the worker's segments.
//!
//! ```text
//! lines found --tokens, tags--> Sought --names of vaults--> vaults that may hold them --S, H--> originals
//! ```
//! - A token says its epoch, and the tag of its line class and expiry day on the node. The name of a vault says all three, so
//!   no other vault is opened, and what it takes to know that is a listing.
//! - A vault is opened with the H of its node, whichever of those at hand that is: its header tells. Without it nothing
//!   else is read of it.
//! - Nothing more is opened when all is found. What is not found is named, with the reason; if nothing is, nothing goes out.

mod listing;
#[cfg(test)]
mod tests;

use super::codes;
use super::event_time::Reading;
use super::lines::Lines;
use super::plan::{Originals, Plan};
use super::reveal::{Revealed, Scope, Shown, key_of};
use super::secrets::Secrets;
use super::selection::Selection;
use super::spelling::{self, Spelt, TagKey};
use super::wanted::Wanted;
use crate::format::Guess;
use crate::model::{ClassName, Folder};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use crate::pseudonym::token::{self, KID_BYTES};
use crate::retention::tag;
use listing::{Listing, NodeVault};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What other nodes keep, where it can be reached.
#[derive(Clone, Debug, Default)]
pub struct NodePlaces {
    /// Trees of vaults, or folders that have such trees; if there are none, that of the archive alone.
    pub vaults: Vec<PathBuf>,
    /// Folders of shred keys, beside that of this node.
    pub shred_keys: Vec<PathBuf>,
}

/// Where the original of a token is, as far as the token and its line say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Class and expiry day of the line on its node; `None` if it bears no tag.
    folder: Option<Folder>,
    /// The epoch; `None` for a token in the shape of an address, which does not say.
    kid: Option<[u8; KID_BYTES]>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => write!(f, "{folder}")?,
            None => f.write_str("any class and day")?,
        }
        match &self.kid {
            Some(kid) => write!(f, ", epoch {}", String::from_utf8_lossy(kid)),
            None => f.write_str(", any epoch"),
        }
    }
}

/// The tokens to be given back, by where their originals are.
pub(super) type Sought = BTreeMap<Place, HashSet<TagKey>>;

/// Tokens that have no original at a place.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) place: Place,
    pub(super) keys: HashSet<TagKey>,
    /// How many vaults of that place were opened.
    pub(super) searched: usize,
    /// Why others were not.
    pub(super) obstacles: Vec<Diagnostic>,
}

/// What came of a search for originals.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) shown: Shown,
    /// What is in no vault that opens.
    pub(super) missing: Vec<Missing>,
}

/// The tokens to be given back in the lines of a plan that workers stored. These lines are read for it.
pub(super) fn sought(
    storage: &dyn Storage,
    plan: &Plan,
    selection: &Selection,
    scope: Scope,
    reading: &Reading,
) -> Result<Sought, Diagnostic> {
    let of_workers = plan.segments.iter().filter(|segment| segment.originals == Originals::OfNodes);
    let plan = Plan { segments: of_workers.cloned().collect(), ..Plan::default() };
    let mut lines = Lines::new(storage, &plan, selection, reading)?;
    let mut guess = Guess::new(reading.format);
    let (mut sought, mut count) = (Sought::new(), 0);
    while let Some(line) = lines.next()? {
        let wanted = plan.segments[line.segment].wanted.as_deref();
        let mut spelt = spelling::all(line.bytes);
        spelt.retain(|spelt| is_given_back(spelt, line.bytes, scope, wanted));
        if spelt.is_empty() {
            continue;
        }
        let folder = folder_of(line.bytes.trim_ascii_end(), &mut guess);
        for spelt in spelt {
            let place = Place { folder: folder.clone(), kid: kid_of(&spelt, line.bytes) };
            count += usize::from(sought.entry(place).or_default().insert(spelt.key));
        }
        if count > MOST_SOUGHT {
            return Err(codes::too_many_tokens());
        }
    }
    Ok(sought)
}

/// Whether a token in a line is one whose original is to be given back.
pub(super) fn is_given_back(spelt: &Spelt, line: &[u8], scope: Scope, wanted: Option<&Wanted>) -> bool {
    match scope {
        Scope::Nobody => false,
        Scope::Asked => wanted.is_some_and(|wanted| wanted.contains(&spelt.key)),
        // What a quarantined line was is in no vault.
        Scope::Everybody => !line[spelt.span.clone()].starts_with(b"qr_"),
    }
}

/// Class and expiry day of a line, by its tag.
fn folder_of(line: &[u8], guess: &mut Guess) -> Option<Folder> {
    let tag = tag::existing(line, &guess.parse(line))?;
    Some(Folder { expires: tag.expires, class: ClassName::new(tag.class)? })
}

fn kid_of(spelt: &Spelt, line: &[u8]) -> Option<[u8; KID_BYTES]> {
    token::parse(&line[spelt.span.clone()]).map(|parts| parts.kid)
}

/// The originals of all that is sought, from the vaults that may have them.
pub(super) fn originals(sought: Sought, scope: Scope, secrets: &mut Secrets) -> Found {
    let storage = secrets.storage();
    let mut listing = Listing::new(&*storage, secrets.vault_places());
    let mut shown = Shown::new();
    let mut missing = Vec::new();
    for (place, mut keys) in sought {
        keys.retain(|key| !shown.contains_key(key));
        let (vaults, obstacles) = listing.of(&place);
        let sought = Missing { place, keys, searched: 0, obstacles };
        missing.push(look(&vaults, sought, secrets, &mut shown));
    }
    missing.retain_mut(|missing| {
        // The same token may have been found at another place.
        missing.keys.retain(|key| !shown.contains_key(key));
        // If everybody's are asked for, what has the shape of an address may be an address that is no token.
        !missing.keys.is_empty() && (scope == Scope::Asked || missing.place.kid.is_some())
    });
    Found { shown, missing }
}

/// Looks for what is missing in one vault after the other, until all is found. What is missing then.
fn look(vaults: &[NodeVault], mut missing: Missing, secrets: &mut Secrets, found: &mut Shown) -> Missing {
    for vault in vaults {
        if missing.keys.is_empty() {
            break;
        }
        match search(secrets, vault, &mut missing.keys, found) {
            Ok(()) => missing.searched += 1,
            Err(obstacle) => missing.obstacles.push(obstacle),
        }
    }
    missing
}

/// Moves from `keys` to `found` what is in a vault.
fn search(
    secrets: &mut Secrets,
    vault: &NodeVault,
    keys: &mut HashSet<TagKey>,
    found: &mut Shown,
) -> Result<(), Diagnostic> {
    let unlocked = secrets.unlock_of_node(&vault.name, &vault.path)?;
    unlocked.each_record(&mut |record| {
        for original in &record {
            if let Some(key) = key_of(original, &unlocked.keys, &unlocked.kinds)
                && keys.remove(&key)
            {
                found.insert(key, Revealed::of(original));
            }
        }
        if keys.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(())
}

/// Different tokens of one question, at different places: about 100 MiB of originals.
pub(super) const MOST_SOUGHT: usize = 1 << 20;
