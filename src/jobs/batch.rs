//! `batch`: filters old archives object by object, each as `filter --backfill` would.
//!
//! ```text
//! object --hash--> decompress --> filter --> zstd --> part --sync, rename if the name is free--> output --> manifest line
//! ```
//! - The name of an output follows from that of its input, and its end says what it was made of. So an
//!   interrupted run continues where it stopped, and two processes that filter the same object at once do not
//!   disturb each other.
//! - An object that cannot be processed is reported and gets no output; the other objects are processed.
//! - Many processes may share a state directory, and with it the tokens: Spark, Slurm or `xargs -P` start
//!   them.

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

/// Processes objects.
pub struct Batch {
    storage: Arc<dyn Storage>,
    /// The directory of outputs.
    directory: PathBuf,
    /// How lines are filtered.
    plan: Plan,
    /// The compression level of zstd.
    level: i32,
}

/// What became of an object.
pub struct Processed {
    /// Its line of the manifest.
    pub entry: Entry,
    /// All counts; `None` if the object was skipped.
    pub outcome: Option<Outcome>,
}

impl Batch {
    /// Creates a batch that writes its outputs to `directory`, which is created if missing. Removes what a
    /// crash left there.
    ///
    /// # Errors
    /// If the directory cannot be created or read.
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

    /// Filters the object named `input`, unless that was done before.
    ///
    /// # Errors
    /// If the object cannot be read or filtered, or its output cannot be written; then there is no output of
    /// it. Also if an output exists already that was made of other bytes.
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
        // Another process has filtered the same object meanwhile.
        let other = Done::of_output(&*self.storage, &output).map_err(output_failed(&output))?;
        match other {
            Some(other) => self.skip(input, &output, other),
            None => Err(output_failed(&output)(io::ErrorKind::NotFound.into())),
        }
    }

    /// Returns the manifest line of an object whose output exists, if that was made of the same bytes.
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
            // Nobody reads a part: a broken pipe means that its storage has gone away, so what it has is not
            // an output.
            return Err(output_failed(&self.directory)(io::ErrorKind::BrokenPipe.into()));
        }
        encoder.finish().map_err(output_failed(&self.directory))?;
        Ok(outcome)
    }
}

fn entry(input: &str, done: Done, output: &Path, skipped: bool) -> Entry {
    Entry { input: input.to_owned(), done, output: output.display().to_string(), skipped }
}

/// Returns the name of an output: the first 128 bits of the SHA-256 of the input's name, which itself may
/// contain a customer's address.
fn output_name(input: &str) -> String {
    format!("{}.log.zst", hex::encode(&Sha256::digest(input)[..16]))
}

/// Adds the object to the place of the message. Also advises what to do with an object that could not be read
/// to its end, whose output is dropped.
fn placed(input: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    let place = diagnostic.place.take().map_or_else(|| input.to_owned(), |place| format!("{input}, {place}"));
    let diagnostic = diagnostic.at(place);
    if *diagnostic.code != READ_FAILED {
        return diagnostic;
    }
    diagnostic
        .hint("nothing of it was kept: mend it or fetch it again, then run it again: objects that are done are skipped")
}

fn unreadable(input: &str) -> impl FnOnce(io::Error) -> Diagnostic {
    let place = input.to_owned();
    move |error| {
        Diagnostic::new(&UNREADABLE, "cannot read an object of the batch")
            .at_path(place, error)
            .hint("correct the list or mend the object, then run it again: objects that are done are skipped")
    }
}

fn output_failed(path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&OUTPUT, "cannot write or read an output of the batch")
            .at_path(place, error)
            .hint(
                "mend the place, or name another one with --out, then run it again: objects that are done are skipped",
            )
    }
}

/// Permission bits of the directory of outputs: a group may read them, as it may read segments.
const DIRECTORY_MODE: u32 = 0o750;

/// All error codes of this module.
pub const CODES: &[&Code] = &[&UNREADABLE, &OUTPUT, &OTHER_INPUT, &DIFFERS];

/// F10: an object that cannot be read.
pub static UNREADABLE: Code = Code {
    id: "F10",
    title: "an object of the batch cannot be read",
    text: "\
What it means
  A file or object of the list does not exist, is not a file, or could not be read to its end. It
  has no output. oubliette processed the other objects, and ends with exit code 2.

Why it matters
  Its lines are missing. The manifest has no line for it, and `oubliette batch --check` reports
  that.

Example
  echo /srv/old/2019.log.gz | oubliette batch --out /srv/new      the file was moved

What to do
  1. Correct the list or the permissions.
  2. If the object is damaged or cut off, which `gzip -t` or `zstd -t` shows, restore it.
  3. Run the whole list again. oubliette skips objects that are done.

References
  docs/fleet/README.md",
};

static OUTPUT: Code = Code {
    id: "F11",
    title: "an output of the batch cannot be written or read",
    text: "\
What it means
  oubliette could not write to the place of outputs. Or a file with the name of an output is there
  that no batch made.

Why it matters
  The lines of that object have no output. An output appears whole or not at all, so nothing half
  done is left.

Example
  a full disk; a bucket that refuses the key

What to do
  1. Make room, correct the permissions, or name another place with `--out`.
  2. Run the whole list again.

References
  docs/fleet/README.md",
};

static OTHER_INPUT: Code = Code {
    id: "F12",
    title: "the input of an output has changed since",
    text: "\
What it means
  The output of this object exists. It states at its end the SHA-256 of the object that it was made
  of, and the object now has another one. The object has changed since: it grew, was compressed, or
  was replaced.

Why it matters
  One of the two is not the one you want, and oubliette cannot know which. It overwrites nothing.

Example
  a log that was still being written to when the batch ran first

What to do
  If the object is right as it is now, remove the output and run the batch again. Do not run a batch
  over files that a program still writes to.

References
  docs/fleet/README.md",
};

/// F13: manifest, inputs and outputs that differ.
pub static DIFFERS: Code = Code {
    id: "F13",
    title: "manifest, inputs and outputs of a batch do not agree",
    text: "\
What it means
  `oubliette batch --check` read every object of the list and every output of the manifest. The
  table names each one that is missing, that has other bytes or lines than the manifest says, or
  whose lines were quarantined.

Why it matters
  Tools that run many processes can lose one without a message: Spark's `pipe` ignores exit codes
  unless it has checkCode=True. When this check reports nothing, you can safely remove the inputs.

Example
  find /srv/old -name '*.gz' | oubliette batch --check manifest.jsonl

What to do
  - Missing or changed: run the whole list through `oubliette batch` again, with the same `--out`.
  - Quarantined: lines were longer than `--max-line-bytes`. They are encrypted in the state
    directory of the process that read them.

References
  docs/fleet/README.md",
};

#[cfg(test)]
mod tests;
