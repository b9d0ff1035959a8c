//! Delivers the lines of a spool over one link after another, until every line is delivered.

use super::backoff::Backoff;
use super::spool::{Position, Reader};
use super::{Lines, Link, Target};
use crate::primitives::clock::Clock;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{self, Instant};

/// The counters of an output, for metrics.
#[derive(Debug, Default)]
pub struct Meter {
    /// Lines that were delivered.
    pub delivered: AtomicU64,
    /// Lines that were in flight on a link that broke, and were sent again: the receiver may have them twice.
    pub resent: AtomicU64,
    /// Lines that never reached this output: its spool was full or could not be written, and it is not
    /// required.
    pub dropped: AtomicU64,
    /// Lines that are not sent again: the receiver refused them, and the output is not required, or they are
    /// too long for it.
    pub refused: AtomicU64,
    /// Links that broke or could not be made.
    pub failures: AtomicU64,
    /// Whether a link is up.
    pub linked: AtomicBool,
    /// Whether the last link broke or could not be made.
    pub away: AtomicBool,
}

/// The settings that all outputs have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the output in messages.
    pub name: String,
    /// The clock. Lines whose expiry day has come, in `zone`, are not sent.
    pub clock: Clock,
    /// What of that clock is certain.
    pub certain: Certain,
    /// The zone of legal days.
    pub zone: TimeZone,
    /// How long to go on sending once no more lines will come. What is left then stays in the spool.
    pub drain: Duration,
}

/// Tells which instant has certainly come, whatever the clock says: one that has jumped is not believed until
/// somebody confirms it. No line expires before that, because nobody can bring it back.
#[derive(Clone)]
pub struct Certain(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Certain {
    /// Creates one that asks `until`.
    #[must_use]
    pub fn new(until: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(until))
    }

    /// Creates one for a clock that is always believed.
    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self::new(|| Timestamp::MAX)
    }
}

impl fmt::Debug for Certain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certain").finish_non_exhaustive()
    }
}

/// Delivers lines from a spool to a target. It reads files synchronously, so give it a thread of its own.
pub struct Delivery<T> {
    settings: Settings,
    target: T,
    reader: Reader,
    meter: Arc<Meter>,
    backoff: Backoff,
    /// When the drain time ends; set once no more lines will come.
    deadline: Option<Instant>,
    /// When expired lines were last looked for.
    looked: Option<Instant>,
    /// The legal day by the clock, and that which has certainly come; `None` if it is to be asked for again.
    day: Option<(Date, Date)>,
}

/// Lines in flight, per send: the position after them, and their number.
type Sent = VecDeque<(Position, u64)>;

/// Why a link is no longer used.
enum Ended {
    /// Every line was delivered and no more will come, or no time is left.
    Done,
    /// The link broke, or could not be made.
    Broken(io::Error),
    /// The spool cannot be read now.
    Spool(io::Error),
}

impl<T: Target> Delivery<T> {
    /// Creates a delivery of the lines from `reader`.
    #[must_use]
    pub fn new(settings: Settings, target: T, reader: Reader, meter: Arc<Meter>) -> Self {
        let backoff = Backoff::default();
        Self { settings, target, reader, meter, backoff, deadline: None, looked: None, day: None }
    }

    /// Delivers until no more lines will come and all were delivered, or the drain time is over. What is left
    /// then stays in the spool. Failures are logged and tried again.
    pub async fn run(mut self) {
        loop {
            let ended = match self.link().await {
                Ok(link) => self.deliver(link).await,
                Err(ended) => ended,
            };
            self.meter.linked.store(false, Ordering::Relaxed);
            // Safe to log: the error of a link names at most its own peer, which is in the configuration.
            let (error, what) = match ended {
                Ended::Done => return self.reader.save_if_possible(),
                Ended::Spool(error) => (error, "the spool of an output cannot be read"),
                Ended::Broken(error) => (error, "an output is away"),
            };
            self.rest(&error, what).await;
        }
    }

    /// Makes a link as soon as there are lines to send, or to find out whether a receiver that was away is
    /// back.
    async fn link(&mut self) -> Result<T::Link, Ended> {
        loop {
            self.look();
            // Checked before the level: lines may arrive, followed by the end, between the two checks.
            let closed = self.reader.is_closed();
            if self.reader.level().lines > 0 {
                break;
            }
            if closed {
                return Err(Ended::Done);
            }
            if self.meter.away.load(Ordering::Relaxed) {
                break;
            }
            let _ = time::timeout(LONGEST_IDLE, self.reader.arrival()).await;
        }
        let left = self.time_left()?.min(LONGEST_WAIT);
        let linked = time::timeout(left, self.target.link()).await;
        linked.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map_err(Ended::Broken)
    }

    async fn deliver(&mut self, mut link: T::Link) -> Ended {
        self.meter.linked.store(true, Ordering::Relaxed);
        self.meter.away.store(false, Ordering::Relaxed);
        let mut sent = Sent::new();
        let ended = loop {
            if let Err(ended) = self.step(&mut link, &mut sent).await {
                break ended;
            }
        };
        if let Ended::Done = ended
            && let Ok(Ok(refused)) = time::timeout(self.settings.drain.min(LONGEST_CLOSE), link.close()).await
            // If the link does not close in time, the lines stay in the spool.
            && let Some((end, _)) = sent.back().copied()
        {
            let count = sent.drain(..).map(|(_, count)| count).sum();
            self.confirm((end, count), refused);
        }
        self.meter.resent.fetch_add(sent.iter().map(|(_, count)| count).sum(), Ordering::Relaxed);
        ended
    }

