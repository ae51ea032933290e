//! The Kafka transaction loop: consume, compute, produce, commit; exactly once through every failure.
//!
//! One thread, one transaction at a time for all partitions. State is only ever that of a committed
//! transaction: after any failure the state of every partition is thrown away and restored from the log.
//!
//! `session` makes the clients; `group` is the membership, `restore` brings partitions to their committed offsets beside
//! the loop, `owned` is what the loop holds of them, `transaction` the producers, whose calls `caller` can leave behind,
//! `rules` which spec counts; `run` hears and decides, `work` fills, commits and gives up transactions.

mod attempt;
mod caller;
mod group;
mod owned;
mod reader;
mod restore;
mod rules;
mod run;
mod session;
mod topology;
mod transaction;
mod work;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::config::SpecReceiver;
use crate::health::Health;
use crate::kafka::Connection;
use crate::metrics::Metrics;
use crate::ownership::OwnedPartitions;
use crate::topics::{RawPartitions, TopicsError};

/// Between attempts to connect.
const RETRY: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// So long after trouble, a peer that took this process for dead may still fence its new producers: the peer's restore
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
    /// Counted into.
    pub metrics: Arc<Metrics>,
    /// Told which partitions are owned and restored.
    pub owned: watch::Sender<OwnedPartitions>,
    /// Whether topics that are missing at the start are created.
    pub create_topics: bool,
    /// Set from outside to end.
    pub stop: Arc<AtomicBool>,
}

/// Why the pipeline ended by itself: somebody has to do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the same identity.
    #[error(
        "transactional id {id} was taken over by another process: give each worker its own --id, or let it be restarted"
    )]
    Fenced {
        /// The id.
        id: String,
    },
    /// The topics cannot be used or created as they are.
    #[error(transparent)]
    Topics(TopicsError),
    /// The thread that restores cannot be started.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why one session with the brokers ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Final(#[from] Error),
    #[error(transparent)]
    Topics(#[from] topology::TopologyError),
    #[error(transparent)]
    Create(TopicsError),
    #[error("topics were created, {} partitions of raw quotes", .0.0)]
    Created(RawPartitions),
    #[error("no transactions: {0}")]
    Producers(KafkaError),
    #[error("no membership of the consumer group: {0}")]
    Group(KafkaError),
    #[error("the connection to the brokers was lost")]
    CutOff,
    #[error("transactional id {id} was taken over")]
    Fenced { id: String },
    #[error("the brokers do not answer a transaction: {0}")]
    Unanswered(KafkaError),
    #[error("{0} ({1})")]
    Because(Box<SessionError>, String),
}

/// What outlives a session.
struct Past {
    /// Whether missing topics may be created: only by the first session that connects.
    may_create: Cell<bool>,
    /// When peers last had a reason to take this process for dead.
    trouble: Cell<Option<Instant>>,
}

impl Past {
    fn note_trouble(&self) {
        self.trouble.set(Some(Instant::now()));
    }

    /// A loop that stood still `since` then, and for too long, gave no sign of life.
    fn note_silence(&self, since: Instant) {
        if since.elapsed() >= group::TAKEN_FOR_DEAD {
            self.note_trouble();
        }
    }

    /// Whether a peer, not a second process of the same identity, may be who fences.
    fn may_be_taken_for_dead(&self) -> bool {
        self.trouble.get().is_some_and(|at| at.elapsed() <= FENCED_LATE)
    }
}

/// Computes until told to stop. Blocking: runs on a thread of its own.
///
/// # Errors
/// What only people can mend; everything else is retried, with the reason in [`Health`].
pub fn run(settings: Settings) -> Result<(), Error> {
    let mut failures = 0;
    let past = Past { may_create: Cell::new(settings.create_topics), trouble: Cell::new(None) };
    while !settings.stop.load(Ordering::Relaxed) {
        settings.health.beat();
        let began = Instant::now();
        match session::session(&settings, &past) {
            Ok(()) => break,
            Err(SessionError::Created(RawPartitions(partitions))) => {
                tracing::info!(partitions, "missing topics were created");
                past.may_create.set(false);
            }
            Err(SessionError::Final(error)) => return Err(error),
            Err(SessionError::Fenced { id }) if !past.may_be_taken_for_dead() => {
                return Err(Error::Fenced { id });
            }
            Err(error) => {
                if !matches!(error, SessionError::Fenced { .. }) {
                    past.note_trouble();
                }
                tracing::warn!(%error, "the session with the brokers ended, beginning another");
                settings.health.set_not_ready(Some(error.to_string()));
                settings.owned.send_modify(|o| o.partitions.clear());
                // A session that lasted had nothing to do with the failures before it.
                failures = if began.elapsed() > Duration::from_secs(30) { 0 } else { failures };
                let until = Instant::now() + RETRY[failures.min(RETRY.len() - 1)];
                failures += 1;
                while Instant::now() < until && !settings.stop.load(Ordering::Relaxed) {
                    settings.health.beat();
                    std::thread::sleep(Duration::from_millis(20));
                }
                session::await_brokers(&settings);
            }
        }
    }
    Ok(())
}
