//! A sidecar started by a test, and what it leaves.

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Returns a line that contains an identifier of a person and can be found by `id`.
pub(crate) fn line(id: &str) -> String {
    let host = id.bytes().map(u32::from).sum::<u32>() % 250 + 1;
    format!("<13>1 - web1 app - - - id={id} client 203.0.113.{host}")
}

/// A running sidecar.
pub(crate) struct Sidecar {
    child: Process,
    directory: tempfile::TempDir,
    told: Arc<(Mutex<String>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    addresses: BTreeMap<String, String>,
    arguments: Vec<String>,
}

/// A process that does not outlive its test, even if the test panics.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both are harmless after the process was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sidecar that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The standard error of the process.
    pub(crate) told: String,
    directory: tempfile::TempDir,
}

impl Sidecar {
    /// Starts a sidecar with this configuration and these arguments, and waits until its listeners are open.
    pub(crate) fn start(config: &str, arguments: &[&str]) -> Self {
        Self::start_with(config, arguments, |_| ())
    }

    /// The same as [`Self::start`], after `prepare` has put files beside the configuration.
    pub(crate) fn start_with(config: &str, arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        fs::write(directory.path().join("config.toml"), format!("escrow = 'none'\n{config}")).unwrap();
        Self::start_in(directory, arguments, &[])
    }

    /// The same as [`Self::start_with`], with additional environment variables.
    pub(crate) fn start_in_environment(
        config: &str,
        environment: &[(&str, String)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        fs::write(directory.path().join("config.toml"), format!("escrow = 'none'\n{config}")).unwrap();
        Self::start_in(directory, Vec::new(), environment)
    }

    /// Starts a sidecar with a socket handed over as by systemd (sd_listen_fds(3)).
    pub(crate) fn start_with_socket(config: &str, socket: OwnedFd) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.toml"), format!("escrow = 'none'\n{config}")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_oubliette")).stdin(Stdio::from(socket));
        Self::started(command, directory, Vec::new())
    }

    /// Starts a sidecar whose standard input is `input`.
    pub(crate) fn start_reading(config: &str, input: OwnedFd) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.toml"), format!("escrow = 'none'\n{config}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
        command.stdin(Stdio::from(input));
        Self::started(command, directory, Vec::new())
    }

    /// Starts a sidecar that may have at most `most` descriptors.
    pub(crate) fn start_with_descriptors(config: &str, most: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.toml"), format!("escrow = 'none'\n{config}")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_oubliette"));
        Self::started(command, directory, Vec::new())
    }

    fn start_in(
        directory: tempfile::TempDir,
        arguments: Vec<String>,
        environment: &[(&str, String)],
    ) -> Self {
        // systemd names the process that is to feed the watchdog.
        let mut command = Command::new("sh");
        command
            .args(["-c", "export WATCHDOG_PID=$$; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_oubliette"));
        command.envs(environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::piped());
        Self::started(command, directory, arguments)
    }

    fn started(mut command: Command, directory: tempfile::TempDir, arguments: Vec<String>) -> Self {
        command.args(["serve", "--stats", "json", "--state-dir"]).arg(directory.path()).args(&arguments);
        let mut child = Process(command.stderr(Stdio::piped()).spawn().unwrap());
        let told = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (stderr, heard) = (child.0.stderr.take().unwrap(), Arc::clone(&told));
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let (told, changed) = &*heard;
                *told.lock().unwrap() += &(line + "\n");
                changed.notify_all();
            }
        });
        let mut sidecar =
            Self { child, directory, told, reader: Some(reader), addresses: BTreeMap::new(), arguments };
        let inputs = sidecar.configuration().matches("[[serve.input]]").count();
        let told = sidecar.wait_until(|told| told.matches("listening: ").count() >= inputs);
        for place in told.lines().filter_map(|line| line.strip_prefix("note: listening: ")) {
            let (kind, address) = place.split_once(' ').unwrap();
            sidecar.addresses.insert(kind.to_owned(), address.to_owned());
        }
        sidecar
    }

    /// Returns the directory of its configuration and state.
    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the address on which it listens.
    pub(crate) fn address(&self, kind: &str) -> &str {
        &self.addresses[kind]
    }

    pub(crate) fn configuration(&self) -> String {
        fs::read_to_string(self.directory.path().join("config.toml")).unwrap()
    }

    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.directory.path().join("config.toml"), config).unwrap();
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child.0.stdin.take().unwrap()
    }

    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Limits its descriptors to `more` than it has now.
    pub(crate) fn limit_descriptors(&self, more: u64) {
        let process = rustix::process::Pid::from_child(&self.child.0);
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.0.id())).unwrap().count() as u64;
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(open + more), maximum };
        prlimit(Some(process), Resource::Nofile, limit).unwrap();
    }

    /// Waits until its messages contain `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(|told| told.contains(text));
    }

    pub(crate) fn wait_until(&self, is_told: impl Fn(&str) -> bool) -> String {
        let (told, changed) = &*self.told;
        let (told, timeout) =
            changed.wait_timeout_while(told.lock().unwrap(), PATIENCE, |told| !is_told(told)).unwrap();
        assert!(!timeout.timed_out(), "it says nothing of the kind: {told}");
        told.clone()
    }

    /// Waits until a sample of its metrics satisfies `is_so`; the sidecar must expose metrics. Returns the
    /// value.
    pub(crate) fn wait_for_metric(&self, sample: &str, is_so: impl Fn(f64) -> bool) -> f64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.metrics();
            let value = shown.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
            match value {
                Some(value) if is_so(value) => return value,
                _ => assert!(Instant::now() < deadline, "{sample} is {value:?}:\n{shown}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `text` is in the archive, including segments that are being written.
    pub(crate) fn wait_until_archived(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.archived_so_far().contains(text) {
            assert!(Instant::now() < deadline, "{text} is not archived");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn archived_so_far(&self) -> String {
        let (archive, mut files, mut lines) = (self.directory.path().join("archive"), Vec::new(), Vec::new());
        if archive.is_dir() {
            walk(&archive, &mut files);
        }
        // A segment that gets its final name meanwhile is found the next time.
        for file in files.into_iter().filter_map(|file| fs::File::open(file).ok()) {
            // Read up to the end of the whole frames.
            let _ = zstd::Decoder::new(file).unwrap().read_to_end(&mut lines);
        }
        String::from_utf8_lossy(&lines).into_owned()
    }

    /// Returns its metrics in the format of Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let told = self.wait_until(|told| told.contains("note: status: "));
        let address = told.split_once("note: status: ").unwrap().1.lines().next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Returns its peak memory so far.
    pub(crate) fn most_memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() <= deadline, "it does not end: {}", self.told.0.lock().unwrap());
            thread::sleep(Duration::from_millis(20));
        };
        self.reader.take().unwrap().join().unwrap();
        let told = self.told.0.lock().unwrap().clone();
        Ended { code: status.code(), told, directory: self.directory }
    }

    /// Sends SIGKILL, and starts another sidecar on what is left.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        Self::start_in(self.directory, self.arguments, &[])
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(process, signal).unwrap();
    }
}