    /// Sends the next lines, or waits until something happens.
    async fn step(&mut self, link: &mut T::Link, sent: &mut Sent) -> Result<(), Ended> {
        let left = self.time_left()?;
        self.look();
        // Checked before reading, as in `link`.
        let closed = self.reader.is_closed();
        if link.has_room()
            && let Some(lines) = self.next()?
        {
            let in_time = time::timeout(left.min(LONGEST_WAIT), link.send(&lines)).await;
            in_time.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map_err(Ended::Broken)?;
            sent.push_back((lines.end, lines.count));
            return self.take_over(link, sent).await;
        }
        if sent.is_empty() && closed {
            self.reader.rest();
            return Err(Ended::Done);
        }
        let patience = if sent.is_empty() { IDLE } else { LONGEST_WAIT };
        tokio::select! {
            taken = link.taken_over() => self.is_taken_over(taken, link.refused(), sent),
            () = self.reader.arrival(), if link.has_room() => Ok(()),
            () = time::sleep(patience.min(left)) => match () {
                () if sent.is_empty() => {
                    self.reader.rest();
                    Ok(())
                }
                () if left <= patience => Ok(()),
                () => Err(Ended::Broken(io::ErrorKind::TimedOut.into())),
            },
        }
    }

    /// Processes everything that has been delivered by now, without waiting.
    async fn take_over(&mut self, link: &mut T::Link, sent: &mut Sent) -> Result<(), Ended> {
        while !sent.is_empty() {
            tokio::select! {
                biased;
                taken = link.taken_over() => self.is_taken_over(taken, link.refused(), sent)?,
                () = std::future::ready(()) => break,
            }
        }
        Ok(())
    }

    /// Processes what a link says of the oldest lines in flight: they were delivered, except for `refused`
    /// ones.
    fn is_taken_over(&mut self, taken: io::Result<()>, refused: u64, sent: &mut Sent) -> Result<(), Ended> {
        taken.map_err(Ended::Broken)?;
        self.backoff.reset();
        sent.pop_front().into_iter().for_each(|taken| self.confirm(taken, refused));
        Ok(())
    }

    /// Takes note that these lines were delivered, except for `refused` ones.
    fn confirm(&mut self, (end, count): (Position, u64), refused: u64) {
        if refused > 0 {
            tracing::error!(output = self.settings.name, lines = refused, "the receiver refuses lines");
            self.meter.refused.fetch_add(refused, Ordering::Relaxed);
        }
        self.meter.delivered.fetch_add(count.saturating_sub(refused), Ordering::Relaxed);
        self.reader.confirm(end, count);
    }

    /// Waits before the next link, unless no time is left.
    async fn rest(&mut self, error: &io::Error, what: &str) {
        let wait = self.backoff.next();
        self.meter.away.store(true, Ordering::Relaxed);
        self.meter.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(output = self.settings.name, %error, ?wait, "{what}");
        self.reader.rewind();
        let (was_closed, left) = (self.reader.is_closed(), self.time_left().unwrap_or_default());
        let until = Instant::now() + wait.min(left);
        while self.reader.is_closed() == was_closed && Instant::now() < until {
            // New lines do not end the wait. The end of input does: what is left is tried once more, at once.
            let _ = time::timeout_at(until, self.reader.arrival()).await;
        }
    }

    /// Erases expired lines, once a minute: those in the file that is being written must wait until it is
    /// complete. If that fails, the other lines are still sent, because sending them is what makes room.
    fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LONGEST_IDLE) {
            return;
        }
        self.looked = Some(Instant::now());
        // Somebody may have confirmed the clock.
        self.day = None;
        let today = self.today();
        if let Err(error) = self.reader.expire(today) {
            let output = &self.settings.name;
            tracing::error!(output, %error, "expired lines in a spool cannot be erased; it is tried again");
        }
    }

    /// Returns the next lines that have not expired, if there are any.
    fn next(&mut self) -> Result<Option<Lines>, Ended> {
        let today = self.today();
        self.reader.next(today).map_err(Ended::Spool)
    }

    /// Returns the legal day that has certainly come. What is certain is asked for once a day, and whenever
    /// expired lines are looked for.
    fn today(&mut self) -> Date {
        let Settings { clock, certain, zone, .. } = &self.settings;
        let by_clock = clock.now().to_zoned(zone.clone()).date();
        match self.day {
            Some((day, certain)) if day == by_clock => certain,
            _ => {
                let certain = by_clock.min(zone.to_datetime((certain.0)()).date());
                self.day = Some((by_clock, certain));
                certain
            }
        }
    }

    /// Returns how much time is left to send lines.
    fn time_left(&mut self) -> Result<Duration, Ended> {
        if !self.reader.is_closed() {
            return Ok(Duration::MAX);
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.settings.drain);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Ended::Done) } else { Ok(left) }
    }
}

/// Longest time to make a link, to send, or to wait for an answer; anything slower counts as failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest time to wait until the receiver confirms the end of a link.
const LONGEST_CLOSE: Duration = Duration::from_secs(5);

/// After this long with nothing to send, the position up to which lines were delivered is saved durably.
const IDLE: Duration = Duration::from_secs(1);

/// How often to look for expired lines, also while there is no link.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
