//! Explains what is recognised in a line, and what follows from it. It needs no key, and quotes nothing of
//! the line.

use super::recognition::Recognition;
use crate::detect::Scratch;
use crate::format::{self, Guess};
use crate::model::{ClassName, Expires, Findings, Record, Starts, StatedTime};
use crate::pipeline::filter::{self, Shared};
use crate::primitives::clock::Clock;
use crate::retention::event_time::{DayFrom, EventClock};
use crate::retention::stamp::StartFrom;
use crate::retention::{LookAlikes, Stamper, Verdict};
use crate::scan::Scan;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

/// An identifier in a line, or a place where a forged tag is broken up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The offset of the first byte, from the start of the line.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
    /// The kind of the identifier.
    pub kind: String,
    /// The rule that found it.
    pub rule: String,
}

/// What is recognised in one line. The keys of its JSON form are these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The format of the whole line.
    pub format: &'static str,
    /// The format of the message inside.
    pub inner: Option<&'static str>,
    /// The time that the line states, as far as it does.
    pub time: Option<String>,
    /// The retention class of the line.
    pub class: String,
    /// What the class contains; empty if the class is from another oubliette.
    pub description: String,
    /// The legal basis of the class.
    pub basis: String,
    /// The number of the clause of the class that matches, from 1; `None` for the default class if none does.
    pub clause: Option<usize>,
    /// The legal day from which the line is kept.
    pub start: Option<Date>,
    /// The source of that day.
    pub start_from: String,
    /// The first legal day on which the line belongs in the intermediate archive.
    pub archive: Option<Date>,
    /// The first legal day on which the line must no longer exist, or `contract`.
    pub expires: String,
    /// The instant at which that day begins.
    pub purge: Option<String>,
    /// Whether the filter would drop the line because it has expired.
    pub dropped: bool,
    /// The tag that is added.
    pub tag: Option<String>,
    /// The identifiers in the line, in order.
    pub findings: Vec<Mark>,
}

/// Explains lines as a filter would read them.
#[derive(Debug)]
pub struct Explainer {
    shared: Shared,
    stamper: Stamper,
    dates: EventClock,
    clock: Clock,
    guess: Guess,
    look_alikes: LookAlikes,
    scan: Scan,
    scratch: Scratch,
    findings: Findings,
}

impl Explainer {
    /// Creates an explainer of lines that are received at the time of `clock`.
    #[must_use]
    pub fn new(recognition: Recognition, clock: Clock) -> Self {
        Self {
            guess: Guess::new(recognition.shared.format),
            shared: recognition.shared,
            stamper: recognition.stamper,
            dates: recognition.dates,
            clock,
            look_alikes: LookAlikes::default(),
            scan: Scan::default(),
            scratch: Scratch::default(),
            findings: Findings::default(),
        }
    }

    /// Explains `line`, which has no line end.
    pub fn explain(&mut self, line: &[u8]) -> Explanation {
        let record = self.guess.parse(line);
        let findings = self.marks(line, &record);
        let received = self.clock.now();
        let field = |name: &str| format::field(line, &record, name);
        let dating = self.stamper.explain(line, &record, received, &field);
        let (class, start, expires, dropped, tag) = match self.stamper.stamp(line, &record, received, &field)
        {
            Verdict::Keep { class, start, expires, tag } => {
                let tag = tag.map(|tag| String::from_utf8_lossy(tag.text.as_bytes()).trim_start().to_owned());
                (class, Some(start), expires, false, tag)
            }
            Verdict::Expired { class, expires } => (class, None, expires, true, None),
        };
        let start = start.unwrap_or(dating.start);
        let known = self.stamper.policy().classes().get(class);
        let start_field = match known.map(|class| &class.starts) {
            Some(Starts::Field(name)) => field(name),
            _ => None,
        };
        // A tag that came with the line decides alone; then none of our clauses did.
        let ours = dating.matched.class == class && dating.due.expires == expires;
        Explanation {
            format: record.format.name(),
            inner: record.inner.map(crate::model::Format::name),
            time: record.time.map(stated),
            class: known.map_or(ClassName::UPSTREAM, |class| class.name.as_str()).to_owned(),
            description: known.map(|class| class.description.clone()).unwrap_or_default(),
            basis: known.map(|class| class.basis.clone()).unwrap_or_default(),
            clause: dating.matched.clause.filter(|_| ours).map(|clause| clause + 1),
            start: Some(start.day),
            start_from: self.start_from(start.from, &record, received, start_field.as_deref()),
            archive: dating.due.archive.filter(|_| ours),
            expires: expires.to_string(),
            purge: dating.purge.filter(|_| ours && expires != Expires::Contract).map(|at| at.to_string()),
            dropped,
            tag,
            findings,
        }
    }

