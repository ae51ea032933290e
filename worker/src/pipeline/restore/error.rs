//! Why a partition cannot be restored for now, and what people can do about it.

use rdkafka::error::KafkaError;
use stockwatch_core::checkpoint::Corrupt;

use crate::kafka::log_reader::ReadError;

/// The reason of one partition; it is tried again until it can be restored.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error("cannot connect: {0}")]
    Connect(KafkaError),
    #[error("the group's committed offsets cannot be read: {0}")]
    Committed(KafkaError),
    #[error(
        "the brokers do not say what the group committed: a transaction on it has not ended. If that lasts, see \
         \"Which Kafka\" in docs/kafka-permissions.md: some versions lose the end of a transaction"
    )]
    Unstable,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a transaction of another process stays open on it")]
    Open,
    #[error(
        "its state in topic {table} cannot be read: {source}. Replace that record: write one with the same key and no \
         value (a tombstone) to partition {partition} of {table}; {} then lost",
        if source.is_of_shapes() { "all averages and paper accounts of the partition are" } else { "what it held is" }
    )]
    Corrupt { table: String, partition: i32, source: Corrupt },
    #[error(
        "topic {topic} partition {partition} is not the one that was computed: {why}. If the topic was created anew, \
         stop the workers, delete the offsets of consumer group {group} and create topic {table} anew as well. If only \
         this partition lost records, stop the workers and set its offset: kafka-consumer-groups.sh --group {group} \
         --topic {topic}:{partition} --reset-offsets --to-latest --execute"
    )]
    Recreated { topic: String, partition: i32, why: String, group: String, table: String },
}

/// How an attempt ended without a state.
#[derive(Debug)]
pub(super) enum AttemptEnd {
    /// The partition was given away, or the process stops.
    Cancelled,
    /// Reads end before an open transaction: the next attempt follows soon.
    OpenTransaction,
    /// Tried again later, with the reason for people.
    Failed(RestoreError),
}

impl AttemptEnd {
    /// Whether other connections may help. What is wrong with the data is no reason to make new ones.
    pub(super) fn may_be_the_connection(&self) -> bool {
        !matches!(
            self,
            Self::Cancelled
                | Self::OpenTransaction
                | Self::Failed(
                    RestoreError::Corrupt { .. } | RestoreError::Recreated { .. } | RestoreError::Open
                )
        )
    }
}

impl From<RestoreError> for AttemptEnd {
    fn from(error: RestoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<ReadError> for AttemptEnd {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Cancelled => Self::Cancelled,
            error => Self::Failed(error.into()),
        }
    }
}
