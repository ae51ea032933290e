//! What a StockWatch wants of Kafka, and what its status says that it has there.

use std::collections::{BTreeMap, BTreeSet};

use stockwatch_crds::v1alpha1::{TopicSpec, TopicState, TopicsSpec};
use stockwatch_crds::{Spec, StateTopic, StockWatch, Topic};

/// Whether a topic of this state in the status belongs to its StockWatch: it is kept as the spec says, and is deleted
/// with it. Whoever creates, configures, deletes or claims topics asks here.
pub fn is_own(state: TopicState) -> bool {
    match state {
        TopicState::Creating | TopicState::Created => true,
        TopicState::Found => false,
    }
}

/// One StockWatch of one API server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.creationTimestamp` in seconds since 1970: of two that want one name the older has it.
    pub created: i64,
    /// `metadata.uid`: decides between two of the same second.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object of an API server; `None` for one that no API server has stored.
    pub fn of(stockwatch: &StockWatch) -> Option<Self> {
        let metadata = &stockwatch.metadata;
        Some(Self {
            created: metadata.creation_timestamp.as_ref()?.0.as_second(),
            uid: metadata.uid.clone()?,
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
        })
    }
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicRole {
    /// Quotes as fetched.
    RawInput,
    /// Quotes without duplicates.
    AfterDedupStream,
    /// The workers' state.
    AfterDedupStorageTable,
    /// Moving averages.
    AveragesOutput,
    /// Alarms.
    DeviationAlarm,
    /// Records that are no quotes.
    DeadLetter,
    /// What paper accounts do.
    Ledger,
}

impl TopicRole {
    /// The member of `spec.kafka.topics`.
    pub fn field(self) -> &'static str {
        match self {
            Self::RawInput => "rawInput",
            Self::AfterDedupStream => "afterDedupStream",
            Self::AfterDedupStorageTable => "afterDedupStorageTable",
            Self::AveragesOutput => "averagesOutput",
            Self::DeviationAlarm => "deviationAlarm",
            Self::DeadLetter => "deadLetter",
            Self::Ledger => "ledger",
        }
    }

    /// What it is for a worker that restores its state; `None`: nothing.
    pub(super) fn state(self) -> Option<StateTopic> {
        match self {
            Self::RawInput => Some(StateTopic::RawInput),
            Self::AfterDedupStorageTable => Some(StateTopic::StorageTable),
            _ => None,
        }
    }

    /// Its partitions hold state, or are where state belongs: their count never changes.
    pub(super) fn is_fixed(self) -> bool {
        self.state().is_some()
    }
}

/// What a StockWatch wants of Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The StockWatch.
    pub who: ObjectKey,
    /// Its consumer group.
    pub group: String,
    /// Its topics.
    pub topics: Vec<WantedTopic>,
    /// The cluster that its status names; `None` before it was reached.
    pub cluster_id: Option<String>,
}

/// One topic as wanted, and what the status says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    /// What it is for.
    pub role: TopicRole,
    /// Its name in Kafka.
    pub name: String,
    /// `None`: the broker's default, or for an output topic the raw topic's count.
    pub partitions: Option<i32>,
    /// `None`: the broker's default.
    pub replication_factor: Option<i32>,
    /// Settings to create it with, and to keep while it is ours.
    pub config: BTreeMap<String, String>,
    /// Settings to create it with besides.
    pub at_creation_only: BTreeMap<String, String>,
    /// Those of them that the user wrote: they are kept on a topic that existed before, too.
    pub named: BTreeSet<String>,
    /// The spec asks for it; `false`: it is kept as long as it is there, and not created again.
    pub asked: bool,
    /// The StockWatch writes it; `false`: someone else's raw topic, only looked at.
    pub writes: bool,
    /// What the status says of it.
    pub state: Option<TopicState>,
}

impl Wanted {
    /// Returns what a stored object and its parsed spec want; `None` for an object that no API server has stored.
    pub fn of(stockwatch: &StockWatch, spec: &Spec) -> Option<Self> {
        let status = stockwatch.status.as_ref();
        let written = stockwatch.spec.kafka.topics.as_ref();
        let state = |name: &str| status?.topics.iter().find(|topic| topic.name == name).map(|t| t.state);
        let topics = &spec.kafka.topics;
        let wanted = |role: TopicRole, topic: &Topic| WantedTopic {
            role,
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            config: topic.config.clone(),
            at_creation_only: topic.at_creation_only.clone(),
            named: written.and_then(|topics| named(topics, role)).unwrap_or_default(),
            asked: role != TopicRole::Ledger || spec.trade.is_some(),
            writes: role != TopicRole::RawInput || !spec.source.is_external(),
            state: state(&topic.name),
        };
        // A ledger outlives its accounts: it stays ours, and goes with the StockWatch.
        let ledger = wanted(TopicRole::Ledger, &topics.ledger);
        let ledger = (ledger.asked || ledger.state.is_some()).then_some(ledger);
        let others = [
            wanted(TopicRole::RawInput, &topics.raw_input),
            wanted(TopicRole::AfterDedupStream, &topics.after_dedup_stream),
            wanted(TopicRole::AfterDedupStorageTable, &topics.after_dedup_storage_table),
            wanted(TopicRole::AveragesOutput, &topics.averages_output),
            wanted(TopicRole::DeviationAlarm, &topics.deviation_alarm),
            wanted(TopicRole::DeadLetter, &topics.dead_letter),
        ];
        Some(Self {
            who: ObjectKey::of(stockwatch)?,
            group: spec.kafka.group_id.clone(),
            topics: others.into_iter().chain(ledger).collect(),
            cluster_id: status.and_then(|status| status.kafka_cluster_id.clone()),
        })
    }

    pub(super) fn of_role(&self, role: TopicRole) -> Option<&WantedTopic> {
        self.topics.iter().find(|topic| topic.role == role)
    }
}

impl WantedTopic {
    /// Returns the settings to create it with.
    pub(super) fn at_creation(&self) -> BTreeMap<String, String> {
        let all = self.config.iter().chain(&self.at_creation_only);
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The status says that the StockWatch created it, or is about to.
    pub(super) fn is_ours(&self) -> bool {
        self.state.is_some_and(is_own)
    }

    /// The settings to keep: all of them on our own topic, on another's only what the user wrote.
    pub(super) fn settings(&self) -> BTreeMap<&str, &str> {
        let keeps = |key: &str| self.writes && (self.is_ours() || self.named.contains(key));
        self.config
            .iter()
            .filter(|(key, _)| keeps(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
}

/// The settings that the user wrote.
fn named(topics: &TopicsSpec, role: TopicRole) -> Option<BTreeSet<String>> {
    let topic: &Option<TopicSpec> = match role {
        TopicRole::RawInput => &topics.raw_input,
        TopicRole::AfterDedupStream => &topics.after_dedup_stream,
        TopicRole::AfterDedupStorageTable => &topics.after_dedup_storage_table,
        TopicRole::AveragesOutput => &topics.averages_output,
        TopicRole::DeviationAlarm => &topics.deviation_alarm,
        TopicRole::DeadLetter => &topics.dead_letter,
        TopicRole::Ledger => &topics.ledger,
    };
    Some(topic.as_ref()?.config.as_ref()?.keys().cloned().collect())
}
