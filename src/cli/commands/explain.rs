//! `oubliette explain`: draws a line as a picture, or prints the long text of a code.

use crate::cli::args::{Common, ExplainArgs, Tokens};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::picture;
use crate::cli::report::{Report, Row, Stop};
use crate::cli::settings::Settings;
use crate::jobs::explain::{Explainer, Explanation};
use crate::jobs::recognition::Recognition;
use crate::primitives::diag::{Code, Diagnostic};
use serde::Serialize;
use serde_json::json;
use std::io::{self, BufRead as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;

/// Explains a code, the line in the arguments, or the lines of standard input.
pub(crate) fn run(report: Report, common: &Common, args: &ExplainArgs) -> Result<Exit, Stop> {
    if args.list {
        report.table(&codes::all().into_iter().map(CodeRow::new).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let code = args.subject.as_deref().and_then(|subject| subject.to_str()).filter(|text| codes::is_id(text));
    if let Some(id) = code {
        return explain_code(report, id);
    }
    let settings = Settings::new(common, &args.reading, &Tokens::default())?;
    let mut explainer = Explainer::new(Recognition::new(settings.choices()?)?, settings.clock);
    match &args.subject {
        Some(line) => explain_line(report, &mut explainer, line.as_bytes())?,
        None => explain_stdin(report, &mut explainer, settings.max_line_bytes)?,
    }
    Ok(Exit::Done)
}

fn explain_code(report: Report, id: &str) -> Result<Exit, Stop> {
    let Some(code) = codes::find(id) else {
        let unknown = Diagnostic::new(&codes::UNKNOWN_CODE, "there is no message with that code");
        return Err(unknown.hint("`oubliette explain --list` shows all").into());
    };
    if report.is_json() {
        report.value(&json!({ "code": code.id, "title": code.title, "text": code.text }))?;
    } else {
        report.text(&format!("{}: {}\n\n{}\n", code.id, code.title, code.text.trim_end()))?;
    }
    Ok(Exit::Done)
}

fn explain_stdin(report: Report, explainer: &mut Explainer, max_line_bytes: usize) -> Result<(), Stop> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than the limit, and a line end: a line that is too long is recognised by its length.
        let limit = max_line_bytes as u64 + 2;
        let read =
            input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(|error| no_input(&error))?;
        if read == 0 {
            return Ok(());
        }
        let ended = line.pop_if(|last| *last == b'\n').is_some();
        if ended {
            line.pop_if(|last| *last == b'\r');
        }
        if line.len() > max_line_bytes {
            if !ended {
                skip_line(&mut input)?;
            }
            report.note("a line is longer than --max-line-bytes: the filter would put it into quarantine");
        } else {
            explain_line(report, explainer, &line)?;
        }
    }
}

fn skip_line(input: &mut io::StdinLock<'_>) -> Result<(), Stop> {
    input.skip_until(b'\n').map(|_| ()).map_err(|error| no_input(&error).into())
}

fn no_input(error: &io::Error) -> Diagnostic {
    Diagnostic::new(&codes::OPEN, "cannot read standard input").because(error.to_string())
}

fn explain_line(report: Report, explainer: &mut Explainer, line: &[u8]) -> Result<(), Stop> {
    let explanation = explainer.explain(line);
    if report.is_json() {
        return report.value(&explanation);
    }
    let picture = picture::draw(line, &explanation.findings, report.columns());
    report.text(&format!("{picture}\n{}\n", facts(&explanation)))
}

/// Lists what follows from the line, one fact per line.
fn facts(explanation: &Explanation) -> String {
    let Explanation { format, inner, time, class, start_from, expires, .. } = explanation;
    let dash = || "-".to_owned();
    let format = inner.map_or_else(|| (*format).to_owned(), |inner| format!("{format}, and {inner} inside"));
    let class = match (explanation.clause, explanation.description.as_str()) {
        (_, "") => class.clone(),
        (None, description) => format!("{class} (the default): {description}"),
        (Some(clause), description) => format!("{class} (clause {clause}): {description}"),
    };
    let start = explanation.start.map_or_else(dash, |day| format!("{day}, {start_from}"));
    let expires = match (&explanation.purge, explanation.dropped) {
        (_, true) => format!("{expires}: expired, the filter drops the line"),
        (Some(purge), false) => format!("{expires}, at {purge}"),
        (None, false) => expires.clone(),
    };
    let mut facts = vec![
        ("format", format),
        ("time", time.clone().unwrap_or_else(dash)),
        ("class", class),
        ("basis", explanation.basis.clone()),
        ("starts", start),
    ];
    facts.extend(explanation.archive.map(|day| ("archive", day.to_string())));
    facts.push(("expires", expires));
    facts.extend(explanation.tag.clone().map(|tag| ("tag", tag)));
    let known = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    known.map(|(name, fact)| format!("  {name:<8} {fact}\n")).collect()
}

#[derive(Serialize)]
struct CodeRow {
    code: &'static str,
    title: &'static str,
}

impl CodeRow {
    fn new(code: &'static Code) -> Self {
        Self { code: code.id, title: code.title }
    }
}

impl Row for CodeRow {
    const HEADS: &[&str] = &["CODE", "MEANING"];

    fn cells(&self) -> Vec<String> {
        vec![self.code.to_owned(), self.title.to_owned()]
    }
}
