//! `/config`: which spec the process has and computes with; `?generation=N&wait=1s` waits until it computes with N.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stockwatch_crds::EditReport;

use crate::shared::Shared;

/// The longest wait; a longer one is cut to it.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// `metadata.uid` of the last accepted spec; empty for a plain file that has none.
    uid: String,
    /// Its generation; null for a plain file that the pipeline has not numbered yet.
    generation: Option<u64>,
    /// The generation that every owned partition computes with; null before any does.
    applied_generation: Option<u64>,
    /// Paths of unknown fields in the last accepted spec.
    ignored: Vec<String>,
    /// Why a newer document was refused.
    error: Option<String>,
    /// What the last edit changes of the last day's alarms, by partition; absent until that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_edit: Option<EditReport>,
    /// That is still being found out.
    evaluating: bool,
    /// Of the worker.
    version: &'static str,
}

pub(super) async fn config(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err(sentence) => return (StatusCode::BAD_REQUEST, sentence + "\n").into_response(),
    };
    if let Some(generation) = query.generation {
        let mut applied = shared.health.applied();
        let reached = applied.wait_for(|applied| *applied >= Some(generation));
        // Whether it came or the time ended, the answer says how it is.
        let _ = tokio::time::timeout(query.wait, reached).await;
    }
    let live = shared.live.current();
    Json(Answer {
        uid: live.uid.clone(),
        generation: live.generation.or_else(|| shared.health.generation(live.revision)),
        applied_generation: *shared.health.applied().borrow(),
        ignored: live.ignored.clone(),
        error: shared.live.error().borrow().clone(),
        last_edit: shared.health.last_edit(),
        evaluating: shared.health.is_evaluating(live.revision),
        version: env!("CARGO_PKG_VERSION"),
    })
    .into_response()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    generation: Option<u64>,
    wait: Duration,
}

impl Query {
    /// The error is a sentence.
    fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("generation", value) => {
                    let generation = value.parse().map_err(|_| "generation is a whole number, such as 7")?;
                    query.generation = Some(generation);
                }
                ("wait", value) => {
                    let wait =
                        duration(value).ok_or("wait is a whole number of s or ms, such as 1s or 500ms")?;
                    query.wait = wait.min(MAX_WAIT);
                }
                _ => return Err("the query has generation and wait, and nothing else".into()),
            }
        }
        if query.generation.is_none() && !query.wait.is_zero() {
            return Err("wait needs the generation to wait for: ?generation=7&wait=1s".into());
        }
        Ok(query)
    }
}

fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_query_names_a_generation_and_a_bounded_wait() {
        let parsed = |text| Query::parse(text).unwrap();
        let query = |generation, wait| Query { generation, wait };
        assert_eq!(parsed(""), query(None, Duration::ZERO));
        assert_eq!(parsed("generation=7"), query(Some(7), Duration::ZERO));
        assert_eq!(parsed("generation=7&wait=500ms"), query(Some(7), Duration::from_millis(500)));
        assert_eq!(parsed("wait=1s&generation=0"), query(Some(0), Duration::from_secs(1)));
        assert_eq!(parsed("generation=7&wait=9999999s"), query(Some(7), MAX_WAIT));
    }

    #[test]
    fn a_query_that_means_nothing_is_refused_with_a_sentence() {
        for (text, word) in [
            ("generation=", "generation"),
            ("generation=-1", "generation"),
            ("generation=99999999999999999999", "generation"),
            ("generation=1&wait", "wait"),
            ("generation=1&wait=1", "wait"),
            ("generation=1&wait=1h", "wait"),
            ("generation=1&wait=99999999999999999999s", "wait"),
            ("wait=1s", "needs the generation"),
            ("genration=1", "nothing else"),
        ] {
            let sentence = Query::parse(text).unwrap_err();
            assert!(sentence.contains(word), "{text}: {sentence}");
        }
    }
}
