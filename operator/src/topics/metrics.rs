//! What is counted of Kafka; every label's values are listed here.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// A kind of call to the brokers; the label `call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening a connection.
    Connect,
    /// Looking at all topics.
    Look,
    /// Creating topics.
    Create,
    /// Asking whether topics would be created.
    Validate,
    /// Adding partitions.
    Grow,
    /// Reading topics' settings.
    Describe,
    /// Altering topics' settings.
    Alter,
    /// Deleting topics.
    DeleteTopics,
    /// Deleting consumer groups.
    DeleteGroups,
}

impl Call {
    /// Every value, in the order of the declaration.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Look,
        Self::Create,
        Self::Validate,
        Self::Grow,
        Self::Describe,
        Self::Alter,
        Self::DeleteTopics,
        Self::DeleteGroups,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Look => "look",
            Self::Create => "create",
            Self::Validate => "validate",
            Self::Grow => "grow",
            Self::Describe => "describe",
            Self::Alter => "alter",
            Self::DeleteTopics => "delete_topics",
            Self::DeleteGroups => "delete_groups",
        }
    }
}

impl EncodeLabelSet for Call {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("call", self.as_str()).encode(encoder.encode_label())
    }
}

/// What is counted of Kafka; clones count the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Calls that were answered.
    pub calls: Family<Call, Counter>,
    /// Calls that were not.
    pub failures: Family<Call, Counter>,
    /// Topics created.
    pub topics_created: Counter,
    /// Topics deleted.
    pub topics_deleted: Counter,
    /// Seconds of a round of work with one cluster, waiting for its turn left out.
    pub round_seconds: Histogram,
    /// Connections that StockWatches use.
    pub connections: Gauge,
    /// Those of them that do not answer.
    pub connections_down: Gauge,
}

impl Metrics {
    /// All at zero, with every label's values present, under names that begin with `kafka_`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            failures: Family::default(),
            topics_created: Counter::default(),
            topics_deleted: Counter::default(),
            round_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            connections: Gauge::default(),
            connections_down: Gauge::default(),
        };
        registry.register("kafka_calls", "Calls to Kafka that were answered", metrics.calls.clone());
        registry.register("kafka_call_failures", "Calls to Kafka that failed", metrics.failures.clone());
        registry.register("kafka_topics_created", "Topics created", metrics.topics_created.clone());
        registry.register("kafka_topics_deleted", "Topics deleted", metrics.topics_deleted.clone());
        registry.register(
            "kafka_round_seconds",
            "Time of a round of work with a Kafka cluster",
            metrics.round_seconds.clone(),
        );
        registry.register("kafka_connections", "Kafka connections in use", metrics.connections.clone());
        registry.register(
            "kafka_connections_down",
            "Kafka connections that do not answer",
            metrics.connections_down.clone(),
        );
        for call in &Call::ALL {
            drop(metrics.calls.get_or_create(call));
            drop(metrics.failures.get_or_create(call));
        }
        metrics
    }

    pub(super) fn called<T, E>(&self, call: Call, result: &Result<T, E>) {
        let family = if result.is_ok() { &self.calls } else { &self.failures };
        family.get_or_create(&call).inc();
    }

    pub(super) fn worked(&self, time: Duration) {
        self.round_seconds.observe(time.as_secs_f64());
    }
}
