//! The contenders: how each is configured to replace every address, and how its answer is checked.
//!
//! None of the others dates lines or makes keyed tokens, so each does the closest thing it can. That favours
//! them.

use super::reference::Replacement;
use super::workplace::{Workplace, find_program, library_folders};
use std::io;
use std::path::Path;
use std::process::Command;

/// Matches every IP and e-mail address of the generated logs.
///
/// It is simpler than the filter: it knows no other notation, and no exception for version numbers. It has no
/// capture groups, which would make ripgrep five times as slow.
const PATTERN: &str = concat!(
    "(?:[0-9]{1,3}[.]){3}[0-9]{1,3}",
    "|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}",
    "|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
    "|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:[.][A-Za-z0-9-]+)+",
);

/// The text that replaces identifiers.
const CONSTANT: &str = "REDACTED";

/// How a contender gets its input and gives its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Standard input to standard output.
    Pipe,
    /// `input.log` of the workplace to standard output; a daemon that does not notice the end of the file.
    InputFile,
}

/// A program to compare with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What it replaces identifiers with.
    pub(crate) replacement: Replacement,
    /// Whether it replaces e-mail addresses too.
    pub(crate) emails: bool,
    /// How it is fed.
    pub(crate) way: Way,
    /// Most MB of input. Slow contenders get only the beginning of the log: about a second's worth.
    pub(crate) most_megabytes: usize,
    /// The program, and the argument that asks for its version.
    pub(crate) program: (&'static str, &'static str),
    /// Builds the command and writes its configuration to the workplace.
    pub(crate) command: fn(&Workplace, &Path) -> io::Result<Command>,
}

/// oubliette.
const FILTER: Contender = Contender {
    name: "oubliette",
    replacement: Replacement::Token,
    emails: true,
    way: Way::Pipe,
    most_megabytes: usize::MAX,
    program: ("oubliette", "--version"),
    command: |place, _| Ok(place.filter(1)),
};

/// The cost of a pipe alone, as a measure of the machine.
const CAT: Contender = Contender {
    name: "cat",
    replacement: Replacement::Nothing,
    emails: false,
    way: Way::Pipe,
    most_megabytes: usize::MAX,
    program: ("cat", "--version"),
    command: |_, program| Ok(Command::new(program)),
};

/// All contenders, ours first.
pub(crate) const ALL: [Contender; 11] = [
    FILTER,
    CAT,
    Contender {
        name: "rg --replace",
        program: ("rg", "--version"),
        command: |_, program| {
            let mut command = with_c_locale(program);
            command.args(["--no-config", "--passthru", "--no-line-number", "--color=never", "--text"]);
            command.args(["--replace", CONSTANT, PATTERN, "-"]);
            Ok(command)
        },
        ..regex("rg", 100)
    },
    Contender {
        program: ("sed", "--version"),
        command: |_, program| {
            let mut command = with_c_locale(program);
            // POSIX has no non-capturing groups.
            command.args(["-E", &format!("s/{}/{CONSTANT}/g", PATTERN.replace("(?:", "("))]);
            Ok(command)
        },
        ..regex("sed", 10)
    },
    Contender {
        program: ("perl", "-v"),
        command: |_, program| {
            let mut command = with_c_locale(program);
            command.args(["-pe", &format!("s/{}/{CONSTANT}/g", PATTERN.replace('@', "\\@"))]);
            Ok(command)
        },
        ..regex("perl", 5)
    },
    Contender {
        name: "mmanon zero",
        replacement: Replacement::Zeros,
        command: |place, program| rsyslog(place, program, "zero"),
        ..RSYSLOG
    },
    Contender {
        name: "mmanon random-consistent",
        replacement: Replacement::Address,
        command: |place, program| rsyslog(place, program, "random-consistent"),
        ..RSYSLOG
    },
    Contender {
        name: "syslog-ng constant",
        command: |place, program| syslog_ng(place, program, CONSTANT),
        ..SYSLOG_NG
    },
    Contender {
        name: "syslog-ng sha256",
        replacement: Replacement::Sha256,
        command: |place, program| syslog_ng(place, program, "$(sha256 $0)"),
        ..SYSLOG_NG
    },
    Contender {
        name: "VRL redact",
        command: |_, program| {
            let mut command = Command::new(program);
            command.args(["redact", PATTERN]);
            Ok(command)
        },
        ..VRL
    },
    Contender {
        name: "VRL hmac",
        replacement: Replacement::Text("hmac_"),
        command: |_, program| {
            let mut command = Command::new(program);
            command.args(["hmac", PATTERN]);
            Ok(command)
        },
        ..VRL
    },
];

