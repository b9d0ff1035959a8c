//! Finds the originals of lines that a worker of a fleet stored. They are in the vaults of the nodes that
//! wrote the lines, whose names do not match those of the worker's segments.
//!
//! ```text
//! lines found --tokens, tags--> Sought --names of vaults--> vaults that may hold them --S, H--> originals
//! ```
//! - A token states its epoch, and the tag of its line states class and expiry day on the node. The name of a
//!   vault states all three, so no other vault is opened, and a listing is enough to choose.
//! - A vault is opened with the H of its node; its header tells which of the available H that is. Without it,
//!   nothing but the header is read.
//! - The search stops when everything is found. Tokens without an original are named, with the reason; if no
//!   original is found at all, nothing goes out.

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

/// Places with vaults and shred keys of other nodes.
#[derive(Clone, Debug, Default)]
pub struct NodePlaces {
    /// Trees of vaults, or folders that contain such trees; if empty, the tree of the archive alone.
    pub vaults: Vec<PathBuf>,
    /// Folders of shred keys, besides that of this node.
    pub shred_keys: Vec<PathBuf>,
}

/// Where the original of a token is, as far as the token and its line tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OriginalPlace {
    /// Class and expiry day of the line on its node; `None` if the line has no tag.
    folder: Option<Folder>,
    /// The epoch; `None` for a token in the shape of an address, which does not state it.
    kid: Option<[u8; KID_BYTES]>,
}

impl fmt::Display for OriginalPlace {
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

/// Tokens in lines that workers stored, by the place of their originals.
#[derive(Debug, Default)]
pub struct NodeTokens {
    by_place: BTreeMap<OriginalPlace, Tokens>,
    count: usize,
}

/// The tokens of one place.
#[derive(Debug, Default)]
struct Tokens {
    keys: HashSet<TagKey>,
    /// Tokens in the shape of addresses that may be meant instead of a longer one in `keys`, because
    /// hexadecimal digits may follow a token.
    shorter: HashMap<TagKey, TagKey>,
}

impl NodeTokens {
    /// Adds the tokens of a line that are to be revealed, by `scope` and the tokens asked for in `wanted`.
    ///
    /// # Errors
    /// P15 if there are more tokens than can be held in memory.
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
        for one_or_other in spelt.chunk_by(|one, other| one.span.start == other.span.start) {
            let [longest, shorter @ ..] = one_or_other else { continue };
            let place = OriginalPlace { folder: folder.clone(), kid: kid_of(longest, line) };
            let tokens = self.by_place.entry(place).or_default();
            self.count += usize::from(tokens.keys.insert(longest.key));
            tokens.shorter.extend(shorter.iter().map(|shorter| (shorter.key, longest.key)));
        }
        if self.count > MOST_SOUGHT { Err(codes::too_many_tokens()) } else { Ok(()) }
    }

    /// Adds the tokens of `others`.
    pub fn extend(&mut self, others: Self) {
        for (place, Tokens { keys, shorter }) in others.by_place {
            let known = self.by_place.entry(place).or_default();
            let before = known.keys.len();
            known.keys.extend(keys);
            known.shorter.extend(shorter);
            self.count += known.keys.len() - before;
        }
    }
}

/// Tokens without an original at a place.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) place: OriginalPlace,
    pub(super) keys: HashSet<TagKey>,
    /// The number of vaults of that place that were searched.
    pub(super) searched: usize,
    /// Why other vaults were not searched.
    pub(super) obstacles: Vec<Diagnostic>,
}

/// The outcome of a search for originals.
#[derive(Debug)]
pub struct Found {
    /// The originals found, by token.
    pub originals: HashMap<TagKey, Original>,
    /// The tokens whose originals are in no vault that opens.
    pub(super) missing: Vec<Missing>,
}

