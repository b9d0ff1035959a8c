//! `subject erase`: a person's lines go out of the segments of every class that no law obliges to keep.
//!
//! ```text
//! write vault and segment anew under other names, durably, read them back -> ledger: intent
//!           -> rename both over the old ones (or remove those, if no line is left) -> sync -> ledger: done
//! ```
//! A name stands for the old segment or the new one at every moment, never for both or none. What breaks off
//! before the intent leaves files that nobody looks at; what breaks off after it is ended by the next run, which
//! needs no secret for that. Copies elsewhere stay as they were until the shred key of their day is erased.

use super::failed;
use crate::archive::{self, FILE_MODE, Keeps, Place, Rewritten, Segment, VaultMark, filter};
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
use crate::primitives::storage::{Listed, is_of_one_file};
use crate::pseudonym::{Networks, Tokens};
use crate::vault::{self, Vault, VaultWriter};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What became of a person's lines in one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The class and the expiry day of the segment.
    #[serde(flatten)]
    pub place: AnswerPlace,
    /// How many lines of the person are or were in it.
    pub lines: u64,
    /// What became of them.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Where lines are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AnswerPlace {
    /// Their class.
    pub class: String,
    /// The first legal day on which they must no longer exist, whatever is asked for.
    pub expires: String,
    /// Path of the segment within the archive.
    pub segment: String,
}

/// What became of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// They are gone.
    Erased,
    /// The law obliges to keep them until their day (GDPR art. 17(3)(b)).
    Duty {
        /// The legal basis.
        basis: String,
    },
    /// They are frozen for a case (GDPR art. 17(3)(e)).
    Held {
        /// The case.
        case: String,
    },
    /// No rule says whether there is a duty to keep their class.
    ClassUnknown,
    /// The vault of their segment is not there or does not open, so it cannot be written anew without them.
    VaultClosed {
        /// The code of the message that says why, for `oubliette explain`.
        code: String,
    },
}

impl Outcome {
    /// Whether somebody must see to it that this is settled.
    #[must_use]
    pub fn needs_human(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::ClassUnknown | Self::VaultClosed { .. })
    }
}

/// What an erasure did.
#[derive(Debug)]
pub struct Erased {
    /// Each segment with lines of the person, in the order of their names.
    pub answers: Vec<Answer>,
    /// Where nobody could look.
    pub gaps: Gaps,
    /// How many segments of other tenants than the one that was named were left out.
    pub of_other_tenants: u64,
    /// Vaults of nodes that have originals of lines which a worker of a fleet stored, and which are gone: no erasure here
    /// reaches them, for the seals of the nodes cover them.
    pub elsewhere: Holders,
}

impl Erased {
    /// How many lines are gone.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.answers
            .iter()
            .filter(|answer| answer.outcome == Outcome::Erased)
            .map(|answer| answer.lines)
            .sum()
    }

    /// How many lines stay.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.answers.iter().map(|answer| answer.lines).sum::<u64>() - self.lines()
    }
}

/// Where the lines may be that `selection` names somebody of. What broke off before is ended first; nothing else is
/// changed.
///
/// # Errors
/// If a secret that is needed is missing; if something cannot be read.
pub fn plan(site: &mut Site, selection: &Selection, secrets: &mut Secrets) -> Result<Plan, Diagnostic> {
    finish(site)?;
    Plan::new(site, selection, Unsealed::LeftOut, secrets)
}

/// Erases the lines of a [`plan`], wherever that is allowed; a segment that is damaged stays as it is, among the gaps. Nobody
/// else may purge, hold or erase meanwhile.
///
/// # Errors
/// If a secret that is needed is missing; if something cannot be read or written: what was begun is ended by
/// [`finish`].
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
            // It stays as it is, and what was staged of a new one is removed by the next run.
            Err(error) => gaps.unreadable.note(&planned.name, error)?,
        }
    }
    gaps.unopened.extend(&secrets.unopened());
    let elsewhere = nodes::holders(of_nodes, secrets);
    Ok(Erased { answers, gaps, of_other_tenants: plan.counts.of_other_tenants, elsewhere })
}

