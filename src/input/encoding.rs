//! Refuses what is no text at its very first bytes: an identifier in it would not be found, and would go out
//! for anybody to decode.

use crate::primitives::diag::{Code, Diagnostic};

/// An encoding in which no identifier can be found, recognised by the first bytes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {}", self.name())]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstandard,
    /// The .xz file format.
    Xz,
    /// bzip2.
    Bzip2,
    /// UTF-16 with a byte order mark (RFC 2781, 3.2).
    Utf16,
}

impl Encoding {
    /// Returns the encoding of an input that begins with `start`; `None` if it may be text.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstandard),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // A digit for the size of blocks, and the beginning of the first block.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Self::Bzip2),
            [0xff, 0xfe, _, 0, ..] | [0xfe, 0xff, 0, _, ..] => Some(Self::Utf16),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "compressed with gzip",
            Self::Zstandard => "compressed with zstd",
            Self::Xz => "compressed with xz",
            Self::Bzip2 => "compressed with bzip2",
            Self::Utf16 => "text in UTF-16",
        }
    }

    /// Returns the command that makes text of a file.
    fn decoder(self) -> &'static str {
        match self {
            Self::Gzip => "zcat FILE",
            Self::Zstandard => "zstdcat FILE",
            Self::Xz => "xzcat FILE",
            Self::Bzip2 => "bzcat FILE",
            Self::Utf16 => "iconv -f UTF-16 -t UTF-8 FILE",
        }
    }
}

/// The first bytes of an input that come in parts, kept until they tell whether it is text.
#[derive(Debug, Default)]
pub struct Start(Vec<u8>);

impl Start {
    /// Takes the next bytes of the input. Returns its encoding if it begins like one in which no identifier
    /// can be found.
    pub fn refuses(&mut self, bytes: &[u8]) -> Option<Encoding> {
        let room = LONGEST_START - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if room == 0 { None } else { Encoding::of(&self.0) }
    }
}

/// So many bytes tell each encoding.
pub const LONGEST_START: usize = 10;

impl From<Encoding> for Diagnostic {
    fn from(encoding: Encoding) -> Self {
        Self::new(&UNREADABLE, "the input is not text")
            .because(format!("it is {}: no address in it could be found", encoding.name()))
            .hint(format!(
                "nothing of it was processed; decode it: `{} | oubliette filter`",
                encoding.decoder()
            ))
    }
}

/// I14: the input is compressed, or in an encoding other than UTF-8.
pub static UNREADABLE: Code = Code {
    id: "I14",
    title: "the input is not text",
    text: "\
What it means
  The first bytes of the input say that it is compressed (gzip, zstd, xz, bzip2), or that it is text
  in UTF-16. oubliette has processed and written nothing of it.

Why it matters
  oubliette looks for addresses in the bytes that it reads. In compressed data, or between the zero
  bytes of UTF-16, there are none. So everything would go out as it is, and anybody could
  decompress it and read the addresses; a search for them would find nothing.

Example
  oubliette filter access.log.2.gz

What to do
  1. Decode it on the way: `zcat FILE | oubliette filter`, or `zstdcat`, `xzcat`, `bzcat`; for UTF-16
     `iconv -f UTF-16 -t UTF-8 FILE | oubliette filter`
  2. `oubliette batch` decompresses gzip and zstd by itself. If it reports an object, that object was
     compressed twice, or is in UTF-16.
  3. `serve` closes such a connection, and reads no more of such a standard input. It leaves such a
     file alone until it begins like text. Have the sender or writer use UTF-8, without compression.

References
  RFC 1952 (gzip); RFC 8878 (zstd); RFC 2781 (UTF-16).",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Blocks, Piece};

    #[test]
    fn what_is_no_text_is_refused_whole() {
        for (start, encoding) in [
            (&b"\x1f\x8b\x08\0 and\nmore\n"[..], Encoding::Gzip),
            (b"\x28\xb5\x2f\xfd and\nmore\n", Encoding::Zstandard),
            (b"\xfd7zXZ\0 and\nmore\n", Encoding::Xz),
            (b"BZh91AY&SY and\nmore\n", Encoding::Bzip2),
            (b"\xff\xfe2\x000\x003\x00.\0\n\0", Encoding::Utf16),
            (b"\xfe\xff\x002\x000\x003\0.\0\n", Encoding::Utf16),
        ] {
            // The first bytes may come one by one.
            for first in [1, 2, 5, start.len()] {
                let source = std::io::Read::chain(&start[..first], &start[first..]);
                let mut blocks = Blocks::new(source, 100);
                let error = Diagnostic::from(blocks.next_piece(None).unwrap_err());
                assert_eq!((error.code.id, Encoding::of(start)), ("I14", Some(encoding)), "{first}");
                assert!(matches!(blocks.next_piece(None), Ok(Piece::End)));
            }
        }
    }

    #[test]
    fn the_start_of_an_input_may_come_in_parts() {
        let mut start = Start::default();
        assert_eq!((start.refuses(b"\xff"), start.refuses(b"\xfe2")), (None, None));
        assert_eq!(start.refuses(b"\x000\x003"), Some(Encoding::Utf16));
        let mut start = Start::default();
        assert_eq!(start.refuses(b"a long line\n"), None);
        assert_eq!(start.refuses(b"\x1f\x8b\x08\0"), None);
    }

    #[test]
    fn text_is_not() {
        for text in [
            &b""[..],
            b"\x1f\x8b",
            b"BZh9 is no header\n",
            b"\xff\xfejean",
            b"\xef\xbb\xbf203.0.113.9\n",
            b"(\xb5",
            b"\xfd7z",
        ] {
            assert_eq!(Encoding::of(text), None, "{}", text.escape_ascii());
        }
        // Only the very beginning counts.
        let mut blocks = Blocks::new(&b"a line\n\x1f\x8b\x08\0\n"[..], 100);
        assert!(matches!(blocks.next_piece(None), Ok(Piece::Lines(_))));
    }
}
