//! The arguments of the command line. Parsing validates the form of each value, and uses no file and no
//! clock.

mod archive;
mod fleet;
mod maintenance;
mod replay;
mod serve;
mod subject;
mod values;

use crate::model::Format;
pub(crate) use archive::{ArchiveArgs, EscrowName, node, sync};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
pub(crate) use fleet::{BatchArgs, CollectArgs, FleetCommand, LifecycleArgs, VaultsArgs};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
pub(crate) use maintenance::{
    ArchivePlace, HoldCommand, LedgerCommand, LedgerPlace, PurgeArgs, ReportArgs, SearchPlace, VerifyArgs,
};
pub(crate) use replay::{AccessArgs, LineArgs, ReplayArgs, TimeArgs};
use schemars::JsonSchema;
use serde::Deserialize;
pub(crate) use serve::ServeArgs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
pub(crate) use subject::{DossierForm, PeriodArgs, PersonArgs, SubjectCommand};
pub(crate) use values::{case, kind, line_bytes, network, quantity, tenant, workers, zone};
use values::{day, instant};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "oubliette",
    version,
    about = "Replaces every IP and e-mail address in a log by a keyed token, and adds an expiry day to each line",
    long_about = LONG_ABOUT,
    after_help = "Example: tail -F access.log | oubliette filter >> access.pseudonymised.log",
    after_long_help = MANUAL_END,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Options of all commands.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the state directory, its configuration and two escrow identities
    ///
    /// Safe to run twice: it does not change what is there already. The two escrow identities can open every
    /// epoch secret made from now on. Move them off this machine, to two people or two places.
    #[command(after_help = "Example: oubliette init --state-dir /var/lib/oubliette")]
    Init(InitArgs),

    /// Pseudonymise log lines, from a file or standard input
    ///
    /// Reads lines, finds the identifiers in each, replaces every one by its token, adds the retention
    /// tag, and writes the line. All other bytes stay as they are. A line longer than --max-line-bytes
    /// goes into quarantine, encrypted, and a placeholder goes out in its place.
    ///
    /// Nothing goes out in clear: without a usable key, or if a rule file does not load, filter does not
    /// start and prints nothing.
    #[command(
        after_help = "Example: oubliette filter --also usr --keep 10.0.0.0/8 access.log -o access.out.log"
    )]
    Filter(FilterArgs),

    /// Run as a sidecar: receive syslog over many connections, and archive it
    ///
    /// Receives records from the inputs that [serve] of the configuration names; without any, over TCP and UDP on
    /// 127.0.0.1:5514. Treats each record as `filter` treats a line. Archives it in the state directory, unless the
    /// configuration names another directory.
    ///
    /// At SIGTERM, it accepts nothing more, writes what it has received, and seals the segments. At SIGHUP, it loads
    /// rules and configuration again; if something is wrong with them, it keeps the old ones.
    #[command(after_help = "Example: oubliette serve --config /etc/oubliette/config.toml")]
    Serve(ServeArgs),

    /// Print archived lines in time order; find a person's lines by the identifier in clear
    ///
    /// Reads only segments and frames that can match. For an identifier in clear, it searches the tokens of every
    /// epoch: with --identity or, for the current epoch, with the node's own secret. Conditions of different options
    /// must all hold, but --ip, --net, --email, --user and --token count as one: any of them is enough.
    ///
    /// Prints originals only with --reveal. The ledger records every search for an identifier in clear, every
    /// --reveal and every refusal; never the identifier.
    #[command(
        after_help = "Example: oubliette replay --archive /srv/log --ip 203.0.113.7 --from 2026-11-23 --identity identity-1.txt"
    )]
    Replay(Box<ReplayArgs>),
    /// Those of a fleet.
    #[command(flatten)]
    Fleet(FleetCommand),

    /// Manage epoch secrets and the fleet seed
    #[command(subcommand)]
    Keys(KeysCommand),

    /// Show or check the record of what was done to the data: keys, purges, holds
    #[command(subcommand)]
    Ledger(LedgerCommand),

    /// Remove expired lines, with proof; move lines to the intermediate archive on their day
    ///
    /// From 00:00 legal time on the expiry day, it records in the ledger what is to go, erases the shred key of
    /// the day, removes segments and vaults, and records in the ledger that they are gone. Safe to run again
    /// after a crash, and while a filter is writing. Run it daily, from a timer.
    ///
    /// Refuses if the clock went back, or jumped by more than 36 hours, since the last entry of the ledger.
    #[command(after_help = "Example: oubliette purge --archive /srv/log --dry-run")]
    Purge(PurgeArgs),

    /// Keep the lines that a case needs beyond their expiry day, until a given day
    #[command(subcommand)]
    Hold(HoldCommand),

    /// Answer a person's request: access, erasure, restriction; list whom a breach affects
    #[command(subcommand)]
    Subject(SubjectCommand),

    /// Check that nothing was changed or is missing in segments, vaults and the ledger
    ///
    /// Needs no secret. Exits with 1 if something is wrong, and names file and place. PATH is a segment, the
    /// directory of an archive, or that of a ledger. Without PATH, it checks the archive of the configuration or,
    /// if that names none, the ledger of this node.
    #[command(after_help = "Example: oubliette verify /srv/log")]
    Verify(VerifyArgs),

    /// Report what is kept, what was purged, and who intervened
    ///
    /// For the data protection officer: an HTML page that needs no other file, or JSON with --json. It comes from
    /// the ledger and the footers of segments. Needs no secret and names no person. Exits with 1 if something needs a human, such as lines past
    /// their day.
    #[command(after_help = "Example: oubliette report --archive /srv/log --out report.html")]
    Report(ReportArgs),

    /// Print the token of an identifier in the current epoch
    ///
    /// Use it to search pseudonymised logs for somebody whose address you have. Anybody who can run this
    /// with the state directory can test addresses against tokens: restrict who can.
    #[command(after_help = "Example: grep \"$(oubliette token 203.0.113.7)\" access.pseudonymised.log")]
    Token(TokenArgs),

    /// Show what is recognised in a line, or explain an error code
    ///
    /// Prints the line with a mark under every identifier, then its format, time, retention class and
    /// expiry day. Needs no key and shows no token. Without LINE, explains each line of standard input.
    #[command(
        after_help = "Example: oubliette explain '203.0.113.7 - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5'"
    )]
    Explain(ExplainArgs),

    /// Check configuration and rules: load them all, run every sample
    ///
    /// Runs every rule over its own samples and over those of all other rules, and every retention
    /// class over its samples. Exits with 1 if it finds anything wrong.
    #[command(after_help = "Example: oubliette check --rules /etc/oubliette/rules")]
    Check(CheckArgs),

    /// Print a completion script for a shell
    #[command(after_help = "Example: oubliette completions bash > /etc/bash_completion.d/oubliette")]
    Completions(CompletionsArgs),

    /// Print the manual page, or write one page per command
    #[command(after_help = "Example: oubliette man --out /usr/local/share/man/man1")]
    Man(ManArgs),
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List epoch secrets: kid, epoch, state, escrow
    #[command(after_help = "Example: oubliette keys list --json")]
    List,

    /// End the current epoch now and start another secret
    ///
    /// Tokens made from now on differ from those made before, although the day is the same.
    #[command(after_help = "Example: oubliette keys rotate")]
    Rotate(RotateArgs),

    /// Make or import the seed that gives a fleet equal tokens
    #[command(subcommand)]
    Seed(SeedCommand),

    /// Wrap the current epoch secret to the escrow recipients again
    ///
    /// Use it when you have added recipients after the epoch began.
    #[command(after_help = "Example: oubliette keys wrap")]
    Wrap(WrapArgs),
}

