//! Retention: which class a line is of, when it expires, what its tag says. No input or output.
//!
//! ```text
//! Record --policy--> class --event_time--> legal day --expiry--> expires --stamp--> tag
//! ```
//! [`Stamper`] does it all for one worker, from memory where it can; [`tag::LookAlikes`] finds text
//! that only looks like a tag. This module knows no file format and no key, and asks no clock.

pub mod event_time;
pub mod expiry;
mod memo;
mod policy;
pub mod stamp;
pub mod tag;

pub use event_time::DayFrom;
pub use policy::{FieldOf, Match, Policy};
pub use stamp::{Dating, Options, Stamper, Start, StartFrom, TagForm, Verdict};
pub use tag::LookAlikes;
