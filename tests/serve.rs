//! The sidecar as a process: real sockets on loopback, and the archive afterwards.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

#[path = "serve/check.rs"]
mod check;
#[path = "serve/nul.rs"]
mod nul;
#[path = "serve/purge.rs"]
mod purge;
#[path = "serve/reload.rs"]
mod reload;
#[path = "serve/sidecar.rs"]
mod sidecar;
#[path = "serve/systemd.rs"]
mod systemd;
#[path = "serve/threads.rs"]
mod threads;
#[path = "serve/tls.rs"]
mod tls;

use sidecar::{Sidecar, line};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const TCP: &str = "[[serve.input]]\ntype = 'tcp'\nlisten = '127.0.0.1:0'\n";
const UDP: &str = "[[serve.input]]\ntype = 'udp'\nlisten = '127.0.0.1:0'\n";

/// Maps each id to one occurrence in the archive.
fn once(ids: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

fn ids(prefix: impl Into<String>, count: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.into();
    (0..count).map(move |number| format!("{prefix}{number}"))
}

fn counted(line: &str) -> String {
    format!("{} {line}", line.len())
}

#[test]
fn each_line_of_any_framing_is_archived_once() {
    let directory = tempfile::tempdir().unwrap();
    let (stream, datagram) = (directory.path().join("stream"), directory.path().join("log"));
    let sockets = format!(
        "[[serve.input]]\ntype = 'unix'\npath = '{}'\n[[serve.input]]\ntype = 'unix-datagram'\npath = '{}'\n",
        stream.display(),
        datagram.display()
    );
    let sidecar = Sidecar::start(&format!("{TCP}{UDP}{sockets}"), &[]);
    const COUNT: usize = 2_000;
    let mut lines = TcpStream::connect(sidecar.address("tcp")).unwrap();
    let mut mixed = TcpStream::connect(sidecar.address("tcp")).unwrap();
    let mut unix = UnixStream::connect(&stream).unwrap();
    let (udp, local) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UnixDatagram::unbound().unwrap());
    for number in 0..COUNT {
        writeln!(lines, "{}", line(&format!("lf{number}"))).unwrap();
        let text = line(&format!("mixed{number}"));
        let frame = if number % 3 == 0 { format!("{text}\n") } else { counted(&text) };
        mixed.write_all(frame.as_bytes()).unwrap();
        unix.write_all(format!("{}\0", line(&format!("nul{number}"))).as_bytes()).unwrap();
        local.send_to(line(&format!("local{number}")).as_bytes(), &datagram).unwrap();
        udp.send_to(line(&format!("udp{number}")).as_bytes(), sidecar.address("udp")).unwrap();
        if number % 50 == 0 {
            // A modest rate, which nothing else slows down.
            thread::sleep(Duration::from_millis(5));
        }
    }
    mixed.write_all(counted(&format!("{}\nsecond line", line("escaped"))).as_bytes()).unwrap();
    drop((lines, mixed, unix));
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    let expected = ["lf", "mixed", "nul", "local", "udp"].into_iter().flat_map(|prefix| ids(prefix, COUNT));
    assert_eq!(ended.archived(), once(expected.chain(["escaped".to_owned()])));
    assert!(ended.lines().iter().any(|line| line.contains("#012second line")));
    ended.check_balance(5 * COUNT as u64 + 1, 0);
    ended.check_privacy();
    assert!(!stream.exists() && !datagram.exists());
}

