//! Process-wide precautions before any line is read: no core dump, and no panic message that quotes a line.

use super::{codes, report};
use crate::primitives::diag::Diagnostic;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Turns a file size limit (`ulimit -f`, `LimitFSIZE=`) into an error of that file, which is reported and
/// after which everything else is written to its end. The signal would end the process silently.
pub(crate) fn outlive_file_limits() {
    // If this fails, the signal ends the process as before.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// Keeps memory, which holds lines in clear and secrets, off the disk. Also keeps panic messages, which may
/// quote a line, off standard error.
///
/// # Errors
/// If the operating system does not allow core dumps to be disabled.
pub(crate) fn harden() -> Result<(), Diagnostic> {
    std::panic::set_hook(Box::new(report::panicked));
    no_core_dumps().map_err(|error| {
        Diagnostic::new(&codes::CORE_DUMPS, "core dumps cannot be switched off")
            .because(error.to_string())
            .hint("allow setrlimit(2) and prctl(2) to this process")
    })
}

/// Raises the limit on descriptors to its maximum: each connection takes one, and the usual limit is 1024.
pub(crate) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    // If the limit stays as it is, fewer connections are accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Returns how many descriptors peers may use. Segments, vaults, spools, followed files and state need the
/// rest; otherwise the first flood of connections would end the sidecar.
pub(crate) fn descriptors_for_peers() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let kept = (limit / 2).min(MOST_KEPT_DESCRIPTORS);
    usize::try_from(limit - kept).unwrap_or(usize::MAX)
}

/// Two for each of 64 open segments, one for each of 1024 files of a pattern, and some spare ones.
const MOST_KEPT_DESCRIPTORS: u64 = 2048;

/// Returns the system user who runs this: the name of the real user id, or the id if it has no name here.
pub(crate) fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(id, &accounts).unwrap_or_else(|| format!("uid {id}"))
}

/// Finds the name of a user id in `name:password:UID:...` (passwd(5)).
fn name_of(id: u32, accounts: &str) -> Option<String> {
    let mut fields = accounts.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// Returns a flag that is set when SIGINT or SIGTERM comes. A second signal has its default effect.
///
/// # Errors
/// If the handlers cannot be installed.
pub(crate) fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The order matters: the conditional default comes first, and checks `seen` before it is set.
        flag::register_conditional_default(signal, Arc::clone(&seen))?;
        flag::register(signal, Arc::clone(&seen))?;
    }
    Ok(seen)
}

fn no_core_dumps() -> Result<(), Errno> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // core(5): RLIMIT_CORE is not enforced when core dumps go to a program; only this stops them.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nlog:x:104:111::/nonexistent:/bin/false\n";
        assert_eq!(name_of(104, accounts).as_deref(), Some("log"));
        assert_eq!(name_of(1, accounts), None);
        assert!(!user().is_empty());
    }

    #[test]
    fn core_dumps_are_off() {
        no_core_dumps().unwrap();
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
