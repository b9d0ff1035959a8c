//! Segments and vaults that a disk has damaged. Commands that do not need them are not held up; commands that
//! do need them return everything else and report what is missing.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const JEAN: [&str; 2] = ["--ip", "203.0.113.7"];
const CONNECTION: &str = "expires=2027-11-24/class=connection";
const CASE: [&str; 4] = ["--case", "PV-1", "--basis", "60-1/3"];

fn only_file(directory: &Path) -> PathBuf {
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert!(files.next().is_none(), "{}", directory.display());
    file
}

/// Flips a bit of the byte at the offset that `at` computes from the length of the file.
fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// Damages the footer of the only segment in the folder `class`.
fn without_footer(node: &Node, class: &str) {
    flip(&only_file(&node.path("srv/archive").join(class)), |length| length - 30);
}

fn days<'d>(from: &'d str, to: &'d str) -> [&'d str; 4] {
    ["--from", from, "--to", to]
}

/// Returns the exit code, the number of lines, and whether damage was reported.
fn replayed(node: &Node, options: &[&str]) -> (Option<i32>, usize, bool) {
    let output = node.desk(&["replay"], options);
    let told = text(&output.stderr);
    let damage = told.contains("warning[A02]") && told.contains("expires=");
    (output.status.code(), text(&output.stdout).lines().count(), damage)
}

#[test]
fn a_damaged_footer_is_told_to_those_who_need_the_segment_and_to_nobody_else() {
    let node = Node::new();
    without_footer(&node, CONNECTION);
    for day in ["2026-11-22", "2026-11-24"] {
        let lines = if day == "2026-11-24" { 2 } else { 0 };
        assert_eq!(replayed(&node, &days(day, day)), (Some(0), lines, false), "{day}");
    }
    assert_eq!(replayed(&node, &days("2026-11-23", "2026-11-23")), (Some(1), 2, true));
    assert_eq!(replayed(&node, &[]), (Some(1), 4, true));
    assert_eq!(replayed(&node, &JEAN), (Some(1), 2, true));
    assert_eq!(replayed(&node, &["--class", "support-ticket"]), (Some(0), 3, false));
}

#[test]
fn what_is_not_kept_from_its_event_on_may_be_of_any_time_before_its_seal() {
    let node = Node::new();
    let class = "class=support-ticket";
    for day in fs::read_dir(node.path("srv/archive")).unwrap() {
        let name = day.unwrap().file_name().into_string().unwrap();
        let folder = format!("{name}/{class}");
        if node.path("srv/archive").join(&folder).exists() {
            without_footer(&node, &folder);
        }
    }
    assert_eq!(replayed(&node, &days("2026-11-01", "2026-11-01")).0, Some(1));
    assert_eq!(replayed(&node, &days("2026-11-25", "2026-11-25")), (Some(0), 0, false));
}

#[test]
fn a_search_of_a_person_in_a_damaged_archive_is_not_complete_in_the_ledger() {
    let node = Node::new();
    without_footer(&node, CONNECTION);
    replayed(&node, &JEAN);
    let (event, done) = node.ledger().pop().unwrap();
    assert_eq!((&*event, &done["complete"], &done["code"]), ("access-done", &false.into(), &"A02".into()));
}

#[test]
fn a_bundle_names_what_is_damaged() {
    let node = Node::new();
    without_footer(&node, CONNECTION);
    let to = node.path("bundle");
    node.answer(&["replay", "--bundle", arg(&to)], &[&JEAN[..], &CASE, &PERIOD].concat(), 1);
    for (file, told) in
        [("README.txt", "Damaged: these segments"), ("LISEZMOI.txt", "Endommag\u{e9}s : ces segments")]
    {
        let readme = fs::read_to_string(to.join(file)).unwrap();
        assert!(readme.contains(told) && readme.contains(&format!("- {CONNECTION}/web1-")), "{readme}");
    }
    // A bundle of another day says nothing of it.
    let other = node.path("other");
    let period = days("2026-11-24", "2026-11-24");
    node.answer(&["replay", "--bundle", arg(&other)], &[&JEAN[..], &CASE, &period].concat(), 0);
    assert!(!fs::read_to_string(other.join("README.txt")).unwrap().contains("Damaged"));
}

