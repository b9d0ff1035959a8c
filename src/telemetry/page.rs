//! The status page: renders a snapshot for a person. It works without scripts, on a phone, in light and dark
//! mode, and with a screen reader.

use super::snapshot::{Counts, Snapshot, State};
use std::fmt::{Display, Write as _};

/// The style sheet, to which the page links.
pub(super) const STYLE: &str = include_str!("page.css");

/// Renders `snapshot` as a page.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    let concerns = snapshot.concerns();
    let (class, headline) = match (snapshot.state, concerns.is_empty()) {
        (State::Running, true) => ("well", "Everything is in order"),
        (State::Starting, true) => ("calm", "Starting"),
        (State::Draining, true) => ("calm", "Stopping: what came is being written"),
        _ => ("ill", "Something needs a look"),
    };
    // Writing to memory cannot fail.
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{headline} - oubliette</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n\
         <header>\n<h1>oubliette</h1>\n<p>version {}, {} for {}</p>\n</header>\n<main>\n\
         <p class=\"state {class}\" role=\"status\"><strong>{headline}</strong></p>\n",
        env!("CARGO_PKG_VERSION"),
        snapshot.state.name(),
        duration(snapshot.uptime.as_secs()),
    );
    if !concerns.is_empty() {
        let items = concerns.iter().map(|concern| format!("<li>{}</li>\n", escaped(concern)));
        let _ = write!(page, "<ul class=\"concerns\">\n{}</ul>\n", items.collect::<String>());
    }
    lines(&mut page, snapshot);
    inputs(&mut page, snapshot);
    archive(&mut page, snapshot);
    outputs(&mut page, snapshot);
    counts(&mut page, "Identifiers replaced, by kind", "Kind", &snapshot.kinds);
    counts(&mut page, "Identifiers replaced, by rule", "Rule", &snapshot.rules);
    counts(&mut page, "Lines, by retention class", "Class", &snapshot.classes);
    counts(&mut page, "Lines, by format", "Format", &snapshot.formats);
    page.push_str(
        "</main>\n<footer>\n<p><a href=\"./\">Reload</a> <a href=\"metrics\">Metrics</a></p>\n\
         <p>Counts are since the start. No line, identifier or key is shown here.</p>\n</footer>\n</body>\n</html>\n",
    );
    page
}

fn lines(page: &mut String, snapshot: &Snapshot) {
    let lines = &snapshot.lines;
    let sum = if snapshot.balanced() { "every line is accounted for" } else { "lines are not accounted for" };
    let rows = [
        ("In", grouped(lines.lines_in)),
        ("Out", grouped(lines.lines_out)),
        ("Quarantined", grouped(lines.quarantined)),
        ("Dropped by rule", grouped(lines.dropped)),
        ("On their way", grouped(snapshot.on_their_way())),
        ("Came again after the start", grouped(snapshot.repeated)),
    ];
    table(
        page,
        &format!("Lines: {sum}"),
        &["What became of them", "Lines"],
        &rows.map(|(name, count)| vec![name.into(), count]),
    );
}

fn inputs(page: &mut String, snapshot: &Snapshot) {
    let row = |input: &super::snapshot::Input| {
        let numbers = [input.lines, input.bytes, input.connections, input.broken];
        [input.name.clone()].into_iter().chain(numbers.map(grouped)).collect()
    };
    let rows: Vec<Vec<String>> = snapshot.inputs.iter().map(row).collect();
    table(page, "Inputs", &["Input", "Lines", "Bytes", "Connections", "Broken off"], &rows);
}

fn archive(page: &mut String, snapshot: &Snapshot) {
    let lag = snapshot.lag.oldest.as_secs_f64();
    let next = snapshot.purge.map_or_else(
        || "nothing is archived yet".to_owned(),
        |next| match next.days {
            ..0 => format!("{}, overdue", next.expires),
            0 => format!("{}, today", next.expires),
            1 => format!("{}, tomorrow", next.expires),
            days => format!("{}, in {} days", next.expires, grouped(days.unsigned_abs())),
        },
    );
    let rows = [
        vec!["Oldest line that is not durable".to_owned(), format!("{lag:.1} s")],
        vec!["Segments being written".to_owned(), grouped(snapshot.open_segments)],
        vec!["Next purge".to_owned(), next],
    ];
    table(page, "Archive", &["What", "Now"], &rows);
}

