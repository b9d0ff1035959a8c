//! Deterministic logs: the same profile, size and seed give the same bytes on every machine.
//!
//! Addresses are derived from the generator's state and look public, so that no `--keep` spares them; names
//! are from the example domains. Each log comes with the counts of what a filter must find in it. A log is
//! made whole ([`generate`]) or piece by piece ([`Stream`]), with the same bytes.

mod hostile;

use std::fmt::Write;

/// What the lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// sshd and Postfix in RFC 3164, nginx access lines, RFC 5424, JSON: the usual input of a collector.
    Mixed,
    /// Combined access lines: 200,000 clients by Zipf's law, 15 % IPv6, an e-mail address in 1 % of the URLs.
    Nginx,
    /// No address occurs twice.
    Worst,
    /// Nothing to replace.
    Clean,
    /// Nearly every byte could belong to an identifier, and hardly any does.
    Hostile,
}

impl Profile {
    /// All profiles.
    pub(crate) const ALL: [Self; 5] = [Self::Mixed, Self::Nginx, Self::Worst, Self::Clean, Self::Hostile];

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Nginx => "nginx",
            Self::Worst => "worst",
            Self::Clean => "clean",
            Self::Hostile => "hostile",
        }
    }
}

/// Counts of what a log contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines, each ended by LF.
    pub(crate) lines: u64,
    /// IP addresses.
    pub(crate) addresses: u64,
    /// E-mail addresses.
    pub(crate) emails: u64,
}

/// A log and the counts of what it contains.
pub(crate) struct Log {
    /// Whole lines.
    pub(crate) bytes: Vec<u8>,
    /// Counts of what they contain.
    pub(crate) counts: Counts,
}

/// Generates at least `size` bytes of `profile`, in whole lines.
pub(crate) fn generate(profile: Profile, size: usize, seed: u64) -> Log {
    let mut stream = Stream::new(profile, seed);
    stream.writer.text.reserve(size + 1024);
    stream.extend_to(size);
    stream.into_log()
}

/// Generates at least `size` bytes in lines that hold each hostile shape over `run` bytes without a break.
pub(crate) fn generate_hostile_runs(size: usize, run: usize) -> Log {
    let mut stream = Stream::new(Profile::Hostile, 1);
    while stream.writer.text.len() < size {
        stream.writer.hostile_run(run);
        stream.writer.end_line();
    }
    stream.into_log()
}

/// A log of any size, generated piece by piece.
pub(crate) struct Stream {
    profile: Profile,
    writer: Writer,
}

impl Stream {
    /// Starts the log that [`generate`] makes of the same profile and seed.
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        Self { profile, writer: Writer { text: String::new(), random: seed, counts: Counts::default() } }
    }

    /// Returns the next lines, at least `size` bytes of them.
    pub(crate) fn piece(&mut self, size: usize) -> &[u8] {
        self.writer.text.clear();
        self.extend_to(size);
        self.writer.text.as_bytes()
    }

    /// Returns the counts of all pieces so far.
    pub(crate) fn counts(&self) -> Counts {
        self.writer.counts
    }

    fn extend_to(&mut self, size: usize) {
        while self.writer.text.len() < size {
            self.writer.line(self.profile);
            self.writer.end_line();
        }
    }

    fn into_log(self) -> Log {
        Log { bytes: self.writer.text.into_bytes(), counts: self.writer.counts }
    }
}

struct Writer {
    text: String,
    random: u64,
    counts: Counts,
}

const PATHS: [&str; 8] = [
    "/",
    "/index.html",
    "/assets/app.css",
    "/assets/app.js",
    "/api/v1/items?page=2&sort=desc",
    "/img/logo.svg",
    "/blog/2026/11/how-to-keep-logs",
    "/search?q=caf%C3%A9+noir",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.85 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1",
    "curl/8.11.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
];

