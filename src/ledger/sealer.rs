//! Seals segments with the key of the day, and records each seal in the ledger under the segment's name.

use super::Ledger;
use super::event::{Event, Segment};
use crate::model::{Seal, Sealer};
use crate::primitives::diag::Diagnostic;
use crate::primitives::hex;
use jiff::Timestamp;

impl Sealer for Ledger {
    fn previous(&mut self) -> Result<[u8; 32], Diagnostic> {
        let now = self.settings.clock.now();
        let digest = self.session(now, |session| Ok(hex::decode(session.last_seal())));
        // The head was read, so the digest is well-formed.
        Ok(digest?.unwrap_or_default())
    }

    fn seal(&mut self, now: Timestamp, digest: &[u8; 32]) -> Result<Seal, Diagnostic> {
        let sealed = self.session(now, |session| {
            let (day, key) = (session.day()?.day, session.public_key());
            Ok(Seal { day, key, signature: session.sign(&Seal::message(digest)) })
        });
        sealed.map_err(Diagnostic::from)
    }

    fn record(&mut self, now: Timestamp, name: &str, digest: &[u8; 32]) -> Result<(), Diagnostic> {
        let recorded = self.session(now, |session| {
            let previous = session.last_seal().to_owned();
            let (name, digest) = (name.to_owned(), hex::encode(digest));
            session.append(Event::Segment(Segment { name, digest, previous })).map(drop)
        });
        recorded.map_err(Diagnostic::from)
    }

    fn knows(&mut self, name: &str, digest: &[u8; 32]) -> Result<bool, Diagnostic> {
        let digest = hex::encode(digest);
        let mut known = false;
        self.read(&mut |entry, _| {
            known |= matches!(
                entry.event(),
                Some(Event::Segment(segment)) if (&*segment.name, &segment.digest) == (name, &digest)
            );
        })?;
        Ok(known)
    }
}
