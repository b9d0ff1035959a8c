//! The keyring in a real directory.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn keyring(directory: &Path, length: EpochLength) -> Keyring {
    with_clock(directory, length, false)
}

fn with_clock(directory: &Path, length: EpochLength, is_clock_stated: bool) -> Keyring {
    Keyring::open(Settings {
        directory: directory.to_owned(),
        source: SecretSource::StateDir,
        length,
        zone: TimeZone::get("Europe/Paris").unwrap(),
        is_clock_stated,
    })
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whoever tries something with `--now` in the state of a node must not end the day of that node.
#[test]
fn a_stated_clock_ends_no_secret_in_use() {
    for length in [EpochLength::Day, EpochLength::Month, EpochLength::Fixed] {
        let directory = tempfile::tempdir().unwrap();
        let system = || keyring(directory.path(), length);
        let trial = || with_clock(directory.path(), length, true);
        let kept = || random::epochs(system().state().unwrap()).unwrap();
        let now = Timestamp::now();
        let in_use = system().current(now).unwrap();
        let fixed = length == EpochLength::Fixed;
        for (at, secrets) in [("2019-11-23T10:00:00Z", 2), ("2051-05-01T10:00:00Z", 2)] {
            let other = trial().current(at.parse().unwrap()).unwrap();
            assert_eq!(other.secret.expose() == in_use.secret.expose(), fixed, "{length:?}");
            assert_eq!(kept().len(), if fixed { 1 } else { secrets }, "{length:?}");
        }
        let active = system().history().unwrap();
        let active = active.iter().filter(|record| record.state == EpochState::Active);
        assert_eq!(active.count(), kept().len(), "{length:?}");
        assert_eq!(system().current(now).unwrap().secret.expose(), in_use.secret.expose(), "{length:?}");
        assert_eq!(kept(), [in_use.epoch], "the system clock ends what was a trial");
    }
}

/// What stated clocks made ends like any other secret: so do tests of what happens at midnight.
#[test]
fn a_stated_clock_ends_what_stated_clocks_made() {
    let directory = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let mut trial = with_clock(directory.path(), EpochLength::Day, true);
    let today = trial.current(now).unwrap().epoch;
    trial.current(now + jiff::SignedDuration::from_hours(48)).unwrap();
    assert!(random::read(today, trial.state().unwrap()).unwrap().is_none());
    // The system clock has come to use it.
    trial.current(now).unwrap();
    let used = keyring(directory.path(), EpochLength::Day).current(now).unwrap();
    trial.current(now + jiff::SignedDuration::from_hours(48)).unwrap();
    let kept = random::read(today, trial.state().unwrap()).unwrap().unwrap();
    assert_eq!(kept.expose(), used.secret.expose());
}

#[test]
fn a_stated_clock_ratchets_no_seed_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let (zone, now) = (TimeZone::get("Europe/Paris").unwrap(), Timestamp::now());
    let state = StateDir::open(directory.path()).unwrap();
    let chain = Chain::generate(Epoch::at(now, EpochLength::Day, &zone), EpochLength::Day).unwrap();
    chain.import(&state).unwrap();
    let used = keyring(directory.path(), EpochLength::Day).current(now).unwrap();
    let later = now + jiff::SignedDuration::from_hours(240);
    let mut trial = with_clock(directory.path(), EpochLength::Day, true);
    let trial = trial.current(later).unwrap();
    assert_eq!(trial.secret.expose(), chain.advanced_to(trial.epoch).unwrap().secret().expose());
    let again = keyring(directory.path(), EpochLength::Day).current(now).unwrap();
    assert_eq!(again.secret.expose(), used.secret.expose());
}

