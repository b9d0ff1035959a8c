//! Extracts from frozen segments what a case needs: the lines with its targets, and the originals of the
//! tokens in them.
//!
//! The extract is encrypted under the key of the hold. If nothing is missing from it, the segments are no
//! longer frozen.

use super::{Gap, Hold, Holds, failed};
use crate::archive::{Found, Part, Segment, VaultMark};
use crate::format::Guess;
use crate::jobs::purge::Site;
use crate::jobs::replay::{
    Identifier, NodeTokens, Obstacle, Obstacles, Opened, Scope, Secrets, Share, Sorted, Sought, State,
    TagKey, Unsearched, Wanted, days_of, nodes, sealed_and_unsealed, spelling,
};
use crate::keyring::Escrow;
use crate::ledger::event::{self, Event, NotCovered};
use crate::model::SegmentName;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::vault::Original;
use serde_json::json;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use zeroize::{Zeroize as _, Zeroizing};

/// Whose lines to extract.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Tokens.
    pub tokens: Vec<TagKey>,
    /// Identifiers in clear.
    pub identifiers: Vec<Identifier>,
}

impl Targets {
    fn sought(&self) -> Sought {
        if self.tokens.is_empty() { Sought::ByIdentifiers } else { Sought::Otherwise }
    }
}

/// What was extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The number of lines.
    pub lines: u64,
    /// The number of pairs of token and original.
    pub pairs: u64,
    /// Names of frozen segments that are not in the archive.
    pub absent: Vec<String>,
    /// Names of segments with such lines whose vault, which a custodian would open, is missing.
    pub without_vault: Vec<String>,
    /// Names of segments that may belong to a tenant other than the named one.
    pub unattributed: Vec<String>,
    /// Segments of epochs whose secret is lost: they were not searched for identifiers in clear.
    pub unsearched: Unsearched,
    /// Segments that could not be read, or not to their end.
    pub unreadable: Obstacles,
    /// Segments whose vault could not be read completely.
    pub unopened: Obstacles,
    /// Segments with such lines whose vault no available shred key opens.
    pub closed: Obstacles,
    /// What prevents originals of lines that a worker of a fleet stored from being extracted, by class,
    /// expiry day and epoch: they are in vaults of the nodes.
    pub withheld: Obstacles,
    /// The number of frozen segments that belong to another tenant.
    pub of_other_tenants: u64,
    /// The number of segments that are not sealed yet: they were read as far as they had been written.
    pub unsealed: u64,
}

