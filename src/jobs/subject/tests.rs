//! Erasures over an archive in memory whose operations stop, tear and fail one by one.

use super::erase::{Erased, Outcome, erase, finish, plan};
use crate::archive::{Lines, Origin, Packer, Segment, SegmentWriter, VaultMark, filter};
use crate::jobs::purge::Site;
use crate::jobs::replay::{Credentials, NodePlaces, Secrets, Selection, State, Tenancy};
use crate::jobs::scene::{self, DAY, WRITTEN, class, events};
use crate::jobs::verify::{Archive, Checker, Verified};
use crate::keyring::Current;
use crate::ledger::Event;
use crate::model::{Expires, Kind, Kinds, NodeName, SegmentId, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Fault, Memory, Storage};
use crate::pseudonym::epoch::{Epoch, EpochKeys, kid};
use crate::pseudonym::{Pseudonymised, Tokens, token};
use crate::vault::{self, VaultWriter};
use jiff::civil::date;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EPOCH: Epoch = Epoch::From(date(2026, 11, 23));
const JEAN: &str = "203.0.113.7";
const ANNE: &str = "198.51.100.1";

fn keys() -> EpochKeys {
    EpochKeys::derive(&scene::secret(), EPOCH, "default", &Kinds::default())
}

fn canonical(address: &str) -> Vec<u8> {
    crate::detect::canonical::address_bytes(address.parse().unwrap())
}

fn token_of(address: &str) -> String {
    let mut text = Vec::new();
    token::write("ip", &keys().kid(), &keys().tag(Kind::IP, &canonical(address)), &mut text);
    String::from_utf8(text).unwrap()
}

fn line(address: &str, number: usize) -> String {
    format!("{} event={number}", token_of(address))
}

/// Writes a sealed segment with its vault: a frame for each list of addresses, a line for each address.
fn write(site: &mut Site, class: &str, frames: &[&[&str]]) {
    let tree = site.tree.clone();
    write_as(site, &Form { tree, vault: true, line: &line }, class, frames);
}

/// The form of a segment.
struct Form<'f> {
    tree: Tree,
    vault: bool,
    /// Returns the line of an address, or of several separated by blanks.
    line: &'f dyn Fn(&str, usize) -> String,
}

/// Writes a segment as [`write`] does, in another form.
fn write_as(site: &mut Site, form: &Form<'_>, class: &str, frames: &[&[&str]]) {
    let folder = scene::folder(DAY, class);
    let origin = Origin {
        id: SegmentId([5; 16]),
        node: NodeName::new("web1").unwrap(),
        folder: folder.clone(),
        zone: "Europe/Paris".to_owned(),
        kid: kid(&scene::secret(), EPOCH),
        policy: [3; 32],
        source_zone: None,
        networks_unknown: false,
    };
    let mut segment = SegmentWriter::begin(&site.storage, &form.tree, origin, &|_| Ok(true)).unwrap();
    let kinds: Vec<String> = Kinds::default().iter().map(|(_, name)| name.to_owned()).collect();
    let shred_key = site.shred.key_for(folder.expires).unwrap().key;
    let parameters = vault::VaultParameters {
        secret: &scene::secret(),
        wrap: b"wrapped",
        shred_key: &shred_key,
        begun: 0,
        tenant: "default",
        kinds: &kinds,
    };
    let mut vault = form.vault.then(|| {
        VaultWriter::begin(&site.storage, &form.tree, segment.name(), segment.id(), &parameters).unwrap()
    });
    let mut tokens = Tokens::default();
    for address in frames.iter().copied().flatten().flat_map(|line| line.split(' ')) {
        tokens.push(Kind::IP, keys().tag(Kind::IP, &canonical(address)), &canonical(address));
    }
    if let Some(vault) = &mut vault {
        vault.add(&[&tokens]).unwrap();
        vault.sync().unwrap();
    }
    for frame in frames {
        let lines: Vec<String> =
            frame.iter().enumerate().map(|(number, address)| (form.line)(address, number)).collect();
        let lines: Vec<(&str, i64)> = lines.iter().map(|line| (line.as_str(), 1)).collect();
        let block = Pseudonymised::of_lines(Expires::On(DAY), &lines);
        let mut packed = Lines::default();
        packed.push(&block, 0..lines.len());
        let tags = frame.iter().flat_map(|line| line.split(' ')).flat_map(|address| {
            let address = canonical(address);
            [keys().tag(Kind::IP, &address), keys().tag(Kind::NET, &address[..4])]
        });
        let filter = filter::build(&mut tags.map(|tag| filter::key(&tag)).collect());
        segment.append(Packer::new(1).unwrap().pack(&packed, filter).unwrap()).unwrap();
    }
    segment.sync().unwrap();
    let mark = vault.map(|vault| vault.mark()).map(|(bytes, digest)| VaultMark { bytes, digest });
    segment.seal(mark, &mut site.ledger, WRITTEN.parse().unwrap()).unwrap();
}

