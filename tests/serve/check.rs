//! `oubliette check` refuses each configuration that `serve` refuses, and makes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The end of every configuration: another input, so that none of them listens where other programs do.
const REST: &str =
    "[serve.metrics]\nlisten = 'none'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";

/// Configurations with which `serve` does not start, each before [`REST`], with the code of the refusal.
const BROKEN: &[(&str, &str)] = &[
    ("zone = 'Mars/Base'", "C03"),
    ("source_zone = 'Mars/Base'", "C03"),
    ("tenant = ''", "C03"),
    ("epoch = 'week'", "C03"),
    ("source = 'seed'", "C06"),
    ("recipients = ['age1example']", "K09"),
    ("also = ['nosuch']", "R10"),
    ("keep = ['192.0.2.0/40']", "C03"),
    ("tag = 'any'", "C03"),
    ("token_shape = 'any'", "C03"),
    ("max_line_bytes = 12", "C03"),
    ("rules = 'nosuch'", "C02"),
    ("trust_upstream = 'any'", "C03"),
    ("vault = 's3://bucket/vault'", "C01"),
    ("vault = 'state/archive/vault'", "C06"),
    ("vault = 'dangling'", "C02"),
    ("vault = 'file'", "A01"),
    ("sync = '5'", "C03"),
    ("node = 'a b'", "C03"),
    ("serve.archive = 's3://bucket/log'", "C01"),
    ("serve.archive = 'dangling'", "C02"),
    ("serve.archive = 'file'", "A01"),
    ("serve.archive = 'log/archive'", "C02"),
    ("serve.purge = 'any'", "C03"),
    ("serve.limits.connections = 0", "C03"),
    ("serve.limits.memory = '65GiB'", "C03"),
    ("serve.limits.idle = '0s'", "C03"),
    ("serve.limits.sealed = 'any'", "C03"),
    ("serve.limits.drain = 'any'", "C03"),
    ("[[serve.input]]\ntype = 'ftp'", "C03"),
    ("[[serve.input]]\ntype = 'tls'\nlisten = '127.0.0.1:0'\ncertificate = 'nosuch'\nkey = 'nosuch'", "I11"),
    ("[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\ncertificate = 'file'\nkey = 'file'", "I11"),
    ("[[serve.input]]\ntype = 'udp'\nlisten = 'localhost:514'", "C03"),
    ("[[serve.input]]\ntype = 'unix'\npath = 'file'", "I10"),
    ("[[serve.input]]\ntype = 'unix'\npath = ''", "I10"),
    ("[[serve.input]]\ntype = 'unix'\npath = 's'\nmode = '666'", "C03"),
    (
        "[[serve.input]]\ntype = 'unix'\npath = 's'\n[[serve.input]]\ntype = 'unix-datagram'\npath = 's'",
        "C06",
    ),
    ("[[serve.input]]\ntype = 'file'\npath = 'file'\n[[serve.input]]\ntype = 'file'\npath = './file'", "C06"),
    ("[[serve.input]]\ntype = 'file'\npath = 'state/keys/chain'", "C06"),
    ("[[serve.input]]\ntype = 'file'\npath = '[a'", "C03"),
    (
        "[[serve.input]]\ntype = 'file'\npath = 'f'\n[[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'",
        "C06",
    ),
    ("[[serve.output]]\ntype = 'tls'\nname = 'a'\naddress = '127.0.0.1:9'\nca = 'nosuch'", "I11"),
    ("[[serve.output]]\ntype = 'relp'\nname = 'a'\naddress = '127.0.0.1:9'\nca = 'file'", "I11"),
    ("[[serve.output]]\ntype = 'tcp'\nname = 'a'\naddress = 'host'", "C03"),
    ("[[serve.output]]\ntype = 'file'\nname = 'a/b'\npath = 'f'", "C03"),
    ("[[serve.output]]\ntype = 'file'\nname = 'a'\npath = 'f'\nkeep_days = 1", "C03"),
];

/// Configurations with which `serve` would start, or which only the service can judge.
const GOOD: &[&str] = &[
    "",
    "[[serve.input]]\ntype = 'unix'\npath = 's'",
    "[[serve.input]]\ntype = 'file'\npath = 'file'",
    "[[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'",
    "[[serve.input]]\ntype = 'tls'\nlisten = '127.0.0.1:0'\ncertificate = 'credential:c'\nkey = 'k'",
];

fn folder(config: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "no certificate\n").unwrap();
    std::os::unix::fs::symlink("/nosuch/volume", at("dangling")).unwrap();
    fs::create_dir_all(at("log/archive/expires=2026-11-25")).unwrap();
    let path = at("config.toml");
    fs::write(&path, config).unwrap();
    (directory, path)
}

fn oubliette(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    command.args(arguments).arg(config).arg("--state-dir").arg(config.with_file_name("state"));
    command.env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
    command
}

/// Starts `serve`, and returns what it says when it has ended.
fn refused_by_serve(config: &Path) -> String {
    let mut command = oubliette(&["serve", "--config"], config);
    let mut child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Harmless if it has ended.
    let _ = child.kill();
    String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
}

/// Checks a configuration in both ways, and returns what they say.
fn checked(config: &Path) -> [(Option<i32>, String); 2] {
    [&["check", "--config"][..], &["check"]].map(|arguments| {
        let checked = oubliette(arguments, config).output().unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        (checked.status.code(), String::from_utf8(said).unwrap())
    })
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let folders: Vec<_> = names.iter().filter(|path| path.is_dir()).cloned().collect();
    folders.iter().for_each(|folder| names.extend(self::names(folder)));
    names.sort();
    names
}

#[test]
fn what_serve_refuses_check_refuses_too_and_makes_nothing() {
    let without_kafka =
        ("[[serve.output]]\ntype = 'kafka'\nname = 'k'\nbrokers = ['127.0.0.1:9']\ntopic = 't'", "F05");
    let without_kafka = (!cfg!(feature = "kafka")).then_some(&without_kafka);
    for (config, code) in BROKEN.iter().chain(without_kafka) {
        let (directory, path) = folder(&format!("escrow = 'none'\n{config}\n{REST}"));
        let before = names(directory.path());
        for (exit, said) in checked(&path) {
            assert!(exit == Some(1) && said.contains(code), "{config}: {said}");
        }
        assert_eq!(names(directory.path()), before, "{config}");
        let refused = refused_by_serve(&path);
        assert!(refused.contains(&format!("error[{code}]")), "{config}: {refused}");
    }
}

#[test]
fn an_archive_that_nobody_could_open_is_refused_before_it_is_begun() {
    let (_directory, path) = folder(REST);
    for (exit, said) in checked(&path) {
        assert!(exit == Some(1) && said.contains("A03"), "{said}");
    }
    assert!(refused_by_serve(&path).contains("error[A03]"));
    // Without a sidecar there need not be an archive.
    fs::write(&path, "tag = 'none'\n").unwrap();
    for (exit, said) in checked(&path) {
        assert_eq!(exit, Some(0), "{said}");
    }
}

#[test]
fn a_good_configuration_of_a_sidecar_passes_and_makes_nothing() {
    for config in GOOD {
        let (directory, path) = folder(&format!("escrow = 'none'\n{config}\n{REST}"));
        // As it is after the first secret, and without the other folders.
        fs::create_dir_all(path.with_file_name("state/keys")).unwrap();
        let before = names(directory.path());
        for (exit, said) in checked(&path) {
            assert!(exit == Some(0) && said.contains("nothing found"), "{config}: {said}");
        }
        assert_eq!(names(directory.path()), before, "{config}");
    }
}
