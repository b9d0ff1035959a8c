//! Every command line shown in the README and under `tests/cmd` is run, and its output compared.

/// Paths and times in the output are replaced by names, so that the cases hold on every machine.
#[test]
fn command_lines() {
    trycmd::TestCases::new()
        .default_bin_name("oubliette")
        .env("NO_COLOR", "1")
        .case("tests/cmd/**/*.toml")
        .case("tests/cmd/**/*.trycmd")
        .case("README.md");
}
