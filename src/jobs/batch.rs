//! `batch`: old archives, one object after the other, each filtered as `filter --backfill` would.
//!
//! ```text
//! object --hash--> decompress --> filter --> zstd --> part --sync, rename if the name is free--> output --> manifest line
//! ```
//! - An output has a name that follows from that of its input, and says at its end what it was made of. So a run that
//!   broke off goes on where it stopped, and two that do the same object at once do not get into each other's way.
//! - What cannot be processed is told, its output does not appear, and the other objects are processed.
//! - Many processes may share a state directory, and so the tokens: Spark, Slurm or `xargs -P` start them.

mod check;
mod manifest;
mod object;
mod part;

pub use check::{Checked, check};
pub use manifest::{Done, Entry};

use super::filter::{Outcome, Plan, Ready};
use crate::input::READ_FAILED;
use crate::model::LineCounts;
use crate::pipeline::Finish;
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::primitives::storage::{Sequential, Storage};
use object::Hashed;
use part::Part;
use sha2::{Digest as _, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is done with each object.
pub struct Batch {
    storage: Arc<dyn Storage>,
    /// Where outputs go.
    directory: PathBuf,
    /// How lines are filtered.
    plan: Plan,
    /// Compression level of zstd.
    level: i32,
}

/// What became of an object: its line of the manifest, and the counts unless it was skipped.
pub struct Processed {
    /// The line.
    pub entry: Entry,
    /// All counts.
    pub outcome: Option<Outcome>,
}

impl Batch {
    /// Outputs go to `directory`, which is made if it is missing. What a crash left there is removed.
    ///
    /// # Errors
    /// If the directory cannot be made or read.
    pub fn new(
        storage: Arc<dyn Storage>,
        directory: &Path,
        plan: Plan,
        level: i32,
    ) -> Result<Self, Diagnostic> {
        let made = storage.create_directory(directory, DIRECTORY_MODE);
        made.and_then(|()| part::remove_abandoned(&*storage, directory)).map_err(output_failed(directory))?;
        Ok(Self { storage, directory: directory.to_owned(), plan, level })
    }

    /// Filters the object called `input`, unless that was done.
    ///
    /// # Errors
    /// If it cannot be read or filtered, or the output cannot be written. Then there is no output of it, unless one
    /// was there: of other bytes, which is an error as well.
    pub fn process(&self, input: &str) -> Result<Processed, Diagnostic> {
        let output = self.directory.join(output_name(input));
        if let Some(done) = Done::of_output(&*self.storage, &output).map_err(output_failed(&output))? {
            return self.skip(input, &output, done);
        }
        let mut object = Hashed::new(self.open(input)?);
        let mut part = Part::begin(&self.storage, &self.directory).map_err(output_failed(&output))?;
        let outcome = self.filter(input, &mut object, &mut part)?;
        let (sha256, bytes) = object.finish().map_err(unreadable(input))?;
        let LineCounts { lines_in, lines_out, quarantined, dropped, .. } = outcome.tally.lines;
        let done = Done { sha256, bytes, lines_in, lines_out, quarantined, dropped };
        let marked = done.frame().and_then(|frame| io::Write::write_all(&mut part, &frame));
        let published = marked.and_then(|()| part.publish(&output)).map_err(output_failed(&output))?;
        if published {
            let entry = entry(input, done, &output, false);
            return Ok(Processed { entry, outcome: Some(outcome) });
        }
        // Another process did the same object meanwhile, and was faster.
        let other = Done::of_output(&*self.storage, &output).map_err(output_failed(&output))?;
        match other {
            Some(other) => self.skip(input, &output, other),
            None => Err(output_failed(&output)(io::ErrorKind::NotFound.into())),
        }
    }

    /// The line of an object whose output is there, if that was made of the same bytes.
    fn skip(&self, input: &str, output: &Path, done: Done) -> Result<Processed, Diagnostic> {
        let (sha256, _) = Hashed::new(self.open(input)?).finish().map_err(unreadable(input))?;
        if sha256 == done.sha256 {
            return Ok(Processed { entry: entry(input, done, output, true), outcome: None });
        }
        Err(Diagnostic::new(&OTHER_INPUT, "the output of this object was made of other bytes")
            .at(format!("{input}, {}", output.display()))
            .because("the object has changed since it was processed")
            .hint("remove the output if it is the older one, then run it again"))
    }

    fn open(&self, input: &str) -> Result<Sequential, Diagnostic> {
        Sequential::open(&*self.storage, Path::new(input)).map_err(unreadable(input))
    }

    /// Writes the filtered lines of `object` to `part`, compressed.
    fn filter(
        &self,
        input: &str,
        object: &mut Hashed<Sequential>,
        part: &mut Part,
    ) -> Result<Outcome, Diagnostic> {
        let compressed = |mut encoder: zstd::Encoder<'static, _>| {
            encoder.include_checksum(true)?;
            Ok(encoder)
        };
        let encoder = zstd::Encoder::new(part, self.level).and_then(compressed);
        let mut encoder = encoder.map_err(output_failed(&self.directory))?;
        let lines = object::lines(object).map_err(unreadable(input))?;
        let mut outcome = Ready::new(self.plan.clone())?.run(lines, &mut encoder, &|| {});
        let finish = std::mem::replace(&mut outcome.result, Ok(Finish::Complete));
        if finish.map_err(|error| placed(input, error))? == Finish::BrokenPipe {
            // Nobody reads a part: whatever stores it has gone away, and what it has is no output.
            return Err(output_failed(&self.directory)(io::ErrorKind::BrokenPipe.into()));
        }
        encoder.finish().map_err(output_failed(&self.directory))?;
        Ok(outcome)
    }
}

