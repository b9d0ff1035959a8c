//! Tests the whole filter as a library: properties that hold for every input.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

use jiff::tz::TimeZone;
use oubliette::jobs::custody::RecordedShredKeys;
use oubliette::jobs::filter::{Outcome, Plan, Ready};
use oubliette::jobs::recognition::{Choices, Recognition};
use oubliette::keyring::{KeyFile, SecretSource, Settings};
use oubliette::ledger::{self, Ledger};
use oubliette::model::{NodeName, Tree};
use oubliette::pipeline::Finish;
use oubliette::pipeline::archiver::{ArchiveParts, Archiver, Escrow, OpenSegments, Options};
use oubliette::primitives::clock::Clock;
use oubliette::primitives::storage::{Memory, Storage};
use oubliette::pseudonym::TokenShape;
use oubliette::pseudonym::epoch::EpochLength;
use oubliette::retention::TagForm;
use oubliette::shred::ShredStore;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

const NOW: &str = "2026-11-23T12:00:00Z";
const MAX_LINE_BYTES: usize = 2000;

/// Returns a key file that all tests share.
fn key() -> PathBuf {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(directory.path().join("key")).unwrap();
        file.write_all(&[7; 32]).unwrap();
        directory
    });
    directory.path().join("key")
}

/// Compiles each choice once: that takes longer than to filter the lines of a case.
fn recognition(choices: Choices) -> Recognition {
    static COMPILED: Mutex<BTreeMap<String, Recognition>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap();
    compiled.entry(format!("{choices:?}")).or_insert_with(|| Recognition::new(choices).unwrap()).clone()
}

fn ready(choices: Choices, workers: usize, now: &str) -> Ready {
    let recognition = recognition(choices);
    let state_dir = key().parent().unwrap().join("state");
    let plan = Plan {
        keys: Settings {
            directory: state_dir.clone(),
            source: SecretSource::KeyFile(KeyFile::Own(key())),
            length: EpochLength::Day,
            zone: TimeZone::get("Europe/Paris").unwrap(),
            is_clock_stated: false,
        },
        recognition,
        ledger: None,
        tenant: "default".to_owned(),
        state_dir,
        max_line_bytes: MAX_LINE_BYTES,
        workers: NonZeroUsize::new(workers).unwrap(),
        clock: Clock::Fixed(now.parse().unwrap()),
        patience: Arc::default(),
    };
    Ready::new(plan).unwrap()
}

fn run<R: Read + Send>(input: R, choices: Choices, workers: usize) -> (Vec<u8>, Outcome) {
    let mut output = Vec::new();
    let outcome = ready(choices, workers, NOW).run(input, &mut output, &|| {});
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert!(outcome.tally.holds());
    (output, outcome)
}

fn filter(input: &[u8], choices: Choices) -> Vec<u8> {
    run(input, choices, 1).0
}

/// A reader that returns as many bytes at a time as `sizes` says, cyclically.
struct Chunked<'a> {
    rest: &'a [u8],
    sizes: Vec<usize>,
    next: usize,
}

impl Read for Chunked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()].min(buffer.len()).min(self.rest.len());
        self.next += 1;
        let (now, later) = self.rest.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.rest = later;
        Ok(size)
    }
}

/// Generates pieces that logs consist of, and pieces that clients put into them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&[u8]> = vec![
        b"203.0.113.9",
        b"198.51.100.7:443",
        b"2001:db8::1",
        b"[2001:db8::2]:443",
        b"::ffff:203.0.113.9",
        b"jean@example.fr",
        b"jean%40example.fr",
        b"\\u0040",
        b"%2E",
        b"203-0-113-9.dyn.example.net",
        b"9.113.0.203.in-addr.arpa",
        b"203.0.113.127.dyn.example.net",
        b"2a01cb0008bd2700289c166d32b9da85.ipv6.abo.example.net",
        b"ip9.ip-203-0-113.example.net",
        b"saddr=02000050CB0071090000000000000000",
        b"42:2001:db8::1",
        b"jean@[192.0.2.1]",
        b"u'jean@example.fr'",
        b"<34>1 2026-11-23T10:00:00Z host app 1 ID [a@1 b=\"c\"] ",
        b"<34>1 2026-11-23T10:00:00Z host app - - - ",
        b"<13>Nov 23 10:00:00 host sshd[1]: ",
        b"Nov 23 10:00:00 host sshd[1]: Invalid user ",
        b"{\"time\":\"2026-11-23T10:00:00Z\",\"ip\":\"",
        b"\"}",
        b"{",
        b"}",
        b"\"retention\":{\"class\":\"x\",\"expires\":\"2027-01-01\"}",
        b"\"\\u0072etention\":",
        b"[retention@32473 class=\"x\" expires=\"2027-01-01\"]",
        b" expires=2027-01-01 class=connection",
        b" expires=2027-01-01 class=connection clock=received",
        b"ip_2epqfnspyfc4whwyd2jp92w06ftvdrr",
        b"203.0.113.9 - - [23/Nov/2026:10:00:00 +0100] \"GET /",
        b" HTTP/1.1\" 200 5",
        b"key=value other=\"v w\" ",
        b"CEF:0|v|p|1|2|n|3|src=203.0.113.9 ",
        b"\n",
        b"\r\n",
        b"\0",
        b"\xff\xfe",
        b"\xc3\xa9",
        b" ",
        b"::",
        b"@",
        b"%",
        b"\\",
        b"=",
        b"_",
        b"-",
        b".",
        b":",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed).prop_map(<[u8]>::to_vec),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => "[0-9a-f:.@%-]{0,24}".prop_map(String::into_bytes),
    ]
}

