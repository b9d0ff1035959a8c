//! Draws a line as a picture: its text, marks under the identifiers in it, and what they are.
//!
//! A line is untrusted bytes. Whatever a terminal would act on or would not show is escaped: `\n`, `\x1b`,
//! `\xff`, `\u{202e}`. Rows without a mark are left out, except the first, so that a line of megabytes gives
//! a picture of a few rows. The work is linear, and the memory that of one row.

use crate::jobs::explain::Mark;
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;

/// Draws `line`, `columns` wide, with `marks`, which must be sorted and disjoint.
pub(crate) fn draw(line: &[u8], marks: &[Mark], columns: usize) -> String {
    let columns = columns.saturating_sub(INDENT.len()).max(NARROWEST);
    let mut picture =
        Picture { marks, columns, row: Row::default(), shown: String::new(), held: None, hidden: 0, rows: 0 };
    let mut offset = 0;
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            picture.put(offset, character.len_utf8(), shown(character));
            offset += character.len_utf8();
        }
        for &byte in chunk.invalid() {
            picture.put(offset, 1, Glyph::spelt(format!("\\x{byte:02x}")));
            offset += 1;
        }
    }
    picture.end_row();
    picture.end_hidden();
    picture.shown
}

struct Picture<'a> {
    /// The marks that do not end before the current position.
    marks: &'a [Mark],
    columns: usize,
    row: Row,
    shown: String,
    /// A row without a mark. It is shown if it is the only one, because a note in its place would be as long.
    held: Option<Row>,
    /// Bytes of the rows left out since the last shown row, if there was more than one.
    hidden: usize,
    rows: usize,
}

/// A row that is being filled.
#[derive(Default)]
struct Row {
    text: String,
    columns: usize,
    bytes: usize,
    pieces: Vec<Piece>,
}

/// The part of a mark in one row.
struct Piece {
    column: usize,
    columns: usize,
    /// Its range in the text of the row.
    text: std::ops::Range<usize>,
    style: Style,
    /// The label of the mark; empty in all rows after the first.
    label: String,
}

struct Glyph {
    text: String,
    columns: usize,
}

impl Glyph {
    fn spelt(text: String) -> Self {
        let columns = text.len();
        Self { text, columns }
    }

    /// Escapes a character of width 0: a mark that starts with a combining character would have no column.
    fn with_width(self) -> Self {
        if self.columns > 0 { self } else { Self::spelt(self.text.escape_unicode().to_string()) }
    }
}

impl Picture<'_> {
    /// Adds the glyph at byte `offset` of the line, which stands for `bytes` bytes.
    fn put(&mut self, offset: usize, bytes: usize, glyph: Glyph) {
        while let [first, rest @ ..] = self.marks
            && first.end <= offset
        {
            self.marks = rest;
        }
        let marked = self.marks.first().filter(|mark| mark.start <= offset);
        let marked = marked.map(|mark| (mark, mark.start == offset));
        let glyph = match marked {
            Some((_, true)) => glyph.with_width(),
            _ => glyph,
        };
        if self.row.columns + glyph.columns > self.columns {
            self.end_row();
        }
        self.row.put(&glyph, bytes, marked);
    }

    fn end_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        self.rows += 1;
        if self.rows > 1 && row.pieces.is_empty() {
            if self.hidden == 0 && self.held.is_none() {
                self.held = Some(row);
            } else {
                self.hidden += row.bytes + self.held.take().map_or(0, |held| held.bytes);
            }
        } else {
            self.end_hidden();
            row.show(&mut self.shown, self.columns);
        }
    }

    fn end_hidden(&mut self) {
        if let Some(row) = self.held.take() {
            row.show(&mut self.shown, self.columns);
        }
        let bytes = std::mem::take(&mut self.hidden);
        if bytes > 0 {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(self.shown, "{INDENT}{DIM}... {bytes} bytes without findings ...{DIM:#}");
        }
    }
}

