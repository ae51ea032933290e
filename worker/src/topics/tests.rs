#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use rdkafka::mocking::MockCluster;
use stockwatch_crds::{DeletionPolicy, Kafka};

use super::*;

fn topic(name: &str) -> Topic {
    Topic {
        name: name.into(),
        partitions: None,
        replication_factor: None,
        config: BTreeMap::new(),
        at_creation_only: BTreeMap::new(),
    }
}

pub(crate) fn kafka(bootstrap: &str) -> Kafka {
    Kafka {
        bootstrap_servers: bootstrap.into(),
        tls: None,
        sasl: None,
        group_id: "ns.test".into(),
        topics: Topics {
            raw_input: topic("raw"),
            after_dedup_stream: topic("stream"),
            after_dedup_storage_table: topic("table"),
            averages_output: topic("averages"),
            deviation_alarm: topic("alarms"),
            dead_letter: topic("dead"),
            ledger: topic("ledger"),
        },
        deletion_policy: DeletionPolicy::Retain,
    }
}

fn topics() -> Topics {
    kafka("").topics
}

fn found(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn planned(topics: &Topics, existing: &[(&str, i32)]) -> Vec<(String, i32)> {
    let planned = plan(topics, &found(existing)).unwrap();
    planned.into_iter().map(|planned| (planned.topic.name.clone(), planned.partitions)).collect()
}

#[test]
fn without_counts_the_brokers_default_is_taken_for_all() {
    let planned = planned(&topics(), &[]);
    assert_eq!(planned.len(), 6);
    assert!(planned.iter().all(|(_, count)| *count == -1), "{planned:?}");
}

#[test]
fn outputs_and_table_follow_the_raw_topic() {
    let mut topics = topics();
    topics.raw_input.partitions = Some(6);
    topics.deviation_alarm.partitions = Some(1);
    let planned = planned(&topics, &[]);
    for (name, count) in planned {
        assert_eq!(count, if name == "alarms" { 1 } else { 6 }, "{name}");
    }
}

#[test]
fn a_topic_is_created_with_what_is_for_its_creation_alone() {
    let mut topics = topics();
    let clock = ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned());
    topics.raw_input.at_creation_only.extend([clock]);
    for planned in plan(&topics, &found(&[])).unwrap() {
        let clock = planned.config.get("message.timestamp.type").map(String::as_str);
        assert_eq!(clock, (planned.field == "rawInput").then_some("LogAppendTime"), "{}", planned.field);
    }
}

#[test]
fn what_exists_decides_over_what_is_asked_for() {
    let mut topics = topics();
    topics.raw_input.partitions = Some(6);
    let rest = planned(&topics, &[("raw", 3), ("stream", 1), ("averages", 1)]);
    assert_eq!(rest, [("table".into(), 3), ("alarms".into(), 3), ("dead".into(), 3)]);
    topics.raw_input.partitions = None;
    let rest = planned(&topics, &[("table", 4), ("stream", 1), ("averages", 1), ("alarms", 1), ("dead", 1)]);
    assert_eq!(rest, [("raw".into(), 4)], "a lost raw topic comes back as its table needs it");
}

#[test]
fn counts_that_cannot_fit_are_refused_before_anything_is_created() {
    let mut topics = topics();
    topics.after_dedup_storage_table.partitions = Some(2);
    let error = plan(&topics, &found(&[("raw", 3)])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("raw") && text.contains("3 partitions") && text.contains("table"), "{text}");
    assert!(!error.is_retriable());
}

#[test]
fn a_refusal_names_the_field_and_what_to_do() {
    let mut wanted = topic("raw");
    wanted.replication_factor = Some(3);
    wanted.config.insert("retention.hours".into(), "1".into());
    let planned = Planned { field: "rawInput", topic: &wanted, partitions: 6, config: wanted.config.clone() };
    for (code, words) in [
        (RDKafkaErrorCode::InvalidReplicationFactor, ["rawInput.replicationFactor", "3 replicas"]),
        (RDKafkaErrorCode::InvalidConfig, ["rawInput.config", "retention.hours=1"]),
        (RDKafkaErrorCode::TopicAuthorizationFailed, ["rawInput", "grant Create"]),
        (RDKafkaErrorCode::InvalidPartitions, ["rawInput.partitions", "6"]),
        (RDKafkaErrorCode::PolicyViolation, ["rawInput", "policy"]),
    ] {
        let text = planned.refusal(code);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn existing_topics_are_taken_as_they_are() {
    let cluster = MockCluster::new(1).unwrap();
    for (_, topic) in named(&topics()) {
        cluster.create_topic(&topic.name, 3, 1).unwrap();
    }
    let connection = Connection::plaintext(&cluster.bootstrap_servers());
    assert_eq!(ensure(&connection, &topics()).unwrap(), RawPartitions(3));
}

#[test]
fn a_table_of_another_size_is_refused() {
    let cluster = MockCluster::new(1).unwrap();
    for (_, topic) in named(&topics()) {
        cluster.create_topic(&topic.name, if topic.name == "table" { 2 } else { 3 }, 1).unwrap();
    }
    let connection = Connection::plaintext(&cluster.bootstrap_servers());
    let error = ensure(&connection, &topics()).unwrap_err();
    assert!(matches!(error, TopicsError::PartitionsDiffer { .. }), "{error}");
}

#[test]
fn brokers_that_are_down_are_worth_another_try() {
    let connection = Connection::plaintext("127.0.0.1:1");
    let mut broker = Broker::new(&connection).unwrap();
    broker.deadline = Instant::now() + Duration::from_millis(500);
    let error = broker.partitions(&topics()).unwrap_err();
    assert!(error.is_retriable());
    assert!(error.to_string().contains("Kafka at 127.0.0.1:1 does not answer"), "{error}");
}
