//! Why a transaction, a session with the brokers, or the pipeline ended.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::topology::TopologyError;
use crate::topics::{RawPartitions, TopicsError};

/// Why the pipeline ended by itself: somebody has to do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the same identity.
    #[error(
        "transactional id {id} was taken over by another process: give each worker its own --id, or let it be restarted"
    )]
    Fenced {
        /// The id.
        id: String,
    },
    /// The topics cannot be used or created as they are.
    #[error(transparent)]
    Topics(TopicsError),
    /// The thread that restores cannot be started.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why one session with the brokers ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Final(#[from] Error),
    #[error(transparent)]
    Topics(#[from] TopologyError),
    #[error(transparent)]
    Create(TopicsError),
    #[error("topics were created, {} partitions of raw quotes", .0.0)]
    Created(RawPartitions),
    #[error("no transactions: {0}")]
    Producers(KafkaError),
    #[error("no membership of the consumer group: {0}")]
    Group(KafkaError),
    #[error("the connection to the brokers was lost")]
    CutOff,
    /// Another consumer joins again. Where brokers have lost all that they held, this one may be told that the topic is
    /// missing while the group is formed, and be given nothing: it does not join again once the topic is there as before,
    /// since librdkafka compares it with what it knew before (`rd_kafka_cgrp_metadata_update_check`).
    #[error("the group gave this worker's partitions away: joining it again")]
    Lost,
    #[error("raw partition {0} was made anew")]
    Anew(i32),
    #[error("transactional id {id} was taken over")]
    Fenced { id: String },
    #[error("the brokers do not answer a transaction: {0}")]
    Unanswered(KafkaError),
    #[error(
        "topic {table} refuses records of the state: set its max.message.bytes to {least} or more. Its settings may not \
         be read (allow DESCRIBE_CONFIGS on it), or this would have been known"
    )]
    TableRefuses { table: String, least: usize },
    #[error("{0} ({1})")]
    Because(Box<SessionError>, String),
}

/// Why a transaction did not commit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub(super) KafkaError);

impl Failure {
    /// Whether the transaction's records may be the reason. What the group says is none: while it rebalances, a commit
    /// may come with the generation before.
    pub(super) fn may_be_of_records(&self) -> bool {
        !matches!(
            self.0.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::AssignmentLost
            )
        )
    }
}

/// Why a turn of the loop did not end well.
#[derive(Debug)]
pub(super) enum Step {
    /// The transaction is lost; all partitions are restored from the last commit.
    Failed(Failure),
    /// All clients are made anew.
    Session(SessionError),
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<SessionError> for Step {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_comes_of_a_rebalance_is_not_one_of_records() {
        let may_be = |code| Failure(KafkaError::MessageProduction(code)).may_be_of_records();
        assert!(!may_be(RDKafkaErrorCode::IllegalGeneration));
        assert!(!may_be(RDKafkaErrorCode::AssignmentLost));
        assert!(may_be(RDKafkaErrorCode::MessageSizeTooLarge));
        assert!(may_be(RDKafkaErrorCode::InvalidRecord));
    }
}
