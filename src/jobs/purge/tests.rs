//! Purges over files in memory whose operations fail, freeze and tear one by one.

use super::*;
use crate::jobs::custody::RecordedShredKeys;
use crate::jobs::scene::{
    DAY, MIDNIGHT, NEXT, WRITTEN, archive, events, folder, of_day, secret, segment, site, write,
};
use crate::model::{ClassName, Expires, NodeName, Period, SegmentName};
use crate::pipeline::archiver::{ArchiveParts, Escrow, OpenSegments};
use crate::primitives::storage::{Fault, Memory, Survives};
use crate::shred::ShredError;
use crate::vault::{Vault, VaultError};
use jiff::civil::date;
use std::cell::Cell;

fn names(batch: &Batch) -> Vec<&str> {
    batch.files.iter().map(|file| file.entry.name.as_str()).collect()
}

#[test]
fn what_has_expired_goes_with_its_key_and_nothing_else() {
    let memory = archive();
    let copy = memory.after_crash(Survives::Everything);
    let key = site(&copy, WRITTEN).unwrap().shred.existing(Expires::On(DAY)).unwrap().unwrap();
    let frames =
        memory.files()[&PathBuf::from("/log/archive").join(segment(DAY, "mail").to_string())][..16].to_vec();
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!(done.purges.len(), 1);
    assert_eq!(
        names(&done.purges[0]),
        [
            "archive/expires=2027-11-24/class=connection/web1-2epqf-1.log.zst",
            "archive/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst",
            "vault/expires=2027-11-24/class=connection/web1-2epqf-1.vault",
            "vault/expires=2027-11-24/class=mail/web1-2epqf-1.vault",
        ]
    );
    assert_eq!(done.purges[0].lines(), 4);
    assert_eq!(of_day(&memory, DAY), Vec::<PathBuf>::new());
    assert_eq!(of_day(&memory, NEXT).len(), 2);
    assert!(!Storage::exists(&memory, Path::new("/log/archive/expires=2027-11-24")).unwrap());
    for (path, bytes) in memory.files() {
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(key.expose()), "{}", path.display());
        let other_day = path.to_string_lossy().contains("expires=2027-11-25");
        assert!(other_day || !holds(&frames), "{}", path.display());
    }
    // An earlier copy of the archive, and the secret of the epoch: without H, the copy stays closed.
    let vault = Vault::open(&copy, &Tree::at(Path::new("/log")).vault(&segment(DAY, "mail"))).unwrap();
    assert_eq!(vault.originals(&secret(), &key).unwrap().len(), 1);
    let shred = site(&memory, MIDNIGHT).unwrap().shred;
    assert!(shred.existing(Expires::On(DAY)).unwrap().is_none());
    assert!(matches!(shred.key_for(Expires::On(DAY)), Err(ShredError::Expired { .. })));
    let other = shred.existing(Expires::On(NEXT)).unwrap().unwrap();
    assert!(matches!(vault.originals(&secret(), &other), Err(VaultError::WrongKey { .. })));
    assert!(matches!(vault.wrap(&other), Err(VaultError::WrongKey { .. })));
}

/// A filter that starts during a purge seals what a crash left, under its final name: that is purged as well.
#[test]
fn what_is_sealed_during_a_purge_goes_with_it() {
    let before = archive();
    let left = write(&mut site(&before, WRITTEN).unwrap(), &folder(DAY, "web"), true);
    drop(left);
    let memory = before.after_crash(Survives::Everything);
    let files = of_day(&memory, DAY).len();
    for nth in 0..files {
        let (memory, calls) = (before.after_crash(Survives::Everything), Cell::new(0));
        let start = |_| {
            if calls.replace(calls.get() + 1) == nth {
                start_filter(&memory);
            }
        };
        let done = site(&memory, MIDNIGHT).unwrap().purge(true, &start).unwrap();
        assert_eq!(of_day(&memory, DAY), Vec::<PathBuf>::new(), "{nth}");
        assert!(!done.is_blocked() && done.purges[0].files.len() == files, "{nth} {:?}", done.purges);
        assert_eq!(site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap(), Plan::default(), "{nth}");
    }
}

