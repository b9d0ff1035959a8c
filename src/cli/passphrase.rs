//! Reads passphrases and PINs from a named file, or from the terminal without echo.

use super::codes;
use crate::keyring::Ask;
use crate::primitives::diag::Diagnostic;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
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
        File::open(path).and_then(first_line).map(Self::Given).map_err(|error| {
            Diagnostic::new(&codes::OPEN, "cannot read the passphrase file")
                .at_path(path, error)
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
        asked(question).ok().map(|line| (*line).clone())
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

fn asked(question: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = terminal()?;
    write!(terminal, "{question}: ")?;
    first_line(terminal)
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
    line
}

/// Reads the first line, without its end. All that is read goes into memory that is wiped when freed; a
/// `BufReader` would leave a copy.
fn first_line(mut file: impl Read) -> io::Result<Zeroizing<String>> {
    let mut buffer = Zeroizing::new([0; LONGEST]);
    let mut length = 0;
    while !buffer[..length].contains(&b'\n') {
        if length == LONGEST {
            return Err(io::Error::other(format!("the first line is longer than {} bytes", LONGEST - 1)));
        }
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let line = buffer[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| io::Error::other("the first line is not UTF-8"))?;
    Ok(Zeroizing::new(line.trim_end_matches('\r').to_owned()))
}

/// The longest line that is read, with its end: as many bytes as a terminal hands over at once.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn the_first_line_of_a_file_is_the_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            match Passphrases::new(Some(&path)) {
                Ok(passphrases) => passphrases.passphrase("").map(|passphrase| passphrase.to_string()),
                Err(_) => None,
            }
        };
        for (text, passphrase) in [
            ("", ""),
            ("\n", ""),
            ("one", "one"),
            ("one two \n", "one two "),
            ("one\r\nsecond\n", "one"),
            ("\u{e9}t\u{e9}\n", "\u{e9}t\u{e9}"),
        ] {
            assert_eq!(read(text.as_bytes()).as_deref(), Some(passphrase), "{text:?}");
        }
        let long = "a".repeat(4000);
        assert_eq!(read(format!("{long}\n{long}").as_bytes()), Some(long));
        assert_eq!(read(b"\xff\n"), None);
        assert_eq!(read(&[b'a'; 5000]), None);
    }

    #[test]
    fn nothing_of_a_passphrase_stays_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        // Only its mirror image stays here. It does not come first, because an allocator writes into what is
        // freed.
        let mut line = Zeroizing::new(vec![b'a'; 256]);
        getrandom::fill(&mut line[128..160]).unwrap();
        line[128..160].iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
        let mirrored: Vec<u8> = line[128..160].iter().rev().copied().collect();
        std::fs::write(&path, &line).unwrap();
        drop(line);
        let mut memory = Memory::of_process();
        let read = Passphrases::new(Some(&path)).ok().unwrap();
        assert_eq!(read.passphrase("").unwrap().len(), 256);
        assert!(memory.holds(&mirrored), "it is there as long as it is needed");
        drop(read);
        assert!(!memory.holds(&mirrored));
    }

    /// The memory that this process may write to. It is listed beforehand, so that the list does not lie
    /// where something was freed.
    struct Memory {
        file: File,
        parts: Vec<Range<u64>>,
        page: Zeroizing<Vec<u8>>,
    }

    impl Memory {
        fn of_process() -> Self {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let part = |line: &str| {
                let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
                u64::from_str_radix(from, 16).unwrap()..u64::from_str_radix(to, 16).unwrap()
            };
            let parts = maps.lines().filter(|line| line.contains(" rw")).map(part).collect();
            let file = File::open("/proc/self/mem").unwrap();
            Self { file, parts, page: Zeroizing::new(vec![0; 1 << 16]) }
        }

        /// Returns whether there is the mirror image of these bytes.
        fn holds(&mut self, mirrored: &[u8]) -> bool {
            let ours = self.page.as_ptr_range();
            let ours = ours.start as u64..ours.end as u64;
            let step = self.page.len() - mirrored.len();
            for at in self.parts.iter().flat_map(|part| part.clone().step_by(step)) {
                // Memory of other threads may be gone by now.
                let read = self.file.read_at(&mut self.page, at).unwrap_or(0);
                let is_there = |(start, found): (usize, &[u8])| {
                    found.iter().eq(mirrored.iter().rev()) && !ours.contains(&(at + start as u64))
                };
                if self.page[..read].windows(mirrored.len()).enumerate().any(is_there) {
                    return true;
                }
            }
            false
        }
    }
}
