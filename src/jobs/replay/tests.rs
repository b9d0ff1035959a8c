//! Plans and lines over an archive in memory, whose secret is that of the running epoch.

use super::*;
use crate::archive::{Lines as Block, Origin, Packer, SegmentWriter, filter};
use crate::jobs::purge::Site;
use crate::jobs::scene::{self, WRITTEN};
use crate::keyring::{Current, Escrow, Identities, StateDir};
use crate::model::{Expires, Folder, Kind, Kinds, NodeName, SegmentId};
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::primitives::storage::Memory;
use crate::pseudonym::epoch::{Epoch, EpochKeys, kid};
use crate::pseudonym::{Pseudonymised, token};
use jiff::civil::date;
use jiff::{Timestamp, ToSpan as _};
use std::collections::HashSet;

const EPOCH: Epoch = Epoch::From(date(2026, 11, 23));

fn secret() -> Secret {
    scene::secret()
}

fn keys() -> EpochKeys {
    keys_of(&secret(), EPOCH)
}

fn keys_of(secret: &Secret, epoch: Epoch) -> EpochKeys {
    EpochKeys::derive(secret, epoch, "default", &Kinds::default())
}

fn canonical(address: &str) -> Vec<u8> {
    crate::detect::canonical::address_bytes(address.parse().unwrap())
}

/// Returns the token of an address.
fn ip(address: &str) -> String {
    let mut text = Vec::new();
    token::write("ip", &keys().kid(), &keys().tag(Kind::IP, &canonical(address)), &mut text);
    String::from_utf8(text).unwrap()
}

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// Returns a line of an access log with the time `HH:MM:SS` of the legal day 2026-11-23 and an address.
fn line(time: &str, address: &str) -> (String, i64) {
    let line = format!(
        "{} - - [23/Nov/2026:{time} +0100] \"GET / HTTP/1.1\" 200 5 expires=2027-11-24 class=connection",
        ip(address)
    );
    (line, second(&format!("2026-11-23T{time}+01:00")))
}

/// Writes a segment of a class with these frames; each line has its address in it.
fn write(site: &mut Site, class: &str, frames: &[&[(&str, &str)]]) {
    let frames: Vec<Frame> = frames.iter().map(|frame| Frame::of(frame)).collect();
    write_frames(site, class, kid(&secret(), EPOCH), &frames);
}

/// Lines with their seconds, and the tags in the filter.
struct Frame {
    lines: Vec<(String, i64)>,
    tags: HashSet<u64>,
}

impl Frame {
    fn of(frame: &[(&str, &str)]) -> Self {
        let lines = frame.iter().map(|(time, address)| line(time, address)).collect();
        let mut tags = HashSet::new();
        for (_, address) in frame {
            let canonical = canonical(address);
            tags.insert(filter::key(&keys().tag(Kind::IP, &canonical)));
            let network = if canonical[0] == 4 { &canonical[..4] } else { &canonical[..9] };
            tags.insert(filter::key(&keys().tag(Kind::NET, network)));
        }
        Self { lines, tags }
    }
}

fn write_frames(site: &mut Site, class: &str, kid: [u8; 5], frames: &[Frame]) {
    let folder: Folder = scene::folder(scene::DAY, class);
    let origin = Origin {
        id: SegmentId([5; 16]),
        node: NodeName::new("web1").unwrap(),
        folder: folder.clone(),
        zone: "Europe/Paris".to_owned(),
        kid,
        policy: [3; 32],
        source_zone: None,
        networks_unknown: false,
    };
    let mut segment = SegmentWriter::begin(&site.storage, &site.tree, origin, &|_| Ok(true)).unwrap();
    for Frame { lines, tags } in frames {
        let lines: Vec<(&str, i64)> = lines.iter().map(|(line, second)| (line.as_str(), *second)).collect();
        let block = Pseudonymised::of_lines(Expires::On(scene::DAY), &lines);
        let mut packed = Block::default();
        packed.push(&block, 0..lines.len());
        segment
            .append(
                Packer::new(1)
                    .unwrap()
                    .pack(&packed, filter::build(&mut tags.iter().copied().collect()))
                    .unwrap(),
            )
            .unwrap();
    }
    segment.sync().unwrap();
    segment.seal(None, &mut site.ledger, WRITTEN.parse().unwrap()).unwrap();
}

