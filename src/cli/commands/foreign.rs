//! Finds files of root in the state directory of a service, which the service may not read or change.

use crate::cli::codes;
use crate::cli::report::counted;
use crate::cli::settings::STATE_FOLDERS;
use crate::primitives::diag::Diagnostic;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Returns a warning that names files of root in the folders of a state directory, if that belongs to another
/// user. What oubliette makes there as root, it gives to that user; these were copied there, or restored.
pub(super) fn of_root(state_dir: &Path) -> Option<Diagnostic> {
    let owner = fs::metadata(state_dir).ok()?.uid();
    if owner == ROOT {
        return None;
    }
    let (mut found, mut folders) = (Vec::new(), Vec::new());
    for folder in STATE_FOLDERS.iter().map(|folder| state_dir.join(folder)) {
        let before = found.len();
        find(&folder, &mut found);
        if found.len() > before {
            folders.push(folder.display().to_string());
        }
    }
    let named: Vec<_> = found.iter().take(MOST_NAMED).map(|path| path.display().to_string()).collect();
    let more = found.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!found.is_empty()).then(|| {
        let files = counted(found.len() as u64, "file");
        Diagnostic::new(&codes::OPEN, format!("root owns {files} in the state directory of another user"))
            .at(format!("{}{more}", named.join(", ")))
            // Not a hint, which the table of `check` does not show.
            .because(format!(
                "the service may not use them; as root: \
                 `find {} -user root -exec chown -h --reference={} {{}} +`",
                folders.join(" "),
                state_dir.display()
            ))
    })
}

/// Finds what root owns at `path` and below. Skips what cannot be looked at: its directory is found then.
fn find(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.uid() == ROOT {
        found.push(path.to_owned());
    }
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| find(&entry.path(), found));
    }
}

const ROOT: u32 = 0;

/// The most files that are named one by one.
const MOST_NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::lchown;

    #[test]
    fn what_root_owns_in_the_state_of_a_service_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path();
        fs::create_dir(state.join("keys")).unwrap();
        fs::write(state.join("keys/epochs.jsonl"), "").unwrap();
        fs::write(state.join("config.toml"), "").unwrap();
        assert!(of_root(state).is_none());
        if !rustix::process::geteuid().is_root() {
            return;
        }
        const NOBODY: u32 = 65534;
        lchown(state, Some(NOBODY), Some(NOBODY)).unwrap();
        let shown = |state: &Path| of_root(state).map(|warning| format!("{warning:?}"));
        let both = shown(state).unwrap();
        assert!(both.contains("2 files") && both.contains("keys/epochs.jsonl"), "{both}");
        assert!(both.contains("chown -h --reference="), "{both}");
        lchown(state.join("keys"), Some(NOBODY), Some(NOBODY)).unwrap();
        assert!(shown(state).unwrap().contains("1 file "));
        lchown(state.join("keys/epochs.jsonl"), Some(NOBODY), Some(NOBODY)).unwrap();
        // The configuration may be root's: it is only read.
        assert_eq!(shown(state), None);
    }
}
