//! `oubliette replay`: returns archived lines.

use super::access::{credentials, in_period, reading, refused};
use super::gaps::{left_out, not_searched, remarks};
use super::{clear, hold, site};
use crate::cli::args::{AccessArgs, Common, LineArgs, ReplayArgs};
use crate::cli::codes;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::process;
use crate::cli::report::{Counted, Report, Stop, counted};
use crate::cli::settings::Settings;
use crate::jobs::purge::Site;
use crate::jobs::replay::{
    self, Access, Basis, Broken, Counts, NodePlaces, Outlet, Purpose, Question, Ready, Scope, Selection,
    Unsealed,
};
use crate::model::Kind;
use crate::primitives::diag::Diagnostic;
use jiff::Timestamp;
use std::io::{self, Read as _, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Replays archived lines.
pub(crate) fn run(report: Report, common: &Common, args: &ReplayArgs) -> Result<Exit, Stop> {
    let settings = Settings::of(common)?;
    let (mut site, places) = site::open_to_search(&settings, &args.place, "replay")?;
    let scope = match (args.reveal, args.reveal_all) {
        (_, true) => Scope::Everybody,
        (true, false) => Scope::Asked,
        (false, false) => Scope::Nobody,
    };
    let purpose = purpose(&settings, &args.access, &args.lines, &site);
    let access = access("replay", &purpose, scope, &args.lines);
    let access = if args.bundle.is_some() { access.kept() } else { access };
    if args.output.is_none() && args.bundle.is_none() {
        files::warn_of_closed_output(report);
    }
    let question = question(&settings, args, scope, purpose)
        .and_then(|question| super::bundle::demand(report, args, &site, question));
    match question {
        Err(refusal) => Err(refused(&mut site, &access, refusal)),
        Ok(question) => answer(report, &settings, args, &mut site, places, &question, access),
    }
}

/// Returns what the ledger records of a question, before it is known whether the question is valid.
fn access(command: &str, purpose: &Purpose, scope: Scope, lines: &LineArgs) -> Access {
    let identifiers = [&lines.ip, &lines.net, &lines.email, &lines.user].map(Vec::len).iter().sum();
    Access::new(command, purpose, scope, identifiers, lines.token.len())
}

fn purpose(settings: &Settings, access: &AccessArgs, lines: &LineArgs, site: &Site) -> Purpose {
    Purpose {
        operator: access.operator.clone(),
        case: access.case.clone(),
        basis: access.basis.as_deref().and_then(Basis::parse),
        from: lines.from.map(|from| from.begin(&site.zone)),
        to: lines.to.map(|to| to.end(&site.zone)),
        tenant: hold::tenant(settings),
    }
}

fn question(
    settings: &Settings,
    args: &ReplayArgs,
    scope: Scope,
    purpose: Purpose,
) -> Result<Question, Diagnostic> {
    let reading = reading(settings, &args.lines.times);
    args.access.basis.as_deref().map(Basis::typed).transpose()?;
    let selection = selection(&args.lines, &purpose)?;
    // Only lines under a seal may be in a bundle.
    let unsealed = if args.bundle.is_some() { Unsealed::LeftOut } else { Unsealed::Read };
    Ok(Question { selection, scope, purpose, reading, unsealed })
}

fn selection(lines: &LineArgs, purpose: &Purpose) -> Result<Selection, Diagnostic> {
    let mut selection = Selection {
        classes: lines.class.clone(),
        hosts: lines.host.clone(),
        programs: lines.program.clone(),
        ..in_period(purpose)
    };
    for (kind, option, typed) in [
        (Kind::IP, "--ip", &lines.ip),
        (Kind::NET, "--net", &lines.net),
        (Kind::EM, "--email", &lines.email),
        (Kind::USR, "--user", &lines.user),
    ] {
        selection.add_identifiers(kind, option, typed)?;
    }
    selection.add_tokens("--token", &lines.token)?;
    selection.set_texts("--grep", &lines.grep)?;
    Ok(selection)
}

fn answer(
    report: Report,
    settings: &Settings,
    args: &ReplayArgs,
    site: &mut Site,
    places: NodePlaces,
    question: &Question,
    access: Access,
) -> Result<Exit, Stop> {
    let prepared = credentials(report, settings, &args.access, places)
        .and_then(|credentials| Ok((credentials, interrupted()?)));
    let (credentials, stopped) = prepared.map_err(|refusal| refused(site, &access, refusal))?;
    let ready = Ready::new(question, access, site, credentials)?;
    if let Some(to) = &args.bundle {
        let writing = super::bundle::Writing { report, settings, args, to, stopped: &stopped };
        return writing.write(site, question, ready);
    }
    let progress = Counted::skipping(ready.bytes_and_skipped_frames());
    let tell = |bytes| progress.add(bytes);
    let framing = args.framing.into();
    let outcome = match &args.output {
        None => {
            let outlet = Outlet::new(io::stdout().lock(), framing, args.speed, stopped);
            let outcome = ready.run(site, outlet, &tell)?;
            (outcome.counts, outcome.end.map(drop), outcome.gaps)
        }
        Some(address) => {
            let receiver = connected(address).map_err(|refusal| refused(site, ready.access(), refusal))?;
            let outlet = Outlet::new(receiver, framing, args.speed, stopped);
            let outcome = ready.run(site, outlet, &tell)?;
            (outcome.counts, outcome.end.map(close), outcome.gaps)
        }
    };
    drop(progress);
    let (counts, end, gaps) = outcome;
    remarks(report, site, &gaps);
    clear::tell(report, settings, &question.selection, counts.read.lines);
    summarise(report, settings, &counts)?;
    let ended = ended(report, args.output.is_some(), end)?;
    Ok(ended.and(left_out(report, site, &gaps)))
}

/// Returns a flag that is set when SIGINT or SIGTERM comes.
fn interrupted() -> Result<Arc<AtomicBool>, Diagnostic> {
    process::interrupted()
        .map_err(|error| Diagnostic::new(&codes::OPEN, "cannot listen to signals").because(error.to_string()))
}

fn connected(address: &str) -> Result<TcpStream, Diagnostic> {
    let connected = TcpStream::connect(address).and_then(|stream| {
        // With this timeout, a signal is noticed even while the receiver has stopped reading.
        stream.set_write_timeout(Some(LOOK_AT_SIGNALS)).map(|()| stream)
    });
    connected.map_err(|error| {
        Diagnostic::new(&codes::OPEN, "cannot connect to the receiver")
            .because(error.to_string())
            .hint("start the receiver first; nothing was sent")
    })
}

/// Closes the connection, and waits until the receiver has closed it too, and so has read everything.
fn close(mut stream: TcpStream) {
    let waited = stream
        .flush()
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.set_read_timeout(Some(LONGEST_CLOSE)));
    if waited.is_ok() {
        // Anything that the receiver sends is ignored.
        while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    }
}