/// A filter that starts locks a part before it seals it: nobody may lock it between the look at it and its
/// removal.
#[test]
fn a_part_that_a_crash_left_is_removed_under_its_lock() {
    let before = archive();
    drop(write(&mut site(&before, WRITTEN).unwrap(), &folder(DAY, "web"), true));
    let memory = before.after_crash(Survives::Everything).where_parts_go_locked();
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert!(!done.is_blocked(), "{:?}", done.purges);
    assert_eq!(of_day(&memory, DAY), Vec::<PathBuf>::new());
}

/// Does what a filter does at its start with what a crash left.
fn start_filter(memory: &Memory) {
    let Site { storage, tree, ledger, shred, zone, .. } = site(memory, MIDNIGHT).unwrap();
    let parts = ArchiveParts {
        storage,
        tree,
        node: NodeName::new("web1").unwrap(),
        source_zone: zone.clone(),
        policy: [3; 32],
        tenant: "default".to_owned(),
        kinds: Arc::default(),
        escrow: Escrow::KeyFile,
        foreign_tokens: false,
        sealer: Box::new(ledger.clone()),
        shred_keys: Box::new(RecordedShredKeys::new(shred, ledger, zone.clone(), Box::new(|_| {}))),
        certain: None,
        zone,
    };
    let (_, recovered) = OpenSegments::open(parts, MIDNIGHT.parse().unwrap()).unwrap();
    assert_eq!(recovered.len(), 1);
}