#[test]
fn a_damaged_frame_is_left_out_and_told() {
    let node = Node::new();
    flip(&only_file(&node.path("srv/archive").join(CONNECTION)), |_| 12);
    assert_eq!(replayed(&node, &[]), (Some(1), 4, true));
    assert_eq!(replayed(&node, &days("2026-11-24", "2026-11-24")), (Some(0), 2, false));
}

/// Lines of Anne, Jean and Paul on a third day, each with a record of its own in the vault.
const THIRD_DAY: [&str; 3] = ["192.0.2.1", "203.0.113.7", "192.0.2.3"];
const THIRD: &str = "expires=2027-11-26/class=connection";

/// Returns where the records of a vault start, and where the last one ends (FORMAT.md of vaults).
fn records(vault: &[u8]) -> Option<Vec<usize>> {
    let number = |at: usize| Some(u32::from_le_bytes(*vault.get(at..)?.first_chunk()?) as usize);
    let mut places = vec![44 + number(12)? + number(32)?];
    while places[places.len() - 1] < vault.len() {
        let place = places[places.len() - 1];
        places.push(place + 12 + number(place)?);
    }
    Some(places)
}

/// Returns the node, the vault of the third day, and the starts of its records, followed by the end of the
/// last one.
fn with_three_records() -> (Node, PathBuf, Vec<usize>) {
    let node = Node::new();
    let (srv, folder) = (node.path("srv"), node.path("srv/vault").join(THIRD));
    let options = ["filter", "--node", "web1", "--archive", arg(&srv), "--now", "2026-11-25T09:00:10Z"];
    let mut filter = node.command(&options).stdin(Stdio::piped()).spawn().unwrap();
    let written = || records(&fs::read(fs::read_dir(&folder).ok()?.next()?.ok()?.path()).ok()?);
    for (number, address) in THIRD_DAY.iter().enumerate() {
        let line = format!("Nov 25 10:00:00 web1 sshd[1]: from {address} port 1\n");
        filter.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while written().is_none_or(|places| places.len() < number + 2) {
            assert!(Instant::now() < deadline, "{number} records");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    drop(filter.stdin.take());
    assert!(filter.wait_with_output().unwrap().status.success());
    let places = written().unwrap();
    (node, only_file(&folder), places)
}

/// Reveals everybody on the third day. Returns lines and messages; the exit code must be 1.
fn revealed(node: &Node, options: &[&str]) -> (String, String) {
    let day = days("2026-11-25", "2026-11-25");
    let output = node.desk(&["replay"], &[&CASE[..], &day, options].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("warning[V02]") && told.contains(THIRD), "{told}");
    (text(&output.stdout), told)
}

/// A filter that is killed leaves a part, which the next start seals. If the header of its vault is damaged
/// by then, nobody can open the vault as it is, but there is no other copy, so it must stay.
#[test]
fn a_vault_whose_header_is_damaged_outlives_the_next_start() {
    let node = Node::new();
    let (srv, folder) = (node.path("srv"), node.path("srv/vault").join(THIRD));
    let options = ["filter", "--node", "web1", "--archive", arg(&srv), "--now", "2026-11-25T09:00:10Z"];
    let mut filter = node.command(&options).stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("Nov 25 10:00:00 web1 sshd[1]: from {} port 1\n", THIRD_DAY[0]);
    filter.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    let parts = node.path("srv/archive").join(THIRD);
    let has_frame = || fs::metadata(fs::read_dir(&parts).ok()?.next()?.ok()?.path()).ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    while has_frame().is_none_or(|part| part.len() == 0) {
        assert!(Instant::now() < deadline, "no frame is written");
        std::thread::sleep(Duration::from_millis(10));
    }
    filter.kill().unwrap();
    filter.wait().unwrap();
    let vault = only_file(&folder);
    flip(&vault, |_| 0);
    let left = fs::read(&vault).unwrap();

    node.archive("2026-11-26T09:00:10Z", "");
    assert!(fs::read(&vault).unwrap() == left, "it was changed");
    let (lines, _) = revealed(&node, &["--reveal-all"]);
    assert_eq!((lines.lines().count(), lines.contains(THIRD_DAY[0])), (1, false), "{lines}");
    let verify = node.run(&["verify", arg(&srv), "--now", LATER]);
    let told = text(&verify.stdout);
    assert!(verify.status.code() == Some(1) && told.contains(arg(&vault)), "{told}");
}

#[test]
fn of_a_vault_that_is_damaged_in_the_middle_all_other_records_are_used() {
    let (node, vault, places) = with_three_records();
    let whole = fs::read(&vault).unwrap();
    flip(&vault, |_| places[1] + 20);
    let (lines, told) = revealed(&node, &["--reveal-all"]);
    let given_back = THIRD_DAY.map(|address| lines.contains(address));
    assert_eq!((lines.lines().count(), given_back), (3, [true, false, true]), "{lines}");
    assert!(told.contains(&format!("byte {}", places[1])), "{told}");
    assert!(told.contains(&format!("{} bytes of records are lost", places[2] - places[1])), "{told}");
    let (_, done) = node.ledger().pop().unwrap();
    assert_eq!(
        (&done["complete"], &done["code"], &done["revealed"]),
        (&false.into(), &"V02".into(), &2.into())
    );

    // The checksum of the record shows where it ends.
    fs::write(&vault, &whole).unwrap();
    flip(&vault, |_| places[1] + 3);
    let (lines, told) = revealed(&node, &["--reveal-all"]);
    assert_eq!(THIRD_DAY.map(|address| lines.contains(address)), [true; 3], "{lines}");
    assert!(told.contains("nothing of what stands in it is lost"), "{told}");
    // The start of the next record shows where this one ends.
    flip(&vault, |_| places[1] + 4);
    let (lines, _) = revealed(&node, &["--reveal-all"]);
    assert_eq!(THIRD_DAY.map(|address| lines.contains(address)), [true, false, true], "{lines}");
    let (lines, _) = revealed(&node, &["--reveal", "--ip", THIRD_DAY[0]]);
    assert_eq!((lines.lines().count(), lines.contains(THIRD_DAY[0])), (1, true), "{lines}");

    // Cut between two records: nothing that is left is damaged, but a record is missing.
    fs::write(&vault, &whole[..places[2]]).unwrap();
    let (lines, told) = revealed(&node, &["--reveal-all"]);
    assert_eq!(THIRD_DAY.map(|address| lines.contains(address)), [true, true, false], "{lines}");
    assert!(told.contains(&format!("byte {}", places[2])), "{told}");
}

#[test]
fn requests_of_people_and_holds_use_what_a_damaged_vault_still_gives() {
    let (node, vault, places) = with_three_records();
    flip(&vault, |_| places[1] + 20);
    let day = days("2026-11-25", "2026-11-25");
    let whole = |address| [&["--ip", address, "--case", "DSR-1"][..], &day].concat();
    for (address, is_clear) in [(THIRD_DAY[0], true), (THIRD_DAY[1], false)] {
        let dossier = node.answer(&["subject", "access"], &whole(address), 1);
        assert_eq!(dossier.contains(address), is_clear, "{dossier}");
    }
    let to = node.path("bundle");
    node.answer(&["replay", "--reveal-all", "--bundle", arg(&to)], &[&CASE[..], &day].concat(), 1);
    let table = fs::read_to_string(to.join("lines.csv")).unwrap();
    assert_eq!(THIRD_DAY.map(|address| table.contains(address)), [true, false, true], "{table}");
    assert!(fs::read_to_string(to.join("README.txt")).unwrap().contains("Damaged: the vaults"));

    let (srv, identity) = (node.path("srv"), node.identity());
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    node.run(&[&["hold", "add", "--until", "2027-01-01"], &case[..]].concat());
    let who = ["--ip", THIRD_DAY[0], "--ip", THIRD_DAY[1], "--identity", arg(&identity)];
    let output = node.run(&[&["hold", "extract"], &case[..], &who].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    // Jean has lines on other days as well.
    assert!(told.contains("warning[H06]") && told.contains(THIRD) && told.contains("stay frozen"), "{told}");
    let (_, done) = node.ledger().pop().unwrap();
    assert_eq!((&done["complete"], &done["code"]), (&false.into(), &"V02".into()));
}

#[test]
fn of_a_vault_that_cannot_be_read_nothing_is_given_back_and_everything_else_is() {
    // In the only record of the vault, and in its header.
    for at in [|length: usize| length - 4, |_| 9] {
        let node = Node::new();
        flip(&only_file(&node.path("srv/vault").join(CONNECTION)), at);
        let reveal = [&JEAN[..], &["--reveal"], &CASE, &PERIOD].concat();
        let output = node.desk(&["replay"], &reveal);
        let (lines, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), lines.lines().count()), (Some(1), 4), "{lines}{told}");
        assert_eq!(lines.matches("203.0.113.7").count(), 2, "{lines}");
        assert!(told.contains("warning[V02]") && told.contains(CONNECTION), "{told}");
        assert_eq!(node.answer(&["replay"], &["--from", "2026-11-24"], 0).lines().count(), 2);
    }
}

#[test]
fn holds_go_on_beside_damage_and_stay_frozen_for_it() {
    let node = Node::new();
    without_footer(&node, CONNECTION);
    let (srv, identity) = (node.path("srv"), node.identity());
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    let added = node.run(&[&["hold", "add", "--json", "--until", "2027-01-01"], &case[..]].concat());
    assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    assert!(text(&added.stdout).contains(CONNECTION), "it is frozen, for it may be mended");
    let extract = [&["hold", "extract"], &case[..], &JEAN, &["--identity", arg(&identity)]].concat();
    let output = node.run(&extract);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("warning[H06]") && told.contains(CONNECTION), "{told}");
    assert!(told.contains("extracted: 2 lines") && told.contains("stay frozen"), "{told}");
}