#[test]
fn a_hostile_peer_harms_its_own_connection_only() {
    const CONNECTIONS: usize = 1_000;
    const LEAST: Duration = Duration::from_secs(6);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let sidecar = Sidecar::start(&format!("[serve.limits]\nsealed = '16MiB'\n{TCP}"), &[]);
    let address = sidecar.address("tcp").to_owned();
    let connect = || TcpStream::connect(&address).unwrap();
    let mut good: Vec<TcpStream> = (0..CONNECTIONS - 3).map(|_| connect()).collect();
    let (slow, mut malformed) = (connect(), connect());
    let (stop, stopped) = mpsc::channel();
    let trickle = thread::spawn(move || a_byte_a_second(slow, &stopped));
    let flood = thread::spawn({
        let address = address.clone();
        move || a_gigabyte_without_line_end(&address)
    });
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < LEAST || !flood.is_finished() {
        for (connection, stream) in good.iter_mut().enumerate() {
            let text = line(&format!("c{connection}-{rounds}"));
            let frame = if connection % 2 == 0 { counted(&text) } else { format!("{text}\n") };
            stream.write_all(frame.as_bytes()).unwrap();
        }
        malformed.write_all(format!("{} <13>1 - h a - - - bad\n", 999_999_999 - rounds).as_bytes()).unwrap();
        rounds += 1;
        thread::sleep(Duration::from_millis(250));
    }
    let cut_off = flood.join().unwrap();
    drop(stop);
    let trickled = trickle.join().unwrap();
    let memory = sidecar.most_memory_bytes();
    drop((good, malformed));
    let ended = sidecar.stop();
    assert!(memory < 512 << 20, "{memory} bytes");
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    let expected = (0..CONNECTIONS - 3).flat_map(|connection| ids(format!("c{connection}-"), rounds));
    assert!(ended.archived() == once(expected), "{} lines are archived", ended.archived().len());
    assert!(trickled.len() >= 5);
    assert!(!ended.lines().iter().any(|line| line.starts_with(&trickled)), "half a line is sealed");
    let counts = ended.counts();
    assert_eq!(
        counts["lines_in"],
        counts["lines_out"].as_u64().unwrap() + counts["quarantined"].as_u64().unwrap()
    );
    // Quarantined: a line of each connection that was cut off, perhaps one more for the last connection, the
    // line of the slow peer, and the first malformed count with all that follows it.
    let quarantined = counts["quarantined"].as_u64().unwrap();
    assert!(cut_off > 1 && (cut_off + 2..=cut_off + 3).contains(&quarantined), "{cut_off}, {quarantined}");
    let told = ended.told.matches("longer than what is sealed").count() as u64;
    // The last connection may be cut off when everything has been sent.
    assert!((cut_off..=cut_off + 1).contains(&told), "{cut_off}: {}", ended.told);
}

#[test]
fn a_flood_of_connections_leaves_descriptors_for_the_archive() {
    let sidecar = Sidecar::start_with_descriptors(TCP, 128);
    sidecar.wait_for("64 connections at once, not 1024");
    // More connections than descriptors, all before anything is archived.
    let mut streams: Vec<TcpStream> =
        (0..160).map(|_| TcpStream::connect(sidecar.address("tcp")).unwrap()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        writeln!(stream, "{}", line(&format!("d{number}"))).unwrap();
    }
    sidecar.wait_until_archived("id=d0 ");
    drop(streams);
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert_eq!(ended.archived(), once(ids("d", 160)));
}

/// Sends a gigabyte without a line end, over as many connections as needed. Returns how many of them were cut
/// off.
fn a_gigabyte_without_line_end(address: &str) -> u64 {
    let chunk = vec![b'x'; 1 << 20];
    let (mut megabytes, mut cut_off) = (0, 0);
    while megabytes < 1024 {
        let mut stream = TcpStream::connect(address).unwrap();
        while megabytes < 1024 && stream.write_all(&chunk).is_ok() {
            megabytes += 1;
        }
        cut_off += u64::from(megabytes < 1024);
    }
    cut_off
}

/// Sends an endless line, one byte per second, until told to stop. Returns what it has sent.
fn a_byte_a_second(mut stream: TcpStream, stopped: &mpsc::Receiver<()>) -> String {
    let mut sent = String::new();
    for letter in ('a'..='z').cycle() {
        stream.write_all(&[letter as u8]).unwrap();
        sent.push(letter);
        if stopped.recv_timeout(Duration::from_secs(1)) != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
    }
    sent
}

#[test]
fn connections_beyond_the_limit_wait_and_silent_ones_are_closed() {
    let sidecar = Sidecar::start(&format!("[serve.limits]\nconnections = 1\nidle = '300ms'\n{TCP}"), &[]);
    let mut silent = TcpStream::connect(sidecar.address("tcp")).unwrap();
    let mut waiting = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(waiting, "{}", line("waited")).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the silent connection is closed");
    // The waiting connection is served now, and closed in turn.
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0);
    assert_eq!(sidecar.stop().archived(), once(["waited".to_owned()]));
}