fn site(memory: &Memory) -> Result<Site, Diagnostic> {
    let mut site = scene::site(memory, WRITTEN)?;
    site.classes = vec![class("connection", true), class("ticket", false), class("order", false)];
    Ok(site)
}

/// Creates an archive with Jean's lines in a class with a duty, in one without, and alone in a segment of
/// another class without a duty.
fn archive() -> Memory {
    let memory = Memory::new();
    let mut site = site(&memory).unwrap();
    write(&mut site, "connection", &[&[JEAN, ANNE]]);
    write(&mut site, "ticket", &[&[JEAN, ANNE, JEAN], &[ANNE], &[JEAN]]);
    write(&mut site, "order", &[&[JEAN]]);
    memory
}

fn secrets(site: &Site) -> Secrets {
    let running = Some(Current { epoch: EPOCH, secret: scene::secret(), until: None });
    Secrets::new(
        site,
        Credentials {
            identities: None,
            running,
            owns_key_file: false,
            state_dir: "/state".into(),
            tenancy: Tenancy::everybody(),
            places: NodePlaces::default(),
        },
    )
}

fn of(address: &str) -> Selection {
    let mut selection = Selection::default();
    selection.add_identifiers(Kind::IP, "--ip", &[address.to_owned()]).unwrap();
    selection
}

fn erase_jean(memory: &Memory) -> Result<Erased, Diagnostic> {
    let mut site = site(memory)?;
    let mut secrets = secrets(&site);
    let plan = plan(&mut site, &of(JEAN), &mut secrets)?;
    erase(&mut site, "R-17", &plan, &mut secrets, &|_| {})
}

fn name(class: &str) -> SegmentName {
    SegmentName { kid: kid(&scene::secret(), EPOCH), ..scene::segment(DAY, class) }
}

fn lines(memory: &Memory, class: &str) -> Option<Vec<String>> {
    let site = site(memory).unwrap();
    let path = site.tree.segment(&name(class));
    let segment = Segment::open(&*site.storage, &path).ok()?;
    let frames = (0..segment.footer().frames.len()).map(|frame| segment.lines(frame).unwrap());
    let bytes: Vec<u8> = frames.flatten().collect();
    Some(String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect())
}

fn originals(memory: &Memory, class: &str) -> Vec<Vec<u8>> {
    let site = site(memory).unwrap();
    let opened = secrets(&site).open(&name(class), State::Sealed).unwrap();
    opened.originals.iter().map(|original| original.canonical.to_vec()).collect()
}

fn verified(memory: &Memory) -> Verified {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let site = site(memory).unwrap();
    let archive = Archive { tree: site.tree, intermediate: site.intermediate };
    Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap().archive(&archive, &|_| {}).unwrap()
}

fn staged(memory: &Memory) -> Vec<PathBuf> {
    memory.files().into_keys().filter(|path| path.to_string_lossy().ends_with(".staged")).collect()
}

/// Checks that nothing of Jean is left where there is no duty, and that everything else is.
fn check_erased(memory: &Memory, case: &str) {
    assert_eq!(lines(memory, "connection").unwrap(), [line(JEAN, 0), line(ANNE, 1)], "{case}");
    assert_eq!(lines(memory, "ticket").unwrap(), [line(ANNE, 1), line(ANNE, 0)], "{case}");
    assert_eq!(lines(memory, "order"), None, "{case}");
    assert_eq!(originals(memory, "ticket"), [canonical(ANNE)], "{case}");
    assert_eq!(originals(memory, "connection").len(), 2, "{case}");
    assert!(!memory.files().contains_key(&site(memory).unwrap().tree.vault(&name("order"))), "{case}");
    assert_eq!(staged(memory), Vec::<PathBuf>::new(), "{case}");
    let verified = verified(memory);
    assert_eq!((verified.findings, verified.segments, verified.vaults), (Vec::new(), 2, 2), "{case}");
}

