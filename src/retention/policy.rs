//! The policy: all classes, and the rules that decide which class a line belongs to. The first clause that
//! fits decides, in file order; a line that no clause fits belongs to the default class.
//!
//! Conditions on format and program do not depend on the rest of the line. `Policy::shortlist` evaluates
//! them separately, so that a worker does this once per program, and the common line is classified with one
//! look-up.

use crate::model::{ClassName, Clause, Format, Names, Record, RetentionClass};
use memchr::memmem::Finder;
use std::borrow::Cow;

/// Looks up a field of the current line by name.
pub type FieldOf<'f, 'l> = &'f (dyn Fn(&str) -> Option<Cow<'l, [u8]>> + 'f);

/// The classes of all rule files, compiled.
#[derive(Debug)]
pub struct Policy {
    classes: Vec<RetentionClass>,
    /// Every clause of every class, in file order.
    clauses: Vec<Compiled>,
    /// The names of the fields that clauses refer to, without duplicates.
    fields: Vec<String>,
    /// Minimal sets of fields. A line can fit a clause that refers to fields only if it has all fields of one
    /// of these sets. No set contains another.
    needed: Vec<Names>,
    default: usize,
}

/// What decided the class of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index of the class.
    pub class: usize,
    /// Index of the clause within the class; `None` if no clause fitted and the class is the default.
    pub clause: Option<usize>,
}

/// A clause with precomputed parts.
#[derive(Debug)]
struct Compiled {
    class: usize,
    /// Index of the clause within its class.
    index: usize,
    clause: Clause,
    /// Bit `format as u16` is set for each format that fits.
    formats: u16,
    contains: Vec<Finder<'static>>,
    /// For each field condition, the index of its name in [`Policy::fields`].
    fields: Vec<usize>,
    /// Whether format and program alone decide if the clause fits.
    envelope_only: bool,
}

impl Policy {
    /// Compiles the classes. Returns `None` unless exactly one of them is the default.
    #[must_use]
    pub fn new(classes: Vec<RetentionClass>) -> Option<Self> {
        let mut defaults = classes.iter().enumerate().filter(|(_, class)| class.is_default);
        let (default, _) = defaults.next()?;
        if defaults.next().is_some() {
            return None;
        }
        let mut policy = Self {
            classes: Vec::new(),
            clauses: Vec::new(),
            fields: Vec::new(),
            needed: Vec::new(),
            default,
        };
        for (class, definition) in classes.iter().enumerate() {
            for (index, clause) in definition.clauses.iter().enumerate() {
                policy.add(class, index, clause.clone());
            }
        }
        Some(Self { classes, ..policy })
    }

    /// The classes, in file order.
    #[must_use]
    pub fn classes(&self) -> &[RetentionClass] {
        &self.classes
    }

