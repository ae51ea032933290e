//! Ready: the first thing that stands in the way, the gravest first.

use stockwatch_crds::Invalid;

use super::condition::{Condition, Holds, Reason, Statement};
use super::seen::Seen;
use super::words::unless_said;
use crate::reconcile::{Decision, ObjectProblem, Trouble};

/// A message has room for some problems; the worker's log and `kubectl apply --dry-run` show the rest.
const PROBLEMS: usize = 5;

pub(super) fn statement(
    seen: &Seen<'_>,
    topics: &Statement,
    available: &Statement,
    applied: &Statement,
) -> Statement {
    if let Err(invalid) = seen.spec {
        return Statement::no(of_invalid(invalid), sentence(invalid));
    }
    if let Some(problem) = seen.objects.iter().min_by_key(|problem| weight(&problem.trouble)) {
        let statement = of_object(problem, seen.objects);
        let before = seen.said(Condition::Ready).filter(|before| before.reason == statement.reason);
        return Statement {
            message: unless_said(before.map(|before| before.message.as_str()), statement.message),
            ..statement
        };
    }
    let all = [topics, available, applied];
    if let Some(no) = all.iter().find(|statement| statement.holds == Holds::False) {
        return (*no).clone();
    }
    // A worker that cannot be asked any more may work all the same, with a generation that all have taken in.
    let is_known = seen.previous().is_some_and(|status| status.applied_generation == Some(seen.generation()));
    let under_way = all.iter().find(|statement| {
        let unreachable = statement.reason == Reason::WorkersUnreachable.as_str();
        statement.holds == Holds::Unknown && !(unreachable && is_known)
    });
    match under_way {
        Some(statement) => (*statement).clone(),
        None if seen.decision == Decision::Suspend => {
            Statement::yes(Reason::Suspended, "suspended: no worker runs, the topics stay")
        }
        None if available.reason == Reason::NoWorkers.as_str() => available.clone(),
        None => Statement::yes(Reason::Working, "everything works as the spec says"),
    }
}

pub(super) fn of_invalid(invalid: &Invalid) -> Reason {
    match invalid.reason() {
        stockwatch_crds::InvalidReason::InvalidSpec => Reason::InvalidSpec,
        stockwatch_crds::InvalidReason::DuplicateEntity => Reason::DuplicateEntity,
    }
}

fn sentence(invalid: &Invalid) -> String {
    let mut lines: Vec<String> = invalid.problems.iter().take(PROBLEMS).map(ToString::to_string).collect();
    if invalid.problems.len() > PROBLEMS {
        lines.push(format!("and {} more problems", invalid.problems.len() - PROBLEMS));
    }
    lines.join("; ")
}

fn weight(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::Foreign => 0,
        Trouble::Refused(_) | Trouble::Secret(_) => 1,
        Trouble::Hangs => 2,
        Trouble::Older => 3,
        Trouble::Unanswered => 4,
    }
}

/// The kinds of the other refused objects, in brackets.
fn also_refused(objects: &[ObjectProblem]) -> String {
    let refused = objects.iter().filter(|problem| matches!(problem.trouble, Trouble::Refused(_)));
    let others: Vec<&str> = refused.skip(1).map(|problem| problem.kind).collect();
    if others.is_empty() { String::new() } else { format!(" (and {})", others.join(", ")) }
}

fn of_object(ObjectProblem { kind, name, trouble }: &ObjectProblem, all: &[ObjectProblem]) -> Statement {
    match trouble {
        Trouble::Foreign => Statement::no(
            Reason::NameConflict,
            format!(
                "{kind} {name} belongs to someone else and is left alone: \
                 delete or rename it, or create this StockWatch under another name"
            ),
        ),
        Trouble::Refused(refusal) => Statement::no(
            Reason::ObjectRefused,
            format!("the API server refuses {kind} {name}{}: {}", also_refused(all), refusal.words),
        ),
        Trouble::Secret(problem) => Statement::no(problem.reason, problem.message.clone()),
        Trouble::Older => Statement::unknown(
            Reason::WaitingForDeletion,
            format!("{kind} {name} of an older StockWatch of this name is still being deleted"),
        ),
        Trouble::Unanswered => unanswered(&format!("{kind} {name}")),
        Trouble::Hangs => hangs(&format!("{kind} {name}")),
    }
}

/// A request about something is not answered, for now.
pub(super) fn unanswered(what: &str) -> Statement {
    Statement::unknown(
        Reason::ApiServerUnavailable,
        format!("{what}: the API server, or a webhook that it asks, does not answer; it is tried again"),
    )
}

/// A write has not been answered for minutes.
pub(super) fn hangs(what: &str) -> Statement {
    Statement::no(
        Reason::WritesTimeOut,
        format!(
            "{what}: the API server has not answered a write in time for minutes, although it answers others: most \
             likely an admission webhook that it asks hangs: see kubectl get \
             mutatingwebhookconfigurations,validatingwebhookconfigurations; it is tried again"
        ),
    )
}
