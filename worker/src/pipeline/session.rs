//! One session with the brokers: its clients, made anew for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use stockwatch_crds::{Topic, Topics};

use super::connector::Connector;
use super::error::{Error, SessionError};
use super::group::{self, GroupContext};
use super::ledger::LedgerSearch;
use super::membership::Membership;
use super::producers::{Feed, Producers};
use super::readiness::Readiness;
use super::restore::{self, Restorer};
use super::rules::Rules;
use super::run::Loop;
use super::settings::{Past, Settings};
use super::topology::{self, Topology, TopologyError, USUAL_BATCH};
use super::transaction::Transactions;
use crate::kafka::{self, KafkaContext};
use crate::topics;

/// Between two questions to brokers that did not answer.
const STEP: Duration = Duration::from_millis(500);
/// Questions by one client; then another one is made, since librdkafka may wait for ever for a broker that is gone.
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
        let context = KafkaContext::default();
        let mut config = settings.connection.client();
        config.set("reconnect.backoff.ms", STEP.as_millis().to_string());
        // What is wrong with the settings is the session's to say.
        let Ok(client) = config.create_with_context::<_, BaseConsumer<_>>(context.clone()) else { return };
        let over = (0..MOST_STEPS).any(|_| {
            settings.health.beat();
            let asked = Instant::now();
            let Err(source) = client.fetch_metadata(Some(&topic), STEP) else { return true };
            // librdkafka's reasons wait in the client's queue; an AdminClient's is polled by nobody.
            while kafka::poll(&client, Duration::from_millis(1)).is_some() {}
            let bootstrap = settings.connection.bootstrap_servers().to_owned();
            let error = because(TopologyError::Unreachable { bootstrap, source }.into(), &context);
            settings.health.set_causes(vec![error.to_string()]);
            let stopped = settings.stop.load(Ordering::Relaxed);
            thread::sleep(if stopped { Duration::ZERO } else { STEP.saturating_sub(asked.elapsed()) });
            stopped
        });
        // Closing it waits for a request to a token endpoint, which may take 20 s.
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
    let topics = spec.spec.kafka.topics.clone();
    let group_id = &spec.spec.kafka.group_id;
    let owner = format!("{group_id}.{}", settings.id);
    let connector = Connector { settings, kafka: kafka.clone(), owner, topics };
    let raw = connector.raw().to_owned();
    // The group forms while the rest connects.
    let consumer = group::join(&settings.connection, kafka, group_id, &raw);
    let consumer = Arc::new(consumer.map_err(SessionError::Group)?);
    let restorer = Restorer::start(restore::Context {
        connection: settings.connection.clone(),
        kafka: kafka.clone(),
        group: group_id.clone(),
        owner: connector.owner.clone(),
        raw: raw.clone(),
        table: connector.topics.after_dedup_storage_table.name.clone(),
        outputs: topology::outputs(&connector.topics).map(|t| t.name.clone()),
        metrics: settings.metrics.clone(),
        stop: settings.stop.clone(),
    })
    .map_err(Error::Thread)?;
    let mut ledger =
        LedgerSearch::new(spec.spec.trade.as_ref().map(|_| spec.spec.kafka.topics.ledger.clone()));
    let (topology, producers) = discover_and_open(&connector, ledger.wanted(), past.may_create.get())
        .inspect_err(|_| group::close(&consumer, &raw))?;
    kafka.clear_error();
    if topology.ledger.is_none() {
        ledger.note_absent();
    }
    let running = Loop {
        settings,
        past,
        receiver,
        rules: Rules::new(spec.clone()),
        review: true,
        membership: Membership::new(consumer.clone(), raw, restorer, settings.owned.clone()),
        transactions: Transactions::new(connector, topology, ledger, producers, past.size.get()),
        readiness: Readiness::default(),
        last_tick: Instant::now(),
        last_look: Instant::now(),
        look_at_holdings: Instant::now(),
    };
    Ok((running, consumer))
}

/// Looks at the topics and opens the producers side by side: each takes about ten round trips.
fn discover_and_open(
    connector: &Connector<'_>,
    ledger: Option<&Topic>,
    may_create: bool,
) -> Result<(Topology, Producers), SessionError> {
    let open = |batch_bytes| {
        Producers::open(connector, ledger, Feed::Live, batch_bytes).map_err(SessionError::Producers)
    };
    let (topology, producers) = thread::scope(|scope| {
        let opening = scope.spawn(|| open(USUAL_BATCH));
        (connector.discover(ledger), opening.join())
    });
    let topology = match topology {
        Err(TopologyError::Missing(_)) if may_create => {
            return Err(create(connector.settings, &connector.topics));
        }
        looked => looked?,
    };
    let mut producers = producers.map_err(|_| Error::Thread(io::Error::other("it died")))??;
    if topology.batch_bytes() < producers.batch_bytes() {
        producers = open(topology.batch_bytes())?;
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