#[test]
fn a_vault_that_is_not_there_is_told_unless_a_purge_that_broke_off_removed_it() {
    let memory = archive();
    let vault = Tree::at(Path::new("/log")).vault(&segment(DAY, "mail"));
    let copy = memory.after_crash(Survives::Everything);
    copy.unlink(&vault).unwrap();
    let plan = site(&copy, MIDNIGHT).unwrap().plan(&|_| {}).unwrap();
    let name = "vault/expires=2027-11-24/class=mail/web1-2epqf-1.vault";
    assert_eq!((plan.purges[0].vaultless.clone(), plan.is_blocked()), (vec![name.to_owned()], true));
    assert_eq!(site(&copy, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap(), plan);
    assert_eq!(of_day(&copy, DAY), Vec::<PathBuf>::new());

    let mut begun = site(&memory, MIDNIGHT).unwrap();
    begun.trust_clock(true).unwrap();
    let batch = begun.batch(DAY, None, &|_| {}).unwrap();
    begun.ledger.append(Event::PurgeIntent(joined(DAY, &batch, None))).unwrap();
    memory.unlink(&vault).unwrap();
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert!(done.purges[0].vaultless.is_empty() && !done.is_blocked());
}

/// A purge removed the vault, and could not remove the segment; no other day has vaults.
#[test]
fn a_segment_that_stayed_when_its_vault_went_is_removed_by_a_later_purge() {
    let memory = Memory::new();
    write(&mut site(&memory, WRITTEN).unwrap(), &folder(DAY, "mail"), false);
    let path = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    let bytes = memory.files()[&path].clone();
    let mut elsewhere = site(&memory, MIDNIGHT).unwrap();
    elsewhere.tree.vault = "/elsewhere".into();
    assert_eq!(elsewhere.demand_place().unwrap_err().code.id, NOT_THERE.id);
    drop(elsewhere);
    site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    memory.create_directory(path.parent().unwrap(), 0o700).unwrap();
    memory.create(&path, 0o600).unwrap();
    memory.damage(&path, |stuck| stuck.clone_from(&bytes));
    let mut later = site(&memory, MIDNIGHT).unwrap();
    later.demand_place().unwrap();
    later.purge(true, &|_| {}).unwrap();
    assert_eq!(of_day(&memory, DAY), Vec::<PathBuf>::new());
}

#[test]
fn nothing_goes_a_moment_too_soon() {
    let memory = archive();
    let before = of_day(&memory, DAY);
    let done = site(&memory, "2027-11-23T22:59:59Z").unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!((done, of_day(&memory, DAY)), (Plan::default(), before));
}

#[test]
fn a_dry_run_is_the_plan_and_changes_nothing() {
    let memory = archive();
    let before = memory.files();
    let counted = Cell::new(0);
    let plan = site(&memory, MIDNIGHT).unwrap().plan(&|bytes| counted.set(counted.get() + bytes)).unwrap();
    assert_eq!(memory.files(), before);
    assert_eq!(counted.get(), plan.purges[0].bytes());
    assert_eq!(site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap(), plan);
    let again = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!(again, Plan::default());
}

#[test]
fn the_ledger_tells_what_in_the_order_in_which_it_was_done() {
    let memory = archive();
    let plan = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    let events = events(&memory);
    let start = events.iter().position(|event| matches!(event, Event::PurgeIntent(_))).unwrap();
    let [
        Event::PurgeIntent(intent),
        Event::ShredKeyErased { expires },
        Event::PurgeDone(done),
        Event::Stop { .. },
    ] = &events[start..]
    else {
        panic!("{:?}", &events[start..])
    };
    assert_eq!((intent, expires.as_str()), (done, "2027-11-24"));
    let files: Vec<PurgedFile> = plan.purges[0].files.iter().map(|file| file.entry.clone()).collect();
    assert_eq!((&done.files, done.bytes, done.lines), (&files, plan.purges[0].bytes(), 4));
}

#[test]
fn a_purge_that_fails_ends_in_the_ledger_with_its_code() {
    let before = archive();
    let ends = |at| {
        let memory = before.with_fault(Fault::Fail(at, io::ErrorKind::Other));
        let failure = site(&memory, MIDNIGHT).ok()?.purge(true, &|_| {}).err()?;
        // A failure of the ledger itself is recorded nowhere else.
        (failure.code == &IO).then(|| events(&memory).pop())?
    };
    let ended: Vec<Event> = (0..100).filter_map(ends).collect();
    let stop = Event::Stop { command: "purge".to_owned(), exit: 2, code: Some(IO.id.to_owned()) };
    assert!(!ended.is_empty() && ended.iter().all(|event| *event == stop), "{ended:?}");
}

/// The process stops, or an operation fails, at every operation of a purge, whatever that leaves on the disk.
/// The next run completes the purge; H never exists when a file of the day is gone; the ledger records every
/// file once.
#[test]
fn a_purge_that_breaks_off_anywhere_is_ended_by_the_next() {
    let before = archive();
    let clean = before.with_fault(Fault::Freeze(u64::MAX));
    site(&clean, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    let operations = clean.operations();
    assert!(operations > 40, "{operations}");
    let all = of_day(&before, DAY).len();
    for at in 0..operations {
        for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, io::ErrorKind::Other)] {
            let memory = before.with_fault(fault);
            let _ = site(&memory, MIDNIGHT).and_then(|mut site| site.purge(true, &|_| {}));
            for (survives, after) in memory.crashes() {
                let case = format!("{fault:?} {survives:?}");
                let key = |memory: &Memory| memory.files().contains_key(Path::new("/state/shred/2027-11-24"));
                // A key that could not be erased keeps no file, but then the purge is not complete.
                let has_key = key(&after) && !matches!(fault, Fault::Fail(..));
                assert!(of_day(&after, DAY).len() == all || !has_key, "{case}");
                let mut next = site(&after, MIDNIGHT).unwrap();
                next.purge(true, &|_| {}).unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(of_day(&after, DAY), Vec::<PathBuf>::new(), "{case}");
                assert_eq!((key(&after), of_day(&after, NEXT).len()), (false, 2), "{case}");
                let events = events(&after);
                let done: Vec<_> = events
                    .iter()
                    .filter_map(|event| match event {
                        Event::PurgeDone(done) => Some(done.files.len()),
                        _ => None,
                    })
                    .collect();
                // A file that could not be removed is recorded as removed only once it is.
                let once = done.len() == 1 || matches!(fault, Fault::Fail(..));
                assert!(done.iter().sum::<usize>() == 4 && once, "{case}: {done:?}");
                let erased =
                    events.iter().filter(|event| matches!(event, Event::ShredKeyErased { .. })).count();
                assert!((1..=2).contains(&erased), "{case}: {erased}");
                assert_eq!(next.plan(&|_| {}).unwrap(), Plan::default(), "{case}");
            }
        }
    }
}

