//! age recipients: who may open what is wrapped or sealed here.

use age::{NoCallbacks, plugin};
use std::str::FromStr;

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
