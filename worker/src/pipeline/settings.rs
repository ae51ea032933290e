//! What the pipeline is given, and what it remembers from one session with the brokers to the next.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::group::TAKEN_FOR_DEAD;
use super::transaction::size::Size;
use crate::config::SpecReceiver;
use crate::flow::Flow;
use crate::health::Health;
use crate::kafka::Connection;
use crate::metrics::Metrics;
use crate::ownership::OwnedPartitions;

/// This long after trouble, a peer that took this process for dead may still fence its new producers: the peer's restore
/// waits for open transactions, and for the coordinator, which may have it ask twice.
const FENCED_LATE: Duration = Duration::from_secs(60);

/// What the pipeline works with.
pub struct Settings {
    /// How to reach the brokers.
    pub connection: Connection,
    /// The pod's name or `--id`; the transactional ids are `<group>.<id>.0` and `.1`.
    pub id: String,
    /// The live spec.
    pub spec: SpecReceiver,
    /// Told of readiness and of the generation computed with.
    pub health: Arc<Health>,
    /// Told what is accepted and refused, and what partitions hold.
    pub flow: Arc<Flow>,
    /// Counted into.
    pub metrics: Arc<Metrics>,
    /// Told which partitions are owned and restored.
    pub owned: watch::Sender<OwnedPartitions>,
    /// Whether topics that are missing at the start are created.
    pub create_topics: bool,
    /// Set from outside to end.
    pub stop: Arc<AtomicBool>,
}

/// What outlives a session.
pub(super) struct Past {
    /// Whether missing topics may be created: only by the first session that connects.
    pub(super) may_create: Cell<bool>,
    /// How large transactions may be.
    pub(super) size: Cell<Size>,
    /// When peers last had a reason to take this process for dead.
    trouble: Cell<Option<Instant>>,
}

impl Past {
    pub(super) fn new(may_create: bool) -> Self {
        Self { may_create: Cell::new(may_create), size: Cell::default(), trouble: Cell::new(None) }
    }

    pub(super) fn note_trouble(&self) {
        self.trouble.set(Some(Instant::now()));
    }

    /// Notes trouble if the loop stood still from `since` on for so long that peers may have taken this process for dead.
    pub(super) fn note_silence(&self, since: Instant) {
        if since.elapsed() >= TAKEN_FOR_DEAD {
            self.note_trouble();
        }
    }

    /// Whether a peer, not a second process of the same identity, may be who fences.
    pub(super) fn may_be_taken_for_dead(&self) -> bool {
        self.trouble.get().is_some_and(|at| at.elapsed() <= FENCED_LATE)
    }
}