/// A failure with one file, one directory or one key is no reason to keep anything else.
#[test]
fn whatever_fails_holds_nothing_else_up() {
    let before = archive();
    let both = "2027-11-25T10:00:00Z";
    let clean = before.with_fault(Fault::Freeze(u64::MAX));
    site(&clean, both).unwrap().purge(true, &|_| {}).unwrap();
    let key = |memory: &Memory| memory.files().contains_key(Path::new("/state/shred/2027-11-24"));
    let (mut stuck, mut with_key) = (0, 0);
    for at in 0..clean.operations() {
        let memory = before.with_fault(Fault::Fail(at, io::ErrorKind::PermissionDenied));
        let Ok(mut site) = site(&memory, both) else { continue };
        let purged = site.purge(true, &|_| {});
        let left = of_day(&memory, DAY);
        match purged {
            Ok(done) if left.len() == 1 => {
                let file = left[0].strip_prefix("/log").unwrap().display().to_string();
                let why = io::Error::from(io::ErrorKind::PermissionDenied).to_string();
                assert_eq!(done.failures().collect::<Vec<_>>(), [(&*file, &*why)], "{at}");
                assert!(done.is_blocked() && !key(&memory), "{at}");
                let events = events(&memory);
                let purges = events.iter().filter_map(|event| match event {
                    Event::PurgeDone(done) => Some((done.files.len(), done.left.clone())),
                    _ => None,
                });
                assert_eq!(
                    purges.collect::<Vec<_>>(),
                    [(3, vec![LeftFile { name: file, why }]), (2, vec![])]
                );
                let code = Some(STUCK.id.to_owned());
                assert_eq!(events.last(), Some(&Event::Stop { command: "purge".to_owned(), exit: 1, code }));
                assert_eq!(of_day(&memory, NEXT), Vec::<PathBuf>::new(), "{at}");
                stuck += 1;
            }
            // Unless the day is declared over, a filter could begin it anew.
            Err(failure) if failure.code == &crate::shred::IO && left.is_empty() => {
                // Or that declaration failed for the next day.
                assert!(of_day(&memory, NEXT).is_empty() || !key(&memory), "{at}");
                with_key += usize::from(key(&memory));
            }
            Err(failure) if failure.code == &IO => {
                assert_eq!((left, of_day(&memory, NEXT).len()), (vec![], 0), "{at}");
            }
            _ => {}
        }
        let after = memory.after_crash(Survives::Everything);
        let mended = self::site(&after, both).unwrap().purge(true, &|_| {}).unwrap();
        assert_eq!((mended.is_blocked(), of_day(&after, DAY), key(&after)), (false, vec![], false), "{at}");
    }
    assert!(stuck == 4 && with_key > 0, "{stuck} {with_key}");
}

#[test]
fn a_shred_key_or_a_note_that_is_damaged_keeps_nothing() {
    let memory = archive();
    site(&memory, "2026-12-01T10:00:00Z").unwrap().shred.expire_until(date(2026, 12, 1)).unwrap();
    for damaged in ["/state/shred/2027-11-24", "/state/shred/expired-until"] {
        memory.damage(Path::new(damaged), |bytes| bytes.truncate(7));
    }
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!((done.purges[0].files.len(), done.purges[0].key, done.is_blocked()), (4, true, false));
    let shred = site(&memory, MIDNIGHT).unwrap().shred;
    assert!(!shred.has(Expires::On(DAY)).unwrap());
    assert!(matches!(shred.key_for(Expires::On(DAY)), Err(ShredError::Expired { .. })));
}

/// Moves a segment of the first day into another folder, under another number.
fn moved(memory: &Memory, class: &str, to: Date) -> PathBuf {
    let tree = crate::model::Tree::at(Path::new("/log"));
    let from = tree.segment(&segment(DAY, class));
    let to = tree.segment(&SegmentName { number: 7, ..segment(to, class) });
    memory.create_directory(to.parent().unwrap(), 0o750).unwrap();
    memory.rename(&from, &to).unwrap();
    to
}

