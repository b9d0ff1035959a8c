//! Escrow: every epoch secret is wrapped to the age recipients of the node before its first use, so that
//! the custodian, and nobody on the node, can bring it back.

use super::{KeyError, StateDir, random};
use crate::primitives::recipient;
use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::{Epoch, kid};
use age::secrecy::{ExposeSecret, SecretString};
use age::{Decryptor, Encryptor};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

const RECIPIENTS: &str = "escrow/recipients.txt";

/// The recipients of a node, and whether their identities still lie on it.
pub struct Escrow {
    recipients: Vec<Box<dyn age::Recipient + Send>>,
    names: Vec<String>,
    identities_on_node: Vec<String>,
}

impl fmt::Debug for Escrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Escrow({} recipients)", self.recipients.len())
    }
}

impl Escrow {
    /// Reads the recipients of `state`.
    ///
    /// # Errors
    /// A line that is no recipient.
    pub fn load(state: &StateDir) -> Result<Self, KeyError> {
        let text = state.read(RECIPIENTS)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut escrow = Self { recipients: Vec::new(), names: Vec::new(), identities_on_node: Vec::new() };
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || KeyError::Recipient { path: state.path(RECIPIENTS), line: index + 1 };
            escrow.recipients.push(recipient::parse(line).ok_or_else(wrong)?);
            escrow.names.push(line.to_owned());
        }
        let names = state.names("escrow")?;
        escrow.identities_on_node = names.into_iter().filter(|name| name.starts_with("identity-")).collect();
        Ok(escrow)
    }

    /// How many recipients there are.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// They themselves.
    #[must_use]
    pub fn into_recipients(self) -> Vec<Box<dyn age::Recipient + Send>> {
        self.recipients
    }

    /// Their public names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether nobody could bring a secret back.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.recipients.is_empty()
    }

    /// Identity files that still lie on the node, where they protect nobody.
    #[must_use]
    pub fn identities_on_node(&self) -> &[String] {
        &self.identities_on_node
    }

    /// Makes `count` identities and adds them as recipients. Their files are for other machines.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn make_identities(state: &StateDir, count: usize) -> Result<Vec<std::path::PathBuf>, KeyError> {
        let mut paths = Vec::new();
        let mut names = Vec::new();
        for number in 1..=count {
            let identity = age::x25519::Identity::generate();
            let secret = identity.to_string();
            let mut text = Zeroizing::new(String::with_capacity(512));
            text.push_str("# opens the epoch secrets of an oubliette node: keep it off that node\n");
            text.push_str(&format!("# public key: {}\n", identity.to_public()));
            text.push_str(secret.expose_secret());
            text.push('\n');
            let name = format!("escrow/identity-{number}.txt");
            state.write(&name, text.as_bytes())?;
            paths.push(state.path(&name));
            names.push(identity.to_public().to_string());
        }
        Self::add(state, &names)?;
        Ok(paths)
    }

    /// Adds recipients, those known already left out. How many were new.
    ///
    /// # Errors
    /// A name that is no recipient: then none is added.
    pub fn add(state: &StateDir, names: &[String]) -> Result<usize, KeyError> {
        let known = Self::load(state)?;
        let mut text = state.read(RECIPIENTS)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text =
            text.get_or_insert_with(|| "# age recipients of this node's secrets, one a line\n".to_owned());
        let mut added = 0;
        for (index, name) in names.iter().enumerate() {
            if recipient::parse(name).is_none() {
                return Err(KeyError::Recipient { path: "--recipient".into(), line: index + 1 });
            }
            if !known.names.contains(name) {
                text.push_str(&format!("{name}\n"));
                added += 1;
            }
        }
        if added > 0 {
            state.write(RECIPIENTS, text.as_bytes())?;
        }
        Ok(added)
    }

    /// Wraps `secret` to all recipients and makes the wrap durable, unless that was done before. Without
    /// recipients there is nothing to do.
    ///
    /// # Errors
    /// If age refuses, or the wrap cannot be written: the secret may not be used then.
    pub fn wrap(&self, state: &StateDir, epoch: Epoch, secret: &Secret) -> Result<(), KeyError> {
        if self.is_missing() || Self::is_wrapped(state, epoch, secret) {
            return Ok(());
        }
        self.wrap_again(state, epoch, secret)
    }

    /// Whether there is a wrap of `secret`, or of another one that has its kid.
    pub(super) fn is_wrapped(state: &StateDir, epoch: Epoch, secret: &Secret) -> bool {
        state.path(&wrap_name(epoch, &kid(secret, epoch))).exists()
    }

    /// Wraps `secret` to all recipients, over an older wrap.
    ///
    /// # Errors
    /// As [`Escrow::wrap`].
    pub fn wrap_again(&self, state: &StateDir, epoch: Epoch, secret: &Secret) -> Result<(), KeyError> {
        let name = wrap_name(epoch, &kid(secret, epoch));
        let wrapped = self.wrapped(secret);
        let failed = |reason| KeyError::Age { action: "wrap", path: state.path(&name), reason };
        state.write(&name, &wrapped.map_err(failed)?)
    }

    /// `secret` encrypted to all recipients.
    ///
    /// # Errors
    /// What age says if it refuses; so it does when there are no recipients.
    pub fn wrapped(&self, secret: &Secret) -> Result<Vec<u8>, String> {
        self.encrypted(secret.expose())
    }

    /// `bytes` encrypted to all recipients, as `age -d` opens them.
    ///
    /// # Errors
    /// As [`Escrow::wrapped`].
    pub fn encrypted(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let recipients = self.recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
        let mut wrapped = Vec::new();
        let mut writer = encryptor.wrap_output(&mut wrapped).map_err(|error| error.to_string())?;
        writer.write_all(bytes).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())?;
        Ok(wrapped)
    }
}

