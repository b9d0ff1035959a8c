//! Rule files: loaded, refused when unknown keys appear, run against their own samples.

pub mod retention;
