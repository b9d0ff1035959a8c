//! The messages of a replay: what is missing, by name.

use super::nodes::{MOST_SOUGHT, Missing};
use crate::model::{ClassName, SegmentName};
use crate::primitives::diag::{Code, Diagnostic};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

/// All codes of this area.
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
];

pub(super) fn no_identity(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "an escrow identity is missing")
        .at(name.to_string())
        .because("its epoch is over, and the node has erased the secret of it")
        .hint("let the custodian run this with `--identity FILE`, or ask for tokens with `--token`")
}

pub(super) fn nobody_opens() -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "an escrow identity is missing")
        .because("originals are given back by two parties: this node, and the owner of an identity")
        .hint("let the custodian run this with `--identity FILE`, or with the `--key-file FILE` of the filter if it had one")
}

pub(super) fn no_wrap(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_IDENTITY, "the secret of an epoch is missing")
        .at(name.to_string())
        .because("the state directory has no wrap of it, and the segment has no vault")
        .hint("name the state directory of the node that wrote it, or leave its days out with `--from` and `--to`")
}

/// `another` was named.
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
    Diagnostic::new(&NO_SHRED_KEY, "the shred key H of an expiry day is missing")
        .at(name.to_string())
        .because("it was erased or lost, or this is not the node that wrote the segment")
        .hint("run this on the node, with its state directory, or name its folder `shred` with `--shred-keys DIR`: H is in no backup")
}

pub(super) fn foreign_shred_key(vault: &Path) -> Diagnostic {
    Diagnostic::new(&NO_SHRED_KEY, "the shred key H that a vault was written under is missing")
        .at(vault.display().to_string())
        .because("no shred key of that day here opens it: it is that of another node, or was lost and another one made")
        .hint("name the folder `shred` of the state directory of its node with `--shred-keys DIR`; if the ledger has `shred-key-lost` of that day, `oubliette explain S03`")
}

pub(super) fn too_many_tokens() -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "the originals of so many tokens are not given back at once")
        .because(format!("lines that workers stored have more than {MOST_SOUGHT} different ones"))
        .hint("ask for a shorter period, or for fewer classes")
}

/// Names all that cannot be given back, and why; the code is that of the first reason.
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

/// Places at which tokens have no original, in one message.
const MOST_TOLD: usize = 5;

pub(super) fn no_originals(vault: &Path) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "a segment has no originals")
        .at(vault.display().to_string())
        .because("there is no vault: it lies elsewhere, or the lines were archived with `--escrow none`")
        .hint("name the folder of vaults with `--vault DIR`; what was anonymised can be given back by nobody")
}

/// Only the addresses of a network are looked for in the vault of a segment before its tokens are known.
pub(super) fn originals_of_nodes(name: &SegmentName) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "an IPv6 network cannot be looked for in lines that a worker stored")
        .at(name.to_string())
        .because(
            "which of its addresses there are is in the vaults of the nodes, one for each of their segments",
        )
        .hint("ask for addresses with `--ip`, or ask on the nodes")
}

/// The value may be anybody's name, typed after the wrong option, so it is not repeated.
pub(super) fn unknown_class(number: usize, known: &BTreeSet<&ClassName>) -> Diagnostic {
    let known: Vec<&str> = known.iter().map(|class| class.as_str()).collect();
    Diagnostic::new(&BAD_QUESTION, format!("value {number} of `--class` is a class that nobody knows"))
        .because("neither the policy names it, nor is a segment of the archive of it")
        .hint(format!("the classes are: {}", known.join(", ")))
}

pub(super) fn cannot_look(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(&NO_ORIGINALS, "cannot look for a vault")
        .at(path.display().to_string())
        .because(error.to_string())
        .hint("mend the disk or the permissions")
}