fn wrap_name(epoch: Epoch, kid: &[u8; 5]) -> String {
    format!("wraps/{epoch}-{}.age", String::from_utf8_lossy(kid))
}

/// Escrow identities: what opens the wraps of a node.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities([{} redacted])", self.0.len())
    }
}

impl Identities {
    /// Reads an identity file that needs nobody to be asked.
    ///
    /// # Errors
    /// If it cannot be read, is none, or is locked with a passphrase.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::read_asking(path, &Asking(None))
    }

    /// Reads an identity file: plain, or locked with a passphrase (`age -p`). What its passphrase or a plugin
    /// wants to know is asked of `ask`.
    ///
    /// # Errors
    /// If it cannot be read, is none, or the passphrase is not the right one.
    pub fn unlock(path: &Path, ask: Arc<dyn Ask>) -> Result<Self, KeyError> {
        Self::read_asking(path, &Asking(Some(ask)))
    }

    /// What is wrong with the mode of an identity file: others can read it, and no passphrase keeps them from using it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn exposure(path: &Path) -> Result<Option<KeyError>, KeyError> {
        let failed = |error| super::state_dir::io_error("open", path)(error);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        // Only a file has a mode that says who reads it; another one would be empty then when it is read.
        if !metadata.is_file() || metadata.mode() & 0o077 == 0 {
            return Ok(None);
        }
        let mut begin = [0; ARMORED_AGE_FILE.len()];
        let length = std::fs::File::open(path).and_then(|mut file| file.read(&mut begin)).map_err(failed)?;
        let is_locked =
            begin[..length].starts_with(AGE_FILE) || begin[..length].starts_with(ARMORED_AGE_FILE);
        let exposed = KeyError::ExposedIdentity { path: path.to_owned(), mode: metadata.mode() & 0o7777 };
        Ok((!is_locked).then_some(exposed))
    }

    fn read_asking(path: &Path, asking: &Asking) -> Result<Self, KeyError> {
        let failed = |reason: String| KeyError::Age { action: "unwrap", path: path.to_owned(), reason };
        let is_none = |reason: String| KeyError::NoIdentityFile { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(super::state_dir::io_error("open", path))?;
        // An identity file has a few hundred bytes: they are wiped, whatever becomes of it.
        let bytes = Zeroizing::new(bytes);
        let identities = if bytes.starts_with(AGE_FILE) || bytes.starts_with(ARMORED_AGE_FILE) {
            locked(&bytes, path, asking).map_err(failed)?
        } else {
            let file =
                age::IdentityFile::from_buffer(&bytes[..]).map_err(|error| is_none(error.to_string()))?;
            let file = file.with_callbacks(asking.clone());
            file.into_identities().map_err(|error| failed(error.to_string()))?
        };
        // Without any, every secret would look like one of other recipients.
        if identities.is_empty() { Err(is_none(NO_IDENTITY.to_owned())) } else { Ok(Self(identities)) }
    }

    /// The secret in a wrap.
    ///
    /// # Errors
    /// What age says if none of them opens it.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, String> {
        let decryptor = Decryptor::new(wrapped).map_err(|error| error.to_string())?;
        let identities = self.0.iter().map(|identity| &**identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(|error| error.to_string())?;
        let mut bytes = [0; 32];
        let read = reader.read_exact(&mut bytes).map_err(|error| error.to_string());
        let secret = Secret::new(bytes);
        bytes.zeroize();
        read.map(|()| secret)
    }
}

