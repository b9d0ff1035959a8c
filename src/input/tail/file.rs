//! A file that is followed, whatever its name is now.

use super::claims::{Claim, Claims};
use super::cutter::{Cutter, LineStart, READ_BYTES};
use super::offsets::{CHECKED_BYTES, Identity, Kept, check};
use crate::input::encoding::{Encoding, LONGEST_START};
use crate::input::tail::{Settings, TailError};
use crate::input::{Batch, Closed, Deliver, Lost};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task;
use tokio::time::Instant;

/// An open file, with its batches that are not known to be durable.
pub(super) struct Followed<R> {
    file: Arc<File>,
    identity: Identity,
    cutter: Cutter,
    /// The last bytes that were read; if the file has others there now, it was truncated.
    last: Vec<u8>,
    start: Start,
    /// Delivered batches that are not known to be durable, in order.
    unsettled: VecDeque<Unsettled<R>>,
    /// The position after the last durable line.
    durable: LineStart,
    /// Since when no bytes have arrived, once the file was renamed.
    quiet: Option<Instant>,
    finished: bool,
    claim: Claim,
}

/// A batch after which the file is durable up to the beginning of a line.
struct Unsettled<R> {
    /// `None` if there was nothing to deliver.
    receipt: Option<Pin<Box<R>>>,
    next: LineStart,
}

/// What is known of the first bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The file had too few bytes to tell.
    Unknown,
    /// It begins like text.
    Text,
    /// It begins like this encoding: nothing of it is read.
    Refused(Encoding),
}

/// The outcome of a look at a file.
enum Look {
    /// Nothing new.
    Same,
    /// The file was truncated, or is another one.
    Cut,
    /// More bytes.
    Bytes(Vec<u8>),
    /// No text.
    Encoded(Encoding),
}

impl<R> Followed<R> {
    /// Returns how far the file was read, durably.
    pub(super) fn kept(&self) -> io::Result<Kept> {
        // If the file was truncated meanwhile, it may be shorter. Then the check will not match, as it must
        // not.
        let LineStart { offset, torn } = self.durable;
        let bytes = match before(&self.file, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
            bytes => bytes?,
        };
        let begun = self.cutter.is_unfinished();
        Ok(Kept { file: self.identity, offset, check: check(&bytes), torn, begun })
    }
}

impl<R> Drop for Followed<R> {
    fn drop(&mut self) {
        if let Ok(kept) = self.kept() {
            self.claim.leave_at(kept);
        }
    }
}

