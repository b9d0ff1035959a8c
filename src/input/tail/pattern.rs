//! Patterns for log files: which matching files are logs, and which are rotated files of another log.

use super::is_rotated;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A path with `*`, `?`, `[...]` or `**` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files that a pattern matches now.
#[derive(Debug, Default)]
pub struct Found {
    /// The logs.
    pub files: Vec<PathBuf>,
    /// Whether symbolic links lead to further files.
    pub has_links: bool,
}

impl Pattern {
    /// Returns `path` as a pattern; `None` if it is not one.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn of(path: &Path) -> Result<Option<Self>, &'static str> {
        let Some(text) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Ok(None) };
        match glob::Pattern::new(text) {
            Ok(_) => Ok(Some(Self(text.to_owned()))),
            Err(error) => Err(error.msg),
        }
    }

    /// Resolves a path that may be a pattern, relative to a directory, whose own name is none.
    #[must_use]
    pub fn below(directory: &Path, path: &Path) -> PathBuf {
        let plain = directory.to_str().map(|name| PathBuf::from(glob::Pattern::escape(name)));
        plain.unwrap_or_else(|| directory.to_owned()).join(path)
    }

    /// Returns the directory before the first name with a wildcard. The author of the pattern means that
    /// directory, wherever links lead.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        let is_plain = |name: &Component<'_>| !name.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        Path::new(&self.0).components().take_while(is_plain).collect()
    }

    /// Returns the files that match and are logs, as whole paths, in order.
    ///
    /// Skips files behind a symbolic link below [`Pattern::root`]: otherwise whoever may make names there
    /// could have any file read. Skips files with a name that a rotation gives to another match or to one of
    /// `followed`, because the follower of that log reads them. Skips compressed files.
    #[must_use]
    pub fn files(&self, followed: &[PathBuf]) -> Found {
        // The option that leaves out hidden files panics at a name that is not UTF-8.
        let options = glob::MatchOptions { require_literal_leading_dot: false, ..glob::MatchOptions::new() };
        let found = glob::glob_with(&self.0, options).into_iter().flatten();
        // A directory that cannot be read contains no files for us.
        let found = found.flatten().filter(|path| !self.is_hidden(path));
        let found: Vec<PathBuf> = found.filter(|path| path.is_file()).collect();
        let (linked, mut files): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|path| self.is_behind_link(path));
        let all = files.clone();
        files.retain(|path| !is_compressed(path));
        files
            .retain(|path| !all.iter().chain(followed).any(|of| is_beside(path, of) && is_rotated(path, of)));
        Found { files, has_links: !linked.is_empty() }
    }

    /// Returns whether a name below the root begins with a dot for which the pattern has none.
    fn is_hidden(&self, path: &Path) -> bool {
        let is_dotted = |name: &str| name.starts_with('.');
        let (folders, last) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        let is_meant = |name: &str| {
            let parts = folders.split('/').filter(|part| is_dotted(part));
            parts.filter_map(|part| glob::Pattern::new(part).ok()).any(|part| part.matches(name))
        };
        let below = path.strip_prefix(self.root()).unwrap_or(path).components().rev();
        let mut names = below.filter_map(|name| match name {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        });
        let is_file_hidden = names.next().is_some_and(|name| is_dotted(&name) && !is_dotted(last));
        is_file_hidden || names.any(|name| is_dotted(&name) && !is_meant(&name))
    }

    fn is_behind_link(&self, path: &Path) -> bool {
        let root = self.root();
        path.ancestors().take_while(|path| *path != root).any(Path::is_symlink)
    }
}

fn is_beside(path: &Path, other: &Path) -> bool {
    path.parent() == other.parent()
}

