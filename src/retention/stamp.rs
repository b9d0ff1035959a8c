//! The stamper: determines class, legal day, expiry and tag of each line.

use super::event_time::{DayFrom, EventClock, EventDay, whole_seconds};
use super::expiry::{self, Due};
use super::memo::{Days, Envelope, Instants, Shortlists, Tag, TagKey, Tags, Verdicts};
use super::options::{Options, TagForm};
use super::policy::{FieldOf, Match, Policy};
use super::tag::{self, ExistingTag};
use crate::model::{
    Expires, Format, Idiom, Placement, Record, RenderedTag, Span, Starts, StatedTime, TagPoint,
};
use jiff::Timestamp;
use jiff::civil::Date;
use std::sync::Arc;

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Keep it.
    Keep {
        /// Index of the class in the policy; [`Policy::upstream`] if the line's own tag names an unknown class.
        class: usize,
        /// The day from which the line is kept.
        start: Start,
        /// The first legal day on which the line must no longer exist.
        expires: Expires,
        /// The tag to insert; `None` with `--tag none`, or if the line already has a trusted tag.
        tag: Option<Placement<'a>>,
    },
    /// The line has expired already (only with `--backfill` or for an archive): drop and count it.
    Expired {
        /// Index of the class in the policy.
        class: usize,
        /// The day on which the line expired.
        expires: Expires,
    },
}

/// The day from which a line is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The legal day.
    pub day: Date,
    /// Where the day comes from.
    pub from: StartFrom,
}

/// Where a start day comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartFrom {
    /// The time that the line states, or its receipt.
    Event(DayFrom),
    /// The field that the class names.
    Field,
    /// The class names a field, but the line does not have it, or it holds no date or a future one. The
    /// day of the event counts instead. Count and report such lines.
    ///
    /// The alternative, no expiry until the field appears, would keep the line forever, because a stored
    /// line is never dated again. Keeping lines too long is an offence, and the classes that start at a
    /// field are those for which the law sets a limit, not a duty to keep; so the earlier day is the safe one.
    FieldMissing(DayFrom),
}

impl StartFrom {
    /// Whether the tag says `clock=received`.
    #[must_use]
    pub fn clock_received(self) -> bool {
        matches!(self, Self::Event(DayFrom::Received) | Self::FieldMissing(DayFrom::Received))
    }
}

/// Everything known about the retention of a line, for `explain` and `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dating {
    /// The class, and the clause that decided it.
    pub matched: Match,
    /// The day from which the line is kept.
    pub start: Start,
    /// The days on which something happens to the line.
    pub due: Due,
    /// The instant from which the line must no longer exist.
    pub purge: Option<Timestamp>,
}

/// Classifies, dates and tags lines. Each worker has its own, because it caches results.
#[derive(Clone, Debug)]
pub struct Stamper {
    policy: Arc<Policy>,
    options: Options,
    clock: EventClock,
    /// For each format, the last stated time, the time of receipt, and the day that they resulted in.
    last_events: [Option<(Option<StatedTime>, Timestamp, EventDay)>; Format::ALL.len()],
    shortlists: Shortlists,
    instants: Instants,
    days: Days,
    /// Separate from `days`, so that old lines do not evict it.
    receipt_days: Days,
    tags: Tags,
    verdicts: Verdicts,
}

