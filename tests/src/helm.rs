//! Releases of the chart.

use std::ops::Deref;
use std::path::Path;
use std::sync::LazyLock;

use crate::cluster::{Cluster, output};
use crate::namespace::Namespace;

/// The chart's directory.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/stockwatch");

/// A release, uninstalled when dropped.
#[derive(Debug)]
pub struct Release {
    cluster: &'static Cluster,
    namespace: String,
    name: String,
    installed: bool,
}

/// The one release of several tests, as one of them has it.
#[derive(Debug)]
pub struct Shared(&'static Release);

impl Deref for Shared {
    type Target = Release;

    fn deref(&self) -> &Release {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

static SHARED: LazyLock<Release> = LazyLock::new(|| {
    let (cluster, name) = (Cluster::shared(), "stockwatch");
    let namespace = Namespace::create(cluster, "system").until_the_end();
    cluster.at_end("helm", &["-n", &namespace, "uninstall", name, "--wait", "--timeout=60s"]);
    cluster.at_end("kubectl", &["delete", "namespace", &namespace, "--wait=false"]);
    Release::install(cluster, &namespace, name, &[])
});

impl Release {
    /// The release of all tests in this process that ask for it, with the chart's own values; gone with the process.
    pub fn shared() -> Shared {
        Shared(&SHARED)
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
        let values = values.iter().flat_map(|value| ["--set", value]);
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
        let logs = say(&["logs", "-l", &label, "--prefix", "--tail=100"]);
        format!("--- the operators of release {}\n{pods}\n{logs}", self.name)
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
