//! Bundles: their contents, their check by stock tools on a machine without oubliette, and its failure after
//! any change.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CASE: [&str; 4] = ["--case", "PV 2026/0815", "--basis", "60-1/3"];

fn bundle(node: &Node, name: &str, options: &[&str]) -> PathBuf {
    let to = node.path(name);
    let options = [&["--bundle", arg(&to)], &CASE[..], &PERIOD[..], options].concat();
    assert_eq!(node.answer(&["replay"], &options, 0), "", "lines go into the bundle alone");
    to
}

/// Returns the commands that a README shows, in order.
fn commands(readme: &Path) -> Vec<String> {
    let readme = fs::read_to_string(readme).unwrap();
    let shown = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let commands: Vec<String> =
        shown.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect();
    assert_eq!(commands.len(), 3, "{readme}");
    commands
}

/// Returns whether a command succeeds in `directory`, with nothing but the tools of the system.
fn succeeds(command: &str, directory: &Path) -> bool {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin");
    shell.stdin(Stdio::null()).output().unwrap().status.success()
}

fn rows(bundle: &Path) -> Vec<Vec<String>> {
    let mut table = csv::ReaderBuilder::new().has_headers(false).from_path(bundle.join("lines.csv")).unwrap();
    table.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Returns every file of a bundle.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_bundle_holds_exactly_the_lines_of_the_replay() {
    let node = Node::new();
    let replay = ["--ip", "203.0.113.7", "--reveal"];
    let to = bundle(&node, "case", &replay);
    let stored = node.answer(&["replay"], &[&["--ip", "203.0.113.7"], &PERIOD[..]].concat(), 0);
    assert_eq!(fs::read_to_string(to.join("lines.log")).unwrap(), stored);
    assert_eq!(stored.lines().count(), 4);
    let rows = rows(&to);
    assert_eq!(rows.len(), 5);
    let ssh = &rows[2];
    assert_eq!(ssh[1..4], ["2026-11-23T09:00:02Z", "2026-11-23T10:00:02+01:00", "line"]);
    assert_eq!(ssh[4..8], ["connection", "2027-11-24", "203.0.113.7", "57424"]);
    assert_eq!(ssh[8], stored.lines().nth(1).unwrap());
    assert!(ssh[9].contains("from 203.0.113.7 port 57424 ssh2"), "{}", ssh[9]);
    // Other identifiers stay tokens, and no cell is a formula.
    let all = fs::read_to_string(to.join("lines.csv")).unwrap();
    assert!(!all.contains("anne@example.org") && !all.contains("jean@example.org"));
    assert!(rows.iter().flatten().all(|cell| !cell.starts_with('=')));
    assert!(rows[4][9].starts_with("'=1+1 203.0.113.7"), "{}", rows[4][9]);
    let event = node.ledger().into_iter().find(|(event, _)| event == "bundled").unwrap();
    assert_eq!((&event.1["case"], &event.1["lines"]), (&"PV 2026/0815".into(), &4.into()));
    node.verify();
}

#[test]
fn the_commands_of_both_readmes_check_it_and_a_change_fails() {
    let node = Node::new();
    let to = bundle(&node, "case", &["--ip", "203.0.113.7", "--reveal"]);
    let commands_of = |directory: &Path, name: &str| commands(&directory.join(name));
    for readme in ["README.txt", "LISEZMOI.txt"] {
        for command in commands_of(&to, readme) {
            assert!(succeeds(&command, &to), "{command}");
        }
    }
    let commands = commands_of(&to, "README.txt");
    let (sums, whole) = (&commands[0], &commands[2]);
    // If any byte of any file changes, the whole check fails.
    let copy = node.path("copy");
    for file in files(&to) {
        let _ = fs::remove_dir_all(&copy);
        let copied = Command::new("cp").arg("-r").args([&to, &copy]).status().unwrap();
        assert!(copied.success());
        let changed = copy.join(file.strip_prefix(&to).unwrap());
        let mut bytes = fs::read(&changed).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&changed, bytes).unwrap();
        // The changed script itself may no longer run, which counts as a failure too.
        assert!(!succeeds(whole, &copy) || !succeeds(sums, &copy), "{}", file.display());
    }
    // A line is removed, and somebody without the key recomputes the sums.
    let lines = fs::read_to_string(to.join("lines.log")).unwrap();
    let fewer: String = lines.split_inclusive('\n').skip(1).collect();
    fs::write(to.join("lines.log"), fewer).unwrap();
    assert!(!succeeds(sums, &to));
    assert!(succeeds(
        "find . -type f ! -name 'SHA256SUMS*' | sed 's|^./||' | xargs sha256sum > SHA256SUMS",
        &to
    ));
    assert!(succeeds(sums, &to) && !succeeds(&commands[1], &to) && !succeeds(whole, &to));
}