/// Returns a site with two classes whose frames overlap in time.
fn site() -> Site {
    let mut site = scene::site(&Memory::new(), WRITTEN).unwrap();
    write(
        &mut site,
        "connection",
        &[
            &[("10:00:00", "203.0.113.7"), ("10:00:05", "198.51.100.1"), ("10:00:03", "203.0.113.9")],
            &[("10:00:04", "203.0.113.7"), ("10:00:10", "2001:db8::1")],
        ],
    );
    write(&mut site, "mail", &[&[("10:00:01", "203.0.113.7"), ("10:00:04", "192.0.2.1")]]);
    site
}

fn credentials(running: bool) -> Credentials {
    let running = running.then(|| Current { epoch: EPOCH, secret: secret(), until: None });
    let state_dir = "/state".into();
    let (tenancy, places) = (Tenancy::everybody(), NodePlaces::default());
    Credentials { identities: None, running, owns_key_file: false, state_dir, tenancy, places }
}

/// Returns the seconds after 10:00 and the addresses of the lines found, and the plan.
fn found(site: &Site, selection: &Selection) -> Result<(Vec<(i64, String)>, Plan), Diagnostic> {
    let mut secrets = Secrets::new(site, credentials(true));
    let plan = Plan::new(site, selection, Unsealed::Read, &mut secrets)?;
    let addresses = ["203.0.113.7", "203.0.113.9", "198.51.100.1", "192.0.2.1", "2001:db8::1"];
    let reading = Reading::default();
    let mut lines = Lines::new(&*site.storage, &plan, selection, &reading)?;
    let mut found = Vec::new();
    while let Some(line) = lines.next()? {
        let text = String::from_utf8(line.bytes.to_vec()).unwrap();
        assert!(text.ends_with('\n'));
        let address = addresses.into_iter().find(|address| text.contains(&ip(address))).unwrap();
        found.push((line.second - second("2026-11-23T09:00:00Z"), address.to_owned()));
    }
    Ok((found, plan))
}

fn of(kind: Kind, typed: &str) -> Selection {
    let mut selection = Selection::default();
    selection.add_identifiers(kind, "--option", &[typed.to_owned()]).unwrap();
    selection
}

#[test]
fn lines_come_in_the_order_of_their_events_across_segments() {
    let (found, plan) = found(&site(), &Selection::default()).unwrap();
    let expected = [
        (0, "203.0.113.7"),
        (1, "203.0.113.7"),
        (3, "203.0.113.9"),
        (4, "203.0.113.7"),
        (4, "192.0.2.1"),
        (5, "198.51.100.1"),
        (10, "2001:db8::1"),
    ];
    assert_eq!(found, expected.map(|(second, address)| (second, address.to_owned())));
    assert_eq!((plan.counts.hmacs, plan.counts.frames, plan.frames()), (0, 3, 3));
}

#[test]
fn an_address_costs_one_hmac_and_the_frames_it_is_in() {
    let (found, plan) = found(&site(), &of(Kind::IP, "203.0.113.9")).unwrap();
    assert_eq!(found, [(3, "203.0.113.9".to_owned())]);
    assert_eq!((plan.counts.hmacs, plan.counts.epochs), (1, 1));
    // One frame in 16 may pass by chance; these keys and seeds are fixed, so none does.
    assert_eq!(plan.frames(), 1);
}

#[test]
fn a_year_of_daily_epochs_costs_one_hmac_each() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let identity = Escrow::make_identities(&state, 1).unwrap();
    let escrow = Escrow::load(&state).unwrap();
    let mut site = scene::site(&Memory::new(), WRITTEN).unwrap();
    let address = canonical("203.0.113.9");
    for day in 0..365_u16 {
        let [high, low] = day.to_be_bytes();
        let secret = Secret::new(std::array::from_fn(|index| if index % 2 == 0 { high + 1 } else { low }));
        let epoch = Epoch::From(date(2026, 1, 1).checked_add(i64::from(day).days()).unwrap());
        escrow.wrap(&state, epoch, &secret).unwrap();
        let keys = keys_of(&secret, epoch);
        let mut token_text = Vec::new();
        token::write("ip", &keys.kid(), &keys.tag(Kind::IP, &address), &mut token_text);
        let lines = vec![(String::from_utf8(token_text).unwrap(), i64::from(day) * 86_400)];
        let tags = HashSet::from([filter::key(&keys.tag(Kind::IP, &address))]);
        // Two segments of each epoch.
        for class in ["connection", "mail"] {
            write_frames(&mut site, class, keys.kid(), &[Frame { lines: lines.clone(), tags: tags.clone() }]);
        }
    }
    let identities = Some(Identities::read(&identity[0]).unwrap());
    let credentials =
        Credentials { identities, state_dir: directory.path().to_owned(), ..credentials(false) };
    let mut secrets = Secrets::new(&site, credentials);
    let selection = of(Kind::IP, "203.0.113.9");
    let plan = Plan::new(&site, &selection, Unsealed::Read, &mut secrets).unwrap();
    assert_eq!((plan.counts.segments, plan.counts.epochs, plan.counts.hmacs), (730, 365, 365));
    let reading = Reading::default();
    let mut lines = Lines::new(&*site.storage, &plan, &selection, &reading).unwrap();
    while lines.next().unwrap().is_some() {}
    assert_eq!(lines.counts().lines, 730);
}

