//! Arguments of the commands that maintain an archive: `purge`, `hold`, `verify`, `ledger`.

use super::{case, day};
use crate::jobs::ledger::Anchor;
use crate::model::ClassName;
use clap::{ArgGroup, Args, Subcommand, ValueHint};
use jiff::civil::Date;
use std::path::PathBuf;

/// `ledger`.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Show the entries, or the public key of a day
    ///
    /// With --json, prints the entries as they were written.
    #[command(after_help = "Example: oubliette ledger show --key 2026-11-23 > day.pem")]
    Show {
        /// Which ledger.
        #[command(flatten)]
        place: LedgerPlace,

        /// Print the public key of this legal day instead, in PEM, for openssl
        #[arg(long, value_name = "DATE", value_parser = day)]
        key: Option<Date>,
    },

    /// Check that no entry was changed, added, removed or moved
    ///
    /// Needs no secret: public keys are in the ledger. Exits with 1 if something is wrong, and says where. Prints
    /// the end of the ledger: store it elsewhere, and give it with --expect next time.
    #[command(after_help = "Example: oubliette ledger verify --json")]
    Verify {
        /// Which ledger.
        #[command(flatten)]
        place: LedgerPlace,

        /// The ledger must have this entry with this hash (repeatable)
        ///
        /// Give what an earlier run printed as `end`. It shows whether somebody put an older copy back.
        #[arg(long, value_name = "N:HASH", value_parser = anchor)]
        expect: Vec<Anchor>,
    },
}

/// Where an archive is.
#[derive(Args, Debug)]
#[command(next_help_heading = "ARCHIVE")]
pub(crate) struct ArchivePlace {
    /// Directory that holds archive, vault and intermediate [default: that of the configuration]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) archive: Option<PathBuf>,

    /// Directory of vaults, if it is elsewhere [default: that of the configuration, or vault in the archive]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) vault: Option<PathBuf>,
}

/// Where an archive is, for whoever gives originals back: those of lines that a worker of a fleet stored are elsewhere.
#[derive(Args, Debug)]
#[command(next_help_heading = "ARCHIVE")]
pub(crate) struct SearchPlace {
    /// Directory that holds archive, vault and intermediate [default: that of the configuration]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) archive: Option<PathBuf>,

    /// Directory of vaults, if it is elsewhere (repeatable) [default: that of the configuration, or vault in the archive]
    ///
    /// For lines that a worker of a fleet stored, give the vaults of each node (s3://vaults/web1) or of all nodes
    /// (s3://vaults). Only vaults of the epoch, class and expiry day of a line are opened.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) vault: Vec<PathBuf>,

    /// Shred keys of another node: the folder shred of its state directory (repeatable)
    ///
    /// The vaults of a node open only with its own shred keys. Reach the folder over the network for the case: a copy would
    /// outlive its day.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide_short_help = true)]
    pub(crate) shred_keys: Vec<PathBuf>,
}

impl SearchPlace {
    /// The archive and the vaults of its own segments.
    pub(crate) fn archive(&self) -> ArchivePlace {
        ArchivePlace { archive: self.archive.clone(), vault: self.vault.first().cloned() }
    }
}