#[test]
fn a_segment_that_was_moved_into_a_later_day_is_told_until_it_is_back() {
    let memory = archive();
    let far = moved(&memory, "mail", date(2099, 1, 1));
    assert_eq!(site(&memory, "2027-11-23T22:59:59Z").unwrap().purge(true, &|_| {}).unwrap(), Plan::default());
    let sealed_as = segment(DAY, "mail").to_string();
    let lies_as = "archive/expires=2099-01-01/class=mail/web1-2epqf-7.log.zst".to_owned();
    let misplaced = vec![Misplaced { expires: DAY, sealed_as: sealed_as.clone(), lies_as }];
    let planned = site(&memory, MIDNIGHT).unwrap().plan(&|_| {}).unwrap();
    assert_eq!(planned.misplaced, misplaced);
    for files in [3, 0] {
        let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
        assert_eq!((&done.misplaced, done.is_blocked()), (&misplaced, true));
        assert_eq!(done.purges.iter().map(|batch| batch.files.len()).sum::<usize>(), files);
    }
    let back = Path::new("/log/archive").join(sealed_as);
    memory.create_directory(back.parent().unwrap(), 0o750).unwrap();
    memory.rename(&far, &back).unwrap();
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!((done.purges[0].files.len(), done.misplaced.len()), (1, 0));
    assert_eq!(site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap(), Plan::default());
}

#[test]
fn a_segment_that_was_moved_into_an_earlier_day_is_not_purged_before_its_own() {
    let memory = archive();
    let early = moved(&memory, "connection", date(2026, 12, 1));
    let done = site(&memory, "2026-12-01T10:00:00Z").unwrap().purge(true, &|_| {}).unwrap();
    let name = "archive/expires=2026-12-01/class=connection/web1-2epqf-7.log.zst".to_owned();
    assert_eq!(done.purges[0].blocked, [Blocked { name, reason: Reason::NotDue }]);
    assert!(memory.files().contains_key(&early));
    // On its own day it is removed, wherever it is.
    let done = site(&memory, MIDNIGHT).unwrap().purge(true, &|_| {}).unwrap();
    assert!(!done.is_blocked() && !memory.files().contains_key(&early));
}

#[test]
fn days_that_were_missed_are_caught_up() {
    let memory = archive();
    let done = site(&memory, "2027-12-24T10:00:00Z").unwrap().purge(true, &|_| {}).unwrap();
    assert_eq!(done.purges.iter().map(|batch| batch.expires).collect::<Vec<_>>(), [DAY, NEXT]);
    assert!(of_day(&memory, NEXT).is_empty());
}

/// Of two failures, the first says what to mend.
#[test]
fn a_ledger_without_room_for_a_confirmed_clock_says_so() {
    let memory = archive();
    site(&memory, WRITTEN).unwrap().ledger.append(Event::ShredKeyMade { expires: DAY.to_string() }).unwrap();
    let mut refusals = 0;
    for at in 0.. {
        let full = memory.with_fault(Fault::Full(at));
        let Err(refused) = site(&full, MIDNIGHT).and_then(|mut site| site.trust_clock(true)) else { break };
        let why = refused.why.as_deref().unwrap_or_default();
        assert!(why.contains("room") || why.contains("full") || why.contains("space"), "{at}: {refused}");
        refusals += 1;
    }
    assert!(refusals > 2, "{refusals}");
}

#[test]
fn a_clock_that_jumped_purges_nothing_until_it_is_confirmed() {
    for now in ["2027-11-24T10:00:00Z", "2026-11-22T10:00:00Z"] {
        let memory = archive();
        let before = of_day(&memory, DAY);
        let refused = site(&memory, now).unwrap().purge(false, &|_| {}).unwrap_err();
        assert_eq!((refused.code.id, of_day(&memory, DAY)), ("P01", before));
        let (command, code, clock) = ("purge".to_owned(), "P01".to_owned(), now.parse().ok());
        assert_eq!(events(&memory).pop(), Some(Event::Refused { command, code, clock }));
        // A clock that is right again needs no confirmation.
        let again = memory.after_crash(Survives::Everything);
        site(&again, "2026-11-23T11:00:00Z").unwrap().purge(false, &|_| {}).unwrap();
        // An entry that another command wrote meanwhile does not make the clock right.
        let start = Event::Start { command: "filter".to_owned(), version: "0".to_owned() };
        site(&memory, now).unwrap().ledger.append(start).unwrap();
        assert!(site(&memory, now).unwrap().purge(false, &|_| {}).is_err());
        // Whoever confirms that jump must see that the clock has gone wrong again.
        let again = site(&memory, "2099-01-01T00:00:00Z").unwrap().purge(false, &|_| {}).unwrap_err();
        let why = format!("it said {WRITTEN}, and then {now}; now it says 2099-01-01T00:00:00Z");
        assert_eq!(again.why, Some(why));
        site(&memory, now).unwrap().purge(true, &|_| {}).unwrap();
        site(&memory, now).unwrap().purge(false, &|_| {}).unwrap();
        assert!(events(&memory).iter().any(|event| matches!(event, Event::ClockConfirmed { .. })));
    }
}

