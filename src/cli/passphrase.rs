//! Reads passphrases and PINs from a named file, or from the terminal without echo.

use super::codes;
use crate::keyring::Ask;
use crate::primitives::diag::Diagnostic;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// The source of passphrases.
pub(crate) enum Passphrases {
    /// The passphrase is already known; nobody is asked.
    Given(Zeroizing<String>),
    /// The user at the terminal, whatever standard input and output are.
    Terminal,
}

impl Passphrases {
    /// Uses the first line of `file`, or else the terminal.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, Diagnostic> {
        let Some(path) = file else { return Ok(Self::Terminal) };
        let read = || -> io::Result<Zeroizing<String>> {
            let mut line = Zeroizing::new(String::with_capacity(LONGEST));
            BufReader::new(File::open(path)?).read_line(&mut line)?;
            let length = line.trim_end_matches(['\r', '\n']).len();
            line.truncate(length);
            Ok(line)
        };
        read().map(Self::Given).map_err(|error| {
            Diagnostic::new(&codes::OPEN, "cannot read the passphrase file")
                .at(path.display().to_string())
                .because(error.to_string())
                .hint("mend the path or the permissions")
        })
    }
}

impl Ask for Passphrases {
    fn tell(&self, message: &str) {
        // Without a terminal, nobody can read the message.
        let _ = terminal().and_then(|mut terminal| writeln!(terminal, "{message}"));
    }

    fn line(&self, question: &str) -> Option<String> {
        asked(question).ok()
    }

    fn passphrase(&self, question: &str) -> Option<Zeroizing<String>> {
        match self {
            Self::Given(passphrase) => Some(passphrase.clone()),
            Self::Terminal => unseen(question).ok(),
        }
    }
}

fn terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn asked(question: &str) -> io::Result<String> {
    let mut terminal = terminal()?;
    write!(terminal, "{question}: ")?;
    let mut line = String::with_capacity(LONGEST);
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Like [`asked`], but without echo.
fn unseen(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = terminal()?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let line = asked(question);
    // Restore the echo in any case.
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    line.map(Zeroizing::new)
}

/// Capacity for a whole line: a buffer that grew would leave copies of the secret in freed memory.
const LONGEST: usize = 4096;
