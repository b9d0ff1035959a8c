//! Follows files that other programs write, as long as the sidecar runs.

use super::InputContext;
use super::names::Named;
use crate::input::stream::Acceptor;
use crate::input::tail::{self, Found, Offsets, Pattern, TailError};
use crate::primitives::diag::Diagnostic;
use crate::primitives::lock::Unpoisoned as _;
use crate::primitives::storage::Storage;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// The files of a pattern.
#[derive(Clone, Debug)]
pub struct Matching {
    /// The pattern.
    pub pattern: Pattern,
    /// How each file is followed.
    pub settings: tail::Settings,
    /// The storage of the offsets.
    pub storage: Arc<dyn Storage>,
    /// The state directory in `storage`.
    pub state_dir: PathBuf,
}

impl Matching {
    fn offsets(&self, path: &Path) -> io::Result<Offsets> {
        Offsets::open(&self.storage, &self.state_dir, path)
    }
}

/// A file that is followed for a pattern.
struct Follower {
    ends: CancellationToken,
    offsets: Offsets,
    /// When the pattern last matched the file.
    seen: Instant,
}

/// What a search for the files of a pattern found, besides files to follow.
#[derive(Clone, Default)]
struct Search {
    /// Whether symbolic links match.
    has_links: bool,
    /// Files that are not followed because there are too many.
    left_out: usize,
    /// Files that cannot be followed.
    unopened: usize,
    /// Why the last of them cannot be followed.
    failure: Option<String>,
    has_failed: bool,
}

impl Search {
    fn failing(&self) -> u64 {
        (self.left_out + self.unopened) as u64 + u64::from(self.has_failed)
    }

    /// Logs what `search` found, unless that was told before: whoever makes files could fill a log. Does not
    /// name them, for their names may be identifiers.
    fn tell(&mut self, search: &Self, path: &Pattern) {
        let code = tail::NOT_FOLLOWED.id;
        if search.has_links && !self.has_links {
            tracing::warn!(code, %path, "a pattern follows no symbolic links, and one matches; what is meant must be named in an input of its own");
        }
        if search.left_out > 0 && self.left_out == 0 {
            let left_out = search.left_out;
            tracing::warn!(code, %path, left_out, "a pattern matches more than {MOST_FILES} files, and no more are followed");
        }
        if search.has_failed && !self.has_failed {
            tracing::error!(code, %path, "a pattern could not be searched; it is tried again");
        }
        // There may be a thousand such files, and every second another look.
        if search.failure != self.failure {
            self.failure.clone_from(&search.failure);
            if let Some(error) = &search.failure {
                tracing::error!(code, %path, %error, "files cannot be followed; that is tried again");
            }
        }
        self.has_links |= search.has_links;
        self.left_out = self.left_out.max(search.left_out);
        self.has_failed |= search.has_failed;
    }
}

impl InputContext {
    /// Follows every file that the pattern matches now or later. A file that has been gone for long is given
    /// up.
    pub(super) fn follow_all(self, matching: Matching) {
        let tasks = self.acceptor.tasks.clone();
        tasks.spawn(async move {
            let (mut followers, mut told, mut failing) = (BTreeMap::new(), Search::default(), None);
            loop {
                let search = self.look(&matching, &mut followers).await;
                told.tell(&search, &matching.pattern);
                drop(failing.take());
                failing = Some(self.meter.fails(search.failing()));
                tokio::select! {
                    () = self.acceptor.stopped.cancelled() => return,
                    () = time::sleep(LOOK) => {}
                }
            }
        });
    }

