//! What becomes of the workers: pure.

use stockwatch_crds::v1alpha1::TopicState;
use stockwatch_crds::{Spec, StockWatchStatus};

use crate::credentials::Known;
use crate::rollout::Rollout;
use crate::status::{Condition, Holds, said};
use crate::topics::{self, Observed};

/// What becomes of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They run as the spec says.
    Run,
    /// None runs: the user says so.
    Suspend,
    /// None runs: it would do harm.
    Stop,
    /// They start once the topics are there.
    WaitForTopics,
    /// They stay as they are until their new connection is known to work.
    WaitForConnection,
    /// They stay as they are: it is not known how they should be.
    Leave,
}

/// The decision, and the digest of the connection for the pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of the workers.
    pub decision: Decision,
    /// `None`: the Deployment is not applied.
    pub connection: Option<String>,
}

impl Plan {
    fn leave(decision: Decision) -> Self {
        Self { decision, connection: None }
    }

    /// The plan where the pods may not be given what the spec says: those that run stay as they are, none starts.
    pub fn withhold(self) -> Self {
        match self.decision {
            Decision::Run => Self::leave(Decision::Leave),
            _ => self,
        }
    }
}

/// What is decided from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The parsed spec; `None`: it breaks rules.
    pub spec: Option<&'a Spec>,
    /// What was said last.
    pub status: Option<&'a StockWatchStatus>,
    /// How Kafka is reached.
    pub access: &'a Known,
    /// What Kafka says; `None`: it is not asked.
    pub kafka: Option<&'a Observed>,
    /// The workers that there are.
    pub rollout: Option<&'a Rollout>,
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Plan {
    let Facts { spec, access, kafka, rollout, .. } = *facts;
    let Some(spec) = spec else { return Plan::leave(Decision::Leave) };
    let digest = access.access.as_ref().map(|access| access.digest.clone());
    let running = rollout.map(|rollout| rollout.connection.clone().unwrap_or_default());

    let problem = match kafka {
        Some(Observed::Known { problem, .. }) => problem.as_ref().map(|problem| problem.reason),
        _ => None,
    };
    // Those that run still reach the cluster that they know: another one behind new addresses does them no harm.
    let runs = running.is_some() && rollout.is_some_and(|rollout| rollout.wanted > 0);
    if problem == Some(topics::KafkaReason::ClusterChanged) && runs && running != digest && !spec.suspend {
        return Plan::leave(Decision::WaitForConnection);
    }
    let harm = problem.is_some_and(topics::KafkaReason::stops_worker);
    if harm || spec.suspend {
        let decision = if spec.suspend { Decision::Suspend } else { Decision::Stop };
        // No pod is rolled by it: there is none. Without a Deployment there is nothing to scale down.
        let connection = running.map(|running| digest.unwrap_or(running));
        return Plan { decision, connection };
    }
    let Some(digest) = digest else { return Plan::leave(Decision::Leave) };
    let known = matches!(kafka, Some(Observed::Known { .. }));
    // Those that were scaled to zero may have been so for a reason that still holds: they start like the first ones.
    match running.filter(|_| rollout.is_some_and(|rollout| rollout.wanted > 0)) {
        // A connection that is not known to work is given to no running worker.
        Some(running) if running != digest && !known => Plan::leave(Decision::WaitForConnection),
        Some(_) => Plan { decision: Decision::Run, connection: Some(digest) },
        None if are_there(facts, spec) => Plan { decision: Decision::Run, connection: Some(digest) },
        None => Plan::leave(Decision::WaitForTopics),
    }
}

/// Every topic exists: Kafka says so, or the status, of workers whose Deployment somebody deleted.
fn are_there(facts: &Facts<'_>, spec: &Spec) -> bool {
    let topics = match (facts.kafka, facts.status, facts.rollout) {
        (Some(Observed::Known { topics, .. }), ..) => topics,
        (_, Some(status), None) if said(status, Condition::TopicsReady).is_some_and(held) => &status.topics,
        _ => return false,
    };
    spec.kafka.topics.iter().all(|wanted| {
        topics.iter().any(|topic| topic.name == wanted.name && topic.state != TopicState::Creating)
    })
}

