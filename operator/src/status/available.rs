//! WorkerAvailable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::condition::{Condition, Holds, Reason, Statement};
use super::seen::{Said, Seen};
use crate::names;
use crate::reconcile::Decision;
use crate::rollout::{Progress, Rollout};

/// Pods that are not rolled out but added have no deadline of the Deployment's own: this is theirs, in seconds.
const START_SECONDS: i64 = 180;

pub(super) fn statement(seen: &Seen<'_>, now: &Time) -> Said {
    let none_wanted = seen.stockwatch.spec.worker.as_ref().and_then(|worker| worker.replicas) == Some(0);
    let statement = match (seen.decision, seen.rollout) {
        (Decision::Suspend, _) => Statement::yes(Reason::Suspended, "suspended: no worker is wanted"),
        (Decision::Stop, _) => Statement::no(
            Reason::WorkersStopped,
            "no worker runs, since it would mix its records or its state with others: TopicsReady says why",
        ),
        (Decision::Leave, None) if seen.spec.is_err() => {
            return seen.as_before(Condition::WorkerAvailable, waiting());
        }
        _ if none_wanted => {
            Statement::yes(Reason::NoWorkers, "spec.worker.replicas is 0: no worker is wanted")
        }
        (Decision::WaitForConnection, _) => Statement::unknown(
            Reason::WaitingForConnection,
            "the workers keep their connection to Kafka until the new one is known to work",
        ),
        (Decision::Run | Decision::Leave, None) if !seen.objects.is_empty() => Statement::unknown(
            Reason::WaitingForObjects,
            "the workers start once their objects are there: Ready says what is in the way",
        ),
        (Decision::WaitForTopics, _) | (_, None) => waiting(),
        (_, Some(rollout)) => of(rollout, seen, now),
    };
    seen.now(statement)
}

fn waiting() -> Statement {
    Statement::unknown(Reason::WaitingForTopics, "the workers start once the topics are there")
}

fn of(rollout: &Rollout, seen: &Seen<'_>, now: &Time) -> Statement {
    let Rollout { ready, wanted, .. } = rollout;
    if rollout.is_complete() {
        return Statement::yes(Reason::WorkersReady, format!("{ready} of {wanted} workers are ready"));
    }
    let metadata = &seen.stockwatch.metadata;
    let look = format!(
        "see kubectl describe pods -n {} -l {}",
        metadata.namespace.as_deref().unwrap_or_default(),
        names::selector_text(metadata.name.as_deref().unwrap_or_default()),
    );
    if rollout.lacks_ready() && were_ready(seen) {
        return Statement::no(
            Reason::WorkersNotReady,
            format!("{ready} of {wanted} workers are ready, the others are not any more: {look}"),
        );
    }
    if rollout.progress == Progress::Failed || (rollout.lacks_ready() && start_for_too_long(seen, now)) {
        return Statement::no(
            Reason::WorkersNotStarting,
            format!("{ready} of {wanted} workers are ready, and the others do not become so: {look}"),
        );
    }
    Statement::unknown(
        Reason::WorkersStarting,
        format!("{ready} of {wanted} workers are ready, the others start or are replaced"),
    )
}

/// As many as this generation wants were ready before.
fn were_ready(seen: &Seen<'_>) -> bool {
    seen.said(Condition::WorkerAvailable).is_some_and(|said| {
        said.observed_generation == Some(seen.generation())
            && (said.status == Holds::True.as_str() || said.reason == Reason::WorkersNotReady.as_str())
    })
}

fn start_for_too_long(seen: &Seen<'_>, now: &Time) -> bool {
    seen.said(Condition::WorkerAvailable).is_some_and(|said| {
        let since = said.last_transition_time.0.as_second();
        said.reason == Reason::WorkersNotStarting.as_str()
            || (said.reason == Reason::WorkersStarting.as_str() && now.0.as_second() - since >= START_SECONDS)
    })
}