/// Whom to ask for the passphrase of an identity file, or for what a plugin wants to know.
pub trait Ask: Send + Sync {
    /// Shows a message.
    fn tell(&self, message: &str);

    /// An answer that anybody may read; `None` if nobody can be asked.
    fn line(&self, question: &str) -> Option<String>;

    /// A passphrase or PIN; `None` if nobody can be asked.
    fn passphrase(&self, question: &str) -> Option<Zeroizing<String>>;
}

/// [`Ask`] as age wants it.
#[derive(Clone)]
struct Asking(Option<Arc<dyn Ask>>);

impl age::Callbacks for Asking {
    fn display_message(&self, message: &str) {
        self.0.iter().for_each(|ask| ask.tell(message));
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        let answer = self.0.as_ref()?.line(&format!("{message} [{yes}/{no}]"))?;
        Some(answer.trim().eq_ignore_ascii_case(yes))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.as_ref()?.line(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let passphrase = self.0.as_ref()?.passphrase(description)?;
        Some(SecretString::from(passphrase.as_str().to_owned()))
    }
}

/// A file of comments alone, or an empty one, is read without an error.
const NO_IDENTITY: &str = "there is no identity in it";

/// The identities in a file that is locked with a passphrase.
fn locked(
    bytes: &[u8],
    path: &Path,
    asking: &Asking,
) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, String> {
    let said = |error: age::DecryptError| error.to_string();
    let decryptor = Decryptor::new_buffered(age::armor::ArmoredReader::new(bytes)).map_err(said)?;
    let locked = age::encrypted::EncryptedIdentity::new(decryptor, asking.clone(), None);
    let locked = locked.ok_or("it is an age file without a passphrase, and no identity file")?;
    let file = locked.decrypt(Some(&path.display().to_string())).map_err(said)?;
    file.into_identities().map_err(said)
}

/// How an age file begins (age-encryption.org/v1), and an armored one.
const AGE_FILE: &[u8] = b"age-encryption.org/";
const ARMORED_AGE_FILE: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Whether a secret of `epoch` is wrapped in a state directory.
#[must_use]
pub fn is_wrapped(directory: &Path, epoch: Epoch) -> bool {
    let entries = std::fs::read_dir(directory.join("wraps"));
    entries.is_ok_and(|entries| entries.flatten().any(|entry| epoch_of(&entry) == Some(epoch)))
}

/// Of which epoch a file among the wraps is, by its name.
fn epoch_of(entry: &std::fs::DirEntry) -> Option<Epoch> {
    Wrap::named(entry.file_name().to_str()?).map(|wrap| wrap.epoch)
}

/// The wrap of one secret in the state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrap {
    /// The epoch.
    pub epoch: Epoch,
    /// The kid of the secret.
    pub kid: [u8; 5],
}

