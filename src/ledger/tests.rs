//! The ledger in a real directory: kept over days, attacked line by line and bit by bit.

use super::entry::Entry;
use super::event::{DayKey, Event, Segment};
use super::*;
use crate::model::{Seal, Sealer as _};
use crate::primitives::hex;
use crate::primitives::storage::{Disk, Fault as Breakdown, Memory, Survives};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use std::fs;
use std::process::Command;

fn ledger(directory: &Path, now: &str) -> Ledger {
    Ledger::open(Settings {
        storage: disk(),
        directory: directory.to_owned(),
        zone: TimeZone::get("Europe/Paris").unwrap(),
        who: "root".to_owned(),
        clock: Clock::Fixed(now.parse().unwrap()),
    })
    .unwrap()
}

fn disk() -> Arc<dyn Storage> {
    Arc::new(Disk)
}

fn start() -> Event {
    Event::Start { command: "filter".to_owned(), version: "0.1.0".to_owned() }
}

/// Makes a ledger with two entries on each of three days.
fn three_days() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for day in ["2026-11-22", "2026-11-23", "2026-11-24"] {
        let mut ledger = ledger(directory.path(), &format!("{day}T10:00:00Z"));
        ledger.append(start()).unwrap();
        ledger.append(Event::Stop { command: "filter".to_owned(), exit: 0, code: None }).unwrap();
    }
    directory
}

fn lines(directory: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(directory.join(ENTRIES)).unwrap();
    text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn fault(directory: &Path) -> Option<Fault> {
    check(&disk(), directory, &mut |_, _| {}).unwrap().fault
}

fn events(directory: &Path) -> Vec<String> {
    let mut events = Vec::new();
    let checked = check(&disk(), directory, &mut |entry, _| events.push(entry.event.clone())).unwrap();
    assert_eq!(checked.fault, None);
    events
}

#[test]
fn a_day_hands_over_to_the_next_and_its_key_is_erased() {
    let directory = three_days();
    let expected = [
        "begin",
        "start",
        "stop",
        "next-key",
        "key-erased",
        "start",
        "stop",
        "next-key",
        "key-erased",
        "start",
        "stop",
    ];
    assert_eq!(events(directory.path()), expected);
    let checked = check(&disk(), directory.path(), &mut |_, _| {}).unwrap();
    let days: Vec<_> = checked.verifier.keys().iter().map(|key| key.day.day()).collect();
    assert_eq!(days, [22, 23, 24]);
    let names = Files::at(&disk(), directory.path()).names().unwrap();
    assert_eq!(names, ["head", "key-2026-11-24", "ledger.jsonl", "lock"]);
}

#[test]
fn a_key_is_overwritten_before_it_is_unlinked() {
    let directory = tempfile::tempdir().unwrap();
    ledger(directory.path(), "2026-11-22T10:00:00Z").append(start()).unwrap();
    let witness = directory.path().join("witness");
    fs::hard_link(directory.path().join("key-2026-11-22"), &witness).unwrap();
    ledger(directory.path(), "2026-11-23T10:00:00Z").append(start()).unwrap();
    assert_eq!(fs::read(&witness).unwrap(), [0; 32]);
}

#[test]
fn a_changed_bit_anywhere_is_found_in_its_line() {
    let directory = three_days();
    let path = directory.path().join(ENTRIES);
    let text = fs::read(&path).unwrap();
    let mut line = 1;
    for index in 0..text.len() {
        let mut changed = text.clone();
        changed[index] ^= 1 << (index % 8);
        fs::write(&path, &changed).unwrap();
        let fault = fault(directory.path()).unwrap_or_else(|| panic!("byte {index}"));
        assert_eq!(fault.line, line, "byte {index}: {fault:?}");
        let before = text[..index].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        assert_eq!(fault.offset, before as u64);
        line += u64::from(text[index] == b'\n');
    }
}

#[test]
fn a_changed_bit_of_the_note_about_the_end_is_found() {
    let directory = three_days();
    let path = directory.path().join(HEAD);
    let text = fs::read(&path).unwrap();
    for index in 0..text.len() {
        let mut changed = text.clone();
        changed[index] ^= 1 << (index % 8);
        fs::write(&path, &changed).unwrap();
        assert!(fault(directory.path()).is_some(), "byte {index}");
    }
}

#[test]
fn lines_taken_out_put_elsewhere_or_repeated_are_found() {
    let directory = three_days();
    let path = directory.path().join(ENTRIES);
    let lines = lines(directory.path());
    let write = |lines: &[Vec<u8>]| fs::write(&path, lines.concat()).unwrap();
    for index in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(index);
        write(&without);
        assert_eq!(fault(directory.path()).unwrap().line, index as u64 + 1, "without {index}");
        let mut twice = lines.clone();
        twice.insert(index, lines[index].clone());
        write(&twice);
        assert_eq!(fault(directory.path()).unwrap().line, index as u64 + 2, "twice {index}");
        if index > 0 {
            let mut swapped = lines.clone();
            swapped.swap(index - 1, index);
            write(&swapped);
            assert_eq!(fault(directory.path()).unwrap().line, index as u64, "swapped {index}");
        }
    }
    for kept in 0..lines.len() {
        write(&lines[..kept]);
        let fault = fault(directory.path()).unwrap();
        assert_eq!(fault.kind, FaultKind::Truncated { entries: 11 }, "{kept}");
    }
}

