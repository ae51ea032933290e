//! The live spec as the worker's mounted copy: what it starts with while the API server is away.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use serde_json::{Error, json};
use stockwatch_crds::StockWatch;

use super::Owner;

/// The key, which is the file's name in the pod.
pub const SPEC_KEY: &str = "stockwatch.json";

/// Status and what else changes by itself is left out: it would rewrite every worker's copy.
pub(super) fn build(owner: &Owner, stockwatch: &StockWatch) -> Result<ConfigMap, Error> {
    let document = json!({
        "apiVersion": StockWatch::api_version(&()),
        "kind": StockWatch::kind(&()),
        "metadata": {
            "name": owner.name,
            "namespace": owner.namespace,
            "uid": owner.uid,
            "generation": stockwatch.metadata.generation,
        },
        "spec": serde_json::to_value(&stockwatch.spec)?,
    });
    Ok(ConfigMap {
        metadata: owner.metadata(),
        data: Some(BTreeMap::from([(SPEC_KEY.into(), document.to_string())])),
        ..ConfigMap::default()
    })
}
