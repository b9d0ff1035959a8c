//! Warnings of what an answer lacks, so that nobody takes it for complete.

use crate::cli::exit::Exit;
use crate::cli::report::{Report, counted};
use crate::jobs::purge::Site;
use crate::jobs::replay::{self, Counts, Gaps, Obstacles, Purged, Unsearched};
use crate::primitives::diag::Diagnostic;

/// Says what limits an answer that lacks nothing: what was purged, and that the ledger does not know
/// segments.
///
/// Where counts follow, they come after this: a program reads them in the last line of an answer that is
/// whole.
pub(super) fn remarks(report: Report, site: &Site, gaps: &Gaps) {
    purged(report, &gaps.purged);
    if let Some(day) = gaps.begins_later {
        report.note(&format!(
            "the ledger begins on {day}, after the period: what was archived or purged before that is not known here; is the year right?"
        ));
    }
    unlisted(report, site, &gaps.unlisted);
}

/// Warns of segments that the answer lacks.
pub(super) fn left_out(report: Report, site: &Site, gaps: &Gaps) -> Exit {
    if gaps.unsealed > 0 {
        let what = format!("{} not sealed yet, and left out", counted(gaps.unsealed, "segment"));
        report
            .warning(&Diagnostic::new(&replay::UNSEALED, what).hint(
                "their lines are found once the filter that writes them has ended, or the day is over",
            ));
    }
    if let Some(first) = gaps.missing.first() {
        let what = format!("{} missing", counted(gaps.missing.len(), "segment"));
        report.warning(
            &Diagnostic::new(&replay::MISSING, format!("{what}: the answer is not whole"))
                .at(first.clone())
                .because("the ledger says that it was sealed, and not that it was purged")
                .hint(format!(
                    "`{}` names all of them; put them back from a copy, and ask again",
                    verify(site)
                )),
        );
    }
    if let Some(first) = gaps.unattributed.first() {
        let what = format!(
            "{} without a vault that says whose lines they are, and left out",
            counted(gaps.unattributed.len(), "segment")
        );
        report.warning(
            &Diagnostic::new(&replay::UNATTRIBUTED, what)
                .at(first.clone())
                .because("you named a tenant, and they may belong to another one")
                .hint("name the folder of vaults with `--vault DIR`, or ask for identifiers alone: `oubliette explain P19`"),
        );
    }
    unsearched(report, &gaps.unsearched);
    unreadable(report, site, &gaps.unreadable, "not read to the end");
    unreadable(report, site, &gaps.unopened, "with a vault that was not read to the end");
    unrevealed(report, &gaps.unrevealed);
    if gaps.is_empty() { Exit::Done } else { Exit::NeedsHuman }
}

/// Warns like [`left_out`] of what a bundle lacks, which includes the proof of segments that the ledger does
/// not know.
pub(super) fn left_out_of_bundle(report: Report, site: &Site, gaps: &Gaps) -> Exit {
    let exit = left_out(report, site, gaps);
    if gaps.unlisted.is_empty() { exit } else { Exit::NeedsHuman }
}

/// Notes which purges may have removed lines of the period.
pub(super) fn purged(report: Report, purged: &Purged) {
    let Some((days, entries)) = purged.span().map(|span| span.in_words()) else { return };
    report.note(&format!(
        "lines that may be of the period were purged {days}, as the law demands: ledger {entries}"
    ));
}

/// Warns of segments that the ledger does not know.
fn unlisted(report: Report, site: &Site, unlisted: &[String]) {
    let Some(first) = unlisted.first() else { return };
    let what =
        format!("the ledger does not know {} of those that were read", counted(unlisted.len(), "segment"));
    report.warning(
        &Diagnostic::new(
            &replay::UNLISTED,
            format!("{what}: nobody can tell whether others are missing, and a bundle of their lines fails its check"),
        )
        .at(first.clone())
        .because("they were written with other state directories, whose ledgers have them")
        .hint(format!(
            "if one node wrote them, name its state directory with `--state-dir`; if several did, `{} --ledger DIR --ledger DIR`, with the ledger of each, tells whether any is missing; `oubliette explain P21`",
            verify(site)
        )),
    );
}