#[test]
fn nothing_found_is_an_answer() {
    let node = Node::new();
    let to = bundle(&node, "case", &["--ip", "192.0.2.99"]);
    assert_eq!(fs::read(to.join("lines.log")).unwrap(), b"");
    assert_eq!(rows(&to).len(), 1);
    for (readme, says) in [("README.txt", "NO LINE WAS FOUND"), ("LISEZMOI.txt", "AUCUNE LIGNE N'A")] {
        assert!(fs::read_to_string(to.join(readme)).unwrap().contains(says));
        for command in commands(&to.join(readme)) {
            assert!(succeeds(&command, &to), "{command}");
        }
    }
}

#[test]
fn what_is_missing_is_no_answer() {
    let node = Node::new();
    let sealed =
        files(&node.path("srv/archive")).into_iter().find(|file| arg(file).contains("class=connection"));
    let sealed = sealed.unwrap();
    let name = sealed.strip_prefix(node.path("srv/archive")).unwrap();
    fs::rename(&sealed, node.path("elsewhere")).unwrap();
    let nobody = ["--ip", "192.0.2.99"];
    for command in [&["replay"][..], &["subject", "access"], &["subject", "affected"]] {
        let asked: &[&str] = if command[0] == "replay" { &nobody } else { &["--case", "DSR-1"] };
        let whom: &[&str] = if command.last() == Some(&"access") { &nobody } else { &[] };
        let period = if command[0] == "replay" { &[][..] } else { &PERIOD };
        let told = node.desk(command, &[asked, whom, period].concat());
        let message = text(&told.stderr);
        assert_eq!(told.status.code(), Some(1), "{command:?}: {message}");
        assert!(
            message.contains("warning[P18]: 1 segment missing") && message.contains(arg(name)),
            "{message}"
        );
    }
    let to = node.path("case");
    let made = node.desk(&["replay"], &[&["--bundle", arg(&to)], &CASE[..], &PERIOD, &nobody].concat());
    assert_eq!(made.status.code(), Some(1), "{}", text(&made.stderr));
    for (readme, missing, answer) in [
        ("README.txt", "Missing: ", "NO LINE WAS FOUND"),
        ("LISEZMOI.txt", "Manquants : ", "AUCUNE LIGNE N'A"),
    ] {
        let readme = fs::read_to_string(to.join(readme)).unwrap();
        assert!(
            readme.contains(missing) && readme.contains(arg(name)) && !readme.contains(answer),
            "{readme}"
        );
        assert!(commands(&to.join("README.txt")).iter().all(|command| succeeds(command, &to)));
    }
    // Another class is whole, and so is everything once the files are back.
    node.answer(&["replay"], &[&nobody[..], &["--class", "support-ticket"]].concat(), 0);
    fs::rename(node.path("elsewhere"), &sealed).unwrap();
    node.answer(&["replay"], &nobody, 0);
    // Purged lines do not count as missing.
    let purged = node.run(&[
        "purge",
        "--archive",
        arg(&node.path("srv")),
        "--now",
        "2031-01-01T00:00:00Z",
        "--confirm-clock",
    ]);
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
    let srv = node.path("srv");
    let after = node.run(&["replay", "--archive", arg(&srv), "--now", "2031-01-01T00:00:00Z"]);
    assert_eq!(after.status.code(), Some(0), "{}", text(&after.stderr));
}

#[test]
fn a_bundle_demands_a_case_a_basis_and_a_place_of_its_own() {
    let node = Node::new();
    let to = node.path("case");
    let name = ["--bundle", arg(&to), "--ip", "203.0.113.7"];
    for options in [&CASE[..], &PERIOD[..], &[&CASE[..2], &PERIOD[..]].concat()] {
        let refused = node.desk(&["replay"], &[&name, options].concat());
        assert_eq!(refused.status.code(), Some(2), "{options:?}");
        assert!(text(&refused.stderr).starts_with("error[P11]"), "{}", text(&refused.stderr));
        assert!(!to.exists());
    }
    fs::create_dir(&to).unwrap();
    let refused = node.desk(&["replay"], &[&name[..], &CASE, &PERIOD].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).starts_with("error[B01]"), "{}", text(&refused.stderr));
    // Something else has the name of the unfinished bundle.
    fs::rename(&to, node.path("case.partial")).unwrap();
    fs::write(node.path("case.partial/notes.txt"), "mine").unwrap();
    let refused = node.desk(&["replay"], &[&name[..], &CASE, &PERIOD].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("case.partial"), "{}", text(&refused.stderr));
    assert_eq!(node.ledger().iter().filter(|(event, _)| event == "access-refused").count(), 5);
}

