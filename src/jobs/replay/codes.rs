//! The messages of a replay, which name what is missing.

use super::nodes::{MOST_SOUGHT, Missing};
use crate::model::{ClassName, SegmentName};
use crate::primitives::diag::{Code, Diagnostic};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

/// All error codes of this module.
pub const CODES: &[&Code] = &[
    &BAD_QUESTION,
    &NO_GRANT,
    &NO_IDENTITY,
    &WRONG_IDENTITY,
    &NO_SHRED_KEY,
    &NO_ORIGINALS,
    &UNSEALED,
    &STOPPED,
    &MISSING,
    &UNATTRIBUTED,
    &UNLISTED,
];

/// Returns the codes of secrets that nobody has at hand. An identity that does not fit has another.
pub(super) fn of_lost_secrets() -> [&'static str; 2] {
    [NO_IDENTITY.id, NO_SHRED_KEY.id]
}

pub(super) fn no_identity(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "an escrow identity is missing")
        .at(name.to_string())
        .because("its epoch is over and its secret erased, or it was written with another state directory")
        .hint("let the custodian run this with `--identity FILE`, or ask for tokens with `--token`; for today, name the right `--state-dir`")
}

pub(super) fn nobody_opens() -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "an escrow identity is missing")
        .because("to reveal originals takes two parties: this node, and the holder of an identity")
        .hint("let the custodian run this with `--identity FILE`, or with the `--key-file FILE` of the filter if it had one")
}

pub(super) fn no_wrap(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "the secret of an epoch is missing")
        .at(name.to_string())
        .because("the state directory has no wrap of it, and the segment has no vault")
        .hint("name the state directory of the node that wrote it, or leave its days out with `--from` and `--to`")
}

/// Reports a missing or a wrong key file; `another` if one was given.
pub(super) fn key_file(name: &SegmentName, another: bool) -> Diagnostic {
    let why = if another {
        "it is a key file, and another one than that of `--key-file`"
    } else {
        "it is a key file, which its owner keeps: it was never on the node, nor is it wrapped to anybody"
    };
    Diagnostic::new(&NO_IDENTITY, "the secret of an epoch is missing")
        .at(name.to_string())
        .because(why)
        .hint("name the file that the lines were filtered with: `--key-file FILE`; or ask for tokens with `--token`")
}

pub(super) fn wrong_identity(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&WRONG_IDENTITY, "the identity does not open the secret of an epoch")
        .at(name.to_string())
        .because("the secret was wrapped to other recipients")
        .hint("try the other identity; `oubliette keys list` shows to how many each epoch was wrapped")
}

pub(super) fn no_shred_key(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_SHRED_KEY, "the shred key of an expiry day is missing")
        .at(name.to_string())
        .because("it was erased or lost, or this is not the node that wrote the segment")
        .hint("run this on the node, with its state directory, or name its folder `shred` with `--shred-keys DIR`: no backup has shred keys")
}

pub(super) fn foreign_shred_key(vault: &Path) -> Diagnostic {
    Diagnostic::new(&NO_SHRED_KEY, "the shred key that a vault was written under is missing")
        .at(vault.display().to_string())
        .because("no shred key of that day here opens it: it is that of another node, or was lost and another one made")
        .hint("name the folder `shred` of the state directory of its node with `--shred-keys DIR`; if the ledger has `shred-key-lost` of that day, `oubliette explain S03`")
}

pub(super) fn too_many_tokens() -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "there are too many originals to reveal at once")
        .because(format!("lines that workers stored have more than {MOST_SOUGHT} different tokens"))
        .hint("ask for a shorter period, or for fewer classes")
}

/// Reports all tokens that cannot be revealed, and why; the code is that of the first reason.
pub(super) fn not_given_back(missing: &[Missing]) -> Diagnostic {
    let obstacle = missing.iter().find_map(|missing| missing.obstacles.first());
    let tokens: usize = missing.iter().map(|missing| missing.keys.len()).sum();
    let told: Vec<_> = missing.iter().take(MOST_TOLD).map(ToString::to_string).collect();
    let hint = obstacle.and_then(|obstacle| obstacle.hint.clone()).unwrap_or_else(|| NAME_VAULTS.to_owned());
    let more = missing.len() - told.len();
    let more = if more > 0 { format!("; and so at {more} other places") } else { String::new() };
    Diagnostic::new(
        obstacle.map_or(&NO_ORIGINALS, |obstacle| obstacle.code),
        format!("originals of lines that workers stored cannot be given back: of {tokens} different tokens"),
    )
    .because(format!("{}{more}", told.join("; ")))
    .hint(hint)
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: ", self.keys.len(), self.place)?;
        let Some(obstacle) = self.obstacles.first() else {
            return match self.searched {
                0 => f.write_str("no vault of that lies where vaults were looked for"),
                searched => write!(f, "they are in none of {searched} vaults of that, which were opened"),
            };
        };
        let why = obstacle.why.as_deref().unwrap_or(&obstacle.what);
        write!(f, "{why} ({}", obstacle.place.as_deref().unwrap_or(&obstacle.what))?;
        match self.obstacles.len() - 1 {
            0 => f.write_str(")"),
            more => write!(f, ", and {more} more)"),
        }
    }
}

