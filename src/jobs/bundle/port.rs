//! Finds the port beside an identifier. The law asks for it, and a filter leaves it in clear.
//!
//! ```text
//! TOKEN:443   [TOKEN]:443   TOKEN#53   TOKEN.443   TOKEN port 50514            glued to it, or spelt behind it
//! SRC=TOKEN ... SPT=50514   src=TOKEN spt=50514   src=TOKEN srcPort=50514      netfilter, CEF, LEEF
//! "remote_ip":"TOKEN","remote_port":50514   rip=TOKEN, rport=50514             fields that are named alike
//! "ip":"TOKEN","port":50514   client=TOKEN port=50514                          a field that is named so, right behind it
//! ```
//! A wrong port names the wrong person behind a shared address, so if nothing says whose port it is, none is
//! given. The line itself contains whatever else it states.

use std::cell::OnceCell;
use std::ops::Range;

/// The ports in a line.
pub(super) struct Ports<'l> {
    line: &'l [u8],
    /// The fields that may be ports, sorted by name and place; found when they are first needed. A line may
    /// have thousands of identifiers, so they are not looked for again for each.
    fields: OnceCell<Vec<Field<'l>>>,
}

struct Field<'l> {
    name: String,
    /// Where its separator is.
    at: usize,
    port: &'l str,
}

impl<'l> Ports<'l> {
    pub(super) fn of(line: &'l [u8]) -> Self {
        Self { line, fields: OnceCell::new() }
    }

    /// Returns the port of the identifier at `span` of the line, as the line spells it.
    pub(super) fn beside(&self, span: &Range<usize>) -> Option<&'l str> {
        let after = self.line.get(span.end..)?;
        let after = after.strip_prefix(b"]").unwrap_or(after);
        let glued = match after {
            [b':' | b'#' | b'.', rest @ ..] => number(rest),
            _ => None,
        };
        let spelt = || after.strip_prefix(b" port ").and_then(number);
        glued.or_else(spelt).or_else(|| self.of_field(span))
    }

    /// Returns the port from a field that belongs to the identifier's field: the first such field after it,
    /// or else the last one before it.
    fn of_field(&self, span: &Range<usize>) -> Option<&'l str> {
        let stem = stem(&name_before(self.line, span.start)?);
        let is_filling = |field: &&Field<'_>| {
            self.line
                .get(span.end..field.at)
                .is_some_and(|text| text.iter().all(|byte| FILLING.contains(byte)))
        };
        // Nothing but filling lies between, so no other field does.
        let behind = self.around("port", span.end).1.filter(is_filling);
        let names = names_of_port(&stem);
        let alike = || names.iter().map(move |name| self.around(name, span.start));
        let after = || alike().filter_map(|(_, after)| after).min_by_key(|field| field.at);
        let before = || alike().filter_map(|(before, _)| before).max_by_key(|field| field.at);
        behind.or_else(after).or_else(before).map(|field| field.port)
    }

    /// Returns the last field of this name before `place`, and the first one from there on.
    fn around(&self, name: &str, place: usize) -> (Option<&Field<'l>>, Option<&Field<'l>>) {
        let fields = self.fields.get_or_init(|| fields(self.line));
        let next = fields.partition_point(|field| (&*field.name, field.at) < (name, place));
        let named = |field: &&Field<'_>| field.name == name;
        let before = next.checked_sub(1).map(|last| &fields[last]);
        (before.filter(named), fields.get(next).filter(named))
    }
}

fn fields(line: &[u8]) -> Vec<Field<'_>> {
    let ends = memchr::memchr2_iter(b'=', b':', line);
    let field = |at| Some(Field { name: name_of(line, at)?, at, port: number(value(&line[at + 1..]))? });
    let mut fields: Vec<_> = ends.filter_map(field).collect();
    fields.sort_by(|one, other| (&one.name, one.at).cmp(&(&other.name, other.at)));
    fields
}

/// The bytes that may stand between a value and the next separator if the next name is `port`.
const FILLING: &[u8] = b"\"'\\ ,;|]\tport";

/// Returns the name of the field whose value begins at `start`, in lower case and without separators.
fn name_before(line: &[u8], start: usize) -> Option<String> {
    let before = trimmed(&line[..start], b"\"'\\[ ");
    let (separator, _) = before.split_last()?;
    matches!(separator, b'=' | b':').then(|| name_of(line, before.len() - 1))?
}

/// Returns the name before the separator at `end`.
fn name_of(line: &[u8], end: usize) -> Option<String> {
    let name = trimmed(&line[..end], b"\"'\\ ");
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let length = name.iter().rev().take(LONGEST_NAME).take_while(is_part).count();
    let letters = name[name.len() - length..].iter().filter(|byte| byte.is_ascii_alphanumeric());
    let name: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    (!name.is_empty()).then_some(name)
}

/// Returns what the names of an address and of its port have in common: `remote` of `remoteaddr`, `r` of
/// `rip`.
fn stem(name: &str) -> String {
    let kinds = ["address", "addr", "host", "ip"];
    let stem = kinds.into_iter().find_map(|kind| name.strip_suffix(kind)).unwrap_or(name);
    stem.to_owned()
}

/// Returns the names that the field of a port may have.
fn names_of_port(stem: &str) -> Vec<String> {
    let others: &[&str] = match stem {
        "src" | "source" => &["spt", "sport"],
        "dst" | "dest" | "destination" => &["dpt", "dport"],
        // Zeek: `id.orig_h` and `id.orig_p`.
        "idorigh" => &["idorigp"],
        "idresph" => &["idrespp"],
        _ => &[],
    };
    std::iter::once(format!("{stem}port")).chain(others.iter().map(|&name| name.to_owned())).collect()
}

