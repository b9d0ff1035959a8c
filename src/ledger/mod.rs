//! The ledger: entries that say what was done to personal data, when and by whom, and that nobody can change
//! unnoticed.
//!
#![doc = include_str!("LEDGER.md")]

mod day_key;
mod entry;
mod error;
pub mod event;
mod files;
mod head;
mod sealer;
mod session;
#[cfg(test)]
mod tests;
mod verify;

use crate::model::Seal;
use crate::primitives::clock::Clock;
use crate::primitives::storage::{Patience, Reserve, Storage};
pub use day_key::pem;
pub use entry::{Entry, LineHash};
pub use error::{CODES, FAULT, LedgerError, NO_DAY};
pub use event::Event;
use files::Files;
pub use head::{ClockStep, Head};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use session::Session;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use verify::{Fault, FaultKind, KeyPeriod, Verifier};

/// The version of the format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// The folder of the ledger in a state directory.
pub const FOLDER: &str = "ledger";

/// The file with the entries, one per line.
pub const ENTRIES: &str = "ledger.jsonl";

/// The head file, a note about the end of the ledger.
pub const HEAD: &str = "head";

/// The file that a purge gives up when there is no room for its entries.
pub const RESERVE: &str = "reserve";

/// The settings with which a ledger is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The storage that holds the files.
    pub storage: Arc<dyn Storage>,
    /// The folder `ledger` of the state directory.
    pub directory: PathBuf,
    /// The legal zone of its days. An existing ledger keeps its own.
    pub zone: TimeZone,
    /// The system user who acts.
    pub who: String,
    /// The clock that dates the entries.
    pub clock: Clock,
}

/// A ledger to which entries are added. Clones take turns, as other processes do.
#[derive(Clone, Debug)]
pub struct Ledger {
    settings: Settings,
    files: Files,
    /// Set after a failed write or sync: what is on the disk is unknown until the ledger is opened again.
    poisoned: bool,
    patience: Arc<Patience>,
}

impl Ledger {
    /// Opens the ledger. Makes its folder, mode 0700, if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(settings: Settings) -> Result<Self, LedgerError> {
        let files = Files::open(&settings.storage, &settings.directory)?;
        Ok(Self { settings, files, poisoned: false, patience: Arc::default() })
    }

    /// Opens the ledger for reading only: nothing is made.
    #[must_use]
    pub fn at(settings: Settings) -> Self {
        let files = Files::at(&settings.storage, &settings.directory);
        Self { settings, files, poisoned: false, patience: Arc::default() }
    }

    /// Makes the ledger wait, for as long as `patience` lasts, for a disk that is full. Other processes have
    /// their turn meanwhile, such as a purge that makes room.
    #[must_use]
    pub fn waiting_with(self, patience: Arc<Patience>) -> Self {
        Self { patience, ..self }
    }

    /// Returns the room on the disk of the ledger for what a purge must record.
    #[must_use]
    pub fn reserve(&self) -> Reserve {
        Reserve::at(&self.settings.storage, self.files.path(RESERVE))
    }

    /// Adds an entry, which is durable when this returns, and returns its number.
    ///
    /// # Errors
    /// If it cannot be written, or if the ledger was changed. After a failed write nothing more is added
    /// until the ledger is opened again.
    pub fn append(&mut self, event: Event) -> Result<u64, LedgerError> {
        self.session(self.settings.clock.now(), |session| session.append(event.clone()))
    }

    /// Adds an entry with the time of the last one, for a clock that is not believed. This changes neither
    /// the day of the ledger nor its record of the clock.
    ///
    /// # Errors
    /// See [`Ledger::append`].
    pub fn append_unmoved(&mut self, event: Event) -> Result<u64, LedgerError> {
        let last = self.files.head()?.and_then(|head| head.clock);
        self.session(last.unwrap_or_else(|| self.settings.clock.now()), |session| {
            session.append(event.clone())
        })
    }

    /// Adds an entry, and signs `message` with the key of the same day.
    ///
    /// `message` must begin neither with `{"n":`, as entries do, nor with `oubliette/`, as the messages that
    /// seal segments do.
    ///
    /// # Errors
    /// See [`Ledger::append`].
    pub fn sign(&mut self, event: Event, message: &[u8]) -> Result<Seal, LedgerError> {
        self.session(self.settings.clock.now(), |session| {
            session.append(event.clone())?;
            let (day, key) = (session.day()?.day, session.public_key());
            Ok(Seal { day, key, signature: session.sign(message) })
        })
    }

    /// Returns the legal day whose key signs now.
    ///
    /// # Errors
    /// If the ledger cannot be read or cannot be brought to this day.
    pub fn day(&mut self) -> Result<Date, LedgerError> {
        self.session(self.settings.clock.now(), |session| Ok(session.day()?.day))
    }

    /// Returns the time by the clock of the ledger.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Returns the jump of the clock that must be confirmed before anything is purged, if there is one.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn clock_step(&mut self) -> Result<Option<ClockStep>, LedgerError> {
        let now = self.settings.clock.now();
        Ok(self.files.head()?.and_then(|head| head.step_to(now)))
    }

    /// Returns the latest instant that has come for certain: now, or if the clock has jumped, what it said
    /// before.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn certain_now(&mut self) -> Result<Timestamp, LedgerError> {
        let step = self.clock_step()?;
        Ok(step.map_or(self.now(), |step| step.from.min(self.now())))
    }

    /// Reads the ledger from its beginning, checks it, and hands every entry to `visit`. A ledger without
    /// entries is valid.
    ///
    /// # Errors
    /// If it cannot be read or was changed.
    pub fn read(&self, visit: &mut dyn FnMut(&Entry, &Head)) -> Result<(), LedgerError> {
        if self.files.entries_length()? == 0 {
            return Ok(());
        }
        // A last line that a crash tore, or that another process is still writing, is not an entry yet.
        match check(&self.settings.storage, &self.settings.directory, visit)?.fault {
            Some(fault) if !matches!(fault.kind, FaultKind::Torn) => Err(self.files.fault(fault)),
            _ => Ok(()),
        }
    }

    /// Runs `work` while no other process changes the ledger.
    fn session<T>(
        &mut self,
        now: Timestamp,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.poisoned {
            return Err(LedgerError::Poisoned { path: self.files.path(ENTRIES) });
        }
        let Self { settings, files, patience, .. } = &*self;
        // An attempt that fails for want of room has not added its entry; what `Session::begin` has already
        // done, the next attempt continues.
        let done = patience.attempt(&settings.directory, || {
            Session::begin(files, settings, now).and_then(|mut session| work(&mut session))
        });
        self.poisoned = matches!(done, Err(LedgerError::Io { .. }));
        done
    }
}

