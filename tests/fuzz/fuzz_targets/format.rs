//! Runs every format parser, guessed and forced: offsets lie inside the line, the history does not matter,
//! and the fast paths agree with the general parsers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oubliette::format::{self, Guess};
use oubliette::model::{Format, Names, Record, TagPoint};
use oubliette::scan::Scan;

fuzz_target!(|line: &[u8]| {
    let fresh = Guess::new(None).parse(line);
    let mut seasoned = Guess::new(None);
    for (_, sample) in format::samples() {
        seasoned.parse(sample.as_bytes());
    }
    assert_eq!(fresh, seasoned.parse(line));
    let mut scan = Scan::default();
    for line in scan.lines(line) {
        let read = Guess::new(None).read(&line);
        assert_eq!(Record { names: Names::ANY, ..read }, Guess::new(None).parse(line.bytes));
    }
    for format in Format::ALL {
        let record = Guess::new(Some(format)).parse(line);
        for span in [record.host, record.program, Some(record.message)].into_iter().flatten() {
            assert!(span.start <= span.end && span.end as usize <= line.len());
        }
        match record.tag {
            TagPoint::StructuredData { elements } => assert!(!elements.is_empty()),
            TagPoint::JsonObject { close, .. } => assert_eq!(line[close as usize], b'}'),
            TagPoint::LineEnd => {}
        }
        for name in ["time", "src", "a.b", "event"] {
            let _ = format::field(line, &record, name);
        }
        for name in format::top_level_key_spans(line, &record, "retention") {
            assert!(name.end as usize <= line.len());
        }
    }
});
