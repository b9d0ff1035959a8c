//! Loads any text as rule files of both kinds: they load or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oubliette::rules::{self, RuleFile};

fuzz_target!(|text: &str| {
    let file = |name: &str| RuleFile { path: name.to_owned(), text: text.to_owned() };
    let _ = rules::load(&[file("fuzz.toml")]);
    let _ = rules::retention::load(&[file("hosting-fr.toml")]);
});
