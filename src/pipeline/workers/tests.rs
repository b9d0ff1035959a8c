//! Tests of the workers: order, faults and counts.

use super::turns::DEPTH;
use super::*;
use crate::pipeline::Output;
use crate::pipeline::output::tests::{Failing, Plain};
use crate::primitives::diag::Code;
use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::sync::Mutex;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

static BAD: Code = Code { id: "X00", title: "test", text: "" };

/// Fails instead of hanging.
fn within_a_minute<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(action()));
    match result.recv_timeout(Duration::from_secs(60)) {
        Ok(value) => value,
        Err(error) => panic!("hangs or panicked: {error}"),
    }
}

/// Converts lines to upper case, preceded by the number of the keys. The amount of work depends on the block.
#[derive(Default)]
struct Upper {
    keys: Option<Arc<u8>>,
    pieces: usize,
}

impl Work<u8> for Upper {
    type Output = Plain;

    fn renew(&mut self, keys: Arc<u8>) {
        assert!(*keys != PANIC_KEYS && (*keys != PANIC_BUT_FRESH || self.pieces == 0), "injected");
        self.keys = Some(keys);
    }

    fn work(&mut self, piece: &Piece, _received: Timestamp, out: &mut Plain) -> Result<(), Diagnostic> {
        assert!(out.0.is_empty());
        self.pieces += 1;
        let Piece::Lines(block) = piece else { return Ok(()) };
        for line in block.bytes().split_inclusive(|&byte| byte == b'\n') {
            let (content, ending) = line.split_at(line.trim_ascii_end().len());
            let yields = content.iter().map(|&byte| usize::from(byte)).sum::<usize>() % 7;
            (0..yields * yields).for_each(|_| thread::yield_now());
            match content {
                b"error" => return Err(Diagnostic::new(&BAD, "injected")),
                b"panic" => panic!("injected"),
                content => {
                    out.0.extend(self.keys.as_deref());
                    out.0.extend(content.to_ascii_uppercase());
                    out.0.extend(ending);
                }
            }
        }
        Ok(())
    }
}

/// Keys that make every worker panic.
const PANIC_KEYS: u8 = b'!';

/// Keys that make a worker panic if it has worked before.
const PANIC_BUT_FRESH: u8 = b'?';

/// The next step of a script.
enum Act {
    Lines(&'static str),
    Keys(Arc<u8>),
    Fail,
    Panic,
    /// Blocks until stopped, then ends.
    Block,
    /// Returns lines until stopped.
    Endless,
    /// Waits until no one holds these keys any more.
    Forgotten(Weak<u8>),
    /// Waits until the flag is set, or until stopped.
    Until(Arc<AtomicBool>),
}

struct Script {
    acts: VecDeque<Act>,
    stopped: Arc<AtomicBool>,
    given: Arc<AtomicUsize>,
    recycled: usize,
}

impl Source for Script {
    type Keys = u8;

    fn next(&mut self) -> Result<SourceItem<u8>, PipelineError> {
        let lines = |text: &str| {
            self.given.fetch_add(1, Ordering::SeqCst);
            Ok(SourceItem::Piece(Piece::Lines(Block::new(text.as_bytes().to_vec())), Timestamp::UNIX_EPOCH))
        };
        match self.acts.pop_front() {
            None => Ok(SourceItem::End),
            Some(Act::Lines(text)) => lines(text),
            Some(Act::Keys(keys)) => Ok(SourceItem::Renewed(keys)),
            Some(Act::Fail) => Err(PipelineError::EpochOver),
            Some(Act::Panic) => panic!("injected"),
            Some(Act::Block) => {
                while !self.stopped.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                Ok(SourceItem::End)
            }
            Some(Act::Endless) => {
                if !self.stopped.load(Ordering::SeqCst) {
                    self.acts.push_back(Act::Endless);
                }
                lines("more\n")
            }
            Some(Act::Until(holds)) => {
                while !holds.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                self.next()
            }
            Some(Act::Forgotten(keys)) => {
                while keys.upgrade().is_some() {
                    thread::yield_now();
                }
                self.next()
            }
        }
    }

    fn recycle(&mut self, _block: Block) {
        self.recycled += 1;
    }
}

/// Keeps the output where the test can read it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Outcome {
    result: Result<Finish, PipelineError>,
    written: String,
    flow: Flow,
    given: usize,
    pieces: Vec<usize>,
}

fn play_to<O: Write + Send + 'static>(acts: Vec<Act>, workers: usize, sink: O, written: Shared) -> Outcome {
    within_a_minute(move || {
        let (stopped, given) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let source = Script {
            acts: acts.into(),
            stopped: Arc::clone(&stopped),
            given: Arc::clone(&given),
            recycled: 0,
        };
        let team = (0..workers).map(|_| Upper::default()).collect();
        let run = run(source, team, &mut Output::new(sink), &|| stopped.store(true, Ordering::SeqCst));
        Outcome {
            result: run.result,
            written: String::from_utf8(written.0.lock().unwrap().clone()).unwrap(),
            flow: run.flow,
            given: given.load(Ordering::SeqCst),
            pieces: run.workers.iter().map(|worker| worker.pieces).collect(),
        }
    })
}

