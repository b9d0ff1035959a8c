//! What was typed. Validates the form of each value and touches nothing: no file, no clock.

mod archive;
mod custody;
mod fleet;
mod replay;
mod serve;
mod subject;
mod values;

use crate::model::Format;
pub(crate) use archive::{ArchiveArgs, EscrowName, node, sync};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
pub(crate) use custody::{
    ArchivePlace, HoldCommand, LedgerCommand, LedgerPlace, PurgeArgs, ReportArgs, SearchPlace, VerifyArgs,
};
pub(crate) use fleet::{BatchArgs, CollectArgs, FleetCommand, LifecycleArgs, VaultsArgs};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
pub(crate) use replay::{AccessArgs, LineArgs, ReplayArgs, TimeArgs};
use schemars::JsonSchema;
use serde::Deserialize;
pub(crate) use serve::ServeArgs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
pub(crate) use subject::{DossierForm, PeriodArgs, PersonArgs, SubjectCommand};
use values::{day, instant};
pub(crate) use values::{kind, line_bytes, network, quantity, tenant, workers, zone};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "oubliette",
    version,
    about = "Replaces every IP and e-mail address in a log by a keyed token, and dates every line",
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
    /// Safe to run twice: what is there already stays as it is. The two escrow identities can open every
    /// epoch secret made from now on. Move them off this machine, to two people or two places.
    #[command(after_help = "Example: oubliette init --state-dir /var/lib/oubliette")]
    Init(InitArgs),

    /// Pseudonymise log lines: standard input to standard output
    ///
    /// Reads lines, finds the identifiers in each, replaces every one by its token, adds the retention
    /// tag, and writes the line. All other bytes stay as they are. A line longer than --max-line-bytes
    /// is sealed in the state directory, and a placeholder goes out in its place.
    ///
    /// Nothing goes out in clear: without a usable key or with a rule file that does not load, filter
    /// refuses to start and prints nothing.
    #[command(
        after_help = "Example: oubliette filter --also usr --keep 10.0.0.0/8 access.log -o access.out.log"
    )]
    Filter(FilterArgs),

    /// Run as a sidecar: syslog from many connections into the archive
    ///
    /// Takes records from what [serve] of the configuration names; without it, over TCP and UDP on 127.0.0.1:5514.
    /// Each is treated as `filter` treats a line, and archived in the state directory unless the configuration
    /// says otherwise.
    ///
    /// SIGTERM: nothing more is accepted, what has come is written, segments are sealed. SIGHUP: rules and
    /// configuration are loaded again; if something is wrong with them, the old ones stay in force.
    #[command(after_help = "Example: oubliette serve --config /etc/oubliette/config.toml")]
    Serve(ServeArgs),

    /// Archived lines back out, in time order; a person's from the clear identifier
    ///
    /// Segments and frames that cannot match are not read. An identifier in clear becomes its tokens in every
    /// epoch: with --identity, or with the node's own secret for the running one. Conditions of different
    /// options must all hold, but --ip, --net, --email, --user and --token are one: any of them.
    ///
    /// Originals stay hidden unless --reveal says otherwise. The ledger keeps every search for an identifier in
    /// clear, every --reveal and every refusal; never the identifier.
    #[command(
        after_help = "Example: oubliette replay --archive /srv/log --ip 203.0.113.7 --from 2026-11-23 --identity identity-1.txt"
    )]
    Replay(Box<ReplayArgs>),
    /// Those of a fleet.
    #[command(flatten)]
    Fleet(FleetCommand),

    /// Look after epoch secrets and the fleet seed
    #[command(subcommand)]
    Keys(KeysCommand),

    /// Show or check what was done to the data: keys, purges, holds
    #[command(subcommand)]
    Ledger(LedgerCommand),

    /// Remove what has expired, with proof; move what is due for the intermediate store
    ///
    /// From 00:00 legal time of its expiry day: the ledger keeps what is to go, the shred key of the day is
    /// erased, segments and vaults are removed, and the ledger keeps that they are gone. Safe to run again
    /// after a crash, and while a filter is writing. Run it daily, from a timer.
    ///
    /// Refuses if the clock went back, or jumped by more than 36 hours, since the last entry of the ledger.
    #[command(after_help = "Example: oubliette purge --archive /srv/log --dry-run")]
    Purge(PurgeArgs),

    /// Keep what a case needs beyond its day, until a day
    #[command(subcommand)]
    Hold(HoldCommand),

    /// Answer a person: access, erasure, restriction; and tell whom a breach is about
    #[command(subcommand)]
    Subject(SubjectCommand),

    /// Check segments, vaults and the ledger: nothing changed, nothing missing
    ///
    /// Needs no secret. Exits 1 if something is wrong, and names file and place. PATH is a segment, the
    /// directory of an archive, or that of a ledger; without PATH it is the archive of the configuration, or if
    /// that names none, the ledger of this node.
    #[command(after_help = "Example: oubliette verify /srv/log")]
    Verify(VerifyArgs),

    /// Tell the data protection officer what is kept, what went and who intervened
    ///
    /// An HTML page that stands alone, or JSON with --json. From the ledger and the footers of segments: needs
    /// no secret, names no person. Exits 1 if something needs a human, such as lines past their day.
    #[command(after_help = "Example: oubliette report --archive /srv/log --out report.html")]
    Report(ReportArgs),

    /// Print the token of an identifier in the current epoch
    ///
    /// Use it to search pseudonymised logs for somebody whose address you have. Whoever can run this
    /// with the state directory can test addresses against tokens: give it to nobody who should not.
    #[command(after_help = "Example: grep \"$(oubliette token 203.0.113.7)\" access.pseudonymised.log")]
    Token(TokenArgs),

    /// Show what is recognised in a line, or explain an error code
    ///
    /// Prints the line with a mark under every identifier, then its format, time, retention class and
    /// expiry. Needs no key and shows no token. Without LINE, explains each line of standard input.
    #[command(
        after_help = "Example: oubliette explain '203.0.113.7 - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5'"
    )]
    Explain(ExplainArgs),

    /// Check configuration and rules: load them all, run every sample
    ///
    /// Runs every rule over its own samples and over those of all other rules, and every retention
    /// class over its samples. Exits 1 if anything is found.
    #[command(after_help = "Example: oubliette check --rules /etc/oubliette/rules")]
    Check(CheckArgs),

    /// Print a completion script for a shell
    #[command(after_help = "Example: oubliette completions bash > /etc/bash_completion.d/oubliette")]
    Completions(CompletionsArgs),

    /// Print the manual page, or write one page a command
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
    /// For recipients that were added after the epoch began.
    #[command(after_help = "Example: oubliette keys wrap")]
    Wrap(WrapArgs),
}

