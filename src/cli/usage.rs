//! Messages in our own form for command lines that are not understood.
//!
//! `clap` would quote the values of the command line. A value may be an identifier (`oubliette token ...`),
//! and messages end up in logs, so we repeat only names of options, never values.

use super::args::{Command, CommandLine, FleetCommand, HoldCommand};
use super::codes;
use super::report::Report;
use crate::primitives::diag::Diagnostic;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Error};
use std::error::Error as _;
use std::ffi::OsString;

/// Returns the words of a command line as `clap` is to read them: `help filter` stands for `filter --help`.
pub(crate) fn words(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = typed.collect();
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

/// Describes what is wrong with the command line; `typed` are its words.
pub(crate) fn diagnostic(error: &Error, typed: &[OsString]) -> Diagnostic {
    if let Some(variable) = empty_variable(error, typed) {
        return Diagnostic::new(&codes::USAGE, format!("the environment variable {variable} is empty"))
            .hint("give it a value, or `unset` it");
    }
    let option = text(error, ContextKind::InvalidArg).filter(|name| name.starts_with(['-', '<', '[']));
    let what = match (error.kind(), &option) {
        (ErrorKind::UnknownArgument, Some(option)) => format!("there is no option `{}`", name_only(option)),
        (ErrorKind::UnknownArgument, None) => "there is an argument too many".to_owned(),
        (ErrorKind::InvalidSubcommand, _) => "there is no such command".to_owned(),
        (ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => {
            "a command is missing".to_owned()
        }
        (ErrorKind::MissingRequiredArgument, _) => match text(error, ContextKind::InvalidArg) {
            Some(missing) => format!("`{missing}` is missing"),
            None => "an argument is missing".to_owned(),
        },
        (ErrorKind::InvalidValue, Some(option))
            if text(error, ContextKind::InvalidValue).is_none_or(|value| value.is_empty()) =>
        {
            format!("`{option}` needs a value")
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(option)) => {
            format!("the value of `{option}` has the wrong form")
        }
        (ErrorKind::ArgumentConflict, Some(option)) => match text(error, ContextKind::PriorArg) {
            Some(prior) if prior != *option => format!("`{option}` and `{prior}` exclude each other"),
            _ => format!("`{option}` is given twice"),
        },
        (_, Some(option)) => format!("`{option}` is not understood"),
        (_, None) => "the command line is not understood".to_owned(),
    };
    let mut diagnostic = Diagnostic::new(&codes::USAGE, what).hint(hint(error, &command_of(typed)));
    diagnostic.why = why(error);
    diagnostic
}

/// Notes that `--tenant` has no effect on a command that shows or changes the data of all tenants: a user
/// could believe that it is limited to one. The option is common to all commands, so it is not refused.
pub(crate) fn tell_useless_tenant(report: Report, line: &CommandLine) {
    if line.common.tenant.is_some() && !goes_by_tenant(&line.command) {
        report.note(
            "`--tenant` has no effect here: what this command shows or changes is not separated by tenant",
        );
    }
}

/// Refuses `--stats` on a command that counts no lines: a program that waits for the counts would wait for
/// ever.
///
/// # Errors
/// C01, before the command has done anything.
pub(crate) fn refuse_useless_stats(line: &CommandLine) -> Result<(), Diagnostic> {
    let counts_lines = matches!(
        line.command,
        Command::Filter(_) | Command::Serve(_) | Command::Replay(_) | Command::Fleet(FleetCommand::Batch(_))
    );
    if line.common.stats.is_none() || counts_lines {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::USAGE, "this command has no `--stats`")
        .because("lines are counted by `filter`, `serve`, `replay` and `batch` alone")
        .hint("with `--json` tables and messages come as JSON lines"))
}

/// Returns the variable from which an empty value comes; `None` if it comes from an option that was typed.
fn empty_variable(error: &Error, typed: &[OsString]) -> Option<String> {
    let is_empty = text(error, ContextKind::InvalidValue).is_none_or(|value| value.is_empty());
    let option = text(error, ContextKind::InvalidArg).filter(|_| is_empty)?;
    let name = option.split(' ').next()?;
    if typed.iter().any(|word| word.as_encoded_bytes().starts_with(name.as_bytes())) {
        return None;
    }
    let command = CommandLine::command();
    let argument = command.get_arguments().find(|argument| argument.get_long() == name.strip_prefix("--"))?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

fn goes_by_tenant(command: &Command) -> bool {
    match command {
        Command::Filter(_)
        | Command::Serve(_)
        | Command::Token(_)
        | Command::Replay(_)
        | Command::Subject(_)
        | Command::Fleet(FleetCommand::Batch(_) | FleetCommand::Archive(_))
        | Command::Hold(HoldCommand::Add { .. } | HoldCommand::Extract { .. }) => true,
        Command::Init(_)
        | Command::Fleet(FleetCommand::Lifecycle(_) | FleetCommand::Vaults(_))
        | Command::Keys(_)
        | Command::Ledger(_)
        | Command::Purge(_)
        | Command::Hold(HoldCommand::List | HoldCommand::Release { .. })
        | Command::Verify(_)
        | Command::Report(_)
        | Command::Explain(_)
        | Command::Check(_)
        | Command::Completions(_)
        | Command::Man(_) => false,
    }
}

fn why(error: &Error) -> Option<String> {
    if let Some(valid) = text(error, ContextKind::ValidValue).filter(|valid| !valid.is_empty()) {
        return Some(format!("it is one of: {valid}"));
    }
    // Our own parsers state the expected form, and never quote the value.
    error.source().map(ToString::to_string)
}

/// Returns the name of the command. `clap` reports it only for some errors, and the help common to all
/// commands lists few options.
fn command_of(typed: &[OsString]) -> String {
    let (mut command, mut names) = (CommandLine::command(), vec!["oubliette".to_owned()]);
    for word in typed {
        if let Some(next) = command.find_subcommand(word).cloned() {
            names.push(next.get_name().to_owned());
            command = next;
        }
    }
    names.join(" ")
}

fn hint(error: &Error, command: &str) -> String {
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let suggested = suggested.into_iter().find_map(|kind| text(error, kind));
    match suggested {
        Some(name) => format!("did you mean `{name}`? `{command} -h` shows all"),
        None => format!("`{command} -h` shows what can be typed"),
    }
}

/// Returns `--keep` for `--keep=10.0.0.0`.
fn name_only(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    Some(match error.get(kind)? {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        ContextValue::StyledStrs(texts) => texts.first()?.to_string(),
        ContextValue::Number(number) => number.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::CommandLine;
    use clap::Parser as _;

    fn message(typed: &[&str]) -> String {
        let line = std::iter::once("oubliette").chain(typed.iter().copied());
        let error = CommandLine::try_parse_from(line).unwrap_err();
        diagnostic(&error, &typed.iter().map(OsString::from).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn messages_say_what_is_wrong() {
        for (typed, expected) in [
            (&["filter", "--kepe", "10.0.0.0/8"][..], "there is no option `--kepe`"),
            (&["filter", "--kepe", "10.0.0.0/8"], "did you mean `--keep`"),
            (&["filter", "--keep=192.0.2.0/99"], "a network is written"),
            (&["filter", "--keep"], "needs a value"),
            (&["filter", "--state-dir="], "`--state-dir <DIR>` needs a value"),
            (&["hold", "add", "--case", "C1 ", "--until", "2027-01-31"], "no white space before or after it"),
            (&["replay", "--case", " C1"], "no white space before or after it"),
            (&["subject", "erase", "--ip", "192.0.2.1", "--case", "\tC1"], "no white space"),
            (&["filter", "--epoch", "week"], "it is one of: day, month, fixed"),
            (&["filter", "--format", "sylog"], "rfc5424"),
            (&["filter", "--zone", "Mars/Base"], "IANA"),
            (&["filter", "--tag", "none", "--tag", "none"], "`--tag <FORM>` is given twice"),
            (&["filter", "a", "b"], "an argument too many"),
            (&["fliter"], "did you mean `filter`"),
            (&[], "a command is missing"),
            (&["token"], "is missing"),
            (&["explain", "--list", "x"], "exclude each other"),
            (&["completions", "tcsh"], "bash"),
            (&["filter", "--workers", "0"], "the value of `--workers <N>`"),
            (&["filter", "--workers", "0"], "`oubliette filter -h`"),
            (&["--now", "x", "keys", "seed", "new", "f"], "`oubliette keys seed new -h`"),
            (
                &["hold", "extract", "--case", "c"],
                "`<--ip <ADDRESS>|--email <ADDRESS>|--user <NAME>|--token <TOKEN>>`",
            ),
        ] {
            let message = message(typed);
            assert!(message.contains(expected), "{typed:?}: {message}");
        }
    }

    #[test]
    fn messages_never_repeat_a_value() {
        for typed in [
            &["filter", "--keep", "canary"][..],
            &["filter", "--keep=canary"],
            &["filter", "--canary-option=canary2"],
            &["filter", "--epoch", "canary"],
            &["filter", "--workers", "canary"],
            &["filter", "--max-line-bytes", "canary"],
            &["filter", "--now", "canary"],
            &["filter", "--tenant", "canary/"],
            &["filter", "x", "canary"],
            &["token", "x", "canary"],
            &["explain", "x", "canary"],
            &["token", "x", "--kind", "CANARY"],
            &["canary"],
            &["keys", "canary"],
            &["keys", "seed", "canary"],
        ] {
            let message = message(typed).to_lowercase().replace("--canary-option", "");
            assert!(!message.contains("canary"), "{typed:?}: {message}");
        }
    }
}