    /// Follows new files.
    async fn look(&self, matching: &Matching, followers: &mut BTreeMap<PathBuf, Follower>) -> Search {
        let followed: Vec<_> = followers.keys().cloned().collect();
        let (pattern, names) = (matching.pattern.clone(), self.names.clone());
        let ours = self.ours.read().unpoisoned().clone();
        let found = tokio::task::spawn_blocking(move || {
            let Found { mut files, has_links } = pattern.files(&followed);
            let written = ours.resolved();
            files.retain(|path| !written.has(path));
            // An output may have taken the name at a change of the configuration.
            let taken: Vec<_> = followed.iter().filter(|path| written.has(path)).cloned().collect();
            let (seen, others): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|path| followed.contains(path));
            (seen, names.add_new(others), has_links, taken)
        });
        let (seen, new, has_links, taken) = match found.await {
            Ok(found) => found,
            // Nothing is known: what is followed may still be there.
            Err(_) => return Search { has_failed: true, ..Search::default() },
        };
        for path in seen {
            followers.entry(path).and_modify(|follower| follower.seen = Instant::now());
        }
        let (mut left_out, mut unopened, mut failure) = (0, 0, None);
        for named in new {
            if followers.len() < MOST_FILES {
                let path = named.path.clone();
                match self.follow_one(matching, named) {
                    Ok(follower) => drop(followers.insert(path, follower)),
                    Err(error) => {
                        unopened += 1;
                        failure = Some(error.to_string());
                    }
                }
            } else {
                left_out += 1;
            }
        }
        followers.retain(|path, follower| {
            let is_gone = follower.seen.elapsed() >= matching.settings.linger + GONE;
            let stays = !is_gone && !taken.contains(path);
            if !stays {
                follower.ends.cancel();
                // If it is left behind, it is a small file that nobody reads.
                let _ = follower.offsets.forget();
            }
            stays
        });
        Search { has_links, left_out, unopened, failure, has_failed: false }
    }

    fn follow_one(&self, matching: &Matching, named: Named) -> io::Result<Follower> {
        let offsets = matching.offsets(&named.path)?;
        let ends = self.acceptor.stopped.child_token();
        let context =
            Self { acceptor: Acceptor { stopped: ends.clone(), ..self.acceptor.clone() }, ..self.clone() };
        let pattern = Some(matching.pattern.clone());
        context.follow(tail::Settings { pattern, ..matching.settings.clone() }, offsets.clone(), named);
        Ok(Follower { ends, offsets, seen: Instant::now() })
    }

    /// Follows the file of that name. Tries again if it cannot be read for a while.
    pub(super) fn follow(self, settings: tail::Settings, offsets: Offsets, named: Named) {
        let settings = tail::Settings { path: named.path.clone(), ..settings };
        let (tasks, followers) = (self.acceptor.tasks.clone(), self.followers.clone());
        tasks.spawn(followers.track_future(async move {
            let place = settings.place();
            self.follow_on(settings, &offsets, &named).await;
            let kept = task::spawn_blocking(move || offsets.keep()).await;
            if let Err(why) = kept.map_err(io::Error::other).flatten() {
                self.unkept.lock().unpoisoned().push(unkept(place, &why));
            }
        }));
    }

    /// Follows the file until the sidecar stops, or the file is given up.
    async fn follow_on(&self, settings: tail::Settings, offsets: &Offsets, named: &Named) {
        // A follower from before a change of the configuration first saves how far it has read.
        while named.is_shared() {
            tokio::select! {
                () = self.acceptor.stopped.cancelled() => return,
                () = time::sleep(SHARED) => {}
            }
        }
        let (mut told, mut failing) = (None, None);
        loop {
            let stopped = self.acceptor.stopped.cancelled();
            let (claims, intake) = (self.claims.clone(), self.intake());
            let mut following =
                pin!(tail::follow(settings.clone(), claims, intake, offsets.clone(), stopped));
            let ended = tokio::select! {
                biased;
                ended = &mut following => ended,
                () = time::sleep(WELL), if failing.is_some() => {
                    failing = None;
                    following.await
                }
            };
            let path = settings.place();
            match ended {
                Ok(()) | Err(TailError::Closed(_)) => return,
                Err(error @ TailError::Lost(_)) => {
                    return tracing::warn!(%path, %error, "a file is read again from where it was durable");
                }
                Err(error) => {
                    failing.get_or_insert_with(|| self.meter.fails(1));
                    let why = std::error::Error::source(&error).map(ToString::to_string);
                    // Log it only once: there may be a thousand such files, tried again every five seconds.
                    if told.as_ref() != Some(&why) {
                        let code = tail::NOT_FOLLOWED.id;
                        tracing::error!(code, %path, %error, why, "a file cannot be followed; it is tried again");
                        told = Some(why);
                    }
                }
            }
            tokio::select! {
                () = self.acceptor.stopped.cancelled() => return,
                () = time::sleep(AGAIN) => {}
            }
        }
    }
}

/// Returns the warning that it was not saved how far a file was read.
fn unkept(place: String, why: &io::Error) -> Diagnostic {
    Diagnostic::new(
        &tail::NOT_FOLLOWED,
        "how far a file was read is not kept: lines of it will be read twice",
    )
    .at(place)
    .because(why.to_string())
    .hint(
        "make room in the state directory before the next start, and expect the last lines of the file twice",
    )
}

/// The interval between searches for new files.
const LOOK: Duration = Duration::from_secs(1);

/// A file is gone for good when the pattern has not matched it for this long after the last of it was read.
const GONE: Duration = Duration::from_secs(60);

/// The most files followed for one pattern: each is checked several times a second.
const MOST_FILES: usize = 1024;

/// The interval between checks whether nobody else follows a path any more.
const SHARED: Duration = Duration::from_millis(20);

/// A file that is read for this long is read well: what keeps it from being read is found at once.
const WELL: Duration = Duration::from_secs(1);

/// The wait before another try: a person has to mend something first.
const AGAIN: Duration = Duration::from_secs(5);
