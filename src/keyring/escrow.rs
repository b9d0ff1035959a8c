//! Escrow: every epoch secret is wrapped to the age recipients of the node before its first use, so that the
//! custodian, and nobody on the node, can recover it.

use super::{KeyError, StateDir, random};
use crate::primitives::recipient::{self, Recipients};
use crate::primitives::secret::Secret;
use crate::primitives::storage::{if_there, read_file};
use crate::pseudonym::epoch::{Epoch, kid};
use age::Decryptor;
use age::secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const RECIPIENTS: &str = "escrow/recipients.txt";

/// The recipients of a node, and the identities that are still on it.
pub struct Escrow {
    recipients: Recipients,
    names: Vec<String>,
    identities_on_node: Vec<String>,
}

impl fmt::Debug for Escrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Escrow({} recipients)", self.recipients.len())
    }
}

impl Escrow {
    /// Loads the recipients of `state`.
    ///
    /// # Errors
    /// If a line is not a recipient.
    pub fn load(state: &StateDir) -> Result<Self, KeyError> {
        let text = state.read(RECIPIENTS)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut escrow = Self { recipients: Vec::new(), names: Vec::new(), identities_on_node: Vec::new() };
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let path = || state.path(RECIPIENTS);
            let wrong = || KeyError::Recipient { path: path(), unit: "line", number: index + 1 };
            escrow.recipients.push(recipient::parse(line).ok_or_else(wrong)?);
            escrow.names.push(line.to_owned());
        }
        let names = state.names("escrow")?;
        escrow.identities_on_node = names.into_iter().filter(|name| name.starts_with("identity-")).collect();
        Ok(escrow)
    }

    /// Returns the number of recipients.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// Converts into the recipients themselves.
    #[must_use]
    pub fn into_recipients(self) -> Recipients {
        self.recipients
    }

    /// Returns the recipients as text, which is public.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether there are no recipients, so that nobody could recover a secret.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.recipients.is_empty()
    }

    /// Returns the identity files that are still on the node, where they protect nobody.
    #[must_use]
    pub fn identities_on_node(&self) -> &[String] {
        &self.identities_on_node
    }

    /// Makes `count` identities and adds them as recipients. Returns the paths of their files, which belong
    /// on other machines.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn make_identities(state: &StateDir, count: usize) -> Result<Vec<PathBuf>, KeyError> {
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

    /// Adds recipients, except those already known. Returns how many were new.
    ///
    /// # Errors
    /// If a name is not a recipient; then none is added.
    pub fn add(state: &StateDir, names: &[String]) -> Result<usize, KeyError> {
        let known = Self::load(state)?;
        let mut text = state.read(RECIPIENTS)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text =
            text.get_or_insert_with(|| "# age recipients of this node's secrets, one a line\n".to_owned());
        let mut added = 0;
        for (index, name) in names.iter().enumerate() {
            if recipient::parse(name).is_none() {
                let path = "--recipient".into();
                return Err(KeyError::Recipient { path, unit: "recipient", number: index + 1 });
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

    /// Wraps `secret` to all recipients and makes the wrap durable, unless that was done before. Does nothing
    /// if there are no recipients.
    ///
    /// # Errors
    /// If age refuses, or if the wrap cannot be written; the secret may not be used then.
    pub fn wrap(&self, state: &StateDir, epoch: Epoch, secret: &Secret) -> Result<(), KeyError> {
        if self.is_missing() || Self::is_wrapped(state, epoch, secret) {
            return Ok(());
        }
        self.wrap_again(state, epoch, secret)
    }

    /// Returns whether there is a wrap of `secret`, or of another secret of its epoch with the same kid.
    pub(super) fn is_wrapped(state: &StateDir, epoch: Epoch, secret: &Secret) -> bool {
        state.path(&wrap_name(epoch, &kid(secret, epoch))).exists()
    }

    /// Wraps `secret` to all recipients, and replaces an older wrap.
    ///
    /// # Errors
    /// See [`Escrow::wrap`].
    pub fn wrap_again(&self, state: &StateDir, epoch: Epoch, secret: &Secret) -> Result<(), KeyError> {
        let name = wrap_name(epoch, &kid(secret, epoch));
        let wrapped = self.wrapped(secret);
        let failed = |reason| KeyError::Age { action: "wrap", path: state.path(&name), reason };
        state.write(&name, &wrapped.map_err(failed)?)
    }

    /// Encrypts `secret` to all recipients.
    ///
    /// # Errors
    /// The error of age, including when there are no recipients.
    pub fn wrapped(&self, secret: &Secret) -> Result<Vec<u8>, String> {
        self.encrypted(secret.expose())
    }

    /// Encrypts `bytes` to all recipients, as `age -d` decrypts them.
    ///
    /// # Errors
    /// See [`Escrow::wrapped`].
    pub fn encrypted(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        recipient::encrypted(bytes, &self.recipients).map_err(|error| error.to_string())
    }
}

fn wrap_name(epoch: Epoch, kid: &[u8; 5]) -> String {
    format!("wraps/{epoch}-{}.age", String::from_utf8_lossy(kid))
}

/// Escrow identities, which open the wraps of a node.
#[derive(Clone)]
pub struct Identities(Arc<Vec<Box<dyn age::Identity + Send + Sync>>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities([{} redacted])", self.0.len())
    }
}

impl Identities {
    /// Reads an identity file that needs no passphrase and no answer from a user.
    ///
    /// # Errors
    /// If it cannot be read, is not an identity file, or is locked with a passphrase.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::read_asking(path, &Asking(None))
    }

    /// Parses the text of an identity file, which is plain; `None` if it has no identity.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Option<Self> {
        let identities = age::IdentityFile::from_buffer(text).ok()?.into_identities().ok()?;
        (!identities.is_empty()).then(|| Self(Arc::new(identities)))
    }

    /// Reads an identity file, plain or locked with a passphrase (`age -p`). Uses `ask` to obtain the
    /// passphrase, and answers to the questions of a plugin.
    ///
    /// # Errors
    /// If it cannot be read, is not an identity file, or the passphrase is wrong.
    pub fn unlock(path: &Path, ask: Arc<dyn Ask>) -> Result<Self, KeyError> {
        Self::read_asking(path, &Asking(Some(ask)))
    }

    /// Returns an error if others can read an identity file that no passphrase protects.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn exposure(path: &Path) -> Result<Option<KeyError>, KeyError> {
        let failed = |error| super::state_dir::io_error("open", path)(error);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        // Only for a regular file does the mode say who can read it. Anything else, such as a pipe, would be
        // consumed by the check below.
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
        // An identity file has a few hundred bytes, which are wiped in any case.
        let bytes = Zeroizing::new(bytes);
        let identities = if bytes.starts_with(AGE_FILE) || bytes.starts_with(ARMORED_AGE_FILE) {
            locked(&bytes, path, asking).map_err(failed)?
        } else {
            let file =
                age::IdentityFile::from_buffer(&bytes[..]).map_err(|error| is_none(error.to_string()))?;
            let file = file.with_callbacks(asking.clone());
            file.into_identities().map_err(|error| failed(error.to_string()))?
        };
        // Without any identity, every secret would seem to be wrapped to other recipients.
        if identities.is_empty() {
            Err(is_none(NO_IDENTITY.to_owned()))
        } else {
            Ok(Self(Arc::new(identities)))
        }
    }

    /// Decrypts the secret in a wrap.
    ///
    /// # Errors
    /// The error of age if none of the identities opens it.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, String> {
        let mut bytes = [0; 32];
        let read = self.reader(wrapped)?.read_exact(&mut bytes).map_err(|error| error.to_string());
        let secret = Secret::take(&mut bytes);
        read.map(|()| secret)
    }

    /// Decrypts bytes of any length.
    ///
    /// # Errors
    /// The error of age if none of the identities opens them, or they are damaged.
    pub fn decrypt(&self, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        // What it yields is shorter, so the buffer never moves and leaves a copy.
        let mut bytes = Zeroizing::new(Vec::with_capacity(encrypted.len()));
        self.reader(encrypted)?.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn reader<'b>(&self, encrypted: &'b [u8]) -> Result<impl Read + use<'b>, String> {
        let decryptor = Decryptor::new(encrypted).map_err(|error| error.to_string())?;
        let identities = self.0.iter().map(|identity| &**identity as &dyn age::Identity);
        decryptor.decrypt(identities).map_err(|error| error.to_string())
    }
}

