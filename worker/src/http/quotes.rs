//! `/quotes`: whether quotes flow, as far as this process knows.

use axum::Json;
use axum::extract::State;
use stockwatch_crds::flow::FlowReport;

use crate::shared::Shared;

/// Returns the report of this process; its size is bounded by the tickers that a StockWatch may list.
pub(super) async fn quotes(State(shared): State<Shared>) -> Json<FlowReport> {
    let live = shared.live.current();
    let report = shared.flow.report(&live.spec.source);
    Json(FlowReport { uid: live.uid.clone(), ..report })
}
