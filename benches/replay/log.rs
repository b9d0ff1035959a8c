//! Generates days of a log in which the same people occur again and again; each line states its number.

use std::fmt::Write;

/// The state of the generator.
pub(crate) struct Days {
    random: u64,
    /// Number of lines made so far.
    pub(crate) lines: u64,
    people: u64,
}

impl Days {
    /// Creates a log of this many people.
    pub(crate) fn new(people: u64) -> Self {
        Self { random: 0x9e37_79b9_7f4a_7c15, lines: 0, people }
    }

    /// Returns a number below `limit` (xorshift64*).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    /// Adds `count` lines of the day `date`, spread evenly over the hour before 10:00 UTC.
    pub(crate) fn write(&mut self, date: &str, count: u64, out: &mut String) {
        for line in 0..count {
            let second = line * 3600 / count;
            let time = format!("09:{:02}:{:02}", second / 60, second % 60);
            self.write_line(date, &time, out);
        }
    }

    fn write_line(&mut self, date: &str, time: &str, out: &mut String) {
        let (one, other) = (self.person(), self.person());
        let number = self.lines;
        self.lines += 1;
        let (address, mail) = (address(one), mail(other));
        let page = self.below(5000);
        let written = match self.below(5) {
            0 => writeln!(
                out,
                "{date}T{time}Z web1 nginx: {address} - - \"GET /shop/{page}?m={mail}&req={number}&x HTTP/1.1\" 200 {page} \"https://www.example.org/\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/103.0\""
            ),
            1 => writeln!(
                out,
                "{date}T{time}Z web1 sshd[{page}]: Failed password for invalid user admin from {address} port {page} ssh2 req={number} end"
            ),
            2 => writeln!(
                out,
                "<22>1 {date}T{time}Z mx1.example.net postfix/smtpd {page} - - NOQUEUE: reject: RCPT from unknown[{address}]:{page}: 554 5.7.1 <{mail}>: Relay access denied req={number} end"
            ),
            3 => writeln!(
                out,
                "{{\"ts\":\"{date}T{time}Z\",\"remote_ip\":\"{address}\",\"user\":\"{mail}\",\"status\":200,\"path\":\"/shop/{page}\",\"req\":\"req={number} end\"}}"
            ),
            _ => writeln!(
                out,
                "{date}T{time}Z app1 worker[{page}]: job {page} done in 17 ms, nothing to tell about anybody, queue depth {page}, req={number} end"
            ),
        };
        written.expect("a string takes everything");
    }

    /// Picks a person: a few come often, most now and then.
    fn person(&mut self) -> u64 {
        let reach = self.below(self.people) + 1;
        self.below(reach)
    }
}

/// Returns the IP address of a person, spelt as in the log.
pub(crate) fn address(person: u64) -> String {
    match person % 5 {
        0 => format!(
            "2001:db8:{:x}:{:x}::{:x}",
            person / 65536 % 65536 + 1,
            person % 65536 + 1,
            person % 4096 + 1
        ),
        _ => format!(
            "{}.{}.{}.{}",
            11 + person / 62500 % 80,
            person / 250 % 250,
            person % 250,
            person * 7 % 250 + 1
        ),
    }
}

/// Returns the e-mail address of a person.
pub(crate) fn mail(person: u64) -> String {
    format!("user{person}@mail{}.example.org", person % 7)
}

/// Returns the number that a line states.
pub(crate) fn number(line: &str) -> u64 {
    let digits = line.split("req=").nth(1).unwrap_or_default();
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a line bears its number")
}

/// Iterates over the words of a line, split where no identifier can continue: a plain search compares these.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_ascii_alphanumeric() && !".:@".contains(character))
        .flat_map(|word| [word, word.trim_end_matches(':')])
}
