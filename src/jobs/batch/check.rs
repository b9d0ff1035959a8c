//! `batch --check`: checks that every object of the list is in the manifest once and unchanged, and its
//! output too.

use super::manifest::{Done, Entry};
use super::object::{CHUNK_BYTES, Hashed, lines};
use super::unreadable;
use crate::jobs::findings::Finding;
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Sequential, Storage};
use crate::scan::count_lines;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

/// What was read, and what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The number of objects in the list.
    pub objects: u64,
    /// The number of lines in the objects that could be read.
    pub lines_in: u64,
    /// The number of lines in their outputs, including placeholders.
    pub lines_out: u64,
    /// The number of lines that had expired, and are in no output.
    pub dropped: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Compares `inputs` and their outputs, all of which it reads, with the manifest.
///
/// # Errors
/// If an output cannot be read for a reason other than being missing or damaged.
pub fn check(storage: &dyn Storage, inputs: &[String], manifest: &[Entry]) -> Result<Checked, Diagnostic> {
    let inputs: BTreeSet<&str> = inputs.iter().map(String::as_str).collect();
    let mut entries: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in manifest {
        entries.entry(&entry.input).or_default().push(entry);
    }
    let mut checked = Checked { objects: inputs.len() as u64, ..Checked::default() };
    for foreign in entries.keys().filter(|input| !inputs.contains(*input)) {
        checked.wrong(foreign, "it is in the manifest, and not in the list");
    }
    for input in inputs {
        match entries.get(input).map(Vec::as_slice) {
            None => checked.wrong(input, "it is not in the manifest"),
            Some([first, others @ ..]) => {
                if others.iter().any(|other| (&other.done, &other.output) != (&first.done, &first.output)) {
                    checked.wrong(input, "the manifest says different things of it");
                }
                checked.object(storage, first)?;
                checked.output(storage, first)?;
            }
            Some([]) => {}
        }
    }
    Ok(checked)
}

impl Checked {
    /// Checks the object as it is now.
    fn object(&mut self, storage: &dyn Storage, entry: &Entry) -> Result<(), Diagnostic> {
        let Entry { input, done, .. } = entry;
        let read = Sequential::open(storage, Path::new(input)).and_then(|object| {
            let mut object = Hashed::new(object);
            let counted = count(lines(&mut object)?)?;
            Ok((counted, object.finish()?))
        });
        let Some((counted, (sha256, bytes))) = self.damage(input, read)? else { return Ok(()) };
        self.lines_in += counted;
        if (sha256, bytes) != (done.sha256.clone(), done.bytes) {
            self.wrong(input, "it has other bytes than when it was processed");
        } else if counted != done.lines_in {
            self.wrong(input, "it has another number of lines than the manifest says");
        }
        if !done.is_balanced() {
            self.wrong(input, "lines in are not lines out, quarantined and dropped");
        }
        if done.quarantined > 0 {
            self.wrong(input, "lines of it are quarantined");
        }
        Ok(())
    }

    /// Checks its output, which must state what the manifest states and hold that many lines.
    fn output(&mut self, storage: &dyn Storage, entry: &Entry) -> Result<(), Diagnostic> {
        let Entry { output, done, .. } = entry;
        let path = Path::new(output);
        let said = Done::of_output(storage, path);
        match self.damage(output, said)? {
            None => return Ok(()),
            Some(None) => {
                self.wrong(output, "the output is missing");
                return Ok(());
            }
            Some(Some(said)) if said != *done => self.wrong(output, "the output was made of something else"),
            Some(Some(_)) => {}
        }
        let read = Sequential::open(storage, path).and_then(|output| count(lines(output)?));
        if let Some(counted) = self.damage(output, read)? {
            self.lines_out += counted;
            self.dropped += done.dropped;
            if Some(counted) != done.lines_out.checked_add(done.quarantined) {
                self.wrong(output, "the output has another number of lines than the manifest says");
            }
        }
        Ok(())
    }

    /// Turns a missing or damaged file into a finding. A file that cannot be read at the moment is an error.
    fn damage<T>(&mut self, name: &str, read: io::Result<T>) -> Result<Option<T>, Diagnostic> {
        use io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
        match read {
            Ok(read) => Ok(Some(read)),
            // zstd reports damage as `Other`, gzip as `InvalidInput`.
            Err(error)
                if matches!(error.kind(), NotFound | InvalidData | InvalidInput | UnexpectedEof | Other) =>
            {
                self.wrong(name, if error.kind() == NotFound { "it is not there" } else { "it is damaged" });
                Ok(None)
            }
            Err(error) => Err(unreadable(name)(error)),
        }
    }

    fn wrong(&mut self, name: &str, what: &str) {
        self.findings.push(Finding { file: name.to_owned(), place: None, what: what.to_owned() });
    }
}

fn count(mut lines: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut counted, mut partial) = (0, false);
    loop {
        match lines.read(&mut buffer)? {
            0 => return Ok(counted),
            read => {
                // A line that the last read left incomplete ends in this one.
                counted += count_lines(&buffer[..read]) - u64::from(partial);
                partial = buffer[read - 1] != b'\n';
            }
        }
    }
}
