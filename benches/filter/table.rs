//! Prints the table of one profile: medians, and ratios to oubliette and to `cat`.

use super::child::Time;
use super::comparison::Entry;
use super::record::rate;
use super::reference::Replacement;
use crate::generate::Profile;

/// Prints the table.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn print(profile: Profile, entries: &[Entry<'_>]) {
    println!(
        "\n{:<24} {:>5} | {:>9} {:>8} | {:>9} {:>8} | {:>8} {:>7} {:>7} | {:>8}",
        profile.name(),
        "MB",
        "null: CPU",
        "wall",
        "pipe: CPU",
        "wall",
        "net",
        "x cat",
        "ours x",
        "checked"
    );
    let rate_of =
        |name: &str| entries.iter().find(|entry| entry.contender.name == name).map_or(f64::NAN, main_rate);
    let (ours, cat) = (rate_of("oubliette"), rate_of("cat"));
    for entry in entries {
        match &entry.wrong {
            Some(why) => println!("{:<24} {:>5.0} | {why}", entry.contender.name, megabytes(entry)),
            None => println!("{}", row(entry, ours, cat)),
        }
        if let Some(share) = entry.recent_share {
            println!("  of all tokens {:.1} % were remembered", 100.0 * share);
        }
    }
}

/// Formats the row of a contender; `ours` and `cat` are the rates to compare with.
fn row(entry: &Entry<'_>, ours: f64, cat: f64) -> String {
    let bytes = entry.input.len();
    let own = main_rate(entry);
    format!(
        "{:<24} {:>5.0} | {:>9} {:>8} | {:>9} {:>8} | {:>8} {:>7} {:>7} | {:>8}",
        entry.contender.name,
        megabytes(entry),
        cell(rate(bytes, &entry.to_null, Time::cpu), 0),
        cell(rate(bytes, &entry.to_null, Time::wall), 0),
        cell(rate(bytes, &entry.to_pipe, Time::cpu), 0),
        cell(rate(bytes, &entry.to_pipe, Time::wall), 0),
        cell(1.0 / (1.0 / own - 1.0 / cat), 0),
        cell(own / cat, 3),
        cell(ours / own, 1),
        identifiers(entry),
    )
}

/// Returns MB per CPU second to `/dev/null`, or to a pipe if there is no other run.
fn main_rate(entry: &Entry<'_>) -> f64 {
    let times = if entry.to_null.is_empty() { &entry.to_pipe } else { &entry.to_null };
    rate(entry.input.len(), times, Time::cpu)
}

fn megabytes(entry: &Entry<'_>) -> f64 {
    entry.input.len() as f64 / 1e6
}

/// Returns how many identifiers it had to replace.
fn identifiers(entry: &Entry<'_>) -> u64 {
    match entry.contender.replacement {
        Replacement::Nothing => 0,
        _ if entry.contender.emails => entry.counts.addresses + entry.counts.emails,
        _ => entry.counts.addresses,
    }
}

/// Formats a figure; a dash if there is none.
fn cell(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "-".to_owned() }
}
