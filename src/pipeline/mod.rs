//! The life of a line, top to bottom.
