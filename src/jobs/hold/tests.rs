//! Tests holds over an archive in memory, and opens their extracts with age.

use super::*;
use crate::jobs::purge::Reason;
use crate::jobs::replay::{Credentials, Identifier, NodePlaces, Secrets, Tenancy, spelling};
use crate::jobs::scene::{
    DAY, TOKEN, WRITTEN, archive as scene, events, folder, of_day, secret, segment, site, try_write,
};
use crate::keyring::{Current, Escrow, Identities, StateDir};
use crate::model::Kind;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Fault, Memory, Survives};
use crate::pseudonym::epoch::Epoch;
use jiff::civil::date;

const NOW: &str = "2027-11-22T10:00:00Z";
const MIDNIGHT: &str = crate::jobs::scene::MIDNIGHT;
const UNTIL: Date = date(2028, 1, 31);

fn holds(memory: &Memory) -> Holds {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    Holds::open(&storage, Path::new("/state/holds")).unwrap()
}

fn mail() -> Scope {
    Scope { class: ClassName::new("mail"), ..Scope::default() }
}

fn purge(memory: &Memory, now: &str) -> crate::jobs::purge::Plan {
    let mut site = site(memory, now).unwrap();
    let holds = holds(memory);
    site.trust_clock(true).unwrap();
    holds.demand_none_lost(&site.ledger, site.today()).unwrap();
    holds.finish_releases(&mut site).unwrap();
    holds.expire(&mut site).unwrap();
    holds.record_missing(&mut site).unwrap();
    site.held = holds.held(site.today()).unwrap();
    site.purge(true, &|_| {}).unwrap()
}

/// Returns escrow to one identity, and that identity.
fn escrow(directory: &Path) -> (Escrow, Identities) {
    let state = StateDir::open(directory).unwrap();
    let path = Escrow::make_identities(&state, 1).unwrap().remove(0);
    (Escrow::load(&state).unwrap(), Identities::read(&path).unwrap())
}

/// Returns the credentials of the node alone, whose secret of that epoch is gone.
fn nobody() -> Credentials {
    Credentials {
        identities: None,
        running: None,
        owns_key_file: false,
        state_dir: "/nowhere".into(),
        tenancy: Tenancy::everybody(),
        places: NodePlaces::default(),
    }
}

/// Returns the credentials of the owner of a key file, whose kid the segments of the scene have.
fn key_file(secret: Secret) -> Credentials {
    let epoch = Epoch::From(date(2026, 11, 23));
    Credentials { running: Some(Current { epoch, secret, until: None }), owns_key_file: true, ..nobody() }
}

fn asked() -> Identifier {
    Identifier::parse(Kind::IP, "203.0.113.7").unwrap()
}

fn token() -> Targets {
    Targets { tokens: vec![spelling::only(TOKEN).unwrap()], identifiers: Vec::new() }
}

fn extract(
    holds: &Holds,
    site: &mut Site,
    case: &str,
    targets: &Targets,
    credentials: Credentials,
    escrow: &Escrow,
) -> Result<Extracted, Diagnostic> {
    let mut secrets = Secrets::new(site, credentials);
    holds.extract(site, case, targets, &mut secrets, escrow)
}

#[test]
fn a_held_segment_stays_for_a_week_and_then_goes() {
    let memory = scene();
    let hold = holds(&memory).add(&mut site(&memory, NOW).unwrap(), "2027/0815", UNTIL, &mail()).unwrap();
    assert_eq!(
        (hold.segments.clone(), hold.frozen_until),
        (vec![segment(DAY, "mail").to_string()], date(2027, 11, 29))
    );
    let done = purge(&memory, MIDNIGHT);
    assert_eq!(done.purges[0].files.len(), 2);
    let case = "2027/0815".to_owned();
    assert!(
        done.purges[0].blocked.iter().all(|blocked| blocked.reason == Reason::Held { case: case.clone() })
    );
    assert_eq!(of_day(&memory, DAY).len(), 2, "a segment and its vault");
    purge(&memory, "2027-11-28T22:59:59Z");
    assert_eq!(of_day(&memory, DAY).len(), 2);
    purge(&memory, "2027-11-28T23:00:00Z");
    assert!(of_day(&memory, DAY).is_empty());
}

#[test]
fn a_hold_that_is_released_or_over_freezes_nothing() {
    for ended in ["release", "expiry"] {
        let memory = scene();
        let until = date(2027, 11, 24);
        let mut site = site(&memory, NOW).unwrap();
        holds(&memory).add(&mut site, "a", until, &Scope::default()).unwrap();
        if ended == "release" {
            holds(&memory).release(&mut site, "a").unwrap();
        }
        assert!(purge(&memory, MIDNIGHT).purges[0].blocked.is_empty(), "{ended}");
        assert!(holds(&memory).list().unwrap().is_empty(), "{ended}");
        let over = events(&memory)
            .into_iter()
            .filter(|event| matches!(event, Event::HoldReleased { .. } | Event::HoldExpired { .. }));
        assert_eq!(over.count(), 1, "{ended}");
    }
}

