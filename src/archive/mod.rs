//! Segments: files that hold the lines of one class, expiry day and epoch, readable by every zstd decoder.
//!
//! [`frame::Lines`] accepts nothing but [`crate::pseudonym::Pseudonymised`]; that is the proof that no line
//! in clear reaches an archive. This module knows no rules, keys or vaults: a segment's owner is just a name,
//! its content is lines and filters, and its seal comes from a [`crate::model::Sealer`].
#![doc = include_str!("FORMAT.md")]

mod chain;
pub mod error;
pub mod filter;
mod footer;
pub mod frame;
mod frame_reader;
mod part;
pub mod reader;
mod recovery;
mod rewriting;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

pub use error::{ArchiveError, CODES, DAMAGED, UNREADABLE, archive_is_full};
pub use footer::{Footer, FrameEntry, Malformed, Origin, Sealed, VaultMark};
pub use frame::{Frame, Lines, Packer};
pub use frame_reader::{FramePlace, FrameReader};
pub use part::Part;
pub use reader::{Found, Segment, list, list_without};
pub use recovery::{Known, Recovered, VaultOf, new_id, recover};
pub use rewriting::{Keeps, Rewritten, rewrite};
pub use whole::WholeSegment;
pub use writer::{Destination, FILE_MODE, SegmentWriter};
