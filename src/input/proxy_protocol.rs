//! The PROXY protocol, versions 1 and 2: the header that a proxy sends before the peer's own bytes.
//!
//! The header contains the addresses of a person's machine. Nothing here needs them, so they are checked and
//! discarded: no value stores them, and they cannot get into a line, a message or a metric.
//!
//! Source: "The PROXY protocol, versions 1 & 2", proxy-protocol.txt of HAProxy, section 2. We tried the crate
//! `ppp`: it refuses a header of version 1 that arrives in two parts if the cut is inside an address.

use memchr::memchr;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{eof, map_opt, rest, value};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The reasons why a connection does not start with a valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The first bytes match neither version.
    #[error("there is no PROXY header")]
    Signature,
    /// Version 1: not the format of section 2.1, or longer than 107 bytes.
    #[error("the PROXY header of version 1 is malformed")]
    Line,
    /// Not version 2, or a command other than LOCAL and PROXY.
    #[error("the PROXY header has another version or command")]
    Command,
    /// Version 2: an unknown address family or transport, or no room for its addresses.
    #[error("the PROXY header of version 2 has malformed addresses")]
    Addresses,
}

/// Reads the header off `stream`. Returns the bytes that were read beyond the header, which are the peer's.
///
/// Has no timeout of its own; the caller sets one. Uses at most 64 KiB of memory.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] with [`Malformed`]; [`io::ErrorKind::UnexpectedEof`] if the connection ends
/// before the header does.
pub async fn strip(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    loop {
        let length = header_bytes(&bytes)
            .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
        if let Some(length) = length {
            bytes.drain(..length);
            return Ok(bytes);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Returns the length of the header at the start of `bytes`; `None` if the header is incomplete.
///
/// # Errors
/// [`Malformed`] if no further bytes could make `bytes` a header.
pub fn header_bytes(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let signed = |signature: &[u8]| bytes.iter().zip(signature).all(|(found, expected)| found == expected);
    match bytes {
        _ if signed(SIGNATURE_1) => version_1(bytes),
        _ if signed(SIGNATURE_2) => version_2(bytes),
        _ => Err(Malformed::Signature),
    }
}

/// Reads a header of version 1, "a string of at most 107 bytes, CRLF included".
fn version_1(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let head = &bytes[..bytes.len().min(MOST_BYTES_1)];
    match memchr(b'\n', head) {
        None if head.len() < MOST_BYTES_1 => Ok(None),
        None => Err(Malformed::Line),
        Some(end) => line(&head[..=end]).map(|_| Some(end + 1)).map_err(|_| Malformed::Line),
    }
}

/// Parses "PROXY", the protocol, the addresses and ports of source and destination, and CRLF. After
/// "UNKNOWN", "the receiver must ignore anything presented before the CRLF".
fn line(input: &[u8]) -> IResult<&[u8], ()> {
    let (text, _) = tag("PROXY ").parse(input)?;
    let unknown = preceded(tag("UNKNOWN"), alt((tag("\r\n"), preceded(char(' '), rest))));
    let tcp4 = preceded(tag("TCP4"), addresses::<Ipv4Addr>);
    let tcp6 = preceded(tag("TCP6"), addresses::<Ipv6Addr>);
    let ended = input.ends_with(b"\r\n");
    let checked = alt((value((), unknown), tcp4, tcp6));
    map_opt(checked, |()| ended.then_some(())).parse(text)
}

/// Parses source and destination addresses, then their ports.
fn addresses<A: FromStr>(input: &[u8]) -> IResult<&[u8], ()> {
    let end = terminated(tag("\r\n"), eof);
    value((), (field::<A>, field::<A>, field::<u16>, field::<u16>, end)).parse(input)
}

/// Parses one space and a value.
fn field<T: FromStr>(input: &[u8]) -> IResult<&[u8], ()> {
    let word = take_while1(|byte: u8| byte.is_ascii_hexdigit() || byte == b'.' || byte == b':');
    let parsed = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<T>().ok().map(drop);
    preceded(char(' '), map_opt(word, parsed)).parse(input)
}

/// Reads a header of version 2: signature, version and command, family and transport, length of the rest,
/// addresses, TLVs.
fn version_2(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(&[version_command, family, length_high, length_low]) =
        bytes.get(SIGNATURE_2.len()..FIXED_BYTES_2)
    else {
        return Ok(None);
    };
    // "\x20: LOCAL", "\x21: PROXY"; "receivers must drop connections presenting unexpected values".
    if !matches!(version_command, 0x20 | 0x21) {
        return Err(Malformed::Command);
    }
    let is_local = version_command == 0x20;
    let address_bytes = match family {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        // "the receiver must accept this connection as valid and ... discard the protocol block including the family".
        _ if is_local => 0,
        _ => return Err(Malformed::Addresses),
    };
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if length < address_bytes && !is_local {
        return Err(Malformed::Addresses);
    }
    Ok((bytes.len() - FIXED_BYTES_2 >= length).then_some(FIXED_BYTES_2 + length))
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest header of version 1.
const MOST_BYTES_1: usize = 107;

/// Length of the part of a version 2 header that precedes the addresses.
const FIXED_BYTES_2: usize = 16;

/// Enough for either version without TLVs.
const USUAL_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Makes a header of version 2.
    fn binary(version_command: u8, family: u8, length: u16, payload_bytes: usize) -> Vec<u8> {
        let mut header = SIGNATURE_2.to_vec();
        header.extend([version_command, family]);
        header.extend(length.to_be_bytes());
        header.extend(std::iter::repeat_n(7, payload_bytes));
        header
    }

    #[test]
    fn headers_of_version_1() {
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for (text, expected) in [
            // Whole; the bytes after it are ignored.
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", Ok(Some(45))),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n\0\n", Ok(Some(45))),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Ok(Some(32))),
            ("PROXY UNKNOWN\r\n", Ok(Some(15))),
            ("PROXY UNKNOWN ffff:f...f:ffff anything 65535\r\n", Ok(Some(46))),
            (longest, Ok(Some(104))),
            // Incomplete.
            ("", Ok(None)),
            ("PRO", Ok(None)),
            ("PROXY TCP4 192.0", Ok(None)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r", Ok(None)),
            // Malformed.
            ("PROXX", Err(Malformed::Signature)),
            ("<13>Nov 23 10:00:00 host app: x\n", Err(Malformed::Signature)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", Err(Malformed::Line)),
            ("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", Err(Malformed::Line)),
            ("PROXY UNKNOWNS\r\n", Err(Malformed::Line)),
            (&too_long, Err(Malformed::Line)),
        ] {
            assert_eq!(header_bytes(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn headers_of_version_2() {
        for (name, header, expected) in [
            ("tcp4", binary(0x21, 0x11, 12, 12), Ok(Some(28))),
            ("udp6", binary(0x21, 0x22, 36, 36), Ok(Some(52))),
            ("unix", binary(0x21, 0x31, 216, 216), Ok(Some(232))),
            ("unspecified", binary(0x21, 0x00, 0, 0), Ok(Some(16))),
            ("with_tlvs_and_peer", binary(0x21, 0x11, 50, 99), Ok(Some(66))),
            ("local", binary(0x20, 0x00, 0, 3), Ok(Some(16))),
            ("local_any_family", binary(0x20, 0x99, 5, 5), Ok(Some(21))),
            ("most", binary(0x21, 0x11, u16::MAX, 65535), Ok(Some(65551))),
            ("no_length", SIGNATURE_2.to_vec(), Ok(None)),
            ("half_a_signature", SIGNATURE_2[..7].to_vec(), Ok(None)),
            ("part_of_addresses", binary(0x21, 0x11, 12, 11), Ok(None)),
            ("version_1", binary(0x11, 0x11, 12, 12), Err(Malformed::Command)),
            ("no_command", binary(0x22, 0x11, 12, 12), Err(Malformed::Command)),
            ("no_family", binary(0x21, 0x41, 12, 12), Err(Malformed::Addresses)),
            ("no_transport", binary(0x21, 0x13, 12, 12), Err(Malformed::Addresses)),
            ("no_room", binary(0x21, 0x21, 12, 12), Err(Malformed::Addresses)),
        ] {
            assert_eq!(header_bytes(&header), expected, "{name}");
        }
    }

    proptest! {
        /// In whatever chunks it arrives, the header is stripped and the peer's bytes stay.
        #[test]
        fn any_chunking_strips_the_same(
            version_2: bool, tlv_bytes in 0..300u16, peer: Vec<u8>, sizes in prop::collection::vec(1..40usize, 1..8),
        ) {
            let header = if version_2 {
                binary(0x21, 0x11, 12 + tlv_bytes, 12 + usize::from(tlv_bytes))
            } else {
                b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 443\r\n".to_vec()
            };
            let bytes = [header, peer.clone()].concat();
            let mut stream = Chunks { bytes: &bytes, sizes: sizes.iter().cycle() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let left = runtime.block_on(async {
                let mut left = strip(&mut stream).await.unwrap();
                stream.read_to_end(&mut left).await.unwrap();
                left
            });
            prop_assert_eq!(left, peer);
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>) {
            if let Ok(Some(length)) = header_bytes(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    /// Returns its bytes in reads of these sizes, over and over.
    struct Chunks<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl AsyncRead for Chunks<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let size =
                self.sizes.next().map_or(1, |&size| size.min(self.bytes.len()).min(buffer.remaining()));
            let (part, rest) = self.bytes.split_at(size);
            buffer.put_slice(part);
            self.bytes = rest;
            std::task::Poll::Ready(Ok(()))
        }
    }
}
