//! `token`: computes the token of one value in one epoch.

use super::custody::RecordedKeyring;
use crate::detect::canonical;
use crate::keyring::{self, KeyError, SecretSource};
use crate::ledger::Ledger;
use crate::model::{Kind, Kinds};
use crate::primitives::clock::Clock;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::secret::Secret;
use crate::pseudonym::TokenShape;
use crate::pseudonym::epoch::{Epoch, EpochKeys};
use crate::pseudonym::token;
use ipnet::IpNet;
use std::path::PathBuf;

/// The value and the token wanted.
#[derive(Debug)]
pub struct Question {
    /// The identifier, in any notation.
    pub value: String,
    /// The kind of the identifier, if it is neither an IP address nor an e-mail address.
    pub kind: Option<String>,
    /// The tenant of the token.
    pub tenant: String,
    /// The shape of the token.
    pub shape: TokenShape,
    /// The epoch; `None` for the running one.
    pub epoch: Option<Epoch>,
    /// The identity that opens the wrapped secret of a past epoch.
    pub identity: Option<PathBuf>,
}

/// Returns the tokens of the value: one, or several if the secret was rotated within the epoch.
///
/// If this begins an epoch, `ledger` records it, if there is one. It ends none.
///
/// # Errors
/// If the value is not an identifier, or a secret is not available.
pub fn run(
    question: &Question,
    settings: keyring::Settings,
    ledger: Option<Ledger>,
    clock: Clock,
) -> Result<Vec<String>, Diagnostic> {
    let mut kinds = Kinds::default();
    let (kind, canonical) = canonical_bytes(question, &mut kinds)?;
    let secrets = secrets(question, settings, ledger, clock)?;
    let token_of = |(epoch, secret): &(Epoch, Secret)| {
        let keys = EpochKeys::derive(secret, *epoch, &question.tenant, &kinds);
        let tag = keys.tag(kind, &canonical);
        let mut text = Vec::new();
        match (question.shape, kind) {
            (TokenShape::Address, Kind::IP) => token::write_address(&tag, b"", false, &mut text),
            (TokenShape::Address, Kind::EM) => token::write_mailbox(&tag, b"", &mut text),
            _ => token::write(kinds.name(kind), &keys.kid(), &tag, &mut text),
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    Ok(secrets.iter().map(token_of).collect())
}

fn canonical_bytes(question: &Question, kinds: &mut Kinds) -> Result<(Kind, Vec<u8>), Diagnostic> {
    let unknown = || no_identifier(&question.value, question.kind.as_deref());
    match question.kind.as_deref() {
        None => {
            canonical::typed(&question.value).map(|typed| (typed.kind, typed.canonical)).ok_or_else(unknown)
        }
        Some(name @ ("ip" | "net" | "em")) => canonical::typed(&question.value)
            .filter(|typed| kinds.find(name) == Some(typed.kind))
            .map(|typed| (typed.kind, typed.canonical))
            .ok_or_else(unknown),
        Some(name) => {
            let kind = kinds.intern(name).ok_or_else(unknown)?;
            Ok((kind, question.value.to_ascii_lowercase().into_bytes()))
        }
    }
}

/// Returns why a value has no token of that kind. The message does not repeat the value.
fn no_identifier(value: &str, kind: Option<&str>) -> Diagnostic {
    let refusal = |what: &str| Diagnostic::new(&NO_IDENTIFIER, what);
    if let (None | Some("net"), Ok(network)) = (kind, value.parse::<IpNet>()) {
        return refusal("the network is neither an IPv4 /24 nor an IPv6 /64")
            .because(format!("its prefix is /{}, and only those two have tokens", network.prefix_len()))
            .hint("ask for the /24 or /64 of an address in it, or for the address itself");
    }
    let kind_of = |value: &str| canonical::typed(value).map(|typed| typed.kind);
    let bare = value.trim_matches(|around: char| around.is_whitespace() || AROUND.contains(around));
    if bare != value
        && kind_of(bare).is_some_and(|bare| kind.is_none_or(|kind| Kinds::default().find(kind) == Some(bare)))
    {
        return refusal("something stands before or behind the identifier")
            .because("a dot, comma, quote, bracket or blank at either end is no part of it")
            .hint("leave that out, and give the bare address");
    }
    let hint = match kind_of(value) {
        Some(_) => "leave `--kind` out: the value tells its kind by itself",
        None => "`oubliette explain K14` says what can be given",
    };
    match kind {
        Some("ip") => refusal("the value is no IP address").hint(hint),
        Some("em") => refusal("the value is no e-mail address").hint(hint),
        Some("net") => refusal("the value is no network")
            .because("a network is written with its prefix: an IPv4 /24 or an IPv6 /64")
            .hint("write it as 203.0.113.0/24 or 2001:db8::/64"),
        _ => refusal("the value is neither an IP address, a network, nor an e-mail address")
            .hint("name its kind: `oubliette token --kind usr VALUE`"),
    }
}

/// Characters that sentences and other notations put around an identifier.
const AROUND: &str = ".,;:<>()[]{}'\"`";

fn secrets(
    question: &Question,
    settings: keyring::Settings,
    ledger: Option<Ledger>,
    clock: Clock,
) -> Result<Vec<(Epoch, Secret)>, Diagnostic> {
    let now = clock.now();
    let running = Epoch::at(now, settings.length, &settings.zone);
    let directory = settings.directory.clone();
    let key_file = matches!(settings.source, SecretSource::KeyFile(_));
    if let Some(epoch @ Epoch::From(day)) = question.epoch
        && !key_file
        && day > settings.zone.to_datetime(now).date()
        && !keyring::is_wrapped(&directory, epoch)
    {
        return Err(KeyError::NotBegun { epoch: epoch.to_string() }.into());
    }
    match (question.epoch, &question.identity) {
        (Some(epoch), Some(identity)) if !key_file => {
            let secrets = keyring::unwrap(&directory, epoch, identity)?;
            Ok(secrets.into_iter().map(|secret| (epoch, secret)).collect())
        }
        (asked, _) => {
            let mut keyring = RecordedKeyring::open(settings)?.told_to(ledger);
            let current = keyring.asked(now)?;
            let epoch = asked.unwrap_or_else(|| current.as_ref().map_or(running, |current| current.epoch));
            match current {
                // A key file applies to the epoch that its owner names.
                Some(current) if key_file || epoch == current.epoch => Ok(vec![(epoch, current.secret)]),
                _ if keyring::is_wrapped(&directory, epoch) => {
                    Err(KeyError::NoIdentity { epoch: epoch.to_string() }.into())
                }
                None if asked.is_none() => Err(match keyring.in_place_at(now)? {
                    Some((kept, length)) => KeyError::OtherEpoch {
                        epoch: epoch.to_string(),
                        kept: kept.to_string(),
                        length: length.name(),
                    },
                    None if clock.is_running() || now > Clock::System.now() => {
                        KeyError::NotBegun { epoch: epoch.to_string() }
                    }
                    None => KeyError::NoWrap { epoch: epoch.to_string(), path: directory.join("wraps") },
                }
                .into()),
                _ => Err(KeyError::NoWrap { epoch: epoch.to_string(), path: directory.join("wraps") }.into()),
            }
        }
    }
}

/// K14: a value that is not an identifier.
pub static NO_IDENTIFIER: Code = Code {
    id: "K14",
    title: "the value is no identifier",
    text: "\
What it means
  `oubliette token` got a text that oubliette would not replace in a log line.

Why it matters
  A token of the wrong kind occurs in no log, so a search for it would find nothing.

Example
  oubliette token alice

What to do
  Give an IP address, a network (IPv4 /24 or IPv6 /64) or an e-mail address, with nothing around it.
  Only an address may have brackets, a zone and a port: `[2001:db8::1]:443`, `fe80::1%eth0`.
  Or say which kind of identifier it is: `oubliette token --kind usr alice`

References
  docs/detection.md",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::scene::keys;
    use crate::pseudonym::epoch::EpochLength;
    use jiff::tz::TimeZone;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn what_is_no_identifier_is_told_apart_and_not_repeated() {
        for (value, kind, says) in [
            ("203.0.113.0/20", None, "its prefix is /20"),
            ("203.0.112.0/20", Some("net"), "neither an IPv4 /24"),
            ("2001:db8::/48", None, "its prefix is /48"),
            ("203.0.113.7", Some("net"), "203.0.113.0/24 or 2001:db8::/64"),
            ("jean@example.org.", None, "before or behind"),
            ("<jean@example.org>", Some("em"), "before or behind"),
            ("203.0.113.7.", None, "before or behind"),
            ("203.0.113.7", Some("em"), "no e-mail address; hint: leave `--kind` out"),
            ("jean@example.org", Some("ip"), "no IP address; hint: leave `--kind` out"),
            ("203.0.113.777", Some("ip"), "no IP address; hint: `oubliette explain K14`"),
            ("jean@example.org.", Some("ip"), "no IP address"),
            ("alice", None, "--kind usr"),
        ] {
            let told = no_identifier(value, kind).to_string();
            assert!(told.contains(says) && !told.contains(&format!(" {value}")), "{value}: {told}");
        }
    }

    /// As a log has them: what is around the address stays in the line beside the same token.
    #[test]
    fn an_address_may_have_brackets_a_zone_and_a_port() {
        let canonical = |value: &str| canonical::typed(value).map(|typed| (typed.kind, typed.canonical));
        for (bare, values) in [
            ("203.0.113.7", &["203.0.113.7:443", "203.0.113.7#53", "::ffff:203.0.113.7%eth0"][..]),
            ("2001:db8::1", &["[2001:db8::1]:443", "2001:db8::1.443", "2001:db8::1%2"]),
            ("fe80::1", &["fe80::1%eth0", "[fe80::1%eth0]:443", "fe80::1%25eth0", "[fe80::1%en-0]"]),
            ("2001:db8:1::ab9:c0a8:102", &["2001:db8:1::ab9:C0A8:102:46824"]),
        ] {
            for value in values {
                assert_eq!(canonical(value), canonical(bare), "{value}");
            }
        }
        for value in [
            "[2001:db8::1:443",
            "2001:db8::1]:443",
            "203.0.113.7:",
            "203.0.113.7:99999",
            "203.0.113.7:+53",
            "203.0.113.7:443 ",
            "203.0.113.7:443:443",
            "from 203.0.113.7",
            "203.0.113.7 203.0.113.8",
            "203.0.113.7/32",
        ] {
            assert_eq!(canonical(value), None, "{value}");
        }
    }

    #[test]
    fn an_epoch_to_come_is_told_from_one_that_was_never_escrowed() {
        let directory = tempfile::tempdir().unwrap();
        let settings = keys(directory.path());
        let identity = directory.path().join("identity");
        let text = age::x25519::Identity::generate().to_string();
        std::fs::write(&identity, age::secrecy::ExposeSecret::expose_secret(&text)).unwrap();
        for (day, identity, says) in [
            (24, None, "has not begun"),
            (24, Some(identity.clone()), "has not begun"),
            (22, None, "no wrapped secret"),
            (22, Some(identity), "no wrapped secret"),
        ] {
            let question = Question {
                value: "203.0.113.7".to_owned(),
                kind: None,
                tenant: "default".to_owned(),
                shape: TokenShape::Native,
                epoch: Some(Epoch::From(jiff::civil::date(2026, 11, day))),
                identity,
            };
            let clock = Clock::Fixed("2026-11-23T12:00:00Z".parse().unwrap());
            let refused = run(&question, settings.clone(), None, clock).unwrap_err().to_string();
            assert!(refused.contains("K11") && refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_question_ends_no_secret_and_names_the_length_of_the_one_that_is_there() {
        let question = Question {
            value: "203.0.113.7".to_owned(),
            kind: None,
            tenant: "default".to_owned(),
            shape: TokenShape::Native,
            epoch: None,
            identity: None,
        };
        let (now, days) = (Clock::System.now(), |days: i64| jiff::SignedDuration::from_hours(24 * days));
        for (length, made) in [
            (EpochLength::Fixed, now),
            (EpochLength::Month, now),
            (EpochLength::Day, now - days(2)),
            (EpochLength::Day, now + days(2)),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let settings = |length| keyring::Settings { length, ..keys(directory.path()) };
            let secret = RecordedKeyring::open(settings(length)).unwrap().current(made).unwrap();
            match run(&question, settings(EpochLength::Day), None, Clock::System) {
                // Only on the first day of a month do a day and a month have the same name.
                Ok(_) => assert_eq!(length, EpochLength::Month),
                Err(refused) => {
                    let refused = refused.to_string();
                    let named = refused.contains(&format!("`--epoch {}`", length.name()));
                    assert!(refused.contains("K11"), "{refused}");
                    assert!(named || length == EpochLength::Day, "{refused}");
                }
            }
            let left = keyring::Keyring::open(settings(length)).unwrap().running(made).unwrap();
            assert_eq!(left.unwrap().secret.expose(), secret.secret.expose(), "{length:?}");
            let records = keyring::Keyring::open(settings(length)).unwrap().history().unwrap();
            assert_eq!(records.len(), 1, "{records:?}");
        }
    }

    #[test]
    fn a_question_advances_no_seed() {
        let directory = tempfile::tempdir().unwrap();
        let now = Clock::System.now();
        let day = TimeZone::UTC.to_datetime(now - jiff::SignedDuration::from_hours(72)).date();
        let seed = keyring::Chain::generate(Epoch::From(day), EpochLength::Day).unwrap();
        seed.import(&keyring::StateDir::open(directory.path()).unwrap()).unwrap();
        let settings = keys(directory.path());
        let chain = || std::fs::read(directory.path().join("keys/chain")).unwrap();
        let before = chain();
        RecordedKeyring::open(settings).unwrap().asked(now).unwrap().unwrap();
        assert!(before == chain());
    }

    /// The published vectors, by means of a key file.
    #[test]
    fn vectors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let bytes: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let settings = keyring::Settings {
            source: SecretSource::KeyFile(keyring::KeyFile::Own(path)),
            ..keys(directory.path())
        };
        for (value, kind, tenant, shape, expected) in [
            ("203.0.113.7", None, "default", TokenShape::Native, "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr"),
            ("::ffff:203.0.113.7", None, "default", TokenShape::Native, "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr"),
            ("7.113.0.203.in-addr.arpa", None, "default", TokenShape::Native, ""),
            (
                "2001:DB8:0:0:0:0:0:1",
                None,
                "default",
                TokenShape::Native,
                "ip_2epqf5eyaatrmxr379r56x075ngr4f4",
            ),
            ("2001:db8::1/64", None, "default", TokenShape::Native, "net_2epqfemdqws8pg3z4saazr913eb8arw"),
            (
                "Jean.Dupont@EX\u{c4}MPLE.fr",
                None,
                "default",
                TokenShape::Native,
                "em_2epqfps049vxty9y8jbv82397yeke8r",
            ),
            ("203.0.113.7", None, "acme", TokenShape::Native, "ip_2epqf4wzrj7jw644sfsp22vb8f6jd68"),
            (
                "203.0.113.7",
                Some("ip"),
                "default",
                TokenShape::Address,
                "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d",
            ),
            ("alice", None, "default", TokenShape::Native, ""),
        ] {
            let question = Question {
                value: value.to_owned(),
                kind: kind.map(str::to_owned),
                tenant: tenant.to_owned(),
                shape,
                epoch: Some(Epoch::From(jiff::civil::date(2026, 11, 23))),
                identity: None,
            };
            let tokens = run(&question, settings.clone(), None, Clock::Fixed(jiff::Timestamp::UNIX_EPOCH));
            match tokens {
                Ok(tokens) => assert_eq!(tokens, [expected], "{value}"),
                Err(error) => assert_eq!((error.code.id, expected), ("K14", ""), "{value}"),
            }
        }
    }
}
