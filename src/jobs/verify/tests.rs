//! Archives that were changed bit by bit, file by file, and with keys of a later day.

use super::*;
use crate::jobs::custody::RecordedShredKeys;
use crate::jobs::purge::Site;
use crate::jobs::scene::{
    DAY, MIDNIGHT, NEXT, WRITTEN, archive, class, folder, of_day, segment, site, try_write, write,
};
use crate::ledger::event::PurgedFile;
use crate::model::{ClassName, Expires, Keep, Kinds, NodeName, Period, RetentionClass, Sealer as _};
use crate::pipeline::archiver::{ArchiveParts, Escrow, OpenSegments};
use crate::primitives::storage::{Fault, Memory, Survives};
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn verify(memory: &Memory) -> Verified {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
    let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let checker = checker.with_shred_keys(ShredStore::at(&storage, Path::new("/state/shred")));
    checker.archive(&place, &|_| {}).unwrap()
}

fn copy(memory: &Memory) -> Memory {
    memory.after_crash(crate::primitives::storage::Survives::Everything)
}

#[test]
fn a_segment_that_is_written_to_is_told_from_one_that_was_left_open() {
    let memory = archive();
    let mut site = site(&memory, WRITTEN).unwrap();
    let writer = write(&mut site, &folder(DAY, "ticket"), true);
    let counted = || {
        let Verified { segments, parts, left_open, .. } = verify(&memory);
        (segments, parts, left_open)
    };
    assert_eq!(counted(), (3, 1, 0));
    drop(writer);
    assert_eq!(counted(), (3, 0, 1));
}

/// A crash between the ledger's entry and the renaming leaves the segment whole, under the name of a part.
#[test]
fn a_sealed_segment_under_the_name_of_a_part_is_checked_like_any_other() {
    let memory = archive();
    let sealed = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    let part = sealed.with_extension("zst.part");
    memory.rename(&sealed, &part).unwrap();
    let Verified { segments, left_open, findings, .. } = verify(&memory);
    assert_eq!((segments, left_open, findings), (3, 1, vec![]));
    let damages: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |bytes| bytes.truncate(20),
        |bytes| bytes[5] ^= 1,
        |bytes| bytes.truncate(bytes.len() - 1),
    ];
    for damage in damages {
        let damaged = copy(&memory);
        damaged.damage(&part, damage);
        let files: Vec<String> = verify(&damaged).findings.into_iter().map(|finding| finding.file).collect();
        assert_eq!(files, [part.display().to_string()]);
    }
}

/// Somebody with the key of the day removes a segment, and writes that it was purged.
#[test]
fn a_purge_before_its_day_is_told() {
    let memory = archive();
    let purge = |now: &str| {
        let name = format!("archive/{}", segment(DAY, "mail"));
        let file = PurgedFile { name, bytes: None, lines: None, sha256: None, other_names: None };
        let (files, left) = (vec![file], Vec::new());
        let purge = event::Purge { expires: DAY, files, bytes: 0, lines: 0, zone: None, left };
        let memory = copy(&memory);
        let mut site = site(&memory, now).unwrap();
        for event in [Event::PurgeIntent, Event::PurgeDone] {
            site.ledger.append(event(purge.clone())).unwrap();
        }
        verify(&memory).findings
    };
    let findings = purge("2026-11-23T12:00:00Z");
    let ledger = findings.iter().find(|finding| finding.file == "/state/ledger/ledger.jsonl").unwrap();
    assert!(ledger.place.as_ref().is_some_and(|place| place.starts_with("line ")), "{ledger:?}");
    assert_eq!(ledger.what, "it says that what expires on 2027-11-24 was purged before that day");
    // Somewhere the day begins fourteen hours before that of UTC.
    assert_eq!(purge("2027-11-23T09:59:59Z").len(), 1);
    assert_eq!(purge("2027-11-23T10:00:00Z"), []);
}

#[test]
fn what_was_written_passes_and_does_so_after_a_purge() {
    let memory = archive();
    let Verified { segments, lines, vaults, parts, findings, .. } = verify(&memory);
    assert_eq!((segments, lines, vaults, parts), (3, 6, 3, 0));
    assert_eq!(findings, []);
    site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    let after = verify(&memory);
    assert_eq!((after.segments, after.findings), (1, vec![]));
}