#[test]
fn idle_listeners_take_nothing_of_the_limit_on_connections() {
    let directory = tempfile::tempdir().unwrap();
    let sockets: Vec<_> = (0..4).map(|number| directory.path().join(format!("s{number}"))).collect();
    let input =
        |path: &std::path::PathBuf| format!("[[serve.input]]\ntype = 'unix'\npath = '{}'\n", path.display());
    let inputs: String = sockets.iter().map(input).collect();
    let sidecar = Sidecar::start(&format!("[serve.limits]\nconnections = 4\n{inputs}"), &[]);
    // All of the limit at one listener, while the others are idle.
    let open = (0..4).map(|number| {
        let mut stream = UnixStream::connect(&sockets[0]).unwrap();
        writeln!(stream, "{}", line(&format!("open{number}"))).unwrap();
        sidecar.wait_until_archived(&format!("id=open{number} "));
        stream
    });
    let mut streams: Vec<_> = open.collect();
    let more = (0..4).map(|number| {
        let mut stream = UnixStream::connect(&sockets[1]).unwrap();
        writeln!(stream, "{}", line(&format!("more{number}"))).unwrap();
        stream
    });
    streams.extend(more);
    drop(streams);
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(ids("open", 4).chain(ids("more", 4))));
}

#[test]
fn one_user_does_not_keep_out_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let inputs = format!("{TCP}[[serve.input]]\ntype = 'unix'\npath = '{}'\n", path.display());
    let sidecar = Sidecar::start(&format!("[serve.limits]\nconnections = 8\n{inputs}"), &[]);
    let connect = |patience: u64| {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
        stream
    };
    let mut held: Vec<_> = (0..7)
        .map(|number| {
            let mut stream = connect(20_000);
            writeln!(stream, "{}", line(&format!("held{number}"))).unwrap();
            sidecar.wait_until_archived(&format!("id=held{number} "));
            stream
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(connect(20_000).read(&mut [0]).unwrap(), 0, "one user has all that one may have");
    }
    sidecar.wait_for("its peer has all but an eighth");
    let mut other = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(other, "{}", line("other")).unwrap();
    sidecar.wait_until_archived("id=other ");
    // One that has ended makes room.
    drop((held.pop(), other));
    let mut again =
        (0..60).map(|_| connect(500)).find_map(|mut stream| stream.read(&mut [0]).is_err().then_some(stream));
    writeln!(again.as_mut().unwrap(), "{}", line("again")).unwrap();
    drop((held, again));
    let expected = ids("held", 7).chain(["other", "again"].map(ToOwned::to_owned));
    assert_eq!(sidecar.stop().archived(), once(expected));
}

#[test]
fn limits_change_without_a_restart() {
    let sidecar = Sidecar::start(&format!("[serve.limits]\nconnections = 1\n{TCP}"), &[]);
    let silent = TcpStream::connect(sidecar.address("tcp")).unwrap();
    let mut waiting = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(waiting, "{}", line("waited")).unwrap();
    let wider = sidecar.configuration().replace("connections = 1", "connections = 2\nidle = '300ms'");
    sidecar.configure(&wider);
    sidecar.hang_up();
    // Served now, under the new limits.
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "the silent connection is closed");
    // Two connections are one too many again: the next one waits until the first has ended.
    sidecar.configure(&wider.replace("connections = 2", "connections = 1"));
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    let mut last = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(last, "{}", line("last")).unwrap();
    drop(silent);
    last.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(last.read(&mut [0]).unwrap(), 0);
    assert_eq!(sidecar.stop().archived(), once(["waited", "last"].map(ToOwned::to_owned)));
}

