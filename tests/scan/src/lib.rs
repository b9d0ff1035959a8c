//! The scan alone, with the one file with `unsafe`, so that other machines need not build the rest: see
//! `tests/scan/miri` and `tests/scan/arm64`.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "who calls it is not here")]

mod primitives {
    pub(crate) use crate::processor;
}
#[path = "../../../src/primitives/processor.rs"]
mod processor;
#[path = "../../../src/scan/mod.rs"]
mod scan;
