//! Notes on identifiers that may be in clear in the lines, where a search by their tokens finds nothing.

use crate::cli::report::Report;
use crate::cli::settings::Settings;
use crate::detect;
use crate::jobs::replay::{Identifier, Selection};
use crate::model::Kind;

/// Notes what a search for these identifiers may have missed; it found this number of lines.
pub(super) fn tell(report: Report, settings: &Settings, selection: &Selection, found: u64) {
    if asks_for_kept(settings, selection) {
        report.note(
            "some of what was asked for is loopback or in a network of `keep`: filters leave such addresses in clear, where no token finds them; look for them with `oubliette replay --grep`; what a filter kept by its own `--keep` is not known here",
        );
    }
    let alone =
        selection.tokens.is_empty() && !selection.identifiers.iter().any(|asked| asked.kind != Kind::USR);
    if asks_for_names(selection) && (found == 0 || (!alone && !replaces_names(settings))) {
        report.note(
            "only lines filtered with `--also usr` have tokens for the names of accounts; others may have the name in clear: look for it with `oubliette replay --grep`",
        );
    }
}

/// Returns whether lines may have something of what is asked for in clear, by the configuration.
pub(super) fn may_be_missed(settings: &Settings, selection: &Selection) -> bool {
    asks_for_kept(settings, selection) || (asks_for_names(selection) && !replaces_names(settings))
}

fn asks_for_kept(settings: &Settings, selection: &Selection) -> bool {
    let loopback = detect::loopback();
    let mut asked = selection.identifiers.iter().filter_map(Identifier::covered);
    asked.any(|asked| {
        let mut kept = loopback.iter().chain(&settings.keep);
        kept.any(|kept| kept.contains(&asked) || asked.contains(kept))
    })
}

fn asks_for_names(selection: &Selection) -> bool {
    selection.identifiers.iter().any(|asked| asked.kind == Kind::USR)
}

fn replaces_names(settings: &Settings) -> bool {
    settings.also.iter().any(|kind| kind == "usr")
}