impl Stamper {
    /// Creates a stamper with empty caches.
    #[must_use]
    pub fn new(policy: Arc<Policy>, options: Options) -> Self {
        let clock = EventClock::new(options.zone.clone(), options.source_zone.clone(), options.backfill);
        Self {
            policy,
            options,
            clock,
            last_events: [None; Format::ALL.len()],
            shortlists: Shortlists::default(),
            instants: Instants::default(),
            days: Days::default(),
            receipt_days: Days::default(),
            tags: Tags::default(),
            verdicts: Verdicts::default(),
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The latest instant that has come for certain, if the clock has jumped.
    #[must_use]
    pub fn certain(&self) -> Option<Timestamp> {
        self.options.certain
    }

    /// Determines the verdict on `line` (without its line end), received at `received`. `field` looks up a
    /// field of the line by name; it is called only if a class needs it.
    #[inline]
    pub fn stamp<'l>(
        &mut self,
        line: &'l [u8],
        record: &Record,
        received: Timestamp,
        field: FieldOf<'_, 'l>,
    ) -> Verdict<'_> {
        if self.options.trust_upstream
            && let Some(existing) = tag::existing(line, record)
        {
            return self.as_upstream_says(&existing, record, received);
        }
        let event = self.event_day(record, received);
        let (idiom, replace) = place(record, line, self.options.tags);
        let fields = self.policy.fields_may_decide(record.names);
        let envelope = Envelope::new(line, record, idiom, event, fields);
        let dated = DatedLine { event, idiom, replace, fields, envelope };
        let known = dated.envelope.as_ref().and_then(|envelope| self.verdicts.place_of(envelope));
        let Some(known) = known else { return self.stamp_anew(line, record, received, field, dated) };
        if self.options.drops_expired() {
            let Tag { key: TagKey { class, .. }, due: Due { expires, .. }, .. } = *self.verdicts.at(known);
            if self.has_expired(expires, received) {
                return Verdict::Expired { class, expires };
            }
        }
        let start = Start { day: event.day, from: StartFrom::Event(event.from) };
        keep(start, self.verdicts.at(known), replace, self.options.tags)
    }