/// `keys seed`.
#[derive(Debug, Subcommand)]
pub(crate) enum SeedCommand {
    /// Make a new seed for a fleet and write it to FILE
    #[command(after_help = "Example: oubliette keys seed new fleet.seed")]
    New {
        /// File to write, with mode 0600; must not exist yet
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,

        /// How long tokens stay the same: day (default), month
        #[arg(long, value_name = "LENGTH", hide_possible_values = true)]
        epoch: Option<EpochName>,
    },
    /// Import a seed into the state directory of this node
    #[command(after_help = "Example: oubliette keys seed import fleet.seed")]
    Import {
        /// The seed; `-` is standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// Options of all commands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "COMMON")]
pub(crate) struct Common {
    /// Directory of secrets, ledger, holds and quarantine
    ///
    /// /var/lib/oubliette for root, otherwise $XDG_STATE_HOME/oubliette (~/.local/state/oubliette).
    #[arg(long, global = true, value_name = "DIR", env = "OUBLIETTE_STATE_DIR", hide_env = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Configuration file [default: config.toml in DIR]
    ///
    /// A file that you name must exist; the default one need not. If DIR is /var/lib/oubliette and has none, it is
    /// /etc/oubliette/config.toml, with which the package starts the service.
    #[arg(long, global = true, value_name = "FILE", env = "OUBLIETTE_CONFIG", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Use the 32-byte secret in FILE for ever, instead of epoch secrets
    ///
    /// FILE holds 32 raw bytes or 64 hex digits. It is refused if its group or others can read it, and if it
    /// is all zero. The epoch is then `fixed`: tokens stay the same until the file changes.
    #[arg(long, global = true, value_name = "FILE", env = "OUBLIETTE_KEY_FILE", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// More rules: DIR/identifiers/*.toml, DIR/retention/*.toml
    ///
    /// A file with the name of a built-in one replaces it.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) rules: Option<PathBuf>,

    /// Tenant: equal identifiers of two tenants get different tokens
    ///
    /// `replay`, `subject` and `hold` then find only the lines of this tenant.
    #[arg(long, global = true, value_name = "NAME", value_parser = tenant)]
    pub(crate) tenant: Option<String>,

    /// Legal time zone: decides when a day begins [default: Europe/Paris]
    #[arg(long, global = true, value_name = "ZONE", value_parser = zone)]
    pub(crate) zone: Option<TimeZone>,

    /// Set the clock to this instant, for tests and what-if questions
    ///
    /// Lines count as received at this instant, in the epoch of this instant. `filter` needs the secret of that epoch. As
    /// at midnight, it ends every other epoch of the state directory: on a machine in use, name another state directory.
    /// `token` ends none. What a command records is dated so, and a ledger that was once ahead stays there.
    #[arg(long, global = true, value_name = "RFC3339", value_parser = instant, hide_short_help = true)]
    pub(crate) now: Option<Timestamp>,

    /// Print counts of lines to standard error at the end: json
    ///
    /// `filter`, `serve` and `replay` print one object, `batch` one for each file. Other commands refuse this option.
    #[arg(long, global = true, value_name = "FORM", hide_possible_values = true)]
    pub(crate) stats: Option<Stats>,

    /// Print tables and messages as JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What decides how a line is read and dated; shared by `filter` and `explain`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Read every line as this format instead of guessing
    ///
    /// Lines that do not fit the format are searched too, as text.
    #[arg(long, value_name = "NAME", value_parser = format_parser(), help_heading = "INPUT")]
    #[arg(hide_possible_values = true)]
    pub(crate) format: Option<Format>,

    /// Longest line; longer ones go into quarantine [default: 4MiB]
    ///
    /// From 480 bytes, which every receiver must accept (RFC 5424), to 16MiB.
    #[arg(long, value_name = "SIZE", value_parser = line_bytes, help_heading = "INPUT")]
    pub(crate) max_line_bytes: Option<usize>,

    /// More kinds to find: usr, host, mac, tel, or a kind of your rules
    ///
    /// IP and e-mail addresses are always found.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind, help_heading = "PRIVACY")]
    pub(crate) also: Option<Vec<String>>,

    /// Leave the addresses of this network in clear (repeatable)
    ///
    /// Loopback addresses are always left in clear.
    #[arg(long, value_name = "CIDR", value_parser = network, help_heading = "PRIVACY")]
    pub(crate) keep: Option<Vec<IpNet>>,

    /// Input comes from another oubliette: leave its tokens and tags
    #[arg(long, help_heading = "PRIVACY")]
    pub(crate) trust_upstream: bool,

    /// Form of the retention tag: native (default), suffix, none
    ///
    /// native: an SD-ELEMENT in RFC 5424, the last member of a JSON object, otherwise `expires=DATE class=NAME` before the
    /// line end. suffix: always before the line end.
    #[arg(long, value_name = "FORM", hide_possible_values = true, help_heading = "RETENTION")]
    pub(crate) tag: Option<Tag>,

    /// Zone of times that state none [default: the legal zone]
    #[arg(long, value_name = "ZONE", value_parser = zone, help_heading = "RETENTION")]
    pub(crate) source_zone: Option<TimeZone>,

    /// For old files: trust every past time, drop expired lines
    ///
    /// Otherwise, a time more than 48 h before or 5 min after receipt is not trusted: the day of receipt
    /// counts, and the tag says clock=received.
    #[arg(long, help_heading = "RETENTION")]
    pub(crate) backfill: bool,
}

/// What tokens are like; shared by `filter` and `token`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "PRIVACY")]
pub(crate) struct Tokens {
    /// How long tokens stay the same: day (default), month, fixed
    #[arg(long, value_name = "LENGTH", hide_possible_values = true)]
    pub(crate) epoch: Option<EpochName>,

    /// Form of tokens: native (default), or address for tools that need it
    ///
    /// native: ip_2epqfnspyfc4whwyd2jp92w06ftvdrr. address: an IP address becomes a unique local IPv6
    /// address, an e-mail address becomes one of pseudonym.invalid.
    #[arg(long, value_name = "SHAPE", hide_possible_values = true)]
    pub(crate) token_shape: Option<TokenShape>,
}

/// `filter`.
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Log file to read; `-` or nothing is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "INPUT", display_order = 0)]
    pub(crate) input: Option<PathBuf>,

    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Threads that process lines [default: one per core]
    ///
    /// The output is the same with any number.
    #[arg(long, value_name = "N", value_parser = workers, help_heading = "INPUT", hide_short_help = true)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,

    /// Write to FILE, created with mode 0600; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "OUTPUT")]
    pub(crate) output: Option<PathBuf>,

    /// Where lines are archived.
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
}

