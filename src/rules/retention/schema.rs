//! The TOML schema of retention rule files, and the checks on it.

use super::RetentionError;
use crate::model::{
    ClassName, Clause, Expires, Format, Keep, Pattern, Period, RetentionClass, RetentionSample, Starts,
};
use crate::rules::{OneOrMany, line_of};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Spanned, Value};

/// The contents of one file.
pub(super) struct File {
    pub(super) zone: Option<Zone>,
    /// The classes in file order.
    pub(super) classes: Vec<RetentionClass>,
}

/// A time zone, and the place where a file sets it.
pub(super) struct Zone {
    pub(super) zone: TimeZone,
    place: String,
}

/// Parses one file; `file` is its name in messages.
pub(super) fn parse(file: &str, text: &str) -> Result<File, RetentionError> {
    let document: Document =
        toml::from_str(text).map_err(|source| RetentionError::syntax(file, text, source))?;
    let zone = match &document.zone {
        Some(name) => Some(Zone::of_file(file, line_number(text, name), name.get_ref())?),
        None => None,
    };
    let mut tables: Vec<_> = document.class.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let classes = tables.into_iter().map(|(name, table)| {
        let at = Place { file, text, class: name.get_ref(), line_number: line_number(text, &name) };
        table.check(&at)
    });
    Ok(File { zone, classes: classes.collect::<Result<_, _>>()? })
}

/// The common zone of both, or the one that is set.
pub(super) fn same_zone(one: Option<Zone>, other: Option<Zone>) -> Result<Option<Zone>, RetentionError> {
    match (one, other) {
        (Some(one), Some(other)) if one.zone != other.zone => {
            let why = format!("another zone than at {}", one.place);
            Err(RetentionError::Zone { place: other.place, why })
        }
        (one, other) => Ok(one.or(other)),
    }
}

impl Zone {
    /// Looks up the zone `name`.
    pub(super) fn of_file(file: &str, line_number: usize, name: &str) -> Result<Self, RetentionError> {
        let place = format!("{file}:{line_number}");
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { zone, place }),
            Err(_) => {
                Err(RetentionError::Zone { place, why: format!("`{name}` is no zone of the IANA database") })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    zone: Option<Spanned<String>>,
    #[serde(default)]
    class: BTreeMap<Spanned<String>, ClassTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassTable {
    description: String,
    keep: Spanned<String>,
    archive_after: Option<Spanned<String>>,
    starts: Option<StartsTable>,
    basis: String,
    #[serde(default)]
    duty: bool,
    #[serde(default)]
    r#match: Vec<Spanned<ClauseTable>>,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    sample: Vec<SampleTable>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"event\" or { field = \"NAME\" }")]
enum StartsTable {
    Word(String),
    Field(FieldTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    field: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClauseTable {
    program: Option<OneOrMany>,
    format: Option<OneOrMany>,
    host: Option<OneOrMany>,
    field: Option<BTreeMap<String, Value>>,
    contains: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleTable {
    line: Spanned<String>,
    received: Option<Spanned<Value>>,
    archive: Option<Spanned<Value>>,
    expires: Spanned<Value>,
    duty: Option<bool>,
}

/// A place in a rule file, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    text: &'a str,
    class: &'a str,
    line_number: usize,
}

impl Place<'_> {
    fn at<T>(self, value: &Spanned<T>) -> Self {
        Self { line_number: line_number(self.text, value), ..self }
    }

    fn wrong(self, why: impl Into<String>) -> RetentionError {
        RetentionError::Class {
            place: format!("{}:{}", self.file, self.line_number),
            class: self.class.to_owned(),
            why: why.into(),
        }
    }

    fn period(self, text: &Spanned<String>) -> Result<Period, RetentionError> {
        Period::parse(text.get_ref()).ok_or_else(|| RetentionError::Period {
            place: format!("{}:{}", self.file, self.at(text).line_number),
            class: self.class.to_owned(),
            text: text.get_ref().clone(),
        })
    }
}

impl ClassTable {
    fn check(self, at: &Place<'_>) -> Result<RetentionClass, RetentionError> {
        let name = check_name(at)?;
        if [&self.description, &self.basis].iter().any(|text| text.trim().is_empty()) {
            return Err(at.wrong("`description` or `basis` is empty"));
        }
        if self.r#match.is_empty() && !self.default {
            return Err(at.wrong("no line can be of it: it has no `match` and is not the default"));
        }
        let keep = match self.keep.get_ref().as_str() {
            "contract" => Keep::Contract,
            _ => Keep::For(at.period(&self.keep)?),
        };
        let archive_after = self.archive_after.map(|phase| at.period(&phase)).transpose()?;
        let clauses = self.r#match.into_iter().map(|clause| {
            let at = at.at(&clause);
            clause.into_inner().check(at)
        });
        Ok(RetentionClass {
            name,
            description: self.description,
            keep,
            archive_after,
            starts: check_starts(self.starts, at)?,
            basis: self.basis,
            duty: self.duty,
            clauses: clauses.collect::<Result<_, _>>()?,
            is_default: self.default,
            samples: self.sample.into_iter().map(|sample| sample.check(at)).collect::<Result<_, _>>()?,
            file: at.file.to_owned(),
            line_number: at.line_number,
        })
    }
}

fn check_name(at: &Place<'_>) -> Result<ClassName, RetentionError> {
    if at.class == ClassName::UPSTREAM {
        return Err(at.wrong("`upstream` is how lines with the tag of another policy are counted"));
    }
    let wrong = || at.wrong("its name is not made of `a-z`, `0-9` and `-`, a letter first, 64 at most");
    ClassName::new(at.class).ok_or_else(wrong)
}

fn check_starts(starts: Option<StartsTable>, at: &Place<'_>) -> Result<Starts, RetentionError> {
    match starts {
        None => Ok(Starts::Event),
        Some(StartsTable::Word(word)) if word == "event" => Ok(Starts::Event),
        Some(StartsTable::Field(table)) if !table.field.is_empty() => Ok(Starts::Field(table.field)),
        Some(_) => Err(at.wrong("`starts` is neither \"event\" nor { field = \"NAME\" }")),
    }
}

impl ClauseTable {
    fn check(self, at: Place<'_>) -> Result<Clause, RetentionError> {
        let clause = Clause {
            programs: patterns("program", self.program, at)?,
            formats: formats(self.format, at)?,
            hosts: patterns("host", self.host, at)?,
            fields: fields(self.field, at)?,
            contains: texts("contains", self.contains, at)?,
        };
        if clause == Clause::default() {
            return Err(at.wrong("a clause without a key fits every line: say `default = true` instead"));
        }
        Ok(clause)
    }
}

/// The texts of a key: empty if the key is missing; otherwise at least one, and none of them empty.
fn texts(key: &str, texts: Option<OneOrMany>, at: Place<'_>) -> Result<Vec<String>, RetentionError> {
    let Some(texts) = texts.map(OneOrMany::into_texts) else { return Ok(Vec::new()) };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(at.wrong(format!("`{key}` is empty")));
    }
    Ok(texts)
}

