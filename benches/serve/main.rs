//! Compares the sidecar with rsyslog: the same lines over loopback, in one run, in alternation.
//!
//! ```text
//! benches/peers/get                        # unpacks rsyslog
//! cargo bench --bench serve                # TCP: 100 MB, 4 connections, 5 runs
//! cargo bench --bench serve -- 200 8 9     # MB, connections, runs
//! cargo bench --bench serve -- udp 5       # the highest rate without loss; seconds of a run
//! ```
//!
//! Over TCP, oubliette finds all identifiers, dates every line, and archives: compressed and indexed, with
//! originals encrypted separately. rsyslog sets addresses to zero (mmanon) and writes a file. A run lasts
//! from the first byte sent to the last line written: for oubliette, until it has sealed everything and
//! ended; for rsyslog, until the file has all lines. Each answer is checked: no line is missing, no address
//! is left.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
#[path = "../generate/mod.rs"]
mod generate;
mod receivers;
mod udp;
#[expect(dead_code, reason = "other benchmarks use the rest")]
#[path = "../filter/workplace.rs"]
mod workplace;

use generate::{Profile, generate};
use receivers::{Oubliette, Rsyslog, Setup};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Instant;
use workplace::find_program;

/// A header put before each line, so that both accept it as syslog.
const HEADER: &[u8] = b"<13>1 - web1 app - - - ";

/// rsyslog at its fastest, with addresses set to zero.
const ANONYMISING: Setup = Setup {
    modules: r#"module(load="imtcp" maxSessions="1000") module(load="mmanon")"#,
    queue: r#"queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="1024" queue.workerThreads="2""#,
    input: r#"type="imtcp""#,
    actions: r#"action(type="mmanon" ipv4.mode="zero" ipv4.bits="32" ipv6.anonmode="zero" ipv6.bits="128"
         embeddedipv4.anonmode="zero" embeddedipv4.bits="128")"#,
    file: r#"ioBufferSize="256k" asyncWriting="on" flushOnTXEnd="off""#,
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let number = |index: usize, default: usize| numbers.get(index).copied().unwrap_or(default);
    if words.iter().any(|word| word == "udp") {
        udp::run(number(0, 5) as u64);
    } else {
        tcp(number(0, 100), number(1, 4), number(2, 5));
    }
}

fn tcp(megabytes: usize, connections: usize, runs: usize) {
    let load = Load::new(megabytes * 1_000_000, connections);
    let program = find_program("rsyslogd");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(oubliette(&load));
        theirs.extend(program.as_deref().map(|program| rsyslog(program, &load)));
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

/// The lines to send: a share for each connection.
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

    /// Sends everything, and closes the connections.
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

/// Returns the seconds of one run of oubliette.
fn oubliette(load: &Load) -> f64 {
    let oubliette = Oubliette::start("tcp");
    let start = Instant::now();
    load.send(oubliette.address());
    let lines = oubliette.stop();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(lines, load.lines);
    seconds
}

/// Returns the seconds of one run of rsyslog.
fn rsyslog(program: &Path, load: &Load) -> f64 {
    let mut rsyslog = Rsyslog::start(program, &ANONYMISING);
    rsyslog.wait_for_connections();
    let start = Instant::now();
    load.send(rsyslog.address());
    rsyslog.wait_for_lines(load.lines);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(rsyslog.stop(), load.lines);
    seconds
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
