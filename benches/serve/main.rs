//! The sidecar beside rsyslog: the same lines over the same TCP connections on loopback, in one run, in alternation.
//!
//! ```text
//! benches/peers/get                        # unpacks rsyslog
//! cargo bench --bench serve                # 100 MB, 4 connections, 5 runs
//! cargo bench --bench serve -- 200 8 9     # MB, connections, runs
//! ```
//!
//! oubliette finds all identifiers, dates every line, and archives: compressed, indexed, originals encrypted apart.
//! rsyslog sets addresses to zero (mmanon) and writes a file. A run lasts from the first byte sent to the
//! last line written: for oubliette, until it has sealed everything and ended; for rsyslog, until the file has all
//! lines. Each answer is checked: no line is missing, no address is left.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod generate;
#[expect(dead_code, reason = "other benchmarks use the rest")]
#[path = "filter/workplace.rs"]
mod workplace;

use generate::{Profile, generate};
use memchr::memchr_iter;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use workplace::{find_program, library_folders};

/// What stands before each line, so that it is syslog for everybody.
const HEADER: &[u8] = b"<13>1 - web1 app - - - ";

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let number = |index: usize, default: usize| numbers.get(index).copied().unwrap_or(default);
    let (megabytes, connections, runs) = (number(0, 100), number(1, 4), number(2, 5));
    let load = Load::new(megabytes * 1_000_000, connections);
    let rsyslog = find_program("rsyslogd");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(oubliette(&load));
        theirs.extend(rsyslog.as_deref().map(|program| rsyslogd(program, &load)));
    }
    let rate = |seconds: &mut [f64]| load.bytes as f64 / 1e6 / median(seconds);
    let ours = rate(&mut ours);
    println!("{:.0} MB in {} lines over {connections} connections", load.bytes as f64 / 1e6, load.lines);
    println!("oubliette serve            {ours:>7.1} MB/s");
    if theirs.is_empty() {
        println!("rsyslog is not there: benches/peers/get unpacks it");
    } else {
        let theirs = rate(&mut theirs);
        println!("rsyslog with mmanon        {theirs:>7.1} MB/s");
        println!("oubliette is {:.2} times as fast", ours / theirs);
    }
}

/// What is sent: a share for each connection.
struct Load {
    shares: Vec<Vec<u8>>,
    lines: u64,
    bytes: usize,
}

impl Load {
    fn new(size: usize, connections: usize) -> Self {
        let log = generate(Profile::Mixed, size, 1);
        let mut shares = vec![Vec::new(); connections];
        let mut lines = 0;
        for (line, turn) in log.bytes.split_inclusive(|byte| *byte == b'\n').zip((0..connections).cycle()) {
            shares[turn].extend_from_slice(HEADER);
            shares[turn].extend_from_slice(line);
            lines += 1;
        }
        let bytes = shares.iter().map(Vec::len).sum();
        Self { shares, lines, bytes }
    }

    /// Sends everything, and ends the connections.
    fn send(&self, address: &str) {
        thread::scope(|scope| {
            for share in &self.shares {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(address).expect("it listens");
                    share.chunks(64 << 10).for_each(|chunk| stream.write_all(chunk).expect("it reads"));
                });
            }
        });
    }
}

/// Seconds of one run.
fn oubliette(load: &Load) -> f64 {
    let place = tempfile::tempdir().expect("room for a state directory");
    let config = "escrow = 'none'\n[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";
    std::fs::write(place.path().join("config.toml"), config).expect("room for a configuration");
    let mut child = Command::new(env!("CARGO_BIN_EXE_oubliette"))
        .args(["serve", "--stats", "json", "--state-dir"])
        .arg(place.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built binary");
    let mut talk = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let listening = talk.find_map(|line| line.strip_prefix("note: listening: tcp ").map(ToOwned::to_owned));
    let address = listening.expect("an address");
    let start = Instant::now();
    load.send(&address);
    terminate(&mut child);
    let seconds = start.elapsed().as_secs_f64();
    let counts = talk.find(|line| line.starts_with('{')).expect("counts");
    assert!(counts.contains(&format!("\"lines_in\":{0},\"lines_out\":{0}", load.lines)), "{counts}");
    seconds
}

/// Seconds of one run.
fn rsyslogd(program: &Path, load: &Load) -> f64 {
    let place = tempfile::tempdir().expect("room for a configuration");
    let output = place.path().join("out.log");
    let port = free_port();
    let configuration = format!(
        r#"global(workDirectory="{place}" maxMessageSize="64k" net.enableDNS="off")
module(load="imtcp" maxSessions="1000")
module(load="mmanon")
template(name="line" type="string" string="%msg%\n")
main_queue(queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="1024" queue.workerThreads="2")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="bench")
ruleset(name="bench") {{
  action(type="mmanon" ipv4.mode="zero" ipv4.bits="32" ipv6.anonmode="zero" ipv6.bits="128"
         embeddedipv4.anonmode="zero" embeddedipv4.bits="128")
  action(type="omfile" file="{output}" template="line" ioBufferSize="256k" asyncWriting="on" flushOnTXEnd="off")
}}
"#,
        place = place.path().display(),
        output = output.display(),
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
    let mut child = command.spawn().expect("rsyslogd");
    let address = format!("127.0.0.1:{port}");
    wait_until("it listens", || TcpStream::connect(&address).is_ok());
    let start = Instant::now();
    load.send(&address);
    let mut written = Written { file: None, path: &output, lines: 0, has_address: false };
    wait_until("all lines are written", || written.look() >= load.lines);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!((written.lines, written.has_address), (load.lines, false));
    terminate(&mut child);
    seconds
}

/// A file that is read as it grows.
struct Written<'p> {
    file: Option<File>,
    path: &'p Path,
    lines: u64,
    /// Whether an address of the generated logs is left.
    has_address: bool,
}

impl Written<'_> {
    fn look(&mut self) -> u64 {
        self.file = self.file.take().or_else(|| File::open(self.path).ok());
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

/// A port that nobody has; somebody might take it meanwhile.
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

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