pub(super) fn summarise(report: Report, settings: &Settings, counts: &Counts) -> Result<(), Stop> {
    if report.is_json() || settings.stats.is_some() {
        report.stats(&serde_json::to_string(counts).map_err(io::Error::from)?);
    }
    if report.is_json() {
        return Ok(());
    }
    report.note(&format!(
        "{} of {}; {} read, {} skipped",
        counted(counts.read.lines, "line"),
        counted(counts.plan.segments, "segment"),
        counted(counts.read.frames_read, "frame"),
        counts.frames_skipped,
    ));
    not_searched(report, counts);
    Ok(())
}

/// Reports how the output of lines ended.
fn ended(report: Report, over_network: bool, end: Result<(), Broken>) -> Result<Exit, Stop> {
    let Err(broken) = end else { return Ok(Exit::Done) };
    let from =
        Timestamp::from_second(broken.resume()).map_or("its beginning".to_owned(), |at| at.to_string());
    let resume = format!("go on with `--from {from}`");
    match broken {
        Broken::Stopped { .. } => {
            report.warning(&Diagnostic::new(&replay::STOPPED, "the replay was stopped").hint(resume));
            Ok(Exit::NeedsHuman)
        }
        Broken::Write { error, .. } if over_network => {
            Err(Diagnostic::new(&replay::STOPPED, "the receiver does not take more")
                .because(error.to_string())
                .hint(format!("{resume}; the last lines may come twice then"))
                .into())
        }
        Broken::Write { error, .. } => Err(error.into()),
    }
}

const LOOK_AT_SIGNALS: Duration = Duration::from_millis(200);

/// Longest time to wait until the receiver closes the connection.
const LONGEST_CLOSE: Duration = Duration::from_secs(5);
