//! Files that others write, followed as long as the sidecar runs.

use super::Hall;
use crate::input::tail::{self, Offsets, TailError};
use std::time::Duration;
use tokio::time;

impl Hall {
    /// Follows a file; again, if it could not be read for a while.
    pub(super) fn follow(self, settings: tail::Settings, offsets: Offsets) {
        let tasks = self.doors.tasks.clone();
        tasks.spawn(async move {
            loop {
                let stopped = self.doors.stopped.cancelled();
                let ended = tail::follow(settings.clone(), self.intake(), offsets.clone(), stopped).await;
                let path = settings.path.display();
                match ended {
                    Ok(()) | Err(TailError::Closed(_)) => return,
                    Err(error @ TailError::Lost(_)) => {
                        return tracing::warn!(%path, %error, "a file is read again from where it was durable");
                    }
                    Err(error) => {
                        let why = std::error::Error::source(&error);
                        let code = tail::NOT_FOLLOWED.id;
                        tracing::error!(code, %path, %error, why, "a file cannot be followed; it is tried again");
                    }
                }
                tokio::select! {
                    () = self.doors.stopped.cancelled() => return,
                    () = time::sleep(AGAIN) => {}
                }
            }
        });
    }
}

/// Somebody has to mend something first.
const AGAIN: Duration = Duration::from_secs(5);