/// A part is frozen whatever the period is; a day beyond the calendar had no instant, and so no beginning.
#[test]
fn a_period_of_which_no_line_can_be_is_refused() {
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let _writer = crate::jobs::scene::write(&mut site, &folder(date(2028, 11, 23), "web"), true);
    let holds = holds(&memory);
    let day = |day: &str| day.parse::<Date>().ok();
    for (from, to) in [
        (day("9999-12-31"), None),
        (day("2027-11-24"), None),
        (day("2026-11-24"), day("2026-11-23")),
        (day("9999-12-31"), day("9999-12-31")),
    ] {
        let refused = holds.add(&mut site, "a", UNTIL, &Scope { from, to, ..Scope::default() }).unwrap_err();
        assert_eq!(refused.code.id, "H04", "{from:?} {to:?}");
    }
    assert!(holds.list().unwrap().is_empty());
    let tomorrow = Scope { from: day("2027-11-23"), ..Scope::default() };
    assert_eq!(holds.add(&mut site, "a", UNTIL, &tomorrow).unwrap().segments.len(), 1);
}

#[test]
fn what_is_no_hold_is_refused() {
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    holds.add(&mut site, "a", UNTIL, &mail()).unwrap();
    let never = Scope { from: Some(date(2030, 1, 1)), ..Scope::default() };
    for (case, until, scope, code) in [
        ("b", date(2027, 11, 22), mail(), "H02"),
        ("a", UNTIL, mail(), "H03"),
        (" ", UNTIL, mail(), "H03"),
        ("b", UNTIL, Scope { class: ClassName::new("web"), ..Scope::default() }, "H04"),
        ("b", UNTIL, never, "H04"),
        ("Durand, 203.0.113.7", UNTIL, mail(), "P11"),
    ] {
        assert_eq!(holds.add(&mut site, case, until, &scope).unwrap_err().code.id, code);
    }
    assert_eq!(holds.release(&mut site, "b").unwrap_err().code.id, "H03");
}

/// Parses the contents of an identity file.
fn identity(file: &str) -> age::x25519::Identity {
    file.lines().last().unwrap().parse().unwrap()
}

#[test]
fn an_extract_keeps_the_targeted_lines_and_lets_the_segments_go() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, _) = escrow(directory.path());
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    holds.add(&mut site, "2027/0815", UNTIL, &mail()).unwrap();
    let targets = token();
    let extracted = extract(&holds, &mut site, "2027/0815", &targets, nobody(), &escrow).unwrap();
    assert_eq!(extracted, Extracted { lines: 1, ..Extracted::default() });
    purge(&memory, MIDNIGHT);
    assert!(of_day(&memory, DAY).is_empty());
    let file = |name: String| memory.files()[&Path::new("/state/holds").join(name)].clone();
    let extract = file(format!("{}-1.lines.age", stem("2027/0815")));
    let custodian = std::fs::read_to_string(directory.path().join("escrow/identity-1.txt")).unwrap();
    let custodian = identity(&custodian);
    assert!(age::decrypt(&custodian, &extract).is_err(), "a custodian alone");
    let key = age::decrypt(&custodian, &file(format!("keys/{}.age", stem("2027/0815")))).unwrap();
    let key = identity(std::str::from_utf8(&key).unwrap());
    assert_eq!(age::decrypt(&key, &extract).unwrap(), format!("{TOKEN}\n").as_bytes());
    let entry = event::Extract {
        case: "2027/0815".to_owned(),
        targets: 1,
        lines: 1,
        pairs: 0,
        not_covered: Vec::new(),
    };
    assert!(events(&memory).contains(&Event::HoldExtracted(entry)));
    purge(&memory, "2028-01-31T10:00:00Z");
    assert!(!memory.files().keys().any(|path| path.to_string_lossy().contains(&stem("2027/0815"))));
}

