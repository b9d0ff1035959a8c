//! The life of a line, top to bottom.
//!
//! ```text
//! feed      reads blocks of whole lines, seals what is too long, hands out each epoch's keys
//!   |       to whichever worker is free, which reads it itself
//! workers   find, replace, classify, tag: bytes in, `Pseudonymised` out
//!   |       in the order of the input, by whichever worker has the turn to write
//! output    writes whole blocks, or the archiver, into segments and vaults
//! ```
//!
//! What waits is bounded, so a slow output slows the reading and memory stays bounded. Whatever fails,
//! everything before it in the input is written, nothing after it, and the failure is returned. At the
//! end `tally` checks that every line is accounted for.

pub mod archiver;
mod distinct;
pub mod error;
mod fanout;
mod feed;
pub mod filter;
pub mod intake;
pub mod outlet;
pub mod output;
mod repeats;
mod tally;
mod totals;
pub mod watch;
pub mod workers;

pub use archiver::{ArchiveParts, Archiver, Escrow, SyncPolicy};
pub use error::{CODES, PipelineError};
pub use fanout::{Branch, Fanout};
pub use feed::{Current, Epochs, Feed, Part, Parts};
pub use intake::{Gate, Gathered, Intake, Receipt, Room, Sender};
pub use outlet::{Outlet, OutletSettings};
pub use output::{Descriptor, Outgoing, Output, Sink, WriteError};
pub use repeats::Repeats;
pub use tally::Tally;
pub use totals::{Counts, Totals};
pub use watch::{Metered, Observed, Watched};
pub use workers::{Fed, Finish, Flow, Piece, Portion, Run, Source, Work, run};
