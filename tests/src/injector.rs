//! What changes Deployments on their way into a namespace, as service meshes and mirrors of registries do.

use openssl::base64::encode_block;
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::wait::{soon, wait_for};
use crate::webhook;

/// The registry that every image is taken from.
const REGISTRY: &str = "mirror.example.com/";
const SIDECAR: &str = "sidecar";

/// A mutating webhook that adds a sidecar to each Deployment and changes the registry of its images; gone when dropped.
#[derive(Debug)]
pub struct Injector<'a>(&'a Namespace);

impl<'a> Injector<'a> {
    /// Stands once Deployments are changed.
    pub fn of(home: &'a Namespace) -> Self {
        let client = webhook::serve(|review| {
            let patch = encode_block(patch(&review["request"]["object"]).to_string().as_bytes());
            let response = json!({"allowed": true, "patchType": "JSONPatch", "patch": patch});
            Some(webhook::answer(review, response))
        });
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": home.name()},
            "webhooks": [{
                "name": "inject.example.com",
                "clientConfig": client,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "namespaceSelector": webhook::only(home),
                "rules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["deployments"],
                }],
            }],
        });
        home.apply(&configuration.to_string()).unwrap();
        let injector = Self(home);
        wait_for(60, "Deployments are changed", || {
            let create =
                ["create", "deployment", "probe", "--image=probe", "--dry-run=server", "--output=json"];
            let probe: Value = serde_json::from_str(&home.try_kubectl(&create)?).unwrap();
            soon(Self::has_changed(&probe), probe)
        });
        injector
    }

    /// Whether a Deployment is as the webhook leaves it.
    pub fn has_changed(deployment: &Value) -> bool {
        has_sidecar(deployment) && containers(deployment).iter().all(is_mirrored)
    }
}

impl Drop for Injector<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_kubectl(&["delete", "mutatingwebhookconfiguration", self.0.name()]);
    }
}

fn containers(deployment: &Value) -> &[Value] {
    deployment["spec"]["template"]["spec"]["containers"].as_array().map_or(&[], Vec::as_slice)
}

fn is_mirrored(container: &Value) -> bool {
    container["image"].as_str().is_some_and(|image| image.starts_with(REGISTRY))
}

fn has_sidecar(deployment: &Value) -> bool {
    containers(deployment).iter().any(|container| container["name"] == SIDECAR)
}

/// What is still to be changed of a Deployment.
fn patch(deployment: &Value) -> Value {
    let place = "/spec/template/spec/containers";
    let images = containers(deployment).iter().enumerate().filter(|(_, container)| !is_mirrored(container));
    let mut patch: Vec<Value> = images
        .map(|(i, container)| {
            let image = format!("{REGISTRY}{}", container["image"].as_str().unwrap_or_default());
            json!({"op": "replace", "path": format!("{place}/{i}/image"), "value": image})
        })
        .collect();
    if !has_sidecar(deployment) {
        let sidecar = json!({"name": SIDECAR, "image": format!("{REGISTRY}proxy:1")});
        patch.push(json!({"op": "add", "path": format!("{place}/-"), "value": sidecar}));
    }
    Value::Array(patch)
}