impl Extracted {
    /// Returns the code that the ledger records for an extract that lacks what could not be read or opened;
    /// `None` if everything could.
    #[must_use]
    pub fn code(&self) -> Option<&'static Code> {
        let obstacles = [&self.unreadable, &self.unopened, &self.closed, &self.withheld];
        obstacles.into_iter().find_map(Obstacles::code).or_else(|| self.unsearched.code())
    }

    /// Returns the days that are not covered, for the ledger and the record of the hold.
    fn not_covered(&self) -> Vec<NotCovered> {
        let not_covered = self.unsearched.epochs().map(|epoch| NotCovered {
            first_day: epoch.days.map(|(first, _)| first),
            last_day: epoch.days.map(|(_, last)| last),
            segments: epoch.segments.len() as u64,
        });
        not_covered.collect()
    }

    /// Returns what keeps the segments frozen: a message for each thing that is missing. Empty if the case
    /// has what it needs.
    #[must_use]
    pub fn lacks(&self) -> Vec<Diagnostic> {
        let mut lacks = Vec::new();
        let mut add = |what: String, place: Option<&String>, hint: &str| {
            let lack = Diagnostic::new(&LACKING, what).because(WHY).hint(hint);
            lacks.push(match place {
                Some(name) => lack.at(name.clone()),
                None => lack,
            });
        };
        if self.lines == 0 {
            let hint = "look at whom you named, and at the archive, and run it again; if nothing is to be kept, `oubliette hold release`";
            add("no line was found".to_owned(), None, hint);
        }
        if let [first, ..] = &self.absent[..] {
            let what = format!("of the segments that the case froze, {} not there", are(self.absent.len()));
            let hint = "name the archive that they lie in with `--archive`, or bring them back, and run it again; if they are lost, `oubliette hold release`";
            add(what, Some(first), hint);
        }
        if let [first, ..] = &self.without_vault[..] {
            let what =
                format!("of the segments with such lines, {} without a vault", are(self.without_vault.len()));
            let hint = "name the folder of vaults with `--vault DIR`, and run it again; without originals, with `--token` alone";
            add(what, Some(first), hint);
        }
        let restore = "restore it from a copy, and run it again; `oubliette verify` names all; if it is lost, `oubliette hold release`";
        let bring = "run it where the shred key of its day is; if that is lost nobody can give them back: `oubliette hold release`, once the lines are enough";
        for (obstacles, what, hint) in [
            (&self.unreadable, "not as they were written, or cannot be read", restore),
            (
                &self.unopened,
                "with a vault of which not all can be read; what it still gives was extracted",
                restore,
            ),
            (
                &self.closed,
                "with such lines whose vault does not open: these were extracted without originals",
                bring,
            ),
        ] {
            if let Some(obstacle) = obstacles.first() {
                let what = format!("of the segments that the case froze, {} {what}", obstacles.count());
                add(what, Some(&obstacle.place), hint);
            }
        }
        if let [first, ..] = &self.unattributed[..] {
            let what = format!(
                "of the segments that the case froze, {} without a vault that says whose it is",
                are(self.unattributed.len())
            );
            let hint = "name the folder of vaults with `--vault DIR`, and run it again; or ask for identifiers alone, and for no token";
            add(what, Some(first), hint);
        }
        lacks.extend(self.lacks_days());
        for obstacle in self.withheld.iter().map(|(_, obstacle)| obstacle).take(MOST_TOLD) {
            let what = "originals of lines that a worker stored were not extracted: the lines were";
            lacks.push(
                Diagnostic::new(&LACKING, what)
                    .at(obstacle.place.clone())
                    .because(obstacle.why.clone())
                    .hint("name the vaults of the nodes with `--vault` and their shred keys with `--shred-keys`, and run it again; without originals, with `--token` alone"),
            );
        }
        lacks
    }

    /// Returns a message for each epoch whose days are not covered.
    fn lacks_days(&self) -> Vec<Diagnostic> {
        let lack = |what: String, why: &str, hint: String| {
            Diagnostic::new(&LACKING, what).because(why.to_owned()).hint(hint)
        };
        let mut lacks = Vec::new();
        for epoch in self.unsearched.epochs().take(MOST_TOLD) {
            let (segments, days) = (segments(epoch.segments.len()), epoch.of_days());
            let what = format!("the extract does not cover {segments}{days}, not searched: {}", epoch.what);
            let hint = epoch.hint.as_deref().unwrap_or("run it again where the secret is");
            let hint = format!("everything else was searched; for the rest: {hint}");
            let place = epoch.segments.first().cloned().unwrap_or_default();
            lacks.push(lack(what, epoch.why.as_deref().unwrap_or(WHY), hint).at(place));
        }
        let more = self.unsearched.epochs().skip(MOST_TOLD).map(|epoch| epoch.segments.len()).sum();
        if more > 0 {
            let what = format!("the extract does not cover {} more either", segments(more));
            lacks.push(lack(what, WHY, "`oubliette hold list` names all days".to_owned()));
        }
        lacks
    }
}

/// The most classes and days that are named one by one.
const MOST_TOLD: usize = 10;

/// Why segments stay frozen after an extract that lacks something.
const WHY: &str = "what is not extracted is gone after the purge of its day";

fn segments(count: usize) -> String {
    format!("{count} segment{}", if count == 1 { "" } else { "s" })
}

fn are(count: usize) -> String {
    format!("{count} {}", if count == 1 { "is" } else { "are" })
}

/// What has been collected and is not encrypted yet. It holds originals in clear, so it is wiped.
#[derive(Default)]
struct Collected {
    lines: Zeroizing<Vec<u8>>,
    pairs: Zeroizing<Vec<u8>>,
    /// The tokens in lines that workers of a fleet stored, and the first spelling of each.
    of_nodes: NodeTokens,
    spelt: HashMap<TagKey, Vec<u8>>,
    /// The digests of the segments that were searched.
    digests: HashSet<[u8; 32]>,
    /// The names of all segments in the archive.
    names: Vec<SegmentName>,
    sorted: Sorted,
    counted: Extracted,
}

impl Collected {
    fn pair(&mut self, token: &str, original: &Original) {
        // The line has text in front of some tokens; the kind of this one is that of its original.
        let body = token.rsplit_once('_').map(|(_, body)| format!("{}_{body}", original.kind));
        let token = body.as_deref().unwrap_or(token);
        let canonical = Zeroizing::new(hex::encode(&original.canonical));
        let pair = json!({ "token": token, "kind": original.kind, "canonical": &*canonical });
        let mut pair = pair.to_string();
        self.pairs.extend_from_slice(pair.as_bytes());
        self.pairs.push(b'\n');
        self.counted.pairs += 1;
        pair.zeroize();
    }
}

