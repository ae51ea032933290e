//! What all actors share.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::breaker::ClientPermits;
use super::metrics::Metrics;
use super::registry::ClusterRegistry;
use super::wanted::ObjectKey;

/// One for all connections of an operator.
pub(super) struct Shared {
    pub(super) registry: Mutex<ClusterRegistry>,
    pub(super) wake: mpsc::UnboundedSender<ObjectKey>,
    pub(super) permits: ClientPermits,
    pub(super) metrics: Metrics,
}

impl Shared {
    /// Locks the registry: for moments only, never over a call.
    pub(super) fn registry(&self) -> MutexGuard<'_, ClusterRegistry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has StockWatches whose answer changed reconciled.
    pub(super) fn wake(&self, changed: HashSet<ObjectKey>) {
        for who in changed {
            // Nobody listens any more while the process ends.
            let _ = self.wake.send(who);
        }
    }
}
