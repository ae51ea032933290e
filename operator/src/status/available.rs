//! WorkerAvailable.

use super::{Condition, Reason, Said, Seen, Verdict};
use crate::names;
use crate::reconcile::Decision;
use crate::rollout::{Progress, Rollout};

pub(super) fn verdict(seen: &Seen<'_>) -> Said {
    let none_wanted = seen.stockwatch.spec.worker.as_ref().and_then(|worker| worker.replicas) == Some(0);
    let verdict = match (seen.decision, seen.rollout) {
        (Decision::Suspend, _) => Verdict::yes(Reason::Suspended, "suspended: no worker is wanted"),
        (Decision::Stop, _) => Verdict::no(
            Reason::WorkersStopped,
            "no worker runs, since it would mix its records or its state with others: TopicsReady says why",
        ),
        (Decision::Leave, None) if seen.spec.is_err() => {
            return seen.as_before(Condition::WorkerAvailable, waiting());
        }
        _ if none_wanted => Verdict::yes(Reason::NoWorkers, "spec.worker.replicas is 0: no worker is wanted"),
        (Decision::WaitForConnection, _) => Verdict::unknown(
            Reason::WaitingForConnection,
            "the workers keep their connection to Kafka until the new one is known to work",
        ),
        (Decision::WaitForTopics, _) | (_, None) => waiting(),
        (_, Some(rollout)) => of(rollout, seen),
    };
    seen.now(verdict)
}

fn waiting() -> Verdict {
    Verdict::unknown(Reason::WaitingForTopics, "the workers start once the topics are there")
}

fn of(rollout: &Rollout, seen: &Seen<'_>) -> Verdict {
    let Rollout { ready, wanted, .. } = rollout;
    if rollout.is_complete() {
        return Verdict::yes(Reason::WorkersReady, format!("{ready} of {wanted} workers are ready"));
    }
    let metadata = &seen.stockwatch.metadata;
    let look = format!(
        "see kubectl describe pods -n {} -l {}",
        metadata.namespace.as_deref().unwrap_or_default(),
        names::selector_text(metadata.name.as_deref().unwrap_or_default()),
    );
    match rollout.progress {
        Progress::Failed => Verdict::no(
            Reason::WorkersNotStarting,
            format!("{ready} of {wanted} workers are ready, and the others do not become so: {look}"),
        ),
        Progress::Complete if rollout.observed && ready < wanted => Verdict::no(
            Reason::WorkersNotReady,
            format!("{ready} of {wanted} workers are ready, the others are not any more: {look}"),
        ),
        _ => Verdict::unknown(
            Reason::WorkersStarting,
            format!("{ready} of {wanted} workers are ready, the others start or are replaced"),
        ),
    }
}