impl Wrap {
    fn named(file: &str) -> Option<Self> {
        let (epoch, kid) = file.strip_suffix(".age")?.rsplit_once('-')?;
        Some(Self { epoch: random::parse(epoch)?, kid: kid.as_bytes().try_into().ok()? })
    }

    /// All that lie in the state directory, oldest first.
    pub(super) fn all(state: &StateDir) -> Result<Vec<Self>, KeyError> {
        let mut wraps: Vec<_> = state.names("wraps")?.iter().filter_map(|name| Self::named(name)).collect();
        wraps.sort();
        Ok(wraps)
    }

    /// Overwrites and removes it.
    pub(super) fn erase(&self, state: &StateDir) -> Result<(), KeyError> {
        state.erase(&wrap_name(self.epoch, &self.kid))
    }
}

/// The wraps of all secrets with that kid in a state directory, or a copy of one: as a rule one.
///
/// # Errors
/// If they cannot be listed or read.
pub fn wraps_of(directory: &Path, kid: &[u8; 5]) -> Result<Vec<Vec<u8>>, KeyError> {
    let wraps = directory.join("wraps");
    let entries = match std::fs::read_dir(&wraps) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(super::state_dir::io_error("list", &wraps))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(super::state_dir::io_error("list", &wraps))?.path();
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".age"));
        if stem.and_then(|stem| stem.rsplit_once('-')).is_some_and(|(_, named)| named.as_bytes() == kid) {
            found.push(std::fs::read(&path).map_err(super::state_dir::io_error("read", &path))?);
        }
    }
    Ok(found)
}

/// The kids of all wraps in a state directory, or a copy of one.
///
/// # Errors
/// If they cannot be listed.
pub fn wrapped_kids(directory: &Path) -> Result<BTreeSet<[u8; 5]>, KeyError> {
    let wraps = directory.join("wraps");
    let entries = match std::fs::read_dir(&wraps) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        listed => listed.map_err(super::state_dir::io_error("list", &wraps))?,
    };
    let mut kids = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(super::state_dir::io_error("list", &wraps))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".age")?.rsplit_once('-'));
        kids.extend(stem.and_then(|(_, kid)| <[u8; 5]>::try_from(kid.as_bytes()).ok()));
    }
    Ok(kids)
}

/// The secrets of `epoch` that an identity file opens, from the wraps of a node (or a copy of them).
///
/// # Errors
/// No wrap of that epoch; an identity file that cannot be read; an identity that opens none of them.
pub fn unwrap(directory: &Path, epoch: Epoch, identity: &Path) -> Result<Vec<Secret>, KeyError> {
    let failed =
        |path: &Path, reason: String| KeyError::Age { action: "unwrap", path: path.to_owned(), reason };
    let identities = Identities::read(identity)?;
    let wraps = directory.join("wraps");
    let mut secrets = Vec::new();
    let mut refused = None;
    let entries = std::fs::read_dir(&wraps).map_err(super::state_dir::io_error("list", &wraps))?;
    for entry in entries.flatten() {
        if epoch_of(&entry) != Some(epoch) {
            continue;
        }
        let wrapped = std::fs::read(entry.path()).map_err(|error| error.to_string());
        match wrapped.and_then(|wrapped| identities.unwrap(&wrapped)) {
            Ok(secret) => secrets.push(secret),
            Err(reason) => refused = Some(failed(&entry.path(), reason)),
        }
    }
    match (secrets.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(KeyError::NoWrap { epoch: epoch.to_string(), path: wraps }),
        (false, _) => Ok(secrets),
    }
}
