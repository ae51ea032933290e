//! How long a cluster that does not answer is not asked, and how many clients are open at a time.

use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between two attempts to reach a cluster, or to do what failed there.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Between two attempts at what the brokers refuse; the last is that of the regular look at everything.
const REFUSED: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// Returns the pause after so many refusals in a row (at least one).
pub(super) fn refused(refusals: u32) -> Duration {
    REFUSED.after(refusals, fastrand::f64())
}

/// Returns the pause after so many failures in a row (at least one).
pub(super) fn pause(failures: u32) -> Duration {
    PAUSES.after(failures, fastrand::f64())
}

/// How a cluster answered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Responsiveness {
    /// It was never asked.
    Unknown,
    /// The last time, it did.
    Answers,
    /// The last time, it did not.
    Silent,
}

/// Bounds the clients that are open at a time, and so their threads. Clusters that answer never wait for others.
#[derive(Debug)]
pub(super) struct ClientPermits {
    unknown: Arc<Semaphore>,
    answering: Arc<Semaphore>,
    silent: Arc<Semaphore>,
}

impl ClientPermits {
    pub(super) fn new() -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        // The silent ones are few: brokers that accept connections and then hang. Others fail the probe before.
        Self { unknown: permits(64), answering: permits(64), silent: permits(16) }
    }

    /// Waits for a permit. Always `Some`: the semaphores are never closed.
    pub(super) async fn acquire(&self, responsiveness: Responsiveness) -> Option<OwnedSemaphorePermit> {
        let permits = match responsiveness {
            Responsiveness::Unknown => &self.unknown,
            Responsiveness::Answers => &self.answering,
            Responsiveness::Silent => &self.silent,
        };
        Arc::clone(permits).acquire_owned().await.ok()
    }

    /// Whether an idle client may stay open: nobody waits for its permit.
    pub(super) fn have_room(&self) -> bool {
        self.unknown.available_permits() > 0 && self.answering.available_permits() > 0
    }
}
