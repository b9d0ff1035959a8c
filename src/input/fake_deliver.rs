//! A destination for records in the tests of inputs: it keeps them, and they are durable when the test says
//! so.

use super::{Batch, Closed, Deliver, Lost};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Keeps the delivered records.
#[derive(Clone, Default)]
pub(super) struct FakeDeliver {
    /// Records, each ended by LF.
    pub(super) lines: Arc<Mutex<Vec<u8>>>,
    /// The bytes of records that were too long.
    pub(super) long: Arc<Mutex<Vec<u8>>>,
    /// One per batch; dropping it loses the batch.
    pub(super) receipts: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    /// Whether everything is durable at once.
    pub(super) at_once: bool,
    /// Records that could not be answered.
    pub(super) unanswered: Arc<AtomicU64>,
}

/// Resolves when the test says so.
pub(super) struct Ticket(oneshot::Receiver<()>);

impl FakeDeliver {
    /// Creates one where everything is durable at once.
    pub(super) fn durable() -> Self {
        Self { at_once: true, ..Self::default() }
    }

    /// Returns the records as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.lines.lock().unwrap().clone()).unwrap()
    }
}

impl Deliver for FakeDeliver {
    type Receipt = Ticket;

    async fn deliver(&mut self, batch: Batch) -> Result<Ticket, Closed> {
        let (lines, long) = batch.into_parts();
        self.lines.lock().unwrap().extend_from_slice(&lines);
        if let Some(long) = long {
            self.long.lock().unwrap().extend_from_slice(&long.bytes);
        }
        let (sender, receiver) = oneshot::channel();
        match self.at_once {
            true => sender.send(()).unwrap(),
            false => self.receipts.lock().unwrap().push_back(sender),
        }
        Ok(Ticket(receiver))
    }

    fn may_hold(&mut self, _: usize) -> bool {
        true
    }

    fn left_unanswered(&mut self, records: u64) {
        self.unanswered.fetch_add(records, Relaxed);
    }
}

impl Future for Ticket {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|resolved| resolved.map_err(|_| Lost))
    }
}