const NAME_VAULTS: &str = "name the vaults of the nodes that wrote the lines with `--vault`, each or a folder of them; what a node wrote \
    with `--escrow none`, or left in clear, can be given back by nobody";

/// The most places listed in one message about tokens without an original.
const MOST_TOLD: usize = 5;

pub(super) fn no_originals(vault: &Path) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "a segment has no originals")
        .at(vault.display().to_string())
        .because("there is no vault: it is elsewhere, or the lines were archived with `--escrow none`")
        .hint("name the folder of vaults with `--vault DIR`; nobody can reveal what was anonymised")
}

/// Reports a search for an IPv6 network in lines that a worker stored: only for the addresses of a network
/// does a search need the vault of the segment before it knows the tokens.
pub(super) fn originals_of_nodes(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "an IPv6 network cannot be looked for in lines that a worker stored")
        .at(name.to_string())
        .because(
            "only the vaults of the nodes, one for each of their segments, say which of its addresses occur",
        )
        .hint("ask for addresses with `--ip`, or ask on the nodes")
}

/// Reports an unknown class without repeating the value, which may be somebody's name, typed after the wrong
/// option.
pub(super) fn unknown_class(number: usize, known: &BTreeSet<&ClassName>) -> Diagnostic {
    let known: Vec<&str> = known.iter().map(|class| class.as_str()).collect();
    Diagnostic::new(&BAD_QUESTION, format!("value {number} of `--class` is a class that nobody knows"))
        .because("neither the policy names it, nor is a segment of the archive of it")
        .hint(format!("the classes are: {}", known.join(", ")))
}

pub(super) fn cannot_look(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "cannot look for a vault")
        .at_path(path, error)
        .hint("mend the disk or the permissions")
}

/// P10: an invalid value of an option.
pub static BAD_QUESTION: Code = Code {
    id: "P10",
    title: "what is asked for is not understood",
    text: "\
What it means
  The value of --ip, --net, --email, --user, --token, --grep, --host or --program does not have the
  form that the option takes. Or no segment has the class given with --class, and the policy does
  not know that class. The message says which value it is. It does not repeat the value, which may
  be an identifier. Or the period of --from and --to ends before it begins, or is in the future
  and no line is of it.

Why it matters
  A search for something that cannot exist finds nothing, and somebody might believe that answer.

Example
  oubliette replay --archive /srv/log --net 203.0.113.0/25

What to do
  Correct the value:
  - --ip: one IPv4 or IPv6 address, in any notation
  - --net: an IPv4 /24 or an IPv6 /64
  - --email: an e-mail address
  - --user: a name
  - --token: a token as it stands in the lines
  - --grep: a regular expression
  - --host, --program: a name with at most one `*`, at its beginning or end
  - --class: a class of the policy or of the archive; the message lists them

References
  docs/replay.md",
};

/// P11: no stated reason.
pub static NO_GRANT: Code = Code {
    id: "P11",
    title: "a case, a legal basis or a period is missing",
    text: "\
What it means
  oubliette reveals originals only for a case, on a legal basis, within a period. You did not state
  one of these. Or the case or the operator contains an address, which the ledger must not hold.

Why it matters
  The ledger records who asked for what, and why. Without that, nobody could tell a requisition from
  curiosity. oubliette opened and printed nothing. The ledger records the refusal.

Example
  oubliette replay --archive /srv/log --ip 203.0.113.7 --reveal --identity identity-1.txt

What to do
  State all of `--case REF`, `--basis TEXT`, `--from` and `--to`. The basis is one of:
  - 60-1, 77-1-1, 99-3 (code de procedure penale). For data of article 60-1-2 (connection logs), add
    the case of that article, 1 to 4: `--basis 60-1/3`
  - EPOC, EPOC-PR (Regulation (EU) 2023/1543)
  - GDPR-15
  - internal

  The commands of `subject` each have a basis of their own, which you can leave out: access GDPR-15,
  erase GDPR-17, restrict GDPR-18, affected GDPR-33 (with `--reveal`: internal).

References
  Code de procedure penale 60-1, 60-1-2, 77-1-1, 99-3; Regulation (EU) 2023/1543, art. 5; GDPR 15.",
};

