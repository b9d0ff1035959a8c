//! Segments that are missing.

use super::node::{LATER, Node, PERIOD, arg, text};
use std::fs;
use std::path::PathBuf;
use std::process::Output;

/// Runs a replay with the state directory `state`.
fn replay(node: &Node, state: &str, options: &[&str]) -> Output {
    let (srv, identity, state) = (node.path("srv"), node.identity(), node.path(state));
    let (place, keys) = (["--archive", arg(&srv), "--now", LATER], node.path("state/shred"));
    let who = ["--identity", arg(&identity), "--ip", "203.0.113.7", "--shred-keys", arg(&keys)];
    let state = ["--state-dir", arg(&state)];
    node.bare(&[&["replay"], &place[..], &who, &state, &PERIOD, options].concat()).output().unwrap()
}

/// Returns the file of the connections of the second day.
fn connections(node: &Node) -> PathBuf {
    let folder = node.path("srv/archive/expires=2027-11-25/class=connection");
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn the_command_that_names_what_is_missing_can_be_pasted() {
    let node = Node::new();
    fs::remove_file(connections(&node)).unwrap();
    let told = text(&replay(&node, "state", &[]).stderr);
    let hint = told.split('`').find(|command| command.starts_with("oubliette verify")).unwrap();
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    let verified = node.run(&[&words[..], &["--now", LATER]].concat());
    let named = text(&verified.stdout);
    assert!(
        verified.status.code() == Some(1) && named.contains("expires=2027-11-25/class=connection"),
        "{hint}"
    );
}
