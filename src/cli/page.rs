//! Renders the report as an HTML page that is self-contained, to be read on a screen, printed or filed. It
//! has no script and fetches nothing; the template escapes every text.

use crate::cli::commands::ledger::in_brief;
use crate::jobs::report::{Class, Kept, Keys, Purged, Report};
use crate::ledger::Entry;
use jiff::civil::Date;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The beginning of the title, which identifies a page as a report.
pub(super) const TITLE: &str = "What is kept in logs";

/// Renders the page.
pub(crate) fn page(report: &Report) -> String {
    let title = format!("{TITLE}, {} to {}", report.from, report.to);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { "Made by oubliette " (env!("CARGO_PKG_VERSION")) " at " (report.made) "; legal days are those of "
                    (report.zone) ". It names no person and holds no token." }
                (attention(&report.attention))
                h2 { "Policy" }
                (table(&["Class", "What it holds", "Kept for", "From", "Legal basis"], report.policy.iter().map(policy)))
                h2 { "In the archive now" }
                (table(&["Class", "Segments", "Lines", "Bytes", "Events", "Must be gone"], report.kept.iter().map(kept)))
                h2 { "Keys" }
                (keys(&report.keys))
                h2 { "Purges" }
                (table(&["Expiry day", "Gone at", "Days late", "Files", "Lines", "Bytes"], report.purges.iter().map(purge)))
                h2 { "Interventions" }
                p { "Holds, searches for a person, disclosures, refusals, confirmed clocks: what somebody did, and what was refused." }
                (table(&["Entry", "At", "Who", "What", "About"], report.interventions.iter().map(intervention)))
                h2 { "How to check this" }
                (proof(report))
            }
        }
    };
    page.into_string()
}

fn attention(lines: &[String]) -> Markup {
    html! {
        h2 { "Needs attention" }
        @if lines.is_empty() {
            p.good { "Nothing: all that is past its day has gone, every purge was ended, every other segment in the ledger is "
                "there, so are the shred keys of vaults, and the ledger is whole. Lines and vaults were not read; "
                code { "oubliette verify DIR" } " does that." }
        } @else {
            ul.bad { @for line in lines { li { (line) } } }
        }
    }
}

fn table<const N: usize>(heads: &[&str; N], rows: impl ExactSizeIterator<Item = [String; N]>) -> Markup {
    html! {
        @if rows.len() == 0 {
            p { "None." }
        } @else {
            div.wide {
                table {
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody { @for row in rows { tr { @for cell in &row { td { (cell) } } } } }
                }
            }
        }
    }
}

fn policy(class: &Class) -> [String; 5] {
    let Class { name, description, keep, starts, basis } = class;
    [name, description, keep, starts, basis].map(Clone::clone)
}

fn kept(kept: &Kept) -> [String; 6] {
    let segments = match kept.parts {
        0 => kept.segments.to_string(),
        parts => format!("{} and {parts} being written", kept.segments),
    };
    let events = span(kept.first_event, kept.last_event, "-");
    let expiry = span(kept.first_expiry, kept.last_expiry, "no end known");
    [kept.class.clone(), segments, kept.lines.to_string(), kept.bytes.to_string(), events, expiry]
}

fn span(first: Option<Date>, last: Option<Date>, unknown: &str) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first == last => first.to_string(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => unknown.to_owned(),
    }
}

fn keys(keys: &Keys) -> Markup {
    let Keys { epoch_secrets_made, epoch_secrets_erased, wraps_erased, shred_keys_made, shred_keys_erased } =
        keys;
    html! {
        p { "Since the ledger began: epoch secrets made " (epoch_secrets_made) ", erased on this node "
            (epoch_secrets_erased) ", their wraps " (wraps_erased) "; shred keys, one for each expiry day, made " (shred_keys_made) ", erased "
            (shred_keys_erased) ". Without its shred key nobody can tell whose the tokens of a day are, in "
            "any copy." }
    }
}

fn purge(purge: &Purged) -> [String; 6] {
    let Purged { expires, at, days_late, files, lines, bytes } = purge;
    let (files, lines, bytes) = (files.to_string(), lines.to_string(), bytes.to_string());
    [expires.to_string(), at.to_string(), days_late.to_string(), files, lines, bytes]
}

fn intervention(entry: &Entry) -> [String; 5] {
    let Entry { n, at, who, event, .. } = entry;
    [n.to_string(), at.to_string(), who.clone(), event.replace('-', " "), in_brief(entry)]
}

fn proof(report: &Report) -> Markup {
    html! {
        p { "Every figure comes from the ledger, whose " (report.ledger_entries) " entries are chained and signed, "
            "and from the sealed segments. These commands check both, and need no secret:" }
        pre { "oubliette ledger verify --expect " (report.ledger_end) "\noubliette verify DIR" }
    }
}

const STYLE: &str = "\
body{font:1rem/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ccc;overflow-wrap:anywhere}\
th{background:#f2f2f2}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f2f2f2;padding:.6rem}\
.good{color:#0a5c2b}.bad{color:#8a1010;font-weight:600}\
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(attention: &[&str]) -> Report {
        Report {
            made: "2026-11-23T10:00:00Z".parse().unwrap(),
            zone: "Europe/Paris".to_owned(),
            from: jiff::civil::date(2026, 1, 1),
            to: jiff::civil::date(2026, 11, 23),
            attention: attention.iter().map(|&line| line.to_owned()).collect(),
            policy: Vec::new(),
            kept: vec![Kept { class: "connection".to_owned(), segments: 2, parts: 1, ..Kept::default() }],
            keys: Keys::default(),
            purges: Vec::new(),
            interventions: vec![Entry {
                n: 7,
                at: "2026-11-23T10:00:00Z".parse().unwrap(),
                clock: None,
                day: jiff::civil::date(2026, 11, 23),
                who: "<b>root</b>".to_owned(),
                event: "hold-added".to_owned(),
                about: json!({ "case": "<script>alert(1)</script>" }),
                prev: String::new(),
            }],
            ledger_entries: 7,
            ledger_end: "7:00".to_owned(),
        }
    }

    #[test]
    fn what_others_typed_is_text() {
        let page = page(&report(&[]));
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("hold added"));
    }

    #[test]
    fn what_needs_attention_is_said_or_that_nothing_does() {
        assert!(page(&report(&[])).contains("class=\"good\""));
        let page = page(&report(&["a purge of 2026-11-01 was begun and not ended"]));
        assert!(page.contains("not ended") && !page.contains("class=\"good\""));
    }

    #[test]
    fn spans_of_days() {
        let (first, last) = (Some(jiff::civil::date(2026, 1, 1)), Some(jiff::civil::date(2026, 1, 2)));
        assert_eq!(span(first, last, "-"), "2026-01-01 to 2026-01-02");
        assert_eq!(span(first, first, "-"), "2026-01-01");
        assert_eq!(span(None, None, "-"), "-");
        assert_eq!(kept(&report(&[]).kept[0])[1], "2 and 1 being written");
    }
}
