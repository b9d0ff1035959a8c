//! Filters a block with the whole filter: nothing panics, every line comes out, and a second filter that
//! trusts the first finds the tokens where they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oubliette::detect::Scratch;
use oubliette::format::{self, Guess};
use oubliette::jobs::recognition::{Choices, Recognition};
use oubliette::model::Findings;
use oubliette::retention::Verdict;
use oubliette::scan::Scan;
use std::cell::RefCell;

thread_local! {
    static RECOGNITION: RefCell<Recognition> = RefCell::new({
        let also = ["usr", "host", "mac", "tel"].map(str::to_owned).into_iter().collect();
        Recognition::new(Choices { also, ..Choices::default() }).expect("the shipped rules load")
    });
}

fuzz_target!(|block: &[u8]| {
    RECOGNITION.with_borrow_mut(|recognition| {
        let (mut scan, mut scratch, mut findings) = (Scan::default(), Scratch::default(), Findings::default());
        let mut guess = Guess::new(None);
        let received = jiff::Timestamp::from_second(1_795_428_000).expect("a time");
        let mut bytes = 0;
        for line in scan.lines(block) {
            bytes += line.bytes.len() + line.ending.len();
            let record = guess.parse(line.bytes);
            recognition.shared.detector.find(&line, &record, &mut scratch, &mut findings);
            let mut end = 0;
            for finding in &findings.items {
                assert!(finding.span.start >= end && finding.span.start < finding.span.end);
                end = finding.span.end;
            }
            assert!(end as usize <= line.bytes.len());
            let field = |name: &str| format::field(line.bytes, &record, name);
            if let Verdict::Keep { tag: Some(tag), .. } =
                recognition.stamper.stamp(line.bytes, &record, received, &field)
            {
                assert!(tag.replace.end as usize <= line.bytes.len());
            }
        }
        assert_eq!(bytes, block.len());
    });
});
