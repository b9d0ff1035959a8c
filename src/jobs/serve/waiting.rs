//! What a sidecar reports while it waits for its state directory. Lines over plain connections are sent only
//! once, so ending would lose those in transit.

use crate::primitives::diag::{Code, Diagnostic};
use std::io;
use std::path::Path;

/// Returns the warning that lines wait for a key or an entry of the ledger that cannot be written to
/// `directory`.
#[must_use]
pub fn state_takes_nothing(directory: &Path, why: &io::Error) -> Diagnostic {
    Diagnostic::new(&WAITS, "the disk of the state directory cannot be written: lines wait until it can")
        .at_path(directory, why)
        .hint("make room, or mount it writable: it goes on by itself")
}

/// J02: lines wait for the disk of the state directory.
pub static WAITS: Code = Code {
    id: "J02",
    title: "lines wait for the state directory",
    text: "\
What it means
  The disk of the state directory is full or has become read-only. `serve` has to write there: the
  key of a new day, an entry in the ledger, or a line for quarantine. It tries again twice a second,
  and reports it once a minute.

Why it matters
  Without keys, oubliette can pseudonymise nothing; without the ledger, it may seal nothing. So it
  takes only as many lines as fit in memory. Senders over TCP, TLS and RELP wait, and `serve` reads
  followed files later. When the buffer of the kernel is full, datagrams are lost; the metrics count
  them. If you stop `serve` in that state, it ends with exit code 2. Lines in transit are then lost,
  unless their senders send again.

Example
  /var/lib on a disk that a core dump has filled

What to do
  1. Do not restart `serve`.
  2. Make room, or mount the disk writable. A new day needs about 16 KiB. `serve` then goes on by
     itself.
  3. For the future, give the state directory a small disk of its own.

References
  docs/archive.md; docs/inputs.md",
};
