//! Purges with a wrong place or another problem: none ends as though all that is due were gone.

use super::node::{LATER, Node, arg, text};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A time after the expiry of the connections of the first day.
const AFTER: &str = "2027-11-24T10:00:00Z";

/// Returns exit code and messages of a purge with these options.
fn purge(node: &Node, archive: &Path, options: &[&str]) -> (Option<i32>, String) {
    let command = ["purge", "--archive", arg(archive), "--now", AFTER, "--confirm-clock"];
    let output = node.run(&[&command[..], options].concat());
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_directory_without_an_archive_is_refused_as_long_as_the_ledger_knows_of_segments() {
    let node = Node::new();
    let (srv, wrong) = (node.path("srv"), node.path("wrong"));
    fs::create_dir(&wrong).unwrap();
    for place in [&wrong, &srv.join("archive")] {
        for options in [&[][..], &["--dry-run"]] {
            let (exit, told) = purge(&node, place, options);
            assert_eq!((exit, told.contains("error[P07]")), (Some(2), true), "{place:?} {options:?}: {told}");
        }
    }
    assert!(node.path("state/shred/2027-11-24").exists());
    let (event, about) = node.ledger().pop().unwrap();
    assert_eq!((&*event, &about["code"]), ("refused", &"P07".into()));
    assert_eq!(purge(&node, &srv, &[]).0, Some(0));
}

#[test]
fn an_archive_that_nothing_was_written_to_yet_is_fine() {
    let node = Node::new();
    fs::remove_dir_all(node.path("state")).unwrap();
    assert!(node.run(&["init"]).status.success());
    let new = node.path("new");
    fs::create_dir(&new).unwrap();
    assert_eq!(purge(&node, &new, &[]).0, Some(0));
}

#[test]
fn vaults_that_lie_elsewhere_are_asked_for() {
    let node = Node::new();
    let (srv, elsewhere) = (node.path("srv"), node.path("elsewhere"));
    fs::rename(srv.join("vault"), &elsewhere).unwrap();
    for options in [&[][..], &["--dry-run"]] {
        let (exit, told) = purge(&node, &srv, options);
        assert_eq!((exit, told.contains("error[P07]")), (Some(2), true), "{options:?}: {told}");
    }
    assert!(srv.join("archive/expires=2027-11-24").exists() && node.path("state/shred/2027-11-24").exists());
    let (exit, told) = purge(&node, &srv, &["--vault", arg(&elsewhere)]);
    assert_eq!((exit, elsewhere.join("expires=2027-11-24").exists()), (Some(0), false), "{told}");

    // If the vaults are lost, an empty folder in their place says so, and the purge goes on.
    let node = Node::new();
    let srv = node.path("srv");
    fs::remove_dir_all(srv.join("vault")).unwrap();
    assert_eq!(purge(&node, &srv, &[]).0, Some(2));
    fs::create_dir_all(srv.join("vault/expires=2027-11-24")).unwrap();
    let (exit, told) = purge(&node, &srv, &[]);
    assert_eq!((exit, told.contains("warning[P07]")), (Some(1), true), "{told}");
    assert!(!srv.join("archive/expires=2027-11-24").exists());
}

#[test]
fn one_vault_that_is_not_there_is_told_and_stops_nothing() {
    let node = Node::new();
    let srv = node.path("srv");
    let folder = srv.join("vault/expires=2027-11-24/class=connection");
    let vault = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::rename(&vault, node.path("taken")).unwrap();
    let dry = purge(&node, &srv, &["--dry-run"]);
    let done = purge(&node, &srv, &[]);
    for (exit, told) in [&dry, &done] {
        assert_eq!((*exit, told.matches("warning[P07]").count()), (Some(1), 1), "{told}");
        assert!(
            told.contains("1 vault not there")
                && told.contains("vault/expires=2027-11-24/class=connection/web1-")
        );
    }
    assert!(
        !srv.join("archive/expires=2027-11-24").exists() && !node.path("state/shred/2027-11-24").exists()
    );
    // Reported once, because the segment is gone.
    assert_eq!(purge(&node, &srv, &[]).0, Some(0));
}

#[test]
fn segments_that_are_due_and_nowhere_are_told_once() {
    let node = Node::new();
    let srv = node.path("srv");
    let folder = srv.join("archive/expires=2027-11-24/class=connection");
    fs::rename(&folder, node.path("taken")).unwrap();
    let planned = purge(&node, &srv, &["--dry-run"]);
    let purged = purge(&node, &srv, &[]);
    for (exit, told) in [&planned, &purged] {
        assert_eq!((*exit, told.contains("warning[P07]")), (Some(1), true), "{told}");
    }
    assert_eq!(purge(&node, &srv, &[]).0, Some(0));
    // Once the folder is back, it is purged.
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::rename(node.path("taken"), &folder).unwrap();
    assert_eq!(purge(&node, &srv, &[]).0, Some(0));
    assert!(!folder.exists());
}

#[test]
fn a_dry_run_says_that_the_purge_would_be_refused() {
    let node = Node::new();
    let srv = node.path("srv");
    let entries = node.ledger().len();
    let dry = |options: &[&str]| {
        let command = ["purge", "--dry-run", "--archive", arg(&srv), "--now", AFTER];
        let output = node.run(&[&command[..], options].concat());
        (
            output.status.code(),
            text(&output.stdout).lines().count(),
            text(&output.stderr).contains("warning[P01]"),
        )
    };
    assert_eq!((dry(&[]), dry(&["--confirm-clock"])), ((Some(1), 3, true), (Some(0), 3, false)));
    assert_eq!(node.ledger().len(), entries);
}

/// A command that only asks what a purge would do changes nothing, even with a mistake in a name.
#[test]
fn a_dry_run_leaves_no_trace() {
    let node = Node::new();
    let (srv, elsewhere) = (node.path("srv"), node.path("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let before = traces(&node.path(""));
    for state in ["state", "new"] {
        for options in [
            &["--archive", arg(&srv)][..],
            &["--archive", arg(&srv), "--confirm-clock"],
            &["--archive", arg(&srv), "--vault", arg(&elsewhere)],
            &["--archive", arg(&elsewhere)],
            &["--archive", arg(&node.path("nowhere"))],
            &[],
        ] {
            let mut command = node.bare(&["purge", "--dry-run", "--now", AFTER]);
            command.args(options).arg("--state-dir").arg(node.path(state));
            let told = text(&command.output().unwrap().stderr);
            assert_eq!(traces(&node.path("")), before, "{state} {options:?}: {told}");
        }
    }
    // Nor does asking for keys where there are none.
    let listed = node.bare(&["keys", "list", "--state-dir", arg(&node.path("new"))]).output().unwrap();
    assert_eq!((listed.status.code(), traces(&node.path(""))), (Some(0), before));
}

/// Returns everything below a directory: path, time of modification, bytes.
fn traces(directory: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime, Vec<u8>)> {
    let mut traces = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            traces.extend(self::traces(&path));
        }
        traces.push((path.clone(), metadata.modified().unwrap(), fs::read(&path).unwrap_or_default()));
    }
    traces.sort();
    traces
}

/// Files with names and types that no purge expects: each is reported, and none of them stops what is due.
#[test]
fn what_oubliette_did_not_make_is_told_and_holds_nothing_up() {
    const CLASS: &str = "archive/expires=2027-11-24/class=connection";
    for (strange, blocked) in [("name", true), ("link", true), ("pipe", false), ("day", false)] {
        let node = Node::new();
        let (srv, away) = (node.path("srv"), node.path("away"));
        let class = srv.join(CLASS);
        let segment = fs::read_dir(&class).unwrap().next().unwrap().unwrap().path();
        match strange {
            "name" => drop(fs::copy(&segment, class.join(OsStr::from_bytes(b"\xff.log.zst"))).unwrap()),
            "link" => {
                fs::rename(&segment, &away).unwrap();
                symlink(&away, &segment).unwrap();
            }
            "pipe" => {
                let pipe = class.join("web1-2epqf-9.log.zst");
                assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
            }
            _ => {
                let day = class.parent().unwrap();
                fs::rename(day, &away).unwrap();
                symlink(&away, day).unwrap();
            }
        }
        // A day that lies on another disk is as good as one in its place.
        let verified = node.run(&["verify", arg(&srv)]).status.code();
        assert_eq!(verified, Some(i32::from(strange != "day")), "{strange}");
        let replay = ["replay", "--archive", arg(&srv), "--now", LATER, "--class", "connection"];
        let lines = text(&node.run(&replay).stdout);
        assert_eq!(lines.lines().count(), 4, "{strange}");
        let (exit, told) = purge(&node, &srv, &[]);
        assert_eq!((exit, told.contains("P04")), (Some(blocked.into()), blocked), "{strange}: {told}");
        assert_eq!(srv.join("archive/expires=2027-11-24").exists(), blocked, "{strange}");
        assert!(!srv.join("vault/expires=2027-11-24").exists(), "{strange}");
        assert!(!node.path("state/shred/2027-11-24").exists(), "{strange}");
    }
}

/// Copies that a purge by folders would keep for ever. Copies of lines that expire later are not due.
#[test]
fn copies_of_what_is_due_are_told_wherever_they_lie_in_the_archive() {
    let node = Node::new();
    let srv = node.path("srv");
    let archive = srv.join("archive");
    let only_file = |folder: &Path| fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let segment = only_file(&archive.join("expires=2027-11-24/class=connection"));
    let later = archive.join("expires=2027-11-25/class=connection");
    let copies = [
        archive.join("backup/of/x.log.zst"),
        archive.join("expires=2027-11-24.bak/class=connection/web1-2epqf-1.log.zst"),
        later.join("web1-2epqf-7.log.zst"),
        later.join("web1-2epqf-1.log.zst~"),
        srv.join("intermediate/x"),
    ];
    fs::copy(only_file(&later), archive.join("not-due.log.zst")).unwrap();
    for copy in &copies {
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&segment, copy).unwrap();
    }
    fs::write(archive.join("README"), "no segment").unwrap();
    for options in [&["--dry-run"][..], &[], &[]] {
        let (exit, told) = purge(&node, &srv, options);
        assert_eq!((exit, told.matches("warning[P06]").count()), (Some(1), copies.len()), "{told}");
        for copy in &copies {
            let place = copy.strip_prefix(&srv).unwrap();
            assert!(told.contains(&format!("where: {}\n", place.display())) && copy.exists(), "{told}");
        }
    }
    assert!(!segment.exists());
    copies.iter().for_each(|copy| fs::remove_file(copy).unwrap());
    assert_eq!(purge(&node, &srv, &[]).0, Some(0));
}

