//! `replay`: reads archived lines back in the order of their events. It finds a person's lines from an
//! identifier in clear, and puts the identifiers back into the lines.
//!
//! ```text
//! Selection --Plan--> frames that may hold it --Lines--> lines in time order --Reveal--> originals put back
//!              ^ footers, and Secrets for identifiers in clear                   ^ vaults, opened with Secrets
//! ```
//! Frames that cannot match are not read. If an identity is missing or a wrong one, the replay names it and
//! stops before anything goes out, because a search with a gap would look like a complete one. If only the
//! secret of some epoch is lost, the replay names its days and searches the rest. Lines that are found go out
//! with the originals that can be revealed; the replay names whatever prevents other originals from being
//! revealed, or a file from being read.

mod access;
mod codes;
pub mod event_time;
mod fraction;
mod frames;
mod lines;
pub mod nodes;
mod obstacle;
mod outlet;
mod plan;
mod reveal;
mod run;
mod secrets;
mod selection;
pub mod spelling;
mod tenancy;
#[cfg(test)]
mod tests;
mod threads;
mod wanted;

pub use access::{Access, Basis, Grant, Purpose};
pub use codes::{BAD_QUESTION, CODES, MISSING, NO_GRANT, NO_SHRED_KEY, STOPPED};
pub use codes::{UNATTRIBUTED, UNLISTED, UNSEALED};
pub use event_time::{EventTime, Reading};
pub use lines::{Line, Lines, ReadCounts};
pub use nodes::{Holders, NodePlaces, NodeTokens};
pub use obstacle::{Obstacle, Obstacles};
pub use outlet::{Broken, Framing, Outlet};
pub use plan::{Gaps, Originals, Plan, PlanCounts, PlannedSegment, Purged, PurgedSpan, Unsealed, Unsearched};
pub(in crate::jobs) use plan::{Sorted, days_of, purged_of, sealed_and_unsealed};
pub use reveal::{Reveal, Revealed, Scope};
pub use run::{Counts, Each, Outcome, Question, Ready, Visited};
pub use secrets::{Credentials, Opened, Secrets, State};
pub use selection::{Identifier, Selection};
pub use spelling::TagKey;
pub use tenancy::{DEFAULT_TENANT, Named, Share, Sought, Tenancy};
pub use wanted::Wanted;
