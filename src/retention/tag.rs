//! Tags in incoming lines: those of another oubliette, and text that only looks like a tag.
//!
//! # Grammar
//! ```text
//! SD-ELEMENT   [retention@32473 class="CLASS" expires="EXPIRES"]        also  expires="..." clock="received"]
//! JSON member  "retention":{"class":"CLASS","expires":"EXPIRES"}        also  ...,"clock":"received"}
//! suffix        expires=EXPIRES class=CLASS                             also  ... clock=received
//! ```
//! CLASS is a [`ClassName`]; EXPIRES is `contract` or a date `YYYY-MM-DD`. The element is one of the
//! SD-ELEMENTs, the member is the last one of the object, and the suffix ends the line.
//!
//! # Look-alikes
//! Clients write most of what is in a log. Anything that a reader could mistake for a tag gets an
//! underscore inserted, so that the only tag in an outgoing line is ours:
//! - ` expires=...` followed anywhere by ` class=` becomes ` expires_=...` (after white space of any kind, or
//!   at the start of the line);
//! - the SD-ID `retention@...` becomes `retention_@...`;
//! - a member `"retention"` at the top level of a JSON object, however it is spelt, becomes
//!   `"retention_"` with the same spelling, and so does the text `"retention":{` anywhere in a line that
//!   is a JSON object.

use crate::model::{ClassName, Expires, Record, Span, TagPoint};
use jiff::civil::Date;
use memchr::memmem::{Finder, FinderRev};

/// A tag that a line received from another oubliette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExistingTag<'l> {
    /// The tag, including the comma or the space before it.
    pub span: Span,
    /// The name of the class: well-formed, but not necessarily in the policy.
    pub class: &'l str,
    /// When the line expires.
    pub expires: Expires,
    /// Whether the expiry counts from receipt, because the time that the line states was not believed.
    pub clock_received: bool,
}

/// Finds the tag in `line`, if it is spelt exactly as we spell it and is where we put it. Use it only for
/// `--trust-upstream`, because anybody can write a tag.
#[must_use]
pub fn existing<'l>(line: &'l [u8], record: &Record) -> Option<ExistingTag<'l>> {
    let own_idiom = match record.tag {
        TagPoint::StructuredData { elements } => existing_element(line, elements),
        TagPoint::JsonObject { close, .. } => existing_member(line, close as usize),
        TagPoint::LineEnd => None,
    };
    own_idiom.or_else(|| existing_suffix(line))
}

/// Finds text that looks like a tag. Build it once and use it for every line.
#[derive(Clone, Debug)]
pub struct LookAlikes {
    retention: Finder<'static>,
    expires: Finder<'static>,
    last_class: FinderRev<'static>,
}

impl Default for LookAlikes {
    fn default() -> Self {
        Self {
            retention: Finder::new("retention"),
            expires: Finder::new(EXPIRES),
            last_class: FinderRev::new(CLASS),
        }
    }
}

impl LookAlikes {
    /// Whether the line contains `retention`. Only then can a JSON object have a member of that name, unless
    /// the name is spelt with escapes.
    #[must_use]
    pub fn names_retention(&self, line: &[u8]) -> bool {
        self.retention.find(line).is_some()
    }

    /// Adds to `defused` the offsets of underscores that defuse the look-alikes in `line`. Leaves it sorted and
    /// without duplicates.
    ///
    /// `members` holds the names of top-level members of a JSON object that mean `retention`, however they are
    /// spelt, with or without quotes. An offset may lie inside an identifier; it is not needed then, because
    /// a token replaces the identifier.
    pub fn forged(&self, line: &[u8], record: &Record, members: &[Span], defused: &mut Vec<u32>) {
        let before = defused.len();
        self.forged_suffixes(line, defused);
        self.forged_names(line, matches!(record.tag, TagPoint::JsonObject { .. }), defused);
        defused.extend(members.iter().map(|name| {
            let quoted = name.of(line).last() == Some(&b'"');
            name.end - u32::from(quoted)
        }));
        if defused.len() > before {
            defused.sort_unstable();
            defused.dedup();
        }
    }

    fn forged_suffixes(&self, line: &[u8], defused: &mut Vec<u32>) {
        let Some(last_class) = self.last_class_of(line) else { return };
        for start in self.expires.find_iter(&line[..last_class]) {
            if starts_word(line, start) {
                defused.push(offset(start + EXPIRES.len() - 1));
            }
        }
    }

