//! What is wrong with a configuration, and where. What stands there is not shown: it may be a password or a key.

use crate::cli::codes;
use crate::primitives::diag::Diagnostic;
use std::ops::Range;
use std::path::Path;

/// The file `path`, which holds `text`, does not load for what stands at `span`.
pub(super) fn refused(path: &Path, text: &str, span: Option<Range<usize>>, why: &str) -> Diagnostic {
    let path = path.display();
    let place = span.map_or_else(
        || path.to_string(),
        |span| {
            let (line, column) = position(text, span.start);
            format!("{path}:{line}:{column}")
        },
    );
    Diagnostic::new(&codes::CONFIG, "the configuration does not load")
        .at(place)
        .because(without_value(why))
        .hint("`oubliette explain C03` says where the keys are listed")
}

/// Line and column of a byte, counted from 1; columns are characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let (lines, last) =
        before.rsplit_once('\n').map_or((0, before), |(lines, last)| (1 + lines.matches('\n').count(), last));
    (1 + lines, 1 + last.chars().count())
}

/// A message of serde without the value that it quotes, if it does. Names of keys stay, if they can be misspelt ones.
fn without_value(message: &str) -> String {
    // As `serde::de::Error` has them: unknown_variant, invalid_type, invalid_value. What is expected comes last, and is ours.
    let expected = message.rfind(", expected ").map_or("", |at| &message[at..]);
    if message.starts_with("unknown variant `") {
        return format!("unknown value{expected}");
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let name = rest.strip_suffix(expected).and_then(|rest| rest.strip_suffix('`'));
        return if name.is_some_and(is_like_a_key) {
            message.to_owned()
        } else {
            format!("unknown field{expected}")
        };
    }
    let is_quoting = ["invalid type: ", "invalid value: "].iter().any(|start| message.starts_with(start));
    match message.find(['"', '`']) {
        Some(value) if is_quoting => format!("{}{expected}", message[..value].trim_end()),
        _ => message.to_owned(),
    }
}

/// Whether a name is made as those of the configuration are. Others may be a value that stands on the wrong side.
fn is_like_a_key(name: &str) -> bool {
    name.len() <= LONGEST_KEY_BYTES && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Longer than any key, and shorter than most secrets.
const LONGEST_KEY_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;

    /// Whatever is wrong beside them.
    #[test]
    fn values_are_not_quoted() {
        for text in [
            "zone = 'hunter2'",
            "epoch = 'hunter2'",
            "epoch = 'hunter2, expected one of `hunter2`'",
            "trust_upstream = 'hunter2'",
            "also = 'hunter2'",
            "rules = ['hunter2']",
            "keep = ['hunter2']",
            "tenant = 'hunter2",
            "tenant = hunter2",
            "tenant = 'a' hunter2",
            "tenant = \"hunter2\\q\"",
            "tenant = 'hunter2'\ntenant = 'hunter2'",
            "recipients = 'AGE-SECRET-KEY-1hunter2'",
            "hunter2",
            "hunter2 = 1",
            "'`, expected `hunter2' = 1",
            "[serve]\n\"password=hunter2\" = 1",
            "[[serve.output]]\ntype = 'stdout'\nname = 'a'\nhunter2 = 'x'",
            "[serve.limits]\nmemory = 'hunter2'",
            "[serve]\npurge = 'hunter2'",
            "[[serve.input]]\ntype = 'hunter2'",
            "[[serve.output]]\ntype = 'file'\nname = 'hunter2'\nrotate_every = 'hunter2'",
            "[[serve.output]]\ntype = 'tls'\nname = 'hunter2'\nframing = 'hunter2'",
            "[[serve.output]]\ntype = 'file'\nname = 'f'\nrequired = 'hunter2' # hunter2",
        ] {
            let refused = Config::parse(Path::new("config.toml"), text).unwrap_err().to_string();
            assert!(!refused.contains("hunter2") && refused.contains("config.toml:"), "{text}: {refused}");
        }
    }

    #[test]
    fn reasons_without_values() {
        for (message, reason) in [
            ("unknown field `zoen`, expected one of `zone`", "unknown field `zoen`, expected one of `zone`"),
            ("unknown field `Hunter`, expected one of `zone`", "unknown field, expected one of `zone`"),
            ("unknown field `x` y`, there are no fields", "unknown field"),
            ("unknown variant `x`, expected `day`", "unknown value, expected `day`"),
            ("unknown variant `, expected `, expected `day`", "unknown value, expected `day`"),
            ("invalid type: string \"x\", expected a boolean", "invalid type: string, expected a boolean"),
            (
                "invalid type: integer `7`, expected path string",
                "invalid type: integer, expected path string",
            ),
            ("invalid type: sequence, expected a string", "invalid type: sequence, expected a string"),
            ("missing field `type`", "missing field `type`"),
        ] {
            assert_eq!(without_value(message), reason);
        }
    }

    #[test]
    fn places_are_lines_and_columns() {
        for (byte, place) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (99, (3, 1))] {
            assert_eq!(position("ab\n\u{e9}x\n", byte), place, "{byte}");
        }
    }
}
