//! Plain data types shared by the modules above. No input or output, and no logic that can fail at run time.

mod class;
pub mod custody;
mod finding;
mod kind;
mod line_counts;
pub mod record;
mod rule;
mod segment;
mod span;
pub mod tag;

pub use class::{Clause, Keep, Pattern, Period, RetentionClass, RetentionSample, Starts, Unit};
pub use custody::{Seal, Sealer, ShredKeys};
pub use finding::{Canonical, Finding, Findings};
pub use kind::{Kind, Kinds};
pub use line_counts::LineCounts;
pub use record::{Format, Names, Record, StatedTime, TagPoint};
pub use rule::{Expected, IdentifierRule, IdentifierSample, RuleId};
pub use segment::{Folder, NodeName, SegmentId, SegmentName, Tree};
pub use span::{LONGEST_LINE, Span};
pub use tag::{ClassName, Expires, Idiom, Placement, RenderedTag};
