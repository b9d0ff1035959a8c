//! Tests that lines are sealed, named and private, and that no incomplete file is left.

use super::seal::LineEncryptor;
use super::*;
use crate::primitives::diag::Diagnostic;
use age::secrecy::ExposeSecret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// A keyed hash in the shape of the real one.
struct Named(Hmac<Sha256>);

impl Named {
    fn boxed(key: u8) -> Box<dyn KeyedHash> {
        Box::new(Self(Hmac::new_from_slice(&[key; 32]).unwrap()))
    }
}

impl KeyedHash for Named {
    fn update(&mut self, bytes: &[u8]) {
        Mac::update(&mut self.0, bytes);
    }

    fn finalize(self: Box<Self>) -> String {
        let tag = Mac::finalize(self.0).into_bytes();
        let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
        let body = tag.iter().take(31).map(|byte| char::from(alphabet[usize::from(byte % 32)]));
        "qr_".chars().chain(body).collect()
    }
}

struct Bad(&'static str);

impl KeyedHash for Bad {
    fn update(&mut self, _bytes: &[u8]) {}

    fn finalize(self: Box<Self>) -> String {
        self.0.to_owned()
    }
}

fn seal(quarantine: &mut Quarantine, line: &[u8]) -> Result<Placeholder, QuarantineError> {
    let mut sealing = quarantine.begin(Named::boxed(1))?;
    for chunk in line.chunks(100_000) {
        sealing.update(chunk)?;
    }
    sealing.finish()
}

fn open(path: &Path, identity: &age::x25519::Identity) -> Vec<u8> {
    let decryptor = age::Decryptor::new(File::open(path).unwrap()).unwrap();
    let mut line = Vec::new();
    decryptor.decrypt(std::iter::once(identity as _)).unwrap().read_to_end(&mut line).unwrap();
    line
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn each_recipient_opens_the_sealed_line_and_nobody_reads_it() {
    let state = tempfile::tempdir().unwrap();
    let identities = [age::x25519::Identity::generate(), age::x25519::Identity::generate()];
    let boxed = |identity: &age::x25519::Identity| -> Box<dyn age::Recipient + Send> {
        Box::new(identity.to_public())
    };
    let recipients = identities.iter().map(boxed).collect();
    let mut quarantine = Quarantine::new(state.path(), recipients, 4096);
    assert!(names(state.path()).is_empty(), "nothing is created before it is needed");

    let line = b"203.0.113.7 jean@example.fr \xff\0\r".repeat(10_000);
    let placeholder = seal(&mut quarantine, &line).unwrap();
    let directory = state.path().join("quarantine");
    let file = directory.join(format!("{}.age", placeholder.token()));
    assert_eq!(names(&directory), [format!("{}.age", placeholder.token())]);
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    for identity in &identities {
        assert_eq!(open(&file, identity), line);
    }
    let sealed = fs::read(&file).unwrap();
    assert!(memchr::memmem::find(&sealed, b"203.0.113.7").is_none());
    assert_eq!(
        placeholder.to_string(),
        format!("oubliette: line quarantined id={} bytes={} limit=4096", placeholder.token(), line.len())
    );
}

#[test]
fn the_same_line_is_kept_once() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine::new(state.path(), Vec::new(), 4);
    let first = seal(&mut quarantine, b"too long").unwrap();
    let directory = state.path().join(FOLDER);
    let long_ago = fs::File::options().write(true).open(directory.join(format!("{}.age", first.token())));
    long_ago.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let listed = sealed_lines(&directory).unwrap().lines;
    assert_eq!(seal(&mut quarantine, b"too long").unwrap(), first);
    // Its placeholder was output again, so it is kept from now on, even by a caller that listed it before.
    remove(&listed[0]).unwrap();
    assert!(sealed_lines(&directory).unwrap().lines[0].sealed > listed[0].sealed);
    let other = seal(&mut quarantine, b"also too long").unwrap();
    assert_ne!(other.token(), first.token());
    let mut expected = vec![format!("{}.age", first.token()), format!("{}.age", other.token())];
    expected.sort();
    expected.insert(0, "identity.txt".to_owned());
    assert_eq!(names(&state.path().join("quarantine")), expected);
}

#[test]
fn without_recipients_an_identity_is_made_once_and_opens_what_is_sealed() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine::new(state.path(), Vec::new(), 4);
    let first = seal(&mut quarantine, b"before").unwrap();
    let path = state.path().join("quarantine/identity.txt");
    assert_eq!(mode(&path), 0o600);

    let mut again = Quarantine::new(state.path(), Vec::new(), 4);
    let second = seal(&mut again, b"after").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let identities = age::IdentityFile::from_buffer(text.as_bytes()).unwrap().into_identities().unwrap();
    for (placeholder, line) in [(first, &b"before"[..]), (second, b"after")] {
        let file = File::open(path.with_file_name(format!("{}.age", placeholder.token()))).unwrap();
        let mut opened = Vec::new();
        let identities = identities.iter().map(|identity| &**identity as &dyn age::Identity);
        age::Decryptor::new(file).unwrap().decrypt(identities).unwrap().read_to_end(&mut opened).unwrap();
        assert_eq!(opened, line);
    }
}

