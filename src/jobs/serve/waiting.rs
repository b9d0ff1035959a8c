//! What a sidecar says while it waits for its state directory. Lines that came over plain connections are sent once: to end
//! would lose those that are on their way.

use crate::primitives::diag::{Code, Diagnostic};
use std::io;
use std::path::Path;

/// What to say while lines wait for a key or an entry of the ledger, which cannot be written in `directory`.
#[must_use]
pub fn state_takes_nothing(directory: &Path, why: &io::Error) -> Diagnostic {
    Diagnostic::new(&WAITS, "the disk of the state directory takes nothing: lines wait until it does")
        .at(directory.display().to_string())
        .because(why.to_string())
        .hint("make room, or mount it writable: it goes on by itself")
}

/// J02: lines wait for the disk of the state directory.
pub static WAITS: Code = Code {
    id: "J02",
    title: "lines wait for the state directory",
    text: "\
What it means
  The disk of the state directory is full or has become read-only, and a sidecar needs a key of a new day, an entry in
  the ledger, or a line that is too long is to be sealed. It tries again twice a second, and says so once a minute.

Why it matters
  Without keys nothing can be pseudonymised, and without the ledger nothing may be sealed; so nothing more is taken than
  fits in memory. Senders over TCP, TLS and RELP wait, and followed files are read later. Datagrams are lost when the
  buffer of the kernel is full; the metrics count them. If the sidecar is stopped meanwhile, it ends with 2, and what
  is on its way is lost for those who do not send again.

Example
  /var/lib on a disk that a core dump has filled

What to do
  Make room, or mount the disk writable: the sidecar goes on by itself. A new day needs about 16 KiB. Do not restart it
  meanwhile. Give the state directory a small disk of its own.

References
  docs/archive.md; docs/inputs.md",
};
