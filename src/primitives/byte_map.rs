//! Byte maps: the fields of a binary format in their order, and how a document describes them.

/// Bytes of all fields together.
#[must_use]
pub const fn length(fields: &[(&str, usize)]) -> usize {
    let (mut index, mut bytes) = (0, 0);
    while index < fields.len() {
        bytes += fields[index].1;
        index += 1;
    }
    bytes
}

/// The fields that the first table behind `heading` in a Markdown text describes, in rows `| offset | bytes |
/// name: more |`.
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