impl Holds {
    /// Extracts the lines with `targets` from the segments that the hold of a case freezes.
    ///
    /// The extract is encrypted under the key of the hold, which is itself encrypted to `escrow`. If a
    /// custodian takes part in `secrets`, the originals of the tokens in these lines are extracted, too. The
    /// segments stay frozen if the extract [lacks](Extracted::lacks) something; without any line there is no
    /// extract.
    ///
    /// Identifiers in clear can be looked for only with a custodian, because the node has no secret of a past
    /// epoch. If an identity is given and the secret of an epoch is lost, its days are not covered.
    ///
    /// # Errors
    /// If there is no such hold, there are no recipients, or a secret is missing: then nothing is extracted.
    pub fn extract(
        &self,
        site: &mut Site,
        case: &str,
        targets: &Targets,
        secrets: &mut Secrets,
        escrow: &Escrow,
    ) -> Result<Extracted, Diagnostic> {
        let hold = self.found(case)?;
        if escrow.is_missing() {
            return Err(closed("there are no escrow recipients to whom it could be encrypted"));
        }
        if !secrets.has_custodian() && !targets.identifiers.is_empty() {
            return Err(closed(
                "an identifier in clear is looked for with `--identity` or `--key-file`, or by its tokens",
            ));
        }
        let all = sealed_and_unsealed(site)?;
        let names = all.iter().map(|found| found.name.clone()).collect();
        let mut collected = Collected { names, ..Collected::default() };
        let mut absent: BTreeSet<String> = hold.segments.iter().cloned().collect();
        for found in all {
            let name = found.name.to_string();
            absent.remove(&name);
            if hold.segments.contains(&name)
                && let Err(error) = collect(site, &found, targets, secrets, &mut collected)
            {
                collected.counted.unreadable.note(&found.name, error)?;
            }
        }
        collected.counted.unsearched = mem::take(&mut collected.sorted).demand_something()?;
        collect_pairs_of_nodes(secrets, &mut collected)?;
        collected.counted.absent = absent.into_iter().collect();
        collected.counted.unopened = secrets.unopened();
        let Extracted { lines, pairs, .. } = collected.counted;
        let count = (targets.tokens.len() + targets.identifiers.len()) as u64;
        let not_covered = collected.counted.not_covered();
        let entry = event::Extract { case: case.to_owned(), targets: count, lines, pairs, not_covered };
        site.ledger.append(Event::HoldExtracted(entry))?;
        if lines > 0 {
            self.keep_extract(site, hold, &collected, escrow)?;
        }
        Ok(collected.counted)
    }

    fn keep_extract(
        &self,
        site: &mut Site,
        mut hold: Hold,
        collected: &Collected,
        escrow: &Escrow,
    ) -> Result<(), Diagnostic> {
        let recipient = self.recipient(&mut hold, escrow)?;
        let there = self.extracts(&hold.case)?;
        let is_there = |stem: &str| there.iter().any(|path| path.to_string_lossy().contains(stem));
        // A file of the hold that was restored from an older copy knows fewer extracts than there are.
        let mut stem;
        loop {
            hold.extracts += 1;
            stem = format!("{}-{}", super::stem(&hold.case), hold.extracts);
            if !is_there(&format!("/{stem}.")) {
                break;
            }
        }
        for (what, bytes) in [("lines", &collected.lines), ("pairs", &collected.pairs)] {
            let name = format!("{stem}.{what}.age");
            let encrypted = age::encrypt(&recipient, bytes).map_err(io::Error::other);
            let written = encrypted.and_then(|encrypted| self.folder.write(&name, &encrypted));
            written.map_err(failed("write", &self.folder.path(&name)))?;
        }
        let not_covered = collected.counted.not_covered().into_iter();
        hold.gaps.extend(not_covered.map(|not_covered| Gap { extract: hold.extracts, not_covered }));
        if collected.counted.lacks().is_empty() {
            // Not today: by a clock that is not believed, the freeze would seem to last until then.
            hold.frozen_until = hold.frozen_until.min(site.certain_day()?);
        }
        self.keep(&hold)
    }
}