impl Found {
    /// Returns what prevents each missing original from being revealed, by place.
    ///
    /// # Errors
    /// Names everything that is missing, if whoever asks can provide some of it: an identity.
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

/// Collects the tokens to reveal in those lines of a plan that workers stored. The lines are read for this
/// purpose.
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

/// Returns whether the original of a token in a line is to be revealed.
pub(super) fn is_given_back(spelt: &Spelt, line: &[u8], scope: Scope, wanted: Option<&Wanted>) -> bool {
    match scope {
        Scope::Nobody => false,
        Scope::Asked => wanted.is_some_and(|wanted| wanted.contains(&spelt.key)),
        // The original of a quarantined line is in no vault.
        Scope::Everybody => !line[spelt.span.clone()].starts_with(b"qr_"),
    }
}

/// Returns class and expiry day of a line, from its tag.
fn folder_of(line: &[u8], guess: &mut Guess) -> Option<Folder> {
    let tag = tag::existing(line, &guess.parse(line))?;
    Some(Folder { expires: tag.expires, class: ClassName::new(tag.class)? })
}

fn kid_of(spelt: &Spelt, line: &[u8]) -> Option<[u8; KID_BYTES]> {
    token::parse(&line[spelt.span.clone()]).map(|parts| parts.kid)
}

/// Finds the originals of all tokens in `sought`, in the vaults that may have them.
pub fn originals(sought: NodeTokens, scope: Scope, secrets: &mut Secrets) -> Found {
    let storage = secrets.storage();
    let mut listing = Listing::new(&*storage, secrets.vault_places());
    let mut originals = HashMap::new();
    let mut missing = Vec::new();
    for (place, Tokens { mut keys, shorter }) in sought.by_place {
        for known in shorter.iter().filter(|(key, _)| originals.contains_key(*key)) {
            keys.remove(known.1);
        }
        keys.retain(|key| !originals.contains_key(key));
        let (vaults, obstacles) = listing.of(&place);
        let sought = Missing { place, keys, searched: 0, obstacles };
        missing.push(look(&vaults, &shorter, sought, secrets, &mut originals));
    }
    missing.retain_mut(|missing| {
        // The same token may have been found at another place.
        missing.keys.retain(|key| !originals.contains_key(key));
        // If everybody's originals are asked for, text in the shape of an address may be an address and not a
        // token.
        !missing.keys.is_empty() && (scope == Scope::Asked || missing.place.kid.is_some())
    });
    Found { originals, missing }
}

/// Searches one vault after another for the missing originals, until all are found. Returns what is still
/// missing.
fn look(
    vaults: &[NodeVault],
    shorter: &HashMap<TagKey, TagKey>,
    mut missing: Missing,
    secrets: &mut Secrets,
    found: &mut HashMap<TagKey, Original>,
) -> Missing {
    for vault in vaults {
        if missing.keys.is_empty() {
            break;
        }
        let searched = search(secrets, vault, &mut |key, original| {
            let is_instead = shorter.get(&key).is_some_and(|longer| missing.keys.remove(longer));
            if missing.keys.remove(&key) || is_instead {
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

/// Passes the originals in a vault to `see`, with their tokens, until `see` breaks.
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

/// Vaults of nodes that hold originals of some tokens, and places where that could not be determined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// The vaults that hold at least one original.
    pub vaults: BTreeSet<PathBuf>,
    /// The nodes of all vaults that were searched.
    pub nodes: BTreeSet<NodeName>,
    /// Places that were not searched, or not completely, with the reason.
    pub unseen: BTreeMap<String, String>,
}

impl Holders {
    /// Returns whether no vault holds an original, and every place was searched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vaults.is_empty() && self.unseen.is_empty()
    }
}

/// Finds the vaults of nodes that hold originals of these tokens, by searching every vault that may.
pub fn holders(tokens: NodeTokens, secrets: &mut Secrets) -> Holders {
    let storage = secrets.storage();
    let mut listing = Listing::new(&*storage, secrets.vault_places());
    let mut holders = Holders::default();
    // Whoever erases names the tokens, so none is another one's shorter form.
    for (place, Tokens { keys, .. }) in tokens.by_place {
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

/// The most distinct tokens of one question, counted per place: their originals take about 100 MiB. Shorter
/// forms of a token do not count, because at most one of them has an original.
pub(super) const MOST_SOUGHT: usize = 1 << 20;