/// Asks a user for the passphrase of an identity file, or for answers to the questions of a plugin.
pub trait Ask: Send + Sync {
    /// Shows a message.
    fn tell(&self, message: &str);

    /// Asks for an answer that is not secret; `None` if nobody can be asked.
    fn line(&self, question: &str) -> Option<String>;

    /// Asks for a passphrase or PIN; `None` if nobody can be asked.
    fn passphrase(&self, question: &str) -> Option<Zeroizing<String>>;
}

/// Adapts [`Ask`] to the callbacks of age.
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

/// age reads an empty file, or one with only comments, without an error.
const NO_IDENTITY: &str = "there is no identity in it";

/// Reads the identities in a file that is locked with a passphrase.
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

/// The first bytes of an age file (age-encryption.org/v1), and of an armored one.
const AGE_FILE: &[u8] = b"age-encryption.org/";
const ARMORED_AGE_FILE: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Returns whether a secret of `epoch` is wrapped in a state directory.
#[must_use]
pub fn is_wrapped(directory: &Path, epoch: Epoch) -> bool {
    files(directory).is_ok_and(|files| files.flatten().any(|(_, named, _)| named == Some(epoch)))
}

/// A file in `wraps/`: its path, the epoch if its name states one, and the kid.
type WrapFile = (PathBuf, Option<Epoch>, [u8; 5]);