/// Only root can give files away; other users see that nothing changes.
#[test]
fn what_root_seals_in_the_state_of_a_service_belongs_to_the_service() {
    use std::os::unix::fs::{MetadataExt, lchown};
    let state = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        lchown(state.path(), Some(65534), Some(65534)).unwrap();
    }
    let owner = fs::metadata(state.path()).unwrap().uid();
    let placeholder = seal(&mut Quarantine::new(state.path(), Vec::new(), 4), b"a line").unwrap();
    let sealed = format!("quarantine/{}.age", placeholder.token());
    for name in ["quarantine", "quarantine/identity.txt", &sealed] {
        assert_eq!(fs::metadata(state.path().join(name)).unwrap().uid(), owner, "{name}");
    }
}

#[test]
fn an_identity_that_cannot_be_trusted_is_refused() {
    let identity = age::x25519::Identity::generate().to_string().expose_secret().to_owned();
    for (text, mode, code) in [
        (identity.as_str(), 0o640, "Q04"),
        (&identity, 0o604, "Q04"),
        ("", 0o600, "Q03"),
        ("# no key\n", 0o600, "Q03"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("quarantine");
        fs::create_dir(&directory).unwrap();
        let path = directory.join("identity.txt");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = seal(&mut Quarantine::new(state.path(), Vec::new(), 4), b"a line").unwrap_err();
        let diagnostic = Diagnostic::from(error);
        assert_eq!(diagnostic.code.id, code, "{mode:o} {}", text.len());
        assert!(!diagnostic.to_string().contains("AGE-SECRET"));
        assert_eq!(names(&directory), ["identity.txt"]);
        assert_eq!(super::tests::mode(&directory), 0o700, "the directory was made private");
    }
}

#[test]
fn what_cannot_be_sealed_is_an_error_and_leaves_nothing() {
    // A file where the state directory should be.
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = seal(&mut Quarantine::new(&file, Vec::new(), 4), b"a line").unwrap_err();
    fs::remove_file(&file).unwrap();
    assert_eq!(Diagnostic::from(error).code.id, "Q01");

    // A hash that is not a token must not become a file name.
    for token in [
        "",
        "qr_",
        "../../etc/passwd",
        "qr_/000000000000000000000000000000",
        "qr_000000000000000000000000000000o",
    ] {
        let mut quarantine = Quarantine::new(state.path(), Vec::new(), 4);
        let sealing = quarantine.begin(Box::new(Bad(token))).unwrap();
        assert!(matches!(sealing.finish(), Err(QuarantineError::Token)), "{token}");
        assert_eq!(names(&state.path().join("quarantine")), ["identity.txt"]);
    }

    // Given up before the end.
    let mut quarantine = Quarantine::new(state.path(), Vec::new(), 4);
    let mut sealing = quarantine.begin(Named::boxed(1)).unwrap();
    sealing.update(b"half").unwrap();
    assert_eq!(names(&state.path().join("quarantine")).len(), 2);
    drop(sealing);
    assert_eq!(names(&state.path().join("quarantine")), ["identity.txt"]);
}

/// A disk with this many bytes left.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_fills_at_any_point_is_an_error() {
    let recipients: Recipients = vec![Box::new(age::x25519::Identity::generate().to_public())];
    let line = vec![b'a'; 200_000];
    let write = |room| -> Result<(), age::EncryptError> {
        let mut encryptor = LineEncryptor::begin(Full(room), &recipients, Named::boxed(1))?;
        encryptor.update(&line)?;
        encryptor.finish()?;
        Ok(())
    };
    // Four chunks with a tag each, after a header whose size varies in age.
    let chunks = line.len() + 4 * 16;
    for room in [0, 1, 21, 22, 100, 150, 199, 200, 300, 65_000, 66_000, 131_500, chunks - 1, chunks] {
        assert!(write(room).is_err(), "{room}");
    }
    assert!(write(chunks + 4096).is_ok());
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not() {
    let state = tempfile::tempdir().unwrap();
    let mut live = Quarantine::new(state.path(), Vec::new(), 4);
    let mut sealing = live.begin(Named::boxed(1)).unwrap();
    sealing.update(b"too long").unwrap();
    let directory = state.path().join("quarantine");
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for name in [".1-0.age.part", "notes.age.part"] {
        fs::write(directory.join(name), b"half").unwrap();
    }
    fs::write(directory.join(".2-0.age.part"), b"just made, not locked yet").unwrap();
    for name in names(&directory).iter().filter(|name| !name.starts_with(".2")) {
        File::options().write(true).open(directory.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    let other = seal(&mut Quarantine::new(state.path(), Vec::new(), 4), b"another").unwrap();
    let placeholder = sealing.finish().unwrap();
    let mut expected = vec![format!("{}.age", other.token()), format!("{}.age", placeholder.token())];
    expected.extend([".2-0.age.part", "identity.txt", "notes.age.part"].map(String::from));
    expected.sort();
    assert_eq!(names(&directory), expected);
}

/// Two containers on one state directory may have the same process number, and so the same names of parts.
#[test]
fn a_part_of_another_process_stays() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine::new(state.path(), Vec::new(), 4);
    let part = state.path().join(FOLDER).join(format!(".{}-0.age.part", std::process::id()));
    for line in 0..50u8 {
        let mut sealing = quarantine.begin(Named::boxed(1)).unwrap();
        sealing.update(&[line]).unwrap();
        assert!(part.exists());
        std::thread::scope(|scope| {
            // Takes the name as soon as it is free.
            let other = scope.spawn(|| while File::create_new(&part).is_err() {});
            sealing.finish().unwrap();
            other.join().unwrap();
        });
        fs::remove_file(&part).unwrap();
    }
}

/// Counts the bytes written and remembers the largest single write.
#[derive(Default)]
struct Counting {
    bytes: u64,
    largest: usize,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.largest = self.largest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_line_streams_through() {
    let recipient: Box<dyn age::Recipient + Send> = Box::new(age::x25519::Identity::generate().to_public());
    let mut encryptor = LineEncryptor::begin(Counting::default(), &vec![recipient], Named::boxed(1)).unwrap();
    let chunk = [b'a'; 1 << 18];
    for _ in 0..256 {
        encryptor.update(&chunk).unwrap();
    }
    let (counting, token, bytes) = encryptor.finish().unwrap();
    assert_eq!(bytes, 64 << 20);
    assert!(token.starts_with("qr_"));
    // age: chunks of 64 KiB, with a tag of 16 bytes each.
    assert!(counting.bytes > bytes && counting.bytes < bytes + (64 << 10));
    assert!(counting.largest <= (64 << 10) + 16);
}

#[test]
fn codes_are_whole() {
    for code in CODES {
        assert!(code.id.starts_with('Q'));
        for part in ["What it means\n", "Why it matters\n", "Example\n", "What to do\n", "References\n"] {
            assert!(code.text.contains(part), "{} {part}", code.id);
        }
    }
}