fn collect(
    site: &Site,
    found: &Found,
    targets: &Targets,
    secrets: &mut Secrets,
    collected: &mut Collected,
) -> Result<(), Diagnostic> {
    let part = part_of(site, found)?;
    if part.as_ref().is_some_and(|part| part.frames().next().is_none()) {
        // Nothing has been written to the part yet, and its vault may be just as new.
        return Ok(());
    }
    match secrets.share_of(&found.name, targets.sought())? {
        Share::Searched => {}
        Share::OfAnother => {
            collected.counted.of_other_tenants += 1;
            return Ok(());
        }
        Share::Unknown => {
            collected.counted.unattributed.push(found.name.to_string());
            return Ok(());
        }
    }
    let (source, days) = match part {
        Some(part) => (Source::Part(part), None),
        None => {
            let segment = Segment::open_as(&*site.storage, &sealed(found), &found.name)?;
            if !collected.digests.insert(*segment.digest()) {
                // A copy under another name.
                return Ok(());
            }
            let days = days_of(site, &segment, 0..segment.footer().frames.len());
            (Source::Segment(Box::new(segment)), days)
        }
    };
    let looked = wanted(found, targets, secrets, collected);
    let Some(wanted) = collected.sorted.sort(&found.name, days, looked, secrets)? else { return Ok(()) };
    let mut kept = Kept { wanted, lines: Zeroizing::default(), count: 0 };
    let (state, vault) = match source {
        Source::Part(part) => {
            part.frames().for_each(|(_, lines)| kept.add(&lines));
            collected.counted.unsealed += 1;
            (State::Unsealed, None)
        }
        Source::Segment(segment) => {
            for frame in 0..segment.footer().frames.len() {
                match segment.lines(frame) {
                    Ok(lines) => kept.add(&lines),
                    Err(error) => collected.counted.unreadable.note(&found.name, error.into())?,
                }
            }
            (State::Sealed, segment.footer().vault)
        }
    };
    collected.counted.lines += kept.count;
    collect_originals(found, &kept.lines, (state, vault), secrets, collected)?;
    collected.lines.extend_from_slice(&kept.lines);
    Ok(())
}

/// A segment, as far as it has been written.
enum Source {
    Part(Part),
    Segment(Box<Segment>),
}

/// Returns the tokens to look for: those that were named, and those of the identifiers in the epochs of the
/// segment. If its secret is missing, another segment of its epoch may give it.
fn wanted(
    found: &Found,
    targets: &Targets,
    secrets: &mut Secrets,
    collected: &mut Collected,
) -> Result<Wanted, Diagnostic> {
    let mut keys: HashSet<TagKey> = targets.tokens.iter().copied().collect();
    if !targets.identifiers.is_empty() {
        let mut epochs = secrets.keys_of_each(&found.name);
        if let Err(refusal) = &epochs
            && collected.sorted.has_secret_elsewhere(&found.name, refusal, &collected.names, secrets)
        {
            epochs = secrets.keys_of_each(&found.name);
        }
        for epoch in epochs? {
            let key = |target: &Identifier| TagKey::of(&epoch.tag(target.kind, &target.canonical));
            keys.extend(targets.identifiers.iter().map(key));
        }
    }
    Ok(Wanted::new(keys))
}

/// Collects the pairs of a segment's lines from its vault, or notes what prevents that.
fn collect_originals(
    found: &Found,
    lines: &[u8],
    (state, vault): (State, Option<VaultMark>),
    secrets: &mut Secrets,
    collected: &mut Collected,
) -> Result<(), Diagnostic> {
    // A fixed epoch may have the kid `SegmentName::MANY_EPOCHS` by chance, but then the segment has a vault.
    let of_worker = found.name.kid == SegmentName::MANY_EPOCHS && state == State::Sealed && vault.is_none();
    if of_worker && secrets.has_custodian() {
        note_of_nodes(lines, collected)?;
    }
    let opened = match secrets.open_if_any(&found.name, state, vault) {
        Ok(opened) => opened,
        Err(error) => {
            let obstacle = Obstacle::of_vault(error)?;
            if !lines.is_empty() {
                collected.counted.closed.insert(&found.name, obstacle);
            }
            None
        }
    };
    match opened {
        Some(opened) => collect_pairs(lines, &opened, collected),
        None if !lines.is_empty()
            && vault.is_some()
            && secrets.has_custodian()
            && !secrets.unopened().has(&found.name)
            && !collected.counted.closed.has(&found.name) =>
        {
            collected.counted.without_vault.push(found.name.to_string());
        }
        None => {}
    }
    Ok(())
}

/// The lines with the targets in a segment.
struct Kept {
    wanted: Wanted,
    lines: Zeroizing<Vec<u8>>,
    count: u64,
}

impl Kept {
    fn add(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|line| self.wanted.is_in(line)) {
            self.lines.extend_from_slice(line);
            self.count += 1;
        }
    }
}

