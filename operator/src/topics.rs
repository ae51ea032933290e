//! The topics of all StockWatches: what is there, what is missing, and making it so.
//!
//! Nobody waits for Kafka here. [`KafkaClusters::observe`] gives the newest answer to exactly what is asked, or
//! [`Observed::Pending`], and one actor for each connection works on the rest: it looks at all topics of its cluster
//! with one call, decides by pure rules, and acts for many StockWatches in common calls. The
//! StockWatches whose answer changed are sent over the wake channel. A cluster that does not answer is tried with
//! growing pauses by its own actor, so it costs the others nothing.
//!
//! - What is missing is created only once the status says `Creating`: a crash in between does not lose whose it is.
//!   What the brokers refused to create is not ours, whoever makes it later (`ownership`).
//! - Of a topic that existed before (`Found`) only what the spec names is altered, and it is never deleted.
//! - A name belongs to one StockWatch of a cluster; the others get a problem that names
//!   the owner, and are looked at again when the name becomes free.

mod actor;
mod breaker;
mod claims;
mod client;
mod connection;
mod deletion;
#[cfg(test)]
mod fixtures;
mod found;
mod metrics;
mod observed;
mod ownership;
mod plan;
mod probe;
mod refusal;
mod registry;
mod round;
mod settings;
mod shared;
mod trouble;
mod wanted;

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use self::breaker::ClientPermits;
pub use self::connection::{Connection, ConnectionError, Identity, Sasl, Tls, TokenSource};
pub use self::deletion::DeletionRequest;
pub use self::metrics::{Call, Metrics};
pub use self::observed::{DeletionState, KafkaProblem, KafkaReason, Observed};
use self::shared::Shared;
pub use self::wanted::{ObjectKey, TopicRole, Wanted, WantedTopic, is_own};

/// The Kafka clusters of all StockWatches. When it is dropped, each actor ends after the call in progress.
pub struct KafkaClusters {
    shared: Arc<Shared>,
    runtime: Handle,
}

impl KafkaClusters {
    /// Actors run on the runtime of the caller, their blocking calls on its blocking threads; keys of StockWatches with
    /// a new answer go to `wake`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(wake: mpsc::UnboundedSender<ObjectKey>, metrics: Metrics) -> Self {
        let (registry, permits) = (Mutex::default(), ClientPermits::new());
        Self { shared: Arc::new(Shared { registry, wake, permits, metrics }), runtime: Handle::current() }
    }

    /// Registers the names that a StockWatch has according to its status, without asking Kafka. Called for all of them
    /// before the first is observed, so that no new one takes a name whose owner is not registered yet.
    pub fn claim(&self, wanted: &Wanted) {
        if let Some(cluster_id) = &wanted.cluster_id {
            self.shared.registry().claim(cluster_id, wanted);
        }
    }

    /// Returns the newest answer to exactly this request, without waiting. An answer stays valid when the request
    /// changes only by repeating that answer from the status.
    pub fn observe(&self, connection: &Connection, wanted: Wanted) -> Observed {
        let (observed, start) = self.shared.registry().observe(connection, wanted);
        self.start(connection, start);
        observed
    }

    /// Has the topics of a StockWatch looked at ahead of time: its workers are not ready, and a topic may be gone.
    /// However many StockWatches this is called for, a cluster gets one such look in ten seconds.
    pub fn recheck(&self, who: &ObjectKey) {
        self.shared.registry().recheck(who);
    }

    /// Has topics and the consumer group deleted, and returns how far that is without waiting. Nothing is created for
    /// this StockWatch any more, but its names stay its own until it is forgotten.
    pub fn delete(&self, connection: &Connection, request: DeletionRequest) -> DeletionState {
        let (deleted, start) = self.shared.registry().delete(connection, request);
        self.start(connection, start);
        deleted
    }

    /// Another release looks after a StockWatch: nothing is done to its topics, whose they stay.
    pub fn leave(&self, who: &ObjectKey) {
        self.shared.registry().leave(who);
    }

    /// A StockWatch is gone: its names are free for others.
    pub fn forget(&self, who: &ObjectKey) {
        self.shared.registry().forget(who);
    }

    fn start(&self, connection: &Connection, notify: Option<Arc<Notify>>) {
        if let Some(notify) = notify {
            self.runtime.spawn(actor::run(Arc::clone(&self.shared), connection.clone(), notify));
        }
    }
}

impl Drop for KafkaClusters {
    fn drop(&mut self) {
        self.shared.registry().clear();
    }
}

impl fmt::Debug for KafkaClusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").finish_non_exhaustive()
    }
}
