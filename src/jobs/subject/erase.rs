//! `subject erase`: removes a person's lines from the segments of every class that no law requires to be
//! kept.
//!
//! ```text
//! write vault and segment anew under other names, durably, read them back -> ledger: intent
//!           -> rename both over the old ones (or remove those, if no line is left) -> sync -> ledger: done
//! ```
//! At every moment a name refers to either the old segment or the new one, never to both or neither. An
//! erasure interrupted before the intent leaves files that nobody reads. One interrupted after it is
//! completed by the next run, which needs no secret for that. Copies elsewhere stay as they were until the
//! shred key of their day is erased.

use super::failed;
use crate::archive::{self, Destination, FILE_MODE, Keeps, Rewritten, Segment, VaultMark, filter};
use crate::format::Guess;
use crate::jobs::purge::{SECOND_PHASE_FILE_MODE, Site};
use crate::jobs::replay::{
    Gaps, Holders, NO_SHRED_KEY, NodeTokens, Obstacle, Opened, Originals, Plan, PlannedSegment, Scope,
    Secrets, Selection, State, TagKey, Unsealed, Wanted, nodes, spelling,
};
use crate::ledger::event::{Erasure, Event};
use crate::model::{Folder, Kind, SegmentId, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use crate::primitives::storage::{Listed, if_there, is_of_one_file};
use crate::pseudonym::{Networks, Tokens};
use crate::vault::{self, Vault, VaultWriter};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What became of a person's lines in one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The segment, with its class and expiry day.
    #[serde(flatten)]
    pub place: AnswerPlace,
    /// The number of her lines that are or were in the segment.
    pub lines: u64,
    /// What became of these lines.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Where lines are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AnswerPlace {
    /// The class of the lines.
    pub class: String,
    /// The first legal day on which the lines must no longer exist, whatever is requested.
    pub expires: String,
    /// The path of the segment within the archive.
    pub segment: String,
}

/// What became of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// They were erased.
    Erased,
    /// The law requires them to be kept until their day (GDPR art. 17(3)(b)).
    Duty {
        /// The legal basis.
        basis: String,
    },
    /// They are frozen by the hold of a case (GDPR art. 17(3)(e)).
    Held {
        /// The case.
        case: String,
    },
    /// No rule says whether there is a duty to keep their class.
    ClassUnknown,
    /// The vault of their segment does not exist or does not open, so it cannot be rewritten without their
    /// originals.
    VaultClosed {
        /// The code of the message that says why, for `oubliette explain`.
        code: String,
    },
}

impl Outcome {
    /// Returns whether a person must settle this.
    #[must_use]
    pub fn needs_human(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::ClassUnknown | Self::VaultClosed { .. })
    }
}

/// What an erasure did.
#[derive(Debug)]
pub struct Erased {
    /// The segments with lines of the person, in the order of their names.
    pub answers: Vec<Answer>,
    /// What could not be searched.
    pub gaps: Gaps,
    /// The number of segments left out because they belong to tenants other than the named one.
    pub of_other_tenants: u64,
    /// Vaults of nodes with originals of erased lines that a worker of a fleet had stored. No erasure here
    /// can change these vaults, because the seals of the nodes cover them.
    pub elsewhere: Holders,
}

impl Erased {
    /// Returns the number of lines erased.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.answers
            .iter()
            .filter(|answer| answer.outcome == Outcome::Erased)
            .map(|answer| answer.lines)
            .sum()
    }

    /// Returns the number of lines kept.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.answers.iter().map(|answer| answer.lines).sum::<u64>() - self.lines()
    }
}

/// Plans where the lines may be of the people whom `selection` names. Completes interrupted erasures first;
/// changes nothing else.
///
/// # Errors
/// If a secret that is needed is missing, or something cannot be read.
pub fn plan(site: &mut Site, selection: &Selection, secrets: &mut Secrets) -> Result<Plan, Diagnostic> {
    finish(site)?;
    Plan::new(site, selection, Unsealed::LeftOut, secrets)
}

