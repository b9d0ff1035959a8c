//! Retention: the class of a line, the day on which it expires, and its tag. No input or output.
//!
//! ```text
//! Record --policy--> class --event_time--> legal day --expiry--> expires --stamp--> tag
//! ```
//! [`Stamper`] does all of this for one worker and caches results where it can; [`tag::LookAlikes`] finds
//! text that only looks like a tag. This module knows no file formats and no keys, and reads no clock.

pub mod event_time;
pub mod expiry;
mod memo;
mod options;
mod policy;
pub mod stamp;
pub mod tag;

pub use event_time::DayFrom;
pub use options::{Options, TagForm};
pub use policy::{FieldOf, Match, Policy};
pub use stamp::{Dating, Stamper, Start, StartFrom, Verdict};
pub use tag::LookAlikes;
