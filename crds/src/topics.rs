//! The topics of a StockWatch: their effective names, counts and settings.

use std::collections::BTreeMap;

use crate::limits::{
    MAX_PARTITIONS, MAX_REPLICATION_FACTOR, MAX_SETTING_KEY, MAX_SETTING_VALUE, MAX_SETTINGS,
};
use crate::names::{KAFKA_NAME_RULE, is_kafka_name};
use crate::problem::{Problems, shown};
use crate::v1alpha1::{TopicSpec, TopicsSpec};

/// The setting that decides what Kafka removes of a topic.
pub const CLEANUP_POLICY: &str = "cleanup.policy";

/// The setting that decides whose clock stamps records.
pub const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// The brokers' clock, as a value of [`TIMESTAMP_TYPE`].
pub const LOG_APPEND_TIME: &str = "LogAppendTime";

/// What a storage table gets unless the user says otherwise: compacted early and in small segments, so that
/// restore reads little more than the live entities; records of up to 256 KiB fit with room.
const TABLE_CONFIG: [(&str, &str); 5] = [
    (CLEANUP_POLICY, "compact"),
    ("max.message.bytes", "1048588"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.bytes", "67108864"),
    ("segment.ms", "3600000"),
];

/// What a ledger gets unless the user says otherwise: what accounts did is not forgotten.
const LEDGER_CONFIG: [(&str, &str); 1] = [("retention.ms", "-1")];

/// The topics of a StockWatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Quotes as fetched.
    pub raw_input: Topic,
    /// Quotes without duplicates.
    pub after_dedup_stream: Topic,
    /// The last accepted quote and the checkpoint of each entity; compacted.
    pub after_dedup_storage_table: Topic,
    /// Moving averages.
    pub averages_output: Topic,
    /// Alarms.
    pub deviation_alarm: Topic,
    /// Records that are no quotes.
    pub dead_letter: Topic,
    /// What the paper accounts do. Only a StockWatch with `spec.trade` has it, so it is none of [`Topics::iter`].
    pub ledger: Topic,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name in Kafka.
    pub name: String,
    /// Partitions wanted; `None`: the broker's default, or for an output topic the raw topic's count.
    pub partitions: Option<i32>,
    /// Replicas wanted; `None`: the broker's default.
    pub replication_factor: Option<i32>,
    /// Settings to keep: our defaults with the user's laid over.
    pub config: BTreeMap<String, String>,
    /// Settings to create it with besides; a topic that exists keeps what it has.
    pub at_creation_only: BTreeMap<String, String>,
}

/// A topic that a worker restores its state from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateTopic {
    /// `rawInput`: a restart computes its newest records again.
    RawInput,
    /// `afterDedupStorageTable`: it holds all that is older.
    StorageTable,
}

impl StateTopic {
    /// Returns why `topic` cannot be used with this `cleanup.policy`, and the command that mends it. `None` where the
    /// policy keeps what a restart needs.
    pub fn loss(self, topic: &str, policy: &str) -> Option<String> {
        let (field, harmful, harm, right) = match self {
            Self::RawInput => (
                "rawInput",
                "compact",
                "removes quotes that a worker has yet to compute, or to compute again",
                "delete",
            ),
            Self::StorageTable => {
                ("afterDedupStorageTable", "delete", "deletes the state that a worker restores", "compact")
            }
        };
        policy.split(',').any(|part| part.trim() == harmful).then(|| {
            format!(
                "spec.kafka.topics.{field}: topic {topic} has {CLEANUP_POLICY}={policy}, which {harm}: \
                 kafka-configs.sh --bootstrap-server HOST:PORT --alter --topic {topic} --add-config {CLEANUP_POLICY}={right}"
            )
        })
    }
}

