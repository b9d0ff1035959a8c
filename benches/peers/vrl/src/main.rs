//! Applies the Vector Remap Language to lines of text, from standard input to standard output; the same VRL
//! program runs on every line.
//!
//! ```text
//! vrl-peer redact PATTERN    # redact(): each match becomes [REDACTED]
//! vrl-peer hmac PATTERN      # replace_with() and hmac(): each match becomes hmac_<SHA-256 in hex>
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, Program, TargetValue, TimeZone, compile};
use vrl::value::{KeyString, Secrets, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let source = match words[..] {
        // This crate has the version of the language.
        ["--version"] => return Ok(println!("VRL {}", env!("CARGO_PKG_VERSION"))),
        ["redact", pattern] => format!("redact(string!(.message), filters: [r'{pattern}'])"),
        ["hmac", pattern] => format!(
            "replace_with(string!(.message), r'{pattern}') -> |match| {{ \
                 \"hmac_\" + encode_base16(hmac(match.string, \"a key that anyone may know\")) }}"
        ),
        _ => return Err("usage: vrl-peer redact|hmac PATTERN".into()),
    };
    let compiled = compile(&source, &vrl::stdlib::all()).map_err(|errors| format!("{errors:?}"))?;
    run(&compiled.program)
}

fn run(program: &Program) -> Result<(), Box<dyn Error>> {
    let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut line = Vec::new();
    let mut state = RuntimeState::default();
    while input.read_until(b'\n', &mut line)? > 0 {
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        let event = BTreeMap::from([(KeyString::from("message"), Value::from(line.as_slice()))]);
        let mut target = TargetValue {
            value: Value::Object(event),
            metadata: Value::Object(BTreeMap::new()),
            secrets: Secrets::default(),
        };
        state.clear();
        let mut context = Context::new(&mut target, &mut state, &TimeZone::Local);
        let result = program.resolve(&mut context).map_err(|error| format!("{error:?}"))?;
        output.write_all(result.as_bytes().ok_or("the result is not a text")?)?;
        if ended {
            output.write_all(b"\n")?;
        }
        line.clear();
    }
    Ok(output.flush()?)
}