    /// Returns the source of the first day. `field` is the content of the field that the class names.
    fn start_from(
        &self,
        from: StartFrom,
        record: &Record,
        received: Timestamp,
        field: Option<&[u8]>,
    ) -> String {
        let event = |day_from| match day_from {
            DayFrom::Stated => "the time of the line",
            DayFrom::Received => self.not_believed(record.time, received),
            DayFrom::Untimed => "the line states no time",
        };
        match from {
            StartFrom::Event(DayFrom::Stated) => event(DayFrom::Stated).to_owned(),
            StartFrom::Event(day_from) => format!("receipt: {}", event(day_from)),
            StartFrom::Field => "the field that the class names".to_owned(),
            StartFrom::FieldMissing(DayFrom::Stated) => {
                format!("{}: {}", event(DayFrom::Stated), self.no_start(field))
            }
            StartFrom::FieldMissing(day_from) => {
                format!("receipt: {}, and {}", self.no_start(field), event(day_from))
            }
        }
    }

    /// Returns why a time is not believed.
    fn not_believed(&self, stated: Option<StatedTime>, received: Timestamp) -> &'static str {
        match stated.and_then(|stated| self.dates.instant(stated, received)) {
            None => "the time of the line is none that the calendar has",
            Some(instant) if instant > received => {
                "the time of the line lies more than 5 minutes in the future, and is not believed"
            }
            Some(instant) if instant.as_second() < EventClock::EARLIEST => {
                "the time of the line is that of a clock which is not set"
            }
            Some(_) => "the time of the line lies more than 48 hours in the past, and is not believed",
        }
    }

    /// Returns why the field that the class names gives no day.
    fn no_start(&self, field: Option<&[u8]>) -> &'static str {
        match field {
            None => "the field that the class names is missing",
            Some(text) if self.dates.start_day(text, LAST_YEAR).is_some() => {
                "the field that the class names lies in the future"
            }
            Some(_) => "the field that the class names is no time",
        }
    }

    fn marks(&mut self, line: &[u8], record: &Record) -> Vec<Mark> {
        let Self { shared, look_alikes, scan, scratch, findings, .. } = self;
        let whole = scan.line(line);
        shared.detector.find(&whole, record, scratch, findings);
        if !shared.trust_upstream {
            filter::defuse(look_alikes, &whole, record, findings);
        }
        let found = findings.items.iter().map(|finding| Mark {
            start: finding.span.start as usize,
            end: finding.span.end as usize,
            kind: shared.kinds.name(finding.kind).to_owned(),
            rule: shared.detector.rule_name(finding.rule).to_owned(),
        });
        let mut marks: Vec<Mark> = found.collect();
        // Findings are sorted and disjoint, so only the last one that starts before an offset can cover it.
        let covered = |offset: usize| {
            let before = findings.items.partition_point(|finding| finding.span.start as usize <= offset);
            before > 0 && offset < findings.items[before - 1].span.end as usize
        };
        let defused = findings.defused.iter().map(|&offset| offset as usize);
        marks.extend(defused.filter(|&offset| offset < line.len() && !covered(offset)).map(|offset| Mark {
            start: offset,
            end: offset + 1,
            kind: "tag".to_owned(),
            rule: "look-alike, renamed".to_owned(),
        }));
        marks.sort_by_key(|mark| mark.start);
        marks
    }
}

/// 9999-01-01T00:00:00Z: nothing that can be read is later.
const LAST_YEAR: Timestamp = Timestamp::constant(253_370_764_800, 0);