impl Topics {
    /// The topics that every StockWatch has, in the order of a quote's way through them.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        [
            &self.raw_input,
            &self.after_dedup_stream,
            &self.after_dedup_storage_table,
            &self.averages_output,
            &self.deviation_alarm,
            &self.dead_letter,
        ]
        .into_iter()
    }

    /// `prefix` is `<namespace>.<name>`; `has_ledger`: the StockWatch has accounts.
    pub(crate) fn parse(
        topics: Option<&TopicsSpec>,
        has_ledger: bool,
        prefix: &str,
        problems: &mut Problems,
    ) -> Self {
        let absent = TopicsSpec::default();
        let spec = topics.unwrap_or(&absent);
        let mut topic = |member: &str, suffix: &str, spec: &Option<TopicSpec>, defaults: &[(&str, &str)]| {
            Topic::parse(
                spec.as_ref(),
                format!("{prefix}.{suffix}"),
                &format!("spec.kafka.topics.{member}"),
                defaults,
                problems,
            )
        };
        let topics = Self {
            raw_input: topic("rawInput", "raw-input", &spec.raw_input, &[])
                .stamped_by_brokers(&spec.raw_input),
            after_dedup_stream: topic(
                "afterDedupStream",
                "after-dedup-stream",
                &spec.after_dedup_stream,
                &[],
            ),
            after_dedup_storage_table: topic(
                "afterDedupStorageTable",
                "after-dedup-storage-table",
                &spec.after_dedup_storage_table,
                &TABLE_CONFIG,
            ),
            averages_output: topic("averagesOutput", "averages-output", &spec.averages_output, &[]),
            deviation_alarm: topic("deviationAlarm", "deviation-alarm", &spec.deviation_alarm, &[]),
            dead_letter: topic("deadLetter", "dead-letter", &spec.dead_letter, &[]),
            ledger: topic("ledger", "ledger", &spec.ledger, &LEDGER_CONFIG),
        };
        topics.check_state(problems);
        topics.check_distinct(has_ledger || spec.ledger.is_some(), problems);
        topics
    }

    fn check_state(&self, problems: &mut Problems) {
        if self.raw_input.config.get(CLEANUP_POLICY).is_some_and(|policy| policy.contains("compact")) {
            problems.add(
                "spec.kafka.topics.rawInput.config",
                "cleanup.policy cannot have \"compact\": it would remove quotes that a worker has yet to compute",
            );
        }
        if self.after_dedup_storage_table.config.get(CLEANUP_POLICY).is_none_or(|policy| policy != "compact")
        {
            problems.add(
                "spec.kafka.topics.afterDedupStorageTable.config",
                "cleanup.policy can only be \"compact\": any other would delete the state that \
                 a worker restores",
            );
        }
        let (raw, table) = (self.raw_input.partitions, self.after_dedup_storage_table.partitions);
        if let (Some(raw), Some(table)) = (raw, table)
            && raw != table
        {
            problems.add(
                "spec.kafka.topics.afterDedupStorageTable.partitions",
                format!(
                    "{table} differs from the {raw} of rawInput: the two must be equal, \
                     since each raw partition keeps its state in the table's partition of its number"
                ),
            );
        }
    }

    fn check_distinct(&self, with_ledger: bool, problems: &mut Problems) {
        let mut seen = BTreeMap::new();
        for topic in self.iter().chain(with_ledger.then_some(&self.ledger)) {
            // Brokers refuse two names that differ only in '.' and '_', since their metrics would collide.
            if let Some(other) = seen.insert(topic.name.replace('.', "_"), &topic.name) {
                problems.add(
                    "spec.kafka.topics",
                    format!(
                        "{} and {} are one topic for Kafka: all must have different names",
                        shown(other),
                        shown(&topic.name)
                    ),
                );
            }
        }
    }
}

