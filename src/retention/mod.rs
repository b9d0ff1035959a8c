//! Retention: which class a line is of, when it expires, what its tag says. No input or output.

pub mod event_time;
pub mod expiry;

use crate::model::{Record, RenderedTag};
use jiff::Timestamp;
use std::borrow::Cow;

/// What is to be done with a line.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// It is kept.
    Keep {
        /// Index of its class in the policy.
        class: usize,
        /// Where the tag goes and what it says; `None` with `--tag none`.
        tag: Option<(u32, &'a RenderedTag)>,
    },
    /// It has expired already (only with `--backfill`): drop and count it.
    Expired {
        /// Index of its class in the policy.
        class: usize,
    },
}

/// Classifies, dates and tags lines; one per worker, for it remembers what it worked out.
#[derive(Debug, Default)]
pub struct Stamper {}

impl Stamper {
    /// The verdict on `line`, received at `received`. `field` looks up a field of the line by name.
    pub fn stamp<'l>(
        &mut self,
        _line: &'l [u8],
        _record: &Record,
        _received: Timestamp,
        _field: &dyn Fn(&str) -> Option<Cow<'l, [u8]>>,
    ) -> Verdict<'_> {
        Verdict::Keep { class: 0, tag: None }
    }
}
