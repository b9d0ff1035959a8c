//! A state directory and an archive on one small disk that is full: what is due goes all the same, and with
//! it the keys.

use super::{Scene, fill, is_done, short_rules};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const WRITTEN: &str = "2026-11-23T12:00:00Z";
/// Half a minute after the legal midnight.
const DUE: &str = "2026-11-24T23:00:30Z";
/// Somebody to whom the secrets of epochs are wrapped.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n";

/// A node with lines that expire on 2026-11-25, their originals and the room that was set aside for a purge.
struct Node(Scene);

impl Node {
    fn new(options: &str) -> Option<Self> {
        let node = Self(Scene::new(options)?);
        short_rules(&node.state());
        fs::create_dir(node.state().join("escrow")).unwrap();
        let recipients = node.state().join("escrow/recipients.txt");
        fs::write(&recipients, RECIPIENT).unwrap();
        fs::set_permissions(recipients, fs::Permissions::from_mode(0o600)).unwrap();
        let line = |number: u32| {
            let [_, _, a, b] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
            format!(
                "<13>1 2026-11-23T10:00:00Z web1 short - - - from 2001:db8::{a:x}:{b:x} number {number}\n"
            )
        };
        is_done(&node.run("filter", WRITTEN, &(0..2000).map(line).collect::<String>()));
        is_done(&node.run("purge", WRITTEN, ""));
        assert_eq!(node.left().len(), 5, "{:?}", node.left());
        Some(node)
    }

    fn state(&self) -> PathBuf {
        self.0.disk.0.join("state")
    }

    fn reserve(&self) -> u64 {
        fs::metadata(self.state().join("ledger/reserve")).map_or(0, |metadata| metadata.len())
    }

    fn command(&self, command: &str, now: &str) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        run.args([command, "--rules"]).arg(self.state().join("rules")).arg("--archive").arg(self.0.tree());
        run.args(["--now", now, "--state-dir"]).arg(self.state());
        run
    }

    fn run(&self, command: &str, now: &str, input: &str) -> Output {
        let lines = self.0.directory.path().join("input");
        fs::write(&lines, input).unwrap();
        self.command(command, now).stdin(fs::File::open(lines).unwrap()).output().unwrap()
    }

    /// Fills the disk: of blocks, and if it has few of them, of inodes.
    fn fill(&self) {
        fill(&self.0.disk);
        let full = self.0.disk.0.join("full");
        fs::create_dir(&full).ok();
        let _ = (0..1000).try_for_each(|number| fs::File::create(full.join(number.to_string())).map(drop));
    }

    /// Returns what is left of the segment, its vault, its shred key, and the secret of its epoch with its
    /// wrap.
    fn left(&self) -> Vec<PathBuf> {
        let folders =
            ["log/archive/expires=2026-11-25/class=short", "log/vault/expires=2026-11-25/class=short"];
        let folders = folders.map(|folder| self.0.disk.0.join(folder));
        let keys = ["shred", "keys", "wraps"].map(|folder| self.state().join(folder));
        let files = folders.iter().chain(&keys).flat_map(|folder| files(folder));
        let is_due = |file: &PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            ["2026-11-25", "epoch-2026-11-23.secret"].contains(&&*name)
                || name.ends_with(".age")
                || file.starts_with(self.0.tree())
        };
        files.filter(is_due).collect()
    }

    /// Asserts that everything that was due is gone, and that the ledger, which is intact, proves it.
    fn has_purged(&self) {
        assert_eq!(self.left(), Vec::<PathBuf>::new());
        let ledger = self.state().join("ledger/ledger.jsonl");
        let entries = fs::read_to_string(ledger).unwrap();
        for event in ["purge-intent", "shred-key-erased", "purge-done", "epoch-secret-erased", "wrap-erased"]
        {
            assert!(entries.contains(&format!("\"event\":\"{event}\"")), "{event}: {entries}");
        }
        let mut verify = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        is_done(&verify.args(["ledger", "verify", "--state-dir"]).arg(self.state()).output().unwrap());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The disk lacks blocks, or inodes.
#[test]
fn what_is_due_is_purged_from_a_disk_that_has_no_room_for_the_ledger() {
    for options in ["8m", "8m,nr_inodes=100"] {
        let Some(node) = Node::new(options) else { return };
        let whole = node.reserve();
        node.fill();
        let purged = node.run("purge", DUE, "");
        is_done(&purged);
        assert!(said(&purged).contains("the disk is full"), "{}", said(&purged));
        node.has_purged();
        if options == "8m" {
            assert_eq!(node.reserve(), whole, "there was room again");
        }
    }
}

/// Nobody has set room aside, and nothing else on the disk is ours to give up: nothing goes that the ledger
/// does not know of.
#[test]
fn without_a_reserve_a_purge_on_a_full_disk_is_refused_and_made_up_for() {
    let Some(node) = Node::new("8m") else { return };
    fs::remove_file(node.state().join("ledger/reserve")).unwrap();
    node.fill();
    let refused = node.run("purge", DUE, "");
    assert_eq!((refused.status.code(), node.left().len()), (Some(2), 5), "{}", said(&refused));
    assert!(said(&refused).contains("No space left on device"), "{}", said(&refused));
    fs::remove_file(node.0.disk.0.join("ballast")).unwrap();
    is_done(&node.run("purge", DUE, ""));
    node.has_purged();
}

/// However far the purge came, and however much of the reserve it had given up: the next one completes it.
#[test]
fn a_purge_that_is_killed_on_a_full_disk_is_completed_by_the_next() {
    let Some(node) = Node::new("8m") else { return };
    let copy = node.0.directory.path().join("copy");
    let copied = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    copied(&node.0.disk.0, &copy);
    for delay in 0..30 {
        for name in ["state", "log", "full", "ballast"] {
            let path = node.0.disk.0.join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        copied(&copy.join("."), &node.0.disk.0);
        node.fill();
        let mut purge = node.command("purge", DUE);
        let mut purge =
            purge.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4 * delay));
        // Harmless if it has ended.
        let _ = purge.kill();
        purge.wait().unwrap();
        is_done(&node.run("purge", DUE, ""));
        node.has_purged();
    }
}

/// A first start has nothing set aside yet, and a disk that cannot be written to is no reason to fail later.
#[test]
fn room_is_set_aside_again_when_there_is_some() {
    let Some(node) = Node::new("8m") else { return };
    let reserve = node.state().join("ledger/reserve");
    let whole = node.reserve();
    assert_eq!(whole, 512 << 10);
    for left in [0, 1, whole / 2] {
        fs::File::options().write(true).open(&reserve).unwrap().set_len(left).unwrap();
        is_done(&node.run("purge", WRITTEN, ""));
        assert!(node.reserve() >= whole, "{left}");
    }
    // Something that is no file lies in its place.
    fs::remove_file(&reserve).unwrap();
    fs::create_dir(&reserve).unwrap();
    let purged = node.run("purge", DUE, "");
    is_done(&purged);
    assert!(said(&purged).contains("to set aside"), "{}", said(&purged));
    node.has_purged();
}