/// Strips what surrounds a value.
fn value(text: &[u8]) -> &[u8] {
    let around = text.iter().take_while(|byte| b"\"'\\ ".contains(byte)).count();
    &text[around..]
}

/// Parses a port at the start of `text`: digits, no more than a port has.
fn number(text: &[u8]) -> Option<&str> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    digits.parse::<u16>().ok().map(|_| digits)
}

/// Strips these bytes from the end of the text.
fn trimmed<'l>(text: &'l [u8], around: &[u8]) -> &'l [u8] {
    let trailing = text.iter().rev().take_while(|byte| around.contains(byte)).count();
    &text[..text.len() - trailing]
}

/// The longest name of a field, in bytes.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports() {
        for (line, port) in [
            ("TOKEN:443 x", Some("443")),
            ("[TOKEN]:443, y", Some("443")),
            ("client TOKEN#53 (example.org)", Some("53")),
            ("IP TOKEN.46824 > x", Some("46824")),
            ("from TOKEN port 50514 ssh2", Some("50514")),
            ("TOKEN - - \"GET / HTTP/1.1\" 200 5", None),
            ("TOKEN:99999", None),
            ("TOKEN: the end", None),
            ("TOKEN", None),
            // Netfilter.
            ("IN=eth0 SRC=TOKEN DST=y LEN=60 SPT=50514 DPT=22", Some("50514")),
            ("IN=eth0 SRC=x DST=TOKEN LEN=60 SPT=50514 DPT=22", Some("22")),
            ("IN=eth0 SRC=TOKEN DST=y LEN=60 PROTO=ICMP", None),
            // CEF and LEEF.
            ("CEF:0|v|p|1|9|n|5|src=TOKEN dst=y spt=50514 dpt=443", Some("50514")),
            ("CEF:0|v|p|1|9|n|5|dpt=443 spt=50514 dst=TOKEN", Some("443")),
            ("CEF:0|v|p|1|9|n|5|sourceTranslatedAddress=TOKEN sourceTranslatedPort=1025 spt=2", Some("1025")),
            ("LEEF:1.0|v|p|1|9|src=TOKEN\tdst=y\tsrcPort=50514\tdstPort=443", Some("50514")),
            // JSON.
            (r#"{"remote_ip":"TOKEN","remote_port":"50514","status":200}"#, Some("50514")),
            (r#"{"client_port": 50514, "client_addr": "TOKEN"}"#, Some("50514")),
            (r#"{"ClientHost":"TOKEN","ClientPort":"50514"}"#, Some("50514")),
            (r#"{"source.port":50514,"source.ip":"TOKEN","destination.port":443}"#, Some("50514")),
            (r#"{"src":{"ip":"TOKEN","port":50514},"dst":{"ip":"y","port":443}}"#, Some("50514")),
            (r#"{"src":{"ip":"x","port":50514},"dst":{"ip":"TOKEN","port":443}}"#, Some("443")),
            (r#"{"id.orig_h":"TOKEN","id.orig_p":50514,"id.resp_h":"y","id.resp_p":443}"#, Some("50514")),
            (r#"{"log":"{\"src_ip\":\"TOKEN\",\"src_port\":50514}"}"#, Some("50514")),
            (r#"{"remote_ip":"TOKEN","status":200,"server_port":443}"#, None),
            // logfmt and similar formats.
            ("level=info src_ip=TOKEN src_port=50514 dst_port=443", Some("50514")),
            ("level=info client=TOKEN port=50514", Some("50514")),
            ("level=info client=TOKEN status=200 port=443", None),
            ("imap-login: Login: rip=TOKEN, lip=y, rport=50514, lport=993", Some("50514")),
            ("imap-login: Login: rip=x, lip=TOKEN, rport=50514, lport=993", Some("993")),
            ("postfix/smtpd[1]: client=unknown[TOKEN]:50514", Some("50514")),
        ] {
            let at = line.find("TOKEN").unwrap();
            assert_eq!(beside(line.as_bytes(), &(at..at + 5)), port, "{line}");
        }
        // The colons of a token in the shape of an address separate no fields.
        let line = "client=fd12:1:2:3:4:5:6:7 port=50514";
        assert_eq!(beside(line.as_bytes(), &(7..25)), Some("50514"));
    }

    fn beside<'l>(line: &'l [u8], span: &Range<usize>) -> Option<&'l str> {
        Ports::of(line).beside(span)
    }

    #[test]
    fn a_line_of_many_identifiers_takes_linear_time() {
        const MANY: usize = 100_000;
        let (mut line, mut spans) = (Vec::new(), Vec::new());
        for number in 0..MANY {
            line.extend_from_slice(format!("a{}=", number % 1000).as_bytes());
            spans.push(line.len()..line.len() + 5);
            line.extend_from_slice(format!("TOKEN a{}port={} ", number % 1000, number % 50_000).as_bytes());
        }
        let ports = Ports::of(&line);
        // If each search read the two megabytes, this would take hours.
        for (number, span) in spans.iter().enumerate() {
            let port = (number % 50_000).to_string();
            assert_eq!(ports.beside(span), Some(&*port));
        }
    }

    proptest! {
        /// Whatever surrounds the token, the search for a port does not panic.
        #[test]
        fn anything_may_stand_around(before in "[a-z=:\"' \\[\\\\_0-9.]{0,30}", after in "(port|spt|[=:\"' ,\\]0-9]){0,20}") {
            let line = format!("{before}TOKEN{after}");
            let _ = beside(line.as_bytes(), &(before.len()..before.len() + 5));
        }
    }
}