/// The process stops, or an operation fails, at every operation on a hold, whatever that leaves on the disk.
/// Holds can then be read, so purges continue; what was acknowledged was done; doing it again completes it.
#[test]
fn an_operation_on_a_hold_that_breaks_off_anywhere_is_ended_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, _) = escrow(directory.path());
    let targets = token();
    let add = |memory: &Memory| holds(memory).add(&mut site(memory, NOW)?, "a", UNTIL, &mail()).map(drop);
    let extract = |memory: &Memory| {
        self::extract(&holds(memory), &mut site(memory, NOW)?, "a", &targets, nobody(), &escrow).map(drop)
    };
    let release = |memory: &Memory| holds(memory).release(&mut site(memory, NOW)?, "a").map(drop);
    let empty = scene();
    // The folder exists, so opening it does not fail.
    holds(&empty).list().unwrap();
    let held = empty.after_crash(Survives::Everything);
    add(&held).unwrap();
    let extracted = held.after_crash(Survives::Everything);
    extract(&extracted).unwrap();
    let is_of_hold = |path: &PathBuf| path.starts_with("/state/holds") && !path.ends_with("CACHEDIR.TAG");
    let files = |memory: &Memory| memory.files().into_keys().filter(is_of_hold).count();
    let (one, four) = (files(&held), files(&extracted));
    // A purge that comes first is not blocked: it leaves what is frozen, and the ledger says why.
    let goes_on = |broken_off: &Memory, listed: &[Hold], case: &str| {
        let memory = broken_off.after_crash(Survives::Everything);
        purge(&memory, MIDNIGHT);
        let freezes = listed.iter().any(|hold| hold.freezes(DAY));
        assert_eq!(of_day(&memory, DAY).len(), if freezes { 2 } else { 0 }, "{case}");
        let added = |event: &Event| matches!(event, Event::HoldAdded(_));
        assert!(listed.is_empty() || events(&memory).iter().any(added), "{case}");
    };
    // The hold alone, or with its key and its two extracts; also the lock of the folder.
    let disturb = |before: &Memory, operation: &dyn Fn(&Memory) -> Result<(), Diagnostic>, left: usize| {
        let clean = before.with_fault(Fault::Freeze(u64::MAX));
        operation(&clean).unwrap();
        for at in 0..clean.operations() {
            for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, io::ErrorKind::Other)] {
                let memory = before.with_fault(fault);
                let acknowledged = operation(&memory).is_ok() && !memory.is_frozen();
                for (survives, after) in memory.crashes() {
                    let case = format!("{left}: {fault:?} {survives:?}");
                    let listed = holds(&after).list().unwrap_or_else(|error| panic!("{case}: {error}"));
                    if acknowledged {
                        assert_eq!(files(&after), left, "{case}");
                        continue;
                    }
                    let done = (listed.is_empty(), listed.first().map_or(0, |hold| hold.extracts));
                    let whole = [(false, 0), (false, 1), (true, 0)].contains(&done);
                    assert!(whole, "{case}: {done:?}");
                    goes_on(&after, &listed, &case);
                    match operation(&after) {
                        Ok(()) => {}
                        // It was done, and nobody was told.
                        Err(refused) => assert_eq!(refused.code.id, "H03", "{case}: {refused}"),
                    }
                    let extracts = holds(&after).list().unwrap().first().map_or(0, |hold| hold.extracts);
                    assert!(files(&after) == left || extracts == 2, "{case}: {} files", files(&after));
                    purge(&after, "2028-01-31T10:00:00Z");
                    assert_eq!(files(&after), one - 1, "{case}");
                    assert!(of_day(&after, DAY).is_empty(), "{case}");
                }
            }
        }
    };
    disturb(&empty, &add, one);
    disturb(&held, &extract, four);
    disturb(&extracted, &release, one - 1);
}

