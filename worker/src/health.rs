//! What the process says of itself: ready or why not, alive, and the generation that it computes with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

/// Shared by the pipeline, which writes it, and the HTTP server, which reads it.
#[derive(Debug)]
pub struct Health {
    not_ready: Mutex<Option<String>>,
    started: Instant,
    beat_millis: AtomicU64,
    applied: watch::Sender<Option<u64>>,
    numbered: Mutex<Option<(u64, u64)>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            not_ready: Mutex::new(Some("starting".into())),
            started: Instant::now(),
            beat_millis: AtomicU64::new(0),
            applied: watch::Sender::new(None),
            numbered: Mutex::new(None),
        }
    }
}

impl Health {
    /// `None` when ready, else a sentence that says what is missing and what to do.
    pub fn not_ready(&self) -> Option<String> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ready with `None`; otherwise the reason why not.
    pub fn set_not_ready(&self, reason: Option<String>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The pipeline's loop turned once more.
    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_millis.store(now, Ordering::Relaxed);
    }

    /// Milliseconds since the loop last turned.
    pub fn silent_millis(&self) -> u64 {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(self.beat_millis.load(Ordering::Relaxed))
    }

    /// The least generation over the partitions owned; `None` before any has one.
    pub fn set_applied(&self, generation: Option<u64>) {
        self.applied.send_if_modified(|now| std::mem::replace(now, generation) != generation);
    }

    /// The pipeline computes, or will compute, with the load `revision` as `generation`: a plain file has no other.
    pub fn set_generation(&self, revision: u64, generation: u64) {
        *self.numbered.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, generation));
    }

    /// The generation that the pipeline gave to the load `revision`; `None` as long as it has not heard of it.
    pub fn generation(&self, revision: u64) -> Option<u64> {
        let numbered = *self.numbered.lock().unwrap_or_else(PoisonError::into_inner);
        numbered.filter(|(load, _)| *load == revision).map(|(_, generation)| generation)
    }

    /// Follows the applied generation.
    pub fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }
}
