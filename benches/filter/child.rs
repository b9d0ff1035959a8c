//! Runs a contender as a child process: feeds it, drains it, and times it by the kernel's accounting.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

/// Times of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    /// Seconds of CPU, user and system, of the child and its descendants.
    pub(crate) cpu: f64,
    /// Seconds from start to end.
    pub(crate) wall: f64,
}

impl Time {
    /// Returns the seconds of CPU.
    pub(crate) fn cpu(self) -> f64 {
        self.cpu
    }

    /// Returns the seconds from start to end.
    pub(crate) fn wall(self) -> f64 {
        self.wall
    }
}

/// Where the child gets its input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// From a pipe of the default size that is kept full.
    Pipe(&'a [u8]),
    /// From a file, as its standard input.
    File(&'a File),
    /// From a place that its configuration names; it is ended by SIGTERM after this many lines of output.
    Configured { lines: u64 },
}

impl Input<'_> {
    /// Rewinds the input: a file's position is shared with the child.
    ///
    /// # Errors
    /// The file cannot seek.
    pub(crate) fn rewind(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.rewind(),
            Self::Pipe(_) | Self::Configured { .. } => Ok(()),
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its times.
    pub(crate) time: Time,
    /// Its standard error.
    pub(crate) talk: String,
}

/// Runs `command` with standard output to `/dev/null`.
///
/// # Errors
/// It could not be started, or failed; includes its standard error.
pub(crate) fn run_to_null(command: &mut Command, input: Input<'_>) -> Result<Outcome, String> {
    run(command.stdout(Stdio::null()), input, |_| Ok(()))
}

/// Runs `command` with standard output to a pipe, and reads that into `output`.
///
/// # Errors
/// It could not be started, or failed; includes its standard error.
pub(crate) fn run_to_pipe(
    command: &mut Command,
    input: Input<'_>,
    output: &mut Vec<u8>,
) -> Result<Outcome, String> {
    output.clear();
    run(command.stdout(Stdio::piped()), input, |child| match (child.stdout.take(), input) {
        (Some(stdout), Input::Configured { lines }) => {
            drain_lines(stdout, lines, output)?;
            terminate(child)
        }
        (Some(mut stdout), _) => stdout.read_to_end(output).map(drop),
        (None, _) => Ok(()),
    })
}

fn run(
    command: &mut Command,
    input: Input<'_>,
    drain: impl FnOnce(&mut Child) -> std::io::Result<()>,
) -> Result<Outcome, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    command.stderr(Stdio::piped()).stdin(match input {
        Input::Pipe(_) => Stdio::piped(),
        Input::File(file) => file.try_clone().map_err(failed)?.into(),
        Input::Configured { .. } => Stdio::null(),
    });
    let before = cpu_of_children();
    let start = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    let (stdin, mut stderr) = (child.stdin.take(), child.stderr.take());
    let (status, talk) = std::thread::scope(|scope| {
        scope.spawn(move || feed(stdin, input));
        let talk = scope.spawn(move || {
            let mut talk = String::new();
            let read = stderr.as_mut().map(|stderr| stderr.read_to_string(&mut talk));
            read.transpose().map(|_| talk)
        });
        let drained = drain(&mut child);
        let status = child.wait();
        let talk = talk.join().unwrap_or_else(|_| Ok(String::new()));
        drained.and(Ok((status?, talk?)))
    })
    .map_err(failed)?;
    let time = Time { wall: start.elapsed().as_secs_f64(), cpu: cpu_of_children() - before };
    if ended_well(status, &talk, input) {
        Ok(Outcome { time, talk })
    } else {
        Err(format!("{name}: {status} {talk}"))
    }
}

/// Writes the input. A child that exits early is detected by its status or its answer, so errors are ignored.
fn feed(stdin: Option<std::process::ChildStdin>, input: Input<'_>) {
    if let (Some(mut stdin), Input::Pipe(bytes)) = (stdin, input) {
        let _ = stdin.write_all(bytes);
    }
}

/// Reads until `lines` lines have come.
fn drain_lines(mut stdout: impl Read, lines: u64, output: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut missing = lines;
    while missing > 0 {
        let read = stdout.read(&mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        missing = missing.saturating_sub(memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64);
        output.extend_from_slice(&buffer[..read]);
    }
    Ok(())
}

fn terminate(child: &Child) -> std::io::Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::TERM)?)
}

/// Returns whether the child ended as it should. One that had to be terminated may end by that signal. Status
/// 1 without any message means that there was nothing to replace, by the convention of grep and its kin.
fn ended_well(status: ExitStatus, talk: &str, input: Input<'_>) -> bool {
    let told = matches!(input, Input::Configured { .. });
    status.success() || told && status.signal().is_some() || status.code() == Some(1) && talk.is_empty()
}

/// Returns the CPU seconds of all ended children. The kernel counts their sum in nanoseconds and only
/// estimates the split into user and system, so the sum is used.
pub(crate) fn cpu_of_children() -> f64 {
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(f64::NAN, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}
