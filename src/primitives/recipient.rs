//! age recipients: who may open what is wrapped or sealed here.

use age::{EncryptError, Encryptor, NoCallbacks, plugin};
use std::io::Write as _;
use std::str::FromStr;

/// Recipients, each of whom can open what is encrypted to all of them.
pub type Recipients = Vec<Box<dyn age::Recipient + Send>>;

/// Returns what encrypts a stream to all of these recipients.
///
/// # Errors
/// The error of age, including when there are no recipients.
pub fn encryptor(recipients: &Recipients) -> Result<Encryptor, EncryptError> {
    Encryptor::with_recipients(recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient))
}

/// Encrypts `bytes` to all of these recipients, as `age -d` decrypts them.
///
/// # Errors
/// As [`encryptor`].
pub fn encrypted(bytes: &[u8], recipients: &Recipients) -> Result<Vec<u8>, EncryptError> {
    let mut encrypted = Vec::new();
    let mut writer = encryptor(recipients)?.wrap_output(&mut encrypted)?;
    writer.write_all(bytes)?;
    writer.finish()?;
    Ok(encrypted)
}

/// Parses one recipient: `age1...` (X25519), `age1tag1...` and `age1tagpq1...` (hardware-backed), or one of a
/// plugin that is installed on this machine. `None` if it is none of these.
#[must_use]
pub fn parse(text: &str) -> Option<Box<dyn age::Recipient + Send>> {
    read::<age::x25519::Recipient>(text)
        .or_else(|| read::<age::tag::Recipient>(text))
        .or_else(|| read::<age::tagpq::Recipient>(text))
        .or_else(|| of_plugin(text))
}

fn read<R: age::Recipient + Send + FromStr + 'static>(text: &str) -> Option<Box<dyn age::Recipient + Send>> {
    R::from_str(text).ok().map(|recipient| Box::new(recipient) as _)
}

fn of_plugin(text: &str) -> Option<Box<dyn age::Recipient + Send>> {
    let recipient = text.parse::<plugin::Recipient>().ok()?;
    let name = recipient.plugin().to_owned();
    let plugin = plugin::RecipientPluginV1::new(&name, &[recipient], &[], NoCallbacks).ok()?;
    Some(Box::new(plugin))
}