#[test]
fn midnight_and_hangups_under_load_lose_no_line_and_no_token_is_of_the_wrong_epoch() {
    // Four seconds before midnight in Paris.
    let sidecar = Sidecar::start(TCP, &["--now", "2026-11-23T22:59:56Z"]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    let (start, mut sent, mut hangups) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(8) {
        for _ in 0..200 {
            let text = line(&format!("t{sent}"));
            stream
                .write_all(if sent % 2 == 0 { counted(&text) } else { format!("{text}\n") }.as_bytes())
                .unwrap();
            sent += 1;
        }
        if start.elapsed() > Duration::from_secs(hangups + 1) {
            sidecar.hang_up();
            hangups += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert!(hangups >= 6);
    drop(stream);
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(ended.told.matches("loaded again").count() >= 1, "{}", ended.told);
    assert_eq!(ended.archived(), once(ids("t", sent)));
    let by_kid = ended.check_epochs();
    assert_eq!(by_kid.len(), 2, "{by_kid:?}");
    // In input order: first the lines of the day before, then the others.
    let last = |kid: &str| by_kid[kid].iter().max().copied().unwrap();
    let first = |kid: &str| by_kid[kid].iter().min().copied().unwrap();
    let kids: Vec<&String> = by_kid.keys().collect();
    let (old, new) = if first(kids[0]) == 0 { (kids[0], kids[1]) } else { (kids[1], kids[0]) };
    assert!(last(old) + 1 == first(new) && last(new) + 1 == sent, "{old} {new}");
}

#[test]
fn what_was_sent_before_a_stop_is_archived() {
    const LINES: usize = 40_000;
    let sidecar = Sidecar::start(TCP, &[]);
    thread::scope(|scope| {
        for connection in 0..3 {
            let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
            scope.spawn(move || {
                let all: String = ids(format!("s{connection}-"), LINES).map(|id| line(&id) + "\n").collect();
                stream.write_all(all.as_bytes()).unwrap();
            });
        }
    });
    // Megabytes of the lines are still in the buffers of the kernel.
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    let sent = (0..3).flat_map(|connection| ids(format!("s{connection}-"), LINES));
    assert!(ended.archived() == once(sent), "{} lines are archived", ended.archived().len());
}

#[test]
fn a_bad_configuration_keeps_the_old_one_and_says_so() {
    let sidecar = Sidecar::start(TCP, &[]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("before")).unwrap();
    let good = sidecar.configuration();
    sidecar.configure("zoen = 'UTC'\n");
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    writeln!(stream, "{}", line("between")).unwrap();
    // Wait for the old configuration to filter the line: a line still on its way at the reload may be read
    // under the new one.
    sidecar.wait_until_archived("id=between");
    sidecar.configure(&format!("keep = ['203.0.113.0/24']\n{good}[serve.limits]\nmemory = '32MiB'\n"));
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    sidecar.wait_for("`memory` holds from the next start");
    writeln!(stream, "{}", line("after")).unwrap();
    drop(stream);
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[C03]") && ended.told.contains("config.toml:1"), "{}", ended.told);
    let of = |id: &str| ended.lines().into_iter().find(|line| line.contains(&format!("id={id} "))).unwrap();
    assert!(of("before").contains("client ip_") && of("between").contains("client ip_"));
    assert!(of("after").contains("client 203.0.113."), "{}", of("after"));
}

#[test]
fn an_input_that_cannot_be_opened_keeps_the_old_ones() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = Sidecar::start(TCP, &[]);
    let good = sidecar.configuration();
    let address = taken.local_addr().unwrap();
    sidecar.configure(&format!("{good}[[serve.input]]\ntype = 'tcp'\nlisten = '{address}'\n"));
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("still")).unwrap();
    drop(stream);
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[I10]"), "{}", ended.told);
    assert_eq!(ended.archived(), once(["still".to_owned()]));
}

#[test]
fn a_kill_loses_at_most_what_came_since_the_last_flush() {
    let mut sidecar = Sidecar::start(TCP, &[]);
    let (mut owed, mut random) = (Vec::new(), 0x9e37_79b9_u64);
    for round in 0..4 {
        let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
        let start = Instant::now();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let life = Duration::from_millis(6_000 + (random >> 33) % 1_000);
        let mut sent = Vec::new();
        while start.elapsed() < life {
            let id = format!("k{round}-{}", sent.len());
            writeln!(stream, "{}", line(&id)).unwrap();
            sent.push((start.elapsed(), id));
            thread::sleep(Duration::from_millis(1));
        }
        // One second to wait for more of the frame, and four for a disk that other tests keep busy.
        let flushed = life.saturating_sub(Duration::from_secs(5));
        owed.extend(sent.into_iter().filter(|(at, _)| *at < flushed).map(|(_, id)| id));
        sidecar = sidecar.kill_and_restart();
    }
    let archived = sidecar.stop().archived();
    let lost: Vec<_> = owed.iter().filter(|id| !archived.contains_key(*id)).collect();
    assert!(lost.is_empty() && !owed.is_empty(), "{} of {} are lost", lost.len(), owed.len());
    assert!(archived.values().all(|count| *count == 1));
}

#[test]
fn standard_input_alone_ends_the_sidecar() {
    let mut sidecar = Sidecar::start("[[serve.input]]\ntype = 'stdin'\n", &[]);
    let mut input = sidecar.take_stdin();
    for number in 0..1_000 {
        writeln!(input, "{}", line(&format!("in{number}"))).unwrap();
    }
    drop(input);
    let ended = sidecar.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert_eq!(ended.archived(), once(ids("in", 1_000)));
}

/// Half an address does not look like one, and would be archived in clear.
#[test]
fn half_a_line_is_sealed_however_its_connection_ends() {
    let sidecar = Sidecar::start(&format!("[serve.metrics]\nlisten = '127.0.0.1:0'\n{TCP}"), &[]);
    let connect = || TcpStream::connect(sidecar.address("tcp")).unwrap();
    let text = line("half");
    let half = text[..text.find("203.0.11").unwrap() + 8].to_owned();
    let (mut closed, mut counting, mut reset, mut open) = (connect(), connect(), connect(), connect());
    for (stream, begun) in [
        (&mut closed, half.clone()),
        (&mut counting, format!("{} {half}", text.len())),
        (&mut reset, half.clone()),
        (&mut open, half.clone()),
    ] {
        write!(stream, "{}\n{begun}", line("whole")).unwrap();
    }
    let lines = format!("oubliette_input_lines_total{{input=\"tcp {}\"}}", sidecar.address("tcp"));
    sidecar.wait_for_metric(&lines, |lines| lines == 4.0);
    rustix::net::sockopt::set_socket_linger(&reset, Some(Duration::ZERO)).unwrap();
    drop((closed, counting, reset));
    sidecar.wait_for("it ended in the middle of a frame");
    let ended = sidecar.stop();
    assert!(!ended.lines().iter().any(|line| line.contains("203.0.11")), "{:?}", ended.lines());
    assert_eq!(ended.archived(), [("whole".to_owned(), 4)].into());
    ended.check_balance(8, 4);
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    drop(open);
}

/// Nobody can know where the next line begins, so what the pipe still holds is lost.
#[test]
fn a_line_without_end_on_standard_input_is_told() {
    let config = "[serve.limits]\nsealed = '1MiB'\n[[serve.input]]\ntype = 'stdin'\n";
    let mut sidecar = Sidecar::start(config, &[]);
    let mut input = sidecar.take_stdin();
    writeln!(input, "{}", line("whole")).unwrap();
    while input.write_all(&[b'x'; 64 << 10]).is_ok() {}
    let ended = sidecar.wait();
    assert!(ended.told.contains("a frame is longer than what is sealed of one"), "{}", ended.told);
    assert_eq!(ended.archived(), once(["whole".to_owned()]));
    ended.check_balance(2, 1);
    assert_eq!(ended.code, Some(2), "{}", ended.told);
}

/// A peer resets the connection while it is read: its whole lines are archived, and its unfinished line is
/// sealed.
#[test]
fn standard_input_that_breaks_is_told_and_what_was_read_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (reader, _) = listener.accept().unwrap();
    let sidecar = Sidecar::start_reading("[[serve.input]]\ntype = 'stdin'\n", reader.into());
    write!(writer, "{}\n{}", line("whole"), &line("half")[..40]).unwrap();
    sidecar.wait_until_archived("id=whole ");
    rustix::net::sockopt::set_socket_linger(&writer, Some(Duration::ZERO)).unwrap();
    drop(writer);
    let ended = sidecar.wait();
    assert!(ended.told.contains("standard input is read no more"), "{}", ended.told);
    assert!(ended.told.contains("code=\"I01\""), "{}", ended.told);
    assert_eq!(ended.archived(), once(["whole".to_owned()]));
    ended.check_balance(2, 1);
    assert_eq!(ended.code, Some(2), "{}", ended.told);
}