#[test]
fn what_is_written_to_held_or_foreign_stays_and_the_rest_goes() {
    let memory = archive();
    let mut site = site(&memory, WRITTEN).unwrap();
    let writer = write(&mut site, &folder(DAY, "web"), true).unwrap();
    let foreign = Path::new("/log/archive/expires=2027-11-24/class=web/notes.txt");
    memory.create(foreign, 0o600).unwrap();
    site = self::site(&memory, MIDNIGHT).unwrap();
    site.held.insert(segment(DAY, "mail").to_string(), "2027/0815".to_owned());
    let done = site.purge(true, &|_| {}).unwrap();
    let held = || Reason::Held { case: "2027/0815".to_owned() };
    let blocked: Vec<(&str, Reason)> = done.purges[0]
        .blocked
        .iter()
        .map(|blocked| (blocked.name.as_str(), blocked.reason.clone()))
        .collect();
    assert_eq!(
        blocked,
        [
            ("archive/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst", held()),
            ("archive/expires=2027-11-24/class=web/notes.txt", Reason::Foreign),
            ("archive/expires=2027-11-24/class=web/web1-2epqf-1.log.zst.part", Reason::InUse),
            ("vault/expires=2027-11-24/class=mail/web1-2epqf-1.vault", held()),
            ("vault/expires=2027-11-24/class=web/web1-2epqf-1.vault", Reason::InUse),
        ]
    );
    assert_eq!(names(&done.purges[0]).len(), 2);
    let in_use: Vec<_> = done.in_use().collect();
    assert_eq!(in_use, ["archive/expires=2027-11-24/class=web/web1-2epqf-1.log.zst.part"]);
    assert!(site.shred.existing(Expires::On(DAY)).unwrap().is_some(), "a held segment needs H");
    // A segment of a past day cannot be begun again.
    assert!(matches!(site.shred.key_for(Expires::On(DAY)), Err(ShredError::Expired { .. })));
    drop(writer);
    site.held.clear();
    let done = site.purge(true, &|_| {}).unwrap();
    assert_eq!(done.purges[0].blocked.len(), 1);
    assert_eq!(of_day(&memory, DAY), [foreign]);
    assert!(site.shred.existing(Expires::On(DAY)).unwrap().is_none());
}

/// For example, because its disk is not mounted.
#[test]
fn a_held_segment_that_is_not_there_keeps_its_key() {
    let memory = archive();
    let (tree, mail) = (Tree::at(Path::new("/log")), segment(DAY, "mail"));
    for file in [tree.archive.join(mail.to_string()), tree.vault(&mail)] {
        memory.unlink(&file).unwrap();
    }
    let mut site = site(&memory, MIDNIGHT).unwrap();
    site.held.insert(segment(DAY, "mail").to_string(), "2027/0815".to_owned());
    let plan = site.plan(&|_| {}).unwrap();
    let done = site.purge(true, &|_| {}).unwrap();
    assert_eq!((done.absent.len(), done.purges[0].key), (1, false));
    assert_eq!(done, plan);
    assert!(site.shred.existing(Expires::On(DAY)).unwrap().is_some());
    site.held.clear();
    assert!(site.purge(true, &|_| {}).unwrap().purges[0].key);
    assert!(site.shred.existing(Expires::On(DAY)).unwrap().is_none());
}

/// The first instant of 2027-11-24 in New York and in Tokyo; in Paris it is [`MIDNIGHT`].
const NEW_YORK: (&str, &str) = ("America/New_York", "2027-11-24T05:00:00Z");
const TOKYO: (&str, &str) = ("Asia/Tokyo", "2027-11-23T15:00:00Z");