impl Topic {
    /// Returns the settings to create it with.
    pub fn at_creation(&self) -> BTreeMap<String, String> {
        self.config
            .iter()
            .chain(&self.at_creation_only)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// An event time is bounded by its record's stamp: with the brokers' clock, no fast clock of a writer can put quotes
    /// ahead of all that follow.
    fn stamped_by_brokers(mut self, spec: &Option<TopicSpec>) -> Self {
        let is_bare = spec.as_ref().is_some_and(|spec| spec.defaults == Some(false));
        if !is_bare && !self.config.contains_key(TIMESTAMP_TYPE) {
            self.at_creation_only.insert(TIMESTAMP_TYPE.to_owned(), LOG_APPEND_TIME.to_owned());
        }
        self
    }

    fn parse(
        spec: Option<&TopicSpec>,
        default_name: String,
        path: &str,
        defaults: &[(&str, &str)],
        problems: &mut Problems,
    ) -> Self {
        // What keeps state is no matter of taste.
        let all = spec.is_none_or(|spec| spec.defaults != Some(false));
        let mut config: BTreeMap<String, String> = defaults
            .iter()
            .filter(|(key, _)| all || *key == CLEANUP_POLICY)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let Some(spec) = spec else {
            return Self {
                name: default_name,
                partitions: None,
                replication_factor: None,
                config,
                at_creation_only: BTreeMap::new(),
            };
        };
        if let Some(name) = &spec.name
            && !is_kafka_name(name)
        {
            problems.add(
                format!("{path}.name"),
                format!("{} is not a topic name: {KAFKA_NAME_RULE}", shown(name)),
            );
        }
        check_range(spec.partitions, MAX_PARTITIONS, &format!("{path}.partitions"), problems);
        check_range(
            spec.replication_factor,
            MAX_REPLICATION_FACTOR,
            &format!("{path}.replicationFactor"),
            problems,
        );
        if let Some(settings) = &spec.config {
            if settings.len() > MAX_SETTINGS {
                problems
                    .add(format!("{path}.config"), format!("at most {MAX_SETTINGS} settings are allowed"));
            }
            for (key, value) in settings {
                let lengths = (key.chars().count(), value.chars().count());
                if lengths.0 > MAX_SETTING_KEY || lengths.1 > MAX_SETTING_VALUE {
                    problems.add(
                        format!("{path}.config"),
                        format!(
                            "the setting {} is too long: names of at most {MAX_SETTING_KEY} and values of \
                             at most {MAX_SETTING_VALUE} characters are allowed",
                            shown(key)
                        ),
                    );
                }
            }
            config.extend(settings.clone());
        }
        Self {
            name: spec.name.clone().unwrap_or(default_name),
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            config,
            at_creation_only: BTreeMap::new(),
        }
    }
}

fn check_range(value: Option<i32>, most: i32, path: &str, problems: &mut Problems) {
    if let Some(value) = value
        && !(1..=most).contains(&value)
    {
        problems.add(path, format!("{value} is out of range: 1 to {most} is allowed"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn defaults_can_be_left_out_but_for_the_one_that_keeps_state() {
        let parsed = |spec: serde_json::Value| {
            let spec: TopicSpec = serde_json::from_value(spec).unwrap();
            let mut problems = Problems::default();
            Topic::parse(Some(&spec), "table".into(), "path", &TABLE_CONFIG, &mut problems).config
        };
        let config = serde_json::json!({"segment.ms": "1"});
        let bare = parsed(serde_json::json!({"defaults": false, "config": config}));
        assert!(
            bare.iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .eq([("cleanup.policy", "compact"), ("segment.ms", "1")])
        );
        assert_eq!(parsed(serde_json::json!({"config": config})).len(), TABLE_CONFIG.len());
    }

    #[test]
    fn a_policy_that_loses_state_is_named_with_the_command_that_mends_it() {
        let loss = StateTopic::StorageTable.loss("table", "compact,delete").unwrap();
        assert!(loss.contains("topic table has cleanup.policy=compact,delete"), "{loss}");
        assert!(loss.ends_with("--alter --topic table --add-config cleanup.policy=compact"), "{loss}");
        let loss = StateTopic::RawInput.loss("raw", "compact").unwrap();
        assert!(loss.ends_with("--add-config cleanup.policy=delete"), "{loss}");
    }

    #[test]
    fn brokers_stamp_the_records_of_a_raw_topic_unless_the_user_says_otherwise() {
        let created = |raw: serde_json::Value| {
            let spec: TopicsSpec = serde_json::from_value(serde_json::json!({"rawInput": raw})).unwrap();
            let topics = Topics::parse(Some(&spec), false, "a", &mut Problems::default());
            assert_eq!(topics.averages_output.at_creation(), BTreeMap::new());
            topics.raw_input.at_creation().remove(TIMESTAMP_TYPE)
        };
        assert_eq!(created(serde_json::json!({})).as_deref(), Some(LOG_APPEND_TIME));
        assert_eq!(created(serde_json::json!({"defaults": false})), None);
        let own = serde_json::json!({"config": {"message.timestamp.type": "CreateTime"}});
        assert_eq!(created(own).as_deref(), Some("CreateTime"));
    }

    #[test]
    fn a_policy_that_keeps_state_is_fine() {
        assert_eq!(StateTopic::StorageTable.loss("table", "compact"), None);
        assert_eq!(StateTopic::RawInput.loss("raw", "delete"), None);
        for topic in [StateTopic::StorageTable, StateTopic::RawInput] {
            assert_eq!(topic.loss("kept", ""), None, "Kafka 4 takes it for: keep everything");
        }
    }
}
