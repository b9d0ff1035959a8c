//! Records every single figure of a run as it was measured, for `benches/runs/`.

use super::child::Time;
use std::fmt::{Display, Write};
use std::fs;
use std::path::Path;

/// What a figure belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    /// The log.
    pub(crate) profile: &'a str,
    /// The contender, or what else was measured.
    pub(crate) subject: &'a str,
    /// How it was measured.
    pub(crate) setting: &'a str,
}

/// Rows of raw figures, and the conditions under which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Record {
    header: String,
    rows: String,
}

impl Record {
    /// Creates a record that states machine, command and date.
    pub(crate) fn new() -> Self {
        let mut record = Self::default();
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        record.note("command", format!("cargo bench --bench filter -- {}", words.join(" ")));
        record.note("date", output("date", &["-u", "+%Y-%m-%dT%H:%MZ"]));
        record.note("commit", output("git", &["describe", "--always", "--dirty"]));
        record.note("compiler", output("rustc", &["--version"]));
        record.note("processor", processor());
        record.note("kernel", output("uname", &["-sr"]));
        record
    }

    /// Adds a note about the conditions.
    pub(crate) fn note(&mut self, what: &str, value: impl Display) {
        let _ = writeln!(self.header, "# {what}: {value}");
    }

    /// Adds one figure.
    pub(crate) fn add(&mut self, label: Label<'_>, run: usize, figure: &str, value: f64) {
        let Label { profile, subject, setting } = label;
        let _ = writeln!(self.rows, "{profile},{subject},{setting},{run},{figure},{value}");
    }

    /// Adds the figures of a run over `bytes` bytes.
    pub(crate) fn add_time(&mut self, label: Label<'_>, run: usize, bytes: usize, time: Time) {
        self.add(label, run, "bytes", bytes as f64);
        self.add(label, run, "cpu_seconds", time.cpu);
        self.add(label, run, "wall_seconds", time.wall);
    }

    /// Returns the notes, for the table.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let columns = "profile,subject,setting,run,figure,value";
        fs::write(path, format!("{}{columns}\n{}", self.header, self.rows))
    }
}

/// Returns the median rate in MB per second for `bytes` bytes; NaN if there was no run.
pub(crate) fn rate(bytes: usize, times: &[Time], pick: fn(Time) -> f64) -> f64 {
    let mut seconds: Vec<f64> = times.iter().copied().map(pick).collect();
    seconds.sort_by(f64::total_cmp);
    // With an even number of runs, take the faster of the two in the middle.
    let median = seconds.get(seconds.len().saturating_sub(1) / 2).copied();
    bytes as f64 / 1e6 / median.unwrap_or(f64::NAN)
}

/// Returns the model and number of cores.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let [model, family, number] =
        ["model name", "cpu family", "model\t"].map(|name| field(name).unwrap_or("?"));
    format!("{model}, family {family} model {number}, {cores} cores")
}

/// Returns what a program prints, or `?`.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = std::process::Command::new(program).args(arguments).output();
    said.map_or_else(|_| "?".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