/// `init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Wrap secrets to this age recipient instead of new identities (repeatable)
    ///
    /// Recipients of age plugins work too.
    #[arg(long, value_name = "AGE", help_heading = "PRIVACY")]
    pub(crate) recipient: Vec<String>,
}

/// `token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// The identifier in clear: an IP address, an e-mail address, or text with --kind
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,

    /// Its kind, if it is neither an IP nor an e-mail address: usr, host, mac, tel, net
    #[arg(long, value_name = "KIND", value_parser = kind, help_heading = "PRIVACY")]
    pub(crate) kind: Option<String>,

    /// Print the token of the epoch of this legal day [default: now]
    ///
    /// The secret of a past epoch is gone from this machine; --identity opens its wrapped copy.
    #[arg(long, value_name = "DATE", value_parser = day, help_heading = "PRIVACY")]
    pub(crate) day: Option<Date>,

    /// Escrow identity that opens the secret of a past epoch
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "PRIVACY")]
    #[arg(requires = "day")]
    pub(crate) identity: Option<PathBuf>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}

/// `keys rotate`.
#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}

/// `keys wrap`.
#[derive(Args, Debug)]
pub(crate) struct WrapArgs {
    /// Add this age recipient first (repeatable)
    #[arg(long, value_name = "AGE", help_heading = "PRIVACY")]
    pub(crate) recipient: Vec<String>,
}

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A log line, or the code of a message such as K03
    #[arg(value_name = "LINE or CODE", allow_hyphen_values = true, conflicts_with = "list")]
    pub(crate) subject: Option<std::ffi::OsString>,

    /// List the codes of all messages
    #[arg(long)]
    pub(crate) list: bool,

    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Rule and configuration files to check instead of those in use
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Print a JSON schema of the configuration instead
    #[arg(long, conflicts_with_all = ["files", "reference"])]
    pub(crate) schema: bool,

    /// Print every key of the configuration as Markdown instead
    #[arg(long, conflicts_with = "files")]
    pub(crate) reference: bool,
}

