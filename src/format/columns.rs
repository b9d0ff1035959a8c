//! Reads times in fixed columns, which nearly all lines have, without searching for the end of a field. All
//! other spellings are left to [`super::timestamp`].

use super::timestamp::{Clock, month_number, pair};
use crate::model::StatedTime;

/// Returns the time of `Nov 23 10:00:00 ` or `Nov  3 10:00:00 `, in exactly these columns. `None` only means
/// that [`super::timestamp::bsd`] has to decide.
#[inline]
pub(super) fn bsd_columns(text: &[u8; 16]) -> Option<StatedTime> {
    let [m1, m2, m3, b' ', d1, d2, b' ', clock @ .., b' '] = text else { return None };
    let (hour, minute, second) = clock_columns(clock)?;
    let tens = if *d1 == b' ' { b'0' } else { *d1 };
    let (month, day) = (month_number([*m1, *m2, *m3])?, pair(tens, *d2)?);
    Clock { year: None, month, day, hour, minute, second }.at(None)
}

/// Returns the time of `23/Nov/2026:10:00:00 +0100`, in exactly these columns. `None` only means that
/// [`super::timestamp::clf`] has to decide.
#[inline]
pub(super) fn clf_columns(text: &[u8; 26]) -> Option<StatedTime> {
    let [date @ .., z1, z2, z3, z4, z5, z6] = text;
    let [d1, d2, b'/', m1, m2, m3, b'/', y1, y2, y3, y4, b':', clock @ ..] = date else { return None };
    let [b' ', sign @ (b'+' | b'-'), h1, h2, n1, n2] = [z1, z2, z3, z4, z5, z6].map(|byte| *byte) else {
        return None;
    };
    let (hour, minute, second) = clock_columns(clock)?;
    let year = i16::from(pair(*y1, *y2)?) * 100 + i16::from(pair(*y3, *y4)?);
    let (month, day) = (month_number([*m1, *m2, *m3])?, pair(*d1, *d2)?);
    let (hours @ 0..=23, minutes @ 0..=59) = (pair(h1, h2)?, pair(n1, n2)?) else { return None };
    let east = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    let offset = if sign == b'-' { -east } else { east };
    Clock { year: Some(year), month, day, hour, minute, second }.at(Some(offset))
}

/// Reads `HH:MM:SS`, all eight bytes at once.
#[inline]
fn clock_columns(text: &[u8; 8]) -> Option<(u8, u8, u8)> {
    const COLONS: u64 = 0x0000_ff00_00ff_0000;
    // The XOR leaves the value of each digit, and zero for each colon.
    let values = u64::from_le_bytes(*text) ^ u64::from_le_bytes(*b"00:00:00");
    let digits = (values | values.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0 == 0;
    if !digits || values & COLONS != 0 {
        return None;
    }
    // Ten times the first digit of a pair plus the second fits in a byte.
    let [hour, _, _, minute, _, _, second, _] = (values * 10 + (values >> 8)).to_le_bytes();
    Some((hour, minute, second))
}

#[cfg(test)]
mod tests {
    use super::super::timestamp::{bsd, clf};
    use super::*;

    /// Columns are read as the general parsers read them, or not at all.
    #[test]
    fn columns() {
        let spellings = |text: &str| {
            // Replace each byte in turn by each of these.
            let others = b" 0369:/+-aJ\n\xff";
            let mut all = vec![text.as_bytes().to_vec()];
            for at in 0..text.len() {
                for &other in others {
                    let mut changed = text.as_bytes().to_vec();
                    changed[at] = other;
                    all.push(changed);
                }
            }
            all
        };
        let mut read = 0;
        for text in ["Nov 23 10:00:00 ", "Feb 29 23:59:60 ", "Jan  3 00:00:00 ", "Apr 31 10:00:00 "]
            .map(spellings)
            .concat()
        {
            if let Some(time) = bsd_columns(text.first_chunk().unwrap()) {
                let found = bsd(&text[..15]).ok();
                assert_eq!(found, Some((&b""[..], time)), "{}", text.escape_ascii());
                read += 1;
            }
        }
        for text in ["23/Nov/2026:10:00:00 +0100", "29/Feb/2028:23:59:60 -1130", "29/Feb/2027:00:00:00 +0000"]
            .map(spellings)
            .concat()
        {
            if let Some(time) = clf_columns(text.first_chunk().unwrap()) {
                assert_eq!(clf(&text).ok(), Some((&b""[..], time)), "{}", text.escape_ascii());
                read += 1;
            }
        }
        assert!(read > 150, "{read}");
        assert_eq!(bsd_columns(b"Nov 23 10:00:00 "), bsd(b"Nov 23 10:00:00").ok().map(|(_, time)| time));
    }
}
