//! What the process tells over HTTP: `/livez`, `/readyz`, `/metrics`, `/config` and `/quotes`.

mod config;
mod quotes;
mod serve;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use serve::{Limits, listen, serve};

use crate::shared::Shared;
use crate::{memory, metrics};

/// The pipeline's loop turns many times a second; silent for longer than this, it hangs.
const SILENT_MILLIS: u64 = 30_000;

/// The routes.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/config", get(config::config))
        .route("/quotes", get(quotes::quotes))
        .fallback(unknown)
        .with_state(shared)
}

async fn livez(State(shared): State<Shared>) -> Response {
    liveness(shared.health.silent_millis()).into_response()
}

/// 200, or 503 with a sentence when the loop has been silent for too long.
fn liveness(silent_millis: u64) -> (StatusCode, String) {
    if silent_millis > SILENT_MILLIS {
        let sentence = format!("the pipeline has been silent for {} s\n", silent_millis / 1000);
        return (StatusCode::SERVICE_UNAVAILABLE, sentence);
    }
    (StatusCode::OK, "ok\n".into())
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match shared.health.not_ready() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn scrape(State(shared): State<Shared>) -> Response {
    shared.flow.measure(&shared.metrics);
    shared.metrics.memory_bytes.set(memory::resident());
    shared.metrics.memory_limit_bytes.set(memory::limit());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], shared.metrics.encode()).into_response()
}

async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "there are /livez, /readyz, /metrics, /config and /quotes\n").into_response()
}

#[cfg(test)]
mod tests;
