//! Releases of the chart.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cluster::{Cluster, output};
use crate::container::Container;
use crate::namespace::Namespace;
use crate::wait::wait_for;

/// The chart's directory.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/stockwatch");

/// The images of `tests/cluster/images.sh`.
pub const IMAGES: [&str; 2] =
    ["image.repository=stockwatch-operator", "worker.image.repository=stockwatch-worker"];

/// A release, uninstalled when dropped.
pub struct Release {
    cluster: &'static Cluster,
    namespace: String,
    name: String,
    installed: bool,
}

/// The one release of several tests, as one of them has it.
pub struct Shared {
    release: Arc<Release>,
    /// Keeps tests away that need the cluster for themselves.
    _beside: Option<RwLockReadGuard<'static, ()>>,
}

impl Deref for Shared {
    type Target = Release;

    fn deref(&self) -> &Release {
        &self.release
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

static SHARED: Mutex<Option<Arc<Release>>> = Mutex::new(None);
static ALONE: RwLock<()> = RwLock::new(());

/// The cluster for one test alone, which may disturb what others stand on: the operator, the API server, the definition.
pub struct Alone {
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Alone {
    /// Waits until no other test uses the shared release.
    pub fn new() -> Self {
        Self { _alone: ALONE.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// The release of [`Release::shared`].
    pub fn shared(&self) -> Shared {
        Shared { release: shared(), _beside: None }
    }

    /// Ends the release of [`Release::shared`], so that the test can install its own.
    pub fn without_release(&self) -> &'static Cluster {
        without_release()
    }
}

impl Default for Alone {
    fn default() -> Self {
        Self::new()
    }
}

/// The cluster without the release of [`Release::shared`], for tests with releases of listed namespaces: side by side.
pub struct Listed {
    /// Keeps tests away that need the cluster for themselves.
    _beside: RwLockReadGuard<'static, ()>,
    cluster: &'static Cluster,
}

impl Listed {
    /// Ends the shared release, which no test uses at the time.
    pub fn new() -> Self {
        let beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        Self { _beside: beside, cluster: without_release() }
    }

    /// The cluster.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }
}

impl Default for Listed {
    fn default() -> Self {
        Self::new()
    }
}

/// Ends the release of [`Release::shared`]; others wait until it is gone.
fn without_release() -> &'static Cluster {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let last = shared.take().map(Arc::into_inner);
    assert!(last.is_none_or(|release| release.is_some()), "another test has the release");
    Cluster::shared()
}

fn shared() -> Arc<Release> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let install = || {
        let (cluster, name) = (Cluster::shared(), "stockwatch");
        let namespace = Namespace::create(cluster, "system").until_the_end();
        cluster.at_end("helm", &["-n", &namespace, "uninstall", name, "--wait", "--timeout=60s"]);
        cluster.at_end("kubectl", &["delete", "namespace", &namespace, "--wait=false"]);
        // By default workers are asked once a minute.
        let quotes = "extraArgs[0]=--quotes-interval=2s";
        Arc::new(Release::install(cluster, &namespace, name, &[quotes]))
    };
    shared.get_or_insert_with(install).clone()
}

impl Release {
    /// The release of all tests in this process that ask for it, with the chart's own values but for how
    /// often workers are asked for quotes; gone with the process.
    pub fn shared() -> Shared {
        let beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        Shared { release: shared(), _beside: Some(beside) }
    }

    /// `helm install` with values such as `kafka.enabled=true`, awaited until the operator is ready.
    pub fn install(cluster: &'static Cluster, namespace: &str, name: &str, values: &[&str]) -> Self {
        Self::install_chart(Path::new(CHART), cluster, namespace, name, values)
    }

    /// The same with another chart, such as an older one.
    pub fn install_chart(
        chart: &Path,
        cluster: &'static Cluster,
        namespace: &str,
        name: &str,
        values: &[&str],
    ) -> Self {
        let release = Self { cluster, namespace: namespace.into(), name: name.into(), installed: true };
        // The definition may have stayed from a release elsewhere.
        release.change(&["install", "--take-ownership"], chart, values);
        release
    }

    /// `helm upgrade` to the chart with other values, all that were set before forgotten.
    pub fn upgrade(&self, values: &[&str]) {
        self.change(&["upgrade", "--reset-values"], Path::new(CHART), values);
    }

    /// `helm upgrade` to the chart with the values of the release, the older chart's own among them, but for these.
    pub fn upgrade_reusing(&self, values: &[&str]) {
        self.change(&["upgrade", "--reuse-values"], Path::new(CHART), values);
    }

    /// `helm rollback` to what the release was before its last change, awaited.
    pub fn rollback(&self) {
        self.helm(&["rollback", &self.name, "--wait", "--timeout=120s"])
            .unwrap_or_else(|message| panic!("helm rollback: {message}\n{}", self.describe()));
    }

    /// `helm test`: what it says, or its message where it fails.
    pub fn test(&self) -> Result<String, String> {
        self.helm(&["test", &self.name, "--timeout=60s"])
    }

    /// `helm uninstall`, awaited.
    pub fn uninstall(mut self) {
        self.installed = false;
        self.helm(&["uninstall", &self.name, "--wait", "--timeout=60s"]).unwrap();
    }

    fn change(&self, how: &[&str], chart: &Path, values: &[&str]) {
        let values = IMAGES.iter().chain(values).flat_map(|value| ["--set", value]);
        let fixed = [&self.name, chart.to_str().unwrap(), "--wait", "--timeout=120s"];
        let arguments: Vec<&str> = how.iter().copied().chain(fixed).chain(values).collect();
        self.helm(&arguments)
            .unwrap_or_else(|message| panic!("helm {arguments:?}: {message}\n{}", self.describe()));
    }

    fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.cluster.command("helm").args(["-n", &self.namespace]).args(arguments), "")
    }