    /// The last ` class=`. It is searched for only if there is an `expires=`.
    fn last_class_of(&self, line: &[u8]) -> Option<usize> {
        let first_expires = self.expires.find(line)?;
        let mut end = line.len();
        while let Some(start) = self.last_class.rfind(&line[first_expires..end]) {
            let start = first_expires + start;
            if starts_word(line, start) {
                return Some(start);
            }
            end = start;
        }
        None
    }

    fn forged_names(&self, line: &[u8], is_json: bool, defused: &mut Vec<u32>) {
        for start in self.retention.find_iter(line) {
            let (before, after) = (&line[..start], &line[start + RETENTION.len()..]);
            let is_sd_id = after.first() == Some(&b'@');
            let is_member = is_json && before.last() == Some(&b'"') && opens_object(after);
            if is_sd_id || is_member {
                defused.push(offset(start + RETENTION.len()));
            }
        }
    }
}

const RETENTION: &[u8] = b"retention";
const EXPIRES: &[u8] = b"expires=";
const CLASS: &[u8] = b"class=";

/// An upper limit on the length of a tag.
const LONGEST_TAG_BYTES: usize = 192;

/// Whether a word starts at `start`: at the start of the line, or after a space or a control character.
fn starts_word(line: &[u8], start: usize) -> bool {
    line[..start].last().is_none_or(|&before| before <= b' ')
}

/// Whether a name ends here and its value is an object: `":{`, with white space where JSON allows it.
///
/// Takes linear time in total: a run of white space is read only for the name right before it.
fn opens_object(after_name: &[u8]) -> bool {
    let rest = after_name.strip_prefix(b"\"").map(<[u8]>::trim_ascii_start);
    let value = rest.and_then(|rest| rest.strip_prefix(b":")).map(<[u8]>::trim_ascii_start);
    value.is_some_and(|value| value.first() == Some(&b'{'))
}

#[expect(clippy::cast_possible_truncation, reason = "lines are bounded by LONGEST_LINE")]
fn offset(at: usize) -> u32 {
    at as u32
}

fn existing_element(line: &[u8], elements: Span) -> Option<ExistingTag<'_>> {
    const OPEN: &[u8] = b"[retention@32473 class=\"";
    let field = elements.of(line);
    memchr::memmem::find_iter(field, OPEN).find_map(|start| {
        // RFC 5424 section 6.3.3: "]" MUST be escaped in a PARAM-VALUE, so one without a backslash ends
        // an element.
        let is_element = start == 0 || field[..start].ends_with(b"]") && !field[..start].ends_with(b"\\]");
        let mut rest = field.get(start + OPEN.len()..).filter(|_| is_element)?;
        let class = take_class(&mut rest)?;
        take(&mut rest, b"\" expires=\"")?;
        let expires = take_expires(&mut rest)?;
        take(&mut rest, b"\"")?;
        let clock_received = take(&mut rest, b" clock=\"received\"").is_some();
        take(&mut rest, b"]")?;
        let span = Span::new(elements.start as usize + start, elements.end as usize - rest.len());
        Some(ExistingTag { span, class, expires, clock_received })
    })
}

fn existing_member(line: &[u8], close: usize) -> Option<ExistingTag<'_>> {
    const OPEN: &[u8] = b"\"retention\":{\"class\":\"";
    let members = line.get(..close).filter(|members| members.ends_with(b"\"}"))?;
    let tail_start = members.len().saturating_sub(LONGEST_TAG_BYTES);
    let start = tail_start + memchr::memmem::rfind(&members[tail_start..], OPEN)?;
    let mut rest = &members[start + OPEN.len()..];
    // If the tag is the only member, the white space of the empty object may precede it.
    let start = match (members[..start].last()?, members[..start].trim_ascii_end().last()) {
        (b',', _) => start - 1,
        (_, Some(b'{')) => start,
        _ => return None,
    };
    let class = take_class(&mut rest)?;
    take(&mut rest, b"\",\"expires\":\"")?;
    let expires = take_expires(&mut rest)?;
    take(&mut rest, b"\"")?;
    let clock_received = take(&mut rest, b",\"clock\":\"received\"").is_some();
    let ends = rest == b"}";
    ends.then_some(ExistingTag { span: Span::new(start, close), class, expires, clock_received })
}

fn existing_suffix(line: &[u8]) -> Option<ExistingTag<'_>> {
    let rest = line.strip_suffix(b" clock=received");
    let (rest, clock_received) = (rest.unwrap_or(line), rest.is_some());
    let (rest, mut class) = last_word(rest)?;
    take(&mut class, b"class=")?;
    let (rest, mut expires) = last_word(rest)?;
    take(&mut expires, b"expires=")?;
    let tag = ExistingTag {
        span: Span::new(rest.len(), line.len()),
        class: take_class(&mut class)?,
        expires: take_expires(&mut expires)?,
        clock_received,
    };
    (class.is_empty() && expires.is_empty()).then_some(tag)
}