fn wrap_file(path: PathBuf) -> Option<WrapFile> {
    let (epoch, kid) = path.file_name()?.to_str()?.strip_suffix(".age")?.rsplit_once('-')?;
    let (epoch, kid) = (random::parse(epoch), kid.as_bytes().try_into().ok()?);
    Some((path, epoch, kid))
}

/// Lists the wraps in a state directory, or a copy of one.
fn files(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<WrapFile>> + use<>> {
    let entries = std::fs::read_dir(directory.join("wraps"))?;
    Ok(entries.filter_map(|entry| entry.map(|entry| wrap_file(entry.path())).transpose()))
}

/// Lists the wraps as [`files`] does; a missing directory has none.
fn existing_files(directory: &Path) -> Result<Vec<WrapFile>, KeyError> {
    let listed = if_there(files(directory).and_then(Iterator::collect));
    let listed = listed.map_err(super::state_dir::io_error("list", &directory.join("wraps")))?;
    Ok(listed.unwrap_or_default())
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
        let (_, epoch, kid) = wrap_file(file.into())?;
        Some(Self { epoch: epoch?, kid })
    }

    /// Lists all wraps in the state directory, oldest first.
    pub(super) fn all(state: &StateDir) -> Result<Vec<Self>, KeyError> {
        let mut wraps: Vec<_> = state.names("wraps")?.iter().filter_map(|name| Self::named(name)).collect();
        wraps.sort();
        Ok(wraps)
    }

    /// Overwrites and removes the wrap.
    pub(super) fn erase(&self, state: &StateDir) -> Result<(), KeyError> {
        state.erase(&wrap_name(self.epoch, &self.kid))
    }
}

/// Reads the wraps of all secrets with that kid, usually one, in a state directory or a copy of one.
///
/// # Errors
/// If they cannot be listed or read.
pub fn wraps_of(directory: &Path, kid: &[u8; 5]) -> Result<Vec<Vec<u8>>, KeyError> {
    let files = existing_files(directory)?.into_iter().filter(|(.., named)| named == kid);
    let read = |path: PathBuf| read_file(&path).map_err(super::state_dir::io_error("read", &path));
    files.map(|(path, ..)| read(path)).collect()
}

/// Lists the kids of all wraps in a state directory, or a copy of one.
///
/// # Errors
/// If they cannot be listed.
pub fn wrapped_kids(directory: &Path) -> Result<BTreeSet<[u8; 5]>, KeyError> {
    Ok(existing_files(directory)?.into_iter().map(|(.., kid)| kid).collect())
}

/// Decrypts the secrets of `epoch` that an identity file opens, from the wraps of a node or a copy of them.
///
/// # Errors
/// If there is no wrap of that epoch, if the identity file cannot be read, or if it opens none of the wraps.
pub fn unwrap(directory: &Path, epoch: Epoch, identity: &Path) -> Result<Vec<Secret>, KeyError> {
    let failed =
        |path: &Path, reason: String| KeyError::Age { action: "unwrap", path: path.to_owned(), reason };
    let identities = Identities::read(identity)?;
    let wraps = directory.join("wraps");
    let mut secrets = Vec::new();
    let mut refused = None;
    let files = files(directory).map_err(super::state_dir::io_error("list", &wraps))?;
    for (path, ..) in files.flatten().filter(|(_, named, _)| *named == Some(epoch)) {
        let wrapped = read_file(&path).map_err(|error| error.to_string());
        match wrapped.and_then(|wrapped| identities.unwrap(&wrapped)) {
            Ok(secret) => secrets.push(secret),
            Err(reason) => refused = Some(failed(&path, reason)),
        }
    }
    match (secrets.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(KeyError::NoWrap { epoch: epoch.to_string(), path: wraps }),
        (false, _) => Ok(secrets),
    }
}