/// Returns the site after its `zone` was changed.
fn moved_to(memory: &Memory, zone: &str, now: &str) -> Site {
    Site { zone: TimeZone::get(zone).unwrap(), ..site(memory, now).unwrap() }
}

/// Purges, and checks that it does what was planned. Returns how many files of the first day are left, and
/// whether its key is.
fn left_after(memory: &Memory, zone: &str, now: &str) -> (usize, bool) {
    let planned = moved_to(memory, zone, now).plan(&|_| {}).unwrap();
    assert_eq!(moved_to(memory, zone, now).purge(true, &|_| {}).unwrap(), planned, "{zone} {now}");
    let key = memory.files().contains_key(Path::new("/state/shred/2027-11-24"));
    assert_eq!(of_day(memory, NEXT).len(), 2, "{zone} {now}");
    (of_day(memory, DAY).len(), key)
}

#[test]
fn a_zone_that_is_changed_later_makes_nothing_due_too_soon() {
    let memory = archive();
    for too_soon in [TOKYO.1, "2027-11-23T22:59:59Z"] {
        assert_eq!(left_after(&memory, TOKYO.0, too_soon), (4, true), "{too_soon}");
        let plan = moved_to(&memory, TOKYO.0, too_soon).plan(&|_| {}).unwrap();
        let due: Timestamp = MIDNIGHT.parse().unwrap();
        assert!(plan.is_blocked() && plan.next == Some(due));
        let blocked = &plan.purges[0].blocked;
        assert!(blocked.len() == 4 && blocked.iter().all(|file| file.reason == Reason::NotYet { due }));
        // Writers go by the configured zone, in which that day is over.
        let shred = moved_to(&memory, TOKYO.0, too_soon).shred;
        assert!(matches!(shred.key_for(Expires::On(DAY)), Err(ShredError::Expired { .. })));
    }
    assert_eq!(left_after(&memory, TOKYO.0, MIDNIGHT), (0, false));
    assert_eq!(moved_to(&memory, TOKYO.0, MIDNIGHT).plan(&|_| {}).unwrap(), Plan::default());
}

#[test]
fn a_zone_that_is_changed_later_keeps_nothing_longer() {
    let memory = archive();
    let day_before = "2027-11-23T05:00:00Z";
    assert_eq!(left_after(&memory, NEW_YORK.0, day_before), (4, true));
    let plan = moved_to(&memory, NEW_YORK.0, day_before).plan(&|_| {}).unwrap();
    assert_eq!(plan, Plan { next: MIDNIGHT.parse().ok(), ..Plan::default() });
    assert_eq!(left_after(&memory, NEW_YORK.0, "2027-11-23T22:59:59Z"), (4, true));
    // The key is kept for writers under that day, until it begins in their zone.
    assert_eq!(left_after(&memory, NEW_YORK.0, MIDNIGHT), (0, true));
    let shred = moved_to(&memory, NEW_YORK.0, MIDNIGHT).shred;
    assert!(!shred.key_for(Expires::On(DAY)).unwrap().is_new);
    assert_eq!(left_after(&memory, NEW_YORK.0, NEW_YORK.1), (0, false));
}

#[test]
fn the_key_of_a_day_goes_with_the_last_of_its_segments() {
    let memory = archive();
    write(&mut moved_to(&memory, NEW_YORK.0, WRITTEN), &folder(DAY, "web"), false);
    // A segment that does not state its zone is removed with the last one.
    let mail = Path::new("/log/archive").join(segment(DAY, "mail").to_string());
    memory.damage(&mail, |bytes| *bytes.last_mut().unwrap() ^= 1);
    for zone in ["Europe/Paris", TOKYO.0, NEW_YORK.0] {
        let memory = memory.after_crash(Survives::Everything);
        assert_eq!(left_after(&memory, zone, MIDNIGHT), (4, true), "{zone}");
        let site = moved_to(&memory, zone, MIDNIGHT);
        let key = site.shred.existing(Expires::On(DAY)).unwrap().unwrap();
        let vault = Vault::open(&memory, &site.tree.vault(&segment(DAY, "web"))).unwrap();
        assert_eq!(vault.originals(&secret(), &key).unwrap().len(), 1, "{zone}");
        assert_eq!(left_after(&memory, zone, "2027-11-24T04:59:59Z"), (4, true), "{zone}");
        assert_eq!(left_after(&memory, zone, NEW_YORK.1), (0, false), "{zone}");
    }
}