    /// Determines the verdict on a line whose envelope is not cached.
    #[inline(never)]
    fn stamp_anew<'l>(
        &mut self,
        line: &'l [u8],
        record: &Record,
        received: Timestamp,
        field: FieldOf<'_, 'l>,
        dated: DatedLine,
    ) -> Verdict<'_> {
        let DatedLine { event, idiom, replace, fields, envelope } = dated;
        let shortlist = self.shortlists.of(&self.policy, line, record);
        let by_envelope = self.policy.class_of_envelope(shortlist, fields);
        let class = by_envelope.unwrap_or_else(|| self.policy.class_from(shortlist, line, record, field));
        let start = self.start(class, event, received, field);
        let key = TagKey { class, start: start.day, clock_received: start.from.clock_received(), idiom };
        let policy = &self.policy;
        let tag = self.tags.of(key, || render(policy, key));
        if let Some(envelope) = envelope
            && by_envelope.is_some()
            && matches!(start.from, StartFrom::Event(_))
        {
            self.verdicts.remember(envelope, tag.clone());
        }
        let expires = tag.due.expires;
        if self.has_expired(expires, received) {
            return Verdict::Expired { class, expires };
        }
        keep(start, self.tags.of(key, || render(&self.policy, key)), replace, self.options.tags)
    }

    /// Determines the verdict on a line that has its own tag from a trusted upstream.
    fn as_upstream_says(
        &mut self,
        existing: &ExistingTag<'_>,
        record: &Record,
        received: Timestamp,
    ) -> Verdict<'_> {
        let class = self.policy.index_of(existing.class.as_bytes());
        let from = if existing.clock_received { DayFrom::Received } else { DayFrom::Stated };
        let start = Start { day: self.event_day(record, received).day, from: StartFrom::Event(from) };
        let expires = existing.expires;
        if self.has_expired(expires, received) {
            Verdict::Expired { class, expires }
        } else {
            Verdict::Keep { class, start, expires, tag: None }
        }
    }

    /// The event time of a line in Unix seconds: the time that it states if that is believed, otherwise its
    /// receipt.
    pub fn event_second(&mut self, record: &Record, received: Timestamp) -> i64 {
        let receipt = whole_seconds(received);
        let stated = record.time.and_then(|stated| self.instants.seconds(&self.clock, stated, received));
        stated.filter(|&stated| self.clock.believes(stated, receipt)).unwrap_or(receipt)
    }

    /// Explains the retention of `line`, without using any cache.
    #[must_use]
    pub fn explain<'l>(
        &self,
        line: &'l [u8],
        record: &Record,
        received: Timestamp,
        field: FieldOf<'_, 'l>,
    ) -> Dating {
        let matched = self.policy.classify(line, record, field);
        let event = self.clock.event_day(record.time, received);
        let class = &self.policy.classes()[matched.class];
        let start = match &class.starts {
            Starts::Event => Start { day: event.day, from: StartFrom::Event(event.from) },
            Starts::Field(name) => self.field_start(name, event, received, field),
        };
        let due = expiry::due(class, start.day);
        let purge = match due.expires {
            Expires::On(day) => expiry::purge_instant(day, self.clock.legal_zone()),
            Expires::Contract => None,
        };
        Dating { matched, start, due, purge }
    }

    /// Whether a line with this expiry must be dropped now.
    #[inline]
    fn has_expired(&mut self, expires: Expires, received: Timestamp) -> bool {
        let now = self.options.certain.map_or(received, |certain| received.min(certain));
        self.options.drops_expired()
            && expires <= Expires::On(receipt_day(&mut self.receipt_days, &self.clock, now))
    }

    fn start(&self, class: usize, event: EventDay, received: Timestamp, field: FieldOf<'_, '_>) -> Start {
        match self.policy.classes().get(class).map(|class| &class.starts) {
            Some(Starts::Field(name)) => self.field_start(name, event, received, field),
            _ => Start { day: event.day, from: StartFrom::Event(event.from) },
        }
    }

    fn field_start(&self, name: &str, event: EventDay, received: Timestamp, field: FieldOf<'_, '_>) -> Start {
        match field(name).and_then(|text| self.clock.start_day(&text, received)) {
            Some(day) => Start { day, from: StartFrom::Field },
            None => Start { day: event.day, from: StartFrom::FieldMissing(event.from) },
        }
    }

    /// [`EventClock::event_day`] with a cache: many lines state the same time as the line before.
    #[inline]
    fn event_day(&mut self, record: &Record, received: Timestamp) -> EventDay {
        let format = record.format as usize;
        if let Some((time, at, event)) = &self.last_events[format]
            && *time == record.time
            && *at == received
        {
            return *event;
        }
        let event = self.event_day_anew(record, received);
        self.last_events[format] = Some((record.time, received, event));
        event
    }

    fn event_day_anew(&mut self, record: &Record, received: Timestamp) -> EventDay {
        let stated = record.time.map(|stated| self.instants.seconds(&self.clock, stated, received));
        let from = match stated {
            Some(Some(seconds)) if self.clock.believes(seconds, whole_seconds(received)) => {
                return EventDay { day: self.days.day(&self.clock, seconds), from: DayFrom::Stated };
            }
            Some(_) => DayFrom::Received,
            None => DayFrom::Untimed,
        };
        EventDay { day: receipt_day(&mut self.receipt_days, &self.clock, received), from }
    }
}

/// What is known of a line before its class is determined.
struct DatedLine {
    event: EventDay,
    /// The idiom of the tag.
    idiom: Idiom,
    replace: Span,
    /// Whether fields may affect the class of the line.
    fields: bool,
    /// The key under which the verdict is cached.
    envelope: Option<Envelope>,
}

/// The verdict that keeps a line and replaces `replace` with `tag`.
#[inline]
fn keep(start: Start, tag: &Tag, replace: Span, tags: TagForm) -> Verdict<'_> {
    let Tag { key: TagKey { class, .. }, due: Due { expires, .. }, text } = tag;
    let placement = (tags != TagForm::None).then_some(Placement { replace, text });
    Verdict::Keep { class: *class, start, expires: *expires, tag: placement }
}

