//! What the operator says of a StockWatch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_EDITS, MAX_FAILING, MAX_FAILING_REASON, MAX_SYMBOL};

/// What the operator says of a StockWatch.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StockWatchStatus {
    /// The generation that the operator has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The generation that every ready worker computes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_generation: Option<i64>,
    /// Ready, TopicsReady, WorkerAvailable, ConfigApplied and QuotesFlow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many tickers are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickers: Option<i32>,
    /// The windows, such as 5m,15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub windows: Option<String>,
    /// How many worker pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many worker pods are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The worker pods' label selector, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// The id of the Kafka cluster that the topics are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub kafka_cluster_id: Option<String>,
    /// The topics, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub topics: Vec<TopicStatus>,
    /// Tickers without a quote, ascending by symbol, at most 20: at once those that the source does not know, others
    /// after 15 minutes, and those without a new quote for 12 days. Written at most 12 times in an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_FAILING))]
    pub failing_tickers: Vec<FailingTicker>,
    /// What the last edit of tolerances, alarms, windows or tickers would have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_edit: Option<LastEdit>,
    /// The last changes of tolerances, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_EDITS))]
    pub edits: Vec<ToleranceEdit>,
}

impl StockWatchStatus {
    /// Lists changes of tolerances before those that are known, and forgets the oldest.
    pub fn list_edits(&mut self, edits: &[ToleranceEdit]) {
        self.edits = edits.iter().chain(&self.edits).take(MAX_EDITS).cloned().collect();
    }
}

/// A change of one tolerance, or of more than five in one edit.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ToleranceEdit {
    /// The generation that changed it.
    pub generation: i64,
    /// When the operator saw that.
    #[schemars(length(max = 32), extend("format" = "date-time"))]
    pub time: String,
    /// The window, such as 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub window: Option<String>,
    /// The ticker's symbol, where the tolerance is its own before or after the edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_SYMBOL))]
    pub ticker: Option<String>,
    /// The tolerance before; absent where the window is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub from: Option<String>,
    /// The one after; absent where the window is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub to: Option<String>,
    /// How many tolerances the edit changed, where they are more than five and none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<i32>,
}

/// What an edit would have changed, by the quotes that the raw topic holds.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastEdit {
    /// The edit's generation.
    pub generation: i64,
    /// Hours of quotes that were judged.
    pub hours: i32,
    /// How many partitions were evaluated: the figures are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Alarms by the rules before the edit.
    pub alarms_before: i64,
    /// Alarms by those after it.
    pub alarms_after: i64,
    /// Episodes by the rules before the edit.
    pub episodes_before: i64,
    /// Episodes by those after it.
    pub episodes_after: i64,
    /// Every partition was evaluated, over all of these hours.
    pub complete: bool,
}

/// A ticker without a quote.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailingTicker {
    /// The ticker's symbol.
    #[schemars(length(max = MAX_SYMBOL))]
    pub symbol: String,
    /// Why there is no quote, such as NotFound or Timeout; Untraded: there is no new one for 12 days; TwoPartitions: two
    /// partitions compute it.
    #[schemars(length(max = MAX_FAILING_REASON))]
    pub reason: String,
    /// Since when.
    #[schemars(length(max = 32), extend("format" = "date-time"))]
    pub since: String,
    /// What to do, where the reason does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// A topic, as it is.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name in Kafka.
    #[schemars(length(max = 249))]
    pub name: String,
    /// How many partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// How many replicas each partition has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Whose it is.
    pub state: TopicState,
}

/// Whose a topic is.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    /// Ours, being created.
    Creating,
    /// Ours: this StockWatch created it.
    Created,
    /// Somebody's: it existed before.
    Found,
}
