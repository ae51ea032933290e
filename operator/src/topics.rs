//! The topics of all StockWatches: what is there, what is missing, and making it so.
//!
//! Nobody waits for Kafka here. [`Kafka::observe`] gives the newest answer to exactly what is asked, or
//! [`Observed::Pending`], and one actor for each connection works on the rest: it looks at all topics of its cluster
//! with one call, decides by pure rules, and acts for many StockWatches in common calls. Whoever has an answer that
//! is new hears of it over the wake channel. A cluster that does not answer is tried with growing pauses on its own
//! actor, so it costs the others nothing.
//!
//! - What is missing is created only once the status says `Creating`: a crash in between does not lose whose it is.
//! - Of a topic that existed before (`Found`) only what the spec names is altered, and it is never deleted.
//! - A name belongs to one StockWatch of a cluster; the others are told whose it is, and hear when it becomes free.

mod actor;
mod board;
mod breaker;
mod claims;
mod client;
mod connection;
mod deletion;
#[cfg(test)]
mod fixtures;
mod metrics;
mod observed;
mod plan;
mod probe;
mod refusal;
mod round;
mod settings;
mod trouble;
mod wanted;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use self::board::Board;
use self::breaker::Slots;
pub use self::connection::{Connection, ConnectionError, Identity, Sasl, Tls};
pub use self::deletion::Doomed;
pub use self::metrics::{Call, Metrics};
pub use self::observed::{Deleted, Observed, Problem, Reason};
pub use self::wanted::{ObjectKey, Role, Wanted, WantedTopic};

/// The Kafka clusters of all StockWatches. Dropped, its actors end after the call that they are at.
pub struct Kafka {
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What the actors share.
struct Shared {
    board: Mutex<Board>,
    wake: mpsc::UnboundedSender<ObjectKey>,
    slots: Slots,
    metrics: Metrics,
}

impl Kafka {
    /// Actors run on the runtime of the caller, their blocking calls on its threads for those; keys of StockWatches
    /// with a new answer go to `wake`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(wake: mpsc::UnboundedSender<ObjectKey>, metrics: Metrics) -> Self {
        let (board, slots) = (Mutex::default(), Slots::new());
        Self { shared: Arc::new(Shared { board, wake, slots, metrics }), runtime: Handle::current() }
    }

    /// Notes what a StockWatch has according to its status, without asking Kafka. Done for all of them before the
    /// first is observed, no newcomer can take a name whose owner was not heard of yet.
    pub fn claim(&self, wanted: &Wanted) {
        if let Some(cluster_id) = &wanted.cluster_id {
            self.shared.board().claim(cluster_id, wanted);
        }
    }

    /// The newest answer to exactly this, without waiting. An answer stays good when the status took it over.
    pub fn observe(&self, connection: &Connection, wanted: Wanted) -> Observed {
        let (observed, start) = self.shared.board().observe(connection, wanted);
        self.start(connection, start);
        observed
    }

    /// Looks at the topics of a StockWatch ahead of time: its workers say that something is wrong, and a topic may be
    /// gone. However often and by however many this is asked, a cluster gets one look for it in ten seconds.
    pub fn doubt(&self, who: &ObjectKey) {
        self.shared.board().doubt(who);
    }

    /// Deletes topics and the consumer group, and gives the state of that without waiting. Nothing is created for
    /// this StockWatch any more, but its names stay its own until it is forgotten.
    pub fn delete(&self, connection: &Connection, doomed: Doomed) -> Deleted {
        let (deleted, start) = self.shared.board().delete(connection, doomed);
        self.start(connection, start);
        deleted
    }

    /// A StockWatch is gone: its names are free for others.
    pub fn forget(&self, who: &ObjectKey) {
        self.shared.board().forget(who);
    }

    fn start(&self, connection: &Connection, notify: Option<Arc<Notify>>) {
        if let Some(notify) = notify {
            self.runtime.spawn(actor::run(Arc::clone(&self.shared), connection.clone(), notify));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.shared.board().clear();
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").finish_non_exhaustive()
    }
}

impl Shared {
    /// Held for moments only, never over a call.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, changed: HashSet<ObjectKey>) {
        for who in changed {
            // Nobody listens any more while the process ends.
            let _ = self.wake.send(who);
        }
    }
}