/// Opens a segment that is not sealed yet, as far as it has been written; `None` if it is sealed, perhaps
/// since it was listed.
fn part_of(site: &Site, found: &Found) -> Result<Option<Part>, Diagnostic> {
    if !found.part {
        return Ok(None);
    }
    match Part::open(&*site.storage, &found.path) {
        Err(error) if error.is_missing() => Ok(None),
        part => Ok(Some(part?)),
    }
}

/// Returns the path of a segment once it is sealed.
fn sealed(found: &Found) -> PathBuf {
    if found.part { found.path.with_extension("") } else { found.path.clone() }
}

/// Notes the tokens in lines that a worker of a fleet stored.
fn note_of_nodes(lines: &[u8], collected: &mut Collected) -> Result<(), Diagnostic> {
    let mut guess = Guess::new(None);
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        collected.of_nodes.add(line, Scope::Everybody, None, &mut guess)?;
        for found in spelling::all(line) {
            collected.spelt.entry(found.key).or_insert_with(|| line[found.span].to_vec());
        }
    }
    Ok(())
}

/// Collects the originals of the tokens in lines that workers stored, from the vaults of the nodes.
fn collect_pairs_of_nodes(secrets: &mut Secrets, collected: &mut Collected) -> Result<(), Diagnostic> {
    let found = nodes::originals(mem::take(&mut collected.of_nodes), Scope::Everybody, secrets);
    collected.counted.withheld = found.obstacles()?;
    let mut originals: Vec<_> = found.originals.iter().collect();
    originals.sort_unstable_by_key(|(key, _)| **key);
    for (key, original) in originals {
        if let Some(token) = collected.spelt.remove(key) {
            collected.pair(&String::from_utf8_lossy(&token), original);
        }
    }
    Ok(())
}

/// Collects the originals of the tokens in these lines, each once, with its first spelling.
fn collect_pairs(lines: &[u8], opened: &Opened, collected: &mut Collected) {
    let mut spelt = HashMap::new();
    for found in spelling::all(lines) {
        spelt.entry(found.key).or_insert(&lines[found.span]);
    }
    for original in &opened.originals {
        let Some(kind) = opened.kinds.find(&original.kind) else { continue };
        let key = TagKey::of(&opened.keys.tag(kind, &original.canonical));
        if let Some(token) = spelt.get(&key) {
            collected.pair(&String::from_utf8_lossy(token), original);
        }
    }
}

fn closed(why: &str) -> Diagnostic {
    Diagnostic::new(&CLOSED, "nothing can be extracted")
        .because(why)
        .hint("`oubliette explain H05` says what an extract needs")
}

/// H05: a vault that does not open, or an extract that nobody could open.
pub(super) static CLOSED: Code = Code {
    id: "H05",
    title: "nothing can be extracted",
    text: "\
What it means
  An extract has a key of its own, which oubliette encrypts to the escrow recipients. To find a
  person's lines, it needs an escrow identity and the shred key of the day. One of these is missing.

Why it matters
  The node alone cannot link a token to a person, not even for a case. That takes two parties.

Example
  oubliette hold extract --case 2027/0815 --ip 203.0.113.7      without --identity

What to do
  If there are no recipients, run `oubliette init` first. Then do one of these:
  - Ask a custodian to run the command with `--identity FILE`.
  - If the lines were filtered with a key file, add `--key-file FILE`.
  - Search for the tokens with `--token`. `oubliette token` gives the token of an identifier on a
    day.

References
  docs/holds.md, docs/keys.md",
};

/// H06: an extract of which the case may need more.
pub(super) static LACKING: Code = Code {
    id: "H06",
    title: "an extract lacks something, so the segments stay frozen",
    text: "\
What it means
  `oubliette hold extract` found no line; or it could not read all that it needs. Either a segment
  that the hold freezes is missing, damaged or unreadable. Or the vault of such lines is missing or
  damaged, or no shred key opens it. (The vaults of lines that a worker of a fleet stored are on the
  nodes.) Or the secret of an epoch is lost: the message names the days that the extract does not
  cover.

  oubliette saved the lines that it found. The segments stay frozen until the day that
  `oubliette hold list` shows. (`oubliette subject restrict` freezes none.)

Why it matters
  The next purge removes every segment that is due and not frozen. If one digit of an address is
  wrong, the lines that the authority asked for would be lost.

Example
  oubliette hold extract --case 2027/0815 --ip 203.0.113.70      for 203.0.113.7

What to do
  1. Check the identifier, and `--archive` and `--vault` of those days.
  2. Bring back what the message says is lost. For days that are not covered, `--token` still works.
     Then run the command again.
  3. If there is nothing to extract, or it is lost, end the hold:
     `oubliette hold release --case REF`

References
  docs/holds.md",
};