impl Ended {
    /// Returns the directory of the configuration and state.
    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Starts another sidecar on what this one left.
    pub(crate) fn restart(self, arguments: &[&str]) -> Sidecar {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Sidecar::start_in(self.directory, arguments, &[])
    }

    /// Returns the archived lines, as any program that reads zstd sees them.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.segments().into_iter().flat_map(|(_, lines)| lines).collect()
    }

    /// Returns how often each line is archived, by its id, without placeholders and lines of others.
    pub(crate) fn archived(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for line in self.lines() {
            if let Some((_, rest)) = line.split_once("id=")
                && line.contains("client ")
            {
                *found.entry(rest.split(' ').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        found
    }

    /// Returns the counts from start to end, over all reloads.
    pub(crate) fn counts(&self) -> serde_json::Value {
        let counts: Vec<&str> = self.told.lines().filter(|line| line.starts_with("{\"lines_in\"")).collect();
        assert_eq!(counts.len(), 1, "{}", self.told);
        serde_json::from_str(counts[0]).unwrap()
    }

    pub(crate) fn check_balance(&self, lines: u64, quarantined: u64) {
        let counts = self.counts();
        assert_eq!((&counts["lines_in"], &counts["quarantined"]), (&lines.into(), &quarantined.into()));
        assert_eq!(counts["lines_out"].as_u64().unwrap() + quarantined, lines, "{counts}");
    }

    /// Asserts that no address is in clear, in the messages or in the archived lines.
    pub(crate) fn check_privacy(&self) {
        assert!(!self.told.contains("203.0.113."), "{}", self.told);
        assert!(!self.lines().iter().any(|line| line.contains("203.0.113.")));
    }

    /// Asserts that every token of a segment is of the epoch of the segment. Returns the numbers of lines by
    /// kid.
    pub(crate) fn check_epochs(&self) -> BTreeMap<String, Vec<usize>> {
        let mut by_kid: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (path, lines) in self.segments() {
            let name = path.file_name().unwrap().to_str().unwrap();
            let kid = name.rsplit('-').nth(1).unwrap();
            for line in lines {
                assert!(line.contains(&format!("client ip_{kid}")), "{name}");
                let number = line.split_once("id=t").unwrap().1.split(' ').next().unwrap();
                by_kid.entry(kid.to_owned()).or_default().push(number.parse().unwrap());
            }
        }
        by_kid
    }

    fn segments(&self) -> Vec<(PathBuf, Vec<String>)> {
        let mut files = Vec::new();
        walk(&self.directory.path().join("archive"), &mut files);
        files
            .into_iter()
            .map(|path| {
                assert!(path.extension().is_some_and(|extension| extension == "zst"), "{}", path.display());
                let bytes = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
                let lines = String::from_utf8(bytes).unwrap().lines().map(ToOwned::to_owned).collect();
                (path, lines)
            })
            .collect()
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