/// The process stops at every operation of a purge. Nothing was changed or lost, and the interruption is
/// reported until the next purge completes it.
#[test]
fn a_purge_that_broke_off_is_no_fault() {
    let memory = archive();
    let made = Event::ShredKeyMade { expires: DAY.to_string() };
    site(&memory, WRITTEN).unwrap().ledger.append(made).unwrap();
    let mut told = 0;
    for at in 0.. {
        let disturbed = memory.with_fault(Fault::Freeze(at));
        let purged = site(&disturbed, MIDNIGHT).and_then(|mut site| site.purge(true, &|_| {}));
        if purged.is_ok() && !disturbed.is_frozen() {
            break;
        }
        let left = disturbed.after_crash(Survives::Everything);
        let Verified { findings, broken_off, .. } = verify(&left);
        assert_eq!(findings, [], "{at}");
        told += broken_off.len();
        site(&left, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        let Verified { findings, broken_off, .. } = verify(&left);
        assert_eq!((findings, broken_off.len()), (vec![], 0), "{at}");
    }
    assert!(told > 10, "{told}");
}

/// A purge runs at any moment between two reads: what it removes is not a fault, and anything else missing
/// is.
#[test]
fn a_purge_that_runs_meanwhile_is_no_fault() {
    let verified = |stolen: bool| {
        let memory = archive();
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
        let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
        let purge = || {
            site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
            if stolen {
                storage.unlink(&place.tree.archive.join(segment(NEXT, "connection").to_string())).unwrap();
            }
        };
        let once = std::sync::Once::new();
        checker.archive(&place, &|_| once.call_once(purge)).unwrap().findings
    };
    assert_eq!(verified(false), []);
    let findings = verified(true);
    assert!(!findings.is_empty() && findings.iter().all(|found| found.file.contains(&NEXT.to_string())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Wherever a bit flips in a segment, a vault or the ledger, it is found in that file.
    #[test]
    fn a_changed_bit_is_found_in_its_file(file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0..8u8) {
        let memory = ARCHIVE.with(copy);
        let files = memory.files().into_iter().filter(|(path, _)| is_proof(path)).collect::<Vec<_>>();
        let (path, bytes) = file.get(&files);
        let index = byte.index(bytes.len());
        memory.damage(path, |bytes| bytes[index] ^= 1u8 << bit);
        let findings = verify(&memory).findings;
        let named = findings.iter().any(|finding| Path::new(&finding.file) == path);
        prop_assert!(named, "{} {index} {bit}: {findings:?}", path.display());
    }
}

thread_local! {
    static ARCHIVE: Memory = archive();
}

/// Findings about the ledger's note of its end name the ledger itself; another test covers it.
fn is_proof(path: &Path) -> bool {
    path.starts_with("/log") || path.ends_with("ledger.jsonl")
}

#[test]
fn the_place_of_damage_is_that_of_its_frame() {
    let memory = archive();
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    memory.damage(&path, |bytes| bytes[5] ^= 1);
    let findings = verify(&memory).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (Path::new(&findings[0].file), findings[0].place.as_deref()),
        (path.as_path(), Some("byte 0"))
    );
}

#[test]
fn the_place_of_damage_in_a_vault_is_that_of_its_record() {
    let memory = archive();
    let path = Tree::at(Path::new("/log")).vault(&segment(DAY, "mail"));
    let whole = memory.files()[&path].clone();
    let place = |change: &dyn Fn(&mut Vec<u8>)| {
        memory.damage(&path, change);
        let findings = verify(&memory).findings;
        memory.damage(&path, |bytes| bytes.clone_from(&whole));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(Path::new(&findings[0].file), path);
        findings[0].place.clone()
    };
    // After the header there is one record: a length, a check, and a group of one address.
    let record = whole.len() - 12 - (10 + 6) - 16;
    assert_eq!(place(&|bytes| bytes[whole.len() - 1] ^= 1), Some(format!("byte {record}")));
    assert_eq!(place(&|bytes| bytes[3] ^= 1), Some("byte 0".to_owned()));
    assert_eq!(place(&|bytes| bytes.truncate(record)), Some(format!("byte {record}")));
    let longer = place(&|bytes| bytes.extend_from_slice(&whole[record..]));
    assert_eq!(longer, Some(format!("byte {}", whole.len())));
}

/// Lines without a known end are never purged, and are checked like all others.
#[test]
fn what_is_kept_for_a_contract_is_verified_and_never_purged() {
    let memory = archive();
    let folder = Folder { expires: Expires::Contract, class: ClassName::new("profile").unwrap() };
    write(&mut site(&memory, WRITTEN).unwrap(), &folder, false);
    let name = "expires=contract/class=profile/web1-2epqf-1.log.zst";
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let listed = crate::archive::list(&*storage, &Tree::at(Path::new("/log"))).unwrap();
    assert!(listed.iter().any(|found| found.name.to_string() == name));
    site(&memory, "2099-01-01T00:00:00Z").unwrap().purge(true, &|_| {}).unwrap();
    let Verified { segments, vaults, findings, .. } = verify(&memory);
    assert_eq!((segments, vaults, findings), (1, 1, vec![]));
    let path = Path::new("/log/archive").join(name);
    memory.damage(&path, |bytes| bytes[5] ^= 1);
    assert_eq!(verify(&memory).findings.len(), 1);
}

/// A crash at every operation of a sealing, recovered on a later day: the segment is sealed once, and there
/// is nothing to report.
#[test]
fn a_crash_while_sealing_is_no_forgery() {
    let count = Memory::new().with_fault(Fault::Freeze(u64::MAX));
    try_write(&mut site(&count, WRITTEN).unwrap(), &folder(DAY, "mail"), false, b"wrapped").unwrap();
    for at in 0..count.operations() {
        for fault in [Fault::Freeze(at), Fault::Tear(at)] {
            let memory = Memory::new().with_fault(fault);
            let _ = site(&memory, WRITTEN)
                .and_then(|mut site| try_write(&mut site, &folder(DAY, "mail"), false, b"wrapped").map(drop));
            for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                let after = memory.after_crash(survives);
                recover(&after, "2026-11-25T10:00:00Z").unwrap();
                if after.files().keys().any(|path| path.ends_with("ledger.jsonl")) {
                    assert_eq!(verify(&after).findings, [], "{fault:?} {survives:?}");
                } else {
                    // The write was interrupted before anything was recorded, and so before anything was
                    // archived.
                    let archived = after.files().into_keys().find(|path| path.starts_with("/log/archive"));
                    assert_eq!(archived, None, "{fault:?} {survives:?}");
                }
            }
        }
    }
}

/// Seals what a crash left, as the next filter does at its start.
fn recover(memory: &Memory, now: &str) -> Result<(), Diagnostic> {
    let Site { storage, tree, shred, ledger, zone, now, .. } = site(memory, now)?;
    let parts = ArchiveParts {
        storage,
        tree,
        node: NodeName::new("web1").unwrap(),
        zone: zone.clone(),
        source_zone: zone.clone(),
        policy: [3; 32],
        tenant: "default".to_owned(),
        kinds: Arc::new(Kinds::default()),
        escrow: Escrow::KeyFile,
        foreign_tokens: false,
        sealer: Box::new(ledger.clone()),
        shred_keys: Box::new(RecordedShredKeys::new(shred, ledger, zone, Box::new(|lost| panic!("{lost}")))),
        certain: None,
    };
    OpenSegments::open(parts, now).map(drop)
}

/// Runs the commands of FORMAT.md and docs/verify.md in a shell.
#[test]
fn openssl_checks_a_seal() {
    let memory = archive();
    let directory = tempfile::tempdir().unwrap();
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    std::fs::write(directory.path().join("segment"), &memory.files()[&path]).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let opened = Segment::open(&*storage, &path).unwrap();
    let key = checker.records[0].verifier.key_of(opened.seal().day).unwrap();
    std::fs::write(directory.path().join("day.pem"), crate::ledger::pem(key)).unwrap();
    let document = include_str!("../../archive/FORMAT.md");
    let (_, section) = document.split_once("### A seal by hand").unwrap();
    let script = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    assert!(include_str!("../../../docs/verify.md").contains(script), "docs/verify.md shows other commands");
    // The key exists already; `oubliette` does not.
    let script = script.split_once('\n').unwrap().1;
    let run = || {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-e", "-c", script]).env("segment", "segment").current_dir(directory.path());
        shell.output().unwrap()
    };
    let passed = run();
    let digest = hex::encode(opened.digest());
    assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stderr));
    let said = String::from_utf8(passed.stdout).unwrap();
    assert_eq!(said, format!("{digest}\n{digest}\nSignature Verified Successfully\n"));
    // Another seal.
    let mut bytes = memory.files()[&path].clone();
    let at = bytes.windows(64).position(|window| window == opened.seal().signature).unwrap();
    bytes[at] ^= 1;
    std::fs::write(directory.path().join("segment"), bytes).unwrap();
    assert!(!run().status.success());
}

