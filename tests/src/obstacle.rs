//! What refuses objects in a namespace: a quota, an admission policy, a webhook that says no, and one that does not work.

use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::wait::{soon, wait_for};
use crate::webhook;

/// The ConfigMap that every obstacle refuses to everyone: so it is known to stand.
const PROBE: &str = "probe";

/// Something that refuses what somebody writes; lifted when dropped.
#[derive(Debug)]
pub struct Obstacle<'a> {
    home: &'a Namespace,
    objects: Vec<String>,
}

/// What a webhook answers.
#[derive(Debug, Clone)]
pub enum Webhook {
    /// No, with an HTTP status and words.
    No(u16, String),
    /// Nothing that can be understood, with the HTTP status 500.
    Garbage,
    /// Nothing at all, for as long as Kubernetes waits for a webhook that does not say.
    Silence,
}

impl<'a> Obstacle<'a> {
    /// A quota of none, such as of `count/services`.
    pub fn quota(home: &'a Namespace, of: &str) -> Self {
        home.kubectl(&["create", "quota", "none", &format!("--hard={of}=0")]);
        wait_for(30, "the quota counts", || {
            let quota = home.get("resourcequota/none");
            soon(quota["status"]["used"].is_object(), quota)
        });
        Self { home, objects: vec!["quota/none".into()] }
    }

    /// A policy that refuses a user to write a resource, such as `roles` or `stockwatches/status`, for a reason such as
    /// `Forbidden` or `Invalid`, with these words.
    pub fn policy(home: &'a Namespace, user: &str, resource: &str, reason: &str, words: &str) -> Self {
        let name = format!("{}-{}", home.name(), resource.replace('/', "-"));
        let (rules, matches) = matching(user, resource);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"namespaceSelector": webhook::only(home), "resourceRules": rules},
                "matchConditions": matches,
                "validations": [{"expression": "false", "message": words, "reason": reason}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        let kinds = ["validatingadmissionpolicybinding", "validatingadmissionpolicy"];
        let objects = kinds.map(|kind| format!("{kind}/{name}")).to_vec();
        Self { home, objects }.stand(&[policy, binding])
    }

    /// A webhook for what a user writes of a resource.
    pub fn webhook(home: &'a Namespace, user: &str, resource: &str, answer: Webhook) -> Self {
        let name = format!("{}-{}", home.name(), resource.replace('/', "-"));
        let seconds = if matches!(answer, Webhook::Silence) { 10 } else { 3 };
        let client = webhook::serve(move |review| say(&answer, review));
        let (rules, matches) = matching(user, resource);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "no.example.com",
                "clientConfig": client,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": seconds,
                "namespaceSelector": webhook::only(home),
                "rules": rules,
                "matchConditions": matches,
            }],
        });
        Self { home, objects: vec![format!("validatingwebhookconfiguration/{name}")] }.stand(&[configuration])
    }

    fn stand(self, objects: &[Value]) -> Self {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.home.apply(&list.to_string()).unwrap();
        wait_for(60, "the obstacle stands", || {
            let create = ["create", "configmap", PROBE, "--dry-run=server"];
            self.home.try_kubectl(&create).err().ok_or_else(|| "a ConfigMap can be created".to_owned())
        });
        self
    }

    /// Takes it away.
    pub fn lift(self) {
        drop(self);
    }
}

impl Drop for Obstacle<'_> {
    fn drop(&mut self) {
        let objects: Vec<&str> = self.objects.iter().map(String::as_str).collect();
        let _ = self.home.try_kubectl(&[&["delete"], &*objects].concat());
    }
}

/// The rules of an obstacle, and its conditions.
fn matching(user: &str, resource: &str) -> (Value, Value) {
    let rules = json!([{
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
        "resources": [resource, "configmaps"],
    }]);
    let base = resource.split('/').next().unwrap();
    let expression = format!(
        "request.name == '{PROBE}' || \
         (request.userInfo.username == '{user}' && request.resource.resource == '{base}')"
    );
    (rules, json!([{"name": "whose", "expression": expression}]))
}

fn say(answer: &Webhook, review: &Value) -> Option<Value> {
    match answer {
        Webhook::Garbage => None,
        Webhook::Silence => loop {
            std::thread::park();
        },
        Webhook::No(code, words) => Some(webhook::answer(
            review,
            json!({"allowed": false, "status": {"code": code, "message": words}}),
        )),
    }
}
