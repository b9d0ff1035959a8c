//! Reads the output of `--stats json`, by which a run is checked whose output goes to `/dev/null`.

use crate::generate::Counts;
use serde_json::Value;

/// Compares the statistics with what the log contains.
///
/// # Errors
/// There are none, or they state other counts.
pub(crate) fn check(talk: &str, counts: Counts) -> Result<(), String> {
    let statistics = parse(talk).ok_or_else(|| format!("no statistics:\n{talk}"))?;
    let number = |pointer: &str| statistics.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let stated = Counts {
        lines: number("/lines_out"),
        addresses: number("/identifiers/ip"),
        emails: number("/identifiers/em"),
    };
    if stated == counts { Ok(()) } else { Err(format!("its statistics state {stated:?}, not {counts:?}")) }
}

/// Returns the share of identifiers whose token was remembered, if the statistics state it.
pub(crate) fn recent_share(talk: &str) -> Option<f64> {
    let statistics = parse(talk)?;
    let number = |pointer: &str| statistics.pointer(pointer).and_then(Value::as_f64);
    let (hits, misses) = (number("/recent/hits")?, number("/recent/misses")?);
    (hits + misses > 0.0).then(|| hits / (hits + misses))
}

fn parse(talk: &str) -> Option<Value> {
    talk.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str(line).ok())
}
