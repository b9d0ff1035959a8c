//! Reports with a wrong place: a directory that is not an archive, an output file that is not a report.

use super::node::{LATER, Node, arg, text};
use std::fs;
use std::path::Path;

fn report(node: &Node, archive: &Path, out: &Path, options: &[&str]) -> (Option<i32>, String, String) {
    let command = ["report", "--archive", arg(archive), "--out", arg(out), "--now", LATER];
    let output = node.run(&[&command[..], options].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Otherwise an empty page would be filed as though nothing were kept.
#[test]
fn a_directory_without_a_segment_needs_a_human_if_the_ledger_knows_of_some() {
    let node = Node::new();
    let (empty, stdout) = (node.path("empty"), Path::new("-"));
    fs::create_dir(&empty).unwrap();
    for wrong in [&empty, &node.path("srv/archive")] {
        let (exit, made, told) = report(&node, wrong, stdout, &["--json"]);
        assert_eq!((exit, told.contains("C12")), (Some(1), true), "{told}");
        assert!(made.contains("no segment lies in") && made.contains("sealed and not purged: 4"), "{made}");
    }
    let (exit, _, told) = report(&node, &node.path("no/such"), stdout, &[]);
    assert_eq!((exit, told.contains("there is no such archive")), (Some(2), true), "{told}");
    assert_eq!(report(&node, &node.path("srv"), stdout, &[]).0, Some(0));
}

/// A timer writes the same name every month; a mistyped name must not overwrite any other file.
#[test]
fn a_report_takes_the_place_of_a_report_and_of_nothing_else() {
    let node = Node::new();
    let (srv, out) = (node.path("srv"), node.path("out"));
    for options in [&[][..], &[], &["--json"], &["--json"], &[]] {
        let (exit, _, told) = report(&node, &srv, &out, options);
        assert_eq!(exit, Some(0), "{told}");
    }
    assert!(fs::read_to_string(&out).unwrap().starts_with("<!DOCTYPE html>"));
    for text in ["notes\n", "<!DOCTYPE html><title>Home</title>", "{\"made\":1}"] {
        fs::write(&out, text).unwrap();
        let (exit, _, told) = report(&node, &srv, &out, &[]);
        assert_eq!((exit, told.contains("error[C02]")), (Some(2), true), "{told}");
        assert!(told.contains("it is no report") && told.contains("`--out`"), "{told}");
        assert_eq!(fs::read_to_string(&out).unwrap(), text);
    }
    // An empty file, as mktemp(1) creates it, and something that is not a regular file.
    fs::write(&out, "").unwrap();
    assert_eq!(report(&node, &srv, &out, &[]).0, Some(0));
    assert_eq!(report(&node, &srv, Path::new("/dev/null"), &[]).0, Some(0));
}