/// Erases the lines of a [`plan`] wherever that is allowed. A damaged segment stays as it is and is listed in
/// the gaps. Nobody else may purge, hold or erase meanwhile.
///
/// # Errors
/// If a secret that is needed is missing, or something cannot be read or written: then [`finish`] completes
/// what was begun.
pub fn erase(
    site: &mut Site,
    case: &str,
    plan: &Plan,
    secrets: &mut Secrets,
    progress: &dyn Fn(u64),
) -> Result<Erased, Diagnostic> {
    let (mut answers, mut gaps) = (Vec::<Answer>::new(), plan.gaps.clone());
    let mut of_nodes = NodeTokens::default();
    for planned in &plan.segments {
        match erase_in(site, case, planned, secrets, progress) {
            Ok(Some((answer, tokens))) => {
                if answer.outcome == Outcome::Erased {
                    of_nodes.extend(tokens);
                }
                answers.push(answer);
            }
            Ok(None) => {}
            // The segment stays as it is, and the next run removes what was staged to replace it.
            Err(error) => gaps.unreadable.note(&planned.name, error)?,
        }
    }
    gaps.unopened.extend(&secrets.unopened());
    let elsewhere = nodes::holders(of_nodes, secrets);
    Ok(Erased { answers, gaps, of_other_tenants: plan.counts.of_other_tenants, elsewhere })
}

/// Erases the lines in one segment, if there are any and it is allowed. Also returns their tokens, if the
/// originals of these are on nodes.
fn erase_in(
    site: &mut Site,
    case: &str,
    planned: &PlannedSegment,
    secrets: &mut Secrets,
    progress: &dyn Fn(u64),
) -> Result<Option<(Answer, NodeTokens)>, Diagnostic> {
    // A plan of an erasure names somebody: without that, no line could be recognised.
    let Some(wanted) = &planned.wanted else { return Ok(None) };
    let (lines, of_nodes) = look(site, planned, wanted, progress)?;
    if lines == 0 {
        return Ok(None);
    }
    let outcome = match reason_to_keep(site, &planned.name) {
        Some(reason) => reason,
        None => match rewrite(site, case, planned, wanted, secrets) {
            Ok(()) => Outcome::Erased,
            Err(error) if Obstacle::is_closed_vault(&error) => {
                Outcome::VaultClosed { code: error.code.id.to_owned() }
            }
            Err(error) => return Err(error),
        },
    };
    Ok(Some((Answer { place: place(&planned.name), lines, outcome }, of_nodes)))
}

fn place(name: &SegmentName) -> AnswerPlace {
    let Folder { expires, class } = &name.folder;
    AnswerPlace { class: class.to_string(), expires: expires.to_string(), segment: name.to_string() }
}

/// Counts the lines of the person in the frames of a plan; also returns her tokens in them, if a worker of a
/// fleet stored them.
fn look(
    site: &Site,
    planned: &PlannedSegment,
    wanted: &Wanted,
    progress: &dyn Fn(u64),
) -> Result<(u64, NodeTokens), Diagnostic> {
    let segment = Segment::open(&*site.storage, &planned.path)?;
    let (mut count, mut of_nodes, mut guess) = (0, NodeTokens::default(), Guess::new(None));
    for frame in &planned.frames {
        let lines = segment.lines(frame.number)?;
        for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|line| wanted.is_in(line)) {
            count += 1;
            if planned.originals == Originals::OfNodes {
                of_nodes.add(line, Scope::Asked, Some(wanted), &mut guess)?;
            }
        }
        progress(u64::from(frame.place.bytes));
    }
    Ok((count, of_nodes))
}

fn reason_to_keep(site: &Site, name: &SegmentName) -> Option<Outcome> {
    if let Some(case) = site.held.get(&name.to_string()) {
        return Some(Outcome::Held { case: case.clone() });
    }
    match site.classes.iter().find(|class| class.name == name.folder.class) {
        None => Some(Outcome::ClassUnknown),
        Some(class) if class.duty => Some(Outcome::Duty { basis: class.basis.clone() }),
        Some(_) => None,
    }
}

