//! The grammar of a token.
