//! Compares all contenders on one profile, in alternation, and checks each answer.

use super::child::{Input, Outcome, Time, run_to_null, run_to_pipe};
use super::contenders::{Contender, Way};
use super::record::{Label, Record};
use super::reference::{Replacement, Seen, compare, count, distinct_identifiers, distinct_tokens};
use super::statistics;
use super::table;
use super::workplace::{EXPIRES, Workplace};
use crate::generate::{Counts, Log, Profile};
use std::path::PathBuf;

/// A contender with its part of the log and its results so far.
pub(crate) struct Entry<'a> {
    pub(crate) contender: &'a Contender,
    program: PathBuf,
    /// Its part of the log.
    pub(crate) input: &'a [u8],
    /// Counts of what that part contains.
    pub(crate) counts: Counts,
    /// Its runs to `/dev/null`.
    pub(crate) to_null: Vec<Time>,
    /// Its runs to a pipe.
    pub(crate) to_pipe: Vec<Time>,
    /// An output that has passed the check; later outputs only need to equal it.
    checked: Vec<u8>,
    /// The share of tokens that oubliette remembered, if its statistics state it.
    pub(crate) recent_share: Option<f64>,
    /// Why the contender is out.
    pub(crate) wrong: Option<String>,
}

/// Where the output of a run goes.
#[derive(Clone, Copy)]
enum Output {
    Null,
    Pipe,
}

/// Runs `contenders`, ours first, `runs` times each, and prints a table.
///
/// # Panics
/// Our own answer is wrong.
pub(crate) fn compare_all(
    profile: Profile,
    log: &Log,
    contenders: &[Contender],
    runs: usize,
    place: &Workplace,
    record: &mut Record,
) {
    assert_eq!(count(&log.bytes), log.counts, "the reference and the generator disagree");
    let mut entries: Vec<Entry<'_>> =
        contenders.iter().filter_map(|contender| Entry::new(contender, &log.bytes)).collect();
    let mut output = Vec::new();
    for run in 0..runs {
        // In alternation, so that a busy neighbour slows all of them down.
        for entry in &mut entries {
            entry.run(run, profile, place, &mut output, record);
        }
    }
    table::print(profile, &entries);
}

impl<'a> Entry<'a> {
    fn new(contender: &'a Contender, log: &'a [u8]) -> Option<Self> {
        let program = contender.program()?;
        let most = contender.most_megabytes.saturating_mul(1_000_000);
        let input = beginning(log, most);
        Some(Self {
            contender,
            program,
            input,
            counts: count(input),
            to_null: Vec::new(),
            to_pipe: Vec::new(),
            checked: Vec::new(),
            recent_share: None,
            wrong: None,
        })
    }

    fn run(
        &mut self,
        run: usize,
        profile: Profile,
        place: &Workplace,
        output: &mut Vec<u8>,
        record: &mut Record,
    ) {
        let outputs: &[Output] = match self.contender.way {
            Way::Pipe => &[Output::Null, Output::Pipe],
            // To `/dev/null`, nothing would show when it has finished the file.
            Way::InputFile => &[Output::Pipe],
        };
        for &to in outputs {
            if self.wrong.is_some() {
                return;
            }
            match self.run_once(to, place, output).and_then(|outcome| self.check(to, outcome, output)) {
                Ok(time) => self.note(run, profile, to, time, record),
                Err(why) => self.fail(why),
            }
        }
    }

    fn run_once(&self, to: Output, place: &Workplace, output: &mut Vec<u8>) -> Result<Outcome, String> {
        let input = match self.contender.way {
            Way::Pipe => Input::Pipe(self.input),
            Way::InputFile => {
                place.write("input.log", self.input).map_err(|error| error.to_string())?;
                Input::Configured { lines: self.counts.lines }
            }
        };
        let command = (self.contender.command)(place, &self.program);
        let mut command = command.map_err(|error| error.to_string())?;
        match to {
            Output::Null => run_to_null(&mut command, input),
            Output::Pipe => run_to_pipe(&mut command, input, output),
        }
    }

    /// Checks the answer of a run and returns its time.
    fn check(&mut self, to: Output, outcome: Outcome, output: &mut Vec<u8>) -> Result<Time, String> {
        if self.contender.replacement == Replacement::Token {
            statistics::check(&outcome.talk, self.counts)?;
            self.recent_share = statistics::recent_share(&outcome.talk);
        }
        if matches!(to, Output::Pipe) && *output != self.checked {
            self.check_output(output)?;
            std::mem::swap(output, &mut self.checked);
        }
        Ok(outcome.time)
    }

    fn check_output(&self, output: &[u8]) -> Result<(), String> {
        let Counts { lines, addresses, emails } = self.counts;
        if self.contender.replacement == Replacement::Nothing {
            return if output == self.input { Ok(()) } else { Err("another text came out".to_owned()) };
        }
        let seen = compare(self.input, output, self.contender.replacement, EXPIRES);
        let ours = self.contender.replacement == Replacement::Token;
        let emails = if self.contender.emails { emails } else { 0 };
        let emails_left = if self.contender.emails { 0 } else { seen.emails_left };
        let least = Seen {
            lines,
            addresses_left: 0,
            emails_left,
            // The others may replace more than the addresses there are.
            replaced: if ours { addresses + emails } else { seen.replaced.max(addresses + emails) },
            address_tokens: if ours { addresses } else { 0 },
            email_tokens: if ours { emails } else { 0 },
            tags: if ours { lines } else { 0 },
        };
        if seen != least {
            return Err(format!("wrong answer: {seen:?}, not {least:?}"));
        }
        let distinct = || (distinct_identifiers(self.input), distinct_tokens(output));
        match ours.then(distinct) {
            Some((identifiers, tokens)) if identifiers != tokens => {
                Err(format!("{tokens} different tokens for {identifiers} different identifiers"))
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, run: usize, profile: Profile, to: Output, time: Time, record: &mut Record) {
        let (times, setting) = match to {
            Output::Null => (&mut self.to_null, "null"),
            Output::Pipe => (&mut self.to_pipe, "pipe"),
        };
        times.push(time);
        let label = Label { profile: profile.name(), subject: self.contender.name, setting };
        record.add_time(label, run, self.input.len(), time);
    }

    /// Takes a contender with a wrong answer out of the comparison.
    fn fail(&mut self, why: String) {
        assert!(self.contender.replacement != Replacement::Token, "oubliette: {why}");
        self.wrong = Some(why);
        self.to_null.clear();
        self.to_pipe.clear();
    }
}

/// Returns the whole lines that fit into `most` bytes.
fn beginning(log: &[u8], most: usize) -> &[u8] {
    match log.get(..most) {
        None => log,
        Some(cut) => &cut[..memchr::memrchr(b'\n', cut).map_or(0, |newline| newline + 1)],
    }
}