/// `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// `man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write one page per command into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
}

/// `--stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stats {
    /// One JSON object on one line
    Json,
}

/// `--tag`, and `tag` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tag {
    /// In the place that the format has for it, otherwise before the line end
    Native,
    /// Always before the line end
    Suffix,
    /// No tag
    None,
}

/// `--epoch`, and `epoch` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EpochName {
    /// One legal day
    Day,
    /// One calendar month
    Month,
    /// Until the secret changes
    Fixed,
}

/// `--token-shape`, and `token_shape` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenShape {
    /// A kind and an opaque text: `ip_2ep1w...`
    Native,
    /// A unique local IPv6 address, or an e-mail address of `pseudonym.invalid`
    Address,
}

fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).map(|name| {
        // The parser above accepts only these names. `Raw` is a safe fallback: it searches the line as text.
        Format::named(&name).unwrap_or(Format::Raw)
    })
}

const LONG_ABOUT: &str = "\
Reads log lines, replaces every IP and e-mail address (and, if you ask for them, account names, \
client host names, MAC addresses and phone numbers) by a keyed token, and adds to each line the first \
day on which it must no longer exist. Equal identifiers get equal tokens within one epoch, by default \
one legal day. Without the secret of that epoch, nobody can find their originals.

Data goes to standard output, messages to standard error. If something is wrong, oubliette stops \
rather than let an identifier out in clear.";

