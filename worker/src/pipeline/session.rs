//! One session with the brokers: its clients, made anew for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::AdminClient;
use rdkafka::consumer::BaseConsumer;
use stockwatch_crds::Topics;

use super::error::{Error, SessionError};
use super::group::{self, GroupContext};
use super::membership::Membership;
use super::producers::Producers;
use super::readiness::Readiness;
use super::restore::{self, Restorer};
use super::rules::Rules;
use super::run::Loop;
use super::settings::{Past, Settings};
use super::topology::{self, Topology, TopologyError, USUAL_BATCH};
use super::transaction::Transactions;
use crate::kafka::KafkaContext;
use crate::topics;

/// Between two questions to brokers that did not answer.
const STEP: Duration = Duration::from_millis(500);
/// So many are asked by one client: librdkafka may wait for a broker that is gone for ever.
const MOST_STEPS: u32 = 30;

/// Connects, and computes until told to stop or until the session fails. The first one that connects creates
/// missing topics if it may: one that goes later takes offsets and state with it, and is an error.
pub(super) fn session(settings: &Settings, past: &Past) -> Result<(), SessionError> {
    let kafka = KafkaContext::default();
    let ended = connect(settings, &kafka, past).and_then(|(mut running, consumer)| {
        past.may_create.set(false);
        let ended = running.run(&consumer);
        running.membership.close();
        ended
    });
    ended.map_err(|error| match error {
        SessionError::Final(_) | SessionError::Fenced { .. } => error,
        _ => because(error, &kafka),
    })
}

/// Waits until brokers answer, or until told to stop, with one client that asks twice a second: those of a whole session
/// would cost four times what the work does, while nobody is there.
pub(super) fn await_brokers(settings: &Settings) {
    let topic = settings.spec.borrow().spec.kafka.topics.raw_input.name.clone();
    while !settings.stop.load(Ordering::Relaxed) {
        let kafka = KafkaContext::default();
        let mut config = settings.connection.client();
        config.set("reconnect.backoff.ms", STEP.as_millis().to_string());
        // What is wrong with the settings is the session's to say.
        let Ok(client) = config.create_with_context::<_, AdminClient<_>>(kafka.clone()) else { return };
        let over = (0..MOST_STEPS).any(|_| {
            settings.health.beat();
            let asked = Instant::now();
            let Err(source) = client.inner().fetch_metadata(Some(&topic), STEP) else { return true };
            let bootstrap = settings.connection.bootstrap_servers().to_owned();
            let error = because(TopologyError::Unreachable { bootstrap, source }.into(), &kafka);
            settings.health.set_causes(vec![error.to_string()]);
            let stopped = settings.stop.load(Ordering::Relaxed);
            thread::sleep(if stopped { Duration::ZERO } else { STEP.saturating_sub(asked.elapsed()) });
            stopped
        });
        // Closing it waits up to 100 ms for its thread.
        thread::spawn(move || drop(client));
        if over {
            return;
        }
    }
}

/// librdkafka tells its logger, not the caller, why it cannot connect.
fn because(error: SessionError, kafka: &KafkaContext) -> SessionError {
    match kafka.last_error() {
        Some(said) => SessionError::Because(Box::new(error), said),
        None => error,
    }
}

fn connect<'a>(
    settings: &'a Settings,
    kafka: &KafkaContext,
    past: &'a Past,
) -> Result<(Loop<'a>, Arc<BaseConsumer<GroupContext>>), SessionError> {
    let mut receiver = settings.spec.clone();
    let spec = receiver.borrow_and_update().clone();
    let topics = &spec.spec.kafka.topics;
    let group_id = &spec.spec.kafka.group_id;
    let owner = format!("{group_id}.{}", settings.id);
    // The group forms while the rest connects.
    let consumer = group::join(&settings.connection, kafka, group_id, &topics.raw_input.name);
    let consumer = Arc::new(consumer.map_err(SessionError::Group)?);
    let restorer = Restorer::start(restore::Context {
        connection: settings.connection.clone(),
        kafka: kafka.clone(),
        group: group_id.clone(),
        owner: owner.clone(),
        raw: topics.raw_input.name.clone(),
        table: topics.after_dedup_storage_table.name.clone(),
        outputs: topology::outputs(topics).map(|t| t.name.clone()),
        metrics: settings.metrics.clone(),
        stop: settings.stop.clone(),
    })
    .map_err(Error::Thread)?;
    let (topology, producers) = discover_and_open(settings, kafka, &owner, topics, past.may_create.get())
        .inspect_err(|_| group::close(&consumer, &topics.raw_input.name))?;
    kafka.clear_error();
    let raw = topics.raw_input.name.clone();
    let membership = Membership::new(consumer.clone(), raw.clone(), restorer, settings.owned.clone());
    let running = Loop {
        settings,
        past,
        receiver,
        rules: Rules::new(spec.clone()),
        review: true,
        membership,
        transactions: Transactions::new(settings, kafka.clone(), owner, raw, topology, producers),
        readiness: Readiness::default(),
        last_tick: Instant::now(),
        last_look: Instant::now(),
    };
    Ok((running, consumer))
}

/// Two producers with this process's transactional ids.
fn open_producers(
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