#[test]
fn an_erasure_leaves_what_is_damaged_and_says_so() {
    let node = Node::new();
    for at in [|_: usize| 12, |length: usize| length - 30] {
        let folder = node.path("srv/archive");
        let tickets =
            fs::read_dir(&folder).unwrap().map(|day| day.unwrap().path().join("class=support-ticket"));
        let first = tickets.filter(|path| path.exists()).min().unwrap();
        flip(&only_file(&first), at);
        let output = node.desk(&["subject", "erase"], &[&JEAN[..], &["--case", "DSR-1"]].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("warning[A02]") && told.contains("class=support-ticket"), "{told}");
        flip(&only_file(&first), at);
    }
    node.verify();
}

#[test]
fn an_erasure_names_the_vault_that_keeps_it_from_a_segment() {
    let node = Node::new();
    let folder = node.path("srv/vault");
    let tickets = fs::read_dir(&folder).unwrap().map(|day| day.unwrap().path().join("class=support-ticket"));
    let first = tickets.filter(|path| path.exists()).min().unwrap();
    flip(&only_file(&first), |length| length - 4);
    let output = node.desk(&["subject", "erase"], &[&JEAN[..], &["--case", "DSR-1"]].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("warning[V02]") && told.contains("vault/expires="), "{told}");
    let (event, done) = node.ledger().pop().unwrap();
    assert_eq!((&*event, &done["code"]), ("access-done", &"V02".into()));
}