fn patterns(key: &str, given: Option<OneOrMany>, at: Place<'_>) -> Result<Vec<Pattern>, RetentionError> {
    texts(key, given, at)?.iter().map(|text| pattern(key, text, at)).collect()
}

fn pattern(key: &str, text: &str, at: Place<'_>) -> Result<Pattern, RetentionError> {
    let wrong = || at.wrong(format!("`{text}` in `{key}`: a `*` may only stand at one end"));
    Pattern::new(text).ok_or_else(wrong)
}

fn formats(given: Option<OneOrMany>, at: Place<'_>) -> Result<Vec<Format>, RetentionError> {
    let mut formats = Vec::new();
    for name in texts("format", given, at)? {
        let group = Format::group(&name);
        formats.extend(group.ok_or_else(|| at.wrong(format!("`{name}` in `format` is no format")))?);
    }
    Ok(formats)
}

fn fields(
    given: Option<BTreeMap<String, Value>>,
    at: Place<'_>,
) -> Result<Vec<(String, Vec<Pattern>)>, RetentionError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    if given.is_empty() {
        return Err(at.wrong("`field` is empty"));
    }
    let conditions = given.into_iter().map(|(name, values)| {
        let values = match values {
            Value::Array(values) => values,
            one => vec![one],
        };
        if values.is_empty() {
            return Err(at.wrong(format!("`{name}` in `field` has no value that would fit")));
        }
        let values: Result<_, _> = values.iter().map(|value| field_value(&name, value, at)).collect();
        Ok((name, values?))
    });
    conditions.collect()
}

fn field_value(name: &str, value: &Value, at: Place<'_>) -> Result<Pattern, RetentionError> {
    match value {
        Value::String(text) => pattern("field", text, at),
        Value::Integer(number) => Ok(Pattern::Exact(number.to_string())),
        Value::Boolean(truth) => Ok(Pattern::Exact(truth.to_string())),
        _ => Err(at.wrong(format!("`{name}` in `field` is neither text, a whole number nor true or false"))),
    }
}

impl SampleTable {
    fn check(self, at: &Place<'_>) -> Result<RetentionSample, RetentionError> {
        let expires = match self.expires.get_ref() {
            Value::String(word) if word == "contract" => Expires::Contract,
            value => Expires::On(date(value).ok_or_else(|| {
                at.at(&self.expires).wrong("`expires` is neither a date such as 2027-11-24 nor \"contract\"")
            })?),
        };
        let archive = self.archive.map(|value| {
            date(value.get_ref())
                .ok_or_else(|| at.at(&value).wrong("`archive` is no date such as 2027-02-24"))
        });
        let received = self.received.map(|value| {
            instant(value.get_ref()).ok_or_else(|| {
                at.at(&value).wrong("`received` is no time with zone such as 2026-11-23T10:00:00Z")
            })
        });
        let line_number = at.at(&self.line).line_number;
        if self.line.get_ref().contains(['\n', '\r']) {
            return Err(at.at(&self.line).wrong("`line` is one line, without its line end"));
        }
        Ok(RetentionSample {
            line: self.line.into_inner(),
            received: received.transpose()?,
            archive: archive.transpose()?,
            expires,
            duty: self.duty,
            line_number,
        })
    }
}

fn date(value: &Value) -> Option<Date> {
    let Value::Datetime(datetime) = value else { return None };
    let date = datetime.date.filter(|_| datetime.time.is_none() && datetime.offset.is_none())?;
    let (month, day) = (i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?);
    Date::new(i16::try_from(date.year).ok()?, month, day).ok()
}

/// Parses an RFC 3339 time, with or without quotes.
fn instant(value: &Value) -> Option<jiff::Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Datetime(datetime) => datetime.to_string().parse().ok(),
        _ => None,
    }
}

/// The number of the line of `text` on which a value starts, counted from 1.
fn line_number<T>(text: &str, value: &Spanned<T>) -> usize {
    line_of(text, value.span().start)
}