fn play(acts: Vec<Act>, workers: usize) -> Outcome {
    let shared = Shared::default();
    play_to(acts, workers, shared.clone(), shared)
}

/// Blocks that take different amounts of work.
const WORDS: [&str; 10] =
    ["a\n", "bb\nx\n", "c\n\n", "zebra\n", "d\r\n", "ee\n", "f\n", "gnu\ng\n", "h\n", "ii\n"];

fn words(count: usize) -> Vec<Act> {
    (0..count).map(|n| Act::Lines(WORDS[n * 7 % WORDS.len()])).collect()
}

fn upper(count: usize) -> String {
    (0..count).map(|n| WORDS[n * 7 % WORDS.len()].to_ascii_uppercase()).collect()
}

#[test]
fn the_order_is_that_of_the_input() {
    for workers in [1, 2, 3, 4, 8] {
        for count in [0, 1, 2, 5, 1000] {
            let outcome = play(words(count), workers);
            assert!(matches!(outcome.result, Ok(Finish::Complete)), "{workers} {count}");
            assert_eq!(outcome.written, upper(count), "{workers} {count}");
            assert_eq!(outcome.pieces.iter().sum::<usize>(), count);
            assert_eq!(outcome.pieces.len(), workers);
            let lines = upper(count).lines().count() as u64;
            let bytes = upper(count).len() as u64;
            let expected = Flow {
                lines_in: lines,
                bytes_in: bytes,
                lines_out: lines,
                bytes_out: bytes,
                complete: true,
                ..Flow::default()
            };
            assert_eq!(outcome.flow, expected);
        }
    }
}

#[test]
fn new_keys_hold_for_every_piece_that_follows() {
    for workers in [1, 2, 4] {
        let mut acts = Vec::new();
        for keys in b'0'..=b'9' {
            acts.push(Act::Keys(Arc::new(keys)));
            acts.extend((0..13).map(|_| Act::Lines("x\n")));
        }
        let expected: String = ('0'..='9').flat_map(|keys| [format!("{keys}X\n").repeat(13)]).collect();
        assert_eq!(play(acts, workers).written, expected);
    }
}

#[test]
fn old_keys_are_let_go_while_nothing_comes() {
    for workers in [1, 2, 4] {
        for pieces in [0, 1, 9] {
            let old = Arc::new(b'1');
            let forgotten = Arc::downgrade(&old);
            let mut acts = vec![Act::Keys(old)];
            acts.extend(words(pieces));
            acts.extend([Act::Keys(Arc::new(b'2')), Act::Forgotten(forgotten), Act::Lines("y\n")]);
            let outcome = play(acts, workers);
            assert!(outcome.written.ends_with("2Y\n"));
            assert!(outcome.result.is_ok());
        }
    }
}

#[test]
fn a_failure_stops_everything_after_all_before_it_is_written() {
    type Expected = fn(&PipelineError) -> bool;
    let worker_panicked: Expected = |error| matches!(error, PipelineError::Panicked { part: "a worker" });
    let cases: [(fn() -> Act, Expected); 4] = [
        (|| Act::Lines("x\nerror\n"), |error| matches!(error, PipelineError::Work(_))),
        (|| Act::Lines("x\npanic\n"), worker_panicked),
        (|| Act::Fail, |error| matches!(error, PipelineError::EpochOver)),
        (|| Act::Panic, |error| matches!(error, PipelineError::Panicked { part: "the reader" })),
    ];
    let afters: [fn() -> Vec<Act>; 4] = [Vec::new, || words(50), || vec![Act::Block], || vec![Act::Endless]];
    for workers in [1, 2, 3, 4] {
        for before in [0, 1, 4, 100] {
            for (bad, expected) in &cases {
                for after in &afters {
                    let mut acts = words(before);
                    acts.push(bad());
                    acts.extend(after());
                    let outcome = play(acts, workers);
                    assert!(expected(&outcome.result.unwrap_err()), "{workers} {before}");
                    assert_eq!(outcome.written, upper(before), "{workers} {before}");
                    assert!(!outcome.flow.complete);
                    // The stop is prompt: no more pieces were read than may wait.
                    assert!(outcome.given <= before + 2 + workers * (DEPTH + 1), "{}", outcome.given);
                }
            }
        }
    }
}

#[test]
fn the_failure_that_comes_first_in_the_input_is_the_one() {
    for workers in [1, 2, 4] {
        let mut acts = words(20);
        acts.extend([Act::Lines("error\n"), Act::Lines("panic\n"), Act::Fail]);
        assert!(matches!(play(acts, workers).result, Err(PipelineError::Work(_))));
        let mut acts = words(20);
        acts.extend([Act::Lines("panic\n"), Act::Lines("error\n"), Act::Panic]);
        assert!(matches!(play(acts, workers).result, Err(PipelineError::Panicked { part: "a worker" })));
    }
}

