//! Statuses for the test of Argo CD's health check: `tests/argocd/statuses.lua` is what this writes
//! (`STOCKWATCH_RECORD=1 cargo test recorded`).
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use stockwatch_crds::v1alpha1::TopicState;

use super::fixtures::{Scene, answered, at, known, unreachable};
use super::{deletion_waits, paused};
use crate::reconcile::Decision;
use crate::topics::{KafkaReason, Observed};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/argocd/statuses.lua");

/// A value as Lua has it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".into(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("[\"{key}\"] = {}", lua(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// Each with its name and the health that it stands for.
fn cases() -> Vec<(&'static str, &'static str, Scene)> {
    let written = |change: &dyn Fn(&mut Scene), second: i64| {
        let mut scene = Scene::new();
        change(&mut scene);
        scene.write();
        scene.stockwatch.status = Some(scene.status_at(&at(second)));
        scene
    };
    let edited = |change: &dyn Fn(&mut Scene)| {
        let mut scene = written(&|_| {}, 0);
        scene.edit();
        change(&mut scene);
        scene
    };
    let mut unseen = Scene::new();
    unseen.stockwatch.status = Some(serde_json::from_value(json!({"observedGeneration": -1})).unwrap());
    let mut asking = edited(&|scene| scene.kafka = Some(Observed::Pending));
    asking.write();
    let mut invalid = edited(&|scene| {
        scene.stockwatch.spec.tickers[1].name = Some("META".into());
        (scene.kafka, scene.decision) = (None, Decision::Leave);
    });
    invalid.write();
    let mut paused_one = written(&|_| {}, 0);
    paused_one.stockwatch.status = Some(paused(&paused_one.stockwatch, &at(5)));
    let mut deleted = written(&|_| {}, 0);
    deleted.stockwatch.status = Some(deletion_waits(&deleted.stockwatch, "no broker answers", &at(5)));
    deleted.stockwatch.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
    let first = |scene: &mut Scene| *scene = Scene::fresh();
    let away = |scene: &mut Scene| scene.kafka = Some(unreachable());
    let differ = |scene: &mut Scene| {
        scene.kafka = Some(known(TopicState::Created, Some(KafkaReason::PartitionsDiffer)));
        scene.decision = Decision::Stop;
    };
    let suspended = |scene: &mut Scene| {
        scene.decision = Decision::Suspend;
        scene.report.pods = vec![answered("a", 7)];
    };
    vec![
        ("one that no operator has seen", "Progressing", unseen),
        ("one that was just applied", "Progressing", written(&first, 0)),
        ("one that works", "Healthy", written(&|_| {}, 0)),
        ("an edit that the operator has not seen", "Progressing", edited(&|_| {})),
        ("an edit that Kafka has not seen", "Progressing", asking),
        ("an edit that breaks a rule", "Degraded", invalid),
        ("topics that do not fit together", "Degraded", written(&differ, 0)),
        ("brokers that are away for a moment", "Progressing", written(&away, 60)),
        ("brokers that are away", "Degraded", written(&away, 600)),
        ("one that is suspended", "Healthy", written(&suspended, 0)),
        ("one that is paused", "Degraded", paused_one),
        ("one whose deletion waits", "Progressing", deleted),
    ]
}

#[test]
fn the_recorded_statuses_are_those_that_are_written() {
    let mut text = String::from("-- Written by operator/src/status/recorded.rs; do not edit.\nreturn {\n");
    for (name, health, scene) in cases() {
        let metadata = &scene.stockwatch.metadata;
        let mut object = json!({
            "metadata": {"name": metadata.name, "generation": metadata.generation},
            "status": scene.stockwatch.status,
        });
        if let Some(deleted) = &metadata.deletion_timestamp {
            object["metadata"]["deletionTimestamp"] = json!(deleted);
        }
        writeln!(text, "  {{name = \"{name}\", health = \"{health}\", obj = {}}},", lua(&object)).unwrap();
    }
    text.push_str("}\n");
    if std::env::var_os("STOCKWATCH_RECORD").is_some() {
        std::fs::write(PATH, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PATH).unwrap(), text);
}
