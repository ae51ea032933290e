//! What a StockWatch looks like in the tests of its status.
#![allow(clippy::unwrap_used)]

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use stockwatch_crds::v1alpha1::{ToleranceEdit, TopicState, TopicStatus};

use super::*;
use crate::credentials;
use crate::reconcile::{Decision, HeldRollout, ObjectProblem};
use crate::rollout::{Progress, Rollout};
use crate::topics::{KafkaProblem, KafkaReason};
use crate::workers::{Answer, Pod, Report};

/// A StockWatch and what was seen of it; at first all is well.
pub(super) struct Scene {
    pub(super) stockwatch: StockWatch,
    pub(super) access: Option<credentials::SecretProblem>,
    pub(super) kafka: Option<Observed>,
    pub(super) decision: Decision,
    pub(super) objects: Vec<ObjectProblem>,
    pub(super) rollout: Option<Rollout>,
    pub(super) pods: Option<String>,
    pub(super) turn: Option<HeldRollout>,
    pub(super) report: Report,
    pub(super) source: Option<credentials::SecretProblem>,
    pub(super) quotes: Quotes,
    pub(super) edits: Vec<ToleranceEdit>,
}

pub(super) fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

impl Scene {
    pub(super) fn new() -> Self {
        let stockwatch: StockWatch = serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market", "uid": "u", "generation": 7},
            "spec": {
                "tickers": [{"symbol": "META"}, {"symbol": "IBM"}],
                "windows": [{"duration": "5m", "tolerance": "1%"}, {"duration": "15m", "tolerance": "1%"}],
                "kafka": {"bootstrapServers": "kafka:9092"},
                "worker": {"replicas": 2},
            },
        }))
        .unwrap();
        Self {
            stockwatch,
            access: None,
            kafka: Some(known(TopicState::Created, None)),
            decision: Decision::Run,
            objects: Vec::new(),
            rollout: Some(rollout(2)),
            pods: None,
            turn: None,
            report: Report { pods: vec![answered("a", 7), answered("b", 7)] },
            source: None,
            quotes: Quotes::default(),
            edits: Vec::new(),
        }
    }

    /// As just applied: nothing is known.
    pub(super) fn fresh() -> Self {
        Self {
            kafka: Some(Observed::Pending),
            decision: Decision::WaitForTopics,
            rollout: None,
            report: Report::default(),
            ..Self::new()
        }
    }

    pub(super) fn status_at(&self, now: &Time) -> StockWatchStatus {
        let spec = Spec::parse(&self.stockwatch);
        let seen = Seen {
            stockwatch: &self.stockwatch,
            spec: spec.as_ref(),
            access: self.access.as_ref(),
            kafka: self.kafka.as_ref(),
            decision: self.decision,
            objects: &self.objects,
            rollout: self.rollout.as_ref(),
            pods: self.pods.as_deref(),
            turn: self.turn.as_ref(),
            report: &self.report,
            source: self.source.as_ref(),
            quotes: &self.quotes,
            edits: &self.edits,
        };
        status(&seen, now)
    }

    pub(super) fn status(&self) -> StockWatchStatus {
        self.status_at(&at(0))
    }

    /// The status is written.
    pub(super) fn write(&mut self) -> StockWatchStatus {
        let status = self.status();
        self.stockwatch.status = Some(status.clone());
        status
    }

    /// The user edits the spec.
    pub(super) fn edit(&mut self) {
        self.stockwatch.metadata.generation = Some(8);
    }
}

pub(super) fn known(state: TopicState, problem: Option<KafkaReason>) -> Observed {
    let topic = TopicStatus { name: "raw".into(), partitions: Some(3), replication_factor: Some(1), state };
    let problem = problem.map(|reason| KafkaProblem { reason, message: "the sentence".into() });
    Observed::Known { cluster_id: "c".into(), topics: vec![topic], problem, writers_stamp: false }
}

pub(super) fn unreachable() -> Observed {
    let reason = KafkaReason::KafkaUnreachable;
    Observed::Unreachable(KafkaProblem { reason, message: "no broker answers".into() })
}

pub(super) fn rollout(ready: i32) -> Rollout {
    Rollout {
        observed: true,
        wanted: 2,
        replicas: 2,
        updated: 2,
        ready,
        progress: Progress::Complete,
        refusal: None,
        image: "worker:1".into(),
        connection: Some("c".into()),
        template: None,
        wishes: None,
    }
}

pub(super) fn unasked(name: &str) -> Pod {
    Pod { name: name.into(), answer: None, unreachable: false }
}

pub(super) fn answered(name: &str, applied: i64) -> Pod {
    let answer = Answer {
        uid: "u".into(),
        applied: Some(applied),
        ignored: Vec::new(),
        refuses: false,
        last_edit: None,
        evaluating: false,
    };
    Pod { answer: Some(answer), ..unasked(name) }
}

/// Status and reason of each condition, in their order.
pub(super) fn summary(status: &StockWatchStatus) -> Vec<String> {
    status.conditions.iter().map(|said| format!("{}={} {}", said.type_, said.status, said.reason)).collect()
}

pub(super) fn condition(status: &StockWatchStatus, condition: Condition) -> String {
    let said = said(status, condition).unwrap();
    format!("{} {}", said.status, said.reason)
}

pub(super) fn ready(scene: &Scene) -> String {
    condition(&scene.status(), Condition::Ready)
}