const RSYSLOG: Contender =
    Contender { emails: false, way: Way::InputFile, program: ("rsyslogd", "-v"), ..regex("rsyslog", 20) };

const SYSLOG_NG: Contender = Contender { program: ("syslog-ng", "--version"), ..regex("syslog-ng", 20) };

const VRL: Contender = Contender { program: ("vrl-peer", "--version"), ..regex("VRL", 40) };

/// Creates a contender that replaces each match of a pattern by a constant.
const fn regex(name: &'static str, most_megabytes: usize) -> Contender {
    Contender {
        name,
        replacement: Replacement::Text(CONSTANT),
        emails: true,
        way: Way::Pipe,
        most_megabytes,
        program: ("", ""),
        command: |_, program| Ok(Command::new(program)),
    }
}

impl Contender {
    /// Returns the path of its program, if this machine has it.
    pub(crate) fn program(&self) -> Option<std::path::PathBuf> {
        match self.program.0 {
            "oubliette" => Some(env!("CARGO_BIN_EXE_oubliette").into()),
            name => find_program(name),
        }
    }

    /// Returns the first line of its version message.
    pub(crate) fn version(&self) -> Option<String> {
        let output = with_libraries(Command::new(self.program()?)).arg(self.program.1).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

/// Runs a program in the C locale, on bytes instead of characters: faster for all of them, and logs are
/// bytes.
fn with_c_locale(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    command
}

/// Adds the libraries that `benches/peers/get` unpacked beside the program.
fn with_libraries(mut command: Command) -> Command {
    let folders = [library_folders(""), library_folders("syslog-ng")].concat();
    let unpacked = folders.iter().filter(|folder| !folder.starts_with("/usr") && !folder.starts_with("/lib"));
    if let Ok(path) = std::env::join_paths(unpacked) {
        command.env("LD_LIBRARY_PATH", path);
    }
    command
}

/// Makes rsyslog read a file with `imfile`, since it cannot read a pipe. The whole line is the message,
/// because mmanon skips headers.
fn rsyslog(place: &Workplace, program: &Path, mode: &str) -> io::Result<Command> {
    let work = place.path("rsyslog");
    // It holds the position in the input; without it, each run starts from the beginning.
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let configuration = format!(
        r#"global(workDirectory="{work}" maxMessageSize="64k" net.enableDNS="off")
module(load="imfile")
module(load="mmanon")
template(name="line" type="string" string="%msg%\n")
main_queue(queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="1024")
input(type="imfile" file="{input}" tag="bench" ruleset="bench" freshStartTail="off")
ruleset(name="bench") {{
  action(type="mmanon" ipv4.mode="{mode}" ipv4.bits="32" ipv6.anonmode="{mode}" ipv6.bits="128"
         embeddedipv4.anonmode="{mode}" embeddedipv4.bits="128")
  action(type="omfile" file="/dev/stdout" template="line" ioBufferSize="256k")
}}
"#,
        work = work.display(),
        input = place.path("input.log").display(),
    );
    let configuration = place.write("rsyslog.conf", configuration.as_bytes())?;
    let mut command = with_libraries(Command::new(program));
    command.args(["-n", "-f"]).arg(configuration).arg("-i").arg(place.path("rsyslog.pid"));
    let modules = library_folders("rsyslog");
    if let Some(folder) = modules.first() {
        command.arg("-M").arg(folder);
    }
    Ok(command)
}

/// Makes syslog-ng read standard input without parsing, substitute once, and write standard output.
fn syslog_ng(place: &Workplace, program: &Path, replacement: &str) -> io::Result<Command> {
    // Debian 12 and 13; if neither is found, syslog-ng uses its built-in path.
    let modules = ["syslog-ng/3.38", "syslog-ng/4.8"].into_iter().flat_map(library_folders).next();
    let configuration = format!(
        r#"@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); }};
source s {{ stdin(flags(no-parse)); }};
rewrite r {{ subst('{PATTERN}', "{replacement}", value("MESSAGE") type("pcre") flags("global" "store-matches")); }};
destination d {{ file("/dev/stdout" template("$MESSAGE\n")); }};
log {{ source(s); rewrite(r); destination(d); }};
"#
    );
    let configuration = place.write("syslog-ng.conf", configuration.as_bytes())?;
    let mut command = with_libraries(Command::new(program));
    command.args(["-F", "--no-caps", "-f"]).arg(configuration);
    for (option, file) in [("--persist-file", "ng.persist"), ("--control", "ng.ctl"), ("--pidfile", "ng.pid")]
    {
        command.arg(option).arg(place.path(file));
    }
    if let Some(folder) = modules {
        command.arg("--module-path").arg(folder);
    }
    Ok(command)
}
