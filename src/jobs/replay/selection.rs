//! Which lines are asked for.
//!
//! A line fits if it is of the period and fits every kind of condition that is given; of several values of one
//! kind one is enough. Identifiers and tokens are one kind together: the lines of a person are those of
//! any of her addresses.

use super::BAD_QUESTION;
use super::spelling::{self, TagKey};
use super::tenancy::Sought;
use crate::detect::canonical;
use crate::model::{ClassName, Kind, Pattern, Record, Span};
use crate::primitives::diag::Diagnostic;
use regex::bytes::RegexSet;
use std::fmt;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// An identifier in clear, as somebody typed it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier {
    /// Its kind.
    pub kind: Kind,
    /// What is HMACed.
    pub canonical: Zeroizing<Vec<u8>>,
}

/// Tells the length only.
impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier([{} bytes redacted])", self.canonical.len())
    }
}

impl Identifier {
    /// Reads `text` as an identifier of `kind`: an address or e-mail address in any notation that detection
    /// knows, an IPv4 /24 or IPv6 /64, or any text for other kinds. `None` if it is none.
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

    /// Canonical bytes of the network that an address is in: the /24 of IPv4, the /64 of IPv6.
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

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Events of these Unix seconds, both ends included.
    pub seconds: RangeInclusive<i64>,
    /// Of one of these classes, if there are any.
    pub classes: Vec<ClassName>,
    /// Of one of these identifiers or tokens, if there are any.
    pub identifiers: Vec<Identifier>,
    /// Tokens that were named.
    pub tokens: Vec<TagKey>,
    /// Lines in which one of these is found, if there are any.
    pub texts: RegexSet,
    /// Of one of these hosts, if there are any.
    pub hosts: Vec<Pattern>,
    /// Of one of these programs, if there are any.
    pub programs: Vec<Pattern>,
}

impl Default for Selection {
    /// Every line.
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
    /// Whether an event that was between these seconds may be of the period.
    #[must_use]
    pub fn may_take(&self, (first, last): (i64, i64)) -> bool {
        first <= *self.seconds.end() && last >= *self.seconds.start()
    }

    /// Whether it surely is.
    #[must_use]
    pub fn surely_takes(&self, (first, last): (i64, i64)) -> bool {
        self.seconds.contains(&first) && self.seconds.contains(&last)
    }

    /// Adds identifiers of `kind`, which were typed as values of `option`.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] with the number of the value that is none.
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
    /// [`BAD_QUESTION`] with the number of the value that is none.
    pub fn add_tokens(&mut self, option: &str, typed: &[String]) -> Result<(), Diagnostic> {
        for (index, text) in typed.iter().enumerate() {
            self.tokens.push(spelling::only(text).ok_or_else(|| bad(option, index, "a token"))?);
        }
        Ok(())
    }

    /// Sets the texts, regular expressions.
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

    /// Whether lines of certain people are asked for.
    #[must_use]
    pub fn names_somebody(&self) -> bool {
        !self.identifiers.is_empty() || !self.tokens.is_empty()
    }

    /// How lines are looked for.
    #[must_use]
    pub fn sought(&self) -> Sought {
        let by_identifiers = !self.identifiers.is_empty() && self.tokens.is_empty();
        if by_identifiers { Sought::ByIdentifiers } else { Sought::Otherwise }
    }

    /// Whether lines of this class are asked for.
    #[must_use]
    pub fn takes_class(&self, class: &ClassName) -> bool {
        self.classes.is_empty() || self.classes.contains(class)
    }

    /// Whether one of the texts is in the line.
    #[must_use]
    pub fn takes_text(&self, line: &[u8]) -> bool {
        self.texts.is_empty() || self.texts.is_match(line)
    }

    /// Whether host and program of the line are among those asked for.
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
