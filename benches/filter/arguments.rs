//! Parses the command line: `[PROFILE|PART] [MB] [RUNS] [--only NAMES] [--save FILE]`.

use crate::generate::Profile;
use std::path::PathBuf;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All contenders on one profile.
    Compare(Profile),
    /// Two workers against one.
    Cores,
    /// Time against the length of a line.
    Linear,
    /// Peak memory.
    Memory,
    /// The time that a single line spends in the filter.
    Latency,
}

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The parts to measure, in order.
    pub(crate) parts: Vec<Part>,
    /// Size of a log.
    pub(crate) megabytes: usize,
    /// How often each contender runs.
    pub(crate) runs: usize,
    /// Where to save the raw figures.
    pub(crate) save: Option<PathBuf>,
    /// Prefixes of contender names; empty for all.
    only: Vec<String>,
}

impl Arguments {
    /// Parses the words after the program's name.
    ///
    /// # Errors
    /// A word that is not understood.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments =
            Self { parts: Part::all(), megabytes: 200, runs: 5, save: None, only: Vec::new() };
        let mut numbers = Vec::new();
        // cargo passes `--bench` to every benchmark.
        let mut words = words.filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            match word.as_str() {
                "all" => {}
                "--save" => arguments.save = words.next().map(PathBuf::from),
                "--only" => {
                    let names = words.next().unwrap_or_default();
                    arguments.only = names.split(',').map(str::to_owned).collect();
                }
                name => match (Part::named(name), name.parse().ok().filter(|&number| number > 0)) {
                    (Some(part), _) => arguments.parts = vec![part],
                    (None, Some(number)) => numbers.push(number),
                    (None, None) => return Err(format!("not a profile, part or number: {name}")),
                },
            }
        }
        arguments.megabytes = numbers.first().copied().unwrap_or(arguments.megabytes);
        arguments.runs = numbers.get(1).copied().unwrap_or(arguments.runs);
        Ok(arguments)
    }

    /// Returns whether the contender of this name takes part. Ours and `cat` always do, since ratios need
    /// them.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let always = ["oubliette", "cat"].contains(&name);
        always
            || self.only.is_empty()
            || self.only.iter().any(|beginning| name.starts_with(beginning.as_str()))
    }
}

impl Part {
    fn all() -> Vec<Self> {
        let profiles = Profile::ALL.into_iter().map(Self::Compare);
        profiles.chain([Self::Linear, Self::Cores, Self::Memory, Self::Latency]).collect()
    }

    fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|part| part.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Compare(profile) => profile.name(),
            Self::Cores => "cores",
            Self::Linear => "linear",
            Self::Memory => "memory",
            Self::Latency => "latency",
        }
    }
}