/// P10: a value of an option.
pub static BAD_QUESTION: Code = Code {
    id: "P10",
    title: "what is asked for is not understood",
    text: "\
What it means
  A value of --ip, --net, --email, --user, --token, --grep, --host or --program is not what that option
  takes; or no segment is of the class of --class, and the policy does not know it.

Why it matters
  A search for something that cannot be found would answer that there is nothing, and somebody might believe
  it.

Example
  oubliette replay --archive /srv/log --net 203.0.113.0/25

What to do
  --ip takes one IPv4 or IPv6 address in any notation, --net an IPv4 /24 or an IPv6 /64, --email an address,
  --user a name, --token a token as it stands in the lines, --grep a regular expression, --host and --program a
  name with at most one `*`, at its beginning or end, --class a class of the policy or of the archive: the message lists
  them. It says which value it is and does not repeat it: it may be an identifier.

References
  docs/replay.md",
};

/// P11: nobody said why.
pub static NO_GRANT: Code = Code {
    id: "P11",
    title: "a case, a legal basis or a period is missing",
    text: "\
What it means
  Originals are given back only for a case, on a legal basis, within a period. One of these was not stated; or the
  case or the operator has an address in it, which the ledger must not keep.

Why it matters
  The ledger keeps who asked for what and why. Without that nobody could tell a requisition from
  curiosity. Nothing was opened and nothing printed; the ledger keeps that it was refused.

Example
  oubliette replay --archive /srv/log --ip 203.0.113.7 --reveal --identity identity-1.txt

What to do
  State all of: --case REF, --basis TEXT, --from and --to. The basis is one of 60-1, 77-1-1, 99-3 (code de
  procedure penale), EPOC, EPOC-PR (Regulation (EU) 2023/1543), GDPR-15, internal. For data of article 60-1-2
  (connection logs) the first three state its case, 1 to 4: --basis 60-1/3. The commands of `subject` have one of their
  own, which can be left out: access GDPR-15, erase GDPR-17, restrict GDPR-18, affected GDPR-33.

References
  Code de procedure penale 60-1, 60-1-2, 77-1-1, 99-3; Regulation (EU) 2023/1543, art. 5; GDPR 15.",
};

/// P12: no key of the epoch.
static NO_IDENTITY: Code = Code {
    id: "P12",
    title: "the secret of an epoch is missing",
    text: "\
What it means
  Tokens of a past epoch are made from its secret S, which the node erases when the epoch is over (the next `filter`
  or `purge` does it) and does not use any more, even where it still lies there. It is wrapped to the escrow
  recipients; there is no identity here to unwrap it, or no wrap. Or the lines were filtered with a key file, which
  nobody but its owner has.

Why it matters
  The node that writes cannot read its past: that takes the custodian. A search that left such days out
  would look as if there were nothing on them. So nothing was printed.

Example
  oubliette replay --archive /srv/log --ip 203.0.113.7       on the day after

What to do
  Let the custodian run it with --identity FILE; with --key-file FILE if the lines were written with one. The
  message names the segment: its days can be left out with --from and --to. Lines of a token that you have
  need no secret: --token.

References
  docs/keys.md; GDPR art. 4(5)",
};

/// P13: the key of somebody else.
static WRONG_IDENTITY: Code = Code {
    id: "P13",
    title: "the identity opens none of the secrets",
    text: "\
What it means
  The secret of an epoch was wrapped to recipients, and the identity that was given is not that of one of
  them.

Why it matters
  Nothing can be found or given back for that epoch with it. Nothing was printed.

Example
  an identity made after that day

What to do
  Try the other identity. `oubliette keys list` shows to how many recipients each epoch was wrapped. A plugin must
  be installed on this machine (age-plugin-NAME on the PATH).

References
  age-encryption.org/v1",
};

/// P14: no H.
pub static NO_SHRED_KEY: Code = Code {
    id: "P14",
    title: "the shred key of an expiry day is missing",
    text: "\
What it means
  Originals open with two keys: the custodian's identity, and the shred key H of the expiry day, which
  lies in the state directory of the node. There is no H of that day here, or none that opens the vault: it is that of
  another node, or a key that was lost.

Why it matters
  When a day is purged its H is erased, and with it the originals of that day in every copy. Nobody can give
  them back after that. Where other vaults open, their originals are given back, these stay tokens, and the command ends
  with 1; if none opens, nothing was printed.

Example
  oubliette replay --reveal over a copy of an archive, with the state directory of another machine

What to do
  Run it on the node that wrote the archive. Where lines of several nodes were stored by workers, name the folder
  `shred` of each node's state directory with --shred-keys; to copy these keys would keep them beyond their day. If H was
  purged, say so to who asked: the ledger proves when.

References
  docs/purge.md; GDPR art. 17, art. 5(1)(e)",
};

