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
use super::obstacle::{Obstacle, Obstacles};
use super::plan::{Originals, Plan};
use super::reveal::{Scope, key_of};
use super::secrets::Secrets;
use super::selection::Selection;
use super::spelling::{self, Spelt, TagKey};
use super::wanted::Wanted;
use crate::format::Guess;
use crate::model::{ClassName, Folder, NodeName};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::Storage;
use crate::pseudonym::token::{self, KID_BYTES};
use crate::retention::tag;
use crate::vault::Original;
use listing::{Listing, NodeVault};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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

/// Tokens in lines that workers stored, by where their originals are.
#[derive(Debug, Default)]
pub struct NodeTokens {
    by_place: BTreeMap<Place, HashSet<TagKey>>,
    count: usize,
}

impl NodeTokens {
    /// Adds those in a line that are to be given back: as [`Scope`] says, and `wanted` who is asked for.
    ///
    /// # Errors
    /// P15, if they are too many to be held.
    pub fn add(
        &mut self,
        line: &[u8],
        scope: Scope,
        wanted: Option<&Wanted>,
        guess: &mut Guess,
    ) -> Result<(), Diagnostic> {
        let mut spelt = spelling::all(line);
        spelt.retain(|spelt| is_given_back(spelt, line, scope, wanted));
        if spelt.is_empty() {
            return Ok(());
        }
        let folder = folder_of(line.trim_ascii_end(), guess);
        for spelt in spelt {
            let place = Place { folder: folder.clone(), kid: kid_of(&spelt, line) };
            self.count += usize::from(self.by_place.entry(place).or_default().insert(spelt.key));
        }
        if self.count > MOST_SOUGHT { Err(codes::too_many_tokens()) } else { Ok(()) }
    }

    /// Adds what `others` have.
    pub fn extend(&mut self, others: Self) {
        for (place, keys) in others.by_place {
            let known = self.by_place.entry(place).or_default();
            let before = known.len();
            known.extend(keys);
            self.count += known.len() - before;
        }
    }
}

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
pub struct Found {
    /// What was found, by its token.
    pub originals: HashMap<TagKey, Original>,
    /// What is in no vault that opens.
    pub(super) missing: Vec<Missing>,
}

impl Found {
    /// What keeps the rest back, by its place.
    ///
    /// # Errors
    /// With all that is missing, if whoever asks could bring something of it: an identity.
    pub fn obstacles(&self) -> Result<Obstacles, Diagnostic> {
        let mut obstacles = Obstacles::default();
        for one in &self.missing {
            let refusal = codes::not_given_back(std::slice::from_ref(one));
            let obstacle = Obstacle::of_vault(refusal).map_err(|_| codes::not_given_back(&self.missing))?;
            let place = one.place.to_string();
            obstacles.insert(&one.place, Obstacle { place, ..obstacle });
        }
        Ok(obstacles)
    }
}

/// The tokens to be given back in the lines of a plan that workers stored. These lines are read for it.
pub(super) fn sought(
    storage: &dyn Storage,
    plan: &Plan,
    selection: &Selection,
    scope: Scope,
    reading: &Reading,
) -> Result<NodeTokens, Diagnostic> {
    let of_workers = plan.segments.iter().filter(|segment| segment.originals == Originals::OfNodes);
    let plan = Plan { segments: of_workers.cloned().collect(), ..Plan::default() };
    let mut lines = Lines::new(storage, &plan, selection, reading)?;
    let (mut guess, mut sought) = (Guess::new(reading.format), NodeTokens::default());
    while let Some(line) = lines.next()? {
        let wanted = plan.segments[line.segment].wanted.as_deref();
        sought.add(line.bytes, scope, wanted, &mut guess)?;
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
pub fn originals(sought: NodeTokens, scope: Scope, secrets: &mut Secrets) -> Found {
    let storage = secrets.storage();
    let mut listing = Listing::new(&*storage, secrets.vault_places());
    let mut originals = HashMap::new();
    let mut missing = Vec::new();
    for (place, mut keys) in sought.by_place {
        keys.retain(|key| !originals.contains_key(key));
        let (vaults, obstacles) = listing.of(&place);
        let sought = Missing { place, keys, searched: 0, obstacles };
        missing.push(look(&vaults, sought, secrets, &mut originals));
    }
    missing.retain_mut(|missing| {
        // The same token may have been found at another place.
        missing.keys.retain(|key| !originals.contains_key(key));
        // If everybody's are asked for, what has the shape of an address may be an address that is no token.
        !missing.keys.is_empty() && (scope == Scope::Asked || missing.place.kid.is_some())
    });
    Found { originals, missing }
}

/// Looks for what is missing in one vault after the other, until all is found. What is missing then.
fn look(
    vaults: &[NodeVault],
    mut missing: Missing,
    secrets: &mut Secrets,
    found: &mut HashMap<TagKey, Original>,
) -> Missing {
    for vault in vaults {
        if missing.keys.is_empty() {
            break;
        }
        let searched = search(secrets, vault, &mut |key, original| {
            if missing.keys.remove(&key) {
                found.insert(key, original.clone());
            }
            if missing.keys.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match searched {
            Ok(()) => missing.searched += 1,
            Err(obstacle) => missing.obstacles.push(obstacle),
        }
    }
    missing
}

/// Shows `see` the originals in a vault, with their tokens, until it has seen enough.
fn search(
    secrets: &mut Secrets,
    vault: &NodeVault,
    see: &mut dyn FnMut(TagKey, &Original) -> ControlFlow<()>,
) -> Result<(), Diagnostic> {
    let unlocked = secrets.unlock_of_node(&vault.name, &vault.path)?;
    unlocked.each_record(&mut |record| {
        for original in &record {
            if let Some(key) = key_of(original, &unlocked.keys, &unlocked.kinds) {
                see(key, original)?;
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Vaults of nodes that have originals of some tokens, and those of which nobody could tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// The vaults that have some.
    pub vaults: BTreeSet<PathBuf>,
    /// The nodes of all vaults that were looked through.
    pub nodes: BTreeSet<NodeName>,
    /// Places that were not looked through, or not all of them, with the reason.
    pub unseen: BTreeMap<String, String>,
}

impl Holders {
    /// Whether none has some, as far as vaults were named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vaults.is_empty() && self.unseen.is_empty()
    }
}

/// Which vaults of nodes have the originals of tokens: all of them are looked through.
pub fn holders(tokens: NodeTokens, secrets: &mut Secrets) -> Holders {
    let storage = secrets.storage();
    let mut listing = Listing::new(&*storage, secrets.vault_places());
    let mut holders = Holders::default();
    for (place, keys) in tokens.by_place {
        let (vaults, obstacles) = listing.of(&place);
        let mut unseen = Missing { place, keys, searched: 0, obstacles };
        for vault in &vaults {
            let mut has_some = false;
            let searched = if secrets.has_custodian() {
                search(secrets, vault, &mut |key, _| {
                    has_some = unseen.keys.contains(&key);
                    if has_some { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
            } else {
                Err(codes::nobody_opens())
            };
            if has_some {
                holders.vaults.insert(vault.path.clone());
            }
            match searched {
                Err(obstacle) if !has_some => unseen.obstacles.push(obstacle),
                _ => drop(holders.nodes.insert(vault.name.node.clone())),
            }
        }
        if vaults.is_empty() || !unseen.obstacles.is_empty() {
            holders.unseen.insert(unseen.place.to_string(), unseen.to_string());
        }
    }
    holders
}

/// Different tokens of one question, at different places: about 100 MiB of originals.
pub(super) const MOST_SOUGHT: usize = 1 << 20;
