//! The operator's Kafka side under test, and a look at the brokers beside it.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use stockwatch_crds::v1alpha1::TopicState;
use stockwatch_crds::{Mechanism, OAuth};
use stockwatch_operator::topics::{
    Call, Connection, DeletionRequest, DeletionState, KafkaClusters, KafkaReason, Metrics, ObjectKey,
    Observed, Sasl, Tls, TokenSource, TopicRole, Wanted, WantedTopic,
};
use stockwatch_tests::{Broker, TokenEndpoint};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything awaited takes.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) static BROKER: LazyLock<&Broker> = LazyLock::new(Broker::shared);

/// The listener without security.
pub(crate) fn plain() -> Connection {
    Connection::new(BROKER.bootstrap(), None, None).unwrap()
}

/// The secured listener.
pub(crate) fn secure(password: &str) -> Connection {
    let ca = std::fs::read(BROKER.login().ca).unwrap();
    let tls = Tls { ca: Some(ca), client: None };
    Connection::new(&BROKER.login().bootstrap, Some(&tls), Some(&sasl(password))).unwrap()
}

/// The secured listener, with tokens of this endpoint.
pub(crate) fn by_token(endpoint: &TokenEndpoint, client_secret: &str) -> Connection {
    let login = BROKER.login();
    let tls = Tls { ca: Some(std::fs::read(login.ca).unwrap()), client: None };
    let scope = Some("kafka.read kafka.write".into());
    let oauth = OAuth { token_url: endpoint.url(), scope, extensions: None, ca: None };
    let ca = std::fs::read(endpoint.provider().authority()).unwrap();
    let sasl = Sasl {
        mechanism: Mechanism::OauthBearer,
        username: TokenEndpoint::CLIENT.into(),
        password: client_secret.into(),
        tokens: Some(TokenSource { oauth, ca: Some(ca) }),
    };
    Connection::new(&login.bootstrap, Some(&tls), Some(&sasl)).unwrap()
}

/// The secured listener, whose authority the system does not know.
pub(crate) fn secure_by_the_system() -> Connection {
    let login = BROKER.login();
    Connection::new(&login.bootstrap, Some(&Tls::default()), Some(&sasl(&login.password))).unwrap()
}

fn sasl(password: &str) -> Sasl {
    let username = BROKER.login().user.into_bytes();
    Sasl { mechanism: Mechanism::ScramSha512, username, password: password.into(), tokens: None }
}

/// Six topics `<prefix>.<n>`, the raw one with so many partitions.
pub(crate) fn wanted(prefix: &str, partitions: i32) -> Wanted {
    let roles = [
        TopicRole::RawInput,
        TopicRole::AfterDedupStream,
        TopicRole::AfterDedupStorageTable,
        TopicRole::AveragesOutput,
        TopicRole::DeviationAlarm,
        TopicRole::DeadLetter,
    ];
    let topic = |(i, role)| WantedTopic {
        role,
        name: format!("{prefix}.{i}"),
        partitions: (role == TopicRole::RawInput).then_some(partitions),
        replication_factor: None,
        config: compacted(role),
        at_creation_only: Default::default(),
        named: Default::default(),
        asked: true,
        writes: true,
        state: None,
    };
    let who =
        ObjectKey { created: 1, uid: prefix.into(), namespace: "default".into(), name: prefix.to_owned() };
    let topics = roles.into_iter().enumerate().map(topic).collect();
    Wanted { who, group: format!("{prefix}.group"), topics, cluster_id: None }
}

/// What every storage table has.
fn compacted(role: TopicRole) -> BTreeMap<String, String> {
    let is_table = role == TopicRole::AfterDedupStorageTable;
    is_table.then(|| ("cleanup.policy".to_owned(), "compact".to_owned())).into_iter().collect()
}

/// All its topics and its group.
pub(crate) fn request(wanted: &Wanted) -> DeletionRequest {
    DeletionRequest {
        who: wanted.who.clone(),
        topics: wanted.topics.iter().map(|topic| topic.name.clone()).collect(),
        group: Some(wanted.group.clone()),
        cluster_id: wanted.cluster_id.clone(),
    }
}

/// Takes an answer into the status.
pub(crate) fn taken(wanted: &mut Wanted, observed: &Observed) {
    let Observed::Known { cluster_id, topics, .. } = observed else { panic!("{observed:?}") };
    wanted.cluster_id = Some(cluster_id.clone());
    for topic in &mut wanted.topics {
        topic.state = topics.iter().find(|status| status.name == topic.name).map(|status| status.state);
    }
}

pub(crate) fn states(observed: &Observed) -> Vec<TopicState> {
    let Observed::Known { topics, .. } = observed else { panic!("{observed:?}") };
    topics.iter().map(|topic| topic.state).collect()
}

pub(crate) fn partitions(observed: &Observed) -> Vec<i32> {
    let Observed::Known { topics, .. } = observed else { panic!("{observed:?}") };
    topics.iter().map(|topic| topic.partitions.unwrap()).collect()
}

pub(crate) fn problem(observed: &Observed) -> Option<KafkaReason> {
    let Observed::Known { problem, .. } = observed else { panic!("{observed:?}") };
    problem.as_ref().map(|problem| problem.reason)
}