impl Row {
    /// Adds a glyph. `mark` is the mark that covers the glyph, and whether it starts there.
    fn put(&mut self, glyph: &Glyph, bytes: usize, mark: Option<(&Mark, bool)>) {
        let start = self.text.len();
        self.text.push_str(&glyph.text);
        if let Some((mark, starts)) = mark {
            if starts || self.pieces.last().is_none_or(|last| last.text.end != start) {
                let label = if starts { format!("{} ({})", mark.kind, mark.rule) } else { String::new() };
                let style = style(&mark.kind);
                self.pieces.push(Piece {
                    column: self.columns,
                    columns: 0,
                    text: start..start,
                    style,
                    label,
                });
            }
            if let Some(piece) = self.pieces.last_mut() {
                piece.columns += glyph.columns;
                piece.text.end = self.text.len();
            }
        }
        self.columns += glyph.columns;
        self.bytes += bytes;
    }

    fn show(&self, out: &mut String, columns: usize) {
        out.push_str(INDENT);
        let mut done = 0;
        for Piece { text, style, .. } in &self.pieces {
            let (before, marked) = (&self.text[done..text.start], &self.text[text.clone()]);
            let _ = write!(out, "{before}{style}{marked}{style:#}");
            done = text.end;
        }
        let _ = writeln!(out, "{}", &self.text[done..]);
        if self.pieces.is_empty() {
            return;
        }
        let carets = self.pieces.iter().map(|piece| (piece.column, "^".repeat(piece.columns), piece.style));
        show_at(out, carets);
        for line in self.label_lines(columns) {
            show_at(out, line.into_iter().map(|(column, piece)| (column, piece.label.clone(), piece.style)));
        }
    }

    /// Places each label under the start of its mark, in the first line with room for it.
    fn label_lines(&self, columns: usize) -> Vec<Vec<(usize, &Piece)>> {
        let mut lines: Vec<(usize, Vec<(usize, &Piece)>)> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.label.is_empty()) {
            let column = piece.column.min(columns.saturating_sub(piece.label.len()));
            let end = column + piece.label.len() + LABEL_GAP;
            match lines.iter_mut().find(|(free_from, _)| *free_from <= column) {
                Some((free_from, line)) => {
                    line.push((column, piece));
                    *free_from = end;
                }
                None => lines.push((end, vec![(column, piece)])),
            }
        }
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// Shows texts in one line, each at its column. The columns must increase, and the texts must not overlap.
fn show_at(out: &mut String, texts: impl Iterator<Item = (usize, String, Style)>) {
    out.push_str(INDENT);
    let mut at = 0;
    for (column, text, style) in texts {
        let _ = write!(out, "{:gap$}{style}{text}{style:#}", "", gap = column.saturating_sub(at));
        at = at.max(column) + text.len();
    }
    out.push('\n');
}

/// Returns the form in which a character is shown, with its width in columns.
fn shown(character: char) -> Glyph {
    let steers = character.is_control() || FORMATTING.iter().any(|range| range.contains(&character));
    match character.width() {
        Some(columns) if !steers => Glyph { text: character.to_string(), columns },
        _ => Glyph::spelt(match character {
            '\t' | '\r' | '\n' => character.escape_default().to_string(),
            character if character.is_ascii() => format!("\\x{:02x}", u32::from(character)),
            character => character.escape_unicode().to_string(),
        }),
    }
}

fn style(kind: &str) -> Style {
    let colour = match kind {
        "ip" => AnsiColor::Red,
        "em" => AnsiColor::Magenta,
        "fk" => AnsiColor::Yellow,
        _ => AnsiColor::Cyan,
    };
    colour.on_default().bold()
}

/// Characters that have no glyph of their own, reverse the text or widen the previous character (Unicode 16:
/// category Cf, the line and paragraph separators, and the variation selectors).
const FORMATTING: [std::ops::RangeInclusive<char>; 10] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{e0000}'..='\u{e007f}',
];

