//! Deletes the topics and the consumer groups of StockWatches that are deleted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::client::{BATCH, Client};
use super::metrics::Metrics;
use super::observed::{DeletionState, KafkaProblem, KafkaReason};
use super::refusal;
use super::trouble::Failure;
use super::wanted::ObjectKey;

/// What is deleted with a StockWatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionRequest {
    /// The StockWatch.
    pub who: ObjectKey,
    /// The topics that its status says we created.
    pub topics: Vec<String>,
    /// Its consumer group; `None`: it stays.
    pub group: Option<String>,
    /// The cluster that its status names: in another one nothing is deleted.
    pub cluster_id: Option<String>,
}

/// What became of one deletion.
#[derive(Debug)]
pub(super) struct DeletionOutcome {
    pub(super) request: Arc<DeletionRequest>,
    pub(super) deleted: DeletionState,
}

/// Deletes what can be deleted now; a topic or group that does not exist counts as deleted. Blocks.
pub(super) fn delete(
    client: &mut Client,
    metrics: &Metrics,
    cluster_id: &str,
    all: Vec<Arc<DeletionRequest>>,
) -> Result<Vec<DeletionOutcome>, Failure> {
    let here = |request: &DeletionRequest| request.cluster_id.as_deref().is_none_or(|id| id == cluster_id);
    let (here, elsewhere): (Vec<_>, Vec<_>) = all.into_iter().partition(|request| here(request));
    let mut refusals = delete_topics(client, metrics, &here)?;
    let mut ends = Vec::new();
    for request in here {
        let refused: Vec<Option<KafkaProblem>> =
            request.topics.iter().filter_map(|name| refusals.remove(name)).collect();
        let mut pending = refused.contains(&None);
        let mut problems: Vec<KafkaProblem> = refused.into_iter().flatten().collect();
        if let Some(group) = &request.group {
            match delete_group(client, group)? {
                Ok(()) => {}
                Err(code) if refusal::is_passing(code) => pending = true,
                Err(code) => problems.push(refusal::group_deletion(group, code)),
            }
        }
        let deleted = match KafkaProblem::of(problems) {
            Some(problem) => DeletionState::Failed(problem),
            None if pending => DeletionState::Pending,
            None => DeletionState::Done,
        };
        ends.push(DeletionOutcome { request, deleted });
    }
    ends.extend(
        elsewhere
            .into_iter()
            .map(|request| DeletionOutcome { request, deleted: DeletionState::Failed(another_cluster()) }),
    );
    Ok(ends)
}

/// Returns why topics were not deleted, by name; `None`: a transient failure.
fn delete_topics(
    client: &mut Client,
    metrics: &Metrics,
    all: &[Arc<DeletionRequest>],
) -> Result<HashMap<String, Option<KafkaProblem>>, Failure> {
    let names: BTreeSet<&str> =
        all.iter().flat_map(|request| request.topics.iter().map(String::as_str)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut refusals = HashMap::new();
    for batch in names.chunks(BATCH) {
        for (name, answer) in client.delete_topics(batch)? {
            match answer {
                Ok(()) => {
                    tracing::info!(topic = name, "topic deleted");
                    metrics.topics_deleted.inc();
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => {
                    tracing::warn!(topic = name, %code, "topic not deleted");
                    let problem = (!refusal::is_passing(code)).then(|| refusal::deletion(&name, code));
                    refusals.insert(name, problem);
                }
            }
        }
    }
    Ok(refusals)
}

/// The outer error ends the round, the inner one concerns this group alone.
fn delete_group(client: &mut Client, group: &str) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
    let answer = client.delete_group(group)?.remove(group).unwrap_or(Err(RDKafkaErrorCode::Retry));
    Ok(match answer {
        Err(RDKafkaErrorCode::GroupIdNotFound) => Ok(()),
        answer => answer,
    })
}

fn another_cluster() -> KafkaProblem {
    KafkaProblem::new(
        KafkaReason::ClusterChanged,
        "spec.kafka.bootstrapServers: these brokers belong to another Kafka cluster than the topics to delete: point it \
         back, or annotate the StockWatch with stockwatch.dev/skip-kafka to leave them",
    )
}
