//! `oubliette replay --bundle`: the lines of a case, for the authority that asked.

use super::replay::{left_out, summarise};
use crate::cli::args::ReplayArgs;
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::process;
use crate::cli::report::{Counted, Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::bundle::{About, Bundle, Destination};
use crate::jobs::purge::Site;
use crate::jobs::replay::{Grant, Question, Ready};
use crate::ledger;
use crate::primitives::diag::Diagnostic;
use std::path::Path;
use zeroize::Zeroizing;

/// Demands case, basis and period for a bundle, whether anything is revealed or not; and a place for it.
pub(super) fn demand(args: &ReplayArgs, site: &Site, question: Question) -> Result<Question, Diagnostic> {
    if let Some(to) = &args.bundle {
        question.purpose.demand(Grant::Bundle, &question.selection, question.scope, &site.classes)?;
        destination(args, to).check(&*site.storage)?;
    }
    Ok(question)
}

/// Puts the lines into the bundle `to`.
pub(super) fn write(
    report: Report,
    settings: &Settings,
    args: &ReplayArgs,
    to: &Path,
    site: &mut Site,
    question: &Question,
    ready: Ready<'_>,
) -> Result<Exit, Stop> {
    let about = About {
        purpose: question.purpose.clone(),
        zone: site.zone.clone(),
        made: site.now,
        segments: 0,
        unsealed: 0,
    };
    let stopped = process::interrupted().map_err(|error| {
        Diagnostic::new(&codes::OPEN, "cannot listen to signals").because(error.to_string())
    })?;
    let mut bundle = Bundle::begin(about, &site.storage, &destination(args, to))?;
    let (bytes, skipped) = ready.bytes_and_skipped_frames();
    let progress = Counted::with_note(bytes, &format!("{} skipped", counted(skipped, "frame")));
    let mut revealed = Zeroizing::new(Vec::new());
    let visited = ready.visit(
        site,
        &mut |planned, line, reveal| {
            let originals = reveal.originals(line)?;
            revealed.clear();
            reveal.put_back(line, &mut revealed)?;
            bundle.add(planned, line, &originals, &revealed)
        },
        &stopped,
        &|bytes| progress.add(bytes),
    )?;
    drop(progress);
    bundle.searched(visited.counts.plan.segments, visited.left_out);
    let written = bundle.finish(site, &settings.state_dir.join(ledger::FOLDER))?;
    summarise(report, &visited.counts)?;
    report.note(&format!(
        "bundle of {} in {}; README.txt in it says how to check it",
        counted(written.lines, "line"),
        counted(written.files, "file")
    ));
    Ok(left_out(report, visited.left_out))
}

fn destination(args: &ReplayArgs, to: &Path) -> Destination {
    if args.bundle_recipient.is_empty() {
        return Destination::Directory(to.to_owned());
    }
    Destination::Encrypted { file: to.to_owned(), recipients: args.bundle_recipient.clone() }
}
