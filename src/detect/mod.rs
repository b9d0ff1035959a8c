//! Detection: which bytes of a line identify a person.
