//! Use cases over the layers below: no printing, no argv.
