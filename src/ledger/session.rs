//! One turn at the ledger, in which no other process changes it. A turn cuts off what a crash left, hands
//! over from a key whose day is past to the key of the day, erases the old key, and adds entries.
//!
//! On a new day, the key of that day is first made durable; then the entry that hands over to it, which is
//! the last one under the old key, is made durable; then the old key is erased. A crash in between leaves
//! either a key that no entry names, which is made anew, or one that has handed over, which the next turn
//! erases.

use super::day_key::{self, day_of, file_name};
use super::entry::Entry;
use super::event::{DayKey, Event};
use super::files::Files;
use super::verify::{FaultKind, Verifier};
use super::{LedgerError, Settings};
use crate::primitives::private_folder::{Turn, random_secret};
use crate::primitives::secret::Secret;
use crate::primitives::storage::is_full;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A turn at the ledger.
pub(super) struct Session<'l> {
    files: &'l Files,
    who: &'l str,
    /// The reading of the clock.
    now: Timestamp,
    verifier: Verifier,
    key: SigningKey,
    /// Keeps other processes waiting.
    _turn: Turn,
}

impl<'l> Session<'l> {
    /// Waits for the turn, and brings the ledger to the day of `now`.
    pub(super) fn begin(
        files: &'l Files,
        settings: &'l Settings,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let turn = files.lock()?;
        let (verifier, cut) = read_end(files)?;
        let (key, first) = match &verifier.head().key {
            Some(current) => (key_of_day(files, current)?, None),
            None => {
                let (key, first) = first_key(files, &settings.zone, now)?;
                (key, Some(first))
            }
        };
        let mut session = Self { files, who: &settings.who, now, verifier, key, _turn: turn };
        if let Some(first) = first {
            session.append(Event::Begin(first))?;
        }
        // This comes first: under a key whose day is past, nothing but the handover may be added.
        session.hand_over()?;
        session.erase_other_keys()?;
        if cut > 0 {
            session.append(Event::Cut { bytes: cut })?;
        }
        Ok(session)
    }

    /// Adds an entry, which is durable when this returns.
    pub(super) fn append(&mut self, event: Event) -> Result<u64, LedgerError> {
        let entry = self.entry(event)?;
        let mut line = entry.to_line(&self.key);
        line.push(b'\n');
        // Before the entry is written, it must pass the check that it has to pass ever after.
        self.verifier.line(&line).map_err(|fault| self.files.fault(fault))?;
        self.files.append(&line)?;
        match self.files.write_head(self.verifier.head()) {
            // The entry is durable; the head is only behind, as after a crash.
            Err(LedgerError::Io { source, .. }) if is_full(&source) => {}
            written => written?,
        }
        Ok(entry.n)
    }

    /// Returns the public key, with its day, that signs now.
    pub(super) fn day(&self) -> Result<&DayKey, LedgerError> {
        self.verifier
            .head()
            .key
            .as_ref()
            .ok_or_else(|| self.files.fault(self.verifier.fault(FaultKind::Beginning)))
    }

    /// Returns the digest of the last sealed segment, in hex.
    pub(super) fn last_seal(&self) -> &str {
        &self.verifier.head().seal
    }

    /// Returns the public half of the key of the day.
    pub(super) fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs a message that is not an entry with the key of the day.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    fn entry(&self, event: Event) -> Result<Entry, LedgerError> {
        let head = self.verifier.head();
        let at = self.instant();
        let day = match (&head.key, &event) {
            (None, Event::Begin(first)) => first.day,
            _ => self.day()?.day,
        };
        let (event, about) = event.into_parts();
        Ok(Entry {
            n: head.n + 1,
            at,
            clock: (self.now < at).then_some(self.now),
            day,
            who: self.who.to_owned(),
            event,
            about,
            prev: head.hash.clone(),
        })
    }

    /// Returns the current time, or the time of the last entry if the clock has gone back since.
    fn instant(&self) -> Timestamp {
        self.verifier.head().at.map_or(self.now, |last| last.max(self.now))
    }

    /// Hands over to the key of the current day, if the day of the present key is past.
    fn hand_over(&mut self) -> Result<(), LedgerError> {
        let current = self.day()?;
        let zone =
            zone(&current.zone).ok_or_else(|| self.files.fault(self.verifier.fault(FaultKind::NextKey)))?;
        let today = self.instant().to_zoned(zone).date();
        if today <= current.day {
            return Ok(());
        }
        let secret = new_key(self.files, today)?;
        let key = day_key::signing_key(&secret);
        let next = day_key::public(&key, today, &current.zone);
        self.append(Event::NextKey(next))?;
        self.key = key;
        Ok(())
    }

    /// Erases every key but that of the day: each has handed over or was never used.
    fn erase_other_keys(&mut self) -> Result<(), LedgerError> {
        let today = self.day()?.day;
        for name in self.files.names()? {
            let Some(day) = day_of(&name).filter(|day| *day != today) else { continue };
            self.files.erase(&name)?;
            // A key of a later day was made by an interrupted turn, and has signed nothing.
            if day < today {
                self.append(Event::KeyErased { day })?;
            }
        }
        Ok(())
    }
}

/// Reads the end of the ledger and cuts off half a line that a crash left. Also returns the length of that
/// half line.
fn read_end(files: &Files) -> Result<(Verifier, u64), LedgerError> {
    let head = files.head()?.unwrap_or_default();
    let mut verifier =
        Verifier::after(head).ok_or_else(|| files.fault(Verifier::default().fault(FaultKind::Note)))?;
    let from = verifier.head().bytes;
    let length = files.entries_length()?;
    if length < from {
        let entries = verifier.head().n;
        return Err(files.fault(verifier.fault(FaultKind::Truncated { entries })));
    }
    // After the head come durable entries, and perhaps a torn line.
    let tail = files.entries_after(from)?;
    let mut lines = tail.split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        match verifier.line(line) {
            Ok(_) => {}
            Err(fault) if lines.peek().is_none() && fault.is_of_a_crash() => {
                files.cut(verifier.head().bytes)?;
                return Ok((verifier, line.len() as u64));
            }
            Err(fault) => return Err(files.fault(fault)),
        }
    }
    Ok((verifier, 0))
}

/// Makes the first key of a new ledger.
fn first_key(files: &Files, zone: &TimeZone, now: Timestamp) -> Result<(SigningKey, DayKey), LedgerError> {
    let name = zone.iana_name().ok_or(LedgerError::Zone)?;
    let day = now.to_zoned(zone.clone()).date();
    let key = day_key::signing_key(&new_key(files, day)?);
    let public = day_key::public(&key, day, name);
    Ok((key, public))
}

/// Makes a new key, durable in its file. A key that is already there was never used.
fn new_key(files: &Files, day: Date) -> Result<Secret, LedgerError> {
    let name = file_name(day);
    let secret = random_secret().map_err(files.error("make", &name))?;
    files.erase(&name)?;
    files.write(&name, secret.expose())?;
    Ok(secret)
}

/// Reads the key that signs now according to the ledger.
fn key_of_day(files: &Files, current: &DayKey) -> Result<SigningKey, LedgerError> {
    let lost = || LedgerError::KeyLost { path: files.path(&file_name(current.day)), day: current.day };
    let secret = files.secret(&file_name(current.day))?.ok_or_else(lost)?;
    let key = day_key::signing_key(&secret);
    let same = day_key::public(&key, current.day, &current.zone).public == current.public;
    if same { Ok(key) } else { Err(lost()) }
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session(entry {})", self.verifier.head().n + 1)
    }
}
