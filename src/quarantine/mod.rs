//! Lines that cannot be processed, sealed.