#[test]
fn a_network_is_all_of_its_addresses() {
    let (found, _) = found(&site(), &of(Kind::NET, "203.0.113.0/24")).unwrap();
    assert_eq!(found.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [0, 1, 3, 4]);
}

#[test]
fn tokens_and_identifiers_are_one_condition_and_all_others_are_more() {
    let mut selection = of(Kind::IP, "203.0.113.7");
    selection.add_tokens("--token", &[ip("192.0.2.1")]).unwrap();
    let seconds = |selection: &Selection| -> Vec<i64> {
        found(&site(), selection).unwrap().0.into_iter().map(|(second, _)| second).collect()
    };
    assert_eq!(seconds(&selection), [0, 1, 4, 4]);
    selection.seconds = second("2026-11-23T09:00:01Z")..=second("2026-11-23T09:00:04Z");
    assert_eq!(seconds(&selection), [1, 4, 4]);
    selection.classes = vec![crate::model::ClassName::new("mail").unwrap()];
    assert_eq!(seconds(&selection), [1, 4]);
    selection.set_texts("--grep", &["10:00:0[23]".to_owned(), "10:00:04".to_owned()]).unwrap();
    assert_eq!(seconds(&selection), [4]);
    selection.programs = vec![crate::model::Pattern::new("sshd").unwrap()];
    assert!(seconds(&selection).is_empty());
}

#[test]
fn the_secret_of_a_past_epoch_is_missing_by_name() {
    let site = site();
    let mut secrets = Secrets::new(&site, credentials(false));
    let error = Plan::new(&site, &of(Kind::IP, "203.0.113.9"), Unsealed::Read, &mut secrets).unwrap_err();
    assert_eq!(error.code.id, "P12");
    // A token needs no secret.
    let mut selection = Selection::default();
    selection.add_tokens("--token", &[ip("203.0.113.9")]).unwrap();
    assert_eq!(Plan::new(&site, &selection, Unsealed::Read, &mut secrets).unwrap().frames(), 1);
}

#[test]
fn what_is_not_understood_is_refused_and_not_repeated() {
    let mut selection = Selection::default();
    let canary = ["canary".to_owned()];
    let errors = [
        selection.add_identifiers(Kind::IP, "--ip", &canary).unwrap_err(),
        selection.add_identifiers(Kind::NET, "--net", &["203.0.113.0/25".to_owned()]).unwrap_err(),
        selection.add_identifiers(Kind::IP, "--ip", &["203.0.113.0/24".to_owned()]).unwrap_err(),
        selection.add_tokens("--token", &canary).unwrap_err(),
        selection.set_texts("--grep", &["canary(".to_owned()]).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(error.code.id == "P10" && !text.contains("canary") && !text.contains("113.0/25"), "{text}");
    }
}

/// To open a vault takes long, and lines come in turn from all segments of their time.
#[test]
fn vaults_of_many_segments_at_one_time_are_opened_once_each() {
    const SEGMENTS: usize = 12;
    let mut site = scene::site(&Memory::new(), WRITTEN).unwrap();
    for class in (0..SEGMENTS).map(|number| format!("class{number}")) {
        scene::write(&mut site, &scene::folder(scene::DAY, &class), false);
    }
    let (selection, reading) = (Selection::default(), Reading::default());
    let mut secrets = Secrets::new(&site, credentials(true));
    let plan = Plan::new(&site, &selection, Unsealed::Read, &mut secrets).unwrap();
    let mut reveal = Reveal::prepare(&plan, &selection, Scope::Everybody, &mut secrets, &reading).unwrap();
    let mut read = || {
        let mut lines = Lines::new(&*site.storage, &plan, &selection, &reading).unwrap();
        let mut text = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            reveal.put_back(&line, &mut text).unwrap();
        }
        String::from_utf8(text).unwrap()
    };
    let first = read();
    assert_eq!(first.matches("203.0.113.7\n").count(), SEGMENTS);
    for segment in &plan.segments {
        site.storage.unlink(&site.tree.vault(&segment.name)).unwrap();
    }
    assert_eq!(read(), first);
}