fn log() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

fn tag_form() -> impl Strategy<Value = TagForm> {
    proptest::sample::select(vec![TagForm::Native, TagForm::Suffix, TagForm::None])
}

fn also_everything() -> Choices {
    let also = ["usr", "host", "mac", "tel"].map(str::to_owned).into_iter().collect();
    Choices { also, ..Choices::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_and_any_number_of_workers_give_the_same_bytes(
        log in log(),
        sizes in proptest::collection::vec(1usize..300, 1..8),
    ) {
        let whole = filter(&log, also_everything());
        for workers in [1, 2, 4] {
            let chunked = Chunked { rest: &log, sizes: sizes.clone(), next: 0 };
            let (bytes, _) = run(chunked, also_everything(), workers);
            prop_assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn a_run_split_at_any_line_equals_the_whole_run(log in log(), at in any::<proptest::sample::Index>()) {
        let border = memchr::memchr_iter(b'\n', &log).map(|newline| newline + 1).collect::<Vec<_>>();
        prop_assume!(!border.is_empty());
        let (head, tail) = log.split_at(border[at.index(border.len())]);
        let halves = [filter(head, Choices::default()), filter(tail, Choices::default())].concat();
        let whole = filter(&log, Choices::default());
        prop_assert_eq!(String::from_utf8_lossy(&halves), String::from_utf8_lossy(&whole));
    }

    /// Words may be glued to each other: the first pass has seen what touches a token. Only host names are
    /// kept apart, because an address glued to `.net` would become another label of it.
    #[test]
    fn behind_another_oubliette_nothing_changes(
        words in proptest::collection::vec(piece(), 0..50),
        tags in tag_form(),
        also in any::<bool>(),
    ) {
        let apart = |word: &Vec<u8>| if word.ends_with(b".example.net") { &b" "[..] } else { b"" };
        let log: Vec<u8> = words.iter().flat_map(|word| [word, apart(word)].concat()).collect();
        let first = Choices { tags, ..if also { also_everything() } else { Choices::default() } };
        let second = Choices { trust_upstream: true, ..first.clone() };
        let once = filter(&log, first);
        let twice = filter(&once, second);
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
    }

    /// Tokens that look like addresses cannot be told from text glued to them, so here words are kept apart,
    /// and no percent sign turns the `fd` of a token into an escape.
    #[test]
    fn behind_another_oubliette_with_the_shape_of_addresses_nothing_changes(
        words in proptest::collection::vec(piece().prop_filter("no escapes", |piece| !piece.contains(&b'%')), 0..40),
        tags in tag_form(),
    ) {
        let first = Choices { tags, shape: TokenShape::Address, ..Choices::default() };
        let second = Choices { trust_upstream: true, ..first.clone() };
        let once = filter(&words.join(&b' '), first);
        let twice = filter(&once, second);
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
    }

    #[test]
    fn lines_and_line_ends_are_kept(log in log()) {
        let (output, outcome) = run(&log[..], also_everything(), 1);
        let ends = |bytes: &[u8]| {
            bytes.split_inclusive(|&byte| byte == b'\n').map(|line| {
                (line.ends_with(b"\n"), line.ends_with(b"\r\n"))
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(ends(&output), ends(&log));
        prop_assert_eq!(outcome.tally.lines.bytes_in, log.len() as u64);
        prop_assert_eq!(outcome.tally.lines.bytes_out, output.len() as u64);
    }

    /// Without findings and tags, the output equals the input.
    #[test]
    fn text_without_identifiers_passes_byte_for_byte(
        log in proptest::collection::vec(any::<u8>().prop_filter("no shapes", |byte| !b".:@%\\-_=\"".contains(byte)), 0..300)
    ) {
        let choices = Choices { tags: TagForm::None, ..Choices::default() };
        prop_assert_eq!(filter(&log, choices), log);
    }

    /// The bytes around an identifier are untouched, whatever they are.
    #[test]
    fn bytes_around_identifiers_are_kept(
        words in proptest::collection::vec("[g-z#;,()\u{e9}\0\u{7f}]{0,9}", 2..10),
        identifiers in proptest::collection::vec(proptest::sample::select(vec![
            "203.0.113.9", "2001:db8::1", "jean@example.fr", "::ffff:198.51.100.7",
        ]), 9),
    ) {
        let line: String = words.iter().zip(&identifiers).map(|(word, id)| format!("{word} {id} ")).collect();
        let choices = Choices { tags: TagForm::None, ..Choices::default() };
        let output = String::from_utf8(filter(line.as_bytes(), choices)).unwrap();
        let mut rest = output.as_str();
        for (word, _) in words.iter().zip(&identifiers) {
            rest = rest.strip_prefix(word.as_str()).and_then(|rest| rest.strip_prefix(' ')).unwrap();
            let (token, after) = rest.split_once(' ').unwrap();
            prop_assert_eq!(token.len(), 34);
            rest = after;
        }
        prop_assert_eq!(rest, "");
    }
}

/// A field that a rule file names is replaced as a whole, whatever it contains.
#[test]
fn a_field_with_an_encoded_address_in_it_leaves_nothing_behind() {
    for line in [
        "Nov 23 10:00:00 h sshd[1]: Invalid user secret 203.0.113%2E9 zzz from 198.51.100.1 port 22",
        "Nov 23 10:00:00 h sshd[1]: Invalid user secret jean%40example.org zzz from 198.51.100.1 port 22",
        "Nov 23 10:00:00 h sshd[1]: Invalid user secret 203.0.113.9 zzz from 198.51.100.1 port 22",
    ] {
        let output = String::from_utf8(filter(line.as_bytes(), also_everything())).unwrap();
        assert!(
            !output.contains("secret") && !output.contains("zzz") && output.contains(" from ip_"),
            "{output}"
        );
    }
}

/// Lines that would take hours if any step were quadratic.
#[test]
fn hostile_lines_are_linear() {
    let seeds: [&[u8]; 24] = [
        b"1.",
        b"1.1.1.1.",
        b"1-",
        b":",
        b"::",
        b"a:",
        b"1:2:3:4:",
        b"@",
        b"a@",
        b"a@b.",
        b"a@b.fr",
        b"\"@",
        b"%",
        b"%2",
        b"%25",
        b"%40",
        b"\\",
        b"\\u0040",
        b"a_",
        b"0.a.",
        b" expires=",
        b"\"retention\":",
        b"Ab/1.2.3.4,",
        b"Ab/1.0.0.0,",
    ];
    for seed in seeds {
        let line: Vec<u8> = seed.iter().copied().cycle().take(1_500_000).collect();
        let choices = also_everything();
        let recognition = Recognition::new(choices).unwrap();
        let mut findings = oubliette::model::Findings::default();
        let mut scratch = oubliette::detect::Scratch::default();
        let record = oubliette::format::Guess::new(None).parse(&line);
        recognition.shared.detector.find_alone(&line, &record, &mut scratch, &mut findings);
        let mut end = 0;
        for finding in &findings.items {
            assert!(finding.span.start >= end && finding.span.end > finding.span.start);
            end = finding.span.end;
        }
    }
}

/// Opens an archive in memory at an instant, with a ledger and shred keys.
fn archiver(memory: &Memory, ready: &Ready, now: &str) -> Archiver {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let clock = Clock::Fixed(now.parse().unwrap());
    let recognition = &ready.plan().recognition;
    let ledger = || {
        let settings = ledger::Settings {
            storage: Arc::clone(&storage),
            directory: "/state/ledger".into(),
            zone: recognition.zone.clone(),
            who: "root".to_owned(),
            clock,
        };
        Ledger::open(settings).unwrap()
    };
    let shred_store = ShredStore::open(&storage, Path::new("/state/shred")).unwrap();
    let parts = ArchiveParts {
        tree: Tree::at(Path::new("/srv")),
        node: NodeName::new("web1").unwrap(),
        zone: recognition.zone.clone(),
        source_zone: recognition.dates.source_zone().clone(),
        policy: recognition.policy_digest,
        tenant: "default".to_owned(),
        kinds: Arc::clone(&recognition.shared.kinds),
        escrow: Escrow::KeyFile,
        foreign_tokens: false,
        sealer: Box::new(ledger()),
        shred_keys: Box::new(RecordedShredKeys::new(
            shred_store,
            ledger(),
            recognition.zone.clone(),
            Box::new(|lost| panic!("{lost}")),
        )),
        certain: None,
        storage: Arc::clone(&storage),
    };
    let (segments, _) = OpenSegments::open(parts, clock.now()).unwrap();
    let classes = recognition.stamper.policy().classes().iter().map(|class| class.name.clone());
    Archiver::new(segments, classes.collect(), Options::default(), clock, None).unwrap()
}

#[test]
fn lines_that_expire_on_their_way_to_the_archive_are_dropped_and_counted() {
    // Kept for twelve months: the first line must be gone at midnight, which comes while both wait.
    let input = concat!(
        "203.0.113.9 - - [23/Nov/2025:10:00:00 +0100] \"GET /a HTTP/1.1\" 200 5\n",
        "203.0.113.9 - - [24/Nov/2025:10:00:00 +0100] \"GET /b HTTP/1.1\" 200 5\n",
    );
    let choices = Choices { archived: true, backfill: true, ..Choices::default() };
    let ready = ready(choices, 1, "2026-11-23T22:59:59Z");
    let memory = Memory::new();
    let mut archiver = archiver(&memory, &ready, "2026-11-23T23:00:00Z");
    let Outcome { tally, result, .. } = ready.run_into(input.as_bytes(), &mut archiver, &|| {});
    assert!(matches!(result, Ok(Finish::Complete)), "{result:?}");
    assert_eq!(
        (tally.lines.lines_in, tally.lines.lines_out, tally.lines.dropped, tally.lines.expired),
        (2, 1, 1, 1)
    );
    let files = memory.files();
    let count = |part: &str| files.keys().filter(|path| path.to_string_lossy().contains(part)).count();
    assert_eq!((count("expires=2026-11-24"), count("/state/shred/2026-11-24")), (0, 0));
    // A segment and its vault, and their shred key.
    assert_eq!((count("expires=2026-11-25"), count("/state/shred/2026-11-25")), (2, 1));
}

/// A reader that returns its bytes, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("the file server went away")),
            bytes => Ok(bytes),
        }
    }
}

#[test]
fn a_line_that_a_read_error_cuts_off_is_sealed_and_can_be_read_again() {
    let (whole, torn) = (b"198.51.100.7 whole\n", b"client 203.0.11");
    for workers in [1, 3] {
        let input = [&whole[..], torn].concat();
        let mut output = Vec::new();
        let outcome = ready(Choices::default(), workers, NOW).run(Failing(&input), &mut output, &|| {});
        let told = outcome.result.unwrap_err();
        assert_eq!((told.code.id, outcome.tally.lines.quarantined), ("I01", 1));
        // From there on the line is whole.
        assert_eq!(told.place.as_deref(), Some("after 19 bytes of whole lines, and 15 of another one"));
        let output = String::from_utf8(output).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines[0].starts_with("ip_") && lines[1].starts_with("oubliette: line quarantined id=qr_"));
        assert!(lines[1].contains(" bytes=15 ") && !output.contains("203.0.11"), "{output}");
        let name = lines[1].split_once("id=").unwrap().1.split(' ').next().unwrap();
        let sealed = key().parent().unwrap().join(format!("state/quarantine/{name}.age"));
        assert!(sealed.metadata().unwrap().len() > 100);
    }
}

/// A writer that takes a number of bytes and then fails, like a disk that fills up.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_a_full_disk_refuses_are_not_counted_as_out() {
    let line = "198.51.100.7 one of many\n";
    let input = line.repeat(50_000);
    let length = filter(line.as_bytes(), Choices::default()).len();
    for workers in [1, 3] {
        // A whole number of lines and a half.
        let mut disk = Full(1000 * length + length / 2);
        let outcome = ready(Choices::default(), workers, NOW).run(input.as_bytes(), &mut disk, &|| {});
        assert_eq!(outcome.result.unwrap_err().code.id, "I02");
        let counts = outcome.tally.lines;
        assert_eq!((counts.lines_out, counts.bytes_out), (1000, (1000 * length + length / 2) as u64));
        assert!(counts.holds() && counts.undelivered == counts.lines_in - 1000, "{counts:?}");
    }
}