/// Notes which lines may be outside the period or should have been purged, and which segments were not read
/// because they are unsealed or belong to other tenants.
pub(super) fn not_searched(report: Report, counts: &Counts) {
    let Counts { plan, read, .. } = counts;
    if read.perhaps_outside > 0 {
        let lines = counted(read.perhaps_outside, "line");
        report.note(&format!(
            "{lines} may be from outside the period: they state no time, or one that is not trusted; they came with lines of the period"
        ));
    }
    if plan.unsealed > 0 {
        let segments = counted(plan.unsealed, "segment");
        report.note(&format!("{segments} not sealed yet: what a filter has not written out was not read"));
    }
    if plan.past_expiry > 0 {
        let segments = counted(plan.past_expiry, "segment");
        report.note(&format!(
            "{segments} past the expiry day and not purged: by law those lines must no longer exist; run `oubliette purge`"
        ));
    }
    others_left_out(report, plan.of_other_tenants);
}

/// Notes that segments of tenants other than the named one were left out.
pub(super) fn others_left_out(report: Report, segments: u64) {
    if segments > 0 {
        report.note(&format!("{} of other tenants left out", counted(segments, "segment")));
    }
}

/// Returns the command that checks the archive.
fn verify(site: &Site) -> String {
    let archive = site.tree.archive.parent().unwrap_or(&site.tree.archive);
    format!("oubliette verify {}", archive.display())
}

/// Names the epochs that could not be searched, with their days.
fn unsearched(report: Report, unsearched: &Unsearched) {
    for epoch in unsearched.epochs().take(MOST_TOLD) {
        let segments = counted(epoch.segments.len(), "segment");
        let days = epoch.of_days();
        let what = format!("the answer is not whole: {segments}{days} not searched: {}", epoch.what);
        let hint = epoch.hint.as_deref().unwrap_or("ask again where it is");
        let mut warning = Diagnostic::new(epoch.code, what)
            .at(epoch.segments.first().cloned().unwrap_or_default())
            .hint(format!("everything else was searched; for the rest: {hint}"));
        warning.why.clone_from(&epoch.why);
        report.warning(&warning);
    }
    let more = unsearched.epochs().count().saturating_sub(MOST_TOLD);
    if more > 0 {
        report.note(&format!("{} more not searched either", counted(more, "epoch")));
    }
}

/// Warns of segments that could not be read: names the first one, and their number.
fn unreadable(report: Report, site: &Site, obstacles: &Obstacles, what: &str) {
    let Some(first) = obstacles.first() else { return };
    let what = format!("the answer is not whole: {} {what}", counted(obstacles.count(), "segment"));
    report.warning(
        &Diagnostic::new(first.code, what).at(first.place.clone()).because(first.why.clone()).hint(format!(
            "everything else is in the answer; `{}` names all; restore them from a copy, and ask again",
            verify(site)
        )),
    );
}

/// Names the segments, and thus classes and days, whose originals are not revealed.
fn unrevealed(report: Report, obstacles: &Obstacles) {
    for (name, obstacle) in obstacles.iter().take(MOST_TOLD) {
        report.warning(
            &Diagnostic::new(obstacle.code, "the answer is not whole: originals stay tokens")
                .at(name.clone())
                .because(obstacle.why.clone())
                .hint(format!(
                    "all that opens is revealed; `oubliette explain {}` says what the rest needs",
                    obstacle.code.id
                )),
        );
    }
    let more = obstacles.count().saturating_sub(MOST_TOLD as u64);
    if more > 0 {
        report.note(&format!("originals of {} more stay tokens", counted(more, "segment")));
    }
}

/// Most segments, and most epochs, that are named one by one.
const MOST_TOLD: usize = 10;