const MANUAL_END: &str = "\
Exit status:
  0  done; also if the reader of standard output closed it
  1  done, but something needs a human: quarantined lines, findings of `check`
  2  failed: command line, configuration, keys, input or output

Environment:
  OUBLIETTE_STATE_DIR, OUBLIETTE_CONFIG, OUBLIETTE_KEY_FILE  like the options of these names
  NO_COLOR, CLICOLOR_FORCE                                   colours of messages

An option beats the environment, which beats the configuration file.

Every message has a code; `oubliette explain K03` says what it means and what to do.

Example:
  tail -F access.log | oubliette filter >> access.pseudonymised.log";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn short_help_fits_one_screen() {
        for arguments in [vec!["oubliette"], vec!["oubliette", "filter"], vec!["oubliette", "explain"]] {
            let mut typed = arguments.clone();
            typed.push("-h");
            let help = CommandLine::try_parse_from(typed).unwrap_err().to_string();
            let lines = help.lines().count();
            let columns = help.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(lines <= 48 && columns <= 100, "{arguments:?}: {lines} lines, {columns} columns\n{help}");
        }
    }

    #[test]
    fn every_command_has_one_example() {
        fn walk(command: &clap::Command) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let expected = usize::from(!command.has_subcommands() || command.get_name() == "oubliette");
            assert_eq!(examples.matches("Example: ").count(), expected, "{}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&CommandLine::command());
    }

    #[test]
    fn lists_and_repeats() {
        let typed =
            ["oubliette", "filter", "--also", "usr,host", "--keep", "10.0.0.0/8", "--keep", "fd00::/8"];
        let Command::Filter(filter) = CommandLine::try_parse_from(typed).unwrap().command else {
            panic!("not filter")
        };
        assert_eq!(filter.reading.also.unwrap(), ["usr", "host"]);
        assert_eq!(filter.reading.keep.unwrap().len(), 2);
    }
}
