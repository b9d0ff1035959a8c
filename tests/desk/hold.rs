//! A hold on lines that were filtered with a key file: its extract needs that file, and opens with the escrow
//! identity.

use crate::desk::node::{LATER, Node, arg, text};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn lines_of_a_key_file_are_extracted_with_that_file() {
    let node = Node::new();
    let (key, log, archive) = (node.path("key"), node.path("keyed.log"), node.path("keyed"));
    let mut private = std::fs::OpenOptions::new();
    let mut file = private.write(true).create_new(true).mode(0o600).open(&key).unwrap();
    file.write_all(&[9; 32]).unwrap();
    std::fs::write(&log, "203.0.113.7 logs in\n198.51.100.9 logs in\n").unwrap();
    let run = |arguments: &[&str], exit: i32| {
        let output = node.run(&[arguments, &["--archive", arg(&archive)]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    run(&["filter", "--now", "2026-11-25T09:00:00Z", "--key-file", arg(&key), arg(&log)], 0);
    run(&["hold", "add", "--now", LATER, "--case", "2027/0815", "--until", "2027-01-31"], 0);
    let extract = ["hold", "extract", "--now", LATER, "--case", "2027/0815", "--ip", "203.0.113.7"];
    let refused = run(&extract, 2);
    assert!(refused.contains("--key-file"), "{refused}");
    let extracted = run(&[&extract[..], &["--key-file", arg(&key)]].concat(), 0);
    assert!(extracted.contains("extracted: 1 line, 1 pair"), "{extracted}");

    let lines = opened(&node, ".lines.age");
    assert!(lines.starts_with("ip_000") && lines.ends_with(" class=connection\n"), "{lines}");
    assert_eq!(lines.lines().count(), 1);
    let pairs = opened(&node, ".pairs.age");
    // The canonical bytes of 203.0.113.7, and of nobody else.
    assert!(pairs.contains("\"04cb007107\"") && pairs.lines().count() == 1, "{pairs}");
}

#[test]
fn a_clock_that_runs_ahead_ends_no_hold() {
    let node = Node::new();
    let (srv, ahead) = (node.path("srv"), "2099-01-01T10:00:00Z");
    let run = |now: &str, arguments: &[&str], exit: i32| {
        let output = node.run(&[arguments, &["--archive", arg(&srv), "--now", now]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    };
    run(LATER, &["purge", "--confirm-clock"], 0);
    let identity = node.identity();
    let person = ["--ip", "203.0.113.7", "--identity", arg(&identity)];
    run(LATER, &["hold", "add", "--case", "2027/0815", "--until", "2027-01-31"], 0);
    run(LATER, &[&["hold", "extract", "--case", "2027/0815"], &person[..]].concat(), 0);
    run(LATER, &["hold", "add", "--case", "2027/0816", "--until", "2027-01-31"], 0);

    let refused = run(ahead, &["purge"], 2);
    assert!(refused.contains("error[P01]") && !refused.contains("erased"), "{refused}");
    assert_eq!(opened(&node, ".lines.age").lines().count(), 4);
    let refused = run(ahead, &["hold", "release", "--case", "nosuch"], 2);
    assert!(refused.contains("warning[P01]") && refused.contains("error[H03]"), "{refused}");
    assert_eq!(opened(&node, ".lines.age").lines().count(), 4);
    // Frozen lines are not erased for a person either.
    let erase = [&["subject", "erase", "--json", "--case", "DSR-12"], &person[..]].concat();
    let answers = run(ahead, &erase, 1);
    assert!(
        answers.contains("\"outcome\":\"held\"") && !answers.contains("\"outcome\":\"erased\""),
        "{answers}"
    );

    // Once somebody confirms the clock, the holds end.
    let ended = run(ahead, &["purge", "--confirm-clock"], 0);
    assert!(ended.contains("the hold of case 2027/0815 ended"), "{ended}");
    let left = |folder: &str| std::fs::read_dir(node.path(folder)).unwrap().count();
    assert_eq!(left("state/holds"), 2, "the lock of the folder, and that of keys");
    assert_eq!(left("state/holds/keys"), 1, "what says that it belongs in no backup");
}

#[test]
fn an_extract_that_lacks_something_keeps_the_freeze() {
    let node = Node::new();
    let (srv, aside, identity) = (node.path("srv"), node.path("aside"), node.identity());
    let run = |arguments: &[&str], archive: &Path, exit: i32| {
        let output = node.run(&[arguments, &["--archive", arg(archive), "--now", LATER]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    let frozen = || {
        let listed = node.run(&["hold", "list", "--json", "--now", LATER]);
        let hold: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        (hold["frozen_until"].as_str().unwrap().to_owned(), hold["extracts"].as_u64().unwrap())
    };
    let a_week = |extracts| ("2026-12-07".to_owned(), extracts);
    run(&["hold", "add", "--case", "2027/0815", "--until", "2027-01-31"], &srv, 0);
    let extract = ["hold", "extract", "--case", "2027/0815", "--identity", arg(&identity)];
    let of = |ip| [&extract[..], &["--ip", ip]].concat();

    // One digit is wrong.
    let lacks = run(&of("203.0.113.70"), &srv, 1);
    assert!(lacks.contains("warning[H06]: no line was found"), "{lacks}");
    assert!(lacks.contains("stay frozen until 2026-12-07") && lacks.contains("hold release"), "{lacks}");
    assert_eq!(frozen(), a_week(0));
    // Another archive.
    std::fs::create_dir(&aside).unwrap();
    let lacks = run(&of("203.0.113.7"), &aside, 1);
    assert!(lacks.contains("not there") && lacks.contains("`--archive`"), "{lacks}");
    assert_eq!(frozen(), a_week(0));
    // The vaults lie elsewhere. What was found is kept.
    std::fs::rename(srv.join("vault"), aside.join("vault")).unwrap();
    let lacks = run(&of("203.0.113.7"), &srv, 1);
    assert!(lacks.contains("without a vault") && lacks.contains("`--vault DIR`"), "{lacks}");
    assert_eq!((frozen(), opened(&node, "-1.lines.age").lines().count()), (a_week(1), 4));
    // The same with the vaults named.
    let vault = aside.join("vault");
    let whole = run(&[&of("203.0.113.7")[..], &["--vault", arg(&vault)]].concat(), &srv, 0);
    assert!(whole.contains("4 lines") && whole.contains("no longer frozen"), "{whole}");
    // The last day that the ledger is sure of.
    assert_eq!(frozen(), ("2026-11-24".to_owned(), 2));
}

/// Returns the extract whose name ends with `suffix`, opened by the custodian.
fn opened(node: &Node, suffix: &str) -> String {
    let one_in = |folder: &str, suffix: &str| -> PathBuf {
        let names = std::fs::read_dir(node.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.to_str().unwrap().ends_with(suffix)).unwrap()
    };
    let custodian = age::IdentityFile::from_file(arg(&node.identity()).to_owned()).unwrap();
    let key = decrypted(&one_in("state/holds/keys", ".age"), custodian);
    let key = age::IdentityFile::from_buffer(key.as_bytes()).unwrap();
    decrypted(&one_in("state/holds", suffix), key)
}

fn decrypted(path: &Path, identity: age::IdentityFile<age::NoCallbacks>) -> String {
    let identities = identity.into_identities().unwrap();
    let decryptor = age::Decryptor::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut clear = String::new();
    let identities = identities.iter().map(|identity| &**identity as &dyn age::Identity);
    decryptor.decrypt(identities).unwrap().read_to_string(&mut clear).unwrap();
    clear
}

#[test]
fn the_list_says_what_is_frozen_and_where_extracts_lie() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    let list =
        |options: &[&str]| text(&node.run(&[&["hold", "list", "--now", LATER], options].concat()).stdout);
    let json = || serde_json::from_str::<serde_json::Value>(&list(&["--json"])).unwrap();
    node.run(&[&["hold", "add", "--class", "connection", "--until", "2027-01-31"], &case[..]].concat());
    let (listed, hold) = (list(&[]), json());
    assert!(listed.contains("2 segments until 2026-12-07"), "{listed}");
    let names: Vec<&str> =
        hold["segments"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    assert_eq!((names.len(), &hold["frozen"], &hold["files"]), (2, &true.into(), &serde_json::json!([])));
    for name in names {
        assert!(listed.contains(&format!("2027/0815  frozen  {name}")), "{listed}");
    }
    let extract =
        [&["hold", "extract", "--ip", "203.0.113.7", "--identity", arg(&identity)], &case[..]].concat();
    assert_eq!(node.run(&extract).status.code(), Some(0));
    let (listed, hold) = (list(&[]), json());
    assert!(listed.contains("no longer") && !listed.contains("frozen"), "{listed}");
    let files: Vec<&str> =
        hold["files"].as_array().unwrap().iter().filter_map(|file| file.as_str()).collect();
    assert_eq!((&hold["frozen"], files.len()), (&false.into(), 2));
    for file in files.into_iter().chain(hold["key"].as_str()) {
        assert!(listed.contains(file) && Path::new(file).is_file(), "{file}: {listed}");
    }
    assert!(hold["key"].is_string(), "{hold}");
}

/// No segment of the running day is sealed yet. If only sealed ones were extracted, an order to preserve
/// would keep nothing of that day, and nobody would know.
#[test]
fn lines_in_a_segment_that_is_still_written_to_are_extracted() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let write = ["filter", "--node", "web1", "--archive", arg(&srv), "--now", "2026-11-24T09:30:00Z"];
    let mut filter = node.command(&write).stdin(Stdio::piped()).spawn().unwrap();
    let line = b"Nov 24 10:00:02 web1 sshd[1]: Failed password for root from 203.0.113.7 port 57424 ssh2\n";
    filter.stdin.as_mut().unwrap().write_all(line).unwrap();
    let person =
        ["--archive", arg(&srv), "--now", LATER, "--ip", "203.0.113.7", "--identity", arg(&identity)];
    let run = |command: &[&str]| {
        let output = node.run(&[command, &person].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let begun = Instant::now();
    while run(&["replay"]).0.lines().count() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the line is not on disk");
        std::thread::sleep(Duration::from_millis(50));
    }
    let freeze = ["hold", "add", "--case", "2027/0815", "--until", "2027-01-31", "--archive", arg(&srv)];
    assert_eq!(node.run(&[&freeze[..], &["--now", LATER]].concat()).status.code(), Some(0));
    let extracted = run(&["hold", "extract", "--case", "2027/0815"]).1;
    assert!(extracted.contains("extracted: 5 lines"), "{extracted}");
    assert!(extracted.contains("1 segment not sealed yet"), "{extracted}");
    assert_eq!(opened(&node, ".lines.age").lines().count(), 5);
    assert!(opened(&node, ".pairs.age").lines().count() > 4);
    let restricted = run(&RESTRICT).1;
    assert!(restricted.contains("5 lines, encrypted"), "{restricted}");
    drop(filter.stdin.take());
    assert!(filter.wait().unwrap().success());
}

/// A word is in many lines, and an empty text in all. If it were extracted, everything would outlast its
/// expiry day under the hold.
#[test]
fn what_is_no_token_extracts_nothing() {
    let node = Node::new();
    let place = |options: &[&str]| {
        let srv = node.path("srv");
        let output = node.run(&[options, &["--archive", arg(&srv), "--now", LATER]].concat());
        (output.status.code(), text(&output.stderr))
    };
    let until = ["--case", "2027/0815", "--until", "2027-01-31"];
    assert_eq!(place(&[&["hold", "add"][..], &until].concat()).0, Some(0));
    for typed in ["", "class=", "ip_", "203.0.113.7"] {
        for command in [&["hold", "extract", "--case", "2027/0815"][..], &RESTRICT] {
            let (exit, told) = place(&[command, &["--token", typed]].concat());
            assert_eq!(exit, Some(2), "{command:?} {typed}: {told}");
            assert!(told.starts_with("error[P10]: value 1 of `--token` is not a token"), "{told}");
        }
    }
    let listed = node.run(&["hold", "list", "--json", "--now", LATER]);
    let hold: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&hold["extracts"], &hold["frozen"]), (&0.into(), &true.into()), "{hold}");
}

const RESTRICT: [&str; 6] = ["subject", "restrict", "--case", "DSR-12", "--until", "2027-01-31"];

#[test]
fn a_file_that_is_no_hold_is_told_as_such() {
    let node = Node::new();
    let (srv, folder) = (node.path("srv"), node.path("state/holds"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes.json"), "{}").unwrap();
    for command in [&["hold", "list"][..], &["purge", "--confirm-clock", "--archive", arg(&srv)]] {
        let refused = node.run(&[command, &["--now", LATER]].concat());
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("error[H01]: a file among the holds is none"), "{told}");
        assert!(told.contains("notes.json") && told.contains("restore it from a copy"), "{told}");
    }
}

/// The hold file is lost, by mistake or with a disk, and with it the number of the last extract and the
/// recipients of the extracts.
#[test]
fn a_hold_that_is_lost_is_not_written_over() {
    let node = Node::new();
    let srv = node.path("srv");
    let until = ["--case", "2027/0815", "--until", "2027-01-31"];
    let add = || node.run(&[&["hold", "add", "--archive", arg(&srv), "--now", LATER][..], &until].concat());
    assert_eq!(add().status.code(), Some(0));
    node.answer(&["hold", "extract"], &["--case", "2027/0815", "--ip", "203.0.113.7"], 0);
    let holds = node.path("state/holds");
    let files = || {
        let names = [&holds, &holds.join("keys")].map(|folder| std::fs::read_dir(folder).unwrap());
        let paths = names.into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "age")).collect();
        files.sort();
        files.into_iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let hold = std::fs::read_dir(&holds).unwrap().map(|entry| entry.unwrap().path());
    for hold in hold.filter(|path| path.extension().is_some_and(|end| end == "json")) {
        std::fs::remove_file(hold).unwrap();
    }
    let kept = files();
    assert_eq!(kept.len(), 3, "lines, pairs, and the key");
    let refused = add();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).starts_with("error[H03]: an earlier hold of the case is lost"));
    let restrict = ["--case", "2027/0815", "--until", "2027-01-31", "--ip", "203.0.113.7"];
    assert_eq!(node.desk(&["subject", "restrict"], &restrict).status.code(), Some(2));
    assert_eq!(files(), kept);
}

/// Returns the only hold file.
fn only_hold(node: &Node) -> PathBuf {
    let files = std::fs::read_dir(node.path("state/holds")).unwrap().map(|file| file.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap()
}

/// A hold file that somebody removed or changed is no reason to let go of what an authority asked for.
#[test]
fn a_hold_that_the_ledger_knows_and_that_is_not_there_keeps_what_is_due() {
    let node = Node::new();
    let srv = node.path("srv");
    let run = |command: &[&str]| {
        let output = node.run(&[command, &["--now", "2027-11-24T10:00:00Z"]].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let day = srv.join("archive/expires=2027-11-24");
    let purge = ["purge", "--confirm-clock", "--archive", arg(&srv)];
    let add = ["hold", "add", "--case", "2027/0815", "--until", "2028-01-31", "--class", "connection"];
    let add = [&add[..], &["--archive", arg(&srv)]].concat();
    assert_eq!(run(&add).0, Some(0));
    let hold = only_hold(&node);
    let written = std::fs::read_to_string(&hold).unwrap();
    let mut thawed: serde_json::Value = serde_json::from_str(&written).unwrap();
    thawed["frozen_until"] = "2027-11-24".into();
    let mut emptied: serde_json::Value = serde_json::from_str(&written).unwrap();
    emptied["segments"] = serde_json::json!([]);
    let mut over: serde_json::Value = serde_json::from_str(&written).unwrap();
    over["until"] = "2027-11-24".into();
    for changed in [None, Some(thawed), Some(emptied), Some(over)] {
        match &changed {
            None => std::fs::remove_file(&hold).unwrap(),
            Some(changed) => std::fs::write(&hold, changed.to_string()).unwrap(),
        }
        let (exit, _, told) = run(&["hold", "list"]);
        assert_eq!((exit, told.contains("warning[H07]")), (Some(1), true), "{told}");
        for options in [&["--dry-run"][..], &[]] {
            let (exit, _, told) = run(&[&purge[..], options].concat());
            assert_eq!((exit, told.contains("error[H07]"), day.exists()), (Some(2), true, true), "{told}");
            assert!(told.contains("2027/0815") && told.contains("hold release"), "{told}");
        }
        let erase = ["subject", "erase", "--case", "DSR-1", "--ip", "203.0.113.7", "--archive", arg(&srv)];
        let (exit, _, told) = run(&[&erase[..], &["--identity", arg(&node.identity())]].concat());
        assert_eq!((exit, told.contains("error[H07]")), (Some(2), true), "{told}");
        std::fs::write(&hold, &written).unwrap();
        assert_eq!(run(&["hold", "list"]).0, Some(0));
    }
    // Added again, the hold is as good as before; a hold whose file is lost can be released.
    std::fs::remove_file(&hold).unwrap();
    assert_eq!(run(&add).0, Some(0));
    assert_eq!((run(&purge).0, day.exists()), (Some(1), true));
    std::fs::remove_file(&hold).unwrap();
    let release = ["hold", "release", "--case", "2027/0815", "--archive", arg(&srv)];
    assert_eq!(run(&release).0, Some(0));
    assert_eq!(run(&release).0, Some(2));
    assert_eq!((run(&purge).0, day.exists()), (Some(0), false));
}

fn erase_jean(node: &Node, now: &str) -> (Option<i32>, String, String) {
    let (srv, identity) = (node.path("srv"), node.identity());
    let place = ["--archive", arg(&srv), "--identity", arg(&identity), "--now", now];
    let person = ["--case", "DSR-12", "--email", "jean@example.org"];
    let output = node.run(&[&["subject", "erase"], &place[..], &person].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn freezes(node: &Node, now: &str) -> (bool, String) {
    let listed = node.run(&["hold", "list", "--json", "--now", now]);
    let hold: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    (hold["frozen"].as_bool().unwrap(), text(&listed.stderr))
}

/// The archive is days old, so the clock has jumped for the ledger, and nobody has confirmed it.
#[test]
fn what_an_extract_or_a_restriction_does_not_freeze_is_erased_whatever_the_clock() {
    for command in [&["hold", "extract"][..], &["subject", "restrict", "--until", "2027-06-30"]] {
        let node = Node::new();
        let (srv, identity) = (node.path("srv"), node.identity());
        let case = ["--case", "2027/0815", "--archive", arg(&srv), "--now", LATER];
        if command[0] == "hold" {
            let added = node.run(&[&["hold", "add", "--until", "2027-01-31"], &case[..]].concat());
            assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
            assert!(freezes(&node, LATER).0);
            assert_eq!(erase_jean(&node, LATER).0, Some(1));
        }
        // Lines of somebody else.
        let person = ["--email", "anne@example.org", "--identity", arg(&identity)];
        let extracted = node.run(&[command, &case, &person].concat());
        assert_eq!(extracted.status.code(), Some(0), "{}", text(&extracted.stderr));
        assert!(!freezes(&node, LATER).0, "{command:?}");
        let (exit, table, told) = erase_jean(&node, LATER);
        assert_eq!(exit, Some(0), "{command:?}: {table}{told}");
        assert!(
            table.contains("erased") && !table.contains("held") && !told.contains("P01"),
            "{table}{told}"
        );
    }
}

#[test]
fn a_freeze_that_is_over_by_a_doubtful_clock_alone_holds_for_everybody_and_is_explained() {
    let node = Node::new();
    let (srv, weeks_later) = (node.path("srv"), "2026-12-20T10:00:00Z");
    let run = |now: &str, arguments: &[&str]| {
        let output = node.run(&[arguments, &["--archive", arg(&srv), "--now", now]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    };
    run(LATER, &["purge", "--confirm-clock"]);
    run(LATER, &["hold", "add", "--case", "2027/0815", "--until", "2027-01-31"]);
    let (frozen, told) = freezes(&node, LATER);
    assert!(frozen && !told.contains("P01"), "{told}");
    let (frozen, told) = freezes(&node, weeks_later);
    assert!(frozen && told.contains("P01") && told.contains("--confirm-clock"), "{told}");
    let (exit, table, told) = erase_jean(&node, weeks_later);
    assert!(exit == Some(1) && table.contains("held, case 2027/0815"), "{table}{told}");
    assert!(told.contains("warning[P01]") && told.contains("--confirm-clock"), "{told}");
    run(weeks_later, &["purge", "--confirm-clock"]);
    let (frozen, told) = freezes(&node, weeks_later);
    assert!(!frozen && !told.contains("P01"), "{told}");
    assert_eq!(erase_jean(&node, weeks_later).0, Some(0));
}

/// A release that was interrupted once its file said so is what somebody asked for: the next command ends it.
#[test]
fn an_interrupted_release_is_completed_by_the_next_command() {
    for command in ["purge", "hold"] {
        let node = Node::new();
        let srv = node.path("srv");
        let place = ["--archive", arg(&srv), "--now", LATER];
        let of = |command: &[&str]| {
            let output = node.run(&[command, &place].concat());
            assert_eq!(output.status.code(), Some(0), "{command:?}: {}", text(&output.stderr));
            text(&output.stderr)
        };
        of(&["purge", "--confirm-clock"]);
        of(&["hold", "add", "--case", "2027/0815", "--until", "2027-01-31"]);
        let identity = node.identity();
        let person = ["--ip", "203.0.113.7", "--identity", arg(&identity)];
        of(&[&["hold", "extract", "--case", "2027/0815"], &person[..]].concat());
        let file = only_hold(&node);
        let mut hold: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        hold["released"] = true.into();
        std::fs::write(&file, hold.to_string()).unwrap();
        let told = match command {
            "purge" => of(&["purge"]),
            // The same reference is free again.
            _ => of(&["hold", "add", "--case", "2027/0815", "--until", "2027-02-28"]),
        };
        assert!(told.contains("the release of the hold of case 2027/0815 was interrupted"), "{told}");
        let released = |event: &(String, serde_json::Value)| event.0 == "hold-released";
        assert_eq!(node.ledger().iter().filter(|event| released(event)).count(), 1);
        let files = std::fs::read_dir(node.path("state/holds")).unwrap().map(|file| file.unwrap().path());
        let left = files.filter(|path| path.extension().is_some_and(|end| end == "age" || end == "json"));
        assert_eq!(left.count(), usize::from(command == "hold"));
    }
}

/// H07 advises to put the file of a hold back from a copy. If the copy is older than an extract, the next one
/// must not take its place, nor that of the key that opens it.
#[test]
fn an_older_copy_of_a_hold_overwrites_no_extract() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let place = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    let added = node.run(&[&["hold", "add", "--until", "2027-01-31"], &place[..]].concat());
    assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    let file = only_hold(&node);
    let extract = |ip: &str| {
        let who = ["--ip", ip, "--identity", arg(&identity)];
        let output = node.run(&[&["hold", "extract"], &place[..], &who].concat());
        (output.status.code(), text(&output.stderr))
    };
    let fresh = std::fs::read(&file).unwrap();
    assert_eq!(extract("203.0.113.7").0, Some(0));
    let after_one = std::fs::read(&file).unwrap();
    assert_eq!(extract("198.51.100.9").0, Some(0));
    let (first, second) = (opened(&node, "-1.lines.age"), opened(&node, "-2.lines.age"));

    std::fs::write(&file, &after_one).unwrap();
    assert_eq!(extract("203.0.113.7").0, Some(0));
    assert_eq!(opened(&node, "-2.lines.age"), second);
    assert_eq!(opened(&node, "-3.lines.age"), first);
    std::fs::write(&file, &fresh).unwrap();
    let (exit, told) = extract("203.0.113.7");
    assert_eq!((exit, told.contains("error[H01]: the hold has extracts")), (Some(2), true), "{told}");
    assert_eq!((opened(&node, "-1.lines.age"), opened(&node, "-2.lines.age")), (first, second));
}

/// Tokens of a day that was purged have no originals but those that were extracted.
#[test]
fn an_extract_without_an_identity_says_that_it_has_no_originals() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let place = ["--archive", arg(&srv), "--now", LATER];
    let search = ["replay", "--ip", "203.0.113.7", "--identity", arg(&identity)];
    let found = text(&node.run(&[&search[..], &place].concat()).stdout);
    let token = found.split(' ').next().unwrap().to_owned();
    let case = ["--case", "2027/0815"];
    node.run(&[&["hold", "add", "--until", "2027-01-31"], &place[..], &case].concat());
    for (with, told) in [(&["--identity", arg(&identity)][..], false), (&[], true)] {
        let output = node.run(&[&["hold", "extract", "--token", &token], &place[..], &case, with].concat());
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{messages}");
        assert_eq!(messages.contains("no originals were extracted"), told, "{messages}");
    }
}

/// What a case froze goes when the week is over. If nobody has extracted anything by then, that was hardly
/// meant.
#[test]
fn a_purge_says_that_a_freeze_ended_with_nothing_extracted() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let run = |arguments: &[&str], now: &str, exit: i32| {
        let output = node.run(&[arguments, &["--archive", arg(&srv), "--now", now]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    for case in ["2027/0815", "2027/0816"] {
        run(&["hold", "add", "--case", case, "--until", "2028-01-31"], "2027-11-20T10:00:00Z", 0);
    }
    let person = ["--ip", "203.0.113.7", "--identity", arg(&identity)];
    let extract = [&["hold", "extract", "--case", "2027/0816"], &person[..]].concat();
    run(&extract, "2027-11-20T10:00:00Z", 0);
    let purge = |options: &[&str], now: &str, exit: i32| {
        run(&[&["purge", "--confirm-clock"], options].concat(), now, exit)
    };
    let held = purge(&[], "2027-11-26T10:00:00Z", 1);
    assert!(!held.contains("the freeze of case"), "{held}");
    for options in [&["--dry-run"][..], &[]] {
        let told = purge(options, "2027-11-27T10:00:00Z", 0);
        let ended = "the freeze of case 2027/0815 ended on 2027-11-27, and nothing was extracted for it";
        assert!(told.contains(ended) && !told.contains("case 2027/0816"), "{told}");
    }
    assert!(!purge(&[], "2027-11-28T10:00:00Z", 0).contains("the freeze of case"));
}
