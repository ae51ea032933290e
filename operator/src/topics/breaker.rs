//! How long a cluster that does not answer is left alone, and how many clusters are worked with at a time.

use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Returns the pause after so many failures in a row (at least one).
pub(super) fn pause(failures: u32) -> Duration {
    PAUSES.after(failures, fastrand::f64())
}

/// How a cluster answered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// It was never asked.
    Unknown,
    /// The last time, it did.
    Answers,
    /// The last time, it did not.
    Silent,
}

/// Bounds the clients that are open at a time, and so their threads. Clusters that answer never wait for others.
#[derive(Debug)]
pub(super) struct Slots {
    unknown: Arc<Semaphore>,
    answering: Arc<Semaphore>,
    silent: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new() -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        // Whoever accepts no connection never gets here, so these few wait for brokers that accept and then hang.
        Self { unknown: slots(64), answering: slots(64), silent: slots(16) }
    }

    /// Waits for a slot. `None` never comes: the slots are never closed.
    pub(super) async fn take(&self, record: Record) -> Option<OwnedSemaphorePermit> {
        let slots = match record {
            Record::Unknown => &self.unknown,
            Record::Answers => &self.answering,
            Record::Silent => &self.silent,
        };
        Arc::clone(slots).acquire_owned().await.ok()
    }

    /// No one would have to wait because a client stays open for later.
    pub(super) fn have_room(&self) -> bool {
        self.unknown.available_permits() > 0 && self.answering.available_permits() > 0
    }
}