pub(crate) fn message(observed: &Observed) -> &str {
    match observed {
        Observed::Known { problem: Some(problem), .. } | Observed::Unreachable(problem) => &problem.message,
        _ => "",
    }
}

/// The part under test, and those that it wakes.
pub(crate) struct Operator {
    pub(crate) kafka: KafkaClusters,
    metrics: Metrics,
    woken: mpsc::UnboundedReceiver<ObjectKey>,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let (wake, woken) = mpsc::unbounded_channel();
        let metrics = Metrics::new(&mut Registry::default());
        Self { kafka: KafkaClusters::new(wake, metrics.clone()), metrics, woken }
    }

    /// The first answer.
    pub(crate) async fn answer(&mut self, connection: &Connection, wanted: &Wanted) -> Observed {
        self.until(connection, wanted, |observed| *observed != Observed::Pending).await
    }

    /// The first answer with trouble or without a topic that is still to be seen.
    pub(crate) async fn settled(&mut self, connection: &Connection, wanted: &Wanted) -> Observed {
        let is = |seen: &Observed| problem(seen).is_some() || !states(seen).contains(&TopicState::Creating);
        self.until(connection, wanted, is).await
    }

    /// The first such answer.
    pub(crate) async fn until(
        &mut self,
        connection: &Connection,
        wanted: &Wanted,
        is: impl Fn(&Observed) -> bool,
    ) -> Observed {
        loop {
            let observed = self.kafka.observe(connection, wanted.clone());
            if observed != Observed::Pending && is(&observed) {
                return observed;
            }
            self.wake(&observed).await;
        }
    }

    /// Announces and creates all its topics, and takes both into its status.
    pub(crate) async fn create(&mut self, wanted: &mut Wanted) {
        self.create_at(&plain(), wanted).await;
    }

    pub(crate) async fn create_at(&mut self, connection: &Connection, wanted: &mut Wanted) {
        let announced = self.answer(connection, wanted).await;
        assert_eq!(problem(&announced), None, "{}", message(&announced));
        taken(wanted, &announced);
        let created = self.settled(connection, wanted).await;
        assert_eq!(problem(&created), None, "{}", message(&created));
        taken(wanted, &created);
    }

    /// The first such state of a deletion.
    pub(crate) async fn deleted(
        &mut self,
        connection: &Connection,
        request: &DeletionRequest,
        is: impl Fn(&DeletionState) -> bool,
    ) -> DeletionState {
        loop {
            let deleted = self.kafka.delete(connection, request.clone());
            if is(&deleted) {
                return deleted;
            }
            self.wake(&deleted).await;
        }
    }

    /// Calls that were answered.
    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.metrics.calls.get_or_create(&call).get()
    }

    /// Waits for so many calls.
    pub(crate) async fn called(&self, call: Call, least: u64) {
        let enough = async {
            while self.calls(call) < least {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, enough).await.expect("the calls are never made");
    }

    async fn wake(&mut self, seen: impl std::fmt::Debug) {
        let woken = timeout(LIMIT, self.woken.recv()).await;
        woken.unwrap_or_else(|_| panic!("nobody is woken, last seen: {seen:?}"));
    }
}

fn client() -> BaseConsumer {
    BROKER.client().create().unwrap()
}

fn admin() -> AdminClient<DefaultClientContext> {
    BROKER.client().create().unwrap()
}

/// Names of the topics with this prefix.
pub(crate) fn topics(prefix: &str) -> Vec<String> {
    let metadata = client().fetch_metadata(None, LIMIT).unwrap();
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

/// Names of the consumer groups.
pub(crate) fn groups() -> Vec<String> {
    let groups = client().fetch_group_list(None, LIMIT).unwrap();
    groups.groups().iter().map(|group| group.name().to_owned()).collect()
}

/// A member of a group, until it is dropped.
pub(crate) async fn join(group: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = BROKER.client().set("group.id", group).create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let joined = async {
        while consumer.assignment().unwrap().count() == 0 {
            let _ = consumer.poll(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, joined).await.expect("the group is never joined");
    consumer
}

pub(crate) async fn create(name: &str, partitions: i32, config: &[(&str, &str)]) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = config.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
    let results = admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // A busy broker shows a topic later than it says that it is created.
    let client = client();
    let shown = async {
        while client.fetch_metadata(Some(name), LIMIT).unwrap().topics()[0].partitions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, shown).await.expect("the topic is never shown");
}

pub(crate) async fn delete(name: &str) {
    let results = admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// Makes these all the own settings of a topic.
pub(crate) async fn set(name: &str, config: &[(&str, &str)]) {
    let alter = AlterConfig::new(ResourceSpecifier::Topic(name));
    let alter = config.iter().fold(alter, |alter, (name, value)| alter.set(name, value));
    admin().alter_configs([&alter], &AdminOptions::new()).await.unwrap();
    let is_set = async {
        loop {
            let is = settings(name).await;
            if config.iter().all(|(name, value)| is[*name] == *value) {
                return;
            }
        }
    };
    timeout(LIMIT, is_set).await.expect("the settings are never in force");
}

/// The settings of a topic.
pub(crate) async fn settings(name: &str) -> HashMap<String, String> {
    let topic = ResourceSpecifier::Topic(name);
    let mut described = admin().describe_configs([&topic], &AdminOptions::new()).await.unwrap();
    let entries = described.pop().unwrap().unwrap().entries;
    entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}