/// A bundle that is stopped, or that runs out of room, leaves nothing.
#[test]
fn what_does_not_become_whole_is_removed() {
    let node = Node::new();
    let line = |number: usize| {
        format!(
            "Nov 23 10:{:02}:{:02} web1 sshd[1]: from 203.0.113.7 n={number}\n",
            number / 6000,
            number / 100 % 60
        )
    };
    let many: String = (0..240_000).map(line).collect();
    node.archive("2026-11-23T09:40:00Z", &many);
    let (srv, identity, to) = (node.path("srv"), node.identity(), node.path("case"));
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    for (encrypted, left) in [(false, "case.partial"), (true, "case.partial.lines.log")] {
        let mut arguments =
            vec!["replay", "--archive", arg(&srv), "--now", LATER, "--identity", arg(&identity)];
        arguments.extend(["--ip", "203.0.113.7", "--bundle", arg(&to)]);
        arguments.extend(CASE.iter().chain(&PERIOD));
        if encrypted {
            arguments.extend(["--bundle-recipient", &recipient]);
        }
        let mut child = node.command(&arguments).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !node.path(left).exists() {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline);
        }
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).starts_with("error[P17]"), "{}", text(&output.stderr));
        let names = fs::read_dir(node.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with("case")));
        let (event, done) = node.ledger().pop().unwrap();
        assert_eq!((event.as_str(), &done["complete"]), ("access-done", &false.into()));
    }
}

#[test]
fn what_a_killed_process_left_is_removed_by_the_next_and_nothing_else_is() {
    let node = Node::new();
    let partial = node.path("case.partial");
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let left = |name: &str| {
        fs::create_dir_all(node.path(name).parent().unwrap()).unwrap();
        fs::write(node.path(name), "203.0.113.7\n").unwrap();
    };
    for (encrypted, names) in [
        (false, &["case.partial/lines.log", "case.partial/lines.csv", "case.partial/proof/keys/a.pem"][..]),
        (true, &["case.partial.lines.log", "case.partial.lines.csv", "case.partial"]),
    ] {
        let to = node.path("case");
        let options = if encrypted { vec!["--bundle-recipient", &*recipient] } else { vec![] };
        let bundle = ["--ip", "203.0.113.7", "--bundle", arg(&to)];
        let run = || node.desk(&["replay"], &[&bundle[..], &options, &CASE, &PERIOD].concat());
        names.iter().copied().for_each(left);
        // Another process is at work there.
        let lines = fs::File::open(node.path(names[0])).unwrap();
        lines.lock().unwrap();
        assert_eq!(run().status.code(), Some(2));
        assert!(names.iter().all(|name| node.path(name).exists()));
        drop(lines);
        let output = run();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains("note: removed what a run that was killed left"), "{told}");
        assert!(to.exists() && !partial.exists() && !names.iter().any(|name| node.path(name).exists()));
        if encrypted { fs::remove_file(&to).unwrap() } else { fs::remove_dir_all(&to).unwrap() }
    }
    // A bundle that already has its sums may be whole.
    ["case.partial/lines.log", "case.partial/SHA256SUMS"].into_iter().for_each(left);
    let to = node.path("case");
    let refused = node.desk(&["replay"], &[&["--bundle", arg(&to)][..], &CASE, &PERIOD].concat());
    assert!(text(&refused.stderr).starts_with("error[B01]") && partial.join("lines.log").exists());
}

#[test]
fn one_file_for_an_age_recipient() {
    let node = Node::new();
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let to = bundle(&node, "case.tar.age", &["--ip", "203.0.113.7", "--bundle-recipient", &recipient]);
    let decrypted = age::decrypt(&identity, &fs::read(&to).unwrap()).unwrap();
    fs::write(node.path("case.tar"), decrypted).unwrap();
    assert!(succeeds("tar -xf case.tar", &node.path("")));
    let directory = node.path("bundle");
    for command in commands(&directory.join("README.txt")) {
        assert!(succeeds(&command, &directory), "{command}");
    }
}

/// Within the archive, anything that looks for segments would trip over a bundle, and no purge would ever
/// remove it.
#[test]
fn a_bundle_lies_outside_of_the_archive() {
    let node = Node::new();
    std::os::unix::fs::symlink(node.path("srv/vault"), node.path("link")).unwrap();
    for within in ["srv/case", "srv/archive/case", "srv/vault/case", "srv/intermediate/case", "link/case"] {
        let to = node.path(within);
        let options = [&["--bundle", arg(&to)], &CASE[..], &PERIOD[..]].concat();
        let refused = node.desk(&["replay"], &options);
        let told = text(&refused.stderr);
        assert_eq!((refused.status.code(), to.exists()), (Some(2), false), "{told}");
        assert!(told.starts_with("error[C06]: the output would lie in the archive"), "{told}");
    }
    assert_eq!(fs::read_dir(node.path("srv")).unwrap().count(), 2, "segments and vaults alone");
    node.verify();
    bundle(&node, "case", &[]);
}