/// A purge between the midnights of two zones stops anywhere: the key exists as long as it is needed.
#[test]
fn a_purge_of_a_part_of_a_day_that_breaks_off_keeps_the_key() {
    let before = archive();
    write(&mut moved_to(&before, NEW_YORK.0, WRITTEN), &folder(DAY, "web"), false);
    for zone in ["Europe/Paris", NEW_YORK.0] {
        let clean = before.with_fault(Fault::Freeze(u64::MAX));
        moved_to(&clean, zone, MIDNIGHT).purge(true, &|_| {}).unwrap();
        for at in 0..clean.operations() {
            let memory = before.with_fault(Fault::Freeze(at));
            if let Ok(site) = site(&memory, MIDNIGHT) {
                let zone = TimeZone::get(zone).unwrap();
                let _ = Site { zone, ..site }.purge(true, &|_| {});
            }
            let after = memory.after_crash(Survives::Synced);
            assert_eq!(left_after(&after, zone, MIDNIGHT), (2, true), "{zone} {at}");
            assert_eq!(left_after(&after, zone, NEW_YORK.1), (0, false), "{zone} {at}");
            let told = events(&after);
            let erased = told.iter().filter(|event| matches!(event, Event::ShredKeyErased { .. })).count();
            let done = told.iter().filter_map(|event| match event {
                Event::PurgeDone(done) => Some(done.files.len()),
                _ => None,
            });
            assert_eq!((erased, done.sum::<usize>()), (1, 6), "{zone} {at}");
        }
    }
}

/// A class is kept for 6 months in a second phase. On the day of that phase the segment moves, with a whole
/// copy at every operation, and it is purged from the intermediate store.
#[test]
fn a_second_phase_moves_segments_and_purges_them_from_there() {
    let before = archive();
    let in_phase_two = |memory: &Memory, now: &str| {
        let mut site = site(memory, now)?;
        site.classes.push(two_phases("mail"));
        site.purge(true, &|_| {})
    };
    // Expires on 2027-11-24: the last day of the first phase is 2027-05-23.
    assert!(in_phase_two(&before, "2027-05-23T21:59:59Z").unwrap().moves.is_empty());
    let name = segment(DAY, "mail");
    let (from, to) = (
        Path::new("/log/archive").join(name.to_string()),
        Path::new("/log/intermediate").join(name.to_string()),
    );
    let bytes = before.files()[&from].clone();
    let clean = before.with_fault(Fault::Freeze(u64::MAX));
    let moved = in_phase_two(&clean, "2027-05-23T22:00:00Z").unwrap();
    assert_eq!(names(&moved.moves[0]), ["archive/expires=2027-11-24/class=mail/web1-2epqf-1.log.zst"]);
    assert_eq!(of_day(&clean, DAY).len(), 4);
    assert!(events(&clean).iter().any(|event| matches!(event, Event::Moved(_))));
    for at in 0..clean.operations() {
        let memory = before.with_fault(Fault::Tear(at));
        let _ = in_phase_two(&memory, "2027-05-23T22:00:00Z");
        for (survives, after) in memory.crashes() {
            let files = after.files();
            let whole = [&from, &to].iter().any(|path| files.get(*path) == Some(&bytes));
            assert!(whole, "{at} {survives:?}");
            in_phase_two(&after, "2027-05-23T22:00:00Z").unwrap();
            let files = after.files();
            assert_eq!((files.get(&from), files.get(&to)), (None, Some(&bytes)), "{at} {survives:?}");
            in_phase_two(&after, MIDNIGHT).unwrap();
            assert!(of_day(&after, DAY).is_empty(), "{at} {survives:?}");
        }
    }
}

fn two_phases(class: &str) -> RetentionClass {
    RetentionClass {
        name: ClassName::new(class).unwrap(),
        description: String::new(),
        keep: crate::model::Keep::For(Period::parse("6 months").unwrap()),
        archive_after: Period::parse("3 months"),
        starts: crate::model::Starts::Event,
        basis: String::new(),
        duty: false,
        clauses: Vec::new(),
        is_default: false,
        samples: Vec::new(),
        file: String::new(),
        line_number: 1,
    }
}