#[test]
fn what_is_missing_is_missed() {
    let memory = archive();
    for path in of_day(&memory, DAY) {
        let without = copy(&memory);
        Storage::unlink(&without, &path).unwrap();
        let files: Vec<String> = verify(&without).findings.into_iter().map(|finding| finding.file).collect();
        assert!(files.contains(&path.display().to_string()), "{}: {files:?}", path.display());
    }
}

#[test]
fn a_segment_put_elsewhere_or_copied_from_another_is_found() {
    let memory = archive();
    let path = |class| Path::new("/log/archive").join(segment(DAY, class).to_string());
    let other = memory.files()[&path("connection")].clone();
    memory.damage(&path("mail"), |bytes| *bytes = other);
    let whats: Vec<String> = verify(&memory).findings.into_iter().map(|finding| finding.what).collect();
    assert!(whats.iter().any(|what| what.contains("directory of another")), "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("another segment of that name")), "{whats:?}");
}

/// Somebody with the key of a later day seals a segment of an earlier day again, and lists it in the ledger.
#[test]
fn a_segment_sealed_again_with_a_later_key_is_found() {
    let memory = archive();
    let name = segment(DAY, "mail").to_string();
    let mut later = site(&memory, "2026-11-24T10:00:00Z").unwrap();
    let digest = {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        *Segment::open(&*storage, &Path::new("/log/archive").join(&name)).unwrap().digest()
    };
    let now = "2026-11-24T10:00:00Z".parse().unwrap();
    let seal = later.ledger.seal(now, &digest).unwrap();
    later.ledger.record(now, &name, &digest).unwrap();
    let path = Path::new("/log/archive").join(&name);
    let bytes = memory.files()[&path].clone();
    let old = Segment::open(&memory, &path).unwrap();
    let at = bytes.windows(64).position(|window| window == old.seal().signature).unwrap();
    // Day and key of the seal precede its signature. First only the signature is replaced, then all three.
    memory.damage(&path, |bytes| bytes[at..at + 64].copy_from_slice(&seal.signature));
    let found = |memory: &Memory| {
        verify(memory).findings.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>()
    };
    assert!(found(&memory).iter().any(|what| what.contains("the seal is none by the key of 2026-11-23")));
    memory.damage(&path, |bytes| {
        bytes[at - 32..at].copy_from_slice(&seal.key);
        bytes[at - 37] = 24;
    });
    let found = found(&memory);
    assert_eq!(found, ["it was sealed on 2026-11-23, and again with a later key on 2026-11-24"]);
}

#[test]
fn one_segment_is_checked_wherever_it_lies() {
    let memory = archive();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    let checker = || Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let verified = checker().one(&path, &|_| {}).unwrap();
    assert_eq!((verified.segments, verified.findings.len()), (1, 0));
    memory.damage(&path, |bytes| bytes.truncate(20));
    assert_eq!(checker().one(&path, &|_| {}).unwrap().findings.len(), 1);
    assert!(site(&memory, WRITTEN).is_ok());
}

/// A sidecar begins and seals segments at any moment: after the ledger is read, after segments are listed.
#[test]
fn what_is_written_meanwhile_is_no_fault() {
    let memory = archive();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
    let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let mut site = site(&memory, "2026-11-24T10:00:00Z").unwrap();
    write(&mut site, &folder(DAY, "ticket"), false);
    let writing = std::sync::Mutex::new((site, Vec::new()));
    let (first, second) = (std::sync::Once::new(), |_| {
        let mut writing = writing.lock().unwrap();
        let (site, open) = &mut *writing;
        write(site, &folder(NEXT, "ticket"), false);
        open.push(write(site, &folder(NEXT, "mail"), true));
    });
    let verified = checker.archive(&place, &|bytes| first.call_once(|| second(bytes))).unwrap();
    assert_eq!((verified.findings, verified.segments), (vec![], 4));
    drop(writing);
    assert_eq!(verify(&memory).findings, []);
    memory.unlink(&Path::new("/log/archive").join(segment(NEXT, "ticket").to_string())).unwrap();
    assert_eq!(verify(&memory).findings.len(), 2, "the segment and its vault");
}

/// The second phase of a segment begins between two reads.
#[test]
fn what_moves_meanwhile_is_checked_where_it_goes() {
    let memory = archive();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
    let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap();
    let once = std::sync::Once::new();
    let moves = || {
        let mut site = site(&memory, "2027-06-01T10:00:00Z").unwrap();
        site.classes = vec![two_phases()];
        assert_eq!(site.purge(true, &|_| {}).unwrap().moves.len(), 1);
    };
    let verified = checker.archive(&place, &|_| once.call_once(moves)).unwrap();
    assert_eq!((verified.findings, verified.segments), (vec![], 3));
}

/// So a purge leaves it that is killed while it copies, or while that runs.
#[test]
fn half_a_copy_for_the_second_phase_is_no_segment() {
    let memory = archive();
    let within = format!("{}.part", segment(DAY, "mail"));
    let part = Path::new("/log/intermediate").join(within);
    memory.create_directory(part.parent().unwrap(), 0o700).unwrap();
    memory.create(&part, 0o400).unwrap().append(b"half").unwrap();
    let Verified { segments, parts, left_open, findings, .. } = verify(&memory);
    assert_eq!((segments, parts, left_open, findings), (3, 0, 0, vec![]));
    memory.unlink(&Path::new("/log/archive").join(segment(DAY, "mail").to_string())).unwrap();
    assert!(!verify(&memory).findings.is_empty());
}

/// A class whose second phase of six months begins three months after the event.
fn two_phases() -> RetentionClass {
    RetentionClass {
        archive_after: Some(Period::parse("3 months").unwrap()),
        keep: Keep::For(Period::parse("6 months").unwrap()),
        ..class("mail", false)
    }
}

/// What the purge of the day has not removed, and what somebody moved, is whole, and told.
#[test]
fn what_lies_there_on_the_wrong_day_is_counted() {
    let counted = |memory: &Memory, now: &str, held: &[&str]| {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let place = Archive { tree: Tree::at(Path::new("/log")), intermediate: "/log/intermediate".into() };
        let held = held.iter().map(|class| (segment(DAY, class).to_string(), "1".to_owned())).collect();
        let (now, zone) = (now.parse().unwrap(), TimeZone::get("Europe/Paris").unwrap());
        let days = Days { now, zone, classes: vec![two_phases(), class("connection", false)], held };
        let checker = Checker::new(&storage, Path::new("/state/ledger"), &[]).unwrap().with_days(days);
        let Verified { overdue, early, findings, .. } = checker.archive(&place, &|_| {}).unwrap();
        assert_eq!(findings, []);
        (overdue, early)
    };
    let memory = archive();
    let mut site = site(&memory, WRITTEN).unwrap();
    let part = write(&mut site, &folder(DAY, "ticket"), true);
    assert_eq!(counted(&memory, "2027-11-23T22:59:59Z", &[]), (0, 0));
    assert_eq!(counted(&memory, MIDNIGHT, &[]), (3, 0));
    assert_eq!(counted(&memory, MIDNIGHT, &["mail"]), (2, 0));
    for class in ["mail", "connection"] {
        let within = segment(DAY, class).to_string();
        let (from, to) =
            (Path::new("/log/archive").join(&within), Path::new("/log/intermediate").join(within));
        memory.create_directory(to.parent().unwrap(), 0o700).unwrap();
        memory.rename(&from, &to).unwrap();
    }
    // Six months before the last day is the last day of the first phase.
    assert_eq!(counted(&memory, "2027-05-23T21:59:59Z", &[]), (0, 1));
    assert_eq!(counted(&memory, "2027-05-23T22:00:00Z", &[]), (0, 0));
    assert_eq!(counted(&memory, MIDNIGHT, &[]), (3, 0));
    drop(part);
}

#[test]
fn what_oubliette_did_not_make_is_told() {
    let memory = archive();
    let strays = [
        "archive/copy.log.zst",
        "archive/expires=20271124/class=mail/web1-2epqf-1.log.zst",
        "archive/expires=2027-11-24/web1-2epqf-1.log.zst",
        "archive/expires=2027-11-24/class=Mail/web1-2epqf-1.log.zst",
        "archive/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst.bak",
        "archive/expires=2027-11-24/class=mail/web1-2epqf-1.vault",
        "archive/old/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst",
        "intermediate/copy.log.zst",
        "vault/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst",
    ];
    let fine = [
        "archive/lost+found/file",
        "archive/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst.staged",
        "vault/expires=2027-11-24/class=mail/web1-2epqf-1.vault.staged",
    ];
    for path in strays.iter().chain(&fine).map(|path| Path::new("/log").join(path)) {
        memory.create_directory(path.parent().unwrap(), 0o700).unwrap();
        memory.create(&path, 0o600).unwrap();
    }
    let findings = verify(&memory).findings;
    let told: Vec<&str> =
        findings.iter().map(|finding| finding.file.strip_prefix("/log/").unwrap()).collect();
    assert_eq!(
        told,
        [
            strays[0],
            "archive/expires=2027-11-24/class=Mail",
            strays[4],
            strays[5],
            strays[2],
            "archive/expires=20271124/class=mail",
            "archive/old",
            strays[7],
            strays[8],
        ]
    );
}
