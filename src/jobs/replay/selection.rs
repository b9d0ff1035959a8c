//! Selects lines.
//!
//! A line matches if it is of the period and meets every kind of condition given; of several values of one
//! kind, one is enough. Identifiers and tokens are one kind together: the lines of a person are those of any
//! of her addresses.

use super::BAD_QUESTION;
use super::spelling::{self, TagKey};
use super::tenancy::Sought;
use crate::detect::canonical;
use crate::model::{ClassName, Kind, Pattern, Record, Span};
use crate::primitives::diag::Diagnostic;
use ipnet::IpNet;
use regex::bytes::RegexSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// An identifier in clear, as typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier {
    /// The kind of the identifier.
    pub kind: Kind,
    /// The canonical bytes, which are the input of the HMAC.
    pub canonical: Zeroizing<Vec<u8>>,
}

/// Shows only the length.
impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier([{} bytes redacted])", self.canonical.len())
    }
}

impl Identifier {
    /// Parses `text` as an identifier of `kind`: an address or e-mail address in any notation that detection
    /// knows, an IPv4 /24 or IPv6 /64, or any text for other kinds. Returns `None` if it is not one.
    #[must_use]
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let canonical = match kind {
            Kind::IP | Kind::NET | Kind::EM => {
                canonical::typed(text).filter(|typed| typed.kind == kind)?.canonical
            }
            _ if text.is_empty() => return None,
            _ => text.to_ascii_lowercase().into_bytes(),
        };
        Some(Self { kind, canonical: Zeroizing::new(canonical) })
    }

    /// Returns the network that this is, or the one that has only this address; `None` for other kinds.
    #[must_use]
    pub fn covered(&self) -> Option<IpNet> {
        let (&version, bytes) = self.canonical.split_first()?;
        let prefix = u8::try_from(bytes.len() * 8).ok()?;
        let address: IpAddr = match (self.kind, version) {
            (Kind::IP | Kind::NET, 4) => padded::<4>(bytes).into(),
            (Kind::IP | Kind::NET, 6) => padded::<16>(bytes).into(),
            _ => return None,
        };
        IpNet::new(address, prefix).ok()
    }

    /// Returns the canonical bytes of the network of an address: its IPv4 /24 or IPv6 /64.
    #[must_use]
    pub fn network(&self) -> Option<Zeroizing<Vec<u8>>> {
        let network = match (self.kind, &self.canonical[..]) {
            (Kind::IP, [4, a, b, c, _]) => vec![4, *a, *b, *c],
            (Kind::IP, address @ [6, ..]) => address.get(..9)?.to_vec(),
            _ => return None,
        };
        Some(Zeroizing::new(network))
    }
}

/// Returns the bytes of an address that begins with `bytes`.
fn padded<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))
}

/// The conditions that a line must meet.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The period in Unix seconds, both ends included.
    pub seconds: RangeInclusive<i64>,
    /// Classes; empty for any.
    pub classes: Vec<ClassName>,
    /// Identifiers in clear. If both these and `tokens` are empty, anybody's lines match.
    pub identifiers: Vec<Identifier>,
    /// Tokens.
    pub tokens: Vec<TagKey>,
    /// Regular expressions that may match anywhere in the line; empty for any line.
    pub texts: RegexSet,
    /// Hosts; empty for any.
    pub hosts: Vec<Pattern>,
    /// Programs; empty for any.
    pub programs: Vec<Pattern>,
}

impl Default for Selection {
    /// Selects every line.
    fn default() -> Self {
        Self {
            seconds: i64::MIN..=i64::MAX,
            classes: Vec::new(),
            identifiers: Vec::new(),
            tokens: Vec::new(),
            texts: RegexSet::empty(),
            hosts: Vec::new(),
            programs: Vec::new(),
        }
    }
}

impl Selection {
    /// Returns whether an event between these two seconds may be of the period.
    #[must_use]
    pub fn may_take(&self, (first, last): (i64, i64)) -> bool {
        first <= *self.seconds.end() && last >= *self.seconds.start()
    }

    /// Returns whether an event between these two seconds is certainly of the period.
    #[must_use]
    pub fn surely_takes(&self, (first, last): (i64, i64)) -> bool {
        self.seconds.contains(&first) && self.seconds.contains(&last)
    }

    /// Adds identifiers of `kind`, typed as values of `option`.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] with the number of the value that is not an identifier of this kind.
    pub fn add_identifiers(&mut self, kind: Kind, option: &str, typed: &[String]) -> Result<(), Diagnostic> {
        for (index, text) in typed.iter().enumerate() {
            let wanted = match kind {
                Kind::IP => "an IPv4 or IPv6 address",
                Kind::NET => "an IPv4 /24 or an IPv6 /64, such as 203.0.113.0/24",
                Kind::EM => "an e-mail address",
                _ => "a name",
            };
            let identifier = Identifier::parse(kind, text);
            self.identifiers.push(identifier.ok_or_else(|| bad(option, index, wanted))?);
        }
        Ok(())
    }

    /// Adds tokens, native or in the shape of addresses.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] with the number of the value that is not a token.
    pub fn add_tokens(&mut self, option: &str, typed: &[String]) -> Result<(), Diagnostic> {
        for (index, text) in typed.iter().enumerate() {
            self.tokens.push(spelling::only(text).ok_or_else(|| bad(option, index, "a token"))?);
        }
        Ok(())
    }

    /// Sets the texts, which are regular expressions.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] if one does not compile.
    pub fn set_texts(&mut self, option: &str, typed: &[String]) -> Result<(), Diagnostic> {
        for (index, text) in typed.iter().enumerate() {
            regex::bytes::Regex::new(text).map_err(|_| bad(option, index, "a regular expression"))?;
        }
        self.texts = RegexSet::new(typed).map_err(|_| bad(option, 0, "a regular expression"))?;
        Ok(())
    }

    /// Returns whether the lines of particular people are selected.
    #[must_use]
    pub fn names_somebody(&self) -> bool {
        !self.identifiers.is_empty() || !self.tokens.is_empty()
    }

    /// Returns by what the lines are sought.
    #[must_use]
    pub fn sought(&self) -> Sought {
        let by_identifiers = !self.identifiers.is_empty() && self.tokens.is_empty();
        if by_identifiers { Sought::ByIdentifiers } else { Sought::Otherwise }
    }

    /// Returns whether lines of this class are selected.
    #[must_use]
    pub fn takes_class(&self, class: &ClassName) -> bool {
        self.classes.is_empty() || self.classes.contains(class)
    }

    /// Returns whether the line contains one of the texts.
    #[must_use]
    pub fn takes_text(&self, line: &[u8]) -> bool {
        self.texts.is_empty() || self.texts.is_match(line)
    }

    /// Returns whether host and program of the line are selected.
    #[must_use]
    pub fn takes_envelope(&self, line: &[u8], record: &Record) -> bool {
        let field = |span: Option<Span>| span.map(|span| span.of(line));
        let host =
            |pattern: &Pattern| field(record.host).is_some_and(|host| pattern.fits_ignoring_case(host));
        let program = |pattern: &Pattern| field(record.program).is_some_and(|program| pattern.fits(program));
        (self.hosts.is_empty() || self.hosts.iter().any(host))
            && (self.programs.is_empty() || self.programs.iter().any(program))
    }
}

fn bad(option: &str, index: usize, wanted: &str) -> Diagnostic {
    Diagnostic::new(&BAD_QUESTION, format!("value {} of `{option}` is not {wanted}", index + 1))
        .hint("`oubliette explain P10` says what each option takes; the value is not repeated here")
}
