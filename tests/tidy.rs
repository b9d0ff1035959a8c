//! The house rules that a compiler does not check: which modules may import which, and what every file must
//! have.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from left to right. Imports go to the right only; modules of one layer must not import each
/// other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["jobs"],
    &["pipeline"],
    &[
        "input",
        "format",
        "rules",
        "detect",
        "pseudonym",
        "retention",
        "keyring",
        "quarantine",
        "archive",
        "output",
        "vault",
        "ledger",
        "shred",
        "telemetry",
    ],
    &["scan"],
    &["model"],
    &["primitives"],
];

/// Edges within a layer that are allowed: from, to, and the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("keyring", "pseudonym::epoch", "a secret belongs to an epoch"),
    ("quarantine", "pseudonym::epoch", "a quarantined line is named under the keys of an epoch"),
    ("archive", "pseudonym::Pseudonymised", "nothing else can be archived"),
    ("output", "pseudonym::Pseudonymised", "nothing else can be sent"),
    ("detect", "pseudonym::token", "a forged token has the form of a true one"),
    ("archive", "pseudonym::token", "tokens are found again in lines whose index a crash took"),
    ("vault", "pseudonym::Tokens", "what a vault keeps apart from the lines"),
    ("quarantine", "pseudonym::Pseudonymised", "nothing else can be written out"),
    ("quarantine", "pseudonym::Placeholder", "what goes out in place of a sealed line"),
];

/// The core: folders that reach no disk, socket, clock or randomness.
const CORE: &[&str] = &["detect", "format", "model", "pseudonym", "retention", "rules", "scan"];

/// Folders that reach a disk only through the storage they are given.
const ON_STORAGE: &[&str] = &["archive", "ledger", "shred", "vault"];

const LONGEST_FILE_LINES: usize = 700;

