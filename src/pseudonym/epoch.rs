//! Epochs and their keys. An epoch is a cryptoperiod in the sense of NIST SP 800-57.

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

/// The length of an epoch, for which tokens stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EpochLength {
    /// One legal day.
    #[default]
    Day,
    /// One calendar month.
    Month,
    /// As long as the secret exists.
    Fixed,
}

impl EpochLength {
    /// The name on the command line and in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Fixed => "fixed",
        }
    }
}

/// An epoch, identified by its first legal day unless it is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Epoch {
    /// Never ends.
    Fixed,
    /// Starts on this legal day.
    From(Date),
}

/// Day 0 of the day number in a kid.
const KID_ORIGIN: Date = date(2020, 1, 1);

impl Epoch {
    /// The epoch of `length` that contains `instant`, by the legal day in `zone`.
    #[must_use]
    pub fn at(instant: Timestamp, length: EpochLength, zone: &TimeZone) -> Self {
        let day = instant.to_zoned(zone.clone()).date();
        match length {
            EpochLength::Day => Self::From(day),
            EpochLength::Month => Self::From(day.first_of_month()),
            EpochLength::Fixed => Self::Fixed,
        }
    }

    /// The epoch after this one; `None` for a fixed epoch and at the end of the calendar.
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

    /// The first instant after the epoch; `None` if it never ends.
    #[must_use]
    pub fn end(self, length: EpochLength, zone: &TimeZone) -> Option<Timestamp> {
        let Self::From(next) = self.next(length)? else { return None };
        next.to_zoned(zone.clone()).ok().map(|start| start.timestamp())
    }

    /// The first day of the epoch in days since 2020-01-01, in 15 bits; 0 for a fixed epoch.
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

/// The five characters that identify an epoch and its secret: its first day in days since 2020-01-01
/// (15 bits), then the first 10 bits of `HKDF(S, "oubliette/1/kid", 2)`.
#[must_use]
pub fn kid(secret: &Secret, epoch: Epoch) -> [u8; token::KID_BYTES] {
    let mut fingerprint = [0; 2];
    hkdf_into(secret, b"oubliette/1/kid", &mut fingerprint);
    token::encode_kid(epoch.kid_day(), u16::from_be_bytes(fingerprint) >> 6)
}

/// The keys of one epoch: the keyed HMAC states of each kind, and the kid.
#[derive(Clone)]
pub struct EpochKeys {
    kid: [u8; token::KID_BYTES],
    secret: Secret,
    until: Option<Timestamp>,
    /// HMAC states for inputs of any length, by kind.
    states: Vec<Hmac<Sha256>>,
    /// Padded keys for short inputs, several at a time, by kind.
    padded: Vec<PaddedKey>,
    /// The number of vaults begun under these keys in this process.
    vaults: Arc<AtomicU64>,
}

impl EpochKeys {
    /// Derives the keys of all `kinds` for `tenant` from the epoch secret S:
    /// `K = HKDF-SHA256(S, "oubliette/1/token/<tenant>/<kind>", 32)`.
    #[must_use]
    pub fn derive(secret: &Secret, epoch: Epoch, tenant: &str, kinds: &Kinds) -> Self {
        let keys = kinds.iter().map(|(_, kind)| {
            let key = hkdf(secret, format!("oubliette/1/token/{tenant}/{kind}").as_bytes());
            // RFC 2104, section 2, allows keys of any length, and so does the crate.
            let state = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
            (state, PaddedKey::new(&key))
        });
        let (states, padded) = keys.unzip();
        let vaults = Arc::default();
        Self { kid: kid(secret, epoch), secret: secret.clone(), until: None, states, padded, vaults }
    }

    /// The five characters that identify the epoch and its secret in a token.
    #[must_use]
    pub fn kid(&self) -> [u8; token::KID_BYTES] {
        self.kid
    }

    /// Sets the end of the epoch, before which these keys are valid.
    #[must_use]
    pub fn lasting_until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// The first instant at which the keys are no longer valid, if it is known.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Counts a vault that is being begun. Returns the number of vaults, including this one.
    #[must_use]
    pub fn begin_vault(&self) -> u64 {
        self.vaults.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of vaults begun so far. While it does not change, every token that was sent to an open vault is
    /// still in it.
    #[must_use]
    pub fn vaults_begun(&self) -> u64 {
        self.vaults.load(Ordering::Relaxed)
    }

    /// The epoch secret S, from which the keys of vaults are derived.
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

    /// [`Self::tag`] of several short inputs at a time.
    #[inline]
    pub(super) fn tags<const N: usize>(&self, inputs: [(Kind, hmac::Block); N]) -> [[u8; 16]; N] {
        hmac::tags(inputs.map(|(kind, block)| (&self.padded[usize::from(kind.0)], block)))
    }

    /// A hasher for [`Self::tag`] of an input that comes in pieces.
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

/// Computes a tag from pieces.
pub struct TagHasher(Hmac<Sha256>);

impl TagHasher {
    /// Adds the next piece of the canonical bytes.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the tag.
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