    /// The index for [`ClassName::UPSTREAM`]: one past the last class.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.classes.len()
    }

    /// The name of the class with this index in a verdict, which may be [`Self::upstream`].
    #[must_use]
    pub fn name(&self, class: usize) -> &str {
        self.classes.get(class).map_or(ClassName::UPSTREAM, |class| class.name.as_str())
    }

    /// The index of the class `name`; [`Self::upstream`] if there is none.
    #[must_use]
    pub fn index_of(&self, name: &[u8]) -> usize {
        let known = self.classes.iter().position(|class| class.name.as_str().as_bytes() == name);
        known.unwrap_or(self.upstream())
    }

    /// Classifies a line.
    #[must_use]
    pub fn classify<'l>(&self, line: &'l [u8], record: &Record, field: FieldOf<'_, 'l>) -> Match {
        let mut fields = Fields::new(field);
        let fits = |clause: &&Compiled| {
            clause.fits_envelope(record, record.program.map(|program| program.of(line)))
                && clause.fits_line(line, record, &self.fields, &mut fields)
        };
        self.matched(self.clauses.iter().find(fits))
    }

    /// Every class with a clause that fits the line, in file order. More than one is an overlap.
    #[must_use]
    pub fn all_matches<'l>(&self, line: &'l [u8], record: &Record, field: FieldOf<'_, 'l>) -> Vec<usize> {
        let mut fields = Fields::new(field);
        let program = record.program.map(|program| program.of(line));
        let fitting = self.clauses.iter().filter(|clause| {
            clause.fits_envelope(record, program) && clause.fits_line(line, record, &self.fields, &mut fields)
        });
        let mut classes: Vec<usize> = fitting.map(|clause| clause.class).collect();
        classes.dedup();
        classes
    }

    /// Fills `shortlist` with the clauses whose conditions on format and program hold, in order. The first
    /// one without other conditions ends the list.
    pub(super) fn shortlist(&self, record: &Record, program: Option<&[u8]>, shortlist: &mut Vec<usize>) {
        shortlist.clear();
        for (index, clause) in self.clauses.iter().enumerate() {
            if clause.fits_envelope(record, program) {
                shortlist.push(index);
                if clause.envelope_only {
                    return;
                }
            }
        }
    }

    /// Whether a line with these field names may fit a clause that refers to fields; `false` is certain.
    #[inline]
    pub(super) fn fields_may_decide(&self, names: Names) -> bool {
        self.needed.iter().any(|needed| names.may_hold_all(*needed))
    }

    /// The class of a line with this shortlist, if format and program alone decide it. `fields` says whether
    /// fields may affect the class ([`Self::fields_may_decide`]).
    pub(super) fn class_of_envelope(&self, shortlist: &[usize], fields: bool) -> Option<usize> {
        let clauses = shortlist.iter().filter_map(|&index| self.clauses.get(index));
        match clauses.into_iter().find(|clause| fields || clause.fields.is_empty()) {
            None => Some(self.default),
            Some(first) => first.envelope_only.then_some(first.class),
        }
    }

    /// The class of a line with this shortlist.
    pub(super) fn class_from<'l>(
        &self,
        shortlist: &[usize],
        line: &'l [u8],
        record: &Record,
        field: FieldOf<'_, 'l>,
    ) -> usize {
        let mut clauses = shortlist.iter().filter_map(|&index| self.clauses.get(index));
        match clauses.next() {
            None => self.default,
            Some(first) if first.envelope_only => first.class,
            Some(first) => {
                let mut fields = Fields::new(field);
                let fits = |clause: &&Compiled| clause.fits_line(line, record, &self.fields, &mut fields);
                self.matched(std::iter::once(first).chain(clauses).find(fits)).class
            }
        }
    }

    fn matched(&self, clause: Option<&Compiled>) -> Match {
        match clause {
            Some(clause) => Match { class: clause.class, clause: Some(clause.index) },
            None => Match { class: self.default, clause: None },
        }
    }

    fn add(&mut self, class: usize, index: usize, clause: Clause) {
        let fields: Vec<usize> = clause.fields.iter().map(|(name, _)| self.field_index(name)).collect();
        if !fields.is_empty() {
            let needed = needed(&clause);
            if !self.needed.iter().any(|fewer| needed.may_hold_all(*fewer)) {
                self.needed.retain(|more| !more.may_hold_all(needed));
                self.needed.push(needed);
            }
        }
        let formats = match clause.formats.as_slice() {
            [] => u16::MAX,
            some => some.iter().fold(0, |bits, &format| bits | bit(format)),
        };
        let contains = clause.contains.iter().map(|text| Finder::new(text).into_owned()).collect();
        let envelope_only = clause.hosts.is_empty() && clause.fields.is_empty() && clause.contains.is_empty();
        self.clauses.push(Compiled { class, index, clause, formats, contains, fields, envelope_only });
    }

    fn field_index(&mut self, name: &str) -> usize {
        self.fields.iter().position(|known| known == name).unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        })
    }
}

impl Compiled {
    fn fits_envelope(&self, record: &Record, program: Option<&[u8]>) -> bool {
        let formats = bit(record.format) | record.inner.map_or(0, bit);
        let programs = &self.clause.programs;
        self.formats & formats != 0
            && (programs.is_empty()
                || program.is_some_and(|program| programs.iter().any(|pattern| pattern.fits(program))))
    }

