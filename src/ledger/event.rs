//! What is kept in the ledger: which events there are, and what is told of each. Never an identifier, a
//! token or a line: names of files, dates, sizes, counts, hashes.

use crate::primitives::diag::Code;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "about", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The ledger begins; signed with the very key it names.
    Begin(DayKey),
    /// The key of the day hands over to the next one; signed with the former. Its last entry.
    NextKey(DayKey),
    /// The key of a day was overwritten and removed.
    KeyErased {
        /// Which day's.
        day: Date,
    },
    /// A crash left half a line at the end; it was cut off.
    Cut {
        /// How long it was.
        bytes: u64,
    },
    /// A command began its work.
    Start {
        /// Its name.
        command: String,
        /// Of this program.
        version: String,
    },
    /// A command ended.
    Stop {
        /// Its name.
        command: String,
        /// Its exit code.
        exit: u8,
        /// The code of the message that it ended with, for `oubliette explain`, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// A command was refused.
    Refused {
        /// Its name.
        command: String,
        /// The code of the message, for `oubliette explain`.
        code: String,
        /// What the clock said, where it is that which is not believed: the entry has the time of the one before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock: Option<Timestamp>,
    },
    /// A segment was sealed.
    Segment(Segment),
    /// A shred key was made: lines that expire on that day may come.
    ShredKeyMade {
        /// The expiry day, or `contract`.
        expires: String,
    },
    /// A shred key that was made is not there: what was archived under it opens for nobody. Another one is made.
    ShredKeyLost {
        /// The expiry day, or `contract`.
        expires: String,
    },
    /// A shred key was overwritten and removed.
    ShredKeyErased {
        /// The expiry day.
        expires: String,
    },
    /// An epoch secret S was made, or first used.
    EpochSecretMade {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// As in its tokens.
        kid: String,
        /// To how many recipients it was wrapped.
        recipients: usize,
    },
    /// An epoch secret S was overwritten and removed on this node.
    EpochSecretErased {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// As in its tokens.
        kid: String,
    },
    /// The wrap of an epoch secret is about to be overwritten and removed: all that was archived under it has expired, and
    /// is gone.
    WrapErased {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// As in its tokens.
        kid: String,
    },
    /// A purge found that this ledger is not what was written from that line on. It did not stop: what is due goes.
    LedgerFault {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Files are about to be purged.
    PurgeIntent(Purge),
    /// They are gone.
    PurgeDone(Purge),
    /// Sealed lines are about to be purged from quarantine.
    QuarantineIntent(Quarantined),
    /// They are gone.
    QuarantinePurged(Quarantined),
    /// Segments were moved to the intermediate store.
    Moved(Purge),
    /// Somebody said that a clock which had jumped is right.
    ClockConfirmed {
        /// What it was before the jump.
        from: Timestamp,
        /// What it was after.
        to: Timestamp,
    },
    /// A segment is about to be replaced by one without a person's lines, or removed with all of them.
    EraseIntent(Erasure),
    /// It was.
    EraseDone(Erasure),
    /// Lines of a case were put together for an authority, and signed.
    Bundled(Bundled),
    /// Segments are frozen for a case.
    HoldAdded(Hold),
    /// The targeted lines of a case were extracted.
    HoldExtracted(Extract),
    /// A hold was ended by somebody.
    HoldReleased {
        /// The case.
        case: String,
    },
    /// A hold ended on its day; its extract was erased.
    HoldExpired {
        /// The case.
        case: String,
    },
    /// Somebody asks for the lines of a person in clear, or for originals: before anything is opened.
    Access(Access),
    /// What came of it. A second one says that what had been found was not handed over after all.
    AccessDone(AccessDone),
    /// It was refused, and nothing went out.
    AccessRefused {
        /// What was asked.
        #[serde(flatten)]
        access: Access,
        /// The code of the message, for `oubliette explain`.
        code: String,
    },
}

/// A key of one legal day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayKey {
    /// Version of the format.
    pub version: u32,
    /// The day, in `zone`.
    pub day: Date,
    /// The legal zone, an IANA name.
    pub zone: String,
    /// The Ed25519 public key, in hex.
    pub public: String,
}

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its path within the archive.
    pub name: String,
    /// The digest that its seal is over, in hex.
    pub digest: String,
    /// The digest of the segment sealed before it.
    pub previous: String,
}

/// Files that are purged or moved together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Their expiry day.
    pub expires: Date,
    /// The files.
    pub files: Vec<PurgedFile>,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many lines they have together.
    pub lines: u64,
    /// The zone, an IANA name, in which that day begins first, of those that their segments state; `None` if it is the legal
    /// zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What had to stay although nothing keeps it, where that is so: it could not be removed, moved or looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftFile>,
}

/// Sealed lines that are purged together. Their files are named after tokens, so only their number is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Their expiry day.
    pub expires: Date,
    /// How many there are.
    pub lines: u64,
    /// How many bytes their files have together.
    pub bytes: u64,
}