/// `keys seed`.
#[derive(Debug, Subcommand)]
pub(crate) enum SeedCommand {
    /// Make a new seed for a fleet and write it to FILE
    #[command(after_help = "Example: oubliette keys seed new fleet.seed")]
    New {
        /// Where to write it, mode 0600; must not exist
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,

        /// How long tokens stay the same: day (default), month
        #[arg(long, value_name = "LENGTH", hide_possible_values = true)]
        epoch: Option<EpochName>,
    },
    /// Take a seed into the state directory of this node
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
    /// Where secrets and quarantine live
    ///
    /// /var/lib/oubliette for root, otherwise $XDG_STATE_HOME/oubliette (~/.local/state/oubliette).
    #[arg(long, global = true, value_name = "DIR", env = "OUBLIETTE_STATE_DIR", hide_env = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Configuration file [default: config.toml in DIR]
    ///
    /// A file that is named must exist; the default one need not.
    #[arg(long, global = true, value_name = "FILE", env = "OUBLIETTE_CONFIG", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Use this 32-byte secret for ever instead of epoch secrets
    ///
    /// FILE holds 32 raw bytes or 64 hex digits. It is refused if group or others can read it, and if it
    /// is all zero. The epoch is then `fixed`: tokens stay the same until the file changes.
    #[arg(long, global = true, value_name = "FILE", env = "OUBLIETTE_KEY_FILE", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// More rules: DIR/identifiers/*.toml, DIR/retention/*.toml
    ///
    /// A file with the name of a built-in one replaces it.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) rules: Option<PathBuf>,

    /// Whose tokens: equal values of two tenants get different ones
    ///
    /// `replay`, `subject` and `hold` then find the lines of this tenant alone.
    #[arg(long, global = true, value_name = "NAME", value_parser = tenant)]
    pub(crate) tenant: Option<String>,

    /// Legal time zone: which day it is [default: Europe/Paris]
    #[arg(long, global = true, value_name = "ZONE", value_parser = zone)]
    pub(crate) zone: Option<TimeZone>,

