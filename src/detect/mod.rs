//! Detection: which bytes of a line identify a person.

pub mod account;
