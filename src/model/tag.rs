//! A retention tag: the only text, besides tokens, that is ever added to a line.

use jiff::civil::Date;
use std::fmt;

/// The name of a retention class: 1 to 64 of `a-z`, `0-9`, `-`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassName(String);

impl ClassName {
    /// `None` if the name is not well formed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let well_formed = name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        well_formed.then(|| Self(name.to_owned()))
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

/// The first legal day on which a line must no longer exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expires {
    /// On that day.
    On(Date),
    /// Not known yet: the class lasts as long as the contract. Written `contract`.
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

/// Form of a tag in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idiom {
    /// An RFC 5424 SD-ELEMENT.
    SdElement,
    /// A JSON member, with a comma in front unless the object was empty.
    JsonMember {
        /// Whether the object has no other member.
        only: bool,
    },
    /// ` expires=... class=...` before the line end.
    Suffix,
}

/// The bytes of a tag. Its only constructor takes validated parts, so nothing read from a line can
/// travel in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedTag(Vec<u8>);

impl RenderedTag {
    /// Puts a tag together.
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
        Self(text.into_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
