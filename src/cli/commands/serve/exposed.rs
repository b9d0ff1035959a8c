//! Warns of files in the configuration that hold foreign secrets and can be read by others: private keys of
//! TLS, passwords for Kafka. Also warns of a second configuration, which other commands read, and of files
//! of root in the state directory.

use crate::cli::codes;
use crate::cli::commands::foreign;
use crate::cli::config::{Input, Output};
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::keyring::EXPOSED;
use crate::primitives::diag::Diagnostic;
use rustix::process::geteuid;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Warns of files that others can read. The files are used nevertheless: their issuer decides with whom to
/// share them.
pub(super) fn warn(report: Report, settings: &Settings) {
    if let Some(other) = settings.other_config() {
        report.warning(&two_configurations(&settings.config_path, &other));
    }
    foreign::of_root(&settings.state_dir).iter().for_each(|foreign| report.warning(foreign));
    let (inputs, outputs) = (settings.serve.inputs(), settings.serve.outputs());
    let of_inputs = inputs.iter().filter_map(|Input { key, .. }| key.as_deref());
    let of_outputs = outputs.iter().flat_map(|Output { key, kafka_config, .. }| [key, kafka_config]);
    for path in of_inputs.chain(of_outputs.filter_map(Option::as_deref)) {
        let path = settings.named_file(path);
        // An unreadable file is reported where it is needed.
        if let Ok(metadata) = fs::metadata(&path)
            && is_exposed(&metadata)
        {
            report.warning(&exposed(&path, &metadata));
        }
    }
}

fn two_configurations(own: &Path, other: &Path) -> Diagnostic {
    Diagnostic::new(&codes::TWO_CONFIGURATIONS, "there is another configuration in the state directory")
        .at(other.display().to_string())
        .because(format!("commands without `--config` read it, and this service reads {}", own.display()))
        .hint("remove it if nothing in it is needed; otherwise give `--config` to every command")
}

/// Returns whether anybody but the owner can read the file. Root may share a file with a group, as PostgreSQL
/// and the group `ssl-cert` of Debian do, and as systemd does with credentials.
fn is_exposed(metadata: &Metadata) -> bool {
    let closed = if metadata.uid() == 0 { 0o007 } else { 0o077 };
    metadata.is_file() && metadata.mode() & closed != 0
}

fn exposed(path: &Path, metadata: &Metadata) -> Diagnostic {
    let (path, mode) = (path.display(), metadata.mode() & 0o7777);
    // A file of root with mode 0600 could not be read by a service that runs as another user.
    let mend = match metadata.uid() == 0 && !geteuid().is_root() {
        true => format!("`chgrp` it to the group of this service, and `chmod 640 {path}`"),
        false => format!("`chmod 600 {path}`"),
    };
    Diagnostic::new(&EXPOSED, format!("{path} can be read by others (mode {mode:04o})"))
        .because("anybody who reads a private key or a password can pose as its owner")
        .hint(format!(
            "{mend}; if others may have read it, have the key or password replaced by who issued it"
        ))
}
