//! Passphrases and PINs: from a file that was named, or from the terminal, unseen.

use super::codes;
use crate::keyring::Ask;
use crate::primitives::diag::Diagnostic;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Whom to ask.
pub(crate) enum Passphrases {
    /// Nobody: the passphrase is this.
    Given(Zeroizing<String>),
    /// Whoever sits at the terminal, whatever standard input and output are.
    Terminal,
}

impl Passphrases {
    /// The first line of a file, or the terminal.
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
        // Without a terminal there is nobody to tell.
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

/// [`asked`], without what is typed being shown.
fn unseen(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = terminal()?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let line = asked(question);
    // Whatever came of it, the terminal shows what is typed again.
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    line.map(Zeroizing::new)
}

/// Room for a whole line, lest the secret be left behind in smaller buffers as it grows.
const LONGEST: usize = 4096;
