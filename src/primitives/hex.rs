//! Lower-case hexadecimal for digests, public keys and signatures, with exactly one spelling for each value.

/// Encodes the bytes as lower-case hex digits.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Decodes `N` bytes from `2 N` lower-case hex digits. Rejects upper-case digits: with only one spelling for
/// each value, no bit of the text can change unnoticed.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

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
    }
}