/// Writes a segment and its vault anew, and replaces the old ones.
fn rewrite(
    site: &mut Site,
    case: &str,
    planned: &PlannedSegment,
    wanted: &Wanted,
    secrets: &mut Secrets,
) -> Result<(), Diagnostic> {
    let name = &planned.name;
    let old = Segment::open(&*site.storage, &planned.path)?;
    let id = archive::new_id()?;
    let opened = old.footer().vault.map(|_| secrets.open(name, State::Sealed)).transpose()?;
    let gone = needed_no_more(&old, wanted)?;
    let mark = opened.as_ref().map(|opened| stage_vault(site, name, id, opened, &gone)).transpose()?;
    let tree = tree_of(site, planned);
    let mode = if tree == site.tree { FILE_MODE } else { SECOND_PHASE_FILE_MODE };
    let mut stay = Staying::new(wanted, opened.as_ref());
    let staged =
        archive::rewrite(&site.storage, &old, &Destination { tree: &tree, name, mode }, id, &mut stay)?;
    let before = hex::encode(old.digest());
    let lines_before = old.footer().lines();
    let mut erasure = Erasure {
        case: case.to_owned(),
        name: name.to_string(),
        before,
        digest: None,
        sealed: site.today(),
        lines_before,
        lines: staged.lines,
    };
    if let Rewritten { segment: Some(writer), .. } = staged {
        let (previous, now) = (old.footer().previous, site.now);
        let digest = writer.seal_staged(previous, mark, &mut site.ledger, now)?;
        // Read the new segment back before the old one goes.
        let new = Segment::open(&*site.storage, &tree.staged(name))?;
        new.check()?;
        (erasure.digest, erasure.sealed) = (Some(hex::encode(&digest)), new.seal().day);
    }
    if tree == site.tree {
        remove_copy(site, name, &old)?;
    }
    site.ledger.append(Event::EraseIntent(erasure.clone()))?;
    complete(site, &tree, name, &erasure)?;
    site.ledger.append(Event::EraseDone(erasure))?;
    Ok(())
}

/// Removes the copy of the segment, with the same lines, that an interrupted move left in the second store.
/// The next purge moves the new segment there.
fn remove_copy(site: &Site, name: &SegmentName, old: &Segment) -> Result<(), Diagnostic> {
    let copy = site.second_tree().segment(name);
    if exists(site, &copy)? && Segment::open(&*site.storage, &copy)?.digest() == old.digest() {
        remove(site, &copy)?;
    }
    Ok(())
}

/// Returns the tokens whose originals are no longer needed.
///
/// These are the tokens of the person, and those of others that are in her lines and in no line that stays. A
/// token that is in no line at all, or that is spelt unreadably, keeps its original.
fn needed_no_more(segment: &Segment, erased: &Wanted) -> Result<HashSet<TagKey>, Diagnostic> {
    let keys = |line: &[u8]| spelling::all(line).into_iter().map(|spelt| spelt.key);
    let mut gone: HashSet<TagKey> = erased.iter().copied().collect();
    each_line(segment, &mut |line| {
        if erased.is_in(line) {
            gone.extend(keys(line));
        }
    })?;
    each_line(segment, &mut |line| {
        if !erased.is_in(line) {
            for key in keys(line) {
                gone.remove(&key);
            }
        }
    })?;
    Ok(gone)
}

fn each_line(segment: &Segment, each: &mut dyn FnMut(&[u8])) -> Result<(), Diagnostic> {
    for frame in 0..segment.footer().frames.len() {
        segment.lines(frame)?.split_inclusive(|&byte| byte == b'\n').for_each(&mut *each);
    }
    Ok(())
}

