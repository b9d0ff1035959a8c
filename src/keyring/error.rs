//! Errors of keys, with their diagnostics.

use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::{PUT_BACK, is_full, is_no_file};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use thiserror::Error;

/// An error of the keyring.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file or directory could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The key file does not exist.
    #[error("there is no key file {path}")]
    NoKeyFile {
        /// The path.
        path: PathBuf,
    },
    /// A key was given where the path of its file belongs.
    #[error("a key was given where the path of a key file belongs")]
    Pasted,
    /// Group or others can read a key file or secret.
    #[error("key file {path} can be read by others (mode {mode:04o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Group or others can read a file of the state directory.
    #[error("{path} of the state directory can be read by others (mode {mode:04o})")]
    ExposedState {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Group or others can read an identity file.
    #[error("identity file {path} can be read by others (mode {mode:04o})")]
    ExposedIdentity {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds neither 32 bytes nor 64 hex digits.
    #[error("key file {path} does not hold a 32-byte key")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The key consists of zeros.
    #[error("key file {path} holds only zeros")]
    Zero {
        /// The file.
        path: PathBuf,
    },
    /// The key file is not a regular file.
    #[error("key file {path} is not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Group or others can change the state directory.
    #[error("state directory {path} can be changed by others (mode {mode:04o})")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file of the state directory is damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file to import is not a fleet seed.
    #[error("{path} is no fleet seed")]
    NoSeed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The clock is before the epoch of the chain key.
    #[error("the clock is before the epoch of the fleet seed")]
    ClockBeforeChain {
        /// The epoch of the clock.
        now: String,
        /// The epoch of the chain key.
        chain: String,
    },
    /// A recipient is not an age recipient.
    #[error("{unit} {number} of {path} is no age recipient")]
    Recipient {
        /// The file, or the option.
        path: PathBuf,
        /// What is counted: lines of a file, or recipients.
        unit: &'static str,
        /// Which one, counted from 1.
        number: usize,
    },
    /// age refused to encrypt or decrypt.
    #[error("cannot {action} a secret with age")]
    Age {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of age.
        reason: String,
    },
    /// The file is not an identity file.
    #[error("{path} is no age identity")]
    NoIdentityFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret of that epoch is wrapped, and no identity to open the wrap is given.
    #[error("the secret of epoch {epoch} is wrapped, and no escrow identity is given")]
    NoIdentity {
        /// The epoch.
        epoch: String,
    },
    /// There is no wrap of that epoch.
    #[error("no wrapped secret of epoch {epoch}")]
    NoWrap {
        /// The epoch.
        epoch: String,
        /// The directory that was searched.
        path: PathBuf,
    },
    /// The epoch has not begun.
    #[error("epoch {epoch} has not begun: it has no secret yet")]
    NotBegun {
        /// The epoch.
        epoch: String,
    },
    /// The only secret here is that of an epoch of another length, which goes on.
    #[error("the secret of epoch {epoch} is not here, only that of epoch {kept}, of the length `{length}`")]
    OtherEpoch {
        /// The epoch.
        epoch: String,
        /// The epoch of the secret that is here.
        kept: String,
        /// How long that epoch lasts.
        length: &'static str,
    },
    /// Key files are rotated by their owners, not here.
    #[error("a key file is not rotated here")]
    RotateKeyFile,
    /// A fleet seed is shared by several nodes.
    #[error("a fleet seed cannot be rotated on one node")]
    RotateSeed,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Randomness,
}

impl From<KeyError> for Diagnostic {
    fn from(error: KeyError) -> Self {
        let what = error.to_string();
        match error {
            KeyError::Io { action, path, source } => {
                let hint = match (action, source.kind()) {
                    (_, ErrorKind::AlreadyExists) => {
                        "name a file that does not exist yet: a secret is not written over".to_owned()
                    }
                    _ if is_no_file(&source) => PUT_BACK.to_owned(),
                    _ if is_full(&source) => {
                        format!("make room on the disk of {}", parent(&path))
                    }
                    (_, ErrorKind::ReadOnlyFilesystem) => {
                        format!("let {} be written to: `mount -o remount,rw`, or name another one", parent(&path))
                    }
                    ("open", _) => format!("check that {} exists and that this user may use it", path.display()),
                    _ => format!("check that {} exists and that this user may use it", parent(&path)),
                };
                Self::new(&IO, what).because(source.to_string()).hint(hint)
            }
            KeyError::NoKeyFile { path } => Self::new(&IO, what)
                .because("oubliette makes no secret in place of a file that you name")
                .hint(format!("correct the path, or make a key: {}", new_key(&path))),
            KeyError::Pasted => Self::new(&IO, what)
                .because("the path has the form of a key: it is not shown, but others may have read it by now")
                .hint("write a new key to a file, `(umask 077; head -c 32 /dev/urandom > FILE)`, and name that file"),
            KeyError::Exposed { path, .. } => Self::new(&EXPOSED, what)
                .because("whoever reads the key can undo every token by trying all addresses")
                .hint(format!(
                    "`chmod 600 {}`; if others may have read it, remove it and make a new one: {}",
                    path.display(),
                    new_key(&path)
                )),
            KeyError::ExposedState { path, .. } => Self::new(&EXPOSED, what)
                .because("the directory holds secrets, which only this user may read")
                .hint(format!(
                    "`chmod 600 {}`; if it is a secret that others may have read, `oubliette keys rotate` replaces it",
                    path.display()
                )),
            KeyError::ExposedIdentity { path, .. } => Self::new(&EXPOSED, what)
                .because("whoever reads it opens every epoch secret that was wrapped to it")
                .hint(format!(
                    "`chmod 600 {}`; if others may have read it, take it as stolen: docs/breach.md",
                    path.display()
                )),
            KeyError::Length { path, bytes } => Self::new(&LENGTH, what)
                .because(format!("it has {bytes} bytes; a key is 32 raw bytes, or 64 hex digits and at most a line end"))
                .hint(format!("make a key: {}", new_key(&path))),
            KeyError::Zero { path } => Self::new(&ZERO, what)
                .because("a key of zeros is no secret")
                .hint(format!("make a key: {}", new_key(&path))),
            KeyError::NotAFile { .. } => Self::new(&NOT_A_FILE, what)
                .because("a key is read from a regular file, whose mode and length can be checked")
                .hint("pass the path of a file with 32 bytes and mode 0600"),
            KeyError::Directory { path, .. } => Self::new(&DIRECTORY, what)
                .because("whoever can change it can put keys of their own into it")
                .hint(format!("`chmod 700 {}`", path.display())),
            KeyError::Damaged { path, reason } => Self::new(&DAMAGED, what)
                .because(reason)
                .hint(format!(
                    "move {} away after looking at it; the next start makes what is missing",
                    path.display()
                )),
            KeyError::NoSeed { reason, .. } => Self::new(&DAMAGED, what)
                .because(reason)
                .hint("give the file that `oubliette keys seed new` wrote, or a whole copy of it"),
            KeyError::ClockBeforeChain { now, chain } => Self::new(&CLOCK, what)
                .because(format!("the clock says {now}, the chain has gone on to {chain} and cannot go back"))
                .hint("set the clock right, or import the fleet seed again: `oubliette keys seed import FILE`"),
            KeyError::Recipient { .. } => Self::new(&RECIPIENT, what)
                .because("it starts with `age1` and is what `age-keygen` or a plugin printed as public key")
                .hint("correct or remove the line; `oubliette init` makes two good ones"),
            KeyError::Age { path, reason, .. } => Self::new(&AGE, what)
                .at(path.display().to_string())
                .because(reason)
                .hint("use an identity of one of the recipients the secret was wrapped to: `oubliette keys list`"),
            KeyError::NoIdentityFile { reason, .. } => Self::new(&AGE, what)
                .because(reason)
                .hint("name the file of a custodian, in which a line begins with `AGE-SECRET-KEY-1` or `AGE-PLUGIN-`: `identity-1.txt`, if `oubliette init` made it; recipients open nothing"),
            KeyError::NoIdentity { .. } => Self::new(&AGE, what)
                .because("its epoch is over: the node has only the copy that is wrapped to the escrow recipients")
                .hint("ask a custodian to run it with `--identity FILE`"),
            KeyError::NoWrap { path, .. } => Self::new(&NO_WRAP, what)
                .at(path.display().to_string())
                .because("its secret was never escrowed, or its wraps were moved elsewhere")
                .hint("copy the wraps of that epoch back into the directory; `oubliette keys list` shows epochs"),
            KeyError::NotBegun { .. } => Self::new(&NO_WRAP, what)
                .because("a secret is made when its epoch begins, and nothing was pseudonymised under it before")
                .hint("name the day of the lines; if it is right, check the clock of this machine"),
            KeyError::OtherEpoch { length, .. } => Self::new(&NO_WRAP, what)
                .because("lines are filtered with another `epoch` than this command has, or no line came since")
                .hint(format!("`--epoch {length}`, or name the configuration of the filter with `--config`")),
            KeyError::RotateKeyFile => Self::new(&ROTATE, what)
                .because("the file holds one fixed epoch, and only its owner can replace it")
                .hint("write a new key file and restart the filters with it"),
            KeyError::RotateSeed => Self::new(&ROTATE, what)
                .because("the other nodes would go on with the old one, and tokens would no longer be equal")
                .hint("make a new seed with `oubliette keys seed new FILE` and import it on every node"),
            KeyError::Randomness => Self::new(&RANDOMNESS, what)
                .because("getrandom(2) failed")
                .hint("start later in the boot, or pass a key with `--key-file`"),
        }
    }
}

/// Returns the command that makes a key which nobody else can read.
fn new_key(path: &std::path::Path) -> String {
    format!("`(umask 077; head -c 32 /dev/urandom > {})`", path.display())
}

fn parent(path: &std::path::Path) -> String {
    let parent = path.parent().unwrap_or(path);
    // A bare file name is in the current directory.
    if parent.as_os_str().is_empty() {
        "the current directory".to_owned()
    } else {
        parent.display().to_string()
    }
}

/// All error codes of this module.
pub const CODES: &[&Code] = &[
    &IO,
    &EXPOSED,
    &LENGTH,
    &ZERO,
    &NOT_A_FILE,
    &DIRECTORY,
    &DAMAGED,
    &CLOCK,
    &RECIPIENT,
    &AGE,
    &NO_WRAP,
    &ROTATE,
    &RANDOMNESS,
];

static IO: Code = Code {
    id: "K01",
    title: "a key file or the state directory cannot be used",
    text: "\
What it means
  oubliette could not open, read, write or sync a file that holds a secret.

Why it matters
  Without a secret there are no tokens. Rather than let identifiers through in clear, oubliette
  stops.

Example
  oubliette filter --state-dir /var/lib/oubliette    run by a user who may not write there

What to do
  - Permissions: run the command as the user who owns the state directory, or name another one with
    `--state-dir DIR`.
  - Disk full: make room. A new epoch needs a few hundred bytes.
  - Key file missing: `(umask 077; head -c 32 /dev/urandom > key)`

References
  docs/keys.md",
};

/// K02: others can read a secret.
pub static EXPOSED: Code = Code {
    id: "K02",
    title: "a key can be read by others",
    text: "\
What it means
  The mode of a secret file lets its group or everybody read it. oubliette refuses such a key file,
  and such a seed to import. It only warns about an identity file without a passphrase, and about
  the private keys of TLS and the Kafka settings that the configuration of `serve` names; of these,
  the group may read a file that belongs to root.

Why it matters
  A token is an HMAC: anybody who has the key can try all 4,294,967,296 IPv4 addresses in minutes,
  and so name everybody in the logs. Anybody who has an identity can open every epoch secret that
  was wrapped to it.

Example
  -rw-r--r-- 1 root root 32 key

What to do
  1. `chmod 600 key`; of a file of root that `serve` reads as another user, `chgrp` it to that
     user's group and `chmod 640` it.
  2. If somebody else may have read a key file of oubliette, make a new one:
     `rm key; (umask 077; head -c 32 /dev/urandom > key)`
  3. If somebody else may have read an identity, treat it as stolen: follow docs/breach.md.
  4. If somebody else may have read a private key of TLS, have its certificate revoked and a new one
     issued. If they may have read a password for Kafka, set another one at the brokers and in the
     file. Do not write a key of oubliette over either.

References
  ENISA, Pseudonymisation techniques and best practices (2019); GDPR art. 32(1)(a)",
};

static LENGTH: Code = Code {
    id: "K03",
    title: "a key has the wrong length",
    text: "\
What it means
  A key file must hold 32 raw bytes, or 64 hex digits with or without a line end. This one holds
  something else.

Why it matters
  Some tools silently pad a short key with zeros, which makes it weak. oubliette refuses it.

Example
  echo secret > key

What to do
  Make a key: `(umask 077; head -c 32 /dev/urandom > key)`

References
  RFC 2104, 3: keys shorter than the hash's output weaken HMAC",
};

static ZERO: Code = Code {
    id: "K04",
    title: "a key holds only zeros",
    text: "\
What it means
  All 32 bytes of the key are zero.

Why it matters
  Everybody can guess such a key. A failed copy or an empty disk block leaves one.

Example
  head -c 32 /dev/zero > key

What to do
  Make a key: `(umask 077; head -c 32 /dev/urandom > key)`

References
  NIST SP 800-133r2, 4: keys come from a random bit generator",
};

static NOT_A_FILE: Code = Code {
    id: "K05",
    title: "a key is not in a regular file",
    text: "\
What it means
  The path given with `--key-file` is a directory, a pipe or a device.

Why it matters
  oubliette checks the mode of the key and reads it again at every start. Neither works with a pipe.

Example
  --key-file /dev/urandom

What to do
  Write the key to a file: `(umask 077; head -c 32 /dev/urandom > key)`

References
  docs/keys.md",
};

static DIRECTORY: Code = Code {
    id: "K06",
    title: "the state directory can be changed by others",
    text: "\
What it means
  The mode of the state directory lets its group or everybody write to it.

Why it matters
  They could replace the secret of the day by one they know, and then read every token.

Example
  drwxrwxr-x 5 root adm 4096 /var/lib/oubliette

What to do
  `chmod 700 /var/lib/oubliette`

References
  GDPR art. 32(1)(b)",
};

static DAMAGED: Code = Code {
    id: "K07",
    title: "a file of the state directory is damaged",
    text: "\
What it means
  A secret, the fleet chain or the recipients file does not have the form that oubliette writes.

Why it matters
  A guess could give other tokens for the same person, or tokens that nobody can ever turn back. So
  nothing starts.

Example
  keys/epoch-2026-11-23.secret with 7 bytes, after a copy that broke off

What to do
  1. Restore the file from a copy.
  2. Without a copy, move the file away. The next start makes a new secret; from then on, tokens
     differ.

References
  docs/keys.md",
};

static CLOCK: Code = Code {
    id: "K08",
    title: "the clock is before the fleet chain",
    text: "\
What it means
  The chain key of the fleet seed has moved on to a later epoch than the clock shows.

Why it matters
  The chain moves forwards only, so that a stolen node cannot read its past. The keys of earlier
  epochs are gone.

Example
  a machine that starts with its clock in 1970

What to do
  1. Set the clock.
  2. If a wrong clock has moved the chain into the future, import the seed again:
     `oubliette keys seed import FILE`

References
  C(e+1) = HKDF(C(e), \"oubliette/1/next\"); docs/keys.md",
};

static RECIPIENT: Code = Code {
    id: "K09",
    title: "not an age recipient",
    text: "\
What it means
  A line of recipients.txt, or the value of `--recipient`, is neither an X25519 recipient (age1...)
  nor one of a plugin.

Why it matters
  oubliette wraps every epoch secret to all recipients before it uses it. If it cannot use one of
  them, it does not start.

Example
  an identity (AGE-SECRET-KEY-1...) pasted where its public key belongs

What to do
  Paste the line that `age-keygen` prints after \"Public key:\".

References
  age-encryption.org/v1",
};

static AGE: Code = Code {
    id: "K10",
    title: "age cannot wrap or unwrap a secret",
    text: "\
What it means
  age could not open a wrapped secret with the identity given, or could not wrap a secret.

Why it matters
  Without the secret of a past epoch, nobody can compute its tokens again.

Example
  an identity that was not among the recipients on that day

What to do
  - Try the other identity.
  - If it belongs to a plugin, install the plugin on this machine (`age-plugin-NAME` on the PATH).

References
  age-encryption.org/v1; C2SP age-plugin",
};

static NO_WRAP: Code = Code {
    id: "K11",
    title: "no wrapped secret of that epoch",
    text: "\
What it means
  The directory `wraps` holds no secret of the epoch that you asked for, or that epoch has not
  begun, or the secret that is here belongs to an epoch of another length. The message says which.

Why it matters
  The node erases a secret when its epoch ends. After that, only a wrap can bring it back.

Example
  a day on which oubliette ran without escrow recipients
  a day whose archived lines have all expired, so that `oubliette purge` erased its wrap

What to do
  Look for the wraps in the backup of the state directory. If oubliette had no escrow recipients on
  that day, nobody can turn its tokens back.

References
  docs/keys.md",
};

static ROTATE: Code = Code {
    id: "K12",
    title: "this secret is not rotated here",
    text: "\
What it means
  `oubliette keys rotate` replaces a random secret of this node. A key file or a fleet seed has
  other users too.

Why it matters
  If one node changed its secret alone, it would give other tokens for the same person.

Example
  oubliette keys rotate on a node that imported a fleet seed

What to do
  Fleet seed:

  1. On one machine: `oubliette keys seed new FILE`
  2. On all machines: `oubliette keys seed import FILE`

  Key file: write a new one and restart the filters with it.

References
  docs/keys.md",
};

static RANDOMNESS: Code = Code {
    id: "K13",
    title: "no random bytes",
    text: "\
What it means
  The operating system refused to give random bytes.

Why it matters
  A secret that is not random is not secret.

Example
  a container whose seccomp profile forbids getrandom(2)

What to do
  Allow getrandom(2); or make the key on another machine and pass it with `--key-file FILE`.

References
  getrandom(2)",
};
