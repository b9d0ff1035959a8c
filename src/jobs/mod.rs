//! Use cases over the layers below: no printing, no argv.

pub mod explain;