/// Somebody who has the key of the third day rewrites the second day, each line well-formed and chained.
#[test]
fn a_day_signed_again_with_a_later_key_is_found() {
    let directory = three_days();
    let lines = lines(directory.path());
    let later: [u8; 32] = fs::read(directory.path().join("key-2026-11-24")).unwrap().try_into().unwrap();
    let later = SigningKey::from_bytes(&later);
    let mut forged = lines[..5].to_vec();
    let mut hash = super::entry::line_hash(lines[4].trim_ascii_end());
    for line in &lines[5..] {
        let entry = Entry::parse(line.trim_ascii_end()).unwrap().entry;
        let changed = Entry { who: "nobody".to_owned(), prev: hex::encode(&hash), ..entry };
        let line = changed.to_line(&later);
        hash = super::entry::line_hash(&line);
        forged.push([line, vec![b'\n']].concat());
    }
    fs::write(directory.path().join(ENTRIES), forged.concat()).unwrap();
    let fault = fault(directory.path()).unwrap();
    let day = jiff::civil::date(2026, 11, 23);
    assert_eq!((fault.line, fault.kind), (6, FaultKind::Signature { day }));
}

/// The same, with the entries of the second day moved to the end, where the key of the third day is in force,
/// and with a key that claims to be of the second day.
#[test]
fn a_key_signs_nothing_of_another_day() {
    let directory = three_days();
    let lines = lines(directory.path());
    let secret: [u8; 32] = fs::read(directory.path().join("key-2026-11-24")).unwrap().try_into().unwrap();
    let key = SigningKey::from_bytes(&secret);
    let last = Entry::parse(lines[10].trim_ascii_end()).unwrap().entry;
    let next =
        Entry { n: 12, prev: hex::encode(&super::entry::line_hash(lines[10].trim_ascii_end())), ..last };
    let (second, fourth) = (jiff::civil::date(2026, 11, 23), jiff::civil::date(2026, 11, 25));
    let third = next.day;
    let hand_over = |day| {
        let public = hex::encode(key.verifying_key().as_bytes());
        let (event, about) =
            Event::NextKey(DayKey { version: 1, day, zone: "Europe/Paris".to_owned(), public }).into_parts();
        Entry { event, about, at: "2026-11-25T10:00:00Z".parse().unwrap(), ..next.clone() }
    };
    let at = |text: &str| text.parse().unwrap();
    for (forged, expected) in [
        (next.clone(), None),
        (hand_over(fourth), None),
        (hand_over(second), Some(FaultKind::NextKey)),
        (hand_over(third), Some(FaultKind::NextKey)),
        (Entry { day: second, ..next.clone() }, Some(FaultKind::Day { key: third, entry: second })),
        (Entry { at: at("2026-11-23T10:00:00Z"), ..next.clone() }, Some(FaultKind::Time)),
        (
            Entry { at: at("2026-11-25T10:00:00Z"), ..next.clone() },
            Some(FaultKind::Day { key: third, entry: fourth }),
        ),
        (
            Entry { event: "begin".to_owned(), about: lines_about(&lines[0]), ..next.clone() },
            Some(FaultKind::Beginning),
        ),
    ] {
        let forged = [forged.to_line(&key), vec![b'\n']].concat();
        fs::write(directory.path().join(ENTRIES), [lines.concat(), forged].concat()).unwrap();
        let found = fault(directory.path());
        assert_eq!(found.as_ref().map(|fault| &fault.kind), expected.as_ref(), "{found:?}");
    }
}

