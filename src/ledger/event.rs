//! The events in the ledger, with the details of each: names of files, dates, sizes, counts and hashes. Never
//! an identifier, a token or a line.

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
    /// The ledger begins. The entry is signed with the very key that it names.
    Begin(DayKey),
    /// The key of the day hands over to the next one. This is the last entry signed with the old key.
    NextKey(DayKey),
    /// The key of a day was overwritten and removed.
    KeyErased {
        /// The day of the key.
        day: Date,
    },
    /// A crash left half a line at the end of the ledger, which was cut off.
    Cut {
        /// The length of that half line in bytes.
        bytes: u64,
    },
    /// A command began its work.
    Start {
        /// The name of the command.
        command: String,
        /// The version of this program.
        version: String,
    },
    /// A command ended.
    Stop {
        /// The name of the command.
        command: String,
        /// Its exit code.
        exit: u8,
        /// If the command failed, the code of its last message, for `oubliette explain`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// A command was refused.
    Refused {
        /// The name of the command.
        command: String,
        /// The code of the message, for `oubliette explain`.
        code: String,
        /// The reading of the clock, if that is what is not believed: the entry has the time of the one
        /// before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock: Option<Timestamp>,
    },
    /// A segment was sealed.
    Segment(Segment),
    /// A shred key was made, for lines that expire on that day.
    ShredKeyMade {
        /// The expiry day, or `contract`.
        expires: String,
    },
    /// An existing shred key is missing, and another one is made: nobody can open what was archived under the
    /// missing key.
    ShredKeyLost {
        /// The expiry day, or `contract`.
        expires: String,
    },
    /// A shred key was overwritten and removed.
    ShredKeyErased {
        /// The expiry day.
        expires: String,
    },
    /// An epoch secret S was made or first used.
    EpochSecretMade {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// The kid in the tokens of this secret.
        kid: String,
        /// The number of recipients to which it was wrapped.
        recipients: usize,
    },
    /// An epoch secret S was overwritten and removed on this node.
    EpochSecretErased {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// The kid in the tokens of this secret.
        kid: String,
    },
    /// The wrap of an epoch secret is about to be overwritten and removed, because everything archived under
    /// that secret has expired and is gone.
    WrapErased {
        /// First legal day of the epoch, or `fixed`.
        epoch: String,
        /// The kid in the tokens of this secret.
        kid: String,
    },
    /// A purge found that this ledger was changed from that line on. The purge went on: what is due is
    /// removed.
    LedgerFault {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with the line.
        why: String,
    },
    /// Files are about to be purged.
    PurgeIntent(Purge),
    /// The files are gone.
    PurgeDone(Purge),
    /// Sealed lines are about to be purged from quarantine.
    QuarantineIntent(Quarantined),
    /// The sealed lines are gone.
    QuarantinePurged(Quarantined),
    /// Segments were moved to the intermediate store.
    Moved(Purge),
    /// Somebody confirmed that a clock which had jumped is right.
    ClockConfirmed {
        /// The reading of the clock before the jump.
        from: Timestamp,
        /// The reading of the clock after the jump.
        to: Timestamp,
    },
    /// A segment is about to be replaced by one without a person's lines, or removed if no line is left.
    EraseIntent(Erasure),
    /// The segment was replaced or removed.
    EraseDone(Erasure),
    /// Lines of a case were bundled for an authority, and signed.
    Bundled(Bundled),
    /// Segments are frozen for a case.
    HoldAdded(Hold),
    /// The targeted lines of a case were extracted.
    HoldExtracted(Extract),
    /// Somebody ended a hold.
    HoldReleased {
        /// The case.
        case: String,
    },
    /// A hold expired, and its extract was erased.
    HoldExpired {
        /// The case.
        case: String,
    },
    /// Somebody asks for the lines of a person in clear, or for originals. Recorded before anything is
    /// opened.
    Access(Access),
    /// The result of an access. A second one says that what had been found was not handed over after all.
    AccessDone(AccessDone),
    /// An access was refused, and nothing was handed over.
    AccessRefused {
        /// The access that was asked for.
        #[serde(flatten)]
        access: Access,
        /// The code of the message, for `oubliette explain`.
        code: String,
    },
}

/// The key of one legal day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayKey {
    /// The version of the ledger format.
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
    /// The digest that its seal covers, in hex.
    pub digest: String,
    /// The digest of the segment sealed before it, in hex.
    pub previous: String,
}

/// Files that are purged or moved together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Their expiry day.
    pub expires: Date,
    /// The files.
    pub files: Vec<PurgedFile>,
    /// Their total size in bytes.
    pub bytes: u64,
    /// Their total number of lines.
    pub lines: u64,
    /// The IANA name of the zone in which that day begins first, among the zones that the segments state;
    /// `None` if it is the legal zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Files that had to stay although nothing keeps them, because they could not be removed, moved or
    /// examined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftFile>,
}

