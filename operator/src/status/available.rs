//! WorkerAvailable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::condition::{Condition, Holds, Reason, Statement};
use super::seen::{Said, Seen};
use super::words::unless_said;
use crate::key::Key;
use crate::names;
use crate::reconcile::{Decision, HeldRollout, ObjectProblem};
use crate::resources::Kind;
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
        (_, Some(rollout)) => match seen.turn {
            Some(HeldRollout { is_edited: true, .. }) => Statement::unknown(
                Reason::WaitingForTurn,
                "the workers go on as they are until it is their turn to be replaced: many others are being replaced now",
            ),
            Some(HeldRollout { halted_by: Some(by), .. }) if rollout.is_complete() => halted(rollout, by),
            _ => of(rollout, seen, now),
        },
    };
    // The Deployment was not made anew from this spec: what it is like says something of an older one.
    let is_not_applied = |problem: &ObjectProblem| problem.kind == Kind::Deployment.as_str();
    let is_older = seen.rollout.is_some() && seen.objects.iter().any(is_not_applied);
    if (seen.decision == Decision::Leave || is_older)
        && let Some(before) = seen.said(Condition::WorkerAvailable)
    {
        return Said { statement, generation: before.observed_generation };
    }
    seen.now(statement)
}

fn waiting() -> Statement {
    Statement::unknown(Reason::WaitingForTopics, "the workers start once the topics are there")
}

fn halted(Rollout { ready, wanted, .. }: &Rollout, by: &Key) -> Statement {
    Statement::yes(
        Reason::UpgradeHalted,
        format!(
            "{ready} of {wanted} workers are ready, in their form before the operator's upgrade: it is halted, since the \
             workers of {by} and others do not become ready with it"
        ),
    )
}

fn of(rollout: &Rollout, seen: &Seen<'_>, now: &Time) -> Statement {
    let Rollout { ready, wanted, .. } = rollout;
    if rollout.is_complete() {
        return Statement::yes(Reason::WorkersReady, format!("{ready} of {wanted} workers are ready"));
    }
    if let Some(refusal) = &rollout.refusal {
        let message =
            format!("{ready} of {wanted} workers are ready, and no more pods are created: {refusal}");
        return kept(seen, Statement::no(Reason::WorkersNotStarting, message));
    }
    let why = match seen.pods {
        Some(words) => words.to_owned(),
        None => look(seen),
    };
    if rollout.lacks_ready() && were_ready(seen) {
        let message = format!("{ready} of {wanted} workers are ready, the others are not any more: {why}");
        return kept(seen, Statement::no(Reason::WorkersNotReady, message));
    }
    if rollout.progress == Progress::Failed || (rollout.lacks_ready() && start_for_too_long(seen, now)) {
        let message =
            format!("{ready} of {wanted} workers are ready, and the others do not become so: {why}");
        return kept(seen, Statement::no(Reason::WorkersNotStarting, message));
    }
    let so_far = seen.pods.map(|words| format!(": {words}")).unwrap_or_default();
    let message = format!("{ready} of {wanted} workers are ready, the others start or are replaced{so_far}");
    kept(seen, Statement::unknown(Reason::WorkersStarting, message))
}

/// The command that shows more of the pods.
fn look(seen: &Seen<'_>) -> String {
    let metadata = &seen.stockwatch.metadata;
    format!(
        "see kubectl describe pods -n {} -l {}",
        metadata.namespace.as_deref().unwrap_or_default(),
        names::selector_text(metadata.name.as_deref().unwrap_or_default()),
    )
}

/// What was said before, where it said the same but for the numbers in Kubernetes' words.
fn kept(seen: &Seen<'_>, statement: Statement) -> Statement {
    let counts = |message: &str| message.split(" workers ").next().map(str::to_owned);
    let before = seen.said(Condition::WorkerAvailable).filter(|before| {
        before.reason == statement.reason && counts(&before.message) == counts(&statement.message)
    });
    Statement {
        message: unless_said(before.map(|said| said.message.as_str()), statement.message),
        ..statement
    }
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

#[cfg(test)]
mod tests;
