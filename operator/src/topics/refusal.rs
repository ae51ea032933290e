//! What users read when the brokers refuse a request for one topic or group.

use std::collections::BTreeMap;
use std::fmt::Display;

use rdkafka::error::RDKafkaErrorCode;
use stockwatch_crds::CLEANUP_POLICY;

use super::observed::{KafkaProblem, KafkaReason};
use super::settings::Setting;
use super::wanted::{TopicRole, WantedTopic};
use crate::refusals::cut;

/// Whether the same call may succeed soon without any change.
pub(super) fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::ReassignmentInProgress
            | RDKafkaErrorCode::ThrottlingQuotaExceeded
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::Retry
            | RDKafkaErrorCode::InProgress
            | RDKafkaErrorCode::WaitCache
    )
}

/// Whether the Kafka user lacks a permission.
pub(super) fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

/// Why a topic was not created with so many partitions (-1: the broker's default).
pub(super) fn creation(topic: &WantedTopic, partitions: i32, code: RDKafkaErrorCode) -> KafkaProblem {
    let (field, name) = (format!("spec.kafka.topics.{}", topic.role.field()), &topic.name);
    if is_forbidden(code) {
        let sentence =
            format!("{field}: not allowed to create topic {name}: grant Create on it, or create it yourself");
        return KafkaProblem::new(KafkaReason::NotAuthorized, sentence);
    }
    let (reason, sentence) = match code {
        RDKafkaErrorCode::InvalidConfig => return config(topic, pairs(&topic.config), Some(code)),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            let asked = match topic.replication_factor {
                Some(factor) => format!("{factor} replicas"),
                None => "its default number of replicas".to_owned(),
            };
            let sentence = format!(
                "{field}.replicationFactor: Kafka cannot give topic {name} {asked}: not so many brokers run; ask for \
                 at most their number"
            );
            (KafkaReason::TopicRefused, sentence)
        }
        RDKafkaErrorCode::InvalidPartitions => (
            KafkaReason::TopicRefused,
            format!("{field}.partitions: Kafka refuses {partitions} partitions for topic {name}"),
        ),
        RDKafkaErrorCode::PolicyViolation => (
            KafkaReason::TopicRefused,
            format!(
                "{field}: the brokers' policy refuses topic {name} with {}: follow it, or create the topic yourself{}",
                asked(topic, partitions),
                left_out(topic)
            ),
        ),
        RDKafkaErrorCode::InvalidTopic => (
            KafkaReason::TopicRefused,
            format!(
                "{field}.name: Kafka refuses the name {name}: it may differ from another topic's only by '.' and '_'"
            ),
        ),
        RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::InvalidRequest => (
            KafkaReason::TopicRefused,
            format!("{field}: these brokers need partitions and replicationFactor set for topic {name}"),
        ),
        _ => (KafkaReason::TopicRefused, format!("{field}: Kafka refuses to create topic {name}: {code}")),
    };
    KafkaProblem::new(reason, sentence)
}

/// All that was asked for a new topic, in a bounded number of words.
fn asked(topic: &WantedTopic, partitions: i32) -> String {
    let count = |count: i32, of: &str| match count {
        ..0 => format!("the brokers' default of {of}"),
        count => format!("{count} {of}"),
    };
    let mut asked =
        vec![count(partitions, "partitions"), count(topic.replication_factor.unwrap_or(-1), "replicas")];
    asked.extend(pairs(&topic.at_creation()));
    cut(&asked.join(", "))
}

/// How to leave out settings that the user never wrote.
fn left_out(topic: &WantedTopic) -> String {
    let is_default = |name: &&String| !topic.named.contains(*name) && *name != CLEANUP_POLICY;
    let settings = topic.at_creation();
    let defaults: Vec<&str> = settings.keys().filter(is_default).map(String::as_str).collect();
    if defaults.is_empty() {
        return String::new();
    }
    let field = topic.role.field();
    format!(
        "; {} are defaults: spec.kafka.topics.{field}.defaults: false leaves them out",
        defaults.join(", ")
    )
}