    /// Fix the clock: tests, what-if questions
    ///
    /// Lines count as received at this instant, and the epoch is the one that holds then. `filter` needs the secret of that
    /// epoch, and as at midnight that of any other ends in its state directory: where a node lives, name another one.
    /// `token` ends none.
    #[arg(long, global = true, value_name = "RFC3339", value_parser = instant, hide_short_help = true)]
    pub(crate) now: Option<Timestamp>,

    /// Print counts to standard error at the end: json
    ///
    /// Of lines: by `filter`, `serve`, `replay`, and for each object by `batch`. Other commands refuse it.
    #[arg(long, global = true, value_name = "FORM", hide_possible_values = true)]
    pub(crate) stats: Option<Stats>,

    /// Tables and messages as JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What decides how a line is read and dated; shared by `filter` and `explain`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Read every line as this format instead of guessing
    ///
    /// Lines that do not fit are searched as text all the same.
    #[arg(long, value_name = "NAME", value_parser = format_parser(), help_heading = "INPUT")]
    #[arg(hide_possible_values = true)]
    pub(crate) format: Option<Format>,

    /// Longest line; longer ones are sealed apart [default: 4MiB]
    ///
    /// From 480 bytes, the longest that RFC 5424 makes every receiver take, to 1024MiB.
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

    /// How lines are dated: native (default), suffix, none
    ///
    /// native: in the idiom of the line's format, an SD-ELEMENT in RFC 5424, a last member in a JSON object, otherwise
    /// ` expires=DATE class=NAME` before the line end. suffix: always the latter.
    #[arg(long, value_name = "FORM", hide_possible_values = true, help_heading = "RETENTION")]
    pub(crate) tag: Option<Tag>,

    /// Zone of times that state none [default: the legal zone]
    #[arg(long, value_name = "ZONE", value_parser = zone, help_heading = "RETENTION")]
    pub(crate) source_zone: Option<TimeZone>,

    /// Old files: believe every past time, drop what has expired
    ///
    /// Otherwise a time more than 48 h before or 5 min after receipt is not believed: the day of receipt
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

    /// native (default), or address for tools that demand addresses
    ///
    /// native: ip_2epqfnspyfc4whwyd2jp92w06ftvdrr. address: an IP address becomes a unique local IPv6
    /// address, an e-mail address one of pseudonym.invalid.
    #[arg(long, value_name = "SHAPE", hide_possible_values = true)]
    pub(crate) token_shape: Option<TokenShape>,
}

/// `filter`.
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Log file; `-` or nothing is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "INPUT", display_order = 0)]
    pub(crate) input: Option<PathBuf>,

    /// How lines are read.
    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Threads that work on lines [default: one a core]
    ///
    /// The output is the same whatever their number.
    #[arg(long, value_name = "N", value_parser = workers, help_heading = "INPUT", hide_short_help = true)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// What tokens are like.
    #[command(flatten)]
    pub(crate) tokens: Tokens,

    /// Write to FILE, made with mode 0600; `-` is standard output
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
    /// Recipients of age plugins work, too.
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

    /// In the epoch of this legal day [default: now]
    ///
    /// The secret of a past epoch is gone from this machine; its wrapped copy opens with --identity.
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

    /// List all error codes
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
    /// Write one page a command to this directory
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
    /// In the format's own idiom
    Native,
    /// Before the line end
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
    /// As long as the secret
    Fixed,
}

/// `--token-shape`, and `token_shape` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenShape {
    /// kind, underscore, kid, tag
    Native,
    /// What looks like an address
    Address,
}

fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).map(|name| {
        // The parser before lets only these names pass; `Raw` searches the line as text, whatever it is.
        Format::named(&name).unwrap_or(Format::Raw)
    })
}

const LONG_ABOUT: &str = "\
Reads log lines, replaces every IP and e-mail address (and, when asked, account names, client host \
names, MAC addresses and phone numbers) by a keyed token, and adds to each line the day on which it \
must be gone. Equal identifiers get equal tokens within one epoch, by default one legal day; without \
the secret of that epoch nobody can tell whose they are.

Data goes to standard output, talk to standard error. Nothing goes out in clear when something is \
wrong: oubliette refuses instead.";

const MANUAL_END: &str = "\
Exit status:
  0  done; also when the reader of standard output closed it
  1  done, but something needs a human: quarantined lines, findings of `check`
  2  could not: command line, configuration, keys, input or output

Environment:
  OUBLIETTE_STATE_DIR, OUBLIETTE_CONFIG, OUBLIETTE_KEY_FILE  as the options of those names
  NO_COLOR, CLICOLOR_FORCE                                   colour of messages

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
