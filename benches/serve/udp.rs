//! Measures datagrams, which nothing slows down: the highest rate at which rsyslog loses none, and oubliette
//! at the same rate.
//!
//! rsyslog deliberately does as little as possible: it writes messages to a file, and sets nothing to zero. A
//! rate counts as free of loss when three runs, in turn with those of oubliette, have lost nothing.

use super::HEADER;
use super::generate::{Profile, generate};
use super::receivers::{Oubliette, Rsyslog, Setup};
use super::workplace::find_program;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The default configuration.
const DEFAULT: Setup =
    Setup { modules: r#"module(load="imudp")"#, queue: "", input: r#"type="imudp""#, actions: "", file: "" };

/// As its documentation advises for many messages per second: more threads and larger batches, a large buffer
/// in the kernel, a long queue, and a file that is not flushed each time.
const TUNED: Setup = Setup {
    modules: r#"module(load="imudp" threads="2" batchSize="128" timeRequery="100")"#,
    queue: r#"queue.type="FixedArray" queue.size="500000" queue.dequeueBatchSize="1024" queue.workerThreads="2""#,
    input: r#"type="imudp" rcvbufSize="8m""#,
    actions: "",
    file: r#"ioBufferSize="256k" asyncWriting="on" flushOnTXEnd="off""#,
};

/// Lines that are sent over and over.
struct Load(Vec<Vec<u8>>);

/// The result of one run.
struct Run {
    sent: u64,
    /// Datagrams per second that were actually sent.
    rate: f64,
    lost: u64,
}

/// A receiver. It calls the given function, which sends datagrams to an address and returns how many and at
/// which rate, and returns once no more arrive.
type Take<'a> = &'a dyn Fn(&dyn Fn(&str) -> (u64, f64)) -> Run;

pub(crate) fn run(seconds: u64) {
    let log = generate(Profile::Mixed, 4_000_000, 1);
    let lines = log.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let load = Load(lines.map(|line| [HEADER, line].concat()).collect());
    let time = Duration::from_secs(seconds);
    let ours = highest(&load, time, &oubliette);
    println!("runs of {seconds} s, datagrams of {} bytes on average", load.mean_bytes());
    println!("oubliette serve, archive on: nothing lost at up to {ours:.0} datagrams/s");
    let Some(program) = find_program("rsyslogd") else {
        println!("rsyslog is not there: benches/peers/get unpacks it");
        return;
    };
    for (name, setup) in [("as it comes", &DEFAULT), ("tuned", &TUNED)] {
        compare(name, &load, time, &|send| rsyslog(&program, setup, send));
    }
}

/// Runs both at the highest rate at which rsyslog loses nothing.
fn compare(name: &str, load: &Load, time: Duration, rsyslog: Take<'_>) {
    let mut rate = highest(load, time, rsyslog);
    loop {
        let runs: Vec<(Run, Run)> = (0..3)
            .map(|_| (rsyslog(&|to| load.send(to, rate, time)), oubliette(&|to| load.send(to, rate, time))))
            .collect();
        let lost = |of: fn(&(Run, Run)) -> &Run| runs.iter().map(|pair| of(pair).lost).sum::<u64>();
        let (theirs, ours) = (lost(|pair| &pair.0), lost(|pair| &pair.1));
        let sent: u64 = runs.iter().map(|pair| pair.1.sent).sum();
        println!(
            "rsyslog {name}: {rate:>7.0}/s, 3 runs each: rsyslog lost {theirs}, oubliette lost {ours} of {sent}"
        );
        if theirs == 0 {
            assert_eq!(ours, 0, "oubliette loses datagrams at a rate at which rsyslog does not");
            return;
        }
        rate *= 0.9;
    }
}

/// Finds the highest rate at which `take` loses nothing, by doubling and bisection; the sender's own limit if
/// that is lower.
fn highest(load: &Load, time: Duration, take: Take<'_>) -> f64 {
    let keeps_up = |rate: f64| {
        let run = take(&|to| load.send(to, rate, time));
        // A rate beyond the sender's limit says nothing.
        run.lost == 0 && run.rate > 0.98 * rate
    };
    let (mut good, mut bad) = (0.0, 10_000.0);
    while keeps_up(bad) {
        (good, bad) = (bad, 2.0 * bad);
    }
    while bad - good > 0.05 * bad {
        let middle = f64::midpoint(good, bad);
        if keeps_up(middle) { good = middle } else { bad = middle }
    }
    good
}

fn oubliette(send: &dyn Fn(&str) -> (u64, f64)) -> Run {
    let oubliette = Oubliette::start("udp");
    let (sent, rate) = send(oubliette.address());
    let received = oubliette.stop();
    Run { sent, rate, lost: sent - received }
}

fn rsyslog(program: &Path, setup: &Setup, send: &dyn Fn(&str) -> (u64, f64)) -> Run {
    let mut rsyslog = Rsyslog::start(program, setup);
    wait_for_datagrams(&mut rsyslog);
    let before = rsyslog.wait_for_quiet(QUIET);
    let (sent, rate) = send(rsyslog.address());
    rsyslog.wait_for_quiet(QUIET);
    let received = rsyslog.stop() - before;
    Run { sent, rate, lost: sent - received }
}

/// Sends a datagram now and then until the first one is written.
fn wait_for_datagrams(rsyslog: &mut Rsyslog) {
    let socket = connected(rsyslog.address());
    while rsyslog.wait_for_quiet(Duration::from_millis(50)) == 0 {
        // Refused as long as nobody listens.
        let _ = socket.send(b"<13>1 - web1 app - - - ready");
    }
}

impl Load {
    /// Sends evenly for `time`. Returns how many datagrams it sent, and how many per second.
    fn send(&self, to: &str, rate: f64, time: Duration) -> (u64, f64) {
        let socket = connected(to);
        let (start, mut sent) = (Instant::now(), 0);
        let mut lines = self.0.iter().cycle();
        while start.elapsed() < time {
            let due = (start.elapsed().as_secs_f64() * rate) as u64;
            for line in lines.by_ref().take(due.saturating_sub(sent) as usize) {
                socket.send(line).expect("it listens");
                sent += 1;
            }
            thread::sleep(TICK);
        }
        (sent, sent as f64 / start.elapsed().as_secs_f64())
    }

    fn mean_bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum::<usize>() / self.0.len()
    }
}

fn connected(to: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.connect(to).expect("an address");
    socket
}

/// Datagrams that fall due within this time are sent together.
const TICK: Duration = Duration::from_micros(500);

/// A receiver that writes nothing for this long has nothing left to write.
const QUIET: Duration = Duration::from_secs(2);
