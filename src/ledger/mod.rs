//! What was done to personal data, when and by whom, as entries that nobody can change unseen.
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
use crate::primitives::storage::{Patience, Storage};
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

/// Version of the format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// The folder of a state directory that holds a ledger.
pub const FOLDER: &str = "ledger";

/// The entries, one a line.
pub const ENTRIES: &str = "ledger.jsonl";

/// The note about the end.
pub const HEAD: &str = "head";

/// What a ledger is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where files are.
    pub storage: Arc<dyn Storage>,
    /// The folder `ledger` of the state directory.
    pub directory: PathBuf,
    /// The legal zone of its days. One that exists keeps its own.
    pub zone: TimeZone,
    /// The system user who acts.
    pub who: String,
    /// Where the present comes from.
    pub clock: Clock,
}

/// A ledger to which entries are added. Clones, like other processes, take turns at it.
#[derive(Clone, Debug)]
pub struct Ledger {
    settings: Settings,
    files: Files,
    /// After a failed write or sync nobody can say what is on the disk, until it is opened again.
    poisoned: bool,
    patience: Arc<Patience>,
}

impl Ledger {
    /// Opens the ledger; its folder is made, mode 0700, if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(settings: Settings) -> Result<Self, LedgerError> {
        let files = Files::open(&settings.storage, &settings.directory)?;
        Ok(Self { settings, files, poisoned: false, patience: Arc::default() })
    }

    /// The ledger as it is, for whoever only looks: nothing is made.
    #[must_use]
    pub fn at(settings: Settings) -> Self {
        let files = Files::at(&settings.storage, &settings.directory);
        Self { settings, files, poisoned: false, patience: Arc::default() }
    }

    /// The same ledger, which waits as long as `patience` lasts for a disk that takes nothing. Others have their turn
    /// meanwhile: a purge makes room.
    #[must_use]
    pub fn waiting_with(self, patience: Arc<Patience>) -> Self {
        Self { patience, ..self }
    }

    /// Adds an entry, which is durable when this returns. The number of the entry.
    ///
    /// # Errors
    /// If it cannot be written, or what is there was changed. After a failed write nothing more is added
    /// until the ledger is opened again.
    pub fn append(&mut self, event: Event) -> Result<u64, LedgerError> {
        self.session(self.settings.clock.now(), |session| session.append(event.clone()))
    }

    /// Adds an entry at the time of the last one, for a clock that is not believed: neither the day of the ledger nor
    /// what it knows of the clock changes.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub fn append_unmoved(&mut self, event: Event) -> Result<u64, LedgerError> {
        let last = self.files.head()?.and_then(|head| head.clock);
        self.session(last.unwrap_or_else(|| self.settings.clock.now()), |session| {
            session.append(event.clone())
        })
    }

    /// Adds an entry, and signs `message` with the key of the same day: an entry begins with `{"n":`, what a segment
    /// is sealed by with `oubliette/`, and `message` must begin with neither.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub fn sign(&mut self, event: Event, message: &[u8]) -> Result<Seal, LedgerError> {
        self.session(self.settings.clock.now(), |session| {
            session.append(event.clone())?;
            let (day, key) = (session.day()?.day, session.public_key());
            Ok(Seal { day, key, signature: session.sign(message) })
        })
    }

    /// The legal day whose key signs now.
    ///
    /// # Errors
    /// If the ledger cannot be read, or not be brought to this day.
    pub fn day(&mut self) -> Result<Date, LedgerError> {
        self.session(self.settings.clock.now(), |session| Ok(session.day()?.day))
    }

    /// What its clock says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// The jump of the clock that must be confirmed before anything is purged, if there is one.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn clock_step(&mut self) -> Result<Option<ClockStep>, LedgerError> {
        let now = self.settings.clock.now();
        Ok(self.files.head()?.and_then(|head| head.step_to(now)))
    }

    /// Reads the ledger from its beginning, checks it, and hands every entry to `visit`. One without entries
    /// is fine.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn read(&self, visit: &mut dyn FnMut(&Entry, &Head)) -> Result<(), LedgerError> {
        if self.files.entries_length()? == 0 {
            return Ok(());
        }
        // A last line that a crash tore, or that another process is writing, is no entry yet.
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
        // What fails for want of room has added nothing, and what the session itself had begun goes on.
        let done = patience.attempt(&settings.directory, || {
            Session::begin(files, settings, now).and_then(|mut session| work(&mut session))
        });
        self.poisoned = matches!(done, Err(LedgerError::Io { .. }));
        done
    }
}

/// What a whole ledger says.
#[derive(Debug)]
pub struct Checked {
    /// Keys of its days, and its end.
    pub verifier: Verifier,
    /// What is wrong with it, at the first place where something is.
    pub fault: Option<Fault>,
}

/// Reads the ledger in `directory`, checks it, and hands every entry up to the first fault to `visit`, with the
/// end of the ledger as it was then.
///
/// # Errors
/// If there is none, or it cannot be read. What is wrong with it is no error but the answer.
pub fn check(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    visit: &mut dyn FnMut(&Entry, &Head),
) -> Result<Checked, LedgerError> {
    let files = Files::at(storage, directory);
    // Before the entries, of which more may be added meanwhile: the note is never ahead of them.
    let noted = files.head_text()?;
    let mut noted = noted.map(|text| Head::from_text(&text).ok_or(FaultKind::Note)).transpose();
    let mut verifier = Verifier::default();
    let mut reader = files.entries(&**storage)?;
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

/// An entry as it was signed.
#[derive(Debug)]
pub struct Signed<'l> {
    /// What it says.
    pub entry: Entry,
    /// The bytes that are signed.
    pub signed: &'l [u8],
    /// The signature by the key of the entry's day.
    pub signature: [u8; 64],
}

/// Reads the ledger in `directory`, checks it, and hands every entry with its signature to `visit`. The keys of its
/// days. A last line that is still being written is no entry yet.
///
/// # Errors
/// If it cannot be read, or is not what was written.
pub fn signed(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    visit: &mut dyn FnMut(Signed<'_>),
) -> Result<Verifier, LedgerError> {
    let files = Files::at(storage, directory);
    let mut verifier = Verifier::default();
    let mut reader = files.entries(&**storage)?;
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
