//! The only module that prints: messages to standard error, tables and JSON lines to standard output.

mod progress;

use super::codes;
use crate::primitives::diag::Diagnostic;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;
use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

pub(crate) use progress::{Counted, Progress};

/// Prints the output of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    json: bool,
}

/// A row of a table.
pub(crate) trait Row: Serialize {
    /// The column headings.
    const HEADS: &[&str];
    /// Returns one cell per column.
    fn cells(&self) -> Vec<String>;
}

/// The reasons why a command ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command could not continue.
    Because(Box<Diagnostic>),
    /// The reader of standard output is gone, which counts as a clean end.
    StdoutClosed,
}

/// The severity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The command failed.
    Error,
    /// The command succeeded, but somebody should know about this.
    Warning,
}

impl Report {
    /// Creates a report; with `json`, all output is JSON lines.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Returns whether all output is JSON lines.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints an error.
    pub(crate) fn error(self, diagnostic: &Diagnostic) {
        self.message(Level::Error, diagnostic);
    }

    /// Prints a warning.
    pub(crate) fn warning(self, diagnostic: &Diagnostic) {
        self.message(Level::Warning, diagnostic);
    }

    /// Prints a note.
    pub(crate) fn note(self, text: &str) {
        to_stderr(&if self.json {
            note_line(text)
        } else {
            format!("{NOTE}note{NOTE:#}: {}\n", Plain(text))
        });
    }

    /// Prints a line to standard error as it is: `--stats json`.
    pub(crate) fn stats(self, line: &str) {
        to_stderr(&format!("{line}\n"));
    }

    /// Prints a table, or one JSON line per row.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn table<R: Row>(self, rows: &[R]) -> Result<(), Stop> {
        if self.json {
            return rows.iter().try_for_each(|row| self.value(row));
        }
        if rows.is_empty() { Ok(()) } else { self.text(&table_text(rows)) }
    }

    /// Returns the width of text on standard output, in columns.
    pub(crate) fn columns(self) -> usize {
        rustix::termios::tcgetwinsize(io::stdout()).map_or(WIDTH, |size| match size.ws_col {
            0 => WIDTH,
            columns => usize::from(columns),
        })
    }

    /// Prints one line of JSON.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn value(self, value: &impl Serialize) -> Result<(), Stop> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Prints text, without colours unless standard output is a terminal.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn text(self, text: &str) -> Result<(), Stop> {
        let mut stdout = anstream::stdout().lock();
        Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?)
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Stop> {
        let mut stdout = io::stdout().lock();
        Ok(stdout.write_all(bytes).and_then(|()| stdout.flush())?)
    }

    fn message(self, level: Level, diagnostic: &Diagnostic) {
        let text = if self.json { json_line(level, diagnostic) } else { message_text(level, diagnostic) };
        to_stderr(&text);
    }
}

/// Prints where the program panicked and nothing else, because the payload of a panic may quote a log line.
pub(crate) fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!("{}:{}:{}", place.file(), place.line(), place.column()));
    let mut diagnostic = Diagnostic::new(&codes::BUG, "this is a bug in oubliette: it has stopped itself")
        .because("something that must always hold did not; no details, for they may quote a log line")
        .hint("please report this place and `oubliette --version`; nothing else is needed");
    diagnostic.place = place;
    to_stderr(&message_text(Level::Error, &diagnostic));
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Because(Box::new(diagnostic))
    }
}

impl From<io::Error> for Stop {
    /// Only for errors of standard output; errors of files must name the file.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::StdoutClosed;
        }
        Diagnostic::new(&codes::STDOUT, "cannot write to standard output")
            .because(error.to_string())
            .hint("make room where it goes, or let it go elsewhere, then run the command again")
            .into()
    }
}

/// Formats a count: `1 line`, `2 lines`; `2 entries` for things that end in `ry`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    match thing.strip_suffix("ry") {
        _ if count == N::from(1) => format!("{count} {thing}"),
        Some(stem) => format!("{count} {stem}ries"),
        None => format!("{count} {thing}s"),
    }
}

