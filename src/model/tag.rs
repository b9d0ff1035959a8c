//! Retention tags: besides tokens, the only text that is ever added to a line.

use super::Span;
use jiff::civil::Date;
use std::fmt;

/// The name of a retention class: 1 to 64 of `a-z`, `0-9`, `-`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassName(String);

impl ClassName {
    /// The name under which lines are counted that have a tag from another oubliette, of a class that the
    /// policy does not have. No class may have this name.
    pub const UPSTREAM: &str = "upstream";

    /// Returns `None` if the name is not well-formed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::is_well_formed(name).then(|| Self(name.to_owned()))
    }

    /// Whether `name` is a valid class name.
    #[must_use]
    pub fn is_well_formed(name: &str) -> bool {
        name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first legal day on which a line must no longer exist. `Contract` sorts after every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expires {
    /// On this day.
    On(Date),
    /// Not known yet, because lines are kept as long as the contract lasts. Written `contract`.
    Contract,
}

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(date) => write!(f, "{date}"),
            Self::Contract => f.write_str("contract"),
        }
    }
}

/// The form of a tag in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idiom {
    /// An RFC 5424 SD-ELEMENT.
    SdElement,
    /// A JSON member, preceded by a comma unless the object was empty.
    JsonMember {
        /// Whether the object has no other member.
        only: bool,
    },
    /// ` expires=... class=...` before the line end.
    Suffix,
}

/// A tag, and its place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The bytes of the line that the tag replaces: none, or the `-` of an RFC 5424 line without
    /// STRUCTURED-DATA.
    pub replace: Span,
    /// The tag.
    pub text: &'a RenderedTag,
}

/// The text of a tag. Its only constructor takes validated parts, so nothing that was read from a line can
/// become part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedTag {
    /// The text, padded with zeros so that short tags can be copied in a stride of one size.
    padded: Vec<u8>,
    length: usize,
}

impl RenderedTag {
    /// An upper limit on the length of a tag: a class name has at most 64 bytes, all else at most 80.
    pub const MOST_BYTES: usize = 144;

    /// The number of zeros after the text.
    const PADDING: usize = 64;

    /// Renders a tag.
    #[must_use]
    pub fn new(class: &ClassName, expires: Expires, clock_received: bool, idiom: Idiom) -> Self {
        let text = match idiom {
            Idiom::SdElement => {
                let clock = if clock_received { " clock=\"received\"" } else { "" };
                format!("[retention@32473 class=\"{class}\" expires=\"{expires}\"{clock}]")
            }
            Idiom::JsonMember { only } => {
                let comma = if only { "" } else { "," };
                let clock = if clock_received { ",\"clock\":\"received\"" } else { "" };
                format!("{comma}\"retention\":{{\"class\":\"{class}\",\"expires\":\"{expires}\"{clock}}}")
            }
            Idiom::Suffix => {
                let clock = if clock_received { " clock=received" } else { "" };
                format!(" expires={expires} class={class}{clock}")
            }
        };
        let mut padded = text.into_bytes();
        let length = padded.len();
        padded.resize(length + Self::PADDING, 0);
        Self { padded, length }
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.padded[..self.length]
    }

    /// The text, followed by zeros.
    #[must_use]
    pub fn padded(&self) -> &[u8] {
        &self.padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names() {
        for (name, well_formed) in [
            ("connection", true),
            ("a", true),
            ("orders-2", true),
            ("", false),
            ("2orders", false),
            ("-orders", false),
            ("Orders", false),
            ("or ders", false),
            ("or\"ders", false),
            ("or_ders", false),
            ("\u{e9}tat", false),
        ] {
            assert_eq!(ClassName::new(name).is_some(), well_formed, "{name:?}");
        }
        assert!(ClassName::new(&"a".repeat(64)).is_some());
        assert!(ClassName::new(&"a".repeat(65)).is_none());
    }

    #[test]
    fn no_tag_is_longer() {
        let class = ClassName::new(&"a".repeat(64)).unwrap();
        let day = Expires::On("2027-11-24".parse().unwrap());
        for idiom in [Idiom::SdElement, Idiom::JsonMember { only: false }, Idiom::Suffix] {
            let tag = RenderedTag::new(&class, day, true, idiom);
            assert!(tag.as_bytes().len() <= RenderedTag::MOST_BYTES);
        }
    }

    /// The bytes that the README shows, "Retention and tags".
    #[test]
    fn forms() {
        let class = ClassName::new("connection").unwrap();
        let day = Expires::On("2027-11-24".parse().unwrap());
        for (expires, clock_received, idiom, expected) in [
            (day, false, Idiom::SdElement, r#"[retention@32473 class="connection" expires="2027-11-24"]"#),
            (
                day,
                true,
                Idiom::SdElement,
                r#"[retention@32473 class="connection" expires="2027-11-24" clock="received"]"#,
            ),
            (
                day,
                false,
                Idiom::JsonMember { only: false },
                r#","retention":{"class":"connection","expires":"2027-11-24"}"#,
            ),
            (
                day,
                true,
                Idiom::JsonMember { only: true },
                r#""retention":{"class":"connection","expires":"2027-11-24","clock":"received"}"#,
            ),
            (day, false, Idiom::Suffix, " expires=2027-11-24 class=connection"),
            (day, true, Idiom::Suffix, " expires=2027-11-24 class=connection clock=received"),
            (Expires::Contract, false, Idiom::Suffix, " expires=contract class=connection"),
        ] {
            let tag = RenderedTag::new(&class, expires, clock_received, idiom);
            assert_eq!(tag.as_bytes(), expected.as_bytes());
        }
    }
}
