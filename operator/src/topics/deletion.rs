//! Deleting the topics and the consumer group of StockWatches that go.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::client::{BATCH, Client};
use super::metrics::Metrics;
use super::observed::{Deleted, Problem, Reason};
use super::refusal;
use super::trouble::Failure;
use super::wanted::ObjectKey;

/// What is to go with a StockWatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The StockWatch.
    pub who: ObjectKey,
    /// Its topics: those only that its status calls ours.
    pub topics: Vec<String>,
    /// Its consumer group.
    pub group: String,
    /// The cluster that its status names: in another one nothing is deleted.
    pub cluster_id: Option<String>,
}

/// What became of one deletion.
#[derive(Debug)]
pub(super) struct End {
    pub(super) doomed: Arc<Doomed>,
    pub(super) deleted: Deleted,
}

/// Deletes what can be deleted now; what is not there is as good as deleted. Blocks.
pub(super) fn delete(
    client: &mut Client,
    metrics: &Metrics,
    cluster_id: &str,
    all: Vec<Arc<Doomed>>,
) -> Result<Vec<End>, Failure> {
    let here = |doomed: &Doomed| doomed.cluster_id.as_deref().is_none_or(|id| id == cluster_id);
    let (here, elsewhere): (Vec<_>, Vec<_>) = all.into_iter().partition(|doomed| here(doomed));
    let mut refusals = delete_topics(client, metrics, &here)?;
    let mut ends = Vec::new();
    for doomed in here {
        let refused: Vec<Option<Problem>> =
            doomed.topics.iter().filter_map(|name| refusals.remove(name)).collect();
        let mut pending = refused.contains(&None);
        let mut problems: Vec<Problem> = refused.into_iter().flatten().collect();
        match delete_group(client, &doomed.group)? {
            Ok(()) => {}
            Err(code) if refusal::is_passing(code) => pending = true,
            Err(code) => problems.push(refusal::group_deletion(&doomed.group, code)),
        }
        let deleted = match Problem::of(problems) {
            Some(problem) => Deleted::Failed(problem),
            None if pending => Deleted::Pending,
            None => Deleted::Done,
        };
        ends.push(End { doomed, deleted });
    }
    ends.extend(
        elsewhere.into_iter().map(|doomed| End { doomed, deleted: Deleted::Failed(another_cluster()) }),
    );
    Ok(ends)
}

/// Why topics are still there, by name; `None`: for a moment.
fn delete_topics(
    client: &mut Client,
    metrics: &Metrics,
    all: &[Arc<Doomed>],
) -> Result<HashMap<String, Option<Problem>>, Failure> {
    let names: BTreeSet<&str> =
        all.iter().flat_map(|doomed| doomed.topics.iter().map(String::as_str)).collect();
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

/// The outer error ends the round, the inner one is the group's.
fn delete_group(client: &mut Client, group: &str) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
    let answer = client.delete_group(group)?.remove(group).unwrap_or(Err(RDKafkaErrorCode::Retry));
    Ok(match answer {
        Err(RDKafkaErrorCode::GroupIdNotFound) => Ok(()),
        answer => answer,
    })
}

fn another_cluster() -> Problem {
    Problem::new(
        Reason::ClusterChanged,
        "spec.kafka.bootstrapServers: these brokers belong to another Kafka cluster than the topics to delete: point it \
         back, or annotate the StockWatch with stockwatch.dev/skip-kafka to leave them",
    )
}
