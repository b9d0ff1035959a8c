//! What the process promises before it reads a line: no core dump, no panic message that quotes one.

use super::{codes, report};
use crate::primitives::diag::Diagnostic;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps memory, which holds lines in clear and secrets, off the disk; and keeps what a panic says, which
/// may quote a line, off standard error.
///
/// # Errors
/// If the operating system does not let core dumps be switched off.
pub(crate) fn harden() -> Result<(), Diagnostic> {
    std::panic::set_hook(Box::new(report::panicked));
    no_core_dumps().map_err(|error| {
        Diagnostic::new(&codes::CORE_DUMPS, "core dumps cannot be switched off")
            .because(error.to_string())
            .hint("allow setrlimit(2) and prctl(2) to this process")
    })
}

fn no_core_dumps() -> Result<(), Errno> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // core(5): when core dumps go to a program, RLIMIT_CORE is not enforced; only this stops them.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