/// Wherever a release stops, the hold is in force and the ledger says so, or the next purge ends it.
#[test]
fn a_release_that_breaks_off_is_completed_or_has_not_begun() {
    let held = scene();
    holds(&held).add(&mut site(&held, NOW).unwrap(), "a", UNTIL, &mail()).unwrap();
    let release = |memory: &Memory| holds(memory).release(&mut site(memory, NOW)?, "a").map(drop);
    let clean = held.with_fault(Fault::Freeze(u64::MAX));
    release(&clean).unwrap();
    for at in 0..clean.operations() {
        for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, io::ErrorKind::Other)] {
            let memory = held.with_fault(fault);
            let _ = release(&memory);
            for (survives, after) in memory.crashes() {
                let case = format!("{fault:?} {survives:?}");
                let listed = holds(&after).list().unwrap();
                let is_released =
                    || events(&after).iter().any(|event| matches!(event, Event::HoldReleased { .. }));
                let goes_on = listed.iter().any(|hold| !hold.released);
                assert!(!(goes_on && is_released()), "{case}: released, and in force again");
                purge(&after, MIDNIGHT);
                assert_eq!(of_day(&after, DAY).len(), if goes_on { 2 } else { 0 }, "{case}");
                assert_eq!(
                    (holds(&after).list().unwrap().is_empty(), is_released()),
                    (!goes_on, !goes_on),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn an_extract_of_lines_of_a_key_file_opens_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, identities) = escrow(directory.path());
    let memory = Memory::new();
    let mail_folder = folder(DAY, "mail");
    try_write(&mut site(&memory, WRITTEN).unwrap(), &mail_folder, false, b"").unwrap();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    holds.add(&mut site, "a", UNTIL, &mail()).unwrap();
    let targets = Targets { identifiers: vec![asked()], ..token() };
    let mut extract = |credentials| extract(&holds, &mut site, "a", &targets, credentials, &escrow);
    let extracted = extract(key_file(secret())).unwrap();
    assert_eq!(extracted, Extracted { lines: 1, pairs: 1, ..Extracted::default() });
    assert_eq!(extract(key_file(Secret::new([9; 32]))).unwrap_err().code.id, "P12");
    let identities = Credentials { identities: Some(identities), ..nobody() };
    assert_eq!(extract(identities).unwrap_err().code.id, "P12");
}

#[test]
fn an_identifier_is_not_looked_for_without_an_identity() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, identities) = escrow(directory.path());
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    holds.add(&mut site, "a", UNTIL, &mail()).unwrap();
    let targets = Targets { tokens: Vec::new(), identifiers: vec![asked()] };
    let identities = Credentials { identities: Some(identities), ..nobody() };
    // The vaults of that archive are wrapped to nobody whom age knows.
    for (credentials, code) in
        [(nobody(), "H05"), (identities, "P13"), (key_file(Secret::new([1; 32])), "P12")]
    {
        let refused = extract(&holds, &mut site, "a", &targets, credentials, &escrow).unwrap_err();
        assert_eq!(refused.code.id, code);
    }
    let none = tempfile::tempdir().unwrap();
    let none = Escrow::load(&StateDir::open(none.path()).unwrap()).unwrap();
    let refused = extract(&holds, &mut site, "a", &Targets::default(), nobody(), &none).unwrap_err();
    assert_eq!(refused.code.id, "H05");
}

#[test]
fn a_hold_is_prolonged_with_what_was_extracted() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, _) = escrow(directory.path());
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    let first = holds.add(&mut site, "a", UNTIL, &mail()).unwrap();
    let targets = token();
    extract(&holds, &mut site, "a", &targets, nobody(), &escrow).unwrap();
    assert_eq!(
        holds.restrict(&mut site, "a", first.frozen_until, &Scope::default()).unwrap_err().code.id,
        "H02"
    );
    let later = date(2029, 1, 31);
    let before = holds.restrict(&mut site, "a", later, &Scope::default()).unwrap().unwrap();
    assert_eq!((before.until, before.extracts), (UNTIL, 1));
    let hold = holds.list().unwrap().remove(0);
    assert_eq!((hold.until, hold.extracts, hold.segments.len()), (later, 1, 3));
    extract(&holds, &mut site, "a", &targets, nobody(), &escrow).unwrap();
    purge(&memory, "2028-02-01T10:00:00Z");
    let files = memory.files();
    let of = |end: &str| files.keys().filter(|path| path.to_string_lossy().ends_with(end)).count();
    assert_eq!(of(".lines.age"), 2, "both, beyond the day on which it would have ended");
    assert_eq!(
        files.keys().filter(|path| path.starts_with("/state/holds/keys")).count(),
        2,
        "one key, marked"
    );
}

#[test]
fn nothing_is_extracted_under_a_key_that_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (escrow, _) = escrow(directory.path());
    let memory = scene();
    let mut site = site(&memory, NOW).unwrap();
    let holds = holds(&memory);
    holds.add(&mut site, "a", UNTIL, &mail()).unwrap();
    let targets = token();
    let mut extract = || extract(&holds, &mut site, "a", &targets, nobody(), &escrow);
    extract().unwrap();
    memory.unlink(&Path::new("/state/holds/keys").join(format!("{}.age", stem("a")))).unwrap();
    assert_eq!(extract().unwrap_err().code.id, "H01");
}

#[test]
fn a_clock_that_jumped_ends_no_hold_before_somebody_confirms_it() {
    let memory = scene();
    let holds = holds(&memory);
    let mut right = site(&memory, NOW).unwrap();
    right.trust_clock(true).unwrap();
    holds.add(&mut right, "a", date(2027, 11, 24), &mail()).unwrap();
    let mut ahead = site(&memory, "2099-01-01T10:00:00Z").unwrap();
    assert_eq!(holds.expire(&mut ahead).unwrap_err().code.id, "P01");
    assert_eq!(ahead.certain_day().unwrap(), date(2027, 11, 22));
    assert_eq!(holds.list().unwrap().len(), 1);
    ahead.trust_clock(true).unwrap();
    assert_eq!(holds.expire(&mut ahead).unwrap().len(), 1);
}
