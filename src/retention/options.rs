//! What the operator chooses about dates, expiry and tags.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The form of tags, `--tag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagForm {
    /// In the idiom of each format.
    #[default]
    Native,
    /// Before the line end, in every format.
    Suffix,
    /// No tags.
    None,
}

/// The operator's choices.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time zone of legal days.
    pub zone: TimeZone,
    /// The time zone of timestamps that state none; if `None`, the legal zone.
    pub source_zone: Option<TimeZone>,
    /// Whether to believe every past time, and to drop expired lines.
    pub backfill: bool,
    /// Whether lines go to an archive, which takes no expired line, whatever its day is based on.
    pub archived: bool,
    /// The latest instant that has come for certain, if that is not the receipt because the clock has jumped:
    /// no line expires after it, because nobody can bring it back.
    pub certain: Option<Timestamp>,
    /// The form of tags.
    pub tags: TagForm,
    /// Whether to keep tags that lines already have.
    pub trust_upstream: bool,
}

impl Options {
    pub(super) fn drops_expired(&self) -> bool {
        self.backfill || self.archived
    }
}
