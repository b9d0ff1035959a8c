//! Epochs, and the keys that hold for one (NIST SP 800-57: an epoch is a cryptoperiod).

use super::hmac::{self, PaddedKey};
use super::token;
use crate::model::{Kind, Kinds};
use crate::primitives::crypto::{hkdf, hkdf_into};
use crate::primitives::secret::Secret;
use ::hmac::{Hmac, KeyInit, Mac};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long tokens hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EpochLength {
    /// One legal day.
    #[default]
    Day,
    /// One calendar month.
    Month,
    /// As long as the secret.
    Fixed,
}

impl EpochLength {
    /// The name on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Fixed => "fixed",
        }
    }
}

/// An epoch by its first legal day; `Fixed` has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Epoch {
    /// No end.
    Fixed,
    /// Starts on that day.
    From(Date),
}

/// Day 0 of the days in a kid.
const KID_ORIGIN: Date = date(2020, 1, 1);

impl Epoch {
    /// The epoch of `length` that holds at `instant`, by the legal day in `zone`.
    #[must_use]
    pub fn at(instant: Timestamp, length: EpochLength, zone: &TimeZone) -> Self {
        let day = instant.to_zoned(zone.clone()).date();
        match length {
            EpochLength::Day => Self::From(day),
            EpochLength::Month => Self::From(day.first_of_month()),
            EpochLength::Fixed => Self::Fixed,
        }
    }

    /// The epoch after this one; a fixed one has none, nor has the end of the calendar.
    #[must_use]
    pub fn next(self, length: EpochLength) -> Option<Self> {
        let Self::From(first) = self else { return None };
        let next = match length {
            EpochLength::Day => first.checked_add(1.day()),
            EpochLength::Month => first.checked_add(1.month()),
            EpochLength::Fixed => return None,
        };
        next.ok().map(Self::From)
    }

    /// The first instant that is no longer in the epoch; `None` if it never ends.
    #[must_use]
    pub fn end(self, length: EpochLength, zone: &TimeZone) -> Option<Timestamp> {
        let Self::From(next) = self.next(length)? else { return None };
        next.to_zoned(zone.clone()).ok().map(|start| start.timestamp())
    }

    /// Days since 2020-01-01 of the first day, 15 bits; 0 if fixed.
    #[must_use]
    pub fn kid_day(self) -> u16 {
        match self {
            Self::Fixed => 0,
            Self::From(day) => {
                let days = (day - KID_ORIGIN).get_days();
                u16::try_from(days.clamp(0, 0x7fff)).unwrap_or(0)
            }
        }
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::From(day) => write!(f, "{day}"),
        }
    }
}

/// The five characters that name an epoch and its secret: days since 2020-01-01 of its first day (15
/// bits), then the first 10 bits of `HKDF(S, "oubliette/1/kid", 2)`.
#[must_use]
pub fn kid(secret: &Secret, epoch: Epoch) -> [u8; token::KID_BYTES] {
    let mut fingerprint = [0; 2];
    hkdf_into(secret, b"oubliette/1/kid", &mut fingerprint);
    token::encode_kid(epoch.kid_day(), u16::from_be_bytes(fingerprint) >> 6)
}

/// The keys of one epoch: per kind the HMAC states after its key, and the kid.
#[derive(Clone)]
pub struct EpochKeys {
    kid: [u8; token::KID_BYTES],
    secret: Secret,
    until: Option<Timestamp>,
    /// For inputs of any length.
    states: Vec<Hmac<Sha256>>,
    /// For short ones, several at a time.
    padded: Vec<PaddedKey>,
    /// Vaults that were begun under these keys, in this process.
    vaults: Arc<AtomicU64>,
}

impl EpochKeys {
    /// Derives the keys of all `kinds` for `tenant` from the epoch secret S:
    /// `K = HKDF-SHA256(S, "oubliette/1/token/<tenant>/<kind>", 32)`.
    #[must_use]
    pub fn derive(secret: &Secret, epoch: Epoch, tenant: &str, kinds: &Kinds) -> Self {
        let keys = kinds.iter().map(|(_, kind)| {
            let key = hkdf(secret, format!("oubliette/1/token/{tenant}/{kind}").as_bytes());
            // RFC 2104, 2 allows keys of any length, and so does the crate.
            let state = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
            (state, PaddedKey::new(&key))
        });
        let (states, padded) = keys.unzip();
        let vaults = Arc::default();
        Self { kid: kid(secret, epoch), secret: secret.clone(), until: None, states, padded, vaults }
    }

    /// The five characters that name the epoch and its secret in a token.
    #[must_use]
    pub fn kid(&self) -> [u8; token::KID_BYTES] {
        self.kid
    }

