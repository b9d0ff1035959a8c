//! Every command line shown in the README and under `tests/cmd` is run, and its output compared.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[test]
fn command_lines() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    // A fixed seed instead of a random secret, so that the tokens shown are the tokens produced. It starts on
    // the day that `--now` names in every case.
    private(&state.join("keys/chain"), &format!("{SEED}{}\n", "01".repeat(32)));
    private(&state.join("escrow/recipients.txt"), &format!("{}\n", recipient()));
    let state_text = state.to_str().unwrap().to_owned();
    trycmd::TestCases::new()
        .default_bin_name("oubliette")
        .env("OUBLIETTE_STATE_DIR", &state_text)
        .env("NO_COLOR", "1")
        .insert_var("[STATE]", state_text)
        .unwrap()
        .case("tests/cmd/*/*.toml")
        .case("tests/cmd/*/*.trycmd")
        .case(readme(directory.path()));
    // The cases run when the value above is dropped, which happens before the directory is removed.
}

/// Copies the README to a directory of its own, because one of its commands writes an archive.
fn readme(directory: &Path) -> PathBuf {
    let data = directory.join("README.in/tests/data");
    fs::create_dir_all(&data).unwrap();
    fs::create_dir(directory.join("README.out")).unwrap();
    fs::copy("tests/data/sample.log", data.join("sample.log")).unwrap();
    let readme = directory.join("README.md");
    fs::copy("README.md", &readme).unwrap();
    readme
}

fn private(path: &Path, text: &str) {
    let folder = path.parent().unwrap();
    fs::DirBuilder::new().recursive(true).create(folder).unwrap();
    for folder in [folder, folder.parent().unwrap()] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Creates a recipient to wrap secrets to; its identity is discarded.
fn recipient() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

const SEED: &str = "oubliette fleet seed 1\nlength day\nepoch 2026-11-23\nchain ";