    /// The operators' namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The labels of the operators' pods.
    pub fn pods(&self) -> String {
        format!("app.kubernetes.io/name=stockwatch-operator,app.kubernetes.io/instance={}", self.name)
    }

    /// Who the operators are to the API server.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// The operators' pods: by name, their UIDs and how often their container was restarted.
    pub fn operators(&self) -> BTreeMap<String, (String, u64)> {
        self.cluster.pods(&self.namespace, &self.pods())
    }

    /// Has an operator's pod end at once: another one takes its place.
    pub fn kill_pod(&self, operator: &Container) {
        self.cluster.kill_pod(&self.namespace, operator);
    }

    /// Deletes an operator's pod in order.
    pub fn delete_pod(&self, operator: &Container) {
        self.cluster.kubectl(&["-n", &self.namespace, "delete", "pod", &operator.pod, "--wait=false"]);
    }

    /// The operators' containers that run.
    pub fn containers(&self) -> Vec<Container> {
        self.cluster.containers(&self.namespace, &self.pods())
    }

    /// The pod that holds the Lease; empty when none does.
    pub fn leader(&self) -> String {
        let lease = self.cluster.objects().get(&self.namespace, &format!("lease/{}", self.name));
        lease.unwrap_or_else(|error| panic!("{error}"))["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until an operator leads and all of them are ready, and gives the leader's container first.
    pub fn await_operators(&self) -> Vec<Container> {
        let deployment = format!("deployment/{}", self.name);
        let rollout = ["-n", &self.namespace, "rollout", "status", &deployment, "--timeout=90s"];
        self.cluster.kubectl(&rollout);
        wait_for(60, "a leader", || {
            let (leader, mut containers) = (self.leader(), self.containers());
            containers.sort_by_key(|container| container.pod != leader);
            let leads =
                containers.first().is_some_and(|first| first.http().metric("operator_leading", "") > 0.0);
            if leads { Ok(containers) } else { Err(format!("{leader} of {containers:?}")) }
        })
    }

    /// The sum of a metric's samples over all operators, named without what they all begin with; only those whose labels
    /// have `label` in them.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let pods = self.cluster.endpoints(&self.namespace, &self.pods());
        pods.values().map(|pod| pod.metric(&format!("operator_{name}"), label)).sum()
    }

    /// The operators' pods and what they have logged.
    pub fn describe(&self) -> String {
        let say = |question: &[&str]| {
            let question = [&["-n", &*self.namespace], question].concat();
            self.cluster.try_kubectl(&question).unwrap_or_else(|message| message)
        };
        let label = format!("app.kubernetes.io/instance={}", self.name);
        let pods = say(&["describe", "pods", "-l", &label]);
        format!("--- the operators of release {}\n{pods}\n{}", self.name, self.log(100))
    }

    /// The last lines that each operator has logged.
    pub fn log(&self, lines: u32) -> String {
        let label = format!("app.kubernetes.io/instance={}", self.name);
        let tail = format!("--tail={lines}");
        let question = ["-n", &self.namespace, "logs", "-l", &label, "--prefix", &tail];
        self.cluster.try_kubectl(&question).unwrap_or_else(|message| message)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
        if self.installed {
            let _ = self.helm(&["uninstall", &self.name, "--wait", "--timeout=60s"]);
        }
    }
}
