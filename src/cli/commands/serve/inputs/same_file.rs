//! Detects two inputs that name one file, and inputs that name what this process writes, under whatever
//! names.

use super::is_pattern;
use crate::cli::codes;
use crate::cli::config::{Input, Kind};
use crate::input::tail::{Identity, Ours, resolve};
use crate::primitives::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// Refuses two inputs that name one file, since each line would be archived twice, and an input that names
/// what this process writes, since each line would come back for ever. Patterns need no such check, because
/// they leave alone what another input follows, and what is ours.
///
/// # Errors
/// C06, with the names.
pub(super) fn refuse(inputs: &[Input], ours: &Ours) -> Result<(), Diagnostic> {
    let named = inputs.iter().filter(|input| input.kind == Kind::File && !is_pattern(input));
    let (mut known, written): (Vec<(Meant, &Path)>, _) = (Vec::new(), ours.resolved());
    for path in named.filter_map(Input::path) {
        if written.has(path) {
            return Err(Diagnostic::new(&codes::CONFLICT, "an input follows what oubliette writes")
                .at_path(path, "each line that it writes there would come back, again and again")
                .hint("name another file, or have the output write elsewhere"));
        }
        let meant = Meant::by(path);
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == meant) {
            return Err(Diagnostic::new(&codes::CONFLICT, "two inputs follow the same file")
                .at(format!("{} and {}", other.display(), path.display()))
                .because("each of its lines would be archived twice")
                .hint("take one of the two out of the configuration"));
        }
        known.push((meant, path));
    }
    Ok(())
}

/// The file to which a path leads.
#[derive(PartialEq, Eq)]
enum Meant {
    There(Identity),
    ToCome(PathBuf),
}

impl Meant {
    fn by(path: &Path) -> Self {
        Identity::at(path).map_or_else(|| Self::ToCome(resolve(path)), Self::There)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn one_file_is_refused_under_any_two_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("log"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        fs::hard_link(at("log"), at("hard")).unwrap();
        symlink(at("log"), at("soft")).unwrap();
        symlink("new", at("early")).unwrap();
        symlink(directory.path(), at("folder")).unwrap();
        for (first, second, is_one) in [
            ("log", "log", true),
            ("log", "hard", true),
            ("soft", "hard", true),
            ("log", "folder/log", true),
            ("log", "other", false),
            // Neither exists yet.
            ("new", "new", true),
            ("new", "folder/new", true),
            ("new", "early", true),
            ("new", "newer", false),
            ("gone/log", "./gone/log", true),
            ("gone/log", "gone/other", false),
            // A pattern follows only what no other input follows.
            ("log", "l*", false),
            ("l*", "l*", false),
        ] {
            let input = |name| format!("[[serve.input]]\ntype = 'file'\npath = '{}'\n", at(name).display());
            let config = Config::parse(Path::new("config.toml"), &(input(first) + &input(second))).unwrap();
            let refused =
                refuse(&config.serve.inputs(), &Ours::default()).err().map(|refused| refused.code.id);
            assert_eq!(refused, is_one.then_some("C06"), "{first} {second}");
        }
    }

    #[test]
    fn what_is_written_here_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let ours = Ours { files: vec![at("out")], folders: vec![at("archive")] };
        for (name, is_ours) in
            [("out", true), ("out.20261123T230000Z", true), ("archive/a", true), ("in", false), ("o*", false)]
        {
            let input = format!("[[serve.input]]\ntype = 'file'\npath = '{}'\n", at(name).display());
            let config = Config::parse(Path::new("config.toml"), &input).unwrap();
            let refused = refuse(&config.serve.inputs(), &ours).err().map(|refused| refused.code.id);
            assert_eq!(refused, is_ours.then_some("C06"), "{name}");
        }
    }
}