fn entry(input: &str, done: Done, output: &Path, skipped: bool) -> Entry {
    Entry { input: input.to_owned(), done, output: output.display().to_string(), skipped }
}

/// The first 128 bits of the SHA-256 of the input's name: the name itself may hold a customer's address.
fn output_name(input: &str) -> String {
    format!("{}.log.zst", hex::encode(&Sha256::digest(input)[..16]))
}

/// Adds which object it was. One that ends in its middle is not gone on with: its output is dropped.
fn placed(input: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    let place = diagnostic.place.take().map_or_else(|| input.to_owned(), |place| format!("{input}, {place}"));
    let diagnostic = diagnostic.at(place);
    if *diagnostic.code != READ_FAILED {
        return diagnostic;
    }
    diagnostic
        .hint("nothing of it was kept: mend it or fetch it again, then run it again: what is done is skipped")
}

fn unreadable(input: &str) -> impl FnOnce(io::Error) -> Diagnostic {
    let place = input.to_owned();
    move |error| {
        Diagnostic::new(&UNREADABLE, "cannot read an object of the batch")
            .at(place)
            .because(error.to_string())
            .hint("correct the list or mend the object, then run it again: what is done is skipped")
    }
}

fn output_failed(path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&OUTPUT, "cannot write or read an output of the batch")
            .at(place)
            .because(error.to_string())
            .hint(
                "mend the place, or name another one with --out, then run it again: what is done is skipped",
            )
    }
}

/// Permission bits of the directory of outputs: a group may read them, as it may read segments.
const DIRECTORY_MODE: u32 = 0o750;

/// All codes of this area.
pub const CODES: &[&Code] = &[&UNREADABLE, &OUTPUT, &OTHER_INPUT, &DIFFERS];

/// An object cannot be read.
pub static UNREADABLE: Code = Code {
    id: "F10",
    title: "an object of the batch cannot be read",
    text: "\
What it means
  A file or object that stands in the list is not there, is none, or could not be read to its end. There is no
  output of it. The other objects are processed, and the exit code is 2.

Why it matters
  Its lines are missing. The manifest has no line for it, and `oubliette batch --check` says so.

Example
  echo /srv/old/2019.log.gz | oubliette batch --out /srv/new      the file was moved

What to do
  Correct the list or the permissions and run the whole list again: what is done is skipped. An object that is
  damaged or cut off must be restored first; `gzip -t` and `zstd -t` tell.

References
  docs/fleet/README.md",
};

static OUTPUT: Code = Code {
    id: "F11",
    title: "an output of the batch cannot be written or read",
    text: "\
What it means
  The place of outputs could not be written to, or a file with the name of an output lies there that a batch did not
  make.

Why it matters
  An output appears whole under its name or not at all, so nothing half done is left; but the lines of that object
  are not there.

Example
  a full disk; a bucket that refuses the key

What to do
  Make room, mend the permissions, or name another place with --out. Then run the whole list again.

References
  docs/fleet/README.md",
};

static OTHER_INPUT: Code = Code {
    id: "F12",
    title: "an output was made of other bytes than its input has now",
    text: "\
What it means
  The output of this object is there, and says at its end that it was made of an object with another SHA-256. The
  object has changed since: it grew, was compressed, or was replaced.

Why it matters
  One of the two is not what you want, and oubliette cannot know which. Nothing is overwritten.

Example
  a log that was still being written to when the batch ran first

What to do
  If the object as it is now is right, remove the output and run it again. Do not run a batch over files that
  something writes to.

References
  docs/fleet/README.md",
};

/// Manifest, inputs and outputs differ.
pub static DIFFERS: Code = Code {
    id: "F13",
    title: "manifest, inputs and outputs of a batch do not agree",
    text: "\
What it means
  `oubliette batch --check` read every object of the list and every output of the manifest. The table names each one
  that is missing, that has other bytes or lines than the manifest says, or of which lines were quarantined.

Why it matters
  Tools that run many processes can lose one without saying so: Spark's `pipe` ignores exit codes unless it is told
  checkCode=True. Inputs are safe to remove when this check is clean.

Example
  find /srv/old -name '*.gz' | oubliette batch --check manifest.jsonl

What to do
  Missing or changed: run the whole list through `oubliette batch` again, with the same --out. Quarantined: lines were
  longer than --max-line-bytes; they lie sealed in the state directory of the process that read them.

References
  docs/fleet/README.md",
};

#[cfg(test)]
mod tests;
