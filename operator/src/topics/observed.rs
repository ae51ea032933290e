//! Answers about Kafka, in fixed sentences: the same problem always has the same text.

use stockwatch_crds::v1alpha1::{TopicState, TopicStatus};

use super::wanted::Wanted;

/// The answer to what a StockWatch wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// None yet: the StockWatch is sent over the wake channel when there is one.
    Pending,
    /// As Kafka has it.
    Known {
        /// The cluster; with [`KafkaReason::ClusterChanged`] still the one that the status names.
        cluster_id: String,
        /// The list for the status: topics that exist and those that are about to be created; with a problem that
        /// stops everything, the list that the status has.
        topics: Vec<TopicStatus>,
        /// Why Kafka is not as wanted.
        problem: Option<KafkaProblem>,
        /// Records of the raw topic carry their writers' time, not the brokers'.
        writers_stamp: bool,
    },
    /// No broker could be asked: what the status says of topics still holds.
    Unreachable(KafkaProblem),
}

impl Observed {
    /// Whether this answer to `wanted` answers `next` as well: the same request, after the status has taken this answer
    /// over. It does not where it announced a topic, which may be created once the status says so.
    pub(super) fn answers(&self, wanted: &Wanted, next: &Wanted) -> bool {
        if wanted == next {
            return true;
        }
        let Self::Known { cluster_id, topics, .. } = self else { return false };
        let mut taken = wanted.clone();
        taken.cluster_id = Some(cluster_id.clone());
        for topic in &mut taken.topics {
            let answered = topics.iter().find(|answered| answered.name == topic.name).map(|a| a.state);
            if answered == Some(TopicState::Creating) && topic.state != answered {
                return false;
            }
            topic.state = answered;
        }
        taken == *next
    }
}

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletionState {
    /// In progress: the StockWatch is sent over the wake channel when that changes.
    Pending,
    /// Topics and group are gone.
    Done,
    /// It failed and is tried again; the StockWatch is sent over the wake channel when that changes.
    Failed(KafkaProblem),
}

/// Why Kafka is not as wanted, as a condition says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaProblem {
    /// The condition's reason.
    pub reason: KafkaReason,
    /// A sentence that says what to do.
    pub message: String,
}

impl KafkaProblem {
    pub(super) fn new(reason: KafkaReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Joins several: the gravest reason, and all sentences.
    pub(super) fn of(mut problems: Vec<Self>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.reason);
        let reason = problems.first()?.reason;
        let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        Some(Self { reason, message: messages.join("; ") })
    }
}

/// Why Kafka is not as wanted, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KafkaReason {
    /// The brokers belong to another cluster than the status says.
    ClusterChanged,
    /// Another StockWatch writes a topic.
    TopicConflict,
    /// Another StockWatch has the consumer group.
    GroupConflict,
    /// The raw topic and the storage table do not fit together.
    PartitionsDiffer,
    /// Kafka would remove from a topic what workers restore their state from.
    TopicLosesState,
    /// The raw topic, which is someone else's, is not there.
    TopicMissing,
    /// The Kafka user lacks a permission.
    NotAuthorized,
    /// The brokers refuse to create or grow a topic.
    TopicRefused,
    /// The ledger is not there and cannot be created: workers raise alarms without paper accounts.
    LedgerMissing,
    /// A partition count cannot be changed as asked.
    PartitionsImmutable,
    /// A replication factor cannot be changed.
    ReplicationFactorImmutable,
    /// The brokers refuse a setting.
    ConfigRefused,
    /// The user or the password is wrong.
    AuthenticationFailed,
    /// The TLS handshake fails.
    TlsFailed,
    /// No broker answers.
    KafkaUnreachable,
    /// The consumer group still has members.
    GroupInUse,
}

impl KafkaReason {
    /// The reason as a condition has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterChanged => "ClusterChanged",
            Self::TopicConflict => "TopicConflict",
            Self::GroupConflict => "GroupConflict",
            Self::PartitionsDiffer => "PartitionsDiffer",
            Self::TopicLosesState => "TopicLosesState",
            Self::TopicMissing => "TopicMissing",
            Self::NotAuthorized => "NotAuthorized",
            Self::TopicRefused => "TopicRefused",
            Self::LedgerMissing => "LedgerMissing",
            Self::PartitionsImmutable => "PartitionsImmutable",
            Self::ReplicationFactorImmutable => "ReplicationFactorImmutable",
            Self::ConfigRefused => "ConfigRefused",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::TlsFailed => "TlsFailed",
            Self::KafkaUnreachable => "KafkaUnreachable",
            Self::GroupInUse => "GroupInUse",
        }
    }

    /// Whether the brokers refuse the credentials: their Secrets may have been rotated.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::AuthenticationFailed | Self::TlsFailed)
    }

    /// No worker may run with this: it would mix its records or its state with those of another. Of what loses state
    /// workers take care themselves: one that has its state goes on, and one that would restore it does not start.
    pub fn stops_worker(self) -> bool {
        matches!(
            self,
            Self::ClusterChanged | Self::TopicConflict | Self::GroupConflict | Self::PartitionsDiffer
        )
    }
}
