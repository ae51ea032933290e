//! What is said of a StockWatch: pure, from what was seen and what its status says already.
//!
//! Every sentence is our own and the same for the same trouble, so that a status differs only when something does.

mod applied;
mod available;
mod condition;
mod hold;
mod last_edit;
mod progress;
mod quotes;
mod ready;
mod seen;
mod topics;
mod words;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};
use stockwatch_crds::{Spec, StockWatch, StockWatchStatus};

pub use condition::{Condition, Holds, Reason, Statement, said};
pub use hold::{Hold, hold, says};
pub use progress::stalls_in;
pub(crate) use quotes::no_ready_workers;
use seen::Said;
pub use seen::{Quotes, Seen};

use crate::names;
use crate::refusals::Refusal;
use crate::topics::Observed;

/// The status that follows from what was seen. `now` is the time of what changes.
pub fn status(seen: &Seen<'_>, now: &Time) -> StockWatchStatus {
    let before = seen.previous().cloned().unwrap_or_default();
    let topics = topics::statement(seen);
    let available = available::statement(seen, now);
    let (applied, applied_generation) = applied::statement(seen);
    let ready = ready::statement(seen, &topics.statement, &available.statement, &applied.statement);
    let ready = match ready.holds {
        // It holds for what all of its parts hold for.
        Holds::True => {
            let generation = [&topics, &available, &applied].into_iter().map(|part| part.generation).min();
            Said { statement: ready, generation: generation.flatten() }
        }
        _ => seen.now(ready),
    };
    let progress = progress::statement(&before, &ready, Some(seen.generation()), now);
    let said = BTreeMap::from([
        (Condition::Ready, ready),
        (Condition::TopicsReady, topics),
        (Condition::WorkerAvailable, available),
        (Condition::ConfigApplied, applied),
        (Condition::QuotesFlow, quotes::statement(seen, applied_generation)),
    ]);
    let (kafka_cluster_id, topics) = match seen.kafka {
        Some(Observed::Known { cluster_id, topics, .. }) => (Some(cluster_id.clone()), topics.clone()),
        _ => (before.kafka_cluster_id.clone(), before.topics.clone()),
    };
    let name = seen.stockwatch.metadata.name.as_deref().unwrap_or_default();
    let mut status = StockWatchStatus {
        observed_generation: Some(seen.generation()),
        applied_generation,
        conditions: said
            .into_iter()
            .chain(progress)
            .map(|(condition, said)| stamp(&before, condition, said, now))
            .collect(),
        tickers: seen.spec.map_or(before.tickers, |_| i32::try_from(seen.stockwatch.spec.tickers.len()).ok()),
        windows: seen.spec.map_or(before.windows.clone(), |spec| Some(windows(spec))),
        replicas: Some(seen.rollout.map_or(0, |rollout| rollout.replicas)),
        ready_replicas: Some(seen.rollout.map_or(0, |rollout| rollout.ready)),
        selector: Some(names::selector_text(name)),
        kafka_cluster_id,
        topics,
        last_edit: last_edit::last_edit(seen, &before),
        failing_tickers: seen.quotes.failing.clone().unwrap_or(before.failing_tickers),
        edits: before.edits,
    };
    status.list_edits(seen.edits);
    status
}

/// The status of a StockWatch that is not reconciled: all that was said stays, but nobody looks any more.
pub fn paused(stockwatch: &StockWatch, now: &Time) -> StockWatchStatus {
    let statement = Statement::unknown(
        Reason::Paused,
        format!("nothing is reconciled: remove the annotation {} to go on", names::PAUSED),
    );
    with_ready(stockwatch, statement, now)
}

/// The status of a StockWatch whose deletion the API server refuses a step.
pub fn deletion_refused(stockwatch: &StockWatch, refusal: Refusal, now: &Time) -> StockWatchStatus {
    let before = stockwatch.status.as_ref().and_then(|status| said(status, Condition::Ready));
    let message = format!("the API server refuses a step of the deletion: {}", refusal.words);
    let message = words::unless_said(before.map(|before| before.message.as_str()), message);
    with_ready(stockwatch, Statement::no(Reason::ObjectRefused, message), now)
}

/// The status of a StockWatch of whose deletion the API server does not answer a step; `hangs`: for minutes.
pub fn deletion_unanswered(stockwatch: &StockWatch, hangs: bool, now: &Time) -> StockWatchStatus {
    let of = if hangs { ready::hangs } else { ready::unanswered };
    with_ready(stockwatch, of("a step of the deletion"), now)
}

/// The status of a StockWatch whose deletion waits, with the command that ends the wait.
pub fn deletion_waits(stockwatch: &StockWatch, why: &str, now: &Time) -> StockWatchStatus {
    let metadata = &stockwatch.metadata;
    let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
    let message = format!(
        "its deletion waits, tried again by itself: {why}. To let it go and leave its topics and its group: \
         kubectl annotate sw {} -n {} {}=",
        name.unwrap_or_default(),
        namespace.unwrap_or_default(),
        names::SKIP_KAFKA
    );
    with_ready(stockwatch, Statement::no(Reason::DeletionWaits, message), now)
}

/// All that was said of it, but for Ready and what goes with it; what others say is theirs.
fn with_ready(stockwatch: &StockWatch, statement: Statement, now: &Time) -> StockWatchStatus {
    let mut status = stockwatch.status.clone().unwrap_or_default();
    let said = Said { statement, generation: stockwatch.metadata.generation };
    let progress = progress::statement(&status, &said, stockwatch.metadata.generation, now);
    let progress = progress.map(|(condition, said)| stamp(&status, condition, said, now));
    let ready = stamp(&status, Condition::Ready, said, now);
    let is_new = [Condition::Ready, Condition::Reconciling, Condition::Stalled];
    status
        .conditions
        .retain(|said| Condition::of(&said.type_).is_some_and(|condition| !is_new.contains(&condition)));
    status.conditions.insert(0, ready);
    status.conditions.extend(progress);
    // What was decided of it concerns this generation: tools that wait for a newer one would wait for ever.
    status.observed_generation = stockwatch.metadata.generation;
    status
}

/// A condition whose time is that of its last transition.
fn stamp(before: &StockWatchStatus, condition: Condition, now_said: Said, now: &Time) -> ApiCondition {
    let Said { statement, generation } = now_said;
    let status = statement.holds.as_str();
    let unchanged = said(before, condition).filter(|before| before.status == status);
    ApiCondition {
        type_: condition.as_str().into(),
        status: status.into(),
        reason: statement.reason,
        message: statement.message,
        observed_generation: generation,
        last_transition_time: unchanged.map_or_else(|| now.clone(), |said| said.last_transition_time.clone()),
    }
}

fn windows(spec: &Spec) -> String {
    let windows: Vec<String> = spec.windows.iter().map(|window| format!("{}m", window.minutes)).collect();
    windows.join(",")
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
