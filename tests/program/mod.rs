//! Runs a program that is given its whole input and returns its whole output.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Returns the output of `command` for `input`, which may be more than fits into pipes.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that refuses to start closes its input, which is fine.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}