    /// The same keys, known to hold before that instant only.
    #[must_use]
    pub fn lasting_until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// The first instant at which they hold no more, if that is known.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Says that a vault is being begun. How many there are then, this one included.
    #[must_use]
    pub fn begin_vault(&self) -> u64 {
        self.vaults.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many vaults were begun so far. While that does not change, every token that went to one that is open is
    /// still in it.
    #[must_use]
    pub fn vaults_begun(&self) -> u64 {
        self.vaults.load(Ordering::Relaxed)
    }

    /// The epoch secret S, from which a vault's key is made.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// `HMAC-SHA256(K, canonical)[0..16]` (RFC 2104, truncated to half as its section 5 allows).
    #[must_use]
    pub fn tag(&self, kind: Kind, canonical: &[u8]) -> [u8; 16] {
        let mut hasher = self.hasher(kind);
        hasher.update(canonical);
        hasher.finish()
    }

    /// [`Self::tag`] of several short inputs, side by side.
    #[inline]
    pub(super) fn tags<const N: usize>(&self, inputs: [(Kind, hmac::Block); N]) -> [[u8; 16]; N] {
        hmac::tags(inputs.map(|(kind, block)| (&self.padded[usize::from(kind.0)], block)))
    }

    /// The same for an input that comes in pieces.
    #[must_use]
    pub fn hasher(&self, kind: Kind) -> TagHasher {
        TagHasher(self.states[usize::from(kind.0)].clone())
    }
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EpochKeys({} kinds, redacted)", self.states.len())
    }
}

/// A tag in the making.
pub struct TagHasher(Hmac<Sha256>);

impl TagHasher {
    /// Takes the next piece of the canonical bytes.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The tag.
    #[must_use]
    pub fn finish(self) -> [u8; 16] {
        let full: [u8; 32] = self.0.finalize().into_bytes().into();
        let mut tag = [0; 16];
        tag.copy_from_slice(&full[..16]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new(std::array::from_fn(|index| u8::try_from(index).unwrap()))
    }

    fn keys(tenant: &str) -> EpochKeys {
        EpochKeys::derive(&secret(), Epoch::From(date(2026, 11, 23)), tenant, &Kinds::default())
    }

    fn v6(first: &str) -> Vec<u8> {
        [&[6][..], &first.parse::<std::net::Ipv6Addr>().unwrap().octets()].concat()
    }

    /// The vectors of the token contract, computed by two independent programs.
    #[test]
    fn vectors() {
        let v4 = vec![4, 0xcb, 0x00, 0x71, 0x07];
        let network = v6("2001:db8::1")[..9].to_vec();
        let mail = b"jean.dupont@xn--exmple-cua.fr".to_vec();
        for (tenant, kind, canonical, expected) in [
            ("default", Kind::IP, &v4, "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr"),
            ("default", Kind::IP, &v6("2001:db8::1"), "ip_2epqf5eyaatrmxr379r56x075ngr4f4"),
            ("default", Kind::NET, &network, "net_2epqfemdqws8pg3z4saazr913eb8arw"),
            ("default", Kind::EM, &mail, "em_2epqfps049vxty9y8jbv82397yeke8r"),
            ("acme", Kind::IP, &v4, "ip_2epqf4wzrj7jw644sfsp22vb8f6jd68"),
        ] {
            let keys = keys(tenant);
            let mut out = Vec::new();
            token::write(Kinds::default().name(kind), &keys.kid(), &keys.tag(kind, canonical), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn vectors_in_address_shape() {
        let keys = keys("default");
        for (canonical, expected) in [
            (vec![4, 0xcb, 0x00, 0x71, 0x07], "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d"),
            (v6("2001:db8::1"), "fd2b:bca5:6b14:ee06:74e0:a6e8:e5a:c304"),
        ] {
            let mut out = Vec::new();
            token::write_address(&keys.tag(Kind::IP, &canonical), b"", false, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        let mut out = Vec::new();
        token::write_mailbox(&keys.tag(Kind::EM, b"jean.dupont@xn--exmple-cua.fr"), b"", &mut out);
        assert_eq!(out, b"ps049vxty9y8jbv82397yeke8r@pseudonym.invalid");
    }

    #[test]
    fn epochs_follow_the_legal_day() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let at = |text: &str, length| Epoch::at(text.parse().unwrap(), length, &paris);
        let late = "2026-11-23T23:30:00Z";
        assert_eq!(at(late, EpochLength::Day), Epoch::From(date(2026, 11, 24)));
        assert_eq!(at(late, EpochLength::Month), Epoch::From(date(2026, 11, 1)));
        assert_eq!(at(late, EpochLength::Fixed), Epoch::Fixed);
        let end = at(late, EpochLength::Day).end(EpochLength::Day, &paris);
        assert_eq!(end, Some("2026-11-24T23:00:00Z".parse().unwrap()));
        let end = at(late, EpochLength::Month).end(EpochLength::Month, &paris);
        assert_eq!(end, Some("2026-11-30T23:00:00Z".parse().unwrap()));
        assert_eq!(Epoch::Fixed.end(EpochLength::Fixed, &paris), None);
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let keys = keys("default");
        let mut hasher = keys.hasher(Kind::QR);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), keys.tag(Kind::QR, b"abc"));
    }
}