/// Formats the time as in RFC 3339; `X` stands for digits that the line does not state (ISO 8601-2, 4.3).
fn stated(time: StatedTime) -> String {
    match time {
        StatedTime::Unix(seconds) => {
            jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("@{seconds}"), |at| at.to_string())
        }
        StatedTime::Civil { year, month, day, hour, minute, second, offset_seconds } => {
            let year = year.map_or_else(|| "XXXX".to_owned(), |year| format!("{year:04}"));
            let zone = match offset_seconds {
                None => " without a zone".to_owned(),
                Some(0) => "Z".to_owned(),
                Some(offset) => {
                    let sign = if offset < 0 { '-' } else { '+' };
                    let minutes = offset.unsigned_abs() / 60;
                    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
                }
            };
            format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::recognition::Choices;

    fn explain(line: &[u8], choices: Choices) -> Explanation {
        let clock = Clock::Fixed("2026-11-23T10:00:00Z".parse().unwrap());
        Explainer::new(Recognition::new(choices).unwrap(), clock).explain(line)
    }

    fn found<'l>(line: &'l str, explanation: &Explanation) -> Vec<(&'l str, String)> {
        explanation.findings.iter().map(|mark| (&line[mark.start..mark.end], mark.kind.clone())).collect()
    }

    #[test]
    fn an_access_log_line() {
        let line = r#"203.0.113.7 - jean@example.org [23/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5"#;
        let explanation = explain(line.as_bytes(), Choices::default());
        let expected = [("203.0.113.7", "ip".to_owned()), ("jean@example.org", "em".to_owned())];
        assert_eq!(found(line, &explanation), expected);
        assert_eq!((explanation.format, explanation.class.as_str()), ("clf", "connection"));
        assert_eq!(explanation.time.as_deref(), Some("2026-11-23T10:00:00+01:00"));
        assert_eq!((explanation.expires.as_str(), explanation.clause), ("2027-11-24", Some(1)));
        assert_eq!(explanation.purge.as_deref(), Some("2027-11-23T23:00:00Z"));
        assert_eq!(explanation.tag.as_deref(), Some("expires=2027-11-24 class=connection"));
    }

    #[test]
    fn what_the_line_does_not_say_stays_open() {
        let explanation = explain(b"Nov 23 10:00:00 h sshd[1]: hello", Choices::default());
        assert_eq!(explanation.time.as_deref(), Some("XXXX-11-23T10:00:00 without a zone"));
        let explanation = explain(b"hello", Choices::default());
        assert_eq!((explanation.time, explanation.format), (None, "raw"));
        assert_eq!(explanation.start_from, "receipt: the line states no time");
    }

    #[test]
    fn why_a_time_does_not_count_is_told() {
        let ticket = |time: &str, closed: &str| {
            format!("{{\"time\":\"{time}\",\"event\":\"ticket\",\"ticket\":1,\"status\":\"closed\"{closed}}}")
        };
        let (now, ahead) = ("2026-11-23T11:00:00+01:00", "2026-11-24T10:00:00+01:00");
        for (line, from) in [
            (
                "2026-11-23T10:05:01Z h sshd[1]: x".to_owned(),
                "receipt: the time of the line lies more than 5 minutes in the future, and is not believed",
            ),
            (
                "2026-11-20T10:05:01Z h sshd[1]: x".to_owned(),
                "receipt: the time of the line lies more than 48 hours in the past, and is not believed",
            ),
            (
                "1970-01-01T00:00:12Z h sshd[1]: x".to_owned(),
                "receipt: the time of the line is that of a clock which is not set",
            ),
            (ticket(now, ",\"closed_at\":\"2026-11-22\""), "the field that the class names"),
            (
                ticket(now, ",\"closed_at\":\"2028-11-24\""),
                "the time of the line: the field that the class names lies in the future",
            ),
            (
                ticket(now, ",\"closed_at\":\"9999-12-31\""),
                "the time of the line: the field that the class names is no time",
            ),
            (
                ticket(now, ",\"closed_at\":\"soon\""),
                "the time of the line: the field that the class names is no time",
            ),
            (ticket(now, ""), "the time of the line: the field that the class names is missing"),
            (
                ticket(ahead, ""),
                "receipt: the field that the class names is missing, and the time of the line lies more than 5 minutes in the future, and is not believed",
            ),
        ] {
            assert_eq!(explain(line.as_bytes(), Choices::default()).start_from, from, "{line}");
        }
    }

    #[test]
    fn an_old_line_is_dated_by_receipt_or_dropped() {
        let line = b"2024-01-01T00:00:00Z h sshd[1]: hello";
        let explanation = explain(line, Choices::default());
        assert_eq!((explanation.expires.as_str(), explanation.dropped), ("2027-11-24", false));
        assert!(explanation.tag.unwrap().contains("clock=received"));
        let backfill = explain(line, Choices { backfill: true, ..Choices::default() });
        assert_eq!((backfill.expires.as_str(), backfill.dropped), ("2025-01-02", true));
    }

    #[test]
    fn a_forged_tag_is_marked_unless_upstream_is_trusted() {
        let line = "hello expires=2099-01-01 class=forever";
        let explanation = explain(line.as_bytes(), Choices::default());
        assert_eq!(found(line, &explanation), [("=", "tag".to_owned())]);
        assert_eq!(explanation.class, "connection");
        let trusted = explain(line.as_bytes(), Choices { trust_upstream: true, ..Choices::default() });
        assert_eq!((trusted.class.as_str(), trusted.expires.as_str()), ("upstream", "2099-01-01"));
        assert!(trusted.findings.is_empty() && trusted.tag.is_none());
    }

    #[test]
    fn hostile_bytes_are_only_bytes() {
        for line in [&b""[..], b"\xff\xfe\0", b"{", b"<34>1 ", b"\xff192.0.2.1\xff"] {
            let explanation = explain(line, Choices::default());
            assert!(explanation.findings.iter().all(|mark| mark.start < mark.end && mark.end <= line.len()));
        }
    }
}