const INDENT: &str = "  ";
const LABEL_GAP: usize = 2;
/// A narrower row would have no room for the widest glyph (`\u{10ffff}`).
const NARROWEST: usize = 20;
const DIM: Style = Style::new().dimmed();

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    fn mark(span: std::ops::Range<usize>, kind: &str, rule: &str) -> Mark {
        Mark { start: span.start, end: span.end, kind: kind.to_owned(), rule: rule.to_owned() }
    }

    fn marked(line: &[u8], texts: &[(&str, &str)]) -> Vec<Mark> {
        let find =
            |text: &str| line.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        texts.iter().map(|(text, kind)| mark(find(text)..find(text) + text.len(), kind, "rule")).collect()
    }

    fn plain(line: &[u8], texts: &[(&str, &str)], columns: usize) -> String {
        anstream::adapter::strip_str(&draw(line, &marked(line, texts), columns)).to_string()
    }

    #[test]
    fn marks_stand_under_what_they_mark() {
        let line = b"from=<jo@example.org>, client=host[192.0.2.1]:4711";
        assert_snapshot!(plain(line, &[("jo@example.org", "em"), ("192.0.2.1", "ip")], 80), @r"
          from=<jo@example.org>, client=host[192.0.2.1]:4711
                ^^^^^^^^^^^^^^               ^^^^^^^^^
                em (rule)                    ip (rule)
        ");
    }

    #[test]
    fn labels_that_would_collide_go_to_the_next_line() {
        let line = b"192.0.2.1,192.0.2.2,192.0.2.3";
        let texts = [("192.0.2.1", "ip"), ("192.0.2.2", "ip"), ("192.0.2.3", "ip")];
        assert_snapshot!(plain(line, &texts, 80), @r"
          192.0.2.1,192.0.2.2,192.0.2.3
          ^^^^^^^^^ ^^^^^^^^^ ^^^^^^^^^
          ip (rule)           ip (rule)
                    ip (rule)
        ");
    }

    #[test]
    fn bytes_a_terminal_would_act_on_are_spelt_out() {
        let line = "\u{1b}[31m\ta\u{202e}b\u{4e16}\u{754c}e\u{301} 192.0.2.1\u{7f}".as_bytes();
        let picture = plain(&[line, b"\xff\xfe\0"].concat(), &[("192.0.2.1", "ip")], 90);
        assert_snapshot!(picture.replace(['\u{4e16}', '\u{754c}'], "WW").replace('\u{301}', ""), @r"
          \x1b[31m\ta\u{202e}bWWWWe 192.0.2.1\x7f\xff\xfe\x00
                                    ^^^^^^^^^
                                    ip (rule)
        ");
    }

    #[test]
    fn a_mark_may_go_over_the_end_of_a_row() {
        let line = b"0123456789012345678901234 jean.dupont@example.org after";
        assert_snapshot!(plain(line, &[("jean.dupont@example.org", "em")], 42), @r"
          0123456789012345678901234 jean.dupont@ex
                                    ^^^^^^^^^^^^^^
                                    em (rule)
          ample.org after
          ^^^^^^^^^
        ");
    }

    #[test]
    fn rows_without_a_mark_are_left_out() {
        let line = [&b"x".repeat(100)[..], b" 192.0.2.1 ", &b"y".repeat(1000)].concat();
        assert_snapshot!(plain(&line, &[("192.0.2.1", "ip")], 32), @r"
          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
          ... 60 bytes without findings ...
          xxxxxxxxxx 192.0.2.1 yyyyyyyyy
                     ^^^^^^^^^
                     ip (rule)
          ... 991 bytes without findings ...
        ");
    }

    #[test]
    fn a_mark_that_starts_with_a_combining_character_has_its_column() {
        let line = "0123456789012345678e\u{301}192.0.2.1".as_bytes();
        assert_snapshot!(plain(line, &[("\u{301}192.0.2.1", "ip")], 22), @r"
          0123456789012345678e
          \u{301}192.0.2.1
          ^^^^^^^^^^^^^^^^
          ip (rule)
        ");
    }

    #[test]
    fn an_empty_line_is_an_empty_row() {
        assert_eq!(plain(b"", &[], 80), "  \n");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_picture_that_fits(
            line in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), "\\PC{0,100}".prop_map(String::into_bytes)],
            cuts in prop::collection::btree_set(0usize..300, 0..12),
            columns in 0usize..120,
        ) {
            let cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= line.len()).collect();
            let marks: Vec<Mark> = cuts.chunks_exact(2).map(|pair| mark(pair[0]..pair[1], "ip", "r")).collect();
            let picture = anstream::adapter::strip_str(&draw(&line, &marks, columns)).to_string();
            let columns = columns.max(NARROWEST + INDENT.len());
            let rows = picture.lines().filter(|row| !row.starts_with("  ... "));
            prop_assert!(rows.map(unicode_width::UnicodeWidthStr::width).all(|row| row <= columns), "{}", picture);
            prop_assert!(picture.chars().all(|shown| shown == '\n' || !shown.is_control()));
        }
    }
}