#[test]
fn lines_go_where_no_law_keeps_them() {
    let memory = archive();
    let erased = erase_jean(&memory).unwrap();
    let answers: Vec<(&str, u64, &Outcome)> = erased
        .answers
        .iter()
        .map(|answer| (answer.place.class.as_str(), answer.lines, &answer.outcome))
        .collect();
    let duty = Outcome::Duty { basis: "basis of connection".to_owned() };
    assert_eq!(
        answers,
        [("connection", 1, &duty), ("order", 1, &Outcome::Erased), ("ticket", 3, &Outcome::Erased)]
    );
    assert_eq!((erased.lines(), erased.kept(), erased.gaps.is_empty()), (4, 1, true));
    check_erased(&memory, "");
    // A search finds others through the filters as before, but not Jean, nor his network.
    let ticket = Segment::open(&memory, &site(&memory).unwrap().tree.segment(&name("ticket"))).unwrap();
    let frames = |tag| ticket.frames_with(i64::MIN..=i64::MAX, Some(&tag)).collect::<Vec<_>>();
    let network = |address: &str| keys().tag(Kind::NET, &canonical(address)[..4]);
    assert_eq!(frames(keys().tag(Kind::IP, &canonical(ANNE))), [0, 1]);
    assert_eq!(frames(network(ANNE)), [0, 1]);
    assert_eq!(frames(keys().tag(Kind::IP, &canonical(JEAN))), Vec::<usize>::new());
    assert_eq!(frames(network(JEAN)), Vec::<usize>::new());
    assert!(!ticket.footer().origin.networks_unknown);
    // A second erasure finds nothing but the lines with a duty.
    let again = erase_jean(&memory).unwrap();
    assert_eq!((again.lines(), again.kept()), (0, 1));
    check_erased(&memory, "again");
}

/// Returns the tokens of the addresses in the shape of addresses, spelt in several ways.
fn shaped(addresses: &str, number: usize) -> String {
    let tokens = addresses.split(' ').map(|address| {
        let (mut text, tag) = (Vec::new(), keys().tag(Kind::IP, &canonical(address)));
        token::write_address(&tag, [&b""[..], b"%3A", b"\\u003a"][number % 3], number == 3, &mut text);
        String::from_utf8(text).unwrap()
    });
    format!("{} event={number}", tokens.collect::<Vec<_>>().join(" "))
}

#[test]
fn lines_with_address_shaped_tokens_go_however_they_are_spelt() {
    let memory = Memory::new();
    let mut site = site(&memory).unwrap();
    let form = Form { tree: site.tree.clone(), vault: true, line: &shaped };
    write_as(&mut site, &form, "ticket", &[&[JEAN, JEAN, JEAN, JEAN, ANNE], &[ANNE, ANNE]]);
    let erased = erase_jean(&memory).unwrap();
    assert_eq!((erased.lines(), erased.kept()), (4, 0));
    assert_eq!(lines(&memory, "ticket").unwrap(), [shaped(ANNE, 4), shaped(ANNE, 0), shaped(ANNE, 1)]);
    assert_eq!(originals(&memory, "ticket"), [canonical(ANNE)]);
    assert_eq!(verified(&memory).findings, Vec::new());
}

#[test]
fn what_was_anonymised_is_erased_by_its_tokens() {
    let memory = Memory::new();
    let mut site = site(&memory).unwrap();
    let form = Form { tree: site.tree.clone(), vault: false, line: &line };
    write_as(&mut site, &form, "ticket", &[&[JEAN, ANNE]]);
    assert_eq!(erase_jean(&memory).unwrap().lines(), 1);
    assert_eq!(lines(&memory, "ticket").unwrap(), [line(ANNE, 1)]);
    // The networks of the addresses in the frame are unknown, so a search for a network reads the frame.
    let segment = Segment::open(&memory, &site.tree.segment(&name("ticket"))).unwrap();
    assert!(segment.footer().origin.networks_unknown && segment.footer().vault.is_none());
    let verified = verified(&memory);
    assert_eq!((verified.findings, verified.segments, verified.vaults), (Vec::new(), 1, 0));
}

#[test]
fn lines_in_the_second_phase_go_too_and_stay_in_their_store() {
    let memory = Memory::new();
    let mut site = site(&memory).unwrap();
    let form = Form { tree: site.second_tree(), vault: true, line: &line };
    write_as(&mut site, &form, "ticket", &[&[JEAN, ANNE]]);
    assert_eq!(erase_jean(&memory).unwrap().lines(), 1);
    let segment = Segment::open(&memory, &site.second_tree().segment(&name("ticket"))).unwrap();
    assert_eq!(String::from_utf8(segment.lines(0).unwrap()).unwrap(), line(ANNE, 1) + "\n");
    assert_eq!(originals(&memory, "ticket"), [canonical(ANNE)]);
    assert!(lines(&memory, "ticket").is_none(), "nothing in the first store");
    assert_eq!(verified(&memory).findings, Vec::new());
}

