//! `oubliette init`: makes the state directory, its configuration, and escrow.

use crate::cli::args::{Common, InitArgs};
use crate::cli::codes;
use crate::cli::config::TEMPLATE;
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::init;
use crate::primitives::diag::Diagnostic;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Makes what is missing, and notes what is left to do.
pub(crate) fn run(report: Report, common: &Common, args: &InitArgs) -> Result<Exit, Stop> {
    // This command may have to make the named configuration, so a missing file is not an error.
    if let Some(named) = &common.config {
        write_config(named)?;
    }
    let settings = Settings::of(common)?;
    let recipients: Vec<String> = args.recipient.iter().chain(&settings.recipients).cloned().collect();
    let done = init::run(&settings.state_dir, &recipients).map_err(Diagnostic::from)?;
    write_config(&settings.config_path)?;
    let identities: Vec<String> = done.identities.iter().map(|path| path.display().to_string()).collect();
    if report.is_json() {
        report.value(&json!({
            "state_dir": settings.state_dir.display().to_string(),
            "config": settings.config_path.display().to_string(),
            "identities": identities,
            "recipients": done.recipients,
        }))?;
        return Ok(Exit::Done);
    }
    report.note(&format!("state directory: {}", settings.state_dir.display()));
    report.note(&format!("configuration: {}", settings.config_path.display()));
    let recipients = counted(done.recipients, "recipient");
    report.note(&format!("every epoch secret will be wrapped to {recipients}"));
    if !identities.is_empty() {
        report.note("MOVE THESE TWO OFF THIS MACHINE, to two people or two places:");
        identities.iter().for_each(|identity| report.note(&format!("  {identity}")));
        report.note("either opens every epoch secret made from now on; until you move them, anybody who reads this disk can do so");
    }
    Ok(Exit::Done)
}

/// Writes the template, unless there is a configuration.
fn write_config(path: &Path) -> Result<(), Diagnostic> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(TEMPLATE.as_bytes())?;
        file.sync_all()
    };
    match write() {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Diagnostic::new(&codes::OPEN, "cannot write the configuration")
                .at_path(path, error)
                .hint("name another place with `--config FILE`"))
        }
        _ => Ok(()),
    }
}