/// Writes the vault anew, without the originals of the tokens in `gone`.
fn stage_vault(
    site: &Site,
    name: &SegmentName,
    id: SegmentId,
    opened: &Opened,
    gone: &HashSet<TagKey>,
) -> Result<VaultMark, Diagnostic> {
    let shred_key = site.shred.existing(name.folder.expires)?;
    let shred_key =
        shred_key.ok_or_else(|| Diagnostic::new(&NO_SHRED_KEY, "a shred key has just been erased"))?;
    let vault = Vault::open(&*site.storage, &site.tree.vault(name))?;
    let wrap = vault.wrap(&shred_key)?.unwrap_or_default();
    let header = vault.header();
    let parameters = vault::VaultParameters {
        secret: opened.keys.secret(),
        wrap: &wrap,
        shred_key: &shred_key,
        begun: 0,
        tenant: &header.tenant,
        kinds: &header.kinds,
    };
    let mut writer = VaultWriter::stage(&site.storage, &site.tree, name, id, &parameters)?;
    for originals in opened.originals.chunks(RECORD_ORIGINALS) {
        let mut tokens = Tokens::default();
        for original in originals {
            // A record numbers kinds in the order of the vault's header.
            let number = header.kinds.iter().position(|kind| *kind == original.kind);
            let Some(number) = number.and_then(|number| u8::try_from(number).ok()) else { continue };
            let Some(kind) = opened.kinds.find(&original.kind) else { continue };
            let tag = opened.keys.tag(kind, &original.canonical);
            if !gone.contains(&TagKey::of(&tag)) {
                tokens.push(Kind(number), tag, &original.canonical);
            }
        }
        writer.add(&[&tokens])?;
    }
    writer.sync()?;
    let (bytes, digest) = writer.mark();
    Ok(VaultMark { bytes, digest })
}

/// The number of originals in a record of a rewritten vault: a few dozen KiB.
const RECORD_ORIGINALS: usize = 4096;

/// Keeps the lines that name nobody who is erased.
struct Staying<'t> {
    erased: &'t Wanted,
    /// Addresses by their tokens, and networks; `None` without a vault.
    addresses: Option<(HashMap<TagKey, &'t [u8]>, Networks)>,
}

impl<'t> Staying<'t> {
    fn new(erased: &'t Wanted, opened: Option<&'t Opened>) -> Self {
        let addresses = opened.map(|opened| {
            let addresses = opened.originals.iter().filter(|original| original.kind == "ip");
            let by_token = addresses.map(|original| {
                (TagKey::of(&opened.keys.tag(Kind::IP, &original.canonical)), original.canonical.as_slice())
            });
            (by_token.collect(), Networks::new(Arc::new(opened.keys.clone())))
        });
        Self { erased, addresses }
    }
}

impl Keeps for Staying<'_> {
    fn keeps(&self, line: &[u8]) -> bool {
        !self.erased.is_in(line)
    }

    fn keys(&mut self, lines: &[u8]) -> Vec<u64> {
        let tokens: HashSet<TagKey> = spelling::all(lines).into_iter().map(|spelt| spelt.key).collect();
        let mut keys: HashSet<u64> = tokens.iter().map(|token| filter::key(&token.tag())).collect();
        if let Some((addresses, networks)) = &mut self.addresses {
            let known = tokens.iter().filter_map(|token| addresses.get(token));
            keys.extend(known.filter_map(|address| networks.tag_of(address)).map(|tag| filter::key(&tag)));
        }
        // Sorted, so the same lines make the same filter.
        let mut keys: Vec<u64> = keys.into_iter().collect();
        keys.sort_unstable();
        keys
    }

    fn knows_networks(&self) -> bool {
        self.addresses.is_some()
    }
}

/// Completes erasures that were interrupted after their intent, and removes what earlier interruptions left.
///
/// Returns the number of completed erasures. Nobody else may purge, hold or erase meanwhile.
///
/// # Errors
/// If the ledger cannot be read, or files cannot be renamed or removed: the next run continues from there.
pub fn finish(site: &mut Site) -> Result<usize, Diagnostic> {
    let begun = begun(site)?;
    for (name, erasure) in &begun {
        let Some(name) = SegmentName::parse_path(name) else { continue };
        for tree in [site.tree.clone(), site.second_tree()] {
            complete(site, &tree, &name, erasure)?;
        }
        site.ledger.append(Event::EraseDone(erasure.clone()))?;
    }
    sweep(site)?;
    Ok(begun.len())
}

