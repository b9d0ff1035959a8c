//! `oubliette lifecycle`: rules for a bucket, and how to apply them.

use crate::cli::args::{Common, LifecycleArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::report::{Report, Stop};
use crate::cli::settings::Settings;
use crate::jobs::lifecycle;
use crate::primitives::diag::Diagnostic;

/// Prints the rules to standard output, and the steps to standard error.
pub(crate) fn run(report: Report, common: &Common, args: &LifecycleArgs) -> Result<Exit, Stop> {
    let place = args.place.to_str().and_then(|place| place.strip_prefix("s3://"));
    let place = place.filter(|place| !place.is_empty()).ok_or_else(|| {
        Diagnostic::new(&codes::USAGE, "rules are for a place in object storage")
            .at(args.place.display().to_string())
            .hint("write s3://BUCKET/PREFIX")
    })?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let settings = Settings::of(common)?;
    let retention = settings.retention()?;
    let today = settings.clock.now().to_zoned(retention.zone).date();
    let rules = lifecycle::rules(prefix.trim_matches('/'), &retention.classes, today);
    report.value(&rules)?;
    report.note(&format!(
        "apply it once a year: aws s3api put-bucket-lifecycle-configuration --bucket {bucket} \
         --lifecycle-configuration file://lifecycle.json"
    ));
    report.note(&format!(
        "to lock an object for a case, beside `oubliette hold add`, in a bucket made with object lock: aws s3api \
         put-object-legal-hold --bucket {bucket} --key KEY --legal-hold Status=ON; Status=OFF ends it"
    ));
    report.note("a locked object stays whatever purge and rules say; purge stops at it and says so");
    Ok(Exit::Done)
}
