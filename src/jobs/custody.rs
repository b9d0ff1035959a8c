//! The keys that an archive asks for, and a ledger that keeps which were made: shred keys of expiry days. The
//! ledger itself is what seals segments.

use crate::ledger::{Event, Ledger};
use crate::model::{Expires, ShredKeys};
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::shred::{Kept, ShredError, ShredStore};
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Shred keys, each of which the ledger knows.
#[derive(Debug)]
pub struct RecordedShredKeys {
    store: ShredStore,
    ledger: Ledger,
    zone: TimeZone,
}

impl RecordedShredKeys {
    /// The keys of `store`, told to `ledger`; days in `zone`.
    #[must_use]
    pub fn new(store: ShredStore, ledger: Ledger, zone: TimeZone) -> Self {
        Self { store, ledger, zone }
    }

    fn today(&self) -> Date {
        self.ledger.now().to_zoned(self.zone.clone()).date()
    }
}

impl ShredKeys for RecordedShredKeys {
    /// No key is made for a day that has begun, whether it was purged yet or not: what has expired is not
    /// stored.
    fn key_for(&mut self, expires: Expires) -> Result<Secret, Diagnostic> {
        if let Expires::On(day) = expires
            && day <= self.today()
        {
            return Err(ShredError::Expired { day }.into());
        }
        let Kept { key, is_new } = self.store.key_for(expires)?;
        if is_new {
            // Durable before the key is used; a crash in between leaves a key that nothing was written under.
            self.ledger.append(Event::ShredKeyMade { expires: expires.to_string() })?;
        }
        Ok(key)
    }
}
