//! Reading bytes from outside into blocks of whole lines.