/// Formats the message for people.
fn message_text(level: Level, diagnostic: &Diagnostic) -> String {
    let (style, name) = level.shown();
    let mut text = format!("{style}{name}[{}]{style:#}: {}\n", diagnostic.code.id, Plain(&diagnostic.what));
    for (label, detail) in [("where:", &diagnostic.place), ("why:", &diagnostic.why)] {
        for (number, line) in detail.iter().flat_map(|detail| detail.trim_end().lines()).enumerate() {
            let label = if number == 0 { label } else { "" };
            // All lines start in one column, so that a caret under a quoted line points to the right place.
            text.push_str(format!("  {label:<6} {}", Plain(line)).trim_end());
            text.push('\n');
        }
    }
    if let Some(hint) = &diagnostic.hint {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{HINT}hint{HINT:#}: {}\n", Plain(hint));
    }
    text
}

fn json_line(level: Level, diagnostic: &Diagnostic) -> String {
    let message = json!({
        "level": level.shown().1,
        "code": diagnostic.code.id,
        "what": diagnostic.what,
        "where": diagnostic.place,
        "why": diagnostic.why_without_picture(),
        "hint": diagnostic.hint,
    });
    format!("{message}\n")
}

/// Formats a note with the members of a message, so that a program that reads messages can read notes.
fn note_line(text: &str) -> String {
    let nothing = serde_json::Value::Null;
    let note = json!({
        "level": "note", "code": nothing, "what": text, "where": nothing, "why": nothing, "hint": nothing,
    });
    format!("{note}\n")
}

fn table_text<R: Row>(rows: &[R]) -> String {
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let width_of = |column: usize, head: &str| {
        let widest = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(head.len())
    };
    let widths: Vec<usize> =
        R::HEADS.iter().enumerate().map(|(column, head)| width_of(column, head)).collect();
    let heads: Vec<String> = R::HEADS.iter().map(|head| (*head).to_owned()).collect();
    let mut text = format!("{HEAD}{}{HEAD:#}\n", table_line(&heads, &widths));
    for row in &cells {
        text.push_str(&table_line(row, &widths));
        text.push('\n');
    }
    text
}

fn table_line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{:<width$}", Plain(cell).to_string()));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Writes to standard error. If that fails, there is nowhere to report it.
fn to_stderr(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Text without control characters, so that a file name cannot control the terminal.
struct Plain<'a>(&'a str);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            character if character.is_control() => write!(f, "{}", character.escape_default()),
            character => f.write_char(character),
        })
    }
}

impl Level {
    fn shown(self) -> (Style, &'static str) {
        match self {
            Self::Error => (AnsiColor::Red.on_default().bold(), "error"),
            Self::Warning => (AnsiColor::Yellow.on_default().bold(), "warning"),
        }
    }
}

/// The width if there is no terminal.
const WIDTH: usize = 100;
const NOTE: Style = AnsiColor::Green.on_default();
const HINT: Style = AnsiColor::Cyan.on_default();
const HEAD: Style = Style::new().bold();

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn plain(level: Level, diagnostic: &Diagnostic) -> String {
        anstream::adapter::strip_str(&message_text(level, diagnostic)).to_string()
    }

    fn full() -> Diagnostic {
        Diagnostic::new(&codes::CONFIG, "the configuration does not load")
            .at("config.toml")
            .because("TOML parse error at line 1, column 1\n  |\n1 | zoen = 1\n  | ^^^^\nunknown field `zoen`\nexpected `zone`")
            .hint("mend it")
    }

    #[test]
    fn a_message_says_what_where_why_and_how_to_mend() {
        assert_snapshot!(plain(Level::Error, &full()), @r"
        error[C03]: the configuration does not load
          where: config.toml
          why:   TOML parse error at line 1, column 1
                   |
                 1 | zoen = 1
                   | ^^^^
                 unknown field `zoen`
                 expected `zone`

        hint: mend it
        ");
    }

    #[test]
    fn a_message_leaves_out_what_it_does_not_know() {
        let diagnostic = Diagnostic::new(&codes::CONFIG, "short");
        assert_eq!(plain(Level::Warning, &diagnostic), "warning[C03]: short\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let diagnostic = Diagnostic::new(&codes::CONFIG, "a\u{1b}[31mb").at("x\u{7}y").hint("p\rq");
        assert!(plain(Level::Error, &diagnostic).chars().all(|shown| shown == '\n' || !shown.is_control()));
    }

    #[test]
    fn a_message_as_json_is_one_line() {
        let line = json_line(Level::Error, &full());
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["code"]), (&json!("error"), &json!("C03")));
        assert_eq!(value["hint"], json!("mend it"));
        assert_eq!(value["why"], json!("unknown field `zoen`; expected `zone`"));
        let note: serde_json::Value = serde_json::from_str(&note_line("a \"word\"\n")).unwrap();
        assert_eq!((&note["level"], &note["what"]), (&json!("note"), &json!("a \"word\"\n")));
        assert!(note.as_object().unwrap().keys().eq(value.as_object().unwrap().keys()), "{note}");
    }

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl Row for Pair {
        const HEADS: &[&str] = &["KID", "STATE"];
        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_owned()]
        }
    }

    #[test]
    fn columns_of_a_table_line_up() {
        let text = table_text(&[Pair("2epqf", "active"), Pair("longer-than-head", "destroyed")]);
        assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        KID               STATE
        2epqf             active
        longer-than-head  destroyed
        ");
    }

    #[test]
    fn one_and_many() {
        assert_eq!(counted(1, "entry"), "1 entry");
        assert_eq!(counted(0, "entry"), "0 entries");
        assert_eq!(counted(2, "day"), "2 days");
    }

    #[test]
    fn a_closed_standard_output_is_a_clean_end() {
        let closed = Stop::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Stop::StdoutClosed));
        let Stop::Because(full) = Stop::from(io::Error::from(io::ErrorKind::StorageFull)) else {
            panic!("a full disk is no end")
        };
        assert!(full.hint.is_some(), "{full}");
    }
}
