//! The commands of the pages for the legal desk, run as they stand there, each page over an archive of its own.

use super::node::{LATER, Node, arg, text};
use std::path::Path;
use std::process::{Command, Stdio};

/// The blocks of shell commands of a page, in order.
fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new("docs").join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    // age itself is a tool of the custodian, and not of every machine that runs this.
    let is_ours = |line: &&str| !line.starts_with("age ");
    blocks.map(|block| block.lines().filter(is_ours).collect::<Vec<_>>().join("\n")).collect()
}

/// What stands for a place or a key in a page, as it is here.
fn here(node: &Node, recipient: &str, block: &str) -> String {
    block
        .replace("/srv/log", arg(&node.path("srv")))
        .replace("--identity identity-1.txt", &format!("--identity '{}'", arg(&node.identity())))
        .replace("age1...", recipient)
}

fn run(node: &Node, script: &str) {
    let prelude = format!(
        "set -e\noubliette() {{ '{}' \"$@\" --state-dir '{}' --now {LATER}; }}\n\
         END=$(oubliette ledger verify --json | sed 's/.*\"end\":\"\\([^\"]*\\)\".*/\\1/')\n",
        env!("CARGO_BIN_EXE_oubliette"),
        arg(&node.path("state"))
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{prelude}{script}")]).current_dir(node.path("")).stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
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
