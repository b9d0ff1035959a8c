//! The daemons that receive lines: oubliette, which archives them, and rsyslog, which writes a file.

use super::workplace::library_folders;
use memchr::memchr_iter;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A sidecar with an archive.
pub(crate) struct Oubliette {
    child: Child,
    talk: Lines<BufReader<ChildStderr>>,
    address: String,
    _place: TempDir,
}

impl Oubliette {
    /// Starts the sidecar and waits until it listens to `protocol`.
    pub(crate) fn start(protocol: &str) -> Self {
        let place = tempfile::tempdir().expect("room for a state directory");
        let config =
            format!("escrow = 'none'\n[[serve.input]]\ntype = '{protocol}'\nlisten = '127.0.0.1:0'\n");
        std::fs::write(place.path().join("config.toml"), config).expect("room for a configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_oubliette"))
            .args(["serve", "--stats", "json", "--state-dir"])
            .arg(place.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary");
        let mut talk = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let said = format!("note: listening: {protocol} ");
        let listening = |line: String| line.strip_prefix(&said).map(ToOwned::to_owned);
        let address = talk.by_ref().map_while(Result::ok).find_map(listening).expect("an address");
        Self { child, talk, address, _place: place }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the sidecar once everything is archived, and returns how many lines that were. Checks that none
    /// was lost inside.
    pub(crate) fn stop(mut self) -> u64 {
        terminate(&mut self.child);
        let mut talk = self.talk.map_while(Result::ok);
        let counts = talk.find(|line| line.starts_with("{\"lines_in\"")).expect("counts");
        let counts: serde_json::Value = serde_json::from_str(&counts).expect("an object");
        assert_eq!(counts["lines_in"], counts["lines_out"], "{counts}");
        counts["lines_in"].as_u64().expect("a number")
    }
}

/// How rsyslog is configured.
pub(crate) struct Setup {
    pub(crate) modules: &'static str,
    /// Settings of the main queue; the default if empty.
    pub(crate) queue: &'static str,
    pub(crate) input: &'static str,
    /// Actions on a message before it is written.
    pub(crate) actions: &'static str,
    /// How the file is written.
    pub(crate) file: &'static str,
}

/// rsyslog, writing to a file.
pub(crate) struct Rsyslog {
    child: Child,
    address: String,
    written: Written,
    /// Whether addresses must be gone from the file.
    anonymises: bool,
    _place: TempDir,
}

impl Rsyslog {
    pub(crate) fn start(program: &Path, setup: &Setup) -> Self {
        let place = tempfile::tempdir().expect("room for a configuration");
        let (output, port) = (place.path().join("out.log"), free_port());
        let queue =
            if setup.queue.is_empty() { String::new() } else { format!("main_queue({})", setup.queue) };
        let configuration = format!(
            r#"global(workDirectory="{place}" maxMessageSize="64k" net.enableDNS="off")
{modules}
template(name="line" type="string" string="%msg%\n")
{queue}
input({input} port="{port}" address="127.0.0.1" ruleset="bench")
ruleset(name="bench") {{
  {actions}
  action(type="omfile" file="{output}" template="line" {file})
}}
"#,
            place = place.path().display(),
            modules = setup.modules,
            input = setup.input,
            actions = setup.actions,
            output = output.display(),
            file = setup.file,
        );
        let file = place.path().join("rsyslog.conf");
        std::fs::write(&file, configuration).expect("room for a configuration");
        let mut command = Command::new(program);
        command.args(["-n", "-f"]).arg(file).arg("-i").arg(place.path().join("pid"));
        if let Some(modules) = library_folders("rsyslog").first() {
            command.arg("-M").arg(modules);
        }
        if let Ok(path) = std::env::join_paths(library_folders("")) {
            command.env("LD_LIBRARY_PATH", path);
        }
        let child = command.spawn().expect("rsyslogd");
        Self {
            child,
            address: format!("127.0.0.1:{port}"),
            written: Written { file: None, path: output, lines: 0, has_address: false },
            anonymises: !setup.actions.is_empty(),
            _place: place,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn wait_for_connections(&self) {
        wait_until("it listens", || TcpStream::connect(&self.address).is_ok());
    }

    /// Waits until it has written this many lines.
    pub(crate) fn wait_for_lines(&mut self, lines: u64) {
        wait_until("all lines are written", || self.written.look() >= lines);
    }

    /// Waits until it has written nothing for `quiet`. Returns how many lines it has written.
    pub(crate) fn wait_for_quiet(&mut self, quiet: Duration) -> u64 {
        let (mut lines, mut since) = (self.written.look(), Instant::now());
        wait_until("it is quiet", || {
            let now = self.written.look();
            if now > lines {
                (lines, since) = (now, Instant::now());
            }
            since.elapsed() >= quiet
        });
        lines
    }

    /// Ends it, and returns how many lines it has written.
    pub(crate) fn stop(mut self) -> u64 {
        terminate(&mut self.child);
        let lines = self.written.look();
        assert!(!(self.anonymises && self.written.has_address), "an address is left");
        lines
    }
}

/// A file that is read as it grows.
struct Written {
    file: Option<File>,
    path: PathBuf,
    lines: u64,
    /// Whether an address of the generated logs is left.
    has_address: bool,
}

impl Written {
    fn look(&mut self) -> u64 {
        self.file = self.file.take().or_else(|| File::open(&self.path).ok());
        let mut buffer = vec![0; 1 << 20];
        while let Some(file) = &mut self.file
            && let Ok(read @ 1..) = file.read(&mut buffer)
        {
            self.lines += memchr_iter(b'\n', &buffer[..read]).count() as u64;
            self.has_address |= memchr::memmem::find(&buffer[..read], b" 203.0.113.").is_some();
        }
        self.lines
    }
}

fn terminate(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("it is there");
    child.wait().expect("it ends");
}

/// Returns a free port, which another process might still take in the meantime.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("a port").port()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
