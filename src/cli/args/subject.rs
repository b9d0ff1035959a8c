//! Arguments of `subject`.

use super::day;
use super::maintenance::SearchPlace;
use super::replay::{AccessArgs, TimeArgs, When};
use crate::model::ClassName;
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;

/// `subject`.
#[derive(Debug, Subcommand)]
pub(crate) enum SubjectCommand {
    /// Print a person's lines, as JSON or CSV, with purposes, legal bases and expiry days
    ///
    /// The person's own identifiers are in clear; other people stay tokens. Requires a custodian: --identity.
    #[command(
        after_help = "Example: oubliette subject access --archive /srv/log --case DSR-12 --email jean@example.fr --from 2026-01-01 --to 2026-12-31 --identity identity-1.txt"
    )]
    Access {
        /// Which archive.
        #[command(flatten)]
        place: SearchPlace,

        /// Whose lines.
        #[command(flatten)]
        person: PersonArgs,

        /// Within which time.
        #[command(flatten)]
        period: PeriodArgs,

        /// Who asks.
        #[command(flatten)]
        access: AccessArgs,

        /// Form of the output: json (default), csv
        #[arg(long, value_name = "FORM", hide_possible_values = true, default_value = "json")]
        #[arg(hide_default_value = true, help_heading = "OUTPUT")]
        form: DossierForm,
    },

    /// Erase a person's lines, unless the law requires keeping them
    ///
    /// Writes segments anew without the lines and seals them again; the ledger records it. For lines that the law
    /// requires keeping, prints the legal basis and the day on which they go. Exits with 1 if lines had to stay for another
    /// reason, or if vaults of nodes still have originals of lines that a worker of a fleet stored.
    #[command(
        after_help = "Example: oubliette subject erase --archive /srv/log --case DSR-13 --email jean@example.fr --identity identity-1.txt"
    )]
    Erase {
        /// Which archive.
        #[command(flatten)]
        place: SearchPlace,

        /// Whose lines.
        #[command(flatten)]
        person: PersonArgs,

        /// Who asks.
        #[command(flatten)]
        access: AccessArgs,
    },

    /// Keep an encrypted copy of a person's lines until a given day: a hold
    #[command(
        after_help = "Example: oubliette subject restrict --archive /srv/log --case DSR-14 --until 2027-12-31 --ip 203.0.113.7 --identity identity-1.txt"
    )]
    Restrict {
        /// Which archive.
        #[command(flatten)]
        place: SearchPlace,

        /// Whose lines.
        #[command(flatten)]
        person: PersonArgs,

        /// First legal day on which the copy no longer exists
        #[arg(long, value_name = "DATE", value_parser = day, help_heading = "CASE")]
        until: Date,

        /// Who asks.
        #[command(flatten)]
        access: AccessArgs,
    },

    /// Count and list the people in the lines of a period, after a breach
    ///
    /// Counts tokens: a person has another token in every epoch. With --reveal, counts originals.
    #[command(
        after_help = "Example: oubliette subject affected --archive /srv/log --from 2026-11-23 --to 2026-11-24 --list"
    )]
    Affected {
        /// Which archive.
        #[command(flatten)]
        place: SearchPlace,

        /// Within which time.
        #[command(flatten)]
        period: PeriodArgs,

        /// Only lines of this class (repeatable)
        #[arg(long, value_name = "NAME", value_parser = super::replay::class, value_delimiter = ',')]
        #[arg(help_heading = "LINES")]
        class: Vec<ClassName>,

        /// List the people, each with number of lines, first and last event
        #[arg(long, help_heading = "OUTPUT")]
        list: bool,

        /// Count originals instead of tokens; a list shows them in clear. Requires --case and --identity
        #[arg(long, help_heading = "ACCESS")]
        reveal: bool,

        /// Encrypt the list to this age recipient (repeatable); it goes to standard output
        #[arg(long, value_name = "AGE", requires = "list", help_heading = "OUTPUT")]
        recipient: Vec<String>,

        /// Who asks.
        #[command(flatten)]
        access: AccessArgs,
    },
}

/// Whose lines.
#[derive(Args, Debug)]
#[command(next_help_heading = "PERSON")]
#[group(required = true, multiple = true)]
pub(crate) struct PersonArgs {
    /// Lines with this address, in any notation (repeatable)
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) ip: Vec<String>,

    /// Lines with this e-mail address (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,

    /// Lines with this account name, if the filter replaced account names (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Vec<String>,

    /// Lines with this token (repeatable)
    #[arg(long, value_name = "TOKEN", value_delimiter = ',')]
    pub(crate) token: Vec<String>,
}

/// Within which time.
#[derive(Args, Debug)]
#[command(next_help_heading = "LINES")]
pub(crate) struct PeriodArgs {
    /// Only events from WHEN on: an instant, or a legal day from its beginning
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) from: When,

    /// Only events until WHEN: an instant, or a legal day to its end
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) to: When,

    /// How times of lines are read.
    #[command(flatten)]
    pub(crate) times: TimeArgs,
}

/// `--form`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DossierForm {
    /// One JSON object
    #[default]
    Json,
    /// A table
    Csv,
}
