//! What the process says of itself: alive, and ready or why not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::synced::Synced;

/// The loop turns every second; silent for longer than this, it hangs.
const SILENT: Duration = Duration::from_secs(30);

/// Written by the loop, read by the HTTP server.
#[derive(Debug)]
pub struct Health {
    synced: Arc<Synced>,
    started: Instant,
    beat_millis: AtomicU64,
}

impl Health {
    /// Ready when the watches of what may be watched are synced, whether this process leads or stands by.
    pub fn new(synced: Arc<Synced>) -> Self {
        Self { synced, started: Instant::now(), beat_millis: AtomicU64::new(0) }
    }

    /// The loop turned once more.
    pub fn beat(&self) {
        self.beat_millis.store(millis(self.started.elapsed()), Ordering::Relaxed);
    }

    /// `None` when alive, else a sentence.
    pub fn not_alive(&self) -> Option<String> {
        let silent = millis(self.started.elapsed()).saturating_sub(self.beat_millis.load(Ordering::Relaxed));
        (silent > millis(SILENT)).then(|| format!("the loop has been silent for {} s", silent / 1000))
    }

    /// `None` when ready, else what is missing.
    pub fn not_ready(&self) -> Option<String> {
        self.synced.problem()
    }

    /// What a process that is ready does without.
    pub fn notes(&self) -> Vec<String> {
        self.synced.notes()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
