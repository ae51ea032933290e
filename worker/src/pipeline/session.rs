//! One session with the brokers: its clients, made anew for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use stockwatch_crds::Topics;

use super::owned::Slots;
use super::rules::Rules;
use super::run::{Loop, Open};
use super::topology::{self, Topology, TopologyError, USUAL_BATCH};
use super::transaction::Producers;
use super::{Error, Past, SessionError, Settings, group, restore};
use crate::kafka::KafkaContext;
use crate::process::Encoder;
use crate::topics;

/// Connects, and computes until told to stop or until the session fails. The first one that connects creates
/// missing topics if it may: one that goes later takes offsets and state with it, and is an error.
pub(super) fn session(settings: &Settings, past: &Past) -> Result<(), SessionError> {
    let kafka = KafkaContext::default();
    let ended = connect(settings, &kafka, past).and_then(|mut running| {
        past.may_create.set(false);
        let consumer = running.consumer.clone();
        let ended = running.run(&consumer);
        group::close(&consumer, &running.raw);
        running.close();
        ended
    });
    // librdkafka tells its logger, not the caller, why it cannot connect.
    match (ended, kafka.last_error()) {
        (Err(error @ (SessionError::Final(_) | SessionError::Fenced { .. })), _) => Err(error),
        (Err(error), Some(said)) => Err(SessionError::Because(Box::new(error), said)),
        (ended, _) => ended,
    }
}

fn connect<'a>(
    settings: &'a Settings,
    kafka: &KafkaContext,
    past: &'a Past,
) -> Result<Loop<'a>, SessionError> {
    let mut receiver = settings.spec.clone();
    let spec = receiver.borrow_and_update().clone();
    let topics = &spec.spec.kafka.topics;
    let group_id = &spec.spec.kafka.group_id;
    let owner = format!("{group_id}.{}", settings.id);
    // The group forms while the rest connects.
    let consumer = group::join(&settings.connection, kafka, group_id, &topics.raw_input.name);
    let consumer = Arc::new(consumer.map_err(SessionError::Group)?);
    let least_ticket = Arc::new(AtomicU64::new(0));
    let restorer = restore::start(restore::Context {
        connection: settings.connection.clone(),
        kafka: kafka.clone(),
        group: group_id.clone(),
        owner: owner.clone(),
        raw: topics.raw_input.name.clone(),
        table: topics.after_dedup_storage_table.name.clone(),
        outputs: topology::outputs(topics).map(|t| t.name.clone()),
        metrics: settings.metrics.clone(),
        stop: settings.stop.clone(),
        least_ticket: least_ticket.clone(),
    })
    .map_err(Error::Thread)?;
    let (topology, producers) = discover_and_open(settings, kafka, &owner, topics, past.may_create.get())
        .inspect_err(|_| group::close(&consumer, &topics.raw_input.name))?;
    kafka.clear_error();
    let now = Instant::now();
    Ok(Loop {
        settings,
        past,
        kafka: kafka.clone(),
        owner,
        raw: topics.raw_input.name.clone(),
        encoder: Encoder::new(&topics.raw_input.name),
        topology,
        consumer,
        producers,
        restorer,
        least_ticket,
        rules: Rules::new(spec.clone()),
        receiver,
        review: true,
        slots: Slots::default(),
        open: Open::default(),
        started: now,
        last_commit: now,
        last_tick: now,
        ticket: 0,
        doubt: None,
        trouble: None,
    })
}

/// Two producers with this process's transactional ids.
pub(super) fn open_producers(
    settings: &Settings,
    kafka: &KafkaContext,
    owner: &str,
    topics: &Topics,
    batch_bytes: usize,
) -> Result<Producers, SessionError> {
    Producers::open(&settings.connection, kafka, owner, topics, batch_bytes, &settings.stop)
        .map_err(SessionError::Producers)
}

/// Looks at the topics and opens the producers side by side: each takes about ten round trips.
fn discover_and_open(
    settings: &Settings,
    kafka: &KafkaContext,
    owner: &str,
    topics: &Topics,
    may_create: bool,
) -> Result<(Topology, Producers), SessionError> {
    let (topology, producers) = thread::scope(|scope| {
        let opening = scope.spawn(|| open_producers(settings, kafka, owner, topics, USUAL_BATCH));
        (Topology::discover(&settings.connection, kafka, topics, &settings.stop), opening.join())
    });
    let topology = match topology {
        Err(TopologyError::Missing(_)) if may_create => return Err(create(settings, topics)),
        looked => looked?,
    };
    let mut producers = producers.map_err(|_| Error::Thread(io::Error::other("it died")))??;
    if topology.batch_bytes() < producers.batch_bytes() {
        producers = open_producers(settings, kafka, owner, topics, topology.batch_bytes())?;
    }
    Ok((topology, producers))
}

/// Creates the missing topics, which the clients of another session know from the start.
fn create(settings: &Settings, topics: &Topics) -> SessionError {
    match topics::ensure(&settings.connection, topics) {
        Ok(partitions) => SessionError::Created(partitions),
        Err(error) if error.is_retriable() => SessionError::Create(error),
        Err(error) => Error::Topics(error).into(),
    }
}
