//! The scan alone, so that other machines need not build the rest: `tests/scan/miri` and `tests/scan/arm64`.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "who calls it is not here")]

#[path = "../../../src/scan/mod.rs"]
mod scan;
