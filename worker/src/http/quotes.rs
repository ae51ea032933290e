//! `/quotes`: whether quotes flow, as far as this process knows.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use stockwatch_crds::Source;
use stockwatch_crds::flow::{FlowReport, Stretched};

use crate::shared::Shared;

/// Returns the report of this process; its size is bounded by the tickers that a StockWatch may list.
pub(super) async fn quotes(State(shared): State<Shared>) -> Json<FlowReport> {
    let live = shared.live.current();
    let source = &live.spec.source;
    let report = shared.flow.report(source);
    let stretched = stretched(source, shared.metrics.fetch_interval_seconds.get());
    Json(FlowReport { uid: live.uid.clone(), stretched, ..report })
}

/// The interval that the source keeps, in seconds, if it is longer than the spec's.
fn stretched(source: &Source, kept: f64) -> Option<Stretched> {
    let asked = match source {
        Source::Yahoo { interval, .. } | Source::Simulated { interval, .. } => *interval,
        Source::Http(http) => http.interval,
        Source::External { .. } => return None,
    };
    let kept = Duration::try_from_secs_f64(kept).ok()?;
    let [asked, kept] = [asked, kept].map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    (kept > asked).then_some(Stretched { asked, kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_that_is_longer_than_the_specs_is_said() {
        let source = Source::default();
        assert_eq!(stretched(&source, 75.5), Some(Stretched { asked: 60_000, kept: 75_500 }));
        for kept in [60.0, 0.0, -1.0, f64::NAN] {
            assert_eq!(stretched(&source, kept), None, "{kept}");
        }
        assert_eq!(stretched(&Source::External { expect_every: None }, 75.0), None);
    }
}
