//! Linux netfilter LOG lines: `IN=eth0 OUT= MAC=... SRC=203.0.113.9 DST=...`, after any prefix.

use super::raw;
use super::timestamp::Parsed;
use crate::model::{Format, Record};
use memchr::{memchr_iter, memchr2};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;

/// Sample lines of this format.
pub(super) const SAMPLES: &[&str] = &[
    "IN=eth0 OUT= MAC=00:00:5e:00:53:01:00:00:5e:00:53:02:08:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 TTL=52 PROTO=TCP SPT=57424 DPT=22 SYN",
    "kernel: [12.345678] [UFW BLOCK] IN=eth0 OUT= MAC= SRC=2001:db8::7 DST=2001:db8::1 LEN=80 PROTO=UDP SPT=53 DPT=5353",
    r#"[WAN_LOCAL-D-7] DESCR="[WAN_LOCAL] Block" IN=eth8 OUT= MAC=00:00:5e:00:53:01 SRC=203.0.113.9 DST=192.0.2.1 PROTO=UDP"#,
    "[49787.970285] Shorewall:net2fw:DROP:IN=br0 OUT=br0 PHYSIN=eth0 PHYSOUT=eth1 SRC=198.51.100.7 DST=192.0.2.1 PROTO=ICMP",
];

/// Most `=` in the prefix, before `IN=`.
pub(super) const MAX_EQUALS_IN_PREFIX: usize = 3;
/// Most fields between OUT= and SRC= (PHYSIN=, PHYSOUT=, MAC=, and room for more).
const MAX_FIELDS_BEFORE_SRC: usize = 4;

/// Reads the envelope of a line. After the operator's prefix the kernel writes `IN=`, `OUT=`, and then `MAC=`
/// or `SRC=`. It states no time except its uptime, but the prefix may begin with a time.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let after_in =
        memchr_iter(b'=', line).take(1 + MAX_EQUALS_IN_PREFIX).find(|&at| line[..at].ends_with(b"IN"))?;
    let rest = next_field(&line[after_in + 1..])?.strip_prefix(b"OUT=")?;
    let mut rest = next_field(rest)?;
    for _ in 0..MAX_FIELDS_BEFORE_SRC {
        if origin(rest).is_ok() {
            return Some(Record { format: Format::Netfilter, ..raw::read(line) });
        }
        rest = next_field(rest)?;
    }
    None
}

fn origin(input: &[u8]) -> Parsed<'_, &[u8]> {
    alt((tag("SRC="), tag("MAC="))).parse(input)
}

/// Returns what follows the next space. Values contain no quotes, so text that quotes such a line is
/// rejected.
fn next_field(input: &[u8]) -> Option<&[u8]> {
    let at = memchr2(b' ', b'"', input)?;
    input[at..].strip_prefix(b" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_this_format() {
        let cases = [
            "",
            "IN=",
            "IN=eth0",
            "IN=eth0 OUT=",
            "IN=eth0 OUT= SRC",
            "IN=eth0 OUT= DST=192.0.2.1",
            "IN=eth0 LEN=5 OUT= SRC=203.0.113.9",
            "OUT=eth0 IN= SRC=203.0.113.9",
            "IN=eth0 OUT=eth1 a b c d e SRC=203.0.113.9",
            "a=1 b=2 c=3 d=4 IN=eth0 OUT= SRC=203.0.113.9",
            // Quoted by another program.
            "msg=\"IN=eth0\" OUT= SRC=203.0.113.9",
        ];
        for line in cases {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
    }
}
