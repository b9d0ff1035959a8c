//! `lifecycle`: makes rules for a bucket, as a safety net under `purge`.
//!
//! `purge` removes what has expired exactly on its day, and proves it. If nobody runs it, these rules remove
//! it in the following month, including old versions. A bucket has at most 1,000 rules, so there is one for
//! each month of expiry and not one for each day.

use crate::model::{Keep, RetentionClass, Unit};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

/// Returns the lifecycle configuration of a bucket for segments below `prefix`, from the month of `today` on,
/// for as long as any class is kept.
///
/// Source: Amazon S3 API Reference, PutBucketLifecycleConfiguration.
#[must_use]
pub fn rules(prefix: &str, classes: &[RetentionClass], today: Date) -> Value {
    let longest = classes.iter().map(months_kept).max().unwrap_or(0);
    let first = today.first_of_month();
    let months = (0..=longest).map(|month| first.saturating_add(month.months()));
    let below = |path: &str| if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
    let mut rules: Vec<Value> = STORES
        .iter()
        .flat_map(|store| months.clone().map(move |month| (store, month)))
        .map(|(store, month)| {
            let name = month.strftime("%Y-%m").to_string();
            // On the second of the next month: where legal time is behind UTC, the last day of the month has
            // ended by then, too.
            let date = month.saturating_add(1.month()).saturating_add(1.day());
            json!({
                "ID": format!("oubliette {store} {name}"),
                "Status": "Enabled",
                "Filter": { "Prefix": below(&format!("{store}/expires={name}-")) },
                "Expiration": { "Date": format!("{date}T00:00:00Z") },
            })
        })
        .collect();
    rules.push(json!({
        "ID": "oubliette versions",
        "Status": "Enabled",
        "Filter": { "Prefix": below("") },
        "NoncurrentVersionExpiration": { "NoncurrentDays": 1 },
        "Expiration": { "ExpiredObjectDeleteMarker": true },
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 },
    }));
    json!({ "Rules": rules })
}

/// Returns the most months from a line to its expiry.
fn months_kept(class: &RetentionClass) -> i32 {
    let Keep::For(keep) = class.keep else { return 0 };
    [Some(keep), class.archive_after]
        .into_iter()
        .flatten()
        .map(|period| {
            let count = i32::from(period.count);
            match period.unit {
                // One month more than the full ones, for a month that has begun.
                Unit::Days => count / 28 + 1,
                Unit::Months => count + 1,
                Unit::Years => count * 12 + 1,
            }
        })
        .sum()
}

const STORES: &[&str] = &["archive", "intermediate", "vault"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::recognition::load_retention;
    use jiff::civil::date;

    #[test]
    fn a_rule_for_each_month_and_never_early() {
        let classes = load_retention(&[]).unwrap().classes;
        let rules = rules("fleet", &classes, date(2026, 11, 23));
        let rules = rules["Rules"].as_array().unwrap();
        // Ten years of invoices and the month that has begun, for three stores; and the rule for old
        // versions.
        assert_eq!(rules.len(), 3 * 122 + 1);
        assert!(rules.len() <= 1000);
        assert_eq!(rules[0]["Filter"]["Prefix"], "fleet/archive/expires=2026-11-");
        assert_eq!(rules[0]["Expiration"]["Date"], "2026-12-02T00:00:00Z");
        assert_eq!(rules[1]["Expiration"]["Date"], "2027-01-02T00:00:00Z");
        let ids: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule["ID"].as_str()).collect();
        assert_eq!(ids.len(), rules.len());
    }
}
