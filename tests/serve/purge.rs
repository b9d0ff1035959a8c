//! The purge inside the sidecar: expired lines are removed without a command.

use crate::sidecar::{Ended, Sidecar};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

const AWAY: &str = "rules = 'rules'\n[serve]\narchive = 'log'\n[serve.metrics]\nlisten = '127.0.0.1:0'\n\
                    [[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";
const TCP: &str = "rules = 'rules'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";

/// Rules that keep the lines of the program `short` for a day.
const SHORT: &str = include_str!("../data/short.toml");

fn days(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("archive")).unwrap();
    let mut days: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    days.sort();
    days
}

fn rules(folder: &Path) {
    fs::create_dir_all(folder.join("rules/retention")).unwrap();
    fs::write(folder.join("rules/retention/short.toml"), SHORT).unwrap();
}

/// Runs a sidecar that archives a line that expires on 2026-11-25, and one that expires a year later.
fn archived(config: &str) -> Ended {
    let sidecar = Sidecar::start_with(config, &["--now", "2026-11-23T12:00:00Z"], rules);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    for program in ["short", "sshd"] {
        writeln!(stream, "<13>1 2026-11-23T11:59:00Z web1 {program} - - - id={program} client 203.0.113.1")
            .unwrap();
    }
    drop(stream);
    sidecar.stop()
}

#[test]
fn what_has_expired_is_purged_at_the_start() {
    let ended = archived(TCP);
    assert_eq!(days(ended.folder()), ["expires=2026-11-25", "expires=2027-11-24"], "{}", ended.told);
    // Half a minute after the legal midnight, and less than 36 hours after the last entry of the ledger.
    let sidecar = ended.restart(&["--now", "2026-11-24T23:00:30Z"]);
    sidecar.wait_for("purged: ");
    let ended = sidecar.stop();
    let left: Vec<_> = ended.archived().into_keys().collect();
    assert_eq!(left, ["sshd"], "{}", ended.told);
}

#[test]
fn a_part_that_is_in_use_at_midnight_is_purged_when_it_is_complete() {
    let ended = archived(AWAY);
    let log = ended.folder().join("log");
    let day = log.join("archive/expires=2026-11-25/class=short");
    let sealed = fs::read_dir(&day).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let part = day.join(sealed.replace("-1.log.zst", "-7.log.zst.part"));
    let written = File::create_new(&part).unwrap();
    written.lock().unwrap();
    let sidecar = ended.restart(&["--now", "2026-11-24T23:00:30Z"]);
    sidecar.wait_for("P04");
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 1.0);
    assert!(part.exists());
    drop(written);
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 0.0);
    let ended = sidecar.stop();
    assert_eq!(days(&log), ["expires=2027-11-24"], "{}", ended.told);
}

#[test]
fn a_purge_that_a_clock_has_stopped_is_made_up_for_when_the_clock_is_confirmed() {
    let ended = archived(AWAY);
    let log = ended.folder().join("log");
    let sidecar = ended.restart(&["--now", "2026-11-28T12:00:00Z"]);
    sidecar.wait_for("error[P01]");
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 1.0);
    let mut purge = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    purge.args(["purge", "--confirm-clock", "--now", "2026-11-28T12:01:00Z", "--state-dir"]);
    let purged = purge.arg(sidecar.folder()).output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", String::from_utf8_lossy(&purged.stderr));
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 0.0);
    let ended = sidecar.stop();
    assert_eq!(days(&log), ["expires=2027-11-24"], "{}", ended.told);
    assert_eq!(ended.told.matches("error[").count(), 1, "{}", ended.told);
}

#[test]
fn what_a_purge_left_undone_is_tried_again_at_a_reload() {
    let ended = archived(AWAY);
    let (folder, log) = (ended.folder().to_owned(), ended.folder().join("log"));
    // No file of holds can be in it, so nobody knows what is held.
    fs::remove_dir_all(folder.join("holds")).unwrap();
    fs::write(folder.join("holds"), "").unwrap();
    let sidecar = ended.restart(&["--now", "2026-11-24T23:00:30Z"]);
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 1.0);
    fs::remove_file(folder.join("holds")).unwrap();
    sidecar.hang_up();
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 0.0);
    let ended = sidecar.stop();
    assert_eq!(days(&log), ["expires=2027-11-24"], "{}", ended.told);
}

#[test]
fn a_purge_without_its_disk_is_told_and_made_up_for() {
    let ended = archived(AWAY);
    assert!(!ended.told.contains("error["), "an archive that is still to be begun is none that is missing");
    let (log, away) = (ended.folder().join("log"), ended.folder().join("away"));
    // Looks like a mount point whose disk is not mounted.
    fs::rename(&log, &away).unwrap();
    fs::create_dir(&log).unwrap();
    let sidecar = ended.restart(&["--now", "2026-11-24T23:00:30Z"]);
    sidecar.wait_for("error[P07]");
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 1.0);
    fs::remove_dir(&log).unwrap();
    fs::rename(&away, &log).unwrap();
    sidecar.wait_for("purged: 1 file");
    sidecar.wait_for_metric("oubliette_purge_undone ", |undone| undone == 0.0);
    let ended = sidecar.stop();
    assert_eq!(days(&log), ["expires=2027-11-24"], "{}", ended.told);
    // Possibly once more, while there was no directory at all.
    assert!(ended.told.matches("error[").count() <= 2, "{}", ended.told);
}
