//! A namespace of a test, gone with the value that stands for it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;

use serde_json::Value;

use crate::cluster::{Cluster, output};
use crate::container::Container;
use crate::endpoint::Endpoint;
use crate::until::Until;
use crate::wait::wait_for;

/// The kinds of objects that operators make of a StockWatch. The Deployment last: its pods use all the others.
pub const OWNED: [&str; 7] =
    ["configmap", "serviceaccount", "role", "rolebinding", "service", "poddisruptionbudget", "deployment"];

/// A namespace that enforces the Pod Security Standard `restricted`.
#[derive(Debug)]
pub struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    /// Creates one, of a name that starts with `purpose`.
    pub fn create(cluster: &'static Cluster, purpose: &str) -> Self {
        let name = format!("{purpose}-{:05x}", fastrand::u32(0..0x10_0000));
        cluster.kubectl(&["create", "namespace", &name]);
        cluster.kubectl(&["label", "namespace", &name, "pod-security.kubernetes.io/enforce=restricted"]);
        Self { cluster, name }
    }

    /// Leaves it to somebody else to delete it.
    pub(crate) fn until_the_end(self) -> String {
        ManuallyDrop::new(self).name.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `kubectl` here; panics with its message where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&self.here(arguments))
    }

    /// Runs `kubectl` here: its output, or its message where it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.cluster.try_kubectl(&self.here(arguments))
    }

    /// An object named as `kind/name`; panics where there is none.
    pub fn get(&self, object: &str) -> Value {
        self.try_get(object).unwrap_or_else(|error| panic!("{object} in {}: {error}", self.name))
    }

    /// An object named as `kind/name`, or why there is none.
    pub fn try_get(&self, object: &str) -> Result<Value, String> {
        self.cluster.objects().get(&self.name, object)
    }

    /// The objects of a kind here with these labels; all where that is empty.
    pub fn list(&self, kind: &str, labels: &str) -> Vec<Value> {
        self.select(kind, labels, "")
    }

    /// The events of a reason about the object of a name.
    pub fn events(&self, reason: &str, about: &str) -> Vec<Value> {
        self.select("events", "", &format!("reason={reason},involvedObject.name={about}"))
    }

    /// Waits for an event of a reason about the object of a name whose message holds, and gives that. Events are written
    /// after the status that they are of.
    pub fn await_event(
        &self,
        seconds: u64,
        reason: &str,
        about: &str,
        holds: impl Fn(&str) -> bool,
    ) -> String {
        wait_for(seconds, &format!("an event {reason} about {about} in {}", self.name), || {
            let events = self.events(reason, about);
            let found =
                events.iter().filter_map(|event| event["message"].as_str()).find(|message| holds(message));
            found.map(str::to_owned).ok_or_else(|| format!("{events:?}"))
        })
    }

    fn select(&self, kind: &str, labels: &str, fields: &str) -> Vec<Value> {
        let found = self.cluster.objects().list(&self.name, kind, labels, fields);
        found.unwrap_or_else(|error| panic!("{kind} in {}: {error}", self.name))
    }

    /// Applies a manifest: what `kubectl` says of it, or its message where it is refused.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        self.cluster.try_kubectl_with(&self.here(&["apply", "-f", "-"]), manifest)
    }

    /// `kubectl edit` of an object, the editor being a `sed` script: what `kubectl` says, or its message where the
    /// edit is refused.
    pub fn edit(&self, object: &str, sed: &str) -> Result<String, String> {
        let mut kubectl = self.cluster.command("kubectl");
        // A refused edit opens the editor again, with the reason above the text: left as it is, that ends it.
        let editor = format!(
            "edit() {{ if grep -q 'was not valid' \"$1\"; then grep '^#' \"$1\" >&2; else sed -i -E '{sed}' \"$1\"; fi; }}; edit"
        );
        let copies = tempfile::tempdir().unwrap(); // of refused edits
        kubectl.env("KUBE_EDITOR", editor).env("TMPDIR", copies.path());
        output(kubectl.args(self.here(&["edit", object])), "")
    }

    /// Merges a patch into an object, and gives it as it is then.
    pub fn patch(&self, object: &str, patch: &Value) -> Value {
        let patched = self.cluster.objects().patch(&self.name, object, patch);
        patched.unwrap_or_else(|error| panic!("{object} in {}: {error}", self.name))
    }

    /// The pods with these labels: by name, their UIDs and how often their container was restarted.
    pub fn pods(&self, labels: &str) -> BTreeMap<String, (String, u64)> {
        self.cluster.pods(&self.name, labels)
    }

    /// What operators made of StockWatches here, as `deployment/tech-stockwatch`.
    pub fn owned(&self) -> BTreeSet<String> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let of_kind = |kind: &&str| -> Vec<String> {
            let objects = self.list(kind, "stockwatch.dev/name");
            objects.iter().map(|object| format!("{kind}/{}", name(object))).collect()
        };
        OWNED.iter().flat_map(of_kind).collect()
    }

    /// The containers of the pods with these labels that run.
    pub fn containers(&self, labels: &str) -> Vec<Container> {
        self.cluster.containers(&self.name, labels)
    }

    /// Has a pod's process end at once, and not start again.
    pub fn kill_pod(&self, container: &Container) {
        self.cluster.kill_pod(&self.name, container);
    }

    /// The HTTP servers of the pods with these labels, by the pods' names; only of pods that have an address.
    pub fn endpoints(&self, labels: &str) -> BTreeMap<String, Endpoint> {
        self.cluster.endpoints(&self.name, labels)
    }

    /// Waits until `object`, named as `kind/name`, is as `until` says.
    pub fn wait(&self, seconds: u64, object: &str, until: &Until) {
        let waited = self.cluster.objects().wait(&self.name, object, seconds, until);
        waited.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    fn here<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["-n", &*self.name], arguments].concat()
    }

    /// What may say why a test failed.
    fn describe(&self) -> String {
        let questions: [&[&str]; 4] = [
            &["get", "stockwatches,deployments,pods,configmaps", "-o", "wide"],
            &["describe", "stockwatches"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--all-containers", "--prefix", "--tail=60", "-l", "app.kubernetes.io/name"],
        ];
        let answer = |question: &&[&str]| {
            let answer = self.try_kubectl(question).unwrap_or_else(|message| message);
            format!("--- {}: kubectl {}\n{answer}", self.name, question.join(" "))
        };
        questions.iter().map(answer).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
        // A finalizer whose operator is gone already would keep the namespace for ever.
        let held = |object: &Value| !object["metadata"]["finalizers"].is_null();
        let there = self.cluster.objects().list(&self.name, "stockwatches", "", "").unwrap_or_default();
        if there.iter().any(held)
            && self.try_kubectl(&["delete", "stockwatches", "--all", "--timeout=20s"]).is_err()
        {
            for object in there.iter().filter(|object| held(object)) {
                let object =
                    format!("stockwatch/{}", object["metadata"]["name"].as_str().unwrap_or_default());
                let patch = serde_json::json!({"metadata": {"finalizers": null}});
                let _ = self.cluster.objects().patch(&self.name, &object, &patch);
            }
        }
        let _ = self.cluster.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
