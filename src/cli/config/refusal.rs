//! Says what is wrong with a configuration, and where. Shows no contents except names of keys, since they may
//! be a password.

use super::reference;
use crate::cli::codes;
use crate::primitives::diag::Diagnostic;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// Describes why `path` with the contents `text` does not load; the problem is at `span`.
pub(super) fn refused(path: &Path, text: &str, span: Option<Range<usize>>, why: &str) -> Diagnostic {
    let (path, why) = (path.display(), without_value(why));
    let (place, why) = match span {
        None => (path.to_string(), why),
        Some(span) => {
            let (line, column) = position(text, span.start);
            (format!("{path}:{line}:{column}"), picture(text, span, &why) + &why)
        }
    };
    Diagnostic::new(&codes::CONFIG, "the configuration does not load")
        .at(place)
        .because(why)
        .hint("`oubliette explain C03` says where the keys are listed")
}

/// Returns line and column of a byte, counted from 1; columns are characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let (lines, last) =
        before.rsplit_once('\n').map_or((0, before), |(lines, last)| (1 + lines.matches('\n').count(), last));
    (1 + lines, 1 + last.chars().count())
}

/// Shows the line with a caret under the problem; returns nothing if the line is too wide for a terminal.
fn picture(text: &str, span: Range<usize>, why: &str) -> String {
    let (number, column) = position(text, span.start);
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let length = line.chars().count();
    if length > WIDEST_LINE {
        return String::new();
    }
    let marked = text.get(span).map_or(1, |marked| marked.chars().count());
    let carets = "^".repeat(marked.min((length + 1).saturating_sub(column)).max(1));
    let (margin, number) = (" ".repeat(number.to_string().len()), number.to_string());
    let line = masked(line, &names(why));
    format!("{margin} |\n{number} | {line}\n{margin} | {}{carets}\n", " ".repeat(column - 1))
}

/// Returns the names of keys, and the misspelt one in the message. No other words of a configuration are
/// shown.
fn names(why: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    add_names(&reference::schema(), &mut names);
    let misspelt = why.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    names.extend(misspelt.map(str::to_owned));
    names
}

fn add_names(schema: &Value, names: &mut BTreeSet<String>) {
    let inner = schema.as_object().into_iter().flatten().map(|(_, inner)| inner);
    inner.chain(schema.as_array().into_iter().flatten()).for_each(|inner| add_names(inner, names));
    let properties = schema.get("properties").and_then(Value::as_object);
    names.extend(properties.into_iter().flatten().map(|(name, _)| name.clone()));
}

/// Masks every character of a line with a dot, except `names` at its beginning and what separates them.
fn masked(line: &str, names: &BTreeSet<String>) -> String {
    let is_of_name = |character: char| character.is_ascii_lowercase() || character == '_';
    let is_between = |character: char| " \t[].".contains(character);
    let end = line.find(|character| !is_of_name(character) && !is_between(character)).unwrap_or(line.len());
    let (keys, rest) = line.split_at(end);
    let mut shown = String::new();
    for piece in keys.split_inclusive(is_between) {
        let word = piece.trim_end_matches(is_between);
        let (name, dots) = if names.contains(word) { (word, 0) } else { ("", word.len()) };
        shown += &format!("{name}{}{}", ".".repeat(dots), &piece[word.len()..]);
    }
    if rest.starts_with('=') {
        shown.push('=');
    }
    let dots = line.chars().skip(shown.len()).map(|character| if character == ' ' { ' ' } else { '.' });
    shown.replace('\t', " ").chars().chain(dots).collect::<String>().trim_end().to_owned()
}

/// The most characters of a line that are shown, to fit into a terminal.
const WIDEST_LINE: usize = 100;

/// Removes the value that a message of serde quotes. Keeps names that may be misspelt keys.
fn without_value(message: &str) -> String {
    // The forms of `serde::de::Error`: unknown_variant, invalid_type, invalid_value. What is expected comes
    // last, and is our own text.
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

/// Returns whether a name has the form of our keys. Any other name may be a value on the wrong side.
fn is_like_a_key(name: &str) -> bool {
    name.len() <= LONGEST_KEY_BYTES && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Longer than any key, and shorter than most secrets.
const LONGEST_KEY_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;

    /// Whatever else is wrong.
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
    fn a_caret_is_under_the_place_and_of_the_line_only_keys_are_shown() {
        let picture = |text: &str| {
            let refused = Config::parse(Path::new("c"), text).unwrap_err();
            refused.why.unwrap().lines().take(3).collect::<Vec<_>>().join("\n") + "\n"
        };
        for (text, shown) in [
            ("tag = 'none'\nzoen = 'Mars Base' # a\n", "  |\n2 | zoen = ..... ..... . .\n  | ^^^^\n"),
            ("tenant = hunter2", "  |\n1 | tenant = .......\n  |          ^^^^^^^\n"),
            (
                "[serve.limits]\n\tmemory = 'hunter2'",
                "  |\n2 |  memory = .........\n  |           ^^^^^^^^^\n",
            ),
            ("zoen.hunter = 1", "  |\n1 | zoen....... = .\n  | ^^^^\n"),
            ("hunter = 1", "  |\n1 | hunter = .\n  | ^^^^^^\n"),
            ("hunter two", "  |\n1 | ...... ...\n  |        ^\n"),
            ("[[serve.input]\n", "  |\n1 | [[serve.input]\n  |               ^\n"),
            ("hunter2 = 1", "  |\n1 | ....... . .\n  | ^^^^^^^\n"),
            ("\"zone\\tb\" = 1", "  |\n1 | ......... . .\n  | ^^^^^^^^^\n"),
            ("zone = '''\nzone\nhunter\nzone = \u{e9}a", "  |\n4 | zone = ..\n  |          ^\n"),
        ] {
            assert_eq!(picture(text), shown, "{text}");
        }
        assert!(!picture(&format!("zone = '{}'", "a".repeat(100))).contains('^'));
    }

    proptest::proptest! {
        /// Whatever is in the file, and wherever the problem is said to be, only names of keys are shown.
        #[test]
        fn no_other_word_is_shown(text in "[ \\t\\n=.'\"#a-zA-Z0-9\u{e9}\\[\\]-]{0,60}", from in 0..70usize, length in 0..9usize) {
            let shown = super::picture(&text, from..from + length, "wrong");
            let names = names("wrong");
            let of_line = shown.lines().nth(1).and_then(|line| line.split_once(" | ")).map_or("", |(_, line)| line);
            let words = of_line.split(|c: char| !c.is_alphanumeric()  && c != '_').filter(|word| !word.is_empty());
            for word in words {
                proptest::prop_assert!(names.contains(word), "{word} of {text:?}");
            }
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
