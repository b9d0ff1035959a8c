//! `subject access`: a person's lines in a portable form, with the information that GDPR art. 15(1) requires.
//!
//! Her own identifiers are in clear; those of other people stay tokens (art. 15(4)).

use crate::jobs::bundle::{cell, text, time_from};
use crate::jobs::hold;
use crate::jobs::replay::{Line, PurgedSpan, Reveal};
use crate::model::RetentionClass;
use crate::primitives::diag::Diagnostic;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use zeroize::Zeroizing;

/// Information on the lines of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Processing {
    /// The class.
    pub class: String,
    /// The purpose of the processing.
    pub purpose: String,
    /// The legal basis.
    pub legal_basis: String,
    /// How long lines are kept.
    pub kept_for: String,
    /// Whether the law requires the lines to be kept, so that they cannot be erased earlier.
    pub legal_duty: bool,
    /// The number of lines.
    pub lines: u64,
    /// The first days on which these lines must no longer exist.
    pub expires: BTreeSet<String>,
}

/// A line of the person.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct OwnLine {
    /// The time of the event, in UTC.
    pub time_utc: String,
    /// The same time in the legal zone.
    pub time_legal: String,
    /// The source of the time: the line, or its receipt.
    pub time_from: String,
    /// The class of the line.
    pub class: String,
    /// The first legal day on which the line must no longer exist.
    pub expires: String,
    /// The line, with her own identifiers in clear.
    pub line: String,
}

/// Shows only the length, because her identifiers are in clear.
impl std::fmt::Debug for OwnLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnLine([{} bytes redacted])", self.line.len())
    }
}

/// The answer to a request.
#[derive(Debug, Serialize)]
pub struct AccessAnswer {
    /// When the answer was made.
    pub made: Timestamp,
    /// The reference of the request.
    pub case: Option<String>,
    /// The start of the requested period.
    pub from: Option<Timestamp>,
    /// The end of the requested period.
    pub to: Option<Timestamp>,
    /// The purges that may have removed lines of the period, as the law demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purged: Option<PurgedSpan>,
    /// Information on the lines, by class.
    pub processing: Vec<Processing>,
    /// The lines, in the order of their events.
    pub lines: Vec<OwnLine>,
    #[serde(skip)]
    zone: TimeZone,
    #[serde(skip)]
    counts: BTreeMap<String, (u64, BTreeSet<String>)>,
    /// Digests of the lines as they are in the archive.
    #[serde(skip)]
    digests: HashSet<[u8; 32]>,
}

impl AccessAnswer {
    /// Creates an answer without lines.
    #[must_use]
    pub fn new(made: Timestamp, zone: TimeZone) -> Self {
        let (processing, lines, counts, digests) = Default::default();
        Self {
            made,
            case: None,
            from: None,
            to: None,
            purged: None,
            processing,
            lines,
            zone,
            counts,
            digests,
        }
    }

    /// Returns whether the answer has the line with this digest, as [`hold::digest_of`] returns it.
    #[must_use]
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        self.digests.contains(digest)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If a vault can no longer be opened.
    pub fn add(&mut self, line: &Line<'_>, reveal: &mut Reveal<'_>) -> Result<(), Diagnostic> {
        let mut revealed = Zeroizing::new(Vec::with_capacity(line.bytes.len() * 2));
        reveal.put_back(line, &mut revealed)?;
        let time = Timestamp::from_second(line.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let legal = time.to_zoned(self.zone.clone());
        let (class, expires) = (line.name.folder.class.to_string(), line.expires().to_string());
        let (count, days) = self.counts.entry(class.clone()).or_default();
        self.digests.insert(hold::digest_of(line.bytes));
        *count += 1;
        days.insert(expires.clone());
        self.lines.push(OwnLine {
            time_utc: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            time_legal: legal.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            time_from: time_from(line),
            class,
            expires,
            line: text(revealed.trim_ascii_end()),
        });
        Ok(())
    }

    /// Adds what the policy says about the classes in which lines were found.
    pub fn explain(&mut self, classes: &[RetentionClass]) {
        self.processing = self.counts.iter().map(|(name, found)| processing(name, found, classes)).collect();
    }

    /// Returns the lines as a table (RFC 4180) in which no cell is a formula.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn csv(&self) -> Result<Zeroizing<Vec<u8>>, csv::Error> {
        let mut builder = csv::WriterBuilder::new();
        let mut writer = builder.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record([
            "time_utc",
            "time_legal",
            "time_from",
            "class",
            "purpose",
            "legal_basis",
            "expires",
            "line",
        ])?;
        for line in &self.lines {
            let told = self.processing.iter().find(|told| told.class == line.class);
            let (purpose, basis) = told.map_or(("", ""), |told| (&told.purpose, &told.legal_basis));
            let OwnLine { time_utc, time_legal, time_from, class, expires, .. } = line;
            let cells = [time_utc, time_legal, time_from, class, purpose, basis, expires];
            let cells = cells.into_iter().map(cell).chain([cell(&line.line)]);
            writer.write_record(cells.collect::<Vec<_>>())?;
        }
        Ok(Zeroizing::new(writer.into_inner().map_err(|error| error.into_error())?))
    }
}

fn processing(name: &str, found: &(u64, BTreeSet<String>), classes: &[RetentionClass]) -> Processing {
    let class = classes.iter().find(|class| class.name.as_str() == name);
    let (lines, expires) = found.clone();
    let unknown = "no rule of the policy in force names this class".to_owned();
    Processing {
        class: name.to_owned(),
        purpose: class.map_or_else(|| unknown.clone(), |class| class.description.clone()),
        legal_basis: class.map_or_else(|| unknown.clone(), |class| class.basis.clone()),
        kept_for: class.map_or(unknown, |class| match class.archive_after {
            Some(phase) => format!("{phase}, then {} in the intermediate archive", class.keep),
            None => class.keep.to_string(),
        }),
        legal_duty: class.is_some_and(|class| class.duty),
        lines,
        expires,
    }
}