#[test]
fn bytes_that_have_another_name_are_told_when_they_go() {
    for (elsewhere, other_names) in [(true, 1), (false, 0)] {
        let node = Node::new();
        let srv = node.path("srv");
        let class = srv.join("archive/expires=2027-11-24/class=connection");
        let segment = fs::read_dir(&class).unwrap().next().unwrap().unwrap().path();
        // A link that is purged as well is not a copy that stays.
        let link = if elsewhere { node.path("backup") } else { class.join("web1-2epqf-7.log.zst.part") };
        fs::hard_link(&segment, link).unwrap();
        for options in [&["--dry-run", "--json"][..], &["--json"]] {
            let command = ["purge", "--archive", arg(&srv), "--now", AFTER, "--confirm-clock"];
            let output = node.run(&[&command[..], options].concat());
            let (table, told) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(i32::from(elsewhere)), "{told}");
            assert_eq!(table.matches("\"other_names\":1").count(), other_names, "{table}");
            assert_eq!(told.contains("P09"), elsewhere, "{told}");
        }
        let ledger = node.ledger();
        let (_, done) = ledger.iter().rfind(|(event, _)| event == "purge-done").unwrap();
        let noted = done["files"].as_array().unwrap().iter().filter(|file| file["other_names"] == 1);
        assert_eq!(noted.count(), other_names);
    }
}