/// Replaces a file by something that the operating system cannot read as a file.
fn unreadable(file: &Path) {
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
}

#[test]
fn a_segment_that_cannot_be_read_stops_no_search() {
    let node = Node::new();
    unreadable(&only_file(&node.path("srv/archive").join(CONNECTION)));
    let is_told = |output: &std::process::Output| {
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("warning[A05]") && told.contains(CONNECTION), "{told}");
    };
    for (options, lines) in [(&[][..], 4), (&JEAN[..], 2)] {
        let output = node.desk(&["replay"], options);
        is_told(&output);
        assert_eq!(text(&output.stdout).lines().count(), lines);
    }
    let (_, done) = node.ledger().pop().unwrap();
    assert_eq!((&done["complete"], &done["code"]), (&false.into(), &"A05".into()));
    // A period of another day does not need the segment.
    assert_eq!(node.answer(&["replay"], &["--from", "2026-11-24"], 0).lines().count(), 2);

    let person = [&JEAN[..], &["--case", "DSR-1"]].concat();
    is_told(&node.desk(&["subject", "access"], &[&person[..], &PERIOD].concat()));
    is_told(&node.desk(&["subject", "affected"], &PERIOD));
    let to = node.path("bundle");
    is_told(&node.desk(&["replay", "--bundle", arg(&to)], &[&JEAN[..], &CASE, &PERIOD].concat()));
    let readme = fs::read_to_string(to.join("README.txt")).unwrap();
    assert!(
        readme.contains("or cannot be read") && readme.contains(&format!("- {CONNECTION}/web1-")),
        "{readme}"
    );
    let erased = node.desk(&["subject", "erase"], &person);
    is_told(&erased);
    assert!(text(&erased.stderr).contains("erased: 1 line;"), "{}", text(&erased.stderr));

    let srv = node.path("srv");
    let report = node.run(&["report", "--json", "--out", "-", "--archive", arg(&srv), "--now", LATER]);
    assert!(text(&report.stdout).contains("a segment cannot be read"), "{}", text(&report.stderr));
    let identity = node.identity();
    let case = ["--archive", arg(&srv), "--now", LATER, "--case", "2027/0815"];
    let added = node.run(&[&["hold", "add", "--json", "--until", "2027-01-01"], &case[..]].concat());
    assert!(text(&added.stdout).contains(CONNECTION), "{}", text(&added.stderr));
    let output =
        node.run(&[&["hold", "extract"], &case[..], &JEAN, &["--identity", arg(&identity)]].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("warning[H06]") && told.contains(CONNECTION) && told.contains("stay frozen"),
        "{told}"
    );
}