#[test]
fn a_panic_over_new_keys_is_an_error_while_nothing_comes() {
    for workers in [1, 2, 4] {
        for pieces in [0, 1, 2, 3, 30] {
            let mut acts = words(pieces);
            acts.extend([Act::Keys(Arc::new(PANIC_KEYS)), Act::Block]);
            let outcome = play(acts, workers);
            assert!(matches!(outcome.result, Err(PipelineError::Panicked { part: "a worker" })));
            assert_eq!(outcome.written, upper(pieces));
        }
    }
}

#[test]
fn a_panic_out_of_turn_is_an_error_while_nothing_comes() {
    for workers in [2, 3, 4] {
        // The first worker panics while the writer waits for the result of the last one.
        let mut acts = words(workers - 1);
        acts.extend([Act::Keys(Arc::new(PANIC_BUT_FRESH)), Act::Block]);
        let outcome = play(acts, workers);
        assert!(matches!(outcome.result, Err(PipelineError::Panicked { part: "a worker" })));
        assert_eq!(outcome.written, upper(workers - 1));
    }
}

#[test]
fn a_failed_output_stops_everything() {
    // With the last room, the failure comes when no worker has anything left to deliver.
    let rooms = [0, 5, 100, upper(60).len() - 1];
    for workers in [1, 2, 4] {
        for room in rooms {
            for last in [|| Act::Endless, || Act::Block] {
                let sink = |kind| Failing { room, kind };
                let acts = || words(60).into_iter().chain([last()]).collect();
                let full = play_to(acts(), workers, sink(io::ErrorKind::StorageFull), Shared::default());
                assert!(matches!(full.result, Err(PipelineError::Write(WriteError::Io { .. }))));
                let broken = play_to(acts(), workers, sink(io::ErrorKind::BrokenPipe), Shared::default());
                assert!(matches!(broken.result, Ok(Finish::BrokenPipe)));
                assert!(!broken.flow.complete);
            }
        }
    }
}

#[test]
fn a_panic_in_the_output_is_no_hang() {
    struct Panicking;
    impl Write for Panicking {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            panic!("injected")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for workers in [1, 2, 4] {
        for last in [|| Act::Endless, || Act::Block] {
            let acts = words(20).into_iter().chain([last()]).collect();
            let outcome = play_to(acts, workers, Panicking, Shared::default());
            assert!(matches!(outcome.result, Err(PipelineError::Panicked { part: "the writer" })));
        }
    }
}

/// An output that has periodic work to do.
struct Patient {
    output: Output<Shared>,
    idled: Arc<AtomicBool>,
    fails: bool,
}

impl Sink<Plain> for Patient {
    fn write(&mut self, block: &Plain) -> Result<(), WriteError> {
        self.output.write(block)
    }

    fn idle(&mut self) -> Result<(), WriteError> {
        self.idled.store(true, Ordering::SeqCst);
        if self.fails { Err(WriteError::Poisoned) } else { Ok(()) }
    }

    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.output.flush()
    }

    fn report(&self, flow: &mut Flow) {
        self.output.report(flow);
    }
}

#[test]
fn an_output_does_what_is_due_while_nothing_comes() {
    for workers in [1, 2, 4] {
        for fails in [false, true] {
            let (idled, written, stopped) =
                (Arc::new(AtomicBool::new(false)), Shared::default(), Arc::new(AtomicBool::new(false)));
            let acts = words(30).into_iter().chain([Act::Until(Arc::clone(&idled))]);
            let acts =
                if fails { acts.chain([Act::Block]).collect() } else { acts.chain(words(5)).collect() };
            let source = Script { acts, stopped: Arc::clone(&stopped), given: Arc::default(), recycled: 0 };
            let output = Output::new(written.clone());
            let run = within_a_minute(move || {
                let mut output = Patient { output, idled, fails };
                let team = (0..workers).map(|_| Upper::default()).collect();
                run(source, team, &mut output, &|| stopped.store(true, Ordering::SeqCst))
            });
            let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            if fails {
                assert!(upper(30).starts_with(&written));
            } else {
                assert_eq!(written, upper(30) + &upper(5));
            }
            assert_eq!(run.flow.complete, !fails);
            assert_eq!(matches!(run.result, Err(PipelineError::Write(WriteError::Poisoned))), fails);
        }
    }
}

#[test]
fn buffers_come_back() {
    let mut source =
        Script { acts: words(100).into(), stopped: Arc::default(), given: Arc::default(), recycled: 0 };
    let mut flow = Flow::default();
    let mut output = Output::new(io::sink());
    alone(&mut source, &mut Upper::default(), &mut output, &mut flow).unwrap();
    assert_eq!(source.recycled, 100);
    source.acts = words(1000).into();
    let team = vec![Upper::default(), Upper::default()];
    together(&mut source, team, &mut output, &|| ()).2.unwrap();
    // All blocks but the last one of each worker.
    assert!(source.recycled >= 1098, "{}", source.recycled);
}

#[test]
fn nobody_to_do_the_work_is_an_error() {
    assert!(matches!(play(words(3), 0).result, Err(PipelineError::NoWorkers)));
}