/// The word after the last space, if it is short enough for a tag, and the text before that space.
fn last_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let tail_start = text.len().saturating_sub(LONGEST_TAG_BYTES);
    let blank = tail_start + memchr::memrchr(b' ', &text[tail_start..])?;
    Some((&text[..blank], &text[blank + 1..]))
}

fn take(rest: &mut &[u8], literal: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(literal)?;
    Some(())
}

fn take_class<'l>(rest: &mut &'l [u8]) -> Option<&'l str> {
    let end = rest.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let (name, tail) = rest.split_at(end.unwrap_or(rest.len()));
    let name = str::from_utf8(name).ok().filter(|name| ClassName::is_well_formed(name))?;
    *rest = tail;
    Some(name)
}

fn take_expires(rest: &mut &[u8]) -> Option<Expires> {
    if take(rest, b"contract").is_some() {
        return Some(Expires::Contract);
    }
    let (text, tail) = rest.split_at_checked("2027-11-24".len())?;
    let shape = text.iter().enumerate().all(|(index, byte)| match index {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let date: Date = str::from_utf8(text).ok().filter(|_| shape)?.parse().ok()?;
    *rest = tail;
    Some(Expires::On(date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Format, Idiom, RenderedTag};
    use proptest::prelude::*;

    fn json(line: &[u8]) -> Record {
        let close = line.iter().rposition(|&byte| byte == b'}').unwrap_or(0);
        Record {
            format: Format::Json,
            tag: TagPoint::JsonObject { close: offset(close), empty: false },
            ..Record::raw(line)
        }
    }

    fn syslog(line: &[u8]) -> Record {
        let start = line.iter().position(|&byte| byte == b'[').unwrap_or(0);
        let end = line.iter().rposition(|&byte| byte == b']').map_or(start, |at| (at + 1).max(start));
        Record {
            format: Format::Rfc5424,
            tag: TagPoint::StructuredData { elements: Span::new(start, end) },
            ..Record::raw(line)
        }
    }

    fn defuse(line: &[u8], record: &Record, members: &[Span]) -> Vec<u8> {
        let mut defused = Vec::new();
        LookAlikes::default().forged(line, record, members, &mut defused);
        assert!(defused.is_sorted_by(|one, next| one < next));
        let mut out = Vec::new();
        let mut written = 0;
        for at in defused {
            out.extend_from_slice(&line[written..at as usize]);
            out.push(b'_');
            written = at as usize;
        }
        out.extend_from_slice(&line[written..]);
        out
    }

    #[test]
    fn our_own() {
        let day = |text: &str| Expires::On(text.parse().unwrap());
        for (record, line, expected) in [
            (
                Record::raw as fn(&[u8]) -> Record,
                "GET / expires=2027-11-24 class=connection",
                Some(("connection", day("2027-11-24"), false)),
            ),
            (Record::raw, " expires=contract class=a", Some(("a", Expires::Contract, false))),
            (
                Record::raw,
                "x expires=2027-11-24 class=a clock=received",
                Some(("a", day("2027-11-24"), true)),
            ),
            (
                Record::raw,
                "x expires=2027-01-01 class=b expires=2027-11-24 class=a",
                Some(("a", day("2027-11-24"), false)),
            ),
            (Record::raw, "expires=2027-11-24 class=a", None),
            (Record::raw, "x expires=2027-11-24 class=a ", None),
            (Record::raw, "x expires=2027-11-24 class=", None),
            (Record::raw, "x expires=2027-11-24 class=A", None),
            (Record::raw, "x expires=2027-02-30 class=a", None),
            (Record::raw, "x expires=20271124 class=a", None),
            (Record::raw, "x expires=2027-11-24  class=a", None),
            (Record::raw, "x expires=2027-11-24 class=a clock=stated", None),
            (Record::raw, r#"{"retention":{"class":"a","expires":"2027-11-24"}}"#, None),
            (
                json,
                r#"{"x":1,"retention":{"class":"a","expires":"2027-11-24"}}"#,
                Some(("a", day("2027-11-24"), false)),
            ),
            (
                json,
                r#"{"retention":{"class":"a","expires":"contract","clock":"received"}}"#,
                Some(("a", Expires::Contract, true)),
            ),
            (
                json,
                r#"{ "retention":{"class":"a","expires":"2027-11-24"}}"#,
                Some(("a", day("2027-11-24"), false)),
            ),
            (json, r#"{"retention":{"class":"a","expires":"2027-11-24"},"x":1}"#, None),
            (json, r#"{"y":{"retention":{"class":"a","expires":"2027-11-24"}}}"#, None),
            (json, r#"{"retention": {"class":"a","expires":"2027-11-24"}}"#, None),
            (json, r#"{"x":"\"retention\":{\"class\":\"a\",\"expires\":\"2027-11-24\"}"}"#, None),
            (
                syslog,
                r#"1 [retention@32473 class="a" expires="2027-11-24"] x"#,
                Some(("a", day("2027-11-24"), false)),
            ),
            (
                syslog,
                r#"1 [z@1][retention@32473 class="a" expires="2027-11-24" clock="received"] x"#,
                Some(("a", day("2027-11-24"), true)),
            ),
            (
                syslog,
                r#"1 [retention@32473 class="a" expires="2027-11-24"][origin ip="x"] x"#,
                Some(("a", day("2027-11-24"), false)),
            ),
            (syslog, r#"1 [z@1 p="[retention@32473 class=\"a\" expires=\"2027-11-24\"]"] x"#, None),
            (syslog, r#"1 [retention@32473 expires="2027-11-24" class="a"] x"#, None),
        ] {
            let found = existing(line.as_bytes(), &record(line.as_bytes()));
            assert_eq!(found.map(|tag| (tag.class, tag.expires, tag.clock_received)), expected, "{line}");
        }
    }

    #[test]
    fn look_alikes() {
        for (record, line, expected) in [
            (
                Record::raw as fn(&[u8]) -> Record,
                "x expires=2099-01-01 class=a",
                "x expires_=2099-01-01 class=a",
            ),
            (Record::raw, "expires=2099-01-01 class=a", "expires_=2099-01-01 class=a"),
            (Record::raw, "x\texpires= never, ever\tclass=a", "x\texpires_= never, ever\tclass=a"),
            (
                Record::raw,
                "a expires=1 expires=2 class=b expires=3",
                "a expires_=1 expires_=2 class=b expires=3",
            ),
            (
                Record::raw,
                "Set-Cookie: a=b; expires=Thu, 01 Jan 1970; path=/",
                "Set-Cookie: a=b; expires=Thu, 01 Jan 1970; path=/",
            ),
            (Record::raw, "class=a expires=2099-01-01", "class=a expires=2099-01-01"),
            (Record::raw, "?expires=1&subclass=2 &class=3", "?expires=1&subclass=2 &class=3"),
            (Record::raw, "x expires=1 subclass=2", "x expires=1 subclass=2"),
            (Record::raw, "m [retention@32473 class=\"a\"]", "m [retention_@32473 class=\"a\"]"),
            (
                syslog,
                "1 [retention@32473 class=\"a\" expires=\"2099-01-01\"] x",
                "1 [retention_@32473 class=\"a\" expires=\"2099-01-01\"] x",
            ),
            (Record::raw, "\"retention\":{}", "\"retention\":{}"),
            (json, "{\"a\":{\"retention\":{}}}", "{\"a\":{\"retention_\":{}}}"),
            (json, "{\"a\":{\"retention\" : {}}}", "{\"a\":{\"retention_\" : {}}}"),
            (json, "{\"a\":{\"retention\":\"30d\"}}", "{\"a\":{\"retention\":\"30d\"}}"),
            (Record::raw, "retention expires class", "retention expires class"),
        ] {
            let out = defuse(line.as_bytes(), &record(line.as_bytes()), &[]);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn names_with_escapes() {
        let line = br#"{"\u0072etention":1,"retention":{}}"#;
        let quoted = [Span::new(1, 17), Span::new(20, 31)];
        let bare = [Span::new(2, 16), Span::new(21, 30)];
        for members in [quoted, bare] {
            let out = defuse(line, &json(line), &members);
            assert_eq!(out, br#"{"\u0072etention_":1,"retention_":{}}"#);
        }
    }

    #[test]
    fn hostile_lines_take_linear_time() {
        let long = |piece: &str| piece.repeat(4 * 1024 * 1024 / piece.len());
        for line in [
            long(" expires="),
            long(" class="),
            format!(" expires={}", long("xclass=")),
            long("\"retention\""),
            format!("{}{}", long("\"retention\""), long(" ")),
            long("\"retention\":{"),
            long("retention@"),
        ] {
            let line = line.as_bytes();
            let mut defused = Vec::new();
            LookAlikes::default().forged(line, &json(line), &[], &mut defused);
            assert!(existing(line, &Record::raw(line)).is_none());
        }
    }

    /// Lines composed of parts of tags.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            " ",
            "\t",
            "expires",
            "expires=",
            "=",
            "class=",
            " class=",
            " expires=",
            "2099-01-01",
            "contract",
            "a",
            "retention",
            "retention@",
            "@",
            "32473",
            "[",
            "]",
            "\"",
            "\"retention\"",
            ":",
            "{",
            "}",
            ",",
            "_",
            "\\",
            "clock=received",
            "\u{e9}",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    /// Counts the tags that a reader sees in a text: the grammar once more, without finders.
    fn look_alikes_in(line: &[u8], is_json: bool) -> usize {
        let word_at =
            |at: usize, word: &[u8]| line[at..].starts_with(word) && (at == 0 || line[at - 1] <= b' ');
        (0..line.len())
            .filter(|&at| {
                let suffix =
                    word_at(at, b"expires=") && (at..line.len()).any(|later| word_at(later, b"class="));
                let element = line[at..].starts_with(b"retention@");
                let member = is_json
                    && line[at..].strip_prefix(b"\"retention\"").is_some_and(|rest| {
                        let rest = rest.trim_ascii_start();
                        rest.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{"))
                    });
                suffix || element || member
            })
            .count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_is_left_to_defuse(line in pieces(), is_json in any::<bool>()) {
            let record = if is_json { json } else { Record::raw };
            let once = defuse(&line, &record(&line), &[]);
            prop_assert_eq!(look_alikes_in(&once, is_json), 0);
            prop_assert_eq!(defuse(&once, &record(&once), &[]), once.clone());
            // One underscore per look-alike, and nothing else.
            prop_assert_eq!(once.len() - line.len(), look_alikes_in(&line, is_json));
            // The checks that let a caller skip the search.
            let words = ["expires=", "retention@"].iter().any(|word| memchr::memmem::find(&line, word.as_bytes()).is_some());
            prop_assert!(once == line || words || is_json && LookAlikes::default().names_retention(&line));
        }

        /// Whatever a client writes, the tag that is read back is the one that we added.
        #[test]
        fn the_tag_is_ours(line in pieces(), clock_received in any::<bool>()) {
            let class = ClassName::new("connection").unwrap();
            let expires = Expires::On("2027-11-24".parse().unwrap());
            let mut out = defuse(&line, &Record::raw(&line), &[]);
            prop_assert_eq!(existing(&out, &Record::raw(&out)), None);
            let end = out.len();
            out.extend_from_slice(
                RenderedTag::new(&class, expires, clock_received, Idiom::Suffix).as_bytes(),
            );
            let tag = existing(&out, &Record::raw(&out)).unwrap();
            prop_assert_eq!(tag.span, Span::new(end, out.len()));
            prop_assert_eq!((tag.class, tag.expires, tag.clock_received), ("connection", expires, clock_received));
        }

        /// Every tag that we write is read back.
        #[test]
        fn written_tags_are_read(
            name in "[a-z][a-z0-9-]{0,63}", day in prop::option::of((1i16..9999, 1i8..=12, 1i8..=28)),
            clock_received in any::<bool>(),
        ) {
            let class = ClassName::new(&name).unwrap();
            let expires = day.map_or(Expires::Contract, |(year, month, day)| {
                Expires::On(Date::new(year, month, day).unwrap())
            });
            let tag = |idiom| {
                String::from_utf8(RenderedTag::new(&class, expires, clock_received, idiom).as_bytes().to_vec())
                    .unwrap()
            };
            let record_of: [fn(&[u8]) -> Record; 4] = [Record::raw, json, json, syslog];
            let lines = [
                format!("x{}", tag(Idiom::Suffix)),
                format!("{{\"a\":{{}}{}}}", tag(Idiom::JsonMember { only: false })),
                format!("{{{}}}", tag(Idiom::JsonMember { only: true })),
                format!("1 [a@1 b=\"c\"]{} m", tag(Idiom::SdElement)),
            ];
            for (line, record) in lines.iter().zip(record_of) {
                let found = existing(line.as_bytes(), &record(line.as_bytes())).unwrap();
                prop_assert_eq!(
                    (found.class, found.expires, found.clock_received),
                    (name.as_str(), expires, clock_received)
                );
            }
        }

        #[test]
        fn any_bytes(line in prop::collection::vec(any::<u8>(), 0..300)) {
            for record in [Record::raw(&line), json(&line), syslog(&line)] {
                let _ = existing(&line, &record);
                defuse(&line, &record, &[]);
            }
        }
    }
}
