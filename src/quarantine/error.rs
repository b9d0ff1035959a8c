//! What can go wrong with the quarantine. Each of these stops the filter: a line that can neither go
//! out nor be sealed must not be passed over.

use crate::primitives::diag::{Code, Diagnostic};
use std::io;
use std::path::PathBuf;

/// A line could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// The directory could not be made or made private.
    #[error("cannot prepare the quarantine directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The sealed line could not be written.
    #[error("cannot seal a line that is too long to {}", path.display())]
    Seal {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The identity of the quarantine could not be read or made.
    #[error("cannot use the quarantine identity {}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The identity of the quarantine is readable by others.
    #[error("the quarantine identity {} is open to others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// age refuses to encrypt to these recipients.
    #[error("cannot encrypt to the escrow recipients")]
    Recipients {
        /// What age says.
        source: age::EncryptError,
    },
    /// Sealed lines could not be listed or removed.
    #[error("cannot {action} lines in quarantine")]
    Shelf {
        /// What was to be done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The keyed hash did not yield a token.
    #[error("the keyed hash of a quarantined line is not a token")]
    Token,
}

impl From<QuarantineError> for Diagnostic {
    fn from(error: QuarantineError) -> Self {
        let what = error.to_string();
        match error {
            QuarantineError::Directory { path, source } => Self::new(&DIRECTORY, what)
                .at(path.display().to_string())
                .because(source.to_string())
                .hint("the state directory must exist and belong to the user who runs the filter"),
            QuarantineError::Seal { path, source } => Self::new(&SEAL, what)
                .at(path.display().to_string())
                .because(source.to_string())
                .hint("make room or make it writable, then start again; or raise `max_line_bytes`"),
            QuarantineError::Identity { path, source } => Self::new(&IDENTITY, what)
                .at(path.display().to_string())
                .because(source.to_string())
                .hint("put the file back, or move it away to have a new one made"),
            QuarantineError::Exposed { path, mode } => Self::new(&EXPOSED, what)
                .at(path.display().to_string())
                .because(format!("its mode is {mode:04o}: others may have copied it"))
                .hint("`chmod 600` it if nobody did; otherwise move it away to have a new one made"),
            QuarantineError::Recipients { source } => Self::new(&RECIPIENTS, what).because(source.to_string()),
            QuarantineError::Shelf { path, source, .. } => Self::new(&SHELF, what)
                .at(path.display().to_string())
                .because(source.to_string())
                .hint("run it as the user who owns the state directory; then again: it goes on where it stopped"),
            QuarantineError::Token => Self::new(&SEAL, what).because("this is a defect of oubliette"),
        }
    }
}

/// The codes of this area.
pub const CODES: &[&Code] = &[&DIRECTORY, &SEAL, &IDENTITY, &EXPOSED, &RECIPIENTS, &SHELF];

static DIRECTORY: Code = Code {
    id: "Q01",
    title: "the quarantine directory cannot be used",
    text: "\
What it means
  A line was longer than `max_line_bytes` and had to be sealed, but `<state>/quarantine` could not be
  created with mode 0700, or could not be made private.

Why it matters
  The line can neither go out (it cannot be searched for identifiers) nor be kept. The filter stops
  rather than lose it.

Example
  oubliette filter --state-dir /var/lib/oubliette     # which belongs to root, run as www-data

What to do
  Give the state directory to the user who runs the filter, or name another with `--state-dir`. Then
  send the input again from the line that is missing.

References
  mkdir(2), section ERRORS.",
};

static SEAL: Code = Code {
    id: "Q02",
    title: "a line that is too long cannot be sealed",
    text: "\
What it means
  A line was longer than `max_line_bytes`, and writing its sealed copy failed: the disk is full, the
  file system is read-only, or the device reported an error.

Why it matters
  A sealed line counts as kept only once it is on disk under its name. Going on would lose it without
  a trace, so the filter stops. Nothing of the line has gone out, and no half-written copy stays. `serve` does not stop for
  that: it waits for room (J02), and ends so only if it is told to stop meanwhile.

Example
  a client sends 5 MiB without a newline while /var/lib is full

What to do
  Make room or mend the disk, then start again. If lines of that length are normal for this source,
  raise `max_line_bytes`: they are then searched and pseudonymised like all others.

References
  write(2), fsync(2), section ERRORS.",
};

static IDENTITY: Code = Code {
    id: "Q03",
    title: "the quarantine identity cannot be used",
    text: "\
What it means
  No escrow recipient is set, so over-long lines are sealed to the identity in
  `<state>/quarantine/identity.txt`. That file cannot be read or made, or holds no age identity.

Why it matters
  Without a recipient nothing can be sealed, and the line would be lost.

Example
  identity.txt was emptied by a full disk

What to do
  Put the file back from where it was moved to, if lines sealed to it are still to be opened. Otherwise
  move it away: a new one is made for the next line. Better: name escrow recipients (`oubliette init`),
  whose identities are not on this machine.

References
  age-encryption.org/v1; age-keygen(1).",
};

static EXPOSED: Code = Code {
    id: "Q04",
    title: "the quarantine identity is open to others",
    text: "\
What it means
  `<state>/quarantine/identity.txt` opens every line sealed to it, and its permissions let the group
  or others read or write it.

Why it matters
  Whoever copied it can read the quarantined lines, which hold identifiers in clear.

Example
  chmod -R a+r /var/lib/oubliette

What to do
  If nobody can have copied it, `chmod 600` it. Otherwise move it away, so that a new one is made, and
  treat the lines sealed so far as disclosed (GDPR 33 and 34).

References
  GDPR 32(1)(a); age-keygen(1).",
};

static RECIPIENTS: Code = Code {
    id: "Q05",
    title: "a line that is too long cannot be sealed to these recipients",
    text: "\
What it means
  age refuses to encrypt to the escrow recipients together: post-quantum and classic ones do not mix.

Why it matters
  Without recipients the line can neither be sealed nor go out, so the filter stops rather than lose it.

Example
  recipients = [\"age1...\", \"age1tagpq1...\"]

What to do
  Name recipients of one sort.

References
  age-encryption.org/v1, section \"Recipient stanza\".",
};

static SHELF: Code = Code {
    id: "Q06",
    title: "lines in quarantine cannot be purged",
    text: "\
What it means
  A sealed line in `<state>/quarantine`, or that directory, could not be read, removed or synced.

Why it matters
  A sealed line is kept as long as the placeholder that went out for it. One that stays longer is kept too long,
  and opens with an escrow identity alone.

Example
  oubliette purge    run by a user who may not write to the state directory

What to do
  Run it as the user who owns the state directory; mend the disk if it is that. Then run `oubliette purge` again:
  it goes on where it stopped.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};
