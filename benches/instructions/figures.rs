//! The figures that were last accepted, and the comparison with them.

use super::callgrind::Count;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The conditions, other than the source, on which a count depends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    compiler: String,
    valgrind: String,
    /// Architecture, and the widest vectors that both the processor and valgrind support.
    processor: String,
    /// How the C library is linked: if statically, its instructions are among the program's own.
    linked: String,
}

impl Environment {
    /// Returns the environment of this run of `program`.
    ///
    /// # Errors
    /// The program could not be read.
    pub(crate) fn here(valgrind: String, program: &Path) -> io::Result<Self> {
        let said = Command::new("rustc").arg("--version").output();
        let compiler = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
        // The name of the program that links is near the beginning of those that need one.
        let mut beginning = Vec::new();
        File::open(program)?.take(4096).read_to_end(&mut beginning)?;
        let dynamic = beginning.windows(4).any(|bytes| bytes == b"/ld-");
        Ok(Self {
            compiler: compiler.unwrap_or_default(),
            valgrind,
            processor: processor(),
            linked: if dynamic { "dynamically" } else { "statically" }.to_owned(),
        })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; {}; linked {}", self.compiler, self.valgrind, self.processor, self.linked)
    }
}

/// Accepted figures.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    /// The environment in which they were measured.
    pub(crate) environment: Environment,
    /// One count per profile.
    pub(crate) counts: BTreeMap<String, Count>,
}

impl Figures {
    /// Reads the accepted figures.
    ///
    /// # Errors
    /// The file is missing or malformed.
    pub(crate) fn load() -> io::Result<Self> {
        toml::from_str(&std::fs::read_to_string(path())?).map_err(io::Error::other)
    }

    /// Writes the figures.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn save(&self) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        std::fs::write(
            path(),
            format!("# Written by the benchmark `instructions` with `--accept`.\n\n{text}"),
        )
    }

    /// Prints `counts` beside these; returns by how much each differs, in percent.
    #[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
    pub(crate) fn show(&self, counts: &BTreeMap<String, Count>) -> Vec<f64> {
        println!("{:<10} {:<8} {:>14} {:>14} {:>8}", "profile", "what", "instructions", "accepted", "change");
        let mut changes = Vec::new();
        for (profile, count) in counts {
            let accepted = self.counts.get(profile).copied().unwrap_or_default();
            let pairs = [("work", count.work, accepted.work), ("sha256", count.sha256, accepted.sha256)];
            for (what, now, before) in pairs {
                let change = growth(now, before);
                changes.push(change);
                println!("{profile:<10} {what:<8} {now:>14} {before:>14} {change:>+7.2}%");
            }
        }
        changes
    }
}

/// Returns the growth in percent; infinite from zero.
fn growth(now: u64, before: u64) -> f64 {
    if now == before { 0.0 } else { 100.0 * (now as f64 / before as f64 - 1.0) }
}

fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx2") { "avx2" } else { "sse2" };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "baseline";
    format!("{} {vectors}", std::env::consts::ARCH)
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/figures.toml"))
}