fn lines_about(line: &[u8]) -> serde_json::Value {
    Entry::parse(line.trim_ascii_end()).unwrap().entry.about
}

#[test]
fn a_line_that_broke_off_is_cut_and_that_is_kept() {
    let directory = three_days();
    let path = directory.path().join(ENTRIES);
    let (whole, note) = (fs::read(&path).unwrap(), fs::read(directory.path().join(HEAD)).unwrap());
    let torn = lines(directory.path())[10].clone();
    for length in [1, 2, torn.len() / 2, torn.len() - 1] {
        fs::write(&path, [&whole[..], &torn[..length]].concat()).unwrap();
        fs::write(directory.path().join(HEAD), &note).unwrap();
        assert_eq!(fault(directory.path()).unwrap().kind, FaultKind::Torn);
        ledger(directory.path(), "2026-11-24T11:00:00Z").append(start()).unwrap();
        assert_eq!(events(directory.path())[11..], ["cut", "start"]);
        let cut = Entry::parse(lines(directory.path())[11].trim_ascii_end()).unwrap().entry;
        assert_eq!(cut.event(), Some(Event::Cut { bytes: length as u64 }));
    }
}

#[test]
fn the_note_may_be_behind_or_missing_and_never_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let head = directory.path().join(HEAD);
    ledger(directory.path(), "2026-11-24T10:00:00Z").append(start()).unwrap();
    let behind = fs::read(&head).unwrap();
    ledger(directory.path(), "2026-11-24T10:00:00Z").append(start()).unwrap();
    fs::write(&head, &behind).unwrap();
    assert_eq!(fault(directory.path()), None);
    assert_eq!(ledger(directory.path(), "2026-11-24T10:00:00Z").append(start()).unwrap(), 4);
    fs::remove_file(&head).unwrap();
    assert_eq!(ledger(directory.path(), "2026-11-24T10:00:00Z").append(start()).unwrap(), 5);
    assert_eq!(fault(directory.path()), None);
    fs::write(directory.path().join(ENTRIES), lines(directory.path())[..4].concat()).unwrap();
    let refused = ledger(directory.path(), "2026-11-24T10:00:00Z").append(start());
    assert!(matches!(refused, Err(LedgerError::Fault { .. })), "{refused:?}");
}

