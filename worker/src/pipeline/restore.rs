//! Restores partitions beside the loop: committed offset, table, replay. Never on the loop's own thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::KafkaError;
use stockwatch_core::checkpoint::Corrupt;
use stockwatch_core::wire::RawRecord;
use stockwatch_core::{Partition, Removed, Shape};

use super::attempt::Session;
use super::reader::Reader;
use crate::kafka::{Connection, KafkaContext};
use crate::metrics::Metrics;

/// Between attempts.
const RETRY: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Connections are closed when nothing was restored for so long.
const IDLE: Duration = Duration::from_secs(5);

/// Why a partition cannot be restored, for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error("cannot connect: {0}")]
    Connect(KafkaError),
    #[error("the group's committed offsets cannot be read: {0}")]
    Committed(KafkaError),
    #[error(
        "the brokers do not say what the group committed: a transaction on it has not ended. If that lasts, see \
         \"Which Kafka\" in README: some versions lose the end of a transaction"
    )]
    Unstable,
    #[error("topic {topic} partition {partition} cannot be read (does it exist?): {source}")]
    Bounds { topic: String, partition: i32, source: KafkaError },
    #[error("topic {topic} cannot be read (does it exist?): {source}")]
    Read { topic: String, source: KafkaError },
    #[error("topic {topic} gives no records up to its known end")]
    Stalled { topic: String },
    #[error("a transaction of another process stays open on partition {partition}")]
    Open { partition: i32 },
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error(
        "topic {topic} partition {partition} is not the one that was computed: {why}. If it was created anew, delete \
         the offsets of consumer group {group} and create topic {table} anew as well"
    )]
    Recreated { topic: String, partition: i32, why: String, group: String, table: String },
    #[error("no longer wanted")]
    Cancelled,
}

/// What the loop asks for. A ticket older than the least wanted one is dropped.
pub(super) enum Job {
    /// Bring these partitions to the state of their committed offsets.
    Restore { ticket: u64, partitions: Vec<i32> },
    /// Give the partition the older samples that a longer window wants.
    Reshape { ticket: u64, partition: Box<Partition>, shape: Arc<Shape> },
}

/// What the loop gets.
pub(super) enum Done {
    /// They wait at their committed offsets.
    Restored { ticket: u64, partitions: Vec<Partition> },
    /// It computes by the new shape.
    Reshaped { ticket: u64, partition: Box<Partition>, removed: Vec<Removed> },
    /// An attempt failed and is repeated; for people.
    Waiting(String),
}

/// Names and connections.
pub(super) struct Context {
    pub(super) connection: Connection,
    pub(super) kafka: KafkaContext,
    pub(super) group: String,
    pub(super) owner: String,
    pub(super) raw: String,
    pub(super) table: String,
    /// The topics that records of a raw partition go to, the table aside.
    pub(super) outputs: [String; 4],
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) least_ticket: Arc<AtomicU64>,
}

/// The thread that restores, and the two ends of its queues.
pub(super) struct Restorer {
    pub(super) jobs: Sender<Job>,
    pub(super) done: Receiver<Done>,
    pub(super) thread: JoinHandle<()>,
}

/// Starts the thread; it ends when `jobs` is dropped.
pub(super) fn start(context: Context) -> std::io::Result<Restorer> {
    let (jobs, inbox) = channel();
    let (outbox, done) = channel();
    let thread = thread::Builder::new().name("restore".into()).spawn(move || {
        // Connects while the group forms; why it cannot comes out when it must.
        let mut clients = Clients::open(&context).inspect(|clients| clients.warm(&context)).ok();
        loop {
            match inbox.recv_timeout(IDLE) {
                Ok(job) => serve(&context, &mut clients, job, &outbox),
                Err(RecvTimeoutError::Timeout) => clients = None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })?;
    Ok(Restorer { jobs, done, thread })
}

fn serve(context: &Context, clients: &mut Option<Clients>, job: Job, outbox: &Sender<Done>) {
    let (Job::Restore { ticket, .. } | Job::Reshape { ticket, .. }) = &job;
    let ticket = *ticket;
    let mut job = Some(job);
    for attempt in 0.. {
        if context.is_cancelled(ticket) {
            return;
        }
        let began = Instant::now();
        match attempt_once(context, clients, ticket, &mut job) {
            Ok(done) => {
                context.metrics.restore_seconds.observe(began.elapsed().as_secs_f64());
                let _ = outbox.send(done); // without a loop nobody waits for it
                return;
            }
            Err(RestoreError::Cancelled) => return,
            Err(error) => {
                tracing::warn!(%error, "partitions cannot be restored, trying again");
                *clients = None;
                let _ = outbox.send(Done::Waiting(error.to_string()));
            }
        }
        let until = Instant::now() + RETRY[attempt.min(RETRY.len() - 1)];
        while Instant::now() < until && !context.is_cancelled(ticket) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn attempt_once(
    context: &Context,
    clients: &mut Option<Clients>,
    ticket: u64,
    job: &mut Option<Job>,
) -> Result<Done, RestoreError> {
    if clients.is_none() {
        *clients = Some(Clients::open(context)?);
    }
    let Some(clients) = clients.as_ref() else { return Err(RestoreError::Cancelled) };
    let session = Session { context, clients, ticket };
    match job.take() {
        Some(Job::Restore { partitions, .. }) => {
            let restored = session.restore(&partitions);
            if restored.is_err() {
                *job = Some(Job::Restore { ticket, partitions });
            }
            Ok(Done::Restored { ticket, partitions: restored? })
        }
        Some(Job::Reshape { mut partition, shape, .. }) => {
            let taken = partition.next_change(shape.clone());
            match session.older(&clients.committed, &partition, &taken) {
                Ok(older) => {
                    let removed = partition.apply_shape(taken, &older, 0);
                    Ok(Done::Reshaped { ticket, partition, removed })
                }
                Err(error) => {
                    *job = Some(Job::Reshape { ticket, partition, shape });
                    Err(error)
                }
            }
        }
        None => Err(RestoreError::Cancelled),
    }
}

impl Context {
    pub(super) fn is_cancelled(&self, ticket: u64) -> bool {
        self.stop.load(Ordering::Relaxed) || ticket < self.least_ticket.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, isolation: &str) -> Result<Reader, RestoreError> {
        Reader::open(&self.connection, &self.kafka, &self.group, isolation).map_err(RestoreError::Connect)
    }
}

/// One reader for each isolation level: what is committed, and how far the log goes.
pub(super) struct Clients {
    pub(super) committed: Reader,
    pub(super) uncommitted: Reader,
}

impl Clients {
    fn open(context: &Context) -> Result<Self, RestoreError> {
        Ok(Self {
            committed: context.open("read_committed")?,
            uncommitted: context.open("read_uncommitted")?,
        })
    }

    /// Makes the connections that a restore needs, as far as it can.
    fn warm(&self, context: &Context) {
        thread::scope(|scope| {
            for reader in [&self.committed, &self.uncommitted] {
                scope.spawn(|| reader.warm(&context.raw, &context.table));
            }
        });
    }
}

/// A message as the computation takes it.
pub(super) fn raw_record<'a, M: Message>(message: &'a M) -> RawRecord<'a> {
    RawRecord {
        key: message.key(),
        value: message.payload(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        offset: message.offset(),
    }
}