/// `hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Freeze segments for a case, for 7 days at most
    ///
    /// Within that time, extract the lines that the case needs: the segments go on their expiry day.
    #[command(
        after_help = "Example: oubliette hold add --archive /srv/log --case 2027/0815 --until 2028-01-31 --class connection"
    )]
    Add {
        /// Which archive.
        #[command(flatten)]
        place: ArchivePlace,

        // `extract` and `release` take any: a hold of an earlier version may have white space around it.
        /// Reference that the authority gave
        #[arg(long, value_name = "REF", value_parser = case, help_heading = "CASE")]
        case: String,

        /// First legal day on which the hold no longer exists
        #[arg(long, value_name = "DATE", value_parser = day, help_heading = "CASE")]
        until: Date,

        /// Only segments of this class
        #[arg(long, value_name = "NAME", value_parser = class, help_heading = "CASE")]
        class: Option<ClassName>,

        /// Only segments with events on this legal day or after it
        #[arg(long, value_name = "DATE", value_parser = day, help_heading = "CASE")]
        from: Option<Date>,

        /// Only segments with events on this legal day or before it
        #[arg(long, value_name = "DATE", value_parser = day, help_heading = "CASE")]
        to: Option<Date>,
    },

    /// List the holds
    #[command(after_help = "Example: oubliette hold list --json")]
    List,

    /// Extract the lines that a case needs, encrypted under the hold's own key, and end the freeze
    ///
    /// With --identity, or the --key-file of the lines, it also extracts the originals of their tokens. Extracts are in `holds` in
    /// the state directory. `hold list` names them and the key; `age -d -i IDENTITY KEY | age -d -i - FILE` opens them.
    /// For lines that a worker of a fleet stored, the originals are in the vaults of the nodes: give --vault and --shred-keys.
    #[command(
        after_help = "Example: oubliette hold extract --archive /srv/log --case 2027/0815 --ip 203.0.113.7 --identity identity-1.txt",
        group = ArgGroup::new("targets").args(["ip", "email", "user", "token"]).required(true).multiple(true)
    )]
    Extract {
        /// Which archive.
        #[command(flatten)]
        place: SearchPlace,

        /// Reference of the case
        #[arg(long, value_name = "REF", help_heading = "CASE")]
        case: String,

        /// Lines with this token (repeatable)
        #[arg(long, value_name = "TOKEN", help_heading = "CASE")]
        token: Vec<String>,

        /// Lines of this address (repeatable); needs --identity or --key-file
        #[arg(long, value_name = "ADDRESS", help_heading = "CASE")]
        ip: Vec<String>,

        /// Lines of this e-mail address (repeatable); needs --identity or --key-file
        #[arg(long, value_name = "ADDRESS", help_heading = "CASE")]
        email: Vec<String>,

        /// Lines of this account name (repeatable); needs --identity or --key-file
        #[arg(long, value_name = "NAME", help_heading = "CASE")]
        user: Vec<String>,

        /// Escrow identity: plain, locked with a passphrase, or of a plugin
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "CASE")]
        identity: Option<PathBuf>,
    },

    /// End a hold and erase its extracts
    #[command(after_help = "Example: oubliette hold release --archive /srv/log --case 2027/0815")]
    Release {
        /// Which archive.
        #[command(flatten)]
        place: ArchivePlace,

        /// Reference of the case
        #[arg(long, value_name = "REF", help_heading = "CASE")]
        case: String,
    },
}

/// `purge`.
#[derive(Args, Debug)]
pub(crate) struct PurgeArgs {
    /// Which archive.
    #[command(flatten)]
    pub(crate) place: ArchivePlace,

    /// Print what would be purged, and change nothing
    ///
    /// Exits with 1 if a human has to look first.
    #[arg(long, help_heading = "RETENTION")]
    pub(crate) dry_run: bool,

    /// Confirm that the clock is right although it jumped; the ledger records it
    #[arg(long, help_heading = "RETENTION")]
    pub(crate) confirm_clock: bool,
}

/// `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// A segment, the directory of an archive, or that of a ledger [default: the archive of the configuration]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) path: Option<PathBuf>,

    /// The ledger with the public keys (repeatable) [default: ledger in the state directory]
    ///
    /// Each worker of a fleet has its own: give those of all workers whose segments are there, and that of the node that purges.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) ledger: Vec<PathBuf>,

    /// Directory of vaults, if it is elsewhere [default: that of the configuration, or vault in the archive]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) vault: Option<PathBuf>,

    /// The ledger must have this entry with this hash (repeatable)
    ///
    /// Give what an earlier run printed as `end`. It shows whether somebody put an older copy back.
    #[arg(long, value_name = "N:HASH", value_parser = anchor)]
    pub(crate) expect: Vec<Anchor>,
}

/// `report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Which archive.
    #[command(flatten)]
    pub(crate) place: ArchivePlace,

    /// The file to write; `-` is standard output
    ///
    /// Replaces an earlier report of that name; refuses to replace any other file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "OUTPUT")]
    pub(crate) out: PathBuf,

    /// Purges and interventions from this legal day on [default: a year ago]
    #[arg(long, value_name = "DATE", value_parser = day, help_heading = "OUTPUT")]
    pub(crate) from: Option<Date>,

    /// Purges and interventions up to this legal day [default: today]
    #[arg(long, value_name = "DATE", value_parser = day, help_heading = "OUTPUT")]
    pub(crate) to: Option<Date>,
}

/// Which ledger.
#[derive(Args, Debug)]
pub(crate) struct LedgerPlace {
    /// Folder of a ledger, or a copy of it [default: ledger in the state directory]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

fn anchor(text: &str) -> Result<Anchor, &'static str> {
    Anchor::parse(text).ok_or("the end of a ledger is written 17: and 64 hexadecimal digits")
}

fn class(text: &str) -> Result<ClassName, &'static str> {
    ClassName::new(text).ok_or("a class is 1 to 64 of a-z, 0-9 and -, and begins with a letter")
}