#[test]
fn one_secret_a_day_erased_at_midnight() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    let first = keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    assert_eq!(first.until, Some(at("2026-11-23T23:00:00Z")));
    let again = keyring(directory.path(), EpochLength::Day).current(at("2026-11-23T22:59:59Z")).unwrap();
    assert_eq!(first.secret.expose(), again.secret.expose());
    let next = keys.current(at("2026-11-23T23:00:00Z")).unwrap();
    assert_ne!(first.secret.expose(), next.secret.expose());
    assert!(!directory.path().join("keys/epoch-2026-11-23.secret").exists());
    let states: Vec<_> = keys.history().unwrap().iter().map(|record| record.state).collect();
    assert_eq!(states, [EpochState::Destroyed, EpochState::Active]);
    for name in ["keys/epoch-2026-11-24.secret", "keys/epochs.jsonl", "keys/lock"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn an_erased_secret_is_overwritten_before_it_is_unlinked() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    // A second hard link shows what happens to the bytes.
    let witness = directory.path().join("witness");
    std::fs::hard_link(directory.path().join("keys/epoch-2026-11-23.secret"), &witness).unwrap();
    keys.current(at("2026-11-24T10:00:00Z")).unwrap();
    assert_eq!(std::fs::read(&witness).unwrap(), [0; 32]);
}

#[test]
fn a_long_file_is_overwritten_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    let (part, witness) =
        (directory.path().join("keys/epoch-2026-11-23.part"), directory.path().join("witness"));
    std::fs::write(&part, vec![7; (1 << 20) + 32]).unwrap();
    std::fs::hard_link(&part, &witness).unwrap();
    keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    assert!(!part.exists());
    let left = std::fs::read(&witness).unwrap();
    assert!(left.len() == (1 << 20) + 32 && left.iter().all(|&byte| byte == 0));
}

#[test]
fn starting_at_once_gives_one_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let start =
            || *keyring(path, EpochLength::Day).current(at("2026-11-23T10:00:00Z")).unwrap().secret.expose();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn wrapped_before_use_and_unwrapped_by_each_identity() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let identities = Escrow::make_identities(&state, 2).unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    assert!(!keys.escrow().unwrap().unwrap().is_missing());
    let current = keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    keys.current(at("2026-11-25T10:00:00Z")).unwrap();
    for identity in &identities {
        let secrets = unwrap(directory.path(), current.epoch, identity).unwrap();
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets[0].expose(), current.secret.expose());
    }
    let stranger = tempfile::tempdir().unwrap();
    let stranger = &Escrow::make_identities(&StateDir::open(stranger.path()).unwrap(), 1).unwrap()[0];
    assert!(matches!(unwrap(directory.path(), current.epoch, stranger), Err(KeyError::Age { .. })));
    let never = Epoch::From(jiff::civil::date(2020, 1, 1));
    assert!(matches!(unwrap(directory.path(), never, &identities[0]), Err(KeyError::NoWrap { .. })));
}

/// A kid has 10 random bits: by chance alone, some of 200 secrets of one day would share one.
#[test]
fn secrets_of_one_epoch_have_kids_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    let now = at("2026-11-23T10:00:00Z");
    keys.current(now).unwrap();
    for _ in 0..200 {
        keys.rotate(now).unwrap();
    }
    let kids: std::collections::BTreeSet<_> =
        keys.history().unwrap().into_iter().map(|record| record.kid).collect();
    assert_eq!(kids.len(), 201);
}

#[test]
fn a_seed_is_wrapped_too_and_cannot_be_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let identities = Escrow::make_identities(&state, 1).unwrap();
    let first = Epoch::From(jiff::civil::date(2026, 11, 1));
    Chain::generate(first, EpochLength::Day).unwrap().import(&state).unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Month);
    let current = keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    assert_eq!(current.epoch, Epoch::From(jiff::civil::date(2026, 11, 23)));
    let wrapped = unwrap(directory.path(), current.epoch, &identities[0]).unwrap();
    assert_eq!(wrapped[0].expose(), current.secret.expose());
    assert!(matches!(keys.rotate(at("2026-11-23T10:00:00Z")), Err(KeyError::RotateSeed)));
    assert!(matches!(keys.current(at("2026-11-22T10:00:00Z")), Err(KeyError::ClockBeforeChain { .. })));
}