/// P12: no key of the epoch.
static NO_IDENTITY: Code = Code {
    id: "P12",
    title: "the secret of an epoch is missing",
    text: "\
What it means
  To compute a token of a past epoch, oubliette needs the secret of that epoch. The node no longer
  uses that secret, and erases it when the next `filter` or `purge` runs. A copy is wrapped to the
  escrow recipients. Here, either the identity to unwrap it is missing, or the wrap is. Or the lines
  were filtered with a key file, which only its owner has, or with another state directory.

Why it matters
  The node that writes cannot read its past: that takes a custodian. A search that left such days
  out would look as if they held nothing. So oubliette printed nothing. But if you gave an identity
  and other epochs open, oubliette searches those, names the days it could not search, and ends with
  exit code 1.

Example
  oubliette replay --archive /srv/log --ip 203.0.113.7       on the day after

What to do
  - Ask a custodian to run the command with `--identity FILE`.
  - If the lines were filtered with a key file, add `--key-file FILE`.
  - If the lines are of today, name the state directory of the node with `--state-dir DIR`.
  - If you have none of these, leave out the days of the segment that the message names, with
    `--from` and `--to`.
  - If you have the token itself, search for it with `--token`: that needs no secret.

References
  docs/keys.md; GDPR art. 4(5)",
};

/// P13: an identity that is not the custodian's.
static WRONG_IDENTITY: Code = Code {
    id: "P13",
    title: "the identity opens none of the secrets",
    text: "\
What it means
  The secret of an epoch was wrapped to recipients. The identity that you gave belongs to none of
  them.

Why it matters
  With this identity, oubliette can find and reveal nothing of that epoch. It printed nothing.

Example
  an identity made after that day

What to do
  - Try the other identity. `oubliette keys list` shows to how many recipients each epoch was
    wrapped.
  - If it belongs to a plugin, install the plugin on this machine (`age-plugin-NAME` on the PATH).

References
  age-encryption.org/v1",
};

/// P14: no H.
pub static NO_SHRED_KEY: Code = Code {
    id: "P14",
    title: "the shred key of an expiry day is missing",
    text: "\
What it means
  Two keys open originals: the custodian's identity, and the shred key of the expiry day, which is
  in the state directory of the node. Here, the shred key of that day is missing or does not open
  the vault: it belongs to another node, or the right one was lost.

Why it matters
  When oubliette purges a day, it erases the shred key of that day. From then on, nobody can reveal
  the originals of that day, in any copy. If other vaults open, oubliette reveals their originals,
  leaves the tokens of this one, and ends with exit code 1. If none opens, it prints nothing.

  If the wrap of an epoch is missing as well, nobody can compute its tokens, and oubliette cannot
  search its days for an identifier in clear. It searches the others, names these, and ends with
  exit code 1.

Example
  oubliette replay --reveal over a copy of an archive, with the state directory of another machine

What to do
  - Run the command on the node that wrote the archive.
  - If workers of a fleet stored lines of several nodes, name the folder `shred` of each node's
    state directory with `--shred-keys DIR`. Do not copy these keys: copies would outlive their day.
  - If the day was purged, tell the authority or person who asked. `oubliette ledger show` proves
    when.

References
  docs/purge.md; GDPR art. 17, art. 5(1)(e)",
};

/// P15: no vault.
pub(super) static NO_ORIGINALS: Code = Code {
    id: "P15",
    title: "a segment has no originals",
    text: "\
What it means
  The vault of a segment is not where it should be, or oubliette cannot look for it. Or a worker of
  a fleet stored the line, and none of the vaults that you named has the original.

Why it matters
  Without the vault, oubliette cannot reveal an original. The token stays, and the command ends with
  exit code 1. If oubliette can reveal nothing at all, it prints nothing.

Example
  vaults on another volume that is not mounted

What to do
  - Name the folder of vaults with `--vault DIR`.
  - For lines that a worker stored, name the vaults of the nodes, or a folder that has those of all
    nodes. The message names class, expiry day and epoch.

  Lines that were archived with `--escrow none` have no originals: that is anonymisation.
  Identifiers that a node left in clear and a worker replaced have none either.

References
  docs/archive.md, docs/fleet/README.md",
};