fn receipt_day(days: &mut Days, clock: &EventClock, received: Timestamp) -> Date {
    days.day(clock, whole_seconds(received))
}

/// The idiom of a tag in this line, and the bytes that the tag replaces.
fn place(record: &Record, line: &[u8], tags: TagForm) -> (Idiom, Span) {
    let end = Span::new(line.len(), line.len());
    match record.tag {
        _ if tags != TagForm::Native => (Idiom::Suffix, end),
        TagPoint::LineEnd => (Idiom::Suffix, end),
        TagPoint::JsonObject { close, empty } => {
            (Idiom::JsonMember { only: empty }, Span { start: close, end: close })
        }
        // RFC 5424 section 6.3: STRUCTURED-DATA = NILVALUE / 1*SD-ELEMENT.
        TagPoint::StructuredData { elements } if elements.of(line) == b"-" => (Idiom::SdElement, elements),
        TagPoint::StructuredData { elements } => {
            (Idiom::SdElement, Span { start: elements.end, end: elements.end })
        }
    }
}

fn render(policy: &Policy, key: TagKey) -> (Due, RenderedTag) {
    let class = &policy.classes()[key.class];
    let due = expiry::due(class, key.start);
    let text = RenderedTag::new(&class.name, due.expires, key.clock_received, key.idiom);
    (due, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClassName, Clause, Names, Pattern, RetentionClass};
    use crate::retention::expiry::tests::class;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn named(name: &str, keep: &str, starts: Starts, fields: &[(&str, &str)]) -> RetentionClass {
        let fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), vec![Pattern::new(value).unwrap()]));
        let clause = Clause { fields: fields.collect(), formats: vec![Format::Json], ..Clause::default() };
        RetentionClass {
            name: ClassName::new(name).unwrap(),
            starts,
            is_default: name == "connection",
            clauses: if name == "connection" { vec![] } else { vec![clause] },
            ..class(None, keep)
        }
    }

    fn policy() -> Arc<Policy> {
        let ticket_starts = Starts::Field("closed_at".to_owned());
        let classes = vec![
            named("connection", "12 months", Starts::Event, &[]),
            named("ticket", "3 years", ticket_starts, &[("event", "ticket")]),
            named("profile", "contract", Starts::Event, &[("event", "profile")]),
            named("order", "30 days", Starts::Event, &[("event", "order")]),
        ];
        Arc::new(Policy::new(classes).unwrap())
    }

    fn options() -> Options {
        Options {
            zone: TimeZone::get("Europe/Paris").unwrap(),
            source_zone: None,
            backfill: false,
            archived: false,
            certain: None,
            tags: TagForm::Native,
            trust_upstream: false,
        }
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A record of `format` with the tag point of that format.
    fn record(format: Format, line: &str, time: Option<&str>) -> Record {
        let tag = match format {
            Format::Json => TagPoint::JsonObject {
                close: u32::try_from(line.rfind('}').unwrap()).unwrap(),
                empty: line.trim() == "{}",
            },
            Format::Rfc5424 => {
                let start = line.find(['[', '-']).unwrap();
                let end = line.rfind([']', '-']).unwrap() + 1;
                TagPoint::StructuredData { elements: Span::new(start, end) }
            }
            _ => TagPoint::LineEnd,
        };
        let time = time.map(|time| StatedTime::Unix(instant(time).as_second()));
        Record { format, time, tag, ..Record::raw(line.as_bytes()) }
    }

    /// Reads `"name":"value"`, as far as these tests need it.
    fn field_of<'l>(line: &'l str, name: &str) -> Option<Cow<'l, [u8]>> {
        let start = line.find(&format!("\"{name}\":\""))? + name.len() + 4;
        let value = line[start..].split('"').next()?;
        Some(Cow::Borrowed(value.as_bytes()))
    }

    /// The line as it is written; `None` if it is dropped.
    fn stamped(options: &Options, record: &Record, line: &str, received: &str) -> Option<String> {
        let mut stamper = Stamper::new(policy(), options.clone());
        match stamper.stamp(line.as_bytes(), record, instant(received), &|name| field_of(line, name)) {
            Verdict::Expired { .. } => None,
            Verdict::Keep { tag: None, .. } => Some(line.to_owned()),
            Verdict::Keep { tag: Some(tag), .. } => {
                let (start, end) = (tag.replace.start as usize, tag.replace.end as usize);
                let text = String::from_utf8(tag.text.as_bytes().to_vec()).unwrap();
                Some(format!("{}{text}{}", &line[..start], &line[end..]))
            }
        }
    }

    #[test]
    fn idioms() {
        let (format, line, out) = (
            [
                Format::Rfc5424,
                Format::Rfc5424,
                Format::Json,
                Format::Json,
                Format::Json,
                Format::Raw,
                Format::Raw,
            ],
            ["<34>1 - msg", "<34>1 [a@1 b=\"c\"][d@1] msg", "{\"a\":1}", "{}", "{ \"a\":1 } ", "text", ""],
            [
                "<34>1 [retention@32473 class=\"connection\" expires=\"2027-11-24\"] msg",
                "<34>1 [a@1 b=\"c\"][d@1][retention@32473 class=\"connection\" expires=\"2027-11-24\"] msg",
                "{\"a\":1,\"retention\":{\"class\":\"connection\",\"expires\":\"2027-11-24\"}}",
                "{\"retention\":{\"class\":\"connection\",\"expires\":\"2027-11-24\"}}",
                "{ \"a\":1 ,\"retention\":{\"class\":\"connection\",\"expires\":\"2027-11-24\"}} ",
                "text expires=2027-11-24 class=connection",
                " expires=2027-11-24 class=connection",
            ],
        );
        let now = "2026-11-23T10:00:00Z";
        for ((format, line), expected) in format.into_iter().zip(line).zip(out) {
            let record = record(format, line, Some(now));
            assert_eq!(stamped(&options(), &record, line, now).as_deref(), Some(expected));
            let suffix = Options { tags: TagForm::Suffix, ..options() };
            let expected = format!("{line} expires=2027-11-24 class=connection");
            assert_eq!(stamped(&suffix, &record, line, now), Some(expected));
            let none = Options { tags: TagForm::None, ..options() };
            assert_eq!(stamped(&none, &record, line, now).as_deref(), Some(line));
        }
    }

    #[test]
    fn clocks() {
        let now = "2026-11-23T10:00:00Z";
        let backfill = Options { backfill: true, ..options() };
        for (options, time, expected) in [
            (options(), Some("2026-11-22T10:00:00Z"), Some("x expires=2027-11-23 class=connection")),
            (
                options(),
                Some("2025-01-01T10:00:00Z"),
                Some("x expires=2027-11-24 class=connection clock=received"),
            ),
            (
                options(),
                Some("2027-12-28T10:00:00Z"),
                Some("x expires=2027-11-24 class=connection clock=received"),
            ),
            (options(), None, Some("x expires=2027-11-24 class=connection")),
            (backfill.clone(), Some("2026-01-05T10:00:00Z"), Some("x expires=2027-01-06 class=connection")),
            (
                backfill.clone(),
                Some("2027-12-28T10:00:00Z"),
                Some("x expires=2027-11-24 class=connection clock=received"),
            ),
            // The last day on which the line may exist, and the first on which it must not.
            (backfill.clone(), Some("2025-11-23T10:00:00Z"), Some("x expires=2026-11-24 class=connection")),
            (backfill.clone(), Some("2025-11-22T22:59:59Z"), None),
            (backfill.clone(), Some("1971-01-01T00:00:00Z"), None),
            (
                backfill.clone(),
                Some("1970-01-01T00:00:00Z"),
                Some("x expires=2027-11-24 class=connection clock=received"),
            ),
        ] {
            let record = record(Format::Raw, "x", time);
            assert_eq!(stamped(&options, &record, "x", now).as_deref(), expected, "{time:?}");
        }
    }

    #[test]
    fn start_fields() {
        let now = "2026-11-23T10:00:00Z";
        for (line, expires, from) in [
            (r#"{"event":"ticket","closed_at":"2026-03-01"}"#, "2029-03-02", StartFrom::Field),
            (r#"{"event":"ticket"}"#, "2029-11-24", StartFrom::FieldMissing(DayFrom::Stated)),
            (
                r#"{"event":"ticket","closed_at":"soon"}"#,
                "2029-11-24",
                StartFrom::FieldMissing(DayFrom::Stated),
            ),
            (
                r#"{"event":"ticket","closed_at":"2099-01-01"}"#,
                "2029-11-24",
                StartFrom::FieldMissing(DayFrom::Stated),
            ),
            (r#"{"event":"profile"}"#, "contract", StartFrom::Event(DayFrom::Stated)),
            // Without `backfill` and without an archive, expired lines are not dropped.
            (r#"{"event":"ticket","closed_at":"2020-03-01"}"#, "2023-03-02", StartFrom::Field),
        ] {
            let mut stamper = Stamper::new(policy(), options());
            let record = record(Format::Json, line, Some(now));
            let field = |name: &str| field_of(line, name);
            let Verdict::Keep { start, expires: found, .. } =
                stamper.stamp(line.as_bytes(), &record, instant(now), &field)
            else {
                panic!("{line} was dropped");
            };
            assert_eq!((found.to_string().as_str(), start.from), (expires, from), "{line}");
        }
        let backfill = Options { backfill: true, ..options() };
        let line = r#"{"event":"ticket","closed_at":"2020-03-01"}"#;
        assert_eq!(stamped(&backfill, &record(Format::Json, line, Some(now)), line, now), None);
    }

    #[test]
    fn upstream() {
        let now = "2026-11-23T10:00:00Z";
        let trusting = Options { trust_upstream: true, ..options() };
        for (format, line, class) in [
            (Format::Raw, "x expires=2026-12-01 class=order", "order"),
            (Format::Raw, "x expires=contract class=other clock=received", "upstream"),
            (Format::Json, r#"{"a":1,"retention":{"class":"order","expires":"2026-12-01"}}"#, "order"),
            (Format::Rfc5424, r#"1 [retention@32473 class="order" expires="2026-12-01"] m"#, "order"),
        ] {
            let record = record(format, line, Some(now));
            assert_eq!(stamped(&trusting, &record, line, now).as_deref(), Some(line));
            assert_ne!(stamped(&options(), &record, line, now).as_deref(), Some(line));
            let mut stamper = Stamper::new(policy(), trusting.clone());
            let Verdict::Keep { class: found, .. } =
                stamper.stamp(line.as_bytes(), &record, instant(now), &|_| None)
            else {
                panic!("{line} was dropped");
            };
            assert_eq!(policy().name(found), class);
        }
        let line = "x expires=2026-11-23 class=order";
        let late = Options { backfill: true, ..trusting };
        assert_eq!(stamped(&late, &record(Format::Raw, line, Some(now)), line, now), None);
    }

    /// Zones that change their clocks around midnight or by half an hour, or that skipped a day.
    const ZONES: [&str; 7] = [
        "Europe/Paris",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "America/Havana",
        "Africa/Cairo",
        "Pacific/Apia",
        "UTC",
    ];

    fn any_zone() -> impl Strategy<Value = TimeZone> {
        prop::sample::select(&ZONES[..]).prop_map(|name| TimeZone::get(name).unwrap())
    }

    /// Times that are close together, so that caches are hit, and now and then far apart.
    fn any_stated() -> impl Strategy<Value = Option<StatedTime>> {
        let year = prop_oneof![
            Just(None),
            prop::sample::select(vec![Some(2006), Some(2011), Some(2026), Some(2027)])
        ];
        let month_and_day = prop_oneof![
            prop::sample::select(vec![
                (10u8, 25u8),
                (10, 28),
                (10, 29),
                (10, 30),
                (12, 30),
                (12, 31),
                (1, 1),
                (2, 29),
                (4, 2)
            ]),
            (0u8..14, 0u8..33),
        ];
        let offset = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(7200)), 1 => any::<i32>().prop_map(Some)];
        let civil = (year, month_and_day, 0u8..26, 0u8..62, 0u8..62, offset).prop_map(
            |(year, (month, day), hour, minute, second, offset_seconds)| StatedTime::Civil {
                year,
                month,
                day,
                hour,
                minute,
                second,
                offset_seconds,
            },
        );
        let unix = prop_oneof![any::<i64>(), 1_162_000_000i64..1_162_200_000].prop_map(StatedTime::Unix);
        prop_oneof![8 => civil.prop_map(Some), 1 => unix.prop_map(Some), 1 => Just(None)]
    }

    /// Around clock changes, around New Year, and anywhere.
    fn any_receipt() -> impl Strategy<Value = i64> {
        prop_oneof![
            1_162_000_000i64..1_162_300_000,
            1_325_100_000i64..1_325_500_000,
            1_793_000_000i64..1_793_400_000,
            1_798_600_000i64..1_798_900_000,
            -2_000_000_000i64..200_000_000_000,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// One stamper sees all lines; an independent computation sees each line alone.
        #[test]
        fn what_is_remembered_changes_nothing(
            zone in any_zone(), source_zone in prop::option::of(any_zone()), backfill in any::<bool>(),
            lines in prop::collection::vec((any_stated(), any_receipt(), 0usize..6, any::<bool>()), 1..60),
        ) {
            let options = Options { zone, source_zone, backfill, ..options() };
            let mut stamper = Stamper::new(policy(), options);
            for (time, received, kind, names_known) in lines {
                let line = ["x", r#"{"event":"order"}"#, r#"{"event":"profile"}"#, r#"{"event":"ticket"}"#,
                    r#"{"event":"ticket","closed_at":"2006-10-29T00:30:00"}"#, r#"{"level":"info"}"#][kind];
                let format = if kind == 0 { Format::Raw } else { Format::Json };
                let mut names = Names::NONE;
                line.split('"').for_each(|word| names.add(word.as_bytes()));
                let names = if names_known { names } else { Names::ANY };
                let record = Record { time, names, ..record(format, line, None) };
                let received = Timestamp::from_second(received).unwrap();
                let field = |name: &str| field_of(line, name);
                let expected = stamper.explain(line.as_bytes(), &record, received, &field);
                let today = EventClock::new(stamper.options.zone.clone(), None, false).legal_day(received);
                let expired = backfill && expected.due.expires <= Expires::On(today);
                let name = stamper.policy().classes()[expected.matched.class].name.clone();
                match stamper.stamp(line.as_bytes(), &record, received, &field) {
                    Verdict::Expired { class, expires } => {
                        prop_assert!(expired);
                        prop_assert_eq!((class, expires), (expected.matched.class, expected.due.expires));
                    }
                    Verdict::Keep { class, start, expires, tag } => {
                        prop_assert!(!expired);
                        prop_assert_eq!(class, expected.matched.class);
                        prop_assert_eq!(start, expected.start);
                        prop_assert_eq!(expires, expected.due.expires);
                        let idiom = if kind == 0 { Idiom::Suffix } else { Idiom::JsonMember { only: false } };
                        let text = RenderedTag::new(&name, expires, start.from.clock_received(), idiom);
                        prop_assert_eq!(tag.map(|tag| tag.text), Some(&text));
                    }
                }
            }
        }
    }
}
