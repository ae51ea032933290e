//! Many StockWatches, and a client that applies them fast.

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use stockwatch_crds::StockWatch;

use crate::error::Result;

/// StockWatches that a client works on at once, as many as the operator does by default.
pub(super) const AT_ONCE: usize = 16;
/// Who applies.
pub(super) const MANAGER: &str = "stockwatch-bench";

/// The name of the one of that number.
pub(super) fn name(number: usize) -> String {
    format!("crowd-{number:04}")
}

/// A StockWatch that wants no worker. Its six topics get the broker's default: one partition each.
pub(super) fn stockwatch(namespace: &str, name: &str, brokers: &str) -> Value {
    json!({
        "apiVersion": "stockwatch.dev/v1alpha1",
        "kind": "StockWatch",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "tickers": [{"symbol": "META", "name": "meta"}, {"symbol": "IBM", "name": "ibm"}],
            "windows": [
                {"duration": "5m", "tolerance": "0.1%"},
                {"duration": "10m", "tolerance": "0.1%"},
                {"duration": "15m", "tolerance": "0.1%"},
            ],
            "source": {"simulated": {"interval": "1s", "seed": 1}},
            "kafka": {"bootstrapServers": brokers},
            "worker": {"replicas": 0},
        },
    })
}

/// Applies StockWatches.
pub(super) async fn apply(api: &Api<StockWatch>, all: Vec<Value>) -> Result<()> {
    let one = |body: Value| async move { apply_one(api, &body).await.map(drop) };
    stream::iter(all.into_iter().map(one)).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await
}

/// Applies one, and gives it as the API server has it.
pub(super) async fn apply_one(api: &Api<StockWatch>, body: &Value) -> Result<StockWatch> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    Ok(api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(body)).await?)
}