/// P16: lines without a seal.
pub static UNSEALED: Code = Code {
    id: "P16",
    title: "segments that are not sealed yet were left out",
    text: "\
What it means
  A filter is writing to segments of the archive, or a crash left some open. A bundle holds only
  sealed segments, and an erasure changes only sealed ones. So both left these out.

Why it matters
  A bundle made now lacks the lines of the current day. An erasure has not looked at them.

Example
  oubliette replay --archive /srv/log --bundle DIR ...       while a filter runs

What to do
  1. Wait until the day is over, or stop the filter: it then seals its open segments. The next start
     of a filter seals those that a crash left.
  2. Run the command again.

  `oubliette replay` without `--bundle` already finds such lines.

References
  docs/replay.md",
};

/// P17: a replay that ended early.
pub static STOPPED: Code = Code {
    id: "P17",
    title: "a replay ended before its last line",
    text: "\
What it means
  The replay was interrupted, or its reader went away. The message says from which time to go on.

Why it matters
  The output is incomplete: it is only the beginning of the answer.

Example
  oubliette replay --archive /srv/log --output tcp://127.0.0.1:5140     and the receiver was restarted

What to do
  Run the command again with the `--from` that the message names. After an interruption, the output
  has every line before that time and none after it. If a TCP receiver went away, nobody knows how
  much it had read. The time is then early enough that no line is lost; the last ones may come
  twice.

References
  docs/replay.md; RFC 6587, 3.4",
};

/// P18: an answer without segments that should exist.
pub static MISSING: Code = Code {
    id: "P18",
    title: "segments that should be there are missing",
    text: "\
What it means
  The ledger of this node says that segments of the classes you asked for were sealed and not
  purged, but they are not in the archive. Perhaps the disk is not mounted, the path is that of
  another archive, or somebody removed them.

Why it matters
  Their lines may be part of the answer. The message names only segments that may hold lines of the
  period: oubliette knows when each was sealed and, if its class counts from the event, of which day
  its lines are.

Example
  oubliette replay --archive /srv/log/archive --ip 203.0.113.9       where /srv/log is meant

What to do
  1. Mount the disk, or correct `--archive`.
  2. Run `oubliette verify DIR` on the archive: it names every segment that is missing.
  3. Put these back from a copy, which has the same seal. Then search again.
  4. If they are lost, say so in your answer. A bundle says so by itself.

References
  GDPR, articles 32 and 33; docs/replay.md",
};

/// P19: segments that may belong to another tenant.
pub static UNATTRIBUTED: Code = Code {
    id: "P19",
    title: "nobody can tell whose lines a segment has",
    text: "\
What it means
  You asked for the lines of one tenant with --tenant. The vault of a segment says which tenant it
  belongs to. These segments have no vault: it is not where oubliette looked, or they were archived
  with `--escrow none`, or a worker stored them. oubliette left them out.

Why it matters
  They may hold lines of another tenant, which nobody asked for, or more lines of this one.

Example
  oubliette replay --archive /srv/log --tenant acme --grep 'Failed password'

What to do
  Do one of these:
  - Name the folder of vaults with `--vault DIR`.
  - Search for identifiers only, with `--ip`, `--net`, `--email` or `--user`. oubliette finds them
    with the keys of the tenant, also in segments without a vault.
  - If all lines there belong to one tenant, leave `--tenant` out and name the tenant in the
    configuration.

References
  docs/replay.md",
};

/// P21: segments that somebody else's ledger lists.
pub static UNLISTED: Code = Code {
    id: "P21",
    title: "the ledger does not know segments that were read",
    text: "\
What it means
  The archive has sealed segments that the ledger of the state directory in use (the one that you
  named, or the default) does not list. They were written with another state directory: the archive
  was copied to this machine, or several nodes or workers share it. Or the state directory was lost
  and made anew.

Why it matters
  Only the ledger of the writer says which segments there should be. Without it, nobody can tell
  whether some are missing, so an answer that looks complete may not be. A bundle also lacks the
  proof of those segments: its `proof/check.sh` reports them as WRONG. So a bundle ends with exit
  code 1; other answers end as they would otherwise.

Example
  oubliette replay over a copy of an archive, with the state directory of another machine

What to do
  - Run the command with `--state-dir DIR`: the state directory of the node that wrote the segments.
  - If several nodes share the archive, or the workers of a fleet wrote it, no state directory knows
    all segments. Check with the ledgers of all of them that nothing is missing:
    `oubliette verify DIR --ledger LEDGER1 --ledger LEDGER2`. A ledger is the folder `ledger` of a
    state directory, or a copy of it. With exit code 0, all segments are there and unchanged. Hand
    over what it prints, and these ledgers, together with a bundle: they prove what its own check
    cannot.
  - If the ledger is lost, say so in your answer. A bundle says so by itself.

References
  docs/replay.md, docs/verify.md",
};