impl<R: Future<Output = Result<(), Lost>>> Followed<R> {
    /// Opens a file, to continue where its previous follower left it, or otherwise at `known`, if the file
    /// still has the same bytes before that offset. `None` if the file is already followed.
    pub(super) fn open(
        path: &Path,
        known: Option<&Kept>,
        claims: &Claims,
        settings: &Settings,
    ) -> io::Result<Option<Self>> {
        let file = match &settings.pattern {
            Some(pattern) => open_below(&pattern.root(), path)?,
            None => File::options().read(true).custom_flags(READ.bits().cast_signed()).open(path)?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let identity = Identity::of(&metadata);
        let Some((claim, left)) = claims.claim(identity) else { return Ok(None) };
        let known = left.as_ref().or(known).filter(|known| known.file == identity);
        let is_there =
            |known: &Kept| matches!(before(&file, known.offset), Ok(bytes) if check(&bytes) == known.check);
        let next = match known {
            Some(known) if is_there(known) => LineStart { offset: known.offset, torn: known.torn },
            Some(cut) => LineStart { offset: 0, torn: cut.torn || cut.begun },
            None => LineStart { offset: 0, torn: false },
        };
        Ok(Some(Self {
            last: before(&file, next.offset)?,
            start: Start::Unknown,
            file: Arc::new(file),
            identity,
            cutter: Cutter::new(next, settings.max_record_bytes),
            unsettled: VecDeque::new(),
            durable: next,
            quiet: None,
            finished: false,
            claim,
        }))
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the encoding of a file that is not read because it is no text.
    pub(super) fn refused(&self) -> Option<Encoding> {
        if let Start::Refused(encoding) = self.start { Some(encoding) } else { None }
    }

    /// Notes that the file has the name.
    pub(super) fn has_name(&mut self) {
        self.quiet = None;
    }

    /// Notes that the file no longer has the name.
    pub(super) fn is_renamed(&mut self) {
        self.quiet.get_or_insert_with(Instant::now);
    }

    /// Returns whether the file was renamed and no bytes have arrived for `linger` since then.
    pub(super) fn is_quiet_for(&self, linger: Duration) -> bool {
        !self.finished && self.quiet.is_some_and(|quiet| quiet.elapsed() >= linger)
    }

    /// Returns whether the whole file is durable and no more will come.
    pub(super) fn is_done(&self) -> bool {
        self.finished && self.unsettled.is_empty()
    }

    /// Reads and delivers new bytes. Returns whether there may be more.
    pub(super) async fn read<D: Deliver<Receipt = R>>(&mut self, deliver: &mut D) -> Result<bool, TailError> {
        if self.finished {
            return Ok(false);
        }
        let (file, last, at) =
            (Arc::clone(&self.file), std::mem::take(&mut self.last), self.cutter.read_to());
        let is_text = self.start == Start::Text;
        let looked = task::spawn_blocking(move || look(&file, last, at, is_text)).await;
        let (look, last) = looked.map_err(io::Error::other).flatten().map_err(TailError::Read)?;
        self.last = last;
        match look {
            Look::Same => return Ok(false),
            Look::Encoded(encoding) => {
                self.start = Start::Refused(encoding);
                return Ok(false);
            }
            Look::Cut => self.start_again(deliver).await?,
            Look::Bytes(bytes) => {
                let is_told = at >= LONGEST_START as u64;
                self.start = if is_told { Start::Text } else { Start::Unknown };
                self.quiet = self.quiet.map(|_| Instant::now());
                self.cutter.room().extend_from_slice(&bytes);
                self.deliver_whole(deliver).await?;
            }
        }
        Ok(true)
    }

    /// Delivers the rest when no more bytes will come; a line without end is sealed.
    pub(super) async fn finish<D: Deliver<Receipt = R>>(&mut self, deliver: &mut D) -> Result<(), Closed> {
        self.finished = true;
        let rest = self.cutter.finish();
        self.deliver(rest, deliver).await
    }

    /// Processes the receipts that have resolved.
    pub(super) fn settle(&mut self) -> Result<(), Lost> {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(first) = self.unsettled.front_mut() {
            let settled = match first.receipt.as_mut().map(|receipt| receipt.as_mut().poll(&mut context)) {
                Some(Poll::Pending) => break,
                Some(Poll::Ready(settled)) => settled,
                None => Ok(()),
            };
            self.settle_first(settled)?;
        }
        Ok(())
    }

    /// Waits until everything is durable, or something is known to be lost.
    pub(super) async fn settle_all(&mut self) -> Result<(), Lost> {
        self.settle_down_to(0).await
    }

    /// Waits until at most `most` batches are unsettled.
    async fn settle_down_to(&mut self, most: usize) -> Result<(), Lost> {
        while self.unsettled.len() > most
            && let Some(first) = self.unsettled.front_mut()
        {
            let settled = match &mut first.receipt {
                Some(receipt) => receipt.as_mut().await,
                None => Ok(()),
            };
            self.settle_first(settled)?;
        }
        Ok(())
    }

    /// Processes the receipt of the oldest batch. If that batch is lost, the ones after it are read again as
    /// well.
    fn settle_first(&mut self, settled: Result<(), Lost>) -> Result<(), Lost> {
        match (settled, self.unsettled.pop_front()) {
            (Ok(()), Some(first)) => self.durable = first.next,
            (Err(_), _) => self.unsettled.clear(),
            (Ok(()), None) => {}
        }
        settled
    }

    async fn start_again<D: Deliver<Receipt = R>>(&mut self, deliver: &mut D) -> Result<(), Closed> {
        let rest = self.cutter.start_again();
        self.deliver(rest, deliver).await?;
        self.last.clear();
        self.start = Start::Unknown;
        // Comes after all that was read before the truncation.
        self.unsettled.push_back(Unsettled { receipt: None, next: self.cutter.next() });
        Ok(())
    }

    async fn deliver_whole<D: Deliver<Receipt = R>>(&mut self, deliver: &mut D) -> Result<(), TailError> {
        while let Some(batch) = self.cutter.next_batch() {
            self.deliver(Some(batch), deliver).await?;
        }
        if !deliver.may_hold(self.cutter.unfinished_bytes()) {
            let part = self.cutter.seal_unfinished();
            self.deliver(part, deliver).await?;
        }
        Ok(self.settle_down_to(MOST_UNSETTLED).await?)
    }

    async fn deliver<D: Deliver<Receipt = R>>(
        &mut self,
        batch: Option<(Batch, LineStart)>,
        deliver: &mut D,
    ) -> Result<(), Closed> {
        let Some((batch, next)) = batch else { return Ok(()) };
        let receipt = match batch.is_empty() {
            true => None,
            false => Some(Box::pin(deliver.deliver(batch).await?)),
        };
        self.unsettled.push_back(Unsettled { receipt, next });
        Ok(())
    }
}

/// Reads from `at` on, if the bytes before that are still `last`, and unless the file is known to be text also
/// its first bytes. Also returns the new last bytes.
fn look(file: &File, last: Vec<u8>, at: u64, is_text: bool) -> io::Result<(Look, Vec<u8>)> {
    let length = file.metadata()?.len();
    if length == at {
        return Ok((Look::Same, last));
    }
    let mut bytes = vec![0; last.len() + READ_BYTES];
    let count = read_at(file, at - last.len() as u64, &mut bytes)?;
    bytes.truncate(count);
    if length < at || !bytes.starts_with(&last) {
        return Ok((Look::Cut, last));
    }
    if !is_text {
        // Read again, for they may have come in parts.
        let mut start = [0; LONGEST_START];
        let count = read_at(file, 0, &mut start)?;
        if let Some(encoding) = Encoding::of(&start[..count]) {
            return Ok((Look::Encoded(encoding), last));
        }
    }
    let more = bytes.split_off(last.len());
    if more.is_empty() {
        return Ok((Look::Same, last));
    }
    bytes.extend_from_slice(&more);
    let keep = bytes.len().min(CHECKED_BYTES as usize);
    Ok((Look::Bytes(more), bytes.split_off(bytes.len() - keep)))
}

/// Opening a pipe that has no writer would block without this flag.
const READ: OFlags = OFlags::NONBLOCK;

/// Opens a file name by name below `root`, and follows no symbolic link on the way. Checking first and
/// opening afterwards would leave a moment in which a link could be made.
fn open_below(root: &Path, path: &Path) -> io::Result<File> {
    let below = path.strip_prefix(root).map_err(io::Error::other)?;
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = if root == Path::new("") { Path::new(".") } else { root };
    let mut open = openat(CWD, root, way, Mode::empty())?;
    let mut names = below.iter().peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { way } else { READ | OFlags::CLOEXEC };
        open = openat(&open, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(open.into())
}

/// Reads into `buffer` until it is full or the file ends.
fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Reads the last bytes before `offset`, [`CHECKED_BYTES`] at most.
fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let start = offset.saturating_sub(CHECKED_BYTES);
    let mut bytes = vec![0; usize::try_from(offset - start).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

/// Most batches that may be unsettled; one is half a block.
const MOST_UNSETTLED: usize = 256;
