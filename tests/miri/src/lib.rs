//! The one file with `unsafe`, alone, so that Miri need not build the rest: `tests/miri/run`.

#![allow(dead_code, reason = "who calls it is not here")]

#[path = "../../../src/scan/vectors.rs"]
mod vectors;