/// Why a topic was not given more partitions.
pub(super) fn growth(topic: &WantedTopic, partitions: i32, code: RDKafkaErrorCode) -> KafkaProblem {
    let (field, name) = (topic.role.field(), &topic.name);
    if is_forbidden(code) {
        let sentence = format!(
            "spec.kafka.topics.{field}.partitions: not allowed to grow topic {name}: grant Alter on it"
        );
        return KafkaProblem::new(KafkaReason::NotAuthorized, sentence);
    }
    let sentence = format!(
        "spec.kafka.topics.{field}.partitions: Kafka refuses {partitions} partitions for topic {name}"
    );
    KafkaProblem::new(KafkaReason::TopicRefused, sentence)
}

/// Brokers do not take these settings (`name=value`, or the names alone).
pub(super) fn config(
    topic: &WantedTopic,
    settings: Vec<String>,
    code: Option<RDKafkaErrorCode>,
) -> KafkaProblem {
    let (field, name) = (topic.role.field(), &topic.name);
    let answer = code.map(|code| format!("; the brokers answer: {code}")).unwrap_or_default();
    let sentence = format!(
        "spec.kafka.topics.{field}.config: Kafka does not take all of these for topic {name} (unknown name, bad value, \
         or no AlterConfigs on it): {}{answer}{}",
        cut(&settings.join(", ")),
        left_out(topic)
    );
    KafkaProblem::new(KafkaReason::ConfigRefused, sentence)
}

/// The settings cannot be read.
pub(super) fn hidden(topic: &WantedTopic) -> KafkaProblem {
    let (field, name) = (topic.role.field(), &topic.name);
    let sentence = format!(
        "spec.kafka.topics.{field}.config: the settings of topic {name} cannot be read, so none is changed: grant \
         DescribeConfigs on it"
    );
    KafkaProblem::new(KafkaReason::NotAuthorized, sentence)
}

/// A topic would lose state by a setting that is not the operator's to alter.
pub(super) fn loss(topic: &WantedTopic, is: &[Setting]) -> Option<KafkaProblem> {
    let state = topic.role.state()?;
    if topic.settings().contains_key(CLEANUP_POLICY) {
        return None;
    }
    let policy = is.iter().find(|setting| setting.name == CLEANUP_POLICY)?.value.as_deref()?;
    Some(KafkaProblem::new(KafkaReason::TopicLosesState, state.loss(&topic.name, policy)?))
}

/// It is there, but not shown.
pub(super) fn invisible(topic: &WantedTopic) -> KafkaProblem {
    let (field, name) = (topic.role.field(), &topic.name);
    let sentence =
        format!("spec.kafka.topics.{field}: not allowed to look at topic {name}: grant Describe on it");
    KafkaProblem::new(KafkaReason::NotAuthorized, sentence)
}

/// What a problem means that leaves a topic missing: without a ledger there are alarms all the same.
pub(super) fn missing(topic: &WantedTopic, problem: KafkaProblem) -> KafkaProblem {
    if topic.role != TopicRole::Ledger {
        return problem;
    }
    let sentence =
        format!("{}; until it is there, workers raise alarms without paper accounts", problem.message);
    KafkaProblem::new(KafkaReason::LedgerMissing, sentence)
}

/// A topic is not deleted.
pub(super) fn deletion(name: &str, code: RDKafkaErrorCode) -> KafkaProblem {
    match code {
        _ if is_forbidden(code) => KafkaProblem::new(
            KafkaReason::NotAuthorized,
            format!("not allowed to delete topic {name}: grant Delete on it, or delete it yourself"),
        ),
        RDKafkaErrorCode::TopicDeletionDisabled => KafkaProblem::new(
            KafkaReason::TopicRefused,
            format!("the brokers delete no topics (delete.topic.enable): topic {name} stays"),
        ),
        _ => KafkaProblem::new(KafkaReason::TopicRefused, format!("Kafka refuses to delete topic {name}")),
    }
}

