//! Byte maps: the fields of a binary format in order, compared with the tables of its document.

/// Returns the total length of the fields in bytes.
#[must_use]
pub const fn length(fields: &[(&str, usize)]) -> usize {
    let (mut index, mut bytes) = (0, 0);
    while index < fields.len() {
        bytes += fields[index].1;
        index += 1;
    }
    bytes
}

/// Returns the fields in the first table after `heading` in a Markdown text, whose rows read
/// `| offset | bytes | name: more |`.
///
/// # Panics
/// If there is no such table or its offsets do not add up: it is for tests.
#[cfg(test)]
pub(crate) fn described<'t>(text: &'t str, heading: &str) -> Vec<(&'t str, usize)> {
    let mut lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let rows = lines.by_ref().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let mut fields = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').splitn(3, '|').map(str::trim).collect();
        let [offset, bytes, field] = cells[..] else { panic!("not three cells: {row}") };
        assert_eq!(offset.parse(), Ok(length(&fields)), "the offset of {row}");
        fields.push((field.split(':').next().unwrap(), bytes.parse().unwrap()));
    }
    assert!(!fields.is_empty(), "no table behind {heading}");
    fields
}