#[test]
fn rotation_gives_a_new_secret_in_the_same_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let now = at("2026-11-23T10:00:00Z");
    let mut keys = keyring(directory.path(), EpochLength::Fixed);
    let before = keys.current(now).unwrap();
    let Rotation { epoch, old, new } = keys.rotate(now).unwrap();
    assert_eq!(epoch, Epoch::Fixed);
    assert_eq!(old, Some(kid(&before.secret, epoch)));
    assert_ne!(old, Some(new));
    assert_eq!(kid(&keys.current(now).unwrap().secret, epoch), new);
}

#[test]
fn what_a_crash_leaves_is_ignored_and_cleaned() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    let part = directory.path().join("keys/epoch-2026-11-23.part");
    std::fs::write(&part, [1; 7]).unwrap();
    keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    assert!(!part.exists());
}

/// Only root can give files away; other users see that nothing changes.
#[test]
fn what_root_changes_in_the_state_of_a_service_stays_that_of_the_service() {
    use std::os::unix::fs::{MetadataExt, lchown};
    let directory = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        lchown(directory.path(), Some(65534), Some(65534)).unwrap();
    }
    let owner = std::fs::metadata(directory.path()).unwrap().uid();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    Escrow::make_identities(keys.state().unwrap(), 1).unwrap();
    keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    keys.rotate(at("2026-11-23T10:00:00Z")).unwrap();
    for folder in ["keys", "escrow", "wraps"].map(|folder| directory.path().join(folder)) {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let made: Vec<_> = files.chain([folder.clone()]).collect();
        assert!(made.len() > 1, "{}", folder.display());
        for path in made {
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), owner, "{}", path.display());
        }
    }
}

#[test]
fn a_damaged_secret_or_an_open_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    let now = at("2026-11-23T10:00:00Z");
    keys.current(now).unwrap();
    let secret = directory.path().join("keys/epoch-2026-11-23.secret");
    std::fs::OpenOptions::new().write(true).open(&secret).unwrap().set_len(7).unwrap();
    assert!(matches!(keys.current(now), Err(KeyError::Damaged { .. })));
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(StateDir::open(directory.path()), Err(KeyError::Directory { .. })));
}

#[test]
fn secrets_of_epochs_that_are_over_go_and_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    keys.current(at("2026-11-23T10:00:00Z")).unwrap();
    assert_eq!(keys.erase_past(at("2026-11-23T22:59:59Z")).unwrap(), []);
    let path = directory.path().join("keys/epoch-2026-11-23.secret");
    assert!(path.exists());
    let midnight = at("2026-11-23T23:00:00Z");
    let past = keys.past(midnight).unwrap();
    assert!(path.exists(), "a look erases nothing");
    assert_eq!(keys.erase_past(midnight).unwrap(), past);
    assert_eq!((past.len(), path.exists()), (1, false));
    let records = keys.history().unwrap();
    assert_eq!((records.len(), records[0].destroyed), (1, Some(midnight)));
    assert_eq!(keys.erase_past(midnight).unwrap(), []);
}

#[test]
fn a_secret_that_was_erased_before_its_end_could_be_recorded_is_recorded_the_next_time() {
    for has_seed in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (begun, now) = (at("2026-11-23T10:00:00Z"), at("2026-11-24T10:00:00Z"));
        if has_seed {
            let epoch = Epoch::at(begun, EpochLength::Day, &TimeZone::UTC);
            let chain = Chain::generate(epoch, EpochLength::Day).unwrap();
            chain.import(&StateDir::open(directory.path()).unwrap()).unwrap();
        }
        let mut keys = keyring(directory.path(), EpochLength::Day);
        keys.current(begun).unwrap();
        // In the way of the record, like a full disk.
        let in_the_way = directory.path().join("keys/epochs.jsonl.part");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(keys.erase_past(now).is_err());
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!((keys.past(now).unwrap(), keys.erase_past(now).unwrap()), (vec![], vec![]));
        let records = keys.history().unwrap();
        assert_eq!((records.len(), records[0].destroyed), (1, Some(now)), "{has_seed}");
    }
}

