//! Hexadecimal digits. What this program writes, digests, public keys and signatures, is in lower case, with
//! exactly one spelling for each value.

/// Encodes the bytes as lower-case hex digits.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Decodes `N` bytes from `2 N` lower-case hex digits. Rejects upper-case digits: with only one spelling for
/// each value, no bit of the text can change unnoticed.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let one_spelling = !text.bytes().any(|digit| digit.is_ascii_uppercase());
    one_spelling.then(|| decode_any_case(text.as_bytes()))?
}

/// Decodes `N` bytes from `2 N` hex digits.
#[inline]
#[must_use]
pub fn decode_any_case<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// Returns the value of a hex digit in either case.
#[inline]
#[must_use]
pub fn value(digit: u8) -> Option<u8> {
    let value = VALUES[usize::from(digit)];
    (value < 16).then_some(value)
}

/// The value of each hex digit in either case; a greater value for anything else.
pub static VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        values[DIGITS[value as usize].to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all: [u8; 256] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(decode::<256>(&encode(&all)), Some(all));
    }

    #[test]
    fn one_spelling_only() {
        assert_eq!(decode::<2>("0aff"), Some([10, 255]));
        for wrong in ["0aFf", "0af", "0afff", "0xff", " aff", ""] {
            assert_eq!(decode::<2>(wrong), None, "{wrong}");
        }
        assert_eq!(decode_any_case::<2>(b"0aFf"), Some([10, 255]));
        assert_eq!(decode_any_case::<2>(b"0aFg"), None);
    }
}