#[test]
fn imports_go_to_the_right() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src", "rs") {
        let Some(from) = module_of(&path) else { continue };
        wrong.extend(
            imports(&text)
                .into_iter()
                .filter(|import| !allowed(&from, import))
                .map(|import| format!("{}: {from} must not know crate::{import}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_core_does_no_input_or_output() {
    let direct =
        ["std::fs", "std::env", "std::os", "std::process", "rustix", "tokio", "TcpStream", "UdpSocket"];
    let given = ["std::io", "std::time", "::now()", "getrandom", "primitives::storage", "private_folder"];
    let all: Vec<&str> = direct.into_iter().chain(given).collect();
    let mut wrong = Vec::new();
    for (folders, names) in [(ON_STORAGE, &direct[..]), (CORE, &all[..])] {
        for (path, text) in folders.iter().flat_map(|folder| sources(&format!("src/{folder}"), "rs")) {
            if path.ends_with("tests.rs") {
                continue;
            }
            // What stands below may be needed to test what stands above.
            let text = text.split("\nmod tests {").next().unwrap();
            let code: Vec<&str> = text.lines().filter(|line| !is_comment(line)).collect();
            let mut found: Vec<&str> = names.to_vec();
            found.retain(|name| code.iter().any(|line| line.contains(*name)));
            found.extend(imports(text).iter().any(|it| it == "primitives::storage::Disk").then_some("Disk"));
            wrong.extend(found.into_iter().map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent = files(&["src", "tests", "benches"], |_, text| !text.starts_with("//! "));
    assert!(silent.is_empty(), "no `//!` at the top: {silent:?}");
}

#[test]
fn sources_are_ascii() {
    let other = files(&["src", "tests", "benches"], |_, text| !text.is_ascii());
    assert!(other.is_empty(), "not ASCII: {other:?}");
}

#[test]
fn no_file_is_too_long() {
    let long = files(&["src"], |_, text| text.lines().count() > LONGEST_FILE_LINES);
    assert!(long.is_empty(), "over {LONGEST_FILE_LINES} lines: {long:?}");
}

#[test]
fn nothing_is_left_to_do() {
    let words = ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "#[ig".to_owned() + "nore"];
    let unfinished =
        files(&["src", "tests", "benches"], |_, text| words.iter().any(|word| text.contains(word.as_str())));
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[test]
fn only_the_report_prints() {
    let macros = ["print!(", "println!(", "eprint!(", "eprintln!("];
    let talkative = files(&["src"], |path, text| {
        path != Path::new("src/cli/report.rs")
            && text.lines().any(|line| macros.iter().any(|name| line.contains(name)) && !is_comment(line))
    });
    assert!(talkative.is_empty(), "prints: {talkative:?}");
}

#[test]
fn every_rule_has_samples() {
    let mut bare = Vec::new();
    for (path, text) in sources("rules", "toml") {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rules = table.get("rule").and_then(toml::Value::as_array).into_iter().flatten();
        let classes = table.get("class").and_then(toml::Value::as_table).into_iter().flatten();
        let classes = classes.map(|(name, class)| (name.as_str(), class));
        let rules = rules.map(|rule| (rule.get("id").and_then(toml::Value::as_str).unwrap_or("?"), rule));
        let mut count = 0;
        for (name, rule) in rules.chain(classes) {
            count += 1;
            let samples = rule.get("sample").and_then(toml::Value::as_array).map_or(0, Vec::len);
            if samples == 0 {
                bare.push(format!("{}: {name} has no sample", path.display()));
            }
        }
        if count == 0 {
            bare.push(format!("{}: neither a rule nor a class", path.display()));
        }
    }
    assert!(bare.is_empty(), "\n{}", bare.join("\n"));
}

#[test]
fn pages_that_are_named_exist() {
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found =
                there.exists() && (anchor.is_empty() || anchors(&there).iter().any(|it| it == anchor));
            if !found {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    // The pages named by `explain CODE`.
    for (path, text) in sources("src", "rs") {
        let names = text.match_indices("docs/").filter_map(|(at, _)| text[at..].split_once(".md"));
        let names = names.map(|(name, _)| format!("{name}.md")).filter(|name| !name.contains([' ', '\n']));
        wrong.extend(
            names.filter(|name| !Path::new(name).exists()).map(|name| format!("{}: {name}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_found_from_the_readme() {
    let pages = pages();
    let readme = &pages[Path::new("README.md")];
    let recipes = &pages[Path::new("docs/recipes/README.md")];
    let lost: Vec<_> = pages
        .keys()
        .filter(|page| page.starts_with("docs"))
        .filter(|page| match page.strip_prefix("docs/recipes") {
            Ok(recipe) if !recipe.ends_with("README.md") => {
                !recipes.contains(&format!("({})", recipe.display()))
            }
            _ => !readme.contains(&format!("({})", page.display())),
        })
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn wrong_edges_are_seen() {
    for (from, import, right) in [
        ("cli", "jobs::explain", true),
        ("cli", "model::Span", true),
        ("jobs", "cli::report", false),
        ("format", "model::Record", true),
        ("format", "detect::ipv4", false),
        ("format", "format::pri", true),
        ("keyring", "pseudonym::epoch::Epoch", true),
        ("keyring", "pseudonym::token", false),
        ("keyring", "pseudonym::epochs", false),
        ("primitives", "model::Kind", false),
        ("model", "primitives::diag", true),
        ("lib", "cli", true),
    ] {
        assert_eq!(allowed(from, import), right, "{from} -> {import}");
    }
    let text = "use crate::model::{Span,\n    Kind};\nuse crate::{jobs::explain, cli::{args, report}};\n\
                // use crate::comment::x;\n/// [`crate::doc::X`]\nlet x = crate::detect::y();\npub(in crate::input) fn";
    assert_eq!(
        imports(text),
        ["cli::args", "cli::report", "detect::y", "input", "jobs::explain", "model::Kind", "model::Span"]
    );
}

/// Returns whether a module of `from` may import `import`, a path without `crate::`.
fn allowed(from: &str, import: &str) -> bool {
    let to = import.split("::").next().unwrap_or_default();
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let excepted =
        |path: &str| import.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    from == "lib"
        || from == to
        || EXCEPTIONS.iter().any(|(who, path, _)| *who == from && excepted(path))
        || matches!((layer(from), layer(to)), (Some(from), Some(to)) if from < to)
}

/// Returns every path outside comments that starts with `crate::`, with groups expanded, without `crate::`,
/// sorted.
fn imports(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !is_comment(line)).collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if !before.is_some_and(|character| character.is_alphanumeric() || "_$:".contains(character)) {
            expand("", &code[start + "crate::".len()..], &mut paths);
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Adds the paths that `text` starts with, each after `prefix`. Returns what follows them.
fn expand<'t>(prefix: &str, text: &'t str, paths: &mut Vec<String>) -> &'t str {
    let is_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
    let end = text.find(|character| !is_path(character)).unwrap_or(text.len());
    let (path, mut rest) = (format!("{prefix}{}", &text[..end]), &text[end..]);
    let Some(inside) = rest.strip_prefix('{').filter(|_| path.is_empty() || path.ends_with("::")) else {
        paths.push(path.trim_end_matches(':').to_owned());
        return rest;
    };
    rest = inside;
    while let next = rest.trim_start_matches(|character: char| character.is_whitespace() || character == ',')
        && !next.starts_with('}')
        && !next.is_empty()
    {
        let after = expand(&path, next, paths);
        // `as name` and `*` carry no path; anything else that is not understood is skipped rather than looped
        // on.
        let skip = after.find([',', '}']).unwrap_or(after.len());
        rest = &after[skip..];
    }
    rest.trim_start().strip_prefix('}').unwrap_or(rest)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Returns `detect` for `src/detect/account.rs` and for `src/detect.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?;
    Some(Path::new(first.as_os_str()).file_stem()?.to_string_lossy().into_owned())
}

/// Returns every page of the repository with its text.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        pages.insert(PathBuf::from(name), fs::read_to_string(name).unwrap());
    }
    for folder in ["docs", "src", "benches", "packaging"] {
        pages.append(&mut sources(folder, "md"));
    }
    pages
}

/// Returns the anchors of a page, as renderers derive them from its headings.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let letters = |heading: &str| {
        let kept = heading.trim().chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(letters).collect()
}

/// Returns the Rust files for which `is_wrong` holds.
fn files(folders: &[&str], is_wrong: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
    let all = folders.iter().flat_map(|folder| sources(folder, "rs"));
    all.filter(|(path, text)| is_wrong(path, text)).map(|(path, _)| path).collect()
}

/// Returns the files below `folder` with this extension, with their texts.
fn sources(folder: &str, extension: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten();
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    found
}
