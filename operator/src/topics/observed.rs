//! What is said of Kafka: in fixed sentences, so that the same trouble is always the same text.

use stockwatch_crds::v1alpha1::{TopicState, TopicStatus};

use super::wanted::Wanted;

/// What is known of what a StockWatch wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Nothing yet: its key comes over the wake channel when there is.
    Pending,
    /// As Kafka has it.
    Known {
        /// The cluster; with [`Reason::ClusterChanged`] still the one that the status names.
        cluster_id: String,
        /// The topics that are there, those that are to be created, and with a problem that stops everything
        /// those of the status: what is here may replace the status' list.
        topics: Vec<TopicStatus>,
        /// What stands in the way.
        problem: Option<Problem>,
    },
    /// No broker could be asked: what the status says of topics still holds.
    Unreachable(Problem),
}

impl Observed {
    /// Whether this is also the answer to `next`, which differs from what was asked (`wanted`) at most by having
    /// taken this answer into its status. A topic that is to be created is not: now it may be.
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
pub enum Deleted {
    /// Under way: the key comes over the wake channel when that changes.
    Pending,
    /// Topics and group are gone.
    Done,
    /// Not yet; it is tried again and again, and the key comes when that changes.
    Failed(Problem),
}

/// Trouble, as a condition names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The condition's reason.
    pub reason: Reason,
    /// A sentence that says what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Several as one: the reason that weighs most, and all the sentences.
    pub(super) fn of(mut problems: Vec<Self>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.reason);
        let reason = problems.first()?.reason;
        let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        Some(Self { reason, message: messages.join("; ") })
    }
}

/// Why Kafka is not as wanted; those that weigh most come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
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
    /// The user may not do it.
    NotAuthorized,
    /// The brokers refuse to create or grow a topic.
    TopicRefused,
    /// A partition count cannot be changed as asked.
    PartitionsImmutable,
    /// A replication factor cannot be changed.
    ReplicationFactorImmutable,
    /// The brokers refuse a setting.
    ConfigRefused,
    /// The user or the password is wrong.
    AuthenticationFailed,
    /// No encrypted connection comes about.
    TlsFailed,
    /// No broker answers.
    KafkaUnreachable,
    /// Someone still reads with the consumer group.
    GroupInUse,
}

impl Reason {
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
            Self::PartitionsImmutable => "PartitionsImmutable",
            Self::ReplicationFactorImmutable => "ReplicationFactorImmutable",
            Self::ConfigRefused => "ConfigRefused",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::TlsFailed => "TlsFailed",
            Self::KafkaUnreachable => "KafkaUnreachable",
            Self::GroupInUse => "GroupInUse",
        }
    }

    /// The brokers do not accept who asks: its Secrets may have been rotated.
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
