//! The CustomResourceDefinition, generated from the API types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::v1alpha1::StockWatch;

const HEADER: &str =
    "# Generated from the types by `cargo run --release -p stockwatch-crds --bin crdgen`; do not edit.\n";

/// `status.observedGeneration` of a StockWatch that no operator has seen. Tools that wait for it (kstatus) take an object
/// without a status for one that needs nobody.
pub const UNSEEN: i64 = -1;

/// The CustomResourceDefinition of StockWatch.
pub fn definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(StockWatch::crd())?;
    drop_nullable(&mut value);
    if let Some(status) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status") {
        status["default"] = json!({"observedGeneration": UNSEEN});
    }
    serde_json::from_value(value)
}

/// The text of `crds/stockwatch.yaml`.
pub fn definition_yaml() -> Result<String, Box<dyn std::error::Error>> {
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&definition()?)?))
}

/// An optional field is left out, never null: the derive marks each `Option` as nullable.
fn drop_nullable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("nullable").is_some_and(Value::is_boolean) {
                members.remove("nullable");
            }
            members.values_mut().for_each(drop_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nullable),
        _ => {}
    }
}
