//! Pipes and directories in the place of files of the state directory: nobody waits for them.

use super::node::{Node, arg, text};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// The expiry day of the first lines, so that a purge erases.
const AFTER: &str = "2027-11-25T10:00:00Z";

/// Returns what became of a command, which must not wait for ever.
fn ended(node: &Node, command: &[&str]) -> Output {
    let mut child = node.command(command).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it waits for ever: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
}

#[test]
fn what_lies_in_the_place_of_a_file_of_the_state_is_named_and_hangs_nothing() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.path("identity"));
    fs::rename(node.identity(), &identity).unwrap();
    let filter = ["filter", "--archive", arg(&srv), "--now", "2026-11-24T10:00:00Z"];
    let replay = ["replay", "--archive", arg(&srv), "--now", "2026-11-24T10:00:00Z", "--identity"];
    let replay = [&replay[..], &[arg(&identity), "--ip", "203.0.113.7"]].concat();
    let purge = ["purge", "--confirm-clock", "--archive", arg(&srv), "--now", AFTER];
    let state = node.path("state");
    let only = |folder: &str| files_in(&state.join(folder)).min().unwrap();
    let secret =
        files_in(&state.join("keys")).find(|path| path.extension().is_some_and(|end| end == "secret"));
    let places: [(PathBuf, &[&str], bool); 8] = [
        (state.join("config.toml"), &purge, true),
        (state.join("escrow/recipients.txt"), &filter, true),
        (secret.unwrap(), &filter, true),
        (state.join("keys/lock"), &filter, true),
        (state.join("ledger/ledger.jsonl"), &filter, true),
        (only("shred"), &purge, true),
        // Others may do.
        (only("wraps"), &replay, false),
        (only("wraps"), &purge, false),
    ];
    for (place, command, is_refused) in places {
        let copy = node.path("copy");
        for is_pipe in [true, false] {
            // What a purge removes is put back.
            fs::create_dir_all(&copy).unwrap();
            let copied = Command::new("cp").arg("-a").args([&state, &srv, &copy]).status().unwrap();
            assert!(copied.success());
            fs::remove_file(&place).unwrap();
            match is_pipe {
                true => mknodat(CWD, &place, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
                false => fs::create_dir(&place).unwrap(),
            }
            let output = ended(&node, command);
            let said = text(&output.stderr);
            if is_refused {
                assert_eq!(output.status.code(), Some(2), "{}: {said}", place.display());
                let file = place.file_name().unwrap().to_str().unwrap();
                assert!(said.contains(file) || said.contains("ledger.jsonl"), "{file}: {said}");
                assert!(!is_pipe || said.contains("put the file back"), "{file}: {said}");
            }
            fs::remove_dir_all(&state).unwrap();
            fs::remove_dir_all(&srv).unwrap();
            fs::rename(copy.join("state"), &state).unwrap();
            fs::rename(copy.join("srv"), &srv).unwrap();
        }
    }
}