/// Returns a line with two tokens.
fn pair(addresses: &str, number: usize) -> String {
    let tokens: Vec<String> = addresses.split(' ').map(token_of).collect();
    format!("{} event={number}", tokens.join(" "))
}

#[test]
fn what_others_on_her_lines_are_called_goes_unless_a_line_that_stays_needs_it() {
    let (eve, paul) = ("198.51.100.2", "198.51.100.3");
    let memory = Memory::new();
    let mut site = site(&memory).unwrap();
    let form = Form { tree: site.tree.clone(), vault: true, line: &pair };
    let with = |other: &str| format!("{JEAN} {other}");
    write_as(&mut site, &form, "ticket", &[&[&with(ANNE), &with(eve), paul], &[ANNE, &with(paul)]]);
    assert_eq!(erase_jean(&memory).unwrap().lines(), 3);
    let mut left = originals(&memory, "ticket");
    left.sort();
    assert_eq!(left, [canonical(ANNE), canonical(paul)]);
    assert_eq!(verified(&memory).findings, Vec::new());
}

#[test]
fn the_ledger_tells_how_many_and_never_whose() {
    let memory = archive();
    erase_jean(&memory).unwrap();
    let told: Vec<(String, u64, u64, bool)> = events(&memory)
        .into_iter()
        .filter_map(|event| match event {
            Event::EraseDone(erasure) => {
                Some((erasure.name, erasure.lines_before, erasure.lines, erasure.digest.is_some()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(name("order").to_string(), 1, 0, false), (name("ticket").to_string(), 5, 2, true)]);
    let ledger = memory.files()[Path::new("/state/ledger/ledger.jsonl")].clone();
    let ledger = String::from_utf8(ledger).unwrap();
    assert!(!ledger.contains(&token_of(JEAN)) && !ledger.contains(JEAN));
}

#[test]
fn what_is_held_or_of_an_unknown_class_stays() {
    let memory = archive();
    let mut site = site(&memory).unwrap();
    site.held.insert(name("ticket").to_string(), "2027/0815".to_owned());
    site.classes.retain(|class| class.name.as_str() != "order");
    let mut secrets = secrets(&site);
    let plan = plan(&mut site, &of(JEAN), &mut secrets).unwrap();
    let erased = erase(&mut site, "R-17", &plan, &mut secrets, &|_| {}).unwrap();
    let outcomes: Vec<&Outcome> = erased.answers.iter().map(|answer| &answer.outcome).collect();
    let held = Outcome::Held { case: "2027/0815".to_owned() };
    assert_eq!(outcomes[1..], [&Outcome::ClassUnknown, &held]);
    assert!(erased.answers[1].outcome.needs_human());
    assert_eq!((erased.lines(), erased.kept()), (0, 5));
}

/// The process stops, or an operation fails, at every operation of an erasure, whatever that leaves on the
/// disk. Each segment is then the old one or the new one, and the next run completes the erasure.
#[test]
fn an_erasure_that_breaks_off_anywhere_is_ended_by_the_next() {
    let before = archive();
    let old = before.files()[&site(&before).unwrap().tree.segment(&name("ticket"))].clone();
    let clean = before.with_fault(Fault::Freeze(u64::MAX));
    erase_jean(&clean).unwrap();
    let new_lines = lines(&clean, "ticket");
    let operations = clean.operations();
    assert!(operations > 40, "{operations}");
    for at in 0..operations {
        for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, io::ErrorKind::Other)] {
            let memory = before.with_fault(fault);
            let _ = erase_jean(&memory);
            for (survives, after) in memory.crashes() {
                let case = format!("{fault:?} {survives:?}");
                let found = after.files()[&site(&after).unwrap().tree.segment(&name("ticket"))].clone();
                assert!(found == old || lines(&after, "ticket") == new_lines, "{case}");
                let ended = finish(&mut site(&after).unwrap());
                ended.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(staged(&after), Vec::<PathBuf>::new(), "{case}");
                // The next writer of the ledger cuts off a torn line.
                site(&after).unwrap().ledger.day().unwrap();
                let verified = verified(&after);
                assert_eq!(verified.findings, Vec::new(), "{case}");
                erase_jean(&after).unwrap_or_else(|error| panic!("{case}: {error}"));
                check_erased(&after, &case);
            }
        }
    }
}