/// A consumer group is not deleted.
pub(super) fn group_deletion(group: &str, code: RDKafkaErrorCode) -> KafkaProblem {
    match code {
        _ if is_forbidden(code) => KafkaProblem::new(
            KafkaReason::NotAuthorized,
            format!(
                "not allowed to delete consumer group {group}: grant Delete on it, or delete it yourself"
            ),
        ),
        RDKafkaErrorCode::NonEmptyGroup => KafkaProblem::new(
            KafkaReason::GroupInUse,
            format!("consumer group {group} still has members: stop them"),
        ),
        _ => KafkaProblem::new(
            KafkaReason::TopicRefused,
            format!("Kafka refuses to delete consumer group {group}"),
        ),
    }
}

/// The settings that a topic is to have, as `name=value`.
pub(super) fn settings(topic: &WantedTopic) -> Vec<String> {
    pairs(&topic.settings())
}

fn pairs<T: Display>(settings: &BTreeMap<T, T>) -> Vec<String> {
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use stockwatch_crds::v1alpha1::TopicState;

    use super::*;
    use crate::topics::fixtures::{stockwatch, wanted};

    #[test]
    fn a_refused_default_is_named_with_the_way_to_leave_it_out() {
        let mut wanted = wanted(stockwatch("tech", 1));
        wanted.topics[2].state = Some(TopicState::Creating);
        let said = |topic: &WantedTopic, code| creation(topic, 3, code).message;
        for code in [RDKafkaErrorCode::InvalidConfig, RDKafkaErrorCode::PolicyViolation] {
            let message = said(&wanted.topics[2], code);
            assert!(message.contains("min.cleanable.dirty.ratio=0.1"), "{message}");
            assert!(message.ends_with("afterDedupStorageTable.defaults: false leaves them out"), "{message}");
            assert!(!said(&wanted.topics[1], code).contains("defaults"), "it has none");
        }
        wanted.topics[2].named = wanted.topics[2].config.keys().cloned().collect();
        assert!(
            !said(&wanted.topics[2], RDKafkaErrorCode::InvalidConfig).contains("defaults"),
            "all are the user's"
        );
    }

    #[test]
    fn a_ledger_that_cannot_be_created_has_a_reason_of_its_own() {
        let mut trading = stockwatch("tech", 1);
        trading.spec.trade = serde_json::from_value(serde_json::json!({"window": "5m"})).ok();
        let trading = wanted(trading);
        let problem = |place: usize| {
            let topic = &trading.topics[place];
            missing(topic, creation(topic, 3, RDKafkaErrorCode::TopicAuthorizationFailed))
        };
        assert_eq!(
            (problem(5).reason, problem(6).reason),
            (KafkaReason::NotAuthorized, KafkaReason::LedgerMissing)
        );
        assert!(problem(6).message.contains("grant Create on it"), "{}", problem(6).message);
        assert!(!KafkaReason::LedgerMissing.stops_worker());
    }

    #[test]
    fn a_policy_that_loses_state_is_a_problem_only_where_it_is_not_ours_to_alter() {
        let reason = |topic: &WantedTopic, policy: &str| {
            let is = Setting { name: CLEANUP_POLICY.into(), value: Some(policy.into()), is_own: true };
            loss(topic, &[is]).map(|problem| problem.reason)
        };
        let mut wanted = wanted(stockwatch("tech", 1));
        let [raw, stream, table] = &wanted.topics[..3] else { unreachable!() };
        assert_eq!(reason(raw, "compact"), Some(KafkaReason::TopicLosesState));
        assert_eq!(reason(raw, "delete"), None);
        assert_eq!(reason(stream, "compact"), None, "no state is in it");
        assert_eq!(reason(table, "delete"), Some(KafkaReason::TopicLosesState));
        assert_eq!(loss(table, &[]), None, "what cannot be read is not refused");
        wanted.topics[2].state = Some(TopicState::Created);
        assert_eq!(reason(&wanted.topics[2], "delete"), None, "it is altered");
    }
}