#[test]
fn a_secret_of_a_month_or_for_ever_is_not_over_the_next_day() {
    let end_of_month = Some("2026-11-30T23:00:00Z");
    for (length, made, end) in [
        (EpochLength::Month, "2026-11-23T10:00:00Z", end_of_month),
        (EpochLength::Month, "2026-11-01T10:00:00Z", end_of_month),
        // Its secret cannot be distinguished from that of a month.
        (EpochLength::Day, "2026-11-01T10:00:00Z", end_of_month),
        (EpochLength::Fixed, "2026-11-23T10:00:00Z", None),
    ] {
        let directory = tempfile::tempdir().unwrap();
        keyring(directory.path(), length).current(at(made)).unwrap();
        // The filter was given its epoch length; the command that erases was not.
        let mut keys = keyring(directory.path(), EpochLength::Day);
        assert_eq!(keys.erase_past(at("2026-11-30T22:59:59Z")).unwrap(), [], "{length:?}");
        let erased = keys.erase_past(at(end.unwrap_or("2036-01-01T00:00:00Z"))).unwrap();
        assert_eq!(erased.len(), usize::from(end.is_some()), "{length:?}");
    }
}

#[test]
fn a_secret_of_the_first_day_of_a_month_is_over_when_another_day_had_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = keyring(directory.path(), EpochLength::Day);
    keys.current(at("2026-11-01T10:00:00Z")).unwrap();
    let keys_of_first = std::fs::read_dir(directory.path().join("keys")).unwrap();
    let kept: Vec<_> = keys_of_first.map(|file| file.unwrap().path()).collect();
    let copies: Vec<_> = kept.iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    keys.current(at("2026-11-02T10:00:00Z")).unwrap();
    // As if the filter had been killed before it erased the first secret.
    for (path, bytes) in copies.iter().filter(|(path, _)| !path.exists()) {
        std::fs::write(path, bytes).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_eq!(keys.erase_past(at("2026-11-02T10:00:01Z")).unwrap().len(), 1);
}

#[test]
fn a_chain_goes_on_to_the_running_epoch_and_agrees_with_one_that_filters() {
    let epoch = Epoch::at(at("2026-11-23T10:00:00Z"), EpochLength::Day, &TimeZone::UTC);
    let chain = Chain::generate(epoch, EpochLength::Day).unwrap();
    let nodes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for node in &nodes {
        chain.import(&StateDir::open(node.path()).unwrap()).unwrap();
    }
    let [mut idle, mut busy] = nodes.each_ref().map(|node| keyring(node.path(), EpochLength::Day));
    let now = at("2026-11-25T10:00:00Z");
    assert_eq!(idle.erase_past(now).unwrap(), [epoch]);
    let text = std::fs::read_to_string(nodes[0].path().join("keys/chain")).unwrap();
    assert!(text.contains("epoch 2026-11-25"), "the seed of an epoch that is over is still there");
    assert_eq!(idle.current(now).unwrap().secret.expose(), busy.current(now).unwrap().secret.expose());
}

#[test]
fn a_disk_is_mended_otherwise_than_a_path() {
    for (kind, says) in [
        (std::io::ErrorKind::StorageFull, "make room on the disk of /state/keys"),
        (std::io::ErrorKind::ReadOnlyFilesystem, "let /state/keys be written to"),
        (std::io::ErrorKind::PermissionDenied, "check that /state/keys exists"),
    ] {
        let error = KeyError::Io { action: "write", path: "/state/keys/lock".into(), source: kind.into() };
        let hint = crate::primitives::diag::Diagnostic::from(error).hint.unwrap();
        assert!(hint.starts_with(says), "{hint}");
    }
}

#[test]
fn a_wrong_recipient_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    state.write("escrow/recipients.txt", b"# Jean\n\n# Marie\nnonsense\n").unwrap();
    let refused = Escrow::load(&state).unwrap_err().to_string();
    let path = state.path("escrow/recipients.txt");
    assert_eq!(refused, format!("line 4 of {} is no age recipient", path.display()));
}
