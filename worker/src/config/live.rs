//! The last accepted spec, kept and published, and why a newer document was refused.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::accept::{Decision, LiveSpec, Refusal, accept, first};
use crate::metrics::Metrics;

/// What readers hold: always the last accepted spec.
pub type SpecReceiver = watch::Receiver<Arc<LiveSpec>>;

/// The last accepted spec and the error of the last document, if that one was refused.
#[derive(Debug)]
pub struct Live {
    spec: watch::Sender<Arc<LiveSpec>>,
    error: watch::Sender<Option<String>>,
    metrics: Arc<Metrics>,
    // One document is decided on at a time, so that none is judged against a spec that is being replaced.
    deciding: Mutex<()>,
}

impl Live {
    /// Starts with a first document; a refusal means that there is nothing to run.
    pub fn new(document: &str, metrics: Arc<Metrics>) -> Result<Self, Refusal> {
        Ok(Self::starting_with(first(document)?, metrics))
    }

    /// Starts with a first spec.
    pub fn starting_with(first: LiveSpec, metrics: Arc<Metrics>) -> Self {
        count(&metrics, &first);
        for path in &first.ignored {
            tracing::warn!(field = path, "unknown field ignored");
        }
        Self {
            spec: watch::Sender::new(Arc::new(first)),
            error: watch::Sender::new(None),
            metrics,
            deciding: Mutex::new(()),
        }
    }

    /// Judges a plain file's document and publishes its spec if it is taken. A refused one leaves everything as it was.
    pub fn offer(&self, document: &str) {
        let _one_at_a_time = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        match accept(&self.current(), document) {
            Ok(Decision::Take(next)) => self.take(*next),
            Ok(Decision::Same) => self.settle(),
            Ok(Decision::Old) => {}
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Publishes a spec that was judged.
    pub(super) fn take(&self, next: LiveSpec) {
        count(&self.metrics, &next);
        tracing::info!(
            namespace = next.spec.namespace,
            name = next.spec.name,
            revision = next.revision,
            generation = next.generation,
            tickers = next.spec.tickers.len(),
            windows = next.spec.windows.len(),
            ignored = ?next.ignored,
            "spec taken"
        );
        self.error.send_replace(None);
        self.spec.send_replace(Arc::new(next));
    }

    /// Says that the newest document is the one in use.
    pub(super) fn settle(&self) {
        self.error.send_if_modified(|error| error.take().is_some());
    }

    /// Says that the newest document cannot be used; the last accepted spec goes on.
    pub fn refuse(&self, refusal: &Refusal) {
        self.metrics.specs_rejected.inc();
        tracing::error!(error = %refusal, "spec refused: the last good one goes on");
        self.error.send_replace(Some(refusal.to_string()));
    }

    /// The last accepted spec.
    pub fn current(&self) -> Arc<LiveSpec> {
        Arc::clone(&self.spec.borrow())
    }

    /// Follows the last accepted spec.
    pub fn subscribe(&self) -> SpecReceiver {
        self.spec.subscribe()
    }

    /// Follows why the newest document was refused; `None` while the newest one is in use.
    pub fn error(&self) -> watch::Receiver<Option<String>> {
        self.error.subscribe()
    }
}

fn count(metrics: &Metrics, taken: &LiveSpec) {
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.specs_accepted.inc();
    metrics.spec_revision.set(gauge(taken.revision));
    metrics.spec_generation.set(gauge(taken.generation.unwrap_or(0)));
}