#[test]
fn a_vault_that_cannot_be_read_keeps_no_line_back() {
    let node = Node::new();
    unreadable(&only_file(&node.path("srv/vault").join(CONNECTION)));
    let output = node.desk(&["replay"], &[&JEAN[..], &["--reveal"], &CASE, &PERIOD].concat());
    let (lines, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), lines.lines().count()), (Some(1), 4), "{told}");
    assert_eq!(lines.matches("203.0.113.7").count(), 2, "{lines}");
    assert!(told.contains("warning[V04]") && told.contains(CONNECTION), "{told}");
}

#[test]
fn a_verification_names_every_file_that_cannot_be_read_and_goes_on() {
    let node = Node::new();
    unreadable(&only_file(&node.path("srv/archive").join(CONNECTION)));
    unreadable(&only_file(&node.path("srv/vault/expires=2027-11-25/class=connection")));
    let srv = node.path("srv");
    let verified = node.run(&["verify", arg(&srv), "--now", LATER]);
    let told = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1), "{told}{}", text(&verified.stderr));
    for (kind, file) in [("segment", CONNECTION), ("vault", "vault/expires=2027-11-25/class=connection")] {
        let is_told =
            |row: &&str| row.contains(file) && row.contains(&format!("the {kind} cannot be read: "));
        assert_eq!(told.lines().filter(is_told).count(), 1, "{kind}: {told}");
    }
}

/// The ledger does not know the copy; without care, its lines would be in evidence twice.
#[test]
fn a_copy_of_a_segment_gives_no_line_twice() {
    let node = Node::new();
    let segment = only_file(&node.path("srv/archive").join(CONNECTION));
    let name = segment.file_name().unwrap().to_str().unwrap();
    // A copy made by hand, and one that a crash leaves in the other store.
    let copy = segment.with_file_name(name.replace("-1.log", "-2.log"));
    let intermediate = node.path("srv/intermediate").join(CONNECTION);
    fs::create_dir_all(&intermediate).unwrap();
    for copy in [copy, intermediate.join(name)] {
        fs::copy(&segment, copy).unwrap();
    }
    let search = [&JEAN[..], &PERIOD].concat();
    assert_eq!(replayed(&node, &search), (Some(0), 4, false));
    let bundle = node.path("bundle");
    node.answer(&["replay"], &[&search[..], &CASE, &["--reveal", "--bundle", arg(&bundle)]].concat(), 0);
    let checked =
        std::process::Command::new("sh").arg("proof/check.sh").current_dir(&bundle).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stdout));
    let srv = node.path("srv");
    let freeze = ["hold", "add", "--case", "2027/0815", "--until", "2027-01-31", "--archive", arg(&srv)];
    assert_eq!(node.run(&[&freeze[..], &["--now", LATER]].concat()).status.code(), Some(0));
    let extract = node.desk(&["hold", "extract"], &[&JEAN[..], &["--case", "2027/0815"]].concat());
    assert!(text(&extract.stderr).contains("extracted: 4 lines"), "{}", text(&extract.stderr));
}
