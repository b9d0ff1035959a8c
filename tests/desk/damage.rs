//! Segments and vaults that a disk has damaged: whoever does not need them is not held up, and whoever does is given
//! everything else and told what is missing.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::path::{Path, PathBuf};

const JEAN: [&str; 2] = ["--ip", "203.0.113.7"];
const CONNECTION: &str = "expires=2027-11-24/class=connection";
const CASE: [&str; 4] = ["--case", "PV-1", "--basis", "60-1/3"];

fn only_file(directory: &Path) -> PathBuf {
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert!(files.next().is_none(), "{}", directory.display());
    file
}

/// Flips a bit so many bytes behind the start, or before the end.
fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// The segment of the connections of the first day, with its footer spoilt.
fn without_footer(node: &Node, class: &str) {
    flip(&only_file(&node.path("srv/archive").join(class)), |length| length - 30);
}

fn days<'d>(from: &'d str, to: &'d str) -> [&'d str; 4] {
    ["--from", from, "--to", to]
}

/// Exit code, lines, and whether damage was told.
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
    // The same of another day has nothing to say of it.
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

#[test]
fn of_a_damaged_vault_nothing_is_given_back_and_everything_else_is() {
    // In a record, and in the header.
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
