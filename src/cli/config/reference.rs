//! The reference of the configuration and its JSON schema, both generated from the types that read it.

use super::Config;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns the JSON schema of the configuration (draft 2020-12).
pub(crate) fn schema() -> Value {
    schema_for!(Config).to_value()
}

/// Returns every key with its default and its meaning, as Markdown.
pub(crate) fn markdown() -> String {
    let schema = schema();
    let mut text = INTRODUCTION.to_owned();
    tables(&schema, &schema, "", &mut text);
    text
}

impl<T: super::Written> JsonSchema for super::Typed<T> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// Writes the table called `name`, and then the tables inside it.
fn tables(root: &Value, table: &Value, name: &str, text: &mut String) {
    let properties = table["properties"].as_object().into_iter().flatten();
    let (inner, keys): (Vec<_>, Vec<_>) = properties.partition(|(_, key)| inner_table(root, key).is_some());
    if !keys.is_empty() {
        let _ = write!(text, "\n{}\n\n| key | default | meaning |\n| --- | --- | --- |\n", heading(name));
    }
    for (key, schema) in keys {
        let default = match &schema["default"] {
            Value::Null => "-".to_owned(),
            default => format!("`{default}`"),
        };
        let meaning = description(schema) + &values(root, schema);
        let _ = writeln!(text, "| `{key}` | {default} | {} |", meaning.replace('|', "\\|"));
    }
    for (key, schema) in inner {
        let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        if let Some((table, is_list)) = inner_table(root, schema) {
            let path = if is_list { format!("[{path}]") } else { path };
            tables(root, table, &path, text);
        }
    }
}

fn heading(name: &str) -> String {
    if name.is_empty() { "## At the top".to_owned() } else { format!("## `[{name}]`") }
}

/// Returns the table that is the value of a key, and whether there may be several.
fn inner_table<'s>(root: &'s Value, key: &'s Value) -> Option<(&'s Value, bool)> {
    let found = resolved(root, key);
    if found["properties"].is_object() {
        return Some((found, false));
    }
    let item = resolved(root, &found["items"]);
    item["properties"].is_object().then_some((item, true))
}

/// Resolves a reference, even an optional one.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(path).map_or(schema, |found| resolved(root, found));
    }
    let choices = schema["anyOf"].as_array();
    let other = choices.and_then(|choices| choices.iter().find(|choice| choice["type"] != "null"));
    other.map_or(schema, |other| resolved(root, other))
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// Lists the permitted words, if a value is one of a few.
fn values(root: &Value, schema: &Value) -> String {
    let found = resolved(root, schema);
    let described = found["oneOf"].as_array().into_iter().flatten().filter_map(|value| {
        Some(format!("`{}`: {}", value["const"].as_str()?, description(value).trim_end_matches('.')))
    });
    let described: Vec<_> = described.collect();
    if described.is_empty() { String::new() } else { format!(" {}.", described.join("; ")) }
}

const INTRODUCTION: &str = "\
# Configuration

The configuration is one TOML file: `config.toml` in the state directory, or the file that `--config` names. If the state directory is
`/var/lib/oubliette` and has none, it is `/etc/oubliette/config.toml`, with which the package starts the service. `oubliette init` writes
one, if there is none, in which every key is commented out. An option on the command line beats the environment, which beats this file,
which beats the default. An unknown key is an error, which names its line. `oubliette check` checks the file without starting anything,
and `oubliette check --schema` prints a JSON schema for editors.

Sizes are in bytes, or written `64KiB`, `4MiB`. Times are written `500ms`, `30s`, `10min`, `1h`. A relative path starts at the
directory of this file.

`oubliette check --reference` makes this page from the types that read the file.
";

#[cfg(test)]
mod tests {
    use super::super::TEMPLATE;
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../../../docs/configuration.md");
        assert!(page == markdown(), "run `oubliette check --reference > docs/configuration.md`");
    }

    #[test]
    fn every_key_has_a_meaning() {
        let page = markdown();
        assert!(!page.contains("|  |"), "{page}");
        for heading in ["## At the top", "## `[serve]`", "## `[serve.limits]`", "## `[[serve.input]]`"] {
            assert!(page.contains(heading), "{heading}");
        }
    }

    #[test]
    fn the_schema_refuses_what_the_parser_refuses() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Input"]["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Input"]["required"], serde_json::json!(["type"]));
    }

    /// Returns the defaults of a table as the schema states them, in TOML.
    fn stated_defaults(table: &Value) -> String {
        let keys = table["properties"].as_object().unwrap().iter();
        let stated = keys.filter(|(_, key)| key["default"].is_string() || key["default"].is_boolean());
        stated.map(|(key, schema)| format!("{key} = {}\n", schema["default"])).collect()
    }

    #[test]
    fn the_template_shows_the_defaults_and_the_words_that_are_allowed() {
        let schema = schema();
        let keys = schema["properties"].as_object().unwrap();
        for (key, stated) in keys.iter().filter(|(_, key)| !key["default"].is_null()) {
            let line = format!("\n# {key} = {}\n", stated["default"]);
            assert!(TEMPLATE.contains(&line), "{line}");
            for word in resolved(&schema, stated)["oneOf"].as_array().into_iter().flatten() {
                assert!(TEMPLATE.contains(&word["const"].to_string()), "{key}: {word}");
            }
        }
    }

    #[test]
    fn the_defaults_are_those_that_hold() {
        let schema = schema();
        let top = stated_defaults(&schema);
        let limits = stated_defaults(&schema["$defs"]["Limits"]);
        let config =
            Config::parse(std::path::Path::new("c"), &format!("{top}[serve.limits]\n{limits}")).unwrap();
        let (stated, held) = (config.serve.limits, super::super::serve::Limits::default());
        assert_eq!(stated.connections(), held.connections());
        assert_eq!(stated.memory_bytes(), held.memory_bytes());
        assert_eq!((stated.idle(), stated.drain()), (held.idle(), held.drain()));
        assert_eq!(stated.sealed_bytes(), held.sealed_bytes());
        assert_eq!(limits.lines().count(), 5);
    }
}
