//! Object storage: buckets behind the S3 protocol, as a directory tree.
//!
//! ```text
//! s3://bucket/prefix/expires=.../file     bucket, then the key; a directory is a prefix of keys
//! ```
//! - An object appears whole, by **one** PUT: with `If-None-Match: *` if its name must be new. There are no
//!   multipart uploads, since some stores ignore the condition when they assemble the parts.
//! - A file made with [`Storage::create`] is kept in memory until it is synced, renamed or published; only
//!   then is it stored.
//! - The SHA-256 of each object is stored beside it, so that a purge can state what it removed without
//!   reading it.
//! - Reads are range reads: of a segment, only its end and the frames needed.
//! - In a bucket with versions, [`S3::with_versions`] also lists, reads and removes old ones, so that purged
//!   data is gone and not just hidden.
//!
//! Credentials, region and endpoint come from the environment variables that all tools use:
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`.

mod answer;
mod environment;
mod part;

use super::versions::{Version, Versions};
use super::{Listed, Storage, Stored};
use crate::primitives::hex;
use crate::primitives::lock::Unpoisoned as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ClientConfigKey, Error, GetOptions, GetResult, ObjectStore as _,
    ObjectStoreExt as _, PutMode, PutOptions,
};
use part::{Part, Parts};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;

/// Access to buckets.
#[derive(Clone, Debug)]
pub struct S3 {
    shared: Arc<Shared>,
    /// Whether old versions are visible.
    versions: bool,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
    parts: Parts,
}

struct Bucket {
    store: AmazonS3,
    versions: Versions,
}

/// Omits the fields: they hold credentials.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket([credentials redacted])")
    }
}

/// User-defined metadata of an object, by name.
pub type Marks = BTreeMap<String, String>;

/// What a store does when asked to create the same object twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It refuses the second of two objects of one name.
    Honoured,
    /// It accepts both: the last one wins, and lines are lost or duplicated.
    Ignored,
}

impl S3 {
    /// Gives access to the buckets that the environment has credentials for. Connects to nothing yet.
    ///
    /// # Errors
    /// If the operating system gives no descriptors.
    pub fn from_environment() -> io::Result<Self> {
        // The provider used elsewhere in this program. If another one is installed already, that will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Shared { runtime, buckets: Mutex::default(), parts: Parts::default() };
        Ok(Self { shared: Arc::new(shared), versions: false })
    }

    /// Returns the same access with old versions visible.
    #[must_use]
    pub fn with_versions(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), versions: true }
    }

    /// Stores a new object with `marks`, which can be read without the object. Returns `false`, and stores
    /// nothing, if there is an object of that name.
    ///
    /// # Errors
    /// If the store does not answer or refuses; it may have stored the object nevertheless.
    pub fn put_new(&self, path: &Path, bytes: Vec<u8>, marks: &Marks) -> io::Result<bool> {
        match self.put(path, bytes, PutMode::Create, marks) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            stored => stored.map(|_| true),
        }
    }

    /// Returns the marks of an object.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn marks(&self, path: &Path) -> io::Result<Marks> {
        let (bucket, key) = self.locate(path)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = self.wait(bucket.store.get_opts(&key, options))?;
        let marks = found.attributes.iter().filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
            _ => None,
        });
        Ok(marks.collect())
    }

    /// Tests the store: stores two objects of one name below `directory`, and removes them. A store that
    /// ignores the condition on the second one must not be used.
    ///
    /// # Errors
    /// If the store does not answer or refuses.
    pub fn probe(&self, directory: &Path) -> io::Result<Probe> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = directory.join(format!("probe-{}", hex::encode(&random)));
        let first = self.put_new(&path, b"oubliette\n".to_vec(), &Marks::new())?;
        let second = self.put_new(&path, b"oubliette\n".to_vec(), &Marks::new())?;
        self.with_versions().unlink(&path)?;
        Ok(if first && !second { Probe::Honoured } else { Probe::Ignored })
    }

    /// Stores an object. Returns its version, in a bucket with versions.
    fn put(&self, path: &Path, bytes: Vec<u8>, mode: PutMode, marks: &Marks) -> io::Result<Option<String>> {
        let (bucket, key) = self.locate(path)?;
        let marks = marks.iter().map(|(name, value)| (name.clone(), value.clone()));
        let digest = (SHA256.to_owned(), hex::encode(&Sha256::digest(&bytes)));
        let attributes: Attributes = marks
            .filter(|(name, _)| name != SHA256)
            .chain([digest])
            .map(|(name, value)| (Attribute::Metadata(name.into()), value))
            .collect();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        self.wait(bucket.store.put_opts(&key, bytes.into(), options)).map(|stored| stored.version)
    }

    fn wait<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> io::Result<T> {
        self.shared.runtime.block_on(request).map_err(as_io)
    }

    /// Splits a path into bucket and key.
    fn locate(&self, path: &Path) -> io::Result<(Arc<Bucket>, Key)> {
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
        let text = path.to_str().and_then(|path| path.strip_prefix(SCHEME));
        let text = text.ok_or_else(|| invalid("it is no name of the form s3://bucket/key in UTF-8"))?;
        let (name, key) = text.split_once('/').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(invalid("it names no bucket"));
        }
        let key = Key::parse(key.trim_matches('/')).map_err(|_| invalid("the key is not well formed"))?;
        let mut buckets = self.shared.buckets.lock().unpoisoned();
        if let Some(bucket) = buckets.get(name) {
            return Ok((Arc::clone(bucket), key));
        }
        let bucket = Arc::new(Bucket::connect(name)?);
        buckets.insert(name.to_owned(), Arc::clone(&bucket));
        Ok((bucket, key))
    }

    /// Returns the most recent version of a key that is not a delete marker.
    fn newest(&self, bucket: &Bucket, key: &Key) -> io::Result<Option<Version>> {
        let versions = self.shared.runtime.block_on(bucket.versions.of(key.as_ref(), ""))?;
        let of_key = versions.objects.into_iter().filter(|version| version.key == key.as_ref());
        // The versions of a key are listed from newest to oldest.
        Ok(of_key.into_iter().next())
    }

    fn open_object(&self, path: &Path) -> io::Result<Object> {
        let (bucket, key) = self.locate(path)?;
        let head = GetOptions { head: true, ..GetOptions::default() };
        match self.wait(bucket.store.get_opts(&key, head)) {
            Ok(found) => {
                let sha256 = mark(&found, SHA256).and_then(hex::decode);
                let length = found.meta.size;
                Ok(Object { s3: self.clone(), bucket, key, length, version: None, sha256 })
            }
            Err(error) if self.versions && error.kind() == io::ErrorKind::NotFound => {
                let newest = self.newest(&bucket, &key)?.ok_or(error)?;
                let (length, version) = (newest.size, Some(newest.id));
                Ok(Object { s3: self.clone(), bucket, key, length, version, sha256: None })
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns the mark of an object under that name.
fn mark<'o>(found: &'o GetResult, name: &str) -> Option<&'o str> {
    found.attributes.get(&Attribute::Metadata(name.to_owned().into())).map(AsRef::as_ref)
}

impl Bucket {
    fn connect(name: &str) -> io::Result<Self> {
        let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        let builder =
            AmazonS3Builder::from_env().with_bucket_name(name).with_config(timeout, LONGEST_REQUEST);
        environment::check(&builder)?;
        let store = builder.clone().build().map_err(environment::refused)?;
        let versions = Versions::of_bucket(&builder, name, store.credentials())?;
        Ok(Self { store, versions })
    }
}

impl Storage for S3 {
    fn create_directory(&self, path: &Path, _mode: u32) -> io::Result<()> {
        // Keys need no directories, but it is better to notice a missing bucket now.
        self.list(path).map(drop)
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn Stored>> {
        self.shared.parts.begin(path)?;
        Ok(Box::new(Part { s3: self.clone(), path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        Ok(Box::new(self.open_object(path)?))
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn Stored>> {
        self.open(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        if self.shared.parts.has(path) {
            return Ok(true);
        }
        match self.open_object(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            opened => opened.map(|_| true),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.bytes_of(from)?;
        let marks = match self.marks(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Marks::new(),
            // The marks of the replaced object apply to the new one, too.
            marks => marks?,
        };
        let newest = self.put(to, bytes, PutMode::Overwrite, &marks)?;
        if let Some(newest) = newest.filter(|_| self.versions) {
            self.remove_versions(to, |version| version.id != newest)?;
        }
        self.unlink(from)
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.put(to, self.bytes_of(from)?, PutMode::Create, &Marks::new())?;
        self.unlink(from)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        if self.shared.parts.end(path) {
            return Ok(());
        }
        if self.versions {
            let removed = self.remove_versions(path, |_| true)?;
            return if removed > 0 { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) };
        }
        let (bucket, key) = self.locate(path)?;
        self.wait(bucket.store.head(&key))?;
        self.wait(bucket.store.delete(&key))
    }

    fn overwrite(&self, _path: &Path) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "an object cannot be overwritten in place"))
    }

    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let (bucket, key) = self.locate(path)?;
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        if self.versions {
            let prefix = if key.as_ref().is_empty() { String::new() } else { format!("{key}/") };
            let found = self.shared.runtime.block_on(bucket.versions.of(&prefix, "/"))?;
            let keys = found.objects.iter().chain(&found.deletions).map(|version| &version.key);
            names.extend(keys.filter_map(|key| Some((key.strip_prefix(&prefix)?.to_owned(), false))));
            let directories =
                found.directories.iter().filter_map(|directory| directory.strip_prefix(&prefix));
            names.extend(directories.map(|name| (name.trim_end_matches('/').to_owned(), true)));
        } else {
            let found = self.wait(bucket.store.list_with_delimiter(Some(&key)))?;
            names.extend(
                found
                    .objects
                    .iter()
                    .filter_map(|object| Some((object.location.filename()?.to_owned(), false))),
            );
            names.extend(
                found.common_prefixes.iter().filter_map(|path| Some((path.filename()?.to_owned(), true))),
            );
        }
        let names = names.into_iter().filter(|(name, _)| !name.is_empty());
        let listed = |(name, directory): (String, bool)| Listed {
            path: path.join(&name),
            name,
            directory,
            link: false,
        };
        Ok(names.map(listed).collect())
    }
}

impl S3 {
    /// Returns all bytes of a part or an object.
    fn bytes_of(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.shared.parts.bytes(path) {
            return Ok(bytes);
        }
        let object = self.open_object(path)?;
        let mut bytes = vec![0; usize::try_from(object.length).map_err(io::Error::other)?];
        object.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Removes the versions and delete markers of a key for which `goes` returns true. Returns how many.
    fn remove_versions(&self, path: &Path, goes: impl Fn(&Version) -> bool) -> io::Result<usize> {
        let (bucket, key) = self.locate(path)?;
        let found = self.shared.runtime.block_on(bucket.versions.of(key.as_ref(), ""))?;
        let all = found.objects.iter().chain(&found.deletions);
        let mut removed = 0;
        for version in all.filter(|version| version.key == key.as_ref() && goes(version)) {
            self.shared.runtime.block_on(bucket.versions.remove(version))?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// An object, or one version of it.
#[derive(Debug)]
struct Object {
    s3: S3,
    bucket: Arc<Bucket>,
    key: Key,
    length: u64,
    version: Option<String>,
    sha256: Option<[u8; 32]>,
}

impl Stored for Object {
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "nothing can be added to an object"))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _length: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "an object cannot be cut"))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let range = offset..end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let options =
            GetOptions { range: Some(range.into()), version: self.version.clone(), ..GetOptions::default() };
        let read = async { self.bucket.store.get_opts(&self.key, options).await?.bytes().await };
        let bytes = self.s3.wait(read)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        // No process writes to an object: it appears whole.
        Ok(true)
    }

    fn recorded_sha256(&self) -> io::Result<Option<[u8; 32]>> {
        Ok(self.sha256)
    }
}

pub(super) fn as_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        // Not `Other`, which would be taken for damage.
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, answer::without_body(&error.to_string()))
}

/// Prefix of paths in a bucket.
const SCHEME: &str = "s3://";

/// Timeout of a request: enough for a segment of 128 MiB at 4 Mbit/s.
const LONGEST_REQUEST: &str = "300 seconds";

/// Name of the digest beside an object, in user-defined metadata.
const SHA256: &str = "oubliette-sha256";
