//! The commands of the pages for the legal desk, run as they are printed, each page over an archive of its
//! own.

use super::node::{LATER, Node, arg, text};
use age::secrecy::ExposeSecret as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the blocks of shell commands of a page, in order.
fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new("docs").join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    // age itself is a tool of the custodian, which not every machine that runs this test has.
    let is_ours = |line: &&str| !line.starts_with("age ");
    blocks.map(|block| block.lines().filter(is_ours).collect::<Vec<_>>().join("\n")).collect()
}

/// Replaces the places and keys named in a page by those of this test.
fn here(node: &Node, recipient: &str, block: &str) -> String {
    block
        .replace("/srv/log", arg(&node.path("srv")))
        .replace("/var/lib/oubliette", arg(&node.path("state")))
        .replace("--identity identity-1.txt", &format!("--identity '{}'", arg(&node.identity())))
        .replace("age1...", recipient)
}

/// Returns the recipient of an identity file.
fn recipient_of(identity: &Path) -> String {
    let identity = std::fs::read_to_string(identity).unwrap();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    secret.parse::<age::x25519::Identity>().unwrap().to_public().to_string()
}

fn run(node: &Node, script: &str) -> String {
    let prelude = format!(
        "set -e\noubliette() {{ '{}' \"$@\" --state-dir '{}' --now {LATER}; }}\n\
         STOLEN={}\n\
         END=$(oubliette ledger verify --json | sed 's/.*\"end\":\"\\([^\"]*\\)\".*/\\1/')\n",
        env!("CARGO_BIN_EXE_oubliette"),
        arg(&node.path("state")),
        recipient_of(&node.identity()),
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{prelude}{script}")]).current_dir(node.path("")).stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_pages_can_be_pasted() {
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    for page in ["requisition.md", "e-evidence.md", "access-request.md", "breach.md"] {
        let node = Node::new();
        let blocks = blocks(page);
        assert!(blocks.len() >= 3, "{page}");
        for block in blocks {
            run(&node, &here(&node, &recipient, &block));
        }
        node.verify();
    }
}

#[test]
fn an_identity_that_was_stolen_opens_nothing_that_is_written_afterwards() {
    let node = Node::new();
    let (new, new_file) = (age::x25519::Identity::generate(), node.path("new.txt"));
    let mut private = std::fs::OpenOptions::new();
    let mut file = private.write(true).create_new(true).mode(0o600).open(&new_file).unwrap();
    writeln!(file, "{}", new.to_string().expose_secret()).unwrap();
    let page = blocks("breach.md");
    let block = page.iter().find(|block| block.contains("recipients.txt")).unwrap();
    run(&node, &here(&node, &new.to_public().to_string(), block));
    node.archive(
        "2026-11-30T10:05:00Z",
        "Nov 30 11:05:00 web1 sshd[1]: Failed password for root from 203.0.113.7 port 1 ssh2\n",
    );

    // Two days later, when the node no longer has the secret of that day.
    let revealed = |identity: &Path, day: &str| {
        let (srv, period) = (node.path("srv"), ["--from", day, "--to", day]);
        let command =
            ["replay", "--archive", arg(&srv), "--identity", arg(identity), "--now", "2026-12-02T10:00:00Z"];
        let purpose = ["--ip", "203.0.113.7", "--reveal", "--case", "DRILL-2026", "--basis", "60-1/3"];
        let output = node.run(&[&command[..], &purpose, &period].concat());
        (
            output.status.code().unwrap(),
            text(&output.stdout).matches("203.0.113.7").count(),
            text(&output.stderr),
        )
    };
    let (exit, addresses, refusal) = revealed(&node.identity(), "2026-11-30");
    assert!((exit, addresses) == (2, 0) && refusal.contains("error[P13]"), "{exit} {refusal}");
    for identity in [&node.path("state/escrow/identity-2.txt"), &new_file] {
        let (exit, addresses, refusal) = revealed(identity, "2026-11-30");
        assert_eq!((exit, addresses), (0, 1), "{refusal}");
    }
    // Secrets that were wrapped to the old identity before still open with it.
    assert_eq!(revealed(&node.identity(), "2026-11-24").1, 1);
}

#[test]
fn stock_tools_check_what_verify_checks() {
    let node = Node::new();
    let folder = node.path("srv/archive/expires=2027-11-24/class=connection");
    let segment = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let page = blocks("verify.md");
    let [ours, of_segment, of_ledger, report] = &page[..] else { panic!("{page:?}") };
    run(&node, &here(&node, "", ours).replace("SEGMENT", arg(&segment)));

    let said = run(&node, &format!("segment='{}'\n{of_segment}", arg(&segment)));
    let [digest, signed, verdict] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!((digest.len(), digest, verdict), (64, signed, "Signature Verified Successfully"));
    run(&node, &format!("cd '{}'\n{of_ledger}", arg(&node.path("state/ledger"))));
    run(&node, &here(&node, "", report));
    assert!(node.path("report.html").exists());
}