#[test]
fn nothing_but_a_torn_end_is_cut() {
    let directory = three_days();
    let path = directory.path().join(ENTRIES);
    let mut changed = fs::read(&path).unwrap();
    changed[400] ^= 1;
    fs::write(&path, &changed).unwrap();
    // Without the head, everything is checked.
    fs::remove_file(directory.path().join(HEAD)).unwrap();
    let refused = ledger(directory.path(), "2026-11-24T11:00:00Z").append(start());
    assert!(matches!(refused, Err(LedgerError::Fault { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), changed);
}

#[test]
fn without_its_key_nothing_is_added() {
    let directory = three_days();
    let key = directory.path().join("key-2026-11-24");
    fs::write(&key, [1; 32]).unwrap();
    let refused = ledger(directory.path(), "2026-11-24T11:00:00Z").append(start());
    assert!(matches!(refused, Err(LedgerError::KeyLost { .. })), "{refused:?}");
    fs::remove_file(&key).unwrap();
    let refused = ledger(directory.path(), "2026-11-24T11:00:00Z").append(start());
    assert!(matches!(refused, Err(LedgerError::KeyLost { .. })), "{refused:?}");
    assert_eq!(fault(directory.path()), None);
}

#[test]
fn what_a_crash_leaves_of_a_hand_over_is_mended() {
    let directory = three_days();
    // Only the key of the next day was made.
    fs::write(directory.path().join("key-2026-11-25"), [9; 32]).unwrap();
    ledger(directory.path(), "2026-11-25T10:00:00Z").append(start()).unwrap();
    assert_ne!(fs::read(directory.path().join("key-2026-11-25")).unwrap(), [9; 32]);
    // The key of the day before has not been erased yet.
    fs::write(directory.path().join("key-2026-11-24"), [9; 32]).unwrap();
    ledger(directory.path(), "2026-11-25T11:00:00Z").append(start()).unwrap();
    assert_eq!(events(directory.path())[11..], ["next-key", "key-erased", "start", "key-erased", "start"]);
}

#[test]
fn a_clock_that_goes_back_is_told_and_dates_nothing_before() {
    let directory = three_days();
    let mut back = ledger(directory.path(), "2026-11-20T10:00:00Z");
    back.append(start()).unwrap();
    let entry = Entry::parse(lines(directory.path())[11].trim_ascii_end()).unwrap().entry;
    assert_eq!(entry.at, "2026-11-24T10:00:00Z".parse().unwrap());
    assert_eq!(entry.clock(), "2026-11-20T10:00:00Z".parse().unwrap());
    let step = back.clock_step().unwrap().unwrap();
    assert_eq!(step.to, "2026-11-20T10:00:00Z".parse().unwrap());
    back.append(Event::ClockConfirmed { from: step.from, to: step.to }).unwrap();
    assert_eq!(back.clock_step().unwrap(), None);
    assert_eq!(fault(directory.path()), None);
}

#[test]
fn many_at_once_make_one_chain() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut ledger = ledger(directory.path(), "2026-11-24T10:00:00Z");
                for _ in 0..5 {
                    ledger.append(start()).unwrap();
                }
            });
        }
    });
    assert_eq!(events(directory.path()).len(), 21);
}

#[test]
fn a_seal_is_checked_with_the_key_of_its_day() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = ledger(directory.path(), "2026-11-24T10:00:00Z");
    assert_eq!(ledger.previous().unwrap(), [0; 32]);
    let now = "2026-11-24T22:59:59Z".parse().unwrap();
    let seal = ledger.seal(now, &[7; 32]).unwrap();
    assert!(!ledger.knows("a.log.zst", &[7; 32]).unwrap());
    ledger.record(now, "a.log.zst", &[7; 32]).unwrap();
    assert_eq!(ledger.previous().unwrap(), [7; 32]);
    assert!(ledger.knows("a.log.zst", &[7; 32]).unwrap());
    assert!(!ledger.knows("b.log.zst", &[7; 32]).unwrap());
    assert!(!ledger.knows("a.log.zst", &[8; 32]).unwrap());
    let mut segments = Vec::new();
    let checked = check(&disk(), directory.path(), &mut |entry, _| segments.extend(segment(entry))).unwrap();
    let (name, zeros) = ("a.log.zst".to_owned(), hex::encode(&[0; 32]));
    assert_eq!(segments, [Segment { name, digest: hex::encode(&[7; 32]), previous: zeros }]);
    let key = checked.verifier.key_of(seal.day).unwrap();
    assert_eq!(key.as_bytes(), &seal.key);
    let signature = Signature::from_bytes(&seal.signature);
    key.verify_strict(&Seal::message(&[7; 32]), &signature).unwrap();
}

fn segment(entry: &Entry) -> Option<Segment> {
    match entry.event() {
        Some(Event::Segment(segment)) => Some(segment),
        _ => None,
    }
}