impl Writer {
    /// Returns the next random number (splitmix64).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).unwrap_or(0)]
    }

    /// Picks one of 200,000 clients; small numbers are much more frequent (1 / rank).
    fn client(&mut self) -> u64 {
        let share = self.below(1 << 20) as f64 / (1 << 20) as f64;
        let rank = 200_000f64.powf(share);
        rank as u64
    }

    fn end_line(&mut self) {
        self.text.push('\n');
        self.counts.lines += 1;
    }

    /// Writes the address of a client; 15 % have IPv6. These three remainders select 15 % of the clients and,
    /// although few clients write most of the lines, 15 % of the lines, too.
    fn address(&mut self, client: u64) {
        self.counts.addresses += 1;
        let mixed = client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [a, b, c, d, ..] = mixed.to_be_bytes();
        if matches!(client % 20, 3 | 10 | 17) {
            let _ = write!(self.text, "2001:db8:{:x}{:02x}:{:x}::{:x}", a | 16, b, c, u16::from(d) + 1);
        } else {
            // 11.0.0.0 to 99.255.255.255: no loopback, no mask, no multicast.
            let _ = write!(self.text, "{}.{}.{}.{}", 11 + a % 89, b, c, d);
        }
    }

    fn email(&mut self, client: u64) {
        self.counts.emails += 1;
        let _ = write!(self.text, "client{client}@mail{}.example.net", client % 40);
    }

    fn time(&mut self) -> [u64; 3] {
        let second = self.counts.lines / 50 % 86_400;
        [second / 3600, second / 60 % 60, second % 60]
    }

    fn line(&mut self, profile: Profile) {
        match profile {
            Profile::Mixed => match self.below(10) {
                0..3 => self.sshd(),
                3..5 => self.postfix(),
                5..8 => {
                    let client = self.client();
                    self.access(client);
                }
                8 => self.rfc5424(),
                _ => self.json(),
            },
            Profile::Nginx => {
                let client = self.client();
                self.access(client);
            }
            Profile::Worst => {
                let client = self.counts.lines;
                self.unique(client);
            }
            Profile::Clean => self.clean(),
            Profile::Hostile => self.hostile(),
        }
    }

    fn sshd(&mut self) {
        let [hour, minute, second] = self.time();
        let client = self.client();
        let pid = 1000 + self.below(30_000);
        let _ = write!(self.text, "Nov 23 {hour:02}:{minute:02}:{second:02} web{} sshd[{pid}]: ", client % 9);
        let user = self.pick(&["root", "admin", "deploy", "oracle"]);
        let _ = write!(self.text, "Failed password for invalid user {user} from ");
        self.address(client);
        let port = 1024 + self.below(60_000);
        let _ = write!(self.text, " port {port} ssh2");
    }

    fn postfix(&mut self) {
        let [hour, minute, second] = self.time();
        let client = self.client();
        let id = self.next() & 0xffff_ffff_ffff;
        let _ = write!(
            self.text,
            "Nov 23 {hour:02}:{minute:02}:{second:02} mx1 postfix/smtp[{}]: {id:012X}: to=<",
            id % 30_000
        );
        self.email(client);
        let _ = write!(self.text, ">, relay=mx.example.org[");
        self.address(client);
        let _ =
            write!(self.text, "]:25, delay=0.{}, delays=0.02/0.01/0.2/0.1, dsn=2.0.0, status=sent", id % 90);
    }

    fn access(&mut self, client: u64) {
        let [hour, minute, second] = self.time();
        self.address(client);
        let path = self.pick(&PATHS);
        let _ = write!(self.text, " - - [23/Nov/2026:{hour:02}:{minute:02}:{second:02} +0100] \"GET {path}");
        if self.below(100) == 0 {
            self.text.push_str(if path.contains('?') { "&mail=" } else { "?mail=" });
            self.email(client);
        }
        let size = self.below(90_000);
        let agent = self.pick(&AGENTS);
        let _ = write!(self.text, " HTTP/1.1\" 200 {size} \"https://www.example.org/\" \"{agent}\"");
    }

    fn rfc5424(&mut self) {
        let [hour, minute, second] = self.time();
        let client = self.client();
        let _ = write!(
            self.text,
            "<86>1 2026-11-23T{hour:02}:{minute:02}:{second:02}.123456+01:00 node{} imapd {} - - login from ",
            client % 40,
            client % 9000 + 100
        );
        self.address(client);
    }

    fn json(&mut self) {
        let [hour, minute, second] = self.time();
        let client = self.client();
        let _ = write!(
            self.text,
            "{{\"time\":\"2026-11-23T{hour:02}:{minute:02}:{second:02}+01:00\",\"level\":\"info\",\"remote_ip\":\""
        );
        self.address(client);
        self.text.push_str("\",\"user\":\"");
        self.email(client);
        let path = self.pick(&PATHS);
        let _ = write!(self.text, "\",\"uri\":\"{path}\",\"status\":200,\"latency_ms\":{}}}", client % 250);
    }

    fn unique(&mut self, index: u64) {
        let [hour, minute, second] = self.time();
        self.counts.addresses += 1;
        // A permutation of 2^30 numbers, so that no address occurs twice.
        let mixed = index.wrapping_mul(0x9e37_79b1) & 0x3fff_ffff;
        let [_, _, _, _, a, b, c, d] = mixed.to_be_bytes();
        let _ = write!(
            self.text,
            "{}.{b}.{c}.{d} - - [23/Nov/2026:{hour:02}:{minute:02}:{second:02} +0100] \"GET / HTTP/1.1\" 200 5",
            a + 11
        );
    }

    fn clean(&mut self) {
        let [hour, minute, second] = self.time();
        let unit = self.pick(&["cron", "systemd", "kernel", "dockerd"]);
        let _ = write!(
            self.text,
            "Nov 23 {hour:02}:{minute:02}:{second:02} node7 {unit}[{}]: finished job {} in {} ms, queue empty",
            self.counts.lines % 30_000,
            self.counts.lines,
            self.counts.lines % 777
        );
    }
}