fn is_compressed(path: &Path) -> bool {
    let name = path.to_string_lossy();
    super::COMPRESSED.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_patterns_are_patterns() {
        let of = |path: &str| Pattern::of(Path::new(path)).map(|pattern| pattern.is_some());
        assert_eq!(
            (of("/var/log/a.log"), of("/var/log/*.log"), of("/var/log/[ab]")),
            (Ok(false), Ok(true), Ok(true))
        );
        assert!(of("/var/log/[a").is_err() && of("/var/***/x").is_err());
    }

    #[test]
    fn a_directory_is_no_pattern() {
        let directory = tempfile::tempdir().unwrap();
        let bracketed = directory.path().join("[a]");
        for (directory, name) in
            [(&bracketed, "a.log"), (&bracketed, "b.log"), (&directory.path().join("a"), "a.log")]
        {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join(name), "").unwrap();
        }
        let files = |path: &str| {
            Pattern::of(&Pattern::below(&bracketed, Path::new(path))).unwrap().unwrap().files(&[]).files
        };
        assert_eq!(files("?.log"), [bracketed.join("a.log"), bracketed.join("b.log")]);
        assert_eq!(files("b.log"), [bracketed.join("b.log")]);
        let below = |path: &str| Pattern::below(Path::new("/etc/oubliette"), Path::new(path));
        assert_eq!(below("../a.log"), Path::new("/etc/oubliette/../a.log"));
        assert_eq!(below("/var/log/*"), Path::new("/var/log/*"));
    }

    #[test]
    fn rotated_ones_are_left_to_who_follows_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let names =
            ["mail", "mail.log", "mail.log.1", "mail.log.2.gz", "mail-20261123", "mail.old", "app.log-1"];
        names.iter().for_each(|name| fs::write(at(name), "").unwrap());
        fs::write(at(".hidden"), "").unwrap();
        fs::create_dir(at("directory")).unwrap();
        let files = |pattern: &str, followed: &[PathBuf]| -> Vec<String> {
            let pattern = Pattern::of(&at(pattern)).unwrap().unwrap();
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            pattern.files(followed).files.into_iter().map(name).collect()
        };
        assert_eq!(files("*", &[]), ["app.log-1", "mail", "mail.log"]);
        assert_eq!(files("*", &[at("app.log")]), ["mail", "mail.log"]);
        assert_eq!(files("mail.lo?", &[]), ["mail.log"]);
        assert!(files("none*", &[]).is_empty());
    }

    #[test]
    fn a_hidden_file_is_matched_by_a_dot_only() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for folder in ["plain", ".dotted"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("a.log"), "").unwrap();
            fs::write(at(folder).join(".a.log"), "").unwrap();
        }
        for (pattern, names) in [
            ("*/*.log", &["plain/a.log"][..]),
            ("*/.*.log", &["plain/.a.log"]),
            (".d*/*.log", &[".dotted/a.log"]),
            ("**/*.log", &["plain/a.log"]),
            (".dotted/*", &[".dotted/a.log"]),
        ] {
            let pattern = Pattern::of(&at(pattern)).unwrap().unwrap();
            let names: Vec<_> = names.iter().map(|name| at(name)).collect();
            assert_eq!(pattern.files(&[]).files, names, "{pattern}");
        }
    }

    /// Whoever may make names there could keep all others from being read.
    #[test]
    fn a_name_that_is_not_utf_8_hides_no_others() {
        use std::os::unix::ffi::OsStrExt as _;
        let directory = tempfile::tempdir().unwrap();
        let strange = |name: &[u8]| directory.path().join(std::ffi::OsStr::from_bytes(name));
        fs::write(directory.path().join("a.log"), "").unwrap();
        fs::write(strange(b"x\xff.log"), "").unwrap();
        fs::create_dir(strange(b"\xff")).unwrap();
        fs::write(strange(b"\xff/b.log"), "").unwrap();
        for pattern in ["*.log", "**/a.log"] {
            let pattern = Pattern::of(&directory.path().join(pattern)).unwrap().unwrap();
            assert_eq!(pattern.files(&[]).files, [directory.path().join("a.log")], "{pattern}");
        }
    }

    /// Otherwise whoever may make names there could have any file read.
    #[test]
    fn behind_a_link_there_is_no_log_unless_the_link_is_in_front_of_the_pattern() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("real/anne")).unwrap();
        fs::create_dir(at("private")).unwrap();
        for name in ["real/anne/a.log", "private/p.log"] {
            fs::write(at(name), "").unwrap();
        }
        symlink("real", at("link")).unwrap();
        symlink(at("private"), at("real/jean")).unwrap();
        symlink(at("private/p.log"), at("real/anne/b.log")).unwrap();
        let found = Pattern::of(&at("link/*/*.log")).unwrap().unwrap().files(&[]);
        assert_eq!(found.files, [at("link/anne/a.log")]);
        assert!(found.has_links);
        assert_eq!(Pattern::of(&at("link/*/*.log")).unwrap().unwrap().root(), at("link"));
        assert_eq!(Pattern::of(Path::new("*.log")).unwrap().unwrap().root(), Path::new(""));
    }
}
