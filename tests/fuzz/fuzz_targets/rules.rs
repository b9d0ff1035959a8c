//! Rule files of both kinds: whatever stands in them, they load or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oubliette::rules::{self, RuleFile};

fuzz_target!(|text: &str| {
    let file = RuleFile { name: "fuzz.toml".to_owned(), text: text.to_owned() };
    let _ = rules::load(&[file]);
    let _ = rules::retention::load(&[("hosting-fr.toml", text)]);
});
