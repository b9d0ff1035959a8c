//! `lines.csv`: one row per line, for spreadsheets (RFC 4180, UTF-8).
//!
//! A cell that a spreadsheet would read as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage
//! return) gets an apostrophe in front, because clients choose what a line contains. Bytes that are not
//! UTF-8, and control characters, are written as `\xff`. `lines.log` has every byte unchanged.

use super::WRITE;
use super::port::Ports;
use super::spool::Spool;
use crate::jobs::replay::{Line, Revealed, spelling::Spelt};
use crate::primitives::diag::Diagnostic;
use crate::retention::DayFrom;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// Written if a line states no port beside an identifier. (No hyphen: a spreadsheet would start to compute.)
const NO_PORT: &str = "?";

const HEADS: [&str; 12] = [
    "n",
    "time_utc",
    "time_legal",
    "time_from",
    "class",
    "expires",
    "identifiers",
    "ports",
    "line_as_stored",
    "line_revealed",
    "frame",
    "line_in_frame",
];

/// The rows so far.
pub(super) struct Table {
    writer: csv::Writer<Spool>,
    zone: TimeZone,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table([redacted])")
    }
}

impl Table {
    /// Creates a table with its header. Times are in UTC and in `zone`.
    pub(super) fn new(spool: Spool, zone: TimeZone) -> Result<Self, Diagnostic> {
        let mut builder = csv::WriterBuilder::new();
        let mut writer = builder.terminator(csv::Terminator::CRLF).from_writer(spool);
        writer.write_record(HEADS).map_err(failed)?;
        Ok(Self { writer, zone })
    }

    /// Adds row `number`, for a line in frame `frame` of the bundle.
    pub(super) fn row(
        &mut self,
        number: u64,
        frame: usize,
        line: &Line<'_>,
        originals: &[(Spelt, Revealed)],
        revealed: &[u8],
    ) -> Result<(), Diagnostic> {
        let time = Timestamp::from_second(line.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let legal = time.to_zoned(self.zone.clone());
        let identifiers: Vec<String> = originals.iter().map(|(_, original)| text(&original.text)).collect();
        let ports = Ports::of(line.bytes);
        let ports: Vec<&str> =
            originals.iter().map(|(spelt, _)| ports.beside(&spelt.span).unwrap_or(NO_PORT)).collect();
        let cells = [
            number.to_string(),
            time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            legal.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            time_from(line),
            line.name.folder.class.to_string(),
            line.expires().to_string(),
            cell(&identifiers.join(" ")),
            cell(&ports.join(" ")),
            cell(&text(line.bytes.trim_ascii_end())),
            cell(&text(revealed.trim_ascii_end())),
            frame.to_string(),
            line.number.to_string(),
        ];
        self.writer.write_record(&cells).map_err(failed)
    }

    /// Returns the file of the whole table.
    pub(super) fn into_spool(self) -> Result<Spool, Diagnostic> {
        self.writer.into_inner().map_err(|error| failed(error.into_error()))
    }
}

fn failed(error: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::new(&WRITE, "a table cannot be written").because(error.to_string())
}

/// Returns the source of the event's time; if that is not the line, also the instants between which the event
/// was.
pub(in crate::jobs) fn time_from(line: &Line<'_>) -> String {
    let what = match line.from {
        DayFrom::Stated => return "line".to_owned(),
        DayFrom::Received => "receipt (the time in the line was not believed)",
        DayFrom::Untimed => "receipt (the line states no time)",
    };
    let at = |second| Timestamp::from_second(second).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    format!("{what}, between {} and {}", at(line.between.0), at(line.between.1))
}

/// Converts bytes to text.
pub(in crate::jobs) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\t' => text.push('\t'),
                _ if character.is_control() => escape(u32::from(character), &mut text),
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(u32::from(byte), &mut text));
    }
    text
}

fn escape(number: u32, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\\x{number:02x}");
}

/// Returns text that no spreadsheet reads as a formula.
pub(in crate::jobs) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_always_text() {
        for (bytes, expected) in [
            (&b"=cmd|' /C calc'!A0"[..], "'=cmd|' /C calc'!A0"),
            (b"+1", "'+1"),
            (b"-1", "'-1"),
            (b"@SUM(A1)", "'@SUM(A1)"),
            (b"\tx", "'\tx"),
            (b"a=b", "a=b"),
            (b"a\xffb\x00c\x1b[1m", "a\\xffb\\x00c\\x1b[1m"),
            ("d\u{e9}j\u{e0}".as_bytes(), "d\u{e9}j\u{e0}"),
        ] {
            assert_eq!(cell(&text(bytes)), expected);
        }
    }
}
