//! The frames of RELP, the Reliable Event Logging Protocol, as librelp writes them.
//!
//! ```text
//! frame    = TXNR SP COMMAND SP DATALEN [SP DATA] LF        DATA, and the SP before it, if DATALEN > 0
//! TXNR     = 1*9DIGIT                                       of the request, repeated in its answer; 0 for a hint
//! COMMAND  = 1*32ALPHA
//! DATALEN  = 1*9DIGIT                                       octets of DATA
//! ```

use nom::bytes::streaming::{take_while_m_n, take_while1};
use nom::character::streaming::{char, one_of};
use nom::combinator::{map_opt, verify};
use nom::error::{Error, ErrorKind};
use nom::sequence::terminated;
use nom::{Err, IResult, Parser};

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Transaction number.
    pub txnr: u32,
    /// The command, or `rsp` for a response.
    pub command: &'a [u8],
    /// Octets of DATA.
    pub data_bytes: usize,
    /// Octets of the header, including the SP before DATA, or the LF if there is no DATA.
    pub header_bytes: usize,
}

/// The bytes are not a RELP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no frame of RELP")]
pub struct Malformed;

/// Parses the header at the start of `bytes`; `None` if it is incomplete.
///
/// # Errors
/// [`Malformed`] if no further bytes could make it a header, which is certain after [`MOST_HEADER_BYTES`].
pub fn header(bytes: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    match (number, command, number_before_data).parse(bytes) {
        Ok((rest, (txnr, command, data_bytes))) => Ok(Some(Header {
            txnr,
            command,
            data_bytes: data_bytes as usize,
            header_bytes: bytes.len() - rest.len(),
        })),
        Err(Err::Incomplete(_)) if bytes.len() < MOST_HEADER_BYTES => Ok(None),
        Err(_) => Err(Malformed),
    }
}

/// Appends a frame. DATA must be shorter than 1 GB.
pub fn write(frame: &mut Vec<u8>, txnr: u32, command: &str, data: &[u8]) {
    frame.extend_from_slice(format!("{txnr} {command} {}", data.len()).as_bytes());
    if !data.is_empty() {
        frame.push(b' ');
        frame.extend_from_slice(data);
    }
    frame.push(b'\n');
}

/// Returns the number after `txnr`: 1 to 999999999, then 1 again.
#[must_use]
pub fn next_txnr(txnr: u32) -> u32 {
    if txnr >= LAST_TXNR { 1 } else { txnr + 1 }
}

/// Parses `1*9DIGIT SP`.
fn number(input: &[u8]) -> IResult<&[u8], u32> {
    terminated(digits, char(' ')).parse(input)
}

/// Parses `1*9DIGIT`; nine digits fit into a `u32`.
fn digits(input: &[u8]) -> IResult<&[u8], u32> {
    let value = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    map_opt(take_while_m_n(1, 9, |byte: u8| byte.is_ascii_digit()), value).parse(input)
}

/// Parses `1*32ALPHA SP`.
fn command(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let word = verify(take_while1(|byte: u8| byte.is_ascii_alphabetic()), |word: &[u8]| word.len() <= 32);
    terminated(word, char(' ')).parse(input)
}

/// Parses DATALEN and the end of the header: SP if DATA follows, LF if none does.
fn number_before_data(input: &[u8]) -> IResult<&[u8], u32> {
    let (rest, (bytes, end)) = (digits, one_of(" \n")).parse(input)?;
    if (bytes == 0) == (end == '\n') {
        Ok((rest, bytes))
    } else {
        Err(Err::Error(Error::new(input, ErrorKind::OneOf)))
    }
}

/// Longest header: `999999999 COMMAND 999999999 `.
pub const MOST_HEADER_BYTES: usize = 9 + 1 + 32 + 1 + 9 + 1;

/// The last transaction number, as in librelp.
const LAST_TXNR: u32 = 999_999_999;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers() {
        let whole =
            |txnr, command, data_bytes, header_bytes| Ok(Some((txnr, command, data_bytes, header_bytes)));
        for (bytes, expected) in [
            // Complete.
            (&b"1 open 85 relp_version=1"[..], whole(1, &b"open"[..], 85, 10)),
            (b"2 syslog 1 x\n", whole(2, b"syslog", 1, 11)),
            (b"3 close 0\n4 open", whole(3, b"close", 0, 10)),
            (b"0 serverclose 0\n", whole(0, b"serverclose", 0, 16)),
            (b"999999999 rsp 999999999 ", whole(999_999_999, b"rsp", 999_999_999, 24)),
            (b"1 a 00\n", whole(1, b"a", 0, 7)),
            // Incomplete.
            (b"", Ok(None)),
            (b"1", Ok(None)),
            (b"1 syslog", Ok(None)),
            (b"1 syslog 12", Ok(None)),
            // Malformed.
            (b" 1 open 0\n", Err(Malformed)),
            (b"x", Err(Malformed)),
            (b"-1 open 0\n", Err(Malformed)),
            (b"1234567890 open 0\n", Err(Malformed)),
            (b"1  open 0\n", Err(Malformed)),
            (b"1 op3n 0\n", Err(Malformed)),
            (b"1 abcdefghijklmnopqrstuvwxyzabcdefg 0\n", Err(Malformed)),
            (b"1 syslog 1234567890 x", Err(Malformed)),
            (b"1 syslog 0 \n", Err(Malformed)),
            (b"1 syslog 5\n", Err(Malformed)),
            (b"1 syslog -5 x", Err(Malformed)),
            (b"1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Err(Malformed)),
        ] {
            let found = header(bytes);
            let found = found.map(|header| {
                header.map(|header| (header.txnr, header.command, header.data_bytes, header.header_bytes))
            });
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn numbers_start_again() {
        assert_eq!([next_txnr(0), next_txnr(7), next_txnr(LAST_TXNR)], [1, 8, 1]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(txnr in 0..=LAST_TXNR, command in "[a-z]{1,32}", data: Vec<u8>) {
            let mut frame = Vec::new();
            write(&mut frame, txnr, &command, &data);
            let read = header(&frame).unwrap().unwrap();
            prop_assert_eq!((read.txnr, read.command, read.data_bytes), (txnr, command.as_bytes(), data.len()));
            if !data.is_empty() {
                prop_assert_eq!(&frame[read.header_bytes..], &[&data[..], b"\n"].concat()[..]);
            }
            // No beginning of the frame is parsed as something else.
            for end in 0..read.header_bytes {
                prop_assert_eq!(header(&frame[..end]), Ok(None));
            }
        }
    }
}