fn outputs(page: &mut String, snapshot: &Snapshot) {
    let row = |output: &super::snapshot::Output| {
        let required = if output.required { ", required" } else { "" };
        let away = if output.away { ", away" } else { "" };
        vec![
            format!("{}{required}", output.name),
            grouped(output.delivered),
            format!("{} lines, {} bytes{away}", grouped(output.spool_lines), grouped(output.spool_bytes)),
            grouped(output.dropped),
            grouped(output.refused),
        ]
    };
    let rows: Vec<Vec<String>> = snapshot.outputs.iter().map(row).collect();
    table(page, "Outputs", &["Output", "Lines taken over", "Waiting", "Dropped", "Refused"], &rows);
}

fn counts(page: &mut String, caption: &str, what: &str, counts: &Counts) {
    let rows: Vec<Vec<String>> =
        counts.iter().map(|(name, count)| vec![name.clone(), grouped(*count)]).collect();
    table(page, caption, &[what, "Count"], &rows);
}

/// Adds a table whose first column names its rows. Adds nothing if there are no rows.
fn table(page: &mut String, caption: &str, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        let close = tag.split(' ').next().unwrap_or_default();
        cells.map(|cell| format!("<{tag}>{}</{close}>", escaped(cell))).collect()
    };
    let head = cells("th scope=\"col\"", &mut head.iter().copied());
    // A table that is wider than the screen scrolls, so it needs a name and must be reachable with the
    // keyboard.
    let _ = write!(
        page,
        "<div class=\"table\" role=\"region\" aria-label=\"{0}\" tabindex=\"0\">\n<table>\n<caption>{0}</caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n",
        escaped(caption)
    );
    for row in rows {
        let mut row = row.iter().map(String::as_str);
        let name = cells("th scope=\"row\"", &mut row.by_ref().take(1));
        let _ = writeln!(page, "<tr>{name}{}</tr>", cells("td", &mut row));
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// Formats a number as `1 234 567`, with narrow no-break spaces.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join("\u{202f}")
}

/// Formats a duration as `2 days 3 h`, `5 h 2 min` or `40 s`: two units are enough.
fn duration(seconds: u64) -> String {
    let units = [(86_400, " days"), (3600, " h"), (60, " min"), (1, " s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in &units[first..units.len().min(first + 2)] {
        let count = left / unit;
        left %= unit;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

fn escaped(text: impl Display) -> String {
    let text = text.to_string();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LineCounts;
    use crate::telemetry::snapshot::{Input, Output, Purge};

    #[test]
    fn names_are_text_and_not_markup() {
        let input = Input { name: "unix /run/<script>&\"".into(), lines: 1_234_567, ..Input::default() };
        let page = render(&Snapshot { inputs: vec![input], ..Snapshot::default() });
        assert!(page.contains("<th scope=\"row\">unix /run/&lt;script&gt;&amp;&quot;</th>"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("1\u{202f}234\u{202f}567"), "{page}");
    }

    #[test]
    fn the_headline_says_whether_all_is_well() {
        let well = Snapshot { state: State::Running, ..Snapshot::default() };
        assert!(render(&well).contains("<strong>Everything is in order</strong>"));
        let lines = LineCounts { lines_in: 1, ..LineCounts::default() };
        let page = render(&Snapshot { taken: 1, lines, ..well });
        assert!(page.contains("<strong>Something needs a look</strong>"), "{page}");
        assert!(page.contains("<li>Lines are not accounted for. Please report this bug.</li>"), "{page}");
    }

    /// Shown even while nothing waits for it.
    #[test]
    fn an_output_that_is_away_is_shown() {
        for (away, headline) in [(false, "Everything is in order"), (true, "Something needs a look")] {
            let output = Output { name: "collector".into(), away, ..Output::default() };
            let page =
                render(&Snapshot { state: State::Running, outputs: vec![output], ..Snapshot::default() });
            assert!(page.contains(headline), "{page}");
            assert_eq!(page.contains("<td>0 lines, 0 bytes, away</td>"), away, "{page}");
        }
    }

    #[test]
    fn the_next_purge_is_told_in_days() {
        let expires = jiff::civil::date(2027, 11, 24);
        for (days, told) in [
            (-1, "2027-11-24, overdue"),
            (0, "2027-11-24, today"),
            (1, "2027-11-24, tomorrow"),
            (363, "in 363 days"),
        ] {
            let page = render(&Snapshot {
                purge: Some(Purge { expires, days, wait: jiff::SignedDuration::from_hours(24 * days) }),
                ..Snapshot::default()
            });
            assert!(page.contains(told), "{page}");
        }
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3725, "1 h 2 min"),
            (86_400 * 3 + 59, "3 days"),
            (180_000, "2 days 2 h"),
        ] {
            assert_eq!(duration(seconds), told);
        }
    }
}
