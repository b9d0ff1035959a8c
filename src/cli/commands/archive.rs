//! The archive of `oubliette filter`: combines arguments and configuration.

use super::site;
use crate::archive::{ArchiveError, Recovered};
use crate::cli::args::{ArchiveArgs, EscrowName, FilterArgs};
use crate::cli::codes;
use crate::cli::files;
use crate::cli::report::{Report, counted};
use crate::cli::settings::Settings;
use crate::jobs::archive::{self, Plan};
use crate::jobs::custody::RecordedShredKeys;
use crate::jobs::filter::Ready;
use crate::ledger::{self, Ledger};
use crate::model::{NodeName, Tree};
use crate::pipeline::archiver::{Archiver, Options};
use crate::pipeline::{Descriptor, Output};
use crate::primitives::diag::Diagnostic;
use crate::primitives::storage::{Disk, is_remote};
use crate::shred::{self, ShredStore};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::path::Path;
use std::sync::Arc;

/// Opens the archive in `directory`, and notes what an earlier run left in a crash.
pub(super) fn open(
    report: Report,
    settings: &Settings,
    args: &ArchiveArgs,
    directory: &Path,
    ready: &mut Ready,
    tee: Option<Output<Descriptor>>,
) -> Result<Archiver, Diagnostic> {
    let tree = site::tree(settings, directory, args.vault.as_ref());
    on_disk(&tree)?;
    let ledger = settings.ledger(Arc::new(Disk), ready.plan().recognition.zone.clone());
    // Comes first: sealing what a crash left is already part of the recorded run.
    ready.record(Ledger::open(ledger.clone())?)?;
    let opened = try_open(report, settings, args, ready, (tree, ledger), tee);
    let (archiver, recovered) = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            ready.refuse(&refusal)?;
            return Err(refusal);
        }
    };
    recovered.iter().for_each(|recovered| report.note(&told(recovered)));
    Ok(archiver)
}

fn try_open(
    report: Report,
    settings: &Settings,
    args: &ArchiveArgs,
    ready: &Ready,
    (tree, ledger): (Tree, ledger::Settings),
    tee: Option<Output<Descriptor>>,
) -> Result<(Archiver, Vec<Recovered>), Diagnostic> {
    let zone = ledger.zone.clone();
    let shred_store = ShredStore::open(&ledger.storage, &settings.state_dir.join(shred::FOLDER))?;
    let warn = move |lost: &Diagnostic| report.warning(lost);
    let patience = || Arc::clone(&ready.plan().patience);
    let shred_keys = RecordedShredKeys::new(shred_store, Ledger::open(ledger.clone())?, zone, Box::new(warn));
    let plan = Plan {
        storage: Arc::new(Disk),
        tree,
        node: args.node.clone().or_else(|| settings.node.clone()).unwrap_or_else(host),
        options: options(settings, args, ready),
        anonymised: is_anonymised(args.escrow.or(settings.escrow)),
        sealer: Box::new(Ledger::open(ledger)?.waiting_with(patience())),
        shred_keys: Box::new(shred_keys.waiting_with(patience())),
        tee,
    };
    archive::open(ready, plan)
}

/// Refuses buckets (nothing can be appended to an object, and a directory called `s3:` is not what was
/// meant), dangling links, an archive inside another one, whose purge would not remove it, and an archive and
/// vaults of which one is inside the other.
fn on_disk(tree: &Tree) -> Result<(), Diagnostic> {
    let paths = [&tree.archive, &tree.vault];
    match paths.into_iter().find(|path| is_remote(path)) {
        None => {
            paths.into_iter().try_for_each(|path| files::refuse_dangling(path))?;
            tree.archive.parent().map_or(Ok(()), files::refuse_store)?;
            files::refuse_nested(&tree.archive, &tree.vault)
        }
        Some(remote) => Err(Diagnostic::new(&codes::USAGE, "an archive can be written only to a disk")
            .at(remote.display().to_string())
            .because("nothing can be appended to what is in object storage")
            .hint("name a directory; `oubliette archive` stores in buckets, `oubliette vaults` copies vaults to one")),
    }
}

/// Refuses an archive or vault where there can be none, or in a place that takes no file, so that nobody is
/// told that the sidecar is ready before its first line fails. Makes nothing: the disk of the place may not
/// be mounted yet.
pub(super) fn refuse_place(tree: &Tree) -> Result<(), Diagnostic> {
    on_disk(tree)?;
    for directory in [&tree.archive, &tree.vault] {
        // An empty path is the working directory.
        let mut places =
            directory.ancestors().map(|at| if at == Path::new("") { Path::new(".") } else { at });
        let Some(place) = places.find(|place| place.exists()) else { continue };
        if let Err(error) = accessat(CWD, place, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            let (action, path) = ("write a file", place.to_owned());
            return Err(ArchiveError::Io { action, path, source: error.into() }.into());
        }
    }
    Ok(())
}

/// Refuses an archive whose escrow is not as configured. `wrapped` says whether secrets are wrapped to
/// anybody; `None` with a key file.
pub(super) fn refuse_escrow(settings: &Settings, wrapped: Option<bool>) -> Result<(), Diagnostic> {
    archive::refuse_escrow(wrapped, is_anonymised(settings.escrow))
}

fn is_anonymised(escrow: Option<EscrowName>) -> bool {
    escrow == Some(EscrowName::None)
}

/// Refuses a bucket, and options that would write lines to two places without `--tee`, before any key is
/// touched.
pub(super) fn check(args: &FilterArgs) -> Result<(), Diagnostic> {
    if let Some(directory) = &args.archive.archive {
        on_disk(&Tree::at(directory))?;
    }
    if args.archive.archive.is_none() || args.output.is_none() || args.archive.tee {
        return Ok(());
    }
    Err(Diagnostic::new(&codes::CONFLICT, "an archive and an output at once")
        .because("with `--archive` lines go to the archive and nowhere else")
        .hint("add `--tee` to have them in both, or leave one of them out"))
}

fn options(settings: &Settings, args: &ArchiveArgs, ready: &Ready) -> Options {
    let default = Options::default();
    Options {
        sync: args.sync.or(settings.sync).unwrap_or(default.sync),
        level: args.level.unwrap_or(default.level),
        packers: ready.plan().workers.get(),
        ..default
    }
}

fn host() -> NodeName {
    NodeName::of_host(&rustix::system::uname().nodename().to_string_lossy())
}

fn told(recovered: &Recovered) -> String {
    match recovered {
        Recovered::Sealed { name, lines, cut_bytes: 0 } => {
            format!("a segment that was left open is sealed: {name}, {}", counted(*lines, "line"))
        }
        Recovered::Sealed { name, lines, cut_bytes } => format!(
            "a segment that was left open is cut at its last whole frame and sealed: {name}, {}; {} cut off",
            counted(*lines, "line"),
            counted(*cut_bytes, "byte")
        ),
        Recovered::Removed { name, cut_bytes } => {
            format!(
                "a segment that was left open held no whole frame: {name}, {}",
                counted(*cut_bytes, "byte")
            )
        }
    }
}
