//! Errors of the quarantine, with their diagnostics. Each of them stops the filter: a line that can neither
//! be output nor sealed must not be skipped.

use crate::primitives::diag::{Code, Diagnostic};
use std::io;
use std::path::PathBuf;

/// Why a line could not be sealed, or sealed lines could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// The directory could not be created or made private.
    #[error("cannot prepare the quarantine directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The sealed line could not be written.
    #[error("cannot seal a line that is too long to {}", path.display())]
    Seal {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The quarantine identity could not be read or made.
    #[error("cannot use the quarantine identity {}", path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The quarantine identity is readable by others.
    #[error("the quarantine identity {} is open to others (mode {mode:04o})", path.display())]
    Exposed {
        /// The identity file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// age refuses to encrypt to these recipients.
    #[error("cannot encrypt to the escrow recipients")]
    Recipients {
        /// The error of age.
        source: age::EncryptError,
    },
    /// Sealed lines could not be listed, or their removal could not be synced.
    #[error("cannot {action} lines in quarantine")]
    SealedLines {
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
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
                .at_path(path, source)
                .hint("the state directory must exist and belong to the user who runs the filter"),
            QuarantineError::Seal { path, source } => Self::new(&SEAL, what)
                .at_path(path, source)
                .hint("make room or make it writable, then start again; or raise `max_line_bytes`"),
            QuarantineError::Identity { path, source } => Self::new(&IDENTITY, what)
                .at_path(path, source)
                .hint("put the file back, or move it away to have a new one made"),
            QuarantineError::Exposed { path, mode } => Self::new(&EXPOSED, what)
                .at(path.display().to_string())
                .because(format!("its mode is {mode:04o}: others may have copied it"))
                .hint("`chmod 600` it if nobody did; otherwise move it away to have a new one made"),
            QuarantineError::Recipients { source } => Self::new(&RECIPIENTS, what).because(source.to_string()),
            QuarantineError::SealedLines { path, source, .. } => Self::new(&SEALED_LINES, what)
                .at_path(path, source)
                .hint("run it as the user who owns the state directory; then again: it goes on where it stopped"),
            QuarantineError::Token => Self::new(&SEAL, what).because("this is a defect of oubliette"),
        }
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[&DIRECTORY, &SEAL, &IDENTITY, &EXPOSED, &RECIPIENTS, &SEALED_LINES];

static DIRECTORY: Code = Code {
    id: "Q01",
    title: "the quarantine directory cannot be used",
    text: "\
What it means
  A line was longer than `max_line_bytes`, so oubliette had to put it into quarantine. But it could
  not create `<state>/quarantine` with mode 0700, or could not make it private.

Why it matters
  oubliette cannot search such a line for identifiers, so the line must not go out. It cannot store
  it either. So the filter stops rather than lose it.

Example
  oubliette filter --state-dir /var/lib/oubliette     # which belongs to root, run as www-data

What to do
  1. Give the state directory to the user who runs the filter, or name another one with
     `--state-dir DIR`.
  2. Send the input again, from the missing line on.

References
  mkdir(2), section ERRORS.",
};

static SEAL: Code = Code {
    id: "Q02",
    title: "a line that is too long cannot be sealed",
    text: "\
What it means
  A line was longer than `max_line_bytes`. oubliette could not write its encrypted copy into
  quarantine: the disk is full, the file system is read-only, or the device reported an error.

Why it matters
  The line counts as kept only when its copy is on the disk under its name. Going on would lose the
  line without a trace, so the filter stops. No part of the line went out, and no half-written copy
  is left. `serve` does not stop: it waits for room (J02). You see this code there only if you stop
  it meanwhile.

Example
  a client sends 5 MiB without a newline while /var/lib is full

What to do
  1. Make room, or repair the disk.
  2. Start the filter again.
  3. If lines of that length are normal for this source, raise `max_line_bytes`. oubliette then
     searches and pseudonymises them like all others.

References
  write(2), fsync(2), section ERRORS.",
};

static IDENTITY: Code = Code {
    id: "Q03",
    title: "the quarantine identity cannot be used",
    text: "\
What it means
  There are no escrow recipients, so oubliette encrypts over-long lines to the identity in
  `<state>/quarantine/identity.txt`. It cannot read or create that file, or the file holds no age
  identity.

Why it matters
  Without a recipient, oubliette cannot encrypt the line, and would lose it.

Example
  identity.txt was emptied by a full disk

What to do
  - If you still need to open lines that were encrypted to that identity, put the file back.
  - If not, move the file away. oubliette makes a new one for the next line.
  - Better: name escrow recipients, whose identities are not on this machine: `oubliette init`

References
  age-encryption.org/v1; age-keygen(1).",
};

static EXPOSED: Code = Code {
    id: "Q04",
    title: "the quarantine identity is open to others",
    text: "\
What it means
  The identity in `<state>/quarantine/identity.txt` opens every line that was encrypted to it. Its
  permissions let the group or everybody read or write it.

Why it matters
  Anybody who copied it can read the quarantined lines, which hold identifiers in clear.

Example
  chmod -R a+r /var/lib/oubliette

What to do
  - If nobody can have copied it: `chmod 600 /var/lib/oubliette/quarantine/identity.txt`
  - Otherwise, move it away; oubliette makes a new one. Treat the lines quarantined so far as
    disclosed (GDPR 33 and 34).

References
  GDPR 32(1)(a); age-keygen(1).",
};

static RECIPIENTS: Code = Code {
    id: "Q05",
    title: "a line that is too long cannot be sealed to these recipients",
    text: "\
What it means
  age refuses to encrypt to all these escrow recipients together: post-quantum and classic
  recipients do not mix.

Why it matters
  oubliette can neither encrypt the line nor send it out. So the filter stops rather than lose it.

Example
  recipients = [\"age1...\", \"age1tagpq1...\"]

What to do
  Name only recipients of one sort.

References
  age-encryption.org/v1, section \"Recipient stanza\".",
};

/// Q06: lines in quarantine that a purge cannot handle.
pub static SEALED_LINES: Code = Code {
    id: "Q06",
    title: "lines in quarantine cannot be purged",
    text: "\
What it means
  oubliette could not look at a line in `<state>/quarantine`, so it does not know whether the day of
  that line has come. `oubliette purge` names the line, removes the others that are due, and ends with
  exit code 1. Or oubliette could not list or sync that directory.

Why it matters
  A line in quarantine has the same expiry day as its placeholder. After that day, it is kept longer
  than the law allows, and an escrow identity alone opens it.

Example
  oubliette purge    run by a user who may not read the state directory

What to do
  1. Become the user who owns the state directory. If the disk is at fault, repair it.
  2. Run `oubliette purge` again. It goes on where it stopped.

References
  docs/purge.md; GDPR art. 5(1)(e)",
};
