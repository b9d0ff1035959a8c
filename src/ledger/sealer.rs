//! Seals of segments: signed with the key of the day, and kept in the ledger under the segment's name.

use super::Ledger;
use super::event::{Event, Segment};
use crate::model::{Seal, Sealer};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use jiff::Timestamp;

/// Signs, and keeps nothing: for a segment that takes the place of another one, of which the entry about the
/// erasure tells. Without an entry that names its digest nobody takes the seal for one.
#[derive(Debug)]
pub struct Unrecorded<'l>(pub &'l mut Ledger);

impl Sealer for Unrecorded<'_> {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        self.0.previous()
    }

    fn seal(&mut self, now: Timestamp, _name: &str, digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        let sealed = self.0.session(now, |session| {
            let (day, key) = (session.day()?.day, session.public_key());
            Ok(Seal { day, key, signature: session.sign(&Seal::message(digest)) })
        });
        sealed.map_err(Diagnostic::from)
    }
}

impl Sealer for Ledger {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        let now = self.settings.clock.now();
        let digest = self.session(now, |session| Ok(hex::decode(session.last_seal())));
        // The note about the end was read, so the digest has its form.
        Ok(digest?.unwrap_or_default())
    }

    fn seal(&mut self, now: Timestamp, name: &str, digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        let sealed = self.session(now, |session| {
            let previous = session.last_seal().to_owned();
            let (name, digest_text) = (name.to_owned(), hex::encode(digest));
            if previous != digest_text {
                session.append(Event::Segment(Segment { name, digest: digest_text, previous }))?;
            }
            let (day, key) = (session.day()?.day, session.public_key());
            Ok(Seal { day, key, signature: session.sign(&Seal::message(digest)) })
        });
        sealed.map_err(Diagnostic::from)
    }
}