/// Erases the lines in one segment, if there are any and that is allowed; with their tokens, if their originals are on nodes.
fn erase_in(
    site: &mut Site,
    case: &str,
    planned: &PlannedSegment,
    secrets: &mut Secrets,
    progress: &dyn Fn(u64),
) -> Result<Option<(Answer, NodeTokens)>, Diagnostic> {
    // The plan is of somebody, or there would be nothing to tell lines by.
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

/// How many lines of the person are in the frames of a plan; and her tokens in them, if a worker of a fleet stored them.
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

/// Writes a segment and its vault anew, and puts them in the place of the old ones.
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
    let staged = archive::rewrite(&site.storage, &old, &Place { tree: &tree, name, mode }, id, &mut stay)?;
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
        // Read back before the old one goes.
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

/// Removes the copy that a move which broke off left in the second store, with the same lines: the next purge moves what
/// takes their place.
fn remove_copy(site: &Site, name: &SegmentName, old: &Segment) -> Result<(), Diagnostic> {
    let copy = site.second_tree().segment(name);
    if exists(site, &copy)? && Segment::open(&*site.storage, &copy)?.digest() == old.digest() {
        remove(site, &copy)?;
    }
    Ok(())
}

/// The tokens of the person, and those of others that stand in her lines and in none that stays: nothing needs their
/// originals any more. A token that is in no line at all, or spelt as nobody can read it, keeps its original.
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

/// Writes the vault anew, without what the tokens in `gone` stand for.
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
    let custody = vault::Custody {
        secret: opened.keys.secret(),
        wrap: &wrap,
        shred_key: &shred_key,
        begun: 0,
        tenant: &header.tenant,
        kinds: &header.kinds,
    };
    let mut writer = VaultWriter::stage(&site.storage, &site.tree, name, id, &custody)?;
    for originals in opened.originals.chunks(RECORD_ORIGINALS) {
        let mut tokens = Tokens::default();
        for original in originals {
            // A record numbers kinds as the header of its vault does.
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

/// Originals in a record of a vault that is written anew: a few dozen KiB.
const RECORD_ORIGINALS: usize = 4096;

/// The lines that name nobody who is erased.
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
        // In an order of their own: the same lines make the same filter.
        let mut keys: Vec<u64> = keys.into_iter().collect();
        keys.sort_unstable();
        keys
    }

    fn knows_networks(&self) -> bool {
        self.addresses.is_some()
    }
}

/// Ends the erasures that broke off after their intent, and removes what those that broke off before it left. How
/// many were ended. Nobody else may purge, hold or erase meanwhile.
///
/// # Errors
/// If the ledger cannot be read, or files cannot be renamed or removed: the next run goes on from there.
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

/// Erasures that have an intent and no end, by the name of the segment.
fn begun(site: &Site) -> Result<BTreeMap<String, Erasure>, Diagnostic> {
    let mut begun = BTreeMap::new();
    site.ledger.read(&mut |entry, _| match entry.event() {
        Some(Event::EraseIntent(erasure)) => drop(begun.insert(erasure.name.clone(), erasure)),
        Some(Event::EraseDone(erasure)) => drop(begun.remove(&erasure.name)),
        _ => {}
    })?;
    Ok(begun)
}

/// Puts what is staged in its place, or removes the old segment if no line is left. May be done twice.
fn complete(site: &Site, tree: &Tree, name: &SegmentName, erasure: &Erasure) -> Result<(), Diagnostic> {
    let (segment, vault) = (tree.segment(name), tree.vault(name));
    match erasure.digest {
        Some(_) => {
            replace(site, &tree.staged_vault(name), &vault)?;
            replace(site, &tree.staged(name), &segment)
        }
        None => {
            // A filter may have begun another segment of that name, once the old one was gone.
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
    // Also what an earlier run renamed and did not sync.
    sync_directory_of(site, place)
}

fn remove(site: &Site, path: &Path) -> Result<(), Diagnostic> {
    match site.storage.unlink(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => sync_directory_of(site, path),
    }
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

/// Removes staged files of which no intent tells.
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

/// What is in a directory; nothing if it is one that cannot be looked into, for that is no reason to leave others as they are.
fn listed(site: &Site, path: &Path) -> Result<Vec<Listed>, Diagnostic> {
    match site.storage.list(path) {
        Err(error) if is_of_one_file(&error) => Ok(Vec::new()),
        listed => listed.map_err(failed("list", path)),
    }
}

/// The store that a segment of a plan lies in.
fn tree_of(site: &Site, planned: &PlannedSegment) -> Tree {
    let first = planned.path == site.tree.segment(&planned.name);
    if first { site.tree.clone() } else { site.second_tree() }
}