    fn fits_line<'l>(
        &self,
        line: &'l [u8],
        record: &Record,
        names: &[String],
        fields: &mut Fields<'_, 'l>,
    ) -> bool {
        let fits_host = || {
            let host = record.host.map(|host| host.of(line));
            host.is_some_and(|host| self.clause.hosts.iter().any(|name| name.fits_ignoring_case(host)))
        };
        let mut fits_fields = || {
            self.clause.fields.iter().zip(&self.fields).all(|((_, values), &index)| {
                let value = names.get(index).and_then(|name| fields.value(index, name));
                value.is_some_and(|value| values.iter().any(|pattern| pattern.fits(value)))
            })
        };
        (self.clause.hosts.is_empty() || fits_host())
            && (self.contains.is_empty() || self.contains.iter().any(|text| text.find(line).is_some()))
            && fits_fields()
    }
}

/// The fields without which a clause cannot fit. Names with dots may be spelt in two ways, so they are not
/// included.
fn needed(clause: &Clause) -> Names {
    let mut names = Names::NONE;
    let plain = clause.fields.iter().map(|(name, _)| name.as_bytes()).filter(|name| !name.contains(&b'.'));
    plain.for_each(|name| names.add(name));
    names
}

fn bit(format: Format) -> u16 {
    1 << format as u16
}

/// The number of fields that are cached for a line. If a policy has more, the others are looked up each time.
const REMEMBERED: usize = 8;

/// The fields of one line. Each is looked up once, because a look-up reads the line from its start.
struct Fields<'f, 'l> {
    of_line: FieldOf<'f, 'l>,
    known: [Lookup<'l>; REMEMBERED],
    /// The last field that was looked up beyond the cached ones.
    other: Option<Cow<'l, [u8]>>,
}

#[derive(Clone)]
enum Lookup<'l> {
    NotYet,
    Done(Option<Cow<'l, [u8]>>),
}

impl<'f, 'l> Fields<'f, 'l> {
    fn new(of_line: FieldOf<'f, 'l>) -> Self {
        Self { of_line, known: [const { Lookup::NotYet }; REMEMBERED], other: None }
    }

    fn value(&mut self, index: usize, name: &str) -> Option<&[u8]> {
        let Some(lookup) = self.known.get_mut(index) else {
            self.other = (self.of_line)(name);
            return self.other.as_deref();
        };
        if matches!(lookup, Lookup::NotYet) {
            *lookup = Lookup::Done((self.of_line)(name));
        }
        match lookup {
            Lookup::Done(value) => value.as_deref(),
            Lookup::NotYet => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Pattern, Span};
    use std::cell::Cell;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
    }

    fn class(name: &str, clauses: Vec<Clause>) -> RetentionClass {
        let name = ClassName::new(name).unwrap();
        let is_default = name.as_str() == "connection";
        RetentionClass {
            name,
            clauses,
            is_default,
            ..crate::retention::expiry::tests::class(None, "12 months")
        }
    }

    /// A small policy with every kind of condition.
    pub(in crate::retention) fn policy() -> Policy {
        let of_fields = |fields: &[(&str, &[&str])]| Clause {
            formats: vec![Format::Json, Format::Logfmt],
            fields: fields.iter().map(|(name, values)| ((*name).to_owned(), patterns(values))).collect(),
            ..Clause::default()
        };
        Policy::new(vec![
            class(
                "mail",
                vec![Clause { programs: patterns(&["postfix/*", "dovecot"]), ..Clause::default() }],
            ),
            class(
                "cancelled",
                vec![of_fields(&[("event", &["invoice"]), ("status", &["cancelled", "void"])])],
            ),
            class("invoice", vec![of_fields(&[("event", &["invoice"])])]),
            class(
                "connection",
                vec![Clause { formats: vec![Format::Clf, Format::Combined], ..Clause::default() }],
            ),
            class(
                "panel",
                vec![
                    Clause { hosts: patterns(&["*.panel.example.net"]), ..Clause::default() },
                    Clause {
                        contains: vec!["[panel]".to_owned(), "[admin]".to_owned()],
                        ..Clause::default()
                    },
                ],
            ),
        ])
        .unwrap()
    }

    /// A record for `program host text`, with `-` for a missing part; fields are `name=value` in the text.
    fn case(format: Format, inner: Option<Format>, line: &str) -> Record {
        let words: Vec<&str> = line.split(' ').collect();
        let span = |start: usize, word: &str| (word != "-").then(|| Span::new(start, start + word.len()));
        Record {
            format,
            inner,
            program: span(0, words[0]),
            host: span(words[0].len() + 1, words[1]),
            ..Record::raw(line.as_bytes())
        }
    }