/// Sealed lines that are purged together. Their files are named after tokens, so only their number is
/// recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Their expiry day.
    pub expires: Date,
    /// The number of sealed lines.
    pub lines: u64,
    /// The total size of their files in bytes.
    pub bytes: u64,
    /// The number of other lines that could not be removed, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
}

/// One file of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgedFile {
    /// Its path within the archive.
    pub name: String,
    /// Its size in bytes; `None` if the file cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its number of lines; `None` for a vault, and for a file that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// SHA-256 of the whole file, in hex; `None` if the file cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The number of other hard links to the file, if there are any: its bytes are not gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_names: Option<u64>,
}

/// A file, or a directory of files, that a purge could not remove, move or examine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftFile {
    /// Its path, including the store that holds it.
    pub name: String,
    /// The error of the operating system.
    pub why: String,
}

/// A segment that was replaced by one without a person's lines. No field says whose lines they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The reference of the request.
    pub case: String,
    /// The path of the segment within the archive.
    pub name: String,
    /// The digest that the seal of the old segment covers, in hex.
    pub before: String,
    /// The digest that the seal of the new segment covers, in hex; `None` if no line is left, so that the
    /// segment is removed.
    pub digest: Option<String>,
    /// The legal day on which the new segment was sealed.
    pub sealed: Date,
    /// The number of lines in the old segment.
    pub lines_before: u64,
    /// The number of lines in the new segment.
    pub lines: u64,
}

/// A bundle of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundled {
    /// The case.
    pub case: String,
    /// The number of lines in it.
    pub lines: u64,
    /// SHA-256 of its `SHA256SUMS` file, in hex. That file is signed with the key of the day.
    pub sums: String,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The case: a reference of the authority that asked.
    pub case: String,
    /// The first legal day on which the hold is no longer in force.
    pub until: Date,
    /// The last legal day on which whole segments are frozen, at most 7 days after the first.
    pub frozen_until: Date,
    /// The number of segments that it freezes.
    pub segments: u64,
}

/// The extract of a case. Targets are identifiers, so only their number is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// The case.
    pub case: String,
    /// The number of tokens that were searched for.
    pub targets: u64,
    /// The number of lines found.
    pub lines: u64,
    /// The number of pairs of token and original found.
    pub pairs: u64,
    /// Days that the extract does not cover, because the secret of their epoch is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_covered: Vec<NotCovered>,
}

/// Segments of one epoch that were not searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCovered {
    /// The first legal day of their events, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_day: Option<Date>,
    /// The last legal day of their events, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_day: Option<Date>,
    /// The number of these segments.
    pub segments: u64,
}

/// Who asks for what, and why. What is asked for are identifiers, so only their number is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The command.
    pub command: String,
    /// The person who had the command run, if not the system user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The legal basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Only events from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only events up to this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Only these classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Only this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The number of identifiers given in clear.
    pub identifiers: u64,
    /// The number of tokens given.
    pub tokens: u64,
    /// Whose originals are revealed: `none`, `asked` or `all`.
    pub reveal: String,
}

/// What an access opened and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDone {
    /// The number of the entry that announced the access.
    pub entry: u64,
    /// Whether the access completed.
    pub complete: bool,
    /// The code of the message that ended the access early, or of what its result lacks, for
    /// `oubliette explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The number of segments that were searched.
    pub segments: u64,
    /// The number of epochs whose secret was unwrapped.
    pub epochs: u64,
    /// The segments whose originals were opened.
    pub opened: Vec<String>,
    /// The number of lines handed over.
    pub lines: u64,
    /// The number of originals revealed: how many times a token was replaced by its original; for a list of
    /// people, how many of them are in clear.
    pub revealed: u64,
}

impl AccessDone {
    /// Creates the result of an access that completed, unless it lacks what `code` describes.
    #[must_use]
    pub fn lacking(code: Option<&Code>) -> Self {
        let code = code.map(|code| code.id.to_owned());
        Self { complete: code.is_none(), code, ..Self::default() }
    }
}

impl Event {
    /// Returns the members `event` and `about` of an entry.
    pub(super) fn into_parts(self) -> (String, Value) {
        // Always succeeds: strings, numbers and dates under fixed names.
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
        // Once as written before tenants were recorded, and once as a later version may write it.
        let older = json!({ "command": "replay", "identifiers": 1, "reveal": "none", "tokens": 0 });
        let mut later = older.clone();
        later["unheard-of"] = json!(true);
        for about in [older, later] {
            let Some(Event::Access(access)) = Event::from_parts("access", &about) else { panic!() };
            assert_eq!((access.identifiers, access.tenant), (1, None));
        }
    }
}