/// Returns the erasures with an intent and no end, by the name of their segment.
fn begun(site: &Site) -> Result<BTreeMap<String, Erasure>, Diagnostic> {
    let mut begun = BTreeMap::new();
    site.ledger.read(&mut |entry, _| match entry.event() {
        Some(Event::EraseIntent(erasure)) => drop(begun.insert(erasure.name.clone(), erasure)),
        Some(Event::EraseDone(erasure)) => drop(begun.remove(&erasure.name)),
        _ => {}
    })?;
    Ok(begun)
}

/// Moves the staged files into place, or removes the old segment if no line is left. May be repeated.
fn complete(site: &Site, tree: &Tree, name: &SegmentName, erasure: &Erasure) -> Result<(), Diagnostic> {
    let (segment, vault) = (tree.segment(name), tree.vault(name));
    match erasure.digest {
        Some(_) => {
            replace(site, &tree.staged_vault(name), &vault)?;
            replace(site, &tree.staged(name), &segment)
        }
        None => {
            // After the old segment was removed, a filter may have begun another one of the same name.
            if is_old(site, &segment, erasure)? {
                remove(site, &vault)?;
                remove(site, &segment)?;
            }
            remove(site, &tree.staged_vault(name))
        }
    }
}

fn is_old(site: &Site, segment: &Path, erasure: &Erasure) -> Result<bool, Diagnostic> {
    if !exists(site, segment)? {
        return Ok(false);
    }
    let segment = Segment::open(&*site.storage, segment)?;
    Ok(hex::encode(segment.digest()) == erasure.before)
}

fn replace(site: &Site, staged: &Path, place: &Path) -> Result<(), Diagnostic> {
    if exists(site, staged)? {
        site.storage.rename(staged, place).map_err(failed("rename", staged))?;
    }
    // Also syncs what an earlier run renamed and did not sync.
    sync_directory_of(site, place)
}

fn remove(site: &Site, path: &Path) -> Result<(), Diagnostic> {
    if_there(site.storage.unlink(path)).map_err(failed("remove", path))?;
    sync_directory_of(site, path)
}

fn sync_directory_of(site: &Site, path: &Path) -> Result<(), Diagnostic> {
    let Some(directory) = path.parent() else { return Ok(()) };
    if exists(site, directory)? {
        site.storage.sync_directory(directory).map_err(failed("sync", directory))?;
    }
    Ok(())
}

fn exists(site: &Site, path: &Path) -> Result<bool, Diagnostic> {
    site.storage.exists(path).map_err(failed("look for", path))
}

/// Removes staged files that no intent mentions.
fn sweep(site: &Site) -> Result<(), Diagnostic> {
    for root in [&site.tree.archive, &site.tree.vault, &site.intermediate] {
        for day in directories(site, root)? {
            for class in directories(site, &day)? {
                for file in listed(site, &class)?.iter().filter(|file| SegmentName::is_staged(&file.name)) {
                    remove(site, &file.path)?;
                }
            }
        }
    }
    Ok(())
}

fn directories(site: &Site, path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    Ok(listed(site, path)?.into_iter().filter(|listed| listed.directory).map(|listed| listed.path).collect())
}

/// Lists a directory. One that cannot be read counts as empty, because that is no reason to leave leftovers
/// in others.
fn listed(site: &Site, path: &Path) -> Result<Vec<Listed>, Diagnostic> {
    match site.storage.list(path) {
        Err(error) if is_of_one_file(&error) => Ok(Vec::new()),
        listed => listed.map_err(failed("list", path)),
    }
}

/// Returns the store that holds a segment of a plan.
fn tree_of(site: &Site, planned: &PlannedSegment) -> Tree {
    let first = planned.path == site.tree.segment(&planned.name);
    if first { site.tree.clone() } else { site.second_tree() }
}