/// The topics were as wanted as long as Kafka could be asked.
fn held(said: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> bool {
    said.status == Holds::True.as_str() || said.reason == topics::KafkaReason::KafkaUnreachable.as_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::json;
    use stockwatch_crds::StockWatch;
    use stockwatch_crds::v1alpha1::TopicStatus;

    use super::*;
    use crate::credentials::Access;
    use crate::rollout::Progress;
    use crate::topics::{Connection, KafkaProblem, KafkaReason};

    fn spec(suspend: bool) -> Spec {
        let stockwatch: StockWatch = serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market"},
            "spec": {
                "tickers": [{"symbol": "META"}],
                "kafka": {"bootstrapServers": "kafka:9092"},
                "suspend": suspend,
            },
        }))
        .unwrap();
        Spec::parse(&stockwatch).unwrap()
    }

    fn access(digest: &str) -> Known {
        let connection = Connection::new("kafka:9092", None, None).unwrap();
        let access = Some(Access { connection, digest: digest.into() });
        Known { access, problem: None, again: None }
    }

    fn rollout(connection: &str) -> Rollout {
        Rollout {
            observed: true,
            wanted: 1,
            replicas: 1,
            updated: 1,
            ready: 1,
            progress: Progress::Complete,
            refusal: None,
            image: "worker:1".into(),
            connection: Some(connection.into()),
            template: None,
            wishes: None,
        }
    }

    fn known(state: TopicState, problem: Option<KafkaReason>) -> Observed {
        let topic = |name: &str| TopicStatus {
            name: name.into(),
            partitions: Some(1),
            replication_factor: Some(1),
            state,
        };
        let topics = spec(false).kafka.topics.iter().map(|wanted| topic(&wanted.name)).collect();
        let problem = problem.map(|reason| KafkaProblem { reason, message: "no".into() });
        Observed::Known { cluster_id: "c".into(), topics, problem, writers_stamp: false }
    }

    fn down() -> Observed {
        Observed::Unreachable(KafkaProblem { reason: KafkaReason::KafkaUnreachable, message: "no".into() })
    }

    fn planned(spec: &Spec, access: &Known, kafka: Option<&Observed>, rollout: Option<&Rollout>) -> Plan {
        decide(&Facts { spec: Some(spec), status: None, access, kafka, rollout })
    }

    fn decided(kafka: &Observed, running: Option<&Rollout>) -> Decision {
        planned(&spec(false), &access("new"), Some(kafka), running).decision
    }

    #[test]
    fn the_first_workers_start_when_every_topic_is_there() {
        for kafka in [Observed::Pending, down(), known(TopicState::Creating, None)] {
            assert_eq!(decided(&kafka, None), Decision::WaitForTopics);
        }
        for state in [TopicState::Created, TopicState::Found] {
            assert_eq!(decided(&known(state, None), None), Decision::Run);
        }
    }

    #[test]
    fn a_deployment_that_somebody_deleted_comes_back_without_kafka() {
        let Observed::Known { topics, .. } = known(TopicState::Created, None) else { panic!() };
        let conditions = |status: &str, reason: &str| {
            serde_json::from_value(json!([{
                "type": "TopicsReady", "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]))
            .unwrap()
        };
        let decided = |status: &str, reason: &str, rollout| {
            let conditions = conditions(status, reason);
            let status =
                StockWatchStatus { topics: topics.clone(), conditions, ..StockWatchStatus::default() };
            let (spec, access, kafka) = (spec(false), access("new"), down());
            let facts = Facts {
                spec: Some(&spec),
                status: Some(&status),
                access: &access,
                kafka: Some(&kafka),
                rollout,
            };
            decide(&facts).decision
        };
        assert_eq!(decided("True", "TopicsAsWanted", None), Decision::Run);
        assert_eq!(decided("False", "KafkaUnreachable", None), Decision::Run);
        assert_eq!(decided("False", "ClusterChanged", None), Decision::WaitForTopics);
        let stopped = Rollout { wanted: 0, ..rollout("new") };
        assert_eq!(decided("False", "KafkaUnreachable", Some(&stopped)), Decision::WaitForTopics);
    }

    #[test]
    fn running_workers_do_not_depend_on_kafka() {
        for kafka in [Observed::Pending, down(), known(TopicState::Creating, None)] {
            assert_eq!(decided(&kafka, Some(&rollout("new"))), Decision::Run);
        }
    }

    #[test]
    fn running_workers_keep_their_connection_until_the_new_one_works() {
        for kafka in [Observed::Pending, down()] {
            assert_eq!(decided(&kafka, Some(&rollout("old"))), Decision::WaitForConnection);
        }
        let plan = planned(
            &spec(false),
            &access("new"),
            Some(&known(TopicState::Created, None)),
            Some(&rollout("old")),
        );
        assert_eq!(plan, Plan { decision: Decision::Run, connection: Some("new".into()) });
    }

    #[test]
    fn what_would_do_harm_is_scaled_down_and_never_started() {
        let conflict = known(TopicState::Created, Some(KafkaReason::TopicConflict));
        let plan = |running| planned(&spec(false), &access("new"), Some(&conflict), running);
        assert_eq!(plan(None), Plan::leave(Decision::Stop));
        assert_eq!(plan(Some(&rollout("new"))).connection.as_deref(), Some("new"));
        let lesser = known(TopicState::Created, Some(KafkaReason::ReplicationFactorImmutable));
        assert_eq!(decided(&lesser, None), Decision::Run);
    }

    #[test]
    fn workers_go_on_in_their_cluster_when_new_addresses_lead_to_another_one() {
        let changed = known(TopicState::Created, Some(KafkaReason::ClusterChanged));
        assert_eq!(decided(&changed, Some(&rollout("old"))), Decision::WaitForConnection);
        assert_eq!(
            decided(&changed, Some(&rollout("new"))),
            Decision::Stop,
            "their own addresses lead there"
        );
        assert_eq!(decided(&changed, Some(&Rollout { wanted: 0, ..rollout("old") })), Decision::Stop);
        assert_eq!(decided(&changed, None), Decision::Stop);
    }

    #[test]
    fn what_was_scaled_down_starts_again_only_when_it_is_known_to_do_no_harm() {
        let stopped = Rollout { wanted: 0, ..rollout("new") };
        for kafka in [Observed::Pending, down()] {
            assert_eq!(decided(&kafka, Some(&stopped)), Decision::WaitForTopics);
        }
        assert_eq!(decided(&known(TopicState::Created, None), Some(&stopped)), Decision::Run);
    }

    #[test]
    fn what_pods_may_not_be_given_starts_and_rolls_none_and_delays_no_stop() {
        let run = Plan { decision: Decision::Run, connection: Some("new".into()) };
        assert_eq!(run.withhold(), Plan::leave(Decision::Leave));
        for decision in [Decision::Stop, Decision::Suspend] {
            let plan = Plan { decision, connection: Some("new".into()) };
            assert_eq!(plan.clone().withhold(), plan);
        }
    }

    #[test]
    fn suspension_needs_neither_kafka_nor_secrets() {
        let none = Known { access: None, problem: None, again: None };
        let plan = planned(&spec(true), &none, Some(&down()), Some(&rollout("old")));
        assert_eq!(plan, Plan { decision: Decision::Suspend, connection: Some("old".into()) });
        assert_eq!(planned(&spec(true), &none, None, None), Plan::leave(Decision::Suspend));
    }

    #[test]
    fn without_credentials_running_workers_stay_as_they_are() {
        let none = Known { access: None, problem: None, again: None };
        assert_eq!(planned(&spec(false), &none, None, Some(&rollout("old"))), Plan::leave(Decision::Leave));
    }
}
