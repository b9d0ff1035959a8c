//! The life of a line, top to bottom.
//!
//! ```text
//! feed      reads blocks of whole lines, quarantines over-long lines, hands out the keys of each epoch
//!   |       (runs in whichever worker is free: that worker processes the block it has read)
//! workers   find, replace, classify, tag: bytes in, `Pseudonymised` out
//!   |       (the worker that has the turn to write passes results on, in the order of the input)
//! output    writes whole blocks; or the archiver, into segments and vaults
//! ```
//!
//! All queues are bounded: a slow output slows down reading, and memory stays bounded. After a failure,
//! everything before it in the input is written, nothing after it, and the failure is returned. At the
//! end, `tally` checks that every line is accounted for.

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
pub use fanout::Fanout;
pub use feed::{Current, Epochs, Feed, Part, Parts};
pub use intake::{Gate, Gathered, Intake, Receipt, Room, SenderKind};
pub use outlet::{Outlet, OutletSettings};
pub use output::{Descriptor, Outgoing, Output, Sink, WriteError};
pub use repeats::Repeats;
pub use tally::Tally;
pub use totals::{Counts, Totals};
pub use watch::{Metered, Observed, Watched};
pub use workers::{Finish, Flow, LineTotals, Piece, Run, Source, SourceItem, Work, run};
