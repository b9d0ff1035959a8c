//! Files of the configuration that hold secrets of others than oubliette: the private keys of TLS, passwords for Kafka.

use crate::cli::config::{Input, Output};
use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::keyring::EXPOSED;
use crate::primitives::diag::Diagnostic;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Warns of those that others can read. They are used all the same: who they are shared with is for their issuer to say.
pub(super) fn warn(report: Report, settings: &Settings) {
    let (inputs, outputs) = (settings.serve.inputs(), settings.serve.outputs());
    let of_inputs = inputs.iter().filter_map(|Input { key, .. }| key.as_deref());
    let of_outputs = outputs.iter().flat_map(|Output { key, kafka_config, .. }| [key, kafka_config]);
    for path in of_inputs.chain(of_outputs.filter_map(Option::as_deref)) {
        let path = settings.named_file(path);
        // One that cannot be read is told by whoever needs it.
        if let Ok(metadata) = fs::metadata(&path)
            && is_exposed(&metadata)
        {
            report.warning(&exposed(&path, &metadata));
        }
    }
}

/// Whether others than the owner can read it. Root may share what is his with a group, as PostgreSQL and the group
/// `ssl-cert` of Debian have it; and systemd does, with credentials.
fn is_exposed(metadata: &Metadata) -> bool {
    let closed = if metadata.uid() == 0 { 0o007 } else { 0o077 };
    metadata.is_file() && metadata.mode() & closed != 0
}

fn exposed(path: &Path, metadata: &Metadata) -> Diagnostic {
    let (path, mode) = (path.display(), metadata.mode() & 0o7777);
    Diagnostic::new(&EXPOSED, format!("{path} can be read by others (mode {mode:04o})"))
        .because("anybody who reads a private key or a password can pose as its owner")
        .hint(format!("`chmod 600 {path}`; if others may have read it, have it replaced"))
}