    fn field_of<'l>(line: &'l str, name: &str) -> Option<Cow<'l, [u8]>> {
        let mut pairs = line.split(' ').filter_map(|word| word.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(value.as_bytes()))
    }

    #[test]
    fn classes() {
        let policy = policy();
        for (format, inner, line, expected, clause) in [
            // Program.
            (Format::Rfc3164, None, "postfix/smtpd mx x", "mail", Some(0)),
            (Format::Rfc3164, None, "dovecot mx x", "mail", Some(0)),
            (Format::Rfc3164, None, "dovecot-lda mx x", "connection", None),
            (Format::Raw, None, "- - postfix/smtpd", "connection", None),
            // Format of the line, and of its message.
            (Format::Combined, None, "- - x", "connection", Some(0)),
            (Format::Rfc5424, Some(Format::Clf), "nginx web x", "connection", Some(0)),
            // Fields: the first clause that fits decides.
            (Format::Json, None, "- - event=invoice status=cancelled", "cancelled", Some(0)),
            (Format::Json, None, "- - event=invoice status=paid", "invoice", Some(0)),
            (Format::Json, None, "- - event=invoice", "invoice", Some(0)),
            (
                Format::Rfc3164,
                Some(Format::Json),
                "billing app event=invoice status=void",
                "cancelled",
                Some(0),
            ),
            (Format::Json, None, "- - status=void", "connection", None),
            // The format does not fit, so fields are not even looked up.
            (Format::Raw, None, "- - event=invoice", "connection", None),
            // A known program comes first, whatever the client writes.
            (Format::Rfc3164, Some(Format::Logfmt), "dovecot mx event=invoice", "mail", Some(0)),
            // Host and text.
            (Format::Rfc3164, None, "php Web.PANEL.example.net x", "panel", Some(0)),
            (Format::Rfc3164, None, "php web [admin] x", "panel", Some(1)),
        ] {
            let record = case(format, inner, line);
            let field = |name: &str| field_of(line, name);
            let found = policy.classify(line.as_bytes(), &record, &field);
            assert_eq!((policy.name(found.class), found.clause), (expected, clause), "{line}");

            let mut shortlist = Vec::new();
            policy.shortlist(
                &record,
                record.program.map(|program| program.of(line.as_bytes())),
                &mut shortlist,
            );
            let class = policy.class_from(&shortlist, line.as_bytes(), &record, &field);
            assert_eq!(class, found.class, "{line}: the shortlist decides otherwise");
        }
    }

    #[test]
    fn overlaps() {
        let policy = policy();
        let line = "dovecot mx event=invoice status=void [panel]";
        let record = case(Format::Rfc3164, Some(Format::Logfmt), line);
        let all = policy.all_matches(line.as_bytes(), &record, &|name| field_of(line, name));
        let names: Vec<&str> = all.into_iter().map(|class| policy.name(class)).collect();
        assert_eq!(names, ["mail", "cancelled", "invoice", "panel"]);
    }

    #[test]
    fn fields_are_looked_up_once_and_only_if_needed() {
        let policy = policy();
        for (format, line, expected) in
            [(Format::Json, "- - event=x status=y", 1), (Format::Combined, "- - event=x", 0)]
        {
            let lookups = Cell::new(0);
            let field = |name: &str| {
                lookups.set(lookups.get() + 1);
                field_of(line, name)
            };
            let _ = policy.classify(line.as_bytes(), &case(format, None, line), &field);
            assert_eq!(lookups.get(), expected, "{line}");
        }
    }

    #[test]
    fn one_default() {
        let class = |is_default| RetentionClass {
            is_default,
            ..crate::retention::expiry::tests::class(None, "12 months")
        };
        assert!(Policy::new(vec![]).is_none());
        assert!(Policy::new(vec![class(false)]).is_none());
        assert!(Policy::new(vec![class(true), class(true)]).is_none());
        assert!(Policy::new(vec![class(false), class(true)]).is_some());
    }

    #[test]
    fn names() {
        let policy = policy();
        assert_eq!(policy.index_of(b"invoice"), 2);
        assert_eq!(policy.index_of(b"other"), policy.upstream());
        assert_eq!(policy.name(policy.upstream()), "upstream");
    }
}
