//! `token`: the token of one value in one epoch.

use crate::detect::canonical;
use crate::keyring::{self, KeyError, Keyring, SecretSource};
use crate::model::{Kind, Kinds};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::secret::Secret;
use crate::pseudonym::TokenShape;
use crate::pseudonym::epoch::{Epoch, EpochKeys};
use crate::pseudonym::token;
use jiff::Timestamp;
use std::path::PathBuf;

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// The identifier, in any notation.
    pub value: String,
    /// Its kind, if it is neither an IP address nor an e-mail address.
    pub kind: Option<String>,
    /// Whose tokens.
    pub tenant: String,
    /// Shape of the token.
    pub shape: TokenShape,
    /// The epoch; the running one if not given.
    pub epoch: Option<Epoch>,
    /// The identity that opens the wrapped secret of a past epoch.
    pub identity: Option<PathBuf>,
}

/// The tokens of the value: one, or several if the secret was rotated within the epoch.
///
/// # Errors
/// A value that is no identifier; a secret that is not to be had.
pub fn run(
    question: &Question,
    settings: keyring::Settings,
    now: Timestamp,
) -> Result<Vec<String>, Diagnostic> {
    let mut kinds = Kinds::default();
    let (kind, canonical) = canonical_bytes(question, &mut kinds)?;
    let secrets = secrets(question, settings, now)?;
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
    let unknown = || {
        Diagnostic::new(
            &NO_IDENTIFIER,
            "the value is neither an IP address, a network, nor an e-mail address",
        )
        .hint("name its kind: `oubliette token --kind usr VALUE`")
    };
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

fn secrets(
    question: &Question,
    settings: keyring::Settings,
    now: Timestamp,
) -> Result<Vec<(Epoch, Secret)>, KeyError> {
    let directory = settings.directory.clone();
    let key_file = matches!(settings.source, SecretSource::KeyFile(_));
    match (question.epoch, &question.identity) {
        (Some(epoch), Some(identity)) if !key_file => {
            let secrets = keyring::unwrap(&directory, epoch, identity)?;
            Ok(secrets.into_iter().map(|secret| (epoch, secret)).collect())
        }
        (asked, _) => {
            let current = Keyring::open(settings)?.current(now)?;
            match asked {
                // A key file holds for the epoch that its owner says it is of.
                Some(epoch) if key_file || epoch == current.epoch => Ok(vec![(epoch, current.secret)]),
                Some(epoch) if keyring::is_wrapped(&directory, epoch) => {
                    Err(KeyError::NoIdentity { epoch: epoch.to_string() })
                }
                Some(epoch) => {
                    Err(KeyError::NoWrap { epoch: epoch.to_string(), path: directory.join("wraps") })
                }
                None => Ok(vec![(current.epoch, current.secret)]),
            }
        }
    }
}

/// The value is no identifier.
pub static NO_IDENTIFIER: Code = Code {
    id: "K14",
    title: "the value is no identifier",
    text: "What it means\n  oubliette token was given text that it would not replace in a log line.\n\nWhy it matters\n  The token of another kind would not be found in any log.\n\nExample\n  oubliette token alice\n\nWhat to do\n  Give an IP address, a network (/24 or /64), or an e-mail address; or say what it is:\n  oubliette token --kind usr alice\n\nReferences\n  README.md, \"What is found\"",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::epoch::EpochLength;
    use jiff::tz::TimeZone;
    use std::os::unix::fs::OpenOptionsExt;

    /// The published vectors, by way of a key file.
    #[test]
    fn vectors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let bytes: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let settings = keyring::Settings {
            directory: directory.path().to_owned(),
            source: SecretSource::KeyFile(keyring::KeyFile::Own(path)),
            length: EpochLength::Day,
            zone: TimeZone::UTC,
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
            let tokens = run(&question, settings.clone(), Timestamp::UNIX_EPOCH);
            match tokens {
                Ok(tokens) => assert_eq!(tokens, [expected], "{value}"),
                Err(error) => assert_eq!((error.code.id, expected), ("K14", ""), "{value}"),
            }
        }
    }
}