/// Runs the command as an unprivileged user who owns all files of the node.
fn as_owner(node: &Node, arguments: &[&str]) -> Output {
    const NOBODY: u32 = 65534;
    let mut command = node.command(arguments);
    if rustix::process::geteuid().is_root() {
        give(&node.path(""), NOBODY);
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap()
}

fn give(path: &Path, owner: u32) {
    lchown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), owner));
    }
}

/// A file that cannot be read, one that cannot be removed, and a directory that cannot be listed: the rest of
/// the day goes, and its shred key, and what is left is reported until it is gone.
#[test]
fn a_file_that_cannot_be_read_or_removed_keeps_no_other() {
    let node = Node::new();
    let srv = node.path("srv");
    let (archive, vault) = (srv.join("archive/expires=2027-11-24"), srv.join("vault/expires=2027-11-24"));
    let segment = fs::read_dir(archive.join("class=connection")).unwrap().next().unwrap().unwrap().path();
    let unread = archive.join("class=connection/web1-2epqf-9.log.zst");
    let _socket = UnixListener::bind(&unread).unwrap();
    fs::create_dir(archive.join("class=hidden")).unwrap();
    fs::copy(&segment, archive.join("class=hidden/web1-2epqf-1.log.zst")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&archive.join("class=hidden"), 0o000);
    mode(&vault.join("class=connection"), 0o500);
    let purge = |options: &[&str]| {
        let command = ["purge", "--archive", arg(&srv), "--now", AFTER, "--confirm-clock"];
        let output = as_owner(&node, &[&command[..], options].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (exit, table, told) = purge(&["--dry-run"]);
    assert_eq!((exit, told.contains("warning[P08]")), (Some(1), true), "{table}{told}");
    let (exit, table, told) = purge(&["--json"]);
    assert_eq!((exit, told.contains("\"P08\"") && told.contains(" 3 files ")), (Some(1), true), "{told}");
    assert!(!segment.exists() && !unread.exists() && !node.path("state/shred/2027-11-24").exists(), "{told}");
    assert!(archive.join("class=hidden").exists() && vault.exists());
    assert_eq!(table.matches("\"action\":\"stuck\"").count(), 2, "{table}");
    assert_eq!(table.matches("\"why\":\"Permission denied (os error 13)\"").count(), 2, "{table}");
    let ledger = node.ledger();
    let (_, done) = ledger.iter().rfind(|(event, _)| event == "purge-done").unwrap();
    let hash_of = |number: &str| {
        let mut files = done["files"].as_array().unwrap().iter();
        files
            .find(|file| file["name"].as_str().unwrap().contains(number))
            .map(|file| file["sha256"].is_string())
    };
    assert_eq!((hash_of("-1.log"), hash_of("-9.log")), (Some(true), Some(false)));
    assert_eq!(done["left"].as_array().unwrap().len(), 2);
    assert_eq!(ledger.last().unwrap().1["code"], "P08");

    assert_eq!(purge(&[]).0, Some(1));
    mode(&archive.join("class=hidden"), 0o700);
    mode(&vault.join("class=connection"), 0o700);
    let (exit, _, told) = purge(&[]);
    assert_eq!((exit, archive.exists(), vault.exists()), (Some(0), false, false), "{told}");
    node.verify();
}

/// Changes a digit before the first entry of a kind, as somebody who tampers would.
fn meddle(node: &Node, event: &str) {
    let path = node.path("state/ledger/ledger.jsonl");
    let ledger = fs::read_to_string(&path).unwrap();
    let at = ledger.find(&format!("\"event\":\"{event}\"")).unwrap();
    let mut bytes = ledger.into_bytes();
    let digit = (0..at).rev().find(|&at| bytes[at].is_ascii_digit()).unwrap();
    bytes[digit] = if bytes[digit] == b'0' { b'1' } else { b'0' };
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_changed_old_line_of_the_ledger_stops_no_purge() {
    let node = Node::new();
    let srv = node.path("srv");
    meddle(&node, "start");
    let (exit, told) = purge(&node, &srv, &["--dry-run"]);
    assert_eq!((exit, told.contains("warning[L02]")), (Some(1), true), "{told}");
    let (exit, told) = purge(&node, &srv, &[]);
    assert_eq!((exit, told.contains("warning[L02]")), (Some(1), true), "{told}");
    assert!(
        !srv.join("archive/expires=2027-11-24").exists() && !node.path("state/shred/2027-11-24").exists()
    );
    let ledger = fs::read_to_string(node.path("state/ledger/ledger.jsonl")).unwrap();
    for entry in ["\"ledger-fault\"", "\"purge-done\"", "\"code\":\"L02\""] {
        assert_eq!(ledger.matches(entry).count(), 1, "{entry}");
    }
    // It is still reported, by `verify` too.
    assert_eq!(purge(&node, &srv, &[]).0, Some(1));
    assert_eq!(node.run(&["verify", arg(&srv), "--now", AFTER]).status.code(), Some(1));
}

#[test]
fn a_ledger_that_takes_no_entry_stops_a_purge() {
    let node = Node::new();
    let srv = node.path("srv");
    fs::write(node.path("state/ledger/head"), "{}\n").unwrap();
    meddle(&node, "start");
    assert_eq!(purge(&node, &srv, &[]).0, Some(2));
    assert!(srv.join("archive/expires=2027-11-24").exists());
}

#[test]
fn sealed_lines_of_a_filter_without_an_archive_go_on_their_day() {
    let node = Node::new();
    fs::remove_dir_all(node.path("state")).unwrap();
    let nowhere = node.run(&["purge", "--now", AFTER]);
    assert_eq!((nowhere.status.code(), text(&nowhere.stderr).contains("error[C02]")), (Some(2), true));
    let log = node.path("log");
    fs::write(&log, format!("from 203.0.113.7 {}\n", "and on ".repeat(100))).unwrap();
    let filter = |now| node.run(&["filter", "--max-line-bytes", "480", "--now", now, arg(&log)]);
    assert_eq!(filter("2026-11-23T12:00:00Z").status.code(), Some(1));
    let sealed = || {
        let files = fs::read_dir(node.path("state/quarantine")).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|kind| kind == "age")).collect::<Vec<_>>()
    };
    let written: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let file = fs::File::options().write(true).open(&sealed()[0]).unwrap();
    file.set_modified(written.into()).unwrap();
    fs::write(&log, "short\n").unwrap();
    assert!(!text(&filter("2027-11-23T12:00:00Z").stderr).contains("C11"));
    let told = text(&filter(AFTER).stderr);
    assert!(told.contains("warning[C11]: in quarantine past their day: 1 sealed line"), "{told}");
    let purged = node.run(&["purge", "--now", AFTER]);
    let told = text(&purged.stderr);
    assert_eq!((purged.status.code(), sealed().len()), (Some(0), 0), "{told}");
    assert!(told.contains("purged from quarantine: 1 sealed line"), "{told}");
    assert!(node.ledger().iter().any(|(event, about)| event == "quarantine-purged" && about["lines"] == 1));
    assert!(!text(&filter(AFTER).stderr).contains("C11"));
}

#[test]
fn a_filter_says_that_nobody_purges_its_archive() {
    let node = Node::new();
    let filter = |now| node.archive_with(&["--now", now], "short\n");
    assert!(!filter(AFTER).contains("C14"), "a purge has all of the day itself");
    let told = filter("2027-11-25T10:00:00Z");
    assert!(told.contains("warning[C14]: in the archive past their day: 1 day\n"), "{told}");
    assert!(told.contains("run `oubliette purge --archive"), "{told}");
    let (srv, at) = (node.path("srv"), ["--now", "2027-11-25T10:00:00Z", "--confirm-clock"]);
    let purged = node.run(&[&["purge", "--archive", arg(&srv)], &at[..]].concat());
    let told = text(&purged.stderr);
    assert!(!srv.join("archive/expires=2027-11-24").exists(), "{told}");
    assert!(!filter("2027-11-25T10:00:00Z").contains("C14"));
}

/// Whoever sent them may have been told that they are safe.
#[test]
fn by_a_clock_that_has_jumped_no_line_of_another_node_is_dropped() {
    let (node, far) = (Node::new(), "2099-01-01T10:00:00Z");
    let line =
        "Nov 23 10:00:02 web1 app: ip_2ep1ws3ns07vxbnjt678r4z7pk90mhr expires=2027-06-01 class=connection\n";
    let archive = || node.archive_with(&["--now", far, "--trust-upstream"], line);
    let told = archive();
    assert!(told.contains("warning[P01]") && !told.contains("dropped"), "{told}");
    let srv = node.path("srv");
    let kept = srv.join("archive/expires=2027-06-01/class=connection");
    assert_eq!(kept.read_dir().unwrap().count(), 1);
    let old = "2026-05-30T10:00:00+02:00 web1 app: long ago\n";
    let told = node.archive_with(&["--now", far, "--backfill"], old);
    assert!(told.contains("dropped because they had expired: 1 line"), "whoever asks has the file: {told}");
    let purged = node.run(&["purge", "--archive", arg(&srv), "--now", far, "--confirm-clock"]);
    assert!(!kept.exists(), "{}", text(&purged.stderr));
    let told = archive();
    assert!(told.contains("dropped because they had expired: 1 line"), "{told}");
}

/// The file in the way is somebody's, or half a segment. If it were taken for the segment of that name, the
/// segment would be lost when the first copy is removed.
#[test]
fn a_move_leaves_no_segment_to_what_lies_in_its_place() {
    let node = Node::new();
    let line =
        "time=2026-11-24T10:00:00+01:00 event=profile status=inactive customer=c-1 last_login=2026-10-15\n";
    node.archive("2026-11-24T09:30:00Z", line);
    let (srv, folder) = (node.path("srv"), "expires=2027-07-16/class=inactive-profile");
    let segment = fs::read_dir(srv.join("archive").join(folder)).unwrap().next().unwrap().unwrap().path();
    let written = fs::read(&segment).unwrap();
    let moved = srv.join("intermediate").join(folder).join(segment.file_name().unwrap());
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::write(&moved, &written[..written.len() / 2]).unwrap();
    let now = ["--now", "2027-01-16T10:00:00Z", "--confirm-clock"];
    let done = node.run(&[&["purge", "--archive", arg(&srv)], &now[..]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(!segment.exists() && fs::read(&moved).unwrap() == written);
}

#[test]
fn a_directory_within_an_archive_is_not_taken_for_one() {
    let node = Node::new();
    let srv = node.path("srv");
    let day = srv.join("archive/expires=2027-11-24");
    for place in [&srv.join("archive"), &srv.join("vault"), &day, &day.join("class=connection")] {
        let search = ["replay", "--ip", "203.0.113.7", "--archive", arg(place)];
        let hold = ["hold", "add", "--case", "1", "--until", "2026-12-01", "--archive", arg(place)];
        let filter = ["filter", "--archive", arg(place)];
        for command in [&["verify", arg(place)][..], &search, &hold, &filter] {
            let output = node.run(&[command, &["--now", LATER]].concat());
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{told}");
            assert!(told.contains("error[C02]: there is no archive in that directory"), "{told}");
            let archive = fs::canonicalize(&srv).unwrap();
            assert!(told.contains(&format!("hint: name {}\n", archive.display())), "{told}");
        }
    }
}

/// `verify` refuses a vault rather than calling it damaged, because a vault is checked with its segment. Any
/// other file is taken for a segment.
#[test]
fn a_vault_is_no_damaged_segment() {
    let node = Node::new();
    let first = |place: &str| {
        let found = Command::new("find").arg(node.path(place)).args(["-type", "f"]).output().unwrap();
        text(&found.stdout).lines().next().unwrap().to_owned()
    };
    let output = node.run(&["verify", &first("srv/vault"), "--now", LATER]);
    let told = text(&output.stderr);
    let refused = told.contains("error[C02]: that file is not a segment");
    assert_eq!((output.status.code(), refused), (Some(2), true), "{told}");
    let copy = node.path("copy").display().to_string();
    std::fs::copy(first("srv/archive"), &copy).unwrap();
    let output = node.run(&["verify", &copy, "--now", LATER]);
    let found = text(&output.stdout).contains("the ledger does not know it");
    assert_eq!((output.status.code(), found), (Some(1), true), "{}", text(&output.stderr));
}

/// That directory does not have the holds of the node that wrote the archive. What is due goes, but not
/// silently.
#[test]
fn a_purge_with_another_state_directory_says_that_holds_are_not_seen() {
    let node = Node::new();
    let (srv, other) = (node.path("srv"), node.path("other"));
    let hold = ["hold", "add", "--case", "2027/0815", "--until", "2028-01-31", "--class", "connection"];
    let held = node.run(&[&hold[..], &["--archive", arg(&srv), "--now", "2027-11-22T10:00:00Z"]].concat());
    assert_eq!(held.status.code(), Some(0), "{}", text(&held.stderr));
    let with = |state: &Path, options: &[&str]| {
        let command = ["purge", "--archive", arg(&srv), "--now", AFTER, "--confirm-clock"];
        let mut command = node.bare(&[&command[..], options].concat());
        let output = command.arg("--state-dir").arg(state).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let right = with(&node.path("state"), &["--dry-run"]);
    assert_eq!((right.0, right.1.contains("P20")), (Some(1), false), "{}", right.1);

    let (exit, told) = with(&other, &["--dry-run"]);
    assert_eq!((exit, told.contains("warning[P20]")), (Some(1), true), "{told}");
    assert!(told.contains("there was no state directory") && told.contains("other/holds"), "{told}");
    assert!(told.contains("`--state-dir`"), "{told}");

    // Nor does such a purge see a hold that was added where no state directory was.
    let elsewhere =
        node.bare(&[&hold[..], &["--archive", arg(&srv), "--now", "2027-11-22T10:00:00Z"]].concat());
    let added = { elsewhere }.arg("--state-dir").arg(node.path("third")).output().unwrap();
    let told = text(&added.stderr);
    assert_eq!((added.status.code(), told.contains("warning[P20]")), (Some(1), true), "{told}");

    // A state directory that exists knows as little of this archive.
    let again = ["hold", "add", "--case", "2027/0816", "--until", "2028-01-31", "--archive", arg(&srv)];
    let elsewhere = node.bare(&[&again[..], &["--now", "2027-11-22T10:00:00Z"]].concat());
    let added = { elsewhere }.arg("--state-dir").arg(node.path("third")).output().unwrap();
    let told = text(&added.stderr);
    assert_eq!((added.status.code(), told.contains("warning[P20]")), (Some(1), true), "{told}");
    assert!(told.contains("does not list") && told.contains("of those frozen: expires="), "{told}");
    fs::create_dir(&other).unwrap();
    let day = srv.join("archive/expires=2027-11-24");
    for (options, goes) in [(&["--dry-run"][..], false), (&[], true)] {
        let (exit, told) = with(&other, options);
        assert_eq!((exit, told.contains("warning[P20]")), (Some(1), true), "{told}");
        assert!(told.contains("does not list what goes") && day.exists() != goes, "{told}");
    }
    // If this is intended, the warning comes only once.
    let later = ["--now", "2027-11-25T10:00:00Z"];
    let (exit, told) = with(&other, &["--json"]);
    assert_eq!((exit, told.contains("P20")), (Some(0), false), "{told}");
    let command = ["purge", "--archive", arg(&srv), "--confirm-clock"];
    let output = node.bare(&[&command[..], &later].concat()).arg("--state-dir").arg(&other).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!srv.join("archive/expires=2027-11-25").exists());
}

/// Two nodes write one archive, and each keeps its own holds. The purge of one knows some of what goes, and
/// removes what the other holds.
#[test]
fn a_purge_that_knows_some_segments_says_which_others_it_does_not() {
    let node = Node::new();
    let (srv, second) = (node.path("srv"), node.path("second"));
    let line = "Nov 23 10:30:00 web2 sshd[1]: Failed password for root from 192.0.2.9 port 50001 ssh2\n";
    let log = node.path("second.log");
    fs::write(&log, line).unwrap();
    let of_second = |arguments: &[&str], now: &str| {
        let place = ["--archive", arg(&srv), "--state-dir", arg(&second), "--now", now];
        let output = node.bare(&[arguments, &place].concat()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let made = node.bare(&["init", "--state-dir", arg(&second)]).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let written = of_second(&["filter", "--node", "web2", arg(&log)], "2026-11-23T09:30:10Z");
    assert_eq!(written.0, Some(0), "{}", written.1);
    let hold = ["hold", "add", "--case", "2027/0815", "--until", "2028-01-31", "--archive", arg(&srv)];
    let held = node.run(&[&hold[..], &["--now", "2027-11-22T10:00:00Z"]].concat());
    let told = text(&held.stderr);
    assert_eq!((held.status.code(), told.contains("warning[P20]")), (Some(1), true), "{told}");
    let other = "does not list 1 segment of those frozen: expires=2027-11-24/class=connection/web2-";
    assert!(told.contains(other), "{told}");
    for options in [&["--dry-run"][..], &[]] {
        let (exit, told) = of_second(&[&["purge", "--confirm-clock"], options].concat(), AFTER);
        assert_eq!((exit, told.contains("warning[P20]")), (Some(1), true), "{told}");
        assert!(told.contains("1 segment written with another state directory"), "{told}");
        assert!(
            told.contains("does not list what goes: expires=2027-11-24/class=connection/web1-"),
            "{told}"
        );
    }
    // Once for each node.
    let (exit, told) = of_second(&["purge"], "2027-11-25T10:00:00Z");
    assert_eq!((exit, told.contains("P20")), (Some(0), false), "{told}");
}

/// The ledger knows a segment by its digest and its file name, wherever it was moved and however often it was
/// restored.
#[test]
fn a_segment_of_this_ledger_that_was_moved_renamed_or_restored_is_not_of_others() {
    let node = Node::new();
    let srv = node.path("srv");
    let day = srv.join("archive/expires=2027-11-24");
    let class = day.join("class=connection");
    let segment = fs::read_dir(&class).unwrap().next().unwrap().unwrap().path();
    let file = segment.file_name().unwrap().to_owned();
    let copy = node.path("copy.zst");
    fs::copy(&segment, &copy).unwrap();
    fs::create_dir(day.join("class=moved")).unwrap();
    fs::rename(&segment, day.join("class=moved").join(&file)).unwrap();
    let told = purge(&node, &srv, &[]).1;
    assert!(!told.contains("P20") && !segment.exists(), "{told}");
    for name in [file.to_str().unwrap(), "web9-2epqf-7.log.zst"] {
        fs::create_dir_all(&class).unwrap();
        fs::copy(&copy, class.join(name)).unwrap();
        let told = purge(&node, &srv, &[]).1;
        assert!(!told.contains("P20") && !class.join(name).exists(), "{name}: {told}");
    }
}

/// The shred key cannot be erased, so the purge does not end until somebody repairs that.
#[test]
fn a_purge_that_runs_is_told_from_one_that_broke_off() {
    let node = Node::new();
    let (srv, key) = (node.path("srv"), node.path("state/shred/2027-11-24"));
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    assert_eq!(purge(&node, &srv, &[]).0, Some(2));
    let verify = |options: &[&str]| {
        let verify = ["verify", arg(&srv), "--now", AFTER];
        let output = node.run(&[&verify[..], options].concat());
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (exit, told) = verify(&[]);
    assert_eq!((exit, told.contains("the purge of 2027-11-24 broke off")), (Some(1), true), "{told}");
    // A running purge holds the lock.
    let lock = fs::File::open(node.path("state/holds/lock")).unwrap();
    lock.lock().unwrap();
    let (exit, told) = verify(&[]);
    assert_eq!((exit, told.contains("the purge of 2027-11-24 runs now")), (Some(0), true), "{told}");
    let (exit, told) = verify(&["--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(exit, Some(0));
    assert_eq!(
        (&told["broken_off"], &told["purging"]),
        (&serde_json::json!([]), &serde_json::json!(["2027-11-24"]))
    );
}