/// P15: no vault.
pub(super) static NO_ORIGINALS: Code = Code {
    id: "P15",
    title: "a segment has no originals",
    text: "\
What it means
  The vault of a segment is not where it should be, or cannot be looked for. Or a worker stored the line, and none of
  the vaults that were named has what its token stands for.

Why it matters
  Without it a token cannot be turned back: it stays one, and the command ends with 1. If nothing can be given back at all,
  nothing was printed.

Example
  vaults on another volume that is not mounted

What to do
  Name the folder of vaults with --vault DIR. For lines that a worker stored, name those of the nodes, or a folder that has
  those of all nodes; the message names class, expiry day and epoch. Lines that were archived with --escrow none have
  none: that is anonymisation. What a node left in clear, and a worker replaced, has none either.

References
  docs/archive.md, docs/fleet/README.md",
};

/// P16: lines that have no seal yet.
pub static UNSEALED: Code = Code {
    id: "P16",
    title: "segments that are not sealed yet were left out",
    text: "\
What it means
  A filter is writing to segments of the archive, or a crash left some. A bundle holds only what a seal proves, and
  an erasure changes only what is finished, so both left them out.

Why it matters
  An answer as of now misses the lines of the running day; an erasure has not looked at them.

Example
  oubliette replay --archive /srv/log --bundle DIR ...       while a filter runs

What to do
  Ask again when the day is over, or end the filter: it seals what is open. What a crash left is sealed at
  the next start of a filter. A replay without --bundle finds such lines now.

References
  docs/replay.md",
};

/// P17: it ended before its end.
pub static STOPPED: Code = Code {
    id: "P17",
    title: "a replay ended before its last line",
    text: "\
What it means
  The replay was interrupted, or its reader went away. The message says from which time it goes on.

Why it matters
  What went out is a beginning, and not the answer.

Example
  oubliette replay --archive /srv/log --output tcp://127.0.0.1:5140     and the receiver was restarted

What to do
  Run it again with the `--from` of the message. After an interruption every line before that time went out and
  none after it. If a TCP receiver went away, nobody knows what it had read: the time is early enough that no
  line is lost, and the last ones may come twice.

References
  docs/replay.md; RFC 6587, 3.4",
};

/// P18: the answer lacks segments that should be there.
pub static MISSING: Code = Code {
    id: "P18",
    title: "segments that should be there are missing",
    text: "\
What it means
  The ledger of this node says that segments of the classes asked for were sealed, and not that they were purged, and they
  are not in the archive. The disk may not be mounted, the path may be that of another archive, or somebody removed them.

Why it matters
  That nothing is found says nothing of the lines in them. Only those are told that may be of the period: when they were
  sealed is known, and where lines are kept from their event on, the expiry day says which day that was.

Example
  oubliette replay --archive /srv/log/archive --ip 203.0.113.9       where /srv/log is meant

What to do
  `oubliette verify` names all of them. Put them back from a copy, which has the same seal, and ask again. If they are
  lost the answer must say so: a bundle does.

References
  GDPR, articles 32 and 33; docs/replay.md",
};

/// P19: segments that may be another tenant's.
pub static UNATTRIBUTED: Code = Code {
    id: "P19",
    title: "nobody can tell whose lines a segment has",
    text: "\
What it means
  Lines of one tenant were asked for with --tenant. The vault of a segment says whose it is; these segments have none,
  for it is not where vaults were looked for, or they were archived with `--escrow none`, or a worker stored them. They
  were left out.

Why it matters
  They may hold lines of another tenant, which nobody asked for, or more of this one.

Example
  oubliette replay --archive /srv/log --tenant acme --grep 'Failed password'

What to do
  Name the folder of vaults with --vault DIR. Or ask for identifiers alone, with --ip, --net, --email or --user: such lines are
  found by the keys of the tenant, in segments without vault too. If all lines there are of one tenant, leave --tenant
  out and name the tenant in the configuration.

References
  docs/replay.md",
};
