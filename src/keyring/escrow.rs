//! Escrow: every epoch secret is wrapped to the age recipients of the node before its first use, so that
//! the custodian, and nobody on the node, can bring it back.

use super::{KeyError, StateDir, random};
use crate::primitives::recipient;
use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::{Epoch, kid};
use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor};
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
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
        if self.is_missing() || state.path(&wrap_name(epoch, secret)).exists() {
            return Ok(());
        }
        self.wrap_again(state, epoch, secret)
    }

    /// Wraps `secret` to all recipients, over an older wrap.
    ///
    /// # Errors
    /// As [`Escrow::wrap`].
    pub fn wrap_again(&self, state: &StateDir, epoch: Epoch, secret: &Secret) -> Result<(), KeyError> {
        let name = wrap_name(epoch, secret);
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

fn wrap_name(epoch: Epoch, secret: &Secret) -> String {
    format!("wraps/{epoch}-{}.age", String::from_utf8_lossy(&kid(secret, epoch)))
}

/// Escrow identities: what opens the wraps of a node.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities([{} redacted])", self.0.len())
    }
}

impl Identities {
    /// Reads an identity file.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |reason: String| KeyError::Age { action: "unwrap", path: path.to_owned(), reason };
        let file = std::fs::File::open(path).map_err(super::state_dir::io_error("open", path))?;
        let file = age::IdentityFile::from_buffer(std::io::BufReader::new(file));
        let identities = file.map_err(|error| failed(error.to_string()))?.into_identities();
        identities.map(Self).map_err(|error| failed(error.to_string()))
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
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".age").and_then(|stem| stem.rsplit_once('-'));
        if stem.and_then(|(epoch, _)| random::parse(epoch)) != Some(epoch) {
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
