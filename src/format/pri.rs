//! PRI: facility and severity of a syslog message, the same in RFC 5424 and RFC 3164.

use super::timestamp::Parsed;
use nom::Parser;
use nom::bytes::complete::take_while_m_n;
use nom::character::complete::char;
use nom::combinator::map_opt;
use nom::sequence::delimited;

/// Parses `<34>`: facility * 8 + severity, 0 to 191.
///
/// RFC 5424 6.2.1: "The PRI part MUST have three, four, or five characters and will be bound with angle
/// brackets as the first and last characters." Leading zeros are tolerated.
pub(super) fn pri(input: &[u8]) -> Parsed<'_, u8> {
    let digits = take_while_m_n(1, 3, |byte: u8| byte.is_ascii_digit());
    delimited(char('<'), map_opt(digits, value), char('>')).parse(input)
}

/// Facilities run from 0 to 23 and severities from 0 to 7, so 191 is the greatest value.
fn value(digits: &[u8]) -> Option<u8> {
    let value = digits.iter().fold(0_u16, |sum, &digit| sum * 10 + u16::from(digit - b'0'));
    u8::try_from(value).ok().filter(|&value| value <= 191)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pri_is_0_to_191_in_one_to_three_digits() {
        let cases: &[(&[u8], Option<u8>)] = &[
            (b"<0>", Some(0)),
            (b"<34>", Some(34)),
            (b"<013>", Some(13)),
            (b"<191>rest", Some(191)),
            // Out of range.
            (b"<192>", None),
            (b"<256>", None),
            (b"<999>", None),
            // Not a PRI.
            (b"<>", None),
            (b"<0034>", None),
            (b"<-1>", None),
            (b"<3 >", None),
            (b"<34", None),
            (b"34>", None),
            (b"", None),
        ];
        for &(input, expected) in cases {
            assert_eq!(pri(input).ok().map(|(_, value)| value), expected, "{}", input.escape_ascii());
        }
    }
}
