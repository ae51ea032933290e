//! The API server's objects, read and awaited in process: no `kubectl` is forked for a look.

use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};

use crate::until::Until;
use crate::wait::PATIENCE;

/// Kinds by `kubectl`'s names in the singular: group, version, kind and plural.
const KINDS: [(&str, &str, &str, &str, &str); 15] = [
    ("stockwatch", "stockwatch.dev", "v1alpha1", "StockWatch", "stockwatches"),
    ("deployment", "apps", "v1", "Deployment", "deployments"),
    ("statefulset", "apps", "v1", "StatefulSet", "statefulsets"),
    ("pod", "", "v1", "Pod", "pods"),
    ("service", "", "v1", "Service", "services"),
    ("configmap", "", "v1", "ConfigMap", "configmaps"),
    ("serviceaccount", "", "v1", "ServiceAccount", "serviceaccounts"),
    ("persistentvolumeclaim", "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("resourcequota", "", "v1", "ResourceQuota", "resourcequotas"),
    ("event", "", "v1", "Event", "events"),
    ("namespace", "", "v1", "Namespace", "namespaces"),
    ("role", "rbac.authorization.k8s.io", "v1", "Role", "roles"),
    ("rolebinding", "rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    ("poddisruptionbudget", "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("lease", "coordination.k8s.io", "v1", "Lease", "leases"),
];

/// Drives all connections to API servers of this process; whichever test waits drives the others' as well.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

/// A client of one API server.
#[derive(Clone)]
pub(crate) struct Objects(Client);

impl Objects {
    /// A client with the rights that a kubeconfig gives; it connects when it is used.
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        let client = RUNTIME.block_on(async {
            let file = Kubeconfig::read_from(kubeconfig).unwrap();
            let mut config =
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
            (config.connect_timeout, config.read_timeout) = (Some(TIMEOUT), None);
            Client::try_from(config).unwrap()
        });
        Self(client)
    }

    /// An object named as `kind/name`, or why there is none.
    pub(crate) fn get(&self, namespace: &str, object: &str) -> Result<Value, String> {
        let (kind, name) = split(object);
        let api = self.api(namespace, kind);
        within(api.get(name)).map(|object| value(&object))
    }

    /// The objects of a kind with these labels and fields; empty selectors choose all.
    pub(crate) fn list(
        &self,
        namespace: &str,
        kind: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Vec<Value>, String> {
        let chosen = ListParams::default().labels(labels).fields(fields);
        within(self.api(namespace, kind).list(&chosen)).map(|list| list.items.iter().map(value).collect())
    }

    /// Merges a patch into an object, and gives it as it is then.
    pub(crate) fn patch(&self, namespace: &str, object: &str, patch: &Value) -> Result<Value, String> {
        let (kind, name) = split(object);
        let api = self.api(namespace, kind);
        within(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).map(|object| value(&object))
    }

    /// Waits until an object is as `until` says, or its kind's time is over: then gives what was seen last.
    pub(crate) fn wait(
        &self,
        namespace: &str,
        object: &str,
        seconds: u64,
        until: &Until,
    ) -> Result<(), String> {
        let (kind, name) = split(object);
        let api = self.api(namespace, kind);
        let seconds = PATIENCE * seconds;
        let is = |object: Option<&DynamicObject>| until.holds(object.map(value).as_ref());
        let holds = async {
            // A watch ends where the API server does.
            while let Err(error) = await_condition(api.clone(), name, is).await {
                eprintln!("{object}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let waited = RUNTIME.block_on(async {
            tokio::time::timeout(Duration::from_secs(seconds), holds).await.map_err(|_| ())
        });
        waited.map_err(|()| {
            let seen = self.get(namespace, object).map_or_else(|error| error, |seen| format!("{seen:#}"));
            format!("{object}: not {} within {seconds} s, last seen: {seen}", until.what())
        })
    }

    fn api(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let known = KINDS.iter().find(|known| known.0 == kind || known.4 == kind);
        let (_, group, version, kind, plural) = known.unwrap_or_else(|| panic!("no kind {kind} in KINDS"));
        let api_version = if group.is_empty() { (*version).into() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: (*group).into(),
            version: (*version).into(),
            api_version,
            kind: (*kind).into(),
            plural: (*plural).into(),
        };
        if namespace.is_empty() {
            Api::all_with(self.0.clone(), &resource)
        } else {
            Api::namespaced_with(self.0.clone(), namespace, &resource)
        }
    }
}

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(20);

fn within<T: Send>(request: impl Future<Output = kube::Result<T>> + Send) -> Result<T, String> {
    let request = async { tokio::time::timeout(TIMEOUT, request).await };
    let answer = if Handle::try_current().is_ok() {
        // A benchmark's: the thread of a runtime cannot drive another one.
        thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(request)).join().unwrap())
    } else {
        RUNTIME.block_on(request)
    };
    answer.map_err(|_| format!("no answer within {TIMEOUT:?}"))?.map_err(|error| error.to_string())
}

fn split(object: &str) -> (&str, &str) {
    object.split_once('/').unwrap_or_else(|| panic!("{object} is no kind/name"))
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}