/// Crashes at every operation of a change of day, with every state that the disk may be left in. What was
/// acknowledged is there, the ledger is whole or ends in a torn line, and it can be continued.
#[test]
fn it_survives_a_crash_at_every_operation() {
    let before = Memory::new();
    in_memory(&before, "2026-11-22T10:00:00Z").unwrap();
    let clean = before.with_fault(Breakdown::Freeze(u64::MAX));
    in_memory(&clean, "2026-11-23T10:00:00Z").unwrap();
    let operations = clean.operations();
    assert!(operations > 20, "{operations}");
    for at in 0..operations {
        for fault in
            [Breakdown::Freeze(at), Breakdown::Tear(at), Breakdown::Fail(at, std::io::ErrorKind::Other)]
        {
            let memory = before.with_fault(fault);
            let acknowledged = in_memory(&memory, "2026-11-23T10:00:00Z");
            for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                let after = memory.after_crash(survives);
                in_memory(&after, "2026-11-23T11:00:00Z")
                    .unwrap_or_else(|error| panic!("{fault:?} {survives:?}: {error}"));
                let storage: Arc<dyn Storage> = Arc::new(after.clone());
                let mut events = Vec::new();
                let checked =
                    check(&storage, Path::new("/ledger"), &mut |entry, _| events.push(entry.event.clone()));
                assert_eq!(checked.unwrap().fault, None, "{fault:?} {survives:?}");
                let starts = events.iter().filter(|event| *event == "start").count();
                assert!(
                    starts >= 2 + usize::from(acknowledged.is_ok()),
                    "{fault:?} {survives:?}: {events:?}"
                );
                let keys = after.files().into_keys().filter(|path| path.to_string_lossy().contains("key-"));
                assert_eq!(
                    keys.collect::<Vec<_>>(),
                    [PathBuf::from("/ledger/key-2026-11-23")],
                    "{fault:?} {survives:?}"
                );
            }
        }
    }
}

fn in_memory(memory: &Memory, now: &str) -> Result<u64, LedgerError> {
    let settings = Settings {
        storage: Arc::new(memory.clone()),
        directory: "/ledger".into(),
        zone: TimeZone::get("Europe/Paris").unwrap(),
        who: "root".to_owned(),
        clock: Clock::Fixed(now.parse().unwrap()),
    };
    Ledger::open(settings)?.append(start())
}

/// Runs the commands in LEDGER.md.
#[test]
fn openssl_checks_an_entry() {
    let directory = three_days();
    let checked = check(&disk(), directory.path(), &mut |_, _| {}).unwrap();
    let path = |name: &str| directory.path().join(name);
    let openssl = |key: &VerifyingKey, line: &[u8]| {
        let parsed = Entry::parse(line.trim_ascii_end()).unwrap();
        fs::write(path("entry"), parsed.signed).unwrap();
        fs::write(path("entry.sig"), parsed.signature).unwrap();
        fs::write(path("day.pem"), pem(key)).unwrap();
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-verify", "-rawin", "-pubin"]);
        command.arg("-inkey").arg(path("day.pem")).arg("-in").arg(path("entry"));
        command.arg("-sigfile").arg(path("entry.sig")).output().unwrap()
    };
    let lines = lines(directory.path());
    let keys = checked.verifier.keys();
    assert!(openssl(&keys[0].public, &lines[1]).status.success());
    assert!(openssl(&keys[2].public, &lines[10]).status.success());
    assert!(!openssl(&keys[1].public, &lines[10]).status.success());
}

/// LEDGER.md describes what the code does.
#[test]
fn the_format_is_as_described() {
    let text = include_str!("LEDGER.md");
    let directory = three_days();
    let line = String::from_utf8(lines(directory.path())[1].clone()).unwrap();
    let table =
        text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split('`').next());
    // All members in the table except `clock` are in every line, in that order.
    let places =
        table.filter(|name| *name != "clock").map(|name| line.find(&format!("\"{name}\":")).unwrap());
    let places: Vec<usize> = places.collect();
    assert_eq!(places.len(), 8);
    assert!(places.is_sorted(), "{places:?}");
    for name in [ENTRIES, HEAD, "lock", &day_key::file_name(jiff::civil::date(2026, 11, 23))] {
        assert!(text.contains(&format!("<state>/{FOLDER}/{name}")), "{name}");
    }
    let label = Seal::message(&[0; 32]);
    let label = std::str::from_utf8(&label[..19]).unwrap();
    assert!(text.contains(&format!("\"{label}\" || 0x00 || digest")));
    let unknown = serde_json::from_str::<Event>(r#"{"event":"no such event"}"#).unwrap_err().to_string();
    let known = unknown.split_once("expected one of ").unwrap().1;
    let known = known.split(" at line").next().unwrap().replace(", ", " ").replace('`', "");
    let listed =
        text.split_once("Events: ").unwrap().1.split_once('.').unwrap().0.replace([',', '`', '\n'], " ");
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), known.split_whitespace().collect::<Vec<_>>());
}
