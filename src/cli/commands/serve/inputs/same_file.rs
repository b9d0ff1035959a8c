//! Detects two inputs that name one file, under whatever names.

use super::is_pattern;
use crate::cli::codes;
use crate::cli::config::{Input, Kind};
use crate::input::tail::Identity;
use crate::primitives::diag::Diagnostic;
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses two inputs that name one file, since each line would be archived twice. Patterns need no such
/// check, because they leave alone what another input follows.
///
/// # Errors
/// C06, with both names.
pub(super) fn refuse(inputs: &[Input]) -> Result<(), Diagnostic> {
    let named = inputs.iter().filter(|input| input.kind == Kind::File && !is_pattern(input));
    let mut known: Vec<(Meant, &Path)> = Vec::new();
    for path in named.filter_map(|input| input.path.as_deref()) {
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
        match fs::metadata(path) {
            Ok(metadata) => Self::There(Identity::of(&metadata)),
            Err(_) => Self::ToCome(to_come(path)),
        }
    }
}

/// Resolves links in the path of a file that does not exist yet.
fn to_come(path: &Path) -> PathBuf {
    // Follows one link to the file. The target of a chain of links is known once the file exists.
    let target = fs::read_link(path).map(|target| path.with_file_name("").join(target));
    let path = target.unwrap_or_else(|_| path.to_owned());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
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
            let refused = refuse(&config.serve.inputs()).err().map(|refused| refused.code.id);
            assert_eq!(refused, is_one.then_some("C06"), "{first} {second}");
        }
    }
}
