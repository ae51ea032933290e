//! What the process says of itself: ready or why not, alive, and the generation that it computes with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use stockwatch_crds::EditReport;
use tokio::sync::watch;

/// Shared by the pipeline, which writes it, and the HTTP server, which reads it.
#[derive(Debug)]
pub struct Health {
    stopping: AtomicBool,
    causes: Mutex<Vec<String>>,
    started: Instant,
    beat_millis: AtomicU64,
    applied: watch::Sender<Option<u64>>,
    numbered: Mutex<Option<(u64, u64)>>,
    last_edit: Mutex<Option<EditReport>>,
    evaluated: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            stopping: AtomicBool::new(false),
            causes: Mutex::new(vec!["starting".into()]),
            started: Instant::now(),
            beat_millis: AtomicU64::new(0),
            applied: watch::Sender::new(None),
            numbered: Mutex::new(None),
            last_edit: Mutex::new(None),
            evaluated: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// `None` when ready, else every cause why not: what is missing and what to do.
    pub fn not_ready(&self) -> Option<String> {
        let causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let stopping = self.stopping.load(Ordering::Relaxed).then_some("stopping");
        let all: Vec<&str> = stopping.into_iter().chain(causes.iter().map(String::as_str)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The pipeline says all that keeps it from being ready, in place of what it said before.
    pub fn set_causes(&self, causes: Vec<String>) {
        *self.causes.lock().unwrap_or_else(PoisonError::into_inner) = causes;
    }

    /// The process is on its way out: it is not ready any more, whatever the pipeline says.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
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

    /// What the last edit changes; `None` until it is evaluated, or where that cannot be said.
    pub fn set_last_edit(&self, evaluated: Option<EditReport>) {
        *self.last_edit.lock().unwrap_or_else(PoisonError::into_inner) = evaluated;
    }

    /// What was said last of that.
    pub fn last_edit(&self) -> Option<EditReport> {
        self.last_edit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the load `revision` changes is evaluated, or cannot be.
    pub fn set_evaluated(&self, revision: u64) {
        self.evaluated.fetch_max(revision, Ordering::Relaxed);
    }

    /// Whether what the load `revision` changes is still being evaluated.
    pub fn is_evaluating(&self, revision: u64) -> bool {
        self.evaluated.load(Ordering::Relaxed) < revision
    }

    /// Follows the applied generation.
    pub fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_lasts_whatever_the_pipeline_says_after_it() {
        let health = Health::default();
        health.set_causes(vec![]);
        assert_eq!(health.not_ready(), None);
        health.set_stopping();
        health.set_causes(vec!["partition 1: restoring".into()]);
        assert_eq!(health.not_ready().as_deref(), Some("stopping; partition 1: restoring"));
        health.set_causes(vec![]);
        assert_eq!(health.not_ready().as_deref(), Some("stopping"));
    }
}
