//! `oubliette replay --bundle`: the lines of a case, for the authority that asked for them.

use super::access::{handed_over, refused};
use super::clear;
use super::gaps::{left_out_of_bundle, remarks};
use super::replay::summarise;
use crate::cli::args::ReplayArgs;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::report::{Counted, Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::bundle::{About, Bundle, Destination};
use crate::jobs::purge::Site;
use crate::jobs::replay::{Gaps, Grant, Question, Ready, Visited};
use crate::ledger;
use crate::primitives::diag::Diagnostic;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use zeroize::Zeroizing;

/// Requires case, basis and period for a bundle, even if it reveals nothing, and a valid destination.
pub(super) fn demand(
    report: Report,
    args: &ReplayArgs,
    site: &Site,
    question: Question,
) -> Result<Question, Diagnostic> {
    if let Some(to) = &args.bundle {
        question.purpose.demand(Grant::Bundle, &question.selection, question.scope, &site.classes)?;
        let archive = site.tree.archive.parent().unwrap_or(&site.tree.archive);
        files::refuse_within(&[archive, &site.tree.vault], to)?;
        let destination = destination(args, to);
        if let Some(left) = destination.clear(&*site.storage)? {
            report.note(&format!("removed what a run that was killed left: {}", left.display()));
        }
        destination.check(&*site.storage)?;
    }
    Ok(question)
}

/// The context in which a bundle is written.
pub(super) struct Writing<'w> {
    pub(super) report: Report,
    pub(super) settings: &'w Settings,
    pub(super) args: &'w ReplayArgs,
    /// The destination.
    pub(super) to: &'w Path,
    pub(super) stopped: &'w AtomicBool,
}

impl Writing<'_> {
    /// Writes the lines into the bundle.
    pub(super) fn write(&self, site: &mut Site, question: &Question, ready: Ready<'_>) -> Result<Exit, Stop> {
        let access = ready.access().clone();
        let bundle = self.begin(site, question).map_err(|refusal| refused(site, &access, refusal))?;
        let (bundle, visited) = self.fill(site, bundle, ready)?;
        let written = bundle.finish(site, &self.settings.state_dir.join(ledger::FOLDER));
        // The ledger already records that the lines were found, because it is part of the proof.
        let written = handed_over(site, &access, written.map_err(Stop::from))?;
        remarks(self.report, site, &visited.gaps);
        clear::tell(self.report, self.settings, &question.selection, written.lines);
        summarise(self.report, self.settings, &visited.counts)?;
        self.report.note(&format!(
            "bundle of {} in {}; README.txt in it says how to check it",
            counted(written.lines, "line"),
            counted(written.files, "file")
        ));
        Ok(left_out_of_bundle(self.report, site, &visited.gaps))
    }

    fn begin(&self, site: &Site, question: &Question) -> Result<Bundle, Diagnostic> {
        let about = About {
            purpose: question.purpose.clone(),
            zone: site.zone.clone(),
            made: site.now,
            segments: 0,
            gaps: Gaps::default(),
            in_clear: clear::may_be_missed(self.settings, &question.selection),
        };
        Bundle::begin(about, &site.storage, &destination(self.args, self.to))
    }

    fn fill(
        &self,
        site: &mut Site,
        mut bundle: Bundle,
        ready: Ready<'_>,
    ) -> Result<(Bundle, Visited), Diagnostic> {
        let progress = Counted::skipping(ready.bytes_and_skipped_frames());
        let mut revealed = Zeroizing::new(Vec::new());
        let visited = ready.visit(
            site,
            &mut |planned, line, reveal| {
                let originals = reveal.originals(line)?;
                revealed.clear();
                reveal.put_back(line, &mut revealed)?;
                bundle.add(planned, line, &originals, &revealed)
            },
            self.stopped,
            &|bytes| progress.add(bytes),
        )?;
        bundle.searched(visited.counts.plan.segments, visited.gaps.clone());
        Ok((bundle, visited))
    }
}

fn destination(args: &ReplayArgs, to: &Path) -> Destination {
    if args.bundle_recipient.is_empty() {
        return Destination::Directory(to.to_owned());
    }
    Destination::Encrypted { file: to.to_owned(), recipients: args.bundle_recipient.clone() }
}
