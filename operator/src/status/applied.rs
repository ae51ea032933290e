//! ConfigApplied, and the generation that every ready worker computes with.

use super::condition::{Condition, Holds, Reason, Statement};
use super::seen::{Said, Seen};
use crate::reconcile::Decision;
use crate::refusals::cut;
use crate::workers::{Answer, Pod};

/// Unknown fields named in a message at most.
const NAMED: usize = 10;

pub(super) fn statement(seen: &Seen<'_>) -> (Said, Option<i64>) {
    let before = seen.previous().and_then(|status| status.applied_generation);
    let generation = seen.generation();
    if let Err(invalid) = seen.spec {
        let reason = super::ready::of_invalid(invalid);
        let message = "the workers go on with the last valid spec: Ready says what is wrong with this one";
        return (seen.now(Statement::no(reason, message)), before);
    }
    let replicas = seen.stockwatch.spec.worker.as_ref().and_then(|worker| worker.replicas);
    if seen.decision == Decision::Suspend || replicas == Some(0) {
        let statement = Statement::yes(Reason::NoWorkers, "no worker is wanted, so none is behind");
        return (seen.now(statement), Some(generation));
    }
    let pods = &seen.report.pods;
    if pods.is_empty() {
        let statement = Statement::unknown(Reason::NoReadyWorkers, "no worker is ready to be asked");
        return (seen.now(statement), before);
    }
    let behind = |answer: &Answer| answer.applied.is_none_or(|applied| applied < generation);
    // What it answered to an older question says nothing of this generation.
    let is_lost = |pod: &&Pod| pod.unreachable && pod.answer.as_ref().is_none_or(behind);
    let answers: Vec<(&str, &Answer)> = pods
        .iter()
        .filter(|pod| !is_lost(pod))
        .filter_map(|pod| Some((pod.name.as_str(), pod.answer.as_ref()?)))
        .collect();
    let all = if answers.len() == pods.len() { least(&answers) } else { None };
    if let Some((name, _)) = answers.iter().find(|(_, answer)| answer.refuses && behind(answer)) {
        let message =
            format!("worker {name} refuses generation {generation}: its log and its /config say why");
        return (seen.now(Statement::no(Reason::SpecRefused, message)), all.or(before));
    }
    if answers.iter().any(|(_, answer)| behind(answer)) {
        return (seen.now(applying()), all.or(before));
    }
    if let Some(pod) = pods.iter().find(is_lost) {
        let message = format!("worker {} cannot be asked over HTTP: is there a NetworkPolicy?", pod.name);
        return (seen.now(Statement::unknown(Reason::WorkersUnreachable, message)), before);
    }
    if pods.iter().any(|pod| pod.answer.is_none()) {
        // Asked for the first time by this process: what was said of this generation is most likely true still.
        let known = seen.said(Condition::ConfigApplied).is_some_and(|said| {
            said.observed_generation == Some(generation) && said.status == Holds::True.as_str()
        });
        let said =
            if known { seen.as_before(Condition::ConfigApplied, applying()) } else { seen.now(applying()) };
        return (said, before);
    }
    (seen.now(Statement::yes(Reason::Applied, sentence(&answers))), Some(generation))
}

fn applying() -> Statement {
    Statement::unknown(Reason::Applying, "the workers are taking this generation in")
}

/// `None` as long as one of them has none.
fn least(answers: &[(&str, &Answer)]) -> Option<i64> {
    answers.iter().map(|(_, answer)| answer.applied).min().flatten()
}

fn sentence(answers: &[(&str, &Answer)]) -> String {
    let mut ignored: Vec<&str> =
        answers.iter().flat_map(|(_, answer)| answer.ignored.iter().map(String::as_str)).collect();
    ignored.sort_unstable();
    ignored.dedup();
    if ignored.is_empty() {
        return "every ready worker computes with this generation".into();
    }
    let more = ignored.len().saturating_sub(NAMED);
    ignored.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "every ready worker computes with this generation, without the fields that it does not know: {}{more}",
        cut(&ignored.join(", "))
    )
}

#[cfg(test)]
mod tests;
