//! StockWatches and clusters for the tests of this module.
#![allow(clippy::expect_used)]

use stockwatch_crds::{Spec, StockWatch};

use super::found::{FoundTopic, FoundTopics};
use super::wanted::Wanted;

/// A StockWatch of this name, created at this second, whose topics and group are named alike for all.
pub(super) fn stockwatch(name: &str, created: i64) -> StockWatch {
    let topic = |topic: &str| serde_json::json!({"name": format!("same.{topic}")});
    let time = format!("2026-01-01T00:00:{created:02}Z");
    serde_json::from_value(serde_json::json!({
        "apiVersion": "stockwatch.dev/v1alpha1",
        "kind": "StockWatch",
        "metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": time},
        "spec": {
            "tickers": [{"symbol": "META"}],
            "kafka": {
                "bootstrapServers": "kafka:9092",
                "groupId": "same",
                "topics": {
                    "rawInput": topic("raw"),
                    "afterDedupStream": topic("stream"),
                    "afterDedupStorageTable": topic("table"),
                    "averagesOutput": topic("averages"),
                    "deviationAlarm": topic("alarms"),
                    "deadLetter": topic("dead"),
                },
            },
        },
    }))
    .expect("a StockWatch")
}

/// What it wants.
pub(super) fn wanted(stockwatch: StockWatch) -> Wanted {
    let spec = Spec::parse(&stockwatch).expect("a valid spec");
    Wanted::of(&stockwatch, &spec).expect("an object of an API server")
}

/// All its topics, with so many partitions of one replica.
pub(super) fn topics(wanted: &Wanted, partitions: i32) -> FoundTopics {
    let found = FoundTopic { partitions, replication_factor: Some(1) };
    wanted.topics.iter().map(|topic| (topic.name.clone(), found)).collect()
}