/// One file of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgedFile {
    /// Its path within the archive.
    pub name: String,
    /// Its size; `None` for a file that cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its lines; `None` for a vault, and for a file that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// SHA-256 of the whole file, in hex; `None` for a file that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Under how many more names its bytes lie somewhere, if there are such: they are not gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_names: Option<u64>,
}

/// A file, or a directory of files, that a purge could not remove, move or look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftFile {
    /// Its path, with the store it lies in.
    pub name: String,
    /// What the operating system says.
    pub why: String,
}

/// A segment without a person's lines. Whose they were is told nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Reference of the request.
    pub case: String,
    /// The path of the segment within the archive.
    pub name: String,
    /// The digest that the seal of the old one is over, in hex.
    pub before: String,
    /// That of the new one; `None` if no line is left, so that it goes.
    pub digest: Option<String>,
    /// The legal day on which the new one was sealed.
    pub sealed: Date,
    /// How many lines the old one has.
    pub lines_before: u64,
    /// How many lines the new one has.
    pub lines: u64,
}

/// A bundle of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundled {
    /// The case.
    pub case: String,
    /// How many lines are in it.
    pub lines: u64,
    /// SHA-256 of its `SHA256SUMS`, which is signed with the key of the day, in hex.
    pub sums: String,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The case: a reference of the authority that asked.
    pub case: String,
    /// The first legal day on which it no longer holds.
    pub until: Date,
    /// The last legal day of the freeze of whole segments, at most 7 days after its first.
    pub frozen_until: Date,
    /// How many segments it freezes.
    pub segments: u64,
}

/// What was extracted for a case. Targets are identifiers, so only their number is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// The case.
    pub case: String,
    /// How many tokens were looked for.
    pub targets: u64,
    /// How many lines were found.
    pub lines: u64,
    /// How many pairs of token and original were found.
    pub pairs: u64,
}

/// Who asks for what, and why. What is asked for are identifiers, so only their number is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The command.
    pub command: String,
    /// Who had it run, where that is not the system user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The legal basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Events from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Events until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Of these classes alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Of this tenant alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many identifiers in clear were named.
    pub identifiers: u64,
    /// How many tokens were named.
    pub tokens: u64,
    /// Whose originals are given back: `none`, `asked` or `all`.
    pub reveal: String,
}

/// What an access opened and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDone {
    /// Number of the entry that it was announced with.
    pub entry: u64,
    /// Whether it came to its end.
    pub complete: bool,
    /// The code of the message that it ended with before its end, or of what it lacks, for `oubliette explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Segments that were searched.
    pub segments: u64,
    /// Epochs whose secret was unwrapped.
    pub epochs: u64,
    /// Segments whose originals were opened.
    pub opened: Vec<String>,
    /// Lines that went out.
    pub lines: u64,
    /// Originals given back: how many times one was put in the place of a token; of a list of people, how many of them
    /// are in clear.
    pub revealed: u64,
}

impl AccessDone {
    /// One that came to its end, unless it lacks what this code tells of.
    #[must_use]
    pub fn lacking(code: Option<&Code>) -> Self {
        let code = code.map(|code| code.id.to_owned());
        Self { complete: code.is_none(), code, ..Self::default() }
    }
}

impl Event {
    /// `event` and `about` of an entry.
    pub(super) fn into_parts(self) -> (String, Value) {
        // Strings, numbers and dates under fixed names: they always serialise.
        let mut value = serde_json::to_value(self).expect("an event is JSON");
        let about = value["about"].take();
        (value["event"].as_str().unwrap_or_default().to_owned(), about)
    }

    pub(super) fn from_parts(event: &str, about: &Value) -> Option<Self> {
        serde_json::from_value(json!({ "event": event, "about": about })).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_back() {
        for event in [
            Event::KeyErased { day: jiff::civil::date(2026, 11, 23) },
            Event::Cut { bytes: 7 },
            Event::Stop { command: "filter".to_owned(), exit: 1, code: None },
            Event::Stop { command: "purge".to_owned(), exit: 2, code: Some("P02".to_owned()) },
            Event::Access(Access::default()),
            Event::Access(Access { tenant: Some("acme".to_owned()), ..Access::default() }),
            Event::AccessRefused { access: Access::default(), code: "P11".to_owned() },
        ] {
            let (name, about) = event.clone().into_parts();
            assert_eq!(Event::from_parts(&name, &about), Some(event));
        }
        assert_eq!(Event::from_parts("cut", &json!({})), None);
        // As it was written before tenants were named, and as a later version may write it.
        let older = json!({ "command": "replay", "identifiers": 1, "reveal": "none", "tokens": 0 });
        let mut later = older.clone();
        later["unheard-of"] = json!(true);
        for about in [older, later] {
            let Some(Event::Access(access)) = Event::from_parts("access", &about) else { panic!() };
            assert_eq!((access.identifiers, access.tenant), (1, None));
        }
    }
}