/// The result of checking a whole ledger.
#[derive(Debug)]
pub struct Checked {
    /// The keys of its days, and its end.
    pub verifier: Verifier,
    /// The first fault, if there is one.
    pub fault: Option<Fault>,
}

/// Reads the ledger in `directory`, checks it, and hands every entry up to the first fault to `visit`, with
/// the head of the ledger after that entry.
///
/// # Errors
/// If there is no ledger, or it cannot be read. A fault is not an error but part of the result.
pub fn check(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    visit: &mut dyn FnMut(&Entry, &Head),
) -> Result<Checked, LedgerError> {
    let files = Files::at(storage, directory);
    // The head is read before the entries, to which more may be added meanwhile: so it is never ahead of
    // them.
    let noted = files.head_text()?;
    let mut noted = noted.map(|text| Head::from_text(&text).ok_or(FaultKind::Note)).transpose();
    let mut verifier = Verifier::default();
    let mut reader = files.entries()?;
    let mut line = Vec::new();
    let mut fault = None;
    while fault.is_none() && reader.read_until(b'\n', &mut line).map_err(files.error("read", ENTRIES))? > 0 {
        match verifier.line(&line) {
            Ok(entry) => visit(&entry, verifier.head()),
            Err(found) => fault = Some(found),
        }
        if let Ok(Some(head)) = &noted
            && head.n == verifier.head().n
            && head != verifier.head()
        {
            noted = Err(FaultKind::Replaced);
        }
        line.clear();
    }
    let at_end = match noted {
        Ok(None) => (verifier.head().n > 0).then_some(FaultKind::Note),
        Ok(Some(head)) if head.n > verifier.head().n => Some(FaultKind::Truncated { entries: head.n }),
        Ok(Some(_)) => None,
        Err(kind) => Some(kind),
    };
    let fault = fault.or_else(|| at_end.map(|kind| verifier.fault(kind)));
    Ok(Checked { verifier, fault })
}

/// An entry with its signature.
#[derive(Debug)]
pub struct Signed<'l> {
    /// The parsed entry.
    pub entry: Entry,
    /// The bytes that are signed.
    pub signed: &'l [u8],
    /// The signature by the key of the entry's day.
    pub signature: [u8; 64],
}

/// Reads the ledger in `directory`, checks it, and hands every entry with its signature to `visit`. Returns
/// the keys of its days. A last line that is still being written is not an entry yet.
///
/// # Errors
/// If it cannot be read or was changed.
pub fn signed(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    visit: &mut dyn FnMut(Signed<'_>),
) -> Result<Verifier, LedgerError> {
    let files = Files::at(storage, directory);
    let mut verifier = Verifier::default();
    let mut reader = files.entries()?;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(files.error("read", ENTRIES))? > 0 {
        match verifier.line(&line) {
            Err(fault) if matches!(fault.kind, FaultKind::Torn) => break,
            checked => drop(checked.map_err(|fault| files.fault(fault))?),
        }
        if let Some(parsed) = Entry::parse(line.trim_ascii_end()) {
            visit(Signed { entry: parsed.entry, signed: parsed.signed, signature: parsed.signature });
        }
        line.clear();
    }
    Ok(verifier)
}
